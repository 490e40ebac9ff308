//! The ring between threads, whose loads and stores may be seen in another order where memory is
//! weakly ordered. The words are accessed without any order, so the fences alone order them. Under
//! Miri loads return any value that the Rust memory model allows.

use crate::ring::{Consumer, Layout, Producer, Words};
use cachemaint::coherence::{Coherent, Padded};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

const MESSAGES: u32 = if cfg!(miri) { 100 } else { 10_000 };
const WORDS: usize = 8;

struct Shared<'a>(&'a Padded<[AtomicU32; WORDS], 64>);

// SAFETY: (1) the words are borrowed for as long as this lives; (2) they are atomics.
unsafe impl Words for Shared<'_> {
    fn load(&self, word: usize) -> u32 {
        self.0[word].load(Ordering::Relaxed)
    }

    fn store(&self, word: usize, value: u32) {
        self.0[word].store(value, Ordering::Relaxed);
    }

    fn bytes(&self, words: Range<usize>) -> (*mut u8, usize) {
        let words = &self.0[words];
        (words.as_ptr().cast_mut().cast(), size_of_val(words))
    }
}

#[test]
fn every_message_arrives_whole_and_in_order() {
    let layout = Layout::new(1, 2, 2);
    assert!(layout.words() <= WORDS);
    let words = Padded::new([const { AtomicU32::new(0) }; WORDS], &Coherent).unwrap();
    // A wrong one is counted, not asserted: a consumer that panicked would leave the producer waiting.
    let wrong = thread::scope(|scope| {
        scope.spawn(|| {
            let mut producer = Producer::new(Shared(&words), Coherent, layout, 0);
            for number in 0..MESSAGES {
                while !producer.push(&[number, !number]) {
                    thread::yield_now();
                }
            }
        });
        let mut consumer = Consumer::new(Shared(&words), Coherent, layout, 0);
        let mut wrong = 0;
        for number in 0..MESSAGES {
            let mut arrived = [0; 2];
            while !consumer.pop(&mut arrived) {
                thread::yield_now();
            }
            wrong += u32::from(arrived != [number, !number]);
        }
        wrong
    });
    assert_eq!(wrong, 0, "of {MESSAGES} messages");
}
