//! Files on DAX: mapped, with what their medium guarantees, persisted at its granularity.
//!
//! On a DAX file system over persistent memory a mapped store reaches the medium without the page
//! cache, and under Linux writing cache lines back makes it persistent (`MAP_SYNC`). Everywhere else
//! the operating system must be asked, page by page (`msync`, or the system's calls for it). A
//! [`DaxFile`] finds out which it is, says why ([`Guarantee`]), and never pretends: a file that cannot
//! be persisted by cache lines is refused unless [`Options::allow_page_granularity`] was called.
//!
//! ```
//! use cachemaint::dax::Options;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("records");
//! let file = Options::new().allow_page_granularity().open_or_create(&path, 1 << 20)?;
//! println!("{}: {}", file.granularity(), file.guarantee().reason);
//!
//! file.write(64, b"eight by eight");
//! file.persist(64..78)?; // durable at return, as far as the guarantee goes
//! # Ok(())
//! # }
//! ```
//!
//! # What it takes care of
//! - [`open`](Options::open) takes what is there, [`create_new`](Options::create_new) refuses it, and
//!   [`open_or_create`](Options::open_or_create) does either, whatever crash came before.
//! - New files have mode 0600, less what the umask takes, and are filled with zeros that are on the medium. Then
//!   they get their name, durably. Nothing is replaced, and a symbolic link as the last component is not followed.
//! - Files that exist are synced with their names when they are opened: a program that was killed can have left bytes,
//!   blocks or a name that are not durable.
//! - A file is locked (`flock`, exclusive unless [`Options::lock`] says otherwise) while it is open: one process writes it.
//! - A file that is open already, a memfd or a descriptor from another process, is mapped by
//!   [`open_file`](Options::open_file) and [`view_file`](Options::view_file).
//! - Memory that the program has mapped itself, as a guest's RAM, is made persistent by a `Persister`, on Linux.
//! - A file that this user may only read, or that another process writes, is [viewed](Options::view):
//!   nothing can be stored through a [`DaxView`], and what others store can be persisted through it.
//! - A file [grows](DaxFile::grow) and [shrinks](DaxFile::shrink) while it is mapped, and a failure leaves
//!   it as it was. After a crash each byte of it is written, whatever length it has.
//! - A file with shared extents, holes or unwritten extents is not mapped by cache lines, since a store to one needs the
//!   file system. It is looked at when it is opened and when it grows. Copy a file without sharing
//!   (`cp --sparse=never --reflink=never`), and while no program has it open.
//!
//! # Device DAX
//! Under Linux [`Options::open`] takes a device of device DAX (`/dev/dax0.0`) as well: memory without a
//! file system, whose size and alignment are its attributes.
//!
//! - Offset and length must be multiples of the device's [alignment](Guarantee::alignment), mostly 2 MiB.
//! - There is no page granularity, whatever the options allow: a device has no `msync`. A device that cannot be
//!   persisted by lines is refused. That is the case on a CPU that does not reach the medium's
//!   [point](crate::survival::Backing::point), and on memory that a host must be asked to keep (virtio-pmem).
//! - It can be ordinary RAM: CXL memory in mode `ram`, RAM that firmware set apart. Its
//!   [domain](crate::survival::Domain) is [`None`](crate::survival::Domain::None) then.
//! - The lock is taken on the device's node, not on its memory. It does not exclude another node of the same number,
//!   programs that map it without a lock, and `daxctl` or `ndctl`, which take the device away under its mappings (SIGBUS).
//!
//! # Limits
//! - A file that shrinks while it is mapped, a page with a media error, and a store to a hole for which there is no space
//!   raise SIGBUS (on Windows an in-page error) at the next access, which ends the process. On Linux there are ways round
//!   it, below. A store behind the new end in the page that has it raises no signal and is lost. By pages a write-back
//!   notices a file that is still shorter than its mapping, and not one that was cut and made as long again before.
//! - The bytes that a failed write-back has lost are not known, and a second one that succeeds does not bring them
//!   back. So the first [failure](DaxView#failures) is returned until the file is opened anew.
//! - A forked child does not use the file: on Linux it does not inherit the mapping, and opens the file itself. An access
//!   ends it, or meets whatever it has mapped there since.
//! - Private mappings (`MAP_PRIVATE`) are not offered: stores to one reach no file.
//! - On overlayfs a mapping of a lower layer's file never shows what is stored later. So a [view](Options::view) opens the file
//!   for writing first, which copies it up, and is refused without that right. On a mount for reading only it is left where
//!   it is: stores that come through another mount are not seen.
//! - What is stored to a file of NFS, SMB, 9p, virtiofs, Ceph or FUSE other than through this mount, as by another machine,
//!   may be seen late or never, by a view too.
//! - A file on famfs is refused: its memory is shared by hosts, and no call writes a line of it back. That is for
//!   [`coherence`](crate::coherence).
//! - The persistence domain is the claim of firmware ([`Domain`](crate::survival::Domain)), which cannot be verified.
//! - A drive that does not promise whole sectors can lose any sector of a page that it was writing at a power loss, with
//!   bytes that were persisted before. [`Guarantee`] does not know that.
//! - Where a file system of Linux has no unnamed files (`O_TMPFILE`), or `linkat` is refused, a crash in a creation can leave
//!   a file `.cachemaint-PROCESS-NUMBER` in the directory, which can be removed. Without hard links and `RENAME_NOREPLACE`
//!   it can leave an empty file of the name, too.
//! - Where the file system does not sync directories, or this user may not read the directory, the name of a file is as durable
//!   as the file system makes it by itself.
//! - A call that the kernel does not have, or that a filter refuses (seccomp), has a fallback or is an error that names it.
//!
//! # Media errors and files that shrink, on Linux
//! | to | by | what it costs |
//! |---|---|---|
//! | know of bad blocks before they are met | `DaxView::bad_blocks` | some files of `/sys`, and a FIEMAP that syncs the file |
//! | read what may be bad | `PreadFile` | a system call for each read |
//! | fail the file, and not the process | `FaultHandler` | a handler of SIGBUS for the whole process |
//!
//! `ndctl clear-errors` has the device replace bad blocks.
//!
//! # Kernels
//! Linux 5.10 is the oldest kernel on which files, journals, stores and recordings are tested, by lines and by pages. Older
//! ones are not run. Lines need `MAP_SYNC`, of Linux 4.15, and errors name a kernel that lacks it. Newer calls are used where
//! they exist: [`Options::populate`] needs Linux 5.14.
//!
//! # Pages of the page cache, on Linux
//! A write-back of 64 bytes writes a block or two in a file that this crate made or grew, also where the page cache of ext4
//! (from Linux 6.16) and xfs holds folios of up to 2 MiB, of which a store dirties each as a whole. There the pages of a
//! mapping come with the first access, one by one, and [reads](DaxView::read) in order ask for what is ahead. Large folios that
//! other programs have made, by a copy or by reading the file, stay until the cache drops them. Until then each write-back
//! writes a whole one: [`Options::shed_cached_pages`] drops them when the file is opened. A `Persister` leaves the pages of the
//! program's mapping as they are. btrfs writes its metadata with each sync.
//!
//! # Other systems than Linux
//! The same types, and the granularity is always a page: the pages go to the file (`msync`, `FlushViewOfFile`), and the file
//! to its medium (`F_FULLFSYNC` on macOS, `FlushFileBuffers` on Windows). Nothing is known of the device below, so what
//! these systems document is a condition: persisted bytes survive if the file system honours that
//! ([`Backing::FileSystem`](crate::survival::Backing::FileSystem)).
//!
//! - A new file has its name before it is filled. A crash in a creation leaves a part of the file at the path: remove it, and
//!   create it again.
//! - A [view](Options::view) persists nothing. A mapping cannot be [populated](Options::populate).
//! - On Windows a new file has the access rights that its directory hands down, the lock (`LockFileEx`) is mandatory, no call
//!   makes a name durable, and a mapped file cannot be made shorter.
//! - On macOS a forked child inherits the mapping, and the lock does not exclude it.
//! - All of this has been compiled for these systems and not run there.

mod batch;
mod bounds;
mod dax_file;
mod error;
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "handles a signal, and maps zeros over mappings")]
mod faults;
mod guarantee;
mod latch;
#[expect(unsafe_code, reason = "accesses mapped bytes by address")]
mod mapping;
mod open_file;
mod opening;
mod options;
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "persists addresses of mappings that the caller has made")]
mod persister;
mod placement;
#[cfg(target_os = "linux")]
mod pread;
mod read_order;
mod rounds;
mod system;
mod view;

pub use batch::Batch;
pub use dax_file::DaxFile;
pub use error::{Error, ErrorKind};
#[cfg(target_os = "linux")]
pub use faults::FaultHandler;
pub use guarantee::Guarantee;
pub use open_file::Lock;
pub use options::{Options, probe};
#[cfg(target_os = "linux")]
pub use persister::Persister;
pub use placement::{Extent, Placement};
#[cfg(target_os = "linux")]
pub use pread::PreadFile;
#[cfg(target_os = "linux")]
pub use system::BadBlocks;
pub use view::DaxView;

use crate::cache::Cache;

/// The method to make a range persistent.
#[derive(Clone, Copy, Debug)]
enum Writeback {
    /// The caches are in the persistence domain: the fence is all.
    Fence(Cache),
    /// Line by line, then the fence.
    Lines(Cache),
    /// By the operating system, in whole pages.
    Pages,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_send_sync<T: Send + Sync>() {}

    #[test]
    fn threads_can_share_all_types_but_a_batch() {
        is_send_sync::<(DaxFile, DaxView, Options, Error, ErrorKind, Guarantee, Lock)>();
        is_send_sync::<(Placement, Extent)>();
        #[cfg(target_os = "linux")]
        is_send_sync::<(BadBlocks, FaultHandler, Persister, PreadFile)>();
    }

    #[test]
    fn each_error_of_this_module_can_be_boxed() {
        use crate::survival::{Statement, Survival};
        use crate::system::tree::Unknown;

        fn is_error<E: core::error::Error + Send + Sync + 'static>() {}
        is_error::<Error>();
        is_error::<Unknown>();
        is_error::<Statement<Survival>>();
    }
}
