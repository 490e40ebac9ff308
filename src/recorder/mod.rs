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
//! use cachemaint::recorder::{Found, Options};
//! use cachemaint::survival::Backing;
//! use std::sync::atomic::AtomicU64;
//!
//! static WORDS: [AtomicU64; 8192] = [const { AtomicU64::new(0) }; 8192];
//!
//! # #[cfg(feature = "std")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let memory = Memory::new(&WORDS, Cache::host()?, Backing::Ram);
//! let recorder = Options::new().shards(2).open_or_create(memory)?;
//! let writer = recorder.claim()?;
//! writer.record(3, b"the valve is open")?;
//! drop(writer);
//!
//! let reader = recorder.reader();
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
//! # What survives
//! | [`Durability`] | on the path of an event | what survives |
//! |---|---|---|
//! | [`OnCrash`](Durability::OnCrash) | stores only | the end of the process; kexec and kdump, if the next kernel maps the region; a reset only if [`Recorder::write_back_all`] ran before (a kernel panic runs no user code) and firmware keeps the RAM |
//! | the same with a `Within` beside it | stores only | as above; a reset that keeps RAM and, on persistent memory, power loss, except for the events of the last interval, which is measured |
//! | [`SubBuffer`](Durability::SubBuffer) | write-back and one fence when the next sub-buffer begins | the same, except for the newest sub-buffer of each shard |
//! | [`EachAppend`](Durability::EachAppend) | write-back and one fence | every event that `record` has returned for, if the medium survives the crash itself |
//!
//! All of this holds only as far as the guarantee of the medium. In mode [`Overwrite`](Mode::Overwrite) the oldest
//! sub-buffer of a shard is released as a whole when the next one is begun.
//!
//! # Threads and shards
//! The file is divided evenly among the shards when it is created, and stays so. A thread keeps no more than its share, even
//! if no other thread records. The hook of [`stop_on_panic`](Recorder#method.stop_on_panic) takes a whole shard for one
//! message. Threads that end give their shards back, and [`Recorder::claim`] takes free shards in turn.
//!
//! An event has neither its thread nor its CPU. Threads follow one another in a shard, and the system uses the number of a
//! thread again. So a program that distinguishes them puts a number of its own into the payload.
//!
//! # Forks
//! A forked child cannot use a recorder that it has inherited. On Linux the mapping of a [`DaxFile`] is not there: an
//! event, or a write-back of the events, ends the child by SIGSEGV, or writes over memory that the child has mapped there
//! since. On other systems it would write over the events of its parent. So open the recording after the last fork, a daemon in the
//! process that stays. Processes that record at the same time have a file each.
//!
//! A parent can end without dropping the recorder, as by a kill or with a `'static` one. Then the child holds the lock of
//! the file until it drops its copy, executes a program or ends ([`Lock`](crate::dax::Lock)). A restarted program cannot open
//! the file for as long: [`ErrorKind::Locked`](crate::dax::ErrorKind::Locked). A `'static` recorder is not dropped, so a
//! child that is to live on executes a program, or is forked before the opening.
//!
//! # What a reader trusts
//! A reader trusts no counter. Each record has a tag: a hash of 64 bits over its bytes and its place. Its key is made of
//! the file's identity, the opening, the shard and the sequence number of its sub-buffer. So the remains of an earlier
//! lap, a record of another file and a torn record do not verify. After damage, reading continues at the next record
//! that verifies, and the skipped bytes are reported ([`Skipped`]). The tag detects accidents. It does not protect
//! against an attacker.
//!
//! # Format, version 2
//! All integers are little-endian, all offsets are bytes. H(*seed*, *bytes*) is XXH3 with 64 bits and a seed (xxHash
//! project, `doc/xxhash_spec.md`, version 0.2.0). The file is a table of pages:
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 4096 | descriptor A and its tables of events, the rest unused |
//! | 4096 | 4096 | descriptor B and its tables of events, the rest unused |
//! | 8192 | 256 × shards | for each shard a word that counts lost events, in lines of its own |
//! | *base* | shards × sub-buffers × size | the sub-buffers, those of a shard together |
//!
//! *base* is the next multiple of 4096. Sub-buffer *slot* of *shard* is at *base* + (*shard* × sub-buffers +
//! *slot*) × size. The bytes after the last one are unused.
//!
//! ## Descriptor
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 8 | magic: `CMtRace` and 0x1a |
//! | 8 | 4 | version: 2 |
//! | 12 | 4 | length of the descriptor: 128 |
//! | 16 | 8 | tag: H(H(0, bytes 0 to 15), bytes 24 to 127) |
//! | 24 | 8 | generation: 1 when the file is made, higher each time it is opened for recording: the next number after those in valid descriptors and headers of sub-buffers |
//! | 32 | 16 | identity: random, the same for the life of the file |
//! | 48 | 4 | shards: 1 to 4096 |
//! | 52 | 4 | sub-buffers of a shard: 2 or more |
//! | 56 | 4 | size of a sub-buffer: a power of two, 256 to 1048576 |
//! | 60 | 4 | mode: 0 overwrites the oldest, 1 refuses |
//! | 64 | 4 | source of timestamps: 0 the caller's, 1 nanoseconds of the system's monotonic clock since the clock was created, 2 the time stamp counter (x86), 3 `CNTVCT_EL0` (arm64) |
//! | 68 | 4 | length of the tables of events in this page, at most 3968; 0 if it has no tables |
//! | 72 | 8 | its ticks per second, not 0 |
//! | 80 | 8 | anchor: a timestamp … |
//! | 88 | 8 | … and the wall clock then, nanoseconds since 1970-01-01 UTC; 0 if it was not known |
//! | 96 | 16 | boot id of the system, zeros if it is not known |
//! | 112 | 16 | zero |
//!
//! A medium without a recording has zeros in the words at 0 and at 4096. A creation first makes these words zero and
//! persistent. It then writes the rest of descriptor A and its table of events. It stores the magic last, when everything
//! else is persistent. So a crash leaves a whole recording or no recording. The first opening writes descriptor B.
//!
//! Of two valid descriptors the one with the higher generation counts. An opening writes over the other one, and records
//! no event before its own is persistent. So a crash in the middle of an opening leaves a torn descriptor of an opening
//! without events. It stays until the next opening.
//!
//! Magic, version and tag stay at their places in every later version, so that a reader recognises an unknown version.
//! Another version, older or newer, is [`ErrorKind::Version`], and nothing is written. The format is not promised to stay: a
//! later release can change it, with another number.
//!
//! ## Tables of events
//! The tables are at byte 128 of a page, directly after the descriptor that has their length.
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 8 | tag: H(H(0, identity), bytes 8 to the end of the last table) |
//! | 8 | | tables without gaps, the newest first, and then zeros up to a multiple of 8 |
//!
//! A table:
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 8 | generation of the first opening whose events it describes |
//! | 8 | 8 | generation of the last one |
//! | 16 | 4 | length of the entries |
//! | 20 | length | entries without gaps |
//!
//! An entry:
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 2 | event id |
//! | 2 | 2 | length of the text |
//! | 4 | length | text: `NAME` or `NAME: FIELD=TYPE FIELD=TYPE …` in at most 512 bytes, by the rules of [`Options::events`] |
//!
//! The openings of a table are older than those of the table before, and the descriptor's own opening is the newest that a
//! table may have. A table has one entry or more, each with another id. The fields are in the payload in their order,
//! without gaps, and little-endian as everything else. The tables of a page are damaged as a whole if their tag is wrong or
//! one of these rules is violated. Only the type of a field may be unknown: that field and those after it are not read.
//!
//! An opening takes over the tables of the descriptor that counted before, or, if these are damaged, those of the other
//! descriptor. If its own table has the same entries as the newest table, and the newest table is of the opening just
//! before, it only counts up the generation of the last opening in that table. Any other table of its own comes first. The
//! oldest tables for which no space is left are dropped.
//! Damaged tables damage nothing else: events without a table have only their ids.
//!
//! ## Count of lost events
//! Bits 0 to 31 are the count, which stops at its maximum. Bits 32 to 63 are the low half of H(0, identity, shard in 4
//! bytes, count in 4 bytes). The count is the shard's sum over all openings. The word is zero while no event was lost.
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
//! | 13 | 3 | end of the records of the sub-buffer before, as the opening found it if an earlier one wrote them; 0 if the shard had no sub-buffer before |
//! | 16 | 8 | timestamp of its begin |
//! | 24 | 8 | the wall clock then, counted from that of the opening |
//! | 32 | 8 | ticks per second of its timestamps |
//! | 40 | 8 | events that the shard had lost before |
//! | 48 | 8 | generation of the opening that wrote it |
//! | 56 | 8 | tag: H(H(0, identity), bytes 0 to 55) |
//!
//! When a slot is used again, the new header is written first, and no byte is zeroed: under the new sequence
//! number no old record verifies.
//!
//! An opening continues after all sub-buffers that it finds. So a sub-buffer does not count if one with a lower sequence
//! number in the shard is of a later opening. A crash had torn its header, and a torn header over it completed it again.
//!
//! ## Record
//! Records are at multiples of 8, without gaps, from 64 on. A record does not cross the end of its sub-buffer.
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 8 | tag: H(key, bytes 8 to the end of the zeros) |
//! | 8 | 2 | event id |
//! | 10 | 2 | length of the payload |
//! | 12 | 4 | the record's offset in its sub-buffer |
//! | 16 | 8 | timestamp |
//! | 24 | length | payload, then zeros up to a multiple of 8 |
//!
//! The key is H(0, identity, generation in 8 bytes, sequence number in 8, shard in 4).
//!
//! ## Event ids
//! Ids from 0 to 65279 are the program's; [`Options::events`] gives them names. Ids from 65280 on are reserved for the
//! format:
//!
//! | id | payload |
//! |---|---|
//! | 65535 | the message of the panic that has ended recording: `FILE:LINE:COLUMN: MESSAGE`, in UTF-8 and possibly cut off |
//!
//! # Limits
//! A payload has at most 65535 bytes and must fit a sub-buffer with 88 bytes to spare. There are at most 4096
//! shards and 2^40 sub-buffers in a shard's life. Only one process at a time records into a file ([`DaxFile`] ensures this
//! with its lock); several processes record into several files.
//!
//! [`DaxFile`]: crate::dax::DaxFile
//! [`Medium`]: crate::medium::Medium

#![expect(
    clippy::cast_possible_truncation,
    reason = "sub-buffers have at most 2^20 bytes, and words of the format are taken apart"
)]

mod clock;
mod cursor;
mod error;
mod events;
mod format;
#[cfg(feature = "std")]
mod hooks;
#[cfg(all(test, cachemaint_loom))]
mod loom_tests;
mod mode;
mod open;
mod options;
mod reader;
mod taken;
#[cfg(feature = "std")]
mod within;
mod writeback;
mod writer;

pub use crate::format::identity::Identity;
pub use clock::{Clock, TimeSource};
pub use cursor::Cursor;
pub use error::{Error, ErrorKind};
pub use events::{EventTable, Fields, Value};
pub use format::Description;
pub use mode::Mode;
pub use options::{Durability, Options};
pub use reader::Reader;
pub use reader::found::{Event, Found, Skipped, SkippedKind};
pub use reader::merged::Merged;
pub use reader::shard::Events;
#[cfg(feature = "std")]
pub use within::Within;
pub use writer::Writer;

use crate::medium::{Medium, WriterLockGuard};
use crate::sync::AtomicBool;
use core::sync::atomic::Ordering;
use taken::Taken;

/// The cursors of a recorder that allocates them.
#[cfg(feature = "std")]
type Cursors = alloc::boxed::Box<[Cursor]>;
/// The empty type: without the feature `std`, [`Options::cursors`] gives the memory for cursors.
#[cfg(not(feature = "std"))]
type Cursors = ();

/// An open recording that events are written into, returned by [`Options::open_or_create`] and the other constructors.
///
/// Dropping it does not write back. It gives the cursors back, if they are borrowed.
///
/// ```
/// # #[cfg(feature = "std")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use cachemaint::{Cache, medium::Memory, survival::Backing};
/// # use std::sync::atomic::AtomicU64;
/// # static WORDS: [AtomicU64; 1 << 14] = [const { AtomicU64::new(0) }; 1 << 14];
/// # let medium = Memory::new(&WORDS, Cache::host()?, Backing::Ram);
/// use cachemaint::recorder::Options;
///
/// let recorder = Options::new().shards(2).open_or_create(medium)?;
/// let writer = recorder.claim()?; // one shard for each thread
/// writer.record(3, b"the valve is open")?;
/// recorder.write_back_all()?; // what all threads have recorded so far
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "std"))]
/// # fn main() {}
/// ```
#[derive(Debug)]
pub struct Recorder<M, C = Cursors> {
    medium: M,
    cursors: Taken<C>,
    description: Description,
    durability: Durability,
    clock: Clock,
    is_stopped: AtomicBool,
    /// Locked as long as this recorder can write.
    _writer: Option<WriterLockGuard>,
}

impl<M: Medium, C: AsRef<[Cursor]>> Recorder<M, C> {
    /// Returns the medium that it records into.
    pub const fn medium(&self) -> &M {
        &self.medium
    }

    /// Returns the description in the file's descriptor.
    pub const fn description(&self) -> &Description {
        &self.description
    }

    /// Claims a shard that has no owner, for one thread. Its events follow those of its last owner.
    ///
    /// Shards without an owner are claimed in turn: the search begins behind the shard that was claimed last. So the last
    /// events of a thread that has ended stay until the other free shards have been claimed as well. A claim that others
    /// overtake can take a shard out of turn. The first claim after an opening takes shard 0.
    ///
    /// # Errors
    /// [`ErrorKind::AllShardsTaken`] if each shard has an owner.
    ///
    /// # Cost
    /// A search through the shards, with at most one atomic exchange for each that is free. If each has an owner, a second
    /// search, and another one for as long as other threads claim or give back shards meanwhile. A thread usually does this
    /// once.
    pub fn claim(&self) -> Result<Writer<'_, M>, Error<M::Error>> {
        let (shard, cursor) = self.claim_shard()?;
        Ok(Writer::new(self, shard, cursor))
    }

    /// Claims a shard that has no owner. The shard is the caller's until a writer of it is dropped.
    fn claim_shard(&self) -> Result<(u32, &Cursor), Error<M::Error>> {
        let shards = self.description.shards;
        self.cursors.claim().ok_or(Error::new(ErrorKind::AllShardsTaken { shards }))
    }

    /// Ends recording for good: from now on events are refused with [`ErrorKind::Stopped`]. An event that
    /// another thread has begun is still finished. This may be called in a signal handler.
    pub fn stop(&self) {
        self.is_stopped.store(true, Ordering::SeqCst);
    }

    /// Returns true if recording has ended.
    pub fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }

    /// Releases the sub-buffers of a shard before this sequence number: in mode [`Refuse`](Mode::Refuse) they have been
    /// read and may be overwritten. Sub-buffers that are not yet recorded are not released by it.
    ///
    /// The release is not kept in the file: when the file is opened again, all its events count as unread.
    pub fn release(&self, shard: u32, before: u64) {
        if let Some(cursor) = self.cursors.get(shard) {
            cursor.release(before, self.description.sub_buffer_size);
        }
    }

    /// Returns the number of events that a shard is known to have lost: refused, too long or nested. Overwritten events
    /// are not counted.
    pub fn lost(&self, shard: u32) -> u64 {
        self.cursors.get(shard).map_or(0, Cursor::lost)
    }
}
