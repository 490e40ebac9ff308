//! The actions of caches between the calls of a driver, chosen by the seed.

use crate::explore::Seed;
use crate::line::{Line, Place};
use crate::memory::Memory;
use crate::story::{Call, Hazard, Operation, Trial, What};
use std::fmt;
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The caches, the memory, and what was done to them.
pub(crate) struct State {
    pub(crate) seed: Seed,
    is_explored: bool,
    pub(crate) random: fastrand::Rng,
    rates: Rates,
    pub(crate) memory: Memory,
    pending: Vec<Pending>,
    /// The number of machine calls.
    pub(crate) waited: u32,
    /// True if devices may write whole lines of the program's own memory.
    pub(crate) has_program_memory: bool,
    /// The bytes of the padded buffer that the next operation is on.
    pub(crate) value: Option<Range<usize>>,
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
    reorder: u8,
    step: u8,
    neighbour: u8,
}

impl Rates {
    fn new(random: &mut fastrand::Rng, is_calm: bool) -> Self {
        if is_calm {
            return Self { evict: 0, fetch: 0, early: 0, step: 32, neighbour: 0, reorder: 0 };
        }
        let mut of = |rates: [u8; 4]| rates[random.usize(..4)];
        Self {
            evict: of([0, 1, 4, 32]),
            fetch: of([0, 8, 32, 64]),
            early: of([0, 8, 32, 60]),
            step: of([8, 16, 32, 48]),
            neighbour: of([0, 4, 16, 32]),
            reorder: of([0, 32, 60, 64]),
        }
    }
}

impl State {
    pub(crate) fn new(seed: Seed, memory: Memory) -> Self {
        let mut random =
            fastrand::Rng::with_seed(seed.number().wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let rates = Rates::new(&mut random, seed.number() == 0);
        let (pending, value, has_program_memory) = Default::default();
        let is_explored = seed.run().is_explored;
        Self {
            seed,
            is_explored,
            random,
            rates,
            memory,
            pending,
            waited: 0,
            has_program_memory,
            value,
        }
    }

    /// Records an operation and its lines, and issues it.
    ///
    /// # Safety
    /// 1. Each line of the range can be read.
    pub(crate) unsafe fn issue(&mut self, cpu: usize, call: Call, range: Range<usize>) {
        let is_left_out = self.seed.run().leaves_out(call);
        if let Err(why) = self.memory.check_call(cpu, call.operation, &range) {
            return self.fail(&format!("the {call} is on {why}"));
        }
        let value = self.value.take().filter(|value| value.start == range.start);
        if !self.memory.is_arena(cpu, range.start) {
            self.memory.add_buffer(value.unwrap_or(range.clone()), range.end, call);
        }
        let whole = if self.has_program_memory { Place::Whole } else { Place::Own };
        for (line, covers_the_line) in self.memory.lines(cpu, range) {
            if !self.memory.is_arena(0, line) {
                let place = match (call.operation, covers_the_line) {
                    (Operation::WriteBack, _) => None,
                    (_, true) => Some(whole),
                    (operation, false) => {
                        (operation == Operation::WriteBackInvalidate).then_some(Place::Shared)
                    }
                };
                // SAFETY: (1) is the caller's duty.
                unsafe { self.memory.hand_over(line, place) };
            }
            self.interfere(line);
            let reorders =
                call.operation == Operation::Invalidate && self.happens(self.rates.reorder);
            let Some(known) = self.memory.line(line) else { continue };
            if !known.met.contains(&call.operation) {
                known.met.push(call.operation);
            }
            if is_left_out {
                known.note(cpu, What::LeftOut(call), None);
            } else if !(reorders && known.invalidate_early(cpu, call)) {
                self.pending.push(Pending { cpu, call, line, covers_the_line });
            }
        }
    }

    /// Records that the CPU has ordered its loads.
    pub(crate) fn order(&mut self, cpu: usize) {
        let Memory { arena, program, .. } = &mut self.memory;
        arena.iter_mut().chain(program.values_mut()).for_each(|line| line.order(cpu));
    }

    /// Carries out one of the CPU's operations on lines. Returns false if none is left.
    pub(crate) fn complete_one(&mut self, cpu: usize) -> bool {
        let mine = (0..self.pending.len()).filter(|at| self.pending[*at].cpu == cpu);
        let Some(at) = self.random.choice(mine.collect::<Vec<_>>()) else { return false };
        let one = self.pending.swap_remove(at);
        self.carry_out(one);
        true
    }

    fn carry_out(&mut self, Pending { cpu, call, line, covers_the_line }: Pending) {
        self.look(line);
        let discards = match call.operation {
            Operation::Discard => true,
            Operation::Invalidate => covers_the_line && self.happens(32),
            Operation::WriteBack | Operation::WriteBackInvalidate => false,
        };
        if let Some(line) = self.memory.line(line) {
            line.carry_out(cpu, call, discards);
        }
    }

    /// Does everything that may happen between two accesses of a CPU, except the devices' steps.
    pub(crate) fn act(&mut self) {
        self.waited = self.waited.saturating_add(1);
        self.seed.run().time.fetch_add(1, Relaxed);
        if self.waited > self.seed.run().longest_wait {
            self.fail(&format!(
                "the driver waits forever: it has called the machine {} times",
                self.waited
            ));
        }
        for line in 0..self.memory.arena.len() {
            if self.memory.arena[line].place == Place::Arena {
                self.interfere(self.memory.arena[line].address);
            }
        }
        self.carry_out_early();
        if let Some(message) = self.lost_neighbour() {
            self.fail(&message);
        }
        self.store_to_neighbours();
    }

    /// Carries out operations before they are completed.
    pub(crate) fn carry_out_early(&mut self) {
        for at in (0..self.pending.len()).rev() {
            if self.happens(self.rates.early) {
                let one = self.pending.swap_remove(at);
                self.carry_out(one);
            }
        }
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
                line.write_back(cpu, What::Evicted);
                line.discard(cpu, None);
            } else if !line.is_cached(cpu) && fetches {
                line.fetch(cpu);
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
            unsafe { line.look(cpu) };
        }
    }

    /// Stores to the neighbours in some lines.
    fn store_to_neighbours(&mut self) {
        if !self.happens(self.rates.neighbour) {
            return;
        }
        let byte = self.random.u8(..);
        for at in 0..self.memory.arena.len() {
            let line = &self.memory.arena[at];
            if line.has_neighbours() && self.random.bool() {
                let address = line.address;
                self.memory
                    .line(address)
                    .into_iter()
                    .for_each(|line| line.store_to_neighbours(byte));
            }
        }
    }

    /// Returns a message if a neighbour does not hold what it stored.
    pub(crate) fn lost_neighbour(&self) -> Option<String> {
        let is_lost = |line: &&Line| line.has_neighbours() && !line.has_intact_neighbours();
        let near = self.memory.near(self.memory.arena.iter().find(is_lost)?.address)?;
        Some(format!("bytes next to {near} are not what their owner stored"))
    }

    /// Accesses memory line by line, as a device. `access` gets a line, the place in it, and the part of the bytes.
    pub(crate) fn transfer(
        &mut self,
        (address, len): (u64, usize),
        verb: &str,
        mut access: impl FnMut(&mut Line, usize, Range<usize>) -> Result<(), &'static str>,
    ) {
        let size = self.memory.line_size;
        let (mut at, mut done) = (usize::try_from(address).unwrap_or(usize::MAX), 0);
        let range = at..at.saturating_add(len);
        let mut result = if len == 0 { Ok(()) } else { self.memory.check_access(&range) };
        while result.is_ok() && done < len {
            let (line, offset) = (at & !(size - 1), at % size);
            let part = done..len.min(done + size - offset);
            self.interfere(line); // fetched before the device has written
            if let Some(line) = self.memory.line(line) {
                result = access(line, offset, part.clone()).map_err(str::to_owned);
            }
            self.interfere(line); // and dirty ones evicted after it
            (at, done) = (at + part.len(), part.end);
        }
        if let Err(why) = result {
            self.fail(&format!(
                "the device {verb} {len} bytes, {}: {why}",
                self.memory.name(&range)
            ));
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
        self.seed.run().fail(message);
        let has_time = self.waited < self.seed.run().longest_wait.saturating_mul(2);
        assert!(std::thread::panicking() && has_time, "{message}");
    }

    /// Returns the number of events, and the remedies that they suggest, the last ones first.
    pub(crate) fn suggestions(&self) -> (usize, Vec<Trial>) {
        let of =
            |line: &Line| line.history().into_iter().map(|event| (event, line.scope)).collect();
        let mut events: Vec<_> = self.memory.all_lines().flat_map::<Vec<_>, _>(of).collect();
        events.sort_by_key(|(event, _)| std::cmp::Reverse(event.at));
        let mut trials = Vec::new();
        for (event, scope) in &events {
            for remedy in event.hazard.iter().flat_map(Hazard::remedies) {
                if !trials.contains(&(*remedy, *scope)) {
                    trials.push((*remedy, *scope));
                }
            }
        }
        (events.len(), trials)
    }
}

impl Drop for State {
    fn drop(&mut self) {
        // An exploration has asked before.
        if !self.is_explored && !std::thread::panicking() {
            let lost = self.lost_neighbour();
            assert!(lost.is_none(), "{}", lost.unwrap_or_default());
        }
    }
}

pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A failure is reported by a panic, and what it interrupted is not used again.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("seed", &self.seed.number()).finish_non_exhaustive()
    }
}
