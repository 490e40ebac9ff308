//! The memory of the driver: what the library does for a device that does not snoop, except for what is left out.

use core::cell::Cell;
use core::ptr::{self, NonNull};

use cachemaint::coherence;
use cachemaint_lab_freestanding::image::{Caches, OneCpu};
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

use super::machine;

/// Defines the operations of a machine: the fence, and the ones on a line, which need it.
macro_rules! operations {
    (fence: $fence:literal, $($name:ident: $instruction:literal,)*) => {
        $(
            /// # Safety
            /// 1. The line is mapped. If the operation drops it, its new bytes are not needed.
            pub(crate) unsafe fn $name(line: usize) {
                // SAFETY: (1) is the caller's duty.
                unsafe {
                    core::arch::asm!($instruction, in(reg) line, options(nostack, preserves_flags));
                };
            }
        )*

        pub(crate) fn fence() {
            // SAFETY: it only waits.
            unsafe { core::arch::asm!($fence, options(nostack, preserves_flags)) };
        }
    };
}

/// The operation that the driver leaves out, by its name on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeftOut {
    Nothing,
    /// The invalidation of a buffer that the device has written.
    Acquire,
    /// The same, and the one before the device writes.
    AllOfReads,
    /// The invalidation comes after the doorbell, and not after the end.
    AcquireInTime,
    /// The write-back of a buffer that the device reads.
    Release,
    /// The write-back of a buffer that the device is to write.
    ReleaseToWriter,
    /// The fence after each of them.
    Fences,
    /// The memory of rings is cacheable.
    UncachedRings,
    /// A status of one byte shares its line with data, which an invalidation without a write-back drops.
    Padding,
    /// The CPU that stored writes back, and the other one executes the fence.
    FenceOfOneCpu,
}

impl LeftOut {
    pub(crate) const NAMES: [(&str, Self); 10] = [
        ("nothing", Self::Nothing),
        ("acquire", Self::Acquire),
        ("all-of-reads", Self::AllOfReads),
        ("acquire-in-time", Self::AcquireInTime),
        ("release", Self::Release),
        ("release-to-writer", Self::ReleaseToWriter),
        ("fences", Self::Fences),
        ("uncached-rings", Self::UncachedRings),
        ("padding", Self::Padding),
        ("fence-of-one-cpu", Self::FenceOfOneCpu),
    ];
}

pub(crate) static CACHE: OneCpu<Cell<Option<Caches>>> = OneCpu(Cell::new(None));
pub(crate) static LEFT_OUT: OneCpu<Cell<LeftOut>> = OneCpu(Cell::new(LeftOut::Nothing));

/// The memory again, not cached (`boot.s`, or `machine::prepare`).
const UNCACHED: usize = 1 << 30;
const PAGES: usize = 8;
const LINE: usize = 64;
const SLOTS: usize = 4;

#[repr(C, align(4096))]
struct Rings([u8; PAGES * PAGE_SIZE]);

/// Small buffers that have their lines for themselves.
#[repr(C, align(64))]
struct Slot([u8; LINE]);

static mut RINGS: Rings = Rings([0; PAGES * PAGE_SIZE]);
static mut SLOT: [Slot; SLOTS] = [const { Slot([0; LINE]) }; SLOTS];
/// A status with its neighbour in one line.
static mut SHARED: Slot = Slot([0; LINE]);

static USED_PAGES: OneCpu<Cell<usize>> = OneCpu(Cell::new(0));
static USED_SLOTS: OneCpu<Cell<usize>> = OneCpu(Cell::new(0));

/// The services for the driver.
pub(crate) struct Kernel;

pub(crate) fn cache() -> Caches {
    CACHE.0.get().unwrap_or_else(|| panic!("the cache is set first"))
}

/// Returns the same memory, not cached.
pub(crate) fn uncached(at: *mut u8) -> *mut u8 {
    at.map_addr(|at| at + UNCACHED)
}

/// Returns a number that is stored beside a status; the device does not know of it.
pub(crate) fn neighbour() -> *mut u8 {
    (&raw mut SHARED).cast::<u8>().wrapping_add(8)
}

/// Executes an operation on each line, and no fence.
pub(crate) fn without_fence(operate: unsafe fn(usize), start: *const u8, len: usize) {
    let first = start.addr() / LINE * LINE;
    for line in (first..start.addr() + len).step_by(LINE) {
        // SAFETY: the caller's line; an invalidation drops only what the image says.
        unsafe { operate(line) };
    }
}

/// Writes back a buffer that the device reads.
fn release(start: *const u8, len: usize) {
    match LEFT_OUT.0.get() {
        LeftOut::Release => {}
        LeftOut::Fences => without_fence(machine::clean, start, len),
        LeftOut::FenceOfOneCpu if len > LINE => machine::fence(),
        // SAFETY: the driver's buffer.
        _ => unsafe { coherence::release_range(&cache(), start, len) },
    }
}

/// Prepares a buffer that the device writes.
fn release_to_writer(start: *mut u8, len: usize) {
    match LEFT_OUT.0.get() {
        LeftOut::ReleaseToWriter | LeftOut::AllOfReads => {}
        LeftOut::Fences => without_fence(machine::clean_invalidate, start, len),
        // SAFETY: the driver's buffer; nothing else is in its lines.
        _ => unsafe { coherence::release_range_to_writer(&cache(), start, len) },
    }
}

/// Takes a buffer that the device has written.
pub(crate) fn acquire(start: *mut u8, len: usize) {
    match LEFT_OUT.0.get() {
        LeftOut::Acquire | LeftOut::AllOfReads => {}
        LeftOut::Padding => {
            without_fence(machine::invalidate, start, len);
            machine::fence();
        }
        // SAFETY: the driver's buffer.
        _ => unsafe { coherence::acquire_range(&cache(), start, len) },
    }
}

/// Returns the place of a buffer of less than a line.
fn place_of_small(number: usize) -> *mut u8 {
    if LEFT_OUT.0.get() == LeftOut::Padding {
        return (&raw mut SHARED).cast();
    }
    (&raw mut SLOT).cast::<Slot>().wrapping_add(number % SLOTS).cast()
}

fn is_whole(start: *const u8, len: usize) -> bool {
    start.addr().is_multiple_of(LINE) && len.is_multiple_of(LINE)
}

// SAFETY: pages are given once and never freed; they are zeroed, contiguous and mapped one to one or at `UNCACHED`.
unsafe impl Hal for Kernel {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let used = USED_PAGES.0.replace(USED_PAGES.0.get() + pages);
        assert!(used + pages <= PAGES, "the rings need {pages} more pages");
        let at = (&raw mut RINGS).cast::<u8>().wrapping_add(used * PAGE_SIZE);
        let is_cached = LEFT_OUT.0.get() == LeftOut::UncachedRings;
        let mapped = if is_cached { at } else { uncached(at) };
        (at.addr() as u64, NonNull::new(mapped).unwrap_or(NonNull::dangling()))
    }

    unsafe fn dma_dealloc(_: PhysAddr, _: NonNull<u8>, _: usize) -> i32 {
        0
    }

    unsafe fn mmio_phys_to_virt(_: PhysAddr, _: usize) -> NonNull<u8> {
        panic!("the board's registers are mapped")
    }

    unsafe fn share(buffer: NonNull<[u8]>, direction: BufferDirection) -> PhysAddr {
        let (start, len) = (buffer.cast::<u8>().as_ptr(), buffer.len());
        if direction == BufferDirection::DriverToDevice {
            release(start, len);
            return start.addr() as u64;
        }
        let number = USED_SLOTS.0.replace(USED_SLOTS.0.get() + 1);
        let shared = if is_whole(start, len) { start } else { place_of_small(number) };
        if shared != start {
            // SAFETY: a slot of a line, and a buffer of less.
            unsafe { shared.copy_from_nonoverlapping(start, len) };
        }
        release_to_writer(shared, len);
        shared.addr() as u64
    }

    unsafe fn unshare(paddr: PhysAddr, buffer: NonNull<[u8]>, direction: BufferDirection) {
        let (start, len) = (buffer.cast::<u8>().as_ptr(), buffer.len());
        if direction == BufferDirection::DriverToDevice {
            return;
        }
        let shared = usize::try_from(paddr).unwrap_or_default();
        let shared = ptr::with_exposed_provenance_mut::<u8>(shared);
        // The driver has acquired it too early.
        if LEFT_OUT.0.get() != LeftOut::AcquireInTime {
            acquire(shared, len);
        }
        if shared != start {
            // SAFETY: as in `share`.
            unsafe { start.copy_from_nonoverlapping(shared, len) };
        }
    }
}
