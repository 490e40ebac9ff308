//! A cache line: its bytes in memory, and in the cache of each CPU.

use crate::story::{Call, Event, Hazard, What};
use std::ops::Range;

/// The content of memory that nobody has written yet.
const JUNK: u8 = 0xdd;

/// The kind of place of a line, which decides what the model may do with the CPU's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The machine's arena: anything is allowed.
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

#[derive(Debug)]
pub(crate) struct Line {
    /// The address in the first CPU's view, which is that of devices.
    pub(crate) address: usize,
    pub(crate) place: Place,
    /// The bytes of the allocation. The others belong to neighbours.
    pub(crate) own: Range<usize>,
    /// The byte that neighbours hold.
    pub(crate) neighbour: u8,
    pub(crate) is_cacheable: bool,
    ram: Vec<u8>,
    views: Vec<View>,
}

/// The line as one CPU sees it.
#[derive(Debug)]
struct View {
    /// The address of the CPU's loads and stores.
    address: usize,
    /// The CPU's bytes at the model's last look.
    seen: Vec<u8>,
    is_cached: bool,
    is_dirty: bool,
    /// The bytes that others have written to memory since this copy was fetched.
    newer: Option<Range<usize>>,
    /// The content of memory when this CPU ordered its loads, if others have written to it since.
    ordered: Option<Vec<u8>>,
    /// The dirty bytes that an ended cacheable mapping left in the cache.
    left: Option<Vec<u8>>,
}

impl Line {
    /// Returns a line that each CPU may have stored to, with junk in memory.
    ///
    /// # Safety
    /// 1. `size` bytes at each address can be read, and written if the place is the arena.
    pub(crate) unsafe fn new(
        views: Vec<usize>,
        size: usize,
        place: Place,
        own: Range<usize>,
    ) -> Self {
        let address = views[0];
        let ram = vec![JUNK; size];
        let views = views.into_iter().enumerate().map(|(cpu, address)| {
            let seen = if cpu == 0 {
                // SAFETY: (1) is the caller's duty.
                unsafe { load(address, size) }
            } else {
                // SAFETY: (1) as above: only the arena has views of other CPUs.
                unsafe { store(address, &ram) };
                ram.clone()
            };
            View {
                address,
                seen,
                is_cached: cpu == 0,
                is_dirty: cpu == 0,
                newer: None,
                ordered: None,
                left: None,
            }
        });
        let views = views.collect();
        Self { address, place, own, neighbour: 0, is_cacheable: true, ram, views }
    }

    /// Records that the CPU has ordered its loads.
    pub(crate) fn order(&mut self, cpu: usize) {
        if let Some(view) = self.views.get_mut(cpu) {
            view.ordered = None;
        }
    }

    /// Drops the copy as if before the loads since they were ordered, and fetches the line as it was then. Returns
    /// false if others have written nothing since, or if the line is dirty.
    pub(crate) fn invalidate_early(
        &mut self,
        cpu: usize,
        call: Call,
        log: &mut Vec<Event>,
    ) -> bool {
        let len = self.ram.len();
        let view = &mut self.views[cpu];
        if !self.place.is_changed() || !self.is_cacheable || view.is_dirty {
            return false;
        }
        let Some(bytes) = view.ordered.clone() else { return false };
        // SAFETY: (1) the line is the arena's, or a whole one that the operation is on.
        unsafe { store(view.address, &bytes) };
        (view.seen, view.is_cached, view.newer) = (bytes, true, Some(0..len));
        log.push(self.event(cpu, What::Unordered(call)));
        true
    }

    pub(crate) fn is_cached(&self, cpu: usize) -> bool {
        self.views[cpu].is_cached || self.views[cpu].left.is_some()
    }

    /// Returns the bytes that a CPU has not seen although they are in memory.
    pub(crate) fn stale(&self) -> Option<(usize, Range<usize>)> {
        let cached = |(_, view): &(usize, &View)| view.is_cached; // lines of an ended mapping hide nothing
        let stale = |(cpu, view): (usize, &View)| Some((cpu, view.newer.clone()?));
        self.views.iter().enumerate().filter(cached).find_map(stale)
    }

    /// Records what the CPU has stored since the last look.
    ///
    /// # Safety
    /// 1. The CPU's bytes can be read.
    pub(crate) unsafe fn look(&mut self, cpu: usize, log: &mut Vec<Event>) {
        let view = &self.views[cpu];
        // SAFETY: (1) is the caller's duty.
        let now = unsafe { load(view.address, self.ram.len()) };
        if now == view.seen {
            return;
        }
        if !self.is_cacheable {
            let changed = (0..now.len()).filter(|n| now[*n] != view.seen[*n]);
            let changed: Vec<_> = changed.map(|n| (n, now[n])).collect();
            self.views[cpu].seen = now;
            for (n, byte) in changed {
                self.set_ram(n, &[byte], None);
            }
            return;
        }
        let view = &mut self.views[cpu];
        view.seen = now;
        view.is_cached = true;
        if !std::mem::replace(&mut view.is_dirty, true) {
            log.push(self.event(cpu, What::Stored));
        }
    }

    pub(crate) fn fetch(&mut self, cpu: usize, log: &mut Vec<Event>) {
        if self.is_cacheable && !std::mem::replace(&mut self.views[cpu].is_cached, true) {
            log.push(self.event(cpu, What::Fetched));
        }
    }

    /// Copies the line to memory if it is dirty.
    pub(crate) fn write_back(&mut self, cpu: usize, what: What, log: &mut Vec<Event>) {
        let view = &mut self.views[cpu];
        let bytes = match view.left.take() {
            Some(left) => left,
            None if view.is_cached && view.is_dirty => view.seen.clone(),
            None => return,
        };
        view.is_dirty = false;
        let hazard = view.newer.take().map(Hazard::Overwritten);
        self.set_ram(0, &bytes, Some(cpu));
        log.push(Event { hazard, ..self.event(cpu, what) });
    }

    /// Drops the line: the CPU's next load fetches it. Its dirty bytes are lost.
    pub(crate) fn discard(&mut self, cpu: usize, what: Option<What>, log: &mut Vec<Event>) {
        let view = &mut self.views[cpu];
        if view.left.take().is_none() && !view.is_cached {
            return;
        }
        // If others have written, the owner wants the line dropped.
        let is_lost =
            view.is_dirty && view.newer.as_ref().is_none_or(|newer| newer.len() < self.ram.len());
        let hazard = is_lost.then_some(Hazard::Discarded);
        (view.is_cached, view.is_dirty, view.newer) = (false, false, None);
        self.show(cpu);
        log.extend(what.map(|what| Event { hazard, ..self.event(cpu, what) }));
    }

    /// Reads bytes of the line, as a device.
    pub(crate) fn read(&self, at: usize, into: &mut [u8], log: &mut Vec<Event>) {
        let bytes = at..at + into.len();
        into.copy_from_slice(&self.ram[bytes.clone()]);
        let is_old =
            |view: &View| view.is_dirty && view.seen[bytes.clone()] != self.ram[bytes.clone()];
        let hazard = self.views.iter().any(is_old).then_some(Hazard::ReadOld);
        log.push(Event { hazard, ..self.event(0, What::Read(bytes)) });
    }

    /// Writes bytes of the line, as a device.
    pub(crate) fn write(&mut self, at: usize, from: &[u8], log: &mut Vec<Event>) {
        self.set_ram(at, from, None);
        log.push(self.event(0, What::Written(at..at + from.len())));
    }

    pub(crate) fn has_neighbours(&self) -> bool {
        self.place == Place::Arena && self.own.len() < self.ram.len()
    }

    /// Stores to the allocation's neighbours in this line, as the first CPU.
    pub(crate) fn store_to_neighbours(&mut self, byte: u8, log: &mut Vec<Event>) {
        self.neighbour = byte;
        for at in (0..self.ram.len()).filter(|at| !self.own.contains(at)) {
            // SAFETY: (1) only lines of the arena have neighbours.
            unsafe { store(self.views[0].address + at, &[byte]) };
        }
        // SAFETY: (1) as above.
        unsafe { self.look(0, log) };
        log.push(self.event(0, What::NeighbourStored));
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
        self.is_cacheable = is_cacheable;
        for cpu in 0..self.views.len() {
            let view = &mut self.views[cpu];
            let was_dirty = view.is_cached && view.is_dirty;
            view.left = was_dirty.then(|| view.seen.clone()).or(view.left.take());
            (view.is_cached, view.is_dirty) = (false, false);
            self.show(cpu);
        }
    }

    pub(crate) fn event(&self, cpu: usize, what: What) -> Event {
        Event { line: self.address, cpu, what, hazard: None }
    }

    /// Changes memory. CPUs without a copy see the change; the others keep an old copy. `from` has the same bytes in
    /// its cache.
    fn set_ram(&mut self, at: usize, bytes: &[u8], from: Option<usize>) {
        for view in self.views.iter_mut().enumerate().filter(|(cpu, _)| Some(*cpu) != from) {
            view.1.ordered.get_or_insert_with(|| self.ram.clone());
        }
        self.ram[at..at + bytes.len()].copy_from_slice(bytes);
        for cpu in (0..self.views.len()).filter(|cpu| Some(*cpu) != from) {
            let view = &mut self.views[cpu];
            if view.is_cached || view.left.is_some() {
                let newer = view.newer.take().unwrap_or(at..at + bytes.len());
                view.newer = Some(newer.start.min(at)..newer.end.max(at + bytes.len()));
            }
            self.show(cpu);
        }
        if from.is_some_and(|cpu| !self.views[cpu].is_cached) {
            self.show(from.unwrap_or(0));
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
