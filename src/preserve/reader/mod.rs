//! Reading: the list of blobs, and their verified bytes.
//!
//! A writer may be active meanwhile, in this process or another. It never overwrites the last commit, so a [`Snapshot`]
//! is whole. Two commits later its space may be used again.

#[cfg(feature = "preserve")]
mod in_memory;

use super::blob::{Blob, Chunks};
use super::error::{Error, ErrorKind};
use super::snapshot::{Commit, CommitIn, Snapshot};
use crate::medium::{OpenError, Readable};
use core::error::Error as Failure;

/// The number of attempts at a reading that commits make obsolete.
pub(super) const ATTEMPTS: u32 = 100;

/// A store opened for reading, beside a writer or without one.
///
/// Each operation reads the last commit. Use a [`Snapshot`] for several operations on one commit.
///
/// An operation begins anew if a commit replaces the bytes that it reads. After 100 attempts it returns
/// [`ErrorKind::Replaced`]: a writer that commits more often than a reading takes can overtake each of them.
///
/// ```
/// # #[cfg(all(feature = "preserve", feature = "std"))]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use cachemaint::{Cache, medium::Memory, survival::Backing};
/// # use std::sync::atomic::AtomicU64;
/// # static WORDS: [AtomicU64; 1 << 14] = [const { AtomicU64::new(0) }; 1 << 14];
/// # let medium = Memory::new(&WORDS, Cache::host()?, Backing::Ram);
/// use cachemaint::preserve::{Reader, Store};
///
/// # let mut store = Store::create_new(medium)?;
/// # let mut transaction = store.begin()?;
/// # transaction.put("cpu", b"registers")?;
/// # transaction.commit()?;
/// # let medium = Memory::new(&WORDS, Cache::host()?, Backing::Ram);
/// let reader = Reader::open(medium)?; // `medium` may be one that another process writes
/// assert_eq!(reader.load("cpu")?, b"registers");
/// for blob in reader.list()? {
///     println!("{}: {} bytes", blob.name, blob.len);
/// }
/// # Ok(())
/// # }
/// # #[cfg(not(all(feature = "preserve", feature = "std")))]
/// # fn main() {}
/// ```
#[derive(Debug)]
pub struct Reader<R: Readable> {
    medium: R,
}

impl<R: Readable> Reader<R> {
    /// Opens a store for reading, beside a writer or without one.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "dax", feature = "preserve"))]
    /// # fn main() -> Result<(), Box<dyn core::error::Error>> {
    /// use cachemaint::dax::{Lock, Options};
    /// use cachemaint::preserve::Reader;
    ///
    /// // A view can persist bytes that others have stored. So it needs the permission for pages where a file has nothing
    /// // finer, as on tmpfs or a drive.
    /// let view = Options::new().allow_page_granularity().lock(Lock::Off).view("/mnt/pmem/state")?;
    /// let reader = Reader::open(view)?;
    /// let ram = reader.load("ram")?; // verified
    /// # Ok(())
    /// # }
    /// # #[cfg(not(all(feature = "dax", feature = "preserve")))]
    /// # fn main() {}
    /// ```
    ///
    /// # Errors
    /// As [`Snapshot::of`].
    pub fn open(medium: R) -> Result<Self, OpenError<R, Error<R::Error>>> {
        if let Err(error) = Commit::last(&medium) {
            return Err(OpenError::new(medium, error));
        }
        Ok(Self { medium })
    }

    /// Returns a reader of a store that is open for writing.
    #[cfg(feature = "preserve")]
    pub(super) const fn of_store(medium: R) -> Self {
        Self { medium }
    }

    /// Returns the medium.
    pub const fn medium(&self) -> &R {
        &self.medium
    }

    /// Returns the last commit.
    ///
    /// # Errors
    /// As [`Snapshot::of`].
    pub fn snapshot(&self) -> Result<Snapshot<'_, R>, Error<R::Error>> {
        Snapshot::of(&self.medium)
    }

    /// Returns a blob of the last commit, to be read in parts or as a stream.
    ///
    /// # Errors
    /// As [`Snapshot::blob`]; [`ErrorKind::Replaced`] after 100 attempts.
    pub fn blob(&self, name: &str) -> Result<Blob<&R>, Error<R::Error>> {
        Ok(Blob::new(&self.medium, blob(&self.medium, name)?))
    }
}

/// Repeats work on the last commit as long as a commit interferes, [`ATTEMPTS`] times at most.
pub(super) fn until_it_lasts<T, E: Failure>(
    medium: &dyn Readable<Error = E>,
    mut work: impl FnMut(CommitIn<'_, E>) -> Result<T, Error<E>>,
) -> Result<T, Error<E>> {
    for _ in 0..ATTEMPTS {
        match Commit::last(medium).and_then(|commit| work(commit.in_medium(medium))) {
            Err(Error(ErrorKind::Replaced)) => {}
            done => return done,
        }
    }
    Err(Error(ErrorKind::Replaced))
}

fn blob<E: Failure>(medium: &dyn Readable<Error = E>, name: &str) -> Result<Chunks, Error<E>> {
    until_it_lasts(medium, |commit| commit.blob(name))
}
