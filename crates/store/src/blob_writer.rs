//! Writing the bytes of blobs and regions into free space, with tags, in bounded memory.
//!
//! With line granularity, bytes are copied and their write-back is issued at once. With page granularity, they are only
//! stored: the commit writes them all back.

use crate::error::{Error, ErrorKind};
use crate::format::{BlobKey, CHUNK, TAG, WORD, chunks, tags};
use alloc::vec::Vec;
use cachemaint::medium::Medium;
use cachemaint_format::tag::{self, Running};
use core::marker::PhantomData;
use core::ops::Range;

/// The number of bytes written at a time, unless they are a whole chunk.
const PIECE: usize = 4096;
/// The unit of stores at an end that is not line-aligned.
const LINE: usize = 64;

/// Writes zeros.
pub(crate) fn write_zeros<M: Medium>(medium: &M, range: Range<u64>) -> Result<(), M::Error> {
    let zeros = alloc::vec![0; CHUNK.min(range.end - range.start) as usize];
    let mut at = range.start;
    while at < range.end {
        let bytes = (range.end - at).min(CHUNK);
        put(medium, at, &zeros[..bytes as usize])?;
        at += bytes;
    }
    Ok(())
}

/// Writes bytes in a multiple of the word size.
#[expect(unsafe_code, reason = "saves a fence for each blob")]
fn put<M: Medium>(medium: &M, at: u64, bytes: &[u8]) -> Result<(), M::Error> {
    if bytes.is_empty() {
        return Ok(());
    }
    if medium.granularity().is_by_pages() {
        medium.write(at, bytes);
        return Ok(());
    }
    // SAFETY: a reader trusts bytes of a blob only if they match their tag, in whatever order they appear.
    unsafe { medium.copy_unordered(&[(at, bytes)]) }
}

/// A blob that is written piece by piece, in [`Transaction::put_with`](crate::Transaction::put_with).
///
/// It stays on the thread of its transaction, since a fence completes only its own thread's write-backs.
#[derive(Debug)]
pub struct BlobWriter<'t, M: Medium> {
    medium: &'t M,
    /// `None` if all bytes stay in the buffer, for the record.
    key: Option<BlobKey>,
    /// The announced length of the blob.
    said: u64,
    /// Bytes written so far.
    done: u64,
    /// The bytes that do not yet fill a piece.
    buffer: Vec<u8>,
    /// The tags of the completed chunks.
    tags: Vec<u8>,
    /// The tag of the incomplete chunk, if any.
    running: Option<Running>,
    /// True if the medium failed, so bytes are missing.
    has_failed: bool,
    thread: PhantomData<*const ()>,
}

impl<'t, M: Medium> BlobWriter<'t, M> {
    pub(crate) const fn new(medium: &'t M, key: Option<BlobKey>, said: u64) -> Self {
        Self {
            medium,
            key,
            said,
            done: 0,
            buffer: Vec::new(),
            tags: Vec::new(),
            running: None,
            has_failed: false,
            thread: PhantomData,
        }
    }

    /// Returns the number of bytes appended so far.
    #[must_use]
    pub const fn written(&self) -> u64 {
        self.done + self.buffer.len() as u64
    }

    /// Appends bytes to the blob: all of them or, on an error, none.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the blob becomes longer than announced; or if the medium fails.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), Error<M::Error>> {
        self.check(self.written().saturating_add(bytes.len() as u64))?;
        let Some(key) = self.key else {
            self.buffer.extend_from_slice(bytes);
            return Ok(());
        };
        let mut rest = bytes;
        if !self.buffer.is_empty() {
            let (first, after) = rest.split_at(rest.len().min(PIECE - self.buffer.len()));
            self.buffer.extend_from_slice(first);
            rest = after;
            if self.buffer.len() < PIECE {
                return Ok(());
            }
            let mut buffer = core::mem::take(&mut self.buffer);
            self.write(key, &buffer).map_err(Error::medium)?;
            buffer.clear();
            self.buffer = buffer;
        }
        let is_end = self.done + rest.len() as u64 == self.said;
        let whole = if is_end { rest.len() } else { rest.len() / PIECE * PIECE };
        let (pieces, last) = rest.split_at(whole);
        self.write(key, pieces).map_err(Error::medium)?;
        self.buffer.extend_from_slice(last);
        Ok(())
    }

    /// Writes the next bytes: whole pieces, or the last ones of the blob.
    fn write(&mut self, key: BlobKey, bytes: &[u8]) -> Result<(), M::Error> {
        let written = self.write_parts(key, bytes);
        written.inspect_err(|_| self.has_failed = true)
    }

    fn write_parts(&mut self, key: BlobKey, mut rest: &[u8]) -> Result<(), M::Error> {
        while !rest.is_empty() {
            let (chunk, left) = (key.chunk(self.done / CHUNK), self.said - self.done);
            let within = self.done % CHUNK;
            let of_chunk = (CHUNK - within).min(left) as usize;
            let is_whole = within == 0 && rest.len() >= of_chunk;
            let (part, after) = rest.split_at(of_chunk.min(rest.len()));
            // The copy then finds the bytes in a cache.
            let tag = is_whole.then(|| tag::of(chunk, part));
            put_part(self.medium, key.at + self.done, part)?;
            self.done += part.len() as u64;
            if let Some(tag) = tag {
                self.tags.extend(tag.to_le_bytes());
            } else {
                let mut running = self.running.take().unwrap_or_else(|| Running::new(chunk));
                running.append(part);
                if part.len() == of_chunk {
                    self.tags.extend(running.finish().to_le_bytes());
                } else {
                    self.running = Some(running);
                }
            }
            rest = after;
        }
        Ok(())
    }

    /// Writes the rest and the list of tags, if any, and returns the tag of the blob.
    pub(crate) fn finish(mut self) -> Result<u64, Error<M::Error>> {
        self.check_end()?;
        let Some(key) = self.key else { return Ok(0) };
        let rest = core::mem::take(&mut self.buffer);
        self.write(key, &rest).map_err(Error::medium)?;
        let list = tags(self.said);
        if list.is_empty() {
            return Ok(self.tags.first_chunk().map_or(0, |tag| u64::from_le_bytes(*tag)));
        }
        put(self.medium, key.at + list.start, &self.tags).map_err(Error::medium)?;
        Ok(tag::of(key.tags(), &self.tags))
    }

    /// Returns the bytes of a blob that goes into the record.
    pub(crate) fn into_bytes(self) -> Result<Vec<u8>, Error<M::Error>> {
        self.check_end()?;
        Ok(self.buffer)
    }

    fn check_end(&self) -> Result<(), Error<M::Error>> {
        let written = self.written();
        self.check(written)?;
        if written == self.said { Ok(()) } else { Err(other_length(written)) }
    }

    fn check(&self, len: u64) -> Result<(), Error<M::Error>> {
        if self.has_failed {
            return Err(Error::format(cachemaint_format::error::FormatError::failed(self.medium)));
        }
        if len > self.said { Err(other_length(len)) } else { Ok(()) }
    }
}

fn other_length<E>(written: u64) -> Error<E> {
    Error(ErrorKind::Invalid {
        rule: "a blob must get exactly the announced number of bytes",
        found: written,
    })
}

/// Writes a part of a blob, padded with zeros to a whole word.
fn put_part<M: Medium>(medium: &M, at: u64, part: &[u8]) -> Result<(), M::Error> {
    let (lines, rest) = part.split_at(part.len() / LINE * LINE);
    put(medium, at, lines)?;
    let mut last = [0; LINE];
    last[..rest.len()].copy_from_slice(rest);
    put(medium, at + lines.len() as u64, &last[..rest.len().next_multiple_of(WORD as usize)])
}

/// Each call appends the whole buffer, as [`append`](BlobWriter::append) does.
#[cfg(feature = "std")]
impl<M: Medium<Error: Send + Sync + 'static>> std::io::Write for BlobWriter<'_, M> {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        self.append(buf)?;
        Ok(buf.len())
    }

    /// Does nothing: the bytes become durable when the transaction is committed.
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

const _: () = assert!(CHUNK.is_multiple_of(PIECE as u64) && TAG == 8 && chunks(CHUNK) == 1);
