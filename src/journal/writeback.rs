//! Write-back of records that were read, and may not be on the medium.

use super::format::geometry::{Geometry, LOG};
use crate::format::rewritten::writeback;
use crate::medium::Medium;
use core::ops::Range;

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
