//! Bytes to be kept: no two are the same, and some end with their own checksum.

use std::sync::Arc;

/// The end of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Plain,
    /// The CRC32C of all bytes before it, as usual framing has it.
    Checksum,
}

/// Returns `len` bytes that are determined by the number of their owner.
pub(crate) fn bytes(number: u64, len: usize, ending: Ending) -> Arc<[u8]> {
    let mut bytes: Vec<u8> = (0..len).map(|place| byte(number, place)).collect();
    if ending == Ending::Checksum
        && let Some(body) = len.checked_sub(4)
    {
        let checksum = crc32c::crc32c(&bytes[..body]);
        bytes[body..].copy_from_slice(&checksum.to_le_bytes());
    }
    bytes.into()
}

/// No two numbers below 255 have a byte in common at the same place.
fn byte(number: u64, place: usize) -> u8 {
    let byte = 1 + (number + 7 * place as u64) % 255;
    byte.to_le_bytes()[0]
}
