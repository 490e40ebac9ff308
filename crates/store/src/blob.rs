//! Blobs opened for reading.
//!
//! Bytes are verified after they are copied, so a mix of old and new bytes is never returned. If a tag does not match,
//! the blob is looked up again: it was either replaced or damaged.

use crate::chunks::{Chunks, STEP};
use crate::error::{Damage, Error, ErrorKind, Part};
use crate::format::entry::EntryKind;
use crate::format::{CHUNK, chunks as chunks_of};
use crate::info::{Content, Info};
use crate::log::replay::last;
use crate::table::Live;
use alloc::vec::Vec;
use cachemaint::medium::Readable;
use cachemaint_format::error::FormatError;
use cachemaint_format::identity::Identity;
use core::error::Error as Failure;
use core::ops::Range;

/// Reads of this many bytes mostly miss the caches, as after a reboot.
const FAR: usize = 16 << 20;

/// Makes sure that an entry is a blob within the medium. Returns its list of tags if they are damaged.
fn damaged_tags<E: Failure>(
    medium: &dyn Readable<Error = E>,
    identity: Identity,
    info: &Info,
) -> Result<Option<Damage>, Error<E>> {
    if info.content == Content::Region {
        return Err(Error::other_content(&info.name, info.content));
    }
    let chunks = Chunks::of(identity, info);
    let (size, needed) = (medium.len(), chunks.tags().end);
    // An empty blob has no bytes to lose.
    if info.len > 0 && size < needed {
        return Err(Error::format(FormatError::Truncated { size, needed }));
    }
    let are_tags_whole = chunks.are_tags_whole(medium).map_err(Error::medium)?;
    medium.check().map_err(Error::medium)?;
    let Range { start, end } = chunks.tags();
    let damage = Damage { part: Part::Tags, offset: start, len: end - start };
    Ok((!are_tags_whole).then_some(damage))
}

/// Reads a whole blob, and returns the first part that does not match its tag: it is damaged, or was replaced
/// meanwhile. With a buffer of [`CHUNK`] bytes, each chunk is one read.
pub(crate) fn first_damage<E: Failure>(
    medium: &dyn Readable<Error = E>,
    identity: Identity,
    info: &Info,
    buffer: &mut [u8],
) -> Result<Option<Damage>, Error<E>> {
    let mut damage = damaged_tags(medium, identity, info)?;
    let mut chunks = 0..chunks_of(info.len);
    while damage.is_none()
        && let Some(chunk) = chunks.next()
    {
        let len = (info.len - chunk * CHUNK).min(CHUNK) as usize;
        let buffer = buffer.get_mut(..len).unwrap_or_default();
        damage = read_chunk(medium, identity, info, chunk * CHUNK, buffer, CHUNK as usize)?;
    }
    Ok(damage)
}

/// A blob opened for reading: in parts or, with `std`, as a stream by [`Read`](std::io::Read).
#[derive(Debug)]
pub struct Blob<R: Readable> {
    medium: R,
    identity: Identity,
    info: Info,
    /// The bytes of a blob that is stored in a record, which its tag covers.
    value: Option<Vec<u8>>,
    #[cfg(feature = "std")]
    pub(crate) stream: Stream,
}

impl<R: Readable> Blob<R> {
    /// Opens the blob of an entry.
    pub(crate) fn open(
        medium: R,
        identity: Identity,
        live: &Live,
    ) -> Result<Self, Error<R::Error>> {
        let info = live.info();
        let value = (live.entry.kind == EntryKind::Value).then(|| live.value().to_vec());
        if value.is_none() {
            unless_damaged(&medium, &info, damaged_tags(&medium, identity, &info)?)?;
        }
        Ok(Self {
            medium,
            identity,
            info,
            value,
            #[cfg(feature = "std")]
            stream: Stream::default(),
        })
    }

    /// Returns a verified copy.
    pub(crate) fn load(&self) -> Result<Vec<u8>, Error<R::Error>> {
        let len = usize::try_from(self.info.len).ok().filter(|len| isize::try_from(*len).is_ok());
        let rule = "the blob is larger than memory; read it in parts";
        let len = len.ok_or(Error::invalid(rule, self.info.len))?;
        let mut bytes = alloc::vec![0; len];
        self.read_at(0, &mut bytes)?;
        Ok(bytes)
    }

    /// Returns its entry in the table.
    #[must_use]
    pub const fn info(&self) -> &Info {
        &self.info
    }

    /// Copies bytes of the blob from offset `at` into the buffer, and verifies the copy.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`]; [`ErrorKind::Replaced`]; [`ErrorKind::Invalid`] if the range is not within the blob; an
    /// error of the medium. After an error the contents of the buffer are unspecified.
    ///
    /// # Cost
    /// Each 64 KiB chunk has one tag, so the chunks at both ends are read whole. Does not allocate.
    pub fn read_at(&self, at: u64, into: &mut [u8]) -> Result<(), Error<R::Error>> {
        let end = at.saturating_add(into.len() as u64);
        if end > self.info.len {
            return Err(Error::invalid("the range must end within the blob", end));
        }
        if let Some(value) = &self.value {
            self.medium.check().map_err(Error::medium)?;
            into.copy_from_slice(&value[at as usize..end as usize]);
            return Ok(());
        }
        let step = if into.len() < FAR { CHUNK as usize } else { STEP };
        let (mut at, mut rest) = (at, into);
        while !rest.is_empty() {
            let bytes = (CHUNK - at % CHUNK).min(rest.len() as u64);
            let (part, after) = rest.split_at_mut(bytes as usize);
            let damage = read_chunk(&self.medium, self.identity, &self.info, at, part, step)?;
            unless_damaged(&self.medium, &self.info, damage)?;
            (at, rest) = (at + bytes, after);
        }
        Ok(())
    }

    /// Reads and verifies the whole blob without copying it out.
    ///
    /// # Errors
    /// Same as [`read_at`](Self::read_at).
    pub fn verify(&self) -> Result<(), Error<R::Error>> {
        if self.value.is_some() {
            return self.medium.check().map_err(Error::medium);
        }
        let damage = first_damage(&self.medium, self.identity, &self.info, &mut [])?;
        unless_damaged(&self.medium, &self.info, damage)
    }
}

/// Copies bytes within one chunk from offset `at`, `step` bytes at a time. Returns the chunk if it does not match its
/// tag.
fn read_chunk<E: Failure>(
    medium: &dyn Readable<Error = E>,
    identity: Identity,
    info: &Info,
    at: u64,
    buffer: &mut [u8],
    step: usize,
) -> Result<Option<Damage>, Error<E>> {
    let chunks = Chunks::of(identity, info);
    let is_whole = chunks.is_chunk_whole(medium, at, buffer, step).map_err(Error::medium)?;
    medium.check().map_err(Error::medium)?;
    let begin = at - at % CHUNK;
    let (offset, len) = (chunks.at + begin, (info.len - begin).min(CHUNK));
    let damage = Damage { part: Part::Bytes { at: begin }, offset, len };
    Ok((!is_whole).then_some(damage))
}

/// Fails if a part of a blob does not match its tag, and the blob is still in the last commit, so that it is damaged.
fn unless_damaged<E: Failure>(
    medium: &dyn Readable<Error = E>,
    info: &Info,
    damage: Option<Damage>,
) -> Result<(), Error<E>> {
    let Some(damage) = damage else { return Ok(()) };
    let (log, replay) = last(medium)?;
    let now = replay.table.live.get(info.name.as_bytes());
    if let (None, Some(lost)) = (now, replay.lost) {
        return Err(Error(ErrorKind::Damaged(log.lost(lost))));
    }
    let is_there = now.is_some_and(|now| now.info().is(info));
    Err(Error(if is_there { ErrorKind::Damaged(damage) } else { ErrorKind::Replaced }))
}

/// The position in a blob's stream, and the chunk there.
#[cfg(feature = "std")]
#[derive(Default)]
pub(crate) struct Stream {
    at: u64,
    /// The verified bytes of the chunk at the position, or none before its first read.
    chunk: Vec<u8>,
}

/// Reads the blob as a stream, from its first byte.
///
/// Each 64 KiB chunk is copied and verified before any of its bytes is returned, so the blob needs no surrounding
/// buffer. A stream that ends without an error has returned the blob as it was put. If the blob is damaged, or is
/// replaced meanwhile, reading the first affected chunk fails; all bytes before it were right.
///
/// The first read allocates 64 KiB.
#[cfg(feature = "std")]
impl<R: Readable<Error: Send + Sync + 'static>> std::io::Read for Blob<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let (at, left) = (self.stream.at, self.info().len - self.stream.at);
        let within = at % CHUNK;
        if left == 0 {
            return Ok(0);
        }
        if within == 0 || self.stream.chunk.is_empty() {
            let mut chunk = core::mem::take(&mut self.stream.chunk);
            chunk.resize((left + within).min(CHUNK) as usize, 0);
            self.read_at(at - within, &mut chunk)?;
            self.stream.chunk = chunk;
        }
        let read = self.stream.chunk.get(within as usize..).unwrap_or_default();
        let read = std::io::Read::read(&mut { read }, buf)?;
        self.stream.at += read as u64;
        Ok(read)
    }
}

#[cfg(feature = "std")]
impl core::fmt::Debug for Stream {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Stream").field("at", &self.at).finish_non_exhaustive()
    }
}
