//! The bytes that a cache may hold beside those of RAM, and the mistakes that follow from a difference.

use std::collections::HashMap;

use super::ram::Ram;
use super::table::{Kind, Operation, State, Then, Writer, cell};

/// The number of a place in the guest's code; 0 stands for none.
pub type Place = u32;

/// Bytes that a device gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handed {
    /// The physical address.
    pub at: u64,
    /// The number of bytes.
    pub len: u64,
    /// True if the device writes them.
    pub device_writes: bool,
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
    /// The number of the device that got the line last; 0 if none is known.
    pub device: u16,
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
    /// The number of the device that got the line last.
    device: u16,
    flags: u8,
    doorbells: u32,
    accesses: u64,
}

/// An operation that waits for a fence.
#[derive(Clone, Copy, Debug)]
struct Pending {
    line: usize,
    /// The parts that are not dirty any more then.
    done: u64,
    drops: bool,
    /// Old bytes were written back over a device's, so that the cache's copy is the true one.
    keeps: bool,
    /// A device had written before: what it writes later may not be fetched.
    differs: bool,
    by: Place,
}

#[derive(Debug, Default)]
struct Cpu {
    accesses: u64,
    doorbells: u32,
    pending: Vec<Pending>,
    /// Maintenance of all lines that waits for a fence.
    whole: Option<(Maintenance, Place)>,
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
    /// The cells of the table that mattered.
    #[cfg(test)]
    pub met: std::collections::HashSet<(Operation, State, Writer)>,
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
            #[cfg(test)]
            met: std::collections::HashSet::new(),
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
        self.meet(Operation::Load, cpu, place, (at, len));
        let accesses = self.cpus[cpu].accesses;
        let number = self.number(at);
        let line = &mut self.lines[number];
        if line.flags & CACHED == 0 {
            line.flags |= CACHED;
            (line.fetched, line.accesses) = (place, accesses);
        }
    }

    /// An operation meets bytes of one line: reports what the table says, and does what follows. Returns the last of that.
    fn meet(&mut self, operation: Operation, cpu: usize, place: Place, bytes: (u64, u64)) -> Then {
        let (number, mask) = (self.number(bytes.0), self.mask(bytes.0, bytes.1));
        let scope = if operation == Operation::DeviceReads { mask } else { u64::MAX };
        loop {
            let line = self.lines[number];
            let mut state = self.state(cpu, &line, scope);
            let last = self.last_writer(operation, state, bytes);
            if last == Writer::Cpu && self.lost(number).0 & mask != 0 && line.flags & HANDED != 0 {
                state = State::Lost;
            }
            #[cfg(test)]
            self.met.insert((operation, state, last));
            let (kind, then) = cell(operation, state, last);
            if let Some(kind) = kind {
                let by = match kind {
                    Kind::StaleRead => line.fetched,
                    Kind::SpeculativeRead | Kind::PollRace => line.dropped,
                    Kind::BytesLost => self.lost(number).1,
                    _ => line.stored,
                };
                let address = self.difference(bytes);
                self.report(kind, place, by, address);
            }
            match then {
                Then::Take if operation == Operation::Invalidate => {
                    self.take_dropped(number, place);
                }
                Then::Take => self.take(number),
                Then::Merge => self.lines[number].flags |= MERGED,
                Then::Lose => self.lose(number, place),
                Then::Keep if operation == Operation::Invalidate => self.lose(number, place),
                Then::Forget if state == State::Lost => self.find_again(number, u64::MAX),
                Then::Forget => {
                    self.lines[number].dirty &= !scope;
                    self.lines[number].cleaning &= !scope;
                }
                Then::Nothing | Then::Keep => {}
            }
            if kind.is_none() {
                return then;
            }
        }
    }

    /// Returns the parts of a line that an invalidation dropped, and its place.
    fn lost(&self, number: usize) -> (u64, Place) {
        let is_lost = self.lines[number].flags & LOST != 0;
        if is_lost { self.lost.get(&number).copied().unwrap_or_default() } else { (0, 0) }
    }

    /// Returns what a line is, by the dirty ones of some parts.
    fn state(&self, cpu: usize, line: &Line, scope: u64) -> State {
        let dirty = line.dirty & scope;
        let is_cleaning = dirty & !line.cleaning == 0;
        match (line.flags & MERGED != 0, dirty != 0) {
            (true, true) if is_cleaning => State::MergedCleaning,
            (true, true) => State::Merged,
            (true, false) => State::Old,
            (false, true) if is_cleaning => State::Cleaning,
            (false, true) => State::Dirty,
            _ if self.is_polled(cpu, line) => State::Polled,
            _ if line.flags & CACHED != 0 => State::Clean,
            _ => State::Absent,
        }
    }

    /// Returns true if a device can have written between two loads of one round of a loop. Another CPU may have fetched the
    /// line.
    fn is_polled(&self, cpu: usize, line: &Line) -> bool {
        let Cpu { accesses, doorbells, .. } = self.cpus[cpu];
        let is_since_doorbell =
            line.dropped != 0 && usize::from(line.dropper) == cpu && line.doorbells == doorbells;
        let is_at_once = accesses.wrapping_sub(line.accesses) < POLL;
        is_since_doorbell && (is_at_once || line.flags & (CACHED | POLLED) == POLLED)
    }

    /// Returns who wrote last, if that matters: the bytes of a load, or the line.
    fn last_writer(&mut self, operation: Operation, state: State, (at, len): (u64, u64)) -> Writer {
        let [by_cpu, by_device] =
            [Writer::Cpu, Writer::Device].map(|by| cell(operation, state, by));
        let is_of_bytes = matches!(operation, Operation::Load | Operation::DeviceReads);
        let is_device = by_cpu != by_device
            && (!is_of_bytes || self.differs(at, len))
            && self.line_differs(self.number(at));
        if is_device { Writer::Device } else { Writer::Cpu }
    }

    /// Takes over what a device wrote to a line.
    fn take(&mut self, number: usize) {
        self.overwritten.remove(&number);
        self.refresh(number);
    }

    /// The same, of a line that is dropped: the stores beside the device's bytes are lost.
    fn take_dropped(&mut self, number: usize, place: Place) {
        self.lose(number, place);
        for word in self.words_of(number) {
            if self.ram.nth(word) != self.shadow[word] {
                self.find_again(number, self.mask(8 * word as u64, 8));
            }
        }
        (self.lines[number].dirty, self.lines[number].cleaning) = (0, 0);
        self.take(number);
    }

    /// Drops the stores to a line that no write-back precedes.
    fn lose(&mut self, number: usize, by: Place) {
        let line = &mut self.lines[number];
        let dropped = line.dirty & !line.cleaning;
        if dropped != 0 {
            line.flags |= LOST;
            let (lost, place) = self.lost.entry(number).or_default();
            (*lost, *place) = (*lost | dropped, by);
        }
    }

    /// A CPU has stored through a cacheable mapping.
    #[inline]
    pub fn store(&mut self, cpu: usize, place: Place, at: u64, len: u64) {
        self.counts.stores += 1;
        self.cpus[cpu].accesses += 1;
        for (at, len) in parts(self.line, at, len) {
            self.store_to_line(cpu, place, at, len);
        }
    }

    fn store_to_line(&mut self, cpu: usize, place: Place, at: u64, len: u64) {
        let number = self.number(at);
        self.copy(at, len);
        self.meet(Operation::Store, cpu, place, (at, len));
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
        let mut pending = self.issue(cpu, place, at, what);
        if self.drops_in_order && what.drops {
            self.complete(cpu, Pending { done: 0, ..pending });
            pending.drops = false;
        }
        if pending.done != 0 || pending.drops {
            self.cpus[cpu].pending.push(pending);
        }
    }

    /// Begins maintenance of a line. Returns what a fence completes.
    fn issue(&mut self, cpu: usize, place: Place, at: u64, what: Maintenance) -> Pending {
        let operation = if what.writes_back { Operation::Clean } else { Operation::Invalidate };
        let keeps = self.meet(operation, cpu, place, (at, 1)) == Then::Keep;
        let number = self.number(at);
        let differs = self.line_differs(number);
        let line = &mut self.lines[number];
        line.cleaning |= line.dirty;
        let done = line.cleaning;
        Pending { line: number, done, drops: what.drops, keeps, differs, by: place }
    }

    /// A CPU maintains all lines, or by set and way. An invalidation may write back too (DC ISW with `HCR_EL2.SWIO`).
    pub fn maintain_all(&mut self, cpu: usize, place: Place, what: Maintenance) {
        self.counts.maintained += 1;
        let drops = what.drops || self.cpus[cpu].whole.is_some_and(|(whole, _)| whole.drops);
        self.cpus[cpu].whole = Some((Maintenance { writes_back: true, drops }, place));
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
        let Some((what, place)) = self.cpus[cpu].whole.take() else { return };
        for number in 0..self.lines.len() {
            let Line { dirty, flags, .. } = self.lines[number];
            if dirty != 0 || flags & CACHED != 0 || self.line_differs(number) {
                let at = self.ram.base() + number as u64 * self.line;
                let done = self.issue(cpu, place, at, what);
                self.complete(cpu, done);
            }
        }
    }

    /// A CPU executes a fence after which that of any CPU completes its maintenance.
    pub fn fence_of_cpus(&mut self, cpu: usize) {
        self.pending.append(&mut self.cpus[cpu].pending);
    }

    fn complete(&mut self, cpu: usize, done: Pending) {
        let number = done.line;
        let at = self.ram.base() + number as u64 * self.line;
        if done.done != 0 {
            self.meet(Operation::Fence, cpu, done.by, (at, 1));
        }
        let line = &mut self.lines[number];
        line.dirty &= !(done.done & line.cleaning);
        line.cleaning &= !done.done;
        let differs = self.line_differs(number);
        if !differs {
            self.lines[number].flags &= !MERGED;
            self.overwritten.remove(&number);
        } else if done.keeps {
            let words = self.words_of(number).map(|word| self.ram.nth(word));
            self.overwritten.insert(number, words.collect());
        }
        if !done.drops {
            return;
        }
        if differs && done.differs && !done.keeps {
            self.counts.refreshed += 1;
            self.refresh(number);
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

    /// A device gets bytes, by the instruction at `place`.
    pub fn hand_over(&mut self, place: Place, device: u16, handed: Handed) {
        let Handed { at, len, device_writes } = handed;
        if len == 0 || !self.ram.has(at, len) {
            return;
        }
        for (at, len) in parts(self.line, at, len) {
            let (number, mask) = (self.number(at), self.mask(at, len));
            let Line { stored, fetched, .. } = self.lines[number];
            self.counts.handed += u64::from(fetched != 0 || stored != 0);
            self.lines[number].flags |= HANDED;
            self.lines[number].device = device;
            if device_writes {
                self.find_again(number, mask);
            }
            let operation =
                if device_writes { Operation::DeviceWrites } else { Operation::DeviceReads };
            self.meet(operation, 0, place, (at, len));
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
        let device = self.lines[self.number(address)].device;
        let (cached, memory) = (self.shadow[word], self.ram.nth(word));
        let found = self.found.entry((kind, at, by)).or_insert_with(|| {
            self.newest = Some((kind, at, by));
            Found { count: 0, address, cached, memory, device }
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

    /// Returns an address where bytes or their line differ, or else that of the bytes.
    fn difference(&self, (at, len): (u64, u64)) -> u64 {
        let mut words = self.words_of(self.number(at));
        let first = words.find(|word| self.ram.nth(*word) != self.shadow[*word]);
        match first {
            Some(word) if !self.differs(at, len) => self.ram.base() + 8 * word as u64,
            _ => at,
        }
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
