//! Mapped files on DAX and other file systems, with the guarantee and the granularity of their medium.
//!
//! On a DAX file system over persistent memory a mapped store reaches the medium without the page cache, and under
//! Linux writing cache lines back makes it persistent (`MAP_SYNC`). Everywhere else the operating system must write
//! whole pages back (`msync`, or the system's equivalent). A [`DaxFile`] determines which of the two applies and says
//! why ([`Guarantee`]). A file that cannot be persisted line by line is refused unless
//! [`Options::allow_page_granularity`] was called.
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
//! - [`open`](Options::open) takes an existing file, [`create_new`](Options::create_new) refuses it, and
//!   [`open_or_create`](Options::open_or_create) does either, whatever crash came before.
//! - New files have mode 0600, less the umask. They are filled with zeros on the medium before they durably get their
//!   name. Nothing is replaced, and a symbolic link as the last component is not followed.
//! - Existing files are synced together with their names when they are opened: a killed program can have left bytes,
//!   blocks or a name that are not durable.
//! - A file is locked (`flock`, exclusive unless [`Options::lock`] says otherwise) while it is open, so that one
//!   process writes it.
//! - A file that is open already, a memfd or a descriptor from another process, is mapped by
//!   [`open_file`](Options::open_file) and [`view_file`](Options::view_file).
//! - On Linux, a `Persister` makes memory persistent that the program has mapped itself, such as a guest's RAM.
//! - A file that this user may only read, or that another process writes, is [viewed](Options::view): a [`DaxView`]
//!   stores nothing, but can persist what others store.
//! - A file [grows](DaxFile::grow) and [shrinks](DaxFile::shrink) while it is mapped, and a failure leaves it as it
//!   was. After a crash its length is the old one, the new one or one between them, and every byte has been written.
//! - A file with shared extents, holes or unwritten extents is not persisted line by line. `MAP_SYNC` would make a store
//!   to one safe: the fault allocates a block and commits the file system's journal (Linux `fs/dax.c`,
//!   `dax_finish_sync_fault`). But each such store would wait for the file system, and end the process if there is no
//!   space. The extents are checked when the file is opened and when it grows. Copy a file without sharing
//!   (`cp --sparse=never --reflink=never`), and while no program has it open.
//!
//! # Device DAX
//! Under Linux [`Options::open`] also takes device DAX (`/dev/dax0.0`), which is memory without a file system. Its size
//! and alignment are the device's attributes.
//!
//! - Offset and length must be multiples of the device's [alignment](Guarantee::alignment), mostly 2 MiB.
//! - There is no page granularity, whatever the options allow, since a device has no `msync`. A device that cannot be
//!   persisted line by line is refused: on a CPU that does not reach the medium's
//!   [point](Guarantee::point), and on memory that a host must be asked to keep (virtio-pmem).
//! - The device can be ordinary RAM: CXL memory in mode `ram`, or RAM that firmware set apart. Its
//!   [domain](crate::medium::Domain) is then [`None`](crate::medium::Domain::None).
//! - The lock is taken on the device's node, not on its memory. It does not exclude another node with the same device
//!   number, programs that map the device without a lock, or `daxctl` and `ndctl`, which remove the device under its
//!   mappings (SIGBUS).
//!
//! # Limits
//! - A file that shrinks while it is mapped, a page with a media error, and a store to a hole for which there is no
//!   space raise SIGBUS (on Windows an in-page error) at the next access, which ends the process. On Linux there are
//!   [ways to avoid this](#media-errors-and-files-that-shrink-on-linux). A store behind the new end, in the same page,
//!   raises no signal and is lost. If pages are persisted, a write-back notices a file that is shorter than its
//!   mapping, but not one that was truncated and then extended to its former length.
//! - Nobody knows which bytes a failed write-back has lost, and a successful second one does not bring them back. The
//!   first [failure](DaxView#failures) is therefore returned until the file is reopened.
//! - A forked child cannot use the file: on Linux it does not inherit the mapping, and must open the file itself. An
//!   access ends the child, or meets whatever it has since mapped there.
//! - Private mappings (`MAP_PRIVATE`) are not offered: stores to one reach no file.
//! - On overlayfs a mapping of a lower layer's file never shows later stores. A [view](Options::view) therefore opens
//!   the file for writing first, which copies it up, and is refused without that right. On a read-only mount the file
//!   stays where it is, and stores through another mount are not seen.
//! - On NFS, SMB, 9p, virtiofs, Ceph or FUSE, stores that do not come through this mount, such as those of another
//!   machine, may be seen late or never, even by a view.
//! - A file on famfs is refused: hosts share its memory, and no system call writes a line of it back. Use
//!   [`coherence`](crate::coherence) there.
//! - The persistence domain is the claim of firmware ([`Domain`](crate::medium::Domain)), which cannot be verified.
//! - A drive that does not promise whole sectors can lose any sector of the page that it was writing when the power
//!   failed, including bytes that were persisted before. [`Guarantee`] does not know about that.
//! - If a Linux file system has no unnamed files (`O_TMPFILE`), or refuses `linkat`, a crash during a creation can
//!   leave a file `.cachemaint-PROCESS-NUMBER` in the directory, which can be removed. Without hard links and
//!   `RENAME_NOREPLACE` it can also leave an empty file with the final name.
//! - If the file system does not sync directories, or this user may not read the directory, a file's name is as durable
//!   as the file system makes it on its own.
//! - A system call that the kernel lacks, or that a filter refuses (seccomp), has a fallback or causes an error that
//!   names it.
//!
//! # Media errors and files that shrink, on Linux
//! | task | use | cost |
//! |---|---|---|
//! | find bad blocks before they are accessed | `bad_blocks` of `cachemaint-inspect` | some files of `/sys`, and a FIEMAP that syncs the file |
//! | read bytes that may be bad | `PreadFile` | a system call for each read |
//! | the same of an open file | [`Readable::pread`](crate::medium::Readable::pread) | the same |
//! | fail the file instead of the process | `FaultHandler` | a SIGBUS handler for the whole process |
//!
//! Journals, stores and recordings are opened for writing by `pread`: a bad block costs only what is in it. A store to a
//! bad block still raises SIGBUS, and so does the write-back of a line there. `ndctl clear-errors` makes the device
//! replace bad blocks; a drive replaces one when it is overwritten by `pwrite(2)`. Where the page cache has
//! [folios](#pages-of-the-page-cache-on-linux) of many pages, a bad block makes its whole folio inaccessible to the
//! mapping.
//!
//! # Kernels
//! Linux 5.10 is the oldest kernel on which files, journals, stores and recordings are tested, line by line and page by
//! page. Line granularity needs `MAP_SYNC` (Linux 4.15); on a kernel without it, the error says so. Newer calls are
//! used where they exist: [`Options::populate`] needs Linux 5.14.
//!
//! # Pages of the page cache, on Linux
//! A write-back of 64 bytes writes a block or two in a file that this crate made or grew. This holds even where the
//! page cache of ext4 (from Linux 6.16) and xfs has folios of up to 2 MiB, each of which a store dirties as a whole:
//! the pages of a mapping are faulted in one by one, and [reads](DaxView::read) in order ask for what is ahead. Large
//! folios that another program made, by copying or reading the file, stay until the cache drops them, and each
//! write-back writes a whole one. [`Options::drop_cached_pages`] drops them when the file is opened. A `Persister`
//! leaves the pages of the program's mapping as they are. btrfs writes its metadata with each sync.
//!
//! # Other systems than Linux
//! The types are the same, and the granularity is always a page. The system writes the pages to the file (`msync`,
//! `FlushViewOfFile`) and the file to its medium (`F_FULLFSYNC` on macOS, `FlushFileBuffers` on Windows). Nothing is
//! known about the device below, so the guarantee is a condition: persisted bytes survive if the file system honours
//! these calls.
//!
//! - A new file has its name before it is filled. A crash during a creation leaves an incomplete file at the path:
//!   remove it, and create it again.
//! - A [view](Options::view) persists nothing. A mapping cannot be [populated](Options::populate).
//! - On Windows a new file inherits the access rights of its directory, the lock (`LockFileEx`) is mandatory, no call
//!   makes a name durable, and a mapped file cannot be made shorter.
//! - On macOS a forked child inherits the mapping, and the lock does not exclude it.
//! - The code compiles for these systems, but was never run there.

mod bounds;
mod dax_file;
pub(crate) mod decide;
mod error;
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "handles a signal, and maps zeros over mappings")]
mod faults;
mod guarantee;
mod latch;
#[expect(unsafe_code, reason = "accesses mapped bytes by address")]
mod mapping;
#[cfg_attr(not(target_os = "linux"), path = "no_meaning.rs")]
mod meaning;
mod open_file;
mod opening;
pub(crate) mod options;
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "persists addresses of mappings that the caller has made")]
mod persister;
#[cfg(target_os = "linux")]
mod pread;
pub(crate) mod reach;
mod read_order;
mod rounds;
pub(crate) mod system;
mod view;

pub use dax_file::DaxFile;
pub use error::{Error, ErrorKind};
#[cfg(target_os = "linux")]
pub use faults::FaultHandler;
pub use guarantee::Guarantee;
pub use open_file::Lock;
pub use options::{Options, probe};
#[cfg(target_os = "linux")]
pub use persister::Persister;
#[cfg(target_os = "linux")]
pub use pread::PreadFile;
pub use view::DaxView;

use crate::cache::Cache;

/// The method to make a range persistent.
#[derive(Clone, Copy, Debug)]
enum Writeback {
    /// The caches are in the persistence domain: only the fence is needed.
    Fence(Cache),
    /// Line by line, then the fence.
    Lines(Cache),
    /// By the operating system, in whole pages.
    Pages,
    /// Not at all: the operating system is not known to write pages back for a view.
    Refused,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_send_sync<T: Send + Sync>() {}

    #[test]
    fn threads_can_share_all_types() {
        is_send_sync::<(DaxFile, DaxView, Options, Error, ErrorKind, Guarantee, Lock)>();
        #[cfg(target_os = "linux")]
        is_send_sync::<(FaultHandler, Persister, PreadFile)>();
    }

    #[test]
    fn its_error_can_be_boxed() {
        fn is_error<E: core::error::Error + Send + Sync + 'static>() {}
        is_error::<Error>();
    }
}
