//! The functions of an image, found by the physical places of their instructions.

use std::fs;
use std::path::PathBuf;

use addr2line::Loader;
use anyhow::{Context as _, Result, anyhow, ensure};
use goblin::elf::Elf;
use goblin::elf::header::EM_ARM;
use goblin::elf::program_header::PT_LOAD;
use goblin::elf::sym::{STB_GLOBAL, STT_NOTYPE, Sym};

use lose_lines_machine::sources::source;

/// An ELF file, and the physical address of its first byte if that is not the one in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    pub file: PathBuf,
    pub at: Option<u64>,
}

impl core::str::FromStr for Placed {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((file, at)) = text.rsplit_once('@') else {
            return Ok(Self { file: PathBuf::from(text), at: None });
        };
        let digits = at.strip_prefix("0x").ok_or("give FILE or FILE@0xADDRESS")?;
        let at = u64::from_str_radix(digits, 16).map_err(|_why| "give FILE or FILE@0xADDRESS")?;
        Ok(Self { file: PathBuf::from(file), at: Some(at) })
    }
}

/// A segment: its physical addresses, and the virtual one of its first byte.
struct Segment {
    physical: core::ops::Range<u64>,
    address: u64,
}

/// An binary: its debug information, its segments, and its functions in the order of their addresses.
struct Binary {
    lines: Loader,
    segments: Vec<Segment>,
    functions: Vec<(u64, String)>,
}

/// The symbols of images.
#[derive(Default)]
pub struct Symbols(Vec<Binary>);

impl Symbols {
    /// Adds the symbols of an ELF file. Returns the number of its functions.
    ///
    /// # Errors
    /// If it is none.
    pub fn add(&mut self, placed: &Placed) -> Result<usize> {
        let name = placed.file.display();
        let bytes = fs::read(&placed.file).with_context(|| format!("cannot read {name}"))?;
        let elf = Elf::parse(&bytes).with_context(|| format!("{name} is not an ELF file"))?;
        let loaded = || elf.program_headers.iter().filter(|segment| segment.p_type == PT_LOAD);
        let lowest = loaded().map(|segment| segment.p_vaddr).min();
        ensure!(lowest.is_some(), "{name}: no segment of it is loaded");
        let segment = |segment: &goblin::elf::ProgramHeader| {
            let offset = segment.p_vaddr - lowest.unwrap_or_default();
            let start = placed.at.map_or(segment.p_paddr, |at| at + offset);
            let physical = start..start.saturating_add(segment.p_memsz);
            Segment { physical, address: segment.p_vaddr }
        };
        let segments = loaded().map(segment).collect();
        let lines = Loader::new(&placed.file).map_err(|why| anyhow!("{name}: {why}"))?;
        let functions = functions(&elf);
        let count = functions.len();
        self.0.push(Binary { lines, segments, functions });
        Ok(count)
    }

    /// Returns true if no image has a function.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|image| image.functions.is_empty())
    }

    /// Returns the symbol of the function of an instruction.
    pub fn function(&self, physical: u64) -> Option<&str> {
        self.0.iter().find_map(|image| Some(image.function(image.address(physical)?)?.1.as_str()))
    }

    /// Returns the function of an instruction, and its line if there is debug information.
    pub fn name(&self, physical: u64) -> Option<String> {
        self.0.iter().find_map(|image| {
            let (address, lines) = (image.address(physical)?, &image.lines);
            let symbol = image.function(address).map(|(start, name)| {
                let name = addr2line::demangle_auto(name.into(), None).into_owned();
                (name, address - start)
            });
            match (symbol, source(lines, address)) {
                (Some((name, _)), Some(line)) if !line.contains(&name) => {
                    Some(format!("{name}, {line}"))
                }
                (_, Some(line)) => Some(line),
                (symbol, None) => symbol.map(|(name, offset)| format!("{name}+{offset:#x}")),
            }
        })
    }
}

impl Binary {
    /// Returns the virtual address of a physical one.
    fn address(&self, physical: u64) -> Option<u64> {
        let mut segments = self.segments.iter();
        let segment = segments.find(|segment| segment.physical.contains(&physical))?;
        Some(segment.address + (physical - segment.physical.start))
    }

    fn function(&self, address: u64) -> Option<&(u64, String)> {
        let behind = self.functions.partition_point(|(start, _)| *start <= address);
        behind.checked_sub(1).map(|last| &self.functions[last])
    }
}

/// Returns the functions, and the global labels of assembly. Local labels are within functions.
fn functions(elf: &Elf<'_>) -> Vec<(u64, String)> {
    // The lowest bit of a function in Thumb instructions is set.
    let thumb = u64::from(elf.header.e_machine == EM_ARM);
    let is_label = |symbol: &Sym| symbol.st_type() == STT_NOTYPE && symbol.st_bind() == STB_GLOBAL;
    let symbols = elf.syms.iter().filter(|symbol| symbol.is_function() || is_label(symbol));
    let mut symbols: Vec<_> = symbols.filter(|symbol| !symbol.is_import()).collect();
    // A function comes behind a label of its address.
    symbols.sort_by_key(|symbol| (symbol.st_value & !thumb, symbol.is_function()));
    let named = |symbol: Sym| {
        let name = elf.strtab.get_at(symbol.st_name)?;
        Some((symbol.st_value & !thumb, name.to_owned()))
    };
    symbols.into_iter().filter_map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::Placed;
    use std::path::PathBuf;

    #[test]
    fn an_image_may_be_somewhere_else() {
        let placed = |text: &str| text.parse::<Placed>();
        let file = PathBuf::from("vmlinux");
        assert_eq!(placed("vmlinux"), Ok(Placed { file: file.clone(), at: None }));
        assert_eq!(placed("vmlinux@0x40200000"), Ok(Placed { file, at: Some(0x4020_0000) }));
        assert!(placed("vmlinux@40200000").is_err());
    }
}
