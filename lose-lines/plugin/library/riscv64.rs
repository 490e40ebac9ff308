//! 32-bit RISC-V instructions. Compressed ones have no effect here.
//!
//! CBO.CLEAN and CBO.FLUSH write a block back to memory. In the memory model they are stores, so that FENCE completes
//! them if writes are among its predecessors (RISC-V "Cache-block management instructions", `src/cmo.adoc`, "Memory
//! Ordering"). FENCE.TSO and a fence that no later write waits for do not count.

use crate::decode::{Action, Address, CHANGING, Decoder, Fence, Mark, Register, Return, Writeback};

/// Marks are in `lose-lines/mark`. The names are those of the ABI (QEMU, `gdb-xml/riscv-64bit-cpu.xml`).
pub const DECODER: Decoder = Decoder {
    registers: &[
        "zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "fp", "s1", "a0", "a1", "a2", "a3", "a4",
        "a5", "a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4",
        "t5", "t6",
    ],
    arguments: [10, 11],
    thread: 4,
    return_address: Return::In(1),
    call: 17,
    changing: CHANGING,
    decode,
};

/// The register `rs1`, from bit 15 on.
pub(crate) const RS1: u32 = 0x1f << 15;

const CBO_INVAL: u32 = 0x0000_200f;
const CBO_CLEAN: u32 = 0x0010_200f;
pub(crate) const CBO_FLUSH: u32 = 0x0020_200f;
pub(crate) const CBO_ZERO: u32 = 0x0040_200f;
/// FENCE with neither predecessors nor successors.
const FENCE: u32 = 0x0000_000f;
const PREDECESSORS: u32 = 0xf << 24;
const SUCCESSORS: u32 = 0xf << 20;
/// Writes among the predecessors and the successors.
const WRITES: u32 = 1 << 24 | 1 << 20;
const ECALL: u32 = 0x73;
/// `slti zero, zero, 0x6d0`; the number of the mark is added to the immediate, which begins at bit 20.
const MARKS: u32 = 0x6d00_2013;

fn decode(bytes: &[u8], _at: u64) -> Option<Action> {
    let word = u32::from_le_bytes(*bytes.first_chunk()?);
    if word & !(0xf << 20) == MARKS {
        return Mark::of(word >> 20 & 0xf).map(Action::Mark);
    }
    if word == ECALL {
        return Some(Action::Call);
    }
    if word & !(PREDECESSORS | SUCCESSORS) == FENCE {
        return (word & WRITES == WRITES).then_some(Action::Fence(Fence::Fence));
    }
    match word & !RS1 {
        CBO_CLEAN | CBO_FLUSH => Some(Action::Writeback(Writeback::Coherency, address(word))),
        CBO_INVAL => Some(Action::Discard(address(word))),
        _ => None,
    }
}

/// Returns the address in `rs1`.
pub(crate) fn address(word: u32) -> Address {
    let [register, ..] = ((word & RS1) >> 15).to_le_bytes();
    let base: Option<Register> = (register != 0).then_some(register);
    Address { base, ..Address::default() }
}

/// Expected words are those of GNU as 2.40.
#[cfg(test)]
mod tests {
    use super::decode;
    use crate::decode::{Action, Address, Fence, Mark, Writeback};

    fn action(word: u32) -> Option<Action> {
        decode(&word.to_le_bytes(), 0x8000_0000)
    }

    #[test]
    fn cleans_and_flushes_of_a_block_write_back() {
        for (mnemonic, word, register) in [
            ("cbo.clean (a0)", 0x0015_200f, 10),
            ("cbo.flush (a5)", 0x0027_a00f, 15),
            ("cbo.clean (t6)", 0x001f_a00f, 31),
        ] {
            let expected = Action::Writeback(Writeback::Coherency, Address::of(register));
            assert_eq!(action(word), Some(expected), "{mnemonic}");
        }
        assert_eq!(action(0x0045_200f), None, "cbo.zero (a0)");
        assert_eq!(action(0x0005_200f), Some(Action::Discard(Address::of(10))), "cbo.inval (a0)");
    }

    #[test]
    fn a_fence_of_writes_before_writes_is_one() {
        for (mnemonic, word) in [
            ("fence iorw, iorw", 0x0ff0_000f),
            ("fence rw, rw", 0x0330_000f),
            ("fence w, w", 0x0110_000f),
            ("fence ow, ow", 0x0550_000f),
        ] {
            assert_eq!(action(word), Some(Action::Fence(Fence::Fence)), "{mnemonic}");
        }
        for (mnemonic, word) in [
            ("fence r, rw", 0x0230_000f),
            ("fence w, r", 0x0120_000f),
            ("fence.tso", 0x8330_000f),
            ("fence.i", 0x0000_100f),
            ("pause", 0x0100_000f),
        ] {
            assert_eq!(action(word), None, "{mnemonic}");
        }
    }

    #[test]
    fn a_call_of_the_system_is_found() {
        assert_eq!(action(0x0000_0073), Some(Action::Call), "ecall");
        assert_eq!(action(0x0010_0073), None, "ebreak");
    }

    #[test]
    fn marks_are_distinguished_from_comparisons() {
        assert_eq!(action(0x6d10_2013), Some(Action::Mark(Mark::Watch)), "slti zero, zero, 0x6d1");
        assert_eq!(action(0x6d70_2013), Some(Action::Mark(Mark::Omit)), "slti zero, zero, 0x6d7");
        assert_eq!(action(0x6d00_2013), None, "slti zero, zero, 0x6d0");
        assert_eq!(action(0x6d10_2513), None, "slti a0, zero, 0x6d1");
        assert_eq!(action(0x6d15_2013), None, "slti zero, a0, 0x6d1");
        assert_eq!(decode(&[0x0f, 0x00], 0), None, "half an instruction");
    }
}
