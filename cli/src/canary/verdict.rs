//! The verdict of a canary, in words and as data.

use super::Found;
use super::format::{Damage, Instead, PERSISTED, STORED};
use cachemaint::survival::Backing;
use core::ops::Range;
use jiff::Timestamp;
use serde::Serialize;
use std::fs;
use std::path::Path;

pub(super) const BY_FENCE: u32 = 0;
pub(super) const BY_LINES: u32 = 1;
pub(super) const BY_PAGES: u32 = 2;

/// The number of damaged ranges that are named in words; all of them are in the data.
const NAMED: usize = 4;

/// A canary that was looked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Canary {
    path: String,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    planted: Option<Planted>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_by: Option<StartedBy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    persisted: Option<Part>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stored_only: Option<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    NotThere,
    /// A file of its name exists that is not a canary, or that cannot be read.
    Unreadable,
    /// Whole, and no reboot came between.
    SameBoot,
    /// Whole, in another boot.
    Kept,
    /// Whole, but the boot is unknown.
    BootUnknown,
    /// Persisted bytes are not as they were, or stored ones have neither their pattern nor zeros.
    Damaged,
}

/// The contents of its header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Planted {
    at: String,
    boot: String,
    kernel: String,
    backing: String,
    device: String,
    file_system: String,
    persisted_by: &'static str,
}

/// A pattern, and its changed parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Part {
    bytes: u64,
    damaged_bytes: u64,
    damaged: Vec<Damage>,
}

impl Part {
    fn new(range: &Range<u64>, damaged: Vec<Damage>) -> Self {
        Self {
            bytes: range.end - range.start,
            damaged_bytes: damaged.iter().map(|damage| damage.end - damage.start).sum(),
            damaged,
        }
    }

    const fn is_whole(&self) -> bool {
        self.damaged_bytes == 0
    }

    /// Returns true if all changed bytes are zeros, which were there before the pattern.
    fn is_of_zeros(&self) -> bool {
        self.damaged.iter().all(|damage| damage.instead == Instead::Zeros)
    }

    /// Returns the damaged bytes: `65536-66048 (zeros)`.
    fn damage(&self) -> String {
        let named = self.damaged.iter().take(NAMED).map(|Damage { start, end, instead }| {
            let instead = match instead {
                Instead::Zeros => "zeros",
                Instead::OtherBytes => "other bytes",
                Instead::Unreadable(why) => why,
            };
            format!("{start}-{end} ({instead})")
        });
        let text = named.collect::<Vec<_>>().join(", ");
        match self.damaged.len().saturating_sub(NAMED) {
            0 => text,
            more => format!("{text}, and {more} more"),
        }
    }
}

/// The loader of the running kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StartedBy {
    /// The loader reports that it is kexec.
    Kexec,
    /// Another loader, by the number of `bootloader_type`.
    Loader(u64),
    /// The architecture does not show the loader, or the file cannot be read.
    Unknown,
}

impl StartedBy {
    /// Reads the loader's type, which x86 alone shows (`Documentation/admin-guide/sysctl/kernel.rst`,
    /// `bootloader_type`).
    pub(super) fn running_kernel() -> Self {
        let text = fs::read_to_string("/proc/sys/kernel/bootloader_type");
        text.map_or(Self::Unknown, |text| Self::of(&text))
    }

    /// The type is in the high bits; 0xD is kexec, both of kexec(8) and of `kexec_file_load`
    /// (`Documentation/arch/x86/boot.rst`, `type_of_loader`; `arch/x86/kernel/kexec-bzimage64.c`).
    fn of(text: &str) -> Self {
        const KEXEC: u64 = 0xd;
        match text.trim().parse::<u64>() {
            Ok(number) if number >> 4 == KEXEC => Self::Kexec,
            Ok(number) => Self::Loader(number),
            Err(_) => Self::Unknown,
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Kexec => "the running kernel was started by kexec, as its loader says, so no \
                            firmware ran before it; of earlier starts nothing is known"
                .to_owned(),
            Self::Loader(number) => format!(
                "the running kernel was started by another loader than kexec (bootloader_type \
                 {number:#x}), so most likely through firmware; whether the power was off, and what \
                 came before, does not show"
            ),
            Self::Unknown => "a kexec, a reset through firmware and a loss of power cannot be \
                              distinguished here"
                .to_owned(),
        }
    }
}

impl Canary {
    fn new(path: &Path, state: State) -> Self {
        Self {
            path: path.to_string_lossy().into_owned(),
            state,
            reason: None,
            planted: None,
            started_by: None,
            persisted: None,
            stored_only: None,
        }
    }

    pub(super) fn not_there(path: &Path) -> Self {
        Self::new(path, State::NotThere)
    }

    pub(super) fn unreadable(path: &Path, reason: String) -> Self {
        Self { reason: Some(reason), ..Self::new(path, State::Unreadable) }
    }

    /// Returns the verdict on a canary that was found, in the boot of this id.
    pub(super) fn found(
        path: &Path,
        found: Found,
        boot: Option<&str>,
        started_by: StartedBy,
    ) -> Self {
        let Found { header, persisted, stored } = found;
        let (persisted, stored) = (Part::new(&PERSISTED, persisted), Part::new(&STORED, stored));
        let state = match boot {
            _ if !persisted.is_whole() || !stored.is_of_zeros() => State::Damaged,
            None => State::BootUnknown,
            Some(boot) if boot == header.boot => State::SameBoot,
            Some(_) => State::Kept,
        };
        let started_by = boot.is_some_and(|boot| boot != header.boot).then_some(started_by);
        Self {
            planted: Some(Planted {
                at: utc(header.seconds),
                boot: header.boot,
                kernel: header.kernel,
                backing: header.backing,
                device: header.device,
                file_system: header.file_system,
                persisted_by: match header.how {
                    BY_FENCE => "a fence alone",
                    BY_LINES => "cache lines",
                    BY_PAGES => "msync",
                    _ => "means not known here",
                },
            }),
            started_by,
            persisted: Some(persisted),
            stored_only: Some(stored),
            ..Self::new(path, state)
        }
    }

    /// Returns true if the canary is there.
    pub(crate) fn is_there(&self) -> bool {
        self.state != State::NotThere
    }

    /// Returns true if the canary is damaged or unreadable.
    pub(crate) fn is_bad(&self) -> bool {
        matches!(self.state, State::Damaged | State::Unreadable)
    }

    /// Returns the report: labels and texts.
    pub(crate) fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = Vec::new();
        if let Some(reason) = &self.reason {
            rows.push(("found", format!("{} {reason}", self.path)));
        }
        if let Some(planted) = &self.planted {
            rows.push(("planted", planted.words()));
        }
        if let (Some(persisted), Some(stored)) = (&self.persisted, &self.stored_only) {
            rows.push(("found", self.verdict(persisted)));
            rows.push(("only stored", self.about_stored(persisted, stored)));
        }
        if let Some(started_by) = &self.started_by {
            rows.push(("this boot", started_by.words()));
            rows.push((
                "This is",
                "what happened once, and no promise of the next time: the table says what is \
                 promised"
                    .to_owned(),
            ));
        }
        rows
    }

    fn verdict(&self, persisted: &Part) -> String {
        let bytes = persisted.bytes;
        match self.state {
            State::SameBoot => format!(
                "all {bytes} persisted bytes, in the boot that it was planted in: nothing is proved \
                 yet. Reset the machine or kexec, mount the file system, and inspect again"
            ),
            State::Kept => format!(
                "all {bytes} persisted bytes, in another boot: what happened since then kept them"
            ),
            State::BootUnknown => format!(
                "all {bytes} persisted bytes; whether it is another boot is not known: make \
                 /proc/sys/kernel/random/boot_id readable, and inspect outside of containers"
            ),
            State::Damaged if persisted.is_whole() => {
                format!("all {bytes} persisted bytes, but not all of those that were only stored")
            }
            State::Damaged | State::NotThere | State::Unreadable => format!(
                "{} of {bytes} persisted bytes ARE LOST OR DAMAGED: {}",
                persisted.damaged_bytes,
                persisted.damage()
            ),
        }
    }

    fn about_stored(&self, persisted: &Part, stored: &Part) -> String {
        let bytes = stored.bytes;
        match (self.state, stored.is_whole()) {
            (State::SameBoot, true) => format!(
                "{bytes} bytes more, there too: the caches are coherent. The kernel writes them back \
                 after some 30 s, so reset at once to see whether a reset drops dirty lines"
            ),
            (_, true) => format!(
                "{bytes} bytes more, there too. That does not show that dirty lines were kept: the \
                 caches, the kernel, a sync or an unmount may have written them back before"
            ),
            (State::Kept, false) => format!(
                "{} of {bytes} bytes more are gone ({}): dirty lines were dropped, and a \
                 write-back is needed to survive that",
                stored.damaged_bytes,
                stored.damage()
            ),
            (State::Damaged, false) if persisted.is_whole() => format!(
                "{} of {bytes} bytes more ARE DAMAGED: {}. A dropped line leaves zeros: the memory did not keep \
                 these bytes, and that shows nothing about dirty lines",
                stored.damaged_bytes,
                stored.damage()
            ),
            (_, false) if persisted.is_whole() => format!(
                "{} of {bytes} bytes more are not as they were: {}",
                stored.damaged_bytes,
                stored.damage()
            ),
            (_, false) => format!(
                "{} of {bytes} bytes more are gone as well ({}): that shows nothing about dirty \
                 lines",
                stored.damaged_bytes,
                stored.damage()
            ),
        }
    }
}

impl Planted {
    fn words(&self) -> String {
        let or = |text: &str| if text.is_empty() { "unknown" } else { text }.to_owned();
        format!(
            "{} on {} ({}, {}), persisted by {}; kernel {}, boot {}",
            self.at,
            or(&self.device),
            or(&self.file_system),
            or(&self.backing),
            self.persisted_by,
            or(&self.kernel),
            or(&self.boot)
        )
    }
}

/// Returns the backing's name in the JSON.
pub(super) fn name_of(backing: Backing) -> String {
    let name = serde_json::to_value(backing).ok();
    name.and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Returns the time in words. A file can hold any number: one beyond the calendar, whose last day is 30 December 9999,
/// is printed as it is.
fn utc(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|second| Timestamp::from_second(second).ok());
    time.map_or_else(
        || format!("beyond the calendar's end ({seconds} s after 1970)"),
        |time| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::{StartedBy, utc};

    /// Known moments: the epoch, a leap day, 10^9 and 1.7 x 10^9 seconds, the end of 32 bits.
    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(utc(1_000_000_000), "2001-09-09 01:46:40 UTC");
        assert_eq!(utc(1_700_000_000), "2023-11-14 22:13:20 UTC");
        assert_eq!(utc(2_147_483_647), "2038-01-19 03:14:07 UTC");
        assert_eq!(utc(4_107_542_400), "2100-03-01 00:00:00 UTC");
    }

    /// 253402300800 is the first second of the year 10000 (`date -u -d @253402300800`).
    #[test]
    fn a_time_beyond_the_calendar_is_shown_in_seconds() {
        for seconds in [253_402_300_800, i64::MAX.cast_unsigned(), u64::MAX] {
            let expected = format!("beyond the calendar's end ({seconds} s after 1970)");
            assert_eq!(utc(seconds), expected);
        }
    }

    /// `type_of_loader` is 0xD0 of kexec, 0x72 of GRUB, 0xB0 of QEMU (`arch/x86/boot.rst`).
    #[test]
    fn kexec_is_distinguished_from_other_loaders() {
        assert_eq!(StartedBy::of("208\n"), StartedBy::Kexec);
        assert_eq!(StartedBy::of("114\n"), StartedBy::Loader(0x72));
        assert_eq!(StartedBy::of("176\n"), StartedBy::Loader(0xb0));
        assert_eq!(StartedBy::of("\n"), StartedBy::Unknown);
    }
}
