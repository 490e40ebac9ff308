//! Marks with which a program talks to the emulator's plugin (`lose-lines/plugin`): it names the memory to watch and asks
//! what a crash could lose, or it names the memory and the moment of a crash.
//!
//! A mark is one instruction that changes nothing on any CPU, with its arguments in registers, so a program with marks
//! runs unchanged without the plugin. On x86-64 it is the long NOP with a displacement that no compiler uses for
//! padding (Intel SDM vol. 2B, NOP: the operand is not accessed). On arm64 it is a MOVZ to XZR, which discards the
//! result (Arm ARM, MOVZ), and which no compiler emits. On RISC-V it is a hint that the architecture leaves to custom
//! use (RISC-V unprivileged ISA, "HINT Instructions": SLTI with rd = x0).
//!
//! | mark | number | arguments |
//! |---|---|---|
//! | [`watch`] | 1 | address, length |
//! | [`left`] | 2 | number |
//! | [`trial`] | 3 | address, length |
//! | [`witness`] | 4 | address, length |
//! | [`crash_at`] | 5 | event, seed |
//! | [`lose`] | 6 | |
//! | [`omit`] | 7 | address |
//!
//! On x86-64 the mark is `nop dword ptr [rax+rax+0x6d630000+NUMBER]` with the arguments in `rdi` and `rsi`, on arm64
//! `movz xzr, #0x6d00+NUMBER` with the arguments in `x0` and `x1`, on RISC-V `slti zero, zero, 0x6d0+NUMBER` with the
//! arguments in `a0` and `a1`.

#![no_std]

use core::arch::asm;
use core::ops::Range;

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
compile_error!("the marks are instructions of x86-64, arm64 and riscv64");

/// Executes a mark.
#[inline]
fn mark<const NUMBER: u32>(first: u64, second: u64) {
    #[cfg(target_arch = "x86_64")]
    #[expect(unsafe_code, reason = "no safe function executes a chosen instruction")]
    // SAFETY: a NOP changes nothing and accesses no memory. What the plugin does to memory is what other programs and
    // devices do to a shared mapping, which is why no option promises that memory stays.
    unsafe {
        asm!(
            "nop dword ptr [rax + rax + {mark}]",
            mark = const 0x6d63_0000 + NUMBER,
            in("rdi") first,
            in("rsi") second,
            options(nostack, preserves_flags),
        );
    };
    #[cfg(target_arch = "aarch64")]
    #[expect(unsafe_code, reason = "no safe function executes a chosen instruction")]
    // SAFETY: a move to XZR changes nothing. What the plugin does to memory is what other programs and devices do to
    // a shared mapping, which is why no option promises that memory stays.
    unsafe {
        asm!(
            "movz xzr, #{mark}",
            mark = const 0x6d00 + NUMBER,
            in("x0") first,
            in("x1") second,
            options(nostack, preserves_flags),
        );
    };
    #[cfg(target_arch = "riscv64")]
    #[expect(unsafe_code, reason = "no safe function executes a chosen instruction")]
    // SAFETY: a hint changes nothing. What the plugin does to memory is what other programs and devices do to a shared
    // mapping, which is why no option promises that memory stays.
    unsafe {
        asm!(
            "slti zero, zero, {mark}",
            mark = const 0x6d0 + NUMBER,
            in("a0") first,
            in("a1") second,
            options(nostack, preserves_flags),
        );
    };
}

/// Returns the address and the length of a range.
fn place<T>(range: Range<*const T>) -> (u64, u64) {
    let [start, end] = [range.start, range.end].map(|at| at.addr() as u64);
    (start, end.saturating_sub(start))
}

/// Starts watching the lines of this range, which count as clean, from [`as_ptr_range`](slice::as_ptr_range)
/// or of a mapping.
#[inline]
pub fn watch<T>(range: Range<*const T>) {
    let (start, len) = place(range);
    mark::<1>(start, len);
}

/// Makes the plugin write one line about the dirty and the unfenced lines of the range, under this number. Watching
/// continues.
#[inline]
pub fn left(id: u64) {
    mark::<2>(id, 0);
}

/// Starts a trial on the lines of this range: all of them count as persisted.
#[inline]
pub fn trial<T>(range: Range<*const T>) {
    let (start, len) = place(range);
    mark::<3>(start, len);
}

/// Names lines that no crash of the trial loses.
#[inline]
pub fn witness<T>(range: Range<*const T>) {
    let (start, len) = place(range);
    mark::<4>(start, len);
}

/// Chooses the event of the trial before which it crashes, counted from 1, and the seed of the losses; 0 crashes at its
/// end.
#[inline]
pub fn crash_at(event: u64, seed: u64) {
    mark::<5>(event, seed);
}

/// Ends the trial: its lines now contain what the crash left. The last two words of the witness are the number of
/// events, and 1 if the crash came before the end.
#[inline]
pub fn lose() {
    mark::<6>(0, 0);
}

/// Makes the write-back or the fence at this address do nothing from now on; 0 omits none.
#[inline]
pub fn omit(at: u64) {
    mark::<7>(at, 0);
}

#[cfg(test)]
mod tests {
    use super::{crash_at, left, lose, omit, trial, watch, witness};

    /// A mark is a NOP without the plugin.
    #[test]
    fn marks_change_nothing() {
        let bytes = [7_u8; 100];
        watch(bytes.as_ptr_range());
        left(u64::MAX);
        trial(bytes.as_ptr_range());
        witness(bytes[..8].as_ptr_range());
        crash_at(1, u64::MAX);
        lose();
        omit(u64::MAX);
        assert_eq!(bytes, [7; 100]);
    }
}
