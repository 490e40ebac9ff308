//! The work of reading, according to the documentation of `journal::Reader`: at most 40 times the bytes of the log.

use crate::image::Image;
use cachemaint_journal::Reader;

const LOOKS: u64 = 40;
/// The bytes of roots, which each of two loads reads up to 65 times.
const ROOTS: u64 = 2 * 65 * 4 * 256;

/// Reading costs no more than the documented multiple of the log.
pub(super) fn is_bounded(medium: &Image) {
    let Ok(reader) = Reader::open(medium) else { return };
    let most = LOOKS * reader.capacity() + ROOTS;
    let (_, looks) = medium.cost(|_| drop(reader.verify()));
    assert!(looks <= most, "a verification read {looks} bytes, at most {most} are allowed");
    let (_, looks) = medium.cost(|_| reader.salvage().map(Iterator::count));
    assert!(looks <= most, "a salvage read {looks} bytes, at most {most} are allowed");
    let (_, looks) = medium.cost(|_| reader.records().map(Iterator::count));
    assert!(looks <= most, "reading read {looks} bytes, at most {most} are allowed");
}
