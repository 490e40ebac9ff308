//! The back end for privilege levels without operations.
//!
//! No instruction can be chosen, so none is ever executed: this is not a no-op that reports success.

/// The names that users may give. The list is empty.
pub mod instruction {
    use super::super::super::Instruction;

    /// The known instructions of this architecture. The list is empty.
    pub const ALL: &[Instruction] = &[];
}

/// Only the barrier.
#[expect(unsafe_code, reason = "the signature is that of the back ends that have instructions")]
pub mod ops {
    use super::super::super::refused::BARRIER;
    use super::super::super::{Fence, Fences, Instruction, for_each_line};

    macro_rules! barrier {
        (loongarch64 $reader:ident) => {
            // SAFETY: a barrier touches neither register nor value.
            unsafe { core::arch::asm!("dbar 0", options(nostack, preserves_flags)) }
        };
        (s390x $reader:ident) => {
            // SAFETY: a barrier touches neither register nor value.
            unsafe { core::arch::asm!("bcr 15, 0", options(nostack, preserves_flags)) }
        };
        ($folder:ident $reader:ident) => {
            core::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst)
        };
    }

    /// Never called, since no code can be chosen.
    ///
    /// # Safety
    /// There is no instruction, so no call is correct.
    #[inline(always)]
    pub unsafe fn maintain(
        _: u8,
        start: *const u8,
        len: usize,
        within: u16,
        _: impl FnOnce(Instruction) -> Fences,
    ) {
        for_each_line(start, len, within, |_| {});
    }

    /// Executes the barrier, the only fence.
    #[inline(always)]
    pub fn fence(fence: Fence) {
        if fence != BARRIER {
            return;
        }
        with_native!(barrier);
    }
}
