//! Searching for records with a valid tag.

use super::Reader;
use crate::format::{self, Geometry, RECORD, record_len};
use cachemaint::medium::Readable;
use cachemaint_format::tag;
use core::ops::Range;
use core::sync::atomic::Ordering;

/// A record with a valid tag.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub(super) id: u16,
    pub(super) len: u16,
    pub(super) timestamp: u64,
}

impl<S: Readable> Reader<S> {
    /// Returns the first record of a sub-buffer at or after an offset that verifies with this key, and its offset.
    pub(super) fn find(&self, search: &mut Search, from: u64, key: u64) -> Option<(u64, Record)> {
        let mut places = (from..=search.size - RECORD).step_by(8);
        places.find_map(|offset| Some((offset, self.record(search, offset, key)?)))
    }

    /// Returns the record at an offset of a sub-buffer, if it verifies with this key.
    pub(crate) fn record(&self, search: &mut Search, offset: u64, key: u64) -> Option<Record> {
        let at = search.start + offset;
        // Most places differ from any record in this word, and are left without checking the tag.
        let word = search.read(self.source.try_load(at + 8, Ordering::Relaxed))?;
        let (id, len, named) = format::parts(word);
        let end = offset + record_len(usize::from(len));
        if named != offset || end > search.size || search.patience == 0 {
            return None;
        }
        let tag = search.read(self.source.try_load(at, Ordering::Acquire))?;
        match self.proved(search, at + 8..search.start + end, tag, key) {
            // The word was read again with the bytes, and the tag matches that second read.
            Some(timestamp) if search.chunk[..8] == word.to_le_bytes() => {
                Some(Record { id, len, timestamp })
            }
            _ => {
                search.spend(end - offset);
                None
            }
        }
    }

    /// Returns the timestamp of a record if the tag matches these bytes, which are all bytes of the record after the
    /// tag. The chunk then holds the first of them.
    fn proved(&self, search: &mut Search, bytes: Range<u64>, tag: u64, key: u64) -> Option<u64> {
        let (from, len_in_all) = (bytes.start, (bytes.end - bytes.start) as usize);
        let first = len_in_all.min(CHUNK);
        let read = self.source.read(from, &mut search.chunk[..first]);
        search.read(read)?;
        let found = if len_in_all <= CHUNK {
            tag::of(key, &search.chunk[..first])
        } else {
            search.read(self.long_tag(from, len_in_all, key))?
        };
        let timestamp = u64::from_le_bytes(*search.chunk[8..].first_chunk()?);
        (found == tag).then_some(timestamp)
    }

    /// Returns the tag of more bytes than are read at a time.
    fn long_tag(&self, from: u64, len: usize, key: u64) -> Result<u64, S::Error> {
        let (mut tag, mut bytes) = (tag::Running::new(key), [0; CHUNK]);
        for done in (0..len).step_by(CHUNK) {
            let piece = &mut bytes[..CHUNK.min(len - done)];
            self.source.read(from + done as u64, piece)?;
            tag.append(piece);
        }
        Ok(tag.finish())
    }
}

/// The number of times that the bytes of a sub-buffer may be verified in vain. Records with another key that fill the sub-buffer
/// need this once. Only crafted bytes need more: records nested inside one another.
const PATIENCE: u64 = 2;

/// A search for records in a sub-buffer, with bounded work for any bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Search {
    /// The offset of the sub-buffer.
    pub(super) start: u64,
    pub(super) size: u64,
    /// The number of bytes that may still be verified in vain.
    patience: u64,
    /// True if some bytes since the last record could not be read.
    pub(super) is_unreadable: bool,
    /// The first bytes after the tag of the last verified record: all of them if it is short.
    pub(super) chunk: [u8; CHUNK],
}

impl Search {
    pub(crate) const fn new(geometry: Geometry, start: u64) -> Self {
        let size = geometry.size as u64;
        Self { start, size, patience: PATIENCE * size, is_unreadable: false, chunk: [0; CHUNK] }
    }

    /// Returns the bytes read. Remembers it if they could not be read.
    fn read<T, E>(&mut self, read: Result<T, E>) -> Option<T> {
        self.is_unreadable |= read.is_err();
        read.ok()
    }

    /// Counts `len` bytes that were verified in vain.
    pub(super) const fn spend(&mut self, len: u64) {
        self.patience = self.patience.saturating_sub(len);
    }
}

/// The number of bytes that are read at a time for verification.
pub(super) const CHUNK: usize = 256;
