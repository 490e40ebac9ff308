//! The bytes of a stamp: under which circumstances something was written.

#[cfg(any(feature = "preserve", test))]
use crate::format::fields::put;
use crate::format::fields::{u32_at, u64_at};
use crate::preserve::stamp::Stamp;
use crate::survival::Backing;

/// Bytes of a stamp.
pub(in crate::preserve) const BYTES: usize = 128;

/// The backings by their numbers, from 1 on. Numbers are never given again.
const BACKINGS: [Backing; 9] = [
    Backing::Storage,
    Backing::Ram,
    Backing::EmulatedPmem,
    Backing::PmemAdr,
    Backing::PmemEadr,
    Backing::CxlGpf,
    Backing::Cxl,
    Backing::PmemUnknown,
    Backing::VirtioPmem,
];

impl Stamp {
    #[cfg(any(feature = "preserve", test))]
    pub(in crate::preserve) fn bytes(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        let number =
            BACKINGS.iter().position(|it| *it == self.backing).map_or(0, |at| at as u8 + 1);
        put(&mut bytes, 0, &self.seconds.to_le_bytes());
        put(&mut bytes, 8, &self.boot_id);
        put(&mut bytes, 24, &self.process_start.to_le_bytes());
        put(&mut bytes, 32, &self.process.to_le_bytes());
        put(&mut bytes, 36, &[number]);
        put(&mut bytes, 40, &self.granularity.to_le_bytes());
        let shutdowns = self.unsafe_shutdowns.map_or(0, |count| count.saturating_add(1));
        put(&mut bytes, 48, &shutdowns.to_le_bytes());
        put(&mut bytes, 56, &self.placement.to_le_bytes());
        put(&mut bytes, 64, &self.kernel);
        bytes
    }

    pub(in crate::preserve) fn read(bytes: &[u8; BYTES]) -> Self {
        let mut stamp = Self {
            seconds: u64_at(bytes, 0),
            process_start: u64_at(bytes, 24),
            process: u32_at(bytes, 32),
            backing: match usize::from(bytes[36]).checked_sub(1) {
                Some(number) => BACKINGS.get(number).copied().unwrap_or(Backing::Unknown),
                None => Backing::Unknown,
            },
            granularity: u32_at(bytes, 40),
            placement: u64_at(bytes, 56),
            unsafe_shutdowns: u64_at(bytes, 48).checked_sub(1),
            ..Self::UNKNOWN
        };
        stamp.boot_id.copy_from_slice(&bytes[8..24]);
        stamp.kernel.copy_from_slice(&bytes[64..]);
        stamp
    }
}

#[cfg(test)]
mod tests {
    use crate::preserve::stamp::Stamp;
    use crate::survival::Backing;

    #[test]
    fn a_stamp_is_read_as_it_was_written() {
        for backing in Backing::ALL {
            let mut stamp = Stamp { seconds: 1, process: 2, process_start: 3, ..Stamp::UNKNOWN };
            stamp = Stamp { granularity: 64, placement: 5, unsafe_shutdowns: Some(0), ..stamp };
            stamp = Stamp { boot_id: [6; 16], backing, ..stamp }.with_kernel("6.18.0");
            assert_eq!(Stamp::read(&stamp.bytes()), stamp);
        }
        assert_eq!(Stamp::read(&[0; 128]), Stamp::UNKNOWN);
        let newer = Stamp::read(&core::array::from_fn(|at| if at == 36 { 200 } else { 0 }));
        assert_eq!(newer.backing, Backing::Unknown);
    }
}
