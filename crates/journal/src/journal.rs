//! The type of an open journal.

use super::geometry::{Geometry, Position};
use super::inflight::InFlight;
use super::lock::Lock;
use super::record::Epoch;
use super::root_lock::RootLock;
use super::state::State;
use cachemaint::medium::{Medium, WriterLockGuard};
use cachemaint_format::identity::Identity;
use cachemaint_format::writer::Opener;

/// A log that is open for appending. See the [crate documentation](super).
///
/// Threads can share it: all methods except [`close`](Self::close) take `&self`. The example of
/// [`wait_for_records`](Self::wait_for_records) has a thread that reads and trims what other threads append.
#[derive(Debug)]
pub struct Journal<M: Medium> {
    pub(super) medium: M,
    pub(super) identity: Identity,
    pub(super) geometry: Geometry,
    /// The epoch of new records.
    pub(super) epoch: Epoch,
    /// The end of the records before the epoch.
    pub(super) before: u64,
    pub(super) in_flight: InFlight,
    pub(super) root: RootLock,
    /// Held while a thread brings the confirmation up to date beside others.
    pub(super) confirming: Lock,
    pub(super) opener: Opener,
    /// Held as long as this journal can write.
    _writer: Option<WriterLockGuard>,
}

impl<M: Medium> Journal<M> {
    pub(super) fn new(medium: M, writer: Option<WriterLockGuard>, state: &State) -> Self {
        let State { identity, geometry, epoch, before, head, .. } = *state;
        Self {
            medium,
            identity,
            geometry,
            epoch,
            before,
            in_flight: InFlight::new(geometry, head, state.start()),
            root: RootLock::new(state),
            confirming: Lock::new(),
            opener: Opener::this(),
            _writer: writer,
        }
    }

    /// Returns the identity of the journal.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        self.identity
    }

    /// Returns the medium.
    #[must_use]
    pub const fn medium(&self) -> &M {
        &self.medium
    }

    /// Returns the position up to which the journal is trimmed. The oldest record is at or after it.
    #[must_use]
    pub fn head(&self) -> Position {
        Position(self.in_flight.head())
    }

    /// Returns the end of the acknowledged records. Do not store it for use after a later opening
    /// ([Limits](super#limits)).
    #[must_use]
    pub fn end(&self) -> Position {
        Position(self.in_flight.advance())
    }

    /// Returns the size of the log in bytes, including headers and marks.
    #[must_use]
    pub const fn capacity(&self) -> u64 {
        self.geometry.capacity
    }

    /// Returns the number of free bytes. New records take their headers and marks from them, too.
    #[must_use]
    pub fn free(&self) -> u64 {
        self.in_flight.free()
    }

    /// Returns the length of the longest possible payload, in bytes.
    #[must_use]
    pub const fn largest(&self) -> u64 {
        self.geometry.largest()
    }
}
