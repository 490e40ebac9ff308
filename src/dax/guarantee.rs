//! What a file's medium guarantees, and from which evidence. The system's room concludes it.

use crate::medium::Granularity;
use crate::survival::{Backing, Event, Progress, Survival, survival};
use crate::system::memory_type::{Caching, Unread};
use crate::system::nvdimm::{MemoryDevice, Region};
use crate::system::tree::{Evidence, Unknown};
use alloc::string::String;
use alloc::vec::Vec;

/// What to do where nothing counts.
const NO_COUNT: &str = "nothing to do for RAM and storage; of other media ask the vendor's tools";

/// What a file gets: the granularity at which it is made persistent and why, what backs it, which
/// events its bytes survive.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Guarantee {
    pub(super) granularity: Granularity,
    pub(super) backing: Backing,
    pub(super) reason: String,
    pub(super) advice: Option<&'static str>,
    pub(super) file_system: String,
    pub(super) mount_point: String,
    pub(super) device: String,
    /// Whether it is a character device.
    pub(super) is_device_dax: bool,
    pub(super) alignment: u64,
    pub(super) region: Option<Region>,
    pub(super) devices: Vec<MemoryDevice>,
    /// Whether stores go to the page cache, from which only a write-back takes them to the medium.
    pub(super) through_page_cache: bool,
    pub(super) caching: Unread,
    pub(super) evidence: Vec<Evidence>,
}

impl Guarantee {
    /// The smallest unit that is made persistent.
    #[must_use]
    pub const fn granularity(&self) -> Granularity {
        self.granularity
    }

    /// What backs the bytes.
    #[must_use]
    pub const fn backing(&self) -> Backing {
        self.backing
    }

    /// Why the granularity is what it is.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// What to do if that is not enough; `None` if there is nothing finer.
    #[must_use]
    pub const fn advice(&self) -> Option<&'static str> {
        self.advice
    }

    /// The type of the file system, as in `/proc/self/mountinfo`; empty if it was not found, and on other
    /// systems than Linux.
    #[must_use]
    pub fn file_system(&self) -> &str {
        &self.file_system
    }

    /// Where the file system is mounted; empty if it was not found, and on other systems than Linux.
    #[must_use]
    pub fn mount_point(&self) -> &str {
        &self.mount_point
    }

    /// The kernel's name of the block device, or of the [device](Self::is_device_dax) that the file is;
    /// empty if there is none, and on other systems than Linux.
    #[must_use]
    pub fn device(&self) -> &str {
        &self.device
    }

    /// Whether it is a device of device DAX (`/dev/dax0.0`): memory without a file system.
    #[must_use]
    pub const fn is_device_dax(&self) -> bool {
        self.is_device_dax
    }

    /// What the offset of a mapping must be a multiple of, in bytes, and that of device DAX its length
    /// too: the page size, that of huge pages on hugetlbfs, the device's alignment.
    #[must_use]
    pub const fn alignment(&self) -> u64 {
        self.alignment
    }

    /// The region of persistent memory that the file lies in: of several the one that promises least.
    #[must_use]
    pub const fn region(&self) -> Option<&Region> {
        self.region.as_ref()
    }

    /// The memory devices (NVDIMMs, CXL devices) of all regions that the file lies in, as far as the
    /// kernel shows them.
    #[must_use]
    pub fn devices(&self) -> &[MemoryDevice] {
        &self.devices
    }

    /// How often the devices under the file were shut down unsafely, in all: if it has grown since it was
    /// last looked at, what was persisted before may be damaged. Compare it per device (by
    /// [`MemoryDevice::id`]) where devices can be exchanged.
    ///
    /// # Errors
    /// If no device is shown, or one of them does not show its count: a sum of the others would hide it.
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

    /// The memory type of its mappings: what is read of it, and what the kernel's rule is.
    ///
    /// # Cost
    /// It is read when it is asked for, not when the file is opened: for a file that Linux maps directly
    /// on x86 a handful of small files of `/proc`, `/sys` and debugfs, elsewhere nothing.
    #[doc(alias = "memory_type")]
    #[must_use]
    pub fn caching(&self) -> Caching {
        self.caching.read()
    }

    /// What was asked and answered, in order.
    #[must_use]
    pub fn evidence(&self) -> &[Evidence] {
        &self.evidence
    }

    /// Whether bytes that have got so far are there after the event.
    #[must_use]
    pub const fn survives(&self, progress: Progress, event: Event) -> Survival {
        match (self.backing, progress, event) {
            (_, _, Event::ProcessCrash) => survival(self.backing, progress, event),
            // The page cache is ordinary RAM of a kernel that is gone then.
            (Backing::EmulatedPmem | Backing::VirtioPmem, Progress::Stored, _)
                if self.through_page_cache =>
            {
                Survival::No
            }
            _ => survival(self.backing, progress, event),
        }
    }
}
