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
//! - New files are created with mode 0600, less what the umask takes, and filled with zeros that are on the medium. Then
//!   they get their name, durably: a crash leaves no file of the name, or a whole one ([`Options::create_new`] has the
//!   details). Nothing is replaced, and a symbolic link as the last component is not followed.
//! - Files that exist are [synced with their names](Options::open) when they are opened: a program that was killed can
//!   have left bytes, blocks or a name that are not durable.
//! - A file is locked (`flock`, exclusive unless [`Options::lock`] says otherwise) while it is open: one
//!   process writes it. Dropping the [`DaxFile`] releases the lock, even if a forked child or a duplicated
//!   descriptor has the file open. When the process ends without dropping it, the system releases the [lock](Lock)
//!   with the last descriptor, which a forked child can have.
//! - On Linux a forked child does not inherit the mapping: it must not use the value, and opens the file itself. Dropping
//!   its copy leaves the lock to the parent.
//! - A file that is open already, a memfd or a descriptor from another process, is mapped by
//!   [`open_file`](Options::open_file) and [`view_file`](Options::view_file).
//! - Memory that the program has mapped itself, as a guest's RAM, is made persistent by a `Persister`, on Linux.
//! - A file that this user may only read, or that another process writes, is [viewed](Options::view):
//!   nothing can be stored through a [`DaxView`], and what others store can be persisted through it.
//! - A file [grows](DaxFile::grow) and [shrinks](DaxFile::shrink) while it is mapped, and a failure leaves
//!   it as it was. After a crash the file has the old length or the new one, and the next [opening](Options::open)
//!   under the exclusive lock finishes what is missing.
//! - A file with shared extents, or with holes or unwritten extents before its last data, is not mapped by cache lines.
//!   It is looked at when it is opened and when it grows. A copy that shares its extents (`cp` on xfs) takes the promise of
//!   a mapping away. A store then moves its block, and not every such move is durable before the store (Linux
//!   `fs/dax.c`, `dax_fault_is_synchronous`; `fs/xfs/xfs_reflink.c`). So copy a file that no program has open, copy
//!   without sharing (`cp --reflink=never`), or make the file system with `-m reflink=0`.
//!
//! # Device DAX
//! Under Linux [`Options::open`] takes a device of device DAX (`/dev/dax0.0`) as well: memory without a
//! file system, whose size and alignment are its attributes. [`Options::create_new`] does not, since it is
//! there already; so what is in it is what was in it before.
//!
//! - Offset and length must be multiples of the device's [alignment](Guarantee::alignment), mostly
//!   2 MiB; another length is refused ([`InvalidInput::MisalignedLength`]), where the kernel would refuse the
//!   mapping or raise SIGBUS at an access.
//! - There is no page granularity, whatever the options allow: a device has no `msync`. A device that cannot be
//!   persisted by lines is refused ([`ErrorKind::NotPersistable`]). That is the case on a CPU that does not reach the
//!   medium's [point](crate::survival::Backing::point), and on memory that a host must be asked to keep (virtio-pmem), though the kernel grants
//!   `MAP_SYNC` on it.
//! - It can be ordinary RAM: CXL memory in mode `ram`, RAM that firmware set apart. Its
//!   [domain](crate::survival::Domain) is [`None`](crate::survival::Domain::None) then. The kernel after a kexec or a
//!   reboot can take it for system RAM (the driver `kmem`), which overwrites it.
//! - The lock is taken on the device's node, not on its memory: it excludes programs that open the same node and ask
//!   for the lock. It does not exclude another node of the same number (in a container, for example), programs that map
//!   it without a lock, and `daxctl` or `ndctl`, which take the device away under its mappings (SIGBUS).
//! - There are no holes to look for, and no reads by calls.
//!
//! # What it cannot take care of
//! - A file that shrinks while it is mapped, and a page with a media error, raise SIGBUS (on Windows an
//!   in-page error) at the next access, which ends the process. So does a store to a hole, where page
//!   granularity allows holes, if the file system is full. On Linux there are ways round it, below. A store behind the new
//!   end in the page that has it raises no signal and is lost. By pages a write-back notices that the file was cut.
//! - The bytes that a failed write-back has lost are not known, and a second one that succeeds does not bring them
//!   back. So the first [failure](DaxView#failures) is returned until the file is opened anew.
//! - Private mappings (`MAP_PRIVATE`) are not offered. Stores to one go to a copy in ordinary memory and reach no file,
//!   whatever is written back, so nothing can be promised about their persistence. If the stores shall not reach the
//!   file, read it into memory.
//! - The persistence domain is the claim of firmware ([`Domain`](crate::survival::Domain)), which cannot be verified.
//! - A drive that does not promise whole sectors can lose any sector of a page that it was writing at a power loss, with
//!   bytes that were persisted before. [`Guarantee`] does not know that.
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
//! # Pages of the page cache, on Linux
//! A write-back of few bytes writes few blocks: pages are kept small under a mapping for writing, where the page cache of
//! ext4 and xfs would have folios of up to 2 MiB. So the file's pages are read one by one, but for the first 64 MiB, which are
//! read ahead. After another program has read the file in order, the first write-back in each 2 MiB can write a whole folio,
//! and each one while that program has mapped it.
//!
//! # Other systems than Linux
//! The same types, and the granularity is always a page: without
//! [`Options::allow_page_granularity`] every file is refused, with the system and its calls named. A
//! write-back is two steps, the pages to the file and the file to its medium, and a failure of either is
//! an error:
//!
//! | system | the pages by | then the file by |
//! |---|---|---|
//! | Windows | `FlushViewOfFile` | `FlushFileBuffers` |
//! | macOS and its like | `msync` | `fcntl(F_FULLFSYNC)`, which reaches the drive's medium; `fsync` does not |
//! | NetBSD | `msync` | `fsync_range(FDISKSYNC)`, which flushes the drive's cache; `fsync` and `fdatasync` do not |
//! | FreeBSD, OpenBSD | `msync` | `fdatasync`; neither system documents that it flushes the drive's cache |
//!
//! The second step works on the whole file, whatever the range, so few large ranges cost less than many
//! small ones. Nothing is known of the device below: [`Guarantee::backing`] is
//! [`Unknown`](crate::survival::Backing::Unknown), and nothing is promised beyond the end of the process.
//!
//! - On macOS and the BSDs a forked child inherits the mapping and could write. The lock does not exclude it.
//! - On macOS a volume that does not know `F_FULLFSYNC`, as some network volumes, makes that an error: nothing weaker
//!   is taken for it.
//! - On FreeBSD and OpenBSD bytes, lengths and names may still be in the drive's cache when a call has made them persistent.
//!   On NetBSD that holds after the opening of a view, as only a writer may flush that cache.
//! - On Windows a new file has the access rights that its directory hands down. The lock (`LockFileEx`) is mandatory:
//!   reads and writes of an open file by other means fail. The lock may outlast a killed process for a moment. An open
//!   file can be neither renamed nor removed. No call is documented that makes a *name* durable, so the name of a new
//!   file is as durable as the file system makes it by itself.
//! - All of this has been compiled for these systems and not run there. Except for the file operations of Windows, the
//!   code runs in the tests on Linux.

mod batch;
mod caching;
mod dax_file;
mod descriptor;
mod error;
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "handles a signal, and maps zeros over mappings")]
mod faults;
mod file;
mod guarantee;
mod invalid_input;
mod latch;
mod lock;
#[expect(unsafe_code, reason = "accesses mapped bytes by address")]
mod mapping;
mod media;
mod not_supported;
mod options;
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "persists addresses of mappings that the caller has made")]
mod persister;
mod placement;
#[cfg(target_os = "linux")]
mod pread;
mod resize;
mod rounds;
mod system;
mod view;

pub use crate::system::memory_type::{Caching, MemoryType};
pub use batch::Batch;
pub use dax_file::DaxFile;
pub use error::{Error, ErrorKind};
#[cfg(target_os = "linux")]
pub use faults::FaultHandler;
pub use guarantee::Guarantee;
pub use invalid_input::InvalidInput;
pub use lock::Lock;
#[cfg(target_os = "linux")]
pub use media::BadBlocks;
pub use not_supported::NotSupported;
pub use options::{Options, probe, probe_file};
#[cfg(target_os = "linux")]
pub use persister::Persister;
pub use placement::{Extent, Placement};
#[cfg(target_os = "linux")]
pub use pread::PreadFile;
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
        is_send_sync::<(Placement, Extent, InvalidInput, NotSupported)>();
        is_send_sync::<(Caching, MemoryType)>();
        #[cfg(target_os = "linux")]
        is_send_sync::<(BadBlocks, FaultHandler, Persister, PreadFile)>();
    }
}
