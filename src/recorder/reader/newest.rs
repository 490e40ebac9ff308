//! The end of a shard, after which an opening goes on.

use super::search::Search;
use super::sub_buffer::SubBuffer;
use super::{HEADER, Header, Reader};
use crate::medium::Readable;
use crate::recorder::format::record_len;

impl<S: Readable> Reader<S> {
    /// Returns the position after the last record of a shard; 0 if the shard has no sub-buffer.
    ///
    /// # Cost
    /// Each slot after the newest sub-buffer is searched, unless its header is valid. Beside an older header the first record
    /// is read. The bytes of an unused one are read once. So are those of the newest sub-buffer.
    pub(in crate::recorder) fn end(&self, shard: u32) -> u64 {
        let Some(SubBuffer { header, .. }) = self.newest(shard) else { return 0 };
        let (Header { generation, sequence, .. }, description) = (header, &self.description);
        let geometry = description.geometry();
        let key = description.key(shard, generation, sequence);
        let mut search = Search::new(geometry, geometry.sub_buffer(shard, sequence));
        let mut end = HEADER;
        while let Some((offset, record)) = self.find(&mut search, end, key) {
            end = offset + record_len(record.len.into());
        }
        sequence * u64::from(geometry.size) + end
    }

    /// Returns the newest sub-buffer of a shard: that of the newest valid header, or a later one that is found by its
    /// records.
    fn newest(&self, shard: u32) -> Option<SubBuffer> {
        let header = self.newest_header(shard)?;
        // The last one is in the slot of the newest header.
        let lap = header.sequence + 1..=header.sequence + u64::from(self.description.sub_buffers);
        let found = |sequence: u64| {
            let found = self.sub_buffer(shard, sequence, &header, None);
            found.filter(|found| found.sequence() == sequence)
        };
        // Sub-buffers in between may be lost.
        let later = lap.rev().find_map(found);
        Some(later.unwrap_or(SubBuffer { header, is_inferred: false }))
    }
}
