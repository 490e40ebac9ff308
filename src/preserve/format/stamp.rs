//! The bytes of a stamp: the circumstances of a commit.

use crate::format::layout::{Layout as _, layout};
use crate::preserve::stamp::Stamp;
use crate::survival::Backing;

/// Bytes of a stamp.
pub(in crate::preserve) const BYTES: usize = 128;

/// The backings by their numbers, from 1 on. A number is never reused.
const BACKINGS: [Backing; 10] = [
    Backing::Storage,
    Backing::Ram,
    Backing::EmulatedPmem,
    Backing::PmemAdr,
    Backing::PmemEadr,
    Backing::CxlGpf,
    Backing::Cxl,
    Backing::PmemUnknown,
    Backing::VirtioPmem,
    Backing::ReservedRam,
];

impl Stamp {
    pub(in crate::preserve) fn bytes(&self) -> [u8; BYTES] {
        let number = BACKINGS.iter().position(|it| *it == self.backing);
        let fields = Fields {
            seconds: self.seconds,
            boot_id: self.boot_id,
            process_start: self.process_start,
            process: self.process,
            backing: number.map_or(0, |at| at as u8 + 1),
            zeros: [0; 3],
            granularity: self.granularity,
            more_zeros: 0,
            shutdowns: self.unsafe_shutdowns.map_or(0, |count| count.saturating_add(1)),
            placement: self.placement,
            kernel: self.kernel,
        };
        fields.to_bytes()
    }

    pub(in crate::preserve) fn read(bytes: &[u8; BYTES]) -> Self {
        let fields = Fields::from_bytes(bytes);
        let backing = usize::from(fields.backing).checked_sub(1);
        Self {
            seconds: fields.seconds,
            boot_id: fields.boot_id,
            process_start: fields.process_start,
            process: fields.process,
            backing: backing.and_then(|at| BACKINGS.get(at).copied()).unwrap_or(Backing::Unknown),
            granularity: fields.granularity,
            placement: fields.placement,
            unsafe_shutdowns: fields.shutdowns.checked_sub(1),
            kernel: fields.kernel,
        }
    }
}

layout! {
    struct Fields: 128 {
        0 seconds: u64,
        8 boot_id: [u8; 16],
        24 process_start: u64,
        32 process: u32,
        /// 0 if it is not known.
        36 backing: u8,
        37 zeros: [u8; 3],
        40 granularity: u32,
        44 more_zeros: u32,
        /// The count and 1; 0 if the count is not known.
        48 shutdowns: u64,
        56 placement: u64,
        64 kernel: [u8; 64],
    }
}

#[cfg(test)]
mod tests {
    use crate::preserve::stamp::Stamp;
    use crate::survival::Backing;

    #[test]
    fn a_stamp_is_read_as_it_was_written() {
        for &backing in Backing::ALL {
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
