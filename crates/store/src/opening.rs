//! Creating a store, and opening one for writing.
//!
//! The work and the memory for creation do not depend on the size of the medium. An opening reads both mirrors of the
//! log, keeps the table in memory, and writes it to a new log.

#[cfg(doc)]
use crate::FormatError;
use crate::creation::{Measures, create};
use crate::error::{Damage, Error, ErrorKind};
use crate::format::FORMAT;
use crate::log::Log;
use crate::log::replay::Replay;
use crate::log::scan::Scan;
use crate::store::{Store, Writer};
use crate::verify::{Verification, damaged_copies, verify};
use alloc::sync::Arc;
use alloc::vec::Vec;
#[cfg(feature = "std")]
use cachemaint::family::clock;
use cachemaint::medium::{Medium, OpenError, Readable};
use cachemaint_format::bounds::Rereadings;
use cachemaint_format::unreadable::{ThroughKernel, is_readable};
use cachemaint_format::writer::{self, Call, with_default_options};

/// Options for creating and opening a store.
#[derive(Debug)]
pub struct Options {
    unit: Option<u64>,
    entropy: [u64; 2],
    clock: fn() -> u64,
    verify: bool,
}

/// The findings of an opening.
#[derive(Debug)]
#[non_exhaustive]
pub struct Opened {
    /// True if this call created the store.
    pub is_new: bool,
    /// True if the store was sealed and has not changed since.
    pub was_sealed: bool,
    /// The result of verifying all blobs, after [`Options::verify`].
    pub verification: Option<Verification>,
    /// The damaged copies of the root and of records with an intact other copy. The opening has replaced them. Those on
    /// bad blocks are missing here.
    pub mended: Vec<Damage>,
}

impl Options {
    /// Returns the defaults, with random words and the time from the system.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn new() -> Self {
        Self::with_entropy(cachemaint_format::identity::entropy()).clock(clock::seconds)
    }

    /// Returns the defaults with these random words, and without a clock.
    ///
    /// They must differ each time and on each machine: they identify a new store, and distinguish its bytes from those
    /// of an earlier one. If another store in this medium used the same words, its blobs in free space pass for those
    /// of the new store wherever names, numbers and places agree.
    #[must_use]
    pub const fn with_entropy(entropy: [u64; 2]) -> Self {
        Self { unit: None, entropy, clock: || 0, verify: false }
    }
}

#[cfg(feature = "std")]
impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl Options {
    /// Sets the unit of a new store in bytes, a power of two from 64 to 2^30. Blobs begin at multiples of it. The
    /// default is the granularity of the medium, rounded up to a power of two, and at least 64.
    #[must_use]
    pub fn unit(self, bytes: u64) -> Self {
        Self { unit: Some(bytes), ..self }
    }

    /// Sets the clock that dates commits by their beginning, in seconds since 1970-01-01 UTC. Nothing depends on its
    /// being right.
    #[must_use]
    pub fn clock(self, clock: fn() -> u64) -> Self {
        Self { clock, ..self }
    }

    /// Verifies all blobs when a store is opened, and reports the damage in [`Opened::verification`]. Without this, a
    /// blob is verified when it is loaded, or by [`Reader::verify`](crate::Reader::verify).
    #[must_use]
    pub fn verify(self) -> Self {
        Self { verify: true, ..self }
    }

    /// Creates a store that fills a medium. Other contents of the medium are overwritten, but never a journal or a
    /// recording of this family.
    ///
    /// # Errors
    /// [`FormatError::Exists`] if there already is a store, intact or damaged; [`FormatError::Foreign`] if there is a
    /// journal or a recording; [`FormatError::TooSmall`]; [`FormatError::SecondWriter`]; [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for the
    /// unit; or if the medium fails.
    ///
    /// # Crashes
    /// A crash leaves a complete store or none.
    ///
    /// # Cost
    /// Two fences.
    pub fn create_new<M: Medium>(self, medium: M) -> Opening<Store<M>, M> {
        self.begin(medium, Call::CreateNew)
    }

    fn create_in<M: Medium>(
        self,
        medium: &Arc<M>,
        writer: Writer,
    ) -> Result<(Store<M>, Opened), Error<M::Error>> {
        let measures = Measures::of(&**medium, self.unit)?;
        let store = create(medium, writer, measures, self.entropy, self.clock)?;
        let opened =
            Opened { is_new: true, was_sealed: false, verification: None, mended: Vec::new() };
        Ok((store, opened))
    }

    /// Opens a store for writing, and records that with a commit that changes nothing else: it begins a new log with all
    /// entries, which replaces damaged copies. If the medium has grown, the store grows with it.
    ///
    /// Only one process may write at a time; a
    /// [`DaxFile`](https://docs.rs/cachemaint/latest/cachemaint/dax/struct.DaxFile.html) ensures that. Within this
    /// process, the medium's [`writer_lock`](Medium::writer_lock) does, until the store and its last region are
    /// dropped. To read only, open a [`Reader`](crate::Reader), even while a process writes.
    ///
    /// # Errors
    /// If the medium has no store, only part of one, or one of another version; if it fails. [`ErrorKind::Damaged`](crate::ErrorKind::Damaged) if
    /// a record of the log before the last one is damaged in both mirrors. [`ErrorKind::Full`](crate::ErrorKind::Full) if
    /// the place for the new log has a bad block, and free space has no room for it. [`FormatError::WornOut`];
    /// [`FormatError::SecondWriter`]. Damaged blobs are not an error: [`verify`](Self::verify) lists them.
    ///
    /// # Crashes
    /// A crash during the call changes nothing.
    ///
    /// # Cost
    /// Reads the log, writes its entries, and fences four times. With [`verify`](Self::verify), reads everything.
    pub fn open<M: Medium>(self, medium: M) -> Opening<Store<M>, M> {
        self.begin(medium, Call::Open)
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
    pub fn open_or_create<M: Medium>(self, medium: M) -> Opening<Store<M>, M> {
        self.begin(medium, Call::OpenOrCreate)
    }

    fn begin<M: Medium>(self, medium: M, call: Call) -> Opening<Store<M>, M> {
        let begun = writer::begin(&medium, FORMAT, call).map_err(Error::format);
        let medium = Arc::new(medium);
        let opened = begun.and_then(|(is_new, lock)| {
            let writer = lock.map(Arc::new);
            if is_new { self.create_in(&medium, writer) } else { self.open_in(&medium, writer) }
        });
        opened.map_err(|error| match Arc::into_inner(medium) {
            Some(medium) => OpenError::new(medium, error),
            None => unreachable!("a store that failed to open is dropped"),
        })
    }

    fn open_in<M: Medium>(
        self,
        medium: &Arc<M>,
        writer: Writer,
    ) -> Result<(Store<M>, Opened), Error<M::Error>> {
        let reads = ThroughKernel::buffered(&**medium);
        let (log, loaded) = Log::load(&reads, Rereadings::ALONE)?;
        let replay = Replay::read(&reads, Scan::new(log, true));
        reads.check().map_err(Error::medium)?;
        let replay = replay?;
        if let Some(lost) = replay.lost {
            return Err(Error(ErrorKind::Damaged(log.lost(lost))));
        }
        let mut mended = damaged_copies(&log, &replay, &loaded);
        mended.retain(|copy| is_readable(&**medium, copy.offset..copy.offset + copy.len));
        let Replay { mut table, has_seal, .. } = replay;
        let verification = self.verify.then(|| verify(&reads, &log, &table)).transpose()?;
        table.state.size = Readable::len(&**medium) / log.places.unit * log.places.unit;
        let was_sealed = table.state.is_sealed;
        let (medium, entropy, clock) = (Arc::clone(medium), self.entropy, self.clock);
        let mut store = Store::new(medium, writer, log, table, entropy, clock)?;
        // The next root replaces the one before this one, which may be only in the caches of a process that ended.
        let restored = log.root.restore(store.medium(), FORMAT, loaded.is_damaged);
        restored.map_err(Error::medium)?;
        store.begin_log(was_sealed)?;
        // Not every process is permitted to flush the medium's own buffers. Without that permission the seal is
        // removed.
        if was_sealed && store.deep_persist_log().is_err() {
            store.begin_log(false)?;
        }
        if has_seal && !store.table.state.is_sealed {
            // A process that has ended may not have made the record that ends the seal as deeply durable as the seal.
            drop(store.deep_persist_log());
        }
        let opened = Opened { is_new: false, was_sealed, verification, mended };
        Ok((store, opened))
    }
}

with_default_options!(M, Store<M>);

/// An opened store, and the findings.
type Opening<S, M> = Result<(S, Opened), OpenError<M, Error<<M as Readable>::Error>>>;
