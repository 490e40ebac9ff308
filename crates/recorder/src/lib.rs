//! A flight recorder: the last events of each thread survive a crash.
//!
//! A [`Recorder`] writes into a [`Medium`]: a file on DAX, memory that a kernel keeps across a reboot, or a region of
//! memory on a machine without an operating system. Each thread claims a shard with [`Recorder::claim`] and records
//! with [`Writer::record`], which stores into the thread's own memory without a lock, an atomic read-modify-write, or
//! an allocation. A [`Reader`] reads the events in the same process, in another process during recording, or after the
//! crash.
//!
//! ```
//! use cachemaint::Cache;
//! use cachemaint::medium::Memory;
//! use cachemaint_recorder::{Found, Options};
//! use cachemaint::medium::Backing;
//! use std::sync::atomic::AtomicU64;
//!
//! static WORDS: [AtomicU64; 8192] = [const { AtomicU64::new(0) }; 8192];
//!
//! # #[cfg(feature = "std")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let memory = Memory::new(&WORDS, Cache::host()?, Backing::Ram);
//! let (recorder, _opened) = Options::new().shards(2).open_or_create(memory)?;
//! let writer = recorder.claim()?; // one shard for each thread
//! writer.record(3, b"the valve is open")?;
//! recorder.write_back_all()?; // everything that any thread has recorded so far
//!
//! let reader = recorder.reader(); // after a crash: `Reader::open`
//! let mut buffer = vec![0; reader.largest_payload()];
//! let mut events = reader.shard(0);
//! while let Some(found) = events.read_next(&mut buffer)? {
//!     if let Found::Event(event) = found {
//!         assert_eq!((event.id, event.payload), (3, &b"the valve is open"[..]));
//!     }
//! }
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "std"))]
//! # fn main() {}
//! ```
//!
//! # Guarantees
//! | [`Durability`] | cost of an event | what survives |
//! |---|---|---|
//! | [`OnRequest`](Durability::OnRequest) | stores; for each sub-buffer a write-back and a fence | the end of the process; kexec and kdump, if the next kernel maps the region; a reset only if [`Recorder::write_back_all`] ran before and firmware keeps the RAM |
//! | the same with a `Within` thread | the same | as above; also a reset that keeps RAM and, on persistent memory, power loss, except for the events of the last interval, which is measured |
//! | [`SubBuffer`](Durability::SubBuffer) | stores; for each sub-buffer two write-backs and two fences | the same, except for the newest sub-buffer of each shard |
//! | [`EachAppend`](Durability::EachAppend) | a write-back and a fence; for each sub-buffer one more write-back and fence | every event that `record` has returned for, if the medium survives the crash itself |
//!
//! Each durability includes a write-back of every sub-buffer's header; with page granularity it is omitted.
//!
//! All of this holds only as far as the medium's guarantee. Starting the next sub-buffer of a full shard discards its
//! oldest one as a whole.
//!
//! A reader trusts no counter. Each header and each record carries a keyed hash of 64 bits; the key includes the file's
//! identity, the opening, the shard and the sequence number of the sub-buffer. Remains of an earlier *lap* (a pass
//! through the shard's ring), records of another file and torn records do not verify. The tag detects accidents, not
//! attackers. If its header is lost, a sub-buffer is lost and reported as [`Skipped`]. On media with byte or line
//! granularity, a header is therefore persistent before the first event of its sub-buffer. After damage within a
//! sub-buffer, reading continues at the next record that verifies.
//!
//! # The format
//! [FORMAT.md](https://docs.rs/crate/cachemaint-recorder/latest/source/FORMAT.md) specifies version 4
//! byte by byte.
//!
//! # Limits
//! - A payload has at most 65535 bytes and must fit into a sub-buffer with 88 bytes to spare. A recording has at most
//!   4096 shards, and a shard at most 2^40 sub-buffers over its life.
//! - The file is divided evenly among the shards at creation. A thread keeps no more than its share.
//! - An event records neither its thread nor its CPU, since threads use a shard one after the other. To distinguish
//!   them, put your own number into the payload.
//! - Only one process at a time records into a file ([`DaxFile`] ensures this with its lock). A forked child cannot use
//!   an inherited recorder: recording an event kills it with SIGSEGV. If the recorder is `'static`, the child also
//!   holds its [lock](cachemaint::dax::Lock) until it executes a program or ends. Open the recording after the last
//!   fork.
//! - Without a working lock the caller sees to one writer; a second one can overwrite what the first recorded, and need
//!   not be told. A recorder looks for another one when it opens and when a sub-buffer begins, and then stops with
//!   [`FormatError::AnotherWriter`]. What the newer one recorded and nobody overwrote stays readable.
//! - A file that is removed or replaced while it is open still takes events. Its last close discards them.
//! - With page granularity, a crash of the machine can lose a header but keep the events after it, which are then lost
//!   too.
//! - Damage to the last events of an opening in a shard looks like their end. Damage to the header of the oldest or the
//!   newest sub-buffer looks as if the next one was being started there ([`Torn`](SkippedKind::Torn)). A lost newest
//!   sub-buffer goes unnoticed if its slot reverts to the header of the previous lap, or in the first lap if its header
//!   begins with zeros.
//! - A block that the medium has lost costs the events in it, or all events of a sub-buffer if its header is in it. It
//!   is always reported. A recorder opens beside such a block, and fails when it begins to write there.
//! - The wall clock is read when a sub-buffer begins. If it is set later, the times of the events show this from the next
//!   sub-buffer on.
//! - Refused events are not counted: [`record`](Writer::record) returns the reason to the caller.
//!
//! [`DaxFile`]: cachemaint::dax::DaxFile
//! [`Medium`]: cachemaint::medium::Medium

#![expect(
    clippy::cast_possible_truncation,
    reason = "sub-buffers have at most 2^20 bytes, and words of the format are split into fields"
)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![no_std]
#![warn(clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::alloc_instead_of_core)]

#[cfg(any(feature = "alloc", test))]
extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

mod clock;
mod cursor;
mod error;
mod events;
mod format;
mod found;
#[cfg(feature = "lines")]
mod lines;
#[cfg(all(test, cachemaint_loom))]
mod loom_tests;
mod open;
mod options;
mod reader;
mod recorder;
#[cfg(feature = "std")]
mod within;
mod writer;

pub use cachemaint_format::error::FormatError;
pub use cachemaint_format::identity::Identity;
pub use clock::{Clock, TimeSource};
pub use cursor::Cursor;
pub use error::{Error, ErrorKind};
pub use events::{EventTable, Fields, Value};
pub use format::Description;
pub use found::{Event, Found, Skipped, SkippedKind};
#[cfg(feature = "lines")]
pub use lines::Lines;
pub use open::Opened;
pub use options::{Durability, Options};
pub use reader::Reader;
#[cfg(feature = "alloc")]
pub use reader::merged::Merged;
pub use reader::shard::Events;
pub use recorder::Recorder;
#[cfg(feature = "std")]
pub use within::Within;
pub use writer::Writer;
