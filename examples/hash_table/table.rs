//! A hash table that survives crashes, on any medium.
//!
//! The capacity is fixed when the table is created. All fields are words, little-endian. Only words are assumed to be
//! atomic, not lines or pages:
//!
//! | offset | what |
//! |---|---|
//! | 0 | header: `MAGIC` in the upper half, the number of slots in the lower one; 0 until the table is there |
//! | 64 | the state of each slot: `FREE`, `TAKEN` or `REMOVED` |
//! | the next multiple of 64 | the entry of each slot: key, value |
//!
//! The search for an entry begins at the slot that its key hashes to, and ends at the first free one (open addressing).
//! One word decides whether a change has happened, and the data behind it are persistent before it is stored:
//!
//! | change | persisted first | then the deciding word | until then a crash leaves |
//! |---|---|---|---|
//! | create | all states | the header | no table |
//! | insert | key and value, in a slot that is not taken | its state | the slot as it was |
//! | update | | the value | the value before |
//! | remove | | the state | the entry |

use cachemaint::medium::Medium;
use std::fmt;
use std::sync::atomic::Ordering;

/// `HTB1`, the format described above.
const MAGIC: u64 = 0x4854_4231;

/// States of a slot. A search continues after a removed one, and ends at a free one.
const FREE: u64 = 0;
const TAKEN: u64 = 1;
const REMOVED: u64 = 2;

const WORD: u64 = 8;
/// The alignment of fields that are stored together. It is only for speed.
const LINE: u64 = 64;
const STATES: u64 = LINE;
const ENTRY: u64 = 2 * WORD;

/// Errors of the table.
#[derive(Debug)]
pub enum Error<E> {
    /// The medium has failed.
    Medium(E),
    /// The medium holds something else, or a table larger than the medium.
    NoTable,
    /// All slots are taken.
    Full,
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Medium(error) => error.fmt(f),
            Self::NoTable => f.write_str("this is not a hash table, or one for a larger medium"),
            Self::Full => f.write_str("the table is full: remove something, or make a larger one"),
        }
    }
}

impl<E: std::error::Error> std::error::Error for Error<E> {}

/// A hash table with one writer.
#[derive(Debug)]
pub struct Table<M> {
    medium: M,
    slots: u64,
    saves_a_fence: bool,
}

/// The result of a search for a key.
enum Place {
    Found(u64),
    /// The key is missing, and this slot can take it.
    Vacant(u64),
    Nowhere,
}

impl<M: Medium> Table<M> {
    /// Opens the table on a medium, whether or not it crashed. If the first word is zero, creates a table that takes
    /// the whole medium.
    pub fn open(medium: M) -> Result<Self, Error<M::Error>> {
        let header = medium.load(0, Ordering::Relaxed);
        if header == 0 {
            return Self::create(medium);
        }
        let slots = header & u64::from(u32::MAX);
        if header >> 32 != MAGIC || slots == 0 || end(slots) > medium.len() {
            return Err(Error::NoTable);
        }
        // The bytes here may only be in the caches: a process that was killed between a store and its write-back leaves
        // them there. No one may read or build on bytes that a later power loss takes away.
        medium.persist(0..end(slots)).map_err(Error::Medium)?;
        Ok(Self { medium, slots, saves_a_fence: false })
    }

    fn create(medium: M) -> Result<Self, Error<M::Error>> {
        let slots = (medium.len().saturating_sub(2 * LINE) / (WORD + ENTRY)).min(u32::MAX.into());
        if slots == 0 {
            return Err(Error::Full);
        }
        let table = Self { medium, slots, saves_a_fence: false };
        for slot in 0..slots {
            table.medium.store(state(slot), FREE, Ordering::Relaxed);
        }
        table.medium.persist(STATES..state(slots)).map_err(Error::Medium)?;
        table.medium.store(0, MAGIC << 32 | slots, Ordering::Relaxed);
        table.medium.persist(0..WORD).map_err(Error::Medium)?;
        Ok(table)
    }

    /// Returns the same table with a defect for the simulator to find: one fence for two write-backs, so that either
    /// may arrive first.
    #[must_use]
    pub fn saving_a_fence(self) -> Self {
        Self { saves_a_fence: true, ..self }
    }

    /// Returns the value of a key.
    pub fn get(&self, key: u64) -> Option<u64> {
        match self.find(key) {
            Place::Found(slot) => Some(self.entry_of(slot).1),
            Place::Vacant(_) | Place::Nowhere => None,
        }
    }

    /// Returns every key with its value, in no order.
    pub fn entries(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let taken = (0..self.slots).filter(|slot| self.state_of(*slot) == TAKEN);
        taken.map(|slot| self.entry_of(slot))
    }

    /// Inserts a key, or updates its value and returns the previous one. Durable at return.
    pub fn insert(&mut self, key: u64, value: u64) -> Result<Option<u64>, Error<M::Error>> {
        match self.find(key) {
            Place::Found(slot) => self.replace(slot, value).map(Some).map_err(Error::Medium),
            Place::Vacant(slot) => self.add(slot, key, value).map(|()| None).map_err(Error::Medium),
            Place::Nowhere => Err(Error::Full),
        }
    }

    /// Removes a key and returns its value. Durable at return.
    pub fn remove(&mut self, key: u64) -> Result<Option<u64>, Error<M::Error>> {
        let Place::Found(slot) = self.find(key) else { return Ok(None) };
        let (_, value) = self.entry_of(slot);
        self.medium.store(state(slot), REMOVED, Ordering::Relaxed);
        self.medium.persist(state(slot)..state(slot) + WORD).map_err(Error::Medium)?;
        Ok(Some(value))
    }

    fn replace(&mut self, slot: u64, value: u64) -> Result<u64, M::Error> {
        let (_, before) = self.entry_of(slot);
        let at = entry(self.slots, slot) + WORD;
        self.medium.store(at, value, Ordering::Relaxed);
        self.medium.persist(at..at + WORD)?;
        Ok(before)
    }

    fn add(&mut self, slot: u64, key: u64, value: u64) -> Result<(), M::Error> {
        let at = entry(self.slots, slot);
        self.medium.store(at, key, Ordering::Relaxed);
        self.medium.store(at + WORD, value, Ordering::Relaxed);
        self.medium.issue_writeback(at..at + ENTRY)?;
        if !self.saves_a_fence {
            self.medium.fence()?;
        }
        self.medium.store(state(slot), TAKEN, Ordering::Relaxed);
        self.medium.persist(state(slot)..state(slot) + WORD)
    }

    /// Returns the slot of a key, or the first slot of its search that can take it.
    fn find(&self, key: u64) -> Place {
        let mut vacant = Place::Nowhere;
        for step in 0..self.slots {
            let slot = (self.home(key) + step) % self.slots;
            let state = self.state_of(slot);
            if state == TAKEN && self.entry_of(slot).0 == key {
                return Place::Found(slot);
            }
            if state != TAKEN && matches!(vacant, Place::Nowhere) {
                vacant = Place::Vacant(slot);
            }
            if state == FREE {
                break;
            }
        }
        vacant
    }

    /// Returns the slot at which the search for a key begins.
    fn home(&self, key: u64) -> u64 {
        let hash = key.wrapping_mul(0x9e37_79b9_7f4a_7c15); // 2^64 by the golden ratio
        (hash >> 32) % self.slots
    }

    fn state_of(&self, slot: u64) -> u64 {
        self.medium.load(state(slot), Ordering::Relaxed)
    }

    fn entry_of(&self, slot: u64) -> (u64, u64) {
        let at = entry(self.slots, slot);
        let word = |at| self.medium.load(at, Ordering::Relaxed);
        (word(at), word(at + WORD))
    }
}

/// Returns the offset of a slot's state.
const fn state(slot: u64) -> u64 {
    STATES + slot * WORD
}

/// Returns the offset of a slot's entry.
const fn entry(slots: u64, slot: u64) -> u64 {
    state(slots).next_multiple_of(LINE) + slot * ENTRY
}

/// Returns the end of a table.
const fn end(slots: u64) -> u64 {
    entry(slots, slots)
}
