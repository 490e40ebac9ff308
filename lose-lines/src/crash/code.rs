//! Mapping instructions to files.
//!
//! The plugin reports the code around an instruction, and its address in a program that has ended by now. The files of
//! the machine are known: if one has the same bytes at the same offset in a page, the instruction is there. This works
//! wherever the program was loaded, and also for a library that the program opened itself.

use core::fmt;
use std::cell::OnceCell;
use std::fs;
use std::path::PathBuf;

use addr2line::Loader;
use goblin::elf::Elf;
use goblin::elf::program_header::{PF_X, PT_LOAD};
use lose_lines_machine::sources::source;

/// The smallest page. Code is loaded in whole pages.
const PAGE: u64 = 4096;

/// The code around an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Code {
    pub(super) at: u64,
    /// The address of the first byte.
    pub(super) start: u64,
    pub(super) bytes: Vec<u8>,
}

/// The place of an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A line of a source.
    Source(String),
    /// A file, or a function in it, and the offset there.
    Binary(String, u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(line) => f.write_str(line),
            Self::Binary(name, offset) => write!(f, "{name}+{offset:#x}"),
        }
    }
}

/// A file with code.
struct File {
    path: PathBuf,
    bytes: Vec<u8>,
    names: OnceCell<Option<Loader>>,
}

/// The files of a machine that contain code.
pub(super) struct Files(Vec<File>);

impl Files {
    /// Reads files; some of them may contain no code.
    pub(super) fn read(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let file = |path: PathBuf| {
            let bytes = fs::read(&path).ok()?;
            Some(File { path, bytes, names: OnceCell::new() })
        };
        Self(paths.into_iter().filter_map(file).collect())
    }

    /// Returns the place of an instruction in the sources, or in its file if that has no debug information.
    pub(super) fn place(&self, code: &Code) -> Place {
        let unknown = || Place::Binary(String::from("unknown code"), code.at);
        self.find(code).map_or_else(unknown, |(file, address)| file.place(address))
    }

    /// Returns the place of the call that returns to the code, if there is a call.
    pub(super) fn caller(&self, code: &Code) -> Option<Place> {
        let (file, address) = self.find(code)?;
        let end = usize::try_from(code.at - code.start).ok()?;
        // CALL rel32, or CALL through a register or memory (Intel SDM vol. 2A, CALL). On other architectures all calls
        // have one length.
        let is_near = |len: usize, opcode| end >= len && code.bytes.get(end - len) == Some(&opcode);
        let is_pc =
            Elf::parse(&file.bytes).ok()?.header.e_machine == goblin::elf::header::EM_X86_64;
        let is_call = is_near(5, 0xe8) || (2..=7).any(|len| is_near(len, 0xff));
        (is_call || !is_pc).then(|| file.place(address - 1))
    }

    fn find(&self, code: &Code) -> Option<(&File, u64)> {
        self.0.iter().find_map(|file| Some((file, file.address(code)?)))
    }
}

impl File {
    /// Returns the address of an instruction in the file, if the code is from this file.
    fn address(&self, code: &Code) -> Option<u64> {
        let elf = Elf::parse(&self.bytes).ok()?;
        let headers = elf.program_headers.iter();
        let mut segments =
            headers.filter(|segment| segment.p_type == PT_LOAD && segment.p_flags & PF_X != 0);
        segments.find_map(|segment| {
            // Whole pages of the file are mapped, and zeros behind its end.
            let before = segment.p_offset % PAGE;
            let pages = segment.p_offset - before
                ..(segment.p_offset + segment.p_filesz).next_multiple_of(PAGE);
            let [start, end] = [pages.start, pages.end].map(usize::try_from);
            let (start, end) = (start.ok()?, end.ok()?);
            let mut content = self.bytes.get(start..end.min(self.bytes.len()))?.to_vec();
            content.resize(end - start, 0);
            let first = usize::try_from(code.start % PAGE).ok()?;
            let mut offsets = (first..content.len()).step_by(usize::try_from(PAGE).ok()?);
            let is_there = |offset: &usize| content[*offset..].starts_with(&code.bytes);
            let offset = offsets.find(is_there).filter(|_offset| !code.bytes.is_empty())?;
            Some(segment.p_vaddr - before + offset as u64 + (code.at - code.start))
        })
    }

    fn place(&self, address: u64) -> Place {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let names = self.names.get_or_init(|| Loader::new(&self.path).ok()).as_ref();
        if let Some(line) = names.and_then(|names| source(names, address)) {
            return Place::Source(line);
        }
        match names.and_then(|names| names.find_symbol_info(address)) {
            Some(symbol) => {
                let function = addr2line::demangle_auto(symbol.name().into(), None);
                Place::Binary(format!("{name}, {function}"), address - symbol.address())
            }
            None => Place::Binary(name.into_owned(), address),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::env;

    use goblin::elf::Elf;
    use goblin::elf::program_header::{PF_X, PT_LOAD};

    use super::{Code, Files, Place};

    #[test]
    fn code_at_the_end_of_a_segment_is_found() {
        let program = env::current_exe().unwrap();
        let bytes = std::fs::read(&program).unwrap();
        let elf = Elf::parse(&bytes).unwrap();
        let is_code = |flags: u32, kind: u32| kind == PT_LOAD && flags & PF_X != 0;
        let mut segments = elf.program_headers.iter();
        let segment = segments.find(|segment| is_code(segment.p_flags, segment.p_type)).unwrap();
        let end = segment.file_range().end;
        // The plugin reports 48 bytes before an instruction and 32 from it on, here 24 of them behind the segment.
        let (at, start) = (end - 8, end - 56);
        let code = Code {
            at: 0x7000_0000_0000 + at as u64,
            start: 0x7000_0000_0000 + start as u64,
            bytes: bytes[start..start + 80].to_vec(),
        };
        let place = Files::read([program]).place(&code);
        let is_known = !matches!(&place, Place::Binary(name, _) if name == "unknown code");
        assert!(is_known, "{place}");
    }
}
