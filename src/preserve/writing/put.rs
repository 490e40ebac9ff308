//! Writing the bytes of blobs and regions: to free space, with tags, in bounded memory.
//!
//! By lines bytes are copied and their write-back is issued at once. By pages they are only stored: the commit writes all
//! of them back.

use crate::format::tag::{self, Running};
use crate::medium::{Granularity, Medium};
use crate::preserve::format::{BlobKey, CHUNK, TAG, WORD, chunks, tags};
use alloc::vec::Vec;
use core::ops::Range;

/// Bytes that are written in one go where they are not a whole chunk.
pub(super) const PIECE: usize = 4096;
/// The bytes stored a line at a time, if they end within one.
const LINE: usize = 64;

/// Returns true if a medium is written back by pages.
pub(super) fn is_by_pages<M: Medium>(medium: &M) -> bool {
    matches!(medium.granularity(), Granularity::Page(_))
}

/// Writes a blob as a whole, and returns its tag.
pub(super) fn write_whole<M: Medium>(
    medium: &M,
    key: BlobKey,
    bytes: &[u8],
) -> Result<u64, M::Error> {
    let mut stream = Stream::new(key);
    for chunk in bytes.chunks(CHUNK as usize) {
        stream.write_chunk(medium, chunk)?;
    }
    stream.finish(medium)
}

/// Writes zeros.
pub(super) fn write_zeros<M: Medium>(medium: &M, range: Range<u64>) -> Result<(), M::Error> {
    let zeros = alloc::vec![0; CHUNK.min(range.end - range.start) as usize];
    let mut at = range.start;
    while at < range.end {
        let bytes = (range.end - at).min(CHUNK);
        put(medium, at, &zeros[..bytes as usize])?;
        at += bytes;
    }
    Ok(())
}

/// Writes bytes, whose length is a multiple of the word's.
fn put<M: Medium>(medium: &M, at: u64, bytes: &[u8]) -> Result<(), M::Error> {
    if bytes.is_empty() {
        return Ok(());
    }
    if is_by_pages(medium) {
        medium.write(at, bytes);
        return Ok(());
    }
    medium.copy_unfenced(&[(at, bytes)])
}

/// A blob that is being written: its bytes, and their tags.
#[derive(Debug)]
pub(super) struct Stream {
    key: BlobKey,
    /// The offset of the next byte.
    at: u64,
    /// The tags of the chunks that are complete.
    done: Vec<u8>,
    /// The tag of the chunk that is not, if there is one.
    running: Option<Running>,
    len: u64,
}

impl Stream {
    pub(super) const fn new(key: BlobKey) -> Self {
        Self { key, at: key.at, done: Vec::new(), running: None, len: 0 }
    }

    /// Bytes that were written.
    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    /// Writes the next bytes. All calls but the last one have whole pieces.
    pub(super) fn write<M: Medium>(&mut self, medium: &M, bytes: &[u8]) -> Result<(), M::Error> {
        let mut rest = bytes;
        while self.len.is_multiple_of(CHUNK)
            && let Some((chunk, after)) = rest.split_at_checked(CHUNK as usize)
        {
            self.write_chunk(medium, chunk)?;
            rest = after;
        }
        for piece in rest.chunks(PIECE) {
            self.write_piece(medium, piece)?;
            let key = self.key.chunk(self.len / CHUNK);
            self.running.get_or_insert_with(|| Running::new(key)).append(piece);
            self.len += piece.len() as u64;
            if self.len.is_multiple_of(CHUNK) {
                self.end_chunk();
            }
        }
        Ok(())
    }

    /// Writes a chunk, which is the last one if it is not whole.
    fn write_chunk<M: Medium>(&mut self, medium: &M, chunk: &[u8]) -> Result<(), M::Error> {
        self.write_piece(medium, chunk)?;
        let tag = tag::of(self.key.chunk(self.len / CHUNK), chunk);
        self.done.extend(tag.to_le_bytes());
        self.len += chunk.len() as u64;
        Ok(())
    }

    /// Writes bytes, and zeros up to a whole word.
    fn write_piece<M: Medium>(&mut self, medium: &M, piece: &[u8]) -> Result<(), M::Error> {
        let (lines, rest) = piece.split_at(piece.len() / LINE * LINE);
        put(medium, self.at, lines)?;
        self.at += lines.len() as u64;
        let mut last = [0; LINE];
        last[..rest.len()].copy_from_slice(rest);
        put(medium, self.at, &last[..rest.len().next_multiple_of(WORD as usize)])?;
        self.at += rest.len() as u64;
        Ok(())
    }

    fn end_chunk(&mut self) {
        let tag = self.running.take().map(|running| running.finish());
        self.done.extend(tag.into_iter().flat_map(u64::to_le_bytes));
    }

    /// Writes the list of tags, if there is one, and returns the tag of the blob.
    pub(super) fn finish<M: Medium>(mut self, medium: &M) -> Result<u64, M::Error> {
        self.end_chunk();
        let list = tags(self.len);
        if list.is_empty() {
            return Ok(self.done.first_chunk().map_or(0, |tag| u64::from_le_bytes(*tag)));
        }
        put(medium, self.key.at + list.start, &self.done)?;
        Ok(tag::of(self.key.tags(), &self.done))
    }
}

const _: () = assert!(CHUNK.is_multiple_of(PIECE as u64) && TAG == 8 && chunks(CHUNK) == 1);
