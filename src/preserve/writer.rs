//! Writing blobs: to free space, with tags, in bounded memory.

use super::error::Error;
use super::format::key::BlobKey;
use super::format::{CHUNK, TAG, WORD, chunks, occupied, tags};
use super::reserve::Undo;
use super::transaction::{Attributes, Transaction};
use crate::format::tag::{self, Running};
use crate::medium::{Granularity, Medium};
use alloc::vec::Vec;
use core::ops::Range;

/// Bytes that are written in one go where they are not a whole chunk.
const PIECE: usize = 4096;
/// What is stored a line at a time, where it ends within one.
const LINE: usize = 64;

/// Bytes of which the operating system is asked at once to write them back, where that is its task: each call waits
/// for the storage.
const PAGES: u64 = 16 << 20;

/// Writes a blob as a whole, and returns its tag. A fence makes it durable.
pub(super) fn write_whole<M: Medium>(
    medium: &M,
    key: BlobKey,
    at: u64,
    bytes: &[u8],
) -> Result<u64, M::Error> {
    let mut stream = Stream::new(medium, key, at);
    for chunk in bytes.chunks(CHUNK as usize) {
        stream.write_chunk(medium, chunk)?;
    }
    stream.finish(medium)
}

/// A blob that is being written: its bytes, and their tags.
#[derive(Debug)]
struct Stream {
    /// Where it begins.
    start: u64,
    pieces: Pieces,
    tags: Tags,
}

impl Stream {
    fn new<M: Medium>(medium: &M, key: BlobKey, start: u64) -> Self {
        Self { start, pieces: Pieces::new(medium, start), tags: Tags::new(key) }
    }

    /// Bytes that were written.
    const fn len(&self) -> u64 {
        self.tags.len
    }

    /// Writes more, which is whole pieces if it is not the end.
    fn write<M: Medium>(&mut self, medium: &M, bytes: &[u8]) -> Result<(), M::Error> {
        let mut rest = bytes;
        while self.len().is_multiple_of(CHUNK)
            && let Some((chunk, behind)) = rest.split_at_checked(CHUNK as usize)
        {
            self.write_chunk(medium, chunk)?;
            rest = behind;
        }
        for piece in rest.chunks(PIECE) {
            self.pieces.write(medium, piece)?;
            self.tags.add(piece);
        }
        Ok(())
    }

    /// Writes a whole chunk, where one begins. The CPU's caches still have the bytes when the tag needs them.
    fn write_chunk<M: Medium>(&mut self, medium: &M, chunk: &[u8]) -> Result<(), M::Error> {
        self.pieces.write(medium, chunk)?;
        self.tags.add_chunk(chunk);
        Ok(())
    }

    /// Issues what is left, and returns the tag of the blob.
    fn finish<M: Medium>(&mut self, medium: &M) -> Result<u64, M::Error> {
        self.pieces.finish(medium)?;
        self.tags.finish(medium, self.start)
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
        let last = &last[..rest.len().next_multiple_of(WORD as usize)];
        let behind = self.at + lines.len() as u64;
        self.put(medium, &[(self.at, lines), (behind, last)])?;
        self.at = behind + last.len() as u64;
        if self.at - self.issued >= PAGES { self.finish(medium) } else { Ok(()) }
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

/// The tags of a blob's chunks, as they come.
#[derive(Debug)]
struct Tags {
    key: BlobKey,
    /// Those of whole chunks.
    done: Vec<u8>,
    /// That of the chunk under way.
    running: Option<Running>,
    /// Bytes that were added.
    len: u64,
}

impl Tags {
    const fn new(key: BlobKey) -> Self {
        Self { key, done: Vec::new(), running: None, len: 0 }
    }

    /// Adds bytes that do not lead out of the chunk.
    fn add(&mut self, bytes: &[u8]) {
        let chunk = self.len / CHUNK;
        let running = self.running.get_or_insert_with(|| Running::new(self.key.chunk(chunk)));
        running.append(bytes);
        self.len += bytes.len() as u64;
        if self.len.is_multiple_of(CHUNK) {
            self.end_chunk();
        }
    }

    /// Adds all bytes of a chunk.
    fn add_chunk(&mut self, bytes: &[u8]) {
        let tag = tag::of(self.key.chunk(self.len / CHUNK), bytes);
        self.done.extend(tag.to_le_bytes());
        self.len += bytes.len() as u64;
    }

    fn end_chunk(&mut self) {
        let tag = self.running.take().map(|running| running.finish());
        self.done.extend(tag.into_iter().flat_map(u64::to_le_bytes));
    }

    /// Writes the tags behind their blob, which begins at `at`, if it has more than one chunk; returns the tag of
    /// the blob.
    fn finish<M: Medium>(&mut self, medium: &M, at: u64) -> Result<u64, M::Error> {
        self.end_chunk();
        let list = tags(self.len);
        if list.is_empty() {
            return Ok(self.done.first_chunk().map_or(0, |tag| u64::from_le_bytes(*tag)));
        }
        medium.copy_unfenced(&[(at + list.start, &self.done)])?;
        Ok(tag::of(self.key.chunk(chunks(self.len)), &self.done))
    }
}

/// A blob that is written piece by piece. See [`Transaction::writer`].
///
/// It takes 5 KiB of memory, and 8 bytes for each 64 KiB that were written. If it is dropped before it is
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
    /// How to hold the places of before again, if it is not finished.
    undo: Option<Undo>,
    /// Whether the medium failed, so that something is missing.
    has_failed: bool,
}

impl<'t, 's, 'a, M: Medium> Writer<'t, 's, 'a, M> {
    pub(super) fn new(
        transaction: &'t mut Transaction<'s, M>,
        attributes: Attributes<'a>,
        place: Range<u64>,
        said: Option<u64>,
        undo: Undo,
    ) -> Self {
        let key = transaction.key(place.start);
        let stream = Stream::new(transaction.medium(), key, place.start);
        Self {
            transaction,
            attributes,
            place,
            said,
            buffer: Vec::new(),
            stream,
            undo: Some(undo),
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
        let tag = self.stream.finish(self.transaction.medium())?;
        let bytes = occupied(len, self.transaction.unit()).unwrap_or(0);
        self.undo = None;
        let Self { place, attributes, transaction, .. } = &mut self;
        transaction.shorten(place, place.start + bytes);
        transaction.insert(attributes, place.start, len, tag);
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
const _: () = assert!(CHUNK.is_multiple_of(PIECE as u64) && TAG == 8 && chunks(CHUNK) == 1);

impl<M: Medium> Drop for Writer<'_, '_, '_, M> {
    fn drop(&mut self) {
        if let Some(undo) = self.undo.take() {
            self.transaction.give_up(&self.place, undo);
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
