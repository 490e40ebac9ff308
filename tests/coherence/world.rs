//! The ring of `examples/ring` on the model: a producer and a consumer, each on a CPU of its own.

use crate::model::{Interference, Issued, Machine};
use crate::ring::{Consumer, Layout, Producer, Words};
use cachemaint::coherence::Maintain;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) const PRODUCER: usize = 0;
pub(crate) const CONSUMER: usize = 1;

/// The side that goes on when nothing else happens: the ring gets empty and full.
const TURNS: [usize; 8] =
    [PRODUCER, CONSUMER, PRODUCER, PRODUCER, PRODUCER, CONSUMER, CONSUMER, CONSUMER];

/// A step of the ring that a test leaves out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Step {
    WriteBackMessage,
    WriteBackSent,
    WriteBackTaken,
    InvalidateSent,
    InvalidateMessage,
    InvalidateTaken,
    /// The fence between the write-back of the message and the index that publishes it.
    FenceAfterMessage,
}

/// An event before an access, besides the accesses themselves.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    Cache(Interference),
    /// The other side goes through its whole code once.
    OtherSide,
}

/// The number of events in the explored runs.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Depth {
    OneEvent,
    /// Two events before one access, such as an eviction and then the other side's turn.
    TwoEvents,
}

/// The parameters of the explored runs.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) layout: Layout,
    /// The words of a line of each CPU.
    pub(crate) words_per_line: [usize; 2],
    /// True if invalidating discards dirty lines, as privileged operations may.
    pub(crate) discards: bool,
    /// True if nothing maintains a range: the fence writes back and drops the whole cache.
    pub(crate) flushes_all: bool,
    pub(crate) messages: u32,
    /// The number of the first message.
    pub(crate) first: u32,
    pub(crate) without: Option<Step>,
}

/// The events and the result of a run that went wrong.
#[derive(Debug)]
#[expect(dead_code, reason = "a test that fails prints it")]
pub(crate) struct Wrong {
    what: String,
    /// The events, and the access before which each happened, counted from 0.
    events: Vec<(usize, Event)>,
}

/// One run: the state of both sides beside the machine.
struct World<'a> {
    scenario: &'a Scenario,
    events: &'a [(usize, Event)],
    machine: Mutex<Machine>,
    accesses: AtomicUsize,
    at_work: [AtomicBool; 2],
    sent: AtomicU32,
    received: Mutex<Vec<[u32; 2]>>,
    last_issued: [Mutex<Option<Step>>; 2],
}

/// A run is of one thread, and its state `Sync` only because [`Maintain`] is.
fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the message of a number: of another number, or torn, it is noticed.
fn message(number: u32) -> [u32; 2] {
    [number.wrapping_add(1), !number]
}

impl Scenario {
    /// Messages of 2 words in a ring of 2 slots, with lines and granules of 2 words (8 bytes): four
    /// messages go twice through each slot.
    pub(crate) fn small() -> Self {
        Self {
            layout: Layout::new(8, 2, 2),
            words_per_line: [2, 2],
            discards: false,
            flushes_all: false,
            messages: 4,
            first: 0,
            without: None,
        }
    }

    pub(crate) fn without(step: Step) -> Self {
        Self { without: Some(step), ..Self::small() }
    }

    /// Sends all messages while the events happen; the accesses that it took.
    pub(crate) fn run(&self, events: &[(usize, Event)]) -> Result<usize, Wrong> {
        let mut machine = Machine::new(self.layout.words(), self.words_per_line);
        machine.memory()[self.layout.sent] = self.first;
        machine.memory()[self.layout.taken] = self.first;
        let world = World {
            scenario: self,
            events,
            machine: Mutex::new(machine),
            accesses: AtomicUsize::new(0),
            at_work: [AtomicBool::new(false), AtomicBool::new(false)],
            sent: AtomicU32::new(0),
            received: Mutex::new(Vec::new()),
            last_issued: [Mutex::new(None), Mutex::new(None)],
        };
        // Often enough for every message to arrive, also one that is late.
        for _ in 0..self.messages {
            for side in TURNS {
                world.go(side);
            }
            if world.number_received() == self.messages {
                break;
            }
        }
        let received = world.received.into_inner().unwrap_or_else(PoisonError::into_inner);
        let expected: Vec<_> =
            (0..self.messages).map(|place| message(self.number(place))).collect();
        if received == expected {
            return Ok(world.accesses.into_inner());
        }
        let what = format!("sent {expected:x?}, received {received:x?}");
        Err(Wrong { what, events: events.to_vec() })
    }

    /// Returns the number of a message, by its place among those that are sent.
    fn number(&self, place: u32) -> u32 {
        self.first.wrapping_add(place)
    }

    /// Returns every event that can happen to a line or a side.
    pub(crate) fn every_event(&self) -> Vec<Event> {
        let mut events = vec![Event::OtherSide];
        for cpu in [PRODUCER, CONSUMER] {
            for word in (0..self.layout.words()).step_by(self.words_per_line[cpu]) {
                events.push(Event::Cache(Interference::Evict { cpu, word }));
                events.push(Event::Cache(Interference::Fetch { cpu, word }));
            }
        }
        events
    }

    /// Runs with nothing happening, and with every event, or every two events, before every access.
    ///
    /// # Errors
    /// The first run that went wrong.
    pub(crate) fn explore(&self, depth: Depth) -> Result<(), Wrong> {
        let accesses = self.run(&[])?;
        let events = self.every_event();
        for at in 0..accesses {
            for first in &events {
                self.run(&[(at, *first)])?;
                if depth == Depth::TwoEvents {
                    for second in &events {
                        self.run(&[(at, *first), (at, *second)])?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl World<'_> {
    #[expect(clippy::cast_possible_truncation, reason = "no more than were sent")]
    fn number_received(&self) -> u32 {
        lock(&self.received).len() as u32
    }

    /// Lets one side go through its code once, unless it is in the midst of it.
    fn go(&self, side: usize) {
        if self.at_work[side].swap(true, Relaxed) {
            return;
        }
        let (cpu, layout) = (Cpu { world: self, id: side }, self.scenario.layout);
        if side == PRODUCER {
            let place = self.sent.load(Relaxed);
            let number = self.scenario.number(place);
            if place < self.scenario.messages
                && Producer::new(cpu, cpu, layout, number).push(&message(number))
            {
                self.sent.store(place + 1, Relaxed);
            }
        } else {
            let number = self.scenario.number(self.number_received());
            let mut arrived = [0; 2];
            if Consumer::new(cpu, cpu, layout, number).pop(&mut arrived) {
                lock(&self.received).push(arrived);
            }
        }
        self.at_work[side].store(false, Relaxed);
    }

    /// Carries out the events before this access of this CPU.
    fn before_access_of(&self, cpu: usize) {
        let now = self.accesses.fetch_add(1, Relaxed);
        for (_, event) in self.events.iter().filter(|(at, _)| *at == now) {
            match event {
                Event::Cache(interference) => lock(&self.machine).interfere(*interference),
                Event::OtherSide => self.go(1 - cpu),
            }
        }
    }
}

/// One of the two CPUs: the memory and the cache that a side of the ring works with.
#[derive(Clone, Copy)]
struct Cpu<'a> {
    world: &'a World<'a>,
    id: usize,
}

/// The address at which the words begin. No memory is there.
const BASE: usize = 0x1000;

impl Cpu<'_> {
    fn words(start: *const u8, len: usize) -> Range<usize> {
        let first = (start.addr() - BASE) / size_of::<u32>();
        first..first + len / size_of::<u32>()
    }

    /// Issues an operation, unless it is the step that is left out.
    fn issue(self, words: Range<usize>, operation: Issued) {
        self.world.before_access_of(self.id);
        let Layout { sent, taken, .. } = self.world.scenario.layout;
        let step = match operation {
            Issued::Writeback if words.start == sent => Step::WriteBackSent,
            Issued::Writeback if words.start == taken => Step::WriteBackTaken,
            Issued::Writeback => Step::WriteBackMessage,
            Issued::Invalidate { .. } if words.start == sent => Step::InvalidateSent,
            Issued::Invalidate { .. } if words.start == taken => Step::InvalidateTaken,
            Issued::Invalidate { .. } => Step::InvalidateMessage,
        };
        lock(&self.world.last_issued[self.id]).replace(step);
        let scenario = self.world.scenario;
        if !scenario.flushes_all && scenario.without != Some(step) {
            lock(&self.world.machine).issue(self.id, words, operation);
        }
    }
}

// SAFETY: nothing is accessed through the addresses.
unsafe impl Words for Cpu<'_> {
    fn load(&self, word: usize) -> u32 {
        self.world.before_access_of(self.id);
        lock(&self.world.machine).load(self.id, word)
    }

    fn store(&self, word: usize, value: u32) {
        self.world.before_access_of(self.id);
        lock(&self.world.machine).store(self.id, word, value);
    }

    fn bytes(&self, words: Range<usize>) -> (*mut u8, usize) {
        let start = core::ptr::without_provenance_mut(BASE + words.start * size_of::<u32>());
        (start, words.len() * size_of::<u32>())
    }
}

// SAFETY: it maintains the model alone, in which (1) to (5) hold; the compiler sees all of it (6), and
// nothing can fail (7).
unsafe impl Maintain for Cpu<'_> {
    fn granule(&self) -> usize {
        self.world.scenario.words_per_line[self.id] * size_of::<u32>()
    }

    unsafe fn issue_writeback(&self, start: *const u8, len: usize) {
        self.issue(Self::words(start, len), Issued::Writeback);
    }

    unsafe fn issue_invalidate(&self, start: *mut u8, len: usize) {
        let discard = self.world.scenario.discards;
        self.issue(Self::words(start, len), Issued::Invalidate { discard });
    }

    unsafe fn issue_writeback_invalidate(&self, start: *const u8, len: usize) {
        self.issue(Self::words(start, len), Issued::Invalidate { discard: false });
    }

    /// Does nothing: the model carries no operation out before a load that precedes it.
    fn order_observed(&self) {}

    fn complete(&self) {
        self.world.before_access_of(self.id);
        let after_message =
            lock(&self.world.last_issued[self.id]).take() == Some(Step::WriteBackMessage);
        let Scenario { flushes_all, without, layout, .. } = self.world.scenario;
        let mut machine = lock(&self.world.machine);
        if *flushes_all {
            machine.issue(self.id, 0..layout.words(), Issued::Invalidate { discard: false });
        }
        if !(after_message && *without == Some(Step::FenceAfterMessage)) {
            machine.fence(self.id);
        }
    }
}
