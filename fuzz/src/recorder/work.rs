//! The work of reading, by the documentation of `recorder::Reader`: 150 looks at each byte at most.

use crate::image::Image;
use cachemaint::medium::Readable as _;
use cachemaint::recorder::Reader;

const LOOKS: u64 = 150;

/// Reading costs no more than the documented multiple of the file.
pub(super) fn is_bounded(medium: &Image) {
    let Ok(reader) = Reader::open(medium) else { return };
    let most = LOOKS * medium.len();
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
