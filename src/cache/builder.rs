//! Overrides of the chosen instruction and point.

use super::Cache;
use crate::arch::{Architecture, Instruction, Point, Unsupported, native::ARCHITECTURE};
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Builder {
    pub(super) point: Point,
    /// The codes of the instructions that may write back.
    pub(super) writeback: u8,
    /// True if the point of coherency is taken for the point of persistence.
    pub(super) accepts_coherency: bool,
    /// True if the caller promised that privileged instructions may be executed here.
    pub(super) is_privileged: bool,
}

impl Builder {
    /// Any instruction may serve, and every point has the architecture's meaning.
    pub(crate) const fn new() -> Self {
        Self {
            point: Point::Coherency,
            writeback: u8::MAX,
            accepts_coherency: false,
            is_privileged: false,
        }
    }

    /// Permits only this instruction of the architecture to write back, with any ordering that this CPU gives it.
    pub(super) fn only(self, architecture: &Architecture, instruction: Instruction) -> Self {
        let named = architecture.instructions.iter().filter(|known| known.name == instruction.name);
        Self { writeback: named.fold(0, |codes, instruction| codes | instruction.code), ..self }
    }

    /// Writes back with `instruction` and no other. [`Cache::available_writebacks`] lists those of a machine.
    #[must_use]
    pub fn writeback_with(self, instruction: Instruction) -> Self {
        self.only(&ARCHITECTURE, instruction)
    }

    /// Aims write-backs at `point`.
    #[must_use]
    pub const fn point(self, point: Point) -> Self {
        Self { point, ..self }
    }

    /// Accepts the point of coherency as the point of persistence: the caller promises that on this platform every byte
    /// that has reached memory survives. [`CpuReport`](crate::report::CpuReport) and
    /// [`Cache::accepts_coherency_as_persistence`] report it.
    ///
    /// This matters only on machines that cannot reach the point of persistence, such as RISC-V and arm64 CPUs without
    /// `FEAT_DPB`. They then execute the instruction for the point of coherency.
    #[must_use]
    pub const fn accept_coherency_as_persistence(self) -> Self {
        Self { accepts_coherency: true, ..self }
    }

    /// Returns the same conditions for privileged code.
    #[cfg(feature = "privileged")]
    pub(crate) const fn privileged(self) -> Self {
        Self { is_privileged: true, ..self }
    }

    /// Returns true if the caller promised that privileged instructions may be executed here.
    #[cfg(feature = "privileged")]
    pub(crate) const fn is_privileged(self) -> bool {
        self.is_privileged
    }

    /// Returns true if the point of coherency is taken for the point of persistence.
    pub(crate) const fn accepts_coherency(self) -> bool {
        self.accepts_coherency
    }

    /// Makes the handle for the machine that this program runs on.
    ///
    /// # Errors
    /// As [`Cache::host`]. Also if this machine lacks the instruction, or if the instruction does not reach the point.
    pub fn build(self) -> Result<Cache, Unsupported> {
        Cache::choose(&ARCHITECTURE, cpu::here_for_choice().facts()?, self)
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
        Cache::choose(&ARCHITECTURE, facts, self.privileged())
    }
}
