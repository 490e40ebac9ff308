//! CRC32C, by which records prove themselves.
//!
//! The polynomial of Castagnoli, reflected, as iSCSI has it (RFC 3720, appendix B.4). It finds accidents: up
//! to 32 neighbouring bits always, anything else but for one case in 2^32. It is no protection against people.
//!
//! Where there is an operating system it is computed by the CPU's instructions, found out at run time;
//! elsewhere by tables.

/// The checksum of what `crc` is the checksum of and of `bytes` behind it; of `bytes` alone if it is 0. What
/// is given as `crc` can also be a seed.
#[cfg(not(target_os = "none"))]
#[inline]
pub(crate) fn append(crc: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc, bytes)
}

#[cfg(target_os = "none")]
pub(crate) use by_tables as append;

#[cfg(any(target_os = "none", test))]
pub(crate) fn by_tables(crc: u32, bytes: &[u8]) -> u32 {
    static TABLES: crc::Crc<u32, crc::Table<16>> =
        crc::Crc::<u32, crc::Table<16>>::new(&crc::CRC_32_ISCSI);
    // The register is that of the other crate, inverted and not yet reflected.
    let mut digest = TABLES.digest_with_initial((!crc).reverse_bits());
    digest.update(bytes);
    digest.finalize()
}

#[cfg(test)]
mod tests {
    use super::{append, by_tables};

    /// RFC 3720, appendix B.4, as the words that are transmitted, and the check value of the catalogue of
    /// CRC parameters (CRC-32/ISCSI).
    #[test]
    fn it_is_crc32c() {
        let ascending: [u8; 32] = core::array::from_fn(|place| u8::try_from(place).unwrap_or(0));
        for crc in [append, by_tables] {
            assert_eq!(crc(0, &[0; 32]), 0x8a91_36aa);
            assert_eq!(crc(0, &[0xff; 32]), 0x62a8_ab43);
            assert_eq!(crc(0, &ascending), 0x46dd_794e);
            assert_eq!(crc(0, b"123456789"), 0xe306_9283);
        }
    }

    #[test]
    fn parts_one_after_the_other_have_the_checksum_of_the_whole() {
        for crc in [append, by_tables] {
            assert_eq!(crc(crc(0, b"1234"), b"56789"), 0xe306_9283);
            assert_eq!(crc(0x1234_5678, b""), 0x1234_5678);
        }
    }
}
