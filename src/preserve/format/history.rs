//! The bytes of a history: the boots that a store was opened in, the newest last.

use super::stamp;
use crate::format::layout::{Layout as _, layout};
use crate::preserve::stamp::{Boot, Origin, Stamp};

/// Bytes of a boot in it.
pub(in crate::preserve) const BOOT: usize = 16 + stamp::BYTES;
/// Boots that are kept.
pub(in crate::preserve) const BOOTS: usize = 32;

/// The events before a boot, by their numbers. A number is never reused.
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
    pub(in crate::preserve) fn bytes(&self) -> [u8; BOOT] {
        let origin = ORIGINS.iter().position(|it| *it == self.origin);
        let fields = Fields {
            generation: self.generation,
            opened: self.opened,
            origin: origin.map_or(0, |at| at as u8),
            was_sealed: self.was_sealed.into(),
            must_verify: self.must_verify.into(),
            zero: 0,
            stamp: self.stamp.bytes(),
        };
        fields.to_bytes()
    }

    pub(in crate::preserve) fn read(bytes: &[u8; BOOT]) -> Self {
        let Fields { generation, opened, origin, was_sealed, must_verify, stamp, .. } =
            Fields::from_bytes(bytes);
        Self {
            generation,
            opened,
            origin: ORIGINS.get(usize::from(origin)).copied().unwrap_or(Origin::Unknown),
            was_sealed: was_sealed != 0,
            must_verify: must_verify != 0,
            stamp: Stamp::read(&stamp),
        }
    }
}

layout! {
    struct Fields: 144 {
        0 generation: u64,
        8 opened: u32,
        12 origin: u8,
        13 was_sealed: u8,
        14 must_verify: u8,
        15 zero: u8,
        16 stamp: [u8; stamp::BYTES],
    }
}
