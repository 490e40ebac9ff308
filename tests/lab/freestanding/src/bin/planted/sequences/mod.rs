//! The sequences, each with a number and between two marks of `lose-lines-mark`.

#[cfg(target_arch = "aarch64")]
#[expect(unsafe_code, reason = "the mistakes are made of instructions")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "the mistakes are made of instructions")]
mod x86_64;

#[cfg(not(any(target_arch = "aarch64", target_arch = "x86_64")))]
compile_error!("the mistakes are instructions of arm64 and x86-64");

use core::panic::PanicInfo;

use cachemaint::Cache;
use cachemaint_lab_freestanding::Board as _;
use cachemaint_lab_freestanding::image::{self, Machine};
use lose_lines_mark as mark;

#[cfg(target_arch = "aarch64")]
use aarch64 as machine;
#[cfg(target_arch = "x86_64")]
use x86_64 as machine;

/// One line of 64 bytes.
type Line = [u64; 8];

/// The watched memory.
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

/// The function that the boot code calls. It runs every sequence.
#[expect(unsafe_code, reason = "it is found by a name, which nothing else has")]
#[unsafe(no_mangle)]
extern "Rust" fn program(cache: Cache) {
    let mut memory = Memory([[0; 8]; 8]);
    by_hand(&mut memory);
    streaming(&mut memory);
    addressing(&mut memory);
    library(&mut memory, cache);
}

/// No panic is planted.
#[panic_handler]
fn panicked(panic: &PanicInfo<'_>) -> ! {
    image::panicked(panic)
}

fn by_hand(memory: &mut Memory) {
    Machine.begin("by hand");

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
    Machine.begin("streaming");

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

    memory.watch();
    machine::streaming_stores(&mut memory.0);
    machine::fence();
    write_back_all(&memory.0[0..2]);
    machine::fence();
    mark::verdict(13);
}

fn addressing(memory: &mut Memory) {
    Machine.begin("addressing");

    memory.watch();
    memory.store_all();
    machine::write_back_in_every_way(&mut memory.0);
    machine::fence();
    mark::verdict(20);
    machine::complete_all();
    mark::verdict(23);

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
fn library(memory: &mut Memory, cache: Cache) {
    Machine.begin("library");

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
    unfenced(cache, memory);
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

#[expect(unsafe_code, reason = "what relies on data before a fence must be vouched for")]
fn unfenced(cache: Cache, memory: &Memory) {
    // SAFETY: (1) the range is the array; (2) nothing relies on it.
    unsafe { cache.writeback_range_unfenced(memory.0.as_ptr().cast(), size_of_val(memory)) };
}
