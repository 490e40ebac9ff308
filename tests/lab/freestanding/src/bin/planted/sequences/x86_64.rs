//! Hand-written x86-64 instructions. `max`, the emulator's CPU, has all of them.

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
    unsafe { asm!("clwb [{}]", in(reg) line.as_ptr(), options(nostack, preserves_flags)) };
}

/// Completes write-backs, except CLFLUSH on AMD's CPUs.
pub(super) fn fence() {
    // SAFETY: a fence changes no value.
    unsafe { asm!("sfence", options(nostack, preserves_flags)) };
}

/// Completes every write-back.
pub(super) fn complete_all() {
    // SAFETY: a fence changes no value.
    unsafe { asm!("mfence", options(nostack, preserves_flags)) };
}

/// Orders only loads.
pub(super) fn not_a_fence() {
    // SAFETY: a fence changes no value.
    unsafe { asm!("lfence", options(nostack, preserves_flags)) };
}

/// A locked access to memory that is not watched.
pub(super) fn locked() {
    let mut word = 0_u64;
    // SAFETY: the word is a local variable.
    unsafe { asm!("lock add qword ptr [{}], 1", in(reg) &raw mut word, options(nostack)) };
}

/// Streaming stores to two lines: from a general register, and from a vector register.
pub(super) fn streaming_stores(lines: &mut [Line; 8]) {
    // SAFETY: the stores are to the first two lines. Nothing else uses vector registers here.
    unsafe {
        asm!(
            "movnti [{first}], {value}",
            "movntdq [{second}], xmm0",
            first = in(reg) &raw mut lines[0],
            second = in(reg) &raw mut lines[1],
            value = in(reg) 1_u64,
            options(nostack, preserves_flags),
        );
    };
}

/// Writes 8 lines back, each with another addressing mode, and with the instructions in turn.
pub(super) fn write_back_in_every_way(lines: &mut [Line; 8]) {
    // SAFETY: the addresses are those of the 8 lines, which lie below 4 GiB. The CPU has each instruction, which
    // changes no value.
    unsafe {
        asm!(
            "clwb [r12]",
            "clwb [r13 + 0x40]",
            "clflushopt [r13 + rcx]",
            "clflush [r12 + rcx*2 - 0x40]",
            "clwb [rcx*2 + r12]",
            "lea rdx, [r12 + 0x12345678]",
            "clwb [rdx - 0x12345678 + 0x140]",
            "lea rdx, [r12 - 0x10000]",
            "clflushopt [rdx + rcx*8 + 0x10000 - 0x280]",
            "clflush [r12d + 0x1c0]",
            in("r12") lines.as_mut_ptr(),
            in("r13") lines.as_mut_ptr(),
            in("rcx") 0x80_u64,
            out("rdx") _,
            options(nostack, preserves_flags),
        );
    };
}

/// Stores to the first 6 lines with a string instruction (0, 1), with a lock prefix (2, 3), and across the boundary of
/// two lines (4, 5).
pub(super) fn store_in_other_ways(lines: &mut [Line; 8]) {
    // SAFETY: all addresses are inside the lines.
    unsafe {
        asm!(
            "rep stosq",
            "lock add qword ptr [rdi], 1",
            "xchg [rdi + 0x40], rax",
            "mov [rdi + 0x80 + 60], rax",
            inout("rdi") lines.as_mut_ptr() => _,
            inout("rcx") 16_u64 => _,
            inout("rax") 0_u64 => _,
            options(nostack),
        );
    };
}
