//! RISC-V: blocks of caches, and page-based memory types (privileged manual, "Svpbmt"; unprivileged manual, "CMO
//! Extensions").
//!
//! # Limits
//! FENCE W,W completes write-backs, as for a device that reads an index first, also if the doorbell after it is not ordered.
//! Blocks that CBO.ZERO zeroes have 64 bytes. CBO.INVAL is taken for one, also where `menvcfg.CBIE` makes it a flush.
//! Accesses by `mstatus.MPRV`, a guest's second stage, and memory types of T-Head are not followed.

use super::architecture::{Architecture, BOTH, CLEAN, Effect, INVALIDATE, Mapped, Read, Word};
use crate::decode::Action;
use crate::riscv64::{self, CBO_FLUSH, CBO_ZERO, RS1};

pub(super) const RISCV64: Architecture = Architecture {
    name: "riscv64",
    registers: riscv64::DECODER.registers,
    link: "ra",
    required: &["satp", "priv"],
    // A load never precedes an invalidation of its block ("Memory Ordering").
    drops_in_order: true,
    effect,
    level: |read| read("priv").map_or(1, |level| (level & 3) as u8),
    mapped,
    zeroed: |_read| 64,
};

/// FENCE with neither predecessors nor successors, its sets, and the bit of FENCE.TSO.
const FENCE: u32 = 0xf;
const SETS: u32 = 0xff << 20 | 1 << 31;
/// Writes among the predecessors. Among the successors, output is a doorbell, and writes are an index that the device
/// reads before what it refers to.
const WRITES_BEFORE: u32 = 1 << 24;
const STORES_AFTER: u32 = 1 << 22 | 1 << 20;
const SFENCE_VMA: u32 = 0x1200_0073;
const SINVAL_VMA: u32 = 0x1600_0073;
const SATP: u32 = 0x180;

fn effect(bytes: &[u8]) -> Option<Effect> {
    let word = u32::from_le_bytes(*bytes.first_chunk()?);
    if word & !SETS == FENCE {
        let is_fence = word & WRITES_BEFORE != 0 && word & STORES_AFTER != 0;
        return is_fence.then_some(Effect::Fence);
    }
    let is_csr = word & 0x7f == 0x73 && word >> 12 & 3 != 0;
    let is_invalidation = matches!(word & 0xfe00_7fff, SFENCE_VMA | SINVAL_VMA);
    if is_invalidation || is_csr && word >> 20 == SATP {
        return Some(Effect::Translation);
    }
    if word & !RS1 == CBO_ZERO {
        return Some(Effect::Zero(riscv64::address(word)));
    }
    match (riscv64::DECODER.decode)(bytes, 0)? {
        Action::Writeback(_, address) if word & !RS1 == CBO_FLUSH => {
            Some(Effect::Line(BOTH, address))
        }
        Action::Writeback(_, address) => Some(Effect::Line(CLEAN, address)),
        Action::Discard(address) => Some(Effect::Line(INVALIDATE, address)),
        _ => None,
    }
}

const MACHINE: u8 = 3;
/// PBMT; 0 leaves the physical attributes.
const MEMORY_TYPE: u64 = 3 << 61;
/// The accessed and the dirty bit of an entry.
const SET_BY_WALKS: u64 = 1 << 6 | 1 << 7;

fn mapped(read: Read<'_>, level: u8, address: u64, word: Word<'_>) -> Mapped {
    let satp = read("satp").unwrap_or_default();
    let levels = match satp >> 60 {
        8 if level != MACHINE => 3,
        9 if level != MACHINE => 4,
        10 if level != MACHINE => 5,
        _ => return Mapped { is_cacheable: true, set_by_walks: 0 },
    };
    let is_cacheable = leaf(satp, levels, address, word).is_none_or(|leaf| leaf & MEMORY_TYPE == 0);
    Mapped { is_cacheable, set_by_walks: SET_BY_WALKS }
}

/// Returns the entry that maps an address.
fn leaf(satp: u64, levels: u32, address: u64, word: Word<'_>) -> Option<u64> {
    const NUMBER: u64 = (1 << 44) - 1;
    let mut table = satp & NUMBER;
    for left in (0..levels).rev() {
        let index = address >> (12 + 9 * left) & 0x1ff;
        let entry = word((table << 12) + 8 * index)?;
        if entry & 1 == 0 {
            return None;
        }
        // Readable, writable or executable.
        if entry & 0xe != 0 {
            return Some(entry);
        }
        table = entry >> 10 & NUMBER;
    }
    None
}

/// Expected words are from GNU as 2.40.
#[cfg(test)]
mod tests {
    use super::{BOTH, CLEAN, Effect, INVALIDATE, RISCV64, effect};
    use crate::decode::Address;

    #[test]
    fn blocks_fences_and_translations_have_effects() {
        let line = |what, register| Some(Effect::Line(what, Address::of(register)));
        for (mnemonic, word, expected) in [
            ("cbo.inval (a0)", 0x0005_200f_u32, line(INVALIDATE, 10)),
            ("cbo.clean (a0)", 0x0015_200f, line(CLEAN, 10)),
            ("cbo.flush (a5)", 0x0027_a00f, line(BOTH, 15)),
            ("cbo.zero (a0)", 0x0045_200f, Some(Effect::Zero(Address::of(10)))),
            ("fence iorw, iorw", 0x0ff0_000f, Some(Effect::Fence)),
            ("fence w, o", 0x0140_000f, Some(Effect::Fence)),
            ("fence rw, rw", 0x0330_000f, Some(Effect::Fence)),
            ("fence.tso", 0x8330_000f, Some(Effect::Fence)),
            ("fence w, r", 0x0120_000f, None),
            ("fence r, o", 0x0240_000f, None),
            ("sfence.vma", 0x1200_0073, Some(Effect::Translation)),
            ("sfence.vma a0, a1", 0x12b5_0073, Some(Effect::Translation)),
            ("sinval.vma a0, a1", 0x16b5_0073, Some(Effect::Translation)),
            ("csrw satp, a0", 0x1805_1073, Some(Effect::Translation)),
            ("csrw stvec, a0", 0x1055_1073, None),
            ("ecall", 0x0000_0073, None),
        ] {
            assert_eq!(effect(&word.to_le_bytes()), expected, "{mnemonic}");
        }
        assert_eq!(effect(&[0x0f, 0x00]), None, "half an instruction");
    }

    #[test]
    fn pages_say_whether_they_are_cached() {
        // Sv39, the first table at 0x8000_1000. A gibibyte of RAM; the same with PBMT NC at 3 GiB; a page with PBMT IO at
        // 4 GiB, by two more tables.
        let word = |at| {
            Some(match at {
                0x8000_1010 => 0x8000_0000 >> 2 | 0xcf,
                0x8000_1018 => 1 << 61 | 0x8000_0000 >> 2 | 0xcf,
                0x8000_1020 => 0x8000_2000 >> 2 | 1,
                0x8000_2000 => 0x8000_3000 >> 2 | 1,
                0x8000_3008 => 2 << 61 | 0x1000_0000 >> 2 | 0xc7,
                _ => 0,
            })
        };
        for (mode, level, address, expected) in [
            (8, 1, 0x8000_1234, true),
            (8, 1, 0xc000_1234, false),
            (8, 1, 0x1_0000_1000, false),
            (8, 1, 0x1_0000_2000, true),
            (8, 3, 0xc000_1234, true),
            (0, 1, 0xc000_1234, true),
        ] {
            let read = |name: &str| (name == "satp").then_some(mode << 60 | 0x8_0001);
            let mapped = (RISCV64.mapped)(&read, level, address, &word);
            assert_eq!(mapped.is_cacheable, expected, "{mode} {level} {address:#x}");
        }
    }
}
