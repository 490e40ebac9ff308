//! A store opened for writing: its state, and its space.

#[cfg(feature = "std")]
use super::open::{Opened, Options};
use super::region::Taken;
use super::space::Space;
use crate::Identity;
use crate::blob::Blob;
use crate::commit::Commit;
use crate::error::Error;
use crate::format::record::Is;
use crate::info::{Capacity, Info};
use crate::log::{Log, State};
use crate::reader::Reader;
use crate::stamp::Origin;
use crate::table::{Live, Names, Table};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
#[cfg(feature = "std")]
use cachemaint::medium::OpenError;
use cachemaint::medium::{Medium, Readable, WriterLockGuard};
use cachemaint_format::error::FormatError;

/// A store of named blobs, opened for writing. See the [crate's documentation](crate).
#[derive(Debug)]
pub struct Store<M: Medium> {
    pub(super) medium: Arc<M>,
    pub(super) writer: Writer,
    pub(super) log: Log,
    /// The last commit.
    pub(super) state: State,
    pub(super) table: Table,
    pub(super) space: Space,
    /// The regions that were handed out, by their offsets.
    pub(super) taken: BTreeMap<u64, Taken>,
    /// The number of the commit that opened or created the store.
    pub(super) opened: u64,
    /// The clock, in seconds since 1970-01-01 UTC.
    pub(super) clock: Option<fn() -> u64>,
    /// True if an append failed with an unknown outcome.
    pub(super) has_failed: bool,
    /// The allocations of the next record and the next transaction.
    pub(super) buffer: Vec<u8>,
    pub(super) spare: Names,
}

/// The lock of the medium's one writer: of a store, and of the regions that it has handed out.
pub(super) type Writer = Option<Arc<WriterLockGuard>>;

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
    pub fn create_new(medium: M) -> Result<(Self, Opened), OpenError<M, Error<M::Error>>> {
        Options::new().create_new(medium)
    }

    /// Opens the store in a medium, or creates one in an empty medium, as [`Options::open_or_create`].
    ///
    /// # Errors
    /// As [`Options::open_or_create`].
    pub fn open_or_create(medium: M) -> Result<(Self, Opened), OpenError<M, Error<M::Error>>> {
        Options::new().open_or_create(medium)
    }
}

impl<M: Medium> Store<M> {
    /// Returns a reader of the last commit, which can be sent to another thread. It reads the log in each operation; the
    /// store itself looks names up in memory.
    #[must_use]
    pub fn reader(&self) -> Reader<Arc<M>>
    where
        M: Send,
    {
        let (log, state) = (self.log, self.state);
        let commit = Commit { log, state, undone: None, last: state.tag };
        Reader::of(Arc::clone(&self.medium), commit)
    }

    /// Returns the entry of a blob or a region, or `None` if it does not exist.
    #[must_use]
    pub fn stat(&self, name: &str) -> Option<Info> {
        self.table.live.get(name.as_bytes()).map(Live::info)
    }

    /// Returns all blobs and regions, in the order of their names.
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
    /// As [`Reader::blob`]; [`ErrorKind::Invalid`](crate::ErrorKind::Invalid), if the blob exceeds memory.
    pub fn load(&self, name: &str) -> Result<Vec<u8>, Error<M::Error>> {
        match self.table.live.get(name.as_bytes()) {
            Some(live) if live.entry.is == Is::Value => Ok(live.value().to_vec()),
            _ => self.blob_in(&*self.medium, name)?.load(),
        }
    }

    /// Returns a blob of the last commit, to be read in parts or as a stream. The store can be written meanwhile.
    ///
    /// # Errors
    /// As [`load`](Self::load).
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
        let info = self.stat(name).ok_or_else(|| Error::not_found(name))?;
        Blob::open(medium, self.identity(), info)
    }

    /// Returns the identity of the store.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        self.log.identity()
    }

    /// Returns the number of the last commit.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.state.number
    }

    /// Returns true if the store is [sealed](crate#reboots).
    #[must_use]
    pub const fn is_sealed(&self) -> bool {
        self.state.is_sealed
    }

    /// Returns the medium.
    #[must_use]
    pub fn medium(&self) -> &M {
        &self.medium
    }

    /// Returns the space of the store.
    #[must_use]
    pub fn capacity(&self) -> Capacity {
        self.space.capacity()
    }

    pub(super) const fn unit(&self) -> u64 {
        self.log.places.unit
    }

    /// Returns the time of a commit that is made now.
    pub(super) fn seconds(&self) -> u64 {
        self.clock.map_or(self.state.stamp.seconds, |now| now())
    }

    /// Fails if a commit or the medium has failed.
    pub(super) fn check_is_usable(&self) -> Result<(), Error<M::Error>> {
        if self.has_failed {
            return Err(Error::format(FormatError::failed(&*self.medium)));
        }
        self.medium.check().map_err(Error::medium)
    }

    /// Returns the worst event since the commit of a number, at which a region was handed out or created.
    pub(super) fn since(&self, generation: u64) -> Origin {
        let boots = &self.table.boots;
        if generation >= self.opened {
            return Origin::SameProcess;
        }
        // The commit was made in a boot of the history, unless that has lost its first boots.
        if boots.first().is_none_or(|first| generation < first.generation) {
            return Origin::Unknown;
        }
        let later = boots.iter().filter(|boot| boot.generation > generation);
        later.map(|boot| boot.origin).fold(Origin::SameBoot, Origin::worse)
    }
}
