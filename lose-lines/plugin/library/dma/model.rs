//! The bytes that a cache may hold beside those of RAM, and the mistakes that follow from a difference.

use std::collections::HashMap;

use super::ram::Ram;

/// The number of a place in the guest's code; 0 stands for none.
pub type Place = u32;

/// A mistake, or an observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A load of bytes that a device wrote, from a line that the CPU had fetched before.
    StaleRead,
    /// The same, from a line that was dropped before the device wrote: speculation can have fetched it in between.
    SpeculativeRead,
    /// A load of bytes that a device wrote, after a store to their line had merged with an older copy of it.
    OldBytesMerged,
    /// A dirty line covers bytes that a device wrote; its write-back overwrites them.
    WrittenOver,
    /// A device is to write to a line that is dirty: an eviction overwrites the device's bytes.
    DirtyUnderDevice,
    /// A device is to read bytes that are only in the cache.
    DirtyAtDoorbell,
    /// The same, written back but not fenced.
    UnfencedAtDoorbell,
    /// A load, or a device's read, of bytes whose stores an invalidation dropped.
    BytesLost,
    /// A loop that polls read bytes that a device wrote after the invalidation; it reads again. Not a mistake.
    PollRace,
}

impl Kind {
    /// Returns the name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::StaleRead => "stale-read",
            Self::SpeculativeRead => "speculative-read",
            Self::OldBytesMerged => "old-bytes-merged",
            Self::WrittenOver => "written-over",
            Self::DirtyUnderDevice => "dirty-under-device",
            Self::DirtyAtDoorbell => "dirty-at-doorbell",
            Self::UnfencedAtDoorbell => "unfenced-at-doorbell",
            Self::BytesLost => "bytes-lost",
            Self::PollRace => "poll-race",
        }
    }
}

/// What happened at one place because of another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The number of lines that were affected.
    pub count: u64,
    /// The physical address of the first.
    pub address: u64,
    /// The word there that a cache may hold.
    pub cached: u64,
    /// The word there in RAM.
    pub memory: u64,
}

/// The effect of an instruction on one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Maintenance {
    /// Copies dirty bytes to memory.
    pub writes_back: bool,
    /// Drops the line.
    pub drops: bool,
}

/// The counts of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Loads of cacheable memory.
    pub loads: u64,
    /// Stores to cacheable memory.
    pub stores: u64,
    /// Operations of maintenance.
    pub maintained: u64,
    /// Fences that complete them.
    pub fences: u64,
    /// Cacheable lines that were handed to a device.
    pub handed: u64,
    /// Lines that an invalidation refreshed with a device's bytes.
    pub refreshed: u64,
}

/// The line is in the cache.
const CACHED: u8 = 1;
/// A store merged with a copy that was older than RAM.
const MERGED: u8 = 2;
/// An invalidation dropped dirty bytes.
const LOST: u8 = 4;
/// The line was invalidated and fetched before, since the CPU's last doorbell.
const POLLED: u8 = 8;
/// A device was told of bytes in the line, so that those are known which it does not write.
const HANDED: u8 = 16;

/// A load within this number of accesses after an invalidation belongs to a loop that polls.
const POLL: u64 = 16;

#[derive(Clone, Copy, Debug, Default)]
struct Line {
    /// The parts that were stored to since the last completed write-back.
    dirty: u64,
    /// Those of them whose write-back waits for a fence.
    cleaning: u64,
    fetched: Place,
    stored: Place,
    dropped: Place,
    /// The CPU that dropped the line, its number of doorbells then, and of accesses then or when the line was fetched.
    dropper: u16,
    flags: u8,
    doorbells: u32,
    accesses: u64,
}

/// An operation that waits for a fence.
#[derive(Clone, Copy, Debug)]
struct Pending {
    line: usize,
    written_back: u64,
    drops: bool,
    /// Old bytes were written back over a device's, so that the cache's copy is the true one.
    keeps: bool,
    by: Place,
}

#[derive(Debug, Default)]
struct Cpu {
    accesses: u64,
    doorbells: u32,
    pending: Vec<Pending>,
    /// Maintenance of all lines that waits for a fence.
    whole: Option<Maintenance>,
}

/// The model of one machine.
#[derive(Debug)]
pub struct Model {
    ram: Ram,
    line: u64,
    shadow: Vec<u64>,
    lines: Vec<Line>,
    /// The dirty parts of lines that an invalidation dropped, and its place. A device may have been told to write them.
    lost: HashMap<usize, (u64, Place)>,
    /// The words of RAM under lines with old bytes that were written back: a real memory has the old bytes, until a device
    /// writes again. It may after a doorbell.
    overwritten: HashMap<usize, Vec<u64>>,
    cpus: Vec<Cpu>,
    /// The operations of all CPUs that wait for a fence of any.
    pending: Vec<Pending>,
    found: HashMap<(Kind, Place, Place), Found>,
    newest: Option<(Kind, Place, Place)>,
    /// The bits of descriptors that page walks may set.
    pub set_by_walks: u64,
    /// True if an invalidation is complete for its CPU without a fence.
    drops_in_order: bool,
    /// What has happened.
    pub counts: Counts,
}

impl Model {
    /// Returns a model of RAM with lines of a power of two of bytes, from 16 to 2048, for this number of CPUs.
    #[must_use]
    pub fn new(ram: Ram, line: u64, cpus: usize, drops_in_order: bool) -> Self {
        let words = usize::try_from(ram.len() / 8).unwrap_or_default();
        let lines = usize::try_from(ram.len() / line).unwrap_or_default();
        let mut shadow = vec![0; words];
        // Pages of zeros stay unmapped.
        for (number, word) in shadow.iter_mut().enumerate() {
            let there = ram.nth(number);
            if there != 0 {
                *word = there;
            }
        }
        Self {
            ram,
            line,
            shadow,
            lines: vec![Line::default(); lines],
            lost: HashMap::new(),
            overwritten: HashMap::new(),
            cpus: (0..cpus).map(|_number| Cpu::default()).collect(),
            pending: Vec::new(),
            found: HashMap::new(),
            newest: None,
            set_by_walks: 0,
            drops_in_order,
            counts: Counts::default(),
        }
    }

    /// Returns the RAM.
    #[must_use]
    pub const fn ram(&self) -> Ram {
        self.ram
    }

    /// Returns everything found: the kind, the place, and the place that it goes back to.
    pub fn found(&self) -> impl Iterator<Item = (Kind, Place, Place, Found)> + '_ {
        self.found.iter().map(|((kind, at, by), found)| (*kind, *at, *by, *found))
    }

    /// Returns the last find of a kind at a place, if it was the first one there since the last call.
    #[inline]
    pub const fn take_newest(&mut self) -> Option<(Kind, Place, Place)> {
        self.newest.take()
    }

    /// A CPU loads through a cacheable mapping.
    #[inline]
    pub fn load(&mut self, cpu: usize, place: Place, at: u64, len: u64) {
        self.counts.loads += 1;
        self.cpus[cpu].accesses += 1;
        let number = self.number(at);
        let is_one = at % self.line + len <= self.line;
        if is_one && self.lines[number].flags & (CACHED | LOST) == CACHED && !self.differs(at, len)
        {
            return;
        }
        for (at, len) in parts(self.line, at, len) {
            self.load_from_line(cpu, place, at, len);
        }
    }

    fn load_from_line(&mut self, cpu: usize, place: Place, at: u64, len: u64) {
        let number = self.number(at);
        if self.differs(at, len) && self.line_differs(number) {
            let line = self.lines[number];
            let (kind, by) = self.staleness(cpu, &line);
            self.report(kind, place, by, at);
            self.overwritten.remove(&number);
            self.refresh(number);
        }
        if self.lines[number].flags & HANDED != 0 {
            self.check_lost(place, at, len);
        }
        let accesses = self.cpus[cpu].accesses;
        let line = &mut self.lines[number];
        if line.flags & CACHED == 0 {
            line.flags |= CACHED;
            (line.fetched, line.accesses) = (place, accesses);
        }
    }

    /// Reports bytes that an invalidation dropped, and that are used now.
    fn check_lost(&mut self, place: Place, at: u64, len: u64) {
        let (number, mask) = (self.number(at), self.mask(at, len));
        if self.lines[number].flags & LOST == 0 {
            return;
        }
        let (lost, by) = self.lost.get(&number).copied().unwrap_or_default();
        if lost & mask != 0 {
            self.find_again(number, u64::MAX);
            self.report(Kind::BytesLost, place, by, at);
        }
    }

    /// Returns how a line came to be older than RAM, and the place of the cause.
    fn staleness(&self, cpu: usize, line: &Line) -> (Kind, Place) {
        if line.flags & MERGED != 0 {
            return (Kind::OldBytesMerged, line.stored);
        }
        if line.dirty != 0 {
            return (Kind::WrittenOver, line.stored);
        }
        let Cpu { accesses, doorbells, .. } = self.cpus[cpu];
        let is_since_doorbell =
            line.dropped != 0 && usize::from(line.dropper) == cpu && line.doorbells == doorbells;
        // Another CPU may have fetched it.
        let is_at_once = accesses.wrapping_sub(line.accesses) < POLL;
        if line.flags & CACHED != 0 {
            // The device wrote between two loads of one round.
            return if is_since_doorbell && is_at_once {
                (Kind::PollRace, line.dropped)
            } else {
                (Kind::StaleRead, line.fetched)
            };
        }
        let polls = line.flags & POLLED != 0 || is_at_once;
        let kind = if is_since_doorbell && polls { Kind::PollRace } else { Kind::SpeculativeRead };
        (kind, line.dropped)
    }

    /// A CPU has stored through a cacheable mapping.
    #[inline]
    pub fn store(&mut self, cpu: usize, place: Place, at: u64, len: u64) {
        self.counts.stores += 1;
        self.cpus[cpu].accesses += 1;
        for (at, len) in parts(self.line, at, len) {
            self.store_to_line(place, at, len);
        }
    }

    fn store_to_line(&mut self, place: Place, at: u64, len: u64) {
        let number = self.number(at);
        self.copy(at, len);
        let Line { dirty, flags, .. } = self.lines[number];
        if dirty == 0 && flags & MERGED == 0 && self.line_differs(number) {
            self.lines[number].flags |= MERGED;
        }
        let mask = self.mask(at, len);
        let line = &mut self.lines[number];
        line.dirty |= mask;
        line.cleaning &= !mask;
        if line.flags & CACHED == 0 {
            line.fetched = place;
        }
        line.flags |= CACHED;
        line.stored = place;
        self.find_again(number, mask);
    }

    /// Bytes were stored through a mapping that is not cacheable, or by a device that is coherent by definition.
    pub fn store_around(&mut self, at: u64, len: u64) {
        if self.ram.has(at, len) {
            for (at, len) in parts(self.line, at, len) {
                self.copy(at, len);
                let (number, mask) = (self.number(at), self.mask(at, len));
                self.find_again(number, mask);
            }
        }
    }

    /// A CPU maintains the line of an address.
    pub fn maintain(&mut self, cpu: usize, place: Place, at: u64, what: Maintenance) {
        if !self.ram.has(at, 1) {
            return;
        }
        self.counts.maintained += 1;
        let number = self.number(at);
        let mut line = self.lines[number];
        let keeps = what.writes_back && line.dirty != 0 && line.flags & MERGED != 0;
        if line.dirty != 0 && what.writes_back {
            if !keeps && self.line_differs(number) {
                let address = self.first_difference(number);
                self.report(Kind::WrittenOver, place, line.stored, address);
                self.refresh(number);
                line = self.lines[number];
            }
            line.cleaning |= line.dirty;
        } else if line.dirty != 0 {
            let (lost, by) = self.lost.entry(number).or_default();
            (*lost, *by) = (*lost | line.dirty, place);
            line.flags |= LOST;
            (line.dirty, line.cleaning) = (0, 0);
        }
        self.lines[number] = line;
        let written_back = if what.writes_back { line.cleaning } else { 0 };
        let mut pending =
            Pending { line: number, written_back, drops: what.drops, keeps, by: place };
        if self.drops_in_order && what.drops {
            self.complete(cpu, Pending { written_back: 0, ..pending });
            pending.drops = false;
        }
        if written_back != 0 || pending.drops {
            self.cpus[cpu].pending.push(pending);
        }
    }

    /// A CPU maintains all lines, or by set and way.
    pub fn maintain_all(&mut self, cpu: usize, what: Maintenance) {
        self.counts.maintained += 1;
        let none = Maintenance { writes_back: false, drops: false };
        let whole = self.cpus[cpu].whole.get_or_insert(none);
        whole.writes_back |= what.writes_back;
        whole.drops |= what.drops;
    }

    /// A CPU executes a fence that completes its maintenance for all observers.
    pub fn fence(&mut self, cpu: usize) {
        self.counts.fences += 1;
        for done in core::mem::take(&mut self.pending) {
            self.complete(cpu, done);
        }
        let mut pending = core::mem::take(&mut self.cpus[cpu].pending);
        for done in pending.drain(..) {
            self.complete(cpu, done);
        }
        self.cpus[cpu].pending = pending;
        if let Some(whole) = self.cpus[cpu].whole.take() {
            for number in 0..self.lines.len() {
                let Line { dirty, flags, .. } = self.lines[number];
                let drops = whole.drops && (flags & CACHED != 0 || self.line_differs(number));
                let written_back = if whole.writes_back { dirty } else { 0 };
                self.lines[number].cleaning |= written_back;
                if drops || written_back != 0 {
                    let keeps = dirty != 0 && (flags & MERGED != 0 || !whole.writes_back);
                    self.complete(cpu, Pending { line: number, written_back, drops, keeps, by: 0 });
                }
            }
        }
    }

    /// A CPU executes a fence after which that of any CPU completes its maintenance.
    pub fn fence_of_cpus(&mut self, cpu: usize) {
        self.pending.append(&mut self.cpus[cpu].pending);
    }

    fn complete(&mut self, cpu: usize, done: Pending) {
        let number = done.line;
        let line = &mut self.lines[number];
        line.dirty &= !(done.written_back & line.cleaning);
        line.cleaning &= !done.written_back;
        if done.keeps && done.written_back != 0 {
            let words = self.words_of(number).map(|word| self.ram.nth(word));
            self.overwritten.insert(number, words.collect());
        }
        if !done.drops {
            return;
        }
        if !done.keeps && self.line_differs(number) {
            self.counts.refreshed += 1;
            self.refresh(number);
        } else if !done.keeps && self.lines[number].flags & MERGED != 0 {
            self.lines[number].flags &= !MERGED;
            self.overwritten.remove(&number);
        }
        let Cpu { accesses, doorbells, .. } = self.cpus[cpu];
        let line = &mut self.lines[number];
        let is_same = usize::from(line.dropper) == cpu && line.doorbells == doorbells;
        let has_polled = line.dropped != 0 && is_same && line.flags & (CACHED | POLLED) != 0;
        line.flags &= !(CACHED | POLLED);
        if has_polled {
            line.flags |= POLLED;
        }
        line.dropper = u16::try_from(cpu).unwrap_or(u16::MAX);
        line.dropped = done.by;
        (line.doorbells, line.accesses) = (doorbells, accesses);
    }

    /// A CPU stores to a register of a device.
    pub fn doorbell(&mut self, cpu: usize) {
        self.cpus[cpu].doorbells = self.cpus[cpu].doorbells.wrapping_add(1);
        self.overwritten.clear();
    }

    /// A device gets bytes to read, or room for bytes that it writes, by the instruction at `place`.
    pub fn hand_over(&mut self, place: Place, at: u64, len: u64, device_writes: bool) {
        if len == 0 || !self.ram.has(at, len) {
            return;
        }
        for (at, len) in parts(self.line, at, len) {
            let (number, mask) = (self.number(at), self.mask(at, len));
            if device_writes {
                self.find_again(number, mask);
            } else {
                self.check_lost(place, at, len);
            }
            let Line { dirty, cleaning, stored, fetched, .. } = self.lines[number];
            self.counts.handed += u64::from(fetched != 0 || stored != 0);
            self.lines[number].flags |= HANDED;
            let of_device = if device_writes { dirty } else { dirty & mask };
            if of_device == 0 {
                continue;
            }
            let kind = match (device_writes, of_device & !cleaning == 0) {
                (_, true) => Kind::UnfencedAtDoorbell,
                (true, false) => Kind::DirtyUnderDevice,
                (false, false) => Kind::DirtyAtDoorbell,
            };
            // What is reported has no consequences.
            self.lines[number].dirty &= !of_device;
            self.lines[number].cleaning &= !of_device;
            self.report(kind, place, stored, at);
        }
    }

    /// Forgets dropped bytes that were written again.
    fn find_again(&mut self, number: usize, mask: u64) {
        if self.lines[number].flags & LOST == 0 {
            return;
        }
        let left = self.lost.get_mut(&number).map_or(0, |(lost, _)| {
            *lost &= !mask;
            *lost
        });
        if left == 0 {
            self.lost.remove(&number);
            self.lines[number].flags &= !LOST;
        }
    }

    fn report(&mut self, kind: Kind, at: Place, by: Place, address: u64) {
        let word = self.word_number(address);
        let (cached, memory) = (self.shadow[word], self.ram.nth(word));
        let found = self.found.entry((kind, at, by)).or_insert_with(|| {
            self.newest = Some((kind, at, by));
            Found { count: 0, address, cached, memory }
        });
        found.count += 1;
    }

    #[inline]
    fn number(&self, at: u64) -> usize {
        index((at - self.ram.base()) / self.line)
    }

    #[inline]
    fn word_number(&self, at: u64) -> usize {
        index((at - self.ram.base()) / 8)
    }

    /// Returns the parts of a line, one bit each, that hold the bytes.
    fn mask(&self, at: u64, len: u64) -> u64 {
        let grain = (self.line / 64).max(1);
        let offset = at % self.line;
        let (first, last) = (offset / grain, (offset + len - 1) / grain);
        u64::MAX >> (63 - (last - first)) << first
    }

    /// Returns true if bytes differ between RAM and the cache.
    #[inline]
    fn differs(&self, at: u64, len: u64) -> bool {
        words(self.ram.base(), at, len)
            .any(|(number, mask)| (self.ram.nth(number) ^ self.shadow[number]) & mask != 0)
    }

    /// Takes bytes from RAM.
    fn copy(&mut self, at: u64, len: u64) {
        for (number, mask) in words(self.ram.base(), at, len) {
            let word = &mut self.shadow[number];
            *word = *word & !mask | self.ram.nth(number) & mask;
        }
    }

    fn words_of(&self, line: usize) -> core::ops::Range<usize> {
        let words = index(self.line / 8);
        line * words..(line + 1) * words
    }

    /// Returns true if a device wrote to a line. Takes over what a page walk has stored.
    fn line_differs(&mut self, number: usize) -> bool {
        let mut words = self.words_of(number);
        if !words.clone().any(|word| self.ram.nth(word) != self.shadow[word]) {
            return false;
        }
        // Walks change valid descriptors alone, whose lowest bit is set (Arm ARM, "VMSAv8-64 descriptors"; RISC-V, "Sv39").
        let is_of_walks = words.all(|word| {
            let (new, old) = (self.ram.nth(word), self.shadow[word]);
            new == old || new & 1 != 0 && (new ^ old) & !self.set_by_walks == 0
        });
        if is_of_walks {
            self.refresh(number);
        }
        !is_of_walks
    }

    fn first_difference(&self, number: usize) -> u64 {
        let mut words = self.words_of(number);
        let first = words.find(|word| self.ram.nth(*word) != self.shadow[*word]);
        self.ram.base() + 8 * first.unwrap_or_default() as u64
    }

    /// Takes a line from RAM, except for bytes that were overwritten since a device wrote them.
    fn refresh(&mut self, number: usize) {
        let overwritten = self.overwritten.get(&number);
        let mut is_old = false;
        for (place, word) in self.words_of(number).enumerate() {
            let new = self.ram.nth(word);
            let kept = overwritten.map_or(0, |words| equal_bytes(words[place], new));
            self.shadow[word] = self.shadow[word] & kept | new & !kept;
            is_old |= self.shadow[word] != new;
        }
        if !is_old {
            self.lines[number].flags &= !MERGED;
            self.overwritten.remove(&number);
        }
    }
}

/// Returns a mask of the bytes that are equal in two words.
fn equal_bytes(one: u64, other: u64) -> u64 {
    let bytes = (one ^ other).to_le_bytes();
    u64::from_le_bytes(bytes.map(|byte| if byte == 0 { 0xff } else { 0 }))
}

/// Returns a number of a line or word, which are fewer than the bytes that this process has mapped.
#[inline]
fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Returns the parts of a range in each line.
fn parts(line: u64, at: u64, len: u64) -> impl Iterator<Item = (u64, u64)> {
    let end = at + len;
    (at / line..end.div_ceil(line)).map(move |number| {
        let start = at.max(number * line);
        (start, end.min((number + 1) * line) - start)
    })
}

/// Returns the words of a range, with the mask of its bytes in each.
#[inline]
fn words(base: u64, at: u64, len: u64) -> impl Iterator<Item = (usize, u64)> {
    let (start, end) = (at - base, at - base + len);
    (start / 8..end.div_ceil(8)).map(move |number| {
        let from = start.saturating_sub(number * 8).min(8) * 8;
        let to = (end - number * 8).min(8) * 8;
        (index(number), u64::MAX >> (64 - (to - from)) << from)
    })
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
