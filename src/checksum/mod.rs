//! CRC32C, by which records prove themselves.
//!
//! The polynomial of Castagnoli, reflected, as iSCSI has it (RFC 3720, appendix B.4). It finds accidents: up
//! to 32 neighbouring bits always, anything else but for one case in 2^32. It is no protection against people.
//!
//! Where there is an operating system it is computed by the CPU's instructions, found out at run time:
//! short stretches here, so that it is inlined where an event is recorded, long ones by a crate that has
//! several under way at once. Elsewhere it is computed by tables.

#[cfg(all(feature = "preserve-read", not(loom)))]
pub(crate) mod striped;

cfg_if::cfg_if! {
    if #[cfg(all(feature = "std", any(target_arch = "x86_64", target_arch = "aarch64")))] {
        #[expect(unsafe_code, reason = "the CPU is asked for a checksum")]
        mod instruction;
        use instruction::Instruction;
    } else {
        /// The CPU has none, or it cannot be found out.
        #[derive(Clone, Copy)]
        enum Instruction {}

        impl Instruction {
            const fn of_this_cpu() -> Option<Self> {
                None
            }

            const fn append(self, _: u32, _: &[u8]) -> u32 {
                match self {}
            }

            #[cfg(feature = "preserve-read")]
            const fn word(self, _: u64, _: u64) -> u64 {
                match self {}
            }
        }
    }
}

/// Up to here one step after the other is as fast as anything: below 768 bytes the crate has one chain too.
const SHORT: usize = 512;

/// How it is computed: found out once, where it is needed with each event.
#[derive(Clone, Copy)]
pub(crate) struct Crc32c(Option<Instruction>);

impl Crc32c {
    /// By the best that this CPU has.
    #[inline]
    pub(crate) fn of_this_cpu() -> Self {
        Self(Instruction::of_this_cpu())
    }

    /// As [`append`].
    #[inline]
    pub(crate) fn append(self, crc: u32, bytes: &[u8]) -> u32 {
        match self.0 {
            Some(instruction) if bytes.len() <= SHORT => instruction.append(crc, bytes),
            _ => of_any_length(crc, bytes),
        }
    }

    /// As [`append`], of the first words of an array, which stay in registers where they can.
    #[cfg(feature = "recorder")]
    #[inline]
    pub(crate) fn append_words<const N: usize>(
        self,
        crc: u32,
        words: [[u8; 8]; N],
        count: usize,
    ) -> u32 {
        if let Some(instruction) = self.0 {
            return instruction.append(crc, words[..count].as_flattened());
        }
        // Of a copy: what is called is given an address, and that of the words would keep them in memory.
        let copied = words;
        of_any_length(crc, copied[..count].as_flattened())
    }
}

/// The checksum of what `crc` is the checksum of and of `bytes` behind it; of `bytes` alone if it is 0. What
/// is given as `crc` can also be a seed.
#[inline]
pub(crate) fn append(crc: u32, bytes: &[u8]) -> u32 {
    Crc32c::of_this_cpu().append(crc, bytes)
}

#[cfg(not(target_os = "none"))]
use crc32c::crc32c_append as of_any_length;

#[cfg(target_os = "none")]
use by_tables as of_any_length;

#[cfg(any(target_os = "none", test))]
fn by_tables(crc: u32, bytes: &[u8]) -> u32 {
    static TABLES: crc::Crc<u32, crc::Table<16>> =
        crc::Crc::<u32, crc::Table<16>>::new(&crc::CRC_32_ISCSI);
    // The register is that of the other crate, inverted and not yet reflected.
    let mut digest = TABLES.digest_with_initial((!crc).reverse_bits());
    digest.update(bytes);
    digest.finalize()
}

#[cfg(test)]
mod tests {
    use super::{append, by_tables, of_any_length};
    use alloc::vec::Vec;

    /// RFC 3720, appendix B.4, as the words that are transmitted, and the check value of the catalogue of
    /// CRC parameters (CRC-32/ISCSI).
    #[test]
    fn it_is_crc32c() {
        let ascending: [u8; 32] = core::array::from_fn(|place| u8::try_from(place).unwrap_or(0));
        for crc in [append, of_any_length, by_tables] {
            assert_eq!(crc(0, &[0; 32]), 0x8a91_36aa);
            assert_eq!(crc(0, &[0xff; 32]), 0x62a8_ab43);
            assert_eq!(crc(0, &ascending), 0x46dd_794e);
            assert_eq!(crc(0, b"123456789"), 0xe306_9283);
        }
    }

    #[test]
    fn parts_one_after_the_other_have_the_checksum_of_the_whole() {
        for crc in [append, of_any_length, by_tables] {
            assert_eq!(crc(crc(0, b"1234"), b"56789"), 0xe306_9283);
            assert_eq!(crc(0x1234_5678, b""), 0x1234_5678);
        }
    }

    /// Each length, from no word to more than are done word by word, from each place in a word on.
    #[test]
    fn it_is_the_same_however_it_is_computed() {
        let bytes: Vec<u8> = (0..600_u32).map(|place| (place * 167 % 251) as u8).collect();
        for from in 0..8 {
            for to in from..bytes.len() {
                let bytes = &bytes[from..to];
                assert_eq!(append(7, bytes), by_tables(7, bytes), "{from}..{to}");
            }
        }
    }

    #[cfg(feature = "recorder")]
    #[test]
    fn words_have_the_checksum_of_their_bytes() {
        let words = [*b"12345678", *b"9abcdefg", *b"hijklmno"];
        for count in 0..=words.len() {
            let expected = by_tables(7, words[..count].as_flattened());
            assert_eq!(super::Crc32c::of_this_cpu().append_words(7, words, count), expected);
        }
    }
}
