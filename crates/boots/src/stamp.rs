//! A boot and a process, and their encoding.

use cachemaint::medium::Backing;
use cachemaint_format::layout::{Layout as _, layout};

/// The size of a stamp in bytes.
pub const STAMP: usize = 48;
/// The first bytes of a stamp, with the version of its format.
const MAGIC: [u8; 8] = *b"cmstamp1";

/// The boot and the process in which a program has run, and the medium of its file.
///
/// [`Stamp::of`](Self::of) returns the present one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The boot: on Linux `/proc/sys/kernel/random/boot_id`. Zeros if unknown.
    pub boot_id: [u8; 16],
    /// The process id, or 0 if unknown.
    pub process: u32,
    /// The start of the process, in kernel ticks since the boot, because process ids are reused.
    pub process_start: u64,
    /// The backing of the file.
    pub backing: Backing,
    /// The number of unsafe shutdowns of the memory devices, if they count them.
    pub unsafe_shutdowns: Option<u64>,
    /// True if another kernel has started the running one (kexec), `None` if unknown.
    pub is_by_kexec: Option<bool>,
}

impl Stamp {
    /// The stamp with nothing known.
    pub const UNKNOWN: Self = Self {
        boot_id: [0; 16],
        process: 0,
        process_start: 0,
        backing: Backing::Unknown,
        unsafe_shutdowns: None,
        is_by_kexec: None,
    };

    /// Returns true if both stamps are from the same boot, or `None` if either boot is unknown.
    pub(crate) fn is_same_boot(&self, other: &Self) -> Option<bool> {
        let are_known = self.boot_id != [0; 16] && other.boot_id != [0; 16];
        are_known.then_some(self.boot_id == other.boot_id)
    }

    /// Returns the bytes of the stamp, to be kept. A blob of them needs one fence.
    #[must_use]
    pub fn bytes(&self) -> [u8; STAMP] {
        let number = (1..).zip(BACKINGS).find(|(_, backing)| *backing == self.backing);
        let fields = Fields {
            magic: MAGIC,
            boot_id: self.boot_id,
            process_start: self.process_start,
            process: self.process,
            backing: number.map_or(0, |(number, _)| number),
            loader: self.is_by_kexec.map_or(0, |is| 1 + u8::from(is)),
            zeros: 0,
            shutdowns: self.unsafe_shutdowns.map_or(0, |count| count.saturating_add(1)),
        };
        fields.to_bytes()
    }

    /// Reads a stamp. Returns `None` if the bytes are something else.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let fields = Fields::from_bytes(bytes.try_into().ok()?);
        let backing = usize::from(fields.backing).checked_sub(1);
        let stamp = Self {
            boot_id: fields.boot_id,
            process_start: fields.process_start,
            process: fields.process,
            backing: backing.and_then(|at| BACKINGS.get(at).copied()).unwrap_or(Backing::Unknown),
            unsafe_shutdowns: fields.shutdowns.checked_sub(1),
            is_by_kexec: match fields.loader {
                1 => Some(false),
                2 => Some(true),
                _ => None,
            },
        };
        (fields.magic == MAGIC).then_some(stamp)
    }
}

layout! {
    struct Fields: 48 {
        0 magic: [u8; 8],
        8 boot_id: [u8; 16],
        24 process_start: u64,
        32 process: u32,
        /// 0 if unknown.
        36 backing: u8,
        37 loader: u8,
        38 zeros: u16,
        /// The count plus 1, or 0 if the count is unknown.
        40 shutdowns: u64,
    }
}

/// The backings by their numbers, starting at 1. A number is never reused.
const BACKINGS: [Backing; 11] = [
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
    Backing::FileSystem,
];

#[cfg(test)]
mod tests {
    use super::Stamp;
    use cachemaint::medium::Backing;

    /// Worked out by hand from `FORMAT.md`.
    #[test]
    fn a_stamp_has_the_documented_bytes() {
        let stamp = Stamp {
            boot_id: *b"0123456789abcdef",
            process: 0x0102_0304,
            process_start: 5,
            backing: Backing::PmemAdr,
            unsafe_shutdowns: Some(0),
            is_by_kexec: Some(true),
        };
        let mut expected = b"cmstamp10123456789abcdef".to_vec();
        expected.extend([5, 0, 0, 0, 0, 0, 0, 0, 4, 3, 2, 1, 4, 2, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(stamp.bytes()[..], expected);
        assert_eq!(Stamp::read(&expected), Some(stamp));
    }

    #[test]
    fn a_stamp_is_read_as_it_was_written() {
        for &backing in Backing::ALL {
            let stamp = Stamp { backing, is_by_kexec: Some(false), ..Stamp::UNKNOWN };
            assert_eq!(Stamp::read(&stamp.bytes()), Some(stamp));
        }
        assert_eq!(Stamp::read(&Stamp::UNKNOWN.bytes()), Some(Stamp::UNKNOWN));
    }

    #[test]
    fn other_bytes_are_no_stamp() {
        let stamp = Stamp::UNKNOWN.bytes();
        let mut newer = stamp;
        newer[7] = b'2';
        for bytes in [&[][..], &stamp[1..], &[0; 48], &newer] {
            assert_eq!(Stamp::read(bytes), None, "{bytes:?}");
        }
    }
}
