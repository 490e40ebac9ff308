//! Files mapped for reading only.

use super::lock::{Lock, OpenFile};
use super::mapping::Mapping;
use super::system::files;
use super::taint::{Taint, Tainted};
use super::{Batch, Error, ErrorKind, Guarantee, NotSupported, Writeback};
use crate::cache::Cache;
use crate::medium::{Granularity, Readable};
use alloc::boxed::Box;
use core::any::Any;
use core::ops::Range;
use core::sync::atomic::Ordering;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// A file that is mapped for reading only. [`Options::view`](super::Options::view) opens one, and every
/// [`DaxFile`](super::DaxFile) has one as the part of it that does not store.
///
/// The mapping is shared: it shows the stores of others when they are made. A view is not a
/// [`Medium`](crate::medium::Medium), since a medium can be written.
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
/// A line can be written back by any process with read permission: to the CPU it is a load of a byte. So a view can
/// persist bytes that other threads and processes have stored, though it stores nothing itself. A process that persists
/// on behalf of programs that never do so needs just that.
///
/// | | what permits it |
/// |---|---|
/// | x86: CLWB, CLFLUSHOPT, CLFLUSH | "all permission checking and faults associated with a byte load" (Intel SDM vol. 2A, CLWB and its like) |
/// | arm64: DC CVAC, CVAP, CVADP, CIVAC | read access at EL0 (Arm ARM, "Data cache maintenance instructions": a Permission fault without it) |
/// | powerpc64: dcbst, dcbstps | treated as a load (Power ISA, book II, "Cache Management Instructions") |
/// | riscv64: cbo.clean | permitted where a load or a store is (RISC-V CMO, "Traps") |
/// | pages, on Linux: `fdatasync` | nothing: it writes the dirty pages of the *file*, through whichever mapping they were stored (`fs/sync.c`) |
///
/// By pages a write-back is of the whole file each time, and not of the range. `msync` does nothing through a mapping
/// of a file that was opened for reading, and still reports success (`mm/msync.c`; measured on Linux 6.18).
///
/// On other systems than Linux a write-back of a view is [`NotSupported::ViewNotPersisted`], because none of them
/// documents its effect.
#[derive(Debug)]
pub struct DaxView {
    pub(super) mapping: Mapping,
    /// The method to write back: by lines, by a fence alone, or by pages.
    pub(super) writeback: Writeback,
    pub(super) guarantee: Guarantee,
    /// True if the operating system is not known to write pages back for it.
    pub(super) refuses_pages: bool,
    /// The place in the file at which the mapping begins, in bytes.
    pub(super) offset: u64,
    /// True if every page is made accessible when the file is mapped.
    pub(super) populate: bool,
    pub(super) path: PathBuf,
    /// The open file with its lock. It is declared after `mapping`, because fields are dropped in the order of
    /// their declaration: no byte is mapped here any more when another process gets the lock.
    pub(super) file: OpenFile,
    /// Boxed, as `met` is: a value without cells can stay in registers over a store to the mapping.
    pub(super) taint: Box<Tainted>,
    #[cfg(target_os = "linux")]
    pub(super) met: Box<super::faults::Met>,
}

impl Readable for DaxView {
    type Error = Error;

    fn len(&self) -> u64 {
        Self::len(self)
    }

    #[inline]
    fn load(&self, at: u64, order: Ordering) -> u64 {
        Self::load(self, at, order)
    }

    /// As [`DaxView::read`].
    #[inline]
    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Error> {
        Self::read(self, at, into)
    }

    fn lease_range(&self, range: Range<u64>) -> Result<bool, Error> {
        self.lease_counted(&range).map(|()| true)
    }

    /// A lease that cannot be released now is released when the file is closed.
    fn release_range(&self, range: Range<u64>) {
        self.release_counted(&range).unwrap_or(());
    }

    fn as_any_view(&self) -> Option<&dyn Any> {
        Some(self)
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

    /// Returns the guarantee of its medium, with reason and evidence.
    #[must_use]
    pub const fn guarantee(&self) -> &Guarantee {
        &self.guarantee
    }

    /// Returns the place in the file at which the mapping begins, in bytes.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns the path at which it was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the open file, for operations that this type does not have. Shrinking it while it is mapped makes later
    /// accesses end the process. What is read and written by calls agrees with the mapping on Linux, unless the
    /// [data cache aliases](crate::aliasing); other systems promise nothing.
    ///
    /// A duplicate of it ([`File::try_clone`]) does not keep the [lock](Lock) or the leases when this view is
    /// dropped.
    #[must_use]
    pub const fn file(&self) -> &File {
        self.file.file()
    }

    /// Returns the lock that it holds.
    #[must_use]
    pub const fn lock(&self) -> Lock {
        self.file.lock()
    }

    /// Returns the caches that write its lines back; `None` where the operating system does it by pages.
    #[must_use]
    pub const fn cache(&self) -> Option<Cache> {
        match self.writeback {
            Writeback::Fence(cache) | Writeback::Lines(cache) => Some(cache),
            Writeback::Pages => None,
        }
    }

    /// Returns the first event since opening that puts stored bytes in doubt. It is returned until the file is
    /// closed, whatever succeeds later; [`Taint`] names the bytes in doubt. Events before the opening, and through
    /// other open files, are not known.
    #[doc(alias("is_tainted", "errseq", "fsyncgate"))]
    #[must_use]
    pub fn taint(&self) -> Option<Taint> {
        self.taint.first()
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

    /// Copies bytes out, by loads from the mapping: a page with a media error ends the process by SIGBUS.
    /// If others store to them meanwhile, it may be a mix of whole words.
    ///
    /// # Errors
    /// None today.
    ///
    /// # Panics
    /// If the range is out of range.
    #[doc(alias("read_at", "pread"))]
    #[track_caller]
    pub fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Error> {
        self.mapping.read(at, into);
        Ok(())
    }

    /// Issues the write-back of a range, of everything that this thread has stored to it, and of what others have
    /// stored that this thread had observed before it called [`order_observed`](Self::order_observed).
    ///
    /// By lines this costs an instruction each. By pages it is a call of the operating system, complete when it
    /// returns. Of a [`DaxFile`](super::DaxFile) the call is an `msync` of the pages that the range touches, or the
    /// system's calls for it; of a view it is an `fdatasync` of the whole file.
    ///
    /// [`durability`](crate::durability) compares this call with the others.
    ///
    /// # Errors
    /// [`ErrorKind::Writeback`], if the operating system reports that the range could not be written. If it has
    /// reported a failure since the file was opened, the first one is returned, since it can be about these bytes.
    /// [`NotSupported::ViewNotPersisted`], of a view by pages on other systems than Linux. While a guarded access
    /// (`catch_faults`) to this file has replaced pages by zeros, its error: a store may have gone to the zeros. After it,
    /// [`ErrorKind::Os`] with `mmap after a guarded access`, if the file could not be mapped again.
    ///
    /// # Panics
    /// If the range is out of range, or ends before it starts.
    ///
    /// # Cost
    /// By lines an instruction each, without a lock. By pages the system's call. If it succeeds, it then waits for the
    /// write-backs of this view by pages that other threads have under way, since the kernel reports a failure to one of
    /// them alone. At most 64 of them are under way at a time, and further ones wait.
    #[inline]
    #[track_caller]
    pub fn issue_writeback(&self, range: Range<u64>) -> Result<(), Error> {
        match self.writeback {
            Writeback::Lines(cache) => self.writeback_lines(&range, cache),
            Writeback::Fence(_) => {
                self.mapping.checked_range(&range);
            }
            Writeback::Pages => return self.writeback_pages(&range),
        }
        self.check_stores()
    }

    /// Completes the write-backs that this thread has issued.
    #[inline]
    pub fn fence(&self) {
        match self.writeback {
            Writeback::Fence(cache) | Writeback::Lines(cache) => cache.fence(),
            Writeback::Pages => {}
        }
    }

    /// Orders what this thread has observed of others' stores before the write-backs that it issues next: see
    /// [`Cache::order_observed`](crate::Cache::order_observed). By pages the operating system does it.
    #[inline]
    pub fn order_observed(&self) {
        match self.writeback {
            Writeback::Fence(cache) | Writeback::Lines(cache) => cache.order_observed(),
            Writeback::Pages => {}
        }
    }

    /// Makes a range persistent: write-back and fence.
    ///
    /// [`durability`](crate::durability) compares this call with the others.
    ///
    /// # Errors
    /// As [`issue_writeback`](Self::issue_writeback).
    ///
    /// # Panics
    /// If the range is out of range, or ends before it starts.
    ///
    /// # Cost
    /// As [`issue_writeback`](Self::issue_writeback), and a fence.
    #[inline]
    #[track_caller]
    pub fn persist(&self, range: Range<u64>) -> Result<(), Error> {
        match self.writeback {
            Writeback::Lines(cache) => self.persist_lines(&range, cache),
            Writeback::Fence(cache) => {
                self.mapping.checked_range(&range);
                cache.fence();
            }
            Writeback::Pages => return self.writeback_pages(&range),
        }
        self.check_stores()
    }

    /// Writes several ranges back and completes them with one fence, when `work` returns or unwinds.
    ///
    /// ```
    /// # use cachemaint::dax::Options;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("records");
    /// let file = Options::new().allow_page_granularity().create_new(&path, 1 << 16)?;
    /// file.write(0, &[1; 64]);
    /// file.write(8192, &[2; 64]);
    /// file.view().batch(|batch| {
    ///     batch.writeback(0..64);
    ///     batch.writeback(8192..8256);
    /// })?; // one fence; both are persistent
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// [`durability`](crate::durability) compares this call with the others.
    ///
    /// # Errors
    /// [`ErrorKind::Writeback`], the first one, if the operating system could not write a range; the others
    /// were tried all the same. And as [`issue_writeback`](Self::issue_writeback).
    pub fn batch<R>(&self, work: impl FnOnce(&Batch<'_>) -> R) -> Result<R, Error> {
        let batch = Batch::new(self);
        let result = work(&batch);
        batch.complete()?;
        Ok(result)
    }

    /// Returns the address of a byte of the mapping, to load from.
    ///
    /// # Panics
    /// If the offset is out of range.
    #[must_use]
    pub fn as_ptr(&self, at: u64) -> *const u8 {
        self.mapping.base().as_ptr().wrapping_add(self.mapping.checked(at, 1).start)
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
    /// 3. no thread of this process runs `catch_faults` for this view or file, and none has a guarded call under way: a
    ///    fault replaces bytes by zeros, for all threads and not only where it was.
    #[expect(unsafe_code, reason = "only the caller knows that the range is not written meanwhile")]
    #[must_use]
    pub unsafe fn as_slice(&self, range: Range<u64>) -> &[u8] {
        let range = self.mapping.checked_range(&range);
        let start = self.mapping.base().as_ptr().wrapping_add(range.start);
        // SAFETY: the range is in the mapping, which outlives the slice. That it is not written is the caller's duty
        // (1), and that the bytes stay there (2, 3).
        unsafe { core::slice::from_raw_parts(start, range.len()) }
    }

    /// Refuses to replace a mapping that belongs to the caller.
    pub(super) fn require_own_mapping(&self) -> Result<(), Error> {
        if self.mapping.is_adopted() {
            return Err(Error::new(&self.path, ErrorKind::NotSupported(NotSupported::Adopted)));
        }
        Ok(())
    }

    #[track_caller]
    fn writeback_pages(&self, range: &Range<u64>) -> Result<(), Error> {
        if self.refuses_pages {
            return Err(Error::new(
                &self.path,
                ErrorKind::NotSupported(NotSupported::ViewNotPersisted),
            ));
        }
        self.by_system(range, || {
            let written = self.mapping.writeback_pages(range);
            written.map_err(|error| self.failed_writeback(range, &error))
        })?;
        self.check_stores()
    }

    /// Makes a call that writes a range back by the operating system. A failure of an earlier call, or of one beside it,
    /// is a failure of this one too: bytes of this range may be lost by it, and no call finds that out again.
    pub(super) fn by_system(
        &self,
        range: &Range<u64>,
        call: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        match self.taint.call(call)? {
            Some(Taint::Writeback { at, len, errno }) if !range.is_empty() => {
                Err(Error::new(&self.path, ErrorKind::Writeback { at, len, errno }))
            }
            _ => Ok(()),
        }
    }

    /// Returns false if a write-back of this thread that succeeds may have missed the failure of another one. So it is by
    /// pages in some signal handlers, which do not wait for the calls that are under way.
    #[cfg(feature = "recorder")]
    pub(crate) fn is_success_certain(&self) -> bool {
        !matches!(self.writeback, Writeback::Pages) || self.taint.calls_wait()
    }

    /// Makes a call that writes back and fails, after this work.
    #[cfg(all(test, feature = "recorder", target_os = "linux", not(miri)))]
    pub(crate) fn call_that_fails(&self, work: impl FnOnce()) {
        let failed = self.taint.call(|| {
            work();
            self.taint_all(5);
            Err(())
        });
        debug_assert!(failed.is_err());
    }

    #[cfg(not(target_os = "linux"))]
    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "there is no guard here")]
    pub(super) fn check_stores(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Returns a range of the file, which does not begin before the mapping, as one of the mapping.
    pub(super) const fn in_mapping(&self, bytes: &Range<u64>) -> Range<u64> {
        bytes.start.saturating_sub(self.offset)..bytes.end.saturating_sub(self.offset)
    }

    /// Notes that stored bytes may be lost, whatever succeeds later.
    #[cold]
    pub(super) fn failed_writeback(&self, range: &Range<u64>, error: &io::Error) -> Error {
        let (at, len, errno) = (range.start, range.end - range.start, files::number(error));
        self.taint.by(Taint::Writeback { at, len, errno });
        Error::writeback(&self.path, range, error)
    }

    /// Syncs the file. A failure can be about any stored byte, and the kernel reports it once.
    pub(super) fn sync_file(&self) -> io::Result<()> {
        let sync =
            || self.file.sync_all().inspect_err(|error| self.taint_all(files::number(error)));
        self.taint.call(sync).map(drop)
    }

    /// Notes an error of a call that also syncs the file, if it is of that.
    pub(super) fn note_failed_sync(&self, error: &Error) {
        if let ErrorKind::Os { call: files::SYNC, errno } = *error.kind() {
            self.taint_all(errno);
        }
    }

    /// Notes a failed sync of the file.
    pub(super) fn taint_all(&self, errno: i32) {
        self.taint.by(Taint::Writeback { at: 0, len: self.len(), errno });
    }

    /// Writes the lines of a range back and completes the write-backs of this thread, with one choice of the
    /// instruction. An empty range executes the fence too, which completes the earlier ones.
    #[inline]
    #[track_caller]
    #[expect(unsafe_code, reason = "hands a range of the mapping to the cache's operations")]
    fn persist_lines(&self, range: &Range<u64>, cache: Cache) {
        let range = self.mapping.checked_range(range);
        if range.is_empty() {
            return cache.fence();
        }
        let start = self.mapping.base().as_ptr().wrapping_add(range.start);
        // SAFETY: (1) the range is in the mapping, which can be read.
        unsafe { cache.writeback_range(start, range.len()) };
    }

    #[inline]
    #[expect(unsafe_code, reason = "hands a range of the mapping to the cache's operations")]
    pub(super) fn writeback_lines(&self, range: &Range<u64>, cache: Cache) {
        let range = self.mapping.checked_range(range);
        let start = self.mapping.base().as_ptr().wrapping_add(range.start);
        // SAFETY: (1) the range is in the mapping, which can be read; (2) that nothing may rely on it
        // before the fence is the rule of `Medium`, and of `issue_writeback`.
        unsafe { cache.writeback_range_unfenced(start, range.len()) };
    }
}

#[cfg(all(test, target_os = "linux", not(miri)))]
mod tests {
    use super::super::{DaxFile, Error, ErrorKind, FaultHandler, Options};
    use super::{Writeback, files};
    use crate::cache::Cache;
    use core::sync::atomic::Ordering::Relaxed;
    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
    use std::fs::File;

    /// The file system refuses to map the file again, as one that was shut down does.
    #[test]
    fn a_write_back_fails_while_the_zeros_of_a_guard_are_left() {
        type Call = fn(&DaxFile, u64) -> Result<(), Error>;

        let (Ok(cache), Ok(installed)) = (Cache::host(), FaultHandler::install()) else { return };
        let page = files::page_size() as u64;
        let memfd = File::from(memfd_create(c"file", MemfdFlags::ALLOW_SEALING).unwrap());
        memfd.set_len(2 * page).unwrap();
        let mut file = Options::new().allow_page_granularity().open_file(memfd).unwrap();
        file.persist(0..page).unwrap();
        file.file().set_len(page).unwrap();
        fcntl_add_seals(file.file(), SealFlags::FUTURE_WRITE).unwrap();
        let guarded = file.catch_faults(installed, |file| file.load(page, Relaxed)).unwrap_err();
        assert!(matches!(guarded.kind(), ErrorKind::Os { call: "mmap", .. }), "{guarded}");

        file.store(page, 7, Relaxed);
        for writeback in [Writeback::Pages, Writeback::Lines(cache), Writeback::Fence(cache)] {
            file.view.writeback = writeback;
            let calls: [Call; 4] = [
                |file, at| file.persist(at..at + 8),
                |file, at| file.issue_writeback(at..at + 8),
                |file, at| file.deep_persist(at..at + 8),
                |file, at| file.persist_copy(&[(at, &[7; 8])]),
            ];
            for call in calls {
                let error = call(&file, page).unwrap_err();
                let expected = "mmap after a guarded access";
                assert!(matches!(error.kind(), ErrorKind::Os { call, .. } if *call == expected));
            }
        }
    }

    /// The store went to a page of zeros, which replaced a page that the file has lost.
    #[test]
    fn a_write_back_of_a_store_that_a_guard_has_lost_fails_by_lines_too() {
        let (Ok(cache), Ok(installed)) = (Cache::host(), FaultHandler::install()) else { return };
        let directory = tempfile::tempdir().unwrap();
        let page = files::page_size() as u64;
        let options = Options::new().allow_page_granularity();
        let mut file = options.create_new(directory.path().join("file"), 2 * page).unwrap();
        file.file().set_len(page).unwrap();
        let lost = |written: Result<(), Error>| {
            matches!(written.unwrap_err().kind(), ErrorKind::Shorter { .. })
        };
        for writeback in [Writeback::Lines(cache), Writeback::Fence(cache)] {
            file.view.writeback = writeback;
            let guarded = file.catch_faults(installed, |file| {
                file.store(page, 7, Relaxed);
                assert!(lost(file.issue_writeback(page..page + 8)));
                assert!(lost(file.persist(page..page + 8)));
                assert!(lost(file.deep_persist(page..page + 8)));
            });
            assert!(lost(guarded));
        }
    }
}
