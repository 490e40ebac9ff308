//! Write-back of bytes that were read, and may not be on the medium.

use cachemaint::medium::{Granularity, Medium};
use core::hint;
use core::ops::Range;
use core::sync::atomic::Ordering::Relaxed;

/// The size of a word in bytes.
const WORD: usize = 8;

/// Issues the write-back of whole words that were read. After a failed write-back the operating system takes its pages for
/// written, and shows their bytes. So they are stored once more.
pub fn writeback<M: Medium>(medium: &M, range: Range<u64>) -> Result<(), M::Error> {
    if matches!(medium.granularity(), Granularity::Page(_)) {
        for at in range.clone().step_by(WORD) {
            let Ok(word) = medium.try_load(at, Relaxed) else {
                medium.check()?;
                continue;
            };
            // No compiler may find out that the store changes nothing.
            medium.store(at, hint::black_box(word), Relaxed);
        }
    }
    medium.issue_writeback(range)
}
