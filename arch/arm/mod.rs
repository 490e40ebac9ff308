//! 32-bit Arm: user mode has no operation that reaches memory.
//!
//! | operation | who may | how far |
//! |---|---|---|
//! | DCCMVAC, DCCIMVAC, DCIMVAC (CP15 c7) | PL1 | coherency; outer caches (PL310) need their own controller besides |
//! | `__ARM_NR_cacheflush` | user mode, through Linux | unification: instructions are fetched as they were stored |
//!
//! The system call cleans to the point of unification, for code that was just written. Devices and persistent memory
//! are beyond that point, so the call is not a write-back in the sense of this crate: using it would report a false
//! success.
//!
//! Two addresses of one page agree in the data cache if they differ by a multiple of 4 pages. Armv6 lets address bits
//! 13 and 12 index the cache, Armv7 does not (Arm ARM, DDI 0406, B3.4). Caches before v6 are also virtually tagged, so
//! only a kernel can make two addresses agree. Linux does so within one process by not caching the pages
//! (`arch/arm/mm/fault-armv.c`).
//!
//! Sources: Arm ARM, Armv7-A (DDI 0406), B4.2.1; Linux `arch/arm/kernel/traps.c` (`arm_syscall`,
//! `do_cache_op`), `arch/arm/mm/cache-v7.S`, `arch/arm/include/asm/cachetype.h`.

use super::data_cache::{Cpuinfo, Distance, Evidence, Occurs};
use super::{Architecture, DataCache, Missing, Sigbus, Unsupported, advice, refused};

/// The architecture as data.
pub const ARCHITECTURE: Architecture = Architecture {
    sigbus: Sigbus::Handled,
    ..refused::architecture(
        "arm",
        Unsupported::new(
            Missing::Operation,
            "32-bit arm has no cache maintenance to the point of coherency in user mode (CP15 is for PL1, \
         and the kernel's cacheflush stops at the point of unification)",
            advice::LEAVE_IT_TO_THE_SYSTEM,
        ),
        Unsupported::new(
            Missing::Operation,
            "on 32-bit arm only set/way operations could do it, but they are privileged and do not reach other CPUs",
            "maintain ranges instead",
        ),
        DataCache {
            occurs: Occurs::ByGeometry(
                "the version of the architecture: data caches of v7 and v8 behave as physically indexed, those \
             of v6 alias if CTR bit 23 is set, those before are virtually tagged",
            ),
            evidence: Evidence::Cpuinfo(aliases),
            distance: Distance::Pages(4),
            source: "Linux arch/arm/include/asm/{cachetype,shmparam}.h; Arm ARM (DDI 0406), B3.4",
        },
    )
};

/// Returns true if the data cache aliases, from the version in brackets after a CPU's name: `v7l`, with `l` or `b` for
/// the byte order (Linux `arch/arm/kernel/setup.c`, `c_show`; `elf_name` in `arch/arm/mm/proc-*.S`). For v6 the answer
/// depends on a register that user mode cannot read.
///
/// `CPU architecture: 7` proves nothing: the kernel also prints it for an Arm1176 (v6), since its memory model register
/// has the value of v7. A 64-bit kernel always prints 8, and prints the name only for programs with the personality of
/// a 32-bit machine (`arch/arm64/kernel/cpuinfo.c`).
fn aliases(cpuinfo: Cpuinfo<'_>, _page: u64) -> Option<bool> {
    let of_platform = |name: &str| {
        let (_, platform) = name.strip_suffix(')')?.rsplit_once('(')?;
        match platform.strip_suffix(['l', 'b'])? {
            "v7" | "v7m" | "v8" => Some(false),
            "v4" | "v5" | "v5t" => Some(true),
            _ => None,
        }
    };
    let of_a_64_bit_kernel = || {
        let version = cpuinfo.value("CPU architecture")?;
        (version == "8").then_some(false)
    };
    cpuinfo.value("model name").and_then(of_platform).or_else(of_a_64_bit_kernel)
}

#[cfg(test)]
mod tests {
    use super::{Cpuinfo, aliases};

    fn aliases_by(cpuinfo: &str) -> Option<bool> {
        aliases(Cpuinfo(cpuinfo), 4096)
    }

    /// Lines as the kernel's format string prints them.
    #[test]
    fn the_version_of_the_architecture_decides() {
        let of = |name: &str| aliases_by(&std::format!("processor\t: 0\nmodel name\t: {name}\n"));
        assert_eq!(of("ARMv7 Processor rev 1 (v7l)"), Some(false));
        assert_eq!(of("ARMv7 Processor rev 1 (v7b)"), Some(false));
        assert_eq!(of("ARMv8 Processor rev 3 (v8l)"), Some(false));
        assert_eq!(of("ARM926EJ-S rev 5 (v5l)"), Some(true));
        assert_eq!(of("XScale-IXP42x Family rev 2 (v5tl)"), Some(true));
        assert_eq!(of("ARM920T rev 0 (v4l)"), Some(true));
        assert_eq!(of("ARMv6-compatible processor rev 7 (v6l)"), None);
        assert_eq!(of("AMD EPYC 7763 64-Core Processor"), None, "an emulator's host");
        assert_eq!(of("(v)"), None);
    }

    /// The first Raspberry Pi: an Arm1176, which is v6 but reported as architecture 7.
    #[test]
    fn architecture_7_does_not_prove_v7() {
        let pi = "model name\t: ARMv6-compatible processor rev 7 (v6l)\nCPU architecture: 7\n";
        assert_eq!(aliases_by(pi), None);
        assert_eq!(aliases_by("CPU architecture: 7\n"), None);
        assert_eq!(aliases_by("CPU architecture: 8\n"), Some(false));
    }
}
