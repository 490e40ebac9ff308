//! The guarantee of a file's medium, and its evidence. The system's module determines it.

use crate::medium::Granularity;
use crate::survival::{Backing, Condition, Event, Stage, Statement, Survival};
use crate::system::nvdimm::{MemoryDevice, PmemRegion};
use crate::system::tree::{Evidence, Unknown};
use alloc::string::String;
use alloc::vec::Vec;
use std::path::PathBuf;

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

/// The guarantee of a file: the granularity at which it is made persistent and the reason, the backing, and the
/// events that its bytes survive.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("file");
/// use cachemaint::dax;
/// use cachemaint::survival::{Event, Stage, Survival};
///
/// # std::fs::write(&path, [0; 4096])?;
/// let guarantee = dax::probe(&path)?;
/// let persisted = guarantee.survives(Stage::Persisted, Event::PowerLoss);
/// if persisted.answer != Survival::Yes {
///     println!("{}: {}", guarantee.device, persisted.text);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[non_exhaustive]
pub struct Guarantee {
    /// The smallest unit that is made persistent.
    pub granularity: Granularity,
    /// The memory or device that backs the bytes.
    pub backing: Backing,
    /// The reason for the granularity.
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
    /// The alignment in bytes: the offset of a mapping must be a multiple of it, and with device DAX the length too. It is
    /// the page size, the size of huge pages on hugetlbfs, or the device's alignment.
    pub alignment: u64,
    /// The region of persistent memory that the file lies in. If there are several, it is the one with the weakest promise.
    pub region: Option<PmemRegion>,
    /// The memory devices (NVDIMMs, CXL devices) of all regions that the file lies in, as far as the kernel shows them.
    pub devices: Vec<MemoryDevice>,
    /// True if stores go to the page cache, and only a write-back takes them to the medium.
    pub(super) through_page_cache: bool,
    /// True if the kernel was found to send no flush to a drive under the file.
    pub(super) drops_flushes: bool,
    /// The attribute that flushes the medium's own buffers, for a device in a region.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(super) deep_flush: Option<PathBuf>,
    /// False if the file had no name when it was opened, so that it ends with its last descriptor.
    pub(super) has_name: bool,
    /// The questions and their answers, in order.
    pub evidence: Vec<Evidence>,
}

impl Guarantee {
    /// Returns true if the CPU caches are in the persistence domain of the bytes (eADR), as the firmware claims. A
    /// fenced store then survives power loss without a write-back. Always false for a file in the page cache, whatever
    /// its device promises.
    #[doc(alias("pmem_has_auto_flush", "auto_flush"))]
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
    /// use cachemaint::dax;
    /// use cachemaint::survival::{Event, Stage};
    ///
    /// # fn main() -> Result<(), dax::Error> {
    /// let guarantee = dax::probe("/mnt/pmem/log")?;
    /// let lost = guarantee.survives(Stage::Persisted, Event::PowerLoss);
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
            (Event::ProcessCrash, ..) => self.backing.survives(stage, event),
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
                if matches!(self.granularity, Granularity::Page(_)) =>
            {
                UNSETTLED
            }
            (Event::PowerLoss, Backing::Storage, Stage::Persisted | Stage::DeepPersisted)
                if self.drops_flushes =>
            {
                UNFLUSHED
            }
            _ => self.backing.survives(stage, event),
        }
    }

    /// Fails unless persisted bytes survive this event without a condition, for a program that must not start with
    /// less. `cachemaint inspect --survives` does the same for a script.
    ///
    /// ```no_run
    /// use cachemaint::dax;
    /// use cachemaint::survival::Event;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// dax::probe("/mnt/pmem/log")?.require(Event::PowerLoss).map_err(|why| why.text)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The answer of [`survives`](Self::survives) for persisted bytes, if it is not yes.
    pub const fn require(&self, event: Event) -> Result<(), Statement<Survival>> {
        let statement = self.survives(Stage::Persisted, event);
        match statement.answer {
            Survival::Yes => Ok(()),
            _ => Err(statement),
        }
    }
}
