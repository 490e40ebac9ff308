//! The split virtqueues of virtio devices, followed from the stores to their registers (virtio 1.2, 2.7, 4.1.4 and
//! 4.2).

use std::collections::{HashMap, HashSet};

use super::model::Handed;
use super::ram::Ram;

/// The registers that a store goes to, by the emulator's name of the region (QEMU `hw/virtio/virtio-{mmio,pci}.c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registers {
    /// Those of a device of MMIO.
    Mmio,
    /// The common configuration of a device of PCI.
    PciCommon,
    /// The doorbells of a device of PCI.
    PciNotify,
}

impl Registers {
    /// Returns the registers of a region's name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "virtio-mmio" => Some(Self::Mmio),
            _ if name.starts_with("virtio-pci-common") => Some(Self::PciCommon),
            _ if name.starts_with("virtio-pci-notify") => Some(Self::PciNotify),
            _ => None,
        }
    }
}

/// Returns true for a region of an IOMMU: `arm-smmuv3`, `riscv-iommu-regs`, `virtio-pci-common-virtio-iommu` and the like.
#[must_use]
pub fn is_of_iommu(name: &str) -> bool {
    name.contains("smmu") || name.contains("iommu")
}

/// The regions of a device of PCI are in one BAR of this size.
const BAR: u64 = 0x4000;
const MMIO: u64 = 0x200;
/// `VIRTIO_F_ACCESS_PLATFORM` in the upper half of the features (virtio 1.2, 6).
const ACCESS_PLATFORM: u64 = 1 << (33 - 32);
/// The largest queue (virtio 1.2, 2.7).
const LARGEST: u64 = 32768;

#[derive(Debug, Default)]
struct Queue {
    size: u64,
    /// The descriptors, the driver's area, the device's area.
    areas: [u64; 3],
    /// The number of chains that were followed.
    followed: u16,
    /// The number of chains that the device had returned when the driver last looked.
    returned: u16,
    /// The chains, by their first descriptors, that were followed and not returned, and those that were returned before a
    /// doorbell: a driver rings none while the device is at work (2.7.7).
    given: HashSet<u16>,
    early: Vec<u16>,
}

/// All devices of a machine.
#[derive(Debug, Default)]
pub struct Virtio {
    selected: HashMap<u64, u64>,
    queues: HashMap<(u64, u64), Queue>,
    /// The page size of the legacy interface.
    pages: HashMap<u64, u64>,
    /// True if the machine has an IOMMU, and the devices of PCI that it translates for.
    pub has_iommu: bool,
    translated: HashSet<u64>,
    /// The selected half of the driver's features.
    feature_half: HashMap<u64, u64>,
    /// The number of doorbells of queues that are not followed, since their addresses are translated.
    pub unfollowed: u64,
    /// The number of doorbells of queues.
    pub doorbells: u64,
    /// The number of chains of descriptors.
    pub chains: u64,
}

impl Virtio {
    /// A CPU loaded a register. A driver may leave the size of a queue as it is.
    pub fn load(&mut self, registers: Registers, at: u64, value: u64) {
        if registers == Registers::PciCommon && at % BAR == 0x18 {
            let queue = self.queue(at / BAR * BAR);
            if queue.size == 0 {
                queue.size = (value & 0xffff).min(LARGEST);
            }
        }
    }

    /// A CPU stored to a register. Returns the bytes that the device gets by it.
    pub fn store(
        &mut self,
        ram: &Ram,
        registers: Registers,
        at: u64,
        len: u64,
        value: u64,
    ) -> Vec<Handed> {
        match registers {
            Registers::Mmio => return self.store_mmio(ram, at, value),
            Registers::PciCommon => self.store_common(at / BAR * BAR, at % BAR, len, value),
            // The value is the queue's number, without or with further data (4.1.5.2).
            Registers::PciNotify => {
                return self.notify(ram, at / BAR * BAR, value & 0xffff);
            }
        }
        Vec::new()
    }

    /// The driver may have seen which chains the devices have returned, and use their buffers again.
    pub fn take_back(&mut self, ram: &Ram) {
        for ((device, _), queue) in &mut self.queues {
            let is_followed =
                queue.size > 0 && !(self.has_iommu && self.translated.contains(device));
            // A queue that is not in RAM is not followed either.
            let _is_in_ram = is_followed.then(|| queue.take_back(ram));
        }
    }

    fn queue(&mut self, device: u64) -> &mut Queue {
        let selected = self.selected.get(&device).copied().unwrap_or_default();
        self.queues.entry((device, selected)).or_default()
    }

    fn store_mmio(&mut self, ram: &Ram, at: u64, value: u64) -> Vec<Handed> {
        let (device, offset) = (at / MMIO * MMIO, at % MMIO);
        let page = self.pages.get(&device).copied().unwrap_or(4096);
        match offset {
            0x28 => drop(self.pages.insert(device, value)),
            0x30 => drop(self.selected.insert(device, value)),
            0x38 => self.queue(device).size = value.min(LARGEST),
            0x40 => self.queue(device).place_legacy(value * page, page),
            0x44 => self.queue(device).begin(),
            0x50 => return self.notify(ram, device, value),
            0x70 if value == 0 => self.reset(device),
            0x80..0x88 => self.queue(device).areas[0].set_part(offset - 0x80, 4, value),
            0x90..0x98 => self.queue(device).areas[1].set_part(offset - 0x90, 4, value),
            0xa0..0xa8 => self.queue(device).areas[2].set_part(offset - 0xa0, 4, value),
            _ => {}
        }
        Vec::new()
    }

    fn store_common(&mut self, device: u64, offset: u64, len: u64, value: u64) {
        match offset {
            0x08 => drop(self.feature_half.insert(device, value)),
            0x0c if self.is_translated(device, value) => _ = self.translated.insert(device),
            0x14 if value == 0 => self.reset(device),
            0x16 => drop(self.selected.insert(device, value)),
            0x18 => self.queue(device).size = value.min(LARGEST),
            0x1c => self.queue(device).begin(),
            0x20..0x28 => self.queue(device).areas[0].set_part(offset - 0x20, len, value),
            0x28..0x30 => self.queue(device).areas[1].set_part(offset - 0x28, len, value),
            0x30..0x38 => self.queue(device).areas[2].set_part(offset - 0x30, len, value),
            _ => {}
        }
    }

    /// Returns true if a part of the driver's features says that a device's addresses are translated.
    fn is_translated(&self, device: u64, features: u64) -> bool {
        self.feature_half.get(&device) == Some(&1) && features & ACCESS_PLATFORM != 0
    }

    fn reset(&mut self, device: u64) {
        self.queues.retain(|(of, _), _| *of != device);
        self.translated.remove(&device);
    }

    fn notify(&mut self, ram: &Ram, device: u64, number: u64) -> Vec<Handed> {
        let mut handed = Vec::new();
        if self.has_iommu && self.translated.contains(&device) {
            self.unfollowed += 1;
            return handed;
        }
        if let Some(queue) = self.queues.get_mut(&(device, number)).filter(|queue| queue.size > 0) {
            self.doorbells += 1;
            self.chains += queue.follow(ram, &mut handed).unwrap_or_default();
        }
        handed
    }
}

impl Queue {
    /// Places a queue of the legacy interface (2.7.2).
    fn place_legacy(&mut self, descriptors: u64, page: u64) {
        let available = descriptors + 16 * self.size;
        let used = (available + 6 + 2 * self.size).next_multiple_of(page.max(1));
        self.areas = [descriptors, available, used];
        self.begin();
    }

    fn begin(&mut self) {
        (self.followed, self.returned) = (0, 0);
        self.given.clear();
        self.early.clear();
    }

    /// Notes the chains that the device has returned since the last time. Returns `None` if the queue is not in RAM.
    fn take_back(&mut self, ram: &Ram) -> Option<()> {
        let used = self.areas[2];
        let end = ram.half(used + 2)?;
        for back in (1..=u64::from(end.wrapping_sub(self.returned)).min(self.size)).rev() {
            let slot = (u64::from(end) + 0x1_0000 - back) % self.size;
            let chain = (ram.word(used + 4 + 8 * slot)? & 0xffff) as u16;
            if !self.given.remove(&chain) {
                self.early.push(chain);
            }
        }
        self.returned = end;
        Some(())
    }

    /// Follows the chains that are available since the last time. Returns how many there are; `None` if the queue is
    /// not in RAM.
    fn follow(&mut self, ram: &Ram, handed: &mut Vec<Handed>) -> Option<u64> {
        let [descriptors, available, used] = self.areas;
        let end = ram.half(available + 2)?;
        let mut add = |at, len, device_writes| handed.push(Handed { at, len, device_writes });
        add(available, 4, false);
        add(used, 4 + 8 * self.size, true);
        let mut chains = 0;
        while self.followed != end && chains < self.size {
            let slot = available + 4 + 2 * (u64::from(self.followed) % self.size);
            let first = ram.half(slot)?;
            self.followed = self.followed.wrapping_add(1);
            chains += 1;
            if let Some(place) = self.early.iter().position(|chain| *chain == first) {
                self.early.remove(place);
                continue;
            }
            self.given.insert(first);
            add(slot, 2, false);
            chain(ram, descriptors, first.into(), &mut add);
        }
        self.followed = end;
        Some(chains)
    }
}

/// Follows one chain (2.7.5). Returns `None` at a descriptor outside of RAM.
fn chain(
    ram: &Ram,
    mut table: u64,
    mut next: u64,
    add: &mut impl FnMut(u64, u64, bool),
) -> Option<()> {
    const NEXT: u64 = 1;
    const WRITE: u64 = 2;
    const INDIRECT: u64 = 4;
    for _descriptor in 0..LARGEST {
        let at = table + 16 * next;
        let (start, rest) = (ram.word(at)?, ram.word(at + 8)?);
        add(at, 16, false);
        let (len, flags) = (rest & 0xffff_ffff, rest >> 32 & 0xffff);
        if flags & INDIRECT != 0 {
            (table, next) = (start, 0);
            continue;
        }
        add(start, len, flags & WRITE != 0);
        if flags & NEXT == 0 {
            break;
        }
        next = rest >> 48;
    }
    Some(())
}

trait Parts {
    /// Stores the 4 or 8 bytes at an offset.
    fn set_part(&mut self, offset: u64, len: u64, value: u64);
}

impl Parts for u64 {
    fn set_part(&mut self, offset: u64, len: u64, value: u64) {
        *self = match (offset, len) {
            (_, 8) => value,
            (0, _) => *self & !0xffff_ffff | value & 0xffff_ffff,
            (_, _) => *self & 0xffff_ffff | value << 32,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::{Handed, Registers, Virtio};
    use crate::dma::ram::Ram;
    use crate::dma::ram::tests::ram;
    use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

    const RAM: u64 = 0x4000_0000;

    fn handed(at: u64, len: u64, device_writes: bool) -> Handed {
        Handed { at: RAM + at, len, device_writes }
    }

    /// A queue of 4: descriptors at 0, the driver's area at 0x40, the device's at 0x80. One chain: 16 bytes at 0x200 are
    /// read, then by an indirect table at 0x100, 8 bytes at 0x300 are written.
    fn expected() -> Vec<Handed> {
        vec![
            handed(0x40, 4, false),
            handed(0x80, 36, true),
            handed(0x44, 2, false),
            handed(0, 16, false),
            handed(0x200, 16, false),
            handed(0x10, 16, false),
            handed(0x100, 16, false),
            handed(0x300, 8, true),
        ]
    }

    fn machine() -> (Ram, &'static [AtomicU64]) {
        let (ram, words) = ram(0x1000);
        let store = |at: usize, value| words[at / 8].store(value, Relaxed);
        store(0, RAM + 0x200);
        store(8, 1 << 48 | 1 << 32 | 16);
        store(0x10, RAM + 0x100);
        store(0x18, 4 << 32 | 16);
        store(0x100, RAM + 0x300);
        store(0x108, 2 << 32 | 8);
        // The index is 1 after flags of 0; the first slot names descriptor 0.
        store(0x40, 1 << 16);
        (ram, words)
    }

    #[test]
    fn a_queue_of_mmio_is_followed_once() {
        let ((ram, _), mut virtio) = (machine(), Virtio::default());
        let device: u64 = 0xa00_3e00;
        let mut store =
            |offset, value| virtio.store(&ram, Registers::Mmio, device + offset, 4, value);
        for (offset, value) in
            [(0x30, 0), (0x38, 4), (0x80, RAM), (0x90, RAM + 0x40), (0xa0, RAM + 0x80), (0x44, 1)]
        {
            assert!(store(offset, value).is_empty());
        }
        assert_eq!(store(0x50, 0), expected());
        assert_eq!(store(0x50, 0), expected()[..2], "nothing new");
        assert!(store(0x50, 1).is_empty(), "another queue");
        assert!(store(0x70, 0).is_empty());
        assert!(store(0x50, 0).is_empty(), "after a reset");
        assert_eq!((virtio.doorbells, virtio.chains), (2, 1));
    }

    #[test]
    fn a_chain_that_was_returned_before_a_doorbell_is_not_followed() {
        let ((ram, words), mut virtio) = (machine(), Virtio::default());
        let mut store = |offset, value| {
            virtio.take_back(&ram);
            virtio.store(&ram, Registers::Mmio, offset, 4, value)
        };
        for (offset, value) in
            [(0x38, 4), (0x80, RAM), (0x90, RAM + 0x40), (0xa0, RAM + 0x80), (0x44, 1)]
        {
            assert!(store(offset, value).is_empty());
        }
        // The device's index is 1, and it has returned descriptor 0.
        words[0x80 / 8].store(1 << 16, Relaxed);
        assert_eq!(store(0x50, 0), expected()[..2]);
        // The same descriptor again, with a doorbell.
        words[0x40 / 8].store(2 << 16, Relaxed);
        let mut again = expected();
        again[2] = handed(0x46, 2, false);
        assert_eq!(store(0x50, 0), again);
    }

    #[test]
    fn a_queue_of_pci_is_followed_unless_it_is_behind_an_iommu() {
        for (has_iommu, features, is_followed) in
            [(false, 2, true), (true, 1, true), (true, 2, false)]
        {
            let ((ram, _), mut virtio) = (machine(), Virtio { has_iommu, ..Virtio::default() });
            let bar = 0x80_0000_4000;
            virtio.load(Registers::PciCommon, bar + 0x18, 4);
            for (offset, len, value) in [
                (0x08, 4, 0),
                (0x0c, 4, 2),
                (0x08, 4, 1),
                (0x0c, 4, features),
                (0x20, 4, RAM),
                (0x24, 4, 0),
                (0x28, 8, RAM + 0x40),
                (0x30, 8, RAM + 0x80),
                (0x1c, 2, 1),
            ] {
                let handed = virtio.store(&ram, Registers::PciCommon, bar + offset, len, value);
                assert!(handed.is_empty());
            }
            let handed = virtio.store(&ram, Registers::PciNotify, bar + 0x3000, 2, 0);
            assert_eq!(handed, if is_followed { expected() } else { Vec::new() });
            assert_eq!(virtio.unfollowed, u64::from(!is_followed));
        }
    }

    #[test]
    fn a_queue_outside_of_memory_is_not_followed() {
        let ((ram, _), mut virtio) = (machine(), Virtio::default());
        let mut store = |offset, value| virtio.store(&ram, Registers::Mmio, offset, 4, value);
        assert!(store(0x38, 4).is_empty() && store(0x90, 0x10).is_empty());
        assert!(store(0x50, 0).is_empty());
    }
}
