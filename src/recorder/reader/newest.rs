//! The end of a shard, after which an opening goes on.

use super::search::Search;
use super::sub_buffer::SubBuffer;
use super::{HEADER, Header, Reader};
use crate::format::data::{BLOCK, Data};
use crate::medium::Readable;
use crate::recorder::format::record_len;
use core::ops::Range;

impl<S: Readable> Reader<S> {
    /// Returns the position after the last record of a shard; 0 if the shard has no sub-buffer.
    ///
    /// # Cost
    /// Each slot after the newest sub-buffer is searched, unless its header is valid. Beside an older header the first record
    /// is read. The bytes of an unused one are read once, unless they are a hole of a file. So are those of the newest sub-buffer.
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
        let next = header.sequence + 1;
        let lap = next..next + u64::from(self.description.sub_buffers);
        let found = |sequence: u64| {
            let found = self.sub_buffer(shard, sequence, &header, None);
            found.filter(|found| found.sequence() == sequence)
        };
        // Sub-buffers in between may be lost.
        let later = Backwards::new(self, shard, lap).find_map(found);
        Some(later.unwrap_or(SubBuffer { header, is_inferred: false }))
    }
}

/// An iterator over the sequence numbers of a range whose slots can have data, the highest first.
///
/// The kernel finds data in the other direction. So it is asked for the slots below: for twice as many each time, as long as
/// all of them are in a hole, and then for half of them.
struct Backwards<'r, S> {
    reader: &'r Reader<S>,
    shard: u32,
    /// The rest of the range.
    rest: Range<u64>,
    /// The number of slots for which the kernel is asked next.
    width: u64,
    /// The number of slots for which it is not asked.
    known: u64,
}

impl<'r, S: Readable> Backwards<'r, S> {
    const fn new(reader: &'r Reader<S>, shard: u32, range: Range<u64>) -> Self {
        Self { reader, shard, rest: range, width: 1, known: 0 }
    }
}

impl<S: Readable> Iterator for Backwards<'_, S> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let (source, geometry) = (&self.reader.source, self.reader.description.geometry());
        while !self.rest.is_empty() && self.known == 0 {
            let Range { start, end } = self.rest;
            // They are one after the other in the medium.
            let asked = self.width.min(end - start).min(geometry.slot(end - 1) + 1);
            let first = geometry.slot(end - asked);
            let empty = geometry.empty_slots(source, &mut Data::new(), self.shard, first);
            if empty >= asked {
                self.rest.end = end - asked;
                self.width = 2 * asked;
            } else if asked > 1 {
                self.width = asked / 2;
            } else {
                // The other slots of its block may have data.
                let at = geometry.sub_buffer(self.shard, first);
                self.known = (1 + at % BLOCK / u64::from(geometry.size)).min(asked + first);
            }
        }
        self.known = self.known.saturating_sub(1);
        self.rest.next_back()
    }
}
