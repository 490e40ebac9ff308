//! The work of reading, by the documentation of `recorder::Reader`: at most 180 times the bytes of the sub-buffers.

use super::claims::BASE;
use crate::image::Image;
use cachemaint::medium::Readable as _;
use cachemaint::recorder::Reader;

const LOOKS: u64 = 180;
/// Bytes of the counts of losses and of descriptors, which are looked at some times.
const HEADERS: u64 = 4096;

/// Reading costs no more than the documented multiple of the file.
pub(super) fn is_bounded(medium: &Image) {
    let Ok(reader) = Reader::open(medium) else { return };
    let most = LOOKS * medium.len().saturating_sub(BASE as u64) + HEADERS;
    let mut buffer = vec![0; reader.largest_payload()];
    let (_, looks) = medium.cost(|_| {
        for shard in 0..reader.description().shards {
            let mut events = reader.shard(shard);
            while events.read_next(&mut buffer).is_some() {}
        }
    });
    assert!(looks <= most, "shards: {looks} bytes were looked at, and {most} may be");
    let (_, looks) = medium.cost(|_| {
        let mut events = reader.events();
        while events.read_next(&mut buffer).is_some() {}
    });
    assert!(looks <= most, "merged: {looks} bytes were looked at, and {most} may be");
}
