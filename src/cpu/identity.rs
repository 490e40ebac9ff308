//! The identity of a CPU.

use super::Text;

/// The identity of a CPU, as far as the CPU and the kernel report it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(tag = "kind", rename_all = "lowercase")
)]
#[non_exhaustive]
pub enum CpuIdentity {
    /// An x86 CPU, by CPUID.
    #[non_exhaustive]
    X86 {
        /// The vendor of leaf 0: `GenuineIntel`, `AuthenticAMD`, …
        vendor: Text<12>,
        /// The family, plus the extended family where the architecture adds it.
        family: u16,
        /// The model, with the extended model.
        model: u8,
        /// The stepping.
        stepping: u8,
        /// The name that the CPU or a hypervisor gives itself; empty if it has none.
        brand: Text<48>,
    },
    /// An arm64 CPU. Other CPUs of the machine can differ.
    #[non_exhaustive]
    Aarch64 {
        /// `MIDR_EL1`, if the kernel shows it.
        #[cfg_attr(
            feature = "serde",
            serde(flatten, serialize_with = "crate::report::json::midr")
        )]
        midr: Option<u64>,
    },
    /// A RISC-V CPU, by the kernel's `riscv_hwprobe`, if all harts agree. The numbers are those of the registers with
    /// these names.
    #[non_exhaustive]
    RiscV {
        /// `mvendorid`: the JEDEC number of the maker.
        vendor: Option<u64>,
        /// `marchid`.
        architecture: Option<u64>,
        /// `mimpid`.
        implementation: Option<u64>,
    },
    /// The name that the kernel gives the kind of CPU (`AT_PLATFORM`): `power10`.
    #[non_exhaustive]
    Platform {
        /// The name; empty if the kernel gives none.
        name: Text<16>,
    },
    /// An unknown CPU.
    Unknown,
}

/// `MIDR_EL1`: the core and its revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Midr(pub(crate) u64);

impl Midr {
    /// Bits 31:24: the maker.
    pub(crate) const fn implementer(self) -> u8 {
        (self.0 >> 24 & 0xff) as u8
    }

    /// Bits 23:20: the `N` of revision rNpM.
    pub(crate) const fn variant(self) -> u8 {
        (self.0 >> 20 & 0xf) as u8
    }

    /// Bits 15:4: the core, as numbered by its implementer.
    pub(crate) const fn part(self) -> u16 {
        (self.0 >> 4 & 0xfff) as u16
    }

    /// Bits 3:0: the `M` of revision rNpM.
    pub(crate) const fn revision(self) -> u8 {
        (self.0 & 0xf) as u8
    }

    /// Returns the implementer's name, if it is known (Linux `arch/arm64/include/asm/cputype.h`).
    pub(crate) const fn implementer_name(self) -> Option<&'static str> {
        Some(match self.implementer() {
            0x41 => "Arm",
            0x42 => "Broadcom",
            0x43 => "Cavium",
            0x46 => "Fujitsu",
            0x48 => "HiSilicon",
            0x4e => "NVIDIA",
            0x50 => "APM",
            0x51 => "Qualcomm",
            0x61 => "Apple",
            0x6d => "Microsoft",
            0xc0 => "Ampere",
            _ => return None,
        })
    }

    /// Returns the core's name, if it is known: cores of Arm and Fujitsu that this crate is tested with, or that have
    /// an erratum (the same file).
    pub(crate) const fn part_name(self) -> Option<&'static str> {
        Some(match (self.implementer(), self.part()) {
            (0x41, 0xd03) => "Cortex-A53",
            (0x41, 0xd04) => "Cortex-A35",
            (0x41, 0xd07) => "Cortex-A57",
            (0x41, 0xd08) => "Cortex-A72",
            (0x41, 0xd0b) => "Cortex-A76",
            (0x41, 0xd0c) => "Neoverse N1",
            (0x41, 0xd40) => "Neoverse V1",
            (0x41, 0xd46) => "Cortex-A510",
            (0x41, 0xd49) => "Neoverse N2",
            (0x41, 0xd4f) => "Neoverse V2",
            (0x46, 0x001) => "A64FX",
            _ => return None,
        })
    }

    /// Returns true if this is a Cortex-A53 of revisions r0p0 to r0p2, to which errata 826319, 827319, 824069 and
    /// 819472 may apply.
    pub(crate) const fn is_early_cortex_a53(self) -> bool {
        let is_cortex_a53 = self.implementer() == 0x41 && self.part() == 0xd03;
        is_cortex_a53 && self.variant() == 0 && self.revision() <= 2
    }

    /// Returns true if this is a Cortex-A510, to which erratum 2454944 may apply.
    pub(crate) const fn is_cortex_a510(self) -> bool {
        self.implementer() == 0x41 && self.part() == 0xd46
    }
}
