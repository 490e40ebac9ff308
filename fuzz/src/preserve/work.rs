//! The work of reading, by the documentation of `preserve::verify`: each byte of blobs is read once.

use super::claims::lives::{self, DATA, Opening};
use crate::image::Image;
use cachemaint::medium::Readable as _;
use cachemaint::preserve::{Reader, Snapshot};

/// Bytes of headers and of the history, which are looked at some times.
const HEADERS: u64 = 10_000;
/// Looks at each byte of a table: three to find a whole copy and read it, one at the other copy. With each entry and page,
/// named by 32 bytes at least, go looks at 128 bytes of headers. If one is damaged, the four of 64 bytes are read twice.
const TABLE: u64 = 4 + (128 + 2 * 256) / 32;
/// Further looks at each byte of a table if the metadata of each entry is copied: one, and headers as for the entry.
const METADATA: u64 = 4;
/// Tags of chunks are read in one piece, and one by one.
const BLOBS: u64 = 2;

/// Looks at a medium to list it, and to verify it or read a blob.
fn most(medium: &Image) -> [u64; 2] {
    let size = medium.len().saturating_sub(DATA as u64);
    let list = TABLE * size + HEADERS;
    [list, list + (BLOBS + TABLE) * size]
}

/// Reading costs no more than the documented multiple of the store.
pub(super) fn is_bounded(medium: &Image) {
    let [list, most] = most(medium);
    let Ok(snapshot) = Snapshot::of(medium) else { return };
    let (_, looks) = medium.cost(|_| drop(snapshot.verify(&mut |_| ())));
    assert!(looks <= most, "a verification looked at {looks} bytes, and may at {most}");
    let Ok(reader) = Reader::open(medium) else { return };
    let (mut entries, mut listed) = (snapshot.entries(), 0);
    loop {
        let (entry, looks) = medium.cost(|_| entries.next());
        listed += looks;
        let Some(entry) = entry else { break };
        let Ok(info) = entry else { continue };
        let mut metadata = vec![0; info.metadata];
        let (_, looks) = medium.cost(|_| drop(entries.metadata(&mut metadata)));
        listed += looks;
        let (_, looks) = medium.cost(|_| drop(reader.load(&info.name)));
        assert!(looks <= most, "{info:?}: {looks} bytes were looked at, and {most} may be");
    }
    let list = list + METADATA * medium.len();
    assert!(listed <= list, "a list looked at {listed} bytes, and may at {list}");
}

/// Opens a store and verifies its blobs. Costs no more than the documented multiple of the store.
pub(super) fn open(medium: &Image) -> Opening {
    let [_, most] = most(medium);
    let (opened, looks) = medium.cost(lives::open);
    assert!(looks <= 2 * most, "opening looked at {looks} bytes, and may at {most} twice");
    opened
}
