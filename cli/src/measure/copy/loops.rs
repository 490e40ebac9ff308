//! The loops themselves, in assembly: whole lines stored, lines written back, and nothing else.
//!
//! Vectors are loaded unaligned and stored aligned. Each loop does one line at a time; what it is
//! made of is the list of its instructions below.

use super::candidates::{Candidate, Instruction, Stores, When, Width};
use super::{LINE, Target};
use core::arch::asm;

/// Stores lines: `lines` of them, not 0, from `from` to `to`.
///
/// # Safety
/// 1. The CPU and the system have the instructions of the loop.
/// 2. The source can be read, the target can be written, and they do not overlap.
/// 3. The target begins at a line.
/// 4. An SFENCE follows before another thread is told of the data.
type StoreLines = unsafe fn(to: *mut u8, from: *const u8, lines: usize);

/// Writes lines back: `lines` of them, not 0, from `start`.
///
/// # Safety
/// 1. The CPU has the instruction.
/// 2. The lines can be read.
type WritebackLines = unsafe fn(start: *const u8, lines: usize);

/// A loop that executes these instructions for each line, and this one at the end.
macro_rules! store_lines {
    ($name:ident, $($instruction:expr),+; $end:literal) => {
        unsafe fn $name(to: *mut u8, from: *const u8, lines: usize) {
            let end = from.wrapping_add(lines * LINE);
            // SAFETY: the duties of the type are those of the loop: it reads from `from` to `end`,
            // writes as much from `to`, and ends, since `lines` is not 0.
            unsafe {
                asm!(
                    "2:",
                    $($instruction,)+
                    "add {from}, 64",
                    "add {to}, 64",
                    "cmp {from}, {end}",
                    "jne 2b",
                    $end,
                    from = inout(reg) from => _,
                    to = inout(reg) to => _,
                    end = in(reg) end,
                    out("rax") _,
                    out("xmm0") _,
                    out("xmm1") _,
                    out("xmm2") _,
                    out("xmm3") _,
                    options(nostack),
                );
            }
        }
    };
}

/// The loop without write-backs, and with each of them.
macro_rules! with_writebacks {
    ($plain:ident, $clwb:ident, $clflushopt:ident: $($instruction:expr),+; $end:literal) => {
        store_lines!($plain, $($instruction),+; $end);
        store_lines!($clwb, $($instruction),+, "clwb [{to}]"; $end);
        store_lines!($clflushopt, $($instruction),+, "clflushopt [{to}]"; $end);
    };
}

with_writebacks!(ordinary_8, ordinary_8_clwb, ordinary_8_clflushopt:
    "mov rax, [{from}]", "mov [{to}], rax",
    "mov rax, [{from} + 8]", "mov [{to} + 8], rax",
    "mov rax, [{from} + 16]", "mov [{to} + 16], rax",
    "mov rax, [{from} + 24]", "mov [{to} + 24], rax",
    "mov rax, [{from} + 32]", "mov [{to} + 32], rax",
    "mov rax, [{from} + 40]", "mov [{to} + 40], rax",
    "mov rax, [{from} + 48]", "mov [{to} + 48], rax",
    "mov rax, [{from} + 56]", "mov [{to} + 56], rax";
    "");
with_writebacks!(ordinary_16, ordinary_16_clwb, ordinary_16_clflushopt:
    "movdqu xmm0, [{from}]", "movdqu xmm1, [{from} + 16]",
    "movdqu xmm2, [{from} + 32]", "movdqu xmm3, [{from} + 48]",
    "movdqa [{to}], xmm0", "movdqa [{to} + 16], xmm1",
    "movdqa [{to} + 32], xmm2", "movdqa [{to} + 48], xmm3";
    "");
with_writebacks!(ordinary_32, ordinary_32_clwb, ordinary_32_clflushopt:
    "vmovdqu ymm0, [{from}]", "vmovdqu ymm1, [{from} + 32]",
    "vmovdqa [{to}], ymm0", "vmovdqa [{to} + 32], ymm1";
    "vzeroupper");
with_writebacks!(ordinary_64, ordinary_64_clwb, ordinary_64_clflushopt:
    "vmovdqu64 zmm0, [{from}]", "vmovdqa64 [{to}], zmm0";
    "vzeroupper");
with_writebacks!(streaming_8, streaming_8_clwb, streaming_8_clflushopt:
    "mov rax, [{from}]", "movnti [{to}], rax",
    "mov rax, [{from} + 8]", "movnti [{to} + 8], rax",
    "mov rax, [{from} + 16]", "movnti [{to} + 16], rax",
    "mov rax, [{from} + 24]", "movnti [{to} + 24], rax",
    "mov rax, [{from} + 32]", "movnti [{to} + 32], rax",
    "mov rax, [{from} + 40]", "movnti [{to} + 40], rax",
    "mov rax, [{from} + 48]", "movnti [{to} + 48], rax",
    "mov rax, [{from} + 56]", "movnti [{to} + 56], rax";
    "");
with_writebacks!(streaming_16, streaming_16_clwb, streaming_16_clflushopt:
    "movdqu xmm0, [{from}]", "movdqu xmm1, [{from} + 16]",
    "movdqu xmm2, [{from} + 32]", "movdqu xmm3, [{from} + 48]",
    "movntdq [{to}], xmm0", "movntdq [{to} + 16], xmm1",
    "movntdq [{to} + 32], xmm2", "movntdq [{to} + 48], xmm3";
    "");
with_writebacks!(streaming_32, streaming_32_clwb, streaming_32_clflushopt:
    "vmovdqu ymm0, [{from}]", "vmovdqu ymm1, [{from} + 32]",
    "vmovntdq [{to}], ymm0", "vmovntdq [{to} + 32], ymm1";
    "vzeroupper");
with_writebacks!(streaming_64, streaming_64_clwb, streaming_64_clflushopt:
    "vmovdqu64 zmm0, [{from}]", "vmovntdq [{to}], zmm0";
    "vzeroupper");
with_writebacks!(direct_64, direct_64_clwb, direct_64_clflushopt:
    "movdir64b {to}, [{from}]";
    "");

macro_rules! writeback_lines {
    ($name:ident, $instruction:literal) => {
        unsafe fn $name(start: *const u8, lines: usize) {
            let end = start.wrapping_add(lines * LINE);
            // SAFETY: (1) the CPU has the instruction; (2) the lines from `start` to `end` can be
            // read; the loop ends, since `lines` is not 0.
            unsafe {
                asm!(
                    "2:",
                    concat!($instruction, " [{line}]"),
                    "add {line}, 64",
                    "cmp {line}, {end}",
                    "jne 2b",
                    line = inout(reg) start => _,
                    end = in(reg) end,
                    options(nostack),
                );
            }
        }
    };
}

writeback_lines!(clwb, "clwb");
writeback_lines!(clflushopt, "clflushopt");

fn sfence() {
    // SAFETY: SFENCE is part of the architecture (SSE) and changes neither register nor value.
    unsafe { asm!("sfence", options(nostack, preserves_flags)) };
}

/// The candidates of this CPU; none if it has neither CLWB nor CLFLUSHOPT.
pub(super) fn candidates() -> Vec<Candidate> {
    let Some(writeback) = writeback_instruction() else { return Vec::new() };
    let mut all = Candidate::all(widest(), writeback);
    all.retain(|candidate| has(candidate.stores));
    all
}

fn writeback_instruction() -> Option<Instruction> {
    let features = raw_cpuid::CpuId::new().get_extended_feature_info()?;
    match (features.has_clwb(), features.has_clflushopt()) {
        (true, _) => Some(Instruction::Clwb),
        (false, true) => Some(Instruction::Clflushopt),
        (false, false) => None,
    }
}

fn has_writeback(instruction: Instruction) -> bool {
    let features = raw_cpuid::CpuId::new().get_extended_feature_info();
    features.is_some_and(|features| match instruction {
        Instruction::Clwb => features.has_clwb(),
        Instruction::Clflushopt => features.has_clflushopt(),
    })
}

fn widest() -> Width {
    let widths = Width::ALL.into_iter().rev();
    widths.into_iter().find(|width| has(Stores::Ordinary(*width))).unwrap_or(Width::Bytes8)
}

/// Whether the CPU has the stores, and the system keeps the registers that they take (XGETBV).
fn has(stores: Stores) -> bool {
    match stores {
        Stores::Ordinary(width) | Stores::Streaming(width) => match width {
            Width::Bytes8 | Width::Bytes16 => true,
            Width::Bytes32 => std::arch::is_x86_feature_detected!("avx"),
            Width::Bytes64 => std::arch::is_x86_feature_detected!("avx512f"),
        },
        Stores::Direct => has_movdir64b(),
    }
}

/// CPUID.7.0:ECX[28] (Intel SDM vol. 2A, CPUID).
fn has_movdir64b() -> bool {
    const LEAF: u32 = 7;
    raw_cpuid::cpuid!(0).eax >= LEAF && raw_cpuid::cpuid!(LEAF, 0).ecx >> 28 & 1 == 1
}

/// Whether the vendor promises that a streaming store leaves no cached line behind.
///
/// Intel does (SDM vol. 1, §10.4.6.2: the data in the caches is evicted); of MOVDIR64B it says that a
/// cached line is written back and invalidated before (vol. 2B). Of others no such promise was found.
pub(super) fn vendor_promises_eviction() -> bool {
    raw_cpuid::CpuId::new()
        .get_vendor_info()
        .is_some_and(|vendor| vendor.as_str() == "GenuineIntel")
}

/// A candidate made ready: which loops it takes, so that a copy chooses nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready {
    store: StoreLines,
    /// What parts of lines are written back with, and whole lines in a pass.
    writeback: WritebackLines,
    pass: Option<Pass>,
}

#[derive(Clone, Copy, Debug)]
struct Pass {
    lines: usize,
    fence_before: bool,
}

impl Ready {
    /// # Panics
    /// If the CPU does not have its instructions.
    pub(super) fn new(candidate: Candidate) -> Self {
        let here = has(candidate.stores) && has_writeback(candidate.writeback);
        assert!(here, "the instructions of {candidate} are not to be had here");
        let pass = match candidate.when {
            When::Never | When::EachLine => None,
            When::Pass { bytes, fence_before } => {
                let lines = bytes.map_or(usize::MAX, |bytes| (bytes / LINE).max(1));
                Some(Pass { lines, fence_before })
            }
        };
        let writeback = match candidate.writeback {
            Instruction::Clwb => clwb,
            Instruction::Clflushopt => clflushopt,
        };
        Self { store: store(candidate), writeback, pass }
    }

    /// Copies `from` to the target.
    ///
    /// # Panics
    /// If there are not as many bytes.
    #[inline]
    pub(super) fn copy_to(&self, to: Target<'_>, from: &[u8]) {
        assert_eq!(to.len(), from.len(), "bytes");
        // SAFETY: the source is a reference; the target is as long, is of words that may be
        // changed through a shared reference, and so is no part of the source.
        unsafe { self.copy(to.as_mut_ptr(), from.as_ptr(), from.len()) };
    }

    /// Parts of lines at the ends are stored by ordinary stores and written back.
    ///
    /// # Safety
    /// The source can be read for `len` bytes, the target can be written, and they do not
    /// overlap.
    #[inline]
    unsafe fn copy(&self, to: *mut u8, from: *const u8, len: usize) {
        let head = to.align_offset(LINE).min(len);
        let lines = (len - head) / LINE;
        let tail = (len - head) % LINE;
        // SAFETY: it is the first part of both.
        unsafe { self.copy_part(to, from, head) };
        // SAFETY: it is within both, and begins at a line of the target.
        unsafe { self.copy_lines(to.wrapping_add(head), from.wrapping_add(head), lines) };
        let done = len - tail;
        // SAFETY: it is the last part of both.
        unsafe { self.copy_part(to.wrapping_add(done), from.wrapping_add(done), tail) };
        sfence();
    }

    /// # Safety
    /// As [`copy`](Self::copy), and the bytes are in one line of the target.
    unsafe fn copy_part(&self, to: *mut u8, from: *const u8, len: usize) {
        if len > 0 {
            // SAFETY: as the caller says.
            unsafe { core::ptr::copy_nonoverlapping(from, to, len) };
            // SAFETY: (1) the instruction is here, as for the candidate; (2) one line, which holds
            // a byte that can be read.
            unsafe { (self.writeback)(to, 1) };
        }
    }

    /// # Safety
    /// As [`copy`](Self::copy) for the bytes of the lines, and the target begins at a line.
    unsafe fn copy_lines(&self, mut to: *mut u8, mut from: *const u8, mut lines: usize) {
        let at_once = self.pass.map_or(usize::MAX, |pass| pass.lines);
        while lines > 0 {
            let now = lines.min(at_once);
            // SAFETY: (1) the candidate's instructions are here; (2) and (3) as the caller says;
            // (4) `copy` ends with SFENCE.
            unsafe { (self.store)(to, from, now) };
            if let Some(pass) = self.pass {
                if pass.fence_before {
                    sfence();
                }
                // SAFETY: (1) the instruction is here; (2) the lines that were just stored.
                unsafe { (self.writeback)(to, now) };
            }
            (to, from) = (to.wrapping_add(now * LINE), from.wrapping_add(now * LINE));
            lines -= now;
        }
    }
}

fn store(candidate: Candidate) -> StoreLines {
    let loops: [StoreLines; 3] = match candidate.stores {
        Stores::Ordinary(Width::Bytes8) => [ordinary_8, ordinary_8_clwb, ordinary_8_clflushopt],
        Stores::Ordinary(Width::Bytes16) => [ordinary_16, ordinary_16_clwb, ordinary_16_clflushopt],
        Stores::Ordinary(Width::Bytes32) => [ordinary_32, ordinary_32_clwb, ordinary_32_clflushopt],
        Stores::Ordinary(Width::Bytes64) => [ordinary_64, ordinary_64_clwb, ordinary_64_clflushopt],
        Stores::Streaming(Width::Bytes8) => [streaming_8, streaming_8_clwb, streaming_8_clflushopt],
        Stores::Streaming(Width::Bytes16) => {
            [streaming_16, streaming_16_clwb, streaming_16_clflushopt]
        }
        Stores::Streaming(Width::Bytes32) => {
            [streaming_32, streaming_32_clwb, streaming_32_clflushopt]
        }
        Stores::Streaming(Width::Bytes64) => {
            [streaming_64, streaming_64_clwb, streaming_64_clflushopt]
        }
        Stores::Direct => [direct_64, direct_64_clwb, direct_64_clflushopt],
    };
    let [plain, clwb, clflushopt] = loops;
    match (candidate.when, candidate.writeback) {
        (When::Never | When::Pass { .. }, _) => plain,
        (When::EachLine, Instruction::Clwb) => clwb,
        (When::EachLine, Instruction::Clflushopt) => clflushopt,
    }
}

#[cfg(test)]
mod tests {
    use super::{Ready, candidates};
    use crate::measure::copy::{LINE, Target};
    use core::sync::atomic::{AtomicU64, Ordering};

    /// Sizes and places around every border of a loop: parts of a line, a line, a pass; and not one
    /// byte beside it.
    #[test]
    fn every_candidate_copies_every_byte_and_no_other() {
        const WORDS: usize = 3 * 4096 / 8;
        let from: Vec<u8> = (0..=250).cycle().skip(1).take(2 * 4096 + 200).collect();
        let sizes = [0, 1, 7, 8, 27, 63, 64, 65, 128, 191, 4095, 4096, 4097, 8192, 8192 + 199];
        for candidate in candidates() {
            let ready = Ready::new(candidate);
            for (len, skip) in sizes.iter().flat_map(|len| [0, 1, 27, 63].map(|skip| (*len, skip)))
            {
                let words: Vec<AtomicU64> = (0..WORDS).map(|_| AtomicU64::new(!0)).collect();
                let first = words.as_ptr().align_offset(LINE);
                ready.copy_to(Target::new(&words[first..], skip, len), &from[..len]);
                let found: Vec<u8> = words[first..]
                    .iter()
                    .flat_map(|word| word.load(Ordering::Relaxed).to_ne_bytes())
                    .collect();
                let what = format!("{candidate}: {len} bytes, {skip} behind a line");
                assert_eq!(&found[skip..skip + len], &from[..len], "{what}");
                assert!(found[..skip].iter().all(|byte| *byte == !0), "{what}: before");
                assert!(found[skip + len..].iter().all(|byte| *byte == !0), "{what}: behind");
            }
        }
    }
}
