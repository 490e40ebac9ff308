//! Giving up the oldest records.

use super::error::Error;
use super::format::record::Epoch;
use super::format::superblock::Superblock;
use super::walk::Walk;
use super::{Journal, Position, superblocks};
use crate::medium::Medium;
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::{Acquire, Release};

/// One at a time.
#[derive(Debug, Default)]
pub(super) struct Turn(AtomicBool);

impl Turn {
    /// Takes the turn, when nobody has it. Trimming is rare and short.
    fn take(&self) -> Taken<'_> {
        while self.0.swap(true, Acquire) {
            core::hint::spin_loop();
        }
        Taken(self)
    }
}

struct Taken<'t>(&'t Turn);

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.0.store(false, Release);
    }
}

impl<M: Medium> Journal<M> {
    /// Gives up all records before `to`, at which one begins or ends, atomically: after a crash the old
    /// beginning is there or the new one. When it returns, the new one is durable, and the space can be used.
    ///
    /// # Errors
    /// [`Error::NotABoundary`], if no record begins or ends there, or none that is acknowledged;
    /// [`Error::WornOut`]; if the medium fails. Nothing is given up then.
    ///
    /// # Cost
    /// A superblock is written back, with one fence; what is before `to` in its segment is read.
    pub fn trim(&self, to: Position) -> Result<(), Error<M::Error>> {
        let _turn = self.trimming.take();
        let superblock = superblocks::load(&self.medium)?;
        let (head, end) = (Position(superblock.head), self.end());
        if to < head || to > end {
            return Err(Error::NotABoundary { position: to, head, end });
        }
        let head_epoch = self.epoch_at(superblock, to, end)?;
        let generation = superblock.generation + 1;
        let next = Superblock { head: to.0, head_epoch, generation, ..superblock };
        let superblock = next.checked().ok_or(Error::WornOut)?;
        superblocks::store(&self.medium, &superblock)?;
        self.in_flight.trim(to.0);
        Ok(())
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
