//! The work of reading, by the documentation of `preserve::verify`: each byte of blobs is read once.

use super::claims::lives::{DATA, options};
use crate::image::Image;
use cachemaint::medium::Readable as _;
use cachemaint::preserve::{Reader, Snapshot, Verify};

/// Bytes of headers and of the history, which are looked at some times.
const HEADERS: u64 = 10_000;
/// Looks at each byte of a table: three to find a whole copy and read it, one at the other copy. With each entry and page,
/// named by 32 bytes at least, go looks at four headers of 64 bytes, which are read twice if one is damaged.
const TABLE: u64 = 4 + 2 * 256 / 32;
/// Tags of chunks are read in one piece, and one by one.
const BLOBS: u64 = 2;

/// Reading costs no more than the documented multiple of the store.
pub(super) fn is_bounded(medium: &Image) {
    let (len, size) = (medium.len() as usize, medium.len().saturating_sub(DATA as u64));
    let Ok(snapshot) = Snapshot::of(medium) else { return };
    let (_, looks) = medium.cost(|_| snapshot.entries().count());
    let most = TABLE * size + HEADERS;
    assert!(looks <= most, "a list looked at {looks} bytes, and may at {most}");
    let most = BLOBS * size + 2 * TABLE * size + HEADERS;
    let (_, looks) = medium.cost(|_| drop(snapshot.verify(&mut |_| ())));
    assert!(looks <= most, "a verification looked at {looks} bytes, and may at {most}");
    let Ok(reader) = Reader::open(medium) else { return };
    for info in snapshot.entries().map_while(Result::ok) {
        let (_, looks) = medium.cost(|_| drop(reader.load(&info.name)));
        assert!(looks <= most, "{info:?}: {looks} bytes were looked at, and {most} may be");
    }
    let medium = medium.copy(len);
    let open = |medium: &Image| drop(options().verify(Verify::Always).open(medium.clone()));
    let (_, looks) = medium.cost(open);
    assert!(looks <= 2 * most, "opening looked at {looks} bytes, and may at {most} twice");
}
