//! A cache line: its bytes in memory, and in the cache of each CPU; and what was done to it.

use crate::story::{Call, Event, Hazard, Operation, Remedy, Scope, What};
use std::ops::Range;

/// The content of memory that nobody has written yet.
const JUNK: u8 = 0xdd;

/// The kind of place of a line, which decides what the model may do with the CPU's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Place {
    /// The machine's arena: anything is allowed.
    #[default]
    Arena,
    /// Whole lines of the program that a driver has given to a device, if the test allows that. They change while a
    /// device or an operation accesses them.
    Whole,
    /// Whole lines that a driver has given to a device, if the test does not allow that. They are only read, by
    /// operations on them.
    Own,
    /// Lines of the program that can hold other data too. They are only read, by operations on them.
    Shared,
    /// Freed memory of the arena.
    Freed,
}

impl Place {
    /// Returns true if the model may change the CPU's bytes.
    pub(crate) fn is_changed(self) -> bool {
        matches!(self, Self::Arena | Self::Whole)
    }
}

/// The number of last events kept for the report.
const EVENTS: usize = 10_000;

#[derive(Debug, Default)]
pub(crate) struct Line {
    /// The address in the first CPU's view, which is that of devices.
    pub(crate) address: usize,
    pub(crate) place: Place,
    pub(crate) scope: Scope,
    /// The bytes of the allocation. The others belong to neighbours.
    pub(crate) own: Range<usize>,
    is_uncacheable: bool,
    /// The operations on the line that have reached the machine.
    pub(crate) met: Vec<Operation>,
    /// The time of the events that follow.
    pub(crate) now: u64,
    pub(crate) events: Vec<Event>,
    /// The byte that neighbours hold.
    neighbour: u8,
    /// The remedies that are tried in this run.
    tried: Vec<Remedy>,
    /// The stored bytes that an eviction wrote to memory, and no call.
    evicted: Option<Range<usize>>,
    ram: Vec<u8>,
    views: Vec<View>,
}

/// The line as one CPU sees it.
#[derive(Debug, Default)]
struct View {
    /// The address of the CPU's loads and stores.
    address: usize,
    /// The CPU's bytes at the model's last look.
    seen: Vec<u8>,
    is_cached: bool,
    /// The bytes before the first store, if the line is dirty.
    before: Option<Vec<u8>>,
    /// True if the driver has given the line to a writer, and has not taken it back.
    is_given: bool,
    /// The content of memory when this CPU ordered its loads, if others have written to it since.
    ordered: Option<Vec<u8>>,
    /// The dirty bytes that an ended cacheable mapping left in the cache, and those before the first store.
    left: Option<[Vec<u8>; 2]>,
}

impl View {
    /// Returns the bytes in memory that are newer than this copy, since others have written them.
    fn newer(&self, ram: &[u8]) -> Option<Range<usize>> {
        let copied = self.before.as_ref().unwrap_or(&self.seen);
        self.is_cached.then(|| hull(differing(copied, ram))).flatten()
    }
}

impl Line {
    /// Returns a line that each CPU may have stored to, with junk in memory.
    ///
    /// # Safety
    /// 1. `size` bytes at each address can be read, and written if the place is the arena.
    pub(crate) unsafe fn new(
        views: &[usize],
        size: usize,
        (place, scope): (Place, Scope),
        own: Range<usize>,
        tried: Vec<Remedy>,
    ) -> Self {
        let ram = vec![JUNK; size];
        let views = views.iter().enumerate().map(|(cpu, &address)| {
            if cpu > 0 {
                // SAFETY: (1) only the arena has views of other CPUs.
                unsafe { store(address, &ram) };
            }
            // SAFETY: (1) is the caller's duty.
            let seen = unsafe { load(address, size) };
            let (is_cached, before) = (cpu == 0, (cpu == 0).then(|| ram.clone()));
            View { address, seen, is_cached, before, ..View::default() }
        });
        let views: Vec<_> = views.collect();
        let address = views[0].address;
        let mut line = Self { address, place, scope, own, tried, ram, views, ..Self::default() };
        if !line.own.is_empty() {
            line.note(0, What::Stored, None);
        }
        line
    }

    pub(crate) fn note(&mut self, cpu: usize, what: What, hazard: Option<Hazard>) {
        if self.events.len() > EVENTS {
            self.events.drain(..EVENTS / 2);
        }
        self.events.push(Event { at: self.now, cpu, what, hazard });
    }

    fn tries(&self, remedy: Remedy) -> bool {
        self.tried.contains(&remedy)
    }

    /// Records that the CPU has ordered its loads.
    pub(crate) fn order(&mut self, cpu: usize) {
        if let Some(view) = self.views.get_mut(cpu) {
            view.ordered = None;
        }
    }

    /// Drops the copy as if before the loads since they were ordered, and fetches the line as it was then. Returns
    /// false if others have written nothing since, or if the line is dirty.
    pub(crate) fn invalidate_early(&mut self, cpu: usize, call: Call) -> bool {
        let is_ordered = self.tries(Remedy::Order) || self.tries(Remedy::Acquire);
        let view = &mut self.views[cpu];
        let is_clean = !self.is_uncacheable && view.before.is_none();
        if is_ordered || !is_clean || !self.place.is_changed() {
            return false;
        }
        let Some(bytes) = view.ordered.clone() else { return false };
        // SAFETY: (1) the line is the arena's, or a whole one that the operation is on.
        unsafe { store(view.address, &bytes) };
        (view.seen, view.is_cached) = (bytes, true);
        self.note(cpu, What::Unordered(call), Some(Hazard::Early));
        true
    }

    pub(crate) fn is_cached(&self, cpu: usize) -> bool {
        self.views[cpu].is_cached || self.views[cpu].left.is_some()
    }

    /// Returns the events of the line, and a copy that a CPU has kept although bytes in memory are newer.
    pub(crate) fn history(&self) -> Vec<Event> {
        let mut events = self.events.clone();
        let stale = |(cpu, view): (usize, &View)| Some((cpu, view.newer(&self.ram)?));
        if let Some((cpu, range)) = self.views.iter().enumerate().find_map(stale) {
            let is_last = |what: &What| matches!(what, What::Written(_) | What::Unordered(_));
            let last = events.iter().rposition(|event| is_last(&event.what));
            let (n, at) = last.map_or((events.len(), self.now), |n| (n + 1, events[n].at));
            let hazard = Some(Hazard::Stale(range));
            events.insert(n, Event { at, cpu, what: What::Kept, hazard });
        }
        events
    }

    /// Records what the CPU has stored since the last look.
    ///
    /// # Safety
    /// 1. The CPU's bytes can be read.
    pub(crate) unsafe fn look(&mut self, cpu: usize) {
        let view = &mut self.views[cpu];
        // SAFETY: (1) is the caller's duty.
        let now = unsafe { load(view.address, self.ram.len()) };
        if now == view.seen {
            return;
        }
        let newer = view.newer(&self.ram);
        let is_taken = newer.is_some() && self.tried.contains(&Remedy::AcquireFirst);
        let before = std::mem::replace(&mut view.seen, now.clone());
        let stored: Vec<_> = differing(&now, &before).collect();
        if self.is_uncacheable {
            self.try_to_give(cpu);
            for n in stored {
                self.set_ram(n, &now[n..=n], None);
            }
            return;
        }
        view.is_cached = true;
        if view.before.is_some() {
            return;
        }
        view.before = Some(before);
        if is_taken {
            (view.seen, view.before) = (self.ram.clone(), Some(self.ram.clone()));
            for n in stored {
                view.seen[n] = now[n];
            }
            // SAFETY: (1) only memory that others have written is newer: the arena's, or whole lines.
            unsafe { store(view.address, &view.seen) };
        }
        self.note(cpu, What::Stored, newer.map(Hazard::Late));
    }

    pub(crate) fn fetch(&mut self, cpu: usize) {
        if !self.is_uncacheable && !std::mem::replace(&mut self.views[cpu].is_cached, true) {
            self.note(cpu, What::Fetched, None);
        }
    }

    /// Carries out a call. `discards` is true if it drops the line without writing it back.
    pub(crate) fn carry_out(&mut self, cpu: usize, call: Call, discards: bool) {
        let takes = call.operation == Operation::Invalidate;
        if takes && self.views[cpu].before.is_some() && self.tries(Remedy::AcquireFirst) {
            return; // it was called before the stores
        }
        self.evicted = None;
        if !discards {
            self.write_back(cpu, What::WrittenBack(call));
        }
        if call.operation != Operation::WriteBack {
            self.discard(cpu, Some(What::Dropped(call)));
            self.views[cpu].is_given = call.operation == Operation::WriteBackInvalidate;
        }
    }

    /// Copies the line to memory if it is dirty.
    pub(crate) fn write_back(&mut self, cpu: usize, what: What) {
        let view = &mut self.views[cpu];
        let left = view.left.take();
        let dirty = left.or_else(|| Some([view.seen.clone(), view.before.take()?]));
        let Some([bytes, before]) = dirty else { return };
        let lost = || differing(&before, &self.ram).filter(|n| bytes[*n] != self.ram[*n]);
        let is_shared = lost().all(|n| bytes[n] == before[n]);
        let hazard = hull(lost()).map(|bytes| Hazard::Overwritten { bytes, is_shared });
        if matches!(what, What::Evicted) {
            self.evicted = hull(differing(&before, &bytes));
        }
        self.set_ram(0, &bytes, Some(cpu));
        self.note(cpu, what, hazard);
    }

    /// Drops the line: the CPU's next load fetches it. Its dirty bytes are lost.
    pub(crate) fn discard(&mut self, cpu: usize, what: Option<What>) {
        if self.tries(Remedy::WriteBackFirst) {
            self.write_back(cpu, What::Evicted);
        }
        let view = &mut self.views[cpu];
        if view.left.take().is_none() && !view.is_cached {
            return;
        }
        let before = view.before.take().unwrap_or_else(|| view.seen.clone());
        // If others have written, the owner wants the bytes dropped.
        let lost = || differing(&view.seen, &before).filter(|n| self.ram[*n] == before[*n]);
        let is_shared = lost().all(|n| !self.own.contains(&n));
        let hazard = hull(lost()).map(|_| Hazard::Discarded { is_shared });
        view.is_cached = false;
        self.show(cpu);
        if let Some(what) = what {
            self.note(cpu, what, hazard);
        }
    }

    /// Reads bytes of the line, as a device.
    pub(crate) fn read(&mut self, at: usize, into: &mut [u8]) {
        if self.tries(Remedy::Release) {
            (0..self.views.len()).for_each(|cpu| self.write_back(cpu, What::Evicted));
        }
        let bytes = at..at + into.len();
        let memory = &self.ram[bytes.clone()];
        into.copy_from_slice(memory);
        let is_old = |view: &View| view.before.is_some() && view.seen[bytes.clone()] != *memory;
        let is_evicted = |of: &Range<usize>| of.start < bytes.end && bytes.start < of.end;
        let hazard = if self.views.iter().any(is_old) {
            Some(Hazard::ReadOld)
        } else {
            self.evicted.as_ref().is_some_and(is_evicted).then_some(Hazard::ReadEvicted)
        };
        self.note(0, What::Read(bytes), hazard);
    }

    /// Writes bytes of the line, as a device, or refuses with the reason.
    pub(crate) fn write(&mut self, at: usize, from: &[u8]) -> Result<(), &'static str> {
        match self.place {
            Place::Shared => return Err(SHARED),
            Place::Own => return Err(OWN),
            Place::Arena | Place::Whole | Place::Freed => {}
        }
        (0..self.views.len()).for_each(|cpu| self.try_to_give(cpu));
        self.set_ram(at, from, None);
        self.note(0, What::Written(at..at + from.len()), None);
        Ok(())
    }

    /// Gives the line to a writer if that is tried, and the driver has not.
    fn try_to_give(&mut self, cpu: usize) {
        let is_dirty = self.views[cpu].before.is_some() || self.views[cpu].left.is_some();
        if is_dirty
            && self.tries(Remedy::ReleaseToWriter)
            && !std::mem::replace(&mut self.views[cpu].is_given, true)
        {
            self.write_back(cpu, What::Evicted);
            self.discard(cpu, None);
        }
    }

    pub(crate) fn has_neighbours(&self) -> bool {
        self.place == Place::Arena && self.own.len() < self.ram.len()
    }

    /// Stores to the allocation's neighbours in this line, as the first CPU.
    pub(crate) fn store_to_neighbours(&mut self, byte: u8) {
        self.neighbour = byte;
        for at in (0..self.ram.len()).filter(|at| !self.own.contains(at)) {
            // SAFETY: (1) only lines of the arena have neighbours.
            unsafe { store(self.views[0].address + at, &[byte]) };
        }
        // SAFETY: (1) as above.
        unsafe { self.look(0) };
        self.note(0, What::NeighbourStored, None);
    }

    /// Returns true if the first CPU still sees what it stored to the neighbours.
    pub(crate) fn has_intact_neighbours(&self) -> bool {
        let view = &self.views[0];
        // SAFETY: (1) only lines of the arena have neighbours.
        let now = unsafe { load(view.address, self.ram.len()) };
        (0..now.len()).all(|at| self.own.contains(&at) || now[at] == self.neighbour)
    }

    /// Ends or begins the cacheable mapping of the line. Lines that the mapping left in a cache stay there.
    pub(crate) fn set_cacheable(&mut self, is_cacheable: bool) {
        self.is_uncacheable = !is_cacheable;
        for cpu in 0..self.views.len() {
            let view = &mut self.views[cpu];
            let dirty = view.before.take().map(|before| [view.seen.clone(), before]);
            view.left = dirty.or(view.left.take());
            view.is_cached = false;
            self.show(cpu);
        }
    }

    /// Changes memory. CPUs without a copy see the change; the others keep an old copy. `from` has the same bytes in
    /// its cache.
    fn set_ram(&mut self, at: usize, bytes: &[u8], from: Option<usize>) {
        let before = self.ram.clone();
        self.ram[at..at + bytes.len()].copy_from_slice(bytes);
        let is_taken = self.tries(Remedy::Acquire);
        for cpu in 0..self.views.len() {
            let view = &mut self.views[cpu];
            if Some(cpu) != from {
                view.ordered.get_or_insert_with(|| before.clone());
                if is_taken && view.before.is_none() {
                    (view.is_cached, view.is_given) = (false, false);
                }
            }
            self.show(cpu);
        }
    }

    /// Lets a CPU without a copy see memory.
    fn show(&mut self, cpu: usize) {
        let view = &mut self.views[cpu];
        if view.is_cached || view.seen == self.ram {
            return;
        }
        view.seen.clone_from(&self.ram);
        if self.place.is_changed() {
            // SAFETY: (1) the line is the arena's, or a whole one of memory that a device or an operation is at.
            unsafe { store(view.address, &self.ram) };
        }
    }
}

const SHARED: &str = "it shares a line with other data of the program, so a store to those would undo the device's; pad the \
                      buffer or use a bounce buffer";
const OWN: &str = "that is the program's own memory; place the buffer in the machine's, or see `Machine::allow_program_memory`";

/// Returns the places at which two contents of a line differ.
fn differing(one: &[u8], other: &[u8]) -> impl Iterator<Item = usize> {
    one.iter().zip(other).enumerate().filter(|(_, (one, other))| one != other).map(|(n, _)| n)
}

/// Returns the shortest range that has all these places.
fn hull(mut places: impl Iterator<Item = usize>) -> Option<Range<usize>> {
    let first = places.next()?;
    Some(first..places.last().unwrap_or(first) + 1)
}

/// Reads memory of the driver, which may store to it between two calls.
///
/// # Safety
/// 1. `len` bytes at the address can be read.
unsafe fn load(address: usize, len: usize) -> Vec<u8> {
    let start: *const u64 = std::ptr::with_exposed_provenance(address);
    let mut bytes = Vec::with_capacity(len);
    for word in 0..len / size_of::<u64>() {
        // SAFETY: (1) is the caller's duty, and lines are aligned.
        let word = unsafe { start.add(word) };
        // SAFETY: as above. Volatile, since a device is not part of the program.
        bytes.extend(unsafe { word.read_volatile() }.to_ne_bytes());
    }
    bytes
}

/// Writes memory of the driver, so that its loads see it.
///
/// # Safety
/// 1. The bytes at the address can be written.
unsafe fn store(address: usize, bytes: &[u8]) {
    let start: *mut u8 = std::ptr::with_exposed_provenance_mut(address);
    for (n, byte) in bytes.iter().enumerate() {
        // SAFETY: (1) is the caller's duty.
        let at = unsafe { start.add(n) };
        // SAFETY: as above.
        unsafe { at.write_volatile(*byte) };
    }
}
