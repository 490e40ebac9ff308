//! Overrides of the chosen instruction and point.

use super::Cache;
use super::plan::Policy;
use crate::arch::{Instruction, Point, Unsupported, native::ARCHITECTURE};
use crate::cpu;

/// A builder of a [`Cache`] with overrides, for tests and benchmarks: the write-back instruction, the point, or a
/// weaker point.
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

    /// Writes back with `instruction` and no other. [`Cache::available_writebacks`] lists those of a machine.
    #[must_use]
    pub fn writeback_with(self, instruction: Instruction) -> Self {
        Self { point: self.point, policy: self.policy.only(&ARCHITECTURE, instruction) }
    }

    /// Aims write-backs at `point`.
    #[must_use]
    pub const fn point(self, point: Point) -> Self {
        Self { point, policy: self.policy }
    }

    /// Accepts the point of coherency as the point of persistence: the caller vouches that on this platform every byte
    /// that has reached memory survives. [`CpuReport`](crate::report::CpuReport) and
    /// [`Cache::accepts_coherency_as_persistence`] report it.
    ///
    /// This matters only on machines that cannot reach the point of persistence, such as RISC-V and arm64 CPUs without
    /// `FEAT_DPB`. They then execute the instruction for the point of coherency.
    #[must_use]
    pub const fn accept_coherency_as_persistence(self) -> Self {
        Self { point: self.point, policy: self.policy.accepting_coherency() }
    }

    /// Makes the handle for the machine that this program runs on.
    ///
    /// # Errors
    /// As [`Cache::host`]. Also if this machine lacks the instruction, or if the instruction does not reach the point.
    pub fn build(self) -> Result<Cache, Unsupported> {
        Cache::planned(cpu::here_for_choice().facts()?, self.point, self.policy)
    }

    /// Makes the handle for the machine that this kernel or hypervisor runs on: [`build`](Self::build)
    /// for [`Cache::privileged`].
    ///
    /// # Errors
    /// As [`Cache::privileged`]. Also if this machine lacks the instruction, or if the instruction does not reach the
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
