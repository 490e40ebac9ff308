//! The work of reading, by the documentation of `journal::Reader`: at most 40 times the bytes of the log.

use crate::image::Image;
use cachemaint_journal::Reader;

const LOOKS: u64 = 40;
/// Bytes of roots, which are looked at up to 65 times by each of two loads.
const ROOTS: u64 = 2 * 65 * 4 * 256;

/// Reading costs no more than the documented multiple of the log.
pub(super) fn is_bounded(medium: &Image) {
    let Ok(reader) = Reader::open(medium) else { return };
    let most = LOOKS * reader.capacity() + ROOTS;
    let (_, looks) = medium.cost(|_| drop(reader.verify(&mut |_| ())));
    assert!(looks <= most, "a verification looked at {looks} bytes, and may at {most}");
    let (_, looks) = medium.cost(|_| reader.salvage().map(Iterator::count));
    assert!(looks <= most, "a salvage looked at {looks} bytes, and may at {most}");
    let (_, looks) = medium.cost(|_| reader.records().map(Iterator::count));
    assert!(looks <= most, "reading looked at {looks} bytes, and may at {most}");
}
