//! The modelled CPU of loom and Miri.

use crate::arch::modelled::{ARCHITECTURE, WRITEBACK, WRITEBACK_INVALIDATE};
use crate::arch::{LineSize, Point};
use crate::cpu::{Cpu, Line};

/// Returns the modelled CPU.
pub(crate) fn here() -> Cpu {
    let refusal = ARCHITECTURE.unreachable[Point::Coherency as usize];
    let line = LineSize::new(64).map(|size| Line { size, granule: 64, source: "the model" });
    Cpu {
        present: WRITEBACK.code | WRITEBACK_INVALIDATE.code,
        line: line.ok_or(refusal),
        ..Cpu::refused(refusal)
    }
}

/// Returns the modelled CPU: a model has no privilege levels.
#[cfg(feature = "privileged")]
#[expect(unsafe_code, reason = "the signature is that of arm64, where it must be at EL1")]
pub(crate) unsafe fn here_privileged() -> Cpu {
    here()
}
