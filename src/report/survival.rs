//! What survives what: the table, as a pure function.
//!
//! Its rows are what backs the bytes, its columns the events; each cell is answered for bytes that
//! were only stored and for bytes that were persisted (written back and fenced; with eADR fenced; or
//! `msync`ed where the granularity is a page). A cell says what is promised, not what usually happens.
//!
//! Sources: kexec: Linux `arch/x86/kernel/relocate_kernel_64.S`, `arch/arm64/kernel/machine_kexec.c`
//! (caches are neither invalidated nor written back; they stay coherent). Reset: Intel SDM vol. 3A,
//! "Processor Management and Initialization" (RESET# invalidates the caches without write-back);
//! Arm core manuals (caches are invalidated on reset). ADR and eADR: ACPI, NFIT platform
//! capabilities. DRAM over a reset: nobody promises it; firmware may train, test or clear it.

/// What backs the bytes of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Backing {
    /// The page cache over a file system on storage.
    Storage,
    /// RAM that belongs to the kernel: tmpfs, hugetlbfs.
    Ram,
    /// RAM that was set aside as persistent memory (`memmap=nn!ss`) or that the kernel calls volatile,
    /// mapped directly.
    EmulatedPmem,
    /// Persistent memory whose domain ends at the memory controller (ADR), mapped directly.
    PmemAdr,
    /// Persistent memory whose domain has the CPU caches in it (eADR), mapped directly.
    PmemEadr,
    /// Persistent memory for which nobody claims a domain, mapped directly.
    PmemUnknown,
    /// virtio-pmem: memory of the host behind a flush request.
    VirtioPmem,
    /// It could not be found out.
    Unknown,
}

impl Backing {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Storage,
        Self::Ram,
        Self::EmulatedPmem,
        Self::PmemAdr,
        Self::PmemEadr,
        Self::PmemUnknown,
        Self::VirtioPmem,
        Self::Unknown,
    ];

    /// The backing in a word or two.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Storage => "storage",
            Self::Ram => "RAM (tmpfs)",
            Self::EmulatedPmem => "pmem in RAM",
            Self::PmemAdr => "pmem, ADR",
            Self::PmemEadr => "pmem, eADR",
            Self::PmemUnknown => "pmem, no claim",
            Self::VirtioPmem => "virtio-pmem",
            Self::Unknown => "unknown",
        }
    }
}

/// What happens to the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Event {
    /// The process is killed or crashes. A file without a name (memfd, `O_TMPFILE`) goes with its last
    /// descriptor, whatever backs it; this is about files that have one.
    ProcessCrash,
    /// The kernel starts another one without firmware, after a crash (kdump) or on request.
    Kexec,
    /// A reset or reboot through firmware, without losing power.
    WarmReboot,
    /// Power is lost.
    PowerLoss,
}

impl Event {
    /// All events, the mildest first.
    pub const ALL: [Self; 4] = [Self::ProcessCrash, Self::Kexec, Self::WarmReboot, Self::PowerLoss];

    /// The event in a few words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ProcessCrash => "process crash",
            Self::Kexec => "kexec, kdump",
            Self::WarmReboot => "warm reboot",
            Self::PowerLoss => "power loss",
        }
    }
}

/// How far the bytes have got when it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Progress {
    /// Stored, and no more: dirty in a cache or in the page cache.
    Stored,
    /// Persisted, and the call has returned.
    Persisted,
}

/// Whether the bytes are there afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Survival {
    /// They are, as the platform claims.
    Yes,
    /// They are lost, or must be taken for lost.
    No,
    /// They may be; nobody promises it.
    NotPromised,
    /// They are, if this holds.
    If(&'static str),
}

impl core::fmt::Display for Survival {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Yes => f.pad("yes"),
            Self::No => f.pad("no"),
            Self::NotPromised => f.pad("not promised"),
            Self::If(condition) => write!(f, "if {condition}"),
        }
    }
}

const ORDERLY: Survival = Survival::If("the file systems are synced first");
const SAME_MEMMAP: Survival = Survival::If("the next kernel is given the same memory map");
const KEEPS_RAM: Survival = Survival::If("firmware keeps RAM, and the same memory map is given");
const DRIVE_FLUSHES: Survival = Survival::If("the drive honours flushes");
const HOST_LIVES: Survival = Survival::If("the host goes on running");
const RESET_FLUSHES: Survival =
    Survival::If("the lines were written back too, or a reset flushes the caches");
const HOST_PERSISTS: Survival = Survival::If("the host's storage honours flushes");

/// Whether bytes on this backing, which had got so far, are there after the event.
///
/// ```
/// use cachemaint::report::{Backing, Event, Progress, Survival, survival};
/// let stored = survival(Backing::PmemAdr, Progress::Stored, Event::PowerLoss);
/// assert_eq!(stored, Survival::No);
/// let persisted = survival(Backing::PmemAdr, Progress::Persisted, Event::PowerLoss);
/// assert_eq!(persisted, Survival::Yes);
/// ```
#[must_use]
#[expect(clippy::match_same_arms, reason = "each backing has its lines, with their own reasons")]
pub const fn survival(backing: Backing, progress: Progress, event: Event) -> Survival {
    use Backing::{
        EmulatedPmem, PmemAdr, PmemEadr, PmemUnknown, Ram, Storage, Unknown, VirtioPmem,
    };
    use Event::{Kexec, PowerLoss, ProcessCrash, WarmReboot};
    use Progress::{Persisted, Stored};
    use Survival::{No, NotPromised, Yes};

    match (backing, event, progress) {
        // A retired store is in the coherent caches, and the pages are the file's.
        (_, ProcessCrash, _) => Yes,

        (Storage, Kexec | WarmReboot, Stored) => ORDERLY,
        (Storage, Kexec | WarmReboot, Persisted) => Yes,
        (Storage, PowerLoss, Stored) => No,
        (Storage, PowerLoss, Persisted) => DRIVE_FLUSHES,

        (Ram, _, _) => No,

        (EmulatedPmem, Kexec, _) => SAME_MEMMAP,
        (EmulatedPmem, WarmReboot, Stored) => NotPromised,
        (EmulatedPmem, WarmReboot, Persisted) => KEEPS_RAM,
        (EmulatedPmem, PowerLoss, _) => No,

        (PmemAdr | PmemEadr, Kexec, _) => Yes,
        // It can be RAM that was set aside, whose region is not visible here.
        (PmemUnknown, Kexec, _) => SAME_MEMMAP,
        // A reset may drop dirty lines. With eADR persisting takes a fence alone, so that they can
        // be dirty after it, and the claim is about power, not about a reset.
        (PmemAdr | PmemEadr | PmemUnknown, WarmReboot, Stored) => NotPromised,
        (PmemAdr, WarmReboot, Persisted) => Yes,
        (PmemEadr, WarmReboot, Persisted) => RESET_FLUSHES,
        (PmemAdr, PowerLoss, Stored) => No,
        (PmemAdr, PowerLoss, Persisted) | (PmemEadr, PowerLoss, _) => Yes,
        (PmemUnknown, WarmReboot | PowerLoss, Persisted) => NotPromised,
        (PmemUnknown, PowerLoss, Stored) => No,

        // Without MAP_SYNC the blocks under a store may not be the file's yet.
        (VirtioPmem, Kexec | WarmReboot, Stored) => NotPromised,
        (VirtioPmem, Kexec | WarmReboot, Persisted) => HOST_LIVES,
        (VirtioPmem, PowerLoss, Stored) => No,
        (VirtioPmem, PowerLoss, Persisted) => HOST_PERSISTS,

        (Unknown, _, _) => NotPromised,
    }
}

#[cfg(test)]
mod tests {
    use super::{Backing, Event, Progress, Survival, survival};
    use Backing::{
        EmulatedPmem, PmemAdr, PmemEadr, PmemUnknown, Ram, Storage, Unknown, VirtioPmem,
    };
    use Progress::{Persisted, Stored};

    /// A line of the table: yes, no, not promised (`?`), or `if` with a word of the condition; for
    /// process crash, kexec, warm reboot, power loss.
    type Row = (Backing, Progress, [&'static str; 4]);

    /// Written from the sources that the module names, not from the code:
    /// - a killed process loses nothing that it stored: the caches are coherent and the pages are the
    ///   file's;
    /// - kexec neither resets the CPU nor invalidates its caches; RAM that was set aside is kept if
    ///   the next kernel is told so, and what the kernel itself had in RAM is gone;
    /// - RESET# invalidates the caches without writing them back (Intel SDM vol. 3A), so what is
    ///   dirty is not promised, with eADR after a persist too, since that is a fence; what the memory
    ///   controller has accepted is in the DIMMs with ADR;
    /// - RAM keeps nothing without power; ADR keeps what was written back, eADR what was stored;
    /// - memory without a claim can be RAM that was set aside;
    /// - virtio-pmem has no `MAP_SYNC`, so the blocks under a store need not be the file's yet;
    /// - nothing is promised where nobody makes a claim.
    const TABLE: [Row; 16] = [
        (Storage, Stored, ["yes", "if synced", "if synced", "no"]),
        (Storage, Persisted, ["yes", "yes", "yes", "if drive"]),
        (Ram, Stored, ["yes", "no", "no", "no"]),
        (Ram, Persisted, ["yes", "no", "no", "no"]),
        (EmulatedPmem, Stored, ["yes", "if memory map", "?", "no"]),
        (EmulatedPmem, Persisted, ["yes", "if memory map", "if firmware keeps RAM", "no"]),
        (PmemAdr, Stored, ["yes", "yes", "?", "no"]),
        (PmemAdr, Persisted, ["yes", "yes", "yes", "yes"]),
        (PmemEadr, Stored, ["yes", "yes", "?", "yes"]),
        (PmemEadr, Persisted, ["yes", "yes", "if written back too", "yes"]),
        (PmemUnknown, Stored, ["yes", "if memory map", "?", "no"]),
        (PmemUnknown, Persisted, ["yes", "if memory map", "?", "?"]),
        (VirtioPmem, Stored, ["yes", "?", "?", "no"]),
        (VirtioPmem, Persisted, ["yes", "if host", "if host", "if host's storage"]),
        (Unknown, Stored, ["yes", "?", "?", "?"]),
        (Unknown, Persisted, ["yes", "?", "?", "?"]),
    ];

    #[test]
    fn each_cell_is_what_the_platforms_promise() {
        for (backing, progress, cells) in TABLE {
            for (event, cell) in Event::ALL.into_iter().zip(cells) {
                let found = survival(backing, progress, event);
                let agrees = match (found, cell.strip_prefix("if ")) {
                    (Survival::If(condition), Some(words)) => condition.contains(words),
                    (Survival::Yes, None) => cell == "yes",
                    (Survival::No, None) => cell == "no",
                    (Survival::NotPromised, None) => cell == "?",
                    _ => false,
                };
                assert!(agrees, "{backing:?} {progress:?} {event:?}: {found:?}, not {cell}");
            }
        }
    }

    /// More progress never makes survival worse.
    #[test]
    fn to_persist_never_harms() {
        let worth = |survival| match survival {
            Survival::No => 0,
            Survival::NotPromised => 1,
            Survival::If(_) => 2,
            Survival::Yes => 3,
        };
        for backing in Backing::ALL {
            for event in Event::ALL {
                let [stored, persisted] =
                    [Stored, Persisted].map(|progress| worth(survival(backing, progress, event)));
                assert!(persisted >= stored, "{backing:?} {event:?}");
            }
        }
    }
}
