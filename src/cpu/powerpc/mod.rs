//! PowerPC: the auxiliary vector has the block size and the version of the architecture.
//!
//! `AT_DCACHEBSIZE` is the unit of `dcbst` and `dcbf`; if it is 0, the line of `AT_L1D_CACHEGEOMETRY` is used, and with
//! `std` the smallest line of a data cache in sysfs (Linux `arch/powerpc/include/asm/elf.h`,
//! `arch/powerpc/include/uapi/asm/cputable.h`).
//!
//! `AT_HWCAP2` describes the mode that the CPU runs in. A POWER10 runs in POWER9 mode after a partition has moved to
//! it, and no source says that `dcbf` then reaches persistent storage. `AT_BASE_PLATFORM` names the CPU itself
//! (`include/uapi/linux/auxvec.h`: "string identifying real platform, may differ from `AT_PLATFORM`").

native_only! { powerpc {
    pub(super) mod host;
} }
#[cfg(all(feature = "std", any(test, target_os = "linux")))]
mod sysfs;

use super::reading::{line_size, shown};
use super::{Cpu, CpuIdentity, Erratum, Line, Text};
use crate::arch::powerpc::{ARCHITECTURE, DCBF, DCBF_PERSISTENT, DCBFPS, DCBST, DCBSTPS};
use crate::arch::{Missing, Point, Unsupported};

/// Linux `arch/powerpc/include/uapi/asm/cputable.h`, in `AT_HWCAP2`.
const FEATURE2_ARCH_2_07: usize = 0x8000_0000;
const FEATURE2_ARCH_3_1: usize = 0x0004_0000;

/// The reason why `dcbst` is not executed on CPUs with ISA 2.07 and 3.0.
const DCBST_LEAVES_DIRTY: Unsupported = Unsupported::new(
    Missing::Erratum,
    "on POWER9 dcbst does not mark a block clean (its user's manual, according to PMDK issue 4843)",
    "nothing to do: dcbf is used instead",
);

/// The words read on a PowerPC machine under Linux.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words {
    /// `AT_HWCAP2`.
    pub(crate) hwcap2: usize,
    /// `AT_DCACHEBSIZE`.
    pub(crate) block: usize,
    /// `AT_L1D_CACHEGEOMETRY`: the line in the low 16 bits, the associativity above.
    pub(crate) geometry: usize,
    /// The line of the data cache in sysfs, if it was read.
    pub(crate) sysfs: Option<usize>,
    /// `AT_PLATFORM`: `power10`.
    pub(crate) platform: Text<16>,
    /// `AT_BASE_PLATFORM`; empty under an emulator of programs.
    pub(crate) base_platform: Text<16>,
}

/// Returns the CPU that these words describe.
#[cfg_attr(
    not(any(target_os = "linux", test)),
    expect(dead_code, reason = "only Linux can be asked")
)]
pub(crate) fn read(words: Words) -> Cpu {
    let has_persistent_forms = words.hwcap2 & FEATURE2_ARCH_3_1 != 0;
    let is_power8_or_9 = words.hwcap2 & FEATURE2_ARCH_2_07 != 0 && !has_persistent_forms;
    let base = words.base_platform.as_str();
    let is_older_chip = base.is_empty() || base.starts_with("power8") || base.starts_with("power9");
    let (bytes, source) = match (words.block, words.geometry & 0xffff, words.sysfs) {
        (0, 0, Some(line)) => (line, "sysfs, coherency_line_size"),
        (0, line, _) => (line, "AT_L1D_CACHEGEOMETRY"),
        (block, ..) => (block, "AT_DCACHEBSIZE"),
    };
    Cpu {
        identity: CpuIdentity::Platform { name: words.platform },
        present: shown([
            (true, DCBST),
            (true, DCBF),
            (is_power8_or_9 && is_older_chip, DCBF_PERSISTENT),
            (has_persistent_forms, DCBSTPS),
            (has_persistent_forms, DCBFPS),
        ]),
        erratum: is_power8_or_9.then_some(Erratum { forbids: DCBST.code, why: DCBST_LEAVES_DIRTY }),
        line: line_size(bytes).map(|size| Line { size, granule: size, source }),
        ..Cpu::refused(ARCHITECTURE.unreachable[Point::Coherency as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::{Text, Words, read};
    use crate::arch::powerpc::{ARCHITECTURE, DCBF, DCBF_PERSISTENT, DCBST, DCBSTPS};
    use crate::arch::{Facts, Missing, Point};
    use crate::cache::{Builder, Cache};

    /// POWER10: ISA 2.07, 3.0 and 3.1 (Linux `cputable.h`), blocks of 128 bytes (its user's manual).
    const POWER10: Words = Words {
        hwcap2: 0x8000_0000 | 0x0080_0000 | 0x0004_0000,
        block: 128,
        geometry: 8 << 16 | 128,
        sysfs: None,
        platform: Text::EMPTY,
        base_platform: Text::EMPTY,
    };
    const POWER9: Words = Words { hwcap2: 0x8000_0000 | 0x0080_0000, ..POWER10 };
    const POWER7: Words = Words { hwcap2: 0, ..POWER10 };

    fn writeback(facts: Facts, point: Point) -> Option<u8> {
        Cache::choose(&ARCHITECTURE, facts, Builder::new().point(point))
            .ok()
            .map(Cache::writeback_code)
    }

    #[test]
    fn each_version_of_the_architecture_has_its_instruction_for_each_point() {
        let rows = [
            (POWER10, Some(DCBST.code), Some(DCBSTPS.code)),
            // dcbst does not mark a block clean there: libpmem uses dcbf.
            (POWER9, Some(DCBF.code), Some(DCBF_PERSISTENT.code)),
            (POWER7, Some(DCBST.code), None),
        ];
        for (words, coherency, persistence) in rows {
            let facts = read(words).facts().unwrap();
            assert_eq!(writeback(facts, Point::Coherency), coherency, "{words:?}");
            assert_eq!(writeback(facts, Point::Persistence), persistence, "{words:?}");
            assert_eq!(writeback(facts, Point::DeepPersistence), None, "{words:?}");
        }
    }

    /// The kernel's series that began to use `dcbstps` calls `dcbf` and `sync` adequate "in P8 and P9". The names are those
    /// of Linux `arch/powerpc/kernel/cpu_specs_book3s_64.h`.
    #[test]
    fn a_newer_cpu_in_an_older_mode_reaches_no_point_of_persistence() {
        for (base, persistence) in [
            ("power8", Some(DCBF_PERSISTENT.code)),
            ("power9", Some(DCBF_PERSISTENT.code)),
            ("power10", None),
            ("power11", None),
        ] {
            let words = Words { base_platform: Text::new(base.as_bytes()), ..POWER9 };
            let facts = read(words).facts().unwrap();
            assert_eq!(writeback(facts, Point::Persistence), persistence, "{base}");
            assert_eq!(writeback(facts, Point::Coherency), Some(DCBF.code), "{base}");
        }
        let native = Words { base_platform: Text::new(b"power10"), ..POWER10 };
        let facts = read(native).facts().unwrap();
        assert_eq!(writeback(facts, Point::Persistence), Some(DCBSTPS.code));
    }

    #[test]
    fn the_block_is_what_the_machine_says_and_never_a_guess() {
        let line = |words| read(words).line.map(|line| (line.size, line.source));
        assert_eq!(line(Words { block: 32, ..POWER10 }), Ok((32, "AT_DCACHEBSIZE")));
        assert_eq!(line(Words { block: 0, ..POWER10 }), Ok((128, "AT_L1D_CACHEGEOMETRY")));
        let silent = Words { block: 0, geometry: 0, ..POWER10 };
        let in_sysfs = Words { sysfs: Some(64), ..silent };
        assert_eq!(line(in_sysfs), Ok((64, "sysfs, coherency_line_size")));
        for (words, found) in [(silent, 0), (Words { block: 100, ..POWER10 }, 100)] {
            assert_eq!(line(words).unwrap_err().missing, Missing::LineSize(found));
        }
    }
}
