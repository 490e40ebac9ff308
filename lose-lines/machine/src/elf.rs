//! The dependencies of programs and kernel modules, read from the files themselves, so that a file system for another
//! architecture can be made without a loader or depmod(8) for it.

use std::collections::BTreeMap;
use std::env::consts::ARCH;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use goblin::elf::dynamic::DF_1_PIE;
use goblin::elf::header::{ELFMAG, machine_to_str};
use goblin::elf::program_header::PT_LOAD;
use goblin::elf::{Elf, Header};

use super::architecture::Architecture;
use super::emulator::Emulators;

/// The directories of libraries in packages, below the directory with the architecture's name.
const LIBRARIES: [&str; 2] = ["lib", "usr/lib"];

/// The suffixes of compressed files, and the programs that decompress them.
const COMPRESSED: [(&str, &str); 2] = [(".xz", "usr/bin/xz"), (".zst", "usr/bin/zstd")];

/// Returns the libraries and the loader that the file names: their paths in the machine, and their files below `root`.
pub fn needs(root: &Path, file: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let elf =
        Elf::parse(&bytes).with_context(|| format!("{} is not an ELF file", file.display()))?;
    let folders: Vec<PathBuf> = elf
        .runpaths
        .iter()
        .flat_map(|paths| paths.split(':'))
        .map(|folder| root.join(folder.trim_start_matches('/')))
        .collect();
    let library = |name: &str| {
        let own = folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
        own.map_or_else(|| library(root, name), Ok)
            .with_context(|| format!("{} needs {name}", file.display()))
    };
    let mut needed = Vec::new();
    for name in &elf.libraries {
        let from = library(name)?;
        needed.push((Path::new("/").join(from.strip_prefix(root)?), from));
    }
    if let Some(place) = elf.interpreter {
        // The loader is among the libraries. The packages have a link at its path, which may be absolute and point to
        // this system's loader.
        let (_, name) = place.rsplit_once('/').context("the loader has no absolute path")?;
        needed.push((PathBuf::from(place), library(name)?));
    }
    Ok(needed)
}

/// Returns a 64-bit program in this machine's byte order, without the sections that no loader reads: symbols and debug
/// information.
pub fn without_symbols(mut bytes: Vec<u8>) -> Result<Vec<u8>> {
    let elf = Elf::parse(&bytes).context("it is not an ELF file")?;
    ensure!(elf.is_64 && elf.little_endian, "it is not a 64-bit ELF file");
    let ends = elf.program_headers.iter().map(|segment| segment.p_offset + segment.p_filesz);
    let end = usize::try_from(ends.max().context("it has no segments")?)?;
    drop(elf);
    bytes.truncate(end);
    // `e_shoff`, then `e_shnum` and `e_shstrndx` (System V ABI, "ELF Header").
    bytes[40..48].fill(0);
    bytes[60..64].fill(0);
    Ok(bytes)
}

/// Returns the lowest address at which a program is loaded.
pub fn first_address(bytes: &[u8]) -> Result<u64> {
    let elf = Elf::parse(bytes).context("it is not an ELF file")?;
    let loaded = elf.program_headers.iter().filter(|segment| segment.p_type == PT_LOAD);
    loaded.map(|segment| segment.p_vaddr).min().context("no segment of it is loaded")
}

/// The links of a program or a library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Links {
    /// The loader that it names; `None` for a static program and most libraries.
    pub loader: Option<PathBuf>,
    pub is_library: bool,
}

/// Returns true if a file is a program or a library for any machine.
pub fn is_elf(file: &Path) -> Result<bool> {
    Ok(machine(file)?.is_some())
}

/// Returns the machine of an ELF file (`e_machine`, little-endian); `None` for other files.
pub fn machine(file: &Path) -> Result<Option<u16>> {
    let mut header = Vec::new();
    let read = fs::File::open(file).and_then(|file| file.take(20).read_to_end(&mut header));
    read.with_context(|| format!("cannot read {}", file.display()))?;
    Ok(match header.as_chunks().0 {
        [magic, .., last] if *magic == *ELFMAG => Some(u16::from_le_bytes([last[2], last[3]])),
        _ => None,
    })
}

/// Returns the links of a program or library of this system.
///
/// # Errors
/// If the file is something else.
pub fn links(file: &Path) -> Result<Links> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let elf = Elf::parse(&bytes).with_context(|| {
        format!("{} is not an ELF file; give a program or a library", file.display())
    })?;
    let Header { e_machine, .. } = elf.header;
    ensure!(
        Architecture::HOST.is_some_and(|host| host.elf() == e_machine),
        "{} is for {}, but the machine is {ARCH}; build it for {ARCH}",
        file.display(),
        machine_to_str(e_machine)
    );
    let is_pie = elf.dynamic.is_some_and(|dynamic| dynamic.info.flags_1 & DF_1_PIE != 0);
    let loader = elf.interpreter.map(PathBuf::from);
    Ok(Links { is_library: elf.is_lib && loader.is_none() && !is_pie, loader })
}

/// Returns the file of a library below `root`.
fn library(root: &Path, name: &str) -> Result<PathBuf> {
    for folder in LIBRARIES {
        for entry in fs::read_dir(root.join(folder)).into_iter().flatten() {
            let path = entry?.path().join(name);
            if path.is_file() {
                return Ok(path);
            }
        }
    }
    anyhow::bail!("no package below {} has {name}", root.display())
}

/// The modules of a kernel: the file of each name (with `_` for `-`).
pub struct Modules<'a> {
    files: BTreeMap<String, PathBuf>,
    work: &'a Path,
    tools: &'a Emulators,
}

impl<'a> Modules<'a> {
    /// Finds all modules below some folders. Compressed ones are unpacked into `work`.
    pub fn below(mut folders: Vec<PathBuf>, work: &'a Path, tools: &'a Emulators) -> Result<Self> {
        let mut files = BTreeMap::new();
        while let Some(folder) = folders.pop() {
            let entries = fs::read_dir(&folder)
                .with_context(|| format!("cannot list {}", folder.display()))?;
            for entry in entries {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Some(name) = module_name(&path) {
                    files.insert(name, path);
                }
            }
        }
        Ok(Self { files, work, tools })
    }

    /// Returns the files of these modules and of their dependencies, which come first.
    pub fn in_order(&self, names: &[&str]) -> Result<Vec<PathBuf>> {
        let mut order = Vec::new();
        names.iter().try_for_each(|name| self.append(name, &mut order))?;
        Ok(order)
    }

    fn append(&self, name: &str, order: &mut Vec<PathBuf>) -> Result<()> {
        let Some(file) = self.files.get(name) else { return Ok(()) };
        let file = decompressed(file, self.work, self.tools)?;
        if order.contains(&file) {
            return Ok(());
        }
        let bytes = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        for dependency in dependencies(&bytes)
            .with_context(|| format!("cannot read the dependencies of {}", file.display()))?
        {
            self.append(&dependency, order)?;
        }
        order.push(file);
        Ok(())
    }
}

/// Returns the file, decompressed into `work` if its suffix is that of a compressed file.
fn decompressed(file: &Path, work: &Path, tools: &Emulators) -> Result<PathBuf> {
    let name = file.file_name().context("a file has no name")?.to_string_lossy();
    let plain = |(end, program)| Some((name.strip_suffix(end)?, program));
    let Some((plain, program)) = COMPRESSED.into_iter().find_map(plain) else {
        return Ok(file.to_path_buf());
    };
    let place = work.join(plain);
    if !place.is_file() {
        let copy = work.join(&*name);
        fs::copy(file, &copy).with_context(|| format!("cannot copy {}", file.display()))?;
        tools
            .program(program)
            .words("--decompress --force --quiet")
            .arg(copy.display().to_string())
            .read()?;
    }
    Ok(place)
}

/// Returns `nd_pmem` for `nd_pmem.ko` and `nd-pmem.ko.xz`.
fn module_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let (name, _) = name.split_once(".ko")?;
    Some(name.replace('-', "_"))
}

/// Returns the names after `depends=` in the module's section `.modinfo`, which contains zero-terminated strings
/// (Linux, `include/linux/moduleparam.h`, `scripts/mod/modpost.c`).
fn dependencies(module: &[u8]) -> Result<Vec<String>> {
    let elf = Elf::parse(module)?;
    let section = elf
        .section_headers
        .iter()
        .find(|section| elf.shdr_strtab.get_at(section.sh_name) == Some(".modinfo"))
        .and_then(|section| module.get(section.file_range()?))
        .context("there is no section .modinfo")?;
    let names = section
        .split(|byte| *byte == 0)
        .find_map(|text| text.strip_prefix(b"depends="))
        .unwrap_or_default();
    let names = str::from_utf8(names)?;
    Ok(names
        .split(',')
        .filter(|name| !name.is_empty())
        .map(|name| name.replace('-', "_"))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::module_name;
    use std::path::Path;

    #[test]
    fn a_module_has_one_name_in_every_spelling() {
        for file in ["/lib/nd-pmem.ko", "/lib/nd_pmem.ko", "nd-pmem.ko.xz", "nd_pmem.ko.zst"] {
            assert_eq!(module_name(Path::new(file)).as_deref(), Some("nd_pmem"));
        }
        assert_eq!(module_name(Path::new("modules.dep")), None);
    }
}
