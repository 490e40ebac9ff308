//! Reading a store: its entries, and their verified bytes.

use crate::blob::Blob;
use crate::boots::stamp::Stamp;
use crate::commit::Commit;
use crate::error::{Error, ErrorKind};
use crate::info::Info;
#[cfg(feature = "alloc")]
use crate::{boots::stamp::Boot, info::Capacity, space, table::Table};
#[cfg(feature = "alloc")]
use alloc::{boxed::Box, vec::Vec};
use cachemaint::medium::{OpenError, Readable};
use cachemaint_format::identity::Identity;

/// A store opened for reading, beside a writer or without one: as its last commit left it.
///
/// A later commit does not show until [`refresh`](Self::refresh). The blobs and the log that it replaces are
/// [`ErrorKind::Replaced`] here.
///
/// ```
/// # #[cfg(feature = "std")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use cachemaint::{Cache, medium::Memory, survival::Backing};
/// # use std::sync::atomic::AtomicU64;
/// # static WORDS: [AtomicU64; 1 << 14] = [const { AtomicU64::new(0) }; 1 << 14];
/// # let medium = Memory::new(&WORDS, Cache::host()?, Backing::Ram);
/// use cachemaint_store::{Reader, Store};
///
/// # let (mut store, _) = Store::create_new(medium)?;
/// # let mut transaction = store.begin()?;
/// # transaction.put("cpu", b"registers")?;
/// # transaction.commit()?;
/// # let medium = Memory::new(&WORDS, Cache::host()?, Backing::Ram);
/// let reader = Reader::open(medium)?; // `medium` may be one that another process writes
/// assert_eq!(reader.load("cpu")?, b"registers");
/// for entry in reader.entries() {
///     let (blob, metadata) = entry?;
///     println!("{}: {} bytes, {} of metadata", blob.name, blob.len, metadata.len());
/// }
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "std"))]
/// # fn main() {}
/// ```
#[derive(Clone, Debug)]
pub struct Reader<R: Readable> {
    medium: R,
    pub(crate) commit: Commit,
}

impl<R: Readable> Reader<R> {
    /// Opens a store for reading, beside a writer or without one. Without an operating system the medium can be
    /// [`Bytes`](cachemaint::medium::Bytes).
    ///
    /// # Errors
    /// If the medium does not contain a store, or one of another version; if no root is whole, or nothing of the log; if
    /// the medium ends before the log does; [`ErrorKind::Replaced`], if a writer has overtaken 100 attempts; if the medium
    /// fails.
    ///
    /// # Cost
    /// Reads the log.
    pub fn open(medium: R) -> Result<Self, OpenError<R, Error<R::Error>>> {
        match Commit::last(&medium) {
            Ok(commit) => Ok(Self { medium, commit }),
            Err(error) => Err(OpenError::new(medium, error)),
        }
    }

    /// Returns a reader of a commit.
    #[cfg(feature = "alloc")]
    #[expect(clippy::large_types_passed_by_value, reason = "it is moved into the reader")]
    pub(crate) const fn at(medium: R, commit: Commit) -> Self {
        Self { medium, commit }
    }

    /// Goes on to the last commit.
    ///
    /// # Errors
    /// As [`open`](Self::open). Then the reader stays at its commit.
    pub fn refresh(&mut self) -> Result<(), Error<R::Error>> {
        self.commit = Commit::last(&self.medium)?;
        Ok(())
    }

    /// Returns the medium.
    pub const fn medium(&self) -> &R {
        &self.medium
    }

    /// Returns the identity of the store.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        self.commit.log.identity()
    }

    /// Returns the number of the commit.
    #[must_use]
    pub const fn commit_number(&self) -> u64 {
        self.commit.state.number
    }

    /// Returns true if the store was [sealed](crate#reboots), and not changed since.
    #[must_use]
    pub const fn is_sealed(&self) -> bool {
        self.commit.state.is_sealed
    }

    /// Returns the circumstances of the commit.
    #[must_use]
    pub const fn stamp(&self) -> &Stamp {
        &self.commit.state.stamp
    }

    /// Returns the number of bytes that the store had when it was last opened for writing.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.commit.state.size
    }

    /// Returns the entry of a blob or a region, or `None` if nothing has this name.
    ///
    /// # Errors
    /// [`ErrorKind::Replaced`], if the log was compacted since; [`ErrorKind::Damaged`], if the last record that could
    /// name it is damaged in both mirrors, or was forged; if the medium fails.
    ///
    /// # Cost
    /// Reads the log. [`Store::stat`](crate::Store::stat) looks the name up in memory.
    pub fn stat(&self, name: &str) -> Result<Option<Info>, Error<R::Error>> {
        self.commit.find(&self.medium, name)
    }

    /// Copies the metadata of a blob or region into the buffer, and returns the part of the buffer that it fills.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`], if the buffer is too small; [`ErrorKind::Replaced`], if this commit does not have the
    /// entry; as [`stat`](Self::stat).
    ///
    /// # Cost
    /// As `stat`.
    pub fn metadata<'b>(
        &self,
        info: &Info,
        buffer: &'b mut [u8],
    ) -> Result<&'b [u8], Error<R::Error>> {
        let len = info.metadata;
        // An entry of another commit or another store can have had its metadata anywhere.
        let is_same = |there: &Info| there.is(info) && there.metadata == len;
        let there = self.stat(&info.name)?.filter(is_same).ok_or(Error(ErrorKind::Replaced))?;
        let small = Error::invalid("the buffer must have the length of the metadata", len as u64);
        let bytes = buffer.get_mut(..len).ok_or(small)?;
        self.medium.read(there.metadata_at, bytes).map_err(Error::medium)?;
        self.commit.unless_replaced(&self.medium)?;
        Ok(bytes)
    }

    /// Opens the blob of a name, to be read in parts or as a stream.
    ///
    /// # Errors
    /// As [`stat`](Self::stat); [`ErrorKind::NotFound`], [`ErrorKind::OtherContent`]; [`ErrorKind::Damaged`], if its tags
    /// are damaged; [`FormatError::Truncated`](crate::FormatError::Truncated), if the medium ends before the blob does.
    pub fn blob(&self, name: &str) -> Result<Blob<&R>, Error<R::Error>> {
        let info = self.stat(name)?.ok_or_else(|| Error::not_found(name))?;
        Blob::open(&self.medium, self.identity(), info)
    }
}

#[cfg(feature = "alloc")]
impl<R: Readable> Reader<R> {
    /// Returns a verified copy of a blob.
    ///
    /// # Errors
    /// As [`blob`](Self::blob); [`ErrorKind::Invalid`], if the blob exceeds memory.
    pub fn load(&self, name: &str) -> Result<Vec<u8>, Error<R::Error>> {
        self.blob(name)?.load()
    }

    /// Returns the blobs and regions, with their metadata, in the order of their names.
    ///
    /// A record that is damaged in both mirrors yields an error, as the last item: names that it may have changed are
    /// missing. Any other error is the only item: [`ErrorKind::Replaced`], if the log was compacted since.
    ///
    /// # Cost
    /// Reads the log, and has all names and their metadata in memory.
    pub fn entries(&self) -> impl Iterator<Item = Entry<R::Error>> + use<R> {
        let entries: Vec<Entry<R::Error>> = match self.replay(false) {
            Ok(table) => {
                let lost = table.lost.map(|lost| self.commit.log.lost(lost));
                let lost = lost.map(|damage| Err(Error(ErrorKind::Damaged(damage))));
                let metadata = |live: &crate::table::Live| live.metadata().into();
                let all = table.sorted().into_iter().map(|live| Ok((live.info(), metadata(live))));
                all.chain(lost).collect()
            }
            Err(error) => [Err(error)].into(),
        };
        entries.into_iter()
    }

    /// Returns the boots in which the store was opened for writing, the oldest first. The last ones are kept: 32, or
    /// fewer in a store of less than 2.5 MiB.
    ///
    /// # Errors
    /// [`ErrorKind::Replaced`], if the log was compacted since; if the medium fails.
    pub fn history(&self) -> Result<Vec<Boot>, Error<R::Error>> {
        Ok(self.replay(false)?.boots)
    }

    /// Returns the space of the store.
    ///
    /// # Errors
    /// As [`history`](Self::history); [`ErrorKind::Damaged`], if two entries share bytes.
    pub fn capacity(&self) -> Result<Capacity, Error<R::Error>> {
        let table = self.replay(false)?;
        Ok(space::of_log(&self.commit.log, &table, self.size())?.capacity())
    }

    /// Reads the log up to the commit.
    pub(crate) fn replay(&self, compares: bool) -> Result<Table, Error<R::Error>> {
        let mut table = Table::default();
        let see = &mut |step: &_| table.pass(&self.medium, step, self.commit.log.places.capacity);
        self.commit.steps(&self.medium, compares, see)?;
        table.finish();
        Ok(table)
    }
}

/// A blob or region and its metadata.
#[cfg(feature = "alloc")]
type Entry<E> = Result<(Info, Box<[u8]>), Error<E>>;
