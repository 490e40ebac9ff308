//! Reads the CPU that this program runs on.

#[cfg(feature = "privileged")]
use crate::arch::{Missing, Unsupported};
use crate::cpu::Cpu;

/// Returns the CPU that this program runs on.
#[cfg(target_os = "linux")]
pub(crate) fn here() -> Cpu {
    super::read(linux::words())
}

/// Returns the CPU that this program runs on.
#[cfg(not(target_os = "linux"))]
pub(crate) fn here() -> Cpu {
    use crate::arch::{Point, powerpc::ARCHITECTURE};
    Cpu::refused(ARCHITECTURE.unreachable[Point::Coherency as usize])
}

/// Returns a refusal, since no register holds the size of a block.
#[cfg(feature = "privileged")]
#[expect(unsafe_code, reason = "the signature is that of arm64, where it must be at EL1")]
pub(crate) unsafe fn here_privileged() -> Cpu {
    let no_register = Unsupported::new(
        Missing::Permission,
        "on PowerPC no register holds the size of a cache block",
        "use Cache::from_facts with the device tree's d-cache-block-size",
    );
    Cpu { privileged: true, ..Cpu::refused(no_register) }
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "the auxiliary vector is read through libc")]
mod linux {
    use super::super::Words;
    use crate::cpu::Text;
    use core::ffi::{CStr, c_char};

    /// `include/uapi/linux/auxvec.h`, `arch/powerpc/include/uapi/asm/auxvec.h`.
    const AT_PLATFORM: libc::c_ulong = 15;
    const AT_DCACHEBSIZE: libc::c_ulong = 19;
    const AT_BASE_PLATFORM: libc::c_ulong = 24;
    const AT_HWCAP2: libc::c_ulong = 26;
    const AT_L1D_CACHEGEOMETRY: libc::c_ulong = 43;

    pub(super) fn words() -> Words {
        let (block, geometry) = (auxv(AT_DCACHEBSIZE), auxv(AT_L1D_CACHEGEOMETRY));
        Words {
            hwcap2: word(auxv(AT_HWCAP2)),
            block: word(block),
            geometry: word(geometry),
            sysfs: if block == 0 && geometry == 0 { line_in_sysfs() } else { None },
            platform: text(AT_PLATFORM),
            base_platform: text(AT_BASE_PLATFORM),
        }
    }

    fn word(word: libc::c_ulong) -> usize {
        usize::try_from(word).unwrap_or(usize::MAX)
    }

    fn line_in_sysfs() -> Option<usize> {
        cfg_if::cfg_if! {
            if #[cfg(feature = "std")] {
                super::super::sysfs::smallest_data_line(std::path::Path::new("/"))
            } else {
                None
            }
        }
    }

    fn auxv(kind: libc::c_ulong) -> libc::c_ulong {
        // SAFETY: getauxval has no precondition; it gives 0 for a word that the kernel did not pass.
        unsafe { libc::getauxval(kind) }
    }

    fn text(kind: libc::c_ulong) -> Text<16> {
        let name = core::ptr::with_exposed_provenance::<c_char>(word(auxv(kind)));
        if name.is_null() {
            return Text::EMPTY;
        }
        // SAFETY: the kernel put a text that ends with NUL on this process's stack, which stays.
        Text::new(unsafe { CStr::from_ptr(name) }.to_bytes())
    }
}
