//! Mappings that the caller has made.
//!
//! # Why this file is unsafe
//! It relies on the caller for the mapping.

use super::Options;
use super::opening::Mapped;
use crate::dax::lock::Lock;
use crate::dax::system::{Access, Host, Plan, files};
use crate::dax::{DaxFile, Error, file};
use core::ptr::NonNull;
use std::fs::File;

/// Mappings that the caller has made, on Linux.
impl Options {
    /// Takes a mapping that the caller has made of an open file, instead of making one: the RAM of a guest, or a mapping
    /// that another library owns. Dropping the [`DaxFile`] does not unmap it.
    ///
    /// The mapping begins at [`offset`](Self::offset) in the file. Its length replaces [`len`](Self::len). File and lock
    /// are handled as by [`open_file`](Self::open_file), and the guarantee rests on the same evidence. By pages each
    /// [failed write-back](Self::open_file) is reported to one duplicate of a descriptor alone: map the file by a
    /// descriptor that was opened for it, and give that one.
    ///
    /// [`DaxView::cache`](crate::dax::DaxView::cache) is the handle for the caller's own write-backs of the mapping. It is `None` where only
    /// [`DaxFile::persist`] makes bytes persistent.
    ///
    /// # Granularity
    /// A file that is mapped directly is persisted by lines or finer if the mapping was made with `MAP_SYNC`. The kernel
    /// shows that (flag `sf` in `/proc/self/smaps`). Any other mapping gets page granularity, and is refused unless
    /// [pages are allowed](Self::allow_page_granularity). The same is true if this flag cannot be read. Any mapping of
    /// device DAX is accepted.
    ///
    /// # Changes of the mapping
    /// Operations that would replace pages of the mapping are refused ([`NotSupported::Adopted`]): [`DaxFile::grow`],
    /// [`DaxFile::shrink`] and [`DaxFile::catch_faults`]. To change its length, drop the [`DaxFile`], change file and
    /// mapping, and adopt it again.
    ///
    /// # Safety
    /// From this call on, until the [`DaxFile`] is dropped:
    /// 1. The bytes are a shared mapping (`MAP_SHARED`) of exactly this file from the offset on, for reading and writing,
    ///    up to the end of the last page.
    /// 2. Nothing unmaps, moves, replaces or protects a page of it.
    /// 3. This process makes no reference to the bytes except to atomic words. Another access of this process that can
    ///    happen at the same time as one by the [`DaxFile`] to the same bytes is atomic, to an aligned word of 8 bytes.
    /// 4. No forked child that inherits the mapping uses it.
    ///
    /// On a machine whose [data cache aliases](crate::aliasing), address and offset must be congruent too, or this
    /// mapping does not agree with others.
    ///
    /// # Errors
    /// As [`open_file`](Self::open_file). [`InvalidInput::Mapping`] if the kernel (`/proc/self/maps`) shows a private
    /// mapping, one that cannot be written, or one of another part of a file. It is not checked that the file is this one.
    ///
    /// # Panics
    /// If the mapping does not begin at a page.
    ///
    /// # Cost
    /// For a file that is mapped directly, `/proc/self/smaps` is read: the kernel looks at the page tables of the whole
    /// process. Later calls cost what they cost for a mapping that is made here.
    ///
    /// [`NotSupported::Adopted`]: crate::dax::NotSupported::Adopted
    /// [`InvalidInput::Mapping`]: crate::dax::InvalidInput::Mapping
    #[doc(alias("from_raw_parts", "mmap", "guest memory", "bring your own memory"))]
    pub unsafe fn adopt(
        &self,
        file: impl Into<File>,
        mapping: NonNull<[u8]>,
    ) -> Result<DaxFile, Error> {
        let base = mapping.cast::<u8>();
        let page = files::page_size();
        assert!(
            base.addr().get().is_multiple_of(page),
            "a mapping begins at a page, not at {base:p}"
        );
        let options = self.clone().len(mapping.len() as u64);
        let file = file.into();
        let path = files::name_of(&file);
        let lock = options.lock_or(Lock::Exclusive);
        let (file, extent) = file::take::<Host>(&path, file, Access::ReadAndWrite, lock)?;
        let len = options.mapped_len(&path, extent)?;

        let cache = options.cache_or_host().ok();
        let guarantee = Host::guarantee_of_adopted(&path, &file, mapping, options.offset, cache)?;
        let guarantee = guarantee.with_name_of(&path, &file)?;
        let writeback = options.method(&path, &guarantee)?;
        file::make_durable(&path, &file, writeback)?;
        let plan = Plan {
            finishes: lock == Lock::Exclusive,
            ..options.plan(Access::ReadAndWrite, len, writeback)
        };
        // SAFETY: (1) the caller's duties 1 and 2, until the value is dropped; (2) it was checked; (3) the caller's duty 3.
        let mapping = unsafe { Host::adopt(&path, &file, &plan, base) }?;
        Ok(DaxFile::of(options.view_of(&path, file, Mapped { mapping, writeback, guarantee })))
    }
}
