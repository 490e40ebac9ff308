//! What the CPU and the operating system say.
//!
//! Reading and deciding are apart: [`Cpu`] is a pure function of what was read (CPUID leaves,
//! auxiliary vector, ID registers), so that any machine can be replayed in a test. The `no_std` part
//! asks the CPU; with `std` there are readers of `/proc` and `/sys` trees, whose root is a parameter.

#[cfg(any(all(target_arch = "aarch64", not(any(loom, miri))), test))]
mod aarch64;
#[cfg(test)]
#[cfg(feature = "std")]
pub(crate) mod fixture;
mod guest;
mod identity;
#[cfg(test)]
pub(crate) mod recorded;
mod text;
#[cfg(any(all(any(target_arch = "x86", target_arch = "x86_64"), not(any(loom, miri))), test))]
mod x86;

#[cfg(feature = "std")]
pub(crate) mod cache_levels;
#[cfg(all(feature = "dax", target_os = "linux", target_has_atomic = "64", not(loom)))]
pub(crate) mod disks;
#[cfg(feature = "std")]
pub(crate) mod kernel;
#[cfg(all(feature = "dax", target_os = "linux", target_has_atomic = "64", not(loom)))]
pub(crate) mod mounts;
#[cfg(feature = "std")]
pub(crate) mod nvdimm;
#[cfg(feature = "std")]
pub(crate) mod tree;

use crate::arch::{Facts, Instruction, LineSize, Unsupported};

#[cfg(feature = "std")]
pub(crate) use guest::hints;
pub use guest::{Confidential, Hypervisor};
pub use identity::{Identity, Midr};
pub use text::Text;

/// The cache lines of a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Line {
    /// The unit that one maintenance instruction works on.
    pub size: LineSize,
    /// What to pad and align data to that must share no line with other data, in bytes: the largest
    /// unit that any cache of the machine writes back. Not smaller than the line.
    pub granule: usize,
    /// Where this was read.
    pub source: &'static str,
}

/// One CPU, as read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cpu {
    pub(crate) identity: Identity,
    pub(crate) hypervisor: Hypervisor,
    pub(crate) confidential: Confidential,
    /// The instructions that the CPU shows, one bit for each by its code.
    pub(crate) present: u8,
    /// Its lines, or why no instruction can be used.
    pub(crate) line: Result<Line, Unsupported>,
}

impl Cpu {
    /// What a choice is made from.
    pub(crate) fn facts(&self) -> Result<Facts, Unsupported> {
        self.line.map(|line| Facts::from_present(line.size, self.present))
    }
}

/// The bits of those instructions that are there.
fn shown<const N: usize>(instructions: [(bool, Instruction); N]) -> u8 {
    let present = instructions.iter().filter(|(present, _)| *present);
    present.fold(0, |codes, (_, instruction)| codes | instruction.code)
}

/// A line size, or the refusal that names what was found.
#[cfg(any(
    loom,
    miri,
    test,
    target_arch = "x86",
    target_arch = "x86_64",
    all(target_arch = "aarch64", any(target_os = "linux", feature = "privileged"))
))]
fn line_size(bytes: usize) -> Result<LineSize, Unsupported> {
    use crate::arch::Missing;

    LineSize::new(bytes).ok_or(Unsupported::new(
        Missing::LineSize(u32::try_from(bytes).unwrap_or(u32::MAX)),
        "the CPU reports a cache line size that cannot be one",
        "describe the CPU with Cache::from_facts if its line size is known",
    ))
}

cfg_if::cfg_if! {
    if #[cfg(any(loom, miri))] {
        /// The modelled CPU.
        pub(crate) fn cpu() -> Cpu {
            use crate::arch::modelled::{WRITEBACK, WRITEBACK_INVALIDATE};
            Cpu {
                identity: Identity::Unknown,
                hypervisor: Hypervisor::Unknown,
                confidential: Confidential::Unknown,
                present: shown([(true, WRITEBACK), (true, WRITEBACK_INVALIDATE)]),
                line: line_size(64).map(|size| Line { size, granule: 64, source: "the model" }),
            }
        }

        /// The facts of the modelled CPU.
        pub(crate) fn facts() -> Result<Facts, Unsupported> {
            cpu().facts()
        }

        #[cfg(feature = "privileged")]
        #[expect(unsafe_code, reason = "the signature is that of arm64, where it must be at EL1")]
        pub(crate) unsafe fn privileged_facts() -> Result<Facts, Unsupported> {
            facts()
        }
    } else if #[cfg(any(target_arch = "x86", target_arch = "x86_64"))] {
        pub(crate) use x86::{cpu, native_facts as facts};

        /// CPUID says the same in ring 0.
        #[cfg(feature = "privileged")]
        #[expect(unsafe_code, reason = "the signature is that of arm64, where it must be at EL1")]
        pub(crate) unsafe fn privileged_facts() -> Result<Facts, Unsupported> {
            facts()
        }
    } else if #[cfg(target_arch = "aarch64")] {
        pub(crate) use aarch64::cpu;
        #[cfg(feature = "privileged")]
        pub(crate) use aarch64::privileged_facts;

        /// The facts of the CPU this program runs on.
        pub(crate) fn facts() -> Result<Facts, Unsupported> {
            cpu().facts()
        }
    } else {
        /// There is no back end: the reason is the architecture's.
        pub(crate) fn cpu() -> Cpu {
            Cpu {
                identity: Identity::Unknown,
                hypervisor: Hypervisor::Unknown,
                confidential: Confidential::Unknown,
                present: shown([]),
                line: Err(crate::arch::unsupported::ARCHITECTURE.unreachable[0]),
            }
        }

        /// There is no back end.
        pub(crate) fn facts() -> Result<Facts, Unsupported> {
            cpu().facts()
        }

        #[cfg(feature = "privileged")]
        #[expect(unsafe_code, reason = "the signature is that of arm64, where it must be at EL1")]
        pub(crate) unsafe fn privileged_facts() -> Result<Facts, Unsupported> {
            facts()
        }
    }
}
