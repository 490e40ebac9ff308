//! The emulator's interface for plugins, version 4 (QEMU `include/qemu/qemu-plugin.h`).
//!
//! The emulator hands over each block of instructions when it translates it. Each instruction gets a
//! callback for its stores, and one for itself if it does something that matters here. All callbacks
//! of a guest with one CPU come from one thread; the state is behind a mutex because nothing but the
//! emulator's documentation says so.
//!
//! A callback cannot report an error, and a verdict that is missing something must not be written: the
//! emulator is ended instead.

use core::ffi::{CStr, c_char, c_int, c_uint, c_void};
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::process;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::decode::{Action, Decoder, Register};
use crate::options::Options;
use crate::tracker::{Half, Tracker};

/// The version of the interface, which the emulator compares with its own.
#[unsafe(no_mangle)]
#[expect(unreachable_pub, reason = "it is exported by its name")]
pub static qemu_plugin_version: c_int = 4;

/// The beginning of `qemu_info_t`, up to the last field that is read.
#[repr(C)]
struct Info {
    target_name: *const c_char,
    oldest_version: c_int,
    current_version: c_int,
    system_emulation: bool,
    smp_vcpus: c_int,
    max_vcpus: c_int,
}

/// `struct qemu_plugin_tb`.
#[repr(C)]
struct Block([u8; 0]);

/// `struct qemu_plugin_insn`.
#[repr(C)]
struct Instruction([u8; 0]);

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
struct ByteArray {
    data: *const u8,
    len: c_uint,
}

/// `QEMU_PLUGIN_CB_NO_REGS` and `QEMU_PLUGIN_CB_R_REGS`.
const NO_REGISTERS: c_int = 0;
const READS_REGISTERS: c_int = 1;
/// `QEMU_PLUGIN_MEM_W`.
const WRITES: c_int = 2;

type Execute = extern "C" fn(cpu: c_uint, data: *mut c_void);
type Access = extern "C" fn(cpu: c_uint, info: u32, address: u64, data: *mut c_void);

// The declarations are those of `qemu-plugin.h` and `garray.h`; the functions that are
// declared safe take no pointer, or only functions that live as long as the plugin.
unsafe extern "C" {
    safe fn qemu_plugin_register_vcpu_init_cb(id: u64, callback: extern "C" fn(u64, c_uint));
    safe fn qemu_plugin_register_vcpu_tb_trans_cb(
        id: u64,
        callback: unsafe extern "C" fn(u64, *mut Block),
    );
    fn qemu_plugin_tb_n_insns(block: *const Block) -> usize;
    fn qemu_plugin_tb_get_insn(block: *const Block, index: usize) -> *mut Instruction;
    fn qemu_plugin_insn_data(of: *const Instruction, to: *mut c_void, len: usize) -> usize;
    fn qemu_plugin_insn_vaddr(of: *const Instruction) -> u64;
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
    safe fn qemu_plugin_mem_size_shift(info: u32) -> c_uint;
    /// The caller frees the array.
    safe fn qemu_plugin_get_registers() -> *mut Descriptors;
    fn qemu_plugin_read_register(handle: *mut c_void, to: *mut ByteArray) -> c_int;

    safe fn g_byte_array_new() -> *mut ByteArray;
    fn g_byte_array_set_size(array: *mut ByteArray, len: c_uint) -> *mut ByteArray;
    fn g_byte_array_free(array: *mut ByteArray, free_segment: c_int) -> *mut u8;
    fn g_array_free(array: *mut Descriptors, free_segment: c_int) -> *mut c_char;
}

/// The emulator's handle of a register; null until the CPU is there.
#[derive(Clone, Copy)]
struct Handle(*mut c_void);

// SAFETY: a handle is a number to the emulator, the same for every thread and CPU.
unsafe impl Send for Handle {}

/// An instruction with a callback, by its effect and its half of the address space.
type Site = (Action, Half);

struct Plugin {
    decoder: Decoder,
    tracker: Tracker,
    out: File,
    handles: Vec<Handle>,
    /// The sites that the numbers of callbacks refer to. Translation is repeated, and the few different sites are not.
    sites: Vec<Site>,
    numbers: HashMap<Site, usize>,
}

static PLUGIN: Mutex<Option<Plugin>> = Mutex::new(None);

/// The bytes watched, for the callback of every store that there is.
static START: AtomicU64 = AtomicU64::new(0);
static END: AtomicU64 = AtomicU64::new(0);

/// Says why and ends the emulator.
fn give_up(why: &str) -> ! {
    complain(why);
    process::abort()
}

fn complain(why: &str) {
    // A closed standard error leaves no other place for the message.
    drop(writeln!(io::stderr(), "cachemaint-lab-plugin: {why}"));
}

fn lock() -> MutexGuard<'static, Option<Plugin>> {
    PLUGIN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does `work` with the plugin, which is there since it was installed.
fn with_plugin<R>(work: impl FnOnce(&mut Plugin) -> R) -> R {
    match lock().as_mut() {
        Some(plugin) => work(plugin),
        None => give_up("called before it was installed"),
    }
}

/// Called once when the plugin is loaded; anything but 0 ends the emulator.
///
/// # Safety
/// As `qemu-plugin.h` says:
/// 1. `info` is valid during the call.
/// 2. `strings` holds `count` of them.
#[unsafe(no_mangle)]
unsafe extern "C" fn qemu_plugin_install(
    id: u64,
    info: *const Info,
    count: c_int,
    strings: *const *const c_char,
) -> c_int {
    // SAFETY: (1) is the caller's duty.
    let info = unsafe { &*info };
    let arguments: Vec<String> = (0..usize::try_from(count).unwrap_or(0))
        .map(|place| {
            // SAFETY: (2) the array is that long.
            let argument = unsafe { strings.add(place) };
            // SAFETY: (2) it is inside the array.
            let argument = unsafe { *argument };
            // SAFETY: (2) it is a string.
            unsafe { text(argument) }
        })
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // SAFETY: (1) the name is as valid as the structure.
    let target = unsafe { text(info.target_name) };
    match Plugin::new(info, &target, &arguments) {
        Ok(plugin) => {
            *lock() = Some(plugin);
            qemu_plugin_register_vcpu_init_cb(id, on_cpu);
            qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
            0
        }
        Err(why) => {
            complain(&why);
            1
        }
    }
}

/// A string of the emulator's.
///
/// # Safety
/// 1. The string ends with a zero byte, and is valid during the call.
unsafe fn text(string: *const c_char) -> String {
    // SAFETY: (1) is the caller's duty.
    let string = unsafe { CStr::from_ptr(string) };
    string.to_string_lossy().into_owned()
}

impl Plugin {
    fn new(info: &Info, target: &str, arguments: &[&str]) -> Result<Self, String> {
        let options = Options::parse(arguments)?;
        let decoder = Decoder::of(target)
            .ok_or_else(|| format!("{target}: only x86_64 and aarch64 are understood"))?;
        if !info.system_emulation || info.max_vcpus != 1 {
            return Err(String::from("only machines with one CPU are understood: give -smp 1"));
        }
        let out = File::create(&options.out)
            .map_err(|error| format!("cannot write {}: {error}", options.out.display()))?;
        Ok(Self {
            decoder,
            tracker: Tracker::new(options),
            out,
            handles: Vec::new(),
            sites: Vec::new(),
            numbers: HashMap::new(),
        })
    }

    /// The number of a site.
    fn number(&mut self, site: Site) -> usize {
        *self.numbers.entry(site).or_insert_with(|| {
            self.sites.push(site);
            self.sites.len() - 1
        })
    }

    fn perform(&mut self, (action, half): Site) {
        match action {
            Action::Writeback(address) => {
                let address = address.resolve(|register| Some(self.read(register)));
                if let Some(address) = address {
                    self.tracker.writeback(half, address);
                }
            }
            Action::Zero(address) => {
                let address = address.resolve(|register| Some(self.read(register)));
                if let Some(address) = address {
                    self.tracker.zero(address);
                }
            }
            Action::Fence => self.tracker.fence(half),
            Action::Locked => self.tracker.locked(half),
            Action::Watch => self.watch(half),
            Action::Verdict => self.verdict(),
            // Its stores have a callback of their own.
            Action::Streaming => {}
        }
    }

    fn watch(&mut self, half: Half) {
        let [start, len] = self.decoder.arguments.map(|register| self.read(register));
        if let Err(why) = self.tracker.watch(half, start, len) {
            give_up(&why);
        }
        let range = self.tracker.range();
        START.store(range.start, Ordering::Relaxed);
        END.store(range.end, Ordering::Relaxed);
    }

    fn verdict(&mut self) {
        let [id, _] = self.decoder.arguments.map(|register| self.read(register));
        // At once and whole: the machine may lose its power next.
        if let Err(error) = self.out.write_all(self.tracker.verdict(id).as_bytes()) {
            give_up(&format!("cannot write a verdict: {error}"));
        }
    }

    /// Returns the value of a register.
    fn read(&self, register: Register) -> u64 {
        let name = self.decoder.registers.get(usize::from(register)).copied().unwrap_or_default();
        match self.handles.get(usize::from(register)) {
            Some(handle) if !handle.0.is_null() => read_register(*handle)
                .unwrap_or_else(|| give_up(&format!("the emulator does not read {name}"))),
            _ => give_up(&format!("the emulator shows no register {name}")),
        }
    }
}

/// Returns the value of a handle's register: 8 bytes, in the guest's order, which is little-endian.
fn read_register(handle: Handle) -> Option<u64> {
    let array = g_byte_array_new();
    // SAFETY: the array was just made.
    let array = unsafe { g_byte_array_set_size(array, 0) };
    // SAFETY: the handle is the emulator's, and the array is valid; called from a callback that was
    // registered to read registers.
    let len = unsafe { qemu_plugin_read_register(handle.0, array) };
    // SAFETY: the array is valid.
    let data = unsafe { (*array).data };
    // SAFETY: the array holds as many bytes as were read.
    let value = (len == 8).then(|| unsafe { data.cast::<[u8; 8]>().read() });
    // SAFETY: the array is valid, and nothing points to it any more.
    let freed = unsafe { g_byte_array_free(array, 1) };
    debug_assert!(freed.is_null(), "the bytes were freed with the array");
    value.map(u64::from_le_bytes)
}

/// A CPU is there: its registers can be found.
extern "C" fn on_cpu(_id: u64, _cpu: c_uint) {
    let array = qemu_plugin_get_registers();
    // SAFETY: the emulator returns an array that is valid until it is freed below.
    let descriptors = unsafe { &*array };
    let count = usize::try_from(descriptors.len).unwrap_or(0);
    with_plugin(|plugin| {
        let names = plugin.decoder.registers;
        plugin.handles = vec![Handle(ptr::null_mut()); names.len()];
        for place in 0..count {
            // SAFETY: the array holds that many descriptors.
            let descriptor = unsafe { descriptors.data.add(place) };
            // SAFETY: it is inside the array.
            let descriptor = unsafe { &*descriptor };
            // SAFETY: the names of registers live as long as the emulator.
            let name = unsafe { text(descriptor.name) };
            if let Some(register) = names.iter().position(|known| *known == name) {
                plugin.handles[register] = Handle(descriptor.handle);
            }
        }
    });
    // SAFETY: the array is valid, and nothing points to it any more.
    let freed = unsafe { g_array_free(array, 1) };
    debug_assert!(freed.is_null(), "the descriptors were freed with the array");
}

/// A block was translated.
///
/// # Safety
/// 1. `block` is valid during the call.
unsafe extern "C" fn on_translation(_id: u64, block: *mut Block) {
    // SAFETY: (1) is the caller's duty.
    let count = unsafe { qemu_plugin_tb_n_insns(block) };
    with_plugin(|plugin| {
        for place in 0..count {
            // SAFETY: (1) the block holds that many instructions.
            let instruction = unsafe { qemu_plugin_tb_get_insn(block, place) };
            // SAFETY: (1) an instruction is valid as long as its block.
            unsafe { instrument(plugin, instruction) };
        }
    });
}

/// Asks for callbacks when the instruction is executed.
///
/// # Safety
/// 1. `instruction` is valid during the call.
unsafe fn instrument(plugin: &mut Plugin, instruction: *mut Instruction) {
    let mut bytes = [0_u8; 16];
    // SAFETY: (1), and the buffer has this length.
    let len = unsafe {
        qemu_plugin_insn_data(instruction, bytes.as_mut_ptr().cast(), size_of_val(&bytes))
    };
    // SAFETY: (1) is the caller's duty.
    let at = unsafe { qemu_plugin_insn_vaddr(instruction) };
    let action = (plugin.decoder.decode)(&bytes[..len.min(bytes.len())], at);
    let on_store: Access =
        if action == Some(Action::Streaming) { on_streaming_store } else { on_store };
    // SAFETY: (1), and the callback lives as long as the plugin.
    unsafe {
        qemu_plugin_register_vcpu_mem_cb(
            instruction,
            on_store,
            NO_REGISTERS,
            WRITES,
            ptr::null_mut(),
        );
    };
    let Some(action) = action.filter(|action| *action != Action::Streaming) else { return };
    let number = plugin.number((action, Half::of(at)));
    // SAFETY: (1), and the callback lives as long as the plugin.
    unsafe {
        qemu_plugin_register_vcpu_insn_exec_cb(
            instruction,
            on_execution,
            READS_REGISTERS,
            ptr::without_provenance_mut(number),
        );
    };
}

/// An instruction that does something here is about to be executed; `data` is the number of its
/// site.
extern "C" fn on_execution(_cpu: c_uint, data: *mut c_void) {
    with_plugin(|plugin| {
        let site = plugin.sites.get(data.addr()).copied();
        plugin.perform(site.unwrap_or_else(|| give_up("an instruction of no known site")));
    });
}

extern "C" fn on_store(_cpu: c_uint, info: u32, address: u64, _data: *mut c_void) {
    let len = 1 << qemu_plugin_mem_size_shift(info);
    if is_watched(address, len) {
        with_plugin(|plugin| plugin.tracker.store(address, len));
    }
}

extern "C" fn on_streaming_store(_cpu: c_uint, info: u32, address: u64, _data: *mut c_void) {
    let len = 1 << qemu_plugin_mem_size_shift(info);
    if is_watched(address, len) {
        with_plugin(|plugin| plugin.tracker.streaming_store(address, len));
    }
}

fn is_watched(address: u64, len: u64) -> bool {
    address < END.load(Ordering::Relaxed)
        && address.saturating_add(len) > START.load(Ordering::Relaxed)
}
