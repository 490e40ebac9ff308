//! An append-only log that loses no acknowledged record: power-fail safe, many producers.
//!
//! A [`Journal`] is stored in any [`Medium`]: a DAX file, memory that a kernel preserves, the simulator. Every recovery
//! finds each record whose append has returned, after any event that the medium survives. Records come back in the
//! order in which they were appended, as a prefix: no record without all records before it. Drives that lose a whole sector
//! at a power loss are an [exception](#drives-that-lose-a-sector).
//!
//! ```
//! # #[cfg(feature = "dax")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use cachemaint::{dax, journal::Journal};
//!
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("journal");
//! let file = dax::Options::new().allow_page_granularity().create_new(&path, 1 << 20)?;
//! let (journal, _) = Journal::open_or_create(file)?;
//! journal.append(b"paid 3 to Ada")?;
//! journal.append(b"paid 4 to Grace")?;
//! drop(journal); // or a crash
//!
//! let file = dax::Options::new().allow_page_granularity().open(&path)?;
//! let (journal, recovered) = Journal::open(file)?;
//! assert_eq!(recovered.records, 2);
//! for record in journal.records()? {
//!     let record = record?;
//!     println!("{}: {}", record.position, String::from_utf8_lossy(&record.payload));
//! }
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "dax"))]
//! # fn main() {}
//! ```
//!
//! # How it works
//! Each record has a tag: a hash of 64 bits over its bytes and its position, with the key of the journal and of this
//! opening. A record is valid if its tag matches. So recovery needs neither a counter nor a pointer to the end. An
//! append writes only its record: it stores the record, writes its lines back and fences. Remains of an earlier
//! lap of the ring, records of another journal and torn records have no matching tag.
//!
//! Producers reserve space in ordinary memory. Each producer makes its own records durable, at the same time as the
//! others. An append is *acknowledged*, and returns, when everything before it is durable too. So recovery, which ends
//! at the first record that is not valid, finds every acknowledged record.
//!
//! Records that were under way in a crash can still be valid after the first missing one. So each opening begins a new
//! *epoch*, with a key of its own, at the end that it found. Records of an earlier epoch do not count after that place.
//!
//! # Creation
//! A creation first sets the magic of the first superblock, at offset 4096, to `cmcreate` and that of the second one, at
//! offset 0, to zero. Then it writes everything but the magic of the first superblock, and this magic last. Each of the
//! three steps is persistent before the next one begins. So a crash leaves either no magic, and then the medium has no
//! journal, or the whole journal. The second superblock is zeros until the first opening or trim writes it. The first
//! one notes the mark at the beginning of the log as acknowledged, so a new journal without this mark is damaged.
//!
//! Each segment and each epoch of the log begins with a header record, its *mark*. If both magics are zero and the log has
//! marks, both superblocks are lost. Such a journal can be [repaired](Options::repair); [`Options::open_or_create`] does
//! not create another one over it. With `cmcreate` a creation was cut off: marks in the log are those of an earlier
//! journal that it replaces.
//!
//! # Damage and torn ends
//! A crash leaves a torn end: a record that was not acknowledged is missing. Records after it that were under way
//! together with it can be whole. Damage is different: the missing record had been durable. The journal recognises
//! damage by evidence:
//! - Everything before the epoch was found whole when it began. Everything before a [trim](Journal::trim) or a
//!   [close](Journal::close) had been acknowledged by then, and the superblock says so.
//! - Each record *vouches*: it states the position before which everything was durable when the record was written. If
//!   a producer waits for each append, each record vouches for all before it, and a lost record is recognised as damage
//!   as soon as one record is after it. If the padding at the end of its segment is lost too, two records are
//!   needed. A record after more than 8 MiB of padding does not vouch for the last 504 bytes before the padding.
//! - At most a [window](Options::window) is under way. So a valid record a window or more after the end is evidence,
//!   too.
//! - The space before the head is used again only when the superblock with that head is durable. So a mark in space that
//!   the head does not free shows that a newer superblock is lost.
//!
//! Without evidence the end is torn, and [`Recovered::behind`] counts the whole records after it. They do not count, as
//! a record before them is missing. An opening discards them. With [`Options::refuse_discard`] it fails instead, so that
//! a person or a [repair](Options::repair) can decide.
//!
//! Damage without evidence looks like a torn end: damage to the last records if they were appended together, and any
//! damage that reaches to the end. A lost last page takes all acknowledged records in it, and `refuse_discard` finds no
//! whole record after them. It is recognised if a trim, a closing or an opening came after these records.
//!
//! A damaged journal cannot be opened for appending. Its prefix can be read, the whole records after the damage can be
//! [salvaged](Reader::salvage), and [`Options::repair`] makes it a journal that can be appended to.
//!
//! # Drives that lose a sector
//! A file that is persisted by pages is written in whole pages. Not every drive promises the old or the new sector after a
//! power loss. The NVM Command Set Specification does so for one block (AWUPF). Another drive can lose any sector of the
//! pages that it was writing. Then these acknowledged records can be lost there, and those after them:
//! - The records in a page that an append was writing. None is there if the [alignment](Options::alignment) is 4096 and the
//!   pages of the system and the sectors of the drive have at most 4096 bytes.
//! - The last window of records, during an [opening](Options::open), whatever the alignment: it writes them once more.
//!
//! The loss is damage or a torn end, by the [same evidence](#damage-and-torn-ends). If no whole record is after it, it can go
//! unnoticed.
//!
//! # Upgrade and rollback
//! This crate reads and writes version 3 of the format alone, and nothing converts a journal. An opening of another version,
//! older or newer, is the error [`ErrorKind::Version`], and nothing is written. To change the version, handle and trim all
//! records by a program of the old one, and create a new journal.
//!
//! The format is not promised to stay: it has changed twice before the first release. A later release can change it
//! again, with another number.
//!
//! # The format, version 3
//! All numbers are little-endian. The medium begins with two superblocks, each in a page of 4096 bytes of its own, at
//! offsets 0 and 4096. The superblock of generation *g* is at 4096 (*g* modulo 2), so a new one is written as a whole in
//! the place of the older one. The log is at offset 8192. It is a ring of segments. Position *p* is at offset
//! 8192 + *p* modulo its capacity; positions grow for ever.
//!
//! H(*seed*, *bytes*) is XXH3 with 64 bits and a seed (xxHash project, `doc/xxhash_spec.md`, version 0.2.0).
//!
//! | superblock, offset | bytes | content |
//! |---|---|---|
//! | 0 | 8 | magic: `cmjournl` |
//! | 8 | 4 | version: 3 |
//! | 12 | 4 | zeros |
//! | 16 | 8 | tag: H(H(0, bytes 0 to 15), bytes 24 to 127) |
//! | 24 | 16 | identity, random |
//! | 40 | 8 | capacity: bytes of the log, a multiple of the segment, three segments at least |
//! | 48 | 8 | window in bytes: 2 to 65535 segments, no more than the capacity, and 2^28 bytes at most |
//! | 56 | 4 | bytes of a segment, a power of two from 128 to 2^24 |
//! | 60 | 4 | alignment of records, a power of two from 8 to 4096 |
//! | 64 | 8 | generation: if both superblocks are whole, the one with the higher generation holds, or that of a later version, whose magic, version and tag are in the same places |
//! | 72 | 8 | head: position of the oldest record that was not trimmed |
//! | 80 | 8 | number of the epoch of the head |
//! | 88 | 8 | key of the epoch of the head |
//! | 96 | 8 | number of the last epoch |
//! | 104 | 8 | key of the last epoch |
//! | 112 | 8 | position where the last epoch begins |
//! | 120 | 8 | position up to which everything was acknowledged when the superblock was written; bit 0: a repair is under way |
//!
//! A record begins and ends at a multiple of the alignment and lies within a segment. It has a header and its payload.
//! The bytes after the payload, up to the alignment, are ignored.
//!
//! | record, offset | bytes | content |
//! |---|---|---|
//! | 0 | 8 | tag: H(H(key, bytes 8 to 15 and the position in 8 bytes), payload), with the key of the epoch |
//! | 8 | 3 | length of the payload in bytes |
//! | 11 | 3 | bits 0 to 2, the kind: 1 data, 2 mark, 3 void. Bits 3 to 23: *v*, see below |
//! | 14 | 2 | (*w* XOR (⌊*w* / 2^16⌋ × 0x9e3779b97f4a7c15 modulo 2^64) / 2^48) modulo 2^16; *w* is the position divided by 8 |
//! | 16 | | payload |
//!
//! - A record vouches for nothing if *v* is 0. If *v* is at most 2^20, it vouches for everything up to 8 × (*v* - 1)
//!   bytes before its position. If *v* is more, it vouches for everything up to 512 × (*v* - 2^20) bytes before its
//!   position.
//! - Each segment, and each epoch, begins with a *mark*, a header record whose tag has the key `cmj mark` (as a
//!   number). Its payload: identity (16 bytes), number of the epoch (8), its key (8), segments of the log (6), the
//!   binary logarithms of segment and alignment (1 and 1). Behind them: segments of the window (2), the position
//!   divided by 2^19 (6). A mark holds the key of the records after it, and enough to rebuild a lost superblock. A mark
//!   with another identity or other sizes than the superblock is ignored.
//! - A *void*, a padding record, fills the rest of a segment, or the space of a record whose append panicked. Its length
//!   leads to its end. Its tag is that of a record with this length and no payload, with the key of the epoch that it is in. If
//!   an epoch begins too near to the end of a segment for a mark, a void of the epoch before fills the segment.
//! - If fewer than 16 bytes are left at the end of a segment, they are unused.
//!
//! # Limits
//! - A record fits into a segment, and has less than 16 MiB. Positions, generations and epochs' numbers are below 2^63, and
//!   so is the sum of the capacity and the beginning of the segment with the head.
//! - A tag of 64 bits detects accidents, not attacks.
//! - One process appends. Meanwhile its threads can read with [`Journal::records`], and other processes with a
//!   [`Reader`].

mod append;
mod error;
mod format;
mod group;
mod inflight;
mod open;
mod reader;
mod records;
mod repair;
mod salvage;
mod superblocks;
mod trim;
#[cfg(feature = "std")]
mod wait;
#[cfg(feature = "std")]
mod waiters;
mod walk;
mod writeback;

pub use crate::format::identity::Identity;
pub use crate::format::progress::Progress;
pub use error::{Error, ErrorKind};
pub use group::Group;
pub use open::Options;
pub use reader::{Reader, Record};
pub use records::Records;
pub use salvage::{Salvage, Salvaged};

use crate::format::writer;
use crate::medium::{Medium, WriterLockGuard};
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use error::OpenError;
use format::geometry::Geometry;
use format::record::{Epoch, Mark};
use format::superblock::Superblock;
use inflight::InFlight;
use open::Opened;

/// A position in a journal: bytes since its creation. No two acknowledged records have the same one, unless the first was
/// lost to damage.
///
/// The number can be kept elsewhere and made a position again. Keep the [identity](Journal::identity) of the journal with
/// it, as the positions of another journal begin at 0 too. For a later opening keep the place where an acknowledged record
/// begins or ends: the example of [`Journal::trim`] does so. The [end of the journal](Journal::end) may be another place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Position(pub u64);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The content of a journal, as an opening or a verification found it. A new journal has the default value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Recovered {
    /// The oldest record.
    pub head: Position,
    /// The end of the last record that counts.
    pub end: Position,
    /// The number of records that count.
    pub records: u64,
    /// The number of bytes in their payloads.
    pub bytes: u64,
    /// True if a record was under way at the end in a crash. It had not been acknowledged, and does not count. A record
    /// of which no part of the beginning is stored goes unnoticed.
    pub torn: bool,
    /// The number of whole records after the end that do not count, since a record before them is missing. They were
    /// under way together with it in a crash: none of them shows that it had been durable. Opening for appending
    /// discards them, or fails with [`Options::refuse_discard`]; [`Reader::salvage`] returns them, and
    /// [`Options::repair`] keeps them.
    pub behind: u64,
    /// The damage at the end, if a record that had been durable is lost there.
    pub damage: Option<Damage>,
    /// True if one of the two superblocks is torn or damaged. If a crash tore it, the trim, opening or closing that
    /// stored it had not returned. If it is damaged, it may have been the newer one: then the last trim or closing is
    /// undone, and trimmed records that were not yet overwritten are here again. Opening for appending writes it anew.
    ///
    /// A verification that runs while another thread trims can find its superblock half stored, which looks the same:
    /// verify again. Of a journal that was created and never opened again, a superblock that reads as zeros goes
    /// unnoticed.
    pub superblock_lost: bool,
}

/// A place at which a record had been durable and is no longer valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Damage {
    /// The position of the damage.
    pub at: Position,
    /// The offset of this position in the medium, in bytes.
    pub offset: u64,
    /// A position that was written when the damaged record had already been durable.
    pub evidence: Position,
    /// The reason why the record is not valid.
    pub fault: Fault,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, offset, evidence, fault } = self;
        write!(
            f,
            "the journal is damaged at position {at}, offset {offset}: {fault}, although it was written \
             up to {evidence} at least"
        )
    }
}

/// The reason why a record is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Fault {
    /// A header that does not state its position: no record is stored there.
    Nothing,
    /// A header that states its position, but an unknown kind of record.
    Header,
    /// A length, in bytes, that leads out of the segment.
    Length(u64),
    /// A tag that does not match the bytes, the position and the epoch of the record.
    Tag,
    /// A missing or invalid mark, or a mark of another journal, of other sizes or of an impossible epoch.
    Mark,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("no record of this journal is stored there"),
            Self::Header => f.write_str("the kind of the record is unknown"),
            Self::Length(len) => write!(f, "a record of {len} bytes does not fit into its segment"),
            Self::Tag => f.write_str("the tag does not match the record"),
            Self::Mark => f.write_str(
                "the mark (header record) of a segment or an epoch is missing or invalid",
            ),
        }
    }
}

/// The result of a repair or of its preview: the kept records and the lost ranges.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Repaired {
    /// The number of records that were kept.
    pub records: u64,
    /// The ranges without a valid record. They are empty now. If the last records are damaged, the last range begins at
    /// [`end`](Self::end), where new records take its place.
    pub lost: Vec<Range<Position>>,
    /// The end of the last record that was kept.
    pub end: Position,
    /// True if nothing had to be repaired.
    pub was_whole: bool,
    /// True if the superblocks were lost or older than the marks, and were rebuilt. Trimmed records that were not yet
    /// overwritten are in the journal again then.
    pub rebuilt: bool,
    /// [`Recovered::superblock_lost`] of the journal before the repair.
    pub superblock_lost: bool,
}

/// A log that is open for appending. See the [module](self).
///
/// Threads can share it: all methods but [`close`](Self::close) take `&self`. The example of
/// [`wait_for_records`](Self::wait_for_records) has a thread that reads and trims the records of other threads.
///
/// ```
/// # #[cfg(feature = "std")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use cachemaint::{Cache, medium::Memory, survival::Backing};
/// # use std::sync::atomic::AtomicU64;
/// # static WORDS: [AtomicU64; 1 << 14] = [const { AtomicU64::new(0) }; 1 << 14];
/// # let medium = Memory::new(&WORDS, Cache::host()?, Backing::Ram);
/// use cachemaint::journal::Journal;
///
/// let (journal, recovered) = Journal::open_or_create(medium)?;
/// assert_eq!(recovered.records, 0);
/// let first = journal.append(b"paid 3 to Ada")?; // durable at return
/// journal.append(b"paid 4 to Grace")?;
/// let records: Vec<_> = journal.records()?.collect::<Result<_, _>>()?;
/// assert_eq!(records[0].position, first);
/// journal.trim(records[1].position)?; // the first one is processed
/// assert_eq!(journal.records()?.count(), 1);
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "std"))]
/// # fn main() {}
/// ```
#[derive(Debug)]
pub struct Journal<M: Medium> {
    medium: M,
    identity: Identity,
    geometry: Geometry,
    /// The epoch of new records.
    epoch: Epoch,
    in_flight: InFlight,
    trimming: trim::Turn,
    /// Locked as long as this journal can write.
    _writer: Option<WriterLockGuard>,
}

impl<M: Medium> Journal<M> {
    fn new(medium: M, writer: Option<WriterLockGuard>, opened: Opened) -> Self {
        let Opened { superblock, in_flight } = opened;
        let Superblock { identity, geometry, epoch, .. } = superblock;
        let trimming = trim::Turn::default();
        Self { medium, identity, geometry, epoch, in_flight, trimming, _writer: writer }
    }

    /// Opens the journal in a medium as its one writer. Returns it with the other result of its opening, or the error with
    /// the medium.
    fn with<T>(
        medium: M,
        open: impl FnOnce(&M) -> Result<(Opened, T), Error<M::Error>>,
    ) -> Result<(Self, T), OpenError<M>> {
        let writer = writer::lock(&medium, Error::new(ErrorKind::SecondWriter));
        match writer.and_then(|writer| Ok((writer, open(&medium)?))) {
            Ok((writer, (opened, beside))) => Ok((Self::new(medium, writer, opened), beside)),
            Err(error) => Err(OpenError::new(medium, error)),
        }
    }

    /// Creates a journal in a medium without a journal, with the default [`Options`].
    ///
    /// # Errors
    /// As [`Options::create_new`].
    #[cfg(feature = "std")]
    pub fn create_new(medium: M) -> Result<Self, OpenError<M>> {
        Options::new().create_new(medium)
    }

    /// Opens the journal in a medium for appending, or creates it if it is missing, with the default [`Options`].
    ///
    /// # Errors
    /// As [`Options::open_or_create`].
    #[cfg(feature = "std")]
    pub fn open_or_create(medium: M) -> Result<(Self, Recovered), OpenError<M>> {
        Options::new().open_or_create(medium)
    }

    /// Opens a journal for appending, with the default [`Options`].
    ///
    /// # Errors
    /// As [`Options::open`].
    #[cfg(feature = "std")]
    pub fn open(medium: M) -> Result<(Self, Recovered), OpenError<M>> {
        Options::new().open(medium)
    }

    /// Returns the identity of the journal.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        self.identity
    }

    /// Returns the medium.
    #[must_use]
    pub const fn medium(&self) -> &M {
        &self.medium
    }

    /// Returns the position to which the journal is trimmed, at or before the oldest record. It is 0 in a new journal.
    /// [`records_from`](Self::records_from) returns all records from this position.
    #[must_use]
    pub fn head(&self) -> Position {
        Position(self.in_flight.head())
    }

    /// Returns the end of the acknowledged records. It moves with each record and over marks, so it can be greater than the
    /// end of the last record. The next opening uses the space between them again. So do not keep this position for a later
    /// opening. [`trim`](Self::trim) lists the positions that can be kept.
    #[must_use]
    pub fn end(&self) -> Position {
        Position(self.in_flight.advance())
    }

    /// Returns the size of the log in bytes, including headers and marks.
    #[must_use]
    pub const fn capacity(&self) -> u64 {
        self.geometry.capacity
    }

    /// Returns the number of free bytes. Headers and marks of new records take their space from them.
    #[must_use]
    pub fn free(&self) -> u64 {
        self.in_flight.free()
    }

    /// Returns the length of the longest possible payload, in bytes.
    #[must_use]
    pub const fn largest(&self) -> u64 {
        self.geometry.largest()
    }

    const fn mark(&self) -> Mark {
        Mark { identity: self.identity, epoch: self.epoch, geometry: self.geometry }
    }
}
