//! virtio-drivers 0.13: a [`Hal`] for devices that do not snoop, such as virtio-mmio without `dma-coherent` in its
//! device tree.
//!
//! Its drivers share any buffer of the caller's, and one-byte statuses on the stack. Buffers that the device writes
//! therefore go through a bounce buffer, unless they share no granule with other data. Buffers that the device only
//! reads stay in place.
//!
//! ```
//! use cachemaint::{Cache, OnceCache};
//! use cachemaint_adapters::non_coherent::{Memory, NonCoherent};
//! use cachemaint_adapters::virtio::{NonCoherentHal, Platform};
//! use core::ptr::NonNull;
//! use virtio_drivers::{PhysAddr, device::blk::VirtIOBlk};
//!
//! /// Set at boot, to `Cache::privileged`.
//! static CACHE: OnceCache = OnceCache::new();
//! # struct Frames;
//! # unsafe impl Memory for Frames {
//! #     fn allocate(&self, _: core::alloc::Layout) -> Option<NonNull<u8>> { None }
//! #     unsafe fn free(&self, _: NonNull<u8>, _: core::alloc::Layout) {}
//! #     fn to_device(&self, start: NonNull<u8>) -> u64 { start.addr().get() as u64 }
//! #     fn to_cpu(&self, _: u64) -> NonNull<u8> { NonNull::dangling() }
//! #     unsafe fn set_cacheable(&self, _: NonNull<u8>, _: usize, _: bool) -> bool { false }
//! # }
//! # static FRAMES: Frames = Frames;
//! # fn map_device(_: PhysAddr, _: usize) -> NonNull<u8> { NonNull::dangling() }
//!
//! struct Kernel;
//!
//! // SAFETY: (1) the cell is set once; (2) the function maps registers, and lends them to nobody.
//! unsafe impl Platform for Kernel {
//!     type Cache = Cache;
//!
//!     fn machine() -> NonCoherent<Cache> {
//!         NonCoherent { cache: CACHE.get().expect("set at boot"), memory: &FRAMES }
//!     }
//!
//!     fn map_registers(start: PhysAddr, len: usize) -> NonNull<u8> {
//!         map_device(start, len)
//!     }
//! }
//!
//! type Disk<Transport> = VirtIOBlk<NonCoherentHal<Kernel>, Transport>;
//! ```

use crate::non_coherent::NonCoherent;
use cachemaint::coherence::{self, Maintain};
use core::alloc::Layout;
use core::marker::PhantomData;
use core::ptr::NonNull;
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

/// The kernel's services. [`Hal`] has no `self`, so this trait has none either.
///
/// # Safety
/// An implementation guarantees:
/// 1. [`machine`](Self::machine) always returns the same caches and memory.
/// 2. [`map_registers`](Self::map_registers) returns a valid pointer to these registers, to which no reference exists.
pub unsafe trait Platform {
    /// The caches of this machine.
    type Cache: Maintain;

    /// Returns the caches and the memory of this machine.
    fn machine() -> NonCoherent<Self::Cache>;

    /// Maps the registers of a device on the PCI bus.
    fn map_registers(start: PhysAddr, len: usize) -> NonNull<u8>;
}

/// A [`Hal`] of that platform.
#[derive(Debug)]
pub struct NonCoherentHal<P>(PhantomData<P>);

// SAFETY: `Memory` vouches for what it allocates: zeroed, contiguous, used by nobody else. Pages are aligned to pages.
// `Platform` vouches for registers.
unsafe impl<P: Platform> Hal for NonCoherentHal<P> {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let machine = P::machine();
        match ring(pages).and_then(|layout| machine.allocate_uncached(layout)) {
            Some(start) => (machine.memory.to_device(start), start),
            None => (0, NonNull::dangling()), // virtio-drivers returns an error
        }
    }

    unsafe fn dma_dealloc(_: PhysAddr, vaddr: NonNull<u8>, pages: usize) -> i32 {
        if let Some(layout) = ring(pages) {
            // Pages that stay uncached are lost; virtio-drivers would panic. SAFETY: (1) it has ended the queue.
            let _is_free = unsafe { P::machine().free_uncached(vaddr, layout) };
        }
        0
    }

    unsafe fn mmio_phys_to_virt(paddr: PhysAddr, size: usize) -> NonNull<u8> {
        P::map_registers(paddr, size)
    }

    /// # Panics
    /// If memory for a bounce buffer cannot be allocated: the trait has no error here.
    #[expect(clippy::expect_used, reason = "the trait knows no error here")]
    unsafe fn share(buffer: NonNull<[u8]>, direction: BufferDirection) -> PhysAddr {
        let (machine, start, len) = (P::machine(), buffer.cast::<u8>(), buffer.len());
        if direction == BufferDirection::DriverToDevice {
            // No buffer that is away shares these granules. SAFETY: (1) the caller vouches for the buffer.
            unsafe { coherence::release_range(&machine.cache, start.as_ptr(), len) };
            return machine.memory.to_device(start);
        }
        let shared = if machine.is_whole(start, len) {
            start
        } else {
            let bounce = machine.allocate(bytes(len)).expect("memory for a bounce buffer");
            // Bytes that the device does not write come back as they were. SAFETY: both have the length.
            unsafe { bounce.copy_from_nonoverlapping(start, len) };
            bounce
        };
        // SAFETY: (1) as above; it is whole.
        unsafe { machine.release_to_writer(shared, len) };
        machine.memory.to_device(shared)
    }

    unsafe fn unshare(paddr: PhysAddr, buffer: NonNull<[u8]>, direction: BufferDirection) {
        let (machine, start, len) = (P::machine(), buffer.cast::<u8>(), buffer.len());
        if direction == BufferDirection::DriverToDevice {
            return;
        }
        if machine.is_whole(start, len) {
            // SAFETY: (1), (2) the caller vouches for the buffer.
            return unsafe { coherence::acquire_range(&machine.cache, start.as_ptr(), len) };
        }
        let bounce = machine.memory.to_cpu(paddr);
        // SAFETY: (1), (2) `share` allocated it for this buffer.
        unsafe { coherence::acquire_range(&machine.cache, bounce.as_ptr(), len) };
        // SAFETY: both have the length.
        unsafe { start.copy_from_nonoverlapping(bounce, len) };
        // SAFETY: (1) the device has given it back, and `share` allocated it so.
        unsafe { machine.free(bounce, bytes(len)) };
    }
}

/// Returns the layout of the pages of a ring.
fn ring(pages: usize) -> Option<Layout> {
    Layout::from_size_align(pages.checked_mul(PAGE_SIZE)?, PAGE_SIZE).ok()
}

/// Returns the layout of an existing buffer, in bytes.
fn bytes(len: usize) -> Layout {
    Layout::array::<u8>(len).unwrap_or(Layout::new::<u8>())
}
