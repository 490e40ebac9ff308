//! The circumstances of a commit, the event since, and their encodings.

use cachemaint::medium::Backing;
use cachemaint_format::layout::{Layout as _, layout};
use core::fmt;

/// The number of bytes kept of the kernel's release.
const RELEASE: usize = 64;
/// Bytes of a stamp.
const STAMP: usize = 128;
/// Bytes of a boot in a history.
pub(crate) const BOOT: usize = 16 + STAMP;

/// The circumstances of a commit: its boot, kernel, process and medium.
///
/// [`Stamp::host`](Self::host) returns this machine's. Without an operating system, start with [`Stamp::UNKNOWN`] and
/// set the known fields.
///
/// With the feature `serde` it serializes to an object with its field names; `boot_id` is 32 hexadecimal digits, and
/// `kernel` is the kernel's release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Stamp {
    /// Seconds since 1970-01-01 UTC, or 0 if unknown.
    pub seconds: u64,
    /// The boot: on Linux `/proc/sys/kernel/random/boot_id`. Zeros if unknown, for example in a container with its own
    /// id.
    #[cfg_attr(feature = "serde", serde(serialize_with = "json::digits"))]
    pub boot_id: [u8; 16],
    /// The process id, or 0 if unknown.
    pub process: u32,
    /// The start time of the process, in kernel ticks since the boot, because process ids are reused.
    pub process_start: u64,
    /// The backing of the medium.
    pub backing: Backing,
    /// The smallest unit that the medium makes persistent, in bytes, or 0 if unknown.
    pub granularity: u32,
    /// A digest of the physical location of the file, or 0 if unknown.
    pub placement: u64,
    /// The number of unsafe shutdowns of the memory devices, if they count them.
    pub unsafe_shutdowns: Option<u64>,
    #[cfg_attr(feature = "serde", serde(serialize_with = "json::release"))]
    pub(crate) kernel: [u8; 64],
}

impl Stamp {
    /// The stamp with nothing known.
    pub const UNKNOWN: Self = Self {
        seconds: 0,
        boot_id: [0; 16],
        process: 0,
        process_start: 0,
        backing: Backing::Unknown,
        granularity: 0,
        placement: 0,
        unsafe_shutdowns: None,
        kernel: [0; RELEASE],
    };

    /// Sets the kernel's release and keeps its first 64 bytes.
    #[must_use]
    pub fn with_kernel(self, release: &str) -> Self {
        let mut kernel = [0; RELEASE];
        for (to, from) in kernel.iter_mut().zip(release.bytes()) {
            *to = from;
        }
        Self { kernel, ..self }
    }

    /// Returns the kernel's release, or an empty string if unknown. It ends before the first invalid UTF-8.
    #[must_use]
    pub fn kernel(&self) -> &str {
        text(&self.kernel)
    }

    /// Returns true if the boot is known.
    const fn knows_boot(&self) -> bool {
        u128::from_le_bytes(self.boot_id) != 0
    }

    /// Returns true if both stamps are from the same boot, or `None` if either boot is unknown.
    pub(crate) fn is_same_boot(&self, other: &Self) -> Option<bool> {
        (self.knows_boot() && other.knows_boot()).then_some(self.boot_id == other.boot_id)
    }
}

/// Returns the text before the zeros, up to the first invalid UTF-8.
fn text(release: &[u8; RELEASE]) -> &str {
    let end = release.iter().position(|byte| *byte == 0).unwrap_or(RELEASE);
    let bytes = &release[..end];
    match core::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => core::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    }
}

/// The event between the last commit and now, as far as it can be known. Copying the medium is not an event: the copy
/// has the origin of the original.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Origin {
    /// Unknown.
    Unknown,
    /// No event: this process wrote it.
    SameProcess,
    /// Another process wrote it during this boot.
    SameBoot,
    /// Another kernel started the running one, without firmware. An earlier reset or power loss cannot be detected,
    /// unless the store was opened for writing in between.
    Kexec,
    /// A reboot through firmware that kept RAM.
    WarmReboot,
    /// Power loss, or a shutdown that was unsafe for the memory.
    PowerLoss,
    /// A reboot of an unknown kind.
    Reboot,
}

impl Origin {
    /// Returns the event that can lose more.
    pub(crate) fn worse(self, other: Self) -> Self {
        let loss = |origin| match origin {
            Self::SameProcess => 0,
            Self::SameBoot => 1,
            Self::Kexec => 2,
            Self::WarmReboot => 3,
            Self::Reboot => 4,
            Self::Unknown => 5,
            Self::PowerLoss => 6,
        };
        if loss(other) > loss(self) { other } else { self }
    }

    /// Returns a description in a few words.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::SameProcess => "same process",
            Self::SameBoot => "same boot, another process",
            Self::Kexec => "kexec",
            Self::WarmReboot => "reboot through firmware",
            Self::PowerLoss => "power loss or unsafe shutdown",
            Self::Reboot => "reboot of an unknown kind",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A boot in which a store was opened for writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Boot {
    /// The commit number of the first opening in this boot.
    pub opening: u64,
    /// The number of times that it was opened for writing in this boot.
    pub opened: u32,
    /// The event before this boot.
    pub origin: Origin,
    /// True if the store was sealed before this boot.
    pub was_sealed: bool,
    /// True if blobs may be damaged, and no verification has since found all of them intact.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) must_verify: bool,
    /// The circumstances of its last opening.
    pub stamp: Stamp,
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

impl Stamp {
    pub(crate) fn bytes(&self) -> [u8; STAMP] {
        let number = BACKINGS.iter().position(|it| *it == self.backing);
        let fields = StampFields {
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

    pub(crate) fn read(bytes: &[u8; STAMP]) -> Self {
        let fields = StampFields::from_bytes(bytes);
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
    struct StampFields: 128 {
        0 seconds: u64,
        8 boot_id: [u8; 16],
        24 process_start: u64,
        32 process: u32,
        /// 0 if unknown.
        36 backing: u8,
        37 zeros: [u8; 3],
        40 granularity: u32,
        44 more_zeros: u32,
        /// The count plus 1, or 0 if the count is unknown.
        48 shutdowns: u64,
        56 placement: u64,
        64 kernel: [u8; 64],
    }
}

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
    /// Returns the first boot of a new store.
    pub(crate) const fn first(stamp: Stamp) -> Self {
        let (opening, opened, origin) = (1, 1, Origin::Unknown);
        Self { opening, opened, origin, was_sealed: false, must_verify: false, stamp }
    }

    pub(crate) fn bytes(&self) -> [u8; BOOT] {
        let origin = ORIGINS.iter().position(|it| *it == self.origin);
        let fields = BootFields {
            opening: self.opening,
            opened: self.opened,
            origin: origin.map_or(0, |at| at as u8),
            was_sealed: self.was_sealed.into(),
            must_verify: self.must_verify.into(),
            zero: 0,
            stamp: self.stamp.bytes(),
        };
        fields.to_bytes()
    }

    pub(crate) fn read(bytes: &[u8; BOOT]) -> Self {
        let BootFields { opening, opened, origin, was_sealed, must_verify, stamp, .. } =
            BootFields::from_bytes(bytes);
        Self {
            opening,
            opened,
            origin: ORIGINS.get(usize::from(origin)).copied().unwrap_or(Origin::Unknown),
            was_sealed: was_sealed != 0,
            must_verify: must_verify != 0,
            stamp: Stamp::read(&stamp),
        }
    }
}

layout! {
    struct BootFields: 144 {
        0 opening: u64,
        8 opened: u32,
        12 origin: u8,
        13 was_sealed: u8,
        14 must_verify: u8,
        15 zero: u8,
        16 stamp: [u8; STAMP],
    }
}

/// The serialized forms of fields that are not numbers.
#[cfg(feature = "serde")]
mod json {
    use super::{RELEASE, text};
    use serde::Serializer;

    pub(crate) fn digits<S: Serializer>(id: &[u8; 16], to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{:032x}", u128::from_be_bytes(*id)))
    }

    pub(crate) fn release<S: Serializer>(kernel: &[u8; RELEASE], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(text(kernel))
    }
}

#[cfg(test)]
mod tests {
    use super::Stamp;
    use cachemaint::medium::Backing;

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
