//! Reports from the field as drivers of the disk. Each has the name of its row in `crates/device/tests/catalogue`.
//!
//! The disk reads a buffer when a sector is written, and writes zeros to one when another sector is read. What loads and
//! stores for a report is inlined in it, so that its own instructions are found.

use core::ptr::{self, NonNull};
use core::sync::atomic::{Ordering, fence};

use cachemaint::coherence::{self, Maintain, Padded};
use cachemaint_lab_freestanding::Board as _;
use cachemaint_lab_freestanding::image::Machine;
use virtio_drivers::device::blk::{SECTOR_SIZE, VirtIOBlk};
use virtio_drivers::transport::mmio::MmioTransport;
use virtio_drivers::{BufferDirection, Hal, PhysAddr};

use super::memory::{Kernel, cache, uncached, without_fence};
use super::{driver, machine};

type Disk = VirtIOBlk<Unmaintained, MmioTransport<'static>>;

const LINE: usize = 64;

type Buffer = Padded<[u8; SECTOR_SIZE], LINE>;

const BUFFER: Buffer = Padded::for_granule([0xee; SECTOR_SIZE], LINE);
/// The same with room for neighbours.
const MEMORY: Padded<[u8; 2 * SECTOR_SIZE], LINE> =
    Padded::for_granule([0xee; 2 * SECTOR_SIZE], LINE);

/// Runs the driver that the words name: `report NAME reported` or `report NAME fixed`.
pub(super) fn run(words: &[u8]) {
    let mut words = words.split(|byte| *byte <= b' ').skip(1);
    let [name, state] = [(); 2].map(|()| words.next().unwrap_or_default());
    let report = match name {
        b"nuttx_19506" => nuttx_19506,
        b"zephyr_42206" => zephyr_42206,
        b"nuttx_2985" => nuttx_2985,
        b"zephyr_90632" => zephyr_90632,
        b"bao_hypervisor_392" => bao_hypervisor_392,
        b"hvisor_312" => hvisor_312,
        b"zephyr_98723" => zephyr_98723,
        b"stm32cubef7_95" => stm32cubef7_95,
        b"circle_135" => circle_135,
        b"atmel_software_package_121" => atmel_software_package_121,
        _ => panic!("the disk names no operation and no report"),
    };
    report(&mut driver::disk(), &cache(), state == b"fixed");
    Machine.print(format_args!("report {} {}", name.escape_ascii(), state.escape_ascii()));
}

/// A request and its status, accessed only through the mapping that is not cached.
static mut SMALL: [Buffer; 2] = [BUFFER; 2];

fn small(direction: BufferDirection) -> *mut u8 {
    let number = usize::from(direction == BufferDirection::DeviceToDriver);
    (&raw mut SMALL).cast::<Buffer>().wrapping_add(number).cast()
}

/// The services for a driver that maintains its sectors by itself.
struct Unmaintained;

// SAFETY: as for `Kernel`. The disk has one request at a time, so nothing else is in `SMALL`.
unsafe impl Hal for Unmaintained {
    fn dma_alloc(pages: usize, direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        Kernel::dma_alloc(pages, direction)
    }

    unsafe fn dma_dealloc(_: PhysAddr, _: NonNull<u8>, _: usize) -> i32 {
        0
    }

    unsafe fn mmio_phys_to_virt(_: PhysAddr, _: usize) -> NonNull<u8> {
        panic!("the board's registers are mapped")
    }

    unsafe fn share(buffer: NonNull<[u8]>, direction: BufferDirection) -> PhysAddr {
        let start = buffer.cast::<u8>().as_ptr();
        if buffer.len() == SECTOR_SIZE {
            return start.expose_provenance() as u64;
        }
        let small = small(direction);
        // SAFETY: a buffer of less than a sector, and a place of one.
        unsafe { uncached(small).copy_from_nonoverlapping(start, buffer.len()) };
        small.addr() as u64
    }

    unsafe fn unshare(_: PhysAddr, buffer: NonNull<[u8]>, direction: BufferDirection) {
        let (start, len) = (buffer.cast::<u8>().as_ptr(), buffer.len());
        if len < SECTOR_SIZE && direction == BufferDirection::DeviceToDriver {
            // SAFETY: as in `share`.
            unsafe { start.copy_from_nonoverlapping(uncached(small(direction)), len) };
        }
    }
}

fn device_reads(disk: &mut Disk, buffer: &[u8]) {
    disk.write_blocks(8, buffer).unwrap_or_else(|why| panic!("write: {why}"));
}

fn device_writes(disk: &mut Disk, buffer: &mut [u8]) {
    disk.read_blocks(9, buffer).unwrap_or_else(|why| panic!("read: {why}"));
}

fn discard(bytes: &mut [u8]) {
    without_fence(machine::invalidate, bytes.as_ptr(), bytes.len());
    machine::fence();
}

#[inline(always)]
fn store(bytes: &mut [u8], value: u8) {
    for byte in bytes {
        // SAFETY: a reference.
        unsafe { ptr::from_mut(byte).write_volatile(value) };
    }
}

#[inline(always)]
fn load(bytes: &[u8], expected: u8) {
    for byte in bytes {
        // SAFETY: a reference.
        assert_eq!(unsafe { ptr::from_ref(byte).read_volatile() }, expected, "wrong data");
    }
}

/// The buffer is invalidated only before the transfer.
fn nuttx_19506(disk: &mut Disk, cache: &dyn Maintain, is_fixed: bool) {
    let mut sector = BUFFER;
    coherence::release_to_writer(cache, &mut sector);
    device_writes(disk, &mut *sector);
    if is_fixed {
        coherence::acquire(cache, &mut sector);
    }
    load(&*sector, 0);
}

/// The buffer is invalidated only after the transfer.
fn zephyr_42206(disk: &mut Disk, cache: &dyn Maintain, is_fixed: bool) {
    let mut samples = BUFFER;
    store(&mut *samples, 1);
    if is_fixed {
        coherence::release_to_writer(cache, &mut samples);
    }
    device_writes(disk, &mut *samples);
    coherence::acquire(cache, &mut samples);
    load(&*samples, 0);
}

/// A frame in scattered buffers is invalidated as one range.
fn nuttx_2985(disk: &mut Disk, cache: &dyn Maintain, is_fixed: bool) {
    const SLOTS: [usize; 3] = [0, 5, 2];
    let mut pool = [BUFFER; 8];
    for slot in &mut pool {
        coherence::release_to_writer(cache, slot);
    }
    for slot in SLOTS {
        device_writes(disk, &mut *pool[slot]);
    }
    for slot in if is_fixed { SLOTS } else { [0, 1, 2] } {
        coherence::acquire(cache, &mut pool[slot]);
    }
    for slot in SLOTS {
        load(&*pool[slot], 0);
    }
}

/// The data are written back, and the blocks of the chain that point to them are not.
fn zephyr_90632(disk: &mut Disk, cache: &dyn Maintain, is_fixed: bool) {
    let [mut data, mut blocks] = [BUFFER; 2];
    store(&mut *data, 7);
    store(&mut *blocks, 1);
    coherence::release(cache, &data);
    if is_fixed {
        coherence::release(cache, &blocks);
    }
    device_reads(disk, &*blocks);
    device_reads(disk, &*data);
}

/// A barrier for memory does not complete the write-back.
fn bao_hypervisor_392(disk: &mut Disk, cache: &dyn Maintain, is_fixed: bool) {
    let mut image = BUFFER;
    store(&mut *image, 7);
    // SAFETY: (1) the bytes are the buffer's; (2) without the completion that is the bug.
    unsafe { cache.issue_writeback(image.as_ptr(), SECTOR_SIZE) };
    fence(Ordering::SeqCst);
    if is_fixed {
        cache.complete();
    }
    device_reads(disk, &*image);
}

/// An image is discarded where it should be written back.
fn hvisor_312(disk: &mut Disk, cache: &dyn Maintain, is_fixed: bool) {
    let mut image = BUFFER;
    store(&mut *image, 7);
    if is_fixed {
        coherence::release_to_writer(cache, &mut image);
    } else {
        discard(&mut *image);
    }
    device_reads(disk, &*image);
    load(&*image, 7);
}

/// Steps of a line from an unaligned start do not reach the last line.
fn zephyr_98723(disk: &mut Disk, cache: &dyn Maintain, is_fixed: bool) {
    let mut memory = MEMORY;
    let object = &mut memory[16..][..SECTOR_SIZE];
    store(object, 7);
    if is_fixed {
        coherence::release(cache, object);
    } else {
        object.iter().step_by(LINE).for_each(|byte| coherence::release(cache, byte));
    }
    device_reads(disk, object);
}

/// A discard of an unaligned buffer reaches the variable before it.
fn stm32cubef7_95(disk: &mut Disk, cache: &dyn Maintain, is_fixed: bool) {
    let mut memory = MEMORY;
    coherence::release_to_writer(cache, &mut memory);
    let (variable, rest) = memory.split_at_mut(if is_fixed { LINE } else { 16 });
    let sector = &mut rest[..SECTOR_SIZE];
    device_writes(disk, sector);
    store(variable, 1);
    discard(sector);
    load(sector, 0);
    load(variable, 1);
}

/// A variable in the first line of a buffer is stored to before the device writes.
fn circle_135(disk: &mut Disk, cache: &dyn Maintain, is_fixed: bool) {
    let mut memory = MEMORY;
    coherence::release_to_writer(cache, &mut memory);
    let (variable, packet) = memory.split_at_mut(if is_fixed { LINE } else { 16 });
    store(variable, 1);
    device_writes(disk, &mut packet[..SECTOR_SIZE]);
    coherence::acquire(cache, &mut memory);
    load(&memory[LINE..SECTOR_SIZE], 0);
}

/// A discard reaches the line behind the buffer, which is the next buffer's.
fn atmel_software_package_121(disk: &mut Disk, cache: &dyn Maintain, is_fixed: bool) {
    let mut memory = MEMORY;
    coherence::release_to_writer(cache, &mut memory);
    let (sector, next) = memory.split_at_mut(SECTOR_SIZE);
    device_writes(disk, next);
    device_writes(disk, sector);
    discard(next);
    store(next, 1);
    let end = SECTOR_SIZE + usize::from(!is_fixed);
    discard(&mut memory[..end]);
    load(&memory[..SECTOR_SIZE], 0);
    load(&memory[SECTOR_SIZE..], 1);
}
