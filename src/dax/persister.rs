//! Addresses of mappings that the program has made itself, and of which it keeps no [`DaxFile`](super::DaxFile).
//!
//! # Why this file is unsafe
//! It takes the caller's word that an address is in a mapping of the file, made as the granularity needs.

use super::options::method_of;
use super::system::{DeepFlush, Host};
use super::{Guarantee, Writeback};
use crate::arch::Unsupported;
use crate::cache::Cache;
use crate::medium::Granularity;
use alloc::sync::Arc;
use std::io;

/// The way to make addresses persistent that are in a mapping of one file, as its [`Guarantee`] says. The mapping is the
/// program's: nothing here maps, locks, or keeps a descriptor.
///
/// It is for programs that have their mappings from elsewhere, as from another library. [`Options::adopt`] makes a
/// [`DaxFile`](super::DaxFile) of such a mapping, which checks more.
///
/// ```
/// use cachemaint::dax::{Persister, probe};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let file = tempfile::NamedTempFile::new()?;
/// # file.as_file().set_len(4096)?;
/// let persister = Persister::new(&probe(&file)?)?;
/// println!("{}", persister.granularity()); // a line or finer asks for MAP_SYNC
/// // SAFETY: no other code knows of the mapping, and nothing shrinks the file.
/// let mut map = unsafe { memmap2::MmapMut::map_mut(&file)? };
/// map[..14].copy_from_slice(b"eight by eight");
/// // SAFETY: the range is in a shared mapping of the file. It has page granularity here.
/// unsafe { persister.persist_range(map.as_ptr(), 14) }?;
/// # Ok(())
/// # }
/// ```
///
/// [`Options::adopt`]: super::Options::adopt
#[derive(Clone, Debug)]
pub struct Persister {
    granularity: Granularity,
    writeback: Writeback,
    /// Of a device without a file system.
    deep_flush: Option<Arc<DeepFlush>>,
}

impl Persister {
    /// Returns the method for the file with this guarantee, by the caches of this machine. Pass the guarantee unchanged: an
    /// edited one can select a method that does not make the bytes durable.
    ///
    /// # Errors
    /// If this machine cannot reach the point that the guarantee is about; not for a guarantee from
    /// [`probe`](super::probe) on the same machine.
    pub fn new(guarantee: &Guarantee) -> Result<Self, Unsupported> {
        Ok(Self {
            granularity: guarantee.granularity,
            writeback: method_of(guarantee, Cache::host)?,
            deep_flush: Host::deep_flush_of(guarantee).map(Arc::new),
        })
    }

    /// Returns the smallest unit that is made persistent. A line or finer needs a mapping that was made with `MAP_SYNC`, or
    /// one of device DAX.
    #[must_use]
    pub const fn granularity(&self) -> Granularity {
        self.granularity
    }

    /// Returns the caches that write lines back; `None` where the operating system does it by pages.
    #[must_use]
    pub const fn cache(&self) -> Option<Cache> {
        match self.writeback {
            Writeback::Fence(cache) | Writeback::Lines(cache) => Some(cache),
            Writeback::Pages => None,
        }
    }

    /// Makes `len` bytes from `start` on persistent, as [`DaxView::persist`](super::DaxView::persist) does.
    ///
    /// [`durability`](crate::durability) compares this call with the others.
    ///
    /// # Errors
    /// By pages that of `msync`; `ENOMEM` if a page is not mapped. By lines it always succeeds. A file that was cut within the
    /// last page of the range is not noticed, and the bytes behind its end are lost.
    ///
    /// # Cost
    /// By lines one instruction a line and a fence; by pages an `msync` of the pages that the range touches.
    ///
    /// # Safety
    /// 1. The range is in a shared mapping of the file, for reading at least, by which the granularity is kept: one that
    ///    was made with `MAP_SYNC` or of device DAX, unless it is a page.
    /// 2. By pages the mapping was made by a descriptor for reading *and writing*. Linux takes a mapping by another one for
    ///    private (`do_mmap` in `mm/mmap.c` clears `VM_SHARED`), and `msync` skips it and succeeds (`mm/msync.c`).
    #[inline]
    pub unsafe fn persist_range(&self, start: *const u8, len: usize) -> io::Result<()> {
        match self.writeback {
            Writeback::Lines(cache) => {
                // SAFETY: (1) the range can be read: the caller's duty (1).
                unsafe { cache.writeback_range(start, len) };
                Ok(())
            }
            Writeback::Fence(cache) => {
                cache.fence();
                Ok(())
            }
            // SAFETY: the caller's duty (1).
            Writeback::Pages => unsafe { Host::sync_range(start, len) },
        }
    }

    /// Makes `len` bytes from `start` on persistent past the buffers of the medium, as
    /// [`DaxFile::deep_persist`](super::DaxFile::deep_persist) does, and lines also where the caches are in the
    /// persistence domain. They survive a failure of the power supply's reserve, if the medium has a flush for it.
    ///
    /// [`durability`](crate::durability) compares this call with the others.
    ///
    /// # Errors
    /// That of `msync`. On device DAX [`io::ErrorKind::Unsupported`] with the attribute of the region, if it is missing, has
    /// another value than 0 and 1, or cannot be read or written. The lines were written back all the same.
    ///
    /// # Cost
    /// As [`persist_range`](Self::persist_range), and an `msync` or some files of `/sys`.
    ///
    /// # Safety
    /// As [`persist_range`](Self::persist_range). Duty 2 is that of any granularity here, but for device DAX.
    #[doc(alias("pmem_deep_persist", "pmem2_deep_flush"))]
    pub unsafe fn deep_persist_range(&self, start: *const u8, len: usize) -> io::Result<()> {
        if let Some(cache) = self.cache() {
            // SAFETY: (1) the range can be read: the caller's duty (1).
            unsafe { cache.writeback_range(start, len) };
        }
        match &self.deep_flush {
            Some(deep_flush) if len > 0 => deep_flush.flush().map_err(io::Error::from),
            Some(_) => Ok(()),
            // SAFETY: the caller's duty (1).
            None => unsafe { Host::sync_range(start, len) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Persister;
    use crate::dax::probe;
    use crate::dax::system::files::path_of;
    use crate::medium::Granularity;
    use std::io::Write as _;

    fn is_send_sync<T: Send + Sync + Clone>(_: &T) {}

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no file system to ask")]
    fn a_descriptor_has_the_guarantee_of_its_file_after_its_name_was_removed() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[1; 5000]).unwrap();
        let guarantee = probe(path_of(&file)).unwrap();
        assert!(!guarantee.has_name);
        let persister = Persister::new(&guarantee).unwrap();
        is_send_sync(&persister);
        assert_eq!(persister.granularity(), guarantee.granularity);
        let Granularity::Page(page) = persister.granularity() else { return };
        assert_eq!(persister.cache(), None);
        // SAFETY: no other program has the file.
        let map = unsafe { memmap2::Mmap::map(&file) }.unwrap();
        for range in [0..5000, 4999..5000, 4096..4096, 1..1] {
            // SAFETY: the range is in a shared mapping of the file.
            unsafe { persister.persist_range(map[range.clone()].as_ptr(), range.len()) }.unwrap();
            // SAFETY: as above.
            unsafe { persister.deep_persist_range(map[range.clone()].as_ptr(), range.len()) }
                .unwrap();
        }
        // Nothing is mapped in the first page. QEMU's user mode reserves all addresses of 32 bits, and msync succeeds.
        if cfg!(target_pointer_width = "64") {
            let nowhere = core::ptr::without_provenance(page / 2);
            // SAFETY: nothing is accessed: by pages only the kernel looks at the address.
            let error = unsafe { persister.persist_range(nowhere, 1) };
            assert_eq!(error.unwrap_err().raw_os_error(), Some(libc::ENOMEM));
        }
    }
}
