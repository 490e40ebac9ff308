//! A disk of virtio 1.2: its registers, and the device behind them.

use cachemaint_device::{Bus, Machine};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use virtio_drivers::device::blk::SECTOR_SIZE;
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{PhysAddr, Result};
use zerocopy::{FromBytes, Immutable, IntoBytes};

const SECTORS: u8 = 8;
const VERSION_1: u64 = 1 << 32;

/// Descriptor (2.7.5).
#[derive(FromBytes)]
#[repr(C)]
struct Descriptor {
    address: u64,
    len: u32,
    flags: u16,
    next: u16,
}

/// A request's header (5.2.6).
#[derive(FromBytes)]
#[repr(C)]
struct Request {
    kind: u32,
    reserved: u32,
    sector: u64,
}

/// The places of a queue's parts.
#[derive(Clone, Copy)]
struct Queue {
    size: u16,
    descriptors: u64,
    available: u64,
    used: u64,
}

struct Device {
    status: DeviceStatus,
    queue: Option<Queue>,
    is_notified: bool,
    served: u16,
    sectors: Vec<[u8; SECTOR_SIZE]>,
}

/// The registers through which the driver accesses the disk.
#[derive(Clone)]
pub(crate) struct Disk(Arc<Mutex<Device>>);

impl Disk {
    /// Attaches a disk with sectors `n` full of the byte `n`.
    pub(crate) fn attach(machine: &Machine<'static>) -> Self {
        let sectors = (0..SECTORS).map(|number| [number; SECTOR_SIZE]).collect();
        let status = DeviceStatus::empty();
        let device = Device { status, queue: None, is_notified: false, served: 0, sectors };
        let disk = Self(Arc::new(Mutex::new(device)));
        let behind = disk.clone();
        machine.attach(move |bus| behind.device().step(bus));
        disk
    }

    fn device(&self) -> MutexGuard<'_, Device> {
        // A step that panics ends a run, in which the driver is still dropped.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Device {
    /// Serves one request, if the driver has notified the device of one.
    fn step(&mut self, bus: &Bus<'_>) {
        let Some(queue) = self.queue.filter(|_| self.is_notified) else { return };
        if u16::from_le_bytes(bus.load(queue.available + 2)) == self.served {
            self.is_notified = false;
            return;
        }
        let slot = u64::from(self.served % queue.size);
        let head = u16::from_le_bytes(bus.load(queue.available + 4 + 2 * slot));
        let descriptor = |number: u16| -> Descriptor {
            let bytes: [u8; 16] = bus.load(queue.descriptors + 16 * u64::from(number));
            zerocopy::transmute!(bytes)
        };
        let header = descriptor(head);
        let data = descriptor(header.next);
        let status = descriptor(data.next);
        let request: [u8; 16] = bus.load(header.address);
        let request: Request = zerocopy::transmute!(request);
        let sector = usize::try_from(request.sector).ok();
        let sector = sector.and_then(|sector| self.sectors.get_mut(sector)).expect("a sector");
        match request.kind {
            0 => bus.write(data.address, sector),
            1 => bus.read(data.address, sector),
            kind => unreachable!("no driver has sent a request of kind {kind}"),
        }
        bus.write(status.address, &[0]);
        let used = [u32::from(head), data.len + 1];
        bus.write(queue.used + 4 + 8 * slot, used.as_bytes());
        self.served = self.served.wrapping_add(1);
        bus.write(queue.used + 2, &self.served.to_le_bytes());
    }
}

impl Transport for Disk {
    fn device_type(&self) -> DeviceType {
        DeviceType::Block
    }

    fn read_device_features(&mut self) -> u64 {
        VERSION_1
    }

    fn write_driver_features(&mut self, _: u64) {}

    fn max_queue_size(&mut self, _: u16) -> u32 {
        16
    }

    fn notify(&mut self, _: u16) {
        self.device().is_notified = true;
    }

    fn get_status(&self) -> DeviceStatus {
        self.device().status
    }

    fn set_status(&mut self, status: DeviceStatus) {
        self.device().status = status;
    }

    fn set_guest_page_size(&mut self, _: u32) {}

    fn requires_legacy_layout(&self) -> bool {
        false
    }

    fn queue_set(
        &mut self,
        _: u16,
        size: u32,
        descriptors: PhysAddr,
        driver_area: PhysAddr,
        device_area: PhysAddr,
    ) {
        let size = u16::try_from(size).expect("at most that of the device");
        self.device().queue =
            Some(Queue { size, descriptors, available: driver_area, used: device_area });
    }

    fn queue_unset(&mut self, _: u16) {
        self.device().queue = None;
    }

    fn queue_used(&mut self, _: u16) -> bool {
        self.device().queue.is_some()
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        InterruptStatus::empty()
    }

    fn read_config_generation(&self) -> u32 {
        0
    }

    fn read_config_space<T: FromBytes + IntoBytes>(&self, offset: usize) -> Result<T> {
        let mut config = [0; 64];
        config[0] = SECTORS; // `capacity`
        Ok(T::read_from_prefix(&config[offset..]).expect("within the registers").0)
    }

    fn write_config_space<T: IntoBytes + Immutable>(&mut self, _: usize, _: T) -> Result<()> {
        Ok(())
    }
}
