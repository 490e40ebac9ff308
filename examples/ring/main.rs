//! Two sides that share memory without coherence: a producer and a consumer with a ring between them.
//!
//! Here both sides are threads with coherent caches, so the program runs on any machine. On CXL memory that two hosts
//! have mapped, or between a CPU and a device's firmware, the code in `ring.rs` is the same. A model of two caches
//! (`cachemaint-device`) tests that the code is correct there, and wrong without any one of its steps: `cargo test
//! --test coherence`. The model's caches never write back a line that was not stored to. On CXL memory the platform
//! must promise that, and that a completed write-back is visible to the other host: see "CXL memory of two hosts" in
//! the documentation of `coherence`.
//!
//! ```sh
//! cargo run -p cachemaint-examples --example ring
//! ```

#![expect(clippy::print_stdout, reason = "the result of the program")]
#![expect(unsafe_code, reason = "says where the shared words are")]

mod ring;

use cachemaint::Cache;
use cachemaint::coherence::{Coherent, Maintain};
use ring::{Consumer, Layout, Producer, Words};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

const MESSAGES: u32 = 100_000;
const SLOTS: usize = 4;

/// Memory that begins on a granule of any machine.
#[repr(C, align(2048))]
struct Shared([AtomicU32; 4096]);

// SAFETY: (1) the words are borrowed for as long as this lives; (2) they are atomics.
unsafe impl Words for &Shared {
    fn load(&self, word: usize) -> u32 {
        // The order comes from the fences of the maintenance.
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

/// Returns the message for a number. A torn message, or one for another number, is detected.
fn message(number: u32) -> [u32; 4] {
    [number, !number, number.rotate_left(16), number ^ 0x5555_5555]
}

/// Sends all messages from one thread to another. Returns the number of those that arrived intact.
fn run(cache: impl Maintain + Copy, layout: Layout) -> u32 {
    let shared = Shared([const { AtomicU32::new(0) }; 4096]);
    assert!(layout.words() <= shared.0.len(), "granules of {} bytes", cache.granule());

    let mut producer = Producer::new(&shared, cache, layout, 0);
    let mut consumer = Consumer::new(&shared, cache, layout, 0);
    thread::scope(|scope| {
        scope.spawn(move || {
            for number in 0..MESSAGES {
                while !producer.push(&message(number)) {
                    thread::yield_now();
                }
            }
        });
        let mut whole = 0;
        for number in 0..MESSAGES {
            let mut arrived = [0; 4];
            while !consumer.pop(&mut arrived) {
                thread::yield_now();
            }
            whole += u32::from(arrived == message(number));
        }
        whole
    })
}

fn report(name: &str, cache: impl Maintain + Copy) {
    let layout = Layout::new(cache.granule(), SLOTS, message(0).len());
    let whole = run(cache, layout);
    println!("{name}: sent {MESSAGES} messages, {whole} arrived whole and in order");
    println!(
        "    {SLOTS} slots for {} bytes each, padded to {}: {} bytes of shared memory",
        layout.message * size_of::<u32>(),
        layout.stride * size_of::<u32>(),
        layout.words() * size_of::<u32>(),
    );
    assert_eq!(whole, MESSAGES, "messages were lost or torn");
}

fn main() {
    report("without maintenance (both sides coherent)", Coherent);
    match Cache::host() {
        Ok(cache) => {
            let (writeback, invalidate) = (
                cache.writeback_choice().instruction.name,
                cache.invalidate_choice().instruction.name,
            );
            report(&format!("maintained by {writeback} and {invalidate}"), cache);
        }
        Err(why) => println!("with maintenance: not on this machine: {why}"),
    }
}
