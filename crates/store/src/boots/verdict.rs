//! The event since the last commit, concluded from two stamps and from what the running kernel says about how it was
//! started.

use super::{Origin, Stamp};
use alloc::vec::Vec;
use cachemaint::medium::Backing;
use cachemaint::report::Statement;
use cachemaint_inspect::survival::{Condition, Event, Stage, Survival, survives};

/// The event since the last commit, its evidence, and the medium's promise to survive it.
///
/// # Copies
/// A verdict compares the last commit with the present circumstances, and a copy of a medium contains that same commit.
/// A copy, a snapshot of a virtual disk or a restored backup therefore gets the verdict of the original: in the boot of
/// the last commit, nothing seems to be lost. Its bytes may still be from an earlier moment, from different moments if
/// the store was written meanwhile, or damaged by the copying. Open such a store with
/// [`Verify::Always`](crate::Verify::Always), and treat its regions as dirty: they cannot be verified.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Verdict {
    /// The event.
    pub origin: Origin,
    /// The reasons for the conclusion, and the questions they leave open.
    pub evidence: Vec<&'static str>,
    /// The promise of the medium's [backing](cachemaint::medium::Backing) at the last commit to survive the event;
    /// `None` if the event is unknown. After a kexec, the promise also covers an earlier reset, or excludes one by its
    /// condition. The guarantee of a file can add conditions.
    pub promise: Option<Statement<Survival>>,
}

impl Verdict {
    /// Returns true if at most a process has ended since the last commit. Then no stored byte can have been lost,
    /// unless the machine hibernated: Linux does not save DAX-mapped memory (`kernel/power/snapshot.c`,
    /// `saveable_page`). For the event since the last use of a region, see
    /// [`Region::since_use`](crate::Region::since_use).
    #[must_use]
    pub const fn is_same_boot(&self) -> bool {
        matches!(self.origin, Origin::SameProcess | Origin::SameBoot)
    }

    /// Returns the verdict on a newly created store.
    pub(crate) fn of_new() -> Self {
        Self { origin: Origin::SameProcess, evidence: [CREATED].into(), promise: None }
    }
}

const CREATED: &str = "this process created the store";
const SAME_BOOT: &str = "the boot id is that of the last commit; caches are coherent, so nothing \
                         stored since then is lost unless the machine hibernated, which cannot be detected";
const SAME_PROCESS: &str = "the process and its start time are the same, too";
const NO_BOOT_ID: &str = "the current boot id or that of the last commit is unknown";
const OTHER_BOOT: &str = "the boot id differs from that of the last commit";
const UNSAFE_SHUTDOWN: &str = "the memory counted another unsafe shutdown";
const BY_KEXEC: &str = "the running kernel says that kexec loaded it (bootloader_type, Linux \
                        Documentation/arch/x86/boot.rst); earlier reboots cannot be ruled out";
const BY_ANOTHER_LOADER: &str =
    "the running kernel says that a loader other than kexec loaded it, most likely after firmware";
const NO_LOADER: &str = "this architecture does not report how the kernel was loaded";
const IN_RAM: &str = "the store is in RAM and still there, so the RAM had power all the time";
const ANY_REBOOT: &str = "whether power was lost is unknown";

const NO_RESET: Survival = Survival::If(Condition {
    code: "no_reset_before",
    text: "no reset or power loss came between the last commit and the kexec",
});

/// Returns the verdict on two stamps. `is_by_kexec` is true if another kernel started this one, or `None` if unknown.
pub(crate) fn judge(last: &Stamp, now: &Stamp, is_by_kexec: Option<bool>) -> Verdict {
    let (origin, evidence) = conclude(last, now, is_by_kexec);
    let event = match origin {
        Origin::Unknown => None,
        Origin::SameProcess | Origin::SameBoot => Some(Event::ProcessCrash),
        Origin::Kexec => Some(Event::Kexec),
        Origin::WarmReboot => Some(Event::WarmReboot),
        // The worst possible event.
        Origin::Reboot if is_ram(last.backing) => Some(Event::WarmReboot),
        Origin::Reboot | Origin::PowerLoss => Some(Event::PowerLoss),
    };
    let promise = event.map(|event| match event {
        Event::Kexec => survives_kexec(last.backing),
        event => survives(last.backing, Stage::Persisted, event),
    });
    Verdict { origin, evidence, promise }
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

fn conclude(last: &Stamp, now: &Stamp, is_by_kexec: Option<bool>) -> (Origin, Vec<&'static str>) {
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
    match is_by_kexec {
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
    use super::super::{Origin, Stamp};
    use super::judge;
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
        judge(&last, &now, is_by_kexec).origin
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
    fn the_promise_is_that_of_the_medium_at_the_last_commit() {
        let after = Stamp { boot_id: [2; 16], ..Stamp::UNKNOWN };
        let promise = |backing, is_by_kexec| {
            let last = Stamp { backing, ..BEFORE };
            judge(&last, &after, is_by_kexec).promise.map(|promise| promise.answer)
        };
        assert_eq!(promise(Backing::PmemAdr, Some(false)), Some(Survival::Yes));
        assert_eq!(promise(Backing::PmemAdr, Some(true)), Some(Survival::Yes), "in any event");
        assert_eq!(promise(Backing::Ram, Some(true)), Some(Survival::No));
        assert!(matches!(promise(Backing::EmulatedPmem, Some(true)), Some(Survival::If(_))));
        assert_eq!(judge(&BEFORE, &Stamp::UNKNOWN, None).promise, None);
    }

    /// A boot loader that is itself a kernel starts the system by kexec after each reset.
    #[test]
    fn a_reset_can_come_before_a_kexec() {
        let after = Stamp { boot_id: [2; 16], ..Stamp::UNKNOWN };
        let promise = |backing| {
            let last = Stamp { backing, ..BEFORE };
            judge(&last, &after, Some(true)).promise.unwrap()
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
