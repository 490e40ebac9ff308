//! The place of a call in the program's source.
//!
//! While a program runs, only addresses are noted: the frames of the stack, found with the unwinding tables of the
//! program's files. Lines are looked up when a loss is explained.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use addr2line::Loader;
use addr2line::gimli::{
    BaseAddresses, CfaRule, EhFrame, EhFrameHdr, NativeEndian, Register, RegisterRule,
    UnwindContext, UnwindSection as _,
};
use goblin::elf::Elf;
use goblin::elf::program_header::PT_LOAD;

use crate::tracee::{Registers, Thread, memory};

/// The number of frames that are noted.
const FRAMES: usize = 16;

/// The part of a stack that is read at once, in bytes.
const STACK: usize = 16 << 10;

#[cfg(target_arch = "x86_64")]
const NUMBERS: Numbers = Numbers { stack: Register(7), frame: Register(6), back: Register(16) };
#[cfg(target_arch = "aarch64")]
const NUMBERS: Numbers = Numbers { stack: Register(31), frame: Register(29), back: Register(30) };

/// The numbers of registers in the tables: stack pointer, frame pointer, return address.
struct Numbers {
    stack: Register,
    frame: Register,
    back: Register,
}

/// The way from a frame to its caller's.
#[derive(Clone, Copy, Debug)]
struct Rule {
    is_by_frame: bool,
    offset: i64,
    /// The places of the return address and of the frame pointer, relative to the caller's stack.
    back: Option<i64>,
    frame: Option<i64>,
}

/// A mapped file with code.
#[derive(Debug)]
struct Module {
    from: u64,
    to: u64,
    offset: u64,
    file: Rc<Code>,
}

/// A file with code.
#[derive(Debug)]
struct Code {
    path: PathBuf,
    bytes: Vec<u8>,
    /// Of the segments: offset, size, address.
    segments: Vec<(u64, u64, u64)>,
    /// Address and bytes of the tables: the frames, and the index to them.
    frames: Option<(u64, core::ops::Range<usize>)>,
    index: Option<(u64, core::ops::Range<usize>)>,
}

impl Code {
    fn read(path: &Path) -> Option<Self> {
        let bytes = fs::read(path).ok()?;
        let elf = Elf::parse(&bytes).ok()?;
        let loaded = elf.program_headers.iter().filter(|segment| segment.p_type == PT_LOAD);
        let segments =
            loaded.map(|segment| (segment.p_offset, segment.p_filesz, segment.p_vaddr)).collect();
        let section = |name| {
            let is_it = |section: &&goblin::elf::SectionHeader| {
                elf.shdr_strtab.get_at(section.sh_name) == Some(name)
            };
            let section = elf.section_headers.iter().find(is_it)?;
            Some((section.sh_addr, section.file_range()?))
        };
        let (frames, index) = (section(".eh_frame"), section(".eh_frame_hdr"));
        Some(Self { path: path.to_path_buf(), segments, frames, index, bytes })
    }

    /// Returns the address of a byte of the file.
    fn address(&self, offset: u64) -> Option<u64> {
        let is_in =
            |segment: &&(u64, u64, u64)| (segment.0..segment.0 + segment.1).contains(&offset);
        self.segments.iter().find(is_in).map(|segment| offset - segment.0 + segment.2)
    }

    fn rule(&self, address: u64) -> Option<Rule> {
        let (frames_at, frames) = self.frames.clone()?;
        let (index_at, index) = self.index.clone()?;
        let bases = BaseAddresses::default().set_eh_frame(frames_at).set_eh_frame_hdr(index_at);
        let frames = EhFrame::new(self.bytes.get(frames)?, NativeEndian);
        let index = EhFrameHdr::new(self.bytes.get(index)?, NativeEndian).parse(&bases, 8).ok()?;
        let mut context = UnwindContext::new();
        let table = index.table()?;
        let row = table
            .unwind_info_for_address(
                &frames,
                &bases,
                &mut context,
                address,
                EhFrame::cie_from_offset,
            )
            .ok()?;
        let CfaRule::RegisterAndOffset { register, offset } = row.cfa() else { return None };
        let place = |register| match row.register(register) {
            Some(RegisterRule::Offset(offset)) => Some(offset),
            _ => None,
        };
        (*register == NUMBERS.frame || *register == NUMBERS.stack).then(|| Rule {
            is_by_frame: *register == NUMBERS.frame,
            offset: *offset,
            back: place(NUMBERS.back),
            frame: place(NUMBERS.frame),
        })
    }
}

/// The stacks of a run.
#[derive(Debug, Default)]
pub(super) struct Stacks {
    files: HashMap<PathBuf, Option<Rc<Code>>>,
    modules: HashMap<Thread, Vec<Module>>,
    rules: HashMap<(Thread, u64), Option<Rule>>,
    known: HashMap<Vec<(u64, Thread)>, usize>,
    /// The places, as [`in_source`] reads them.
    pub(super) places: Vec<String>,
}

impl Stacks {
    /// Forgets the files of a process that starts a program.
    pub(super) fn forget(&mut self, process: Thread) {
        self.modules.remove(&process);
        self.rules.retain(|(known, _), _| *known != process);
        self.known.retain(|frames, _| frames.first().is_none_or(|frame| frame.1 != process));
    }

    /// Returns the index of the place at which a thread makes a call.
    pub(super) fn place(
        &mut self,
        process: Thread,
        thread: Thread,
        registers: &Registers,
    ) -> usize {
        let frames = self.frames(process, thread, registers);
        let key: Vec<_> = frames.iter().map(|at| (*at, process)).collect();
        if let Some(place) = self.known.get(&key) {
            return *place;
        }
        let names = frames.iter().filter_map(|at| {
            let module = self.module(process, *at)?;
            let address = module.file.address(at - module.from + module.offset)?;
            Some(format!("{}@{address:x}", module.file.path.display()))
        });
        let place = names.collect::<Vec<_>>().join(";");
        let found = self.places.iter().position(|known| *known == place).unwrap_or_else(|| {
            self.places.push(place);
            self.places.len() - 1
        });
        self.known.insert(key, found);
        found
    }

    /// Returns the addresses of a call and its callers. Each is in the calling instruction.
    fn frames(&mut self, process: Thread, thread: Thread, registers: &Registers) -> Vec<u64> {
        let (mut at, mut stack, mut frame, mut back) = registers.frame();
        let first = stack;
        let bytes = memory(thread, stack, STACK);
        let word = |place: u64| {
            let from = usize::try_from(place.checked_sub(first)?).ok()?;
            bytes.get(from..from.checked_add(8)?)?.try_into().ok().map(u64::from_ne_bytes)
        };
        let mut frames = vec![at - 1];
        while frames.len() < FRAMES {
            let add = |to: u64, offset: i64| to.wrapping_add_signed(offset);
            let (top, caller, below) = match self.rule(process, at - 1) {
                Some(rule) => {
                    let top = add(if rule.is_by_frame { frame } else { stack }, rule.offset);
                    let saved = rule.back.and_then(|offset| word(add(top, offset)));
                    let below = rule.frame.map_or(Some(frame), |offset| word(add(top, offset)));
                    (top, saved.or(back), below)
                }
                // Code without tables may have a chain of frames.
                None => (frame.wrapping_add(16), word(frame.wrapping_add(8)), word(frame)),
            };
            let (Some(caller), Some(below)) = (caller, below) else { break };
            if top <= stack || caller == 0 {
                break;
            }
            (at, stack, frame, back) = (caller, top, below, None);
            frames.push(at - 1);
        }
        frames
    }

    fn rule(&mut self, process: Thread, at: u64) -> Option<Rule> {
        if let Some(rule) = self.rules.get(&(process, at)) {
            return *rule;
        }
        let module = self.module(process, at);
        let rule = module.and_then(|module| {
            module.file.rule(module.file.address(at - module.from + module.offset)?)
        });
        self.rules.insert((process, at), rule);
        rule
    }

    fn module(&mut self, process: Thread, at: u64) -> Option<&Module> {
        let has = |modules: &Vec<Module>| {
            modules.iter().any(|module| (module.from..module.to).contains(&at))
        };
        if !self.modules.get(&process).is_some_and(has) {
            let modules = self.read(process);
            self.modules.insert(process, modules);
        }
        self.modules[&process].iter().find(|module| (module.from..module.to).contains(&at))
    }

    /// Reads the mapped code of a process.
    fn read(&mut self, process: Thread) -> Vec<Module> {
        let maps = fs::read_to_string(format!("/proc/{process}/maps")).unwrap_or_default();
        let module = |line: &str| {
            let mut words = line.splitn(6, ' ');
            let (range, mode, offset) = (words.next()?, words.next()?, words.next()?);
            let path = PathBuf::from(words.nth(2)?.trim());
            let number = |text| u64::from_str_radix(text, 16).ok();
            let (from, to) = range.split_once('-')?;
            let (from, to, offset) = (number(from)?, number(to)?, number(offset)?);
            if !mode.contains('x') || !path.is_absolute() {
                return None;
            }
            let file = self.files.entry(path).or_insert_with_key(|path| {
                // The file as the process sees it, in its root.
                let inside = format!("/proc/{process}/root{}", path.display());
                let read = Code::read(Path::new(&inside)).or_else(|| Code::read(path));
                read.map(|code| Rc::new(Code { path: path.clone(), ..code }))
            });
            Some(Module { from, to, offset, file: file.clone()? })
        };
        maps.lines().filter_map(module).collect()
    }
}

/// The sources of places.
#[derive(Default)]
pub struct Sources(HashMap<PathBuf, Option<Loader>>);

impl Sources {
    /// Returns the line of the innermost frame that is the program's own: its source is on this system, and it belongs to
    /// no standard library. Without such a line, returns the innermost line or function.
    pub fn line(&mut self, place: &str) -> Option<String> {
        let (mut line, mut function) = (None, None);
        for frame in place.split(';') {
            let (path, address) = frame.rsplit_once('@')?;
            let address = u64::from_str_radix(address, 16).ok()?;
            let path = Path::new(path);
            let names = self.0.entry(path.to_path_buf()).or_insert_with(|| Loader::new(path).ok());
            let Some(names) = names else { continue };
            if let Some((file, number)) = own_line(names, address) {
                let folder = std::env::current_dir().unwrap_or_default();
                let short = file.strip_prefix(folder).unwrap_or(&file);
                let found = format!("{}:{number}", short.display());
                if file.exists() {
                    return Some(found);
                }
                line.get_or_insert(found);
                continue;
            }
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            let is_system =
                ["libc.", "libc-", "ld-", "libpthread"].iter().any(|name| file.starts_with(name));
            if !is_system && function.is_none() {
                let name =
                    |symbol: &str| addr2line::demangle_auto(symbol.into(), None).into_owned();
                let symbol = names.find_symbol_info(address);
                let symbol = symbol.map(|symbol| format!(", {}", name(symbol.name())));
                function = Some(format!("{file}{}", symbol.unwrap_or_default()));
            }
        }
        line.or(function)
    }
}

/// Returns the line of the innermost function at an address that belongs to no standard library.
fn own_line(names: &Loader, address: u64) -> Option<(PathBuf, u32)> {
    let mut frames = names.find_frames(address).ok()?;
    while let Some(frame) = frames.next().ok()? {
        let Some(location) = frame.location else { continue };
        let (Some(file), Some(line)) = (location.file, location.line) else { continue };
        let is_library = file.starts_with("/rustc/")
            || ["/rustlib/src/", "glibc", "/sysdeps/", "musl"]
                .iter()
                .any(|part| file.contains(part));
        if is_library {
            continue;
        }
        return Some((file.into(), line));
    }
    None
}
