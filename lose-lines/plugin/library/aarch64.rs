//! arm64 instructions, 32 bits each.
//!
//! DC by VA to the point of coherency, persistence or deep persistence writes back; to the point of unification it does
//! not reach memory. Only a DSB completes it, and the DSB must wait for both loads and stores (Arm ARM, "Ordering and
//! completion of data and instruction cache instructions"). The DSB completes it for the observers in its shareability
//! domain, and only the full system includes the memory. The fence is therefore DSB SY, as in Linux's
//! `arch/arm64/mm/cache.S`. A DSB of a smaller domain or of one kind of access, a DMB, or an atomic access is not a
//! fence.
//!
//! STNP is a hint about caching, and its stores are ordinary ones (Arm ARM, "Load/store non-temporal
//! pair").

use crate::decode::{Action, Address, CHANGING, Decoder, Fence, Mark, Register, Return, Writeback};

/// Marks are in `lose-lines/mark`.
pub const DECODER: Decoder = Decoder {
    registers: &[
        "x0",
        "x1",
        "x2",
        "x3",
        "x4",
        "x5",
        "x6",
        "x7",
        "x8",
        "x9",
        "x10",
        "x11",
        "x12",
        "x13",
        "x14",
        "x15",
        "x16",
        "x17",
        "x18",
        "x19",
        "x20",
        "x21",
        "x22",
        "x23",
        "x24",
        "x25",
        "x26",
        "x27",
        "x28",
        "x29",
        "x30",
        "TPIDR_EL0",
    ],
    arguments: [0, 1],
    thread: 31,
    return_address: Return::In(30),
    call: 8,
    changing: CHANGING,
    decode,
};

/// The mask of Xt, the register of a SYS instruction, in the lowest bits.
const XT: u32 = 0x1f;
const XZR: u8 = 31;

const DC_CVAC: u32 = 0xd50b_7a20;
const DC_CVAP: u32 = 0xd50b_7c20;
const DC_CVADP: u32 = 0xd50b_7d20;
const DC_CIVAC: u32 = 0xd50b_7e20;
const DC_IVAC: u32 = 0xd508_7620;
const DC_ISW: u32 = 0xd508_7640;
const DC_CSW: u32 = 0xd508_7a40;
const DC_CISW: u32 = 0xd508_7e40;
const SVC: u32 = 0xd400_0001;
const DSB_SY: u32 = 0xd503_3f9f;
/// `movz xzr, #0x6d00`; the number of the mark is added to the immediate, which begins at bit 5.
const MARKS: u32 = 0xd28d_a01f;

fn decode(bytes: &[u8], _at: u64) -> Option<Action> {
    let word = u32::from_le_bytes(*bytes.first_chunk()?);
    match word {
        DSB_SY => return Some(Action::Fence(Fence::Dsb)),
        SVC => return Some(Action::Call),
        _ if word & !0x1fe0 == MARKS => {
            return Mark::of(word >> 5 & 0xff).map(Action::Mark);
        }
        _ => {}
    }
    match word & !XT {
        DC_CVAC | DC_CIVAC => Some(Action::Writeback(Writeback::Coherency, address(word))),
        DC_CVAP | DC_CVADP => Some(Action::Writeback(Writeback::Persistence, address(word))),
        DC_IVAC => Some(Action::Discard(address(word))),
        DC_ISW | DC_CSW | DC_CISW => Some(Action::Unmodelled),
        _ => None,
    }
}

/// Returns the address in Xt of a SYS instruction.
pub(crate) fn address(word: u32) -> Address {
    let [register, ..] = (word & XT).to_le_bytes();
    let base: Option<Register> = (register != XZR).then_some(register);
    Address { base, ..Address::default() }
}

/// Expected words are from GNU as 2.40.
#[cfg(test)]
mod tests {
    use super::decode;
    use crate::decode::{Action, Address, Fence, Mark, Writeback};

    fn action(word: u32) -> Option<Action> {
        decode(&word.to_le_bytes(), 0x4000_0000)
    }

    #[test]
    fn cleans_by_address_write_back() {
        for (mnemonic, word, to, register) in [
            ("dc cvac, x0", 0xd50b_7a20, Writeback::Coherency, 0),
            ("dc cvap, x3", 0xd50b_7c23, Writeback::Persistence, 3),
            ("dc cvadp, x17", 0xd50b_7d31, Writeback::Persistence, 17),
            ("dc civac, x30", 0xd50b_7e3e, Writeback::Coherency, 30),
        ] {
            let expected = Action::Writeback(to, Address::of(register));
            assert_eq!(action(word), Some(expected), "{mnemonic}");
        }
        let zero = Action::Writeback(Writeback::Coherency, Address::default());
        assert_eq!(action(0xd50b_7a3f), Some(zero), "xzr");
        assert_eq!(action(0xd50b_7425), None, "dc zva, x5");
    }

    #[test]
    fn only_a_full_dsb_is_a_fence() {
        assert_eq!(action(0xd503_3f9f), Some(Action::Fence(Fence::Dsb)), "dsb sy");
        for (mnemonic, word) in [
            ("dsb osh", 0xd503_339f),
            ("dsb ish", 0xd503_3b9f),
            ("dsb nsh", 0xd503_379f),
            ("dsb ld", 0xd503_3d9f),
            ("dsb st", 0xd503_3e9f),
            ("dsb ishst", 0xd503_3a9f),
            ("dsb oshld", 0xd503_319f),
            ("ssbb", 0xd503_309f),
            ("pssbb", 0xd503_349f),
            ("dmb sy", 0xd503_3fbf),
            ("dmb osh", 0xd503_33bf),
            ("isb", 0xd503_3fdf),
        ] {
            assert_eq!(action(word), None, "{mnemonic}");
        }
    }

    #[test]
    fn marks_are_distinguished_from_moves() {
        assert_eq!(action(0xd28d_a03f), Some(Action::Mark(Mark::Watch)), "movz xzr, #0x6d01");
        assert_eq!(action(0xd28d_a05f), Some(Action::Mark(Mark::Left)), "movz xzr, #0x6d02");
        assert_eq!(action(0xd28d_a0ff), Some(Action::Mark(Mark::Omit)), "movz xzr, #0x6d07");
        assert_eq!(action(0xd28d_a01f), None, "movz xzr, #0x6d00");
        assert_eq!(action(0xd28d_a020), None, "movz x0, #0x6d01");
        assert_eq!(action(0x528d_a03f), None, "movz wzr, #0x6d01");
    }

    #[test]
    fn a_call_of_the_system_is_found() {
        assert_eq!(action(0xd400_0001), Some(Action::Call), "svc #0");
        assert_eq!(action(0xd400_0002), None, "hvc #0");
    }

    #[test]
    fn discards_and_set_and_way_are_found() {
        assert_eq!(action(0xd508_7621), Some(Action::Discard(Address::of(1))), "dc ivac, x1");
        assert_eq!(action(0xd508_7e43), Some(Action::Unmodelled), "dc cisw, x3");
    }

    #[test]
    fn other_instructions_do_nothing_here() {
        for (mnemonic, word) in [
            ("dc cvau, x0", 0xd50b_7b20),
            ("stnp x0, x1, [x2]", 0xa800_0440),
            ("stp x0, x1, [x2]", 0xa900_0440),
            ("ldaddal x0, x1, [x2]", 0xf8e0_0041),
            ("hint #0x40", 0xd503_281f),
        ] {
            assert_eq!(action(word), None, "{mnemonic}");
        }
        assert_eq!(decode(&[0x9f, 0x3f], 0), None, "half an instruction");
    }
}
