//! The steps at EL1.

use cachemaint::report::CpuReport;
use cachemaint::{Cache, Point};
use cachemaint_lab_freestanding::{Buffer, Outcome, Step};

pub(super) const STEPS: [Step; 1] = [Step { name: "coherency accepted", run: coherency_accepted }];

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
