//! A store opened for writing: its state, and its space.

use super::boots::Uses;
#[cfg(feature = "std")]
use super::open::{Opened, Options};
use super::reserve::{Held, Undo};
use super::room::{Places, Touched};
use super::space::{From, Full, NOTHING, Space};
use super::taken::Taken;
use super::tree::Tree;
#[cfg(feature = "std")]
use crate::medium::OpenError;
use crate::medium::{Granularity, Medium, WriterLockGuard};
use crate::preserve::Identity;
use crate::preserve::blob::Blob;
use crate::preserve::error::Error;
use crate::preserve::format::header::{BYTES, Header};
use crate::preserve::format::headers as places_of;
use crate::preserve::format::table::Preamble;
use crate::preserve::info::Content;
use crate::preserve::reader::Reader;
use crate::preserve::snapshot::Snapshot;
use crate::preserve::stamp::Stamp;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

/// A store of named blobs, opened for writing. See the [module](crate::preserve).
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
/// let (mut store, _) = Store::open_or_create(medium)?;
/// let mut transaction = store.begin()?;
/// transaction.put("ram", &[7; 1000])?;
/// transaction.put("cpu", b"registers")?;
/// transaction.commit()?; // after a crash both are found, or neither
/// assert_eq!(store.reader().load("cpu")?, b"registers");
/// # Ok(())
/// # }
/// # #[cfg(not(all(feature = "preserve", feature = "std")))]
/// # fn main() {}
/// ```
#[derive(Debug)]
pub struct Store<M: Medium> {
    pub(super) medium: Arc<M>,
    pub(super) writer: Writer,
    /// The time of commits, in seconds since 1970-01-01 UTC.
    pub(super) seconds: Option<fn() -> u64>,
    /// The header of the last commit, as it is in the medium.
    pub(super) header: Header,
    /// Bytes of the store after the next commit.
    pub(super) size: u64,
    pub(super) preamble: Preamble,
    pub(super) tree: Tree,
    pub(super) space: Space,
    /// Places for the pages of the commit to come, and for those of a deletion.
    pub(super) held: Held,
    pub(super) taken: Taken,
    pub(super) uses: Uses,
    /// Bytes of pages that are to be written over damaged copies of them.
    pub(super) mends: Vec<(u64, Vec<u8>)>,
    /// True if a commit failed with an unknown outcome.
    pub(super) has_failed: bool,
}

/// The lock of the medium's one writer: of a store, and of the regions that it has handed out.
pub(super) type Writer = Option<Arc<WriterLockGuard>>;

/// The space of a store, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Capacity {
    /// The space for blobs and pages of the table in all.
    pub total: u64,
    /// The free space.
    pub free: u64,
    /// The length of the largest blob that fits now, without the space of its name and its tags.
    pub largest: u64,
}

/// [`Options`] has more settings.
#[cfg(feature = "std")]
#[expect(clippy::type_complexity, reason = "each part has a name that the caller knows")]
impl<M: Medium> Store<M> {
    /// Opens a store for writing, as [`Options::open`].
    ///
    /// # Errors
    /// As [`Options::open`].
    pub fn open(medium: M) -> Result<(Self, Opened), OpenError<M, Error<M::Error>>> {
        Options::new().open(medium)
    }

    /// Creates a store in a medium without one, as [`Options::create_new`].
    ///
    /// # Errors
    /// As [`Options::create_new`].
    pub fn create_new(medium: M) -> Result<Self, OpenError<M, Error<M::Error>>> {
        Options::new().create_new(medium)
    }

    /// Opens the store in a medium, or creates one in an empty medium, as [`Options::open_or_create`].
    ///
    /// `None` means that this call has created the store, so that there is no earlier commit. A program that is killed
    /// between the creation and its first commit leaves a store without blobs, which the next call opens.
    ///
    /// ```
    /// # #[cfg(feature = "dax")]
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use cachemaint::{dax, preserve::Store};
    ///
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("state");
    /// let options = dax::Options::new().allow_page_granularity();
    /// let (store, opened) = Store::open_or_create(options.open_or_create(&path, 1 << 20)?)?;
    /// match &opened {
    ///     None => println!("a new store"),
    ///     Some(opened) => println!("since the last commit: {}", opened.verdict.origin), // kexec, power loss, ...
    /// }
    /// assert!(opened.is_none());
    /// drop(store);
    /// let (_, opened) = Store::open_or_create(options.open_or_create(&path, 1 << 20)?)?;
    /// assert!(opened.is_some());
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "dax"))]
    /// # fn main() {}
    /// ```
    ///
    /// # Errors
    /// As [`Options::open_or_create`].
    pub fn open_or_create(
        medium: M,
    ) -> Result<(Self, Option<Opened>), OpenError<M, Error<M::Error>>> {
        Options::new().open_or_create(medium)
    }
}

impl<M: Medium> Store<M> {
    /// Returns a reader of this store. It can be sent to another thread.
    #[must_use]
    pub fn reader(&self) -> Reader<Arc<M>>
    where
        M: Send,
    {
        Reader::of_store(Arc::clone(&self.medium))
    }

    /// Returns the last commit.
    ///
    /// # Errors
    /// If the medium fails, or was damaged since.
    pub fn snapshot(&self) -> Result<Snapshot<'_, M>, Error<M::Error>> {
        Snapshot::of(&self.medium)
    }

    /// Returns a blob of the last commit, to be read in parts or as a stream. The store can be written meanwhile.
    ///
    /// ```
    /// # #[cfg(feature = "dax")]
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use cachemaint::{dax, preserve::Store};
    ///
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("state");
    /// # let file = dax::Options::new().allow_page_granularity().create_new(&path, 1 << 20)?;
    /// let (mut store, _) = Store::open_or_create(file)?;
    /// let mut transaction = store.begin()?;
    /// transaction.put("ram", &[7; 100_000])?;
    /// transaction.commit()?;
    ///
    /// let mut ram = store.blob("ram")?; // a `std::io::Read`
    /// let mut transaction = store.begin()?;
    /// transaction.put_with("copy", ram.info().len, |copy| std::io::copy(&mut ram, copy))?;
    /// transaction.commit()?;
    /// # assert_eq!(store.reader().load("copy")?, [7; 100_000]);
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "dax"))]
    /// # fn main() {}
    /// ```
    ///
    /// # Errors
    /// As [`Snapshot::blob`].
    pub fn blob(&self, name: &str) -> Result<Blob<Arc<M>>, Error<M::Error>>
    where
        M: Send,
    {
        let chunks = self.snapshot()?.erased().blob(name)?;
        Ok(Blob::new(Arc::clone(&self.medium), chunks))
    }

    /// Returns the identity of the store.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        self.preamble.identity
    }

    /// Returns the number of the last commit.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.header.generation
    }

    /// Returns the medium.
    #[must_use]
    pub fn medium(&self) -> &M {
        &self.medium
    }

    /// Returns the space of the store.
    #[must_use]
    pub fn capacity(&self) -> Capacity {
        let (total, free) = (self.space.len(), self.space.free() + self.held.bytes());
        // Room is kept for the pages that a put writes, and for those of a deletion after it.
        let (mut space, mut held) = (self.space.clone(), self.held.clone());
        let mut touched = Touched::default();
        touched.resize(&self.tree, self.unit(), (&[], 0, 0));
        let places = touched.places(&self.tree, self.unit(), true);
        let largest = held.fill(&places, &mut space).map_or(0, |_| space.largest_len());
        Capacity { total, free, largest }
    }

    pub(super) const fn unit(&self) -> u64 {
        self.header.unit
    }

    pub(super) fn stamp(&self) -> Stamp {
        let stamp = self.preamble.stamp;
        Stamp { seconds: self.seconds.map_or(stamp.seconds, |now| now()), ..stamp }
    }

    /// Takes a place for bytes of a length.
    pub(super) fn claim(
        &mut self,
        content: Content,
        len: u64,
        alignment: u64,
    ) -> Result<Range<u64>, Full> {
        let space = &mut self.space;
        let full = Full { needed: len, largest: space.len() };
        let bytes = content.occupied(len, space.unit()).ok_or(full)?;
        let claimed = space.claim(bytes, alignment, From::Begin, &NOTHING);
        claimed.map_err(|largest| Full { needed: bytes, largest })
    }

    /// Makes the current header durable as deep as the medium allows.
    pub(super) fn deep_persist_header(&self) -> Result<(), M::Error> {
        self.deep_persist_each(&headers_of(self.header.generation))
    }

    /// Makes ranges, which are written back or will be by the next fence, durable as deep as the medium allows. Goes on after
    /// an error, which leaves the lines of its range written back, and returns the first one.
    pub(super) fn deep_persist_each(&self, ranges: &[Range<u64>]) -> Result<(), M::Error> {
        let mut done = Ok(());
        // The system writes pages back beyond all buffers.
        if matches!(self.medium.granularity(), Granularity::Page(_)) {
            return done;
        }
        for range in ranges {
            let this = self.medium.deep_persist(range.clone());
            done = done.and(this);
        }
        done
    }

    /// Adds the space by which the medium has grown.
    #[cfg(all(feature = "dax", any(unix, windows)))]
    pub(super) fn extend_to(&mut self, bytes: u64) {
        self.size = bytes / self.unit() * self.unit();
        self.space.extend_to(self.size);
        self.settle();
    }

    /// Holds places for pages. Returns the means to undo that.
    pub(super) fn fill(&mut self, places: &Places) -> Result<Undo, Full> {
        self.held.fill(places, &mut self.space)
    }

    /// Holds the places of a deletion after the last commit, and no others.
    pub(super) fn settle(&mut self) {
        let deletion = Places::of_deletion(&self.tree, self.unit());
        self.held.settle(&deletion, &mut self.space);
    }

    /// Returns the space that is in use, without the places that are held.
    pub(super) fn used(&self) -> Vec<Range<u64>> {
        let mut space = self.space.clone();
        self.held.places().for_each(|place| space.give(place));
        space.used().collect()
    }
}

/// Returns the ranges of both copies of a header.
fn headers_of(generation: u64) -> [Range<u64>; 2] {
    places_of(generation).map(|at| at..at + BYTES as u64)
}
