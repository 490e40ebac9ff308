//! Emulated boards without an operating system, and the images of `testing/lab/freestanding` and `testing/lab/boards` for them:
//! the build and the boot of an image, and the check of a run's end.

use anyhow::{Result, ensure};

use crate::lab::Lab;
use lose_lines_machine::command::{Cmd, Ending};
use lose_lines_machine::transcript::Transcript;
use xtask::toolchain::Compiler;

/// Seconds for one boot, which takes less than one.
const LIMIT: u32 = 60;

const FREESTANDING: &str = "cachemaint-lab-freestanding";
const BOARDS: &str = "cachemaint-lab-boards";

/// A board with any CPU.
#[derive(Debug)]
pub(super) struct Board {
    pub(super) architecture: &'static str,
    triple: &'static str,
    /// The package of its images.
    package: &'static str,
    options: &'static str,
    /// The emulator's exit code when the image powers the board off.
    powered_off: i32,
}

pub(super) const X86_64: Board = Board {
    architecture: "x86_64",
    triple: "x86_64-unknown-none",
    package: FREESTANDING,
    options: "-serial stdio -M q35 -device isa-debug-exit",
    // The image's 0x10 (QEMU `hw/misc/debugexit.c`: value << 1 | 1).
    powered_off: 33,
};

pub(super) const AARCH64: Board = Board {
    architecture: "aarch64",
    triple: "aarch64-unknown-none",
    package: FREESTANDING,
    options: "-serial stdio -M virt",
    powered_off: 0,
};

/// With an Armv7 CPU.
pub(super) const ARMV7: Board = Board {
    architecture: "arm",
    triple: "armv7a-none-eabi",
    package: FREESTANDING,
    options: "-serial stdio -M virt",
    powered_off: 0,
};

/// Without firmware, in M-mode.
pub(super) const RISCV64: Board = Board {
    architecture: "riscv64",
    triple: "riscv64gc-unknown-none-elf",
    package: FREESTANDING,
    options: "-serial stdio -M virt -bios none",
    powered_off: 0,
};

/// With a Cortex-M7, and all of its RAM.
pub(super) const MPS2: Board = Board {
    architecture: "arm",
    triple: "thumbv7em-none-eabi",
    package: BOARDS,
    options: "-M mps2-an500 -m 16M -serial none -chardev stdio,id=out -semihosting-config enable=on,chardev=out",
    powered_off: 0,
};

/// With a Cortex-A9 and an L2C-310.
pub(super) const ZYNQ: Board = Board {
    architecture: "arm",
    triple: "armv7a-none-eabi",
    package: BOARDS,
    options: "-M xilinx-zynq-a9 -serial none -chardev stdio,id=out -semihosting-config enable=on,chardev=out",
    powered_off: 0,
};

/// The RISC-V board again, with a CPU of T-Head's.
pub(super) const T_HEAD: Board = Board {
    package: BOARDS,
    options: "-M virt -bios none -serial none -chardev stdio,id=out -semihosting-config enable=on,chardev=out",
    ..RISCV64
};

impl Board {
    /// Returns the emulator of the board with this CPU, which boots the image of this name.
    pub(super) fn booting(&self, lab: &Lab, image: &str, cpu: &str) -> Result<Cmd> {
        let emulators = lab.emulators()?;
        let image = self.build(lab, image)?;
        Ok(emulators
            .system(self.architecture)
            .words("-accel tcg -m 128M")
            .words(self.options)
            .args(["-cpu", cpu, "-kernel", &image])
            .limit(LIMIT))
    }

    /// Builds the image.
    pub(super) fn build(&self, lab: &Lab, image: &str) -> Result<String> {
        let compiler = Compiler::new(self.triple)?;
        lab.cargo(&compiler, "build --release")
            // Findings name lines of the source.
            .env("CARGO_PROFILE_RELEASE_DEBUG", "1")
            .args(["-p", self.package, "--bin", image])
            .read()?;
        let file = lab.target().join(self.triple).join("release").join(image);
        ensure!(file.is_file(), "the image was built, but not as {}", file.display());
        Ok(file.display().to_string())
    }

    /// Returns the faults of a run's end: an image prints that it is done and powers the board off.
    pub(super) fn wrong_end(&self, lines: &[String], ending: &Ending) -> Vec<String> {
        let mut wrong = Vec::new();
        if lines.last().is_none_or(|line| line != "done") {
            wrong.push(String::from("the image did not reach its end"));
        }
        if ending.code != Some(self.powered_off) {
            wrong.push(format!("the emulator {}, not by the image's power-off", ending.told));
        }
        wrong
    }
}

/// Runs the emulator. Returns the image's output, and how the emulator ended.
pub(super) fn run(machine: &Cmd, log: &mut Transcript) -> Result<(Vec<String>, Ending)> {
    let mut lines = Vec::new();
    let ending = machine.watch_in(log, |line| lines.push(line.trim_end().to_owned()))?;
    Ok((lines, ending))
}
