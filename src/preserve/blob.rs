//! Blobs opened for reading. This module does not allocate.
//!
//! Bytes are verified after they are copied, so that a mix of old and new bytes is never returned. If a tag does not
//! match, the blob is looked up again: either it was replaced, or it is damaged.

use super::error::{Damage, Error, ErrorKind, Part};
use super::format::key::BlobKey;
use super::format::{CHUNK, TAG, chunks as chunks_of, tags};
use super::headers;
use super::info::{Content, Info, ShortName};
use super::reader::ATTEMPTS;
use super::snapshot::{Commit, CommitIn, Snapshot, append, tag_of};
#[cfg(all(feature = "preserve", feature = "std"))]
use super::stream::Stream;
use crate::format::tag::{self, Running};
use crate::medium::Readable;
use core::error::Error as Failure;
use core::ops::Range;
use core::sync::atomic::Ordering::Acquire;
use core::sync::atomic::fence;

/// Bytes that are read at once of which no cache is likely to have more than a part, as after a reboot.
const FAR: usize = 16 << 20;
/// Bytes of these that are copied, and then go into the tag. The CPU reads the next ones ahead meanwhile.
///
/// Measured on an AMD EPYC (family 26, model 2; KVM guest, DRAM), in µs a MiB. 256 MiB in no cache took 63 by 1 KiB and 64
/// by 2 KiB. They took 77 where the tag of 64 KiB came after all of its bytes, and 55 without tags. Into new memory, which
/// the kernel clears on the way, it was 444, 432 and 423. Small pieces of a tag take longer than one: in a cache 4 MiB took
/// 54 by 2 KiB and 45 by 64 KiB.
const STEP: usize = 2048;

impl<'r, R: Readable> Snapshot<'r, R> {
    /// Opens the blob of a name for reading.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::NotABlob`]; [`ErrorKind::Damaged`], if its tags are damaged;
    /// [`ErrorKind::Truncated`], if the medium ends before the blob does; if the medium fails.
    pub fn blob(&self, name: &str) -> Result<Blob<&'r R>, Error<R::Error>> {
        Ok(Blob::new(self.medium, self.erased().blob(name)?))
    }
}

impl<E: Failure> CommitIn<'_, E> {
    /// Opens the blob of a name for reading.
    pub(super) fn blob(self, name: &str) -> Result<Chunks, Error<E>> {
        let info = self.find(name)?.ok_or_else(|| Error::not_found(name))?;
        Chunks::new(self, &info)
    }
}

/// A blob opened for reading: in parts, or as a stream by [`Read`](std::io::Read) and its like where
/// there is `std`.
#[derive(Debug)]
pub struct Blob<R: Readable> {
    medium: R,
    chunks: Chunks,
    #[cfg(all(feature = "preserve", feature = "std"))]
    pub(super) stream: Stream,
}

impl<R: Readable> Blob<R> {
    #[expect(clippy::large_types_passed_by_value, reason = "it is moved into the blob")]
    pub(super) fn new(medium: R, chunks: Chunks) -> Self {
        Self {
            medium,
            chunks,
            #[cfg(all(feature = "preserve", feature = "std"))]
            stream: Stream::default(),
        }
    }

    /// Returns its entry in the table.
    #[must_use]
    pub const fn info(&self) -> &Info {
        &self.chunks.info
    }

    /// Copies bytes of the blob from offset `at` on into the buffer, and verifies the copy.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`], [`ErrorKind::Replaced`], [`ErrorKind::Range`], or an error of the medium. After an error
    /// the contents of the buffer are unspecified.
    ///
    /// # Cost
    /// Each chunk of 64 KiB has one tag, so the chunks at both ends are read as a whole. Does not allocate.
    pub fn read_at(&self, at: u64, into: &mut [u8]) -> Result<(), Error<R::Error>> {
        self.chunks.read_at(&self.medium, at, into)
    }

    /// Reads and verifies the whole blob without copying it out. Calls `progress` from time to time with the number of
    /// bytes read so far.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at).
    pub fn verify(&self, progress: &mut dyn FnMut(u64)) -> Result<(), Error<R::Error>> {
        self.chunks.verify(&self.medium, progress)
    }
}

/// The chunks of a blob, in a medium of which only the errors are known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunks {
    generation: u64,
    pub(super) info: Info,
    key: BlobKey,
}

impl Chunks {
    pub(super) fn new<E: Failure>(within: CommitIn<'_, E>, info: &Info) -> Result<Self, Error<E>> {
        if info.content == Content::Region {
            let name = ShortName::of(info.name.as_str());
            return Err(Error(ErrorKind::NotABlob { name }));
        }
        let CommitIn { medium, commit } = within;
        let key = BlobKey::new(commit.preamble.identity, info.generation, info.offset);
        let chunks = Self { generation: commit.header.generation, info: *info, key };
        let tags = chunks.tags();
        let (size, needed) = (medium.len(), tags.end);
        // An empty blob has no bytes that could be missing.
        if info.len > 0 && size < needed {
            return Err(Error(ErrorKind::Truncated { size, needed }));
        }
        let key = key.chunk(chunks_of(info.len));
        if tags.is_empty() || tag_of(medium, key, tags.clone()).map_err(Error::medium)? == info.tag
        {
            return Ok(chunks);
        }
        let len = tags.end - tags.start;
        chunks.is_not(medium, Damage { part: Part::Tags, offset: tags.start, len })
    }

    pub(super) fn read_at<E: Failure>(
        &self,
        medium: &dyn Readable<Error = E>,
        at: u64,
        into: &mut [u8],
    ) -> Result<(), Error<E>> {
        let end = at.saturating_add(into.len() as u64);
        if end > self.info.len {
            return Err(Error(ErrorKind::Range { range: at..end, len: self.info.len }));
        }
        let step = if into.len() < FAR { CHUNK as usize } else { STEP };
        let (mut at, mut rest) = (at, into);
        while !rest.is_empty() {
            let bytes = (CHUNK - at % CHUNK).min(rest.len() as u64);
            let (part, after) = rest.split_at_mut(bytes as usize);
            self.read_of_chunk(medium, at, part, step)?;
            (at, rest) = (at + bytes, after);
        }
        Ok(())
    }

    pub(super) fn verify<E: Failure>(
        &self,
        medium: &dyn Readable<Error = E>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), Error<E>> {
        for chunk in 0..chunks_of(self.info.len) {
            self.read_of_chunk(medium, chunk * CHUNK, &mut [], STEP)?;
            progress((chunk * CHUNK + CHUNK).min(self.info.len));
        }
        Ok(())
    }

    /// Copies bytes from offset `at` on, all within one chunk, `step` at once, and verifies the copy.
    fn read_of_chunk<E: Failure>(
        &self,
        medium: &dyn Readable<Error = E>,
        at: u64,
        into: &mut [u8],
        step: usize,
    ) -> Result<(), Error<E>> {
        let begin = at - at % CHUNK;
        let end = (begin + CHUNK).min(self.info.len);
        let place = |at: u64| self.info.offset + at;
        let key = self.key.chunk(begin / CHUNK);
        let tag = if into.len() as u64 == self.info.len {
            medium.read(place(at), into).map_err(Error::medium)?;
            tag::of(key, into)
        } else {
            let mut running = Running::new(key);
            append(medium, place(begin)..place(at), &mut running).map_err(Error::medium)?;
            let mut from = place(at);
            for part in into.chunks_mut(step) {
                medium.read(from, part).map_err(Error::medium)?;
                running.append(part);
                from += part.len() as u64;
            }
            append(medium, from..place(end), &mut running).map_err(Error::medium)?;
            running.finish()
        };
        // A blob that has taken this place meanwhile has another key, so its tags do not match here.
        if tag == self.tag(medium, begin / CHUNK).map_err(Error::medium)? {
            return Ok(());
        }
        let (part, offset) = (Part::Bytes { at: begin }, place(begin));
        self.is_not(medium, Damage { part, offset, len: end - begin })
    }

    /// Returns the place of the list of tags.
    fn tags(&self) -> Range<u64> {
        let Range { start, end } = tags(self.info.len);
        self.info.offset + start..self.info.offset + end
    }

    /// Reads the tag of a chunk.
    fn tag<E: Failure>(&self, medium: &dyn Readable<Error = E>, chunk: u64) -> Result<u64, E> {
        let tags = self.tags();
        if tags.is_empty() {
            return Ok(self.info.tag);
        }
        let mut bytes = [0; TAG as usize];
        medium.read(tags.start + chunk * TAG, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Returns [`ErrorKind::Replaced`] if the blob was replaced or deleted, or if a commit came at each attempt to look
    /// it up.
    fn check_it_is_there<E: Failure>(
        &self,
        medium: &dyn Readable<Error = E>,
    ) -> Result<(), Error<E>> {
        fence(Acquire);
        if headers::load(medium)?.generation == self.generation {
            return Ok(());
        }
        for _ in 0..ATTEMPTS {
            match Commit::last(medium)?.in_medium(medium).find(self.info.name.as_str()) {
                // Another commit was made meanwhile.
                Err(Error(ErrorKind::Replaced)) => {}
                Ok(Some(now)) if now.is(&self.info) => return Ok(()),
                Ok(_) => break,
                Err(error) => return Err(error),
            }
        }
        Err(Error(ErrorKind::Replaced))
    }

    /// Returns the reason why its bytes do not match their tag: the blob was replaced, or it is damaged.
    fn is_not<T, E: Failure>(
        &self,
        medium: &dyn Readable<Error = E>,
        damage: Damage,
    ) -> Result<T, Error<E>> {
        self.check_it_is_there(medium)?;
        Err(Error(ErrorKind::Damaged(damage)))
    }
}

#[cfg(test)]
#[cfg(all(feature = "preserve", feature = "std", not(cachemaint_loom), not(miri)))]
mod tests {
    use super::super::{Error, ErrorKind, Options, Part, Store};
    use super::{CHUNK, FAR, STEP};
    use crate::cache::Cache;
    use crate::medium::{Medium, Memory};
    use crate::skip::skip;
    use crate::survival::Backing;
    use alloc::vec::Vec;
    use core::sync::atomic::AtomicU64;
    use core::sync::atomic::Ordering::Relaxed;

    const LEN: usize = 3 * CHUNK as usize;

    fn put<M: Medium>(store: &mut Store<M>, name: &str, byte: u8) {
        let mut transaction = store.begin().unwrap();
        transaction.put(name, &alloc::vec![byte; LEN]).unwrap();
        transaction.commit().unwrap();
    }

    /// A read that begins and ends within a chunk, with bytes that differ from place to place.
    #[test]
    fn a_far_blob_is_read_by_steps_and_verified() {
        let cache = match Cache::host() {
            Ok(cache) => cache,
            Err(why) => return skip("a_far_blob_is_read_by_steps_and_verified", why),
        };
        let len = FAR + LEN + 7;
        let words: Vec<AtomicU64> = (0..(len + LEN) / 8).map(|_| AtomicU64::new(0)).collect();
        let bytes: Vec<u8> =
            (0..len as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let options = Options::with_entropy([1, 2]);
        let mut store = options.create_new(Memory::new(&words, cache, Backing::Ram)).unwrap();
        let mut transaction = store.begin().unwrap();
        transaction.put("ram", &bytes).unwrap();
        transaction.commit().unwrap();
        let blob = store.snapshot().unwrap().blob("ram").unwrap();
        let mut found = alloc::vec![0; len - 5];
        blob.read_at(3, &mut found).unwrap();
        assert!(found == bytes[3..len - 2]);

        let at = blob.info().offset + 5 * CHUNK + 9 * STEP as u64;
        words[at as usize / 8].fetch_xor(1, Relaxed);
        let read = blob.read_at(3, &mut found).map_err(ErrorKind::from);
        let Err(ErrorKind::Damaged(damage)) = read else { panic!("{read:?}") };
        assert_eq!(damage.part, Part::Bytes { at: 5 * CHUNK });
    }

    /// The third blob lies in the place of the first one, and so do its tags.
    #[test]
    fn nothing_of_another_blob_in_its_place_is_taken_for_its_own() {
        let cache = match Cache::host() {
            Ok(cache) => cache,
            Err(why) => {
                return skip("nothing_of_another_blob_in_its_place_is_taken_for_its_own", why);
            }
        };
        let words: Vec<AtomicU64> = (0..1 << 17).map(AtomicU64::new).collect();
        let options = Options::with_entropy([1, 2]);
        let mut store = options.create_new(Memory::new(&words, cache, Backing::Ram)).unwrap();
        put(&mut store, "ram", 1);
        let reader = store.reader();
        let blob = reader.snapshot().unwrap().blob("ram").unwrap();
        let mut bytes = [0; 16];
        put(&mut store, "other", 9);
        blob.read_at(0, &mut bytes).unwrap();
        blob.verify(&mut |_| ()).unwrap();
        assert_eq!(bytes, [1; 16]);

        put(&mut store, "ram", 2);
        put(&mut store, "ram", 3);
        assert_eq!(reader.stat("ram").unwrap().unwrap().offset, blob.info().offset);
        let read = blob.read_at(CHUNK, &mut bytes);
        assert!(matches!(read, Err(Error(ErrorKind::Replaced))), "{read:?}");
        let verified = blob.verify(&mut |_| ());
        assert!(matches!(verified, Err(Error(ErrorKind::Replaced))), "{verified:?}");
    }
}
