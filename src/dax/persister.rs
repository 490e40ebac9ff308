//! Persistence for mappings that the program has made itself, such as the RAM of a guest.
//!
//! # Why this file is unsafe
//! It trusts the caller's description of the mapping.

use super::latch::Failure;
use super::mapping::Mapping;
use super::opening::method_of;
use super::system::host::{self, DeepFlush};
use super::system::{Pages, Unflushed, files};
use super::{Error, Guarantee, Writeback};
use crate::arch::Unsupported;
use crate::cache::Cache;
use crate::medium::Granularity;
use alloc::format;
use core::ops::Range;
use core::ptr::NonNull;

/// Makes the bytes of the program's own mapping persistent. The program maps and unmaps it, and holds the lock and the
/// descriptor of the file.
///
/// ```
/// use cachemaint::dax::{Persister, probe};
/// use core::ptr::NonNull;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let path = tempfile::NamedTempFile::new()?;
/// # let file = path.as_file();
/// # file.set_len(4096)?;
/// // SAFETY: no other code knows of the mapping, and nothing shrinks the file.
/// let mut map = unsafe { memmap2::MmapMut::map_mut(file)? };
/// let bytes = NonNull::from(&mut map[..]);
/// // SAFETY: (1) a shared mapping of the file, which outlives the value; (2) memmap2 does not pass MAP_SYNC.
/// let persister = unsafe { Persister::new(&probe(&path)?, bytes, false)? };
/// map[..14].copy_from_slice(b"eight by eight");
/// persister.persist(0..14)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Persister {
    mapping: Mapping,
    granularity: Granularity,
}

impl Persister {
    /// Takes a mapping of the file with this guarantee, which must come from [`probe`](super::probe) unchanged.
    ///
    /// `is_synchronous` is true for a mapping that was made with `MAP_SYNC`, and for one of device DAX. Any other
    /// mapping is persisted in whole pages, whatever the guarantee says.
    ///
    /// # Errors
    /// If this machine cannot reach the point that the guarantee requires.
    ///
    /// # Panics
    /// If the mapping does not begin at a page boundary.
    ///
    /// # Safety
    /// 1. Until the value is dropped the bytes are a shared mapping (`MAP_SHARED`) of the file, by a descriptor for
    ///    reading *and writing*. With any other descriptor Linux treats the mapping as private, and `msync` skips it
    ///    and succeeds.
    /// 2. `is_synchronous` is true only for a mapping as above.
    pub unsafe fn new(
        guarantee: &Guarantee,
        mapping: NonNull<[u8]>,
        is_synchronous: bool,
    ) -> Result<Self, Unsupported> {
        let page = files::page_size();
        let base = mapping.cast::<u8>();
        assert!(
            base.addr().get().is_multiple_of(page),
            "a mapping begins at a page, not at {base:p}"
        );
        let (granularity, writeback) = if is_synchronous {
            (guarantee.granularity, method_of(guarantee, Cache::host)?)
        } else {
            (Granularity::Page(page), Writeback::Pages)
        };
        let path = format!("the mapping at {base:p}");
        let pages = Adopted { base, deep_flush: guarantee.medium_flush() };
        // SAFETY: (1) is the caller's duty (1); (2) was checked; (3) nothing is accessed here.
        let mapping = unsafe { Mapping::new(path.as_ref(), base, mapping.len(), writeback, pages) };
        Ok(Self { mapping, granularity })
    }

    /// Returns the smallest unit that is made persistent.
    #[must_use]
    pub const fn granularity(&self) -> Granularity {
        self.granularity
    }

    /// Returns the handle that writes lines back; `None` if the operating system writes whole pages back.
    #[must_use]
    pub const fn cache(&self) -> Option<Cache> {
        self.mapping.cache()
    }

    /// Makes a range of the mapping persistent, as [`DaxView::persist`](super::DaxView::persist) does.
    ///
    /// # Errors
    /// Page by page: [`ErrorKind::Writeback`](super::ErrorKind::Writeback), which each later call returns too. Its path
    /// names the address of the mapping. A truncated file is not noticed.
    ///
    /// # Panics
    /// If the range is out of range, or ends before it starts.
    ///
    /// # Cost
    /// Line by line: one instruction a line and a fence. Page by page: an `msync` of the pages that the range touches.
    #[inline]
    #[track_caller]
    pub fn persist(&self, range: Range<u64>) -> Result<(), Error> {
        self.mapping.persist(range)
    }

    /// Makes a range persistent past the buffers of the device, as
    /// [`DaxView::deep_persist`](super::DaxView::deep_persist) does.
    ///
    /// # Errors
    /// As [`persist`](Self::persist). On device DAX [`ErrorKind::NotFlushed`](super::ErrorKind::NotFlushed) with the
    /// attribute of the region, if that is missing, has a value other than 0 and 1, or cannot be read or written. The
    /// lines were still written back.
    ///
    /// # Panics
    /// As [`persist`](Self::persist).
    ///
    /// # Cost
    /// As [`persist`](Self::persist), and an `msync` or some files of `/sys`.
    #[doc(alias("pmem_deep_persist", "pmem2_deep_flush"))]
    #[track_caller]
    pub fn deep_persist(&self, range: Range<u64>) -> Result<(), Error> {
        self.mapping.deep_persist(range)
    }
}

/// The pages of the program's mapping, which the program unmaps.
#[derive(Debug)]
struct Adopted {
    base: NonNull<u8>,
    /// The flush of device DAX.
    deep_flush: Option<DeepFlush>,
}

// SAFETY: nothing is accessed through the address.
unsafe impl Send for Adopted {}
// SAFETY: as above.
unsafe impl Sync for Adopted {}

impl Pages for Adopted {
    fn writeback(&self, range: Range<usize>) -> Result<(), Failure> {
        let (at, len) = (range.start as u64, range.len() as u64);
        // SAFETY: (1) the range is in the mapping, which exists until the value is dropped.
        unsafe { host::sync(self.base.as_ptr().wrapping_add(range.start), range.len()) }
            .map_err(|error| Failure::Writeback { at, len, errno: files::number(&error) })
    }

    fn flush_device(&self) -> Option<Result<(), Unflushed>> {
        self.deep_flush.as_ref().map(DeepFlush::flush)
    }
}

#[cfg(test)]
mod tests {
    use super::Persister;
    use crate::dax::probe;
    use crate::dax::system::files::path_of;
    use crate::medium::Granularity;
    use core::ptr::NonNull;
    use std::io::Write as _;

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no file system to ask")]
    fn a_descriptor_has_the_guarantee_of_its_file_after_its_name_was_removed() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[1; 5000]).unwrap();
        let guarantee = probe(path_of(&file)).unwrap();
        // SAFETY: no other program has the file.
        let mut map = unsafe { memmap2::MmapMut::map_mut(&file) }.unwrap();
        // SAFETY: (1) as above; (2) memmap2 does not pass MAP_SYNC.
        let persister =
            unsafe { Persister::new(&guarantee, NonNull::from(&mut map[..]), false) }.unwrap();
        assert!(matches!(persister.granularity(), Granularity::Page(_)));
        assert_eq!(persister.cache(), None);
        for range in [0..5000, 4999..5000, 4096..4096, 1..1] {
            persister.persist(range.clone()).unwrap();
            persister.deep_persist(range).unwrap();
        }
    }
}
