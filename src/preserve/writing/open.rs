//! Creating a store, and opening one for writing.
//!
//! # Work and memory
//! A creation looks at the first words of the medium, and writes the headers, the root and a history. Neither its work
//! nor its memory grows with the medium.
//!
//! An opening [loads](super::loading) the table and writes its root. A [verification](crate::preserve::verify), if
//! there is one, reads each blob besides, and has an entry of each name in memory until it ends. The history has at
//! most 32 boots.

use super::boots::{boots, with_opening};
use super::file;
use super::origin::{Evidence, Verdict, judge};
use super::reserve::distance;
use super::store::{Store, Writer};
use crate::format::progress::Progress;
use crate::format::reread::Rereadings;
use crate::format::tag;
use crate::format::writer;
use crate::medium::{Medium, OpenError, Readable};
use crate::preserve::Identity;
use crate::preserve::error::{Damage, Error, ErrorKind};
use crate::preserve::format::header::{FIRST, Header};
use crate::preserve::format::history::BOOT;
use crate::preserve::format::page::root_slot;
use crate::preserve::format::table::{self, PREAMBLE, Preamble};
use crate::preserve::format::{data, history, is_unit, key};
use crate::preserve::headers::{self, Presence};
use crate::preserve::snapshot::Snapshot;
use crate::preserve::stamp::{Boot, Origin, Stamp};
use crate::preserve::verify::{Verification, verify};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The smallest default unit in bytes: usually a line.
const UNIT: u64 = 64;

/// The condition for verifying all blobs when a store is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verify {
    /// If something may have been lost: the store was not sealed, and it was not written in this boot. Later openings
    /// verify too, until all blobs are found whole.
    ///
    /// A medium that was [copied or restored](Verdict#copies) in the boot of the last commit is not noticed, and not
    /// verified.
    #[default]
    IfUnclean,
    /// Each time.
    Always,
    /// Never. Loads are verified all the same.
    Never,
}

/// Options for creating and opening a store.
///
/// ```
/// # #[cfg(all(feature = "preserve", feature = "std"))]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use cachemaint::{Cache, medium::Memory, survival::Backing};
/// # use std::sync::atomic::AtomicU64;
/// # static WORDS: [AtomicU64; 1 << 14] = [const { AtomicU64::new(0) }; 1 << 14];
/// # let medium = Memory::new(&WORDS, Cache::host()?, Backing::Ram);
/// use cachemaint::preserve::{Options, Verify};
///
/// let (store, opened) = Options::new().verify(Verify::Always).open_or_create(medium)?;
/// assert!(opened.is_none(), "it was created");
/// assert_eq!(store.snapshot()?.blobs(), 0);
/// # Ok(())
/// # }
/// # #[cfg(not(all(feature = "preserve", feature = "std")))]
/// # fn main() {}
/// ```
#[derive(Debug)]
pub struct Options<'p> {
    unit: Option<u64>,
    entropy: [u64; 2],
    stamp: Option<Stamp>,
    verify: Verify,
    is_in_place: bool,
    progress: Option<Progressing<'p>>,
}

/// The circumstances of an opening.
#[derive(Debug)]
pub(super) struct Circumstances {
    pub(super) stamp: Stamp,
    pub(super) evidence: Evidence,
    /// The clock of later commits.
    pub(super) seconds: Option<fn() -> u64>,
}

/// The function that is called while blobs are verified.
struct Progressing<'p>(&'p mut dyn FnMut(Progress));

impl core::fmt::Debug for Progressing<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Progressing").finish_non_exhaustive()
    }
}

/// The findings when a store was opened.
#[derive(Debug)]
#[non_exhaustive]
pub struct Opened {
    /// The event since the last commit, as far as it can be known, with its evidence. Each opening for writing is a
    /// commit.
    pub verdict: Verdict,
    /// True if the store had been sealed, and not changed since.
    pub was_sealed: bool,
    /// The circumstances of the last commit.
    pub last: Stamp,
    /// The result of verifying all blobs, if that was done.
    pub verification: Option<Verification>,
    /// The damaged copies whose other copy was whole: they have been replaced. A damaged history is listed too: it
    /// begins anew. A lost [newer header](crate::preserve::Part::NewerHeader) is listed as well: its commit stays
    /// undone.
    pub mended: Vec<Damage>,
}

impl Options<'_> {
    /// Returns the defaults, with random words of the system.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn new() -> Self {
        Self::with_entropy(crate::format::identity::entropy())
    }

    /// Returns the defaults with these random words. The words should differ each time and from machine to machine:
    /// they identify a new store.
    #[must_use]
    pub const fn with_entropy(entropy: [u64; 2]) -> Self {
        Self {
            unit: None,
            entropy,
            stamp: None,
            verify: Verify::IfUnclean,
            is_in_place: false,
            progress: None,
        }
    }
}

#[cfg(feature = "std")]
impl Default for Options<'_> {
    fn default() -> Self {
        Self::new()
    }
}

#[expect(clippy::type_complexity, reason = "each part has a name that the caller knows")]
impl<'p> Options<'p> {
    /// Sets the unit of a new store in bytes, a power of two from 64 to 2^30. Blobs and pages of the table begin at
    /// multiples of it. By default it is the granularity of the medium, rounded up to a power of two, and at least 64.
    /// The table of a store takes at least four units.
    #[must_use]
    pub fn unit(self, bytes: u64) -> Self {
        Self { unit: Some(bytes), ..self }
    }

    /// Sets the circumstances that commits are stamped with. By default they are those of this machine and process in a
    /// [`DaxFile`](../dax/struct.DaxFile.html), and [unknown](Stamp::UNKNOWN) in a medium without a
    /// [view](Readable::as_any_view).
    #[must_use]
    pub fn stamp(self, stamp: Stamp) -> Self {
        Self { stamp: Some(stamp), ..self }
    }

    /// Refuses to open a store whose physical location has changed since its last commit. This is for programs that
    /// have passed its physical addresses on, to an IOMMU or a hypervisor. The location is known only of a
    /// [`DaxFile`](../dax/struct.DaxFile.html), and not of a memfd or a file on tmpfs. Of a file in the page cache it is the
    /// place on the drive, not in memory. Bytes by which the file has grown since do not count.
    ///
    /// Each opening for writing is a commit. So one without this option accepts another place, also for later openings
    /// with it.
    ///
    /// Linux shows physical addresses only to root. A process without them compares the places on the device and its name.
    /// So a store whose last commit was made by root is refused to others, and the reverse. One of another version of this
    /// crate can be refused, too. Opening it once without this option accepts its place.
    #[must_use]
    pub fn require_in_place(self) -> Self {
        Self { is_in_place: true, ..self }
    }

    /// Sets the condition for verifying all blobs. The default is [`Verify::IfUnclean`].
    #[must_use]
    pub fn verify(self, verify: Verify) -> Self {
        Self { verify, ..self }
    }

    /// Sets a function that is called from time to time while blobs are verified.
    #[must_use]
    pub fn progress(self, progress: &'p mut dyn FnMut(Progress)) -> Self {
        Self { progress: Some(Progressing(progress)), ..self }
    }

    /// Creates a store in a medium, as large as the medium. Other contents of the medium are overwritten, but not a
    /// journal or a recording of this crate, as long as one of its first words, at offsets 0 and 4096, shows it.
    ///
    /// Commits in a [`DaxFile`](../dax/struct.DaxFile.html) are stamped with this machine, this boot and this process.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`], if there is a store already, whole or damaged; [`ErrorKind::NotAStore`], if there is a
    /// journal or a recording; [`ErrorKind::Unit`], [`ErrorKind::TooSmall`]; [`ErrorKind::SecondWriter`]; if the medium
    /// fails.
    ///
    /// # Crashes
    /// A crash leaves the whole store or none.
    ///
    /// # Cost
    /// Two fences.
    pub fn create_new<M: Medium>(
        self,
        medium: M,
    ) -> Result<Store<M>, OpenError<M, Error<M::Error>>> {
        as_writer(medium, |medium, writer| self.create_in(medium, writer))
    }

    fn create_in<M: Medium>(
        self,
        medium: &Arc<M>,
        writer: Writer,
    ) -> Result<Store<M>, Error<M::Error>> {
        let at_once = medium.granularity().bytes() as u64;
        let unit = self.unit.unwrap_or(UNIT.max(at_once.next_power_of_two()));
        if !is_unit(unit) {
            return Err(Error(ErrorKind::Unit { unit }));
        }
        let size = medium.len() / unit * unit;
        let root = root_slot(0, 0, unit);
        let needed = data(unit) + 4 * root;
        if size < needed {
            return Err(Error(ErrorKind::TooSmall { size: medium.len(), needed }));
        }
        if let Some(found) = headers::another_format(&**medium).map_err(Error::medium)? {
            return Err(Error(ErrorKind::NotAStore { found }));
        }
        if headers::presence(&**medium).map_err(Error::medium)? == Presence::Store {
            return Err(Error(ErrorKind::Exists));
        }
        let Circumstances { stamp, seconds, .. } = self.circumstances(&**medium, size);
        let identity = Identity::from_entropy(self.entropy);
        let (header, boots, bytes) = first_commit(identity, stamp, size, unit);
        let [first, second] = header.roots;
        medium
            .copy_unfenced(&[(history(0), &boots), (first, &bytes), (second, &bytes)])
            .map_err(Error::medium)?;
        headers::create(&**medium, &header).map_err(Error::medium)?;
        Ok(Store::take_up(Arc::clone(medium), writer, seconds, size)?.0)
    }

    /// Returns the circumstances that were set, or those of a store of `size` bytes in the medium.
    fn circumstances<M: Medium>(&self, medium: &M, size: u64) -> Circumstances {
        let unknown =
            || Circumstances { stamp: Stamp::UNKNOWN, evidence: Evidence::NONE, seconds: None };
        match self.stamp {
            Some(stamp) => Circumstances { stamp, ..unknown() },
            None => file::circumstances(medium, size).unwrap_or_else(unknown),
        }
    }

    /// Opens a store for writing, and records that by a commit, which changes nothing else. Replaces damaged copies
    /// whose other copy is whole. If the medium has grown, the store grows with it.
    ///
    /// Only one process may write at a time; a [`DaxFile`](../dax/struct.DaxFile.html) ensures that. Within this process the
    /// medium's [`writer_lock`](Medium::writer_lock) does, until the store and its last region are dropped. To read only, open
    /// a [`Reader`](crate::preserve::Reader), which is possible beside any writer.
    ///
    /// # Errors
    /// If the medium does not contain a store, or only a part of one, or one of another version. If all headers, or
    /// both copies of a page of the table, are damaged. If the medium fails. [`ErrorKind::Full`], if the medium is
    /// shorter than it was and lacks room for another root; [`ErrorKind::WornOut`]; [`ErrorKind::SecondWriter`];
    /// [`ErrorKind::Moved`] and [`ErrorKind::PlaceUnknown`], after [`require_in_place`](Self::require_in_place). Damaged blobs are not an
    /// error: they are listed in the result.
    ///
    /// # Crashes
    /// A crash meanwhile changes nothing.
    ///
    /// # Cost
    /// Reads the table, writes its root twice, and fences three times. If something may have been lost, or was lost
    /// and is still damaged, reads everything. By pages nine flushes were counted.
    pub fn open<M: Medium>(
        self,
        medium: M,
    ) -> Result<(Store<M>, Opened), OpenError<M, Error<M::Error>>> {
        as_writer(medium, |medium, writer| self.open_in(medium, writer))
    }

    /// Opens the store in a medium, or creates one in an empty medium. Returns `None` with a store that was created,
    /// and [`Opened`] with one that was opened, even if it does not have any blobs yet. [`Store::open_or_create`] has
    /// an example.
    ///
    /// A medium is empty if the places of all headers begin with zeros, as in a new file. A crash during the creation
    /// leaves an empty medium or the whole store, so that the next call succeeds.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`create_new`](Self::create_new); [`ErrorKind::NotAStore`], if the medium contains
    /// anything else.
    ///
    /// # Cost
    /// As [`open`](Self::open), or [`create_new`](Self::create_new).
    pub fn open_or_create<M: Medium>(
        self,
        medium: M,
    ) -> Result<(Store<M>, Option<Opened>), OpenError<M, Error<M::Error>>> {
        as_writer(medium, |medium, writer| {
            if headers::is_possible_in(&**medium)
                && headers::presence(&**medium).map_err(Error::medium)? != Presence::Nothing
            {
                return self.open_in(medium, writer).map(|(store, opened)| (store, Some(opened)));
            }
            Ok((self.create_in(medium, writer)?, None))
        })
    }

    fn open_in<M: Medium>(
        mut self,
        medium: &Arc<M>,
        writer: Writer,
    ) -> Result<(Store<M>, Opened), Error<M::Error>> {
        let unit = headers::load(&**medium)?.unit;
        if self.is_in_place {
            match file::is_in_place(&Snapshot::of(&**medium)?) {
                Some(true) => {}
                Some(false) => return Err(Error(ErrorKind::Moved)),
                None => return Err(Error(ErrorKind::PlaceUnknown)),
            }
        }
        let size = Readable::len(&**medium) / unit * unit;
        let Circumstances { stamp, evidence, seconds } = self.circumstances(&**medium, size);
        let (mut store, mut mended) = Store::take_up(Arc::clone(medium), writer, seconds, size)?;
        let last = store.preamble.stamp;
        let (was_sealed, verdict) = (store.header.is_sealed, judge(&last, &stamp, evidence));
        let boots = boots(store.snapshot()?.erased(), &mut mended)?;
        let is_unclean = !was_sealed && !verdict.is_same_boot();
        let is_due = is_unclean || boots.last().is_none_or(|last| last.must_verify);
        let must_verify = match self.verify {
            Verify::Always => true,
            Verify::Never => false,
            Verify::IfUnclean => is_due,
        };
        let mut silent = |_: Progress| ();
        let progress: &mut dyn FnMut(Progress) = match &mut self.progress {
            Some(Progressing(progress)) => progress,
            None => &mut silent,
        };
        let verification = must_verify
            .then(|| verify(store.snapshot()?.erased(), Rereadings::ALONE, progress))
            .transpose()?;
        let now = Boot {
            generation: store.header.generation + 1,
            opened: 1,
            origin: verdict.origin,
            was_sealed,
            must_verify: verification.as_ref().map_or(is_due, |found| !found.damaged.is_empty()),
            stamp,
        };
        store.begin_boot(stamp, with_opening(boots, now))?;
        Ok((store, Opened { verdict, was_sealed, last, verification, mended }))
    }
}

/// Returns the header of the first commit, its history and its root.
fn first_commit(
    identity: Identity,
    stamp: Stamp,
    size: u64,
    unit: u64,
) -> (Header, [u8; BOOT], [u8; PREAMBLE]) {
    let first = Boot {
        generation: FIRST,
        opened: 1,
        origin: Origin::Unknown,
        was_sealed: false,
        must_verify: false,
        stamp,
    };
    let boots = first.bytes();
    let preamble = Preamble {
        identity,
        history: 0,
        history_tag: tag::of(key::history(identity, 0), &boots),
        history_len: boots.len() as u64,
        level: 0,
        blobs: 0,
        stamp,
    };
    let mut bytes = preamble.bytes();
    let root = root_slot(0, 0, unit);
    let header = Header {
        generation: FIRST,
        size,
        roots: [size - root, size - 2 * root - distance(root, unit, size)],
        len: bytes.len() as u64,
        root_tag: table::seal(&mut bytes, FIRST),
        unit,
        is_sealed: false,
    };
    (header, boots, bytes)
}

/// Opens or creates a store as the one writer of its medium. Returns the medium with the error if that fails.
fn as_writer<M: Medium, T>(
    medium: M,
    open: impl FnOnce(&Arc<M>, Writer) -> Result<T, Error<M::Error>>,
) -> Result<T, OpenError<M, Error<M::Error>>> {
    let writer = writer::lock(&medium, Error(ErrorKind::SecondWriter));
    let medium = Arc::new(medium);
    let error = match writer.and_then(|writer| open(&medium, writer.map(Arc::new))) {
        Ok(opened) => return Ok(opened),
        Err(error) => error,
    };
    match Arc::into_inner(medium) {
        Some(medium) => Err(OpenError::new(medium, error)),
        None => unreachable!("a store that failed to open is dropped"),
    }
}
