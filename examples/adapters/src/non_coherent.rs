//! The common part of both adapters: the kernel's services, and memory that a device may write.
//!
//! A device that does not snoop may only write *whole granules*, the unit that this machine's caches write back at
//! once. A buffer that shares a granule with other data therefore goes through a *bounce buffer* of whole granules.
//! Rings, which both sides write all the time, lie in non-cacheable pages.

use cachemaint::coherence::{self, Maintain};
use core::alloc::Layout;
use core::fmt;
use core::ptr::NonNull;

/// The unit in which a kernel changes the type of memory.
pub const PAGE: usize = 4096;

/// The kernel's services: memory that devices can access, and its mappings.
///
/// # Safety
/// An implementation guarantees:
/// 1. [`allocate`](Self::allocate) returns zeroed memory with that layout, mapped cacheable, contiguous for the device,
///    and not used by anyone else until it is freed.
/// 2. [`to_device`](Self::to_device) and [`to_cpu`](Self::to_cpu) are inverse for such memory.
/// 3. If [`set_cacheable`](Self::set_cacheable) returns true, every mapping of the pages has the new type, on each CPU
///    and for the hypervisor.
pub unsafe trait Memory: Send + Sync {
    /// Allocates memory for DMA.
    fn allocate(&self, layout: Layout) -> Option<NonNull<u8>>;

    /// Frees memory that `allocate` returned.
    ///
    /// # Safety
    /// 1. It was allocated with this layout, and neither the device nor the kernel uses it.
    unsafe fn free(&self, start: NonNull<u8>, layout: Layout);

    /// Returns the device's address of a byte that the kernel has mapped.
    fn to_device(&self, start: NonNull<u8>) -> u64;

    /// Returns the kernel's address of memory that `allocate` returned.
    fn to_cpu(&self, start: u64) -> NonNull<u8>;

    /// Maps whole pages as cacheable or non-cacheable. Returns false if their type is unchanged.
    ///
    /// # Safety
    /// 1. They were returned by `allocate`, and nothing accesses them during the call.
    unsafe fn set_cacheable(&self, start: NonNull<u8>, len: usize, cacheable: bool) -> bool;
}

/// The caches and the memory of a machine with devices that do not snoop.
#[derive(Clone, Copy)]
pub struct NonCoherent<C> {
    /// The maintenance of the caches: `Cache::privileged`, or the type for the board.
    pub cache: C,
    /// The memory that devices can access.
    pub memory: &'static dyn Memory,
}

impl<C: fmt::Debug> fmt::Debug for NonCoherent<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NonCoherent").field("cache", &self.cache).finish_non_exhaustive()
    }
}

impl<C: Maintain> NonCoherent<C> {
    /// Returns true if a buffer shares no granule with other data.
    pub(crate) fn is_whole(&self, start: NonNull<u8>, len: usize) -> bool {
        let granule = self.cache.granule();
        start.addr().get().is_multiple_of(granule) && len.is_multiple_of(granule)
    }

    /// Returns the layout of whole granules that holds `layout`; `None` if there is none, or for zero bytes.
    fn whole(&self, layout: Layout) -> Option<Layout> {
        let granule = self.cache.granule();
        let len = layout.size().checked_next_multiple_of(granule).filter(|len| *len != 0)?;
        Layout::from_size_align(len, layout.align().max(granule)).ok()
    }

    /// Allocates zeroed memory of whole granules.
    pub(crate) fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        self.memory.allocate(self.whole(layout)?)
    }

    /// Frees memory that [`allocate`](Self::allocate) returned.
    ///
    /// # Safety
    /// 1. As for [`Memory::free`].
    pub(crate) unsafe fn free(&self, start: NonNull<u8>, layout: Layout) {
        if let Some(layout) = self.whole(layout) {
            // SAFETY: (1) is the caller's duty; the same layout makes the same whole one.
            unsafe { self.memory.free(start, layout) };
        }
    }

    /// Allocates zeroed non-cacheable pages. Returns `None` if there are none, or if the kernel cannot map them that
    /// way.
    pub(crate) fn allocate_uncached(&self, layout: Layout) -> Option<NonNull<u8>> {
        let layout = pages(layout)?;
        let start = self.allocate(layout)?;
        // SAFETY: (1) nobody else has them yet.
        if !unsafe { self.memory.set_cacheable(start, layout.size(), false) } {
            // SAFETY: (1) as above.
            unsafe { self.free(start, layout) };
            return None;
        }
        // The zeros are still in dirty lines. SAFETY: (1) the pages are mapped, and nobody else has them.
        unsafe {
            coherence::release_range_to_writer(&self.cache, start.as_ptr(), layout.size());
        }
        Some(start)
    }

    /// Frees pages that [`allocate_uncached`](Self::allocate_uncached) returned. Returns false if the kernel cannot map
    /// them as cacheable; they are then never reused.
    ///
    /// # Safety
    /// 1. As for [`Memory::free`].
    #[must_use]
    pub(crate) unsafe fn free_uncached(&self, start: NonNull<u8>, layout: Layout) -> bool {
        let Some(layout) = pages(layout) else { return false };
        // SAFETY: (1) is the caller's duty.
        if !unsafe { self.memory.set_cacheable(start, layout.size(), true) } {
            return false;
        }
        // SAFETY: (1) is the caller's duty.
        unsafe { self.free(start, layout) };
        true
    }

    /// Gives a buffer, or a range of it, to a device to write: the granules that the range touches. Their bytes are not
    /// lost.
    ///
    /// # Safety
    /// 1. The buffer is mapped, and shares its granules with nothing.
    pub(crate) unsafe fn release_to_writer(&self, start: NonNull<u8>, len: usize) {
        let granule = self.cache.granule();
        let before = start.addr().get() % granule;
        let (start, len) = (start.as_ptr().wrapping_sub(before), before + len);
        // SAFETY: (1) is the caller's duty.
        unsafe {
            coherence::release_range_to_writer(&self.cache, start, len.next_multiple_of(granule));
        }
    }
}

/// Returns the layout of whole pages that holds `layout`.
fn pages(layout: Layout) -> Option<Layout> {
    let len = layout.size().checked_next_multiple_of(PAGE)?;
    Layout::from_size_align(len, layout.align().max(PAGE)).ok()
}
