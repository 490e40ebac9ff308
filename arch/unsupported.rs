//! The back end for architectures where this privilege level has no operation, or none that is known
//! here. It compiles everywhere. It has no instruction, so nothing can
//! be chosen from it, and it says why; it is never a no-op that reports success.

use super::{Architecture, Fence, Missing, Unsupported};

/// Why there is no operation, as far as it is known.
const WHY: Unsupported = {
    let (reason, advice) = if cfg!(target_arch = "arm") {
        (
            "32-bit arm has no cache maintenance to the point of coherency in user mode (CP15 is \
             for PL1, and the kernel's cacheflush stops at the point of unification)",
            "let the kernel do it: msync or fsync for files, its DMA interface for devices",
        )
    } else if cfg!(target_arch = "s390x") {
        (
            "s390x has no instruction to write back a line: its caches are coherent with all \
             observers that it knows",
            "no maintenance is needed for devices; persist files by msync or fsync",
        )
    } else if cfg!(target_arch = "loongarch64") {
        (
            "CACOP is privileged on loongarch64",
            "let the kernel do it: msync or fsync for files, its DMA interface for devices",
        )
    } else {
        (
            "this crate has no back end for this architecture yet",
            "let the kernel do it: msync or fsync for files, its DMA interface for devices",
        )
    };
    Unsupported::new(Missing::Operation, reason, advice)
};

/// The architecture as data.
pub const ARCHITECTURE: Architecture = Architecture {
    name: "unsupported",
    instructions: &[],
    fences: &["none"],
    observed: Fence::NONE,
    unreachable: [WHY, WHY, WHY],
    no_aliasing: None,
    no_whole_cache: WHY,
};

/// The instructions: there are none.
#[cfg(not(any(target_arch = "aarch64", target_arch = "x86", target_arch = "x86_64")))]
#[expect(unsafe_code, reason = "the signature is that of the back ends that have instructions")]
pub mod ops {
    use super::super::{Effect, Fence, Fences, Instruction, Point};

    /// Stands where a signature asks for an instruction; it is in no list, so nothing chooses it.
    const NOTHING: Instruction = Instruction {
        name: "nothing",
        code: 0,
        effect: Effect::Writeback,
        point: Point::Coherency,
        writeback: Fences { before: Fence::NONE, after: Fence::NONE },
        invalidate: Fences { before: Fence::NONE, after: Fence::NONE },
        requires: "nothing",
        source: "this crate",
    };

    /// Not reached: no code was ever chosen.
    #[inline(always)]
    pub fn select<R>(_: u8, then: impl FnOnce(Instruction) -> R) -> R {
        then(NOTHING)
    }

    /// Not reached: no instruction was ever chosen.
    ///
    /// # Safety
    /// There is no instruction, so this cannot be called rightly.
    #[inline(always)]
    pub unsafe fn execute(_: Instruction, _: usize) {}

    /// There is no fence.
    #[inline(always)]
    pub fn fence(_: Fence) {}
}
