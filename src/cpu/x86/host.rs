//! Reads the CPU that this program runs on.

use super::{privilege_level, read, read_for_choice};
use crate::arch::x86::registers;
use crate::arch::{Missing, Unsupported};
use crate::cpu::Cpu;
use raw_cpuid::CpuIdResult;

/// Reads CPUID. raw-cpuid has no reader for 32-bit targets without SSE, such as kernels.
pub(in crate::cpu) fn cpuid(leaf: u32, subleaf: u32) -> CpuIdResult {
    let words = registers::cpuid(leaf, subleaf);
    CpuIdResult { eax: words.eax, ebx: words.ebx, ecx: words.ecx, edx: words.edx }
}

/// An enclave cannot execute CPUID (Intel SDM vol. 3D, "Illegal Instructions").
pub(in crate::cpu) const IS_ENCLAVE: bool = cfg!(target_env = "sgx");

const IN_ENCLAVE: Unsupported = Unsupported::new(
    Missing::Permission,
    "an SGX enclave cannot execute CPUID, so the instructions of the CPU are unknown",
    "maintain caches outside of the enclave, or describe the CPU with Cache::from_facts",
);

/// Returns the CPU that this program runs on.
pub(crate) fn here() -> Cpu {
    if IS_ENCLAVE {
        return Cpu::refused(IN_ENCLAVE);
    }
    read(&cpuid, in_ring_0())
}

/// Returns true in kernel code.
pub(in crate::cpu) fn in_ring_0() -> bool {
    privilege_level(registers::code_segment()) == 0
}

/// Returns the part of the CPU that a choice needs.
pub(crate) fn here_for_choice() -> Cpu {
    if IS_ENCLAVE {
        return Cpu::refused(IN_ENCLAVE);
    }
    read_for_choice(&cpuid, in_ring_0())
}

/// Reads CPUID, which is the same in ring 0, and CS, which shows ring 0.
#[cfg(feature = "privileged")]
#[expect(unsafe_code, reason = "the signature is that of arm64, where it must be at EL1")]
pub(crate) unsafe fn here_privileged() -> Cpu {
    here()
}

/// Returns true if the CPU reports a guest. Reads nothing else.
#[cfg(all(feature = "dax", target_os = "linux"))]
pub(crate) fn is_guest() -> bool {
    super::is_guest(&cpuid)
}

#[cfg(all(test, not(miri)))]
mod tests {
    /// Tests are user programs.
    #[test]
    fn this_program_finds_out_that_it_is_in_user_mode() {
        assert!(!super::here().privileged);
    }
}
