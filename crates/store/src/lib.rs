//! Named blobs and regions that outlive processes, kernels, reboots and, where the medium does, the loss of power.
//!
//! A [`Store`] can be in any [`Medium`](cachemaint::medium::Medium): a DAX file, memory that a kernel preserves, the
//! simulator. A program puts state there that it cannot build anew quickly, such as the state of a virtual machine or
//! the cache of a database, before it ends or the machine is rebooted. A [`Transaction`] replaces and deletes any number
//! of blobs at once: a crash at any moment leaves all of its changes or none.
//!
//! ```
//! # #[cfg(feature = "dax")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use cachemaint::dax;
//! use cachemaint_store::{Attributes, Store};
//!
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("state");
//! let file = dax::Options::new().allow_page_granularity().create_new(&path, 1 << 20)?;
//! let (mut store, _) = Store::create_new(file)?;
//! let mut transaction = store.begin()?;
//! transaction.put(Attributes::new("cpu").version(2), b"registers")?;
//! transaction.put("ram", &[7; 100_000])?;
//! transaction.commit()?;
//! drop(store); // or a crash, a kexec, a reboot
//!
//! let file = dax::Options::new().allow_page_granularity().open(&path)?;
//! let (store, opened) = Store::open(file)?;
//! println!("{}", opened.verdict.origin); // same process
//! assert_eq!(store.load("cpu")?, b"registers");
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "dax"))]
//! # fn main() {}
//! ```
//!
//! # How it works
//! The table of all names is a log. A [commit](Transaction::commit) writes its blobs to free space, and one record of all
//! its changes to the end of the log, writes all of it back, and fences once. Space that a commit frees is used again after
//! its fence.
//!
//! ```text
//! roots   log, both mirrors                        blobs and regions
//! | ... | base | snapshot | commit | commit | ... | "ram" | free | "disk" | ...
//!   '--> the log in use, and the place of the next one
//! ```
//!
//! A record proves itself by its tag, and vouches for those before it. After its fence a commit stores one more word at the
//! end of its record, without a write-back: who finds it knows that the commit was acknowledged. So at an opening only a last
//! record without this word is in doubt. It counts if it is whole and its blobs are; blobs of more than 64 KiB together are
//! durable before their record, which says so. Otherwise the commit is *undone*: the store is as before it,
//! [`Opened::undone`], [`Reader::undone`] and [`Verification::undone`] have its number, and the opening verifies everything.
//!
//! What was acknowledged is returned, or an error names it as damaged. One exception is a power cut within the last commit,
//! before its word reached the medium or a later record did, and damage to the same bytes. [`Store::close`] makes the word
//! durable, and so does the next commit or opening. The other is damage that leaves no trace of the last record: see
//! [Limits](#limits).
//!
//! When the log is full, the entries of all names are written to the other of its two areas, and a new root refers to that. Then
//! the log before is marked as left: an older root that comes back leads to an error, and not to older blobs.
//! An area has room for twice the entries, so each blob of a full store can be deleted. It grows with their number. A
//! blob of at most 256 bytes stands in its record, and needs no place of its own.
//!
//! The root and the log have two copies each, in different blocks of 4096 bytes: damage in one block loses at most the blobs
//! that it hits. If a record is damaged in both mirrors, the names that it may have changed are not known. Those that a later
//! record names can still be read, but nothing can be written.
//!
//! A blob is verified when it is read, by a 64-bit hash of each 64 KiB. Its seed is a key of the store, the commit and the
//! place, so bytes that an earlier blob or log has left there are not taken for those of another one.
//!
//! # Readers
//! One process writes, and any number of processes read meanwhile by a [`Reader`] of their own, without a lock. It shows one
//! commit, whose table it has in memory. What a later commit has replaced is [`ErrorKind::Replaced`]:
//! [refresh](Reader::refresh) the reader. What must be read in place is a [region](#regions). While a commit is under way, a
//! reader in another process may see it before it is durable. [`Reader::copy_into`] makes a backup, and brings one back.
//!
//! A [`ScanningReader`] needs neither an allocator nor an operating system, and scans the log.
//!
//! # Regions
//! For state that must not be copied, such as the memory of a virtual machine, a store has *regions*.
//! [`Transaction::create_region`] takes space for one, of zeros. [`Store::region`] returns it as a [`Region`], a medium of
//! its own that is used in place: for loads and stores, for a journal, or on a DAX file through a pointer. It never moves.
//!
//! | | blob | region |
//! |---|---|---|
//! | changes | as a whole, by a commit | at any time, in place |
//! | copied | in and out | never |
//! | verified | when it is read | never |
//! | after a seal | as it was put | as it was at the seal |
//! | after a crash of the process | as it was put | everything that was stored |
//! | after an event that loses the caches | as it was put | everything that was persisted, and perhaps more |
//!
//! Bytes of a region are written back by its user, by the command `cachemaint guard`, and by [`Store::seal`].
//!
//! A region is *dirty* from the commit before it is handed out to the seal of the same [`Store`]: its words can be of
//! different moments. To keep a blob that belongs to a region, such as the registers of a machine beside its memory, stop
//! all users of the region, put the blob, commit, drop each [`Region`] and seal. Both belong together if the region is not
//! dirty and the blob was put later:
//!
//! ```
//! # #[cfg(feature = "alloc")] {
//! # use cachemaint_store::Info;
//! fn belong_together(ram: &Info, registers: &Info) -> bool {
//!     !ram.is_dirty && registers.commit > ram.commit
//! }
//! # }
//! ```
//!
//! A program that hands physical addresses to a device or an IOMMU gets them from [`Region::placement`], and opens the
//! store with [`Options::require_in_place`] afterwards. A device that stores into a region meanwhile is not seen here: end
//! it before a region is deleted or a store is sealed.
//!
//! # Reboots
//! Each opening for writing is a commit, and records its circumstances, a [`Stamp`]: boot, kernel, process, and the backing
//! of the medium. The next one compares them with its own. A [`Verdict`] states the event in between, its evidence, and if
//! the medium had promised to survive it. If blobs may have been lost, because the boot is another and the store was not
//! sealed, everything is verified, also by later openings until all blobs are found whole. Before a planned reboot
//! [`Store::seal`] makes everything durable as deep as the medium allows, and records that. [`Reader::history`] has the last
//! boots, and [`Region::since_use`] the event since a region was used.
//!
//! # Upgrade and rollback
//! This crate reads and writes only version 5 of the format, and nothing converts a store: a program of the old version
//! loads the blobs, and they are put into a new store. A program that may have to give way to its predecessor reads by a
//! [`Reader`] until it is certain to stay. The [version](Attributes::version) of a blob is the caller's, and only the caller
//! compares it, by the same [`Reader`] that loads the bytes.
//!
//! # The format, version 5
//! All numbers are little-endian. All tags are XXH3 of 64 bits
//! ([specification](https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md)). `XXH3(s, b)` is the hash of the bytes
//! `b` with the seed `s`. `K(e, p, n)` is the key of epoch *e*, place *p* and kind *n*: `XXH3(n, b)` of the 16 bytes of the
//! identity, then *e* and *p* in 8 bytes each.
//!
//! The root is at offsets 0, 4096, 8192 and 12288: generation *g* at 4096 (*g* modulo 2), and its copy 8192 behind. Of all
//! whole roots the one of the highest generation is current. Magic, version, length and tag of a root stay where they are
//! in each later version, and a whole root of a later version is newer than all of this one.
//!
//! | root, offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | magic: `cm-store` |
//! | 8 | 4 | version: 5 |
//! | 12 | 4 | bytes of the root: 104 |
//! | 16 | 8 | tag: `XXH3(XXH3(K(g, o, 1), bytes 0 to 15), bytes 24 to the end)`, *g* the generation, *o* the offset of this copy |
//! | 24 | 16 | identity, random |
//! | 40 | 8 | generation, from 1 on |
//! | 48 | 4 | bytes of a unit, a power of two from 64 to 2^30 |
//! | 52 | 4 | zeros |
//! | 56 | 8 | capacity: bytes of a mirror of the log, a multiple of 4096 |
//! | 64 | 16 | offsets of both mirrors of the log in use |
//! | 80 | 16 | offsets of both mirrors of the other area |
//! | 96 | 8 | epoch of the log: `XXH3(K(g, t, 6), w)`, *t* the first word that stood in its first mirror, *w* 16 random bytes |
//!
//! The log, blobs and regions lie behind the roots, each from a multiple of the unit on; mirrors and regions also from a
//! multiple of 4096 on. Both mirrors have the same records, one behind the other from their beginning on. A record fills
//! whole lines of 64 bytes.
//!
//! | record, offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | tag: `XXH3(K(e, p, 2), bytes 8 to the last 8)`, without these; *e* the epoch of the log, *p* the position in it |
//! | 8 | 8 | tag of the record before; 0 in the first one |
//! | 16 | 8 | number of the commit, from 1 on, below 2^63 |
//! | 24 | 8 | when, in seconds since 1970-01-01 UTC, or 0 |
//! | 32 | 4 | bytes of the record |
//! | 36 | 1 | kind: 1 commit, 2 opening, 3 base, 4 snapshot; 0 in a base whose log was left for a newer one |
//! | 37 | 1 | 1 if the store is sealed, and 2 more if the blobs of a commit were durable before the record |
//! | 38 | 2 | the low 16 bits of the epoch |
//! | 40 | | for a commit and a snapshot: entries, then zeros |
//! | 40 | 8 | for an opening and a base: bytes of the store, a multiple of the unit |
//! | 48 | 8 | for a base: number of entries in the snapshots behind it |
//! | 56 | 8 | for an opening and a base: bytes of the history |
//! | 64 | | for an opening and a base: the history: boots, the oldest first |
//! | the last 8 | 8 | zeros, or the word that confirms the record: `K(e, q, 7)`, *q* the position behind it |
//!
//! A log begins with a base, and snapshots of all entries, which a fence has made durable before the root. Numbers grow with
//! each commit and opening; one whose commit was undone is never used again. A record that does not match its tag in either
//! mirror is the end of the log, unless a whole one or a word that confirms one stands there or behind it, or the first line
//! can be read in neither mirror: then it is damage.
//!
//! | entry, offset | bytes | what |
//! |---|---|---|
//! | 0 | 1 | 0 nothing any more, 1 blob, 2 blob in the record, 3 region |
//! | 1 | 1 | bytes of the name, 1 to 255 |
//! | 2 | 2 | bytes of the metadata, 4096 at most |
//! | 4 | 4 | zeros |
//! | 8 | 8 | the caller's version |
//! | 16 | 8 | bytes of the blob or region; 256 at most in the record |
//! | 24 | 8 | its offset; 0 in the record |
//! | 32 | 8 | tag; for a region twice the number of the commit that last handed it out or created it, and 1 more if it is dirty |
//! | 40 | 8 | number of the commit that put it there |
//! | 48 | 8 | when, in seconds since 1970-01-01 UTC, or 0 |
//! | 56 | | name, in UTF-8, then metadata, then the blob if it is in the record, then zeros up to a multiple of 8 |
//!
//! A blob is in one piece. It consists of chunks of 65536 bytes, and a last one for the rest. The chunk at offset *o* of the
//! medium has the tag `XXH3(K(n, o, 3), its bytes)`, *n* the number of the commit that put it. If there is one chunk, the
//! entry has its tag. If there are more, the tags of all follow the blob at the next multiple of 8, 8 bytes each. Then the
//! entry has the tag of this list, with the key `K(n, o, 4)` and the offset *o* of the blob. The tag of an empty blob is 0.
//! A blob in the record has the key `K(n, 0, 5)`.
//!
//! A region is in one piece, too. Its offset and its bytes are multiples of 4096, and it has at least 4096 bytes. Nothing
//! follows it.
//!
//! | stamp, offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | seconds since 1970-01-01 UTC, or 0 |
//! | 8 | 16 | boot id, or zeros |
//! | 24 | 8 | when the process began, in ticks since the boot |
//! | 32 | 4 | its number, or 0 |
//! | 36 | 1 | backing: 1 storage, 2 RAM, 3 emulated persistent memory, 4 ADR, 5 eADR, 6 CXL with GPF, 7 CXL, 8 no claim, 9 virtio-pmem, 10 RAM reserved by name; else unknown |
//! | 37 | 3 | zeros |
//! | 40 | 4 | bytes that are made persistent at once, or 0 |
//! | 44 | 4 | zeros |
//! | 48 | 8 | the count of unsafe shutdowns and 1, or 0 |
//! | 56 | 8 | digest of the places of the file's bytes, or 0 |
//! | 64 | 64 | release of the kernel, then zeros |
//!
//! | boot, offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | number of its first opening |
//! | 8 | 4 | how often the store was opened in it |
//! | 12 | 1 | what had happened: 0 unknown, 1 same process, 2 same boot, 3 kexec, 4 warm reboot, 5 power loss, 6 reboot |
//! | 13 | 1 | 1 if the store had been sealed |
//! | 14 | 1 | 1 if blobs may be damaged, and no verification since has found all of them whole |
//! | 15 | 1 | zero |
//! | 16 | 128 | stamp of the last time it was opened in it |
//!
//! An opening in the same boot as the one before replaces the last boot of the history.
//!
//! # Limits
//! - A blob or a region needs free space in one piece. The blob that it replaces is free after the commit, so both need
//!   space at the same time. A log that grows needs four pieces beside the old ones.
//! - After a power cut within the last commit, damage to its bytes looks like the cut: the commit is undone. What it had
//!   replaced is there only if no later transaction, finished or not, took its space; if not, that is damaged.
//! - If one copy of the last record has turned into zeros or older bytes, and the other has too or cannot be read, its commit
//!   seems never to have been made, even after a [close](Store::close).
//! - On a medium that is persisted in whole pages, the word stands in one mirror until the store is closed. Until then two
//!   faults at once look like a crash: one in that mirror's copy of the last record, and one in the other copy.
//! - A history keeps 32 boots, or fewer if that would be more than an eighth of a mirror of the log: 3 in the smallest.
//! - A page of memory of 16 or 64 KiB, as on some machines with arm64 and POWER, can hold both mirrors of a small log.
//! - A tag detects accidents, not attacks: one in 2^64 damaged chunks of 64 KiB passes for whole.
//! - The format is not promised to stay before the first release.
//! - A writer keeps the table in memory, and so does a reader. Without `std`, names can be chosen such that its
//!   work grows with the square of their number.
//! - If all four roots are damaged, or those of the newest generation, the store is lost.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![no_std]
#![warn(clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::alloc_instead_of_core)]
#![expect(
    clippy::cast_possible_truncation,
    reason = "sizes are checked against their limits when they are read"
)]

#[cfg(any(feature = "alloc", test))]
extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

// The lower floor: a log of commits, and the blobs that they name. Each module uses only those above it.
#[cfg(feature = "alloc")]
mod append;
#[cfg(feature = "alloc")]
mod attributes;
#[cfg(feature = "alloc")]
mod backup;
mod blob;
#[cfg(feature = "alloc")]
mod blob_writer;
mod chunks;
mod commit;
#[cfg(feature = "alloc")]
mod confirmation;
#[cfg(feature = "alloc")]
mod creation;
mod error;
#[cfg_attr(not(feature = "alloc"), expect(dead_code, reason = "a reader encodes nothing"))]
mod format;
mod info;
mod log;
mod name;
#[cfg(feature = "alloc")]
mod reader;
#[cfg(feature = "alloc")]
mod recovery;
mod scanning;
#[cfg(feature = "alloc")]
mod space;
#[cfg(feature = "alloc")]
mod store;
#[cfg(feature = "alloc")]
mod table;
#[cfg(feature = "alloc")]
mod transaction;
#[cfg(feature = "alloc")]
mod verify;

// The upper floor: memory that is used in place, and the machine that was rebooted.
mod boots;
#[cfg(all(
    feature = "dax",
    any(target_os = "linux", target_os = "macos", windows),
    not(cachemaint_loom)
))]
mod growth;
#[cfg(feature = "alloc")]
mod opening;
#[cfg(feature = "alloc")]
mod regions;

pub use blob::Blob;
pub use boots::{Boot, Origin, Stamp};
pub use cachemaint_format::error::FormatError;
pub use cachemaint_format::identity::Identity;
#[cfg(feature = "alloc")]
pub use cachemaint_format::progress::Progress;
pub use error::{Damage, Error, ErrorKind, Part};
#[cfg(feature = "alloc")]
pub use info::Capacity;
pub use info::{Content, Info};
pub use name::Name;
#[cfg(feature = "alloc")]
pub use reader::Reader;
pub use scanning::ScanningReader;
#[cfg(feature = "alloc")]
pub use verify::Verification;
#[cfg(feature = "alloc")]
pub use {
    attributes::Attributes, backup::Copied, backup::CopyError, blob_writer::BlobWriter,
    boots::Verdict, opening::Opened, opening::Options, opening::Verify, regions::Region,
    store::Store, transaction::Transaction,
};
