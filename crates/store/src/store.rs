//! A store opened for writing: its state, and its space.

use crate::Identity;
use crate::blob::Blob;
use crate::error::Error;
use crate::format::{FORMAT, Root};
use crate::info::{Capacity, Info};
use crate::log::Log;
use crate::reader::Reader;
use crate::space::Space;
use crate::table::{Live, Names, Table};
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use cachemaint::medium::{Medium, Readable, WriterLock, WriterLockGuard};
use cachemaint_format::error::FormatError;
use cachemaint_format::unreadable::ThroughKernel;
use core::sync::atomic::Ordering::Acquire;
use core::sync::atomic::fence;

/// A store of named blobs, opened for writing. See the [crate documentation](crate).
#[derive(Debug)]
pub struct Store<M: Medium> {
    pub(crate) medium: Arc<M>,
    pub(crate) writer: Writer,
    pub(crate) log: Log,
    /// The last commit.
    pub(crate) table: Table,
    pub(crate) space: Space,
    /// The places that were handed out, keyed by their offsets.
    pub(crate) in_use: BTreeMap<u64, InUse>,
    /// The clock, in seconds since 1970-01-01 UTC.
    pub(crate) clock: fn() -> u64,
    /// Unpredictable words, for the epochs of logs.
    pub(crate) entropy: [u64; 2],
    /// True if an append failed with an unknown outcome.
    pub(crate) has_failed: bool,
    /// Allocations reused for the next record and the next transaction.
    pub(crate) buffer: Vec<u8>,
    pub(crate) spare: Names,
}

/// The lock of the medium's only writer, held by a store and the regions that it has handed out.
pub(crate) type Writer = Option<Arc<WriterLockGuard>>;

impl<M: Medium> Store<M> {
    /// Returns a reader of the last commit, which can be sent to another thread.
    ///
    /// # Cost
    /// Copies the table in memory.
    #[must_use]
    pub fn reader(&self) -> Reader<Arc<M>>
    where
        M: Send,
    {
        Reader::at(Arc::clone(&self.medium), self.log, self.table.clone())
    }

    /// Returns the entry of a blob or a region, or `None` if it does not exist.
    #[must_use]
    pub fn stat(&self, name: &str) -> Option<Info> {
        self.table.live.get(name.as_bytes()).map(Live::info)
    }

    /// Returns all blobs and regions, sorted by name.
    pub fn list(&self) -> impl Iterator<Item = Info> {
        self.table.sorted().into_iter().map(Live::info)
    }

    /// Returns the metadata of a blob or a region, or `None` if it does not exist.
    #[must_use]
    pub fn metadata(&self, name: &str) -> Option<&[u8]> {
        self.table.live.get(name.as_bytes()).map(Live::metadata)
    }

    /// Returns a verified copy of a blob.
    ///
    /// # Errors
    /// Same as [`Reader::blob`]; [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if the blob is larger than memory.
    pub fn load(&self, name: &str) -> Result<Vec<u8>, Error<M::Error>> {
        self.blob_in(&*self.medium, name)?.load()
    }

    /// Returns a blob of the last commit, to be read in parts or as a stream. The store can be written meanwhile.
    ///
    /// # Errors
    /// Same as [`load`](Self::load).
    pub fn blob(&self, name: &str) -> Result<Blob<Arc<M>>, Error<M::Error>>
    where
        M: Send,
    {
        self.blob_in(Arc::clone(&self.medium), name)
    }

    fn blob_in<R: Readable<Error = M::Error>>(
        &self,
        medium: R,
        name: &str,
    ) -> Result<Blob<R>, Error<M::Error>> {
        let live = self.table.live.get(name.as_bytes()).ok_or_else(|| Error::not_found(name))?;
        Blob::open(medium, self.identity(), live)
    }

    /// Returns the identity of the store.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        self.log.identity()
    }

    /// Returns the number of the last commit.
    #[must_use]
    pub const fn commit_number(&self) -> u64 {
        self.table.state.number
    }

    /// Returns true if the store is [sealed](crate#reboots).
    #[must_use]
    pub const fn is_sealed(&self) -> bool {
        self.table.state.is_sealed
    }

    /// Closes the store, and reports what has happened to it since the last commit. Dropping the store does the same
    /// without a report: nothing is left to be written. [Regions](crate::Region) can outlive the store.
    ///
    /// # Errors
    /// If the medium or a commit has failed, which takes back no acknowledged commit.
    /// [`FormatError::AnotherWriter`], who may have.
    pub fn close(mut self) -> Result<(), Error<M::Error>> {
        self.check_is_usable()?;
        self.refuse_another()
    }

    /// Returns the medium.
    #[must_use]
    pub fn medium(&self) -> &M {
        &self.medium
    }

    /// Returns the space in the store.
    #[must_use]
    pub fn capacity(&self) -> Capacity {
        self.space.capacity()
    }

    pub(crate) const fn unit(&self) -> u64 {
        self.log.places.unit
    }

    /// Fails, for good, if another writer has opened the store.
    pub(crate) fn refuse_another(&mut self) -> Result<(), Error<M::Error>> {
        let reads = &ThroughKernel::new(&*self.medium);
        // An older root is there if the newest one was damaged in both copies.
        let is_ours = |root: &Root| {
            let (found, own) = (root, &self.log.root);
            found == own || found.identity == own.identity && found.generation < own.generation
        };
        let looked = Root::refuse_another(reads, FORMAT, is_ours);
        self.has_failed |= looked.is_err();
        looked.map_err(Error::format)
    }

    /// Fails if a commit or the medium has failed.
    pub(crate) fn check_is_usable(&self) -> Result<(), Error<M::Error>> {
        if self.has_failed {
            return Err(Error::format(FormatError::failed(&*self.medium)));
        }
        self.medium.check().map_err(Error::medium)
    }
}

/// A place that the store has handed out for use in place since it was opened or sealed.
#[derive(Debug, Default)]
pub(crate) struct InUse {
    /// Alive as long as the place is in use.
    pub(crate) mark: Weak<WriterLock>,
    /// The number of the last commit before that.
    pub(crate) commit: u64,
}

impl InUse {
    /// Returns true if the place is in use. If not, this thread has observed the stores of all its users.
    pub(crate) fn is_now(&self) -> bool {
        let in_use = self.mark.strong_count() > 0;
        // The last user dropped its mark with a release.
        fence(Acquire);
        in_use
    }
}
