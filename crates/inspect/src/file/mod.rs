//! The report on a file: the medium under it, and what its bytes survive.

#[cfg(target_os = "linux")]
mod bad_blocks;
#[cfg(target_os = "linux")]
mod conclude;
#[cfg(target_os = "linux")]
mod extents;
mod placement;
#[cfg(test)]
#[cfg(all(target_os = "linux", not(miri)))]
mod tests;

#[cfg(target_os = "linux")]
pub use bad_blocks::{BadBlocks, bad_blocks};
pub use placement::{Extent, Placement, placement};

use crate::survival::{Condition, Event, Stage, Survival, Unmet, survives};
use crate::{Evidence, MemoryDevice, PmemRegion, Unknown};
use alloc::string::String;
use alloc::vec::Vec;
use cachemaint::Cache;
use cachemaint::dax::{DaxView, Error, Guarantee};
use cachemaint::family::file::{self, FileFacts};
use cachemaint::medium::{Backing, Granularity};
use cachemaint::report::Statement;
#[cfg(target_os = "linux")]
use cachemaint::{aliasing::Aliasing, family::file::Reach, family::tree::Tree, report::CpuReport};
use std::fs::File;
use std::path::Path;

/// The survival of power loss if the kernel sends no flush to a drive.
const UNFLUSHED: Statement<Survival> = Statement::documented(
    Survival::If(Condition::NO_VOLATILE_CACHE),
    "the kernel drops flushes to a device with queue/write_cache set to write through, whatever cache the drive has",
    "Linux Documentation/ABI/stable/sysfs-block, write_cache; block/blk-core.c, submit_bio_noacct",
);

/// The survival of a kexec by stored bytes that are mapped directly and without `MAP_SYNC`.
const UNSETTLED: Statement<Survival> = Statement::read(
    Survival::NotPromised,
    "the memory keeps the bytes, but without MAP_SYNC the file may not have their blocks yet",
    "Linux fs/dax.c, dax_fault_is_synchronous",
);

/// The source for files without a name.
const NAMELESS: &str = "unlink(2); memfd_create(2)";

/// The advice if nothing counts shutdowns.
const NO_COUNT: &str = "nothing to do for RAM and storage; of other media ask the vendor's tools";

/// The report on a file: its granularity and the reason, the medium and the devices under it, and the events that its
/// bytes survive.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("file");
/// use cachemaint_inspect::FileReport;
/// use cachemaint_inspect::survival::{Event, Stage, Survival};
///
/// # std::fs::write(&path, [0; 4096])?;
/// let report = FileReport::at(&path)?;
/// let persisted = report.survives(Stage::Persisted, Event::PowerLoss);
/// if persisted.answer != Survival::Yes {
///     println!("{}: {}", report.device, persisted.text);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[non_exhaustive]
pub struct FileReport {
    /// The smallest unit that is made persistent.
    pub granularity: Granularity,
    /// The memory or device that backs the bytes.
    pub backing: Backing,
    /// The reason for the granularity, and for a doubt about the backing.
    pub reason: String,
    /// The way to a finer granularity, or to survive more events; `None` if there is none better.
    pub advice: Option<&'static str>,
    /// The type of the file system, as in `/proc/thread-self/mountinfo`; empty if it was not found, and on systems
    /// other than Linux.
    pub file_system: String,
    /// The mount point of the file system; empty if it was not found, and on systems other than Linux.
    pub mount_point: String,
    /// The kernel's name of the block device, or of the [device](Self::is_device_dax) that the file is. It is empty if
    /// the file has no device, and on systems other than Linux.
    pub device: String,
    /// True for device DAX (`/dev/dax0.0`): memory without a file system.
    pub is_device_dax: bool,
    /// The alignment in bytes: the offset of a mapping must be a multiple of it, and with device DAX the length too.
    pub alignment: u64,
    /// The region of persistent memory that the file lies in. If there are several, it is the one with the weakest promise.
    pub region: Option<PmemRegion>,
    /// The memory devices (NVDIMMs, CXL devices) of all regions that the file lies in, as far as the kernel shows them.
    pub devices: Vec<MemoryDevice>,
    /// True if stores go to the page cache, and only a write-back takes them to the medium.
    through_page_cache: bool,
    /// True if the kernel was found to send no flush to a drive under the file.
    drops_flushes: bool,
    /// False if the file had no name when it was asked about, so that it ends with its last descriptor.
    has_name: bool,
    /// The questions and their answers, in order.
    pub evidence: Vec<Evidence>,
}

/// The answers about a file from which the rest is concluded.
#[cfg(target_os = "linux")]
#[derive(Clone, Debug)]
struct Asked {
    facts: FileFacts,
    /// The error number of the kernel's refusal of `MAP_SYNC`.
    refusal: Option<i32>,
    reach: Reach,
    /// True if the CPU reports a guest: claims are then the hypervisor's.
    in_guest: bool,
    /// True if the data cache aliases, so that Linux refuses to map files directly.
    data_cache_aliases: bool,
}

impl FileReport {
    /// Returns the report on a file at `path`. Nothing is locked, written or created. For a directory, returns the
    /// report on a new file in it. Symbolic links are followed, so `/proc/self/fd/NUMBER` names an open file on Linux.
    ///
    /// # Errors
    /// If the path does not exist, or this user cannot open it, or its file cannot be made persistent.
    ///
    /// # Cost
    /// Dozens of small files in `/proc` and `/sys`.
    pub fn at(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let (file, facts) = file::look(path)?;
        let cache = Cache::host().ok();
        let (guarantee, refusal) = file::guarantee_of(path, &file, &facts, cache)?;
        Ok(Self::conclude(facts, refusal, cache, &guarantee))
    }

    /// Returns the report on an open file.
    ///
    /// # Errors
    /// If the system does not answer.
    ///
    /// # Cost
    /// As [`at`](Self::at).
    pub fn of(view: &DaxView) -> Result<Self, Error> {
        let (path, file) = (view.path(), descriptor(view));
        let facts = file::facts_of(path, file)?;
        let cache = view.cache().or_else(|| Cache::host().ok());
        let (_, refusal) = file::guarantee_of(path, file, &facts, cache)?;
        Ok(Self::conclude(facts, refusal, cache, view.guarantee()))
    }

    #[cfg(target_os = "linux")]
    fn conclude(
        facts: FileFacts,
        refusal: Option<i32>,
        cache: Option<Cache>,
        guarantee: &Guarantee,
    ) -> Self {
        let reach = Reach::of(cache);
        let in_guest = cachemaint::family::is_guest();
        let asked = Asked { facts, refusal, reach, in_guest, data_cache_aliases: aliases() };
        conclude::conclude(&Tree::host(), &asked, guarantee)
    }

    /// Returns the report on every file of a system whose devices are not asked about.
    #[cfg(not(target_os = "linux"))]
    #[expect(clippy::needless_pass_by_value, reason = "the signature is that of Linux")]
    fn conclude(facts: FileFacts, _: Option<i32>, _: Option<Cache>, guarantee: &Guarantee) -> Self {
        let system = cachemaint::family::calls::System::host();
        Self {
            granularity: guarantee.granularity,
            backing: Backing::FileSystem,
            reason: guarantee.reason.clone(),
            advice: guarantee.advice,
            file_system: String::new(),
            mount_point: String::new(),
            device: String::new(),
            is_device_dax: false,
            alignment: guarantee.alignment,
            region: None,
            devices: Vec::new(),
            through_page_cache: true,
            drops_flushes: false,
            has_name: facts.has_name,
            evidence: alloc::vec![
                Evidence::new("the operating system", system.name),
                Evidence::new("what makes stores durable", system.persists_by),
                Evidence::new("the device under the file", "not asked on this system"),
            ],
        }
    }

    /// Returns true if the CPU caches are in the persistence domain of the bytes (eADR), as the firmware claims. A
    /// fenced store then survives power loss without a write-back. Always false for a file in the page cache, whatever
    /// its device promises.
    #[must_use]
    pub const fn is_eadr(&self) -> bool {
        matches!(self.backing, Backing::PmemEadr)
    }

    /// Returns the number of unsafe shutdowns of all devices under the file. If it has grown since the last look, bytes
    /// that were persisted before may be damaged. Compare it per device (by [`MemoryDevice::id`]) if devices can be
    /// exchanged.
    ///
    /// # Errors
    /// If the kernel shows no device, or one of them without its count: the sum of the others would hide it.
    pub fn unsafe_shutdowns(&self) -> Result<u64, Unknown> {
        if self.devices.is_empty() {
            let asked = self.region.as_ref().map_or("the file's region", |region| &region.name);
            return Err(Unknown::new(asked, "no device under it is shown", NO_COUNT));
        }
        self.devices.iter().try_fold(0_u64, |sum, device| {
            let count = device.unsafe_shutdowns.clone()?;
            let too_many = || Unknown::new(&device.name, "the sum exceeds 64 bits", NO_COUNT);
            sum.checked_add(count).ok_or_else(too_many)
        })
    }

    /// Returns whether bytes of the file that had reached this stage survive an event, with the reason, the source of
    /// the claim and its certainty.
    ///
    /// The answer is that of the [backing](Self::backing), with these exceptions: emulated persistent memory that is
    /// mapped through the page cache or without `MAP_SYNC`, a drive to which the kernel sends no flush, and a file that
    /// had no name when it was opened (a memfd, an unlinked file).
    ///
    /// ```no_run
    /// use cachemaint_inspect::FileReport;
    /// use cachemaint_inspect::survival::{Event, Stage};
    ///
    /// # fn main() -> Result<(), cachemaint::dax::Error> {
    /// let report = FileReport::at("/mnt/pmem/log")?;
    /// let lost = report.survives(Stage::Persisted, Event::PowerLoss);
    /// println!("{}: {} ({}, {})", lost.answer, lost.text, lost.source, lost.certainty);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub const fn survives(&self, stage: Stage, event: Event) -> Statement<Survival> {
        match (event, self.backing, stage) {
            (Event::ProcessCrash, ..) if !self.has_name => Statement::documented(
                Survival::If(Condition::KEPT_OPEN),
                "the file had no name when it was opened, and ends with its last descriptor or mapping",
                NAMELESS,
            ),
            (Event::ProcessCrash, ..) => survives(self.backing, stage, event),
            _ if !self.has_name => Statement::documented(
                Survival::No,
                "the file had no name when it was opened, and no process has it open in the next kernel",
                NAMELESS,
            ),
            (_, Backing::EmulatedPmem | Backing::VirtioPmem, Stage::Stored)
                if self.through_page_cache =>
            {
                Statement::documented(
                    Survival::No,
                    "it is in the page cache, which is lost with the old kernel",
                    "fsync(2)",
                )
            }
            (Event::Kexec, Backing::EmulatedPmem, Stage::Stored)
                if self.granularity.is_by_pages() =>
            {
                UNSETTLED
            }
            (Event::PowerLoss, Backing::Storage, Stage::Persisted | Stage::DeepPersisted)
                if self.drops_flushes =>
            {
                UNFLUSHED
            }
            _ => survives(self.backing, stage, event),
        }
    }

    /// Fails unless persisted bytes survive this event, for a program that must not start with less. An answer with a
    /// condition counts as no, since nothing has checked it, unless the program accepts the condition. `cachemaint
    /// inspect --survives` does the same for a script.
    ///
    /// ```no_run
    /// use cachemaint_inspect::FileReport;
    /// use cachemaint_inspect::survival::{Condition, Event};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// // The vendor of the drive promises this.
    /// let checked = [Condition::DRIVE_FLUSHES];
    /// FileReport::at("/var/lib/log")?.require(Event::PowerLoss, &checked)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The condition and how to accept it, or the reason and the media that would do.
    pub fn require(&self, event: Event, accepted: &[Condition]) -> Result<(), Unmet> {
        let statement = self.survives(Stage::Persisted, event);
        match statement.answer {
            Survival::Yes => Ok(()),
            Survival::If(condition) if accepted.contains(&condition) => Ok(()),
            _ => Err(Unmet { event, statement }),
        }
    }
}

/// Returns true if the data cache of this machine is known to alias.
#[cfg(target_os = "linux")]
fn aliases() -> bool {
    let (cpu, tree) = (CpuReport::host(), Tree::host());
    let found = crate::host::aliasing(&cpu, &tree, &crate::system::kernel::page_size(&tree));
    matches!(found, Aliasing::Yes { .. })
}

/// Returns the open file of a view, to ask about it.
fn descriptor(view: &DaxView) -> &File {
    view.open_file()
}
