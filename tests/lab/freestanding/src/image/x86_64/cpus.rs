//! The other CPUs of a PC: they are started by the first one, wait, and run a function when it asks.

use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use raw_cpuid::{CpuId, CpuIdReaderNative, FeatureInfo};

use super::{load_table, read_port, write_wide_port};

/// The most CPUs: the first one, and those with a stack in `pc.ld`.
pub const MOST: usize = 4;

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

/// The page for the start of the others.
const PAGE: usize = 0x8000;

unsafe extern "C" {
    /// The code for that page, in `boot.s`.
    static STARTUP: u8;
    static STARTUP_END: u8;
}

/// The CPUs that have joined. Each has put its number at the place that it got by that.
static JOINED: AtomicUsize = AtomicUsize::new(0);
static NUMBERS: [AtomicU32; MOST - 1] = [const { AtomicU32::new(0) }; MOST - 1];
static HAS_NUMBER: [AtomicBool; MOST - 1] = [const { AtomicBool::new(false) }; MOST - 1];

/// The function to run: the address of a reference to it. It is valid while the count of the others that have ended it
/// is below their number.
static FUNCTION: AtomicUsize = AtomicUsize::new(0);
static ROUND: AtomicUsize = AtomicUsize::new(0);
static ENDED: AtomicUsize = AtomicUsize::new(0);

/// The CPUs of the machine, all of them running.
#[derive(Debug)]
pub struct Cpus {
    others: usize,
}

impl Cpus {
    /// Starts the other CPUs, and waits for them. To be called once.
    ///
    /// # Panics
    /// If there are more than [`MOST`].
    #[must_use]
    pub fn start() -> Self {
        let others = number_of_cpus() - 1;
        assert!(others < MOST, "{others} other CPUs, and stacks for {}", MOST - 1);
        if others > 0 {
            start_others();
        }
        for has_number in &HAS_NUMBER[..others] {
            wait_until(|| has_number.load(Ordering::Acquire));
        }
        Self { others }
    }

    /// Returns the numbers of all CPUs, this one first.
    pub fn numbers(&self) -> impl Iterator<Item = u32> {
        let others = NUMBERS[..self.others].iter();
        core::iter::once(own_number()).chain(others.map(|number| number.load(Ordering::Relaxed)))
    }

    /// Runs a function on every CPU, and waits for all.
    pub fn run(&self, function: &(dyn Fn() + Sync)) {
        ENDED.store(0, Ordering::Relaxed);
        FUNCTION.store((&raw const function).expose_provenance(), Ordering::Relaxed);
        ROUND.fetch_add(1, Ordering::Release);
        function();
        wait_until(|| ENDED.load(Ordering::Acquire) == self.others);
    }
}

/// The life of another CPU.
pub(super) extern "C" fn joined() -> ! {
    load_table();
    let place = JOINED.fetch_add(1, Ordering::Relaxed);
    if let (Some(number), Some(has_number)) = (NUMBERS.get(place), HAS_NUMBER.get(place)) {
        number.store(own_number(), Ordering::Relaxed);
        has_number.store(true, Ordering::Release);
    }
    let mut round = 0;
    loop {
        wait_until(|| ROUND.load(Ordering::Acquire) != round);
        round += 1;
        let function = FUNCTION.load(Ordering::Relaxed);
        let function = ptr::with_exposed_provenance::<&(dyn Fn() + Sync)>(function);
        // SAFETY: `run` has stored it before the round, and waits until this one has ended.
        let function = unsafe { *function };
        function();
        ENDED.fetch_add(1, Ordering::Release);
    }
}

fn start_others() {
    let code = &raw const STARTUP;
    let len = (&raw const STARTUP_END).addr() - code.addr();
    // SAFETY: the page is memory that nothing else uses, and the code is shorter than a page.
    unsafe { code.copy_to(ptr::without_provenance_mut(PAGE), len) };
    // SAFETY: the register is the APIC's.
    unsafe { SPURIOUS.write_volatile(ENABLED) };
    for command in [INIT, STARTUP_AT_PAGE] {
        // SAFETY: the same. The others run nothing yet.
        unsafe { COMMAND.write_volatile(command) };
        // SAFETY: the same.
        wait_until(|| unsafe { COMMAND.read_volatile() } & PENDING == 0);
    }
}

/// Returns the number of this CPU, by CPUID leaf 1: the machine has less than 256.
fn own_number() -> u32 {
    let features = CpuId::with_cpuid_reader(CpuIdReaderNative).get_feature_info();
    features.as_ref().map_or(0, FeatureInfo::initial_local_apic_id).into()
}

fn number_of_cpus() -> usize {
    write_wide_port(SELECT, NUMBER_OF_CPUS);
    let bytes = [read_port(DATA), read_port(DATA)];
    u16::from_le_bytes(bytes).into()
}

fn wait_until(is_so: impl Fn() -> bool) {
    while !is_so() {
        core::hint::spin_loop();
    }
}
