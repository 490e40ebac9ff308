//! Files mapped for reading only.

mod writeback;

use super::lock::{Lock, OpenFile};
use super::mapping::Mapping;
use super::taint::{Taint, Tainted};
use super::{Error, ErrorKind, Guarantee, NotSupported, Writeback};
use crate::cache::Cache;
use crate::medium::{Granularity, Readable};
use alloc::boxed::Box;
use core::any::Any;
use core::ops::Range;
use core::sync::atomic::Ordering;
use std::fs::File;
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

    fn check(&self) -> Result<(), Error> {
        match self.taint() {
            None => Ok(()),
            Some(Taint::Writeback { at, len, errno }) => {
                Err(Error::new(&self.path, ErrorKind::Writeback { at, len, errno }))
            }
            Some(Taint::Fault { at, len } | Taint::Cleared { at, len }) => {
                Err(Error::new(&self.path, ErrorKind::Poisoned { at, len }))
            }
        }
    }

    fn as_any_view(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl DaxView {
    /// Returns the view behind a medium, if there is one and the medium begins where the view does.
    #[cfg(any(feature = "recorder", feature = "preserve"))]
    #[inline]
    pub(crate) fn of<M: Readable>(medium: &M) -> Option<&Self> {
        medium.as_any_view()?.downcast_ref()
    }

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

    /// Returns the address of a byte of the mapping, to load from.
    ///
    /// # Panics
    /// If the offset is out of range.
    #[must_use]
    #[track_caller]
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
    #[track_caller]
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

    /// Returns a range of the file, which does not begin before the mapping, as one of the mapping.
    pub(super) const fn in_mapping(&self, bytes: &Range<u64>) -> Range<u64> {
        bytes.start.saturating_sub(self.offset)..bytes.end.saturating_sub(self.offset)
    }
}
