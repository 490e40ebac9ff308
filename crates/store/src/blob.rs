//! Blobs opened for reading. This module does not allocate.
//!
//! Bytes are verified after they are copied, so that a mix of old and new bytes is never returned. If a tag does not
//! match, the blob is looked up again: either it was replaced, or it is damaged.

use super::Identity;
use super::commit::Commit;
use super::error::{Error, ErrorKind, Part};
use super::format::record::Is;
use super::format::{BlobKey, CHUNK, TAG, VALUE, chunks as chunks_of, tag_of_value, tags};
use super::info::{Content, Info};
use super::log::{Item, append, tag_of};
#[cfg(feature = "std")]
use super::stream::Stream;
use cachemaint::medium::Readable;
use cachemaint_format::error::FormatError;
use cachemaint_format::tag::{self, Running};
use core::error::Error as Failure;
use core::ops::Range;

/// Bytes that are read at once of which no cache is likely to have more than a part, as after a reboot.
const FAR: usize = 16 << 20;
/// Bytes of these that are copied, and then go into the tag. The CPU reads the next ones ahead meanwhile.
///
/// Measured on an AMD EPYC (family 26, model 2; KVM guest, DRAM), in µs a MiB. 256 MiB in no cache took 63 by 1 KiB and 64
/// by 2 KiB. They took 77 where the tag of 64 KiB came after all of its bytes, and 55 without tags. Into new memory, which
/// the kernel clears on the way, it was 444, 432 and 423. Small pieces of a tag take longer than one: in a cache 4 MiB took
/// 54 by 2 KiB and 45 by 64 KiB.
const STEP: usize = 2048;

/// Makes sure that an entry is a blob within the medium, and that its list of tags is whole.
fn check<E: Failure>(
    medium: &dyn Readable<Error = E>,
    identity: Identity,
    info: &Info,
) -> Result<(), Error<E>> {
    if info.content == Content::Region {
        return Err(Error::other_content(&info.name, info.content));
    }
    let chunks = Chunks::of(identity, info);
    let (size, needed) = (medium.len(), chunks.tags().end);
    // An empty blob has no bytes that could be missing.
    if info.len > 0 && size < needed {
        return Err(Error::format(FormatError::Truncated { size, needed }));
    }
    let are_tags_whole = chunks.are_tags_whole(medium).map_err(Error::medium)?;
    medium.check().map_err(Error::medium)?;
    if are_tags_whole {
        return Ok(());
    }
    let Range { start, end } = chunks.tags();
    Err(damage(medium, info, Part::Tags, start, end - start))
}

/// A blob opened for reading: in parts, or as a stream by [`Read`](std::io::Read) where there is `std`.
#[derive(Debug)]
pub struct Blob<R: Readable> {
    medium: R,
    identity: Identity,
    info: Info,
    #[cfg(feature = "std")]
    pub(super) stream: Stream,
}

impl<R: Readable> Blob<R> {
    /// Opens the blob of an entry.
    #[expect(clippy::large_types_passed_by_value, reason = "it is moved into the blob")]
    pub(super) fn open(medium: R, identity: Identity, info: Info) -> Result<Self, Error<R::Error>> {
        check(&medium, identity, &info)?;
        Ok(Self {
            medium,
            identity,
            info,
            #[cfg(feature = "std")]
            stream: Stream::default(),
        })
    }

    /// Returns a verified copy.
    #[cfg(feature = "alloc")]
    pub(super) fn load(&self) -> Result<alloc::vec::Vec<u8>, Error<R::Error>> {
        let len = usize::try_from(self.info.len).ok().filter(|len| isize::try_from(*len).is_ok());
        let rule = "a blob of so many bytes exceeds memory; read it in parts";
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

    /// Copies bytes of the blob from offset `at` on into the buffer, and verifies the copy.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`]; [`ErrorKind::Replaced`], also of a blob of at most 256 bytes if the log was compacted;
    /// [`ErrorKind::Invalid`], if the range is not in the blob; an error of the medium. After an error the contents of the
    /// buffer are unspecified.
    ///
    /// # Cost
    /// Each chunk of 64 KiB has one tag, so the chunks at both ends are read as a whole. Does not allocate.
    pub fn read_at(&self, at: u64, into: &mut [u8]) -> Result<(), Error<R::Error>> {
        let end = at.saturating_add(into.len() as u64);
        if end > self.info.len {
            return Err(Error::invalid("the range must end within the blob", end));
        }
        let step = if into.len() < FAR { CHUNK as usize } else { STEP };
        let (mut at, mut rest) = (at, into);
        while !rest.is_empty() {
            let bytes = (CHUNK - at % CHUNK).min(rest.len() as u64);
            let (part, after) = rest.split_at_mut(bytes as usize);
            read_chunk(&self.medium, self.identity, &self.info, at, part, step)?;
            (at, rest) = (at + bytes, after);
        }
        Ok(())
    }

    /// Reads and verifies the whole blob without copying it out. Calls `progress` from time to time with the number of
    /// bytes read so far.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at).
    pub fn verify(&self, progress: &mut dyn FnMut(u64)) -> Result<(), Error<R::Error>> {
        for chunk in 0..chunks_of(self.info.len) {
            read_chunk(&self.medium, self.identity, &self.info, chunk * CHUNK, &mut [], STEP)?;
            progress((chunk * CHUNK + CHUNK).min(self.info.len));
        }
        Ok(())
    }
}

/// Copies bytes from offset `at` on, all within one chunk, `step` at once, and verifies the copy.
fn read_chunk<E: Failure>(
    medium: &dyn Readable<Error = E>,
    identity: Identity,
    info: &Info,
    at: u64,
    buffer: &mut [u8],
    step: usize,
) -> Result<(), Error<E>> {
    let chunks = Chunks::of(identity, info);
    let is_whole = chunks.read(medium, at, buffer, step).map_err(Error::medium)?;
    medium.check().map_err(Error::medium)?;
    if is_whole {
        return Ok(());
    }
    let begin = at - at % CHUNK;
    let (part, offset) = (Part::Bytes { at: begin }, chunks.at + begin);
    Err(damage(medium, info, part, offset, (info.len - begin).min(CHUNK)))
}

/// Returns the error about a part of a blob that does not match its tag: damage, if the last commit still has the blob
/// there.
fn damage<E: Failure>(
    medium: &dyn Readable<Error = E>,
    info: &Info,
    part: Part,
    offset: u64,
    len: u64,
) -> Error<E> {
    match Commit::last(medium).and_then(|now| now.find(medium, &info.name)) {
        Ok(Some(now)) if now.is(info) && now.offset == info.offset => {
            Error::damaged(part, offset, len)
        }
        Ok(_) => Error(ErrorKind::Replaced),
        Err(error) => error,
    }
}

/// The chunks of a blob, by the fields of its entry that they depend on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunks {
    identity: Identity,
    generation: u64,
    at: u64,
    len: u64,
    tag: u64,
    is: Is,
}

impl Chunks {
    fn of(identity: Identity, info: &Info) -> Self {
        let is = if info.is_value { Is::Value } else { Is::Blob };
        let Info { created: generation, offset: at, len, tag, .. } = *info;
        Self { identity, generation, at, len, tag, is }
    }

    /// Returns those of an entry in a record.
    pub(super) const fn of_item(identity: Identity, item: &Item) -> Self {
        let entry = &item.entry;
        let (len, tag, generation) = (entry.len, entry.tag, entry.generation);
        Self { identity, generation, at: entry.at, len, tag, is: entry.is }
    }

    /// Returns true if all bytes of a blob outside of the log are there. Other entries have none.
    pub(super) fn is_whole<E: Failure>(&self, medium: &dyn Readable<Error = E>) -> bool {
        let is_chunk_whole =
            |chunk| self.read(medium, chunk * CHUNK, &mut [], STEP).unwrap_or(false);
        self.is != Is::Blob
            || self.len == 0
            || self.tags().end <= medium.len()
                && self.are_tags_whole(medium).unwrap_or(false)
                && (0..chunks_of(self.len)).all(is_chunk_whole)
    }

    /// Returns true if the list of tags is whole, or there is none.
    fn are_tags_whole<E: Failure>(&self, medium: &dyn Readable<Error = E>) -> Result<bool, E> {
        let tags = self.tags();
        Ok(tags.is_empty() || tag_of(medium, self.key().tags(), tags)? == self.tag)
    }

    const fn key(&self) -> BlobKey {
        BlobKey { identity: self.identity, generation: self.generation, at: self.at }
    }

    /// Returns the place of the list of tags.
    fn tags(&self) -> Range<u64> {
        if self.is == Is::Value {
            return self.at + self.len..self.at + self.len;
        }
        let Range { start, end } = tags(self.len);
        self.at + start..self.at + end
    }

    /// Copies bytes from offset `at` on, all within one chunk. Returns true if the chunk matches its tag.
    fn read<E: Failure>(
        &self,
        medium: &dyn Readable<Error = E>,
        at: u64,
        into: &mut [u8],
        step: usize,
    ) -> Result<bool, E> {
        if self.is == Is::Value {
            return self.read_value(medium, at, into);
        }
        let begin = at - at % CHUNK;
        let end = (begin + CHUNK).min(self.len);
        let place = |at: u64| self.at + at;
        let key = self.key().chunk(begin / CHUNK);
        let tag = if into.len() as u64 == self.len {
            medium.read(place(at), into)?;
            tag::of(key, into)
        } else {
            let mut running = Running::new(key);
            append(medium, place(begin)..place(at), &mut running)?;
            let mut from = place(at);
            for part in into.chunks_mut(step) {
                medium.read(from, part)?;
                running.append(part);
                from += part.len() as u64;
            }
            append(medium, from..place(end), &mut running)?;
            running.finish()
        };
        // A blob that has taken this place meanwhile has another key, so its tags do not match here.
        Ok(tag == self.tag_of(medium, begin / CHUNK)?)
    }

    fn read_value<E: Failure>(
        &self,
        medium: &dyn Readable<Error = E>,
        at: u64,
        into: &mut [u8],
    ) -> Result<bool, E> {
        let mut bytes = [0; VALUE as usize];
        let bytes = &mut bytes[..self.len as usize];
        medium.read(self.at, bytes)?;
        into.copy_from_slice(&bytes[at as usize..][..into.len()]);
        Ok(tag_of_value(self.identity, self.generation, bytes) == self.tag)
    }

    /// Reads the tag of a chunk.
    fn tag_of<E: Failure>(&self, medium: &dyn Readable<Error = E>, chunk: u64) -> Result<u64, E> {
        let tags = self.tags();
        if tags.is_empty() {
            return Ok(self.tag);
        }
        let mut bytes = [0; TAG as usize];
        medium.read(tags.start + chunk * TAG, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}
