//! The bytes of a history: the boots that a store was opened in, the newest last.

use super::stamp;
#[cfg(any(feature = "preserve", test))]
use crate::format::fields::put;
use crate::format::fields::{u32_at, u64_at};
use crate::preserve::stamp::{Boot, Origin, Stamp};

/// Bytes of a boot in it.
pub(in crate::preserve) const BOOT: usize = 16 + stamp::BYTES;
/// Boots that are kept.
pub(in crate::preserve) const BOOTS: usize = 32;
/// Bytes of a history at most.
pub(in crate::preserve) const MOST: u64 = (BOOT * BOOTS) as u64;

/// What happened before, by its number. Numbers are never given again.
const ORIGINS: [Origin; 7] = [
    Origin::Unknown,
    Origin::SameProcess,
    Origin::SameBoot,
    Origin::Kexec,
    Origin::WarmReboot,
    Origin::PowerLoss,
    Origin::Reboot,
];

impl Boot {
    #[cfg(any(feature = "preserve", test))]
    pub(in crate::preserve) fn bytes(&self) -> [u8; BOOT] {
        let mut bytes = [0; BOOT];
        let number = ORIGINS.iter().position(|it| *it == self.origin).map_or(0, |at| at as u8);
        put(&mut bytes, 0, &self.generation.to_le_bytes());
        put(&mut bytes, 8, &self.opened.to_le_bytes());
        put(&mut bytes, 12, &[number, u8::from(self.was_sealed)]);
        put(&mut bytes, 16, &self.stamp.bytes());
        bytes
    }

    pub(in crate::preserve) fn read(bytes: &[u8; BOOT]) -> Self {
        let mut stamp = [0; stamp::BYTES];
        stamp.copy_from_slice(&bytes[16..]);
        Self {
            generation: u64_at(bytes, 0),
            opened: u32_at(bytes, 8),
            origin: ORIGINS.get(usize::from(bytes[12])).copied().unwrap_or(Origin::Unknown),
            was_sealed: bytes[13] != 0,
            stamp: Stamp::read(&stamp),
        }
    }
}
