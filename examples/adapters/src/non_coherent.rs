//! What both adapters share: the part of the kernel, and the memory that a device may write.
//!
//! A device that does not snoop writes only *whole granules*: the unit that this machine's caches write back at once. A
//! buffer that shares a granule with other data goes through a *bounce buffer* of whole granules. Rings, which both sides
//! write all the time, lie in pages that are not cacheable.

use cachemaint::coherence::{self, Maintain};
use core::alloc::Layout;
use core::fmt;
use core::ptr::NonNull;

/// The unit in which a kernel changes the type of memory.
pub const PAGE: usize = 4096;

/// The kernel's part: memory that devices reach, and its mappings.
///
/// # Safety
/// An implementation guarantees:
/// 1. [`allocate`](Self::allocate) returns zeroed memory of that layout, mapped cacheable, contiguous to the device, and
///    used by nobody else until it is freed.
/// 2. [`to_device`](Self::to_device) and [`to_cpu`](Self::to_cpu) are inverse for such memory.
/// 3. If [`set_cacheable`](Self::set_cacheable) returns true, every mapping of the pages has the new type, on each CPU and to
///    the hypervisor.
pub unsafe trait Memory: Send + Sync {
    /// Allocates memory for DMA.
    fn allocate(&self, layout: Layout) -> Option<NonNull<u8>>;

    /// Frees memory that `allocate` returned.
    ///
    /// # Safety
    /// 1. It was allocated with this layout, and neither the device nor the kernel uses it.
    unsafe fn free(&self, start: NonNull<u8>, layout: Layout);

    /// Returns the address by which the device reaches a byte that the kernel has mapped.
    fn to_device(&self, start: NonNull<u8>) -> u64;

    /// Returns the address by which the kernel reaches memory that `allocate` returned.
    fn to_cpu(&self, start: u64) -> NonNull<u8>;

    /// Maps whole pages as cacheable or as not cacheable. False if their type is unchanged.
    ///
    /// # Safety
    /// 1. They were returned by `allocate`, and nothing accesses them during the call.
    unsafe fn set_cacheable(&self, start: NonNull<u8>, len: usize, cacheable: bool) -> bool;
}

/// The caches and the memory of a machine whose devices do not snoop.
#[derive(Clone, Copy)]
pub struct NonCoherent<C> {
    /// Maintains the caches: `Cache::privileged`, or the type for the board.
    pub cache: C,
    /// Memory that devices reach.
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

    /// Returns the layout of whole granules that holds `layout`. `None` if no such layout exists, or for no byte.
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

    /// Allocates zeroed pages that are not cacheable. `None` if there are none, or the kernel cannot map them so.
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

    /// Frees pages that [`allocate_uncached`](Self::allocate_uncached) returned. False if the kernel cannot map them as
    /// cacheable: they are never used again then.
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

    /// Gives away a buffer that the device writes, or a range of it: the granules that the range touches. Nothing of them
    /// is lost.
    ///
    /// # Safety
    /// 1. The buffer is mapped, and has its granules to itself.
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
