//! Trimming of the oldest records, and the closing of a journal.

use super::append::Backoff;
use super::error::{Error, ErrorKind, FormatError};
use super::record::Epoch;
use super::state::State;
use super::walk::Walk;
use super::{Journal, Position};
use cachemaint::medium::Medium;
use cachemaint_format::sync::AtomicBool;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// The lock of the roots. A thread that waits for it lets others run, since by pages it is held during a flush.
///
/// It has what a trim changes in the root, apart from the head. So a damaged root does not come back.
#[derive(Debug)]
pub(super) struct Turn {
    is_taken: AtomicBool,
    generation: AtomicU64,
    /// The number and the key of the epoch of the head.
    head_epoch: [AtomicU64; 2],
}

impl Turn {
    pub(super) fn new(state: &State) -> Self {
        let turn = Self {
            is_taken: AtomicBool::new(false),
            generation: AtomicU64::new(0),
            head_epoch: [const { AtomicU64::new(0) }; 2],
        };
        turn.note(state);
        turn
    }

    /// Takes up the root that was stored.
    fn note(&self, State { generation, head_epoch, .. }: &State) {
        self.generation.store(*generation, Relaxed);
        let [number, key] = &self.head_epoch;
        number.store(head_epoch.number, Relaxed);
        key.store(head_epoch.key, Relaxed);
    }

    fn take(&self) -> Taken<'_> {
        let mut backoff = Backoff::default();
        while self.is_taken.swap(true, Acquire) {
            backoff.wait();
        }
        Taken(self)
    }
}

struct Taken<'t>(&'t Turn);

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.is_taken.store(false, Release);
    }
}

impl<M: Medium> Journal<M> {
    /// Discards all records before `to`, atomically: after a crash the journal has the old head or the new one. When
    /// this returns, the new head is durable, and the space can be used again. `to` must be a position at which a
    /// record begins or ends, the [head](Self::head), the [end](Self::end), or the position that a
    /// [`Records`](super::Records) has [reached](super::Records::reached).
    ///
    /// A trim also notes that everything up to the [end](Self::end) is acknowledged, as [`close`](Self::close) does. A trim to
    /// the head discards nothing and does only that.
    ///
    /// # Checkpoints
    /// A program that keeps its state in a snapshot makes a position and the [identity](Self::identity) of the journal
    /// durable together with it: every record before this position is in the snapshot. Then it trims the journal. The
    /// position is the beginning or the end of an acknowledged record: from [`append`](Self::append), from
    /// [`append_group`](Self::append_group), [`Record::end`](super::Record::end), or
    /// [`Recovered::end`](super::Recovered::end).
    ///
    /// ```
    /// # #[cfg(feature = "std")]
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use cachemaint::{Cache, medium::Memory, survival::Backing};
    /// # use std::sync::atomic::AtomicU64;
    /// # static WORDS: [AtomicU64; 1 << 14] = [const { AtomicU64::new(0) }; 1 << 14];
    /// # let medium = || Ok::<_, Box<dyn std::error::Error>>(Memory::new(&WORDS, Cache::host()?, Backing::Ram));
    /// use cachemaint_journal::{Group, Journal};
    ///
    /// let (journal, _) = Journal::open_or_create(medium()?)?;
    /// let mut group = Group::new();
    /// group.push(b"in the snapshot");
    /// let kept = journal.append_group(&mut group)?.end; // kept with the snapshot
    /// drop(journal); // or a crash before the trim
    ///
    /// let (journal, _) = Journal::open(medium()?)?;
    /// let after = journal.append(b"after the snapshot")?;
    /// assert!(kept < after);
    /// let records = journal.records_from(kept)?.collect::<Result<Vec<_>, _>>()?;
    /// assert_eq!(records[0].payload, b"after the snapshot");
    /// journal.trim(kept)?; // gives the space of the snapshot's records back
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "std"))]
    /// # fn main() {}
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::NotABoundary`], if no acknowledged record begins or ends at `to`; [`FormatError::WornOut`]. No record
    /// is discarded then.
    ///
    /// If the medium fails, now or [before](FormatError::Failed), the journal must be opened again, which finds the old
    /// head or the new one.
    ///
    /// # Cost
    /// Both copies of a root are written back, with one fence. If head and `to` are in one segment, the records between
    /// them are read; else those before `to` in its segment; none if `to` is the [end](Self::end). So one trim after many
    /// records costs less than one after each record. By pages the write-back is two flushes.
    pub fn trim(&self, to: Position) -> Result<(), Error<M::Error>> {
        let turn = self.trimming.take();
        let state = self.load()?;
        let [head, end] = [state.head, state.acknowledged].map(Position);
        if to < head || to > end {
            return Err(Error::new(ErrorKind::NotABoundary { position: to, head, end }));
        }
        let head_epoch = if to == end {
            state.epoch
        } else {
            Walk::at_boundary(&self.medium, state, to.0)?.epoch
        };
        self.store(State { head: to.0, head_epoch, ..state })?;
        self.in_flight.trim(to.0);
        drop(turn);
        Ok(())
    }

    /// Closes the journal: notes that everything up to its [end](Self::end) is acknowledged, and returns the medium. If a
    /// part of the journal is missing later, it is reported as damage, even if it is the last record. Through a shared
    /// reference, [`trim`](Self::trim) to the [head](Self::head) notes the same.
    ///
    /// A journal that is only dropped loses no record. But damage that reaches to its end is taken for a torn end then,
    /// and so is damage to its last records if they were under way together.
    ///
    /// # Errors
    /// [`FormatError::WornOut`]; if the medium fails, now or [before](FormatError::Failed).
    ///
    /// # Cost
    /// Both copies of a root are written back, with one fence. By pages these are two flushes.
    pub fn close(self) -> Result<M, Error<M::Error>> {
        self.store(self.load()?)?;
        Ok(self.medium)
    }

    /// Returns the present state.
    pub(super) fn state(&self) -> Result<State, Error<M::Error>> {
        let _turn = self.trimming.take();
        self.load()
    }

    /// Returns the present state. No other thread stores it meanwhile.
    fn load(&self) -> Result<State, Error<M::Error>> {
        self.medium.check().map_err(Error::medium)?;
        let Self { identity, geometry, mark, trimming, .. } = self;
        let [number, key] = [0, 1].map(|word| trimming.head_epoch[word].load(Relaxed));
        Ok(State {
            identity: *identity,
            generation: trimming.generation.load(Relaxed),
            geometry: *geometry,
            head: self.head().0,
            head_epoch: Epoch { number, key },
            epoch: mark.epoch,
            before: mark.before,
            acknowledged: self.end().0,
        })
    }

    /// Stores the next state, durable at return. No other thread stores one meanwhile.
    fn store(&self, next: State) -> Result<(), Error<M::Error>> {
        if self.in_flight.has_failed() {
            return Err(Error::format(FormatError::failed(&self.medium)));
        }
        let next = State { generation: next.generation + 1, ..next };
        let next = next.checked().ok_or(Error::format(FormatError::WornOut))?;
        next.store(&self.medium).map_err(|error| {
            self.in_flight.fail_later();
            Error::medium(error)
        })?;
        self.trimming.note(&next);
        Ok(())
    }
}
