//! The reports as text: labelled rows, wrapped at 80 columns.

use super::cpu::{CpuReport, Status};
use crate::arch::advice::IS_LINUX;
use crate::arch::{Effect, Point};
use crate::cpu::{Confidential, CpuIdentity, Hypervisor, Midr};
use core::fmt::{self, Display, Formatter, Write};

/// The columns of a screen.
const WIDTH: usize = 80;
/// The column where the text of a row begins, after its label.
const INDENT: usize = 14;

/// Writes a label, and a text wrapped to its right.
///
/// # Errors
/// Those of the writer.
pub fn row(out: &mut Formatter<'_>, label: &str, text: fmt::Arguments<'_>) -> fmt::Result {
    row_at(out, INDENT, label, text)
}

/// Writes the same with another indentation.
///
/// # Errors
/// Those of the writer.
pub fn row_at(
    out: &mut Formatter<'_>,
    indent: usize,
    label: &str,
    text: fmt::Arguments<'_>,
) -> fmt::Result {
    write!(out, "{label:<indent$}")?;
    let (column, word) = (indent, [0; WIDTH]);
    let mut wrapped = Wrapped { out, indent, column, spaces: 0, word, length: 0 };
    wrapped.write_fmt(text)?;
    wrapped.word()?;
    wrapped.out.write_char('\n')
}

/// Wraps words into lines. A word is kept until it ends, since it can arrive in pieces.
struct Wrapped<'a, 'b> {
    out: &'a mut Formatter<'b>,
    indent: usize,
    column: usize,
    /// Spaces before the word.
    spaces: usize,
    word: [u8; WIDTH],
    length: usize,
}

impl Write for Wrapped<'_, '_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for c in s.chars().map(|c| if c.is_ascii() { c } else { '?' }) {
            if c == ' ' {
                self.word()?;
                self.spaces += 1;
                continue;
            }
            // A word that is too long for any line is broken.
            if self.length + c.len_utf8() > WIDTH - self.indent {
                self.word()?;
            }
            let rest = self.word.get_mut(self.length..).unwrap_or_default();
            self.length += c.encode_utf8(rest).len();
        }
        Ok(())
    }
}

impl Wrapped<'_, '_> {
    /// Writes the kept word, on the next line if it does not fit on this one.
    fn word(&mut self) -> fmt::Result {
        let bytes = self.word.get(..self.length).unwrap_or_default();
        let word = core::str::from_utf8(bytes).unwrap_or_default();
        if word.is_empty() {
            return Ok(());
        }
        let width = word.chars().count();
        if self.column + self.spaces + width > WIDTH {
            let indent = self.indent;
            write!(self.out, "\n{:indent$}", "")?;
            self.column = indent;
            self.spaces = 0;
        }
        write!(self.out, "{:spaces$}{word}", "", spaces = self.spaces)?;
        self.column += self.spaces + width;
        self.spaces = 0;
        self.length = 0;
        Ok(())
    }
}

impl Display for CpuReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        row(f, "CPU", format_args!("{}; {}", self.identity, self.architecture))?;
        row(f, "Hypervisor", format_args!("{}", GuestOf { report: self, hints: &"" }))?;
        row(f, "Data cache", format_args!("{}", self.aliasing))?;
        self.lines_and_choices(f)
    }
}

impl CpuReport {
    /// Writes all but the first rows, among which a host's report puts its own.
    ///
    /// # Errors
    /// Those of the writer.
    #[doc(hidden)]
    pub fn lines_and_choices(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.line {
            Ok(line) => row(
                f,
                "Line",
                format_args!(
                    "{} bytes ({}); align and pad separate data to {}",
                    line.size, line.source, line.granule,
                ),
            )?,
            Err(_) => row(f, "Line", format_args!("unknown, for the reason below"))?,
        }
        self.instruction_rows(f)?;
        self.writeback_rows(f)?;
        match self.invalidate() {
            Ok(choice) => row(
                f,
                "Invalidate",
                format_args!(
                    "{choice}; dirty lines are written back too{}",
                    if self.cpu.privileged { "" } else { ": user mode cannot discard" },
                ),
            )?,
            Err(_) => row(f, "Invalidate", format_args!("no: as above"))?,
        }
        match self.can_invalidate_memory() {
            Ok(does) => {
                let name = does.writeback_invalidate;
                row(f, "Whole cache", format_args!("yes: {name} on every CPU"))?;
            }
            Err(refused) => row(f, "Whole cache", format_args!("no: {refused}"))?,
        }
        for note in self.notes() {
            row(f, "Note", format_args!("{}", note.text))?;
        }
        Ok(())
    }

    fn instruction_rows(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut label = "Instructions";
        for availability in self.instructions() {
            let instruction = availability.instruction;
            let does = match instruction.effect {
                Effect::Writeback => "writes back, may keep",
                Effect::WritebackInvalidate => "writes back, drops",
            };
            let (status, hint) = match availability.status {
                Status::Present => ("present", ""),
                Status::Absent(_) if matches!(self.hypervisor, Hypervisor::Present { .. }) => {
                    ("absent", " hidden?")
                }
                Status::Absent(_) => ("absent", ""),
                Status::Refused(_) => ("refused", ""),
            };
            let (name, requires) = (instruction.name, instruction.requires);
            row(f, label, format_args!("{name:<10} {status:<7} {does:<21} {requires}{hint}"))?;
            label = "";
        }
        Ok(())
    }

    fn writeback_rows(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // If all fail for the same reason, it is printed once.
        if let Err(first) = self.writeback(Point::Coherency)
            && Point::ALL.iter().all(|point| self.writeback(*point) == Err(first))
        {
            return row(f, "Write-back", format_args!("no: {first}"));
        }
        let mut label = "Write-back";
        for &point in Point::ALL {
            match self.writeback(point) {
                Ok(choice) => row(f, label, format_args!("to {point}: {choice}"))?,
                Err(why) => row(f, label, format_args!("to {point}: no: {why}"))?,
            }
            label = "";
        }
        Ok(())
    }
}

impl Display for CpuIdentity {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::X86 { vendor, family, model, stepping, brand } => {
                let name = if brand.is_empty() { "unnamed" } else { brand.as_str() };
                write!(f, "{name} ({vendor}, family {family} model {model} stepping {stepping})")
            }
            Self::Aarch64 { midr: Some(midr) } => Midr(*midr).fmt(f),
            Self::Aarch64 { midr: None } => {
                f.write_str("unknown: the kernel does not show MIDR_EL1; see /proc/cpuinfo")
            }
            Self::RiscV { vendor, architecture, implementation } => {
                let registers =
                    [("mvendorid", vendor), ("marchid", architecture), ("mimpid", implementation)];
                f.write_str("RISC-V")?;
                registers.into_iter().try_for_each(|(name, value)| match value {
                    Some(value) => write!(f, " {name} {value:#x}"),
                    None => write!(f, " {name} unknown"),
                })
            }
            Self::Platform { name } if name.is_empty() => {
                f.write_str("unknown: the kernel does not name it; see /proc/cpuinfo")
            }
            Self::Platform { name } => name.fmt(f),
            Self::Unknown => f.write_str("unknown: this architecture does not report its CPU"),
        }
    }
}

impl Display for Midr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (maker, core) = (self.implementer_name(), self.part_name());
        let (implementer, part) = (self.implementer(), self.part());
        match (maker, core) {
            (Some(maker), Some(core)) => write!(f, "{maker} {core}")?,
            (Some(maker), None) => write!(f, "{maker} part {part:#x}")?,
            (None, _) => write!(f, "implementer {implementer:#x} part {part:#x}")?,
        }
        write!(f, " r{}p{} (MIDR_EL1 {:#x})", self.variant(), self.revision(), self.0)
    }
}

/// Prints the signatures: `present (signature "KVMKVMKVM")`.
impl Display for Hypervisor {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (signatures, is_root) = match self {
            Self::Present { signatures, is_root } => (signatures, is_root),
            Self::Translated => return f.write_str("a translator of programs"),
            Self::Absent => return f.write_str("none"),
            Self::Unknown => return f.write_str("unknown"),
        };
        f.write_str(if self.known_signature().is_none() { "an unknown one" } else { "present" })?;
        if *is_root {
            f.write_str(", root partition")?;
        }
        if signatures.first().is_none() {
            return f.write_str(" (no signature)");
        }
        let mut before = " (signature";
        for signature in signatures.iter() {
            write!(f, "{before} \"{signature}\"")?;
            before = ", behind it";
        }
        f.write_str(")")
    }
}

/// The known facts about a hypervisor, with hints from elsewhere.
#[expect(missing_debug_implementations, reason = "it is only printed")]
pub struct GuestOf<'a> {
    /// The CPU's facts.
    pub report: &'a CpuReport,
    /// The hints.
    pub hints: &'a dyn Display,
}

impl Display for GuestOf<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { report, hints } = *self;
        match report.hypervisor {
            Hypervisor::Absent => f.write_str("none shown (CPUID.1:ECX[31] is 0)")?,
            // A translator has no guests.
            translated @ Hypervisor::Translated => return write!(f, "{translated}{hints}"),
            present @ Hypervisor::Present { .. } => present.fmt(f)?,
            Hypervisor::Unknown => {
                let target = report.architecture;
                return write!(
                    f,
                    "unknown{hints}: {target} shows user mode neither this nor a \
                     confidential guest; ask the operator of the machine"
                );
            }
        }
        write!(f, "; confidential guest: {}{hints}", Guest(report))
    }
}

/// The confidential guest that the CPU shows.
struct Guest<'a>(&'a CpuReport);

impl Display for Guest<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let is_guest = matches!(self.0.hypervisor, Hypervisor::Present { is_root: false, .. });
        match self.0.confidential {
            Confidential::Tdx => f.write_str("TDX (CPUID.21H)"),
            Confidential::HyperV { isolation, paravisor } => {
                let with = if paravisor { " with a paravisor" } else { "" };
                write!(f, "{}{with} (CPUID.4000000CH)", isolation.name())
            }
            Confidential::SevOffered { es, snp, .. } if is_guest => {
                let (es, snp) = (if es { ", ES" } else { "" }, if snp { ", SNP" } else { "" });
                let log = if IS_LINUX { " (dmesg)" } else { "" };
                write!(f, "SEV{es}{snp} offered; only the kernel can tell whether it is on{log}")
            }
            // A host offers it to its guests.
            Confidential::SevOffered { .. } | Confidential::Unknown => f.write_str("no sign"),
        }
    }
}
