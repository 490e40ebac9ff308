//! One file under two views: this process's mapping of it, and the kernel's own, through which `read(2)`
//! and `write(2)` go.
//!
//! Where the data cache does not alias, both are one, and a call is a call. Where it does
//! ([`aliasing`](crate::aliasing)), the kernel's mapping of a page is congruent with none of the program's
//! but by chance, so that a store through one is not seen through the other, and a dirty line of either can
//! be written back over what the other has stored. Somebody must write back and drop the lines of either
//! view whenever the other one has its turn:
//!
//! | step | why | if it is forgotten |
//! |---|---|---|
//! | before a read: the mapping's lines are written back | the kernel loads from memory | the read misses the last stores |
//! | before a write: they are written back and dropped | a dirty line must not be left | it is written back over what the kernel wrote |
//! | then the range's ends are read | not every kernel drops its old lines before it writes, but each does before it reads | old bytes beside the range go over what was stored there |
//! | after a write: they are dropped again | the cache may have fetched lines meanwhile | loads go on to see what was there before |
//! | the same for the kernel's lines, around its own access | the same, with the roles exchanged | the same |
//!
//! `model.rs` has each of them left out, and what is lost then.
//!
//! # Who does the steps
//! - *The kernel's half* is done by the kernel for what is in the page cache: it calls
//!   `flush_dcache_folio` before it reads a page that somebody has mapped for writing, and before and after
//!   it writes one (Linux `mm/filemap.c`: `filemap_read`, `generic_perform_write`; `mm/shmem.c`,
//!   `fs/iomap/buffered-io.c`); btrfs and ntfs3, which have a write path of their own, do it after the
//!   write alone (`fs/btrfs/file.c`, `fs/ntfs3/file.c`). It is done by nobody for what is mapped directly:
//!   `fs/dax.c` has no such call, and DAX is refused on these machines.
//! - *The mapping's half* is done there by some kernels only: on arm, parisc, sparc64, xtensa and csky
//!   `flush_dcache_folio` finds the lines of congruent user mappings too, on mips it maintains the kernel's
//!   alone (`arch/mips/mm/cache.c`, `__flush_dcache_pages`). This crate has no instruction for it on any of
//!   these architectures. What all of them have is `madvise(MADV_DONTNEED)`: on a shared mapping it changes
//!   no byte and takes the pages out of the page table, and the kernel must write back and drop the lines of
//!   a user mapping before it does that (`Documentation/core-api/cachetlb.rst`: `flush_cache_range`;
//!   `include/asm-generic/tlb.h`: `tlb_start_vma`). sparc64 leaves that out (`MMU_GATHER_NO_FLUSH_CACHE`);
//!   there `flush_dcache_folio` drops the lines of a page under every address (`arch/sparc/mm/ultra.S`,
//!   `__flush_dcache_page`), and its first-level cache writes through, so that memory has every store.
//!
//! POSIX promises less: "correct synchronization" of `mmap` with `read` and `write` is the program's to
//! ensure (XSH, mmap), `msync` with `MS_SYNC` before a read and with `MS_INVALIDATE` after a write being the
//! tools. On Linux `MS_INVALIDATE` drops nothing (`mm/msync.c`).

// The tests try every schedule, which Miri, some hundred times slower, does not get through; neither they
// nor the model have unsafe code.
#[cfg(test)]
#[cfg(not(miri))]
mod model;
#[cfg(test)]
#[cfg(not(miri))]
mod tests;

use super::mapping;
use super::media::{self, Unread};
use crate::aliasing::{self, Aliasing};
use crate::dax::system::files;
use crate::dax::{DaxFile, DaxView, DeviceFault, Error, ErrorKind};
use crate::system::kernel;
use crate::system::tree::Tree;
use core::ops::Range;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

/// A file under two views.
trait TwoViews {
    /// Why a step failed.
    type Error;

    /// Writes the mapping's dirty lines of a range back, and drops all lines of it.
    fn writeback_invalidate(&self, range: &Range<u64>) -> Result<(), Self::Error>;

    /// Reads bytes as the kernel sees them.
    fn kernel_read(&self, at: u64, into: &mut [u8]) -> Result<(), Self::Error>;

    /// Writes bytes as the kernel does.
    fn kernel_write(&self, at: u64, from: &[u8]) -> Result<(), Self::Error>;
}

/// Reads what was stored through the mapping.
fn read<V: TwoViews>(views: &V, at: u64, into: &mut [u8]) -> Result<(), V::Error> {
    views.writeback_invalidate(&range_of(at, into))?;
    views.kernel_read(at, into)
}

/// Writes what the mapping shows then.
fn write<V: TwoViews>(views: &V, at: u64, from: &[u8]) -> Result<(), V::Error> {
    let range = range_of(at, from);
    if range.is_empty() {
        return Ok(());
    }
    views.writeback_invalidate(&range)?;
    // A kernel that drops its old lines before it reads, but not before it writes, does it here: in lines
    // that are not written whole they would go over what was stored beside the range.
    for end in [range.start, range.end - 1] {
        views.kernel_read(end, &mut [0])?;
    }
    let written = views.kernel_write(at, from);
    // Also if it failed: a part may have been written.
    let dropped = views.writeback_invalidate(&range);
    written.and(dropped)
}

/// Bytes of a slice are less than what a range can count, and the mapping has checked its end.
const fn range_of(at: u64, bytes: &[u8]) -> Range<u64> {
    at..at.saturating_add(bytes.len() as u64)
}

/// Whether the data cache of this machine aliases. Asked once, and of nobody where no CPU of the
/// architecture does.
pub(super) fn aliasing_here() -> Aliasing {
    static ANSWER: OnceLock<Aliasing> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        let tree = Tree::host();
        aliasing::of_machine(aliasing::data_cache(), &tree, &kernel::page_size(&tree))
    })
}

/// How the two views of a file are kept together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Upkeep {
    /// The hardware does it.
    None,
    /// Each side does its half: the kernel for its own view, this module for the mapping.
    BothHalves,
    /// The kernel does not do its half.
    NotByKernel,
}

impl Upkeep {
    /// What a file needs on this machine. Costs nothing where no CPU of the architecture aliases.
    fn of(view: &DaxView) -> Self {
        if aliasing::data_cache().decided() == Some(false) {
            return Self::None;
        }
        Self::where_cache(aliasing_here(), view.guarantee.through_page_cache)
    }

    /// Where nobody says whether it aliases, it is taken to.
    const fn where_cache(aliasing: Aliasing, through_page_cache: bool) -> Self {
        match (aliasing, through_page_cache) {
            (Aliasing::No { .. }, _) => Self::None,
            (Aliasing::Yes { .. } | Aliasing::Unknown { .. }, true) => Self::BothHalves,
            (Aliasing::Yes { .. } | Aliasing::Unknown { .. }, false) => Self::NotByKernel,
        }
    }

    fn read(self, view: &DaxView, at: u64, into: &mut [u8]) -> Result<(), Error> {
        match self {
            Self::None => view.kernel_read(at, into),
            Self::BothHalves => read(view, at, into),
            Self::NotByKernel => Err(Error::new(&view.path, ErrorKind::ViewsDisagree)),
        }
    }

    fn write(self, view: &DaxView, at: u64, from: &[u8]) -> Result<(), Error> {
        match self {
            Self::None => view.kernel_write(at, from),
            Self::BothHalves => write(view, at, from),
            Self::NotByKernel => Err(Error::new(&view.path, ErrorKind::ViewsDisagree)),
        }
    }
}

/// Refuses a file of which the kernel's view and the mapping are kept together by nobody.
pub(super) fn require_agreement(file: &DaxFile) -> Result<(), Error> {
    match Upkeep::of(file) {
        Upkeep::None | Upkeep::BothHalves => Ok(()),
        Upkeep::NotByKernel => Err(Error::new(&file.path, ErrorKind::ViewsDisagree)),
    }
}

/// Calls of the operating system beside the mapping, on Linux.
impl DaxFile {
    /// Writes by a call of the operating system instead of by stores; the mapping shows it when this
    /// returns.
    ///
    /// # Ordering
    /// Loads through the mapping see these bytes, or newer ones. What was stored to the rest of the pages
    /// is kept. Nothing is persisted: [`File::sync_data`](std::fs::File::sync_data) of [`file`](DaxView::file)
    /// does that for what the operating system has written.
    ///
    /// The two conditions of [`read_through_kernel`](DaxView::read_through_kernel) hold here too.
    ///
    /// # Errors
    /// As there, with [`ErrorKind::Write`], of which a part may have been written.
    ///
    /// # Panics
    /// If the range is out of range.
    ///
    /// # Cost
    /// One `pwrite(2)`. Where the data cache aliases, a `madvise(2)` before and after, two `pread(2)` of one
    /// byte, and a page fault at the next access to each page.
    #[doc(alias("pwrite"))]
    pub fn write_through_kernel(&self, at: u64, from: &[u8]) -> Result<(), Error> {
        self.mapping.checked(at, from.len() as u64);
        self.require_calls()?;
        Upkeep::of(self).write(self, at, from)
    }
}

/// Calls of the operating system beside the mapping, on Linux.
impl DaxView {
    /// Reads by a call of the operating system instead of by loads, with all that was stored through the
    /// mapping before.
    ///
    /// A page with a media error is an error then, where a load ends the process: what cannot be read is
    /// narrowed down by further calls in sectors of 512 bytes.
    ///
    /// # Ordering
    /// The bytes are those that this thread stored before, or newer ones. Nothing is persisted.
    ///
    /// Where the [data cache aliases](crate::aliasing), it is right under two conditions, which nothing can
    /// check: no other thread and no other process stores to the pages of the range while it runs, and
    /// other mappings of the file [agree with this one](Self::agrees_with).
    ///
    /// # Errors
    /// [`ErrorKind::Poisoned`], if the medium has lost bytes: the first stretch of them, before which
    /// everything was read; [`ErrorKind::Read`], if the call failed otherwise; [`ErrorKind::Shorter`], if
    /// the file has shrunk;
    /// [`ErrorKind::ViewsDisagree`], if the data cache aliases and the kernel does not do its part, as
    /// for files that are mapped directly, and [`DeviceFault::MappingOnly`], if it is a device of device
    /// DAX: read through the mapping instead.
    ///
    /// # Panics
    /// If the range is out of range.
    ///
    /// # Cost
    /// One `pread(2)`. Where the data cache aliases, a `madvise(2)` before, and a page fault at the next
    /// access to each page. After a media error as many more as the number of sectors has binary digits, and
    /// one for each bad sector up to 1024.
    #[doc(alias("pread", "checked", "poison"))]
    pub fn read_through_kernel(&self, at: u64, into: &mut [u8]) -> Result<(), Error> {
        self.mapping.checked(at, into.len() as u64);
        self.require_calls()?;
        Upkeep::of(self).read(self, at, into)
    }

    /// Whether a mapping of the caller's agrees with this one: `address` is that of the byte at `offset` of
    /// the same file, in this process or in another.
    ///
    /// True on each machine whose [data cache does not alias](crate::aliasing). Elsewhere it is true if they
    /// are congruent, which suffices but for virtually tagged caches (Arm before v6), where Linux does not
    /// cache a page that one process has mapped twice.
    #[must_use]
    pub fn agrees_with(&self, address: usize, offset: u64) -> bool {
        let distance = aliasing::data_cache().distance.safe_bytes(files::page_size() as u64);
        let own = (self.mapping.base().addr().get(), self.offset);
        Upkeep::of(self) == Upkeep::None
            || aliasing::mappings_agree(own, (address, offset), distance)
    }

    /// A device of device DAX has neither read(2) nor write(2) (`drivers/dax/device.c`, `dax_fops`).
    fn require_calls(&self) -> Result<(), Error> {
        if self.guarantee.is_device_dax {
            return Err(Error::new(&self.path, ErrorKind::Device(DeviceFault::MappingOnly.into())));
        }
        Ok(())
    }

    /// Why a read failed: bytes can be bad, and the file can have shrunk.
    #[cold]
    fn unread(&self, at: u64, len: u64, why: &Unread) -> Error {
        let error = match why {
            Unread::Poisoned(range) => {
                let (at, len) = (range.start.saturating_sub(self.offset), range.end - range.start);
                return Error::new(&self.path, ErrorKind::Poisoned { at, len });
            }
            Unread::Failed(error) => error,
        };
        if error.kind() == io::ErrorKind::UnexpectedEof
            && let Ok(metadata) = self.file.metadata()
        {
            let needed = self.offset.saturating_add(self.len());
            return Error::new(&self.path, ErrorKind::Shorter { size: metadata.len(), needed });
        }
        Error::new(&self.path, ErrorKind::Read { at, len, errno: files::number(error) })
    }

    #[cold]
    fn unwritten(&self, at: u64, len: u64, error: &io::Error) -> Error {
        Error::new(&self.path, ErrorKind::Write { at, len, errno: files::number(error) })
    }
}

impl TwoViews for DaxView {
    type Error = Error;

    fn writeback_invalidate(&self, range: &Range<u64>) -> Result<(), Error> {
        mapping::drop_cached(&self.mapping, range)
            .map_err(|error| Error::os(&self.path, "madvise", &error))
    }

    fn kernel_read(&self, at: u64, into: &mut [u8]) -> Result<(), Error> {
        let pread = |at, into: &mut [u8]| self.file.read_exact_at(into, at);
        let read = media::read(pread, self.offset + at, into);
        read.map_err(|why| self.unread(at, into.len() as u64, &why))
    }

    fn kernel_write(&self, at: u64, from: &[u8]) -> Result<(), Error> {
        let written = self.file.write_all_at(from, self.offset + at);
        written.map_err(|error| self.unwritten(at, from.len() as u64, &error))
    }
}
