//! `x86_64`: the CPU reports its instructions (CPUID), and the operating system the registers that it saves for a
//! program (XCR0).

use super::BlockStores;
use crate::arch::x86::blocks::{MOV, MOVNTI, VMOVDQA, VMOVDQA64, VMOVNTDQ_256, VMOVNTDQ_512};
use crate::cpu::x86::{is_documented, is_intel, leaf};
use raw_cpuid::CpuIdReader;

/// XCR0: the halves of the 16 registers of SSE and AVX (Intel SDM vol. 1, 13.1).
const AVX_STATE: u64 = 0b110;
/// XCR0: these, the mask registers, the upper halves of the first 16 registers, and the other 16.
const AVX512_STATE: u64 = AVX_STATE | 0b1110_0000;

/// Reads the CPU that this program runs on.
#[cfg(all(target_arch = "x86_64", not(any(cachemaint_loom, miri))))]
#[expect(unsafe_code, reason = "a register is read")]
pub(crate) fn here() -> BlockStores {
    use crate::arch::x86::registers::xcr0;
    use crate::cpu::x86::host;

    if host::IS_ENCLAVE {
        return BlockStores { present: MOV.code, evicts: false };
    }
    let registers = permitted(host::in_ring_0(), cfg!(target_feature = "sse2"));
    // SAFETY: it is asked only where CPUID says that it can be.
    read(&host::cpuid, registers, || unsafe { xcr0() })
}

/// The registers that may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Registers {
    Integer,
    Vector,
}

/// Returns the registers that may be used. Kernels must leave the vector registers to programs. A target without SSE2,
/// such as `x86_64-unknown-none`, reserves them, and nothing there may save them.
const fn permitted(in_ring_0: bool, has_sse2: bool) -> Registers {
    if in_ring_0 || !has_sse2 { Registers::Integer } else { Registers::Vector }
}

/// Reads the stores from `reader`'s CPUID; `xcr0` is called only if CPUID permits it.
pub(crate) fn read<R: CpuIdReader>(
    reader: &R,
    registers: Registers,
    xcr0: impl FnOnce() -> u64,
) -> BlockStores {
    let extended = leaf(reader, 0, 7);
    let ecx_of_1 = leaf(reader, 0, 1).map_or(0, |leaf| leaf.ecx);
    let has_avx = ecx_of_1 & 1 << 28 != 0;
    let has_avx512 = extended.is_some_and(|leaf| leaf.ebx & 1 << 16 != 0);
    let asks_xcr0 = registers == Registers::Vector && ecx_of_1 & 1 << 27 != 0;
    let kept = if asks_xcr0 { xcr0() } else { 0 };
    let avx = has_avx && kept & AVX_STATE == AVX_STATE;
    let avx512 = has_avx512 && kept & AVX512_STATE == AVX512_STATE;
    let present = [
        (true, MOV),
        (true, MOVNTI),
        (avx, VMOVDQA),
        (avx, VMOVNTDQ_256),
        (avx512, VMOVDQA64),
        (avx512, VMOVNTDQ_512),
    ];
    let codes = present.iter().filter(|(present, _)| *present);
    BlockStores {
        present: codes.fold(0, |codes, (_, store)| codes | store.code),
        evicts: is_intel(reader) && is_documented(reader),
    }
}

#[cfg(test)]
mod tests {
    use super::{Registers, permitted};

    /// Even in ring 3: a kernel for targets without SSE2 need not save vector registers when it switches tasks.
    #[test]
    fn vectors_need_a_user_program_compiled_for_a_target_with_sse2() {
        assert_eq!(permitted(false, true), Registers::Vector);
        assert_eq!(permitted(false, false), Registers::Integer);
        assert_eq!(permitted(true, true), Registers::Integer);
        assert_eq!(permitted(true, false), Registers::Integer);
    }
}
