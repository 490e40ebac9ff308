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
//! use cachemaint::medium::Medium;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("records");
//! let file = Options::new().allow_page_granularity().create(&path, 1 << 20)?;
//! println!("{}: {}", file.granularity(), file.guarantee().reason());
//!
//! file.write(64, b"eight by eight");
//! file.persist(64..78)?; // durable at return, as far as the guarantee goes
//! # Ok(())
//! # }
//! ```
//!
//! # What it takes care of
//! - New files are created with mode 0600 and filled with zeros that are on the medium. Then they get their name,
//!   durably: a crash leaves no file of the name, or a whole one ([`Options::create`] has the details). Nothing is
//!   replaced, and a symbolic link as the last component is not followed.
//! - A file is locked (`flock`, exclusive unless [`Options::lock`] says otherwise) while it is open: one
//!   process writes it. Dropping the [`DaxFile`] releases the lock, even if a forked child or a duplicated
//!   descriptor has the file open. When the process ends without dropping it, the system releases the
//!   [lock](Lock). On Linux a forked child does not inherit the mapping, so it cannot write.
//! - A file that this user may only read, or that another process writes, is [viewed](Options::view):
//!   nothing can be stored through a [`DaxView`], and what others store can be persisted through it.
//! - What programs have stored in files and never flush is written back by another process, on Linux: `Guard`.
//! - A file [grows](DaxFile::grow) and [shrinks](DaxFile::shrink) while it is mapped, and a failure leaves
//!   it as it was. After a crash the file has the old length or the new one, and the next [opening](Options::open)
//!   under the exclusive lock finishes what is missing.
//! - A file with shared extents, or with holes or unwritten extents before its last data, is not mapped by cache lines.
//! - Under Linux, on a machine whose [data cache aliases](crate::aliasing), or may, a file is mapped at an
//!   address that is congruent to its offset, so that it agrees with every other mapping that is. There
//!   `DaxFile::read_through_kernel` is refused.
//!
//! # Device DAX
//! Under Linux [`Options::open`] takes a device of device DAX (`/dev/dax0.0`) as well: memory without a
//! file system, whose size and alignment are its attributes. [`Options::create`] does not, since it is
//! there already; so what is in it is what was in it before.
//!
//! - Offset and length must be multiples of the device's [alignment](Guarantee::alignment), mostly
//!   2 MiB; another length is refused ([`DeviceFault::Length`]), where the kernel would refuse the
//!   mapping or raise SIGBUS at an access.
//! - There is no page granularity, whatever the options allow: a device has no `msync`. What cannot be
//!   persisted by lines there is refused ([`DeviceFault::NotPersistable`]): on a CPU that does not reach
//!   the point of persistence, and on memory that a host must be asked to keep (virtio-pmem), though the
//!   kernel grants `MAP_SYNC` on it.
//! - It can be ordinary RAM: CXL memory in mode `ram`, RAM that firmware set apart. Its
//!   [domain](crate::report::Domain) is [`None`](crate::report::Domain::None) then.
//! - The lock is one on the device's node, not on its memory: it excludes those who open the same node
//!   and ask for the lock. Another node of the same number (in a container, say), programs that map it
//!   without a lock, and `daxctl` or `ndctl`, which take the device away under its mappings (SIGBUS), it
//!   does not.
//! - There are no holes to look for, and `DaxFile::read_through_kernel` is an error
//!   ([`DeviceFault::MappingOnly`]).
//!
//! # What it cannot take care of
//! - A file that shrinks while it is mapped, and a page with a media error, raise SIGBUS (on Windows an
//!   in-page error) at the next access, which ends the process. So does a store to a hole, where page
//!   granularity allows holes, if the file system is full. On Linux there are ways round it, below.
//! - What a failed write-back has lost is not known, and a second one that succeeds does not bring it back:
//!   [`DaxView::taint`] says so for as long as the file is open, [`Taint`] why.
//! - Private mappings (`MAP_PRIVATE`) are not offered: what is stored to one goes to a copy in ordinary
//!   memory and reaches no file, whatever is written back, so that nothing true can be said of its
//!   persistence. Where the stores shall not reach the file, read it into memory.
//! - The persistence domain is the claim of firmware ([`Domain`](crate::report::Domain)), and nobody
//!   can verify it.
//!
//! # Media errors and files that shrink, on Linux
//! | to | by | what it costs |
//! |---|---|---|
//! | know of bad blocks before they are met | `DaxFile::bad_blocks` | some files of `/sys` and a FIEMAP |
//! | read what may be bad | `DaxFile::read_through_kernel` | a system call for each read |
//! | access it in place | `FaultGuard` and `DaxFile::guarded` | a handler of SIGBUS for the whole process |
//! | use the blocks again | `DaxFile::clear_bad_blocks` | what cannot be read of them |
//!
//! None of these is done unless it is called.
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
//! | FreeBSD, NetBSD, OpenBSD | `msync` | `fdatasync` |
//!
//! The second step works on the whole file, whatever the range, so few large ranges cost less than many
//! small ones. Nothing is known of the device below: [`Guarantee::backing`] is
//! [`Unknown`](crate::report::Backing::Unknown), and nothing is promised beyond the end of the process.
//!
//! - On macOS and the BSDs a forked child inherits the mapping and could write; the lock cannot tell.
//! - On macOS a volume that does not know `F_FULLFSYNC`, as some network volumes, makes that an error:
//!   nothing weaker is taken for it.
//! - On Windows a new file has the access rights that its directory hands down. The lock (`LockFileEx`)
//!   is mandatory: what reads or writes an open file by other means fails; it may outlast a killed
//!   process for a moment. An open file can be neither renamed nor removed. No call is documented that makes
//!   a *name* durable, so that of a new file is as durable as the file system makes it by itself.
//! - All of this has been compiled for these systems and not run there. But for what Windows alone does
//!   with files it runs in the tests on Linux.

mod batch;
#[expect(unsafe_code, reason = "hands ranges of the mapping to the cache's operations")]
mod copy;
mod device_fault;
mod error;
#[cfg(target_os = "linux")]
mod faults;
mod file;
mod guarantee;
#[cfg(target_os = "linux")]
pub mod guard;
mod lease;
mod lock;
#[expect(unsafe_code, reason = "accesses mapped bytes by address")]
mod mapping;
mod media;
mod options;
mod placement;
mod resize;
mod system;
mod taint;
mod view;

pub use crate::system::memory_type::{Caching, MemoryType};
pub use batch::Batch;
pub use device_fault::DeviceFault;
pub use error::{Error, ErrorKind};
#[cfg(target_os = "linux")]
pub use faults::FaultGuard;
pub use guarantee::Guarantee;
#[cfg(target_os = "linux")]
pub use guard::Guard;
pub use lock::Lock;
#[cfg(target_os = "linux")]
pub use media::BadBlocks;
pub use media::{ClearStep, NotCleared};
pub use options::{Options, probe};
pub use placement::{Extent, Placement};
pub use taint::Taint;
pub use view::DaxView;

use crate::cache::{Cache, Destination};
use crate::medium::words::WORD;
use crate::medium::{Granularity, Medium, Readable};
use core::ops::{Deref, Range};
use core::sync::atomic::Ordering;
use mapping::Unflushed;
use std::path::Path;

/// A mapped file: bytes that survive what its [`Guarantee`] says.
///
/// Its operations are those of [`Medium`], and everything that does not store is also that of the
/// [`DaxView`] which it dereferences to. Other threads, and other processes that map the file, may
/// read and write at the same time; so it hands out no slices but by `unsafe` methods.
///
/// Closing it (dropping) persists nothing that was not persisted before.
#[derive(Debug)]
pub struct DaxFile {
    /// Mapped for writing too ([`Access::ReadAndWrite`](system::Access)): nothing else makes a `DaxFile`.
    view: DaxView,
}

/// How a range is made persistent.
#[derive(Clone, Copy, Debug)]
enum Writeback {
    /// The caches are in the persistence domain: the fence is all.
    Fence(Cache),
    /// Line by line, then the fence.
    Lines(Cache),
    /// By the operating system, in whole pages.
    Pages,
}

impl DaxFile {
    /// Opens a whole file that can be persisted by cache lines or finer, with the defaults of
    /// [`Options`].
    ///
    /// # Errors
    /// As [`Options::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Options::new().open(path)
    }

    /// Creates a file of `len` zero bytes that can be persisted by cache lines or finer, with the
    /// defaults of [`Options`].
    ///
    /// # Errors
    /// As [`Options::create`].
    pub fn create(path: impl AsRef<Path>, len: u64) -> Result<Self, Error> {
        Options::new().create(path, len)
    }

    /// The address of a byte of the mapping.
    ///
    /// # Panics
    /// If the offset is out of range.
    #[must_use]
    pub fn as_ptr(&self, at: u64) -> *mut u8 {
        self.view.as_ptr(at).cast_mut()
    }

    /// Makes a range persistent down to the medium's own buffers: what is done for
    /// [`persist`](Medium::persist), and then the operating system has the medium empty the queues and
    /// buffers in front of it.
    ///
    /// When it has returned, what was stored in the range before does not rest on stored energy (ADR) any
    /// more, where the medium can flush itself. Where it cannot, this is `persist` and no more: the kernel
    /// assumes ADR of NVDIMMs without flush hints (Linux `drivers/nvdimm/region_devs.c`,
    /// `nvdimm_has_flush`).
    ///
    /// | medium | after the lines were written back, with eADR too, and fenced |
    /// |---|---|
    /// | a file on DAX | `msync` of the range's pages, which ends with a flush of the device, unless the file system was mounted with `nobarrier` |
    /// | device DAX | 1 is written to its region's attribute `deep_flush`, if that reads 1; if it reads 0, there is nothing to flush |
    /// | page granularity | the pages are written back by the system, as for `persist` |
    ///
    /// The lines are written back here in any case, since the kernel's own write-back can be switched off
    /// (`dax/write_cache` of the block device) and is off with eADR (`drivers/dax/super.c`, `dax_flush`).
    ///
    /// # Errors
    /// [`ErrorKind::Writeback`], if the system's call failed; [`ErrorKind::DeepFlush`], if the attribute is
    /// missing, as for RAM, cannot be read, or is not for this user to write: it is root's. An error says
    /// that the flush was not done; the lines were written back all the same.
    ///
    /// # Panics
    /// If the range is out of range.
    ///
    /// # Cost
    /// An instruction for each line, with eADR too, and at least one system call, which can take as long as
    /// the medium needs: for what has to outlive a failure of stored energy, not for each record.
    #[doc(alias("pmem_deep_persist", "deep_flush", "pmem2_deep_flush"))]
    pub fn deep_persist(&self, range: Range<u64>) -> Result<(), Error> {
        if let Some(cache) = self.cache() {
            self.view.writeback_lines(&range, cache);
            cache.fence();
        }
        let flushed = self.view.mapping.flush_medium(&range);
        flushed.map_err(|why| match why {
            Unflushed::Call(error) => self.view.failed_writeback(&range, &error),
            Unflushed::Attribute { path, answer } => {
                let (attribute, answer) = (path.into(), answer.into());
                Error::new(&self.view.path, ErrorKind::DeepFlush { attribute, answer })
            }
        })
    }
}

impl Deref for DaxFile {
    type Target = DaxView;

    fn deref(&self) -> &DaxView {
        &self.view
    }
}

impl Readable for DaxFile {
    type Error = Error;

    fn len(&self) -> u64 {
        self.view.len()
    }

    #[inline]
    #[expect(unsafe_code, reason = "that the mapping is one for writing is known here alone")]
    fn load(&self, at: u64, order: Ordering) -> u64 {
        // SAFETY: (1) that of a `DaxFile` is.
        let word = unsafe { self.view.mapping.word(at) };
        u64::from_le(word.load(order))
    }

    /// Reads by loads from the mapping: a page with a media error ends the process by SIGBUS, unless the
    /// access is guarded.
    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Error> {
        self.view.read(at, into)
    }
}

impl Medium for DaxFile {
    fn granularity(&self) -> Granularity {
        self.view.guarantee.granularity()
    }

    /// 8 bytes: what an aligned store writes at once (SNIA NVM Programming Model, power-fail
    /// atomicity).
    fn atomic_unit(&self) -> usize {
        WORD
    }

    #[inline]
    #[expect(unsafe_code, reason = "that the mapping is one for writing is known here alone")]
    fn store(&self, at: u64, word: u64, order: Ordering) {
        // SAFETY: (1) that of a `DaxFile` is.
        let place = unsafe { self.view.mapping.word(at) };
        place.store(word.to_le(), order);
    }

    #[inline]
    #[expect(unsafe_code, reason = "that the mapping is one for writing is known here alone")]
    fn write(&self, at: u64, from: &[u8]) {
        // SAFETY: (1) that of a `DaxFile` is.
        unsafe { self.view.mapping.write(at, from) };
    }

    /// By lines this costs an instruction each; by pages it is an `msync` of those that the range
    /// touches, or the system's calls for it, whose failure is an error.
    #[inline]
    fn writeback(&self, range: Range<u64>) -> Result<(), Error> {
        self.view.writeback(range)
    }

    #[inline]
    fn fence(&self) {
        self.view.fence();
    }

    #[inline]
    fn order_observed(&self) {
        self.view.order_observed();
    }

    #[inline]
    fn persist(&self, range: Range<u64>) -> Result<(), Error> {
        self.view.persist(range)
    }

    /// To a destination of which nothing is known.
    fn copy_unfenced(&self, parts: &[(u64, &[u8])]) -> Result<(), Error> {
        self.copy_unfenced_to(parts, Destination::Unknown)
    }
}
