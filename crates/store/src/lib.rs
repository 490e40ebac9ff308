//! Named blobs and regions that survive processes, kernels, reboots and, if the medium does, power loss.
//!
//! A [`Store`] can be in any [`Medium`](cachemaint::medium::Medium): a DAX file, an ordinary file, memory that a kernel
//! preserves, or the simulator. Before a program ends or the machine reboots, it puts state there that would take long
//! to rebuild, such as the state of a virtual machine or the cache of a database. A [`Transaction`] replaces and
//! deletes any number of blobs atomically: after a crash at any moment, all of its changes are there or none.
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
//! let (store, _) = Store::open(file)?;
//! assert_eq!(store.load("cpu")?, b"registers");
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "dax"))]
//! # fn main() {}
//! ```
//!
//! # How it works
//! The table of all names is a log. A [commit](Transaction::commit) makes its blobs durable in free space, then appends
//! one record of all its changes to the log and makes that durable. **A commit stands exactly if its record stands**:
//! an opening takes no commit back, and a blob that does not verify is a damaged blob. A blob of at most 256 bytes is
//! stored in its record, so a commit of such blobs needs one fence, and any other commit two. Space that a commit frees
//! is reused after its fence.
//!
//! ```text
//! roots   log, both mirrors                        blobs and regions
//! | ... | base | snapshot | commit | commit | ... | "ram" | free | "disk" | ...
//!   '--> the log in use, and the place of the next one
//! ```
//!
//! Each record carries a keyed hash, and is stored in two mirrors of the log, in different blocks of 4096 bytes. One
//! intact copy suffices. A record that is intact in neither mirror is the end of the log, as after a crash, unless an
//! intact record follows: then it is damaged.
//!
//! Whatever was acknowledged is returned, or an error names it as damaged. The one exception takes two faults at once:
//! damage to both mirrors of the very last record. See [Limits](#limits); the guide's chapter *Contracts* lists the
//! exceptions of every format and medium.
//!
//! When the log is full, and at each opening for writing, the entries of all names are written to the other one of its
//! two areas, and a new root refers to that. The old log is then marked as left: an older root that reappears leads to an
//! error, not to older blobs. The areas grow with the entries, and become smaller when a quarter is enough. Each has room
//! for all entries and for a record that deletes them, so even a full store can be emptied. A record has less than 4 GiB.
//!
//! The root has two copies too, so damage in one block loses at most the blobs that it hits. If a record is damaged in
//! both mirrors, the names that it may have changed are unknown. Names in later records can still be read, but nothing
//! can be written.
//!
//! A blob is verified when it is read, by a 64-bit hash of each 64 KiB. The hash is seeded with a key of the store, the
//! commit and the place, so bytes left there by an earlier blob or log do not pass for it.
//!
//! # Readers
//! One process writes, while any number of processes read through their own [`Reader`], without a lock. A reader shows
//! one commit and has its table in memory. If a later commit replaces a blob, reading it is [`ErrorKind::Replaced`]:
//! [refresh](Reader::refresh) the reader. Data that must be read in place belong in a [region](#regions). A reader in
//! another process may see a commit before it is durable. [`Reader::copy_into`] makes or restores a backup.
//!
//! # Regions
//! For state that must not be copied, such as the memory of a virtual machine, a store has *regions*.
//! [`Transaction::create_region`] allocates one, filled with zeros. [`Store::region`] returns it as a [`Region`], which
//! is itself a medium and is used in place: for loads and stores, for a journal, or on a DAX file through a pointer. A
//! region never moves.
//!
//! | | blob | region |
//! |---|---|---|
//! | changes | as a whole, in a commit | at any time, in place |
//! | copied | in and out | never |
//! | verified | when read | never |
//! | after a seal | as it was put | as it was at the seal |
//! | after a crash of the process | as it was put | everything that was stored |
//! | after an event that loses the caches | as it was put | everything that was persisted, and perhaps more |
//!
//! A region is written back by its user, by the command `cachemaint guard`, and by [`Store::seal`].
//!
//! A region is *dirty* from the commit before it is handed out until the same [`Store`] is sealed: its words can be
//! from different moments. To keep a blob that belongs to a region, such as a virtual machine's registers with its
//! memory, stop all users of the region, put the blob, commit, drop each [`Region`] and seal. The two belong together
//! if the region is not dirty and the blob was put later:
//!
//! ```
//! # use cachemaint_store::Info;
//! fn belong_together(ram: &Info, registers: &Info) -> bool {
//!     !ram.is_dirty && registers.commit > ram.commit
//! }
//! ```
//!
//! A device that has the physical addresses of a region can store there, which is invisible to this crate: stop the
//! device before a region is deleted or a store is sealed. The crate `cachemaint-boots` tells whether a region is still
//! in its place.
//!
//! # Reboots
//! An opening for writing is a commit of its own, and takes no other commit back. It reads the log and begins a new one,
//! and reads no blob: each one is verified when it is loaded. Before a planned reboot, [`Store::seal`] makes everything as deeply durable as the
//! medium allows, and records that. If [`Opened::was_sealed`] is false after a reboot, the last process ended without a
//! seal, and the medium may have lost blobs that it did not promise to keep. To know all damage at once instead of blob
//! by blob, open with [`Options::verify`] or call [`Reader::verify`].
//!
//! The crate `cachemaint-boots` tells what the event was, and whether the medium promises to survive it.
//!
//! # Upgrade and rollback
//! This crate reads and writes only version 8 of the format, and nothing converts a store: load the blobs with a
//! program of the old version and put them into a new store. A program that may have to be rolled back to its
//! predecessor should read with a [`Reader`] until it is certain to stay. Only the caller compares the
//! [version](Attributes::version) of a blob, with the same [`Reader`] that loads the bytes.
//!
//! # Size
//! A value of at most 256 bytes is stored in the table. A larger blob takes whole [units](Options::unit), and keeps its old
//! space until the commit. The table can take 32 times its entries while it grows. A full store can grow with its file.
//!
//! ```
//! # #[cfg(feature = "dax")]
//! # mod example {
//! use cachemaint::dax;
//! use cachemaint_store::Store;
//!
//! /// The size of a file for `count` blobs of `len` bytes, with names of 8 bytes, where whole pages are persisted.
//! fn size(count: u64, len: u64) -> u64 {
//!     let is_small = len <= 256;
//!     let entry = 56 + 8 + if is_small { len.next_multiple_of(8) } else { 0 };
//!     let blob = if is_small { 0 } else { (len + 8 * len.div_ceil(65_536)).next_multiple_of(4096) };
//!     32_768 + (count + 1) * blob + 32 * count * entry // one more: a replaced blob is freed after the commit
//! }
//!
//! # fn fits(bytes: u64, count: u64, len: usize) -> Result<bool, Box<dyn std::error::Error>> {
//! #   let directory = tempfile::tempdir()?;
//! #     let file = dax::Options::new().allow_page_granularity().create_new(directory.path().join("state"), bytes)?;
//! #     let (mut store, _) = Store::create_new(file)?;
//! #     for hundred in 0..count / 100 {
//! #         let mut transaction = store.begin()?;
//! #         for number in 100 * hundred..100 * (hundred + 1) {
//! #             if transaction.put(format!("{number:08}").as_str(), &vec![7; len]).is_err() {
//! #                 return Ok(false); // `Full`
//! #             }
//! #         }
//! #         if transaction.commit().is_err() {
//! #             return Ok(false);
//! #         }
//! #     }
//! #     Ok(true)
//! # }
//! # pub
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     assert!(!fits(4 << 20, 1000, 330)?);
//!     assert!(fits(size(1000, 330), 1000, 330)?); // 6.2 MB
//!     assert!(fits(size(1000, 200), 1000, 200)?);
//!     Ok(())
//! }
//! # }
//! # #[cfg(feature = "dax")]
//! # fn main() { example::main().unwrap() }
//! # #[cfg(not(feature = "dax"))]
//! # fn main() {}
//! ```
//!
//! # The format
//! [FORMAT.md](https://docs.rs/crate/cachemaint-store/latest/source/FORMAT.md) specifies version 8
//! byte by byte.
//!
//! # Limits
//! - A blob or a region needs contiguous free space. The blob that it replaces is freed only after the commit, so both
//!   need space at the same time. A growing log needs four pieces in addition to the old ones.
//! - Damage to both mirrors of the last record, such as the loss of one sector of each, looks like an interrupted commit:
//!   the store is as before it, and a region that the commit handed out is not marked dirty. Blobs that the commit had
//!   replaced or deleted are still there, unless a later transaction, finished or not, took their space; in that case
//!   they are damaged.
//! - Locks are the evidence that there is one writer. Without a working lock, see to one writer yourself: a second one can
//!   overwrite what the first acknowledged, and need not be told. What the writer that opened last committed, and nobody
//!   overwrote, stays readable. The other one can lose what it acknowledges since, and its puts can damage blobs of the
//!   newer writer. It looks for a newer one when it compacts or grows the log, grows the store, hands out a region, seals,
//!   or closes, and then fails with [`FormatError::AnotherWriter`]. Two mounts may share no pages: a passthrough file
//!   system and the directory under it, or the disk of a virtual machine that the host opens too.
//! - If the file is removed or replaced while it is open, commits still succeed, and go into the removed file.
//! - A memory page of 16 or 64 KiB, as on some arm64 and POWER machines, can hold both mirrors of a small log.
//! - A tag detects accidents, not attacks: one in 2^64 damaged 64 KiB chunks passes as intact.
//! - The format may change before the first release.
//! - A writer keeps the table in memory, and so does a reader. Without `std`, an attacker who chooses the names can
//!   make its work grow with the square of their number.
//! - On a mapped file, an opening for writing and a verification read by system calls and survive bad blocks. A
//!   verification names the blobs there, which can be replaced, renamed and deleted. Loading one fails the medium, and so does anything that is written to a bad block:
//!   in free space, in the unused part of the log, and line by line in a seal. To keep a bad block out of free space,
//!   rename its blob instead of deleting it, until the block is replaced (`ndctl clear-errors`).
//! - If all four roots are damaged, or both of the newest generation, the store is lost.

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

// Each group uses only itself and those above it.

// Names, entries and errors.
mod attributes;
mod chunks;
mod error;
mod format;
mod info;
mod name;

// The table of names, and its log.
mod log;
mod space;
mod table;

// Reading.
mod blob;
mod reader;
mod verify;

// Writing.
mod append;
mod backup;
mod blob_writer;
mod creation;
mod store;
mod transaction;

// Memory that is used in place, and opening.
#[cfg(all(
    feature = "dax",
    any(target_os = "linux", target_os = "macos", windows),
    not(cachemaint_loom)
))]
mod growth;
mod opening;
mod regions;

pub use blob::Blob;
pub use cachemaint_format::error::FormatError;
pub use cachemaint_format::identity::Identity;
pub use error::{Damage, Error, ErrorKind, Part};
pub use info::Capacity;
pub use info::{Content, Info};
pub use name::Name;
pub use reader::Reader;
pub use verify::Verification;
pub use {
    attributes::Attributes, backup::Copied, backup::CopyError, blob_writer::BlobWriter,
    opening::Opened, opening::Options, regions::Region, store::Store, transaction::Transaction,
};
