//! Overrides of the chosen instruction and point.

use super::Cache;
use super::plan::Policy;
use crate::arch::{Facts, Instruction, Missing, Point, Unsupported, native::ARCHITECTURE};
use crate::cpu;

const LINES_STAY: Unsupported = Unsupported::new(
    Missing::Choice,
    "streaming stores were measured to leave dirty lines in the first-level cache of this CPU's family",
    "leave out Builder::accept_streaming_as_evicting",
);

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

    /// Accepts that streaming stores leave no dirty line in the cache, as Intel's manual promises and AMD's does not:
    /// the caller vouches that the CPU evicts the lines that they hit. [`CpuReport`](crate::report::CpuReport) reports
    /// it.
    ///
    /// Copies of 512 bytes and more then need no write-back after their streaming stores, and can take a third of the
    /// time. The bench `streaming_stores` shows how a CPU behaves; no measurement proves it.
    #[must_use]
    pub const fn accept_streaming_as_evicting(self) -> Self {
        Self { point: self.point, policy: self.policy.accepting_eviction() }
    }

    /// Makes the handle for the machine that this program runs on.
    ///
    /// # Errors
    /// As [`Cache::host`]. Also if this machine lacks the instruction, if the instruction does not reach the point, or
    /// if streaming stores are accepted on a CPU that was measured to keep their lines: AMD family 26 (Zen 5).
    pub fn build(self) -> Result<Cache, Unsupported> {
        self.planned(cpu::here_for_choice().facts()?, self.policy)
    }

    fn planned(self, facts: Facts, policy: Policy) -> Result<Cache, Unsupported> {
        if policy.accepts_eviction() && cpu::block_stores().keeps_lines {
            return Err(LINES_STAY);
        }
        Cache::planned(facts, self.point, policy)
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
        self.planned(facts, self.policy.privileged())
    }
}
