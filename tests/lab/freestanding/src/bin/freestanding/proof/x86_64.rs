//! The steps of ring 0.

use core::hint::black_box;
use core::num::NonZeroUsize;

use cachemaint::Cache;
use cachemaint::whole_cache::{NotOnAllCpus, OwnCaches, WholeCache};
use cachemaint_lab_freestanding::{Buffer, Outcome, Step};
use raw_cpuid::{CpuId, CpuIdReaderNative, ProcessorCapacityAndFeatureInfo as Capacity};

pub(super) const STEPS: [Step; 3] = [
    Step { name: "every cache invalidated", run: every_cache_invalidated },
    Step { name: "every cache written back", run: every_cache_written_back },
    Step { name: "own caches", run: own_caches },
];

/// There is one CPU.
const CPUS: NonZeroUsize = NonZeroUsize::MIN;

fn every_cache_invalidated(_cache: Cache) -> Outcome {
    on_every_cache("wbinvd", |caches| {
        // SAFETY: (1) nothing is concluded of memory; (2), (3) it runs on the one CPU, in ring 0.
        unsafe { caches.writeback_invalidate(CPUS, |run| run()) }
    })
}

/// The executed instruction is the one that CPUID announces.
fn every_cache_written_back(_cache: Cache) -> Outcome {
    let capacity =
        CpuId::with_cpuid_reader(CpuIdReaderNative).get_processor_capacity_feature_info();
    let announced = capacity.as_ref().is_some_and(Capacity::has_wbnoinvd);
    on_every_cache("wbnoinvd", |caches| {
        let (instruction, _) = caches.writeback_instruction();
        assert_eq!(instruction, if announced { "wbnoinvd" } else { "wbinvd" });
        // SAFETY: (1) nothing is concluded of memory; (2) to (4) it runs on the one CPU, in ring 0.
        unsafe { caches.writeback(CPUS, |run| run()) }
    })
}

/// The library must refuse in a guest, and the lane knows the CPUs that are guests.
fn on_every_cache(
    name: &str,
    operation: impl FnOnce(WholeCache) -> Result<(), NotOnAllCpus>,
) -> Outcome {
    let caches = match WholeCache::ask() {
        Ok(caches) => caches,
        Err(refused) => return Outcome::Skipped(refused.why.reason),
    };
    let mut buffer = Buffer::filled(1);
    black_box(&mut buffer);
    assert_eq!(operation(caches), Ok(()));
    buffer.assert_intact(name);
    Outcome::Passed
}

fn own_caches(_cache: Cache) -> Outcome {
    let mut buffer = Buffer::filled(1);
    black_box(&mut buffer);
    // SAFETY: (1) is about arm64.
    match unsafe { OwnCaches::privileged() } {
        // SAFETY: (1) the same CPU, (2) which nothing interrupts.
        Ok(caches) => unsafe { caches.writeback_invalidate() },
        Err(refused) => return Outcome::Skipped(refused.why.reason),
    }
    buffer.assert_intact("wbinvd");
    Outcome::Passed
}
