//! The records of one sub-buffer: those with a valid tag.

use crate::format::{self, Description, HEADER, Header, RECORD, TAGGED, record_len};
use crate::found::{Event, Skipped, SkippedKind};
use cachemaint::medium::Readable;
use cachemaint_format::bounds::Patience;
use cachemaint_format::tag;
use core::sync::atomic::Ordering;

/// The number of bytes that are read at a time for verification.
const CHUNK: usize = 256;

/// A sub-buffer that is being read, with bounded work for any bytes.
#[derive(Debug)]
pub(crate) struct SubBuffer {
    pub(super) header: Header,
    /// The key of the tags of its records.
    key: u64,
    /// Its offset in the medium.
    start: u64,
    pub(super) size: u64,
    /// The offset up to which it has been read.
    pub(super) offset: u64,
    /// The offset of the last record that was returned.
    found: u64,
    /// The number of bytes that may still be verified in vain.
    patience: Patience,
    /// True if some bytes since the last record could not be read.
    pub(super) is_unreadable: bool,
    /// The first bytes after the tag of the last verified record: all of them if it is short.
    chunk: [u8; CHUNK],
}

impl SubBuffer {
    pub(crate) fn new(description: &Description, header: Header) -> Self {
        let Header { shard, sequence, generation, .. } = header;
        let (geometry, size) = (description.geometry(), u64::from(description.sub_buffer_size));
        Self {
            header,
            key: description.key(shard, generation, sequence),
            start: geometry.sub_buffer(shard, sequence),
            size,
            offset: HEADER,
            found: HEADER,
            patience: Patience::with(size),
            is_unreadable: false,
            chunk: [0; CHUNK],
        }
    }

    /// Moves past the next record, if it verifies. Returns its timestamp.
    #[inline]
    pub(super) fn next<S: Readable>(&mut self, source: &S) -> Option<u64> {
        self.found = self.offset;
        self.offset += self.record(source, self.offset)?;
        Some(self.word(1))
    }

    /// Returns the offset of the first record at or after an offset that verifies.
    pub(super) fn find<S: Readable>(&mut self, source: &S, from: u64) -> Option<u64> {
        (from..self.size).step_by(8).find(|offset| self.record(source, *offset).is_some())
    }

    /// Returns the length of the record at an offset, if it verifies.
    #[inline]
    pub(crate) fn record<S: Readable>(&mut self, source: &S, offset: u64) -> Option<u64> {
        if offset + RECORD > self.size {
            return None;
        }
        let at = self.start + offset;
        // Most places differ from any record in this word, and are left without checking the tag.
        let word = self.unless_unreadable(source.try_load(at + 8, Ordering::Relaxed))?;
        let (_, payload, named) = format::parts(word);
        let len = record_len(payload.into());
        if named != offset || offset + len > self.size || self.patience.is_over() {
            return None;
        }
        let tag = self.unless_unreadable(source.try_load(at, Ordering::Acquire))?;
        let found = self.tag_of(source, at + 8, len as usize - 8);
        // The word was read again with the bytes, and the tag matches that second read.
        if self.unless_unreadable(found) == Some(tag) && self.word(0) == word {
            return Some(len);
        }
        self.spend(len);
        None
    }

    /// Returns the tag of bytes, and keeps the first ones in the chunk.
    fn tag_of<S: Readable>(&mut self, source: &S, from: u64, len: usize) -> Result<u64, S::Error> {
        let first = &mut self.chunk[..len.min(CHUNK)];
        source.read(from, first)?;
        if len <= CHUNK {
            return Ok(tag::of(self.key, first));
        }
        let (mut tag, mut bytes) = (tag::Running::new(self.key), [0; CHUNK]);
        tag.append(first);
        for done in (CHUNK..len).step_by(CHUNK) {
            let piece = &mut bytes[..CHUNK.min(len - done)];
            source.read(from + done as u64, piece)?;
            tag.append(piece);
        }
        Ok(tag.finish())
    }

    /// Copies the payload of the record that [`next`](Self::next) has found. Returns false if the payload has changed
    /// since.
    pub(super) fn copy<S: Readable>(&self, source: &S, buffer: &mut [u8]) -> bool {
        let (_, len, _) = format::parts(self.word(0));
        let payload = &mut buffer[..usize::from(len).next_multiple_of(8)];
        if let Some(verified) = self.chunk[TAGGED..].get(..payload.len()) {
            payload.copy_from_slice(verified);
            return true;
        }
        // The chunk has only its beginning.
        let at = self.start + self.found;
        if source.read(at + RECORD, payload).is_err() {
            return false;
        }
        let mut tag = tag::Running::new(self.key);
        tag.append(&self.chunk[..TAGGED]);
        tag.append(payload);
        source.try_load(at, Ordering::Acquire).is_ok_and(|found| found == tag.finish())
    }

    /// Returns that record as an event, with its payload in the buffer.
    pub(super) fn event<'b>(&self, buffer: &'b [u8]) -> Event<'b> {
        let Header { shard, sequence, generation, wall, .. } = self.header;
        let ((id, len, _), timestamp) = (format::parts(self.word(0)), self.word(1));
        Event {
            shard,
            sequence,
            generation,
            at: self.start + self.found,
            id,
            timestamp,
            wall: (wall > 0).then(|| self.header.pace().wall_at(timestamp)),
            payload: &buffer[..len.into()],
        }
    }

    /// Returns one of the first words of the chunk.
    fn word(&self, number: usize) -> u64 {
        u64::from_le_bytes(self.chunk.as_chunks().0[number])
    }

    /// Moves back to that record.
    pub(super) const fn back(&mut self) {
        self.offset = self.found;
    }

    /// Returns the bytes up to `end` as a gap, and moves past them.
    pub(super) const fn skip(&mut self, end: u64, kind: SkippedKind) -> Skipped {
        let (at, len) = (self.start + self.offset, end - self.offset);
        self.offset = end;
        let Header { shard, sequence, .. } = self.header;
        Skipped { shard, sequence: Some(sequence), at, len, kind }
    }

    /// Returns the bytes read. Remembers it if they could not be read.
    fn unless_unreadable<T, E>(&mut self, read: Result<T, E>) -> Option<T> {
        self.is_unreadable |= read.is_err();
        read.ok()
    }

    /// Counts bytes that were verified in vain.
    pub(super) const fn spend(&mut self, bytes: u64) {
        self.patience.spend(bytes);
    }
}
