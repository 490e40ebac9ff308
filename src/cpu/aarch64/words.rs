//! The words that an operating system lets EL0 read, and the CPU that follows from them.

use super::{DC_CIVAC, DC_CVAC, DC_CVADP, DC_CVAP, granule, size_field};
use crate::arch::aarch64::ARCHITECTURE;
use crate::arch::advice::persist_files;
use crate::arch::{Missing, Point, Unsupported};
use crate::cpu::reading::{line_size, shown};
use crate::cpu::{Cpu, CpuIdentity, Erratum, Line, Midr};

/// Linux `arch/arm64/include/uapi/asm/hwcap.h`: DC CVAP.
const HWCAP_DCPOP: u64 = 1 << 16;
/// Linux `arch/arm64/include/uapi/asm/hwcap.h`, second word: DC CVADP.
const HWCAP2_DCPODP: u64 = 1;

/// The words read on an arm64 machine.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Words {
    pub(crate) ctr_el0: u64,
    /// The hardware capabilities of the auxiliary vector.
    pub(crate) hwcap: u64,
    pub(crate) hwcap2: u64,
    /// `MIDR_EL1`, if the kernel reports that it can be read.
    pub(crate) midr_el1: Option<u64>,
    /// True if a vDSO is passed, as by every Linux (its `arch/arm64/kernel/vdso.c`). QEMU's user mode before 8.2 passes
    /// none; up to 7.2 it reports DC CVAP and DC CVADP but executes neither (QEMU `linux-user/elfload.c`,
    /// `get_elf_hwcap`; `target/arm/helper.c`, `dcpop_reg` is for whole machines).
    pub(crate) has_vdso: bool,
    /// True if another CPU of the machine must not clean, such as a Cortex-A53, or is unknown.
    pub(crate) may_break_cleans: bool,
    /// The reason why EL0 cannot maintain caches, or is not known to; then nothing else was read.
    pub(crate) refusal: Option<Unsupported>,
}

/// Returns the CPU that these words describe. No register at EL0 reveals a hypervisor.
pub(crate) fn read(words: Words) -> Cpu {
    let midr = words.midr_el1.map(Midr);
    let (present, line) = match words.refusal.or(midr.and_then(does_nothing)) {
        None => (permitted(words), line(words.ctr_el0)),
        // Every instruction may be there, but the operating system forbids them.
        Some(why) => (shown([DC_CVAC, DC_CVAP, DC_CVADP, DC_CIVAC].map(|it| (true, it))), Err(why)),
    };
    let erratum = match midr {
        Some(midr) => clean_erratum(midr).or(words.may_break_cleans.then_some(CLEAN_IN_DOUBT)),
        None if line.is_ok() => Some(CLEAN_IN_DOUBT),
        None => None,
    };
    Cpu {
        identity: CpuIdentity::Aarch64 { midr: words.midr_el1 },
        present,
        erratum,
        line,
        ..Cpu::refused(ARCHITECTURE.unreachable[Point::Coherency as usize])
    }
}

/// Linux `arch/arm64/include/asm/cputype.h`.
const APPLE: u8 = 0x61;

/// Returns the reason why the instructions do nothing on this CPU, or may do nothing.
fn does_nothing(midr: Midr) -> Option<Unsupported> {
    match midr.implementer() {
        APPLE => Some(MAINTENANCE_IS_DISABLED),
        _ if is_hidden(midr) => Some(CPU_IS_HIDDEN),
        _ => None,
    }
}

/// Returns true if the hypervisor hides the CPU. QEMU's model `max` has implementer 0 too, and part 51H.
const fn is_hidden(midr: Midr) -> bool {
    midr.implementer() == 0 && midr.part() == 0
}

const BROKEN_CLEAN: Erratum = Erratum { forbids: DC_CVAC.code, why: CLEAN_IS_BROKEN };
const CLEAN_IN_DOUBT: Erratum = Erratum { forbids: DC_CVAC.code, why: CLEAN_IS_IN_DOUBT };

/// The reason why user mode cannot maintain caches on Apple's cores. xnu lets EL0 execute the instructions
/// (`osfmk/arm64/proc_reg.h`, `SCTLR_EL1_DEFAULT` has UCI). It keeps maintenance by address disabled, except for its
/// own short periods (`osfmk/arm64/caches_asm.s`, `DISABLE_DC_MVA_OPS`; it also calls the machine fully coherent).
/// m1n1, which starts Linux there, disables it too (`src/chickens.c`, `HID4_DISABLE_DC_MVA`). Whether macOS enables it
/// for its guests is unknown.
pub(super) const MAINTENANCE_IS_DISABLED: Unsupported = Unsupported::new(
    Missing::Permission,
    "macOS, and m1n1 before it starts Linux, disable cache maintenance by address on Apple's CPUs: DC CVAC and DC CIVAC \
     execute and do nothing",
    concat!(persist_files!(), "; devices are coherent there"),
);

/// The reason why user mode cannot maintain caches on an unidentified CPU. It can be one of Apple's: on M1 and M2 the
/// Virtualization framework of macOS shows zeros to a guest (docker/for-mac issue 6512).
const CPU_IS_HIDDEN: Unsupported = Unsupported::new(
    Missing::Permission,
    "the hypervisor hides the CPU (MIDR_EL1 has implementer 0 and part 0), as macOS does on M1 and M2, where DC CVAC \
     and DC CIVAC execute and do nothing",
    concat!(persist_files!(), "; use Cache::from_facts only if the host's CPU is not Apple's"),
);

/// The reason why no instruction that only cleans is executed on Apple's cores.
const CLEAN_DOES_NOTHING: Unsupported = Unsupported::new(
    Missing::Erratum,
    "on Apple's cores DC CVAC does nothing according to Apple's kernel (xnu osfmk/arm64/caches_asm.s), \
     which cleans by clean-and-invalidate; no source says that DC CVAP and DC CVADP do more",
    "nothing to do to reach coherency: dc civac is used instead",
);

/// The reason why `dc cvac` is not executed on these cores. Linux replaces the cleans of Cortex-A53 r0p0 to r0p2. On
/// the others firmware can avoid the erratum with a bit that user mode cannot read, but TF-A does so only for platforms
/// that enable it (its `docs/design/cpu-specific-build-macros.rst`: `ERRATA_A53_855873`, `ERRATA_A35_855472`,
/// `ERRATA_A57_813420`).
const CLEAN_IS_BROKEN: Unsupported = Unsupported::new(
    Missing::Erratum,
    "errata of this core require clean-and-invalidate in place of a clean (Cortex-A53: 855873, before r0p3 also \
     826319, 827319 and 824069, before r0p2 also 819472; Cortex-A35 r0p0: 855472; Cortex-A57 r0p0: 813420)",
    "nothing to do: dc civac is used instead",
);

/// The reason why `dc cvac` is not executed on an unknown CPU, or if another CPU may have such an erratum.
const CLEAN_IS_IN_DOUBT: Unsupported = Unsupported::new(
    Missing::Erratum,
    "a CPU of this machine is not identified, or must not clean a line without invalidating it, like a Cortex-A53, a \
     Cortex-A35 r0p0 or a Cortex-A57 r0p0",
    "nothing to do: dc civac is used instead",
);

/// Returns the erratum that forbids a clean on this core: [`CLEAN_IS_BROKEN`]; xnu `osfmk/arm64/caches_asm.s`,
/// `CLEANPOC_DCACHEREGION`.
pub(super) fn clean_erratum(midr: Midr) -> Option<Erratum> {
    let every_clean = DC_CVAC.code | DC_CVAP.code | DC_CVADP.code;
    match midr.implementer() {
        _ if breaks_cleans(midr) => Some(BROKEN_CLEAN),
        APPLE => Some(Erratum { forbids: every_clean, why: CLEAN_DOES_NOTHING }),
        _ if is_hidden(midr) => Some(Erratum { forbids: every_clean, why: CLEAN_IS_IN_DOUBT }),
        _ => None,
    }
}

/// Returns true if errata forbid cleans: on a Cortex-A53, on cores that Linux lists with its errata (Brahma-B53 of Broadcom,
/// Kryo 2xx Silver of Qualcomm: `arch/arm64/kernel/cpu_errata.c`), on Cortex-A35 r0p0 and Cortex-A57 r0p0 (TF-A
/// `lib/cpus/aarch64/cortex_a35.S`, `cortex_a57.S`).
pub(super) const fn breaks_cleans(midr: Midr) -> bool {
    let is_r0p0 = midr.variant() == 0 && midr.revision() == 0;
    match (midr.implementer(), midr.part()) {
        (0x41, 0xd03) | (0x42, 0x100) | (0x51, 0x801) => true,
        (0x41, 0xd04 | 0xd07) => is_r0p0,
        _ => false,
    }
}

/// Returns the instructions that EL0 may execute.
fn permitted(words: Words) -> u8 {
    shown([
        (true, DC_CVAC),
        (true, DC_CIVAC),
        (words.has_vdso && words.hwcap & HWCAP_DCPOP != 0, DC_CVAP),
        (words.has_vdso && words.hwcap2 & HWCAP2_DCPODP != 0, DC_CVADP),
    ])
}

pub(super) fn line(ctr_el0: u64) -> Result<Line, Unsupported> {
    line_size(size_field(ctr_el0, 16)).map(|size| Line {
        size,
        granule: granule(ctr_el0).max(size),
        source: "CTR_EL0.DminLine",
    })
}

#[cfg(test)]
mod tests {
    use super::{Words, read};
    use crate::arch::aarch64::{DC_CIVAC, DC_CVAC, DC_CVADP, DC_CVAP};
    use crate::arch::{Missing, Unsupported};

    const NEOVERSE_V1: u64 = 0x411f_d401;
    const CORTEX_A53: u64 = 0x410f_d034;
    const CORTEX_A35_R0P0: u64 = 0x410f_d040;
    const CORTEX_A57_R0P0: u64 = 0x410f_d070;
    const CORTEX_A72: u64 = 0x410f_d082;
    const APPLE_M1: u64 = 0x611f_0231;

    /// `HWCAP_DCPOP` is bit 16 and `HWCAP2_DCPODP` bit 0 (Linux `arch/arm64/include/uapi/asm/hwcap.h`).
    #[test]
    fn the_kernel_reports_the_points_of_persistence_and_an_emulator_is_not_believed() {
        let words = Words {
            ctr_el0: 0x8444_c004,
            hwcap: 1 << 16,
            hwcap2: 1,
            has_vdso: true,
            midr_el1: Some(NEOVERSE_V1),
            ..Words::default()
        };
        let facts = read(words).facts().unwrap();
        for instruction in [DC_CVAC, DC_CVAP, DC_CVADP, DC_CIVAC] {
            assert!(facts.has(instruction), "{}", instruction.name);
        }
        for words in [Words { hwcap: 0, hwcap2: 0, ..words }, Words { has_vdso: false, ..words }] {
            let facts = read(words).facts().unwrap();
            assert!(facts.has(DC_CVAC) && !facts.has(DC_CVAP) && !facts.has(DC_CVADP));
        }
    }

    /// Erratum 855873 "is present in every revision" of the Cortex-A53 (TF-A `docs/design/cpu-specific-build-macros.rst`).
    /// Errata 855472 and 813420 are in r0p0 alone (same page). Linux before 4.11 does not report the CPU's identity.
    #[test]
    fn a_clean_needs_cpus_that_are_known_not_to_be_a_cortex_a53() {
        let unknown = Words { ctr_el0: 0x8444_8004, ..Words::default() };
        let big = Words { midr_el1: Some(CORTEX_A72), ..unknown };
        for (words, cleans) in [
            (unknown, false),
            (Words { midr_el1: Some(NEOVERSE_V1), ..unknown }, true),
            (Words { midr_el1: Some(CORTEX_A53), ..unknown }, false),
            (Words { midr_el1: Some(CORTEX_A35_R0P0), ..unknown }, false),
            (Words { midr_el1: Some(CORTEX_A35_R0P0 | 2), ..unknown }, true),
            (Words { midr_el1: Some(CORTEX_A57_R0P0), ..unknown }, false),
            (Words { midr_el1: Some(CORTEX_A57_R0P0 | 1 << 20), ..unknown }, true),
            (big, true),
            // The RK3399: the program can be moved to a small core.
            (Words { may_break_cleans: true, ..big }, false),
        ] {
            let facts = read(words).facts().unwrap();
            assert_eq!(facts.has(DC_CVAC), cleans, "{words:x?}");
            assert!(facts.has(DC_CIVAC), "{words:x?}");
            assert_eq!(facts.line_size(), 64);
        }
    }

    /// An instruction that may do nothing must not pass for a write-back.
    #[test]
    fn user_mode_is_refused_on_apples_cores() {
        let words = Words { ctr_el0: 0x8444_8004, midr_el1: Some(APPLE_M1), ..Words::default() };
        assert_eq!(read(words).facts().unwrap_err(), super::MAINTENANCE_IS_DISABLED);
    }

    #[test]
    fn a_refusal_is_passed_on() {
        let why = Unsupported::new(Missing::Permission, "not here", "go elsewhere");
        let cpu = read(Words { refusal: Some(why), ..Words::default() });
        assert_eq!(cpu.facts().unwrap_err(), why);
    }
}
