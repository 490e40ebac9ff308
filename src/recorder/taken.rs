//! The cursors that a recorder has taken.

use super::{Cursor, ErrorKind};
use crate::sync::AtomicU64;
use core::sync::atomic::{AtomicU64 as OwnerNumber, Ordering};

/// The first number that no recorder has had.
static NEXT: OwnerNumber = OwnerNumber::new(1);

/// The memory for cursors, whose cursors belong to one recorder until this is dropped.
///
/// The memory is of a type of the program's, whose `as_ref` may return other cursors at each call. So a cursor has the
/// number of its shard's owner. A cursor with another number is neither used nor given back.
#[derive(Debug)]
pub(super) struct Taken<C> {
    memory: C,
    shards: u32,
    /// The number of the owner of shard 0. Those of the other shards follow.
    first: u64,
    turn: Turn,
    /// A pointer, because a destructor cannot require that the memory implements `AsRef`.
    give_back: fn(&Self),
}

/// The number of shards that searches have passed or claimed: the next search begins at its remainder by the shards. It never
/// becomes less, so that a thread which claims slowly does not turn later searches back to shards that were claimed
/// since. It has lines of its own, so that a claim does not slow down the threads that record.
#[derive(Debug)]
#[repr(align(128))]
struct Turn(AtomicU64);

impl<C: AsRef<[Cursor]>> Taken<C> {
    /// Takes a cursor for each shard. If it cannot take them all, it takes none.
    pub(super) fn take<E>(memory: C, shards: u32) -> Result<Self, ErrorKind<E>> {
        let first = NEXT.fetch_add(shards.into(), Ordering::Relaxed);
        let turn = Turn(AtomicU64::new(0));
        let taken = Self { memory, shards, first, turn, give_back: Self::give_back };
        let cursors = taken.memory.as_ref();
        if cursors.len() < shards as usize {
            return Err(ErrorKind::FewCursors { cursors: cursors.len(), shards });
        }
        let mut each = (0..shards).zip(cursors);
        match each.find(|(shard, cursor)| !cursor.take(taken.owner(*shard))) {
            Some((shard, _)) => Err(ErrorKind::CursorTaken { shard }),
            None => Ok(taken),
        }
    }

    /// Returns the cursor of each shard, with its shard.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Cursor)> {
        let cursors = self.memory.as_ref();
        (0..self.shards).filter_map(|shard| Some((shard, self.own(cursors, shard)?)))
    }

    /// Returns the cursor of a shard.
    pub(super) fn get(&self, shard: u32) -> Option<&Cursor> {
        if shard < self.shards { self.own(self.memory.as_ref(), shard) } else { None }
    }

    /// Returns the cursor of a shard among these cursors of the memory.
    fn own<'c>(&self, cursors: &'c [Cursor], shard: u32) -> Option<&'c Cursor> {
        cursors.get(shard as usize).filter(|cursor| cursor.is_of(self.owner(shard)))
    }

    /// Claims a shard that has no owner. The search begins behind the shard that was claimed last, so that the events of
    /// threads that have ended are kept while other shards are free.
    pub(super) fn claim(&self) -> Option<(u32, &Cursor)> {
        // The memory may return other cursors at each call, so the passes of one search have the same ones.
        let (cursors, turn) = (self.memory.as_ref(), self.turn.0.load(Ordering::Relaxed));
        let mut seen = None;
        loop {
            let mut changes = 0_u64;
            for passed in turn..turn + u64::from(self.shards) {
                let shard = (passed % u64::from(self.shards)) as u32;
                let Some(cursor) = self.own(cursors, shard) else { continue };
                match cursor.claim() {
                    Ok(()) => {
                        self.turn.0.fetch_max(passed + 1, Ordering::Relaxed);
                        return Some((shard, cursor));
                    }
                    Err(of_shard) => changes = changes.wrapping_add(of_shard),
                }
            }
            // An owner may have moved from a shard ahead of the search to one behind it, or the other way round. Numbers of
            // changes only grow. If their sum is the same in two passes, all shards had owners at one time between them.
            if seen.replace(changes) == Some(changes) {
                return None;
            }
        }
    }

    fn give_back(&self) {
        self.iter().for_each(|(_, cursor)| cursor.free());
    }
}

impl<C> Taken<C> {
    /// Returns the number of the owner of a shard.
    const fn owner(&self, shard: u32) -> u64 {
        self.first + shard as u64
    }
}

impl<C> Drop for Taken<C> {
    fn drop(&mut self) {
        (self.give_back)(self);
    }
}
