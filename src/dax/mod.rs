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
//! - New files are created exclusively, with mode 0600, filled with zeros that are on the medium,
//!   and their name is durable. A symbolic link as the last component is not followed.
//! - A file is locked (`flock`, exclusive) while it is open: one process writes it. The lock belongs
//!   to the open file: a forked child shares it and keeps it alive until it exits or executes
//!   another program, and on Linux it does not inherit the mapping, so it cannot write. A duplicated
//!   descriptor (`file().try_clone()`) keeps it too, after the `DaxFile` was dropped. When its holder
//!   ends, killed or not, it is free.
//! - A file with holes, unwritten or shared extents is not mapped by cache lines.
//! - Under Linux, on a machine whose [data cache aliases](crate::aliasing), or may, a file is mapped at an
//!   address that is congruent to its offset, so that it agrees with every other mapping that is; there
//!   `DaxFile::read_through_kernel` and `DaxFile::write_through_kernel` do what `read(2)` and `write(2)`
//!   beside a mapping need, and elsewhere they are the call alone.
//!
//! # What it cannot take care of
//! - A file that shrinks while it is mapped, and a page with a media error, raise SIGBUS (on Windows an
//!   in-page error) at the next access, which ends the process. So does a store to a hole, where page
//!   granularity allows holes, if the file system is full. On Linux there are ways round it, below.
//! - What a failed write-back has lost is not known, and a second one that succeeds does not bring it back:
//!   [`DaxFile::taint`] says so for as long as the file is open, [`Taint`] why.
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
//!   is mandatory: what reads or writes an open file by other means fails; it may outlast the close for a
//!   moment. An open file can be neither renamed nor removed. No call is documented that makes a *name*
//!   durable, so that of a new file is as durable as the file system makes it by itself.
//! - All of this has been compiled for these systems and not run there. But for what Windows alone does
//!   with files it runs in the tests on Linux.

mod batch;
mod error;
#[cfg(target_os = "linux")]
mod faults;
mod file;
mod guarantee;
#[expect(unsafe_code, reason = "accesses mapped bytes by address")]
mod mapping;
mod media;
mod options;
mod system;
mod taint;

pub use crate::platform::memory_type::{Caching, MemoryType};
pub use batch::Batch;
pub use error::{Error, ErrorKind};
#[cfg(target_os = "linux")]
pub use faults::FaultGuard;
pub use guarantee::Guarantee;
#[cfg(target_os = "linux")]
pub use media::BadBlocks;
pub use media::{ClearStep, NotCleared};
pub use options::{Options, probe};
pub use taint::Taint;

use crate::cache::Cache;
use crate::medium::words::WORD;
use crate::medium::{Granularity, Medium};
use core::ops::Range;
use core::sync::atomic::Ordering;
use mapping::Mapping;
use std::fs::File;
use std::path::{Path, PathBuf};
use system::files;
use taint::Tainted;

/// A mapped file: bytes that survive what its [`Guarantee`] says.
///
/// Its operations are those of [`Medium`]. Other threads, and other processes that map the file, may
/// read and write at the same time; so it hands out no slices but by `unsafe` methods.
///
/// Closing it (dropping) persists nothing that was not persisted before.
#[derive(Debug)]
pub struct DaxFile {
    mapping: Mapping,
    /// How lines are written back; there is none where the granularity is a page.
    writeback: Writeback,
    guarantee: Guarantee,
    /// Where the mapping begins in the file, in bytes.
    offset: u64,
    path: PathBuf,
    /// Holds the lock.
    file: File,
    taint: Tainted,
    #[cfg(target_os = "linux")]
    met: faults::Met,
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

    /// What its medium guarantees, why, and from which evidence.
    #[must_use]
    pub const fn guarantee(&self) -> &Guarantee {
        &self.guarantee
    }

    /// Where the mapping begins in the file, in bytes.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Where it was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The open file, for what this type does not do. Shrinking it while it is mapped makes later
    /// accesses end the process. What is read and written by calls may not agree with the mapping: on Linux
    /// `read_through_kernel` and `write_through_kernel` see to it, other systems promise nothing.
    #[must_use]
    pub const fn file(&self) -> &File {
        &self.file
    }

    /// The caches that write its lines back; `None` where the operating system does it by pages.
    #[must_use]
    pub const fn cache(&self) -> Option<Cache> {
        match self.writeback {
            Writeback::Fence(cache) | Writeback::Lines(cache) => Some(cache),
            Writeback::Pages => None,
        }
    }

    /// Writes several ranges back and completes them with one fence, when `work` returns or unwinds.
    ///
    /// ```
    /// # use cachemaint::{dax::Options, medium::Medium};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("records");
    /// let file = Options::new().allow_page_granularity().create(&path, 1 << 16)?;
    /// file.write(0, &[1; 64]);
    /// file.write(8192, &[2; 64]);
    /// file.batch(|batch| {
    ///     batch.writeback(0..64);
    ///     batch.writeback(8192..8256);
    /// })?; // one fence; both are persistent
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Writeback`], the first one, if the operating system could not write a range; the
    /// others were tried all the same.
    pub fn batch<R>(&self, work: impl FnOnce(&Batch<'_>) -> R) -> Result<R, Error> {
        let batch = Batch::new(self);
        let result = work(&batch);
        batch.complete()?;
        Ok(result)
    }

    /// The address of a byte of the mapping.
    ///
    /// # Panics
    /// If the offset is out of range.
    #[must_use]
    pub fn as_ptr(&self, at: u64) -> *mut u8 {
        self.mapping.base().as_ptr().wrapping_add(self.mapping.checked(at, 1).start)
    }

    /// The bytes of a range in place.
    ///
    /// # Panics
    /// If the range is out of range.
    ///
    /// # Safety
    /// While the slice exists
    /// 1. nobody writes the range: no thread of this process, and no other process that maps the
    ///    file or writes to it;
    /// 2. nobody shrinks the file.
    #[expect(unsafe_code, reason = "that nobody writes meanwhile is for the caller to know")]
    #[must_use]
    pub unsafe fn as_slice(&self, range: Range<u64>) -> &[u8] {
        let range = self.mapping.checked_range(&range);
        let start = self.mapping.base().as_ptr().wrapping_add(range.start);
        // SAFETY: the range is in the mapping, which outlives the slice; that nobody writes is the
        // caller's duty (1), and that the bytes stay there (2).
        unsafe { core::slice::from_raw_parts(start, range.len()) }
    }

    /// Why bytes of the file may not be what was stored, if anything happened since it was opened: what
    /// happened first. It is said until the file is closed, whatever succeeds later; [`Taint`] says what is
    /// in doubt. What happened before it was opened, and through other open files, it does not know.
    #[doc(alias("is_tainted", "errseq", "fsyncgate"))]
    #[must_use]
    pub fn taint(&self) -> Option<Taint> {
        self.taint.first()
    }

    fn writeback_pages(&self, range: &Range<u64>) -> Result<(), Error> {
        let written = self.mapping.writeback_pages(range);
        written.map_err(|error| {
            let (at, len, errno) = (range.start, range.end - range.start, files::number(&error));
            self.taint.by(Taint::Writeback { at, len, errno });
            Error::writeback(&self.path, range, &error)
        })
    }

    #[inline]
    #[expect(unsafe_code, reason = "hands a range of the mapping to the cache's operations")]
    fn writeback_lines(&self, range: &Range<u64>, cache: Cache) {
        let range = self.mapping.checked_range(range);
        let start = self.mapping.base().as_ptr().wrapping_add(range.start);
        // SAFETY: (1) the range is in the mapping; (2) that nothing may rely on it before the fence
        // is the rule of `Medium`.
        unsafe { cache.writeback_range_unfenced(start, range.len()) };
    }
}

impl Medium for DaxFile {
    type Error = Error;

    fn len(&self) -> u64 {
        self.mapping.len() as u64
    }

    fn granularity(&self) -> Granularity {
        self.guarantee.granularity()
    }

    /// 8 bytes: what an aligned store writes at once (SNIA NVM Programming Model, power-fail
    /// atomicity).
    fn atomic_unit(&self) -> usize {
        WORD
    }

    #[inline]
    fn load(&self, at: u64, order: Ordering) -> u64 {
        u64::from_le(self.mapping.word(at).load(order))
    }

    #[inline]
    fn store(&self, at: u64, word: u64, order: Ordering) {
        self.mapping.word(at).store(word.to_le(), order);
    }

    /// Reads by loads from the mapping: a page with a media error ends the process by SIGBUS, unless the
    /// access is guarded.
    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Error> {
        self.mapping.read(at, into);
        Ok(())
    }

    fn write(&self, at: u64, from: &[u8]) {
        self.mapping.write(at, from);
    }

    /// By lines this costs an instruction each; by pages it is an `msync` of those that the range
    /// touches, or the system's calls for it, whose failure is an error.
    #[inline]
    fn writeback(&self, range: Range<u64>) -> Result<(), Error> {
        match self.writeback {
            Writeback::Lines(cache) => {
                self.writeback_lines(&range, cache);
                Ok(())
            }
            Writeback::Fence(_) => {
                self.mapping.checked_range(&range);
                Ok(())
            }
            Writeback::Pages => self.writeback_pages(&range),
        }
    }

    #[inline]
    fn fence(&self) {
        match self.writeback {
            Writeback::Fence(cache) | Writeback::Lines(cache) => cache.fence(),
            Writeback::Pages => {}
        }
    }
}
