//! The steps at EL1.

use core::hint::black_box;

use cachemaint::report::CpuReport;
use cachemaint::whole_cache::{OwnCaches, WholeCache};
use cachemaint::{Cache, Point};
use cachemaint_lab_freestanding::{Buffer, Outcome, Step};

pub(super) const STEPS: [Step; 2] = [
    Step { name: "coherency accepted", run: coherency_accepted },
    Step { name: "own caches", run: own_caches },
];

/// On a CPU without DC CVAP, a kernel can accept the point of coherency as that of persistence, if it names it.
fn coherency_accepted(_cache: Cache) -> Outcome {
    let builder = Cache::builder().point(Point::Persistence).accept_coherency_as_persistence();
    // SAFETY: EL1 (1), and one CPU (2).
    let accepting = match unsafe { builder.build_privileged() } {
        Ok(accepting) => accepting,
        Err(why) => return Outcome::Skipped(why.reason),
    };
    let buffer = Buffer::filled(1);
    accepting.writeback(&buffer);
    buffer.assert_intact("coherency accepted");
    assert!(CpuReport::for_cache(accepting).writeback(Point::Persistence).is_ok());
    Outcome::Passed
}

/// Writes back every set and way of every level, according to the registers of this CPU: the effect for a set or way that
/// does not exist can be undefined. This reaches only one CPU, so the library refuses it as a method for all caches.
fn own_caches(_cache: Cache) -> Outcome {
    let mut buffer = Buffer::filled(1);
    black_box(&mut buffer);
    // SAFETY: (1) EL1, and no hypervisor.
    match unsafe { OwnCaches::privileged() } {
        // SAFETY: (1) the same CPU, (2) which nothing interrupts.
        Ok(caches) => unsafe { caches.writeback_invalidate() },
        Err(refused) => return Outcome::Skipped(refused.why.reason),
    }
    buffer.assert_intact("dc cisw");
    assert!(WholeCache::ask().is_err(), "it reaches one CPU");
    Outcome::Passed
}
