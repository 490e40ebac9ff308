//! Writing blobs: to free space, with checksums, in bounded memory.

use super::error::Error;
use super::format::{CHUNK, SUM, chunks, occupied, sums};
use super::transaction::{Attributes, Transaction};
use crate::checksum;
use crate::medium::{Granularity, Medium};
use alloc::vec::Vec;
use core::ops::Range;

/// Bytes that are written in one go, while they are in the CPU's nearest cache for the checksum.
const PIECE: usize = 4096;
/// What is stored a line at a time, where it ends within one.
const LINE: usize = 64;

/// Bytes of which the operating system is asked at once to write them back, where that is its task: each call waits
/// for the storage.
const PAGES: u64 = 16 << 20;

/// Writes a blob as a whole, and returns its checksum. A fence makes it durable.
pub(super) fn write_whole<M: Medium>(medium: &M, at: u64, bytes: &[u8]) -> Result<u32, M::Error> {
    let mut stream = Stream::new(medium, at);
    stream.write(medium, bytes)?;
    stream.finish(medium)
}

/// A blob that is being written: its bytes, and their checksums.
#[derive(Debug)]
struct Stream {
    /// Where it begins.
    start: u64,
    pieces: Pieces,
    sums: Sums,
}

impl Stream {
    fn new<M: Medium>(medium: &M, start: u64) -> Self {
        Self { start, pieces: Pieces::new(medium, start), sums: Sums::default() }
    }

    /// Bytes that were written.
    const fn len(&self) -> u64 {
        self.sums.len
    }

    /// Writes more, which is whole pieces if it is not the end: whole chunks at once, where one begins.
    fn write<M: Medium>(&mut self, medium: &M, bytes: &[u8]) -> Result<(), M::Error> {
        let mut rest = bytes;
        while self.len().is_multiple_of(CHUNK)
            && let Some((chunk, behind)) = rest.split_at_checked(CHUNK as usize)
        {
            self.sums.add_chunk(self.pieces.write_chunk(medium, chunk)?);
            rest = behind;
        }
        for piece in rest.chunks(PIECE) {
            self.pieces.write(medium, piece)?;
            self.sums.add(piece);
        }
        Ok(())
    }

    /// Issues what is left, and returns the checksum of the blob.
    fn finish<M: Medium>(&mut self, medium: &M) -> Result<u32, M::Error> {
        self.pieces.finish(medium)?;
        core::mem::take(&mut self.sums).finish(medium, self.start)
    }
}

/// Pieces that are written one behind the other, from a multiple of a line on.
#[derive(Debug)]
struct Pieces {
    /// Whether the operating system writes them back.
    is_by_pages: bool,
    /// Where the next one begins.
    at: u64,
    /// Up to where write-back was issued.
    issued: u64,
}

impl Pieces {
    fn new<M: Medium>(medium: &M, at: u64) -> Self {
        let is_by_pages = matches!(medium.granularity(), Granularity::Page(_));
        Self { is_by_pages, at, issued: at }
    }

    /// Writes one, with zeros up to the next word if it is the last.
    fn write<M: Medium>(&mut self, medium: &M, piece: &[u8]) -> Result<(), M::Error> {
        let (lines, rest) = piece.split_at(piece.len() / LINE * LINE);
        let mut last = [0; LINE];
        last[..rest.len()].copy_from_slice(rest);
        let last = &last[..rest.len().next_multiple_of(8)];
        let behind = self.at + lines.len() as u64;
        self.put(medium, &[(self.at, lines), (behind, last)])?;
        self.at = behind + last.len() as u64;
        if self.at - self.issued >= PAGES { self.finish(medium) } else { Ok(()) }
    }

    /// Writes a whole chunk, and returns its checksum.
    fn write_chunk<M: Medium>(&mut self, medium: &M, chunk: &[u8]) -> Result<u32, M::Error> {
        if self.is_by_pages {
            self.write(medium, chunk)?;
            return Ok(checksum::append(0, chunk));
        }
        let sum = medium.copy_crc32c(self.at, chunk)?;
        self.at += CHUNK;
        self.issued = self.at;
        Ok(sum)
    }

    fn put<M: Medium>(&mut self, medium: &M, parts: &[(u64, &[u8])]) -> Result<(), M::Error> {
        let parts = parts.iter().filter(|(_, bytes)| !bytes.is_empty());
        if self.is_by_pages {
            for (at, bytes) in parts {
                medium.write(*at, bytes);
            }
            return Ok(());
        }
        for part in parts {
            medium.copy_unfenced(core::slice::from_ref(part))?;
            self.issued = part.0 + part.1.len() as u64;
        }
        Ok(())
    }

    /// Issues the write-back of what has none yet.
    fn finish<M: Medium>(&mut self, medium: &M) -> Result<(), M::Error> {
        let range = core::mem::replace(&mut self.issued, self.at)..self.at;
        if range.is_empty() { Ok(()) } else { medium.writeback(range) }
    }
}

/// The checksums of a blob's chunks, as they come.
#[derive(Debug, Default)]
struct Sums {
    /// Of whole chunks.
    done: Vec<u8>,
    /// Of the one under way.
    sum: u32,
    /// Bytes that were added.
    len: u64,
}

impl Sums {
    /// Adds bytes that do not lead out of the chunk.
    fn add(&mut self, bytes: &[u8]) {
        self.sum = checksum::append(self.sum, bytes);
        self.len += bytes.len() as u64;
        if self.len.is_multiple_of(CHUNK) {
            self.end_chunk();
        }
    }

    /// Adds a whole chunk, of which this is the checksum, where one begins.
    fn add_chunk(&mut self, sum: u32) {
        (self.sum, self.len) = (sum, self.len + CHUNK);
        self.end_chunk();
    }

    fn end_chunk(&mut self) {
        self.done.extend_from_slice(&self.sum.to_le_bytes());
        self.sum = 0;
    }

    /// Writes the checksums behind their blob, which begins at `at`, if it has more than one chunk; returns that
    /// of the blob.
    fn finish<M: Medium>(mut self, medium: &M, at: u64) -> Result<u32, M::Error> {
        if !self.len.is_multiple_of(CHUNK) {
            self.end_chunk();
        }
        let range = sums(self.len);
        if range.is_empty() {
            return Ok(self.done.first_chunk().map_or(0, |sum| u32::from_le_bytes(*sum)));
        }
        let checksum = checksum::append(0, &self.done);
        self.done.resize(self.done.len().next_multiple_of(8), 0);
        medium.copy_unfenced(&[(at + range.start, &self.done)])?;
        Ok(checksum)
    }
}

/// A blob that is written piece by piece. See [`Transaction::writer`].
///
/// It takes 4 KiB of memory, and 4 bytes for each 64 KiB that were written. If it is dropped before it is
/// finished, nothing is put.
#[derive(Debug)]
pub struct Writer<'t, 's, 'a, M: Medium> {
    transaction: &'t mut Transaction<'s, M>,
    attributes: Attributes<'a>,
    place: Range<u64>,
    said: Option<u64>,
    /// What does not fill a piece yet.
    buffer: Vec<u8>,
    stream: Stream,
    is_finished: bool,
    /// Whether the medium failed, so that something is missing.
    has_failed: bool,
}

impl<'t, 's, 'a, M: Medium> Writer<'t, 's, 'a, M> {
    pub(super) fn new(
        transaction: &'t mut Transaction<'s, M>,
        attributes: Attributes<'a>,
        place: Range<u64>,
        said: Option<u64>,
    ) -> Self {
        let stream = Stream::new(transaction.medium(), place.start);
        Self {
            transaction,
            attributes,
            place,
            said,
            buffer: Vec::new(),
            stream,
            is_finished: false,
            has_failed: false,
        }
    }

    /// Bytes that were given to it.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.stream.len() + self.buffer.len() as u64
    }

    /// Writes more of the blob.
    ///
    /// # Errors
    /// [`Error::Full`], if its length was not known and there is no room for more; [`Error::Length`], if it is
    /// more than was said. Nothing of these bytes is written then. If the medium fails.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error<M::Error>> {
        self.check(self.written().saturating_add(bytes.len() as u64))?;
        let mut rest = bytes;
        if !self.buffer.is_empty() {
            let (first, behind) = rest.split_at(rest.len().min(PIECE - self.buffer.len()));
            self.buffer.extend_from_slice(first);
            rest = behind;
            if self.buffer.len() < PIECE {
                return Ok(());
            }
            let buffer = core::mem::take(&mut self.buffer);
            self.put(&buffer)?;
            self.buffer = buffer;
            self.buffer.clear();
        }
        let (pieces, last) = rest.split_at(rest.len() / PIECE * PIECE);
        self.put(pieces)?;
        self.buffer.extend_from_slice(last);
        Ok(())
    }

    /// Takes the blob into the transaction.
    ///
    /// # Errors
    /// [`Error::Length`], if it is less than was said; if the medium fails. Nothing is put then.
    pub fn finish(mut self) -> Result<(), Error<M::Error>> {
        let len = self.written();
        self.check(len)?;
        if let Some(said) = self.said.filter(|said| *said != len) {
            return Err(Error::Length { written: len, said });
        }
        let rest = core::mem::take(&mut self.buffer);
        self.put(&rest)?;
        let checksum = self.stream.finish(self.transaction.medium())?;
        let bytes = occupied(len, self.transaction.unit()).unwrap_or(0);
        self.is_finished = true;
        let Self { place, attributes, transaction, .. } = &mut self;
        transaction.shorten(place, place.start + bytes);
        transaction.insert(attributes, place.start, len, checksum);
        Ok(())
    }

    fn check(&self, len: u64) -> Result<(), Error<M::Error>> {
        if self.has_failed {
            return Err(Error::Failed);
        }
        let largest = self.place.end - self.place.start;
        match self.said {
            Some(said) if len > said => Err(Error::Length { written: len, said }),
            Some(_) => Ok(()),
            None => match occupied(len, self.transaction.unit()) {
                Some(bytes) if bytes <= largest => Ok(()),
                bytes => Err(Error::Full { needed: bytes.unwrap_or(len), largest }),
            },
        }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), M::Error> {
        let written = self.stream.write(self.transaction.medium(), bytes);
        written.inspect_err(|_| self.has_failed = true)
    }
}

/// A blob of more than a chunk has a piece that ends with each.
const _: () = assert!(CHUNK.is_multiple_of(PIECE as u64) && SUM == 4 && chunks(CHUNK) == 1);

impl<M: Medium> Drop for Writer<'_, '_, '_, M> {
    fn drop(&mut self) {
        if !self.is_finished {
            self.transaction.give(&self.place);
        }
    }
}

/// A full store is [`StorageFull`](std::io::ErrorKind::StorageFull).
#[cfg(feature = "std")]
impl<M: Medium<Error: Send + Sync + 'static>> std::io::Write for Writer<'_, '_, '_, M> {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        use std::io::{Error as IoError, ErrorKind};
        match Writer::write(self, buf) {
            Ok(()) => Ok(buf.len()),
            Err(error @ Error::Full { .. }) => Err(IoError::new(ErrorKind::StorageFull, error)),
            Err(error) => Err(IoError::other(error)),
        }
    }

    /// Nothing is durable before the transaction is committed.
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
