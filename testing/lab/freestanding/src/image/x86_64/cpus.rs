//! The start of the other CPUs of a PC.

use core::ptr;
use core::sync::atomic::{Ordering, fence};

use raw_cpuid::{CpuId, CpuIdReaderNative, FeatureInfo};

use super::{read_port, write_wide_port};
use crate::image::cpus::wait_until;

/// QEMU's configuration (`docs/specs/fw_cfg.rst`): the port that selects an item, the port of its bytes, and the item
/// with the number of CPUs, of 16 bits (`include/standard-headers/linux/qemu_fw_cfg.h`, `FW_CFG_NB_CPUS`).
const SELECT: u16 = 0x510;
const DATA: u16 = 0x511;
const NUMBER_OF_CPUS: u16 = 5;

/// The local APIC (Intel SDM vol. 3A, "Local APIC Register Address Map"): its spurious interrupt vector, whose bit 8
/// enables it, and the low half of its interrupt command, whose bit 12 is set until an interrupt is sent.
const SPURIOUS: *mut u32 = ptr::without_provenance_mut(0xfee0_00f0);
const ENABLED: u32 = 1 << 8 | 0xff;
const COMMAND: *mut u32 = ptr::without_provenance_mut(0xfee0_0300);
const PENDING: u32 = 1 << 12;
/// To all but this one, asserted: INIT, and a startup at [`PAGE`], whose number is the lowest byte.
const INIT: u32 = 0xc_4500;
const STARTUP_AT_PAGE: u32 = 0xc_4608;

/// The page from which the other CPUs start.
const PAGE: usize = 0x8000;

unsafe extern "C" {
    /// The code for that page, in `boot.s`.
    static STARTUP: u8;
    static STARTUP_END: u8;
}

/// Starts the other CPUs. Returns how many there are.
pub(in crate::image) fn start_others() -> usize {
    let others = number_of_cpus() - 1;
    if others > 0 {
        interrupt_others();
    }
    others
}

/// Omits the delays and the second startup of the manual (Intel SDM vol. 3A, "Typical BSP Initialization Sequence"):
/// the emulator loses no startup, and takes INIT first.
fn interrupt_others() {
    let code = &raw const STARTUP;
    let len = (&raw const STARTUP_END).addr() - code.addr();
    // SAFETY: nothing else uses the page, and the code is shorter than a page.
    unsafe { code.copy_to(ptr::with_exposed_provenance_mut(PAGE), len) };
    // Volatile writes are not ordered after the writes of the copy.
    fence(Ordering::Release);
    // SAFETY: the register is the APIC's.
    unsafe { SPURIOUS.write_volatile(ENABLED) };
    for command in [INIT, STARTUP_AT_PAGE] {
        // SAFETY: the same. The others run nothing yet.
        unsafe { COMMAND.write_volatile(command) };
        // SAFETY: the same.
        wait_until(|| unsafe { COMMAND.read_volatile() } & PENDING == 0);
    }
}

/// Returns the number of this CPU, from CPUID leaf 1: the machine has fewer than 256 CPUs.
pub(in crate::image) fn own_number() -> u32 {
    let features = CpuId::with_cpuid_reader(CpuIdReaderNative).get_feature_info();
    features.as_ref().map_or(0, FeatureInfo::initial_local_apic_id).into()
}

fn number_of_cpus() -> usize {
    write_wide_port(SELECT, NUMBER_OF_CPUS);
    let bytes = [read_port(DATA), read_port(DATA)];
    u16::from_le_bytes(bytes).into()
}
