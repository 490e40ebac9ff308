//! The step in ring 0.

use core::cell::OnceCell;
use core::hint::black_box;

use cachemaint::Cache;
use cachemaint::whole_cache::WholeCache;
use cachemaint_lab_freestanding::image::cpus::Cpus;
use cachemaint_lab_freestanding::image::{Machine, OneCpu};
use cachemaint_lab_freestanding::{Board as _, Buffer, Outcome, Step};

pub(super) const STEPS: [Step; 1] =
    [Step { name: "every cache invalidated", run: every_cache_invalidated }];

/// The CPUs, started by the step.
static CPUS: OneCpu<OnceCell<Cpus>> = OneCpu(OnceCell::new());

/// The library must refuse in a guest, and the lane knows which CPUs are guests.
fn every_cache_invalidated(_cache: Cache) -> Outcome {
    let caches = match WholeCache::ask() {
        Ok(caches) => caches,
        Err(refused) => return Outcome::Skipped(refused.why.reason),
    };
    let cpus = CPUS.0.get_or_init(Cpus::start);
    Machine.print(format_args!("cpus {}", cpus.numbers().count()));
    let mut buffer = Buffer::filled(1);
    black_box(&mut buffer);
    // SAFETY: (1) nothing is concluded of memory; (2) it runs in ring 0, and nothing moves it.
    cpus.run(&|| unsafe { caches.writeback_invalidate() });
    buffer.assert_intact("wbinvd");
    Outcome::Passed
}
