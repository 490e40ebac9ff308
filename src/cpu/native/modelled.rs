//! The modelled CPU of loom and Miri.

use crate::arch::Point;
use crate::arch::modelled::{ARCHITECTURE, WRITEBACK, WRITEBACK_INVALIDATE};
use crate::cpu::{Cpu, Line};

/// Returns the modelled CPU.
pub(crate) fn here() -> Cpu {
    let refusal = ARCHITECTURE.unreachable[Point::Coherency as usize];
    Cpu {
        present: WRITEBACK.code | WRITEBACK_INVALIDATE.code,
        line: Ok(Line { size: 64, granule: 64, source: "the model" }),
        ..Cpu::refused(refusal)
    }
}

/// Returns the modelled CPU: a model has no privilege levels.
#[cfg(feature = "privileged")]
#[expect(unsafe_code, reason = "the signature is that of arm64, where it must be at EL1")]
pub(crate) unsafe fn here_privileged() -> Cpu {
    here()
}
