//! A ring of messages between one producer and one consumer who do not see each other's caches.
//!
//! The memory has an index of each side and the slots:
//!
//! | what | written by | read by |
//! |---|---|---|
//! | `sent`: how many messages were put in, modulo 2^32 | producer | consumer |
//! | `taken`: how many were taken out, modulo 2^32 | consumer | producer |
//! | the slots: message number n is in slot n modulo their number, a power of two | producer | consumer |
//!
//! Each side releases its words before it announces them by its index. It acquires the other's
//! index, then the words that this index announces, before it reads. Words that different sides
//! write never share a granule: the index of each begins one of its own. The protocol needs neither a
//! lock nor an atomic operation beyond loads and stores of words. On CXL memory it also needs the
//! promises of the platform that the documentation of `coherence` lists.
//!
//! # Start and restart
//! Before the first start one side fills the memory with zeros, and gives all of it away by
//! `release_range_to_writer`. Then no dirty line could be written back over the words of the other
//! side. A side that has used the memory before drops its lines in the same way, before the
//! other one fills it. The signal to start comes after that, by another way than this ring.
//!
//! A side that restarts does not fill the memory. It calls `acquire_range` for its own index, and reads
//! it: this is the number that `Producer::new` or `Consumer::new` is given. The other side goes on
//! meanwhile, since it stores to words of its own alone. A message that an index announces is whole,
//! as it was released before. One that was not announced is stored again from its beginning. One that
//! was taken and not given back is taken again, so a consumer can see it twice.
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
/// 1. The bytes of a range of its words are mapped and can be read for as long as it lives.
/// 2. No reference to them exists but to cells that others may change.
pub(crate) unsafe trait Words {
    /// Loads a word.
    fn load(&self, word: usize) -> u32;
    /// Stores a word.
    fn store(&self, word: usize, value: u32);
    /// Returns the address of a range of words, and its number of bytes.
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
    /// From one slot to the next.
    pub(crate) stride: usize,
    /// The number of slots, a power of two.
    pub(crate) capacity: usize,
    /// The words of a message.
    pub(crate) message: usize,
}

impl Layout {
    /// Returns a ring of so many slots for messages of so many words. The granule, in bytes, is the
    /// larger one of the two sides.
    pub(crate) fn new(granule: usize, capacity: usize, message: usize) -> Self {
        assert!(capacity.is_power_of_two(), "{capacity} slots: the numbers could not wrap");
        let granule = (granule / size_of::<u32>()).max(1);
        let stride = message.next_multiple_of(granule);
        Self { sent: 0, taken: granule, slots: 2 * granule, stride, capacity, message }
    }

    /// Returns the words of memory that it takes.
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

/// Drops the cache's lines of `words`, so that they are read as the other side released them.
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
    /// Returns the producer that has put in `sent` messages so far: 0 in memory that is all zeros, and its
    /// index in memory after a restart.
    pub(crate) fn new(memory: W, cache: C, layout: Layout, sent: u32) -> Self {
        Self { memory, cache, layout, sent }
    }

    /// Puts a message in; returns `false` if no slot is free.
    pub(crate) fn push(&mut self, message: &[u32]) -> bool {
        let Layout { sent, taken, capacity, .. } = self.layout;
        assert_eq!(message.len(), self.layout.message, "the words of a message");
        // The consumer gives slots back by its index: the flag of this side's taking over.
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
    /// Returns the consumer that has taken `taken` messages so far: 0 in memory that is all zeros, and its
    /// index in memory after a restart.
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

        // After the index, not before: the slot's lines may be those of the message before, or may
        // have been fetched while the producer was writing.
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
