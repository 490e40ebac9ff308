//! Write-back of bytes that were read but may not be on the medium.

use super::geometry::WORD;
use cachemaint::medium::Medium;
use cachemaint_format::unreadable::readable;
use core::hint;
use core::ops::Range;
use core::sync::atomic::Ordering::Relaxed;

/// Issues the write-back of whole words that were read, after storing them once more. After a failed write-back the
/// operating system marks its pages as clean and still shows their bytes. Leaves out pages that cannot be read.
pub(super) fn writeback<M: Medium>(medium: &M, range: Range<u64>) -> Result<(), M::Error> {
    let is_by_pages = medium.granularity().is_by_pages();
    for part in readable(medium, range) {
        for at in part.clone().step_by(WORD as usize).take_while(|_| is_by_pages) {
            let Ok(word) = medium.try_load(at, Relaxed) else {
                medium.check()?;
                continue;
            };
            // The compiler must not find out that the store changes nothing.
            medium.store(at, hint::black_box(word), Relaxed);
        }
        medium.issue_writeback(part)?;
    }
    Ok(())
}
