//! The CPU's instructions for CRC32C, one word a step.
//!
//! x86: CRC32 of SSE 4.2 (SDM Vol. 2, "CRC32"). arm64: CRC32CX of `FEAT_CRC32` (Arm ARM C6.2). Both take the
//! inverted checksum, and the bytes of a word from the lowest on. They are written as assembly, since an
//! intrinsic is inlined only where its feature is given when compiling.

use core::arch::asm;

/// The CPU that this runs on has the instructions.
#[derive(Clone, Copy)]
pub(super) struct Instruction(());

impl Instruction {
    #[cfg(target_arch = "x86_64")]
    #[inline]
    pub(super) fn of_this_cpu() -> Option<Self> {
        std::arch::is_x86_feature_detected!("sse4.2").then_some(Self(()))
    }

    #[cfg(target_arch = "aarch64")]
    #[inline]
    pub(super) fn of_this_cpu() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("crc").then_some(Self(()))
    }

    /// The register, which holds an inverted checksum, with a word behind it.
    #[cfg(feature = "preserve-read")]
    #[inline(always)]
    pub(super) fn word(self, crc: u64, word: u64) -> u64 {
        let Self(()) = self;
        // SAFETY: (1) the value exists, so the CPU has the instruction.
        unsafe { of_word(crc, word) }
    }

    /// The checksum of what `crc` is the checksum of and of `bytes` behind it.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the upper half is 0")]
    pub(super) fn append(self, crc: u32, bytes: &[u8]) -> u32 {
        let Self(()) = self;
        let (words, rest) = bytes.as_chunks();
        // In 64 bits, as the instruction of x86 has it: to cut it off after each word would take a cycle.
        let crc = words.iter().fold(u64::from(!crc), |crc, word| {
            // SAFETY: (1) the value exists, so the CPU has the instruction.
            unsafe { of_word(crc, u64::from_le_bytes(*word)) }
        });
        let mut crc = crc as u32;
        let (halves, rest) = rest.as_chunks();
        if let [half] = halves {
            // SAFETY: (1) as above.
            crc = unsafe { of_half(crc, u32::from_le_bytes(*half)) };
        }
        !rest.iter().fold(crc, |crc, byte| {
            // SAFETY: (1) as above.
            unsafe { of_byte(crc, *byte) }
        })
    }
}

/// # Safety
/// 1. The CPU has SSE 4.2.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn of_word(mut crc: u64, word: u64) -> u64 {
    // SAFETY: (1) the CPU has the instruction, which works on registers alone and sets no flags.
    unsafe {
        asm!("crc32 {}, {}", inout(reg) crc, in(reg) word, options(pure, nomem, nostack, preserves_flags));
    }
    crc
}

/// # Safety
/// 1. The CPU has SSE 4.2.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn of_half(mut crc: u32, half: u32) -> u32 {
    // SAFETY: (1) as above.
    unsafe {
        asm!("crc32 {:e}, {:e}", inout(reg) crc, in(reg) half,
            options(pure, nomem, nostack, preserves_flags));
    }
    crc
}

/// # Safety
/// 1. The CPU has SSE 4.2.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn of_byte(mut crc: u32, byte: u8) -> u32 {
    // SAFETY: (1) as above.
    unsafe {
        asm!("crc32 {:e}, {}", inout(reg) crc, in(reg_byte) byte,
            options(pure, nomem, nostack, preserves_flags));
    }
    crc
}

/// # Safety
/// 1. The CPU has `FEAT_CRC32`.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
unsafe fn of_word(mut crc: u64, word: u64) -> u64 {
    // SAFETY: (1) the CPU has the instruction, which works on registers alone and sets no flags.
    unsafe {
        asm!(".arch_extension crc", "crc32cx {0:w}, {0:w}, {1:x}", inout(reg) crc, in(reg) word,
            options(pure, nomem, nostack, preserves_flags));
    }
    crc
}

/// # Safety
/// 1. The CPU has `FEAT_CRC32`.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
unsafe fn of_half(mut crc: u32, half: u32) -> u32 {
    // SAFETY: (1) as above.
    unsafe {
        asm!(".arch_extension crc", "crc32cw {0:w}, {0:w}, {1:w}", inout(reg) crc, in(reg) half,
            options(pure, nomem, nostack, preserves_flags));
    }
    crc
}

/// # Safety
/// 1. The CPU has `FEAT_CRC32`.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
unsafe fn of_byte(mut crc: u32, byte: u8) -> u32 {
    // SAFETY: (1) as above.
    unsafe {
        asm!(".arch_extension crc", "crc32cb {0:w}, {0:w}, {1:w}", inout(reg) crc, in(reg) u32::from(byte),
            options(pure, nomem, nostack, preserves_flags));
    }
    crc
}
