//! The event between two stamps.

use crate::Stamp;
use cachemaint::medium::Backing;
use cachemaint::report::Statement;
use cachemaint_inspect::survival::{Condition, Event, Stage, Survival, survives};
use core::fmt;

/// The event between two stamps, as far as it can be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Origin {
    /// Unknown.
    Unknown,
    /// No event: this process has put the stamp.
    SameProcess,
    /// Another process has put it during this boot.
    SameBoot,
    /// Another kernel started the running one, without firmware. A reset or a power loss before that cannot be
    /// detected.
    Kexec,
    /// A reboot through firmware that kept RAM.
    WarmReboot,
    /// Power loss, or a shutdown that was unsafe for the memory.
    PowerLoss,
    /// A reboot of an unknown kind.
    Reboot,
}

impl Origin {
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

/// The event since a stamp, its evidence, and the medium's promise to survive it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Verdict {
    /// The event.
    pub origin: Origin,
    /// The reasons for the conclusion, and the questions they leave open.
    pub evidence: Vec<&'static str>,
    /// The promise of the medium's [backing](Backing) at the stamp to survive the event; `None` if the event is unknown.
    /// After a kexec, the promise also covers an earlier reset, or excludes one by its condition. The guarantee of a
    /// file can add conditions.
    pub promise: Option<Statement<Survival>>,
}

impl Verdict {
    /// Returns true if at most a process has ended since the stamp. Then no stored byte can have been lost, unless the
    /// machine hibernated.
    #[must_use]
    pub const fn is_same_boot(&self) -> bool {
        matches!(self.origin, Origin::SameProcess | Origin::SameBoot)
    }
}

const SAME_BOOT: &str = "the boot id is that of the stamp; caches are coherent, so nothing stored since then is lost \
                         unless the machine hibernated, which cannot be detected";
const SAME_PROCESS: &str = "the process and its start time are the same, too";
const NO_BOOT_ID: &str = "the current boot id or that of the stamp is unknown";
const OTHER_BOOT: &str = "the boot id differs from that of the stamp";
const UNSAFE_SHUTDOWN: &str = "the memory counted another unsafe shutdown";
const BY_KEXEC: &str = "the running kernel says that kexec loaded it (bootloader_type, Linux \
                        Documentation/arch/x86/boot.rst); earlier reboots cannot be ruled out";
const BY_ANOTHER_LOADER: &str =
    "the running kernel says that a loader other than kexec loaded it, most likely after firmware";
const NO_LOADER: &str = "this architecture does not report how the kernel was loaded";
const IN_RAM: &str = "the stamp is in RAM and still there, so the RAM had power all the time";
const ANY_REBOOT: &str = "whether power was lost is unknown";

const NO_RESET: Survival = Survival::If(Condition::given(
    "no_reset_before",
    "no reset or power loss came between the stamp and the kexec",
));

impl Stamp {
    /// Returns the event between this stamp and a later one.
    #[must_use]
    pub fn verdict(&self, now: &Self) -> Verdict {
        let (origin, evidence) = conclude(self, now);
        let event = match origin {
            Origin::Unknown => None,
            Origin::SameProcess | Origin::SameBoot => Some(Event::ProcessCrash),
            Origin::Kexec => Some(Event::Kexec),
            Origin::WarmReboot => Some(Event::WarmReboot),
            // The worst possible event.
            Origin::Reboot if is_ram(self.backing) => Some(Event::WarmReboot),
            Origin::Reboot | Origin::PowerLoss => Some(Event::PowerLoss),
        };
        let promise = event.map(|event| match event {
            Event::Kexec => survives_kexec(self.backing),
            event => survives(self.backing, Stage::Persisted, event),
        });
        Verdict { origin, evidence, promise }
    }
}

/// Returns the promise to survive a kexec, and an undetected reset or power loss before it.
fn survives_kexec(backing: Backing) -> Statement<Survival> {
    let persisted = |event| survives(backing, Stage::Persisted, event);
    let mut kexec = persisted(Event::Kexec);
    let earlier = [Event::WarmReboot, Event::PowerLoss].map(persisted);
    match kexec.answer {
        Survival::Yes if earlier.iter().any(|earlier| earlier.answer != Survival::Yes) => {
            kexec.answer = NO_RESET;
            kexec
        }
        // The condition of a reset includes that of a kexec.
        Survival::If(_) => earlier[0],
        _ => kexec,
    }
}

fn conclude(last: &Stamp, now: &Stamp) -> (Origin, Vec<&'static str>) {
    match last.is_same_boot(now) {
        None => return (Origin::Unknown, [NO_BOOT_ID].into()),
        Some(true) => {
            let process = |stamp: &Stamp| (stamp.process, stamp.process_start);
            let is_same = last.process != 0 && process(last) == process(now);
            return if is_same {
                (Origin::SameProcess, [SAME_BOOT, SAME_PROCESS].into())
            } else {
                (Origin::SameBoot, [SAME_BOOT].into())
            };
        }
        Some(false) => {}
    }
    let has_grown = match (last.unsafe_shutdowns, now.unsafe_shutdowns) {
        (Some(before), Some(after)) => after > before,
        _ => false,
    };
    match now.is_by_kexec {
        _ if has_grown => (Origin::PowerLoss, [OTHER_BOOT, UNSAFE_SHUTDOWN].into()),
        Some(true) => (Origin::Kexec, [OTHER_BOOT, BY_KEXEC].into()),
        Some(false) if is_ram(last.backing) => {
            (Origin::WarmReboot, [OTHER_BOOT, BY_ANOTHER_LOADER, IN_RAM].into())
        }
        Some(false) => (Origin::Reboot, [OTHER_BOOT, BY_ANOTHER_LOADER, ANY_REBOOT].into()),
        None if is_ram(last.backing) => (Origin::Reboot, [OTHER_BOOT, NO_LOADER, IN_RAM].into()),
        None => (Origin::Reboot, [OTHER_BOOT, NO_LOADER, ANY_REBOOT].into()),
    }
}

/// Returns true if a medium loses all of its contents when power is lost.
const fn is_ram(backing: Backing) -> bool {
    matches!(backing, Backing::EmulatedPmem | Backing::ReservedRam | Backing::Ram)
}

#[cfg(test)]
mod tests {
    use super::Origin;
    use crate::Stamp;
    use cachemaint::medium::Backing;
    use cachemaint_inspect::survival::{Event, Stage, Survival, survives};

    const BEFORE: Stamp = Stamp {
        boot_id: [1; 16],
        process: 7,
        process_start: 100,
        backing: Backing::EmulatedPmem,
        ..Stamp::UNKNOWN
    };

    fn origin(last: Stamp, now: Stamp, is_by_kexec: Option<bool>) -> Origin {
        last.verdict(&Stamp { is_by_kexec, ..now }).origin
    }

    #[test]
    fn the_origin_is_as_exact_as_the_evidence() {
        let after = Stamp { boot_id: [2; 16], ..BEFORE };
        let on = |backing| Stamp { backing, ..BEFORE };
        assert_eq!(origin(BEFORE, BEFORE, Some(true)), Origin::SameProcess);
        let successor = Stamp { process_start: 200, ..BEFORE };
        assert_eq!(origin(BEFORE, successor, None), Origin::SameBoot);
        assert_eq!(origin(BEFORE, Stamp::UNKNOWN, None), Origin::Unknown);
        assert_eq!(origin(Stamp::UNKNOWN, after, Some(true)), Origin::Unknown);
        assert_eq!(origin(BEFORE, after, Some(true)), Origin::Kexec);
        assert_eq!(origin(BEFORE, after, Some(false)), Origin::WarmReboot);
        assert_eq!(origin(BEFORE, after, None), Origin::Reboot);
        assert_eq!(origin(on(Backing::ReservedRam), after, Some(false)), Origin::WarmReboot);
        assert_eq!(origin(on(Backing::PmemAdr), after, Some(false)), Origin::Reboot);
        let counted = |count| Stamp { unsafe_shutdowns: Some(count), ..BEFORE };
        let later = |count| Stamp { unsafe_shutdowns: Some(count), ..after };
        assert_eq!(origin(counted(3), later(4), Some(true)), Origin::PowerLoss);
        assert_eq!(origin(counted(3), later(3), Some(true)), Origin::Kexec);
        assert_eq!(origin(BEFORE, later(3), Some(true)), Origin::Kexec);
    }

    #[test]
    fn the_promise_is_that_of_the_medium_at_the_stamp() {
        let promise = |backing, is_by_kexec| {
            let after = Stamp { boot_id: [2; 16], is_by_kexec, ..Stamp::UNKNOWN };
            let last = Stamp { backing, ..BEFORE };
            last.verdict(&after).promise.map(|promise| promise.answer)
        };
        assert_eq!(promise(Backing::PmemAdr, Some(false)), Some(Survival::Yes));
        assert_eq!(promise(Backing::PmemAdr, Some(true)), Some(Survival::Yes), "in any event");
        assert_eq!(promise(Backing::Ram, Some(true)), Some(Survival::No));
        assert!(matches!(promise(Backing::EmulatedPmem, Some(true)), Some(Survival::If(_))));
        assert_eq!(BEFORE.verdict(&Stamp::UNKNOWN).promise, None);
    }

    /// A boot loader that is itself a kernel starts the system by kexec after each reset.
    #[test]
    fn a_reset_can_come_before_a_kexec() {
        let after = Stamp { boot_id: [2; 16], is_by_kexec: Some(true), ..Stamp::UNKNOWN };
        let promise = |backing| {
            let last = Stamp { backing, ..BEFORE };
            last.verdict(&after).promise.unwrap()
        };
        for backing in [Backing::PmemEadr, Backing::CxlGpf, Backing::Cxl, Backing::Storage] {
            assert_eq!(promise(backing).answer, super::NO_RESET, "{backing:?}");
        }
        for backing in [Backing::EmulatedPmem, Backing::ReservedRam, Backing::PmemUnknown] {
            let reset = survives(backing, Stage::Persisted, Event::WarmReboot);
            assert_eq!(promise(backing), reset, "{backing:?}");
        }
    }
}
