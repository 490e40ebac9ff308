//! A ring of messages between one producer and one consumer that do not see each other's caches.
//!
//! The memory holds an index for each side, and the slots:
//!
//! | what | written by | read by |
//! |---|---|---|
//! | `sent`: the number of messages put in, modulo 2^32 | producer | consumer |
//! | `taken`: the number of messages taken out, modulo 2^32 | consumer | producer |
//! | the slots: message number n is in slot n modulo their number, a power of two | producer | consumer |
//!
//! Each side releases its words before it announces them by its index. It acquires the other's index, then the words
//! that this index announces, before it reads. Words written by different sides never share a granule: each index
//! begins its own. The protocol needs no lock, and no atomic operations except loads and stores of words. On CXL memory
//! it also needs the platform's promises listed in the documentation of `coherence`.
//!
//! # Start and restart
//! Before the first start, one side fills the memory with zeros and gives all of it away by `release_range_to_writer`,
//! so that no dirty line can be written back over the other side's words. A side that has used the memory before drops
//! its lines in the same way, before the other one fills it. The signal to start then comes by other means than this
//! ring.
//!
//! A side that restarts does not fill the memory. It calls `acquire_range` for its own index, reads it, and passes this
//! number to `Producer::new` or `Consumer::new`. The other side can continue meanwhile, since it stores only to its own
//! words. A message that an index announces is complete, since it was released before. A message that was not announced
//! is stored again from its beginning. A message that was taken but not given back is taken again, so a consumer can
//! see it twice.
//!
//! | restart of | dirty lines of the side that ended |
//! |---|---|
//! | the process, or the kernel by kexec | are still in the caches of its host, and are written back later, or by `acquire_range` |
//! | the host by a reset, while the memory keeps its bytes | are lost. The index in memory can be an earlier one, and the other side knows no later one |

use cachemaint::coherence::{self, Maintain};
use std::ops::Range;

/// Memory that both sides have mapped, as words.
///
/// # Safety
/// An implementation guarantees:
/// 1. The bytes of a range of its words are mapped and readable for as long as the value lives.
/// 2. No reference to them exists, except to cells that others may change.
pub(crate) unsafe trait Words {
    /// Loads a word.
    fn load(&self, word: usize) -> u32;
    /// Stores a word.
    fn store(&self, word: usize, value: u32);
    /// Returns the address of a range of words, and its length in bytes.
    fn bytes(&self, words: Range<usize>) -> (*mut u8, usize);
}

/// The offsets of indices and slots, in words from the start of the memory. Both sides must use the
/// same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// The producer's index.
    pub(crate) sent: usize,
    /// The consumer's index.
    pub(crate) taken: usize,
    /// The first slot.
    pub(crate) slots: usize,
    /// The distance from one slot to the next.
    pub(crate) stride: usize,
    /// The number of slots, a power of two.
    pub(crate) capacity: usize,
    /// The number of words in a message.
    pub(crate) message: usize,
}

impl Layout {
    /// Returns a ring with `capacity` slots for messages of `message` words. The granule, in bytes, is the larger of
    /// the two sides'.
    pub(crate) fn new(granule: usize, capacity: usize, message: usize) -> Self {
        assert!(capacity.is_power_of_two(), "{capacity} slots: the numbers could not wrap");
        let granule = (granule / size_of::<u32>()).max(1);
        let stride = message.next_multiple_of(granule);
        Self { sent: 0, taken: granule, slots: 2 * granule, stride, capacity, message }
    }

    /// Returns the number of words that the ring takes.
    pub(crate) fn words(&self) -> usize {
        self.slots + self.capacity * self.stride
    }

    /// Returns the words of message number `number`.
    fn slot(&self, number: u32) -> Range<usize> {
        let place = number as usize % self.capacity;
        let start = self.slots + place * self.stride;
        start..start + self.message
    }
}

/// Writes `words` back, so that the other side can read them once they are announced.
fn release(memory: &impl Words, cache: &impl Maintain, words: Range<usize>) {
    let (start, len) = memory.bytes(words);
    // SAFETY: (1) follows from the contract of `Words` (1).
    unsafe { coherence::release_range(cache, start, len) };
}

/// Drops the cached lines of `words`, so that later loads read what the other side released.
fn acquire(memory: &impl Words, cache: &impl Maintain, words: Range<usize>) {
    let (start, len) = memory.bytes(words);
    // SAFETY: (1) and (2) follow from the contract of `Words` (1, 2).
    unsafe { coherence::acquire_range(cache, start, len) };
}

/// The side that puts messages in.
#[derive(Debug)]
pub(crate) struct Producer<W, C> {
    memory: W,
    cache: C,
    layout: Layout,
    sent: u32,
}

impl<W: Words, C: Maintain> Producer<W, C> {
    /// Returns the producer that has put in `sent` messages so far: 0 for memory full of zeros, or its index in memory
    /// after a restart.
    pub(crate) fn new(memory: W, cache: C, layout: Layout, sent: u32) -> Self {
        Self { memory, cache, layout, sent }
    }

    /// Puts a message in; returns `false` if no slot is free.
    pub(crate) fn push(&mut self, message: &[u32]) -> bool {
        let Layout { sent, taken, capacity, .. } = self.layout;
        assert_eq!(message.len(), self.layout.message, "the words of a message");
        // The consumer gives slots back through its index, which is the flag for this side.
        acquire(&self.memory, &self.cache, taken..taken + 1);
        if self.sent.wrapping_sub(self.memory.load(taken)) as usize >= capacity {
            return false;
        }

        let slot = self.layout.slot(self.sent);
        for (word, value) in slot.clone().zip(message) {
            self.memory.store(word, *value);
        }
        // The message is in memory before the index announces it …
        release(&self.memory, &self.cache, slot);
        self.sent = self.sent.wrapping_add(1);
        self.memory.store(sent, self.sent);
        // … and then the index is.
        release(&self.memory, &self.cache, sent..sent + 1);
        true
    }
}

/// The side that takes messages out.
#[derive(Debug)]
pub(crate) struct Consumer<W, C> {
    memory: W,
    cache: C,
    layout: Layout,
    taken: u32,
}

impl<W: Words, C: Maintain> Consumer<W, C> {
    /// Returns the consumer that has taken `taken` messages so far: 0 for memory full of zeros, or its index in memory
    /// after a restart.
    pub(crate) fn new(memory: W, cache: C, layout: Layout, taken: u32) -> Self {
        Self { memory, cache, layout, taken }
    }

    /// Takes the next message out; returns `false` if the ring is empty.
    pub(crate) fn pop(&mut self, message: &mut [u32]) -> bool {
        let Layout { sent, taken, .. } = self.layout;
        assert_eq!(message.len(), self.layout.message, "the words of a message");
        acquire(&self.memory, &self.cache, sent..sent + 1);
        if self.memory.load(sent) == self.taken {
            return false;
        }

        // After the index, not before: the slot's lines may hold the previous message, or may have been fetched while
        // the producer was writing.
        let slot = self.layout.slot(self.taken);
        acquire(&self.memory, &self.cache, slot.clone());
        for (word, value) in slot.zip(message) {
            *value = self.memory.load(word);
        }
        // The slot has been read before the index gives it back.
        self.cache.complete();
        self.taken = self.taken.wrapping_add(1);
        self.memory.store(taken, self.taken);
        release(&self.memory, &self.cache, taken..taken + 1);
        true
    }
}
