//! Write-back of records and superblocks that were read, and may not be on the medium.

use super::format::WORD;
use super::format::geometry::{Geometry, LOG};
use crate::medium::{Granularity, Medium};
use core::hint;
use core::ops::Range;
use core::sync::atomic::Ordering::Relaxed;

/// Persists a range of positions that was read.
pub(super) fn persist<M: Medium>(
    medium: &M,
    geometry: &Geometry,
    range: Range<u64>,
) -> Result<(), M::Error> {
    let (at, len) = (geometry.place(range.start), range.end - range.start);
    let first = len.min(geometry.bytes() - at);
    writeback(medium, at..at + first)?;
    writeback(medium, LOG..LOG + len - first)?;
    medium.fence();
    Ok(())
}

/// Issues the write-back of offsets that were read. After a failed write-back the operating system takes its pages for
/// written, and shows their bytes. So they are stored once more.
pub(super) fn writeback<M: Medium>(medium: &M, range: Range<u64>) -> Result<(), M::Error> {
    if matches!(medium.granularity(), Granularity::Page(_)) {
        for at in range.clone().step_by(WORD as usize) {
            // No compiler may find out that the store changes nothing.
            medium.store(at, hint::black_box(medium.load(at, Relaxed)), Relaxed);
        }
    }
    medium.issue_writeback(range)
}
