//! The emulator's functions and structures, as declared in `qemu-plugin.h` and `garray.h`, and wrappers for what the
//! plugin needs.

use core::ffi::{CStr, c_char, c_int, c_uint, c_void};
use core::mem::transmute;
use core::ptr::{with_exposed_provenance, without_provenance_mut};
use core::slice;

use super::own_process::symbol;

/// The beginning of `qemu_info_t`, up to the last field that is read.
#[repr(C)]
pub(super) struct Info {
    pub(super) target_name: *const c_char,
    oldest_version: c_int,
    current_version: c_int,
    pub(super) system_emulation: bool,
    smp_vcpus: c_int,
    pub(super) max_vcpus: c_int,
}

/// `struct qemu_plugin_tb`.
#[repr(C)]
pub(super) struct Block([u8; 0]);

/// `struct qemu_plugin_insn`.
#[repr(C)]
pub(super) struct Instruction([u8; 0]);

/// `qemu_plugin_reg_descriptor`.
#[repr(C)]
struct Descriptor {
    handle: *mut c_void,
    name: *const c_char,
    feature: *const c_char,
}

/// `GArray` of descriptors (`glib/garray.h`).
#[repr(C)]
struct Descriptors {
    data: *const Descriptor,
    len: c_uint,
}

/// `GByteArray` (`glib/garray.h`).
#[repr(C)]
pub(super) struct ByteArray {
    data: *const u8,
    len: c_uint,
}

/// `struct qemu_plugin_hwaddr`.
#[repr(C)]
pub(super) struct Place([u8; 0]);

/// `qemu_plugin_mem_value`: its type, and the bytes in a union of up to 16.
#[repr(C)]
struct Value {
    kind: c_int,
    low: u64,
    high: u64,
}

/// `QEMU_PLUGIN_CB_NO_REGS` and `QEMU_PLUGIN_CB_R_REGS`.
pub(super) const NO_REGISTERS: c_int = 0;
pub(super) const READS_REGISTERS: c_int = 1;
/// `QEMU_PLUGIN_MEM_W`.
pub(super) const WRITES: c_int = 2;
pub(super) const READS_AND_WRITES: c_int = 3;

pub(super) type Execute = extern "C" fn(cpu: c_uint, data: *mut c_void);
pub(super) type Access = extern "C" fn(cpu: c_uint, info: u32, address: u64, data: *mut c_void);

// The declarations are those of `qemu-plugin.h` and `garray.h`; the functions that are
// declared safe take no pointer, or only functions that live as long as the plugin.
unsafe extern "C" {
    pub(super) safe fn qemu_plugin_register_vcpu_init_cb(
        id: u64,
        callback: extern "C" fn(u64, c_uint),
    );
    pub(super) safe fn qemu_plugin_register_vcpu_tb_trans_cb(
        id: u64,
        callback: unsafe extern "C" fn(u64, *mut Block),
    );
    fn qemu_plugin_tb_n_insns(block: *const Block) -> usize;
    fn qemu_plugin_tb_get_insn(block: *const Block, index: usize) -> *mut Instruction;
    fn qemu_plugin_insn_data(of: *const Instruction, to: *mut c_void, len: usize) -> usize;
    fn qemu_plugin_insn_vaddr(of: *const Instruction) -> u64;
    fn qemu_plugin_insn_haddr(of: *const Instruction) -> *const u8;
    fn qemu_plugin_register_vcpu_insn_exec_cb(
        of: *mut Instruction,
        callback: Execute,
        flags: c_int,
        data: *mut c_void,
    );
    fn qemu_plugin_register_vcpu_mem_cb(
        of: *mut Instruction,
        callback: Access,
        flags: c_int,
        kind: c_int,
        data: *mut c_void,
    );
    pub(super) safe fn qemu_plugin_register_atexit_cb(
        id: u64,
        callback: extern "C" fn(u64, *mut c_void),
        data: *mut c_void,
    );
    pub(super) safe fn qemu_plugin_mem_size_shift(info: u32) -> c_uint;
    pub(super) safe fn qemu_plugin_mem_is_store(info: u32) -> bool;
    safe fn qemu_plugin_mem_get_value(info: u32) -> Value;
    /// The caller frees the array.
    safe fn qemu_plugin_get_registers() -> *mut Descriptors;
    pub(super) fn qemu_plugin_read_register(handle: *mut c_void, to: *mut ByteArray) -> c_int;
    fn qemu_plugin_read_memory_vaddr(address: u64, to: *mut ByteArray, len: usize) -> bool;

    /// Returns null outside of user code and memory. The result is valid until the callback returns.
    safe fn qemu_plugin_get_hwaddr(info: u32, address: u64) -> *const Place;
    fn qemu_plugin_hwaddr_is_io(place: *const Place) -> bool;
    fn qemu_plugin_hwaddr_phys_addr(place: *const Place) -> u64;
    fn qemu_plugin_hwaddr_device_name(place: *const Place) -> *const c_char;

    pub(super) safe fn g_byte_array_new() -> *mut ByteArray;
    pub(super) fn g_byte_array_set_size(array: *mut ByteArray, len: c_uint) -> *mut ByteArray;
    pub(super) fn g_byte_array_free(array: *mut ByteArray, free_segment: c_int) -> *mut u8;
    fn g_array_free(array: *mut Descriptors, free_segment: c_int) -> *mut c_char;
}

/// The emulator's handle of a register; null until the CPU exists.
#[derive(Clone, Copy)]
pub(super) struct Handle(pub(super) *mut c_void);

// SAFETY: a handle is a number to the emulator, the same for every thread and CPU.
unsafe impl Send for Handle {}

/// A string of the emulator.
///
/// # Safety
/// 1. The string ends with a zero byte, and is valid during the call.
pub(super) unsafe fn text(string: *const c_char) -> String {
    // SAFETY: (1) is the caller's duty.
    let string = unsafe { CStr::from_ptr(string) };
    string.to_string_lossy().into_owned()
}

/// Returns the registers that the emulator shows, in the callback of a new CPU.
pub(super) fn registers() -> Vec<(String, Handle)> {
    let array = qemu_plugin_get_registers();
    // SAFETY: the emulator returns an array that is valid until it is freed below.
    let descriptors = unsafe { &*array };
    let count = usize::try_from(descriptors.len).unwrap_or(0);
    let register = |place| {
        // SAFETY: the array holds that many descriptors.
        let descriptor = unsafe { descriptors.data.add(place) };
        // SAFETY: it is inside the array.
        let descriptor = unsafe { &*descriptor };
        // SAFETY: the names of registers live as long as the emulator.
        (unsafe { text(descriptor.name) }, Handle(descriptor.handle))
    };
    let registers = (0..count).map(register).collect();
    // SAFETY: the array is valid, and nothing points to it any more.
    let freed = unsafe { g_array_free(array, 1) };
    debug_assert!(freed.is_null(), "the descriptors were freed with the array");
    registers
}

/// Returns the value of a register of 4 or 8 bytes, in the guest's order, which is little-endian.
pub(super) fn read_register(handle: Handle) -> Option<u64> {
    let array = g_byte_array_new();
    // SAFETY: the array was just made.
    let array = unsafe { g_byte_array_set_size(array, 0) };
    // SAFETY: the handle is the emulator's, and the array is valid; called from a callback that was
    // registered to read registers.
    let len = unsafe { qemu_plugin_read_register(handle.0, array) };
    // SAFETY: the array is valid.
    let data = unsafe { (*array).data };
    let value = match len {
        // SAFETY: the array holds as many bytes as were read.
        8 => Some(u64::from_le_bytes(unsafe { data.cast::<[u8; 8]>().read() })),
        // SAFETY: the same.
        4 => Some(u64::from(u32::from_le_bytes(unsafe { data.cast::<[u8; 4]>().read() }))),
        _ => None,
    };
    // SAFETY: the array is valid, and nothing points to it any more.
    let freed = unsafe { g_byte_array_free(array, 1) };
    debug_assert!(freed.is_null(), "the bytes were freed with the array");
    value
}

/// An instruction in the emulator's own memory, with its page; 0 for none. Programs share code and map it at different
/// addresses, and one translation can serve them all, so no virtual address identifies the instruction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Code(pub(super) usize);

impl Code {
    /// Returns the place of an instruction.
    ///
    /// # Safety
    /// 1. The instruction is valid.
    pub(super) unsafe fn of(instruction: *const Instruction) -> Self {
        // SAFETY: (1) is the caller's duty.
        Self(unsafe { qemu_plugin_insn_haddr(instruction) }.expose_provenance())
    }

    /// Returns the bytes around the instruction, while it is executed, and the place of the first one.
    pub(super) fn around(self) -> (u64, Vec<u8>) {
        let (start, len) = around(self.0 as u64);
        let end = if self.0 == 0 { start } else { start + len as u64 };
        let byte = |place| {
            let byte: *const u8 =
                with_exposed_provenance(usize::try_from(place).unwrap_or_default());
            // SAFETY: the memory of a page is in one piece, and the instruction of a translation is in it. Another CPU may
            // store to it, so that each byte is read by itself.
            unsafe { byte.read_volatile() }
        };
        (start, (start..end).map(byte).collect())
    }
}

/// Returns the first address and the number of bytes around an address that identify the code. The next page may be
/// missing.
fn around(at: u64) -> (u64, usize) {
    const BEFORE: u64 = 48;
    const ALL: u64 = 80;
    let page = at / PAGE * PAGE;
    let start = at.saturating_sub(BEFORE).max(page);
    (start, usize::try_from((page + PAGE).min(start + ALL) - start).unwrap_or_default())
}

/// An instruction of a block that is being translated.
pub(super) struct Translated {
    pub(super) address: u64,
    pub(super) code: Code,
    bytes: [u8; 16],
    len: usize,
    instruction: *mut Instruction,
}

/// Does `work` with each instruction of a block.
///
/// # Safety
/// 1. `block` is valid during the call.
pub(super) unsafe fn each_instruction(block: *mut Block, mut work: impl FnMut(&Translated)) {
    // SAFETY: (1) is the caller's duty.
    for place in 0..unsafe { qemu_plugin_tb_n_insns(block) } {
        // SAFETY: (1) the block holds that many instructions.
        let instruction = unsafe { qemu_plugin_tb_get_insn(block, place) };
        let mut bytes = [0; 16];
        let to = bytes.as_mut_ptr().cast();
        // SAFETY: (1) an instruction is valid as long as its block, and the buffer has this length.
        let len = unsafe { qemu_plugin_insn_data(instruction, to, bytes.len()) }.min(bytes.len());
        // SAFETY: (1) as above.
        let address = unsafe { qemu_plugin_insn_vaddr(instruction) };
        // SAFETY: (1) as above.
        let code = unsafe { Code::of(instruction) };
        work(&Translated { address, code, bytes, len, instruction });
    }
}

impl Translated {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Asks for a callback when the instruction is executed.
    pub(super) fn on_execution(&self, callback: Execute, flags: c_int, data: usize) {
        let data = without_provenance_mut(data);
        // SAFETY: only `each_instruction` makes this value, and lends it; the callback lives as long as the plugin.
        unsafe { qemu_plugin_register_vcpu_insn_exec_cb(self.instruction, callback, flags, data) };
    }

    /// Asks for a callback when the instruction accesses memory.
    pub(super) fn on_access(&self, callback: Access, flags: c_int, kind: c_int, data: usize) {
        let data = without_provenance_mut(data);
        // SAFETY: as above.
        unsafe { qemu_plugin_register_vcpu_mem_cb(self.instruction, callback, flags, kind, data) };
    }
}

/// Returns the bytes of the guest's memory around an address of code, and the address of the first one.
pub(super) fn read_around(at: u64) -> (u64, Vec<u8>) {
    let (start, len) = around(at);
    (start, read_memory(start, len).unwrap_or_default())
}

/// Returns these bytes of the guest's memory, in a callback of the CPU that has them mapped there; `None` if it does
/// not.
pub(super) fn read_memory(address: u64, len: usize) -> Option<Vec<u8>> {
    let array = g_byte_array_new();
    // SAFETY: the array was just made.
    let is_read = unsafe { qemu_plugin_read_memory_vaddr(address, array, len) };
    // SAFETY: the array is valid.
    let ByteArray { data, len } = unsafe { array.read() };
    let len = if is_read { usize::try_from(len).unwrap_or_default() } else { 0 };
    let bytes = if len == 0 {
        None
    } else {
        // SAFETY: the array holds as many bytes, and stays until it is freed below.
        Some(unsafe { slice::from_raw_parts(data, len) }.to_vec())
    };
    // SAFETY: the array is valid, and nothing points to it any more.
    let freed = unsafe { g_byte_array_free(array, 1) };
    debug_assert!(freed.is_null(), "the bytes were freed with the array");
    bytes
}

/// Returns the guest-physical address of an access, in the callback of that access; `None` if it is not memory.
pub(super) fn physical(info: u32, address: u64) -> Option<u64> {
    let place = qemu_plugin_get_hwaddr(info, address);
    // SAFETY: the emulator returned it in this callback, and null is left out.
    let is_memory = !place.is_null() && unsafe { !qemu_plugin_hwaddr_is_io(place) };
    // SAFETY: as above.
    is_memory.then(|| unsafe { qemu_plugin_hwaddr_phys_addr(place) })
}

/// The target of an access.
pub(super) enum Target {
    Memory,
    /// A device, with the emulator's name of the region.
    Device(&'static CStr),
}

/// Returns the guest-physical address and the target of an access, in the callback of that access.
pub(super) fn target(info: u32, address: u64) -> Option<(u64, Target)> {
    let place = qemu_plugin_get_hwaddr(info, address);
    if place.is_null() {
        return None;
    }
    // SAFETY: the emulator returned it in this callback.
    let physical = unsafe { qemu_plugin_hwaddr_phys_addr(place) };
    // SAFETY: the same.
    if unsafe { !qemu_plugin_hwaddr_is_io(place) } {
        return Some((physical, Target::Memory));
    }
    // SAFETY: the same.
    let name = unsafe { qemu_plugin_hwaddr_device_name(place) };
    // SAFETY: the names of regions are interned or live as long as their device; the machine removes none while it runs.
    Some((physical, Target::Device(unsafe { CStr::from_ptr(name) })))
}

/// Returns the bytes of an access of up to 8 bytes, in the callback of that access.
pub(super) fn accessed(info: u32) -> u64 {
    let Value { kind, low, .. } = qemu_plugin_mem_get_value(info);
    // `qemu_plugin_mem_value_type`: 0 to 3 stand for 1, 2, 4 and 8 bytes.
    match kind {
        0..=2 => low & ((1 << (8 << kind)) - 1),
        _ => low,
    }
}

/// The CPUs of a machine that run in one thread. QEMU 10 gives callbacks the CPU for which the code was translated then,
/// and not the one that runs (`accel/tcg/plugin-gen.c`, `gen_cpu_index`).
pub(super) struct Cpus {
    /// The address of the thread's `current_cpu`, which QEMU exports for modules of its own.
    current: usize,
    all: Vec<usize>,
}

impl Cpus {
    /// Finds the CPUs, in a callback of one of them.
    pub(super) fn find(count: usize) -> Option<Self> {
        let [current, get] = [c"current_cpu", c"qemu_get_cpu"].map(symbol);
        if current.is_null() || get.is_null() {
            return None;
        }
        // SAFETY: QEMU 10.0 `include/hw/core/cpu.h` declares the function of this name so.
        let get =
            unsafe { transmute::<*mut c_void, unsafe extern "C" fn(c_int) -> *mut c_void>(get) };
        // SAFETY: the emulator returns null for a number that no CPU has.
        let cpu = |number| unsafe { get(c_int::try_from(number).unwrap_or(-1)) }.addr();
        Some(Self { current: current.expose_provenance(), all: (0..count).map(cpu).collect() })
    }

    /// Returns the number of the CPU that runs.
    pub(super) fn running(&self) -> Option<usize> {
        // SAFETY: the variable of the thread that runs all CPUs, which lives as long as they do.
        let current = unsafe { with_exposed_provenance::<usize>(self.current).read() };
        self.all.iter().position(|cpu| *cpu == current)
    }
}

/// The emulator's translation of virtual addresses.
#[derive(Clone, Copy)]
pub(super) enum Translation {
    /// `qemu_plugin_translate_vaddr`, since version 5 of the interface.
    Interface(unsafe extern "C" fn(u64, *mut u64) -> bool),
    /// `cpu_get_phys_page_debug` and `qemu_get_cpu`, which QEMU 10.0 exports for modules of its own.
    Debugger {
        page: unsafe extern "C" fn(*mut c_void, u64) -> u64,
        cpu: unsafe extern "C" fn(c_int) -> *mut c_void,
    },
}

/// The smallest page of all architectures; the debugger's function returns its address.
const PAGE: u64 = 4096;

impl Translation {
    /// Finds the functions in the emulator that loaded the plugin.
    pub(super) fn find() -> Option<Self> {
        let interface = symbol(c"qemu_plugin_translate_vaddr");
        if !interface.is_null() {
            // SAFETY: `qemu-plugin.h` declares the function of this name so.
            return Some(Self::Interface(unsafe {
                transmute::<*mut c_void, unsafe extern "C" fn(u64, *mut u64) -> bool>(interface)
            }));
        }
        let [page, cpu] = [c"cpu_get_phys_page_debug", c"qemu_get_cpu"].map(symbol);
        if page.is_null() || cpu.is_null() {
            return None;
        }
        // SAFETY: QEMU 10.0 `include/hw/core/cpu.h` declares the function of this name so.
        let page = unsafe {
            transmute::<*mut c_void, unsafe extern "C" fn(*mut c_void, u64) -> u64>(page)
        };
        // SAFETY: the same file declares the function of this name so.
        let cpu =
            unsafe { transmute::<*mut c_void, unsafe extern "C" fn(c_int) -> *mut c_void>(cpu) };
        Some(Self::Debugger { page, cpu })
    }

    /// Returns the physical address for a CPU, in a callback of that CPU; `None` if it is not mapped.
    pub(super) fn physical(self, number: c_uint, address: u64) -> Option<u64> {
        match self {
            Self::Interface(translate) => {
                let mut physical = 0;
                // SAFETY: the pointer is valid, and this is a callback of the CPU.
                let is_mapped = unsafe { translate(address, &raw mut physical) };
                is_mapped.then_some(physical)
            }
            Self::Debugger { page, cpu } => {
                // SAFETY: the emulator returns null for a number that no CPU has.
                let cpu = unsafe { cpu(c_int::try_from(number).ok()?) };
                if cpu.is_null() {
                    return None;
                }
                // SAFETY: the CPU is there and stopped in this callback.
                let start = unsafe { page(cpu, address) };
                (start != u64::MAX).then_some(start & !(PAGE - 1) | address & (PAGE - 1))
            }
        }
    }
}
