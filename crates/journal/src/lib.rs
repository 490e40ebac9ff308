//! An append-only log for many producers that keeps every acknowledged record across a power failure.
//!
//! A [`Journal`] is stored in any [`Medium`](cachemaint::medium::Medium): a DAX file, an ordinary file, memory that a
//! kernel preserves, or the simulator. After any event that the medium survives, recovery finds each record whose
//! append has returned. Records come back as a prefix, in the order in which they were appended: no record without all
//! records before it.
//!
//! ```
//! # #[cfg(feature = "dax")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use cachemaint::dax;
//! use cachemaint_journal::Journal;
//!
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("journal");
//! let file = dax::Options::new().allow_page_granularity().create_new(&path, 1 << 20)?;
//! let (journal, _) = Journal::create_new(file)?;
//! journal.append(b"paid 3 to Ada")?;
//! journal.append(b"paid 4 to Grace")?;
//! drop(journal); // or a crash
//!
//! let file = dax::Options::new().allow_page_granularity().open(&path)?;
//! let (journal, opened) = Journal::open(file)?;
//! assert_eq!(opened.recovered.records, 2);
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
//! Each record has a tag: a 64-bit hash of its bytes and its position, with a key that is new for each opening. A
//! record is valid if its tag matches, so an append writes only its record: it stores the record, writes its lines back
//! and fences. Remains of an earlier *lap*, as each pass through the ring is called, records of another journal and torn
//! records have no matching tag.
//!
//! Producers make their own records durable, in parallel. An append is *acknowledged*, and returns, when everything
//! before it is durable too. Recovery ends at the first invalid record, so it finds every acknowledged one.
//!
//! After a crash, records that were in progress can still be valid after the first missing one. Each opening therefore
//! begins a new *epoch*, with a new key, in the next segment. Before anything is appended, the root records the new key
//! and the end of the earlier records. If an opening appends no record, the next one reuses its segment.
//!
//! # Damage and torn ends
//! A crash leaves a torn end: a record that was not acknowledged is missing. Damage is different: the missing record had
//! been durable. The rule is one. A missing record is damaged if something intact states a later position before which
//! everything was durable or acknowledged:
//!
//! | evidence | states | shows, and nothing else does |
//! |---|---|---|
//! | the root | the end of the records before the last epoch, and what was acknowledged at the last [trim](Journal::trim) or [close](Journal::close) | damage to earlier epochs; after a power cut, damage to the last record of a closed journal |
//! | the *confirmation* | all that is acknowledged: one word, which an append stores after its fence without a write-back | damage to the last record after a kill, or after a power cut if the word happened to be written back |
//! | a record of the last epoch | what was durable when it was written | after a power cut, damage to records that others follow within a window |
//! | a mark of the last epoch, at the start of a segment | the same | damage that is longer than a window |
//! | a mark of an epoch that the root does not know, or in space that its head has not freed | that there was a newer root | damage to both copies of the newest root |
//!
//! A *window* is the space that records in progress can take: a quarter of the log, at most 256 KiB or four segments, and
//! at least two segments. Records after the missing one are searched in the window and the segment after it.
//!
//! Everything acknowledged is returned, or an error names it as damaged, with one exception: a power cut loses the last
//! confirmation, and the last sector of records is damaged before the journal is opened again. That looks like a torn
//! end. An opening or a verification reports it as [torn](Recovered::torn) if it finds the header of a record there, or
//! records behind it. In space that was never used, every byte but zero counts as part of a record. A damaged journal is
//! never written to; [salvage](Reader::salvage) its intact records.
//!
//! # Size
//! A record takes 16 bytes plus its payload, rounded up to the alignment. Each segment begins with a mark of 64 bytes, so
//! it holds `(segment - 64) / record` of them. After appends, the next opening starts a new segment. In a journal of 1 MiB:
//!
//! ```
//! # #[cfg(feature = "std")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use cachemaint::{Cache, medium::{Backing, Memory}};
//! # use std::sync::atomic::AtomicU64;
//! use cachemaint_journal::Journal;
//!
//! # static WORDS: [AtomicU64; 1 << 17] = [const { AtomicU64::new(0) }; 1 << 17];
//! # let medium = || Ok::<_, Box<dyn std::error::Error>>(Memory::new(&WORDS, Cache::host()?, Backing::Ram));
//! let fill = |journal: &Journal<_>| (0..).take_while(|_| journal.append(&[7; 64]).is_ok()).count();
//! let a_segment = (32_768 - 64) / (16 + 64); // 408 records of 64 bytes
//!
//! let (journal, _) = Journal::create_new(medium()?)?; // 1 MiB
//! journal.append(&[7; 64])?;
//! drop(journal);
//! let (journal, _) = Journal::open(medium()?)?; // begins the second segment
//! assert_eq!(fill(&journal), 30 * a_segment);
//! journal.trim(journal.end())?; // frees all segments except the one with the end
//! assert_eq!(fill(&journal), 30 * a_segment);
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "std"))]
//! # fn main() {}
//! ```
//!
//! # The format
//! [FORMAT.md](https://docs.rs/crate/cachemaint-journal/latest/source/FORMAT.md) specifies version 5
//! byte by byte.
//!
//! # Limits
//! - A record must fit into a segment. Positions, generations and epoch numbers are below 2^63.
//! - A 64-bit tag detects accidents, not attacks.
//! - The confirmation word has one copy. Before a [close](Journal::close), two faults at once, in the word and in the
//!   last sector, look like a torn end. If a processor delays the store of the word past another thread's entire
//!   append, less evidence remains. After a power cut, a last sector that reads as zeros or as its old bytes leaves no
//!   trace, even of several acknowledged records. Other bytes in place of a whole sector are only noticed in the first
//!   lap, in a journal that was created in zeros, and not directly after a trim.
//! - Locks are the evidence that there is one writer. Without a working lock, the caller sees to it: see
//!   [`FormatError::AnotherWriter`]. Before a writer begins a segment, trims or closes, it looks for another one. Within
//!   its segment it does not, and may overwrite a later lap. Two mounts that share neither locks nor pages are without a
//!   lock: a passthrough file system beside the directory under it, or the disk of a virtual machine that the host opens
//!   too.
//! - A file that is removed or replaced while it is open still acknowledges records. Its last close discards them.
//! - Unreadable bytes exactly at the end of the records, or at the start of the next segment, are damage, since a record
//!   may have been there. On a mapped file, an opening reads by system calls and finds them. An append to a bad block in
//!   free space fails the medium.
//! - A version other than 5 is [`FormatError::Version`]: process and trim all records with a program of that version,
//!   then create a new journal. A journal keeps its size for life.
//! - If both copies of the newest root are lost, the previous one counts, unless there is evidence of a newer one. If
//!   all slots are intact but old, trimmed records can reappear.
//! - An opening may reuse the space after the last record. A position that is kept for a later opening must therefore
//!   be one where an acknowledged record begins or ends, not the [end of the journal](Journal::end).
//! - Producers that wait for space do not queue: the first one to check takes it.
//! - `wasm32-unknown-unknown` has no clock: timeouts expire at once there.
//! - Not every drive promises that a sector is old or new after a power loss (NVM Command Set Specification: AWUPF). A
//!   drive that loses the sectors it is writing can lose acknowledged records: those on a page that an append was
//!   writing, unless the journal was created with [`powersafe_overwrite(false)`](Options::powersafe_overwrite), and the
//!   last window of records during an [opening](Options::open). The same evidence classifies this loss as damage or a
//!   torn end.
//! - A read visits each record once. After the end, or after damage, it reads one word at each place where a record may
//!   begin. It gives up on a segment after verifying six times its bytes in vain: only crafted bytes need more. Whatever
//!   the bytes are, a verification or a salvage reads no more than 40 times the bytes of the log.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![no_std]
#![warn(clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::alloc_instead_of_core)]
#![expect(
    clippy::cast_possible_truncation,
    reason = "sizes are checked against their limits when they are read"
)]

extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

mod append;
mod boundary;
mod close;
mod confirmation;
mod error;
mod evidence;
mod geometry;
mod group;
#[cfg(feature = "std")]
mod group_commit;
mod inflight;
mod journal;
mod lock;
mod open;
mod reader;
mod record;
mod records;
mod recovered;
mod rewritten;
mod root_lock;
mod salvage;
mod state;
mod trim;
#[cfg(feature = "std")]
mod wait;
#[cfg(feature = "std")]
mod waiters;
mod walk;

pub use cachemaint_format::identity::Identity;
pub use error::{Error, ErrorKind, FormatError};
pub use geometry::Position;
pub use group::Group;
#[cfg(feature = "std")]
pub use group_commit::GroupCommit;
pub use journal::Journal;
pub use open::{Opened, Options};
pub use reader::Reader;
pub use records::{Record, Records};
pub use recovered::{Damage, Fault, Recovered};
pub use salvage::{Salvage, Salvaged};
