//! The work of reading, by the documentation of `journal::Reader`: at most 40 times the bytes of the log.

use super::claims::{LOG, Shape};
use crate::image::Image;
use cachemaint::journal::Reader;
use cachemaint::medium::Readable as _;

const LOOKS: u64 = 40;
/// Bytes of superblocks, which are looked at some times.
const SUPERBLOCKS: u64 = 4096;
/// A repair reads all of the medium, and the records three times (its documentation). One more search for records finds
/// the place of the next epoch.
const REPAIR: u64 = 4 * LOOKS;

/// Reading costs no more than the documented multiple of the log.
pub(super) fn is_bounded(medium: &Image, shape: Shape) {
    if let Ok(reader) = Reader::open(medium) {
        let most = LOOKS * reader.capacity() + SUPERBLOCKS;
        let (_, looks) = medium.cost(|_| drop(reader.verify(&mut |_| ())));
        assert!(looks <= most, "a verification looked at {looks} bytes, and may at {most}");
        let (_, looks) = medium.cost(|_| reader.salvage().count());
        assert!(looks <= most, "a salvage looked at {looks} bytes, and may at {most}");
        let (_, looks) = medium.cost(|_| reader.records().count());
        assert!(looks <= most, "reading looked at {looks} bytes, and may at {most}");
    }
    let medium = medium.copy(medium.len() as usize);
    // Without superblocks the first mark is searched for from the beginning on, by two words at each place.
    let most = REPAIR * medium.len().saturating_sub(LOG) + 2 * LOG + SUPERBLOCKS;
    let (_, looks) = medium.cost(|medium| drop(shape.options(1 << 40).repair(medium)));
    assert!(looks <= most, "a repair looked at {looks} bytes, and may at {most}");
}
