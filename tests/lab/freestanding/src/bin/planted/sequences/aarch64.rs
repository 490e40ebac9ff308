//! Hand-written arm64 instructions. Neoverse V1 has all of them.

use core::arch::asm;

use super::Line;

/// Stores 8 bytes.
pub(super) fn store(line: &mut Line) {
    // SAFETY: the reference is to a whole line. The compiler must not omit the store.
    unsafe { (&raw mut line[0]).write_volatile(1) };
}

/// Writes the line back.
pub(super) fn write_back(line: &Line) {
    // SAFETY: the CPU has the instruction, which changes no value.
    unsafe { asm!("dc cvac, {}", in(reg) line.as_ptr(), options(nostack, preserves_flags)) };
}

/// Completes write-backs.
pub(super) fn fence() {
    // SAFETY: a barrier changes no value.
    unsafe { asm!("dsb sy", options(nostack, preserves_flags)) };
}

pub(super) use fence as complete_all;

/// Orders accesses, but does not complete write-backs.
pub(super) fn not_a_fence() {
    // SAFETY: a barrier changes no value.
    unsafe { asm!("dmb sy", "dsb ld", "isb", options(nostack, preserves_flags)) };
}

/// An atomic access to memory that is not watched.
pub(super) fn locked() {
    let mut word = 0_u64;
    // SAFETY: the word is a local variable.
    unsafe {
        asm!(
            ".arch_extension lse",
            "ldaddal {one}, {old}, [{word}]",
            word = in(reg) &raw mut word,
            one = in(reg) 1_u64,
            old = out(reg) _,
            options(nostack, preserves_flags),
        );
    };
}

/// Stores with a non-temporal hint to two lines.
pub(super) fn streaming_stores(lines: &mut [Line; 8]) {
    // SAFETY: the stores are to the first two lines.
    unsafe {
        asm!(
            "stnp xzr, xzr, [{}]",
            "stnp xzr, xzr, [{}]",
            in(reg) &raw mut lines[0],
            in(reg) &raw mut lines[1],
            options(nostack, preserves_flags),
        );
    };
}

/// Writes 8 lines back, with different instructions and registers, and at different bytes of the lines.
pub(super) fn write_back_in_every_way(lines: &mut [Line; 8]) {
    // SAFETY: the addresses are those of the 8 lines. The CPU has each instruction, which changes no value.
    unsafe {
        asm!(
            "dc cvac, x0",
            "add x1, x0, #0x40",
            "sys #3, c7, c12, #1, x1", // dc cvap
            "add x15, x0, #0x80",
            "sys #3, c7, c13, #1, x15", // dc cvadp
            "add x17, x0, #0xc7",
            "dc civac, x17",
            "add x20, x0, #0x13f",
            "dc cvac, x20",
            "add x28, x0, #0x140",
            "dc civac, x28",
            "add x30, x0, #0x180",
            "sys #3, c7, c12, #1, x30",
            "add x1, x0, #0x1c0",
            "sys #3, c7, c13, #1, x1",
            in("x0") lines.as_mut_ptr(),
            out("x1") _,
            out("x15") _,
            out("x17") _,
            out("x20") _,
            out("x28") _,
            out("x30") _,
            options(nostack, preserves_flags),
        );
    };
}

/// Stores to the first 6 lines by zeroing a block (0), in pairs (1, 2), atomically (3), and across the boundary of two
/// lines (4, 5).
pub(super) fn store_in_other_ways(lines: &mut [Line; 8]) {
    // SAFETY: all addresses are inside the lines.
    unsafe {
        asm!(
            ".arch_extension lse",
            "dc zva, x0",
            "add x1, x0, #0x40",
            "stp xzr, xzr, [x1]",
            "stnp xzr, xzr, [x1, #0x40]",
            "add x1, x0, #0xc0",
            "ldadd x1, x2, [x1]",
            "add x1, x0, #0x138",
            "stp xzr, xzr, [x1]",
            in("x0") lines.as_mut_ptr(),
            out("x1") _,
            out("x2") _,
            options(nostack, preserves_flags),
        );
    };
}
