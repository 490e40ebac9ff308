//! The store as one commit has left it.
//!
//! # Work
//! A snapshot reads the root.

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
    /// Returns a snapshot of the last commit.
    ///
    /// # Errors
    /// If the medium does not contain a store, or one of another version; if all headers, or both copies of the table's
    /// root, are damaged or the medium ends before them; if the medium fails.
    ///
    /// # Cost
    /// Reads the root of the table.
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
        Err(Error(ErrorKind::Replaced))
    }

    fn with(medium: &'r R, header: Header) -> Result<Self, Error<R::Error>> {
        let Header { roots, len, .. } = header;
        let (size, needed) = (medium.len(), roots[0].max(roots[1]) + len);
        let there = roots.into_iter().filter(|root| root + len <= size);
        let whole = first_whole(there, |root| is_root(medium, &header, root));
        if let Some(root) = whole.map_err(Error::medium)? {
            let mut bytes = [0; PREAMBLE];
            medium.read(root, &mut bytes).map_err(Error::medium)?;
            let snapshot = Self { medium, header, root, preamble: Preamble::read(&bytes) };
            if !snapshot.is_current()? {
                return Err(Error(ErrorKind::Replaced));
            }
            if snapshot.preamble.level < LEVELS {
                return Ok(snapshot);
            }
        }
        if size < needed {
            return Err(Error(ErrorKind::Truncated { size, needed }));
        }
        Err(Error(ErrorKind::Damaged(Damage { part: Part::Table, offset: roots[0], len })))
    }

    /// Returns true if this is still the last commit. Then everything read before from its table and its blobs belongs
    /// to it: the writer does not reuse their space before the next commit.
    ///
    /// # Errors
    /// If the medium fails, or all headers are damaged.
    pub fn is_current(&self) -> Result<bool, Error<R::Error>> {
        // The earlier reads come before the read of the header.
        fence(Acquire);
        Ok(headers::load(self.medium)?.generation == self.header.generation)
    }

    pub(super) const fn medium(&self) -> &'r R {
        self.medium
    }

    /// Returns the range of the root's entries or children.
    pub(super) const fn root(&self) -> Range<u64> {
        self.root + PREAMBLE as u64..self.root + self.header.len
    }

    /// Returns the identity of the store.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        self.preamble.identity
    }

    /// Returns the number of the commit.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.header.generation
    }

    /// Returns true if it was [sealed](crate::preserve#reboots), and not changed since.
    #[must_use]
    pub const fn is_sealed(&self) -> bool {
        self.header.is_sealed
    }

    /// Returns the circumstances of the commit.
    #[must_use]
    pub const fn stamp(&self) -> &Stamp {
        &self.preamble.stamp
    }

    /// Returns the number of blobs and regions.
    #[must_use]
    pub const fn blobs(&self) -> u64 {
        self.preamble.blobs
    }

    /// Returns the number of bytes of the store.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.header.size
    }

    /// Copies a blob's metadata into the buffer, and returns the part of the buffer that it fills.
    ///
    /// # Errors
    /// [`ErrorKind::Metadata`], if the buffer is too small; [`ErrorKind::Replaced`], if there was another commit; if the
    /// medium fails.
    pub fn metadata<'b>(
        &self,
        info: &Info,
        buffer: &'b mut [u8],
    ) -> Result<&'b [u8], Error<R::Error>> {
        let len = info.metadata;
        let bytes = buffer.get_mut(..len).ok_or(Error(ErrorKind::Metadata { len }))?;
        self.medium.read(info.metadata_at, bytes).map_err(Error::medium)?;
        if self.is_current()? { Ok(bytes) } else { Err(Error(ErrorKind::Replaced)) }
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
        let Preamble { identity, history: number, history_tag, history_len: len, .. } =
            self.preamble;
        let (offset, key) = (history(number), key::history(identity, number));
        let is_possible = len <= history::MOST && len.is_multiple_of(history::BOOT as u64);
        if !is_possible
            || tag_of(self.medium, key, offset..offset + len).map_err(Error::medium)? != history_tag
        {
            return Err(Error(ErrorKind::Damaged(self.lost_history())));
        }
        let medium = self.medium;
        Ok((offset..offset + len).step_by(history::BOOT).map(move |at| {
            let mut bytes = [0; history::BOOT];
            medium.read(at, &mut bytes).map_err(Error::medium)?;
            Ok(Boot::read(&bytes))
        }))
    }

    /// Returns true if a copy of the root is whole. One that cannot be read is not.
    #[cfg(feature = "preserve")]
    pub(super) fn is_whole(&self, copy: u64) -> bool {
        let is_there = copy + self.header.len <= self.medium.len();
        is_there && is_root(self.medium, &self.header, copy).unwrap_or(false)
    }

    /// Returns the damage of a history that is not whole.
    pub(super) fn lost_history(&self) -> Damage {
        let Preamble { history: number, history_len: len, .. } = self.preamble;
        Damage { part: Part::History, offset: history(number), len: len.min(history::MOST) }
    }

    /// Returns true if a copy of a page is at a place, as it was committed.
    pub(super) fn is_page(&self, level: usize, child: &Child, at: u64) -> Result<bool, R::Error> {
        let (medium, key) = (self.medium(), key::page(self.identity(), level));
        let is_there = at + child.len <= medium.len();
        Ok(is_there && tag_of(medium, key, at..at + child.len)? == child.tag)
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
fn is_root<R: Readable>(medium: &R, header: &Header, at: u64) -> Result<bool, R::Error> {
    let mut bytes = [0; TAG as usize];
    medium.read(at, &mut bytes)?;
    let tag = u64::from_le_bytes(bytes);
    let (key, rest) = (key::root(header.generation), at + TAG..at + header.len);
    Ok(tag as u32 == header.root_tag && tag_of(medium, key, rest)? == tag)
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

/// Continues the computation of a tag over a range of the medium.
pub(super) fn append<R: Readable>(
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
