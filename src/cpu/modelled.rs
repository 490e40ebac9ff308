//! The modelled CPU of loom and Miri.

use super::reading::{line_size, shown};
use super::{Cpu, Line};
use crate::arch::Point;
use crate::arch::modelled::{ARCHITECTURE, WRITEBACK, WRITEBACK_INVALIDATE};

/// The modelled CPU.
pub(crate) fn here() -> Cpu {
    Cpu {
        present: shown([(true, WRITEBACK), (true, WRITEBACK_INVALIDATE)]),
        line: line_size(64).map(|size| Line { size, granule: 64, source: "the model" }),
        ..Cpu::refused(ARCHITECTURE.unreachable[Point::Coherency as usize])
    }
}

/// A model has no privilege levels.
#[cfg(feature = "privileged")]
#[expect(unsafe_code, reason = "the signature is that of arm64, where it must be at EL1")]
pub(crate) unsafe fn here_privileged() -> Cpu {
    here()
}
