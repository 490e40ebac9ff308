//! The memory of the driver: what the library does for a device that does not snoop, except for what is left out.

use core::arch::asm;
use core::cell::Cell;
use core::ptr::{self, NonNull};

use cachemaint::coherence;
use cachemaint::{Cache, OnceCache};
use cachemaint_lab_freestanding::image::OneCpu;
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

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
    /// A status of one byte shares its line with data, which DC IVAC drops.
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

pub(crate) static CACHE: OnceCache = OnceCache::new();
pub(crate) static LEFT_OUT: OneCpu<Cell<LeftOut>> = OneCpu(Cell::new(LeftOut::Nothing));

/// The memory again, not cached (`boot.s`).
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

fn cache() -> Cache {
    CACHE.get().unwrap_or_else(|| panic!("the cache is set first"))
}

/// Returns a number that is stored beside a status; the device does not know of it.
pub(crate) fn neighbour() -> *mut u8 {
    (&raw mut SHARED).cast::<u8>().wrapping_add(8)
}

/// Executes an instruction for each line, and no fence.
macro_rules! without_fence {
    ($mnemonic:literal, $start:expr, $len:expr) => {
        let first = $start.addr() / LINE * LINE;
        for at in (first..$start.addr() + $len).step_by(LINE) {
            // SAFETY: the caller's lines; DC IVAC drops only those of this image that it says.
            unsafe { asm!(concat!($mnemonic, ", {}"), in(reg) at, options(nostack, preserves_flags)) };
        }
    };
}

pub(crate) fn write_back_without_fence(start: *const u8, len: usize) {
    without_fence!("dc cvac", start, len);
}

/// Writes back a buffer that the device reads.
fn release(start: *const u8, len: usize) {
    match LEFT_OUT.0.get() {
        LeftOut::Release => {}
        LeftOut::Fences => write_back_without_fence(start, len),
        // SAFETY: a fence.
        LeftOut::FenceOfOneCpu if len > LINE => unsafe {
            asm!("dsb sy", options(nostack, preserves_flags));
        },
        // SAFETY: the driver's buffer.
        _ => unsafe { coherence::release_range(&cache(), start, len) },
    }
}

/// Prepares a buffer that the device writes.
fn release_to_writer(start: *mut u8, len: usize) {
    match LEFT_OUT.0.get() {
        LeftOut::ReleaseToWriter | LeftOut::AllOfReads => {}
        LeftOut::Fences => {
            without_fence!("dc civac", start, len);
        }
        // SAFETY: the driver's buffer; nothing else is in its lines.
        _ => unsafe { coherence::release_range_to_writer(&cache(), start, len) },
    }
}

/// Takes a buffer that the device has written.
pub(crate) fn acquire(start: *mut u8, len: usize) {
    match LEFT_OUT.0.get() {
        LeftOut::Acquire | LeftOut::AllOfReads => {}
        LeftOut::Padding => {
            without_fence!("dc ivac", start, len);
            // SAFETY: a fence.
            unsafe { asm!("dsb sy", options(nostack, preserves_flags)) };
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
        let mapped = at.map_addr(|at| if is_cached { at } else { at + UNCACHED });
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
