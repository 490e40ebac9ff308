//! `VirtIOBlk` of virtio-drivers, unmodified.

use crate::disk::Disk;
use crate::kernel;
use cachemaint::coherence::{self, Padded};
use cachemaint_adapters::non_coherent::NonCoherent;
use cachemaint_adapters::virtio::{NonCoherentHal, Platform};
use cachemaint_device::{Cpu, Failure, Machine, Seed, explore, try_explore};
use core::cell::Cell;
use core::ptr::NonNull;
use virtio_drivers::device::blk::{BlkReq, BlkResp, SECTOR_SIZE, VirtIOBlk};
use virtio_drivers::{BufferDirection, Hal, PhysAddr};

/// The machine with a kernel that maps rings non-cacheable, or only claims to.
struct Board<const MAPS_RINGS: bool>;

// SAFETY: (1) a run has one machine; (2) there are no such registers.
unsafe impl<const MAPS_RINGS: bool> Platform for Board<MAPS_RINGS> {
    type Cache = Cpu<'static>;

    fn machine() -> NonCoherent<Self::Cache> {
        if MAPS_RINGS { kernel::machine() } else { kernel::cacheable_machine() }
    }

    fn map_registers(_: PhysAddr, _: usize) -> NonNull<u8> {
        unreachable!("the disk is not on PCI")
    }
}

/// The driver, waiting for interrupts as kernels do, so a request that the disk never sees ends the run.
struct Driver<'m, H: Hal> {
    machine: &'m Machine<'static>,
    disk: VirtIOBlk<H, Disk>,
}

impl<H: Hal> Driver<'_, H> {
    fn read(&mut self, sector: u8, into: &mut [u8; SECTOR_SIZE]) {
        let (mut request, mut response) = (BlkReq::default(), BlkResp::default());
        // SAFETY: nothing accesses the three before the request is completed.
        let token =
            unsafe { self.disk.read_blocks_nb(sector.into(), &mut request, into, &mut response) };
        let token = token.unwrap();
        self.machine.wait_until(|| self.disk.peek_used() == Some(token));
        // SAFETY: they are the same three.
        unsafe { self.disk.complete_read_blocks(token, &request, into, &mut response) }.unwrap();
    }

    fn write(&mut self, sector: u8, from: &[u8; SECTOR_SIZE]) {
        let (mut request, mut response) = (BlkReq::default(), BlkResp::default());
        // SAFETY: as above.
        let token =
            unsafe { self.disk.write_blocks_nb(sector.into(), &mut request, from, &mut response) };
        let token = token.unwrap();
        self.machine.wait_until(|| self.disk.peek_used() == Some(token));
        // SAFETY: as above.
        unsafe { self.disk.complete_write_blocks(token, &request, from, &mut response) }.unwrap();
    }
}

/// Writes and reads sectors, by a buffer of whole lines and by one that begins within a line.
fn sectors<H: Hal>(seed: Seed) {
    kernel::run(seed, |machine| {
        let disk = VirtIOBlk::<H, _>::new(Disk::attach(machine)).unwrap();
        let mut driver = Driver { machine, disk };
        let whole: &mut Padded<[u8; SECTOR_SIZE], 64> = machine.padded([0; SECTOR_SIZE]);
        let shared = machine.place([0; SECTOR_SIZE]);
        for sector in 1..4 {
            driver.read(sector, whole);
            assert_eq!(**whole, [sector; SECTOR_SIZE]);
            driver.read(sector + 3, shared);
            assert_eq!(*shared, [sector + 3; SECTOR_SIZE]);
            shared.fill(0x40 + sector);
            driver.write(sector, shared);
            driver.read(sector, whole);
            assert_eq!(**whole, *shared);
        }
    });
}

#[test]
fn a_disk_needs_each_operation_of_the_adapter() {
    let explored = explore(0..40, sectors::<NonCoherentHal<Board<true>>>);
    // The pages of the rings; both directions of `share`; both buffers of `unshare`.
    assert!(explored.needed.len() >= 5, "{explored}");
}

/// The driver waits for ring contents that it never sees, or uses old ones.
#[test]
fn a_disk_with_cacheable_rings_goes_wrong() {
    let failure = try_explore(1..4, sectors::<NonCoherentHal<Board<false>>>).unwrap_err();
    assert!(matches!(failure, Failure::Wrong { .. }), "{failure}");
}

/// A kernel that shares every buffer in place.
struct InPlace;

type Adapter = NonCoherentHal<Board<true>>;

// SAFETY: that of the adapter, and every operation is there; what is missing is what the test is about.
unsafe impl Hal for InPlace {
    fn dma_alloc(pages: usize, direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        Adapter::dma_alloc(pages, direction)
    }

    unsafe fn dma_dealloc(paddr: PhysAddr, vaddr: NonNull<u8>, pages: usize) -> i32 {
        // SAFETY: as for the caller.
        unsafe { Adapter::dma_dealloc(paddr, vaddr, pages) }
    }

    unsafe fn mmio_phys_to_virt(_: PhysAddr, _: usize) -> NonNull<u8> {
        unreachable!("the disk is not on PCI")
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        let (machine, start) = (kernel::machine(), buffer.cast::<u8>());
        // SAFETY: (1) the caller vouches for the buffer.
        unsafe {
            coherence::release_range_to_writer(&machine.cache, start.as_ptr(), buffer.len());
        }
        machine.memory.to_device(start)
    }

    unsafe fn unshare(_: PhysAddr, buffer: NonNull<[u8]>, _: BufferDirection) {
        let start = buffer.cast::<u8>().as_ptr();
        // SAFETY: (1), (2) the caller vouches for the buffer.
        unsafe { coherence::acquire_range(&kernel::machine().cache, start, buffer.len()) };
    }
}

#[test]
fn a_status_on_the_stack_needs_a_bounce_buffer() {
    let failure = try_explore(0..4, sectors::<InPlace>).unwrap_err();
    let Failure::Wrong { message, .. } = &failure else { panic!("{failure}") };
    assert!(message.starts_with("the device writes 1 bytes"), "{failure}");
    assert!(message.contains("shares a line with other data"), "{failure}");
}

/// An operation that a kernel forgets; the image `dma` of `testing/lab/freestanding` forgets the same in an emulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LeftOut {
    Acquire,
    AllOfReads,
    Release,
    ReleaseToWriter,
}

thread_local! {
    static LEFT_OUT: Cell<LeftOut> = const { Cell::new(LeftOut::Release) };
}

/// Returns true for the buffers that the adapter shares in place.
fn is_whole(buffer: NonNull<[u8]>) -> bool {
    buffer.addr().get().is_multiple_of(64) && buffer.len().is_multiple_of(64)
}

/// A kernel that forgets [`LEFT_OUT`].
struct Forgetful;

// SAFETY: that of the adapter; what is missing is what the test is about.
unsafe impl Hal for Forgetful {
    fn dma_alloc(pages: usize, direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        Adapter::dma_alloc(pages, direction)
    }

    unsafe fn dma_dealloc(paddr: PhysAddr, vaddr: NonNull<u8>, pages: usize) -> i32 {
        // SAFETY: as for the caller.
        unsafe { Adapter::dma_dealloc(paddr, vaddr, pages) }
    }

    unsafe fn mmio_phys_to_virt(_: PhysAddr, _: usize) -> NonNull<u8> {
        unreachable!("the disk is not on PCI")
    }

    unsafe fn share(buffer: NonNull<[u8]>, direction: BufferDirection) -> PhysAddr {
        let (machine, start) = (kernel::machine(), buffer.cast::<u8>());
        let is_read = direction == BufferDirection::DriverToDevice;
        let is_left_out = match LEFT_OUT.get() {
            LeftOut::Release => is_read,
            LeftOut::ReleaseToWriter | LeftOut::AllOfReads => !is_read && is_whole(buffer),
            LeftOut::Acquire => false,
        };
        if is_left_out {
            return machine.memory.to_device(start);
        }
        // SAFETY: as for the caller.
        unsafe { Adapter::share(buffer, direction) }
    }

    unsafe fn unshare(paddr: PhysAddr, buffer: NonNull<[u8]>, direction: BufferDirection) {
        let is_whole = is_whole(buffer);
        if is_whole && matches!(LEFT_OUT.get(), LeftOut::Acquire | LeftOut::AllOfReads) {
            return;
        }
        // SAFETY: as for the caller.
        unsafe { Adapter::unshare(paddr, buffer, direction) };
    }
}

#[test]
fn a_disk_goes_wrong_without_each_operation() {
    for left_out in
        [LeftOut::Acquire, LeftOut::AllOfReads, LeftOut::Release, LeftOut::ReleaseToWriter]
    {
        LEFT_OUT.set(left_out);
        let failure = try_explore(0..40, sectors::<Forgetful>).expect_err("not noticed");
        assert!(matches!(failure, Failure::Wrong { .. }), "{left_out:?}: {failure}");
    }
}

#[test]
fn bytes_that_the_device_does_not_write_come_back_as_they_were() {
    for seed in 0..8 {
        kernel::run(seed.into(), |machine| {
            let bytes = machine.place([0xaa; 20]);
            let buffer = NonNull::from(&mut bytes[..]);
            // SAFETY: nobody else accesses the buffer.
            let shared = unsafe { Adapter::share(buffer, BufferDirection::DeviceToDriver) };
            // SAFETY: as above; it was shared there.
            unsafe { Adapter::unshare(shared, buffer, BufferDirection::DeviceToDriver) };
            assert_eq!(*bytes, [0xaa; 20]);
        });
    }
}
