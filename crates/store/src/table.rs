//! The table of a store in memory.

use crate::format::entry::{ENTRY, Entry, EntryKind, Use};
use crate::info::Info;
use crate::name::Name;
use alloc::boxed::Box;
use alloc::vec::Vec;
use cachemaint_format::tag;

/// Bytes of an entry, besides its fields, that need no allocation. With these a [`Live`] fills three cache lines, which
/// a lookup loads at once; following a pointer to the name would wait for memory once more.
const SHORT: usize = 119;

/// The name, the metadata and the value of an entry, as stored in a record. Zeros may follow.
#[derive(Clone, Debug)]
enum Bytes {
    Short([u8; SHORT]),
    Long(Box<[u8]>),
}

impl Bytes {
    fn all(&self) -> &[u8] {
        match self {
            Self::Short(bytes) => bytes,
            Self::Long(bytes) => bytes,
        }
    }
}

/// A blob or a region, or the deletion of one.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(crate) struct Live {
    pub(crate) entry: Entry,
    bytes: Bytes,
}

const _: () = assert!(size_of::<Live>() == 192 || size_of::<usize>() != 8);

impl Live {
    /// Returns an entry that will be stored in a record.
    pub(crate) fn new(entry: Entry, name: &[u8], metadata: &[u8], value: &[u8]) -> Self {
        let parts = [name, metadata, value];
        if entry.bytes() > SHORT {
            return Self { entry, bytes: Bytes::Long(parts.concat().into()) };
        }
        let mut bytes = [0; SHORT];
        let mut rest = &mut bytes[..];
        for part in parts {
            let (to, after) = rest.split_at_mut(part.len());
            to.copy_from_slice(part);
            rest = after;
        }
        Self { entry, bytes: Bytes::Short(bytes) }
    }

    /// Returns the entry that deletes a name.
    pub(crate) fn deleted(name: &[u8]) -> Self {
        Self::new(Entry { name: name.len(), ..Entry::DELETED }, name, &[], &[])
    }

    /// Reads the first entry of some bytes. Returns `None` if it is invalid.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let entry = Entry::read(bytes.first_chunk()?)?;
        let bytes = bytes.get(ENTRY..)?.get(..entry.bytes())?;
        let (name, rest) = bytes.split_at(entry.name);
        core::str::from_utf8(name).ok()?;
        Some(Self::new(entry, name, rest, &[]))
    }

    pub(crate) fn name(&self) -> &[u8] {
        &self.bytes.all()[..self.entry.name]
    }

    pub(crate) fn metadata(&self) -> &[u8] {
        &self.bytes.all()[self.entry.name..][..self.entry.metadata]
    }

    /// Returns the value of a blob that is stored in the log.
    pub(crate) fn value(&self) -> &[u8] {
        &self.bytes.all()[self.entry.name + self.entry.metadata..self.entry.bytes()]
    }

    /// Returns the entry of a region after a use.
    pub(crate) fn used(&self, used: Use) -> Self {
        Self { entry: Entry { tag: used.word(), ..self.entry }, ..self.clone() }
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.entry.kind == EntryKind::Deleted
    }

    /// Returns its entry for callers.
    pub(crate) fn info(&self) -> Info {
        // A name was a `str` when it was put, or was checked when it was read.
        let name = Name::new(core::str::from_utf8(self.name()).unwrap_or_default());
        Info::new(name, &self.entry)
    }

    /// Loads all its lines at once.
    fn touch(&self) {
        if let Bytes::Short(bytes) = &self.bytes {
            core::hint::black_box([bytes[0], bytes[SHORT / 2], bytes[SHORT - 1]]);
        }
    }

    /// Appends the entry to a record.
    pub(crate) fn append(&self, record: &mut Vec<u8>) {
        self.entry.append(&self.bytes.all()[..self.entry.bytes()], record);
    }
}

/// Entries by name: a few in any order, more in a hash table with open addressing.
///
/// Their order does not depend on the hashes, so records are the same in each run.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    all: Vec<Live>,
    /// Empty up to [`FEW`](Self::FEW) entries: to compare names takes less time than to hash one. Otherwise 32 bits of
    /// the hash of a name, and the number of its entry, counted from 1; zeros in a free slot. At least one of eight slots
    /// is free. A table has fewer than 2^32 entries ([`insert`](Self::insert) panics beyond).
    slots: Vec<(u32, u32)>,
    /// Unknown to those who choose names, so that they cannot make all of them fall into one slot.
    seed: u64,
}

impl Default for Names {
    fn default() -> Self {
        #[cfg(feature = "std")]
        let seed = core::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0);
        #[cfg(not(feature = "std"))]
        let seed = 0;
        Self { all: Vec::new(), slots: Vec::new(), seed }
    }
}

impl Names {
    /// An empty placeholder; its seed is known.
    pub(crate) const NONE: Self = Self { all: Vec::new(), slots: Vec::new(), seed: 0 };
    /// Entries that need no slots.
    const FEW: usize = 4;
    /// The slots of a small table.
    const KEPT: usize = 64;

    pub(crate) const fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn iter(&self) -> core::slice::Iter<'_, Live> {
        self.all.iter()
    }

    /// Returns the entries, whose names stay the same.
    pub(crate) fn iter_mut(&mut self) -> core::slice::IterMut<'_, Live> {
        self.all.iter_mut()
    }

    /// Takes all entries out.
    pub(crate) fn drain(&mut self) -> alloc::vec::Drain<'_, Live> {
        self.slots.clear();
        self.all.drain(..)
    }

    /// Returns a table without entries, which reuses the allocations of this one if they are small.
    pub(crate) fn emptied(mut self) -> Self {
        if self.slots.len() > Self::KEPT {
            return Self { seed: self.seed, ..Self::NONE };
        }
        drop(self.drain());
        self
    }

    const fn next(&self, slot: usize) -> usize {
        (slot + 1) & (self.slots.len() - 1)
    }

    /// Returns the slot of a name, or the free slot where it belongs, and the hash of the name.
    fn slot(&self, name: &[u8]) -> (usize, u32) {
        let hash = tag::of(self.seed, name) as u32;
        let mut slot = hash as usize & (self.slots.len() - 1);
        loop {
            let (there, number) = self.slots[slot];
            if number == 0 {
                return (slot, hash);
            }
            if there == hash {
                let live = &self.all[number as usize - 1];
                live.touch();
                if live.name() == name {
                    return (slot, hash);
                }
            }
            slot = self.next(slot);
        }
    }

    /// Returns the place of a name among the entries.
    fn place(&self, name: &[u8]) -> Option<usize> {
        if self.slots.is_empty() {
            return self.all.iter().position(|live| live.name() == name);
        }
        let (_, number) = self.slots[self.slot(name).0];
        (number as usize).checked_sub(1)
    }

    pub(crate) fn get(&self, name: &[u8]) -> Option<&Live> {
        self.place(name).map(|place| &self.all[place])
    }

    /// Puts an entry. Returns the fields of the one that it replaces.
    pub(crate) fn insert(&mut self, live: Live) -> Option<Entry> {
        if self.slots.is_empty() {
            if let Some(place) = self.place(live.name()) {
                return Some(self.replace(place, live));
            }
            self.all.push(live);
            if self.all.len() > Self::FEW {
                self.hash_all();
            }
            return None;
        }
        if 8 * (self.all.len() + 1) > 7 * self.slots.len() {
            self.grow();
        }
        let (slot, hash) = self.slot(live.name());
        if let (_, number @ 1..) = self.slots[slot] {
            return Some(self.replace(number as usize - 1, live));
        }
        self.all.push(live);
        assert!(u32::try_from(self.all.len()).is_ok(), "a store has fewer than 2^32 names");
        self.slots[slot] = (hash, self.all.len() as u32);
        None
    }

    fn replace(&mut self, place: usize, live: Live) -> Entry {
        let there = &mut self.all[place];
        let before = there.entry;
        *there = live;
        before
    }

    /// Gives slots to the entries that were compared until now.
    fn hash_all(&mut self) {
        self.slots.resize(2 * Self::FEW, (0, 0));
        for (place, number) in (1..=self.all.len() as u32).enumerate() {
            let (slot, hash) = self.slot(self.all[place].name());
            self.slots[slot] = (hash, number);
        }
    }

    fn grow(&mut self) {
        let len = 2 * self.slots.len();
        let old = core::mem::replace(&mut self.slots, alloc::vec![(0, 0); len]);
        for (hash, number) in old.into_iter().filter(|(_, number)| *number > 0) {
            let mut slot = hash as usize & (len - 1);
            while self.slots[slot].1 > 0 {
                slot = self.next(slot);
            }
            self.slots[slot] = (hash, number);
        }
    }

    fn remove(&mut self, name: &[u8]) -> Option<Entry> {
        let place = self.place(name)?;
        if !self.slots.is_empty() {
            let (slot, _) = self.slot(name);
            // The last entry takes its place.
            let (last, _) = self.slot(self.all[self.all.len() - 1].name());
            self.slots[last].1 = self.slots[slot].1;
            self.free(slot);
        }
        Some(self.all.swap_remove(place).entry)
    }

    /// Frees a slot. Later entries move up, so that searches still find them.
    fn free(&mut self, mut free: usize) {
        let mask = self.slots.len() - 1;
        let mut slot = self.next(free);
        while let (hash, 1..) = self.slots[slot] {
            let distance = |from: usize| slot.wrapping_sub(from) & mask;
            if distance(hash as usize & mask) >= distance(free) {
                self.slots[free] = self.slots[slot];
                free = slot;
            }
            slot = self.next(slot);
        }
        self.slots[free] = (0, 0);
    }
}

/// The state of a store after a record, without its entries.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct State {
    /// The number of the commit.
    pub(crate) number: u64,
    pub(crate) is_sealed: bool,
    /// The time of the commit.
    pub(crate) seconds: u64,
    /// Bytes of the store at the last opening.
    pub(crate) size: u64,
    /// The position of the record.
    pub(crate) at: u64,
    /// The position after the record.
    pub(crate) end: u64,
    /// The tag of the record.
    pub(crate) tag: u64,
}

/// A commit: all blobs and regions by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub(crate) state: State,
    pub(crate) live: Names,
    /// Size of all entries in a record, in bytes.
    pub(crate) bytes: u64,
}

impl Table {
    pub(crate) fn forget_all(&mut self) {
        self.live = Names::default();
        self.bytes = 0;
    }

    /// Puts or deletes an entry.
    pub(crate) fn change(&mut self, live: Live) {
        let before = if live.is_deleted() {
            self.live.remove(live.name())
        } else {
            self.bytes += live.entry.size();
            self.live.insert(live)
        };
        self.bytes -= before.as_ref().map_or(0, Entry::size);
    }

    /// Puts or deletes an entry, and leaves the change that takes this back.
    pub(crate) fn exchange(&mut self, change: &mut Live) {
        let there = self.live.place(change.name());
        if let Some(there) = there.filter(|_| !change.is_deleted()) {
            let there = &mut self.live.all[there];
            self.bytes = self.bytes - there.entry.size() + change.entry.size();
            return core::mem::swap(there, change);
        }
        let before = match there {
            Some(there) => self.live.all[there].clone(),
            None => Live::deleted(change.name()),
        };
        self.change(core::mem::replace(change, before));
    }

    /// Returns all entries, sorted by name.
    pub(crate) fn sorted(&self) -> Vec<&Live> {
        let mut all: Vec<_> = self.live.iter().collect();
        all.sort_unstable_by_key(|live| live.name());
        all
    }
}

#[cfg(test)]
mod tests {
    use super::{Live, Names};
    use crate::format::entry::Entry;
    use alloc::format;
    use alloc::vec::Vec;

    fn live(name: usize, version: u64) -> Live {
        let bytes = format!("name {name}");
        Live::new(
            Entry { name: bytes.len(), version, ..Entry::DELETED },
            bytes.as_bytes(),
            &[],
            &[],
        )
    }

    /// A table grows past the few that are compared and shrinks again, whatever was removed before.
    #[test]
    fn few_and_many_names_are_found_replaced_and_removed() {
        for most in 1..=2 * Names::FEW + 2 {
            for removed in 0..most {
                let mut names = Names::default();
                for name in 0..most {
                    assert_eq!(names.insert(live(name, 1)), None, "{name} of {most}");
                    assert_eq!(names.insert(live(name, 2)).map(|before| before.version), Some(1));
                }
                assert!(names.remove(live(removed, 0).name()).is_some());
                assert!(names.remove(live(removed, 0).name()).is_none());
                let found = |name| names.get(live(name, 0).name()).map(|live| live.entry.version);
                for name in 0..=most {
                    let expected = (name < most && name != removed).then_some(2);
                    assert_eq!(found(name), expected, "{name} of {most} without {removed}");
                }
                let left = (0..most).filter(|name| *name != removed).collect::<Vec<_>>();
                assert!(left.iter().all(|name| names.remove(live(*name, 0).name()).is_some()));
                assert_eq!(names.len(), 0);
            }
        }
    }
}
