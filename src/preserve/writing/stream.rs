//! Writing the bytes of blobs: to free space, with tags, in bounded memory.

use crate::format::tag::{self, Running};
use crate::medium::{Granularity, Medium};
use crate::preserve::format::key::BlobKey;
use crate::preserve::format::{CHUNK, TAG, WORD, chunks, tags};
use alloc::vec::Vec;
use core::ops::Range;

/// Bytes that are written in one go where they are not a whole chunk.
pub(super) const PIECE: usize = 4096;
/// The bytes stored a line at a time, if they end within one.
const LINE: usize = 64;

/// Bytes that are written back with one system call, where the operating system does that: each call waits for the
/// storage.
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

/// Writes zeros. A fence makes them durable.
pub(super) fn write_zeros<M: Medium>(medium: &M, range: Range<u64>) -> Result<(), M::Error> {
    let zeros = alloc::vec![0; CHUNK.min(range.end - range.start) as usize];
    let mut pieces = Pieces::new(medium, range.start);
    while pieces.at < range.end {
        let rest = range.end - pieces.at;
        pieces.write(medium, &zeros[..rest.min(CHUNK) as usize])?;
    }
    pieces.finish(medium)
}

/// A blob that is being written: its bytes, and their tags.
#[derive(Debug)]
pub(super) struct Stream {
    /// The place at which it begins.
    start: u64,
    pieces: Pieces,
    tags: Tags,
}

impl Stream {
    pub(super) fn new<M: Medium>(medium: &M, key: BlobKey, start: u64) -> Self {
        Self { start, pieces: Pieces::new(medium, start), tags: Tags::new(key) }
    }

    /// Bytes that were written.
    pub(super) const fn len(&self) -> u64 {
        self.tags.len
    }

    /// Writes more, which is whole pieces if it is not the end.
    pub(super) fn write<M: Medium>(&mut self, medium: &M, bytes: &[u8]) -> Result<(), M::Error> {
        let mut rest = bytes;
        while self.len().is_multiple_of(CHUNK)
            && let Some((chunk, after)) = rest.split_at_checked(CHUNK as usize)
        {
            self.write_chunk(medium, chunk)?;
            rest = after;
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

    /// Issues the remaining write-back, and returns the tag of the blob.
    pub(super) fn finish<M: Medium>(&mut self, medium: &M) -> Result<u64, M::Error> {
        self.pieces.finish(medium)?;
        self.tags.finish(medium, self.start)
    }
}

/// Pieces that are written one after the other, from a multiple of a line on.
#[derive(Debug)]
struct Pieces {
    /// True if the operating system writes them back.
    is_by_pages: bool,
    /// The place at which the next one begins.
    at: u64,
    /// The end of the bytes whose write-back was issued.
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
        let after = self.at + lines.len() as u64;
        self.put(medium, &[(self.at, lines), (after, last)])?;
        self.at = after + last.len() as u64;
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

    /// Issues the write-back of the bytes that are not written back yet.
    fn finish<M: Medium>(&mut self, medium: &M) -> Result<(), M::Error> {
        let range = core::mem::replace(&mut self.issued, self.at)..self.at;
        if range.is_empty() { Ok(()) } else { medium.issue_writeback(range) }
    }
}

/// The tags of a blob's chunks, computed while bytes are added.
#[derive(Debug)]
struct Tags {
    key: BlobKey,
    /// The tags of whole chunks.
    done: Vec<u8>,
    /// The tag of the chunk under way.
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

    /// Writes the tags after their blob, which begins at `at`, if it has more than one chunk; returns the tag of
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

/// A blob of more than a chunk has a piece that ends with each.
const _: () = assert!(CHUNK.is_multiple_of(PIECE as u64) && TAG == 8 && chunks(CHUNK) == 1);
