//! The effect of streaming (non-temporal) stores on the L1 data cache of this CPU.
//!
//! A streaming store to a cached line may, according to Intel's optimization manual (248966, "Streaming Non-temporal
//! Stores"), update the line in place or evict it. On a CPU that updates in place, a fence brings nothing to memory,
//! and "streaming store + SFENCE" persists nothing. CPUs do not report which they do. It is therefore measured here,
//! against controls, with four methods ([`Figures`]), and [`conclude`] draws the conclusion.
//!
//! A timing on one CPU is not a promise of its vendor, so nothing relies on the answer.

#[cfg(target_arch = "x86_64")]
mod probe;
mod verdict;

use super::statistics::Estimate;
use core::sync::atomic::AtomicU64;

#[cfg(target_arch = "x86_64")]
pub use probe::{Loops, measure};
pub use verdict::{Answer, Conclusion, Finding, Verdict, conclude};

/// The bytes that the loops over a buffer store in one pass.
pub const PASS: usize = LINES * size_of::<Line>();

/// The number of lines that one sample works on.
const LINES: usize = 64;

/// A cache line of x86.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Line(pub(super) [AtomicU64; 8]);

/// The width of one streaming store; a whole line is always filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the instruction set has these")]
pub enum Width {
    /// MOVNTI.
    Bytes8,
    /// VMOVNTDQ with AVX.
    Bytes32,
    /// VMOVNTDQ with AVX-512F.
    Bytes64,
}

impl Width {
    /// All widths.
    pub const ALL: [Self; 3] = [Self::Bytes8, Self::Bytes32, Self::Bytes64];

    /// Returns the bytes of one store.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Bytes8 => 8,
            Self::Bytes32 => 32,
            Self::Bytes64 => 64,
        }
    }
}

/// The costs of lines in a known state, in nanoseconds per line.
#[derive(Clone, Debug, PartialEq)]
pub struct Controls {
    /// A dependent load from a line in L1.
    pub load_cached_ns: Estimate,
    /// A dependent load from a line in no cache.
    pub load_not_cached_ns: Estimate,
    /// Write-back and MFENCE of a line that ordinary stores made dirty.
    pub writeback_dirty_ns: Estimate,
    /// Write-back and MFENCE of a clean line in L1.
    pub writeback_clean_ns: Estimate,
    /// Write-back and MFENCE of a line in no cache.
    pub writeback_not_cached_ns: Estimate,
}

/// A cost after streaming stores, by the state of the lines before them.
#[derive(Clone, Debug, PartialEq)]
pub struct After {
    /// The lines were clean and in L1.
    pub clean: Estimate,
    /// The lines were dirty and in L1.
    pub dirty: Estimate,
    /// The lines were in no cache.
    pub not_cached: Estimate,
}

/// The cost of a loop that only accesses its lines with streaming stores, by their initial state.
#[derive(Clone, Debug, PartialEq)]
pub struct Repeated {
    /// The lines were read before, so they were in L1.
    pub cached: Estimate,
    /// The lines were flushed before, so they were in no cache.
    pub not_cached: Estimate,
}

/// The results for streaming stores of one width, in nanoseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// Bytes of one store.
    pub store_bytes: Width,
    /// A dependent load from a line after it was filled, and SFENCE: shows if the line is in L1.
    pub load_ns: After,
    /// Write-back and MFENCE of a line after it was filled, and SFENCE: shows if the line is dirty.
    pub writeback_ns: After,
    /// Filling one line, and SFENCE, repeatedly: shows if it reaches memory each time.
    pub line_ns: Repeated,
    /// Filling 4 KiB, and SFENCE, repeatedly: shows if it reaches memory each time.
    pub pass_ns: Repeated,
}

/// The results of a measurement, and the conclusion.
#[derive(Clone, Debug, PartialEq)]
pub struct Streaming {
    /// The instruction used for the write-backs.
    pub writeback: &'static str,
    /// The costs of lines in a known state.
    pub controls: Controls,
    /// The results of streaming stores, by their width.
    pub figures: Vec<Figures>,
    /// The conclusion from the results.
    pub conclusion: Conclusion,
}
