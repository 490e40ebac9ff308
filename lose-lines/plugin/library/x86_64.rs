//! x86-64 instructions in 64-bit code.
//!
//! CLWB, CLFLUSHOPT and CLFLUSH write back. They are ordered by SFENCE, MFENCE and locked read-modify-write
//! instructions (Intel SDM vol. 2A, CLWB and CLFLUSHOPT), and XCHG with memory is always locked (vol. 2D, XCHG).
//! Serializing instructions are not in that list and do not count as fences. The library relies only on SFENCE
//! and MFENCE, so [`Locked`](Action::Locked) is a separate effect.
//!
//! On Intel, CLFLUSH is ordered without a fence, but verdicts still demand one for its completion. On other vendors'
//! CPUs only MFENCE orders it (AMD APM vol. 3, CLFLUSH). The argument `clflush` chooses between the two.
//!
//! Streaming stores are those that vol. 1, 10.4.6.2 "Caching of Temporal vs. Non-Temporal Data" and
//! the reference call non-temporal, in their SSE, VEX and EVEX forms, and AMD's MOVNTSD and MOVNTSS.

use crate::decode::{Action, Address, Decoder, Fence, Mark, Register, Return, Writeback};

/// General registers by the number that `ModRM`, SIB and REX give them. Marks are in `lose-lines/mark`.
pub const DECODER: Decoder = Decoder {
    registers: &[
        "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12",
        "r13", "r14", "r15", "fs_base", "gs_base",
    ],
    arguments: [7, 6],
    thread: FS_BASE,
    return_address: Return::At(RSP),
    call: RAX,
    changing: CHANGING,
    decode,
};

const RAX: Register = 0;
const RSP: Register = 4;
const FS_BASE: Register = 16;
const GS_BASE: Register = 17;

/// Linux, `arch/x86/entry/syscalls/syscall_64.tbl`: calls that write, persist, name or remove files, or change their
/// length.
const CHANGING: &[u64] = &[
    1, 18, 20, 26, 40, 74, 75, 76, 77, 82, 83, 84, 85, 86, 87, 88, 162, 209, 258, 263, 264, 265,
    266, 275, 277, 285, 296, 306, 316, 326, 328, 426,
];

/// The displacements of the long NOPs that are marks, without the number of the mark.
const MARKS: u32 = 0x6d63_0000;

/// The prefix that chooses among instructions of one opcode: VEX and EVEX hold it as this number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mandatory {
    #[default]
    None,
    P66,
    F3,
    F2,
}

impl Mandatory {
    fn of_vex(byte: u8) -> Self {
        [Self::None, Self::P66, Self::F3, Self::F2][usize::from(byte & 3)]
    }
}

/// The prefixes of an opcode.
#[derive(Clone, Copy, Debug, Default)]
struct Prefixes {
    mandatory: Mandatory,
    is_narrow: bool,
    is_locked: bool,
    segment: Option<Register>,
    rex: u8,
}

impl Prefixes {
    /// Takes the prefixes off the bytes.
    fn take(bytes: &mut Bytes<'_>) -> Option<Self> {
        let mut prefixes = Self::default();
        loop {
            match bytes.peek()? {
                // F2 and F3 win over it.
                0x66 if prefixes.mandatory != Mandatory::None => {}
                0x66 => prefixes.mandatory = Mandatory::P66,
                0xf2 => prefixes.mandatory = Mandatory::F2,
                0xf3 => prefixes.mandatory = Mandatory::F3,
                0x67 => prefixes.is_narrow = true,
                0xf0 => prefixes.is_locked = true,
                0x64 => prefixes.segment = Some(FS_BASE),
                0x65 => prefixes.segment = Some(GS_BASE),
                // Segments whose base is 0 in 64-bit mode.
                0x26 | 0x2e | 0x36 | 0x3e => {}
                // REX counts only as the last prefix (Intel SDM vol. 2A, 2.2.1).
                rex @ 0x40..=0x4f => {
                    bytes.next()?;
                    return Some(Self { rex, ..prefixes });
                }
                _ => return Some(prefixes),
            }
            bytes.next()?;
        }
    }

    /// Returns a register number of three bits with the bit of REX at this place: B 0, X 1.
    fn extended(self, number: u8, place: u8) -> Register {
        number & 7 | (self.rex >> place & 1) << 3
    }
}

/// The bytes of one instruction, from the front.
#[derive(Clone, Copy, Debug)]
struct Bytes<'a> {
    rest: &'a [u8],
    /// The address after the instruction, which RIP-relative addresses count from.
    end: u64,
}

impl Bytes<'_> {
    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// A displacement of one byte, sign-extended.
    fn displacement8(&mut self) -> Option<u64> {
        Some(i64::from(self.next()?.cast_signed()).cast_unsigned())
    }

    fn word32(&mut self) -> Option<u32> {
        let (word, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(u32::from_le_bytes(*word))
    }

    /// A displacement of four bytes, sign-extended.
    fn displacement32(&mut self) -> Option<u64> {
        Some(i64::from(self.word32()?.cast_signed()).cast_unsigned())
    }
}

fn decode(bytes: &[u8], at: u64) -> Option<Action> {
    let end = at.wrapping_add(u64::try_from(bytes.len()).ok()?);
    let mut bytes = Bytes { rest: bytes, end };
    let prefixes = Prefixes::take(&mut bytes)?;
    if prefixes.is_locked {
        // Only instructions that read, modify and write memory take the prefix.
        return Some(Action::Locked);
    }
    match bytes.next()? {
        0x86 | 0x87 => (!is_register(bytes.peek()?)).then_some(Action::Locked),
        0x0f => two_bytes(prefixes, bytes),
        0xc5 => {
            let vex = bytes.next()?;
            vector(1, vex, bytes.next()?)
        }
        // VEX of three bytes: the map, the prefix.
        0xc4 => {
            let (map, vex) = (bytes.next()? & 0x1f, bytes.next()?);
            vector(map, vex, bytes.next()?)
        }
        // EVEX: the map, the prefix, a mask.
        0x62 => {
            let (map, evex) = (bytes.next()? & 7, bytes.next()?);
            bytes.next()?;
            vector(map, evex, bytes.next()?)
        }
        _ => None,
    }
}

/// The instructions that begin with 0F.
fn two_bytes(prefixes: Prefixes, mut bytes: Bytes<'_>) -> Option<Action> {
    let opcode = bytes.next()?;
    match (prefixes.mandatory, opcode) {
        (_, 0xae) => group_15(prefixes, bytes),
        // SYSCALL.
        (_, 0x05) => Some(Action::Call),
        // INVD; WBINVD and WBNOINVD.
        (_, 0x08) => Some(Action::Unmodelled),
        (_, 0x09) => Some(Action::WholeCache),
        (Mandatory::None, 0x1f) => mark(bytes),
        // MOVNTI; MOVNTQ and MASKMOVQ, MOVNTDQ and MASKMOVDQU; MOVNTPS, MOVNTPD, MOVNTSS, MOVNTSD.
        (Mandatory::None, 0xc3) | (Mandatory::None | Mandatory::P66, 0xe7 | 0xf7) | (_, 0x2b) => {
            Some(Action::Streaming)
        }
        _ => None,
    }
}

/// VMOVNTPS, VMOVNTPD; VMOVNTDQ, VMASKMOVDQU. `prefix` holds the mandatory prefix in its lowest bits.
fn vector(map: u8, prefix: u8, opcode: u8) -> Option<Action> {
    match (map, Mandatory::of_vex(prefix), opcode) {
        (1, Mandatory::None | Mandatory::P66, 0x2b) | (1, Mandatory::P66, 0xe7 | 0xf7) => {
            Some(Action::Streaming)
        }
        _ => None,
    }
}

/// 0F AE (Intel SDM vol. 2D, table A-6, group 15).
fn group_15(prefixes: Prefixes, bytes: Bytes<'_>) -> Option<Action> {
    let modrm = bytes.peek()?;
    match (is_register(modrm), modrm >> 3 & 7, prefixes.mandatory) {
        (true, 6, Mandatory::None) => Some(Action::Fence(Fence::Mfence)),
        (true, 7, Mandatory::None) => Some(Action::Fence(Fence::Sfence)),
        (false, 7, Mandatory::None) => writeback(Writeback::Clflush, prefixes, bytes),
        (false, 6, Mandatory::P66) => writeback(Writeback::Clwb, prefixes, bytes),
        (false, 7, Mandatory::P66) => writeback(Writeback::Clflushopt, prefixes, bytes),
        _ => None,
    }
}

fn writeback(by: Writeback, prefixes: Prefixes, mut bytes: Bytes<'_>) -> Option<Action> {
    address(prefixes, &mut bytes).map(|address| Action::Writeback(by, address))
}

/// `nop dword ptr [rax+rax*1+…]` with a displacement of four bytes.
fn mark(mut bytes: Bytes<'_>) -> Option<Action> {
    if (bytes.next()?, bytes.next()?) != (0x84, 0x00) {
        return None;
    }
    Mark::of(bytes.word32()? ^ MARKS).map(Action::Mark)
}

fn is_register(modrm: u8) -> bool {
    modrm >= 0xc0
}

/// The memory operand that `ModRM` begins (Intel SDM vol. 2A, 2.1.5 tables 2-2 and 2-3, and 2.2.1.6 for
/// RIP-relative addresses).
fn address(prefixes: Prefixes, bytes: &mut Bytes<'_>) -> Option<Address> {
    let modrm = bytes.next()?;
    let mode = modrm >> 6;
    let address = match (mode, modrm & 7) {
        (_, 4) => return scaled(prefixes, mode, bytes),
        (0, 5) => Address {
            displacement: bytes.end.wrapping_add(bytes.displacement32()?),
            ..Address::default()
        },
        (_, number) => Address::of(prefixes.extended(number, 0)),
    };
    displaced(prefixes, mode, address, bytes)
}

/// The memory operand of a SIB byte.
fn scaled(prefixes: Prefixes, mode: u8, bytes: &mut Bytes<'_>) -> Option<Address> {
    let sib = bytes.next()?;
    let index = prefixes.extended(sib >> 3, 1);
    let address = Address {
        // RSP cannot be an index, but R12 can.
        index: (index != 4).then_some(index),
        shift: sib >> 6,
        ..Address::default()
    };
    // Without a displacement by its mode, RBP and R13 stand for no base and four bytes of it.
    if mode == 0 && sib & 7 == 5 {
        return displaced(prefixes, 2, address, bytes);
    }
    let base = Some(prefixes.extended(sib, 0));
    displaced(prefixes, mode, Address { base, ..address }, bytes)
}

/// Adds the displacement of the mode, and the effects of the prefixes.
fn displaced(
    prefixes: Prefixes,
    mode: u8,
    address: Address,
    bytes: &mut Bytes<'_>,
) -> Option<Address> {
    let displacement = match mode {
        1 => bytes.displacement8()?,
        2 => bytes.displacement32()?,
        _ => 0,
    };
    Some(Address {
        segment: prefixes.segment,
        displacement: address.displacement.wrapping_add(displacement),
        is_narrow: prefixes.is_narrow,
        ..address
    })
}

/// Expected bytes are those of GNU as 2.40.
#[cfg(test)]
mod tests {
    use super::{DECODER, decode};
    use crate::decode::{Action, Fence, Mark, Writeback};

    const AT: u64 = 0x40_0000;

    /// The address of a write-back when each register holds its number times 2^32, and FS and GS
    /// begin at 2^60 and 2^61; `None` for anything else.
    fn written_back(bytes: &[u8]) -> Option<u64> {
        let read = |register| match register {
            16 => Some(1 << 60),
            17 => Some(1 << 61),
            number => Some(u64::from(number) << 32),
        };
        match decode(bytes, AT) {
            Some(Action::Writeback(_, address)) => address.resolve(read),
            _ => None,
        }
    }

    fn register(name: &str) -> u64 {
        let place = DECODER.registers.iter().position(|register| *register == name);
        u64::try_from(place.unwrap()).unwrap() << 32
    }

    #[test]
    fn a_base_register_is_found_in_modrm_and_rex() {
        let rows: [(&str, &[u8]); 9] = [
            ("rax", &[0x66, 0x0f, 0xae, 0x30]),
            ("rdi", &[0x66, 0x0f, 0xae, 0x37]),
            ("r8", &[0x66, 0x41, 0x0f, 0xae, 0x30]),
            ("rsp", &[0x66, 0x0f, 0xae, 0x34, 0x24]),
            ("rbp", &[0x66, 0x0f, 0xae, 0x75, 0x00]),
            ("r12", &[0x66, 0x41, 0x0f, 0xae, 0x34, 0x24]),
            ("r13", &[0x66, 0x41, 0x0f, 0xae, 0x75, 0x00]),
            ("rdx", &[0x66, 0x0f, 0xae, 0x3a]), // clflushopt
            ("rcx", &[0x0f, 0xae, 0x39]),       // clflush
        ];
        for (name, bytes) in rows {
            assert_eq!(written_back(bytes), Some(register(name)), "{name}");
        }
    }

    #[test]
    fn displacements_are_sign_extended() {
        // clwb [rax+0x40]; clwb [rbx-0x40]; clwb [r9+0x12345678]; clflushopt [r15+0x7f].
        assert_eq!(written_back(&[0x66, 0x0f, 0xae, 0x70, 0x40]), Some(0x40));
        assert_eq!(written_back(&[0x66, 0x0f, 0xae, 0x73, 0xc0]), Some(register("rbx") - 0x40));
        assert_eq!(
            written_back(&[0x66, 0x41, 0x0f, 0xae, 0xb1, 0x78, 0x56, 0x34, 0x12]),
            Some(register("r9") + 0x1234_5678)
        );
        assert_eq!(
            written_back(&[0x66, 0x41, 0x0f, 0xae, 0x7f, 0x7f]),
            Some(register("r15") + 0x7f)
        );
    }

    #[test]
    fn a_scaled_index_is_added() {
        let (rcx, rsp, rsi) = (register("rcx"), register("rsp"), register("rsi"));
        let (r10, r11, r12) = (register("r10"), register("r11"), register("r12"));
        let (r13, r14) = (register("r13"), register("r14"));
        let rows: [(&str, &[u8], u64); 6] = [
            ("clwb [rax+rcx*4]", &[0x66, 0x0f, 0xae, 0x34, 0x88], rcx * 4),
            (
                "clwb [r13+r14*8-0x80]",
                &[0x66, 0x43, 0x0f, 0xae, 0x74, 0xf5, 0x80],
                r13 + r14 * 8 - 0x80,
            ),
            ("clwb [rsp+rsi*2+0x10]", &[0x66, 0x0f, 0xae, 0x74, 0x74, 0x10], rsp + rsi * 2 + 0x10),
            (
                "clwb [rsi*8+0x1000]",
                &[0x66, 0x0f, 0xae, 0x34, 0xf5, 0x00, 0x10, 0x00, 0x00],
                rsi * 8 + 0x1000,
            ),
            ("clwb [rax+r12*1]", &[0x66, 0x42, 0x0f, 0xae, 0x34, 0x20], r12),
            (
                "clflush [r10+r11*2+0x100]",
                &[0x43, 0x0f, 0xae, 0xbc, 0x5a, 0x00, 0x01, 0x00, 0x00],
                r10 + r11 * 2 + 0x100,
            ),
        ];
        for (mnemonic, bytes, expected) in rows {
            assert_eq!(written_back(bytes), Some(expected), "{mnemonic}");
        }
    }

    #[test]
    fn absolute_relative_segmented_and_narrow_addresses_are_computed() {
        let rows: [(&str, &[u8], u64); 5] = [
            (
                "clwb [0x12345678]",
                &[0x66, 0x0f, 0xae, 0x34, 0x25, 0x78, 0x56, 0x34, 0x12],
                0x1234_5678,
            ),
            // From the end of the instruction.
            ("clwb [rip+0x100]", &[0x66, 0x0f, 0xae, 0x35, 0x00, 0x01, 0x00, 0x00], AT + 8 + 0x100),
            ("clwb fs:[rax]", &[0x64, 0x66, 0x0f, 0xae, 0x30], 1 << 60),
            (
                "clwb gs:[0x28]",
                &[0x65, 0x66, 0x0f, 0xae, 0x34, 0x25, 0x28, 0x00, 0x00, 0x00],
                (1 << 61) + 0x28,
            ),
            // Registers are zero in their lower halves.
            ("clwb [eax+ecx*2]", &[0x67, 0x66, 0x0f, 0xae, 0x34, 0x48], 0),
        ];
        for (mnemonic, bytes, expected) in rows {
            assert_eq!(written_back(bytes), Some(expected), "{mnemonic}");
        }
    }

    #[test]
    fn fences_are_distinguished_from_their_neighbours() {
        assert_eq!(decode(&[0x0f, 0xae, 0xf8], AT), Some(Action::Fence(Fence::Sfence)), "sfence");
        assert_eq!(decode(&[0x0f, 0xae, 0xf0], AT), Some(Action::Fence(Fence::Mfence)), "mfence");
        let others: [(&str, &[u8]); 4] = [
            ("lfence", &[0x0f, 0xae, 0xe8]),
            ("tpause eax", &[0x66, 0x0f, 0xae, 0xf0]),
            ("xsaveopt [rax]", &[0x0f, 0xae, 0x30]),
            ("fxsave [rax]", &[0x0f, 0xae, 0x00]),
        ];
        for (mnemonic, bytes) in others {
            assert_eq!(decode(bytes, AT), None, "{mnemonic}");
        }
    }

    #[test]
    fn write_backs_are_decoded_by_prefix_and_digit() {
        let rows: [(&str, &[u8], Writeback); 3] = [
            ("clwb [rax]", &[0x66, 0x0f, 0xae, 0x30], Writeback::Clwb),
            ("clflushopt [rax]", &[0x66, 0x0f, 0xae, 0x38], Writeback::Clflushopt),
            ("clflush [rax]", &[0x0f, 0xae, 0x38], Writeback::Clflush),
        ];
        for (mnemonic, bytes, expected) in rows {
            let found = decode(bytes, AT);
            assert!(
                matches!(found, Some(Action::Writeback(by, _)) if by == expected),
                "{mnemonic}: {found:?}"
            );
        }
    }

    #[test]
    fn whole_caches_are_distinguished_from_discards() {
        assert_eq!(decode(&[0x0f, 0x09], AT), Some(Action::WholeCache), "wbinvd");
        assert_eq!(decode(&[0xf3, 0x0f, 0x09], AT), Some(Action::WholeCache), "wbnoinvd");
        assert_eq!(decode(&[0x0f, 0x08], AT), Some(Action::Unmodelled), "invd");
    }

    #[test]
    fn locked_instructions_are_found() {
        let locked: [(&str, &[u8]); 6] = [
            ("lock xadd [rax], ecx", &[0xf0, 0x0f, 0xc1, 0x08]),
            ("lock cmpxchg16b [rdi]", &[0xf0, 0x48, 0x0f, 0xc7, 0x0f]),
            ("lock add qword ptr [r8], 1", &[0xf0, 0x49, 0x83, 0x00, 0x01]),
            ("xchg [rax], ecx", &[0x87, 0x08]),
            ("xchg [r9], r10", &[0x4d, 0x87, 0x11]),
            ("xchg [rax], cl", &[0x86, 0x08]),
        ];
        for (mnemonic, bytes) in locked {
            assert_eq!(decode(bytes, AT), Some(Action::Locked), "{mnemonic}");
        }
        assert_eq!(decode(&[0x48, 0x91], AT), None, "xchg rcx, rax");
        assert_eq!(decode(&[0x45, 0x87, 0xc8], AT), None, "xchg r8d, r9d");
    }

    #[test]
    fn streaming_stores_are_found_in_every_form() {
        let streaming: [(&str, &[u8]); 18] = [
            ("movnti [rax], ecx", &[0x0f, 0xc3, 0x08]),
            ("movnti [r8], r9", &[0x4d, 0x0f, 0xc3, 0x08]),
            ("movntdq [rax], xmm0", &[0x66, 0x0f, 0xe7, 0x00]),
            ("movntdq [r9], xmm12", &[0x66, 0x45, 0x0f, 0xe7, 0x21]),
            ("movntps [rax], xmm1", &[0x0f, 0x2b, 0x08]),
            ("movntpd [rax], xmm1", &[0x66, 0x0f, 0x2b, 0x08]),
            ("movntsd [rax], xmm0", &[0xf2, 0x0f, 0x2b, 0x00]),
            ("movntss [rax], xmm0", &[0xf3, 0x0f, 0x2b, 0x00]),
            ("movntq [rax], mm0", &[0x0f, 0xe7, 0x00]),
            ("maskmovdqu xmm0, xmm1", &[0x66, 0x0f, 0xf7, 0xc1]),
            ("maskmovq mm0, mm1", &[0x0f, 0xf7, 0xc1]),
            ("vmovntdq [rax], xmm0", &[0xc5, 0xf9, 0xe7, 0x00]),
            ("vmovntdq [r8], ymm1", &[0xc4, 0xc1, 0x7d, 0xe7, 0x08]),
            ("vmovntps [rax], ymm9", &[0xc5, 0x7c, 0x2b, 0x08]),
            ("vmovntpd [r9], ymm9", &[0xc4, 0x41, 0x7d, 0x2b, 0x09]),
            ("vmaskmovdqu xmm1, xmm2", &[0xc5, 0xf9, 0xf7, 0xca]),
            ("vmovntdq [rax], zmm0", &[0x62, 0xf1, 0x7d, 0x48, 0xe7, 0x00]),
            ("vmovntpd [rax+0x40], zmm17", &[0x62, 0xe1, 0xfd, 0x48, 0x2b, 0x48, 0x01]),
        ];
        for (mnemonic, bytes) in streaming {
            assert_eq!(decode(bytes, AT), Some(Action::Streaming), "{mnemonic}");
        }
        let others: [(&str, &[u8]); 4] = [
            ("mov [rax], rcx", &[0x48, 0x89, 0x08]),
            ("movdqa [rax], xmm0", &[0x66, 0x0f, 0x7f, 0x00]),
            ("vmovdqa [rax], ymm0", &[0xc5, 0xfd, 0x7f, 0x00]),
            ("movntdqa xmm0, [rax]", &[0x66, 0x0f, 0x38, 0x2a, 0x00]),
        ];
        for (mnemonic, bytes) in others {
            assert_eq!(decode(bytes, AT), None, "{mnemonic}");
        }
    }

    #[test]
    fn a_call_of_the_system_is_found() {
        assert_eq!(decode(&[0x0f, 0x05], AT), Some(Action::Call), "syscall");
        assert_eq!(decode(&[0x0f, 0x0b], AT), None, "ud2");
    }

    #[test]
    fn marks_are_distinguished_from_padding() {
        let nop = |displacement: u32| {
            let mut bytes = vec![0x0f, 0x1f, 0x84, 0x00];
            bytes.extend(displacement.to_le_bytes());
            decode(&bytes, AT)
        };
        assert_eq!(nop(0x6d63_0001), Some(Action::Mark(Mark::Watch)));
        assert_eq!(nop(0x6d63_0002), Some(Action::Mark(Mark::Left)));
        assert_eq!(nop(0x6d63_0007), Some(Action::Mark(Mark::Omit)));
        assert_eq!(nop(0x6d63_0008), None);
        assert_eq!(nop(0), None);
        assert_eq!(decode(&[0x0f, 0x1f, 0x04, 0x00], AT), None);
    }

    #[test]
    fn an_instruction_that_is_cut_off_does_nothing() {
        let whole = [0x66, 0x43, 0x0f, 0xae, 0x74, 0xf5, 0x80];
        for len in 0..whole.len() {
            assert_eq!(decode(&whole[..len], AT), None, "{len}");
        }
    }
}
