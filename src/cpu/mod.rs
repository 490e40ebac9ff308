//! The CPU: its facts, and what its kernel permits in user mode.
//!
//! Reading and deciding are separate: [`Cpu`] is a pure function of the words read (CPUID leaves, auxiliary vector, ID
//! registers), so tests can replay any machine.

#![cfg_attr(
    any(cachemaint_loom, miri),
    expect(dead_code, reason = "the target's CPU is not asked")
)]

pub(crate) mod block_stores;
mod guest;
mod identity;
mod native;
#[cfg(test)]
pub(crate) mod recorded;
mod text;

// Only the reader for the target is compiled. Tests have them all, to replay the words of other machines.
cfg_if::cfg_if! {
    if #[cfg(test)] {
        mod aarch64;
        mod powerpc;
        mod reading;
        mod riscv;
        #[cfg(feature = "std")]
        mod sysfs;
        mod x86;
    } else {
        macro_rules! reader {
            ($folder:ident modelled) => {};
            ($folder:ident no_operation) => {};
            (@of_all_cpus $reader:ident) => {
                mod reading;
                mod $reader;
                #[cfg(all(feature = "std", target_os = "linux"))]
                mod sysfs;
            };
            (aarch64 aarch64) => { reader! { @of_all_cpus aarch64 } };
            (powerpc powerpc) => { reader! { @of_all_cpus powerpc } };
            ($folder:ident $reader:ident) => {
                mod reading;
                mod $reader;
            };
        }
        with_native!(reader);
    }
}

use crate::arch::{Facts, LineSize, Unsupported};

#[cfg(feature = "privileged")]
pub(crate) use native::here_privileged;
#[cfg(all(
    feature = "dax",
    target_os = "linux",
    target_has_atomic = "64",
    not(cachemaint_loom)
))]
pub(crate) use native::is_guest;
pub(crate) use native::{block_stores, here, here_for_choice};

pub use guest::{Confidential, Hypervisor, Isolation, KNOWN_SIGNATURES, Signatures};
#[cfg(any(target_arch = "x86", target_arch = "x86_64", test))]
pub(crate) use guest::{HYPER_V, TRANSLATOR, is_known};
pub use identity::CpuIdentity;
pub(crate) use identity::Midr;
pub use text::Text;

/// The cache lines of a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Line {
    /// The unit that one maintenance instruction works on, in bytes.
    pub size: usize,
    /// The largest unit that any cache of the machine writes back, in bytes; at least the line size. Pad and align to
    /// it any data that must share no line with other data.
    pub granule: usize,
    /// The source of the values.
    pub source: &'static str,
}

/// One CPU, as read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cpu {
    pub(crate) identity: CpuIdentity,
    pub(crate) hypervisor: Hypervisor,
    pub(crate) confidential: Confidential,
    /// The instructions that the CPU reports, one bit for each by its code.
    pub(crate) present: u8,
    /// True if nothing contradicts the vendor's name `GenuineIntel` in CPUID.
    pub(crate) is_intel: bool,
    /// The erratum that forbids some of these instructions, if the CPU has one.
    pub(crate) erratum: Option<Erratum>,
    /// The lines of the CPU, or the reason why no instruction can be used.
    pub(crate) line: Result<Line, Unsupported>,
    /// True if the caller vouches for its lines and instructions.
    pub(crate) is_described: bool,
    /// True if privileged code asked: in ring 0, at EL1, in M-mode or S-mode.
    pub(crate) privileged: bool,
}

/// Instructions of a CPU that do not work as the architecture specifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Erratum {
    /// The instructions, one bit for each by its code.
    pub(crate) forbids: u8,
    /// The erratum, and the instruction that is executed instead.
    pub(crate) why: Unsupported,
}

impl Cpu {
    /// Returns an unknown CPU that can use no instruction, for this reason.
    pub(crate) const fn refused(why: Unsupported) -> Self {
        Self {
            identity: CpuIdentity::Unknown,
            hypervisor: Hypervisor::Unknown,
            confidential: Confidential::Unknown,
            present: 0,
            is_intel: false,
            erratum: None,
            line: Err(why),
            is_described: false,
            privileged: false,
        }
    }

    /// Returns the same CPU with the lines and instructions of a description.
    pub(crate) fn described(self, facts: Facts) -> Self {
        let (size, granule) = (facts.line_size(), facts.granule());
        let line = Line { size, granule, source: "the caller's description" };
        let (present, line) = (facts.present(), Ok(line));
        Self { present, line, erratum: None, is_described: true, ..self }
    }

    /// Returns the facts that a choice is made from.
    pub(crate) fn facts(&self) -> Result<Facts, Unsupported> {
        let forbidden = self.erratum.map_or(0, |erratum| erratum.forbids);
        self.line.map(|line| {
            // An implausible size must not skip lines, nor a granule be smaller than the line.
            let size = LineSize::new(line.size).unwrap_or(LineSize::SMALLEST);
            let granule = LineSize::new(line.granule).unwrap_or(LineSize::LARGEST);
            Facts::from_present(size, self.present & !forbidden).padded_to(granule)
        })
    }
}
