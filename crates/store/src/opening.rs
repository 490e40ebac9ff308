//! Creating a store, and opening one for writing.
//!
//! The work and the memory for creation do not depend on the size of the medium. An opening reads both mirrors of the
//! log and keeps the table in memory.

use crate::boots::{self, Boot, Circumstances, History, Stamp, Verdict, judge};
use crate::creation::{Measures, create};
use crate::error::{Damage, Error, ErrorKind};
use crate::format::{FORMAT, most_circumstances};
use crate::recovery::Recovered;
use crate::store::{Store, Writer};
use crate::verify::{Verification, verify};
use alloc::sync::Arc;
use alloc::vec::Vec;
use cachemaint::medium::{Medium, OpenError, Readable};
use cachemaint_format::error::FormatError;
use cachemaint_format::unreadable::ThroughKernel;
use cachemaint_format::{root, writer};

/// The condition under which an opening verifies all blobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verify {
    /// If something may have been lost: the store was neither sealed nor last written in this boot. Later openings
    /// verify too, until all blobs are found intact. A [copy](Verdict#copies) of a medium goes unnoticed.
    #[default]
    IfUnclean,
    /// Always.
    Always,
    /// Never. Loads are verified anyway.
    Never,
}

/// Options for creating and opening a store.
#[derive(Debug)]
pub struct Options {
    unit: Option<u64>,
    entropy: [u64; 2],
    stamp: Option<Stamp>,
    verify: Verify,
    is_in_place: bool,
}

/// The findings of an opening.
#[derive(Debug)]
#[non_exhaustive]
pub struct Opened {
    /// The event since the last commit, as far as it can be known, with its evidence. Each opening for writing is a
    /// commit.
    pub verdict: Verdict,
    /// True if this call created the store.
    pub is_new: bool,
    /// True if the store was sealed and has not changed since.
    pub was_sealed: bool,
    /// The circumstances of the last commit.
    pub last: Stamp,
    /// The result of verifying all blobs, if that was done.
    pub verification: Option<Verification>,
    /// The damaged copies of the root and of records with an intact other copy. They were replaced. Those on bad blocks
    /// are missing here, and stay.
    pub mended: Vec<Damage>,
}

impl Options {
    /// Returns the defaults, with random words from the system.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn new() -> Self {
        Self::with_entropy(cachemaint_format::identity::entropy())
    }

    /// Returns the defaults with these random words.
    ///
    /// They must differ each time and on each machine: they identify a new store, and distinguish its bytes from those
    /// of an earlier one. If another store in this medium used the same words, its blobs in free space pass for those
    /// of the new store wherever names, numbers and places agree.
    #[must_use]
    pub const fn with_entropy(entropy: [u64; 2]) -> Self {
        Self { unit: None, entropy, stamp: None, verify: Verify::IfUnclean, is_in_place: false }
    }
}

#[cfg(feature = "std")]
impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

#[expect(clippy::type_complexity, reason = "each part has a name that the caller knows")]
impl Options {
    /// Sets the unit of a new store in bytes, a power of two from 64 to 2^30. Blobs begin at multiples of it. The
    /// default is the granularity of the medium, rounded up to a power of two, and at least 64.
    #[must_use]
    pub fn unit(self, bytes: u64) -> Self {
        Self { unit: Some(bytes), ..self }
    }

    /// Sets the circumstances for stamping commits. The default is this machine and process for a
    /// [`DaxFile`](https://docs.rs/cachemaint/latest/cachemaint/dax/struct.DaxFile.html), and [unknown](Stamp::UNKNOWN)
    /// for a medium without a [view](Readable::as_any_view).
    #[must_use]
    pub fn stamp(self, stamp: Stamp) -> Self {
        Self { stamp: Some(stamp), ..self }
    }

    /// Refuses to open a store that has moved physically since its last commit, for programs that have passed on its
    /// physical addresses. The location is known only for a
    /// [`DaxFile`](https://docs.rs/cachemaint/latest/cachemaint/dax/struct.DaxFile.html) that is neither a memfd nor a
    /// file on tmpfs.
    ///
    /// Each opening for writing is a commit. One without this option accepts another place, even for later openings
    /// with it. Linux shows physical addresses only to root, so open the store always as root or never.
    #[must_use]
    pub fn require_in_place(self) -> Self {
        Self { is_in_place: true, ..self }
    }

    /// Sets when to verify all blobs. The default is [`Verify::IfUnclean`].
    #[must_use]
    pub fn verify(self, verify: Verify) -> Self {
        Self { verify, ..self }
    }

    /// Creates a store that fills a medium. Other contents of the medium are overwritten, but never a journal or a
    /// recording of this family.
    ///
    /// # Errors
    /// [`FormatError::Exists`] if there already is a store, intact or damaged; [`FormatError::Foreign`] if there is a
    /// journal or a recording; [`FormatError::TooSmall`]; [`FormatError::SecondWriter`]; [`ErrorKind::Invalid`] for the
    /// unit; or if the medium fails.
    ///
    /// # Crashes
    /// A crash leaves a complete store or none.
    ///
    /// # Cost
    /// Two fences.
    pub fn create_new<M: Medium>(
        self,
        medium: M,
    ) -> Result<(Store<M>, Opened), OpenError<M, Error<M::Error>>> {
        as_writer(medium, |medium, writer| self.create_in(medium, writer))
    }

    fn create_in<M: Medium>(
        self,
        medium: &Arc<M>,
        writer: Writer,
    ) -> Result<(Store<M>, Opened), Error<M::Error>> {
        let measures = Measures::of(&**medium, self.unit)?;
        let Circumstances { stamp, seconds: clock, .. } =
            self.circumstances(&**medium, measures.size);
        let boots = History::default().opened(Boot::first(stamp));
        let (entropy, seconds) = (self.entropy, stamp.seconds);
        let mut store = create(medium, writer, measures, entropy, seconds, boots.bytes())?;
        store.clock = clock;
        let opened = Opened {
            verdict: Verdict::of_new(),
            is_new: true,
            was_sealed: false,
            last: stamp,
            verification: None,
            mended: Vec::new(),
        };
        Ok((store, opened))
    }

    /// Returns the circumstances that were set, or those of a store of `size` bytes in the medium.
    fn circumstances<M: Medium>(&self, medium: &M, size: u64) -> Circumstances {
        let unknown = || Circumstances { stamp: Stamp::UNKNOWN, is_by_kexec: None, seconds: None };
        match self.stamp {
            Some(stamp) => Circumstances { stamp, ..unknown() },
            None => boots::circumstances(medium, size).unwrap_or_else(unknown),
        }
    }

    /// Opens a store for writing, and records that with a commit that changes nothing else. Replaces damaged copies if
    /// the other copy is intact. If the medium has grown, the store grows with it.
    ///
    /// Only one process may write at a time; a
    /// [`DaxFile`](https://docs.rs/cachemaint/latest/cachemaint/dax/struct.DaxFile.html) ensures that. Within this
    /// process, the medium's [`writer_lock`](Medium::writer_lock) does, until the store and its last region are
    /// dropped. To read only, open a [`Reader`](crate::Reader), even while a process writes.
    ///
    /// # Errors
    /// If the medium has no store, only part of one, or one of another version; if it fails. [`ErrorKind::Damaged`] if
    /// a record of the log before the last one is damaged in both mirrors. [`FormatError::WornOut`];
    /// [`FormatError::SecondWriter`]; [`ErrorKind::Moved`] and [`ErrorKind::PlaceUnknown`] after
    /// [`require_in_place`](Self::require_in_place). Damaged blobs are not an error: they are listed in the result.
    ///
    /// # Crashes
    /// A crash during the call changes nothing.
    ///
    /// # Cost
    /// Reads the log, and fences four times. If something may have been lost, or is known to be damaged, reads
    /// everything.
    pub fn open<M: Medium>(
        self,
        medium: M,
    ) -> Result<(Store<M>, Opened), OpenError<M, Error<M::Error>>> {
        as_writer(medium, |medium, writer| self.open_in(medium, writer))
    }

    /// Opens the store in a medium, or creates one in an empty medium; [`Opened::is_new`] is then true.
    ///
    /// A medium is empty if all root slots begin with zeros, as in a new file. A crash during creation leaves an empty
    /// medium or a complete store, so that the next call succeeds.
    ///
    /// # Errors
    /// Same as [`open`](Self::open) and [`create_new`](Self::create_new); [`FormatError::Foreign`] if the medium
    /// contains anything else.
    ///
    /// # Cost
    /// Same as [`open`](Self::open) or [`create_new`](Self::create_new).
    pub fn open_or_create<M: Medium>(
        self,
        medium: M,
    ) -> Result<(Store<M>, Opened), OpenError<M, Error<M::Error>>> {
        as_writer(medium, |medium, writer| {
            let is_missing =
                root::is_missing(&ThroughKernel::new(&**medium)).map_err(Error::medium)?;
            if is_missing { self.create_in(medium, writer) } else { self.open_in(medium, writer) }
        })
    }

    fn open_in<M: Medium>(
        self,
        medium: &Arc<M>,
        writer: Writer,
    ) -> Result<(Store<M>, Opened), Error<M::Error>> {
        let reads = ThroughKernel::buffered(&**medium);
        if let Some(found) = root::another(&reads, FORMAT.magic) {
            return Err(Error::format(FormatError::Foreign { found }));
        }
        let recovered = Recovered::read(&reads)?;
        let (log, state) = (recovered.log, recovered.table.state);
        let boots = History::read(&recovered.table.circumstances);
        let last = boots.stamp(state.seconds);
        if self.is_in_place {
            match boots::is_in_place(&**medium, &last, state.size) {
                Some(true) => {}
                Some(false) => return Err(Error(ErrorKind::Moved)),
                None => return Err(Error(ErrorKind::PlaceUnknown)),
            }
        }
        let size = Readable::len(&**medium) / log.places.unit * log.places.unit;
        let Circumstances { stamp, is_by_kexec, seconds: clock } =
            self.circumstances(&**medium, size);
        let (was_sealed, verdict) = (state.is_sealed, judge(&last, &stamp, is_by_kexec));
        let is_unclean = !was_sealed && !verdict.is_same_boot();
        let is_due = is_unclean || boots.must_verify();
        let mended = recovered.damaged_copies(&**medium);
        recovered.mend(&**medium)?;
        let reads = ThroughKernel::buffered(&**medium);
        let must_verify = match self.verify {
            Verify::Always => true,
            Verify::Never => false,
            Verify::IfUnclean => is_due,
        };
        let Recovered { mut table, .. } = recovered;
        let verification = must_verify.then(|| verify(&reads, &log, &table)).transpose()?;
        let is_damaged = verification.as_ref().map(|found| !found.damaged.is_empty());
        (table.state.size, table.state.seconds) = (size, stamp.seconds);
        let now = Boot {
            opening: state.number + 1,
            origin: verdict.origin,
            was_sealed,
            must_verify: is_damaged.unwrap_or(is_due),
            ..Boot::first(stamp)
        };
        let has_seal = table.has_seal;
        let entropy = self.entropy;
        let mut store = Store::new(Arc::clone(medium), writer, log, table, entropy)?;
        store.clock = clock;
        store.begin_boot(&boots.opened(now))?;
        if has_seal && !store.table.state.is_sealed {
            // A process that has ended may not have made the record that ends the seal as deeply durable as the seal.
            drop(store.deep_persist_log());
        }
        let opened = Opened { verdict, is_new: false, was_sealed, last, verification, mended };
        Ok((store, opened))
    }
}

impl<M: Medium> Store<M> {
    /// Records that the store was opened.
    fn begin_boot(&mut self, boots: &History) -> Result<(), Error<M::Error>> {
        let is_sealed = self.table.state.is_sealed;
        let circumstances = boots.bytes_within(most_circumstances(self.log.places.capacity));
        self.append_opening(circumstances.clone(), is_sealed)?;
        // Not every process is permitted to flush the medium's own buffers. Without that permission the seal is
        // removed.
        if is_sealed && self.deep_persist_log().is_err() {
            self.append_opening(circumstances, false)?;
        }
        self.opened = self.table.state.number;
        Ok(())
    }
}

/// [`Options`] has more settings.
#[cfg(feature = "std")]
#[expect(clippy::type_complexity, reason = "each part has a name that the caller knows")]
impl<M: Medium> Store<M> {
    /// Opens a store for writing, as [`Options::open`] does.
    ///
    /// # Errors
    /// Same as [`Options::open`].
    pub fn open(medium: M) -> Result<(Self, Opened), OpenError<M, Error<M::Error>>> {
        Options::new().open(medium)
    }

    /// Creates a store in a medium without one, as [`Options::create_new`] does.
    ///
    /// # Errors
    /// Same as [`Options::create_new`].
    pub fn create_new(medium: M) -> Result<(Self, Opened), OpenError<M, Error<M::Error>>> {
        Options::new().create_new(medium)
    }

    /// Opens the store in a medium, or creates one in an empty medium, as [`Options::open_or_create`] does.
    ///
    /// # Errors
    /// Same as [`Options::open_or_create`].
    pub fn open_or_create(medium: M) -> Result<(Self, Opened), OpenError<M, Error<M::Error>>> {
        Options::new().open_or_create(medium)
    }
}

/// Opens or creates a store as the only writer of its medium. On failure, returns the medium with the error.
fn as_writer<M: Medium, T>(
    medium: M,
    open: impl FnOnce(&Arc<M>, Writer) -> Result<T, Error<M::Error>>,
) -> Result<T, OpenError<M, Error<M::Error>>> {
    let writer = writer::lock(&medium, Error::format(FormatError::SecondWriter));
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
