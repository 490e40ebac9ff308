//! Trimming of the oldest records, and the closing of a journal.

use super::error::{Error, ErrorKind};
use super::format::record::Epoch;
use super::format::superblock::Superblock;
use super::walk::Walk;
use super::{Journal, Position, superblocks};
use crate::medium::Medium;
use crate::sync::{self, AtomicBool};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// The lock that admits one writer of superblocks at a time.
#[derive(Debug, Default)]
pub(super) struct Turn {
    is_taken: AtomicBool,
    /// True if the newest superblock may be in the caches only, since making it durable has failed.
    is_unsure: AtomicBool,
}

impl Turn {
    /// Waits until the turn is free, and takes it. It spins, since trims are rare and short.
    fn take(&self) -> Taken<'_> {
        while self.is_taken.swap(true, Acquire) {
            sync::spin_loop();
        }
        Taken(self)
    }
}

struct Taken<'t>(&'t Turn);

impl Taken<'_> {
    /// Returns the newest superblock, which is durable.
    fn newest<M: Medium>(&self, journal: &Journal<M>) -> Result<Superblock, Error<M::Error>> {
        let newest = journal.newest_superblock()?;
        if self.0.is_unsure.load(Relaxed) {
            superblocks::writeback(&journal.medium, &newest).map_err(Error::medium)?;
            journal.medium.fence();
            self.0.is_unsure.store(false, Relaxed);
            // This completes the trim that has failed.
            journal.in_flight.trim(newest.head);
        }
        Ok(newest)
    }

    /// Stores a superblock in the place of the one before the newest, which is durable.
    fn store<M: Medium>(&self, medium: &M, next: &Superblock) -> Result<(), Error<M::Error>> {
        self.0.is_unsure.store(true, Relaxed);
        superblocks::store(medium, next).map_err(Error::medium)?;
        self.0.is_unsure.store(false, Relaxed);
        Ok(())
    }
}

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
    /// A program that keeps its state in a snapshot keeps a position with it: every record before this position is in the
    /// snapshot. The snapshot, the position and the [identity](Self::identity) of the journal become durable together, and
    /// then the journal is trimmed. After a crash at any moment the program goes on at the position of its snapshot.
    ///
    /// These positions of acknowledged records can be kept: the beginning from [`append`](Self::append), and the end from
    /// [`append_group`](Self::append_group), in [`Record::end`](super::Record::end) of [`records`](Self::records), or in
    /// [`Recovered::end`](super::Recovered::end).
    ///
    /// ```
    /// # #[cfg(feature = "std")]
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use cachemaint::{Cache, medium::Memory, survival::Backing};
    /// # use std::sync::atomic::AtomicU64;
    /// # static WORDS: [AtomicU64; 1 << 14] = [const { AtomicU64::new(0) }; 1 << 14];
    /// # let medium = || Ok::<_, Box<dyn std::error::Error>>(Memory::new(&WORDS, Cache::host()?, Backing::Ram));
    /// use cachemaint::journal::{Group, Journal};
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
    /// [`ErrorKind::NotABoundary`], if no acknowledged record begins or ends at `to`;
    /// [`ErrorKind::Superblocks`], if the superblock was damaged since the opening; [`ErrorKind::WornOut`]. No record is
    /// discarded then.
    ///
    /// [`ErrorKind::Medium`], if the medium fails. An opening finds the old head or the new one then, as after a crash.
    /// This journal keeps the old head, until the next trim or closing makes the new one durable: records before that head are
    /// discarded then, even if that trim is refused. A medium whose failures last, such as a file that is persisted in
    /// pages, must be opened again.
    ///
    /// # Cost
    /// A superblock is written back, with one fence. If head and `to` are in one segment, the records between them are
    /// read; else those before `to` in its segment; none if `to` is the [end](Self::end). So one trim after many
    /// records costs less than one after each record. By pages the write-back is one flush.
    pub fn trim(&self, to: Position) -> Result<(), Error<M::Error>> {
        let turn = self.trimming.take();
        let superblock = turn.newest(self)?;
        let (head, end) = (Position(superblock.head), self.end());
        if to < head || to > end {
            return Err(Error::new(ErrorKind::NotABoundary { position: to, head, end }));
        }
        let head_epoch = self.epoch_at(superblock, to, end)?;
        let generation = superblock.generation + 1;
        let acknowledged = end.0;
        let next = Superblock { head: to.0, head_epoch, generation, acknowledged, ..superblock };
        let next = next.checked().ok_or(Error::new(ErrorKind::WornOut))?;
        turn.store(&self.medium, &next)?;
        self.in_flight.trim(to.0);
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
    /// [`ErrorKind::Superblocks`], if the superblock was damaged since the opening; [`ErrorKind::WornOut`]; if the medium
    /// fails.
    ///
    /// # Cost
    /// A superblock is written back, with one fence. By pages this is one flush.
    pub fn close(self) -> Result<M, Error<M::Error>> {
        let turn = self.trimming.take();
        let superblock = turn.newest(&self)?;
        let (acknowledged, generation) = (self.end().0, superblock.generation + 1);
        let next = Superblock { generation, acknowledged, ..superblock };
        let next = next.checked().ok_or(Error::new(ErrorKind::WornOut))?;
        turn.store(&self.medium, &next)?;
        drop(turn);
        Ok(self.medium)
    }

    /// Returns the newest superblock. An older one, without this opening or its last trim, is not counted on from.
    fn newest_superblock(&self) -> Result<Superblock, Error<M::Error>> {
        let found = superblocks::load(&self.medium)?;
        let is_newest = found.epoch == self.epoch && found.head >= self.head().0;
        if is_newest { Ok(found) } else { Err(Error::new(ErrorKind::Superblocks)) }
    }

    /// Returns the epoch of the records before a position.
    fn epoch_at(
        &self,
        superblock: Superblock,
        position: Position,
        end: Position,
    ) -> Result<Epoch, Error<M::Error>> {
        if position == end {
            return Ok(self.epoch);
        }
        Ok(Walk::at_boundary(&self.medium, superblock, position.0)?.epoch)
    }
}
