//! The architectures of machines, and their names.

use goblin::elf::header::{EM_AARCH64, EM_RISCV, EM_X86_64};

/// An architecture of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Architecture {
    X86,
    Arm64,
    Riscv64,
}

impl Architecture {
    /// That of this system, if emulators can run here.
    pub const HOST: Option<Self> = if cfg!(target_arch = "x86_64") {
        Some(Self::X86)
    } else if cfg!(target_arch = "aarch64") {
        Some(Self::Arm64)
    } else {
        None
    };

    /// Returns QEMU's name.
    pub const fn qemu(self) -> &'static str {
        match self {
            Self::X86 => "x86_64",
            Self::Arm64 => "aarch64",
            Self::Riscv64 => "riscv64",
        }
    }

    /// Returns Debian's name.
    pub const fn debian(self) -> &'static str {
        match self {
            Self::X86 => "amd64",
            Self::Arm64 => "arm64",
            Self::Riscv64 => "riscv64",
        }
    }

    /// Returns the number in the header of a program (`e_machine`).
    pub const fn elf(self) -> u16 {
        match self {
            Self::X86 => EM_X86_64,
            Self::Arm64 => EM_AARCH64,
            Self::Riscv64 => EM_RISCV,
        }
    }

    /// Returns Rust's name for Linux.
    pub const fn triple(self) -> &'static str {
        match self {
            Self::X86 => "x86_64-unknown-linux-gnu",
            Self::Arm64 => "aarch64-unknown-linux-gnu",
            Self::Riscv64 => "riscv64gc-unknown-linux-gnu",
        }
    }
}
