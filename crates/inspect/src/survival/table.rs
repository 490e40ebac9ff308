//! The table itself: one function for each backing.

use super::{Condition, Event, Stage, Survival};
use cachemaint::medium::Backing;
use cachemaint::report::{Certainty, Statement};

const ORDERLY: Survival = Survival::If(Condition::SYNCED_FIRST);
const SAME_MEMMAP: Survival = Survival::If(Condition::SAME_MEMORY_MAP);
const KEEPS_RAM: Survival = Survival::If(Condition::RAM_KEPT);
const SAME_PLACE: Survival = Survival::If(Condition::SAME_PLACE);
const KEEPS_PLACE: Survival = Survival::If(Condition::PLACE_KEPT);
const DRIVE_FLUSHES: Survival = Survival::If(Condition::DRIVE_FLUSHES);
/// The condition of all file systems with an unseen path to storage.
const HONOURS_FSYNC: Survival = Survival::If(Condition::HONOURS_FSYNC);
const HOST_LIVES: Survival = Survival::If(Condition::HOST_RUNS_ON);
const RESET_FLUSHES: Survival = Survival::If(Condition::LINES_WRITTEN_BACK);
const HOST_PERSISTS: Survival = Survival::If(Condition::HOST_FLUSHES);
const GPF_COMPLETES: Survival = Survival::If(Condition::NO_DIRTY_SHUTDOWN);

impl Condition {
    /// Every condition of any medium or file.
    pub const ALL: &'static [Self] = &[
        Self::DRIVE_FLUSHES,
        Self::NO_VOLATILE_CACHE,
        Self::HONOURS_FSYNC,
        Self::SYNCED_FIRST,
        Self::SAME_MEMORY_MAP,
        Self::RAM_KEPT,
        Self::SAME_PLACE,
        Self::PLACE_KEPT,
        Self::LINES_WRITTEN_BACK,
        Self::NO_DIRTY_SHUTDOWN,
        Self::HOST_FLUSHES,
        Self::HOST_RUNS_ON,
        Self::KEPT_OPEN,
    ];

    /// The condition of a drive: `drive_flushes`.
    pub const DRIVE_FLUSHES: Self =
        Self::given("drive_flushes", "the drive receives and honours flushes");
    /// The condition of a drive to which the kernel sends no flush: `no_volatile_cache`.
    pub const NO_VOLATILE_CACHE: Self = Self::given(
        "no_volatile_cache",
        "the drive has no volatile cache: the kernel sends it no flush",
    );
    /// The condition of file systems whose path to storage is not seen: `honours_fsync`.
    pub const HONOURS_FSYNC: Self = Self::given("honours_fsync", "the file system honours fsync");
    /// The condition of bytes in the page cache: `synced_first`.
    pub const SYNCED_FIRST: Self = Self::given("synced_first", "the file systems are synced first");
    /// The condition of reserved RAM: `same_memory_map`.
    pub const SAME_MEMORY_MAP: Self =
        Self::given("same_memory_map", "the next kernel is given the same memory map");
    /// The same over a reset: `ram_kept_and_same_memory_map`.
    pub const RAM_KEPT: Self = Self::given(
        "ram_kept_and_same_memory_map",
        "firmware keeps RAM, and the same memory map is given",
    );
    /// The condition of RAM that is reserved by name: `same_place`.
    pub const SAME_PLACE: Self =
        Self::given("same_place", "the next kernel reserves the same place");
    /// The same over a reset: `ram_kept_and_same_place`.
    pub const PLACE_KEPT: Self = Self::given(
        "ram_kept_and_same_place",
        "firmware keeps RAM, and the next kernel reserves the same place",
    );
    /// The condition of eADR over a reset: `lines_written_back`.
    pub const LINES_WRITTEN_BACK: Self = Self::given(
        "lines_written_back",
        "the lines were written back too, or a reset flushes the caches",
    );
    /// The condition of CXL devices: `no_dirty_shutdown`.
    pub const NO_DIRTY_SHUTDOWN: Self =
        Self::given("no_dirty_shutdown", "the dirty shutdown count has not grown");
    /// The condition of virtio-pmem: `host_flushes`.
    pub const HOST_FLUSHES: Self =
        Self::given("host_flushes", "the host's storage honours flushes");
    /// The condition of a restart of a guest: `host_runs_on`.
    pub const HOST_RUNS_ON: Self = Self::given("host_runs_on", "the host keeps running");
    /// The condition under which a file without a name outlives a process: `kept_open`.
    pub const KEPT_OPEN: Self =
        Self::given("kept_open", "another process keeps the file open or mapped");
}

/// Begins the reason why bytes in caches survive a kexec.
macro_rules! caches_survive {
    ($rest:literal) => {
        concat!(
            "a kexec drops no dirty line: x86 resets no CPU, and on arm64 firmware (PSCI) writes back the caches of \
             each CPU that it powers off; ",
            $rest
        )
    };
}

/// Returns whether bytes on a backing that had reached this stage survive an event, with the reason, source and
/// certainty.
///
/// ```
/// use cachemaint::medium::Backing;
/// use cachemaint_inspect::survival::{Event, Stage, Survival, survives};
/// let lost = survives(Backing::PmemAdr, Stage::Stored, Event::PowerLoss);
/// assert_eq!(lost.answer, Survival::No);
/// println!("{}: {} ({}, {})", lost.answer, lost.text, lost.source, lost.certainty);
/// let kept = survives(Backing::PmemAdr, Stage::Persisted, Event::PowerLoss);
/// assert_eq!(kept.answer, Survival::Yes);
/// ```
#[must_use]
pub const fn survives(backing: Backing, stage: Stage, event: Event) -> Statement<Survival> {
    match (event, backing) {
        (_, Backing::ReservedRam) => reserved(stage, event),
        (Event::ProcessCrash, Backing::Unknown | Backing::FileSystem) => Statement::documented(
            Survival::Yes,
            FILE_HAS_PAGE,
            "POSIX, mmap: MAP_SHARED; Microsoft Learn, UnmapViewOfFile",
        ),
        (Event::ProcessCrash, _) => Statement::read(
            Survival::Yes,
            FILE_HAS_PAGE,
            "Linux mm/filemap.c and fs/dax.c; mmap(2), MAP_SHARED",
        ),
        (_, Backing::Storage) => storage(stage, event),
        (_, Backing::FileSystem) => file_system(stage, event),
        (_, Backing::Ram) => Statement::documented(
            Survival::No,
            "the kernel that had the pages is gone, and the next one starts without them",
            "Linux Documentation/filesystems/tmpfs.rst",
        ),
        (_, Backing::EmulatedPmem) => emulated(stage, event),
        (Event::Kexec, Backing::PmemAdr | Backing::PmemEadr | Backing::CxlGpf | Backing::Cxl) => {
            Statement::read(
                Survival::Yes,
                caches_survive!("the next kernel finds the memory as this one did"),
                KEXEC,
            )
        }
        (_, Backing::PmemAdr) => adr(stage, event),
        (_, Backing::PmemEadr) => eadr(stage, event),
        (_, Backing::CxlGpf) => cxl_gpf(stage, event),
        (_, Backing::Cxl) => cxl(stage, event),
        (_, Backing::PmemUnknown) => unclaimed(stage, event),
        (_, Backing::VirtioPmem) => virtio(stage, event),
        (..) => not_promised("the backing could not be determined", UNKNOWN, Certainty::Assumed),
    }
}

const FILE_HAS_PAGE: &str = "a store is in the coherent caches or in memory, and the page belongs to the file, not to \
                             the process (unless it was mapped privately)";
const KEXEC: &str = "Linux arch/x86/kernel/relocate_kernel_64.S, arch/arm64/kernel/process.c, machine_shutdown; \
                     TF-A lib/psci/psci_common.c, psci_pwrdown_cpu_start";
const RESET: &str =
    "Intel SDM vol. 3A, \"Processor Management and Initialization\"; Arm core manuals";
const NFIT: &str = "ACPI, NFIT platform capabilities; passed on by Linux drivers/acpi/nfit/core.c";
const MEMMAP: &str =
    "Linux Documentation/admin-guide/kernel-parameters.txt, memmap=nn[KMG]!ss[KMG]";

const RESERVE_MEM: &str = "Linux Documentation/admin-guide/kernel-parameters.txt, reserve_mem=; Documentation/trace/debugging.rst";
const RESERVE_MEM_KEXEC: &str = "Linux 6.12.117 of Debian in QEMU 10.0: kept at the same place, and moved by 20 MiB with the \
                                 alignment 4096; Linux mm/memblock.c, reserve_mem_kho_revive";
const DEV_MEM: &str =
    "Linux 6.12.117 of Debian: /dev/mem answers EPERM; arch/x86/mm/init.c, devmem_is_allowed";

const UNKNOWN: &str = "not applicable: the backing is unknown";

const fn not_promised(
    text: &'static str,
    source: &'static str,
    certainty: Certainty,
) -> Statement<Survival> {
    match certainty {
        Certainty::Documented => Statement::documented(Survival::NotPromised, text, source),
        Certainty::ReadInSource => Statement::read(Survival::NotPromised, text, source),
        _ => Statement::assumed(Survival::NotPromised, text, source),
    }
}

/// The dirty lines of a cache at a reset.
const RESET_DROPS: Statement<Survival> = not_promised(
    "a reset invalidates the caches, and no source says that it writes them back first",
    RESET,
    Certainty::Documented,
);

const fn storage(stage: Stage, event: Event) -> Statement<Survival> {
    match (event, stage) {
        (Event::PowerLoss, Stage::Stored) => {
            Statement::documented(Survival::No, "it is in the page cache, which is RAM", "fsync(2)")
        }
        (Event::PowerLoss, _) => Statement::documented(
            DRIVE_FLUSHES,
            "fsync and msync end with a flush of the drive's own cache",
            "fsync(2); Linux Documentation/block/writeback_cache_control.rst",
        ),
        (_, Stage::Stored) => Statement::documented(
            ORDERLY,
            "it is in the page cache, which the next kernel does not get; an orderly shutdown syncs it",
            "sync(2), reboot(2)",
        ),
        (..) => Statement::documented(Survival::Yes, "it is on the drive", "fsync(2)"),
    }
}

const fn file_system(stage: Stage, event: Event) -> Statement<Survival> {
    match (event, stage) {
        (Event::PowerLoss, Stage::Stored) => Statement::documented(
            Survival::No,
            "it is in a cache of this machine, and nothing has synced it",
            "fsync(2)",
        ),
        (_, Stage::Stored) => storage(stage, event),
        (..) => Statement::documented(
            HONOURS_FSYNC,
            "a sync is documented to bring it to storage, but what the file system, its server or its device does \
             cannot be seen here",
            "fsync(2); Linux Documentation/filesystems/overlayfs.rst; RFC 8881, COMMIT; Apple, fcntl(2), F_FULLFSYNC; \
             Microsoft Learn, FlushFileBuffers",
        ),
    }
}

const fn emulated(stage: Stage, event: Event) -> Statement<Survival> {
    match (event, stage) {
        (Event::PowerLoss, _) => Statement::documented(
            Survival::No,
            "it is RAM, which loses its bytes without power",
            MEMMAP,
        ),
        (Event::WarmReboot, Stage::Stored) => RESET_DROPS,
        (Event::WarmReboot, _) => Statement::assumed(
            KEEPS_RAM,
            "it is in RAM, which firmware may train, test or clear on its way up; no source promises that \
             it does not",
            MEMMAP,
        ),
        (..) => Statement::read(
            SAME_MEMMAP,
            caches_survive!(
                "a kexec uses only system RAM for its own pages; without the same memory map the next kernel takes \
                 this range for system RAM"
            ),
            KEXEC,
        ),
    }
}

const fn reserved(stage: Stage, event: Event) -> Statement<Survival> {
    match (event, stage) {
        (Event::ProcessCrash, _) => Statement::measured(
            Survival::Yes,
            "the memory belongs to the kernel, and /dev/mem refuses to map it (STRICT_DEVMEM)",
            DEV_MEM,
        ),
        (Event::PowerLoss, _) => Statement::documented(
            Survival::No,
            "it is RAM, which loses its bytes without power",
            RESERVE_MEM,
        ),
        (Event::WarmReboot, Stage::Stored) => RESET_DROPS,
        (Event::WarmReboot, _) => Statement::documented(
            KEEPS_PLACE,
            "it is in RAM, which firmware may clear, and each kernel chooses a new place, which KASLR can move",
            RESERVE_MEM,
        ),
        (Event::Kexec, _) => Statement::measured(
            SAME_PLACE,
            caches_survive!(
                "the next kernel can be loaded there, and chooses a new place, unless the memory is handed over (KHO)"
            ),
            RESERVE_MEM_KEXEC,
        ),
    }
}

const fn adr(stage: Stage, event: Event) -> Statement<Survival> {
    match (event, stage) {
        (Event::PowerLoss, Stage::Stored) => Statement::documented(
            Survival::No,
            "it may be dirty in a CPU cache, which ADR does not flush",
            NFIT,
        ),
        (_, Stage::Stored) => RESET_DROPS,
        (Event::WarmReboot, Stage::Persisted) => Statement::assumed(
            Survival::Yes,
            "the memory controller has accepted it; a reset is assumed to drop none of it, since firmware's claim \
             (ADR) covers only power loss",
            NFIT,
        ),
        (_, Stage::Persisted) => Statement::documented(
            Survival::Yes,
            "the memory controller has accepted it, and firmware claims that stored energy (ADR) brings \
             that to the medium",
            NFIT,
        ),
        (_, Stage::DeepPersisted) => Statement::read(
            Survival::Yes,
            "the memory controller's queues were emptied, by the region's flush hints if it has them \
             (deep_flush reads 1): then it does not depend on stored energy",
            "Linux drivers/nvdimm/region_devs.c, generic_nvdimm_flush",
        ),
    }
}

const fn eadr(stage: Stage, event: Event) -> Statement<Survival> {
    match (event, stage) {
        (Event::PowerLoss, _) => Statement::documented(
            Survival::Yes,
            "firmware claims that stored energy brings the CPU caches to the medium too (eADR)",
            NFIT,
        ),
        (_, Stage::Stored) => RESET_DROPS,
        // With eADR, persisting takes only a fence.
        (_, Stage::Persisted) => Statement::read(
            RESET_FLUSHES,
            "the claim covers power loss, not a reset; a fence persists here, and the kernel's own flush skips the \
             CPU caches, so lines may still be dirty",
            "Intel SDM vol. 3A, as for ADR; Linux drivers/dax/super.c, dax_flush",
        ),
        (_, Stage::DeepPersisted) => Statement::assumed(
            Survival::Yes,
            "the lines were written back, and the memory controller has accepted them; a reset is assumed to drop \
             none of it, since firmware's claim covers only power loss",
            NFIT,
        ),
    }
}

const GPF: &str = "Linux drivers/cxl/pmem.c, cxl_nvdimm_probe: the device is dirty until a GPF that completes clears that";

const fn cxl_gpf(stage: Stage, event: Event) -> Statement<Survival> {
    match (event, stage) {
        (Event::PowerLoss, Stage::Stored) => not_promised(
            "the first phase of GPF can flush CPU caches; no source says that this platform does",
            GPF,
            Certainty::Assumed,
        ),
        (_, Stage::Stored) => RESET_DROPS,
        (_, Stage::Persisted) => Statement::read(
            GPF_COMPLETES,
            "the device has accepted it and saves it by GPF; Linux marks the device dirty before, and \
             a flush that completes clears the mark",
            GPF,
        ),
        (_, Stage::DeepPersisted) => Statement::read(
            GPF_COMPLETES,
            "as persisted: a CXL region has no flush hints, so the kernel's flush adds only a barrier",
            "Linux drivers/cxl/pmem.c, cxl_pmem_region_probe; drivers/nvdimm/region_devs.c",
        ),
    }
}

const fn cxl(stage: Stage, event: Event) -> Statement<Survival> {
    match (event, stage) {
        (Event::PowerLoss, Stage::Stored) => Statement::assumed(
            Survival::No,
            "it may be dirty in a CPU cache, and no evidence shows that this platform flushes those",
            GPF,
        ),
        (_, Stage::Stored) => RESET_DROPS,
        (..) => not_promised(
            "the device has accepted it, but does not show whether it saves its buffers at power loss, and the \
             kernel calls every CXL region's domain memory_controller without asking",
            "Linux drivers/cxl/pmem.c, cxl_pmem_region_probe",
            Certainty::ReadInSource,
        ),
    }
}

const fn unclaimed(stage: Stage, event: Event) -> Statement<Survival> {
    match (event, stage) {
        (Event::Kexec, _) => Statement::read(
            SAME_MEMMAP,
            caches_survive!("this can be emulated pmem, in RAM"),
            KEXEC,
        ),
        (Event::PowerLoss, Stage::Stored) => Statement::assumed(
            Survival::No,
            "it may be dirty in a CPU cache, and no source claims that those are flushed",
            "Linux drivers/nvdimm/region_devs.c: the attribute is hidden without a claim",
        ),
        (_, Stage::Stored) => RESET_DROPS,
        (..) => not_promised(
            "no persistence domain is known for it, and it can be emulated pmem, in RAM",
            "Linux drivers/nvdimm/region_devs.c: the attribute is hidden without a claim",
            Certainty::ReadInSource,
        ),
    }
}

const fn virtio(stage: Stage, event: Event) -> Statement<Survival> {
    const FLUSH: &str = "Linux drivers/nvdimm/nd_virtio.c; VIRTIO 1.2, \"PMEM Device\"";
    match (event, stage) {
        (Event::PowerLoss, Stage::Stored) => Statement::read(
            Survival::No,
            "it is in the host's page cache, and no flush request was sent",
            FLUSH,
        ),
        (Event::PowerLoss, _) => Statement::read(
            HOST_PERSISTS,
            "fsync and msync send a request, which the host answers after its own fsync",
            FLUSH,
        ),
        // Without MAP_SYNC the file may not have the blocks under a store yet.
        (_, Stage::Stored) => not_promised(
            "the host keeps the bytes, but without MAP_SYNC the file may not have their blocks yet",
            "Linux drivers/nvdimm/virtio_pmem.c, ND_REGION_ASYNC; fs/dax.c",
            Certainty::ReadInSource,
        ),
        (..) => Statement::read(
            HOST_LIVES,
            "it is in the host's page cache at least, which a guest's restart does not touch",
            FLUSH,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{Backing, Event, Stage, Survival, survives};
    use Backing::{
        Cxl, CxlGpf, EmulatedPmem, FileSystem, PmemAdr, PmemEadr, PmemUnknown, Ram, ReservedRam,
        Storage, Unknown, VirtioPmem,
    };
    use Stage::{DeepPersisted, Persisted, Stored};

    #[test]
    fn each_condition_of_the_table_is_listed() {
        for (backing, event) in
            Backing::ALL.iter().flat_map(|it| Event::ALL.iter().map(move |event| (it, event)))
        {
            for stage in Stage::ALL {
                if let Survival::If(condition) = survives(*backing, *stage, *event).answer {
                    assert!(super::Condition::ALL.contains(&condition), "{condition}");
                }
            }
        }
    }

    /// A line of the table: yes, no, not promised (`?`), or `if` with a word of the condition; for
    /// process crash, kexec, warm reboot, power loss.
    type Row = (Backing, Stage, [&'static str; 4]);

    /// Written from the sources that the module names, not from the code:
    /// - a killed process loses nothing that it stored: the caches are coherent and the pages are the
    ///   file's;
    /// - kexec resets no CPU on x86, and on arm64 firmware writes back the caches of the CPUs that it powers off;
    /// - emulated pmem is kept over a kexec if the next kernel reserves it too, and all that the kernel itself
    ///   had in RAM is gone;
    /// - RESET# invalidates the caches without writing them back (Intel SDM vol. 3A), so dirty
    ///   bytes are not promised, with eADR after a persist too, since that is a fence; stores that
    ///   the memory controller has accepted are in the DIMMs with ADR;
    /// - RAM that is reserved by name is the kernel's; each kernel looks for a new place
    ///   (`reserve_mem=`), and it is kept as emulated pmem is if the place is the same;
    /// - RAM keeps nothing without power; ADR keeps written-back bytes, eADR stored ones;
    /// - memory without a claim can be emulated pmem;
    /// - a CXL device saves the bytes it accepted by GPF, and its dirty shutdown count grows if
    ///   that fails (Linux marks it dirty first). GPF that does not show is not a promise, and the flush of CPU caches
    ///   depends on the platform;
    /// - a deep flush writes the lines back, with eADR too, and empties queues in front of the medium: bytes that were
    ///   promised before still are, and others (RAM, devices without flush hints) are not promised by it;
    /// - virtio-pmem has no `MAP_SYNC`, so the blocks under a store need not be the file's yet;
    /// - a file system whose way to storage is not seen keeps what was synced if it does what is documented;
    /// - nothing is promised without a claim.
    const TABLE: [Row; 36] = [
        (Storage, Stored, ["yes", "if synced", "if synced", "no"]),
        (Storage, Persisted, ["yes", "yes", "yes", "if drive"]),
        (Storage, DeepPersisted, ["yes", "yes", "yes", "if drive"]),
        (FileSystem, Stored, ["yes", "if synced", "if synced", "no"]),
        (
            FileSystem,
            Persisted,
            ["yes", "if honours fsync", "if honours fsync", "if honours fsync"],
        ),
        (
            FileSystem,
            DeepPersisted,
            ["yes", "if honours fsync", "if honours fsync", "if honours fsync"],
        ),
        (Ram, Stored, ["yes", "no", "no", "no"]),
        (Ram, Persisted, ["yes", "no", "no", "no"]),
        (Ram, DeepPersisted, ["yes", "no", "no", "no"]),
        (EmulatedPmem, Stored, ["yes", "if memory map", "?", "no"]),
        (EmulatedPmem, Persisted, ["yes", "if memory map", "if firmware keeps RAM", "no"]),
        (EmulatedPmem, DeepPersisted, ["yes", "if memory map", "if firmware keeps RAM", "no"]),
        (ReservedRam, Stored, ["yes", "if same place", "?", "no"]),
        (ReservedRam, Persisted, ["yes", "if same place", "if firmware keeps RAM", "no"]),
        (ReservedRam, DeepPersisted, ["yes", "if same place", "if firmware keeps RAM", "no"]),
        (PmemAdr, Stored, ["yes", "yes", "?", "no"]),
        (PmemAdr, Persisted, ["yes", "yes", "yes", "yes"]),
        (PmemAdr, DeepPersisted, ["yes", "yes", "yes", "yes"]),
        (PmemEadr, Stored, ["yes", "yes", "?", "yes"]),
        (PmemEadr, Persisted, ["yes", "yes", "if written back too", "yes"]),
        (PmemEadr, DeepPersisted, ["yes", "yes", "yes", "yes"]),
        (CxlGpf, Stored, ["yes", "yes", "?", "?"]),
        (CxlGpf, Persisted, ["yes", "yes", "if dirty shutdown count", "if dirty shutdown count"]),
        (
            CxlGpf,
            DeepPersisted,
            ["yes", "yes", "if dirty shutdown count", "if dirty shutdown count"],
        ),
        (Cxl, Stored, ["yes", "yes", "?", "no"]),
        (Cxl, Persisted, ["yes", "yes", "?", "?"]),
        (Cxl, DeepPersisted, ["yes", "yes", "?", "?"]),
        (PmemUnknown, Stored, ["yes", "if memory map", "?", "no"]),
        (PmemUnknown, Persisted, ["yes", "if memory map", "?", "?"]),
        (PmemUnknown, DeepPersisted, ["yes", "if memory map", "?", "?"]),
        (VirtioPmem, Stored, ["yes", "?", "?", "no"]),
        (VirtioPmem, Persisted, ["yes", "if host", "if host", "if host's storage"]),
        (VirtioPmem, DeepPersisted, ["yes", "if host", "if host", "if host's storage"]),
        (Unknown, Stored, ["yes", "?", "?", "?"]),
        (Unknown, Persisted, ["yes", "?", "?", "?"]),
        (Unknown, DeepPersisted, ["yes", "?", "?", "?"]),
    ];

    #[test]
    fn each_cell_is_what_the_platforms_promise_with_its_source() {
        assert_eq!(TABLE.len(), Backing::ALL.len() * Stage::ALL.len());
        for (backing, stage, cells) in TABLE {
            for (event, cell) in Event::ALL.iter().copied().zip(cells) {
                let statement = survives(backing, stage, event);
                assert!(!statement.text.is_empty() && !statement.source.is_empty());
                let found = statement.answer;
                let agrees = match (found, cell.strip_prefix("if ")) {
                    (Survival::If(condition), Some(words)) => condition.text.contains(words),
                    (Survival::Yes, None) => cell == "yes",
                    (Survival::No, None) => cell == "no",
                    (Survival::NotPromised, None) => cell == "?",
                    _ => false,
                };
                assert!(agrees, "{backing:?} {stage:?} {event:?}: {found:?}, not {cell}");
            }
        }
    }

    /// More stage never makes survival worse.
    #[test]
    fn to_persist_never_harms() {
        let worth = |survival| match survival {
            Survival::No => 0,
            Survival::NotPromised => 1,
            Survival::If(_) => 2,
            Survival::Yes => 3,
        };
        for &backing in Backing::ALL {
            for &event in Event::ALL {
                let worth_at = |stage: &Stage| worth(survives(backing, *stage, event).answer);
                assert!(Stage::ALL.is_sorted_by_key(worth_at), "{backing:?} {event:?}");
            }
        }
    }

    /// The screen shows two answers a cell. With eADR a reset drops lines that a persist leaves dirty.
    #[test]
    fn deep_persisting_changes_reasons_and_the_answer_only_for_eadr_at_a_reset() {
        for &backing in Backing::ALL {
            for &event in Event::ALL {
                let [persisted, deep] =
                    [Persisted, DeepPersisted].map(|stage| survives(backing, stage, event));
                let is_eadr_at_reset = (backing, event) == (PmemEadr, Event::WarmReboot);
                assert_eq!(
                    persisted.answer != deep.answer,
                    is_eadr_at_reset,
                    "{backing:?} {event:?}"
                );
            }
        }
        let [persisted, deep] =
            [Persisted, DeepPersisted].map(|stage| survives(PmemAdr, stage, Event::PowerLoss));
        assert!(persisted.text.contains("stored energy (ADR) brings"));
        assert!(deep.text.contains("does not depend on stored energy"));
    }

    #[test]
    fn a_main_that_returns_an_unmet_requirement_prints_its_sentence() {
        let event = Event::PowerLoss;
        let unmet = super::super::Unmet { event, statement: survives(Ram, Persisted, event) };
        assert!(alloc::format!("{unmet:?}").starts_with("persisted data does not survive"));
    }
}
