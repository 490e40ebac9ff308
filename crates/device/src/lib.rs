//! A machine whose device does not snoop, for tests of drivers on any computer.
//!
//! Emulators have no cache to lose, and a board fails once an hour. Here the CPU's memory is ordinary memory, the device
//! sees another one, and a seed decides at each call which lines the cache has evicted, fetched or written back meanwhile:
//! everything that architectures permit. The driver runs as it is, by [`Maintain`](cachemaint::coherence::Maintain).
//!
//! ```
//! use cachemaint::coherence::{self, Maintain, Padded};
//! use cachemaint_device::{Machine, explore};
//! use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
//!
//! /// A driver: lets the device fill a buffer, and waits.
//! fn receive(cache: &dyn Maintain, buffer: &mut Padded<[u8; 100], 64>, start: impl FnOnce(*mut u8), wait: impl FnOnce()) {
//!     coherence::release_to_writer(cache, buffer);
//!     start(buffer.as_mut_ptr());
//!     wait();
//!     coherence::acquire(cache, buffer);
//! }
//!
//! explore(0..100, |seed| {
//!     let (doorbell, done) = (AtomicU64::new(0), AtomicBool::new(false));
//!     let machine = Machine::new(64, seed);
//!     machine.attach(|bus| { // the device: one step, which may come at any time
//!         let address = doorbell.swap(0, SeqCst);
//!         if address != 0 {
//!             bus.write(address, &[7; 100]);
//!             done.store(true, SeqCst);
//!         }
//!     });
//!     let buffer = machine.padded([0; 100]);
//!     let start = |buffer: *mut u8| doorbell.store(buffer as u64, SeqCst);
//!     receive(&machine, buffer, start, || machine.wait_until(|| done.load(SeqCst)));
//!     assert_eq!(**buffer, [7; 100]);
//! });
//! ```
//!
//! [`explore`] runs each seed, and then all of them without each operation in turn: one that nobody misses is named. A
//! failure tells its story: which line held what, who fetched or evicted it, and which call would have helped.
//!
//! # What the device may write
//! Memory of the machine: [`Machine::padded`], [`padded_slice`](Machine::padded_slice), [`place`](Machine::place) and
//! [`alloc`](Machine::alloc), of 16 MiB in all. Its lines are looked at in every call of the machine, so keep buffers small. A
//! driver that allocates its buffers by itself needs [`Machine::allow_program_memory`]. A device's write to other memory is
//! refused by name: on a board it would be undone by a store to what shares the line.
//!
//! # Limits
//! - Nothing happens between two plain accesses without a call of the machine between them: [`Machine::step`] is one.
//! - A store of the value that was there is not seen, so it makes no line dirty. Store other values than the device's.
//! - Plain accesses are made in the program's order; a barrier that only orders them is not missed. Fences are not left out.
//! - A line is never written back unless it is dirty.
//! - A driver that waits without a call of the machine is not ended.
//! - An operation is told by its line and its caller, so a helper of a helper is one operation for all its callers. Without
//!   debugging information optimizers can hide more.
//! - A seed repeats a run on one thread, in the machine's memory: addresses of other memory are no choice of the seed. One thread
//!   at a time stores to memory while another calls the machine.
//! - Not under Miri: to the program the device is outside, as a real one.

#![expect(unsafe_code, reason = "the machine reads and writes memory of the driver, as caches do")]

mod explore;
mod line;
mod machine;
mod memory;
mod site;
mod state;
mod story;

pub use explore::{Explored, Failure, Seed, explore, try_explore};
pub use machine::{Bus, Cpu, Machine};
