//! Trimming the oldest records.

use super::error::{Error, ErrorKind};
use super::geometry::Position;
use super::journal::Journal;
use super::state::State;
use super::walk::Walk;
use cachemaint::medium::Medium;

impl<M: Medium> Journal<M> {
    /// Discards all records before `to`, atomically: after a crash the journal has the old head or the new one. When
    /// this returns, the new head is durable and the space can be reused. `to` must be a position where a record begins
    /// or ends, the [head](Self::head), the [end](Self::end), or the position that a [`Records`](super::Records) has
    /// [reached](super::Records::reached).
    ///
    /// A trim also records that everything up to the [end](Self::end) is acknowledged, as [`close`](Self::close) does.
    /// A trim to the head does only that. A trim to a position before the head does nothing: another thread has trimmed
    /// farther.
    ///
    /// # Checkpoints
    /// A program that keeps its state in a snapshot stores a position and the [identity](Self::identity) of the journal
    /// durably with it: every record before that position is in the snapshot. Then it trims the journal. The position
    /// must be the beginning or the end of an acknowledged record: from [`append`](Self::append),
    /// [`append_group`](Self::append_group), [`Record::end`](super::Record::end) or
    /// [`Recovered::end`](super::Recovered::end).
    ///
    /// ```
    /// # #[cfg(feature = "std")]
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use cachemaint::{Cache, medium::{Backing, Memory}};
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
    /// journal.trim(kept)?; // frees the space of the snapshot's records
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "std"))]
    /// # fn main() {}
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::NotABoundary`] if no acknowledged record begins or ends at `to`;
    /// [`FormatError::WornOut`](super::FormatError::WornOut);
    /// [`FormatError::AnotherWriter`](super::FormatError::AnotherWriter). No record is discarded in these cases.
    ///
    /// If the medium fails, now or [earlier](super::FormatError::Failed), open the journal again: it has the old head
    /// or the new one.
    ///
    /// # Cost
    /// Both copies of a root are written back, with one fence; with page granularity, two system calls. If head and
    /// `to` are in one segment, the records between them are read; otherwise those that
    /// [`records_from`](Self::records_from) reads; none if `to` is the [end](Self::end). One trim after many records costs
    /// less than one trim after each.
    pub fn trim(&self, to: Position) -> Result<(), Error<M::Error>> {
        let _taken = self.root.take(&self.in_flight);
        let state = self.load()?;
        let [head, end] = [state.head, state.acknowledged].map(Position);
        if to < head {
            return Ok(());
        }
        if to > end {
            return Err(Error::new(ErrorKind::NotABoundary { position: to, head, end }));
        }
        let head_epoch = if to == end {
            state.epoch
        } else {
            Walk::at_boundary(&self.medium, state, to.0)?.epoch
        };
        self.store(State { head: to.0, head_epoch, ..state })?;
        self.in_flight.trim(to.0);
        Ok(())
    }
}
