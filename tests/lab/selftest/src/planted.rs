//! The sequences, each under a number.

use core::ops::Range;

use cachemaint::Cache;
use cachemaint_lab_mark as mark;

use crate::machine;

const LINE: usize = 64;
const LINES: usize = 8;

/// Memory that is watched.
#[repr(C, align(4096))]
struct Memory([u8; LINE * LINES]);

impl Memory {
    /// The first byte of a line.
    fn line(&mut self, number: usize) -> *mut u8 {
        self.0[number * LINE..].as_mut_ptr()
    }

    fn watch(&self) {
        mark::watch(self.0.as_ptr_range());
    }
}

fn store_all(memory: &mut Memory, lines: Range<usize>) {
    for line in lines {
        machine::store(memory.line(line));
    }
}

fn write_back_all(memory: &mut Memory, lines: Range<usize>) {
    for line in lines {
        machine::write_back(memory.line(line));
    }
}

/// Runs every sequence.
pub(crate) fn run() {
    let mut memory = Memory([0; LINE * LINES]);
    by_hand(&mut memory);
    streaming(&mut memory);
    addressing(&mut memory);
    library(&mut memory);
}

fn by_hand(memory: &mut Memory) {
    memory.watch();
    store_all(memory, 0..8);
    write_back_all(memory, 0..8);
    machine::fence();
    mark::verdict(1);

    memory.watch();
    store_all(memory, 0..8);
    write_back_all(memory, 0..3);
    write_back_all(memory, 4..8);
    machine::fence();
    mark::verdict(2);

    memory.watch();
    store_all(memory, 0..8);
    write_back_all(memory, 0..7);
    machine::fence();
    write_back_all(memory, 7..8);
    mark::verdict(3);

    memory.watch();
    store_all(memory, 0..8);
    write_back_all(memory, 0..8);
    store_all(memory, 2..4);
    machine::fence();
    mark::verdict(4);

    memory.watch();
    write_back_all(memory, 0..8);
    store_all(memory, 0..8);
    machine::fence();
    mark::verdict(5);

    memory.watch();
    store_all(memory, 0..8);
    write_back_all(memory, 0..8);
    machine::not_a_fence();
    mark::verdict(6);

    memory.watch();
    store_all(memory, 0..8);
    machine::fence();
    mark::verdict(7);
}

fn streaming(memory: &mut Memory) {
    memory.watch();
    machine::streaming_stores(memory.line(0), memory.line(1));
    machine::fence();
    mark::verdict(10);

    memory.watch();
    machine::streaming_stores(memory.line(0), memory.line(1));
    mark::verdict(11);

    memory.watch();
    machine::streaming_stores(memory.line(0), memory.line(1));
    write_back_all(memory, 0..2);
    machine::fence();
    mark::verdict(12);
}

fn addressing(memory: &mut Memory) {
    memory.watch();
    store_all(memory, 0..8);
    machine::write_back_in_every_way(memory.line(0));
    machine::fence();
    mark::verdict(20);

    memory.watch();
    machine::store_in_other_ways(memory.line(0));
    mark::verdict(21);

    memory.watch();
    store_all(memory, 0..8);
    write_back_all(memory, 0..8);
    machine::locked();
    mark::verdict(22);
}

/// The library's own paths.
fn library(memory: &mut Memory) {
    // SAFETY: (1) this program has EL1 or ring 0; (2) and the machine one CPU.
    let Ok(cache) = (unsafe { Cache::privileged() }) else { return };
    let all = memory.0.as_ptr_range();

    memory.watch();
    store_all(memory, 0..8);
    cache.writeback(&memory.0);
    mark::verdict(30);

    memory.watch();
    store_all(memory, 0..8);
    cache.batch(|batch| {
        batch.writeback(&memory.0[..LINE + 1]);
        batch.writeback(&memory.0[2 * LINE..]);
    });
    mark::verdict(31);

    memory.watch();
    store_all(memory, 0..8);
    // SAFETY: (1) the range is the array; (2) nothing relies on it.
    unsafe { cache.writeback_range_unfenced(all.start, LINE * LINES) };
    mark::verdict(32);
    cache.fence();
    mark::verdict(33);

    memory.watch();
    store_all(memory, 0..8);
    cache.writeback_invalidate(&memory.0);
    mark::verdict(34);

    memory.watch();
    store_all(memory, 0..8);
    cache.writeback(&memory.0[..7 * LINE]);
    mark::verdict(35);
}
