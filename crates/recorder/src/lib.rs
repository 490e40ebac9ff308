//! A flight recorder: the last events of each thread, which are still there after a crash.
//!
//! A [`Recorder`] writes into a [`Medium`]: a file on DAX, memory that a kernel keeps over a reboot, a region
//! of a machine without an operating system. Each thread claims a shard with [`Recorder::claim`] and records with
//! [`Writer::record`]: this stores into memory of the thread's own, without a lock, an instruction that locks, or an
//! allocation. A [`Reader`] reads the events in the same process, in another process while they are written, or after
//! the crash.
//!
//! ```
//! use cachemaint::Cache;
//! use cachemaint::medium::Memory;
//! use cachemaint_recorder::{Found, Options};
//! use cachemaint::survival::Backing;
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
//! recorder.write_back_all()?; // what all threads have recorded so far
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
//! | [`Durability`] | on the path of an event | what survives |
//! |---|---|---|
//! | [`OnRequest`](Durability::OnRequest) | stores; for each sub-buffer a write-back and a fence | the end of the process; kexec and kdump, if the next kernel maps the region; a reset only if [`Recorder::write_back_all`] ran before and firmware keeps the RAM |
//! | the same with a `Within` beside it | the same | as above; a reset that keeps RAM and, on persistent memory, power loss, except for the events of the last interval, which is measured |
//! | [`SubBuffer`](Durability::SubBuffer) | stores; for each sub-buffer two write-backs and two fences | the same, except for the newest sub-buffer of each shard |
//! | [`EachAppend`](Durability::EachAppend) | a write-back and a fence; for each sub-buffer another of both | every event that `record` has returned for, if the medium survives the crash itself |
//!
//! The write-back that each durability has for a sub-buffer is that of its header. By pages it is left out.
//!
//! All of this holds only as far as the guarantee of the medium. In mode [`Overwrite`](Mode::Overwrite) the oldest
//! sub-buffer of a shard is released as a whole when the next one is begun.
//!
//! A reader trusts no counter: each header and each record proves itself by a tag of 64 bits, whose key is made of the
//! file's identity, the opening, the shard and the sequence number of the sub-buffer. The remains of an earlier lap, a record
//! of another file and a torn record do not verify. The tag detects accidents, not attackers. A sub-buffer whose header is
//! lost is lost, and is reported ([`Skipped`]). So on media that persist by lines or bytes a header is persistent before the
//! first event of its sub-buffer. After damage within a sub-buffer, reading continues at the next record that verifies.
//!
//! # Format, version 3
//! All integers are little-endian, all offsets are bytes. H(*seed*, *bytes*) is XXH3 with 64 bits and a seed (xxHash
//! project, `doc/xxhash_spec.md`, version 0.2.0). K(*kind*, *epoch*, *place*) is H(*kind*, identity, *epoch* in 8 bytes,
//! *place* in 8 bytes). The place of a sub-buffer is *shard* × 2^40 + *sequence number*.
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 16384 | four slots of 4096 bytes with roots |
//! | 16384 | 4096 | texts of events |
//! | 20480 | 256 × shards | for each shard a word that counts lost events, in lines of its own |
//! | *base* | shards × sub-buffers × size | the sub-buffers, those of a shard together |
//!
//! *base* is the next multiple of 4096. Sub-buffer *slot* of *shard* is at *base* + (*shard* × sub-buffers +
//! *slot*) × size. The bytes after the last one are unused.
//!
//! ## Root
//! A root is stored in two slots: generation *g* in slots *g* modulo 2 and *g* modulo 2 plus 2. The whole root with the highest
//! generation counts.
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 8 | magic: `CMtRace` and 0x1a |
//! | 8 | 4 | version: 3 |
//! | 12 | 4 | length of the root: 120 |
//! | 16 | 8 | tag: H(H(K(1, generation, offset of the slot), bytes 0 to 15), bytes 24 to 119) |
//! | 24 | 16 | identity: random, the same for the life of the file |
//! | 40 | 8 | generation: 1 when the file is made, higher each time it is opened for recording |
//! | 48 | 4 | shards: 1 to 4096 |
//! | 52 | 4 | sub-buffers of a shard: 2 or more |
//! | 56 | 4 | size of a sub-buffer: a power of two, 256 to 1048576 |
//! | 60 | 4 | mode: 0 overwrites the oldest, 1 refuses |
//! | 64 | 4 | source of timestamps: 0 the caller's, 1 nanoseconds of the system's monotonic clock since the clock was created, 2 the time stamp counter (x86), 3 `CNTVCT_EL0` (arm64) |
//! | 68 | 4 | bytes of the texts of events, at most 4096 |
//! | 72 | 8 | tag of the texts: H(K(34, 0, 0), texts); 0 without texts |
//! | 80 | 8 | ticks per second of the timestamps, not 0 |
//! | 88 | 8 | anchor: a timestamp … |
//! | 96 | 8 | … and the wall clock then, nanoseconds since 1970-01-01 UTC; 0 if it was not known |
//! | 104 | 16 | boot id of the system, zeros if it is not known |
//!
//! A creation stores the magics last, when everything else is persistent. An opening makes the root that counts persistent
//! again, and stores the next one over the one before. Its generation is higher than those of all sub-buffers, and it is odd
//! if that of the root that counts is even. No event is recorded before the root of its opening is persistent.
//!
//! The first 48 bytes of a root stay as they are in each later version. So a later one is [`FormatError::Version`], and
//! nothing is written.
//!
//! ## Texts of events
//! Entries without gaps, and then zeros up to a multiple of 8. They are written at the creation and never again.
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 2 | event id, another one in each entry |
//! | 2 | 2 | length of the text |
//! | 4 | length | text: `NAME` or `NAME: FIELD=TYPE FIELD=TYPE …` in at most 512 bytes, by the rules of [`Options::events`] |
//!
//! The fields are in the payload in their order, without gaps, and little-endian as everything else. The type of a field may
//! be unknown: that field and those after it are not read. Damaged texts damage nothing else: events have only their ids.
//!
//! ## Count of lost events
//! Bits 0 to 31 are the count, which stops at its maximum: the shard's sum over all openings. Bits 32 to 63 are the low half
//! of K(35, count, shard). The word is zero while no event was lost.
//!
//! ## Sub-buffer
//! A sub-buffer is a header of 64 bytes, and then records. The sequence number counts a shard's sub-buffers from 0 and is
//! below 2^40; *slot* is its remainder by the number of sub-buffers. Each opening begins a new sub-buffer in each shard
//! that is used.
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 4 | magic: `CMsb` |
//! | 4 | 4 | shard |
//! | 8 | 5 | sequence number |
//! | 13 | 3 | end of the records of the sub-buffer before, if the same opening wrote that; 0 if they fill it, or if this sub-buffer is the opening's first |
//! | 16 | 8 | timestamp of its begin |
//! | 24 | 8 | the wall clock then; 0 if it was not known |
//! | 32 | 8 | ticks per second of its timestamps |
//! | 40 | 8 | events that the shard had lost before |
//! | 48 | 8 | generation of the opening that wrote it |
//! | 56 | 8 | tag: H(K(33, generation, place of the sub-buffer), bytes 0 to 55) |
//!
//! When a slot is used again, the new header is written first, and no byte is zeroed: under the new sequence
//! number no old record verifies. Of the headers of a shard the newest is that of the highest generation, and of those the one
//! with the highest sequence number. An opening continues after it. So a header with a higher sequence number than the newest
//! does not count: two crashes have each left a part of it.
//!
//! ## Record
//! Records are at multiples of 8, without gaps, from 64 on. A record does not cross the end of its sub-buffer.
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 8 | tag: H(K(32, generation, place of the sub-buffer), bytes 8 to the end of the zeros) |
//! | 8 | 2 | event id |
//! | 10 | 2 | length of the payload |
//! | 12 | 4 | the record's offset in its sub-buffer |
//! | 16 | 8 | timestamp |
//! | 24 | length | payload, then zeros up to a multiple of 8 |
//!
//! Ids from 0 to 65279 are the program's. Ids from 65280 on are reserved for the format. The payload of 65535 is the message
//! of the panic that has ended recording: `FILE:LINE:COLUMN: MESSAGE`, in UTF-8 and possibly cut off.
//!
//! # Limits
//! - A payload has at most 65535 bytes and must fit a sub-buffer with 88 bytes to spare. There are at most 4096 shards, and
//!   2^40 sub-buffers in a shard's life.
//! - The file is divided evenly among the shards when it is created. A thread keeps no more than its share.
//! - An event has neither its thread nor its CPU: threads follow one another in a shard. A program that distinguishes them
//!   puts a number of its own into the payload.
//! - One process at a time records into a file ([`DaxFile`] ensures this with its lock). A forked child cannot use a recorder
//!   that it has inherited: an event ends it by SIGSEGV, and it holds the [lock](cachemaint::dax::Lock) of a `'static` recorder
//!   until it executes a program or ends. Open the recording after the last fork.
//! - By pages a crash of the machine can lose a header and keep events after it, which are lost then.
//! - Damage to the last events of an opening in a shard looks like their end. Damage to the header of the oldest or the newest
//!   sub-buffer looks as if the next one was being begun there ([`Torn`](SkippedKind::Torn)). From the second lap on, a newest
//!   sub-buffer whose slot has that of the lap before again is not missed; in the first lap, one whose header begins with zeros.
//! - A block that the medium has lost costs the events in it, or those of a header in it. It is reported wherever it stands.
//! - A wall clock that is set begins a new sub-buffer in each shard that records, at most once a second.
//!
//! [`DaxFile`]: cachemaint::dax::DaxFile
//! [`Medium`]: cachemaint::medium::Medium

#![expect(
    clippy::cast_possible_truncation,
    reason = "sub-buffers have at most 2^20 bytes, and words of the format are taken apart"
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
#[cfg(feature = "std")]
mod hooks;
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
pub use format::{Description, Mode};
pub use found::{Event, Found, Skipped, SkippedKind};
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
