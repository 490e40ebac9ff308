//! Reading a store, with the table of one commit in memory.

use crate::blob::Blob;
use crate::error::{Error, ErrorKind};
use crate::format::record::BEFORE;
use crate::info::{Capacity, Info};
use crate::log::replay::{Replay, last};
use crate::log::scan::Scan;
use crate::log::{Gap, Log};
use crate::space;
use crate::table::{Live, State, Table};
use alloc::sync::Arc;
use alloc::vec::Vec;
use cachemaint::medium::{OpenError, Readable};
use cachemaint_format::identity::Identity;

/// A store opened for reading at its last commit, even while a process writes.
///
/// It keeps the table of that commit in memory. A later commit becomes visible with [`refresh`](Self::refresh); until
/// then, reading a blob whose bytes it replaced is [`ErrorKind::Replaced`].
///
/// ```
/// # #[cfg(feature = "std")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use cachemaint::{Cache, medium::{Backing, Memory}};
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
    log: Log,
    table: Arc<Table>,
    /// The first damaged bytes of the log, which may contain unknown changes.
    lost: Option<Gap>,
}

impl<R: Readable> Reader<R> {
    /// Opens a store for reading, even while a process writes.
    ///
    /// # Errors
    /// If the medium has no store, or one of another version; if all roots or the whole log are damaged; if the medium
    /// ends before the log does; [`ErrorKind::Replaced`] if a writer overtook 64 attempts; or if the medium fails.
    ///
    /// # Cost
    /// Reads the log. Keeps all names and metadata in memory.
    pub fn open(medium: R) -> Result<Self, OpenError<R, Error<R::Error>>> {
        match last(&medium) {
            Ok((log, Replay { table, lost, .. })) => {
                Ok(Self { medium, log, table: Arc::new(table), lost })
            }
            Err(error) => Err(OpenError::new(medium, error)),
        }
    }

    /// Returns a reader of a commit with this table.
    pub(crate) fn at(medium: R, log: Log, table: Table) -> Self {
        Self { medium, log, table: Arc::new(table), lost: None }
    }

    /// Moves to the last commit.
    ///
    /// # Errors
    /// Same as [`open`](Self::open). The reader then stays at its commit.
    ///
    /// # Cost
    /// Reads the records that follow, and copies the table in memory if there are any. Reads the log if a writer has
    /// compacted it or opened the store. Only [`open`](Self::open) looks for damage in all that follows: a record with
    /// damaged heads in both mirrors is the end here.
    pub fn refresh(&mut self) -> Result<(), Error<R::Error>> {
        if let Some(table) = self.continued() {
            self.table = table;
            return Ok(());
        }
        let (log, Replay { table, lost, .. }) = last(&self.medium)?;
        (self.log, self.table, self.lost) = (log, Arc::new(table), lost);
        Ok(())
    }

    /// Returns the table after the records that follow, or `None` if that takes a look at the whole log.
    fn continued(&self) -> Option<Arc<Table>> {
        let (log, mut table) = (self.log, Arc::clone(&self.table));
        let is_there = log.may_have(&self.medium, table.state.at, table.state.tag);
        if !is_there || self.lost.is_some() {
            return None;
        }
        let mut scan = Scan::after(log, &table.state);
        while let Some(record) = scan.following(&self.medium).ok()? {
            Arc::make_mut(&mut table).apply::<R::Error>(&record, &scan).ok()?;
        }
        let State { end, tag, .. } = table.state;
        // A record that follows but is not intact is damaged, or is being stored.
        let is_end = end == log.places.capacity || !log.may_have(&self.medium, end + BEFORE, tag);
        (is_end && log.is_current(&self.medium).ok()?).then_some(table)
    }

    /// Returns the medium.
    pub const fn medium(&self) -> &R {
        &self.medium
    }

    /// Returns the identity of the store.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        self.log.identity()
    }

    /// Returns the number of the commit.
    #[must_use]
    pub fn commit_number(&self) -> u64 {
        self.table.state.number
    }

    /// Returns true if the store was [sealed](crate#reboots) and has not changed since.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.table.state.is_sealed
    }

    /// Returns the size of the store in bytes when it was last opened for writing.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.table.state.size
    }

    /// Returns the entry of a blob or a region, or `None` if the name does not exist.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] if a record after the last one that names it is damaged in both mirrors; or if the medium
    /// has failed.
    pub fn stat(&self, name: &str) -> Result<Option<Info>, Error<R::Error>> {
        Ok(self.live(name)?.map(Live::info))
    }

    /// Returns the metadata of a blob or a region, or `None` if the name does not exist.
    ///
    /// # Errors
    /// Same as [`stat`](Self::stat).
    pub fn metadata(&self, name: &str) -> Result<Option<&[u8]>, Error<R::Error>> {
        Ok(self.live(name)?.map(Live::metadata))
    }

    fn live(&self, name: &str) -> Result<Option<&Live>, Error<R::Error>> {
        self.medium.check().map_err(Error::medium)?;
        match (self.table.live.get(name.as_bytes()), self.lost) {
            (None, Some(lost)) => Err(Error(ErrorKind::Damaged(self.log.lost(lost)))),
            (live, _) => Ok(live),
        }
    }

    /// Returns a verified copy of a blob.
    ///
    /// # Errors
    /// Same as [`blob`](Self::blob); [`ErrorKind::Invalid`] if the blob is larger than memory.
    pub fn load(&self, name: &str) -> Result<Vec<u8>, Error<R::Error>> {
        self.blob(name)?.load()
    }

    /// Opens a blob, to be read in parts or as a stream.
    ///
    /// # Errors
    /// Same as [`stat`](Self::stat); [`ErrorKind::NotFound`], [`ErrorKind::OtherContent`]; [`ErrorKind::Damaged`] if
    /// its tags are damaged; [`FormatError::Truncated`](crate::FormatError::Truncated) if the medium ends before the
    /// blob does; [`ErrorKind::Replaced`].
    pub fn blob(&self, name: &str) -> Result<Blob<&R>, Error<R::Error>> {
        let live = self.live(name)?.ok_or_else(|| Error::not_found(name))?;
        Blob::open(&self.medium, self.identity(), live)
    }

    /// Returns the blobs and regions, with their metadata, sorted by name.
    ///
    /// If a record is damaged in both mirrors, the last item is an error: names that it may have changed are missing.
    /// If the medium has failed, that is the only item.
    pub fn entries(&self) -> impl Iterator<Item = Result<(Info, &[u8]), Error<R::Error>>> {
        let lost = self.lost.map(|lost| Error(ErrorKind::Damaged(self.log.lost(lost))));
        let failed = self.medium.check().err().map(Error::medium);
        let all = if failed.is_none() { self.table.sorted() } else { Vec::new() };
        let all = all.into_iter().map(|live| Ok((live.info(), live.metadata())));
        all.chain(failed.or(lost).map(Err))
    }

    /// Returns the space in the store.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] if two entries share bytes.
    pub fn capacity(&self) -> Result<Capacity, Error<R::Error>> {
        Ok(space::of_log(self.log(), &self.table)?.capacity())
    }

    pub(crate) const fn log(&self) -> &Log {
        &self.log
    }

    /// Reads both mirrors of the log up to the commit.
    pub(crate) fn compared(
        &self,
        medium: &dyn Readable<Error = R::Error>,
    ) -> Result<Replay, Error<R::Error>> {
        let replay = Replay::compared(medium, self.log, self.table.state.end);
        if self.log.is_current(medium)? { replay } else { Err(Error(ErrorKind::Replaced)) }
    }
}
