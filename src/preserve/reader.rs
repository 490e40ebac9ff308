//! Reading: the list of blobs, and their verified bytes.
//!
//! A writer may be active meanwhile, in this process or another. It never overwrites the last commit, and the log of the
//! table only at the compaction after the next.

use super::Identity;
#[cfg(feature = "preserve")]
use super::blob;
use super::blob::Blob;
use super::error::{Error, ErrorKind};
use super::info::Info;
use super::snapshot::{ATTEMPTS, Commit, CommitIn, Snapshot};
use crate::medium::{OpenError, Readable};
#[cfg(feature = "preserve")]
use alloc::vec::Vec;
use core::error::Error as Failure;

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
/// # let (mut store, _) = Store::create_new(medium)?;
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
        let (identity, info) = found(&self.medium, name)?;
        Ok(Blob::new(&self.medium, identity, info))
    }
}

#[cfg(feature = "preserve")]
impl<R: Readable> Reader<R> {
    /// Returns all blobs and regions, in the order of their names.
    ///
    /// # Errors
    /// As [`Snapshot::of`]; [`ErrorKind::Damaged`], if a record of the log is damaged in both mirrors or was forged;
    /// [`ErrorKind::Replaced`] after 100 attempts. [`Snapshot::entries`] returns the other entries besides.
    pub fn list(&self) -> Result<Vec<Info>, Error<R::Error>> {
        until_it_lasts(&self.medium, |commit| super::snapshot::Entries::new(commit).collect())
    }

    /// Returns the entry of a blob or a region, or `None` if it does not exist.
    ///
    /// # Errors
    /// As [`Snapshot::of`] and [`Snapshot::find`]; [`ErrorKind::Replaced`] after 100 attempts.
    pub fn stat(&self, name: &str) -> Result<Option<Info>, Error<R::Error>> {
        until_it_lasts(&self.medium, |commit| commit.find(name))
    }

    /// Returns a verified copy of a blob.
    ///
    /// The [version](Info::version) of the blob is not compared with anything. A program that can find blobs of another one
    /// [compares it](crate::preserve#upgrade-and-rollback) in the result of [`blob`](Self::blob), which is of one commit. A
    /// [`stat`](Self::stat) before this call can be of an earlier commit.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::NotABlob`], [`ErrorKind::Damaged`], [`ErrorKind::Truncated`];
    /// [`ErrorKind::TooLong`], on a 32-bit CPU; [`ErrorKind::Replaced`] after 100 attempts; if the medium fails.
    pub fn load(&self, name: &str) -> Result<Vec<u8>, Error<R::Error>> {
        until_it_lasts(&self.medium, |commit| {
            let (identity, info) = (commit.commit.log.identity(), commit.blob(name)?);
            load(commit.medium, identity, &info)
        })
    }
}

/// Returns a verified copy of a blob.
#[cfg(feature = "preserve")]
pub(super) fn load<E: Failure>(
    medium: &dyn Readable<Error = E>,
    identity: Identity,
    info: &Info,
) -> Result<Vec<u8>, Error<E>> {
    let mut bytes = alloc::vec![0; len_in_memory(info.len)?];
    blob::read_at(medium, identity, info, 0, &mut bytes)?;
    Ok(bytes)
}

/// Repeats work on the last commit as long as a commit interferes, [`ATTEMPTS`] times at most.
fn until_it_lasts<T, E: Failure>(
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

fn found<E: Failure>(
    medium: &dyn Readable<Error = E>,
    name: &str,
) -> Result<(Identity, Info), Error<E>> {
    until_it_lasts(medium, |commit| Ok((commit.commit.log.identity(), commit.blob(name)?)))
}

/// Returns the length of a blob in memory, where nothing can have more than `isize::MAX` bytes.
#[cfg(feature = "preserve")]
fn len_in_memory<E>(len: u64) -> Result<usize, Error<E>> {
    let possible = usize::try_from(len).ok().filter(|len| isize::try_from(*len).is_ok());
    possible.ok_or(Error(ErrorKind::TooLong { len }))
}

#[cfg(test)]
#[cfg(feature = "preserve")]
mod tests {
    use super::{Error, ErrorKind, len_in_memory};
    use core::convert::Infallible;

    /// A 32-bit CPU addresses 2^32 bytes, of which an object can have half.
    #[test]
    fn a_blob_that_memory_cannot_have_is_refused() {
        let loaded = |len| len_in_memory::<Infallible>(len);
        assert_eq!(loaded(0x7fff_ffff), Ok(0x7fff_ffff));
        let is_small = cfg!(target_pointer_width = "32");
        let least: u64 = if is_small { 1 << 31 } else { 1 << 63 };
        for len in [least, least.saturating_mul(2).saturating_add(5), u64::MAX] {
            assert_eq!(loaded(len), Err(Error(ErrorKind::TooLong { len })));
        }
    }
}
