//! Tags of ranges of a medium, which are read in pieces.

use crate::format::tag::Running;
use crate::medium::Readable;
use core::ops::Range;

/// Bytes that are read at a time where they are not asked for.
const PIECE: usize = 1024;

/// Returns the tag of a range of the medium.
pub(super) fn tag_of<R: Readable>(
    medium: &R,
    key: u64,
    range: Range<u64>,
) -> Result<u64, R::Error> {
    let mut running = Running::new(key);
    append(medium, range, &mut running)?;
    Ok(running.finish())
}

/// Goes on over a range of the medium.
pub(super) fn append<R: Readable>(
    medium: &R,
    range: Range<u64>,
    running: &mut Running,
) -> Result<(), R::Error> {
    let mut at = range.start;
    let mut piece = [0; PIECE];
    while at < range.end {
        let bytes = (range.end - at).min(PIECE as u64) as usize;
        medium.read(at, &mut piece[..bytes])?;
        running.append(&piece[..bytes]);
        at += bytes as u64;
    }
    Ok(())
}
