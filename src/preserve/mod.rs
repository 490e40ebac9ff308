//! Named blobs and regions that outlive processes, kernels, reboots and, where the medium does, the loss of power.
//!
//! A [`Store`] can be in any [`Medium`](crate::medium::Medium): a DAX file, memory that a kernel preserves, the
//! simulator. A program puts state there that it cannot build anew quickly, such as the state of a virtual machine or
//! the cache of a database, before it ends or the machine is rebooted. Afterwards it loads that state again. A
//! [`Transaction`] replaces and deletes any number of blobs at once: a crash at any moment leaves all of its changes or
//! none.
//!
//! ```
//! # #[cfg(all(feature = "dax", feature = "preserve"))]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use cachemaint::dax;
//! use cachemaint::preserve::{Attributes, Store};
//!
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("state");
//! let file = dax::Options::new().allow_page_granularity().create_new(&path, 1 << 20)?;
//! let mut store = Store::create_new(file)?;
//! let mut transaction = store.begin()?;
//! transaction.put(Attributes::new("cpu").version(2), b"registers")?;
//! transaction.put("ram", &[7; 100_000])?;
//! transaction.commit()?;
//! drop(store); // or a crash, a kexec, a reboot
//!
//! let file = dax::Options::new().allow_page_granularity().open(&path)?;
//! let (store, opened) = Store::open(file)?;
//! println!("{}", opened.verdict.origin); // same process
//! assert_eq!(store.reader().load("cpu")?, b"registers");
//! # Ok(())
//! # }
//! # #[cfg(not(all(feature = "dax", feature = "preserve")))]
//! # fn main() {}
//! ```
//!
//! [`Store::open`] opens an existing store, [`Store::create_new`] creates one and refuses an existing one, and
//! [`Store::open_or_create`] does either, after any crash. [`Options`] has more settings for each of them. If one of
//! them fails, its error returns the medium.
//!
//! # How it works
//! Bytes of the last commit are never overwritten. The table of all names is a tree of pages. Blobs are written to free
//! space when they are put. A commit writes new pages for those in which names have changed, and for those above them
//! up to the root, beside the old ones. Then it fences, replaces the older of two headers, and fences again. A header
//! is a line of 64 bytes, which is verified by a tag and refers to the root. So a crash leaves the new header, or the
//! one of the commit before, whose pages and blobs are all still there. The free space is computed from the table when
//! a store is opened, so that space that was written and never committed is free again.
//!
//! The cost of a commit depends on the names that it changes. In a store of 100,000 blobs it writes and reads at most
//! twice as many bytes as in one of 100, even if the free space is fragmented. Opening a store takes time in proportion
//! to its table.
//!
//! The header and each page are stored twice, in different blocks of 4096 bytes ([exceptions](#limits)). So damage in
//! one such block loses at most the blobs that it hits. A blob is verified when it is read, by a tag
//! for each 64 KiB, and damage is reported with its place. Bytes that the medium cannot read are damaged, too. If both
//! copies of a page are damaged, the blobs that it named are lost, and all others can still be read. Such a store cannot
//! be opened for writing, since the places of the lost blobs are unknown.
//!
//! A tag is a 64-bit hash whose seed is a key. The key binds the tag to the store, to the commit, and to the place. So
//! bytes and tags that an earlier blob has left in the same place are not taken for those of another one.
//!
//! # Readers
//! One process writes, and any number of processes read meanwhile with a [`Reader`]. Readers verify bytes after copying
//! them, so they do not need a lock. A backup is a [`Snapshot`], copied blob by blob into a new store: a copy of the file
//! in use has bytes of different commits. What must be read in place is a [region](#regions). While a commit is under way,
//! a reader in another process may see it before it is durable.
//!
//! With the feature `preserve-read` alone, stores can be read without an allocator and without an operating system,
//! from [`Bytes`](crate::medium::Bytes) or any [`Readable`](crate::medium::Readable): [`Snapshot::of`]. The deepest call,
//! [`Reader::blob`], then takes up to 6 KiB of stack in `Bytes`. That is the sum of the frames on its deepest path
//! (`x86_64-unknown-none`, release, rustc 1.95). Without optimisation, and elsewhere, it was not measured.
//!
//! # Regions
//! A blob is copied in and out, and verified. For state that must not be copied, such as the memory of a virtual machine,
//! a store has *regions*. [`Transaction::create_region`] takes space for one, of zeros. [`Store::region`] returns it as a
//! [`Region`], a medium of its own that is used in place: for loads and stores, for a journal, or on a DAX file through a
//! pointer. A region has a name and metadata, is deleted and renamed as a blob, and never moves.
//!
//! | | blob | region |
//! |---|---|---|
//! | changes | as a whole, by a commit | at any time, in place |
//! | copied | in and out | never |
//! | verified | when it is read | never: use a blob or a structure of your own for bytes that must be |
//! | after a seal | as it was put | as it was at the seal |
//! | after a crash of the process | as it was put | everything that was stored |
//! | after an event that loses the caches | as it was put | everything that was persisted, and perhaps more |
//!
//! The bytes that survive are those that were written back:
//! 1. by the region's user, with the methods of [`Region`];
//! 2. by the command `cachemaint guard`;
//! 3. by [`Store::seal`], which is refused as long as a [`Region`] exists.
//!
//! A region is *dirty* from the commit before it is handed out to the seal of the same [`Store`]. Words of a dirty region
//! can be of different moments. Nothing else changes that: not the commits of blobs, and not a seal by another process
//! after a crash. To keep a blob that belongs to a region, such as the registers of a machine beside its memory, stop all
//! users of the region, put the blob, commit, drop each [`Region`] and seal. Both belong together if the region is not
//! dirty and the blob was put later:
//!
//! ```
//! # #[cfg(feature = "preserve")] {
//! # use cachemaint::preserve::Info;
//! fn belong_together(ram: &Info, registers: &Info) -> bool {
//!     !ram.is_dirty && registers.generation > ram.generation
//! }
//! # }
//! ```
//!
//! [`Region::info`] is the entry as it was before the region was handed out.
//!
//! A program that hands physical addresses to a device or an IOMMU gets them from [`Region::placement`], and opens the
//! store with [`Options::require_in_place`] afterwards. A device that stores into a region meanwhile is not seen here: end
//! it before a region is deleted or a store is sealed.
//!
//! # Reboots
//! Each commit records its circumstances, a [`Stamp`]: boot, kernel, process, and the backing of the medium. When a
//! store is opened, the last stamp is compared with the present circumstances. A [`Verdict`] states the event in
//! between, its evidence, and if the medium had promised to survive it. If blobs may have been lost, because the boot
//! is another and the store was not sealed, everything is verified. Later openings verify everything again, in any boot,
//! until all blobs are found whole. Before a planned reboot [`Store::seal`] makes everything durable as deep as the
//! medium allows, and records that. The last 32 boots are the store's [history](Snapshot::history).
//!
//! An opening for writing is a commit, too. So the verdict of a later opening in the same boot is the same boot, though
//! a region can have been used before the reboot: [`Region::since_use`] returns the event since then.
//!
//! # Upgrade and rollback
//! This crate reads and writes version 3 of the format alone, and nothing converts a store. To change the version, load
//! the blobs by a program of the old one, and put them into a new store.
//!
//! | a program opens a store | result |
//! |---|---|
//! | of another version, older or newer | [`ErrorKind::Version`]; nothing is written |
//! | of its version, that a newer program has opened for writing or committed to | it reads the last commit, which is that opening or that commit |
//! | with a kind of content in its table that it does not know, from a newer program | the entry is reported as damaged ([`Part::Entry`]). A list ends there, names behind it on its page are not found, and the store cannot be opened for writing |
//!
//! An opening for writing is a commit. So a program that may have to give way to its predecessor reads by a [`Reader`]
//! until it is certain to stay. Then the predecessor finds its own last commit, and the [`Verdict`] about it.
//!
//! The format is not promised to stay: it has changed twice before the first release. A later release can change it
//! again, with another number.
//!
//! The version of a blob is the caller's, and this crate does not compare it. A program reads it from the same commit as
//! the bytes:
//!
//! ```
//! # #[cfg(all(feature = "preserve", feature = "std"))] {
//! # use cachemaint::{medium::Memory, preserve::{Error, Reader}};
//! # use core::convert::Infallible;
//! fn load(reader: &Reader<Memory<'_>>) -> Result<Option<Vec<u8>>, Error<Infallible>> {
//!     let blob = reader.blob("cpu")?;
//!     if blob.info().version != 2 {
//!         return Ok(None); // another layout, of another program
//!     }
//!     let mut bytes = vec![0; blob.info().len as usize];
//!     blob.read_at(0, &mut bytes)?; // an error if later commits have replaced its bytes
//!     Ok(Some(bytes))
//! }
//! # }
//! ```
//!
//! # The format, version 3
//! All numbers are little-endian. The headers are at offsets 0 and 4096, their copies at 8192 and 12288; the one of
//! generation *g* is at 4096 (*g* modulo 2). Of all whole headers the one of the highest generation is current, even if
//! its copy is damaged. Magic, version and tag of a header stay where they are in each later version, and a whole header
//! of a later version is newer than all of this one.
//!
//! All tags are XXH3 of 64 bits ([specification](https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md)).
//! `XXH3(s, b)` is the hash of the bytes `b` with the seed `s`. If `b` is a list of words, their bytes are
//! little-endian.
//!
//! | header, offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | magic: `cmpresrv` |
//! | 8 | 4 | version: 3 |
//! | 12 | 4 | bytes of the root, 176 to 32944, a multiple of 8 |
//! | 16 | 8 | tag: `XXH3(XXH3(0, bytes 0 to 15), bytes 24 to 63)` |
//! | 24 | 8 | generation, from 1 on, below 2^63 |
//! | 32 | 8 | bytes of the store, a multiple of the unit |
//! | 40 | 8 | offset of the root |
//! | 48 | 8 | offset of its copy |
//! | 56 | 4 | bytes of a unit, a power of two from 64 to 2^30; and 1 more if the store is sealed |
//! | 60 | 4 | the first 4 bytes of the root |
//!
//! Two histories are at offsets 16384 and 20992, each with room for 32 boots. Pages and blobs follow, from the first
//! multiple of the unit at or after 25600 on. Each begins at a multiple of the unit.
//!
//! | root, offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | tag: `XXH3(k, bytes 8 to the end)`; *k* is `XXH3(0, generation of the header, 0)` |
//! | 8 | 16 | identity, random |
//! | 24 | 8 | number of the history: an even one is the first that holds, an odd one the second |
//! | 32 | 8 | its tag: `XXH3(k, its bytes)`; *k* is `XXH3(i, its number, 0)`, and *i* is `XXH3(0, identity)` |
//! | 40 | 2 | its bytes |
//! | 42 | 2 | levels of pages below the root, 0 to 15 |
//! | 44 | 4 | number of entries in all |
//! | 48 | 128 | stamp of the commit |
//! | 176 | | entries, if there is no level below; else children |
//!
//! A page below the root has only children, or in the lowest level only entries: at least one, and at most 32768 bytes.
//! Both are sorted by the bytes of their names. All pages of the lowest level are equally far from the root.
//!
//! | child, offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | offset of the page |
//! | 8 | 8 | offset of its copy |
//! | 16 | 8 | its tag: `XXH3(k, its bytes)`; *k* is `XXH3(i, n, 1)`, *n* the number of levels below it, and *i* that of the history |
//! | 24 | 2 | its bytes, a multiple of 8 |
//! | 26 | 2 | bytes of the name: 0 for the first child of a page, 1 to 255 for others |
//! | 28 | | name, then zeros up to a multiple of 8 |
//!
//! The name of a child is not above any name below it, and above each name below the child before. It can be any bytes:
//! the shortest that fulfil this. A page does not contain its own tag: the page above does, and so on up to the header.
//! So a page of an interrupted commit is not valid, though it has the same place and generation.
//!
//! A writer splits a page with more than 4416 bytes of entries or 1024 bytes of children, each rounded up to units and
//! 32768 at most. If it makes a page with less than a third of that, or a shorter one beside such a page, it merges
//! the two where both fit in three quarters of it. The place of a page below the root has that many bytes, in units,
//! for any length of the page. The place of a root with children has 176 more, and that of a root with entries has as
//! many as the root. Between the copies of a page lie 4096 bytes, and at least the bytes of its place, if units are
//! smaller than 4096 bytes and the store has 65536 or more. A reader does not rely on any of this.
//!
//! | entry, offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | offset of the blob or region |
//! | 8 | 8 | its bytes |
//! | 16 | 8 | the caller's version |
//! | 24 | 8 | generation of the commit that put it there, not above that of the header |
//! | 32 | 8 | when, in seconds since 1970-01-01 UTC, or 0 |
//! | 40 | 8 | tag; for a region twice the generation of the commit that last handed it out or created it, and 1 more if it is dirty |
//! | 48 | 1 | bytes of the name, 1 to 255 |
//! | 49 | 1 | 0 for a blob, 1 for a region |
//! | 50 | 2 | bytes of the metadata, 4096 at most |
//! | 52 | | name, in UTF-8, then metadata, then zeros up to a multiple of 8 |
//!
//! A blob is in one piece. It consists of chunks of 65536 bytes, and a last one for the rest. Chunk *n*, from 0 on, has
//! the tag `XXH3(k, its bytes)`. There *k* is `XXH3(b, n, 0)`, *b* is `XXH3(i, generation of the entry, offset of the
//! blob)`, and *i* is that of the history. If there is one chunk, the entry has its tag. If there are more, the tags of
//! all follow the blob at the next multiple of 8, 8 bytes each. Then the entry has the tag of this list, with the key
//! of the chunk after the last. The tag of an empty blob is 0.
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
//! | boot in a history, offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | generation of its first commit |
//! | 8 | 4 | how often the store was opened in it |
//! | 12 | 1 | what had happened: 0 unknown, 1 same process, 2 same boot, 3 kexec, 4 warm reboot, 5 power loss, 6 reboot |
//! | 13 | 1 | 1 if the store had been sealed |
//! | 14 | 1 | 1 if blobs may be damaged, and no verification since has found all of them whole |
//! | 15 | 1 | zero |
//! | 16 | 128 | stamp of the last time it was opened in it |
//!
//! # Limits
//! - A blob or a region needs free space in one piece. The blob that it replaces is free after the commit, so both need
//!   space at the same time.
//! - Room for the pages of one deletion is always kept, so that each blob of a full store can be deleted. A store that
//!   was filled by a program without this reserve, or whose medium has become shorter, can lack it. It can be opened, but a
//!   deletion can be refused with [`ErrorKind::Full`]. Then the store must grow, or its blobs must be moved to a larger one.
//! - In a store of less than 64 KiB both copies of a page of the table can lie in one block of 4096 bytes. In a larger
//!   store they can if a program without this distance wrote them. So they can after an opening or a deletion, if the
//!   store is full and lacks other room. The next commit that changes the page moves them apart if there is room. Each
//!   opening changes the root. A put or a renaming that could not keep them apart is refused with
//!   [`ErrorKind::Full`], also in a store that has room for them side by side.
//! - A page of memory of 16 or 64 KiB, as on some machines with arm64 and POWER, can hold both copies.
//! - A tag detects accidents, not attacks: one in 2^64 damaged chunks of 64 KiB passes for whole.
//! - Stores of versions 1 and 2 are refused.
//! - There can be 2^32 - 1 blobs and regions. A writer keeps the table in memory.
//! - If all four headers or both copies of the root are damaged, no blob can be found any more. If both copies of the
//!   newest header are damaged, the commit before is taken for the last, as after a crash. If the medium cannot read both
//!   copies of a header, the store cannot be opened.

mod blob;
mod error;
#[cfg_attr(not(feature = "preserve"), expect(dead_code, reason = "a reader encodes nothing"))]
mod format;
mod headers;
mod info;
mod reader;
mod snapshot;
mod stamp;
#[cfg(all(feature = "preserve", feature = "std"))]
mod stream;
#[cfg(feature = "preserve")]
mod verify;
mod walk;
#[cfg(feature = "preserve")]
mod writing;

pub use crate::format::identity::Identity;
#[cfg(feature = "preserve")]
pub use crate::format::progress::Progress;
pub use blob::Blob;
pub use error::{Damage, Error, ErrorKind, Part};
pub use info::{Content, Info, Name};
pub use reader::Reader;
pub use snapshot::Snapshot;
pub use stamp::{Boot, Origin, Stamp};
#[cfg(feature = "preserve")]
pub use verify::Verification;
pub use walk::Entries;
#[cfg(feature = "preserve")]
pub use writing::{
    Attributes, BlobWriter, Capacity, Opened, Options, Region, Store, Transaction, Verdict, Verify,
};
