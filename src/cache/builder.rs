//! Overrides of the choice.

use super::Cache;
use super::plan::Policy;
use crate::arch::{Instruction, Point, Unsupported, native::ARCHITECTURE};
use crate::cpu;

/// Makes a [`Cache`] with overrides: a write-back instruction, a point, a weaker point accepted.
///
/// It can only choose an instruction that the machine has and that satisfies the point; anything
/// else is an error.
///
/// ```
/// # fn main() -> Result<(), cachemaint::Unsupported> {
/// use cachemaint::{Cache, Point};
/// let host = Cache::host()?;
/// let same = Cache::builder()
///     .writeback_with(host.writeback_choice().instruction)
///     .point(Point::Coherency)
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Builder {
    point: Point,
    policy: Policy,
}

impl Builder {
    pub(super) const fn new() -> Self {
        Self { point: Point::Coherency, policy: Policy::ANY }
    }

    /// Writes back with `instruction` and no other.
    #[must_use]
    pub fn writeback_with(self, instruction: Instruction) -> Self {
        Self { point: self.point, policy: self.policy.only(&ARCHITECTURE, instruction) }
    }

    /// Writes back with the instruction of this mnemonic and no other, in lower case as in
    /// [`Instruction::name`]; `None` if the architecture has no such instruction.
    #[must_use]
    pub fn writeback_named(self, name: &str) -> Option<Self> {
        let policy = self.policy.only_named(&ARCHITECTURE, name)?;
        Some(Self { point: self.point, policy })
    }

    /// Does not write back with the instruction of this mnemonic, in lower case as in [`Instruction::name`]; `None` if the
    /// architecture has no such instruction. It may be called for several. An instruction that the machine
    /// does not have may be forbidden too.
    ///
    /// ```
    /// # #[cfg(all(target_arch = "x86_64", not(miri)))] {
    /// use cachemaint::Cache;
    /// let builder = Cache::builder().without_named("clwb").unwrap();
    /// let cache = builder.without_named("clflushopt").unwrap().build().unwrap();
    /// assert_eq!(cache.writeback_choice().instruction.name, "clflush");
    /// # }
    /// ```
    #[doc(alias("PMEM_NO_CLWB", "PMEM_NO_CLFLUSHOPT"))]
    #[must_use]
    pub fn without_named(self, name: &str) -> Option<Self> {
        let policy = self.policy.without_named(&ARCHITECTURE, name)?;
        Some(Self { point: self.point, policy })
    }

    /// Aims write-backs at `point`.
    #[must_use]
    pub const fn point(self, point: Point) -> Self {
        Self { point, policy: self.policy }
    }

    /// Takes the point of coherency for the point of persistence: the caller vouches that on this
    /// platform all bytes that have reached memory survive. [`CpuReport`](crate::report::CpuReport)
    /// and [`Cache::accepts_coherency_as_persistence`] report it.
    ///
    /// It changes something only on machines that cannot reach the point of persistence: arm64 CPUs without `FEAT_DPB` (DC
    /// CVAP), RISC-V, and PowerPC before ISA 2.07 or in the mode of an older CPU. They execute the instruction for the
    /// point of coherency then.
    #[must_use]
    pub const fn accept_coherency_as_persistence(self) -> Self {
        Self { point: self.point, policy: self.policy.accepting_coherency() }
    }

    /// Makes the handle for the machine this program runs on.
    ///
    /// # Errors
    /// As [`Cache::host`]; and if the instruction is not on this machine or does not reach the point.
    pub fn build(self) -> Result<Cache, Unsupported> {
        Cache::planned(cpu::here_for_choice().facts()?, self.point, self.policy)
    }

    /// Makes the handle for the machine that this kernel or hypervisor runs on: [`build`](Self::build)
    /// for [`Cache::privileged`].
    ///
    /// # Errors
    /// As [`Cache::privileged`]; and if the instruction is not on this machine or does not reach the
    /// point.
    ///
    /// # Safety
    /// As for [`Cache::privileged`].
    #[cfg(feature = "privileged")]
    pub unsafe fn build_privileged(self) -> Result<Cache, Unsupported> {
        // SAFETY: (1) is the caller's duty.
        let facts = unsafe { cpu::here_privileged() }.facts()?;
        Cache::planned(facts, self.point, self.policy.privileged())
    }
}

#[cfg(feature = "std")]
mod env {
    use super::Builder;
    use crate::arch::native::ARCHITECTURE;
    use std::ffi::OsString;

    /// The environment variable that [`Builder::from_env`] reads: the name of a write-back
    /// instruction, such as `clflushopt`.
    pub const ENV_WRITEBACK: &str = "CACHEMAINT_WRITEBACK";

    /// The value of [`ENV_WRITEBACK`] is not an instruction of this architecture.
    #[derive(Clone, Debug, PartialEq, Eq)]
    #[non_exhaustive]
    pub struct EnvError {
        /// The value of the variable.
        pub found: OsString,
    }

    impl core::fmt::Display for EnvError {
        fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            write!(
                f,
                "{ENV_WRITEBACK}={} names no instruction of {}; unset it or use one of",
                self.found.display(),
                ARCHITECTURE.name,
            )?;
            let mut last = "";
            for instruction in ARCHITECTURE.instructions {
                if instruction.name != last {
                    write!(f, " {}", instruction.name)?;
                }
                last = instruction.name;
            }
            Ok(())
        }
    }

    impl core::error::Error for EnvError {}

    impl Builder {
        /// Returns a builder that writes back with the instruction that [`ENV_WRITEBACK`] names, if
        /// it is set. Nothing else in this crate reads the environment.
        ///
        /// # Errors
        /// If the variable is set and names no instruction of this architecture.
        pub fn from_env() -> Result<Self, EnvError> {
            match std::env::var_os(ENV_WRITEBACK) {
                None => Ok(Self::new()),
                Some(value) => Self::from_name(value),
            }
        }

        fn from_name(value: OsString) -> Result<Self, EnvError> {
            match value.into_string() {
                Ok(name) => Self::new()
                    .writeback_named(&name)
                    .ok_or_else(|| EnvError { found: OsString::from(name) }),
                Err(found) => Err(EnvError { found }),
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::{Builder, OsString};
        use alloc::string::ToString;

        #[test]
        fn an_unknown_instruction_is_refused_with_the_known_names() {
            let error = Builder::from_name(OsString::from("clzap")).unwrap_err();
            let text = error.to_string();
            assert!(text.starts_with("CACHEMAINT_WRITEBACK=clzap names no instruction"), "{text}");
            if cfg!(target_arch = "x86_64") && !cfg!(any(miri, cachemaint_loom)) {
                assert!(text.ends_with("use one of clwb clflushopt clflush"), "{text}");
            }
        }
    }
}

#[cfg(feature = "std")]
pub use env::{ENV_WRITEBACK, EnvError};
