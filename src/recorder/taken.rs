//! The cursors that a recorder has taken.

use super::{Cursor, ErrorKind};
use core::sync::atomic::{AtomicU64, Ordering};

/// The first number that no recorder has had.
static NEXT: AtomicU64 = AtomicU64::new(1);

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
    /// A pointer, because a destructor cannot require that the memory implements `AsRef`.
    give_back: fn(&Self),
}

impl<C: AsRef<[Cursor]>> Taken<C> {
    /// Takes a cursor for each shard. If it cannot take them all, it takes none.
    pub(super) fn take<E>(memory: C, shards: u32) -> Result<Self, ErrorKind<E>> {
        let first = NEXT.fetch_add(shards.into(), Ordering::Relaxed);
        let taken = Self { memory, shards, first, give_back: Self::give_back };
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
        let each = (0..self.shards).zip(self.memory.as_ref());
        each.filter(|(shard, cursor)| cursor.is_of(self.owner(*shard)))
    }

    /// Returns the cursor of a shard.
    pub(super) fn get(&self, shard: u32) -> Option<&Cursor> {
        if shard >= self.shards {
            return None;
        }
        let cursor = self.memory.as_ref().get(shard as usize);
        cursor.filter(|cursor| cursor.is_of(self.owner(shard)))
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
