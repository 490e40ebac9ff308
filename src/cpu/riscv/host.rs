//! Reads the CPU that this program runs on.

#[cfg(any(feature = "privileged", not(target_os = "linux")))]
use crate::arch::{Missing, Unsupported};
use crate::cpu::Cpu;

/// Returns the CPU that this program runs on.
#[cfg(target_os = "linux")]
pub(crate) fn here() -> Cpu {
    super::read(hwprobe())
}

/// Returns the CPU that this program runs on.
#[cfg(not(target_os = "linux"))]
pub(crate) fn here() -> Cpu {
    Cpu::refused(Unsupported::new(
        Missing::Permission,
        "on RISC-V no register reveals Zicbom, and this crate can ask only Linux",
        "use Cache::from_facts with the device tree's riscv,cbom-block-size where the instructions \
         are enabled (envcfg.CBCFE)",
    ))
}

/// Returns a refusal, since no register of S-mode or M-mode reveals Zicbom or its block size.
#[cfg(feature = "privileged")]
#[expect(unsafe_code, reason = "the signature is that of arm64, where it must be at EL1")]
pub(crate) unsafe fn here_privileged() -> Cpu {
    let no_register = Unsupported::new(
        Missing::Permission,
        "on RISC-V no register reveals Zicbom or its block size",
        "use Cache::from_facts with the device tree's riscv,cbom-block-size",
    );
    Cpu { privileged: true, ..Cpu::refused(no_register) }
}

/// Asks the kernel; `None` if it does not know the call.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "no library has this system call")]
fn hwprobe() -> Option<super::Answers> {
    use super::KEYS;

    /// `struct riscv_hwprobe`.
    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Pair {
        key: i64,
        value: u64,
    }
    /// The first number of the architecture's own calls, 244, plus 14 (`arch/riscv/include/uapi/asm/unistd.h`).
    const RISCV_HWPROBE: libc::c_long = 258;

    let mut pairs = KEYS.map(|key| Pair { key, value: 0 });
    // SAFETY: the kernel writes the pairs that are passed with their number, and nothing else; no set
    // of CPUs and no flag is passed.
    let result = unsafe {
        libc::syscall(RISCV_HWPROBE, pairs.as_mut_ptr(), pairs.len(), 0_usize, 0_usize, 0_usize)
    };
    (result == 0).then(|| pairs.map(|pair| (pair.key >= 0).then_some(pair.value)))
}
