//! dma-api 0.10: a [`DmaOp`] for devices that do not snoop.
//!
//! dma-api calls `sync_*` when memory changes hands. This implementation replaces the bodies for the device: by default
//! they invalidate what the device will write, which loses bytes that the CPU has stored there and the device does not
//! write. It also replaces `invalidate`, which by default discards neighbouring bytes on arm64. The bodies for the CPU
//! stay: they call `invalidate`, and copy from the bounce buffer.
//!
//! ```
//! use cachemaint::coherence::Maintain;
//! use cachemaint_adapters::non_coherent::{Memory, NonCoherent};
//! use dma_api::{DeviceDma, DmaCoherency, DmaConstraints, DmaDeviceInfo, DmaDomainId};
//!
//! /// Returns what drivers allocate and map by. Call it once for a device.
//! fn attach(cache: impl Maintain + 'static, memory: &'static dyn Memory) -> DeviceDma {
//!     let reaches = DmaConstraints::new(u32::MAX.into());
//!     let info = DmaDeviceInfo::new(DmaDomainId::Direct, DmaCoherency::NonCoherent, reaches);
//!     DeviceDma::new(info, Box::leak(Box::new(NonCoherent { cache, memory })))
//! }
//! ```

use crate::non_coherent::{NonCoherent, PAGE};
use cachemaint::coherence::{self, Maintain};
use core::alloc::Layout;
use core::num::NonZeroUsize;
use core::ptr::NonNull;
use dma_api::{
    DmaAllocHandle, DmaCoherency, DmaConstraints, DmaDirection, DmaError, DmaMapHandle, DmaOp,
};

impl<C: Maintain + 'static> DmaOp for NonCoherent<C> {
    fn page_size(&self) -> usize {
        PAGE
    }

    unsafe fn alloc_contiguous(
        &self,
        constraints: DmaConstraints,
        layout: Layout,
    ) -> Option<DmaAllocHandle> {
        let layout = layout.align_to(constraints.align).ok()?;
        let start = self.allocate(layout)?;
        let device = self.memory.to_device(start).into();
        // SAFETY: it is allocated by that layout, and at that address of the device.
        Some(unsafe { DmaAllocHandle::new(start, start, device, layout) })
    }

    unsafe fn dealloc_contiguous(&self, handle: DmaAllocHandle) {
        // SAFETY: (1) the layout is that of the allocation, and the caller has given up the handle.
        unsafe { self.free(handle.allocation_ptr(), handle.layout()) };
    }

    unsafe fn alloc_coherent(
        &self,
        constraints: DmaConstraints,
        layout: Layout,
    ) -> Option<DmaAllocHandle> {
        let layout = layout.align_to(constraints.align).ok()?;
        let start = self.allocate_uncached(layout)?;
        let device = self.memory.to_device(start).into();
        // SAFETY: as above.
        Some(unsafe { DmaAllocHandle::new(start, start, device, layout) })
    }

    unsafe fn dealloc_coherent(&self, handle: DmaAllocHandle) -> Result<(), DmaError> {
        // SAFETY: (1) as above.
        let is_free = unsafe { self.free_uncached(handle.allocation_ptr(), handle.layout()) };
        if is_free { Ok(()) } else { Err(DmaError::CoherentReleaseFailed) }
    }

    unsafe fn map_streaming(
        &self,
        constraints: DmaConstraints,
        addr: NonNull<u8>,
        size: NonZeroUsize,
        direction: DmaDirection,
    ) -> Result<DmaMapHandle, DmaError> {
        let layout = Layout::from_size_align(size.get(), constraints.align)?;
        let device = self.memory.to_device(addr);
        let is_read_only = direction == DmaDirection::ToDevice;
        let is_aligned = device.is_multiple_of(layout.align() as u64);
        if is_aligned && (is_read_only || self.is_whole(addr, size.get())) {
            // SAFETY: the caller vouches for the buffer.
            return Ok(unsafe { DmaMapHandle::new(addr, device.into(), layout, None) });
        }
        let bounce = self.allocate(layout).ok_or(DmaError::NoMemory)?;
        let device = self.memory.to_device(bounce).into();
        // SAFETY: as above; the bounce buffer has that layout.
        Ok(unsafe { DmaMapHandle::new(addr, device, layout, Some(bounce)) })
    }

    unsafe fn unmap_streaming(&self, handle: DmaMapHandle) {
        if let Some(bounce) = handle.bounce_ptr() {
            // SAFETY: (1) as above.
            unsafe { self.free(bounce, handle.layout()) };
        }
    }

    fn flush(&self, addr: NonNull<u8>, size: usize) {
        // SAFETY: (1) dma-api calls this for memory of its handles.
        unsafe { coherence::release_range(&self.cache, addr.as_ptr(), size) };
    }

    fn invalidate(&self, addr: NonNull<u8>, size: usize) {
        // SAFETY: (1), (2) as above.
        unsafe { coherence::acquire_range(&self.cache, addr.as_ptr(), size) };
    }

    fn flush_invalidate(&self, addr: NonNull<u8>, size: usize) {
        // SAFETY: (1) as above; what a device writes has its granules to itself.
        unsafe { self.release_to_writer(addr, size) };
    }

    fn sync_alloc_for_device(
        &self,
        handle: &DmaAllocHandle,
        offset: usize,
        size: usize,
        direction: DmaDirection,
    ) {
        // SAFETY: dma-api has checked that the range is one of the buffer.
        let start = unsafe { handle.as_ptr().add(offset) };
        match direction {
            DmaDirection::ToDevice => self.flush(start, size),
            DmaDirection::FromDevice | DmaDirection::Bidirectional => {
                self.flush_invalidate(start, size);
            }
        }
    }

    fn sync_map_for_device(
        &self,
        handle: &DmaMapHandle,
        offset: usize,
        size: usize,
        direction: DmaDirection,
        coherency: DmaCoherency,
    ) {
        // SAFETY: as above.
        let mut start = unsafe { handle.as_ptr().add(offset) };
        if let Some(bounce) = handle.bounce_ptr() {
            // SAFETY: as above.
            let bounced = unsafe { bounce.add(offset) };
            // Bytes that the device does not write come back as they were. SAFETY: both have the range.
            unsafe { bounced.copy_from_nonoverlapping(start, size) };
            start = bounced;
        }
        match (coherency, direction) {
            (DmaCoherency::Coherent, _) => {}
            (DmaCoherency::NonCoherent, DmaDirection::ToDevice) => self.flush(start, size),
            (DmaCoherency::NonCoherent, _) => self.flush_invalidate(start, size),
        }
    }
}
