//! The run: requests to a disk, and the driver's own comparison of their data.

use core::panic::PanicInfo;
use core::ptr::{self, NonNull};

use cachemaint_lab_freestanding::Board as _;
use cachemaint_lab_freestanding::image::{self, Caches, Machine};
use virtio_drivers::Hal;
use virtio_drivers::device::blk::{BlkReq, BlkResp, VirtIOBlk};
use virtio_drivers::transport::mmio::MmioTransport;
use virtio_drivers::transport::{DeviceType, Transport as _};

use super::machine::{self, DEVICE, DEVICES, REGISTERS};
use super::memory::{CACHE, Kernel, LEFT_OUT, LeftOut, acquire, neighbour};
use super::reports;

const SECTOR: usize = 512;
const ROUNDS: u8 = 20;
/// The data beside a status.
const NEIGHBOUR: u8 = 0x5a;

#[repr(C, align(4096))]
struct Buffer([u8; 4096]);

static mut READ: Buffer = Buffer([0; 4096]);
static mut WRITE: Buffer = Buffer([0; 4096]);

type Disk = VirtIOBlk<Kernel, MmioTransport<'static>>;

/// The function that the boot code calls.
#[unsafe(no_mangle)]
extern "Rust" fn program(cache: Caches) {
    CACHE.0.set(Some(cache));
    machine::prepare();
    let (read, write) = (&raw mut READ, &raw mut WRITE);
    // SAFETY: only this CPU uses the buffer.
    let read = unsafe { &mut (*read).0 };
    // SAFETY: the same, except for a function that it waits for.
    let write = unsafe { &mut (*write).0 };
    Machine.begin("disk");
    let Some(left_out) = name_on_disk(read) else { return reports::run(&read[..SECTOR]) };
    LEFT_OUT.0.set(left_out);
    let mut disk: Disk = disk();
    let mut wrong = 0;
    for round in 0..ROUNDS {
        let sector = usize::from(8 + round % 4 * 8);
        read.fill(0xee);
        receive(&mut disk, sector, read);
        // SAFETY: nothing else is there but a status that the driver shares.
        wrong += usize::from(unsafe { neighbour().read_volatile() } != NEIGHBOUR);
        machine::fill(write, round + 1);
        disk.write_blocks(sector, write).unwrap_or_else(|why| panic!("write: {why}"));
        receive(&mut disk, sector, read);
        wrong += usize::from(read != write);
    }
    Machine.print(format_args!("{left_out:?} left out, {wrong} of {ROUNDS} rounds wrong"));
}

/// Returns the operation that the disk's first sector names, if it is one. The driver that reads it leaves nothing out.
fn name_on_disk(buffer: &mut [u8]) -> Option<LeftOut> {
    let sector = &mut buffer[..SECTOR];
    disk::<Kernel>().read_blocks(0, sector).unwrap_or_else(|why| panic!("name: {why}"));
    let end = sector.iter().position(|byte| *byte <= b' ').unwrap_or(0);
    let known = LeftOut::NAMES.iter().find(|(name, _)| name.as_bytes() == &sector[..end]);
    known.map(|(_, left_out)| *left_out)
}

pub(super) fn disk<H: Hal>() -> VirtIOBlk<H, MmioTransport<'static>> {
    let transport = (0..DEVICES).find_map(|number| {
        let at = ptr::with_exposed_provenance_mut(REGISTERS + DEVICE * number);
        // SAFETY: the registers of the board, which one driver at a time uses.
        let transport = unsafe { MmioTransport::new(NonNull::new(at)?, DEVICE) }.ok()?;
        (transport.device_type() == DeviceType::Block).then_some(transport)
    });
    let transport = transport.unwrap_or_else(|| panic!("there is no disk"));
    VirtIOBlk::new(transport).unwrap_or_else(|why| panic!("{why}"))
}

/// Reads from the disk.
fn receive(disk: &mut Disk, sector: usize, buffer: &mut [u8]) {
    let (mut request, mut response) = (BlkReq::default(), BlkResp::default());
    // SAFETY: the buffers stay until the request is completed below.
    let token = unsafe { disk.read_blocks_nb(sector, &mut request, buffer, &mut response) };
    let token = token.unwrap_or_else(|why| panic!("read: {why}"));
    // SAFETY: nothing else is there but a status that the driver shares.
    unsafe { neighbour().write_volatile(NEIGHBOUR) };
    if LEFT_OUT.0.get() == LeftOut::AcquireInTime {
        acquire(buffer.as_mut_ptr(), buffer.len());
    }
    while disk.peek_used() != Some(token) {
        core::hint::spin_loop();
    }
    // SAFETY: the same buffers.
    let done = unsafe { disk.complete_read_blocks(token, &request, buffer, &mut response) };
    done.unwrap_or_else(|why| panic!("read: {why}"));
}

#[panic_handler]
fn panic(panic: &PanicInfo<'_>) -> ! {
    image::panicked(panic)
}
