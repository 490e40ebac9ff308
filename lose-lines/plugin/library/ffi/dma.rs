//! The callbacks that find missing maintenance for DMA.
//!
//! All CPUs run in one thread, so the order of callbacks is that of the accesses.

use core::ffi::{c_int, c_uint, c_void};
use core::ops::Range;
use core::ptr::{self, with_exposed_provenance};
use core::slice;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::emulator::{
    Block, Cpus, Handle, Info, READS_AND_WRITES, READS_REGISTERS, Target, Translated, Translation,
    accessed, each_instruction, qemu_plugin_mem_is_store, qemu_plugin_mem_size_shift,
    qemu_plugin_register_atexit_cb, qemu_plugin_register_vcpu_init_cb,
    qemu_plugin_register_vcpu_tb_trans_cb, read_register, registers, target,
};
use super::{complain, give_up, hooks};
use crate::decode::Address;
use crate::dma::architecture::{Architecture, Effect};
use crate::dma::machine::Machine;
use crate::dma::model::{Counts, Found, Handed, Model, Place};
use crate::dma::ram::Ram;
use crate::dma::table::Kind;
use crate::dma::virtio::{Registers, Virtio, is_of_iommu};

/// An instruction of the guest.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Site {
    /// 0 outside of RAM.
    physical: u64,
    address: u64,
    /// The privilege, as far as translation depends on it.
    level: u8,
    effect: Option<Effect>,
    /// The address to return to, of an instruction that maintains a line; 0 of others.
    caller: u64,
}

/// The kind of memory of a page.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Memory {
    Cacheable,
    Around,
    Device,
    #[default]
    Unknown,
}

#[derive(Clone, Copy, Default)]
struct Entry {
    page: u64,
    round: u64,
    physical: u64,
    memory: Memory,
}

/// The emulator's name of a memory of its backend `memory-backend-memfd`.
const MEMORY: &str = "/memfd:memory-backend-memfd";

const PAGE: u64 = 4096;
const ENTRIES: usize = 4096;

/// A block that the last instruction zeroes, if it does not fault.
struct Zeroing {
    cpu: usize,
    place: Place,
    at: u64,
    is_cacheable: bool,
}

struct Watch {
    /// The file with the description of the machine, written before the guest runs.
    description: PathBuf,
    /// Known when the first CPU exists.
    architecture: Option<Architecture>,
    translation: Translation,
    /// Unknown if there is one CPU.
    several: Option<Cpus>,
    model: Option<Model>,
    machine: Machine,
    virtio: Virtio,
    handles: HashMap<String, Handle>,
    /// The pages that each CPU used last.
    pages: Vec<Vec<Entry>>,
    zeroing: Option<Zeroing>,
    /// The number of times that translations were invalidated.
    round: u64,
    sites: Vec<Site>,
    numbers: HashMap<Site, Place>,
    /// The address of the guest's RAM in this process.
    host: u64,
    /// The last store to a device, and true if that device is coherent by definition.
    doorbell: (Place, bool),
    /// The page of the last access to a device, and the name of that device.
    named: (u64, String),
    /// The devices that got memory, by their numbers from 1.
    devices: Vec<String>,
    /// The upper half of the address of a command of `fw_cfg`, and the number of commands.
    command: u64,
    commands: u64,
    /// The address to return to where something was first found.
    callers: HashMap<(Kind, Place, Place), u64>,
    streamed: u64,
}

static WATCH: Mutex<Option<Watch>> = Mutex::new(None);

fn with_watch<R>(work: impl FnOnce(&mut Watch) -> R) -> R {
    match WATCH.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
        Some(watch) => work(watch),
        None => give_up("called before it was installed"),
    }
}

/// Installs this use of the plugin. Returns 0, or 1 after a complaint.
pub(super) fn install(id: u64, info: &Info, target: &str, arguments: &[&str]) -> c_int {
    match Watch::new(info, target, arguments) {
        Ok(watch) => {
            *WATCH.lock().unwrap_or_else(PoisonError::into_inner) = Some(watch);
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

impl Watch {
    fn new(info: &Info, target: &str, arguments: &[&str]) -> Result<Self, String> {
        if !matches!(target, "aarch64" | "arm" | "riscv64") || !info.system_emulation {
            return Err(format!(
                "{target}: only machines with Arm and riscv64 CPUs are understood"
            ));
        }
        let description = arguments.iter().find_map(|argument| argument.strip_prefix("dma="));
        let translation = Translation::find().ok_or(
            "this emulator does not translate addresses for plugins: QEMU 10.0 or later is needed",
        )?;
        if arguments.contains(&"hooks=on") {
            hooks::install()?;
        }
        let nowhere = Site { physical: 0, address: 0, level: 0, effect: None, caller: 0 };
        Ok(Self {
            description: PathBuf::from(description.unwrap_or_default()),
            architecture: None,
            translation,
            several: None,
            model: None,
            machine: Machine::default(),
            virtio: Virtio::default(),
            handles: HashMap::new(),
            pages: (0..info.max_vcpus).map(|_cpu| vec![Entry::default(); ENTRIES]).collect(),
            zeroing: None,
            round: 1,
            sites: vec![nowhere],
            numbers: HashMap::new(),
            host: 0,
            doorbell: (0, false),
            named: (0, String::new()),
            devices: Vec::new(),
            command: 0,
            commands: 0,
            callers: HashMap::new(),
            streamed: 0,
        })
    }

    /// Maps the guest's RAM, and finds the CPUs; the emulator has made them by now.
    fn open(&mut self) -> Result<(), String> {
        if self.pages.len() > 1 {
            let several = Cpus::find(self.pages.len());
            self.several =
                Some(several.ok_or("this emulator does not show which CPU runs: give -smp 1")?);
        }
        let read = |path: &Path| {
            fs::read_to_string(path).map_err(|why| format!("{}: {why}", path.display()))
        };
        let machine = Machine::parse(&read(&self.description)?);
        let machine = machine.ok_or("the description of the machine is not one")?;
        let maps = read(Path::new("/proc/self/maps"))?;
        let range = maps.lines().find(|mapping| mapping.contains(MEMORY)).and_then(|mapping| {
            let (start, end) = mapping.split(' ').next()?.split_once('-')?;
            let address = |text| usize::from_str_radix(text, 16).ok();
            Some(address(start)?..address(end)?)
        });
        let range = range.ok_or("the guest's RAM is not that of the tool")?;
        let (host, words) = (with_exposed_provenance(range.start), range.len() / 8);
        // SAFETY: the emulator has mapped the guest's RAM here as long as it runs; everything accesses it by whole bytes or
        // words that are atomic on the host.
        let words = unsafe { slice::from_raw_parts(host, words) };
        let ram = Ram::new(machine.ram, words);
        self.host = range.start as u64;
        self.virtio.has_iommu = machine.has(is_of_iommu);
        let is_in_order = self.architecture().drops_in_order;
        self.model = Some(Model::new(ram, machine.line, self.pages.len(), is_in_order));
        self.machine = machine;
        Ok(())
    }

    fn model(&mut self) -> &mut Model {
        self.model.as_mut().unwrap_or_else(|| give_up("an instruction ran before its translation"))
    }

    /// Returns the number of the CPU that runs.
    fn running(&self) -> usize {
        self.several.as_ref().map_or(0, |cpus| {
            cpus.running().unwrap_or_else(|| give_up("a CPU was added while the machine ran"))
        })
    }

    /// Returns the guest's address of a place in its RAM.
    fn physical(&mut self, host: u64) -> Option<u64> {
        let offset = host.wrapping_sub(self.host);
        let ram = self.model().ram();
        (offset < ram.len()).then(|| ram.base() + offset)
    }

    fn register(&self, name: &str) -> Option<u64> {
        self.handles.get(name).and_then(|handle| read_register(*handle))
    }

    fn architecture(&self) -> Architecture {
        self.architecture.unwrap_or_else(|| give_up("an instruction ran before there was a CPU"))
    }

    fn level(&self) -> u8 {
        (self.architecture().level)(&|name| self.register(name))
    }

    fn is_cacheable(&mut self, level: u8, address: u64) -> bool {
        let ram = self.model().ram();
        let read = |name: &str| self.register(name);
        let mapped = (self.architecture().mapped)(&read, level, address, &|at| ram.word(at));
        self.model().set_by_walks |= mapped.set_by_walks;
        mapped.is_cacheable
    }

    /// Returns the physical address and the memory of an access.
    fn memory(&mut self, cpu: usize, level: u8, info: u32, address: u64) -> (u64, Memory) {
        let (page, offset) = (address / PAGE, address % PAGE);
        // Levels do not share entries.
        let key = page << 2 | u64::from(level.max(1) & 3);
        let number = usize::try_from(page % ENTRIES as u64).unwrap_or_default();
        let entry = self.pages[cpu][number];
        if entry.page == key && entry.round == self.round {
            return (entry.physical | offset, entry.memory);
        }
        let Some((physical, is_device)) = target(info, address)
            .map(|(at, target)| (at / PAGE * PAGE, matches!(target, Target::Device(_))))
        else {
            return (0, Memory::Unknown);
        };
        let memory = if is_device {
            Memory::Device
        } else if !self.model().ram().has(physical, PAGE) {
            Memory::Unknown
        } else if self.is_cacheable(level, address) {
            Memory::Cacheable
        } else {
            Memory::Around
        };
        self.pages[cpu][number] = Entry { page: key, round: self.round, physical, memory };
        (physical | offset, memory)
    }

    fn number(&mut self, site: Site) -> Place {
        *self.numbers.entry(site).or_insert_with(|| {
            self.sites.push(site);
            Place::try_from(self.sites.len() - 1).unwrap_or(0)
        })
    }

    /// Takes over a block that was zeroed before an instruction, which may have stored already.
    fn finish_zeroing(&mut self, stored: Range<u64>) {
        if let Some(Zeroing { cpu, place, at, is_cacheable }) = self.zeroing.take() {
            let len = self.zero_len();
            let ram = self.model().ram();
            // It may have faulted.
            let is_stored = |at| at < stored.end && stored.start < at + 8;
            let mut words = (at..at + len).step_by(8);
            let is_zero = words.all(|at| is_stored(at) || ram.word(at) == Some(0));
            match (is_zero, is_cacheable) {
                (true, true) => self.model().store(cpu, place, at, len),
                (true, false) => self.model().store_around(at, len),
                (false, _) => {}
            }
        }
    }

    /// Takes over what devices have accessed since the last call.
    fn follow_devices(&mut self) {
        for hooks::Access { host, len, device_writes, space } in hooks::take() {
            let Some(at) = self.physical(host as u64) else { continue };
            let (name, (place, is_coherent)) = (hooks::name(space), self.doorbell);
            // An IOMMU reads its tables on the CPUs' bus, coherently if it says so (`SMMU_IDR0.COHACC`, which QEMU sets).
            let is_coherent = is_coherent || self.virtio.has_iommu && name.is_none();
            if !is_coherent {
                let device = self.device(name.unwrap_or_else(|| self.named.1.clone()));
                self.model().hand_over(place, device, Handed { at, len, device_writes });
            } else if device_writes {
                self.model().store_around(at, len);
            }
        }
    }

    /// Returns the number of a device.
    fn device(&mut self, name: String) -> u16 {
        let known = self.devices.iter().position(|known| *known == name);
        let place = known.unwrap_or_else(|| {
            self.devices.push(name);
            self.devices.len() - 1
        });
        u16::try_from(place + 1).unwrap_or(0)
    }

    /// Returns the number of a queue of virtio.
    fn queue(&mut self, name: &str, at: u64, number: u64) -> u16 {
        let device = match name.strip_prefix("virtio-pci-notify-") {
            Some(device) => format!("{device} on PCI at {at:#x}"),
            None => format!("{name} {}", self.machine.number(at)),
        };
        self.device(format!("{device}, queue {}", number & 0xffff))
    }

    /// Returns the length of the block that one instruction zeroes.
    fn zero_len(&self) -> u64 {
        (self.architecture().zeroed)(&|name| self.register(name))
    }

    fn perform(&mut self, cpu: usize, place: Place) {
        self.finish_zeroing(0..0);
        self.follow_devices();
        let ram = self.model().ram();
        self.virtio.take_back(&ram);
        let site = self.sites[place as usize];
        match site.effect {
            Some(Effect::Translation) => self.round += 1,
            Some(Effect::Fence) => self.model().fence(cpu),
            Some(Effect::FenceOfCpus) => self.model().fence_of_cpus(cpu),
            Some(Effect::All(what)) => self.model().maintain_all(cpu, place, what),
            Some(Effect::Streaming) => self.streamed += 1,
            Some(Effect::Line(what, address)) => {
                if let Some((_, at)) = self.resolve(cpu, address) {
                    // Most programs maintain in one function.
                    let place = self.number(Site { caller: self.caller(), ..site });
                    self.model().maintain(cpu, place, at, what);
                }
            }
            Some(Effect::Zero(address)) => {
                if let Some((address, at)) = self.resolve(cpu, address) {
                    let len = self.zero_len();
                    let at = at / len * len;
                    if self.model().ram().has(at, len) {
                        let is_cacheable = self.is_cacheable(site.level, address);
                        self.zeroing = Some(Zeroing { cpu, place, at, is_cacheable });
                    }
                }
            }
            None => {}
        }
        self.note_caller();
    }

    /// Returns the virtual and the physical address that an instruction names.
    fn resolve(&self, cpu: usize, address: Address) -> Option<(u64, u64)> {
        let names = self.architecture().registers;
        let address = address.resolve(|place| self.register(names.get(usize::from(place))?))?;
        Some((address, self.translate(cpu, address)?))
    }

    fn translate(&self, cpu: usize, address: u64) -> Option<u64> {
        self.translation.physical(c_uint::try_from(cpu).ok()?, address)
    }

    fn access(&mut self, cpu: usize, place: Place, info: u32, address: u64) {
        let level = self.sites[place as usize].level;
        let len = 1 << qemu_plugin_mem_size_shift(info);
        let first = len.min(PAGE - address % PAGE);
        let (at, memory) = self.memory(cpu, level, info, address);
        self.finish_zeroing(at..at + first);
        if memory == Memory::Device {
            self.access_device(cpu, place, info, (address, at));
            // A device may act at once.
            self.follow_devices();
            return self.note_caller();
        }
        self.follow_devices();
        self.access_memory(cpu, place, info, (at, first, memory));
        // The emulator translates only the first byte.
        if first < len
            && let Some(at) = self.translate(cpu, address + first)
        {
            let is_cacheable = self.is_cacheable(level, address + first);
            let memory = if is_cacheable { Memory::Cacheable } else { Memory::Around };
            if self.model().ram().has(at, len - first) {
                self.access_memory(cpu, place, info, (at, len - first, memory));
            }
        }
    }

    fn access_memory(
        &mut self,
        cpu: usize,
        place: Place,
        info: u32,
        (at, len, memory): (u64, u64, Memory),
    ) {
        match (memory, qemu_plugin_mem_is_store(info)) {
            (Memory::Cacheable, true) => self.model().store(cpu, place, at, len),
            (Memory::Cacheable, false) => self.model().load(cpu, place, at, len),
            (Memory::Around, true) => self.model().store_around(at, len),
            (Memory::Around, false) => {
                let ram = self.model().ram();
                return self.virtio.take_back(&ram);
            }
            _ => return,
        }
        self.note_caller();
    }

    fn access_device(&mut self, cpu: usize, place: Place, info: u32, (address, at): (u64, u64)) {
        // The emulator names no device that shares a page with another, and must not be asked for the target of a store
        // that has just mapped a device.
        let name = match (self.machine.device(at), &self.named) {
            (Some(name), _) => name.to_owned(),
            (None, (page, name)) if *page == at / PAGE => name.clone(),
            (None, _) => match target(info, address) {
                Some((_, Target::Device(name))) => name.to_string_lossy().into_owned(),
                _ => return,
            },
        };
        self.virtio.has_iommu |= is_of_iommu(&name);
        self.named = (at / PAGE, name.clone());
        let name = name.as_str();
        let (len, value) = (1 << qemu_plugin_mem_size_shift(info), accessed(info));
        let registers = Registers::of(name);
        if !qemu_plugin_mem_is_store(info) {
            if let Some(registers) = registers {
                self.virtio.load(registers, at, value);
            }
            return;
        }
        if registers.is_some() || !is_without_dma(name) {
            self.doorbell = (place, name.starts_with("fwcfg"));
            self.model().doorbell(cpu);
        }
        if name == "fwcfg.dma" {
            self.configure(at, len, value);
        }
        if let Some(registers) = registers {
            let ram = self.model().ram();
            let handed = self.virtio.store(&ram, registers, at, len, value);
            let device = if handed.is_empty() { 0 } else { self.queue(name, at, value) };
            for handed in handed {
                self.model().hand_over(place, device, handed);
            }
        }
        self.note_caller();
    }

    /// The device `fw_cfg` executes a command, which takes no time: the flags, a length and an address, all big-endian
    /// (QEMU `docs/specs/fw_cfg.rst`). It is coherent by definition.
    fn configure(&mut self, at: u64, len: u64, value: u64) {
        let command = match (at % 8, len) {
            (0, 8) => value.swap_bytes(),
            (0, _) => {
                self.command = value.swap_bytes() & !u64::from(u32::MAX);
                return;
            }
            _ => core::mem::take(&mut self.command) | value.swap_bytes() >> 32,
        };
        self.commands += 1;
        let model = self.model();
        let ram = model.ram();
        if let (Some(length), Some(address)) = (ram.word(command), ram.word(command + 8)) {
            model.store_around(command, 16);
            model.store_around(address.swap_bytes(), length.swap_bytes() & u64::from(u32::MAX));
        }
    }

    /// Notes the caller of the instruction at which something was found for the first time.
    fn note_caller(&mut self) {
        if let Some(found) = self.model().take_newest() {
            let caller = self.caller();
            self.callers.insert(found, caller);
        }
    }

    /// Returns the address to return to.
    fn caller(&self) -> u64 {
        // The lowest bit is that of Thumb.
        self.register(self.architecture().link).unwrap_or_default() & !1
    }

    /// Returns the lines for the tool.
    fn text(&self) -> String {
        let Some(model) = &self.model else { return String::new() };
        let place = |number: Place| {
            let Site { physical, address, .. } = self.sites[number as usize];
            format!("{physical:#x}:{address:#x}")
        };
        let line = |(kind, at, by, found): (Kind, Place, Place, Found)| {
            let caller = self.callers.get(&(kind, at, by)).copied().unwrap_or_default();
            let Found { count, address, cached, memory, device } = found;
            format!(
                "found kind={} count={count} at={} by={} address={address:#x} cached={cached:#x} memory={memory:#x} \
                 caller={caller:#x} by_caller={:#x} device={device}\n",
                kind.name(),
                place(at),
                place(by),
                self.sites[by as usize].caller,
            )
        };
        let Counts { loads, stores, maintained, fences, handed, refreshed } = model.counts;
        let Virtio { doorbells, chains, unfollowed, .. } = &self.virtio;
        let (streamed, commands) = (self.streamed, self.commands);
        let counts = format!(
            "counts loads={loads} stores={stores} maintained={maintained} fences={fences} handed={handed} \
             refreshed={refreshed} doorbells={doorbells} chains={chains} unfollowed={unfollowed} streamed={streamed} \
             fw_cfg={commands}\n",
        );
        let cpu = format!("cpu {}\n", self.architecture().name);
        let devices = self.devices.iter().map(|name| format!("device {name}\n"));
        [cpu].into_iter().chain(devices).chain(model.found().map(line)).chain([counts]).collect()
    }
}

/// Returns true for a region of a device that makes no DMA.
fn is_without_dma(name: &str) -> bool {
    const PARTS: &str = "gic plic aclint pl0 uart serial rtc timer gpio fwcfg.ctl fwcfg.data mmcfg";
    // PL080 and PL081 are engines for DMA.
    !name.starts_with("pl08") && PARTS.split(' ').any(|part| name.contains(part))
}

extern "C" fn on_cpu(_id: u64, _cpu: c_uint) {
    let all = registers();
    with_watch(|watch| {
        for (name, handle) in all {
            // QEMU names one register by its AArch32 view.
            let name = if name == "SCTLR_EL1" { String::from("SCTLR") } else { name };
            watch.handles.insert(name, handle);
        }
        watch.architecture = crate::dma::architecture(|name| watch.handles.contains_key(name));
        if watch.architecture.is_none() {
            give_up("the emulator does not show the registers of address translation");
        }
    });
}

extern "C" fn on_exit(_id: u64, _data: *mut c_void) {
    with_watch(|watch| {
        // Nothing is known, and nothing is to be told, if no instruction ran.
        if watch.model.is_some()
            && let Err(why) = fs::write(&watch.machine.out, watch.text())
        {
            complain(&format!("{}: {why}", watch.machine.out.display()));
        }
    });
}

/// A block was translated.
///
/// # Safety
/// 1. `block` is valid during the call.
unsafe extern "C" fn on_translation(_id: u64, block: *mut Block) {
    with_watch(|watch| {
        if watch.model.is_none() {
            watch.open().unwrap_or_else(|why| give_up(&why));
        }
        let level = watch.level();
        // SAFETY: (1) is the caller's duty.
        unsafe { each_instruction(block, |instruction| instrument(watch, level, instruction)) };
    });
}

/// Asks for callbacks when the instruction is executed.
fn instrument(watch: &mut Watch, level: u8, instruction: &Translated) {
    let Translated { address, code, .. } = *instruction;
    let physical = watch.physical(code.0 as u64).unwrap_or_default();
    let effect = (watch.architecture().effect)(instruction.bytes());
    let number = watch.number(Site { physical, address, level, effect, caller: 0 }) as usize;
    instruction.on_access(on_access, READS_REGISTERS, READS_AND_WRITES, number);
    if effect.is_some() {
        instruction.on_execution(on_execution, READS_REGISTERS, number);
    }
}

/// Returns the place that a callback was registered with.
fn place(data: *mut c_void) -> Place {
    Place::try_from(data.addr()).unwrap_or_default()
}

extern "C" fn on_execution(_cpu: c_uint, data: *mut c_void) {
    with_watch(|watch| watch.perform(watch.running(), place(data)));
}

extern "C" fn on_access(_cpu: c_uint, info: u32, address: u64, data: *mut c_void) {
    with_watch(|watch| watch.access(watch.running(), place(data), info, address));
}
