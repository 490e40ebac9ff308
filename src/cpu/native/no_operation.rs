//! Architectures without an operation at this privilege level: the reason is the architecture's.

use crate::arch::Point;
use crate::arch::native::ARCHITECTURE;
use crate::cpu::Cpu;

/// Returns the CPU that this program runs on.
pub(crate) fn here() -> Cpu {
    Cpu::refused(ARCHITECTURE.unreachable[Point::Coherency as usize])
}

/// Returns the CPU, which has no back end for the privileged operations either.
#[cfg(feature = "privileged")]
#[expect(unsafe_code, reason = "the signature is that of arm64, where it must be at EL1")]
pub(crate) unsafe fn here_privileged() -> Cpu {
    Cpu { privileged: true, ..here() }
}
