//! The ring is right with all its steps and wrong without any one of them, between CPUs whose caches do not see each other.
//!
//! The model makes the accesses of a CPU in their order. `ring_of_threads` shows under Miri that the fences keep this
//! order where memory is weakly ordered. But neither delays a load beyond a later store, so the consumer's fence
//! between reading a message and giving its slot back rests on argument.

use crate::ring::{Consumer, Layout, Producer, Words};
use cachemaint::coherence::Maintain;
use cachemaint_device::{Cpu, Failure, Machine, Seed, explore, try_explore};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

const SEEDS: Range<u64> = 0..100;
const MESSAGES: u32 = 12;
/// Lines of two words: a message fills one.
const LINE: usize = 2 * size_of::<u32>();

/// The memory of the ring, as one CPU sees it.
struct View {
    cpu: Cpu<'static>,
    start: *mut u32,
}

impl View {
    fn word(&self, word: usize) -> *mut u32 {
        self.start.wrapping_add(word)
    }
}

// SAFETY: the CPU's view of the words is reached from one side of the ring, and a machine runs on one thread.
unsafe impl Send for View {}

// SAFETY: (1) the words are the machine's, which outlives both sides; (2) nobody refers to them.
unsafe impl Words for View {
    fn load(&self, word: usize) -> u32 {
        self.cpu.step();
        // SAFETY: the machine's memory holds the word.
        unsafe { self.word(word).read_volatile() }
    }

    fn store(&self, word: usize, value: u32) {
        self.cpu.step();
        // SAFETY: as above.
        unsafe { self.word(word).write_volatile(value) };
    }

    fn bytes(&self, words: Range<usize>) -> (*mut u8, usize) {
        (self.word(words.start).cast(), words.len() * size_of::<u32>())
    }
}

/// Sends messages through the ring; both sides act at any access of the other. `first` is the number of the first message.
#[expect(clippy::unwrap_used, reason = "a test fails by a panic")]
fn send<C: Maintain + 'static>(
    seed: Seed,
    layout: Layout,
    first: u32,
    maintain: impl Fn(Cpu<'static>, &View) -> C,
) {
    let machine = Machine::with_cpus(2, LINE, seed);
    let bytes = layout.words() * size_of::<u32>();
    let memory = machine.alloc(std::alloc::Layout::from_size_align(bytes, LINE).unwrap());
    let view = |number| {
        let cpu = machine.cpu(number);
        let view = View { start: cpu.view(memory.as_ptr().cast()), cpu: cpu.clone() };
        let cache = maintain(cpu, &view);
        (view, cache)
    };
    let ((to, to_cache), (from, from_cache)) = (view(0), view(1));
    for word in 0..layout.words() {
        to.store(word, if word == layout.sent || word == layout.taken { first } else { 0 });
    }
    // SAFETY: the first CPU has the memory alone, before the ring starts.
    unsafe { to.cpu.issue_writeback_invalidate(memory.as_ptr(), bytes) };
    to.cpu.complete();

    let received = Arc::new(Mutex::new(Vec::new()));
    let message = |number: u32| [number.wrapping_mul(0x9e37_79b9), !number];
    let mut producer = Producer::new(to, to_cache, layout, first);
    let mut sent = 0;
    machine.attach(move |_| {
        if sent < MESSAGES && producer.push(&message(first.wrapping_add(sent))) {
            sent += 1;
        }
    });
    let mut consumer = Consumer::new(from, from_cache, layout, first);
    let into = Arc::clone(&received);
    let arrived = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&arrived);
    machine.attach(move |_| {
        let mut words = [0; 2];
        if consumer.pop(&mut words) {
            into.lock().unwrap().push(words);
            count.fetch_add(1, SeqCst);
        }
    });
    machine.wait_until(|| arrived.load(SeqCst) >= MESSAGES);
    let expected: Vec<_> = (0..MESSAGES).map(|n| message(first.wrapping_add(n))).collect();
    assert_eq!(*received.lock().unwrap(), expected);
}

fn by_lines(cpu: Cpu<'static>, _: &View) -> Cpu<'static> {
    cpu
}

/// A ring of two slots, padded to lines.
fn padded() -> Layout {
    Layout::new(LINE, 2, 2)
}

#[track_caller]
fn is_wrong(scenario: impl Fn(Seed)) {
    let result = try_explore(SEEDS, scenario);
    assert!(matches!(result, Err(Failure::Wrong { .. })), "no seed shows it: {result:?}");
}

#[test]
fn with_all_steps_messages_arrive_and_without_any_one_they_do_not() {
    let explored = explore(SEEDS, |seed| send(seed, padded(), 0, by_lines));
    // Three steps of each side, and the hand-over at the start.
    assert!(explored.needed.len() >= 7, "{explored}");
}

#[test]
fn numbers_may_wrap() {
    explore(SEEDS, |seed| send(seed, padded(), 0_u32.wrapping_sub(5), by_lines));
}

/// A cache that can only be flushed whole: dirty lines beyond the range are written back too.
struct Whole {
    cpu: Cpu<'static>,
    memory: (*mut u8, usize),
}

// SAFETY: as for `View`.
unsafe impl Send for Whole {}
// SAFETY: as for `View`.
unsafe impl Sync for Whole {}

// SAFETY: (1) to (7) as for the CPU: each operation is one on all memory.
unsafe impl Maintain for Whole {
    fn granule(&self) -> usize {
        self.cpu.granule()
    }
    unsafe fn issue_writeback(&self, _: *const u8, _: usize) {}
    unsafe fn issue_invalidate(&self, _: *mut u8, _: usize) {}
    unsafe fn issue_writeback_invalidate(&self, _: *const u8, _: usize) {}
    fn order_observed(&self) {}
    fn complete(&self) {
        self.cpu.order_observed();
        // SAFETY: (1), (2) the memory is the machine's.
        unsafe { self.cpu.issue_writeback_invalidate(self.memory.0, self.memory.1) };
        self.cpu.complete();
    }
}

#[test]
fn it_is_right_where_only_the_whole_cache_can_be_flushed() {
    let whole = |cpu, view: &View| Whole { cpu, memory: view.bytes(0..padded().words()) };
    for seed in SEEDS {
        send(Seed::from(seed), padded(), 0, whole);
    }
}

/// Leaves the fence behind the message out: it is completed with the index.
struct Unfenced {
    cpu: Cpu<'static>,
    index: *mut u8,
    is_complete: std::sync::atomic::AtomicBool,
}

// SAFETY: as for `View`.
unsafe impl Send for Unfenced {}
// SAFETY: as for `View`.
unsafe impl Sync for Unfenced {}

// SAFETY: none: this is the error to be found.
unsafe impl Maintain for Unfenced {
    fn granule(&self) -> usize {
        self.cpu.granule()
    }
    unsafe fn issue_writeback(&self, start: *const u8, len: usize) {
        self.is_complete.store(start == self.index, SeqCst);
        // SAFETY: the caller's duties.
        unsafe { self.cpu.issue_writeback(start, len) };
    }
    unsafe fn issue_invalidate(&self, start: *mut u8, len: usize) {
        self.is_complete.store(true, SeqCst);
        // SAFETY: the caller's duties.
        unsafe { self.cpu.issue_invalidate(start, len) };
    }
    unsafe fn issue_writeback_invalidate(&self, start: *const u8, len: usize) {
        // SAFETY: the caller's duties.
        unsafe { self.cpu.issue_writeback_invalidate(start, len) };
    }
    fn complete(&self) {
        if self.is_complete.load(SeqCst) {
            self.cpu.complete();
        }
    }
}

/// The index leaves the cache by itself before the write-back of the message is complete.
#[test]
fn without_the_fence_between_message_and_index_it_is_wrong() {
    let layout = padded();
    is_wrong(|seed| {
        send(seed, layout, 0, |cpu, view| {
            let index = view.bytes(layout.sent..layout.sent + 1).0;
            Unfenced { cpu, index, is_complete: true.into() }
        });
    });
}

/// Each side writes the other's index back as it was.
#[test]
fn with_both_indices_in_one_line_it_is_wrong() {
    is_wrong(|seed| send(seed, Layout { sent: 0, taken: 1, ..padded() }, 0, by_lines));
}

/// The consumer writes a part of the message back as it was before.
#[test]
fn with_the_consumers_index_in_the_line_of_a_slot_it_is_wrong() {
    // Words 2 and 3 are a line: the index, and the first word of the first slot.
    is_wrong(|seed| send(seed, Layout { sent: 0, taken: 2, slots: 3, ..padded() }, 0, by_lines));
}

/// Words that only one side writes may share a line: it holds no stores of the other side.
#[test]
fn with_the_producers_index_in_the_line_of_a_slot_it_is_right() {
    let layout = Layout { taken: 0, sent: 2, slots: 3, ..padded() };
    for seed in SEEDS {
        send(Seed::from(seed), layout, 0, by_lines);
    }
}

/// The larger of the two sides' granules counts.
#[test]
fn padded_to_less_than_a_line_it_is_wrong() {
    is_wrong(|seed| send(seed, Layout::new(LINE / 2, 2, 2), 0, by_lines));
}
