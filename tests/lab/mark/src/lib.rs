//! Marks that a program executes to name the memory that the emulator's plugin (`tests/lab/plugin`) must watch, and the
//! moments of its verdicts.
//!
//! A mark is one instruction that changes nothing on any CPU, with its arguments in registers. So a program with marks
//! runs unchanged without the plugin. On x86-64 it is the long NOP with a displacement that no compiler pads with
//! (Intel SDM vol. 2B, NOP: the operand is not accessed). On arm64 it is a MOVZ to XZR, whose result is discarded (Arm
//! ARM, MOVZ), and which no compiler emits.
//!
//! | mark | x86-64 | arm64 | arguments |
//! |---|---|---|---|
//! | [`watch`] | `nop dword ptr [rax+rax+0x6d630001]` | `movz xzr, #0x6d01` | address in `rdi` or `x0`, length in `rsi` or `x1` |
//! | [`verdict`] | `nop dword ptr [rax+rax+0x6d630002]` | `movz xzr, #0x6d02` | number in `rdi` or `x0` |

#![no_std]

use core::arch::asm;
use core::ops::Range;

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("the marks are instructions of x86-64 and arm64");

/// Forgets the earlier observations, and begins to watch the lines of this range: of
/// [`as_ptr_range`](slice::as_ptr_range), or of a mapping.
#[inline]
pub fn watch<T>(range: Range<*const T>) {
    let len = range.end.addr().saturating_sub(range.start.addr());
    #[cfg(target_arch = "x86_64")]
    #[expect(unsafe_code, reason = "no safe function executes a chosen instruction")]
    // SAFETY: a NOP changes nothing and accesses no memory.
    unsafe {
        asm!(
            "nop dword ptr [rax + rax + 0x6d630001]",
            in("rdi") range.start,
            in("rsi") len,
            options(nostack, preserves_flags),
        );
    };
    #[cfg(target_arch = "aarch64")]
    #[expect(unsafe_code, reason = "no safe function executes a chosen instruction")]
    // SAFETY: a move to XZR changes nothing.
    unsafe {
        asm!(
            "movz xzr, #0x6d01",
            in("x0") range.start,
            in("x1") len,
            options(nostack, preserves_flags),
        );
    };
}

/// Has one line written about the observations since [`watch`], under this number. Watching goes on.
#[inline]
pub fn verdict(id: u64) {
    #[cfg(target_arch = "x86_64")]
    #[expect(unsafe_code, reason = "no safe function executes a chosen instruction")]
    // SAFETY: a NOP changes nothing and accesses no memory.
    unsafe {
        asm!(
            "nop dword ptr [rax + rax + 0x6d630002]",
            in("rdi") id,
            options(nostack, preserves_flags),
        );
    };
    #[cfg(target_arch = "aarch64")]
    #[expect(unsafe_code, reason = "no safe function executes a chosen instruction")]
    // SAFETY: a move to XZR changes nothing.
    unsafe {
        asm!("movz xzr, #0x6d02", in("x0") id, options(nostack, preserves_flags));
    };
}

#[cfg(test)]
mod tests {
    use super::{verdict, watch};

    /// A mark is a NOP without the plugin.
    #[test]
    fn marks_change_nothing() {
        let bytes = [7_u8; 100];
        watch(bytes.as_ptr_range());
        verdict(u64::MAX);
        assert_eq!(bytes, [7; 100]);
    }
}
