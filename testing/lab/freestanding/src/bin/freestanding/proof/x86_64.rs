//! The steps in ring 0.

use core::cell::OnceCell;
use core::hint::black_box;

use cachemaint::Cache;
use cachemaint::whole_cache::{NotOnAllCpus, Participant, WholeCache};
use cachemaint_lab_freestanding::image::cpus::{Cpus, MOST};
use cachemaint_lab_freestanding::image::{Machine, OneCpu};
use cachemaint_lab_freestanding::{Board as _, Buffer, Outcome, Step};

pub(super) const STEPS: [Step; 2] = [
    Step { name: "every cache invalidated", run: every_cache_invalidated },
    Step { name: "a CPU left out", run: a_cpu_left_out },
];

/// The CPUs, started by the first step that needs them.
static CPUS: OneCpu<OnceCell<Cpus>> = OneCpu(OnceCell::new());

fn every_cache_invalidated(_cache: Cache) -> Outcome {
    on_every_cache("wbinvd", |caches, participants, cpus| {
        // SAFETY: (1) nothing is concluded of memory; (2), (3) it runs on each CPU, in ring 0, and waits.
        unsafe { caches.writeback_invalidate(participants, |function| cpus.run(function)) }
    })
}

/// The library names the CPU that did not execute the instruction, although there were as many calls as CPUs, and the
/// CPU that executed it without being named.
fn a_cpu_left_out(_cache: Cache) -> Outcome {
    let caches = match WholeCache::ask() {
        Ok(caches) => caches,
        Err(refused) => return Outcome::Skipped(refused.why.reason),
    };
    let cpus = CPUS.0.get_or_init(Cpus::start);
    let count = cpus.numbers().count();
    if count == 1 {
        return Outcome::Skipped("there is one CPU");
    }
    let mut participants = participants(cpus);
    let (first, last) = (participants[0].number, participants[count - 1].number);
    // SAFETY: (1) nothing is concluded of memory; (2), (3) as above, but for the CPU that is left out on purpose.
    let left_out = unsafe {
        caches.writeback_invalidate(&mut participants[..count], |function| {
            cpus.run(&|| {
                // The first CPU executes it in place of the last.
                let here = Participant::here().number;
                let calls = if here == first { 2 } else { usize::from(here != last) };
                (0..calls).for_each(|_| function());
            });
        })
    };
    assert_eq!(left_out, Err(NotOnAllCpus::Missing { number: last }));
    // SAFETY: the same. One CPU is not named on purpose.
    let unknown = unsafe {
        let known = &mut participants[..count - 1];
        caches.writeback_invalidate(known, |function| cpus.run(function))
    };
    assert_eq!(unknown, Err(NotOnAllCpus::Unknown { number: last }));
    Outcome::Passed
}

/// Returns a participant for each CPU, followed by some for CPUs that do not exist.
fn participants(cpus: &Cpus) -> [Participant; MOST] {
    let mut numbers = cpus.numbers();
    [(); MOST].map(|()| Participant::new(numbers.next().unwrap_or(u32::MAX)))
}

/// The library must refuse in a guest, and the lane knows which CPUs are guests.
fn on_every_cache(
    name: &str,
    operation: impl FnOnce(WholeCache, &mut [Participant], &Cpus) -> Result<(), NotOnAllCpus>,
) -> Outcome {
    let caches = match WholeCache::ask() {
        Ok(caches) => caches,
        Err(refused) => return Outcome::Skipped(refused.why.reason),
    };
    let cpus = CPUS.0.get_or_init(Cpus::start);
    let count = cpus.numbers().count();
    Machine.print(format_args!("cpus {count}"));
    let mut participants = participants(cpus);
    let mut buffer = Buffer::filled(1);
    black_box(&mut buffer);
    assert_eq!(operation(caches, &mut participants[..count], cpus), Ok(()));
    buffer.assert_intact(name);
    Outcome::Passed
}
