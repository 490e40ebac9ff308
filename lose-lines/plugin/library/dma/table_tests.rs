//! Compares the model with a cache that does all that the rules permit, in every short run on one line.

use core::sync::atomic::Ordering::Relaxed;
use std::collections::HashSet;

use super::{Operation, State, Then, Writer, cell};
use crate::dma::architecture::{Architecture, Effect};
use crate::dma::model::{Handed, Maintenance, Model};
use crate::dma::ram::tests::ram;

/// What happens to the words 0 and 4 of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Load(usize),
    Store(usize),
    Maintain(Maintenance),
    Fence,
    DeviceReads(usize),
    DeviceWrites(usize),
}

/// Clean, invalidate, both and fence of each architecture (GNU as 2.40).
const INSTRUCTIONS: [[u32; 4]; 3] = [
    [0xd50b_7a20, 0xd508_7620, 0xd50b_7e20, 0xd503_3f9f],
    [0xee07_0f3a, 0xee07_0f36, 0xee07_0f3e, 0xf57f_f04f],
    [0x0015_200f, 0x0005_200f, 0x0025_200f, 0x0ff0_000f],
];

const STATES: [State; 9] = [
    State::Absent,
    State::Polled,
    State::Clean,
    State::Dirty,
    State::Cleaning,
    State::Merged,
    State::MergedCleaning,
    State::Old,
    State::Lost,
];

/// A line, its memory, and what is on the way between them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Cache {
    memory: [u64; 2],
    written_back: Option<[u64; 2]>,
    line: Option<[u64; 2]>,
    is_dirty: bool,
    issued: Vec<Maintenance>,
}

impl Cache {
    fn arrive(&mut self) {
        self.memory = self.written_back.take().unwrap_or(self.memory);
    }

    fn write_back(&mut self) {
        if self.is_dirty {
            self.arrive();
            (self.written_back, self.is_dirty) = (self.line, false);
        }
    }

    fn fetch(&mut self) -> &mut [u64; 2] {
        self.line.get_or_insert(self.written_back.unwrap_or(self.memory))
    }

    fn carry_out(&mut self, count: usize) {
        for what in self.issued.drain(..count).collect::<Vec<_>>() {
            if what.writes_back {
                self.write_back();
            }
            if what.drops {
                (self.line, self.is_dirty) = (None, false);
            }
        }
    }

    /// Returns what may happen by itself.
    fn steps(&self) -> impl Iterator<Item = Self> {
        let evict = |cache: &mut Self| cache.line = cache.line.filter(|_line| cache.is_dirty);
        let carry_out = |cache: &mut Self| cache.carry_out(cache.issued.len().min(1));
        let fetch = |cache: &mut Self| _ = cache.fetch();
        let all: [fn(&mut Self); 5] = [Self::arrive, Self::write_back, fetch, evict, carry_out];
        all.into_iter().map(|step| {
            let mut next = self.clone();
            step(&mut next);
            next
        })
    }
}

/// All that may be after a run.
#[derive(Clone, Debug)]
struct World {
    /// True if an operation is carried out before a later load of the line, without a fence.
    is_in_order: bool,
    has_hooks: bool,
    all: HashSet<Cache>,
    /// The number of events, and the last one that wrote each word, with true for a device.
    events: u64,
    last: [(u64, bool); 2],
    /// True if a load or a device can have got other bytes than the last ones. Without hooks, only loads of a device's bytes
    /// count.
    is_wrong: bool,
}

impl World {
    fn after(&self, event: Event) -> Self {
        let mut next = Self { all: HashSet::new(), events: self.events + 1, ..*self };
        let mut new: Vec<Cache> = self.all.iter().cloned().collect();
        for cache in &mut new {
            next.happens(event, cache);
        }
        match event {
            Event::Store(word) => next.last[word] = (next.events, false),
            Event::DeviceWrites(word) => next.last[word] = (next.events, true),
            _ => {}
        }
        while let Some(cache) = new.pop() {
            if !next.all.contains(&cache) {
                new.extend(cache.steps());
                next.all.insert(cache);
            }
        }
        next
    }

    /// Returns true if something is wrong, also for a driver that goes on rightly: it writes back and invalidates, and reads
    /// both words.
    fn is_wrong_in_the_end(&self) -> bool {
        let mut end = self.clone();
        for mut cache in self.all.iter().cloned() {
            cache.carry_out(cache.issued.len());
            cache.write_back();
            cache.arrive();
            (0..2).for_each(|word| end.gets(word, cache.memory[word]));
        }
        end.is_wrong
    }

    fn happens(&mut self, event: Event, cache: &mut Cache) {
        let is_ordered = match event {
            Event::Load(_) => self.is_in_order,
            _ => matches!(event, Event::Store(_) | Event::Fence),
        };
        if is_ordered {
            cache.carry_out(cache.issued.len());
        }
        match event {
            Event::Load(word) => self.gets(word, cache.fetch()[word]),
            Event::Store(word) => {
                cache.fetch()[word] = self.events;
                cache.is_dirty = true;
            }
            Event::Maintain(what) => cache.issued.push(what),
            Event::Fence => cache.arrive(),
            Event::DeviceReads(word) => self.gets(word, cache.memory[word]),
            Event::DeviceWrites(word) => cache.memory[word] = self.events,
        }
    }

    fn gets(&mut self, word: usize, value: u64) {
        let (newest, is_of_device) = self.last[word];
        self.is_wrong |= value != newest && (self.has_hooks || is_of_device);
    }
}

/// A comparison of all runs of some events.
struct Comparison {
    architecture: Architecture,
    has_hooks: bool,
    /// What may come next.
    events: Vec<Event>,
    /// The end of each run, as of [`World::is_wrong_in_the_end`].
    rest: [Event; 4],
    met: HashSet<(Operation, State, Writer)>,
}

impl Comparison {
    fn new((architecture, words): (Architecture, [u32; 4]), has_hooks: bool) -> Self {
        let decoded = words.map(|word| (architecture.effect)(&word.to_le_bytes()).unwrap());
        let decoded = decoded.map(|effect| match effect {
            Effect::Line(what, _) => Event::Maintain(what),
            _ => Event::Fence,
        });
        let rest = [decoded[2], Event::Fence, Event::Load(0), Event::Load(1)];
        let accesses = [Event::Load(0), Event::Load(1), Event::Store(0), Event::Store(1)];
        let of_device = [Event::DeviceWrites(0), Event::DeviceReads(0), Event::DeviceReads(1)];
        let of_device = &of_device[..if has_hooks { 3 } else { 1 }];
        let events = [&decoded[..], &accesses, of_device].concat();
        Self { architecture, has_hooks, events, rest, met: HashSet::new() }
    }

    fn start(&self) -> World {
        World {
            is_in_order: self.architecture.drops_in_order,
            has_hooks: self.has_hooks,
            all: HashSet::from([Cache::default()]),
            events: 0,
            last: [(0, false); 2],
            is_wrong: false,
        }
        .after(Event::Fence)
    }

    /// Compares the run, and all that begin with it. What the model finds may be of a part of it, whose bytes nobody reads.
    fn compare(&mut self, left: usize, run: &[Event], world: &World, was_wrong: bool) {
        // Without an order, the model does not know if a store precedes what a fence has not completed.
        let is_issued = run.iter().rev().take_while(|event| **event != Event::Fence);
        let is_issued = is_issued.skip(1).any(|event| matches!(event, Event::Maintain(_)));
        if is_issued && matches!(run.last(), Some(Event::Store(_))) && !world.is_in_order {
            return;
        }
        let (is_found, name, has_hooks) =
            (self.is_found(run), self.architecture.name, self.has_hooks);
        let is_wrong = was_wrong && is_found || world.is_wrong_in_the_end();
        assert!(is_found || !is_wrong, "{name}, hooks: {has_hooks}: not found: {run:?}");
        assert!(!is_found || is_wrong || was_wrong, "{name}, hooks: {has_hooks}: right: {run:?}");
        for next in if left == 0 { Vec::new() } else { self.events.clone() } {
            let world = world.after(next);
            self.compare(left - 1, &[run, &[next]].concat(), &world, was_wrong || is_wrong);
        }
    }

    /// Returns true if the model reports a run that goes on rightly.
    fn is_found(&mut self, run: &[Event]) -> bool {
        let (ram, words) = ram(64);
        let mut model = Model::new(ram, 64, 1, self.architecture.drops_in_order);
        let at = |word: usize| ram.base() + 32 * word as u64;
        let hand_over = |model: &mut Model, word, device_writes| {
            model.hand_over(5, 0, Handed { at: at(word), len: 8, device_writes });
        };
        if self.has_hooks {
            model.hand_over(1, 0, Handed { at: at(0), len: 64, device_writes: false });
        }
        for (value, event) in (1..).zip(run.iter().chain(&self.rest)) {
            if let Event::Store(word) | Event::DeviceWrites(word) = *event {
                words[4 * word].store(value, Relaxed);
            }
            match *event {
                Event::Load(word) => model.load(0, 2, at(word), 8),
                Event::Store(word) => model.store(0, 3, at(word), 8),
                Event::Maintain(what) => model.maintain(0, 4, at(0), what),
                Event::Fence => model.fence(0),
                Event::DeviceReads(word) => hand_over(&mut model, word, false),
                Event::DeviceWrites(word) if self.has_hooks => hand_over(&mut model, word, true),
                Event::DeviceWrites(_) => {}
            }
        }
        self.met.extend(&model.met);
        model.found().next().is_some()
    }
}

#[test]
fn every_cell_is_what_a_cache_may_do() {
    use Operation::{Clean, DeviceReads, DeviceWrites, Fence, Invalidate, Load, Store};
    let mut met = HashSet::new();
    for architecture in crate::dma::ALL.into_iter().zip(INSTRUCTIONS) {
        for has_hooks in [false, true] {
            let mut comparison = Comparison::new(architecture, has_hooks);
            let start = comparison.start();
            comparison.compare(4, &[], &start, false);
            met.extend(comparison.met);
        }
        for operation in [Load, Store, Clean, Invalidate, Fence, DeviceReads, DeviceWrites] {
            for line in STATES {
                let [by_cpu, by_device] =
                    [Writer::Cpu, Writer::Device].map(|last| cell(operation, line, last));
                let is_met = |last| met.contains(&(operation, line, last));
                // Bytes that a device wrote are not lost.
                let is_lost = line == State::Lost;
                assert!(
                    by_cpu == (None, Then::Nothing) || is_met(Writer::Cpu),
                    "{operation:?} {line:?}"
                );
                let differs = by_device != by_cpu && !is_lost;
                assert!(!differs || is_met(Writer::Device), "{operation:?} {line:?}, device");
            }
        }
        met.clear();
    }
}
