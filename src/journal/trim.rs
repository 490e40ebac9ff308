//! Giving up the oldest records.

use super::error::{Error, ErrorKind};
use super::format::record::Epoch;
use super::format::superblock::Superblock;
use super::walk::Walk;
use super::{Journal, Position, superblocks};
use crate::medium::Medium;
use crate::sync::{self, AtomicBool};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// One at a time.
#[derive(Debug, Default)]
pub(super) struct Turn {
    is_taken: AtomicBool,
    /// The newest superblock may be in the caches alone: to make it durable has failed.
    is_unsure: AtomicBool,
}

impl Turn {
    /// Takes the turn, when nobody has it. Trimming is rare and short.
    fn take(&self) -> Taken<'_> {
        while self.is_taken.swap(true, Acquire) {
            sync::spin_loop();
        }
        Taken(self)
    }
}

struct Taken<'t>(&'t Turn);

impl Taken<'_> {
    /// Stores a superblock in the place of the one before the newest, which is durable then.
    fn store<M: Medium>(
        &self,
        medium: &M,
        newest: &Superblock,
        next: &Superblock,
    ) -> Result<(), M::Error> {
        if self.0.is_unsure.load(Relaxed) {
            superblocks::writeback(medium, newest)?;
            medium.fence();
        }
        self.0.is_unsure.store(true, Relaxed);
        superblocks::store(medium, next)?;
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
    /// Gives up all records before `to`, atomically: after a crash the old beginning is there or the new one. When it
    /// returns, the new one is durable, and the space can be used. A record begins or ends at `to`, or it is the
    /// [head](Self::head), the [end](Self::end), or what kept records have [reached](super::Records::reached).
    ///
    /// # Errors
    /// [`ErrorKind::NotABoundary`], if no record begins or ends there, or none that is acknowledged;
    /// [`ErrorKind::WornOut`]; if the medium fails. Nothing is given up then.
    ///
    /// # Cost
    /// A superblock is written back, with one fence. The records from the head to `to` are read if both are in one
    /// segment, else those before `to` in its segment; none, if `to` is the [end](Self::end). So it costs less to trim
    /// after many records than after each.
    pub fn trim(&self, to: Position) -> Result<(), Error<M::Error>> {
        let turn = self.trimming.take();
        let superblock = superblocks::load(&self.medium)?;
        let (head, end) = (Position(superblock.head), self.end());
        if to < head || to > end {
            return Err(Error::new(ErrorKind::NotABoundary { position: to, head, end }));
        }
        let head_epoch = self.epoch_at(superblock, to, end)?;
        let generation = superblock.generation + 1;
        let acknowledged = end.0;
        let next = Superblock { head: to.0, head_epoch, generation, acknowledged, ..superblock };
        let next = next.checked().ok_or(Error::new(ErrorKind::WornOut))?;
        turn.store(&self.medium, &superblock, &next).map_err(Error::medium)?;
        self.in_flight.trim(to.0);
        Ok(())
    }

    /// Closes the journal: notes that everything up to its [end](Self::end) is acknowledged. So whatever is missing of it
    /// later is told as damage, also of what was appended last.
    ///
    /// A journal that is only dropped loses nothing. Damage to records that were the last ones, and that were under way
    /// together, is taken for a torn end then.
    ///
    /// # Errors
    /// [`ErrorKind::WornOut`]; if the medium fails.
    ///
    /// # Cost
    /// A superblock is written back, with one fence.
    pub fn close(self) -> Result<(), Error<M::Error>> {
        let superblock = superblocks::load(&self.medium)?;
        let (acknowledged, generation) = (self.end().0, superblock.generation + 1);
        let next = Superblock { generation, acknowledged, ..superblock };
        let next = next.checked().ok_or(Error::new(ErrorKind::WornOut))?;
        self.trimming.take().store(&self.medium, &superblock, &next).map_err(Error::medium)
    }

    /// The epoch of what is before a position.
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
