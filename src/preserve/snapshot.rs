//! The store as one commit has left it.
//!
//! # Work
//! A snapshot reads the root. The metadata of an entry takes a [walk](super::walk) to it, unless it is the last item of
//! [`Entries`](super::Entries).

use super::Identity;
use super::error::{Damage, Error, ErrorKind, Part};
use super::format::header::Header;
use super::format::key;
use super::format::page::LEVELS;
use super::format::table::{Child, PREAMBLE, Preamble};
use super::format::{TAG, history};
use super::headers;
use super::info::Info;
use super::stamp::{Boot, Stamp};
use crate::format::tag::Running;
use crate::medium::Readable;
use core::error::Error as Failure;
use core::ops::Range;
use core::sync::atomic::Ordering::Acquire;
use core::sync::atomic::fence;

/// The number of times that a writer may replace what is being looked for: each time it has finished a commit.
const ATTEMPTS: u32 = 1000;

/// The number of bytes read at a time to compute a tag.
const PIECE: usize = 1024;

/// The store as one commit has left it.
///
/// ```
/// # #[cfg(all(feature = "preserve", feature = "std"))]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use cachemaint::{Cache, medium::Memory, survival::Backing};
/// # use std::sync::atomic::AtomicU64;
/// # static WORDS: [AtomicU64; 1 << 14] = [const { AtomicU64::new(0) }; 1 << 14];
/// # let medium = Memory::new(&WORDS, Cache::host()?, Backing::Ram);
/// use cachemaint::preserve::Store;
///
/// # let mut store = Store::create_new(medium)?;
/// # let mut transaction = store.begin()?;
/// # transaction.put("cpu", b"registers")?;
/// # transaction.commit()?;
/// let snapshot = store.snapshot()?;
/// for blob in snapshot.entries() {
///     let blob = blob?;
///     println!("{}: {} bytes of generation {}", blob.name, blob.len, blob.generation);
/// }
/// assert_eq!(snapshot.blobs(), 1);
/// # Ok(())
/// # }
/// # #[cfg(not(all(feature = "preserve", feature = "std")))]
/// # fn main() {}
/// ```
#[derive(Debug)]
pub struct Snapshot<'r, R: Readable> {
    pub(super) medium: &'r R,
    pub(super) commit: Commit,
}

impl<R: Readable> Clone for Snapshot<'_, R> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<'r, R: Readable> Snapshot<'r, R> {
    /// Returns a snapshot of the last commit.
    ///
    /// # Errors
    /// If the medium does not contain a store, or one of another version; if all headers, or both copies of the table's
    /// root, are damaged or the medium ends before them; if the medium fails.
    ///
    /// # Cost
    /// Reads the root of the table.
    pub fn of(medium: &'r R) -> Result<Self, Error<R::Error>> {
        Ok(Self { medium, commit: Commit::last(medium)? })
    }

    /// Returns true if this is still the last commit. Then everything read before from its table and its blobs belongs
    /// to it: the writer does not reuse their space before the next commit.
    ///
    /// # Errors
    /// If the medium fails, or all headers are damaged.
    pub fn is_current(&self) -> Result<bool, Error<R::Error>> {
        self.erased().is_current()
    }

    /// Returns the commit in its medium, without the medium's type.
    pub(super) fn erased(&self) -> CommitIn<'_, R::Error> {
        CommitIn { medium: self.medium, commit: &self.commit }
    }

    /// Returns the identity of the store.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        self.commit.preamble.identity
    }

    /// Returns the number of the commit.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.commit.header.generation
    }

    /// Returns true if it was [sealed](crate::preserve#reboots), and not changed since.
    #[must_use]
    pub const fn is_sealed(&self) -> bool {
        self.commit.header.is_sealed
    }

    /// Returns the circumstances of the commit.
    #[must_use]
    pub const fn stamp(&self) -> &Stamp {
        &self.commit.preamble.stamp
    }

    /// Returns the number of blobs and regions.
    #[must_use]
    pub const fn blobs(&self) -> u64 {
        self.commit.preamble.blobs
    }

    /// Returns the number of bytes of the store.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.commit.header.size
    }

    /// Copies the metadata of a blob or region into the buffer, and returns the part of the buffer that it fills.
    ///
    /// The entry can be of an earlier snapshot, if the same put or the same region is still there under its name.
    ///
    /// # Errors
    /// [`ErrorKind::Metadata`], if the buffer is too small; [`ErrorKind::Replaced`], if this commit does not have the
    /// entry, or there was another commit; [`ErrorKind::Damaged`], as [`find`](Self::find); if the medium fails.
    ///
    /// # Cost
    /// A page of each level of the table is read. [`Entries::metadata`](super::Entries::metadata) reads none.
    pub fn metadata<'b>(
        &self,
        info: &Info,
        buffer: &'b mut [u8],
    ) -> Result<&'b [u8], Error<R::Error>> {
        self.erased().metadata(info, buffer)
    }

    /// Returns the boots in which the store was opened for writing, the oldest first. The last 32 are kept.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`]; if the medium fails.
    #[expect(clippy::type_complexity, reason = "an alias cannot stand for an opaque type")]
    pub fn history(
        &self,
    ) -> Result<impl Iterator<Item = Result<Boot, Error<R::Error>>> + use<'r, R>, Error<R::Error>>
    {
        let place = self.erased().history()?;
        let medium = self.medium;
        Ok(place.step_by(history::BOOT).map(move |at| boot(medium, at)))
    }
}

/// Reads a boot of the history.
pub(super) fn boot<E: Failure>(
    medium: &dyn Readable<Error = E>,
    at: u64,
) -> Result<Boot, Error<E>> {
    let mut bytes = [0; history::BOOT];
    medium.read(at, &mut bytes).and_then(|()| medium.check()).map_err(Error::medium)?;
    Ok(Boot::read(&bytes))
}

/// The places and the contents of a commit, as its header and its root have them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Commit {
    pub(super) header: Header,
    /// The copy of the root that is read.
    root: u64,
    pub(super) preamble: Preamble,
}

impl Commit {
    /// Returns the last commit in a medium.
    pub(super) fn last<E: Failure>(medium: &dyn Readable<Error = E>) -> Result<Self, Error<E>> {
        let mut header = headers::load(medium)?;
        for _ in 0..ATTEMPTS {
            let error = match Self::with(medium, header) {
                Ok(commit) => return Ok(commit),
                Err(error) => error,
            };
            fence(Acquire);
            let newer = headers::load(medium)?;
            if newer.generation == header.generation {
                return Err(error);
            }
            header = newer;
        }
        Err(Error(ErrorKind::Replaced))
    }

    fn with<E: Failure>(
        medium: &dyn Readable<Error = E>,
        header: Header,
    ) -> Result<Self, Error<E>> {
        let Header { roots, len, .. } = header;
        let (size, needed) = (medium.len(), roots[0].max(roots[1]) + len);
        let there = roots.into_iter().filter(|root| root + len <= size);
        let whole = first_whole(there, |root| is_root(medium, &header, root));
        if let Some(root) = whole.map_err(Error::medium)? {
            let mut bytes = [0; PREAMBLE];
            medium.read(root, &mut bytes).map_err(Error::medium)?;
            let commit = Self { header, root, preamble: Preamble::read(&bytes) };
            if !commit.in_medium(medium).is_current()? {
                return Err(Error(ErrorKind::Replaced));
            }
            if commit.preamble.level < LEVELS {
                return Ok(commit);
            }
        }
        if size < needed {
            return Err(Error(ErrorKind::Truncated { size, needed }));
        }
        Err(Error(ErrorKind::Damaged(Damage { part: Part::Table, offset: roots[0], len })))
    }

    pub(super) fn in_medium<'m, E>(
        &'m self,
        medium: &'m dyn Readable<Error = E>,
    ) -> CommitIn<'m, E> {
        CommitIn { medium, commit: self }
    }

    /// Returns the range of the root's entries or children.
    pub(super) const fn root(&self) -> Range<u64> {
        self.root + PREAMBLE as u64..self.root + self.header.len
    }

    /// Returns the damage of a history that is not whole.
    pub(super) fn lost_history(&self) -> Damage {
        let Preamble { history: number, history_len: len, .. } = self.preamble;
        Damage { part: Part::History, offset: history(number), len: len.min(history::MOST) }
    }
}

/// A commit in a medium. Code that reads it knows the medium's errors alone, so it is compiled once for all media with the
/// same errors.
pub(super) struct CommitIn<'m, E> {
    pub(super) medium: &'m dyn Readable<Error = E>,
    pub(super) commit: &'m Commit,
}

impl<E> Clone for CommitIn<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for CommitIn<'_, E> {}

impl<E: Failure> CommitIn<'_, E> {
    /// Returns true if this is still the last commit.
    pub(super) fn is_current(self) -> Result<bool, Error<E>> {
        // The earlier reads come before the read of the header.
        fence(Acquire);
        headers::is_current(self.medium, &self.commit.header)
    }

    fn metadata<'b>(self, info: &Info, buffer: &'b mut [u8]) -> Result<&'b [u8], Error<E>> {
        let len = info.metadata;
        // An entry of another commit or another store can have had its metadata anywhere.
        let is_same = |there: &Info| there.is(info) && there.metadata == len;
        let there = self.find(info.name.as_str())?.filter(is_same);
        let at = there.ok_or(Error(ErrorKind::Replaced))?.metadata_at;
        self.metadata_at((at, len), buffer)
    }

    /// Copies metadata from its place in this commit.
    pub(super) fn metadata_at(
        self,
        (at, len): (u64, usize),
        buffer: &mut [u8],
    ) -> Result<&[u8], Error<E>> {
        let bytes = buffer.get_mut(..len).ok_or(Error(ErrorKind::Metadata { len }))?;
        self.medium.read(at, bytes).map_err(Error::medium)?;
        if self.is_current()? { Ok(bytes) } else { Err(Error(ErrorKind::Replaced)) }
    }

    /// Returns the place of the history, which is whole.
    pub(super) fn history(self) -> Result<Range<u64>, Error<E>> {
        let Preamble { identity, history: number, history_tag, history_len: len, .. } =
            self.commit.preamble;
        let (offset, key) = (history(number), key::history(identity, number));
        let is_possible = len <= history::MOST && len.is_multiple_of(history::BOOT as u64);
        if !is_possible
            || tag_of(self.medium, key, offset..offset + len).map_err(Error::medium)? != history_tag
        {
            self.medium.check().map_err(Error::medium)?;
            return Err(Error(ErrorKind::Damaged(self.commit.lost_history())));
        }
        Ok(offset..offset + len)
    }

    /// Returns true if a copy of the root is whole. One that cannot be read is not.
    #[cfg(feature = "preserve")]
    pub(super) fn is_whole(self, copy: u64) -> bool {
        let header = &self.commit.header;
        let is_there = copy + header.len <= self.medium.len();
        is_there && is_root(self.medium, header, copy).unwrap_or(false)
    }

    /// Returns true if a copy of a page is at a place, as it was committed.
    pub(super) fn is_page(self, level: usize, child: &Child, at: u64) -> Result<bool, E> {
        let key = key::page(self.commit.preamble.identity, level);
        let is_there = at + child.len <= self.medium.len();
        Ok(is_there && tag_of(self.medium, key, at..at + child.len)? == child.tag)
    }
}

/// Returns the place of the first copy that is whole. One that cannot be read is not. The medium's error is returned if no
/// other copy is whole.
pub(super) fn first_whole<E>(
    copies: impl IntoIterator<Item = u64>,
    is_whole: impl Fn(u64) -> Result<bool, E>,
) -> Result<Option<u64>, E> {
    let mut none = Ok(None);
    for at in copies {
        match is_whole(at) {
            Ok(true) => return Ok(Some(at)),
            Ok(false) => {}
            Err(error) => none = none.and(Err(error)),
        }
    }
    none
}

/// Returns true if the root of a header, or its copy, is at a place, as it was committed.
fn is_root<E: Failure>(
    medium: &dyn Readable<Error = E>,
    header: &Header,
    at: u64,
) -> Result<bool, E> {
    let mut bytes = [0; TAG as usize];
    medium.read(at, &mut bytes)?;
    let tag = u64::from_le_bytes(bytes);
    let (key, rest) = (key::root(header.generation), at + TAG..at + header.len);
    Ok(tag as u32 == header.root_tag && tag_of(medium, key, rest)? == tag)
}

/// Returns the tag of a range of the medium.
pub(super) fn tag_of<E: Failure>(
    medium: &dyn Readable<Error = E>,
    key: u64,
    range: Range<u64>,
) -> Result<u64, E> {
    let mut running = Running::new(key);
    append(medium, range, &mut running)?;
    Ok(running.finish())
}

/// Continues the computation of a tag over a range of the medium.
pub(super) fn append<E: Failure>(
    medium: &dyn Readable<Error = E>,
    range: Range<u64>,
    running: &mut Running,
) -> Result<(), E> {
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
