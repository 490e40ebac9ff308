//! Records that are appended together.

use super::format::record::HEADER;
use super::{checksum_of, head};
use alloc::vec::Vec;

/// Records for [`Journal::append_group`](super::Journal::append_group): one write-back and one fence for all.
///
/// It keeps its memory, so that filling it again allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// The payloads, each padded to words.
    payloads: Vec<u8>,
    lengths: Vec<usize>,
    /// The records as they are in the medium.
    records: Vec<u8>,
}

impl Group {
    /// An empty one.
    #[must_use]
    pub const fn new() -> Self {
        Self { payloads: Vec::new(), lengths: Vec::new(), records: Vec::new() }
    }

    /// Adds a record.
    pub fn push(&mut self, payload: &[u8]) {
        self.payloads.extend_from_slice(payload);
        self.lengths.push(payload.len());
    }

    /// How many records there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Whether there is no record.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// Drops all records.
    pub fn clear(&mut self) {
        self.payloads.clear();
        self.lengths.clear();
    }

    /// Bytes of all records.
    pub(super) fn size(&self, alignment: u64) -> u64 {
        let size = |len: &usize| (HEADER + *len as u64).next_multiple_of(alignment);
        self.lengths.iter().map(size).sum()
    }

    /// The records that begin at a position.
    pub(super) fn seal(&mut self, alignment: u64, position: u64, seed: u32) -> &[u8] {
        let Self { payloads, lengths, records } = self;
        records.clear();
        let mut rest = payloads.as_slice();
        for len in lengths {
            let (payload, others) = rest.split_at(*len);
            rest = others;
            let start = records.len();
            let position = position + start as u64;
            records.extend_from_slice(&[0; HEADER as usize]);
            records.extend_from_slice(payload);
            records.resize(start + HEADER as usize + len.next_multiple_of(8), 0);
            let len = *len as u64;
            let record = &mut records[start..];
            head(record, position, len);
            let checksum = checksum_of(record, seed);
            record[..4].copy_from_slice(&checksum.to_le_bytes());
            records.resize(start + (HEADER + len).next_multiple_of(alignment) as usize, 0);
        }
        records
    }
}
