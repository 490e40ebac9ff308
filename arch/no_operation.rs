//! What stands for the instructions where this privilege level has none.
//!
//! Nothing can be chosen, so nothing here is ever reached; it is never a no-op that reports success.

/// The names that users may give: there are none.
pub mod instruction {
    /// Every instruction known for this architecture.
    pub const ALL: &[super::super::Instruction] = &[];
}

/// The instructions: there are none.
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
