//! The emulator's callbacks.
//!
//! The emulator hands over each block of instructions when it translates it. Each instruction gets a callback for its
//! stores if they are followed, and one for itself if its effect matters. CPUs run in parallel, so the state is behind
//! a mutex.
//!
//! A callback cannot report an error, and incomplete results must not be written: the emulator is ended instead.

mod dma;
mod emulator;
mod hooks;
mod losses;
mod own_process;

use core::ffi::{c_char, c_int, c_uint, c_void};
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::process;
use std::sync::{Mutex, MutexGuard, PoisonError};

use self::emulator::{
    Block, Code, Handle, Info, NO_REGISTERS, READS_REGISTERS, Translated, WRITES, each_instruction,
    qemu_plugin_register_atexit_cb, qemu_plugin_register_vcpu_init_cb,
    qemu_plugin_register_vcpu_tb_trans_cb, read_register, registers, text,
};
use self::losses::Lossy;
use crate::decode::{Action, Decoder, Register};
use crate::decoder;
use crate::losses::model::Half;

/// The version of the interface, which the emulator compares with its own.
#[unsafe(no_mangle)]
#[expect(unreachable_pub, reason = "it is exported by its name")]
pub static qemu_plugin_version: c_int = 4;

/// An instruction with a callback: its effect, its half of the address space, its address where that matters, and its
/// code.
type Site = (Action, Half, u64, Code);

/// The operands of an instruction that is executed.
struct Operands {
    /// The address that it maintains.
    address: Option<u64>,
    /// The arguments of a mark; zeros of any other.
    arguments: [u64; 2],
}

struct Plugin {
    decoder: Decoder,
    lossy: Lossy,
    /// The address and the length of the watched range.
    watched: [u64; 2],
    out: File,
    handles: Vec<Handle>,
    /// The sites that the numbers of callbacks refer to. Translations recur, but the sites are few.
    sites: Vec<Site>,
    numbers: HashMap<Site, usize>,
}

static PLUGIN: Mutex<Option<Plugin>> = Mutex::new(None);

/// The physical addresses of the followed bytes, for the callback of every single store.
static START: AtomicU64 = AtomicU64::new(0);
static END: AtomicU64 = AtomicU64::new(0);

/// False if no fence can have an effect: kernels execute millions of them.
static FENCES_MATTER: AtomicBool = AtomicBool::new(true);

/// Prints the reason and ends the emulator.
fn give_up(why: &str) -> ! {
    complain(why);
    process::abort()
}

fn complain(why: &str) {
    // A closed standard error leaves no other place for the message.
    drop(writeln!(io::stderr(), "lose-lines: {why}"));
}

fn lock() -> MutexGuard<'static, Option<Plugin>> {
    PLUGIN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does `work` with the plugin, which exists once it is installed.
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
    if arguments.iter().any(|argument| argument.starts_with("dma=")) {
        return dma::install(id, info, &target, &arguments);
    }
    match Plugin::new(info, &target, &arguments) {
        Ok(plugin) => {
            *lock() = Some(plugin);
            qemu_plugin_register_vcpu_init_cb(id, on_cpu);
            qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
            qemu_plugin_register_atexit_cb(id, on_exit, ptr::null_mut());
            0
        }
        Err(why) => {
            complain(&why);
            1
        }
    }
}

impl Plugin {
    fn new(info: &Info, target: &str, arguments: &[&str]) -> Result<Self, String> {
        let decoder = decoder(target)
            .ok_or_else(|| format!("{target}: only x86_64, aarch64 and riscv64 are understood"))?;
        if !info.system_emulation {
            return Err(String::from("only whole machines are understood"));
        }
        let (lossy, out) = Lossy::new(arguments)?;
        let (sites, numbers) = (Vec::new(), HashMap::new());
        let mut plugin = Self {
            decoder,
            lossy,
            watched: [0; 2],
            out: appending(&out)?,
            handles: Vec::new(),
            sites,
            numbers,
        };
        plugin.pass_on();
        Ok(plugin)
    }

    /// Returns the number of a site.
    fn number(&mut self, site: Site) -> usize {
        *self.numbers.entry(site).or_insert_with(|| {
            self.sites.push(site);
            self.sites.len() - 1
        })
    }

    /// Returns the operands of an instruction, from the registers.
    fn operands(&self, action: Action) -> Operands {
        let address = match action {
            Action::Writeback(_, address) | Action::Discard(address) => {
                address.resolve(|register| Some(self.read(register)))
            }
            _ => None,
        };
        let arguments = match action {
            Action::Mark(_) => self.decoder.arguments.map(|register| self.read(register)),
            _ => [0; 2],
        };
        Operands { address, arguments }
    }

    /// Writes to the host, at once and completely: the machine may lose its power next.
    fn write(&mut self, text: &str) {
        if let Err(error) = self.out.write_all(text.as_bytes()) {
            give_up(&format!("cannot write the plugin's lines: {error}"));
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

    /// Returns true if the emulator shows a register.
    fn shows(&self, register: Register) -> bool {
        self.handles.get(usize::from(register)).is_some_and(|handle| !handle.0.is_null())
    }
}

fn appending(out: &Path) -> Result<File, String> {
    let open = OpenOptions::new().create(true).append(true).open(out);
    open.map_err(|error| format!("cannot write {}: {error}", out.display()))
}

/// A CPU exists now, so its registers can be found.
extern "C" fn on_cpu(_id: u64, _cpu: c_uint) {
    let shown = registers();
    with_plugin(|plugin| {
        let names = plugin.decoder.registers;
        plugin.handles = vec![Handle(ptr::null_mut()); names.len()];
        for (name, handle) in shown {
            if let Some(register) = names.iter().position(|known| *known == name) {
                plugin.handles[register] = handle;
            }
        }
    });
}

/// The emulator ends by itself.
extern "C" fn on_exit(_id: u64, _data: *mut c_void) {
    with_plugin(Plugin::exit);
}

/// A block was translated.
///
/// # Safety
/// 1. `block` is valid during the call.
unsafe extern "C" fn on_translation(_id: u64, block: *mut Block) {
    // SAFETY: (1) is the caller's duty.
    with_plugin(|plugin| unsafe { each_instruction(block, |of| instrument(plugin, of)) });
}

/// Asks for callbacks when the instruction is executed.
fn instrument(plugin: &mut Plugin, instruction: &Translated) {
    let Translated { address: at, code, .. } = *instruction;
    let action = (plugin.decoder.decode)(instruction.bytes(), at);
    let half = Half::of(at);
    if let Some(on_store) = plugin.lossy.on_stores(action == Some(Action::Streaming), half) {
        let (flags, kernel) = match half {
            Half::Lower => (READS_REGISTERS, 0),
            Half::Upper => (NO_REGISTERS, losses::KERNEL),
        };
        instruction.on_access(on_store, flags, WRITES, code.0 | kernel);
    }
    if plugin.is_reset(at) {
        instruction.on_execution(losses::on_reset, NO_REGISTERS, 0);
    }
    if let Some(site) = action.and_then(|action| plugin.lossy.site(action, half, at, code)) {
        let data = plugin.number(site) << 1 | usize::from(is_fence(site.0));
        instruction.on_execution(on_execution, READS_REGISTERS, data);
    }
}

const fn is_fence(action: Action) -> bool {
    matches!(action, Action::Fence(_) | Action::Locked)
}

/// An instruction that does something here is about to be executed; `data` is the number of its site, and in the lowest
/// bit 1 for a fence.
extern "C" fn on_execution(cpu: c_uint, data: *mut c_void) {
    if data.addr() & 1 != 0 && !FENCES_MATTER.load(Ordering::Relaxed) {
        return;
    }
    with_plugin(|plugin| {
        let site = plugin.sites.get(data.addr() >> 1).copied();
        plugin.perform(cpu, site.unwrap_or_else(|| give_up("an instruction of no known site")));
    });
}

fn is_followed(address: u64, len: u64) -> bool {
    address < END.load(Ordering::Relaxed)
        && address.saturating_add(len) > START.load(Ordering::Relaxed)
}
