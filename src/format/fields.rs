//! Numbers in bytes, little-endian, as the formats have them.

/// The 2 bytes at `at`; 0 if they are not all there.
#[cfg(feature = "preserve-read")]
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |word| u16::from_le_bytes(*word))
}

/// The 4 bytes at `at`; 0 if they are not all there.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |word| u32::from_le_bytes(*word))
}

/// The 8 bytes at `at`; 0 if they are not all there.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |word| u64::from_le_bytes(*word))
}

/// Puts bytes to `at`, where there is room for all of them.
#[cfg(any(feature = "journal", feature = "preserve", test))]
pub(crate) fn put(into: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = into.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}
