//! Files mapped for reading only.

#[cfg(doc)]
use super::ErrorKind;
use super::mapping::Mapping;
use super::open_file::{Lock, OpenFile};
use super::{Error, Guarantee};
use crate::cache::Cache;
use crate::medium::{Granularity, Readable};
use core::ops::Range;
use core::sync::atomic::{Ordering, fence};
use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

/// A file that is mapped for reading only. [`Options::view`](super::Options::view) opens one, and every
/// [`DaxFile`](super::DaxFile) contains one.
///
/// The mapping is shared: it shows the stores of others at once. A view is not a [`Medium`](crate::medium::Medium),
/// since a medium can be written.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("file");
/// use cachemaint::dax::Options;
///
/// # let file = Options::new().allow_page_granularity().create_new(&path, 4096)?;
/// # file.write(64, b"a record");
/// # drop(file);
/// let view = Options::new().allow_page_granularity().view(&path)?;
/// let mut bytes = [0; 8];
/// view.read(64, &mut bytes)?;
/// assert_eq!(&bytes, b"a record");
/// # Ok(())
/// # }
/// ```
///
/// # What a reader can persist
/// Any process with read permission can write a line back: to the CPU it is a load of a byte. A view can therefore
/// persist bytes that other threads and processes have stored. This lets one process persist files for programs that
/// never do so.
///
/// | | permission |
/// |---|---|
/// | x86: CLWB, CLFLUSHOPT, CLFLUSH | "all permission checking and faults associated with a byte load" (Intel SDM vol. 2A, CLWB and its like) |
/// | arm64: DC CVAC, CVAP, CVADP, CIVAC | read access at EL0 (Arm ARM, "Data cache maintenance instructions": a Permission fault without it) |
/// | powerpc64: dcbst, dcbstps | treated as a load (Power ISA, book II, "Cache Management Instructions") |
/// | riscv64: cbo.clean | permitted where a load or a store is (RISC-V CMO, "Traps") |
/// | pages, on Linux: `fdatasync` | nothing: it writes the dirty pages of the *file*, through whichever mapping they were stored (`fs/sync.c`) |
///
/// Page by page, each write-back covers the whole file, not only the range. `msync` does nothing through a mapping of a
/// file that was opened for reading, and still reports success (`mm/msync.c`; measured on Linux 6.18).
///
/// On systems other than Linux a write-back of a view fails with [`ErrorKind::Unsupported`], since none of them
/// documents its effect.
///
/// # Failures
/// The first event after which the mapped bytes may differ from the stored ones ends the use of the mapping: a failed
/// write-back by the operating system, a truncated file, or, with a
/// [`FaultHandler`](super#limits), an access that raised SIGBUS. From then on
/// [`check`](Self::check), [`read`](Self::read), [`persist`](Self::persist) and every other call that persists return
/// that failure, until the file is reopened. If the file is persisted line by line, only an access notices that it
/// was truncated.
///
/// A failed write-back can affect any byte stored since the last successful one: Linux reports the failure once to each
/// open file, and does not name the pages.
#[derive(Debug)]
pub struct DaxView {
    pub(super) mapping: Mapping,
    pub(super) guarantee: Guarantee,
    /// The place in the file at which the mapping begins, in bytes.
    pub(super) offset: u64,
    /// True if every page is made accessible when the file is mapped.
    pub(super) populate: bool,
    /// The open file with its lock. It is declared after `mapping`, because fields are dropped in the order of their
    /// declaration: no byte is mapped here when another process gets the lock.
    pub(super) file: OpenFile,
}

impl Readable for DaxView {
    type Error = Error;

    fn len(&self) -> u64 {
        Self::len(self)
    }

    #[inline]
    fn try_load(&self, at: u64, order: Ordering) -> Result<u64, Error> {
        let word = self.load(at, order);
        self.check().map(|()| word)
    }

    /// As [`DaxView::read`].
    #[inline]
    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Error> {
        Self::read(self, at, into)
    }

    #[cfg(target_os = "linux")]
    fn pread(&self, at: u64, into: &mut [u8]) -> Option<Result<(), Error>> {
        self.read_by_call(at, into)
    }

    fn check(&self) -> Result<(), Error> {
        Self::check(self)
    }
}

impl DaxView {
    /// Returns the number of mapped bytes.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.mapping.len() as u64
    }

    /// Returns false: no mapping is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the smallest unit that is made persistent.
    #[must_use]
    pub const fn granularity(&self) -> Granularity {
        self.guarantee.granularity
    }

    /// Returns the guarantee of the file's medium, with its reason. `cachemaint-inspect` has the evidence, the devices
    /// under it, and what survives.
    #[must_use]
    pub const fn guarantee(&self) -> &Guarantee {
        &self.guarantee
    }

    /// Returns the place in the file at which the mapping begins, in bytes.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns the path by which the file was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.mapping.path()
    }

    /// Returns the status of the open file.
    ///
    /// The open file itself is not handed out: a sync of it by the caller would take the kernel's only report of a failed
    /// write-back. To use the file otherwise, open it again by its [`path`](Self::path). On Linux, read and write calls
    /// agree with the mapping, unless the [data cache aliases](crate::aliasing); other systems promise nothing. A file
    /// that is shrunk while it is mapped makes later accesses end the process.
    ///
    /// # Errors
    /// Those of `fstat(2)`.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    /// Returns the open file, to ask about it.
    #[doc(hidden)]
    #[must_use]
    pub const fn open_file(&self) -> &File {
        self.file.file()
    }

    /// Returns the lock that the open file holds.
    #[must_use]
    pub const fn lock(&self) -> Lock {
        self.file.lock()
    }

    /// Returns the handle that writes lines back; `None` if the operating system writes whole pages back.
    #[must_use]
    pub const fn cache(&self) -> Option<Cache> {
        self.mapping.cache()
    }

    /// Fails if the mapping has failed. Call it after loads and before using the loaded values: after a fault under a
    /// [`FaultHandler`](super#limits) loads see zeros.
    ///
    /// # Errors
    /// The [failure](Self#failures), the same each time: [`ErrorKind::Writeback`], [`ErrorKind::Shorter`] for a truncated
    /// file, [`ErrorKind::Poisoned`], [`ErrorKind::NoSpace`] for a store that needed a block, or [`ErrorKind::Os`] for another access.
    ///
    /// # Cost
    /// A load and a branch.
    #[doc(alias("is_tainted", "errseq", "fsyncgate"))]
    #[inline]
    pub fn check(&self) -> Result<(), Error> {
        // The loads before it are not performed after it.
        fence(Ordering::Acquire);
        self.mapping.check()
    }

    /// Loads the word at `at`, little-endian in the bytes.
    ///
    /// # Panics
    /// If `at` is not a multiple of 8 or the word is out of range; if `order` is not an ordering for loads.
    #[inline]
    #[must_use]
    #[track_caller]
    pub fn load(&self, at: u64, order: Ordering) -> u64 {
        u64::from_le(self.mapping.load(at, order))
    }

    /// Copies bytes out, by loads from the mapping. If others store to them meanwhile, the copy may be a mix of whole
    /// words. A page with a media error ends the process by SIGBUS, unless a `FaultHandler` is installed.
    ///
    /// # Errors
    /// As [`check`](Self::check), which is asked afterwards.
    ///
    /// # Panics
    /// If the range is out of range.
    #[doc(alias("read_at", "pread"))]
    #[track_caller]
    pub fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Error> {
        self.mapping.read(at, into);
        self.check()
    }

    /// Returns the address of a byte of the mapping, to load from.
    ///
    /// # Panics
    /// If the offset is out of range.
    #[must_use]
    #[track_caller]
    pub fn as_ptr(&self, at: u64) -> *const u8 {
        self.mapping
            .base()
            .as_ptr()
            .wrapping_add(self.mapping.checked(&(at..at.wrapping_add(1))).start)
    }

    /// Returns the bytes of a range in place.
    ///
    /// # Panics
    /// If the range is out of range.
    ///
    /// # Safety
    /// While the slice exists
    /// 1. no thread of this process writes the range, and no other process that maps the file or writes to it does;
    /// 2. the file is not shrunk;
    /// 3. no access of this process to the mapping raises SIGBUS, if a `FaultHandler` is installed: zeros would replace
    ///    the bytes.
    #[expect(unsafe_code, reason = "only the caller knows that the range is not written meanwhile")]
    #[must_use]
    #[track_caller]
    pub unsafe fn as_slice(&self, range: Range<u64>) -> &[u8] {
        let range = self.mapping.checked(&range);
        let start = self.mapping.base().as_ptr().wrapping_add(range.start);
        // SAFETY: the range is in the mapping, which outlives the slice. That it is not written is the caller's duty
        // (1), and that the bytes stay there (2, 3).
        unsafe { core::slice::from_raw_parts(start, range.len()) }
    }

    /// Makes a range persistent: write-back and fence. When this returns, everything that this thread has stored to the
    /// range is persistent, as far as the [guarantee](Self::guarantee) goes. So are stores of others that this thread
    /// had observed before it called [`order_observed`](Self::order_observed).
    ///
    /// Line by line, this is one instruction a line and a fence. Page by page, it is one system call, which the threads
    /// of a file share: an `msync` for a [`DaxFile`](super::DaxFile), an `fdatasync` for a view.
    ///
    /// # Errors
    /// The [failure](Self#failures) of the mapping. A failed write-back of pages becomes that failure, and names this range.
    /// [`ErrorKind::Unsupported`] for a view that is persisted page by page, on systems other than Linux.
    ///
    /// # Panics
    /// If the range is out of range, or ends before it starts.
    ///
    /// # Cost
    /// Line by line: as above. Page by page: the call and an `fstat`, for the range and those of other threads that are
    /// near it. The call locks and waits for other threads, so do not make it in a signal handler.
    #[inline]
    #[track_caller]
    pub fn persist(&self, range: Range<u64>) -> Result<(), Error> {
        self.mapping.persist(range)
    }

    /// Issues the write-back of a range: the range is persistent once a [`fence`](Self::fence) on this thread has
    /// succeeded. Page by page, the write-back is complete at once.
    ///
    /// ```
    /// # use cachemaint::dax::Options;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("records");
    /// let file = Options::new().allow_page_granularity().create_new(&path, 1 << 16)?;
    /// file.write(0, &[1; 64]);
    /// file.write(8192, &[2; 64]);
    /// file.view().issue_writeback(0..64)?;
    /// file.view().issue_writeback(8192..8256)?;
    /// file.view().fence()?; // one fence; both are persistent
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`persist`](Self::persist). Line by line, the fence too reports a failure.
    ///
    /// # Panics
    /// If the range is out of range, or ends before it starts.
    #[inline]
    #[track_caller]
    pub fn issue_writeback(&self, range: Range<u64>) -> Result<(), Error> {
        self.mapping.issue_writeback(range)
    }

    /// Completes the write-backs that this thread has issued for this file, but not those for another file. If this
    /// succeeds, they are persistent.
    ///
    /// # Errors
    /// The [failure](Self#failures) of the mapping.
    #[inline]
    pub fn fence(&self) -> Result<(), Error> {
        self.mapping.fence()
    }

    /// Orders stores of others that this thread has observed before the write-backs that it issues next; see
    /// [`Cache::order_observed`](crate::Cache::order_observed). Page by page, the operating system does this.
    #[inline]
    pub fn order_observed(&self) {
        if let Some(cache) = self.mapping.cache() {
            cache.order_observed();
        }
    }

    /// Makes a range persistent and flushes the device's own buffers: does the same as [`persist`](Self::persist), and
    /// then makes the operating system empty the queues and buffers in front of the memory cells.
    ///
    /// Afterwards, the bytes of the range no longer depend on stored energy (ADR), if the medium can be flushed. The
    /// kernel assumes ADR for NVDIMMs without flush hints (Linux `drivers/nvdimm/region_devs.c`, `nvdimm_has_flush`).
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
    /// As [`persist`](Self::persist). [`ErrorKind::NotFlushed`], if the attribute is missing (as for RAM), cannot be
    /// read, has a value other than 0 and 1, or cannot be written by this user (only root can). The lines were still
    /// written back.
    ///
    /// # Panics
    /// If the range is out of range.
    ///
    /// # Cost
    /// One instruction for each line, with eADR too, and at least one system call, which takes as long as the medium
    /// needs. Use it for bytes that must survive a failure of the stored energy, not for each record.
    #[doc(alias("pmem_deep_persist", "deep_flush", "pmem2_deep_flush"))]
    #[track_caller]
    pub fn deep_persist(&self, range: Range<u64>) -> Result<(), Error> {
        self.mapping.deep_persist(range)
    }
}
