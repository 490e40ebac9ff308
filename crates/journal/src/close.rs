//! The roots that an open journal stores, and closing.

use super::error::{Error, ErrorKind, FormatError};
use super::geometry::FORMAT;
use super::journal::Journal;
use super::state::{Root, State};
use cachemaint::medium::Medium;
use cachemaint_format::root;
use cachemaint_format::unreadable::ThroughKernel;
use core::sync::atomic::Ordering::Relaxed;

impl<M: Medium> Journal<M> {
    /// Closes the journal: makes it durable that everything up to its [end](Self::end) is acknowledged. If any of it is
    /// missing later, even the last record, that is reported as damage. [`trim`](Self::trim) to the [head](Self::head)
    /// does the same through a shared reference.
    ///
    /// Dropping the journal does the same, but cannot return an error. It does nothing if the journal has failed, the
    /// thread is panicking or the process is a forked child.
    ///
    /// # Errors
    /// [`FormatError::WornOut`]; [`FormatError::AnotherWriter`]; or the medium fails, now or
    /// [earlier](FormatError::Failed).
    ///
    /// # Cost
    /// Both copies of a root are written back, with one fence. With page granularity, two system calls.
    pub fn close(self) -> Result<(), Error<M::Error>> {
        self.store(self.load()?)
    }

    /// Returns the current state.
    pub(super) fn state(&self) -> Result<State, Error<M::Error>> {
        let _taken = self.root.take(&self.in_flight);
        self.load()
    }

    /// Returns the current state. No other thread is storing it.
    pub(super) fn load(&self) -> Result<State, Error<M::Error>> {
        self.medium.check().map_err(Error::medium)?;
        Ok(State {
            identity: self.identity,
            generation: self.root.generation.load(Relaxed),
            geometry: self.geometry,
            head: self.head().0,
            head_epoch: self.root.head_epoch(),
            epoch: self.epoch,
            before: self.before,
            acknowledged: self.end().0,
        })
    }

    /// Stores the next state, durable on return. No other thread is storing one.
    pub(super) fn store(&self, next: State) -> Result<(), Error<M::Error>> {
        if self.in_flight.has_failed() {
            return Err(self.failed());
        }
        let next = State { generation: next.generation + 1, ..next };
        let next = next.checked().ok_or(Error::format(FormatError::WornOut))?;
        let refused = self.refuse_another();
        refused.and_then(|()| next.store(&self.medium).map_err(Error::medium)).inspect_err(
            |_| {
                self.in_flight.fail_later();
            },
        )?;
        self.root.note(&next);
        Ok(())
    }

    /// Fails if another writer has opened the journal. Costs two reads of a word, by system calls where a page can be bad.
    #[cold]
    pub(super) fn refuse_later(&self) -> Result<(), Error<M::Error>> {
        let reads = ThroughKernel::new(&self.medium);
        let later = root::may_be_superseded(&reads, self.root.generation.load(Relaxed));
        if later.map_err(Error::medium)? { self.refuse_another() } else { Ok(()) }
    }

    /// Fails if another writer has opened or replaced the journal.
    #[cold]
    pub(super) fn refuse_another(&self) -> Result<(), Error<M::Error>> {
        let is_ours = |root: &Root| {
            State::of(root).is_some_and(|State { identity, epoch, .. }| {
                // If the newest root is damaged, an earlier one is found.
                let is_earlier = epoch.number < self.epoch.number;
                identity == self.identity && (epoch == self.epoch || is_earlier)
            })
        };
        let reads = ThroughKernel::new(&self.medium);
        Root::refuse_another(&reads, FORMAT, is_ours).map_err(Error::format)
    }

    /// Returns the error of a journal that failed earlier.
    #[cold]
    pub(super) fn failed(&self) -> Error<M::Error> {
        match self.refuse_another() {
            Err(error) if matches!(error.kind(), ErrorKind::Format(FormatError::AnotherWriter)) => {
                error
            }
            _ => Error::format(FormatError::failed(&self.medium)),
        }
    }
}

impl<M: Medium> Drop for Journal<M> {
    fn drop(&mut self) {
        let is_noted = self.end().0 <= self.root.acknowledged.load(Relaxed);
        if !is_noted && self.opener.may_write() && !self.in_flight.has_failed() {
            // No record is lost without it, and nobody could receive an error.
            let _not_returned = self.load().and_then(|state| self.store(state));
        }
    }
}
