//! The arguments of the subcommand.

use core::time::Duration;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use goblin::elf::header::{EM_AARCH64, EM_ARM, EM_RISCV};
use lose_lines_machine::elf;

use crate::image::{DmaTest, image_of};
use crate::report::Suppressions;
use crate::symbols::{Placed, Symbols};

/// The emulators, the machines of images for them, and the CPUs of these images. The first one runs other files.
const EMULATORS: [(&str, u16, &str); 3] = [
    ("qemu-system-aarch64", EM_AARCH64, "cortex-a57"),
    ("qemu-system-arm", EM_ARM, "cortex-a15"),
    ("qemu-system-riscv64", EM_RISCV, "max"),
];
const DEFAULTS: &str = "-M virt -nodefaults -display none -serial stdio";

#[derive(Args, Clone, Debug)]
pub struct Watching {
    /// An image for QEMU's board `virt`. The rest of the command line is then added to the emulator's.
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// An ELF file with symbols, and the physical address at which it is loaded if that is not the one in the file
    /// [default: the image].
    #[arg(long, value_name = "FILE[@0xADDRESS]")]
    symbols: Vec<Placed>,
    /// Give the guest a device tree in which no device is coherent.
    #[arg(long)]
    dtb_noncoherent: bool,
    /// Follow the emulator's own functions for DMA, to see the accesses of every device. Refused by an emulator whose
    /// code is not known.
    #[arg(long)]
    hooks: bool,
    /// A file of findings to leave out: in each line a kind or *, and a function or an address.
    #[arg(long, value_name = "FILE")]
    suppressions: Option<PathBuf>,
    /// The size of a cache line in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = line_size)]
    line: u64,
    /// The time after which the machine is switched off [default: the guest switches it off].
    #[arg(long, value_name = "SECONDS")]
    limit: Option<u64>,
    /// Print one JSON document; the guest's output goes to standard error.
    #[arg(long)]
    json: bool,
    /// The emulator's command line.
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "QEMU-SYSTEM-… …",
        required_unless_present = "image"
    )]
    emulator: Vec<String>,
}

fn line_size(text: &str) -> Result<u64, String> {
    match text.parse::<u64>() {
        Ok(line) if line.is_power_of_two() && (16..=2048).contains(&line) => Ok(line),
        _ => Err(String::from("give a power of two from 16 to 2048")),
    }
}

impl Watching {
    /// Returns the test.
    ///
    /// # Errors
    /// If the command line has a mistake.
    pub fn test(&self) -> Result<DmaTest> {
        let (emulator, arguments) = self.line()?;
        Ok(DmaTest {
            symbols: self.symbols(&arguments)?,
            suppressions: self.suppressions()?,
            emulator,
            arguments,
            line: self.line,
            has_hooks: self.hooks,
            is_tree_noncoherent: self.dtb_noncoherent,
            limit: self.limit.map(Duration::from_secs),
            is_output_kept_apart: self.json,
        })
    }

    /// Returns true if the report is to be one JSON document.
    pub const fn is_json(&self) -> bool {
        self.json
    }

    /// Returns the emulator and its arguments.
    fn line(&self) -> Result<(String, Vec<String>)> {
        if let Some(image) = &self.image {
            let machine = elf::machine(image)?.unwrap_or(EM_AARCH64);
            let known = EMULATORS.iter().find(|(_, of, _)| *of == machine);
            let (emulator, _, cpu) = known.with_context(|| {
                format!("{} is not for arm64, 32-bit Arm or riscv64", image.display())
            })?;
            let image = ["-cpu", cpu, "-kernel", &image.display().to_string()].map(String::from);
            let defaults = DEFAULTS.split(' ').map(String::from).chain(image);
            let arguments = defaults.chain(self.emulator.iter().cloned()).collect();
            return Ok(((*emulator).to_owned(), arguments));
        }
        let mut words = self.emulator.iter().cloned();
        let emulator = words.next().unwrap_or_default();
        ensure!(
            EMULATORS.iter().any(|(known, ..)| emulator.ends_with(known)),
            "{emulator} is not qemu-system-aarch64, qemu-system-arm or qemu-system-riscv64"
        );
        Ok((emulator, words.collect()))
    }

    fn symbols(&self, arguments: &[String]) -> Result<Symbols> {
        let mut symbols = Symbols::default();
        for placed in &self.symbols {
            let count = symbols.add(placed)?;
            ensure!(count > 0, "{}: no symbols; give the file before strip", placed.file.display());
        }
        let image = image_of(arguments).filter(|_image| self.symbols.is_empty());
        if let Some(file) = image.filter(|file| elf::is_elf(file).unwrap_or(false)) {
            symbols.add(&Placed { file, at: None })?;
        }
        Ok(symbols)
    }

    fn suppressions(&self) -> Result<Suppressions> {
        let Some(file) = &self.suppressions else { return Ok(Suppressions::default()) };
        let text =
            fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        text.parse::<Suppressions>().with_context(|| file.display().to_string())
    }
}
