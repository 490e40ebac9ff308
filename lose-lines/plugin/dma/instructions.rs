//! The instructions of arm64 that matter for DMA, beside loads and stores.

use super::model::Maintenance;
use crate::aarch64;
use crate::decode::{Action, Address};

/// The effect of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Maintains one line.
    Line(Maintenance, Address),
    /// Maintains by set and way.
    All(Maintenance),
    /// Completes maintenance for all observers: DSB SY.
    Fence,
    /// Zeroes a block.
    Zero(Address),
    /// Changes or invalidates translations.
    Translation,
    /// Stores in a way that the emulator does not show: SVE.
    Streaming,
}

const CLEAN: Maintenance = Maintenance { writes_back: true, drops: false };
const INVALIDATE: Maintenance = Maintenance { writes_back: false, drops: true };
const BOTH: Maintenance = Maintenance { writes_back: true, drops: true };

/// Xt, the register of a SYS instruction.
const XT: u32 = 0x1f;
const DC_ZVA: u32 = 0xd50b_7420;
const DC_CIVAC: u32 = 0xd50b_7e20;
const DC_ISW: u32 = 0xd508_7640;
const DC_CSW: u32 = 0xd508_7a40;

/// Returns the effect of an instruction.
#[must_use]
pub fn effect(word: u32) -> Option<Effect> {
    if changes_translation(word) {
        return Some(Effect::Translation);
    }
    // Arm ARM, "SVE Memory - Store".
    if word >> 25 == 0b111_0010 {
        return Some(Effect::Streaming);
    }
    if word & !XT == DC_ZVA {
        return Some(Effect::Zero(aarch64::address(word)));
    }
    match (aarch64::DECODER.decode)(&word.to_le_bytes(), 0)? {
        Action::Writeback(_, address) if word & !XT == DC_CIVAC => {
            Some(Effect::Line(BOTH, address))
        }
        Action::Writeback(_, address) => Some(Effect::Line(CLEAN, address)),
        Action::Discard(address) => Some(Effect::Line(INVALIDATE, address)),
        Action::Unmodelled => Some(Effect::All(match word & !XT {
            DC_ISW => INVALIDATE,
            DC_CSW => CLEAN,
            _ => BOTH,
        })),
        Action::Fence(_) => Some(Effect::Fence),
        _ => None,
    }
}

/// Returns true for TLBI, and for MSR of SCTLR, TTBR, TCR, MAIR or HCR of any level: op0 is 3, and `CRn` is 1, 2 or 10.
const fn changes_translation(word: u32) -> bool {
    let is_tlbi = word & 0xfff8_f000 == 0xd508_8000;
    let is_msr = word & 0xfff8_0000 == 0xd518_0000;
    is_tlbi || is_msr && matches!(word >> 12 & 15, 1 | 2 | 10)
}

/// Expected words are from GNU as 2.40.
#[cfg(test)]
mod tests {
    use super::{BOTH, CLEAN, Effect, INVALIDATE, effect};
    use crate::decode::Address;

    #[test]
    fn maintenance_is_what_its_instruction_does() {
        let line = |what, register| Some(Effect::Line(what, Address::of(register)));
        for (mnemonic, word, expected) in [
            ("dc cvac, x0", 0xd50b_7a20, line(CLEAN, 0)),
            ("dc cvap, x3", 0xd50b_7c23, line(CLEAN, 3)),
            ("dc civac, x30", 0xd50b_7e3e, line(BOTH, 30)),
            ("dc ivac, x1", 0xd508_7621, line(INVALIDATE, 1)),
            ("dc zva, x5", 0xd50b_7425, Some(Effect::Zero(Address::of(5)))),
            ("dc isw, x0", 0xd508_7640, Some(Effect::All(INVALIDATE))),
            ("dc csw, x0", 0xd508_7a40, Some(Effect::All(CLEAN))),
            ("dc cisw, x3", 0xd508_7e43, Some(Effect::All(BOTH))),
            ("dsb sy", 0xd503_3f9f, Some(Effect::Fence)),
            ("dsb ish", 0xd503_3b9f, None),
            ("dsb osh", 0xd503_339f, None),
            ("dc cvau, x0", 0xd50b_7b20, None),
        ] {
            assert_eq!(effect(word), expected, "{mnemonic}");
        }
    }

    #[test]
    fn changed_translations_are_noticed() {
        for (mnemonic, word) in [
            ("tlbi vmalle1is", 0xd508_831f),
            ("tlbi vae1is, x0", 0xd508_8320),
            ("tlbi vae2, x0", 0xd50c_8720),
            ("msr ttbr0_el1, x0", 0xd518_2000),
            ("msr tcr_el1, x0", 0xd518_2040),
            ("msr sctlr_el1, x0", 0xd518_1000),
            ("msr mair_el1, x0", 0xd518_a200),
            ("msr hcr_el2, x0", 0xd51c_1100),
        ] {
            assert_eq!(effect(word), Some(Effect::Translation), "{mnemonic}");
        }
        assert_eq!(effect(0xd518_4000), None, "msr spsr_el1, x0");
        assert_eq!(effect(0xd538_2000), None, "mrs x0, ttbr0_el1");
    }

    #[test]
    fn stores_of_sve_are_noticed() {
        assert_eq!(effect(0xe400_4000), Some(Effect::Streaming), "st1b {{z0.b}}, p0, [x0, x0]");
        assert_eq!(effect(0xe580_4000), Some(Effect::Streaming), "str z0, [x0]");
        assert_eq!(effect(0xa400_a000), None, "ld1b {{z0.b}}, p0/z, [x0, x0]");
    }
}
