//! The sequences, each under a number.

use cachemaint::Cache;
use cachemaint_lab_mark as mark;

use crate::machine;

/// One line of 64 bytes.
pub(crate) type Line = [u64; 8];

/// Memory that is watched.
#[repr(C, align(4096))]
struct Memory([Line; 8]);

impl Memory {
    fn watch(&self) {
        mark::watch(self.0.as_ptr_range());
    }

    fn store_all(&mut self) {
        self.0.iter_mut().for_each(machine::store);
    }
}

fn write_back_all(lines: &[Line]) {
    lines.iter().for_each(machine::write_back);
}

/// Runs every sequence.
pub(crate) fn run() {
    let mut memory = Memory([[0; 8]; 8]);
    by_hand(&mut memory);
    streaming(&mut memory);
    addressing(&mut memory);
    library(&mut memory);
}

fn by_hand(memory: &mut Memory) {
    memory.watch();
    memory.store_all();
    write_back_all(&memory.0);
    machine::fence();
    mark::verdict(1);

    memory.watch();
    memory.store_all();
    write_back_all(&memory.0[0..3]);
    write_back_all(&memory.0[4..8]);
    machine::fence();
    mark::verdict(2);

    memory.watch();
    memory.store_all();
    write_back_all(&memory.0[0..7]);
    machine::fence();
    write_back_all(&memory.0[7..8]);
    mark::verdict(3);

    memory.watch();
    memory.store_all();
    write_back_all(&memory.0);
    memory.0[2..4].iter_mut().for_each(machine::store);
    machine::fence();
    mark::verdict(4);

    memory.watch();
    write_back_all(&memory.0);
    memory.store_all();
    machine::fence();
    mark::verdict(5);

    memory.watch();
    memory.store_all();
    write_back_all(&memory.0);
    machine::not_a_fence();
    mark::verdict(6);

    memory.watch();
    memory.store_all();
    machine::fence();
    mark::verdict(7);
}

fn streaming(memory: &mut Memory) {
    memory.watch();
    machine::streaming_stores(&mut memory.0);
    machine::fence();
    mark::verdict(10);

    memory.watch();
    machine::streaming_stores(&mut memory.0);
    mark::verdict(11);

    memory.watch();
    machine::streaming_stores(&mut memory.0);
    write_back_all(&memory.0[0..2]);
    machine::fence();
    mark::verdict(12);
}

fn addressing(memory: &mut Memory) {
    memory.watch();
    memory.store_all();
    machine::write_back_in_every_way(&mut memory.0);
    machine::fence();
    mark::verdict(20);

    memory.watch();
    machine::store_in_other_ways(&mut memory.0);
    mark::verdict(21);

    memory.watch();
    memory.store_all();
    write_back_all(&memory.0);
    machine::locked();
    mark::verdict(22);
}

/// The library's own paths.
fn library(memory: &mut Memory) {
    // SAFETY: (1) this program has EL1 or ring 0; (2) and the machine one CPU.
    let Ok(cache) = (unsafe { Cache::privileged() }) else { return };

    memory.watch();
    memory.store_all();
    cache.writeback(&memory.0);
    mark::verdict(30);

    memory.watch();
    memory.store_all();
    cache.batch(|batch| {
        batch.writeback(&memory.0.as_flattened()[..=8]);
        batch.writeback(&memory.0[2..]);
    });
    mark::verdict(31);

    memory.watch();
    memory.store_all();
    // SAFETY: (1) the range is the array; (2) nothing relies on it.
    unsafe { cache.writeback_range_unfenced(memory.0.as_ptr().cast(), size_of_val(memory)) };
    mark::verdict(32);
    cache.fence();
    mark::verdict(33);

    memory.watch();
    memory.store_all();
    cache.writeback_invalidate(&memory.0);
    mark::verdict(34);

    memory.watch();
    memory.store_all();
    cache.writeback(&memory.0[..7]);
    mark::verdict(35);
}
