//! A log that loses nothing acknowledged: append-only, power-fail safe, many producers, one fence an append.
//!
//! A [`Journal`] stands in any [`Medium`]: a DAX file, memory that a kernel keeps, the
//! simulator. An append that has returned is found by every recovery, whatever the medium survives. What was
//! appended comes back in order, as a prefix: no record without all those before it.
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
//! A record proves itself by a tag: a hash of 64 bits over its bytes and its position, with the key of the journal and
//! of this opening. So recovery needs no counter and no pointer to the end, and an append
//! writes nothing but its record: it stores it, writes its lines back and fences, once. What an earlier lap of
//! the ring has left, what belongs to another journal and what is torn, does not prove itself.
//!
//! Producers reserve room in ordinary memory, and each makes its own records durable, side by side. An append is
//! *acknowledged*, and returns, when everything before it is durable too; so what recovery finds, up to the
//! first record that does not prove itself, holds all that was acknowledged.
//!
//! Records that were under way in a crash, after the first that is missing, would prove themselves still. So
//! each opening begins a new *epoch*, with a key of its own, at the end that it found: nothing of an
//! earlier epoch counts after it.
//!
//! # Creation
//! A creation first makes the magics of both superblocks zero. Then it writes everything but the magic of the first
//! superblock, and this magic last; each of the three is persistent before the next one is written. So a crash leaves no
//! magic, which is no journal, or all of it. The second superblock is zeros until the first opening or trim writes it.
//!
//! If both magics are zero and the log has records, both superblocks are lost. Such a journal can be
//! [repaired](Options::repair); [`Options::open_or_create`] does not create another one over it.
//!
//! # What is damage, and what a torn end
//! A crash leaves a torn end: a record is missing that was not acknowledged, and records after it can be whole that were
//! under way together with it. Damage is different: the missing record had been durable. It is known by
//! evidence:
//! - Everything before the epoch was found whole when it began. Everything before a [trim](Journal::trim) or a
//!   [close](Journal::close) had been acknowledged by then, and the superblock says so.
//! - Each record *vouches*: it states the position before which everything was durable when it was written. A producer
//!   that waits for each append so vouches for all before it, and a lost record is known as damage as soon as there is one
//!   after it. If the void at the end of its segment is lost with it, two are needed.
//! - At most a [window](Options::window) is under way, so what proves itself a window or more after the end is evidence, too.
//!
//! Without evidence the end is torn, and [`Recovered::behind`] counts the whole records after it. They do not count, as
//! something before them is missing. Damage to the last records, if they were appended together and the
//! journal was not closed afterwards, cannot be told from a torn end.
//!
//! A damaged journal is not appended to: its prefix can be read, what is whole after the damage can be
//! [salvaged](Reader::salvage), and [`Options::repair`] makes it one that can be appended to.
//!
//! # The format, version 3
//! All numbers are little-endian. The medium begins with two superblocks, each in a page of 4096 bytes of its own, at
//! offsets 0 and 4096; each is written as a whole in the place of the older one. The log is at offset 8192. It is
//! a ring of segments; position *p* is at offset 8192 + *p* modulo its capacity, and positions go on
//! for ever.
//!
//! H(*seed*, *bytes*) is XXH3 with 64 bits and a seed (xxHash project, `doc/xxhash_spec.md`, version 0.2.0).
//!
//! | superblock, offset | bytes | what |
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
//! | 64 | 8 | generation: of two that are whole the higher one holds |
//! | 72 | 8 | head: position of the oldest record that is wanted |
//! | 80 | 8 | number of the epoch that it is in |
//! | 88 | 8 | key of that epoch |
//! | 96 | 8 | number of the last epoch |
//! | 104 | 8 | key of the last epoch |
//! | 112 | 8 | position where the last epoch begins |
//! | 120 | 8 | position up to which everything was acknowledged when this was written |
//!
//! A record begins and ends at a multiple of the alignment and lies within a segment. It has a header and its payload;
//! what follows up to the alignment is not looked at.
//!
//! | record, offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | tag: H(H(key, bytes 8 to 15 and the position in 8 bytes), payload), with the key of the epoch |
//! | 8 | 3 | length of the payload in bytes |
//! | 11 | 3 | bits 0 to 2, the kind: 1 data, 2 mark, 3 void. Bits 3 to 23, *v*: for how much it vouches |
//! | 14 | 2 | (*w* XOR (⌊*w* / 2^16⌋ × 0x9e3779b97f4a7c15 modulo 2^64) / 2^48) modulo 2^16; *w* is the position divided by 8 |
//! | 16 | | payload |
//!
//! - A record vouches for nothing if *v* is 0. If *v* is at most 2^20, it vouches for everything up to 8 × (*v* - 1) bytes
//!   before its position. If *v* is more, it vouches for everything up to 512 × (*v* - 2^20) bytes before its position.
//! - Each segment, and each epoch, begins with a *mark*, whose tag has the key `cmj mark` (as a number). Its payload:
//!   identity (16 bytes), number of the epoch (8), its key (8), segments of the log (6), the binary logarithms of segment
//!   and alignment (1 and 1), segments of the window (2), the position divided by 2^19 (6). It has the key of what
//!   follows, and all that a lost superblock had.
//! - A *void* fills what is left of a segment, or a place that was reserved in vain. Its length leads to its end; its tag
//!   is that of a record with this length and no payload, with the key of the epoch that it is in. Where an epoch
//!   begins so near to the end of a segment that no mark fits, there is a void of the epoch before.
//! - In fewer than 16 bytes at the end of a segment there is nothing.
//!
//! # Limits
//! - A record fits into a segment, and has less than 16 MiB. Positions, generations and epochs' numbers are below 2^63.
//! - A tag of 64 bits finds accidents, not attackers.
//! - One process appends. Its threads read by [`Journal::records`], other processes by a [`Reader`] meanwhile.

mod append;
mod error;
mod format;
mod group;
mod inflight;
mod open;
mod reader;
mod records;
mod repair;
mod reservation;
mod salvage;
mod superblocks;
mod trim;
#[cfg(feature = "std")]
mod wait;
#[cfg(feature = "std")]
mod waiters;
mod walk;

pub use crate::format::identity::Identity;
pub use crate::format::progress::Progress;
pub use append::Pending;
pub use error::{Error, ErrorKind};
pub use group::Group;
pub use open::Options;
pub use reader::{Reader, Record};
pub use records::Records;
pub use reservation::Reservation;
pub use salvage::{Salvage, Salvaged};

use crate::medium::Medium;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use error::OpenError;
use format::geometry::Geometry;
use format::record::{Epoch, Mark};
use format::superblock::Superblock;
use inflight::InFlight;
use open::Opened;

/// A position in a journal: bytes since its creation. It never comes again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Position(u64);

impl Position {
    /// A position that was noted as a number.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The content of a journal. That of a new one is empty.
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
    /// Bytes of their payloads.
    pub bytes: u64,
    /// True if a record was under way at the end in a crash. It had not been acknowledged, and does not count. It is not
    /// noticed if nothing of its beginning is there.
    pub torn: bool,
    /// The number of whole records after the end that do not count, since a record before them is missing. They were
    /// under way together with it in a crash: none of them shows that it had been durable. Opening for appending gives
    /// them up; [`Reader::salvage`] shows them.
    pub behind: u64,
    /// The damage at the end, if a record that had been durable is lost there.
    pub damage: Option<Damage>,
}

/// Something that was there and does not prove itself any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Damage {
    /// Where.
    pub at: Position,
    /// The same as an offset in the medium, in bytes.
    pub offset: u64,
    /// A position that was written when this had been durable.
    pub evidence: Position,
    /// What is wrong there.
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

/// Why something does not prove itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Fault {
    /// It does not name its position.
    Nothing,
    /// It names its position, and no kind of record that there is.
    Header,
    /// Its length, in bytes, leads out of the segment.
    Length(u64),
    /// Its tag is not that of its bytes, its position and its epoch.
    Tag,
    /// There should be a mark of this journal, and of an epoch that can be.
    Mark,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("no record of this journal is stored there"),
            Self::Header => f.write_str("a record of no known kind"),
            Self::Length(len) => write!(f, "a record of {len} bytes does not fit into its segment"),
            Self::Tag => f.write_str("the tag is not that of the record"),
            Self::Mark => f.write_str("there is no right mark of a segment or an epoch"),
        }
    }
}

/// What a repair has kept and what not.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Repaired {
    /// Records that are there.
    pub records: u64,
    /// Where nothing proved itself, and nothing is now.
    pub lost: Vec<Range<Position>>,
    /// The end of the last record.
    pub end: Position,
}

/// A log that is appended to. See the [module](self).
///
/// It can be shared by threads: everything takes `&self`. [`wait_for_records`](Self::wait_for_records) shows a thread that
/// reads and trims what others append.
#[derive(Debug)]
pub struct Journal<M: Medium> {
    medium: M,
    identity: Identity,
    geometry: Geometry,
    /// The epoch of what is appended.
    epoch: Epoch,
    in_flight: InFlight,
    trimming: trim::Turn,
}

impl<M: Medium> Journal<M> {
    fn new(medium: M, opened: Opened) -> Self {
        let Opened { superblock, in_flight } = opened;
        let Superblock { identity, geometry, epoch, .. } = superblock;
        let trimming = trim::Turn::default();
        Self { medium, identity, geometry, epoch, in_flight, trimming }
    }

    /// The journal in a medium, with what its opening returned beside it, or the medium and the error.
    fn with<T>(
        medium: M,
        opened: Result<(Opened, T), Error<M::Error>>,
    ) -> Result<(Self, T), OpenError<M>> {
        match opened {
            Ok((opened, beside)) => Ok((Self::new(medium, opened), beside)),
            Err(error) => Err(OpenError::new(medium, error)),
        }
    }

    /// Creates a journal in a medium that has none, with the default [`Options`].
    ///
    /// # Errors
    /// As [`Options::create_new`].
    #[cfg(feature = "std")]
    pub fn create_new(medium: M) -> Result<Self, OpenError<M>> {
        Options::new().create_new(medium)
    }

    /// Opens the journal in a medium for appending, or creates one where there is none, with the default [`Options`].
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

    /// What it is known by.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        self.identity
    }

    /// The medium.
    #[must_use]
    pub const fn medium(&self) -> &M {
        &self.medium
    }

    /// Returns the position to which the journal is trimmed, at or before the oldest record. From it
    /// [`records_from`](Self::records_from) returns all records. That of a new journal is 0.
    #[must_use]
    pub fn head(&self) -> Position {
        Position(self.in_flight.head())
    }

    /// Returns the end of what is acknowledged. It moves with each record, and over marks and dropped reservations. So it
    /// can be greater than the end of the last record.
    #[must_use]
    pub fn end(&self) -> Position {
        Position(self.in_flight.advance())
    }

    /// Bytes of the log, with headers and marks.
    #[must_use]
    pub const fn capacity(&self) -> u64 {
        self.geometry.capacity
    }

    /// Bytes that are free, with headers and marks.
    #[must_use]
    pub fn free(&self) -> u64 {
        self.in_flight.free()
    }

    /// The longest record, in bytes.
    #[must_use]
    pub const fn largest(&self) -> u64 {
        self.geometry.largest()
    }

    const fn mark(&self) -> Mark {
        Mark { identity: self.identity, epoch: self.epoch, geometry: self.geometry }
    }
}
