//! The CPU at EL1, from ID registers.

use super::words::{clean_erratum, line};
use super::{DC_CIVAC, DC_CVAC, DC_CVADP, DC_CVAP};
use crate::arch::Point;
use crate::arch::aarch64::ARCHITECTURE;
use crate::cpu::reading::shown;
use crate::cpu::{Cpu, CpuIdentity, Midr};

/// The ID registers, read at EL1 without an operating system.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IdRegisters {
    pub(crate) ctr_el0: u64,
    pub(crate) id_aa64isar1_el1: u64,
    pub(crate) midr_el1: u64,
}

/// Returns the CPU at EL1. Linux would trap a clean that an erratum forbids; here another instruction is chosen
/// instead.
pub(crate) fn read(registers: IdRegisters) -> Cpu {
    let dpb = registers.id_aa64isar1_el1 & 0xf;
    let midr = Midr(registers.midr_el1);
    Cpu {
        identity: CpuIdentity::Aarch64 { midr: Some(registers.midr_el1) },
        present: shown([
            (true, DC_CVAC),
            (true, DC_CIVAC),
            (dpb >= 1, DC_CVAP),
            (dpb >= 2, DC_CVADP),
        ]),
        erratum: clean_erratum(midr),
        line: line(registers.ctr_el0),
        privileged: true,
        ..Cpu::refused(ARCHITECTURE.unreachable[Point::Coherency as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::{DC_CIVAC, DC_CVAC, DC_CVADP, DC_CVAP, IdRegisters, read};

    /// At EL1 no kernel traps and replaces an instruction that an erratum forbids.
    #[test]
    fn a_cortex_a53_cleans_by_clean_and_invalidate_at_el1() {
        for (midr_el1, cleans) in [
            (0x410f_d030, false),
            (0x410f_d034, false),
            (0x410f_d040, false),
            (0x410f_d042, true),
            (0x410f_d070, false),
            (0x411f_d070, true),
            (0x411f_d402, true),
        ] {
            let registers = IdRegisters { ctr_el0: 0x8444_8004, id_aa64isar1_el1: 0, midr_el1 };
            let facts = read(registers).facts().unwrap();
            assert_eq!(facts.has(DC_CVAC), cleans, "{midr_el1:#x}");
            assert!(facts.has(DC_CIVAC));
            assert_eq!(facts.line_size(), 64);
        }
    }

    /// CWG, bits 27:24 of `CTR_EL0`: 4 << CWG bytes; 0 means not stated and values above 9 are reserved, so that the
    /// architecture's maximum is used; a value below the line size means the line size (`DminLine` 4: 64 bytes).
    #[test]
    fn the_granule_is_that_of_the_register_or_the_largest() {
        for (cwg, bytes) in [(0, 2048), (3, 64), (4, 64), (5, 128), (9, 2048), (10, 2048)] {
            let ctr_el0 = 0x8044_8004 | cwg << 24;
            let registers = IdRegisters { ctr_el0, id_aa64isar1_el1: 0, midr_el1: 0x411f_d402 };
            assert_eq!(read(registers).facts().unwrap().granule(), bytes, "CWG {cwg}");
        }
    }

    /// `ID_AA64ISAR1_EL1.DPB`, bits 3:0: 0 neither, 1 DC CVAP, 2 DC CVADP too.
    #[test]
    fn the_dpb_field_says_which_points_are_reached_at_el1() {
        for (dpb, cvap, cvadp) in [(0, false, false), (1, true, false), (2, true, true)] {
            let registers = IdRegisters {
                ctr_el0: 0x8444_c004,
                id_aa64isar1_el1: 0x0011_0000_0121_1030 | dpb,
                midr_el1: 0x411f_d402,
            };
            let facts = read(registers).facts().unwrap();
            assert_eq!((facts.has(DC_CVAP), facts.has(DC_CVADP)), (cvap, cvadp), "DPB {dpb}");
        }
    }
}
