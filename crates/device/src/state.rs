//! The actions of caches between the calls of a driver, chosen by the seed.

use crate::explore::Seed;
use crate::line::{Line, Place};
use crate::memory::Memory;
use crate::story::{Allocation, Call, Event, Hazard, Operation, What, tell};
use std::fmt;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The number of last events kept for the report.
const EVENTS: usize = 200_000;

/// The caches, the memory, and what was done to them.
pub(crate) struct State {
    pub(crate) seed: Seed,
    pub(crate) random: fastrand::Rng,
    rates: Rates,
    pub(crate) memory: Memory,
    pub(crate) events: Vec<Event>,
    pending: Vec<Pending>,
    /// The number of machine calls.
    pub(crate) waited: u32,
    /// True if devices may write whole lines of the program's own memory.
    pub(crate) has_program_memory: bool,
}

/// An operation on a line that was issued but may not be carried out yet.
#[derive(Clone, Copy)]
struct Pending {
    cpu: usize,
    call: Call,
    line: usize,
    covers_the_line: bool,
}

/// The rates of events, out of 64. The seed chooses them, since a line that is often evicted hides errors.
struct Rates {
    evict: u8,
    fetch: u8,
    early: u8,
    step: u8,
    neighbour: u8,
}

impl Rates {
    fn new(random: &mut fastrand::Rng, is_calm: bool) -> Self {
        if is_calm {
            return Self { evict: 0, fetch: 0, early: 0, step: 32, neighbour: 0 };
        }
        let mut of = |rates: [u8; 4]| rates[random.usize(..4)];
        Self {
            evict: of([0, 1, 4, 32]),
            fetch: of([0, 8, 32, 64]),
            early: of([0, 8, 32, 60]),
            step: of([8, 16, 32, 48]),
            neighbour: of([0, 4, 16, 32]),
        }
    }
}

impl State {
    pub(crate) fn new(seed: Seed, memory: Memory) -> Self {
        let mut random =
            fastrand::Rng::with_seed(seed.number().wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let rates = Rates::new(&mut random, seed.number() == 0);
        let (events, pending) = Default::default();
        Self { seed, random, rates, memory, events, pending, waited: 0, has_program_memory: false }
    }

    /// Records an operation and its lines.
    ///
    /// # Safety
    /// 1. Each line of the range can be read.
    pub(crate) unsafe fn meet(&mut self, cpu: usize, call: Call, range: Range<usize>) {
        self.seed.called(call);
        for (line, covers) in self.memory.lines(cpu, range) {
            if self.memory.is_arena(0, line) {
                continue;
            }
            if cpu > 0 {
                self.fail(&format!("CPU {cpu} does not see the program's own memory: take `Cpu::view` of the machine's"));
                return;
            }
            let place = match (call.operation, covers, self.has_program_memory) {
                (Operation::WriteBack, ..) => None,
                (_, true, true) => Some(Place::Whole),
                (_, true, false) => Some(Place::Own),
                (Operation::WriteBackInvalidate, false, _) => Some(Place::Shared),
                (_, false, _) => None,
            };
            // SAFETY: (1) is the caller's duty.
            unsafe { self.memory.hand_over(line, place) };
        }
    }

    pub(crate) fn issue(&mut self, cpu: usize, call: Call, range: Range<usize>) {
        let is_left_out = self.seed.is_left_out(call);
        for (line, covers_the_line) in self.memory.lines(cpu, range) {
            self.interfere(line);
            if is_left_out {
                self.events.push(Event { line, cpu, what: What::LeftOut(call), hazard: None });
            } else if !self.invalidates_early(cpu, call, line) {
                self.pending.push(Pending { cpu, call, line, covers_the_line });
            }
        }
    }

    /// Carries an invalidation out at once, as if before the loads since they were ordered, if the seed says so.
    fn invalidates_early(&mut self, cpu: usize, call: Call, line: usize) -> bool {
        call.operation == Operation::Invalidate
            && self.happens(self.rates.early)
            && self
                .memory
                .line(line)
                .is_some_and(|line| line.invalidate_early(cpu, call, &mut self.events))
    }

    /// Records that the CPU has ordered its loads.
    pub(crate) fn order(&mut self, cpu: usize) {
        let Memory { arena, program, .. } = &mut self.memory;
        arena.iter_mut().chain(program.values_mut()).for_each(|line| line.order(cpu));
    }

    pub(crate) fn complete(&mut self, cpu: usize) {
        self.order(cpu);
        let mut mine: Vec<_> = self.pending.extract_if(.., |one| one.cpu == cpu).collect();
        self.random.shuffle(&mut mine);
        for one in mine {
            self.carry_out(one);
        }
    }

    fn carry_out(&mut self, Pending { cpu, call, line, covers_the_line }: Pending) {
        self.look(line);
        let discards = match call.operation {
            Operation::Discard => true,
            Operation::Invalidate => covers_the_line && self.happens(32),
            Operation::WriteBack | Operation::WriteBackInvalidate => false,
        };
        let Some(line) = self.memory.line(line) else { return };
        if !discards {
            line.write_back(cpu, What::WrittenBack(call), &mut self.events);
        }
        if call.operation != Operation::WriteBack {
            line.discard(cpu, Some(What::Dropped(call)), &mut self.events);
        }
    }

    /// Does everything that may happen between two accesses of a CPU, except the devices' steps.
    pub(crate) fn act(&mut self) {
        self.waited = self.waited.saturating_add(1);
        if self.waited > self.seed.longest_wait() {
            self.fail(&format!(
                "the driver waits forever: it has called the machine {} times",
                self.waited
            ));
        }
        if self.events.len() > EVENTS {
            self.events.drain(..EVENTS / 2);
        }
        for line in 0..self.memory.arena.len() {
            if self.memory.arena[line].place == Place::Arena {
                self.interfere(self.memory.arena[line].address);
            }
        }
        for at in (0..self.pending.len()).rev() {
            if self.happens(self.rates.early) {
                let one = self.pending.swap_remove(at);
                self.carry_out(one);
            }
        }
        if let Some(message) = self.lost_neighbour() {
            self.fail(&message);
        }
        self.store_to_neighbours();
    }

    /// Does what caches may do with a line at any time.
    fn interfere(&mut self, address: usize) {
        if self.memory.line(address).is_none_or(|line| !line.place.is_changed()) {
            return;
        }
        self.look(address);
        for cpu in 0..self.memory.bases.len() {
            let (evicts, fetches) =
                (self.happens(self.rates.evict), self.happens(self.rates.fetch));
            let Some(line) = self.memory.line(address) else { return };
            if line.place != Place::Arena && cpu > 0 {
                return;
            }
            if line.is_cached(cpu) && evicts {
                line.write_back(cpu, What::Evicted, &mut self.events);
                line.discard(cpu, None, &mut self.events);
            } else if !line.is_cached(cpu) && fetches {
                line.fetch(cpu, &mut self.events);
            }
        }
    }

    /// Records what CPUs have stored to a line.
    pub(crate) fn look(&mut self, address: usize) {
        let cpus = if self.memory.is_arena(0, address) { self.memory.bases.len() } else { 1 };
        let Some(line) = self.memory.line(address) else { return };
        for cpu in 0..cpus {
            // SAFETY: (1) the arena's memory lives as long as this. The program's is looked at in an operation on it, or while
            // a device is at it, which `Machine::allow_program_memory` (1) is about.
            unsafe { line.look(cpu, &mut self.events) };
        }
    }

    fn store_to_neighbours(&mut self) {
        if self.memory.allocations.is_empty() || !self.happens(self.rates.neighbour) {
            return;
        }
        let chosen = self.random.usize(..self.memory.allocations.len());
        let byte = self.random.u8(..);
        let lines = self.memory.lines_around(&self.memory.allocations[chosen].bytes);
        for line in self.memory.arena[lines].iter_mut().filter(|line| line.has_neighbours()) {
            line.store_to_neighbours(byte, &mut self.events);
        }
    }

    /// Returns a message if a neighbour does not hold what it stored.
    pub(crate) fn lost_neighbour(&self) -> Option<String> {
        let is_lost = |of: &&Allocation| {
            let mut lines = self.memory.arena[self.memory.lines_around(&of.bytes)].iter();
            lines.any(|line| line.has_neighbours() && !line.has_intact_neighbours())
        };
        let allocation = self.memory.allocations.iter().find(is_lost)?;
        Some(format!("bytes next to {allocation} are not what their owner stored"))
    }

    /// Reads or writes memory line by line, as a device.
    pub(crate) fn transfer(&mut self, address: u64, verb: &str, mut access: Access<'_>) {
        let size = self.memory.line_size;
        let mut at = usize::try_from(address).unwrap_or(usize::MAX);
        let mut done = 0;
        while done < access.len() {
            let (line, offset) = (at & !(size - 1), at % size);
            let len = (access.len() - done).min(size - offset);
            self.interfere(line); // fetched before the device has written
            let result = self
                .memory
                .line(line)
                .ok_or(NOT_HANDED_OVER)
                .and_then(|line| access.step(line, offset, done..done + len, &mut self.events));
            if let Err(why) = result {
                self.fail(&format!("the device {verb} {len} bytes at {at:#x}: {why}"));
                return;
            }
            self.interfere(line); // and dirty ones evicted after it
            (at, done) = (at.wrapping_add(len), done + len);
        }
    }

    fn happens(&mut self, rate: u8) -> bool {
        self.random.u8(..64) < rate
    }

    /// Decides whether a device takes a step.
    pub(crate) fn runs_a_device(&mut self) -> bool {
        self.happens(self.rates.step)
    }

    /// Fails the test, unless it has already failed and unwinds. If a driver waits forever even then, the process ends.
    #[track_caller]
    pub(crate) fn fail(&self, message: &str) {
        self.seed.fail(message);
        let has_time = self.waited < self.seed.longest_wait().saturating_mul(2);
        assert!(std::thread::panicking() && has_time, "{message}");
    }

    /// Returns the description of how data were lost, and the number of events.
    pub(crate) fn story(&self) -> (String, usize) {
        let mut events = self.events.clone();
        let known = self.memory.arena.iter().chain(self.memory.program.values());
        for (line, (cpu, range)) in known.filter_map(|line| Some((line, line.stale()?))) {
            let last = |event: &Event| {
                event.line == line.address
                    && matches!(event.what, What::Written(_) | What::Unordered(_))
            };
            let at = events.iter().rposition(last).map_or(events.len(), |at| at + 1);
            events.insert(
                at,
                Event { hazard: Some(Hazard::Stale(range)), ..line.event(cpu, What::Kept) },
            );
        }
        let Memory { allocations, line_size, bases, .. } = &self.memory;
        (tell(&events, allocations, *line_size, bases.len()), events.len())
    }
}

/// An access of a device to memory.
pub(crate) enum Access<'a> {
    Read(&'a mut [u8]),
    Write(&'a [u8]),
}

impl Access<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Read(into) => into.len(),
            Self::Write(from) => from.len(),
        }
    }

    /// Does the part of the access within a line.
    fn step(
        &mut self,
        line: &mut Line,
        offset: usize,
        part: Range<usize>,
        log: &mut Vec<Event>,
    ) -> Result<(), &'static str> {
        if line.place == Place::Freed {
            return Err("the driver has freed it");
        }
        match self {
            Self::Read(into) => line.read(offset, &mut into[part], log),
            Self::Write(_) if line.place == Place::Shared => return Err(SHARED),
            Self::Write(_) if line.place == Place::Own => return Err(OWN),
            Self::Write(_) if offset < line.own.start || offset + part.len() > line.own.end => {
                return Err("that is beyond the buffer");
            }
            Self::Write(from) => line.write(offset, &from[part], log),
        }
        Ok(())
    }
}

const NOT_HANDED_OVER: &str = "no driver has handed that memory over (`release` before the other side reads, \
                               `release_to_writer` before it writes)";
const SHARED: &str = "it shares a line with other data of the program, so a store to those would undo the device's; pad the \
                      buffer or use a bounce buffer";
const OWN: &str = "that is the program's own memory; place the buffer in the machine's, or see `Machine::allow_program_memory`";

pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A failure is reported by a panic, and what it interrupted is not used again.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("seed", &self.seed.number()).finish_non_exhaustive()
    }
}
