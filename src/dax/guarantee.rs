//! What a file's medium guarantees, and from which evidence. The system's room concludes it.

use crate::medium::Granularity;
use crate::platform::memory_type::{Caching, Unread};
use crate::platform::nvdimm::Region;
use crate::platform::tree::Evidence;
use crate::report::{Backing, Event, Progress, Survival, survival};
use alloc::string::String;
use alloc::vec::Vec;

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
    pub(super) region: Option<Region>,
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

    /// The kernel's name of the block device; empty if there is none, and on other systems than Linux.
    #[must_use]
    pub fn device(&self) -> &str {
        &self.device
    }

    /// The region of persistent memory that the file lies in.
    #[must_use]
    pub const fn region(&self) -> Option<&Region> {
        self.region.as_ref()
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
