//! Reading: what is there, and its bytes, verified. Nothing is allocated here.
//!
//! A writer may be at work meanwhile, in this process or another. It never writes over what the last commit
//! has left, so a [`Snapshot`] is whole; but two commits later its space may be used again. What is read is
//! verified after it was copied, so that a mix is never returned: then it is looked up whether the blob was
//! replaced, and else it is damage.
//!
//! # Work
//! A snapshot reads the root. To find a blob takes two looks at a page of each level, or three where one copy is damaged:
//! a page has 32 KiB at most, and a table 16 levels.

use super::Identity;
use super::error::{Damage, Error, Part};
use super::format::header::Header;
use super::format::key::{self, BlobKey};
use super::format::page::LEVELS;
use super::format::table::{PREAMBLE, Preamble};
use super::format::{CHUNK, NAME, TAG, chunks, history, tags};
use super::headers;
#[cfg(all(feature = "preserve", feature = "std"))]
use super::lease::Held;
use super::stamp::{Boot, Stamp};
use super::walk::{Step, Walk};
use crate::format::tag::{self, Running};
use crate::medium::Readable;
use core::fmt;
use core::ops::Range;
use core::sync::atomic::Ordering::Acquire;
use core::sync::atomic::fence;

/// Bytes that are read at a time where they are not asked for.
const PIECE: usize = 1024;

/// How often a writer may replace what is being looked for: each time it has finished a commit.
const ATTEMPTS: u32 = 1000;

/// The name of a blob.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    bytes: [u8; NAME],
    len: u8,
}

impl Name {
    pub(super) const EMPTY: Self = Self { bytes: [0; NAME], len: 0 };

    /// Reads a name of so many bytes, which a name can have.
    pub(super) fn read<R: Readable>(medium: &R, at: u64, len: usize) -> Result<Self, R::Error> {
        let mut name = Self { len: len as u8, ..Self::EMPTY };
        medium.read(at, &mut name.bytes[..len])?;
        Ok(name)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len.into()]
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // It was checked when it was read.
        core::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text.
#[cfg(feature = "serde")]
impl serde::Serialize for Name {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What the table says of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Info {
    /// Its name.
    pub name: Name,
    /// The number that it was put with.
    pub version: u64,
    /// Its bytes.
    pub len: u64,
    /// Bytes of its metadata.
    pub metadata: usize,
    /// The commit that put it there: each has a number, and none comes again.
    pub generation: u64,
    /// When it was put, in seconds since 1970-01-01 UTC; 0 if it is not known.
    pub seconds: u64,
    /// Where it begins in the medium, in bytes. It is in one piece.
    pub offset: u64,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(super) tag: u64,
    /// Where its metadata is.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(super) metadata_at: u64,
}

impl Info {
    /// Its bytes in the medium.
    #[must_use]
    pub const fn range(&self) -> Range<u64> {
        self.offset..self.offset + self.len
    }

    /// Whether both are the same put.
    fn is(&self, other: &Self) -> bool {
        (self.offset, self.len, self.generation, self.tag)
            == (other.offset, other.len, other.generation, other.tag)
    }
}

/// Returns the tag of a range of the medium.
pub(super) fn tag_of<R: Readable>(
    medium: &R,
    key: u64,
    range: Range<u64>,
) -> Result<u64, R::Error> {
    let mut running = Running::new(key);
    append(medium, range, &mut running)?;
    Ok(running.finish())
}

/// Goes on over a range of the medium.
fn append<R: Readable>(
    medium: &R,
    range: Range<u64>,
    running: &mut Running,
) -> Result<(), R::Error> {
    let mut at = range.start;
    let mut piece = [0; PIECE];
    while at < range.end {
        let bytes = (range.end - at).min(PIECE as u64) as usize;
        medium.read(at, &mut piece[..bytes])?;
        running.append(&piece[..bytes]);
        at += bytes as u64;
    }
    Ok(())
}

/// Returns true if the root of a header, or its copy, is at a place, as it was committed.
fn is_root<R: Readable>(medium: &R, header: &Header, at: u64) -> Result<bool, R::Error> {
    let mut bytes = [0; TAG as usize];
    medium.read(at, &mut bytes)?;
    let tag = u64::from_le_bytes(bytes);
    let (key, rest) = (key::root(header.generation), at + TAG..at + header.len);
    Ok(tag as u32 == header.root_tag && tag_of(medium, key, rest)? == tag)
}

/// A store that is read, beside a writer or without one.
///
/// Each operation takes the last commit; for several that belong together take a [`Snapshot`].
#[derive(Debug)]
pub struct Reader<R: Readable> {
    medium: R,
    #[cfg(all(feature = "preserve", feature = "std"))]
    pub(super) held: Held<R>,
}

impl<R: Readable> Reader<R> {
    /// A reader of a store that is in the medium.
    ///
    /// # Errors
    /// As [`Snapshot::of`].
    pub fn open(medium: R) -> Result<Self, Error<R::Error>> {
        Snapshot::of(&medium)?;
        Ok(Self {
            medium,
            #[cfg(all(feature = "preserve", feature = "std"))]
            held: Held::default(),
        })
    }

    /// One that holds leases so.
    #[cfg(all(feature = "preserve", feature = "std"))]
    pub(super) const fn with(medium: R, held: Held<R>) -> Self {
        Self { medium, held }
    }

    /// One that holds none.
    #[cfg(all(feature = "preserve", not(feature = "std")))]
    pub(super) const fn without_leases(medium: R) -> Self {
        Self { medium }
    }

    /// What it reads.
    pub const fn medium(&self) -> &R {
        &self.medium
    }

    /// The last commit.
    ///
    /// # Errors
    /// As [`Snapshot::of`].
    pub fn snapshot(&self) -> Result<Snapshot<'_, R>, Error<R::Error>> {
        Snapshot::of(&self.medium)
    }

    /// What is there, in the order of names.
    ///
    /// # Errors
    /// As [`Snapshot::of`]; [`Error::Damaged`], if a page of the table is damaged in both copies or was forged.
    /// [`Snapshot::entries`] goes on behind such a page.
    #[cfg(feature = "preserve")]
    pub fn list(&self) -> Result<alloc::vec::Vec<Info>, Error<R::Error>> {
        self.until_it_lasts(|reader| reader.snapshot()?.entries().collect())
    }

    /// What the table says of a blob, if there is one.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    #[cfg(feature = "preserve")]
    pub fn stat(&self, name: &str) -> Result<Option<Info>, Error<R::Error>> {
        self.until_it_lasts(|reader| reader.snapshot()?.find(name))
    }

    /// A verified copy of a blob.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Damaged`], [`Error::Truncated`]; if the medium fails.
    #[cfg(feature = "preserve")]
    pub fn load(&self, name: &str) -> Result<alloc::vec::Vec<u8>, Error<R::Error>> {
        self.until_it_lasts(|reader| {
            let snapshot = reader.snapshot()?;
            let blob = snapshot.blob(name)?;
            // It lies in the medium as a whole.
            let mut bytes = alloc::vec![0; blob.len() as usize];
            blob.read_at(0, &mut bytes)?;
            Ok(bytes)
        })
    }

    /// Does it again as long as a writer comes in between.
    #[cfg(feature = "preserve")]
    fn until_it_lasts<T>(
        &self,
        mut work: impl FnMut(&Self) -> Result<T, Error<R::Error>>,
    ) -> Result<T, Error<R::Error>> {
        loop {
            match work(self) {
                Err(Error::Replaced) => {}
                done => return done,
            }
        }
    }
}

/// The store as one commit has left it.
#[derive(Debug)]
pub struct Snapshot<'r, R: Readable> {
    medium: &'r R,
    pub(super) header: Header,
    /// The copy of the root that is read.
    root: u64,
    pub(super) preamble: Preamble,
}

impl<R: Readable> Clone for Snapshot<'_, R> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<'r, R: Readable> Snapshot<'r, R> {
    /// The last commit's.
    ///
    /// # Errors
    /// If there is no store, or one of another version; if all headers, or both copies of the table's root, are damaged
    /// or the medium ends before them; if the medium fails.
    ///
    /// # Cost
    /// The root of the table is read.
    pub fn of(medium: &'r R) -> Result<Self, Error<R::Error>> {
        let mut header = headers::load(medium)?;
        for _ in 0..ATTEMPTS {
            let error = match Self::with(medium, header) {
                Ok(snapshot) => return Ok(snapshot),
                Err(error) => error,
            };
            fence(Acquire);
            let newer = headers::load(medium)?;
            if newer.generation == header.generation {
                return Err(error);
            }
            header = newer;
        }
        Err(Error::Replaced)
    }

    fn with(medium: &'r R, header: Header) -> Result<Self, Error<R::Error>> {
        let Header { roots, len, .. } = header;
        let (size, needed) = (medium.len(), roots[0].max(roots[1]) + len);
        for root in roots.into_iter().filter(|root| root + len <= size) {
            if is_root(medium, &header, root)? {
                let mut bytes = [0; PREAMBLE];
                medium.read(root, &mut bytes)?;
                let snapshot = Self { medium, header, root, preamble: Preamble::read(&bytes) };
                if !snapshot.is_current()? {
                    return Err(Error::Replaced);
                }
                if snapshot.preamble.level < LEVELS {
                    return Ok(snapshot);
                }
            }
        }
        if size < needed {
            return Err(Error::Truncated { size, needed });
        }
        Err(Error::Damaged(Damage { part: Part::Table, offset: roots[0], len }))
    }

    /// Whether no commit came after it. What was read before of its table, and of its blobs, is its own then:
    /// the writer uses nothing again before the next commit.
    ///
    /// # Errors
    /// If the medium fails, or all headers are damaged.
    pub fn is_current(&self) -> Result<bool, Error<R::Error>> {
        // What was read before is read before the header is.
        fence(Acquire);
        Ok(headers::load(self.medium)?.generation == self.header.generation)
    }

    pub(super) const fn medium(&self) -> &'r R {
        self.medium
    }

    /// The entries or children of the root.
    pub(super) const fn root(&self) -> Range<u64> {
        self.root + PREAMBLE as u64..self.root + self.header.len
    }

    /// What the store is known by.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        self.preamble.identity
    }

    /// The number of the commit.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.header.generation
    }

    /// Whether it was [sealed](crate::preserve#reboots), and not changed since.
    #[must_use]
    pub const fn is_sealed(&self) -> bool {
        self.header.is_sealed
    }

    /// The circumstances of the commit.
    #[must_use]
    pub const fn stamp(&self) -> &Stamp {
        &self.preamble.stamp
    }

    /// How many blobs there are.
    #[must_use]
    pub const fn blobs(&self) -> u64 {
        self.preamble.blobs
    }

    /// Bytes of the store.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.header.size
    }

    /// Returns what is there, in the order of names.
    #[must_use]
    pub const fn entries(&self) -> Entries<'_, R> {
        Entries(Walk::new(self))
    }

    /// Returns the blob of a name, if there is one.
    ///
    /// # Errors
    /// [`Error::Replaced`], if there was another commit; [`Error::Damaged`], if both copies of the page that would name
    /// it are damaged, or the table was forged; if the medium fails.
    ///
    /// # Cost
    /// A page of each level of the table is read.
    pub fn find(&self, name: &str) -> Result<Option<Info>, Error<R::Error>> {
        match Walk::find(self, name) {
            Err(Error::Medium(error)) => Err(Error::Medium(error)),
            found if self.is_current()? => found,
            _ => Err(Error::Replaced),
        }
    }

    /// The blob of a name, to be read.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Damaged`], if its tags are; [`Error::Truncated`], if the medium
    /// ends before it; if the medium fails.
    pub fn blob(&self, name: &str) -> Result<Blob<'r, R>, Error<R::Error>> {
        let info = self.find(name)?.ok_or(Error::NotFound)?;
        Blob::new(self, &info)
    }

    /// Copies a blob's metadata out, and returns as much of the buffer as it has.
    ///
    /// # Errors
    /// [`Error::Metadata`], if the buffer is too small; [`Error::Replaced`], if there was another commit; if the
    /// medium fails.
    pub fn metadata<'b>(
        &self,
        info: &Info,
        buffer: &'b mut [u8],
    ) -> Result<&'b [u8], Error<R::Error>> {
        let len = info.metadata;
        let bytes = buffer.get_mut(..len).ok_or(Error::Metadata { len })?;
        self.medium.read(info.metadata_at, bytes)?;
        if self.is_current()? { Ok(bytes) } else { Err(Error::Replaced) }
    }

    /// The boots that the store was opened in for writing, the oldest first. The last 32 are kept.
    ///
    /// # Errors
    /// [`Error::Damaged`]; if the medium fails.
    pub fn history(&self) -> Result<Boots<'r, R>, Error<R::Error>> {
        let Preamble { identity, history: number, history_tag, history_len: len, .. } =
            self.preamble;
        let (offset, key) = (history(number), key::history(identity, number));
        let is_possible = len <= history::MOST && len.is_multiple_of(history::BOOT as u64);
        if !is_possible || tag_of(self.medium, key, offset..offset + len)? != history_tag {
            let len = len.min(history::MOST);
            return Err(Error::Damaged(Damage { part: Part::History, offset, len }));
        }
        Ok(Boots { medium: self.medium, at: offset, end: offset + len })
    }

    /// Returns true if a copy of the root is whole.
    #[cfg(feature = "preserve")]
    pub(super) fn is_whole(&self, copy: u64) -> Result<bool, R::Error> {
        let is_there = copy + self.header.len <= self.medium.len();
        Ok(is_there && is_root(self.medium, &self.header, copy)?)
    }
}

/// The blobs of a [`Snapshot`], in the order of names.
///
/// A page of the table that is damaged in both copies is an error in the place of the blobs that it named. Those of other
/// pages follow. After any other error there is none.
#[derive(Debug)]
pub struct Entries<'s, R: Readable>(Walk<'s, R>);

impl<R: Readable> Iterator for Entries<'_, R> {
    type Item = Result<Info, Error<R::Error>>;

    /// The next one: [`Error::Replaced`], if there was another commit.
    fn next(&mut self) -> Option<Self::Item> {
        self.0.find_map(|step| match step {
            Ok(Step::Page(_)) => None,
            Ok(Step::Entry(info)) => Some(Ok(info)),
            Err(error) => Some(Err(error)),
        })
    }
}

/// The boots of a history, the oldest first.
#[derive(Debug)]
pub struct Boots<'r, R: Readable> {
    medium: &'r R,
    at: u64,
    end: u64,
}

impl<R: Readable> Iterator for Boots<'_, R> {
    type Item = Result<Boot, R::Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let mut bytes = [0; history::BOOT];
        let read = self.medium.read(self.at, &mut bytes);
        self.at += history::BOOT as u64;
        Some(read.map(|()| Boot::read(&bytes)))
    }
}

/// A blob that is read.
#[derive(Debug)]
pub struct Blob<'r, R: Readable> {
    medium: &'r R,
    generation: u64,
    info: Info,
    key: BlobKey,
}

impl<'r, R: Readable> Blob<'r, R> {
    pub(super) fn new(snapshot: &Snapshot<'r, R>, info: &Info) -> Result<Self, Error<R::Error>> {
        let (medium, generation) = (snapshot.medium, snapshot.header.generation);
        let key = BlobKey::new(snapshot.identity(), info.generation, info.offset);
        let blob = Self { medium, generation, info: *info, key };
        let tags = blob.tags();
        let (size, needed) = (medium.len(), tags.end);
        // Nothing is missing of an empty one.
        if info.len > 0 && size < needed {
            return Err(Error::Truncated { size, needed });
        }
        let key = key.chunk(chunks(info.len));
        if tags.is_empty() || tag_of(medium, key, tags.clone())? == info.tag {
            return Ok(blob);
        }
        let len = tags.end - tags.start;
        blob.is_not(Damage { part: Part::Tags, offset: tags.start, len })
    }

    /// What the table says of it.
    #[must_use]
    pub const fn info(&self) -> &Info {
        &self.info
    }

    /// Its bytes.
    #[expect(clippy::len_without_is_empty, reason = "an empty blob is nothing that is asked for")]
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.info.len
    }

    /// Copies a part of it out, from its byte `at` on, and verifies the copy.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Replaced`], [`Error::Range`], or that of the medium. The buffer may
    /// have been written then, with anything.
    ///
    /// # Cost
    /// Each 64 KiB have a tag: the rest of those at the ends of the part is read, too. Nothing is allocated.
    pub fn read_at(&self, at: u64, into: &mut [u8]) -> Result<(), Error<R::Error>> {
        let end = at.saturating_add(into.len() as u64);
        if end > self.info.len {
            return Err(Error::Range { range: at..end, len: self.info.len });
        }
        let (mut at, mut rest) = (at, into);
        while !rest.is_empty() {
            let bytes = (CHUNK - at % CHUNK).min(rest.len() as u64);
            let (part, behind) = rest.split_at_mut(bytes as usize);
            self.read_of_chunk(at, part)?;
            (at, rest) = (at + bytes, behind);
        }
        Ok(())
    }

    /// Reads all of it and verifies it, without copying it out. `progress` is called with the bytes that were
    /// read, now and then.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at).
    pub fn verify(&self, progress: &mut dyn FnMut(u64)) -> Result<(), Error<R::Error>> {
        for chunk in 0..chunks(self.info.len) {
            self.read_of_chunk(chunk * CHUNK, &mut [])?;
            progress((chunk * CHUNK + CHUNK).min(self.info.len));
        }
        Ok(())
    }

    /// Copies out what begins at `at` and lies within one chunk, and verifies the copy.
    fn read_of_chunk(&self, at: u64, into: &mut [u8]) -> Result<(), Error<R::Error>> {
        let begin = at - at % CHUNK;
        let end = (begin + CHUNK).min(self.info.len);
        let place = |at: u64| self.info.offset + at;
        let key = self.key.chunk(begin / CHUNK);
        self.medium.read(place(at), into)?;
        let tag = if into.len() as u64 == end - begin {
            tag::of(key, into)
        } else {
            let mut running = Running::new(key);
            append(self.medium, place(begin)..place(at), &mut running)?;
            running.append(into);
            append(self.medium, place(at + into.len() as u64)..place(end), &mut running)?;
            running.finish()
        };
        // A blob that took its place meanwhile has another key, so its tags prove nothing here.
        if tag == self.tag(begin / CHUNK)? {
            return Ok(());
        }
        let (part, offset) = (Part::Bytes { at: begin }, place(begin));
        self.is_not(Damage { part, offset, len: end - begin })
    }

    /// Returns the place of the list of tags.
    fn tags(&self) -> Range<u64> {
        let Range { start, end } = tags(self.info.len);
        self.info.offset + start..self.info.offset + end
    }

    /// Reads the tag of a chunk.
    fn tag(&self, chunk: u64) -> Result<u64, R::Error> {
        let tags = self.tags();
        if tags.is_empty() {
            return Ok(self.info.tag);
        }
        let mut bytes = [0; TAG as usize];
        self.medium.read(tags.start + chunk * TAG, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// [`Error::Replaced`], if another one has taken its place or its name, or none.
    fn check_it_is_there(&self) -> Result<(), Error<R::Error>> {
        fence(Acquire);
        if headers::load(self.medium)?.generation == self.generation {
            return Ok(());
        }
        loop {
            match Snapshot::of(self.medium)?.find(self.info.name.as_str()) {
                // There was another commit meanwhile.
                Err(Error::Replaced) => {}
                Ok(Some(now)) if now.is(&self.info) => return Ok(()),
                Ok(_) => return Err(Error::Replaced),
                Err(error) => return Err(error),
            }
        }
    }

    /// Why it is not what it was: it has been replaced, or it is damaged.
    fn is_not<T>(&self, damage: Damage) -> Result<T, Error<R::Error>> {
        self.check_it_is_there()?;
        Err(Error::Damaged(damage))
    }
}

#[cfg(test)]
#[cfg(all(feature = "preserve", feature = "std", not(loom), not(miri)))]
mod tests {
    use super::super::{Error, Options, Store};
    use super::CHUNK;
    use crate::cache::Cache;
    use crate::medium::{Medium, Memory};
    use crate::skip::skip;
    use alloc::vec::Vec;
    use core::sync::atomic::AtomicU64;

    const LEN: usize = 3 * CHUNK as usize;

    fn put<M: Medium>(store: &mut Store<M>, name: &str, byte: u8) {
        let mut transaction = store.begin().unwrap();
        transaction.put(name, &alloc::vec![byte; LEN]).unwrap();
        transaction.commit().unwrap();
    }

    /// The third one lies where the first one did, and so do its tags.
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
        let mut store = options.create(Memory::new(&words, cache)).unwrap();
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
        assert!(matches!(read, Err(Error::Replaced)), "{read:?}");
        let verified = blob.verify(&mut |_| ());
        assert!(matches!(verified, Err(Error::Replaced)), "{verified:?}");
    }
}
