//! A model of a machine whose device does not snoop the cache, for testing drivers on any computer.
//!
//! Emulators have no cache to lose, and a board fails once an hour. Here the CPU's memory is ordinary memory, and the
//! device sees a separate one. At each call a seed decides which lines the cache has evicted, fetched or written back
//! meanwhile, as architectures permit. The driver runs unmodified, through
//! [`Maintain`](cachemaint::coherence::Maintain).
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
//! [`explore`] runs each seed, and then all seeds without each operation in turn. It names operations that are not
//! needed. A failure reports what each line held, who fetched or evicted it, and which call would have helped.
//!
//! # What the device may write
//! Memory of the machine: [`Machine::padded`], [`padded_slice`](Machine::padded_slice), [`place`](Machine::place) and
//! [`alloc`](Machine::alloc), of 16 MiB in all. Every call of the machine checks its lines, so keep buffers small. A
//! driver that allocates its own buffers needs [`Machine::allow_program_memory`]. A device's write to other memory is
//! refused: on a board, a store to other data in the line would undo it.
//!
//! # Limits
//! - Nothing happens between two plain accesses unless the machine is called between them, for example by
//!   [`Machine::step`].
//! - A store of the same value is not noticed, so it makes no line dirty. Store values that differ from the device's.
//! - Plain accesses happen in program order, so a missing barrier that only orders them goes unnoticed. Fences are
//!   never left out.
//! - A line is never written back unless it is dirty.
//! - A driver that waits without calling the machine is not stopped.
//! - An operation is identified by its line and its caller, so a helper of a helper is one operation for all its
//!   callers. Without debugging information, optimizers can merge more.
//! - A seed repeats a run that uses one thread and the machine's memory: it does not decide the addresses of other
//!   memory. Only one thread at a time may store to memory while another calls the machine.
//! - Miri is not supported: like a real device, this one accesses memory from outside the program.

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
