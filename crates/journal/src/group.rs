//! Records that are appended together.

use super::geometry::{Geometry, HEADER, MARK, Placement};
use super::record::{self, Kind, Mark, header};
use alloc::vec::Vec;

/// Records for [`Journal::append_group`](super::Journal::append_group), which writes them back together.
///
/// A group keeps its memory, so refilling it does not allocate. The example of [`Journal::trim`](super::Journal::trim)
/// uses one.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// The payloads, each padded to words.
    payloads: Vec<u8>,
    lengths: Vec<usize>,
    /// The records as they are stored in the medium.
    records: Vec<u8>,
}

impl Group {
    /// Returns an empty group.
    #[must_use]
    pub const fn new() -> Self {
        Self { payloads: Vec::new(), lengths: Vec::new(), records: Vec::new() }
    }

    /// Adds a record. It takes 16 bytes plus its payload, rounded up to the journal's alignment. The whole group must
    /// fit into a segment.
    pub fn push(&mut self, payload: &[u8]) {
        self.payloads.extend_from_slice(payload);
        self.lengths.push(payload.len());
    }

    /// Drops all records.
    pub(super) fn clear(&mut self) {
        self.payloads.clear();
        self.lengths.clear();
    }

    /// Returns the bytes of all records.
    pub(super) fn size(&self, alignment: u64) -> u64 {
        let size = |len: &usize| (HEADER + *len as u64).next_multiple_of(alignment);
        self.lengths.iter().map(size).sum()
    }

    /// Returns the bytes of the records at a placement, and of the mark before them.
    pub(super) fn seal(
        &mut self,
        geometry: &Geometry,
        placement: &Placement,
        key: u64,
        mark: Option<&[u8; Mark::SIZE]>,
    ) -> &[u8] {
        let Self { payloads, lengths, records } = self;
        records.clear();
        if let Some(mark) = mark {
            records.extend_from_slice(mark);
            records.resize(geometry.size(MARK) as usize, 0);
        }
        let begin = records.len();
        let mut rest = payloads.as_slice();
        for len in lengths {
            let (payload, others) = rest.split_at(*len);
            rest = others;
            let start = records.len();
            let position = placement.record + (start - begin) as u64;
            // A record does not vouch for earlier records of its own group.
            let second = record::second_word(Kind::Data, placement.durable, *len as u64, position);
            records.extend_from_slice(&header(key, second, position, payload));
            records.extend_from_slice(payload);
            records.resize(start + geometry.size(*len as u64) as usize, 0);
        }
        records
    }
}
