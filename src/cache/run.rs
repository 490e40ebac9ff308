//! Carrying out a plan: which fence and which instruction, in which order.
//!
//! The code is generic over the executor: the instructions of this machine, or a recording of them in which tests
//! compare the order and number of operations of any architecture.

use super::plan::Plan;
#[cfg(feature = "privileged")]
use crate::arch::{Discard, native::privileged};
use crate::arch::{Fence, Fences, Instruction, Lines, ops};

/// The executor of instructions and fences.
pub(super) trait Execute {
    /// Calls `then` with this and the instruction of the code.
    fn select(self, code: u8, then: impl FnOnce(Self, Instruction))
    where
        Self: Sized;

    /// Executes the instruction on the line that holds the address.
    ///
    /// # Safety
    /// 1. The instruction may be executed here.
    /// 2. This thread may read the byte at the address.
    unsafe fn line(&mut self, instruction: Instruction, line: usize);

    /// Executes the fence.
    fn fence(&mut self, fence: Fence);

    /// Executes the instruction that drops the line which holds the address.
    ///
    /// # Safety
    /// 1. The instruction is this architecture's and may be executed here.
    /// 2. The byte at the address may be written, and no one needs the dirty bytes of its line.
    #[cfg(feature = "privileged")]
    unsafe fn discard(&mut self, discard: Discard, line: usize);
}

/// This machine.
#[derive(Clone, Copy)]
pub(super) struct Machine;

impl Execute for Machine {
    #[inline(always)]
    fn select(self, code: u8, then: impl FnOnce(Self, Instruction)) {
        ops::select(code, |instruction| then(self, instruction));
    }

    #[inline(always)]
    unsafe fn line(&mut self, instruction: Instruction, line: usize) {
        // SAFETY: (1) and (2) are the caller's duties.
        unsafe { ops::execute(instruction, line) };
    }

    #[inline(always)]
    fn fence(&mut self, fence: Fence) {
        ops::fence(fence);
    }

    #[cfg(feature = "privileged")]
    #[inline(always)]
    unsafe fn discard(&mut self, _: Discard, line: usize) {
        // SAFETY: (1) and (2) are the caller's duties; an architecture has one such instruction.
        unsafe { privileged::discard(line) };
    }
}

/// The use of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Writeback,
    Invalidate,
}

impl Operation {
    #[inline(always)]
    const fn code(self, plan: Plan) -> u8 {
        match self {
            Self::Writeback => plan.writeback(),
            Self::Invalidate => plan.invalidate(),
        }
    }

    #[inline(always)]
    const fn fences(self, instruction: Instruction) -> Fences {
        match self {
            Self::Writeback => instruction.writeback,
            Self::Invalidate => instruction.invalidate,
        }
    }
}

/// Executes the fence before, then the instruction on every line. Nothing for an empty range.
///
/// # Safety
/// 1. The plan is for the machine that executes.
/// 2. Each line that the range touches holds a byte of the range that this thread may read, and the
///    range does not wrap round the end of the address space.
#[inline(always)]
pub(super) unsafe fn issue(
    execute: impl Execute,
    plan: Plan,
    operation: Operation,
    start: *const u8,
    len: usize,
) {
    let Some(lines) = Lines::covering(start, len, plan.line()) else { return };
    execute.select(operation.code(plan), |mut execute, instruction| {
        // SAFETY: (1) and (2) are the caller's duties.
        unsafe { issue_lines(&mut execute, operation, instruction, lines) };
    });
}

/// Calls [`issue`] and [`complete`]. Does nothing for an empty range.
///
/// # Safety
/// As [`issue`].
#[inline(always)]
pub(super) unsafe fn issue_and_complete(
    execute: impl Execute,
    plan: Plan,
    operation: Operation,
    start: *const u8,
    len: usize,
) {
    let Some(lines) = Lines::covering(start, len, plan.line()) else { return };
    execute.select(operation.code(plan), |mut execute, instruction| {
        // SAFETY: (1) and (2) are the caller's duties.
        unsafe { issue_lines(&mut execute, operation, instruction, lines) };
        execute.fence(operation.fences(instruction).after);
    });
}

/// Drops the lines of each write-back granule that the range holds whole, and invalidates the others, so that no bytes
/// outside the range are lost. Does nothing for an empty range.
///
/// # Safety
/// 1. The plan and the instruction are for the machine that executes, which may execute them.
/// 2. The range may be written and does not wrap round the end of the address space, and no one needs its dirty bytes.
#[cfg(feature = "privileged")]
pub(super) unsafe fn discard(
    execute: impl Execute,
    plan: Plan,
    discard: Discard,
    start: *const u8,
    len: usize,
) {
    let Some(lines) = Lines::covering(start, len, plan.line()) else { return };
    execute.select(Operation::Invalidate.code(plan), |mut execute, instruction| {
        execute.fence(discard.fences.before);
        lines.for_each(|line| {
            if lines.holds_all_of(plan.granule(), line) {
                // SAFETY: (1) is the caller's duty; the line is the range's alone (2).
                unsafe { execute.discard(discard, line) };
            } else {
                // SAFETY: (1) is the caller's duty; each line holds a byte of the range (2).
                unsafe { execute.line(instruction, line) };
            }
        });
        execute.fence(discard.fences.after);
    });
}

/// Executes the fence after, which completes the operations that this thread has issued.
#[inline(always)]
pub(super) fn complete(execute: impl Execute, plan: Plan, operation: Operation) {
    execute.select(operation.code(plan), |mut execute, instruction| {
        execute.fence(operation.fences(instruction).after);
    });
}

/// Executes the one fence that completes all operations that this thread has issued.
#[inline(always)]
pub(super) fn complete_all(execute: impl Execute, plan: Plan) {
    execute.select(plan.writeback(), |execute, of_writeback| {
        let after_writeback = of_writeback.writeback.after;
        execute.select(plan.invalidate(), |mut execute, of_invalidate| {
            execute.fence(after_writeback.or_stronger(of_invalidate.invalidate.after));
        });
    });
}

/// # Safety
/// As [`issue`].
#[inline(always)]
unsafe fn issue_lines(
    execute: &mut impl Execute,
    operation: Operation,
    instruction: Instruction,
    lines: Lines,
) {
    execute.fence(operation.fences(instruction).before);
    // SAFETY: a plan holds only instructions that its maker found present or vouched for (1). The first address is the
    // range's first byte, and the others are first bytes of lines that the range reaches into (2).
    lines.for_each(|line| unsafe { execute.line(instruction, line) });
}
