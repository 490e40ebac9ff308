//! Whether memory can be invalidated at once, by an operation on the whole cache of every CPU, and if
//! not, who or what is in the way.

use super::CpuReport;
use super::virtualization::Handling;
use crate::arch::{Missing, Unsupported, WholeCacheOperation};
use crate::cpu::{Confidential, Hypervisor};

/// Why memory cannot be invalidated by operations on whole caches.
///
/// It prints as its reason and what to do about it.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused {
    /// What is in the way.
    pub by: RefusedBy,
    /// What is missing, why, and what to do.
    pub why: Unsupported,
}

/// What is in the way of an operation on whole caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusedBy {
    /// The architecture: it has no such operation, or none that reaches the caches of other CPUs.
    Architecture,
    /// This is user mode. What would become of it in a kernel is in the reason.
    UserMode,
    /// A confidential guest, or what may be one: the operation ends it, or is a request to a host that it
    /// does not trust.
    ConfidentialGuest(Confidential),
    /// A hypervisor, which takes the operation away.
    Hypervisor(Hypervisor),
}

impl core::fmt::Display for Refused {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(&self.why, f)
    }
}

impl core::fmt::Debug for Refused {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?}: {}", self.by, self.why)
    }
}

impl core::error::Error for Refused {}

impl CpuReport {
    /// Whether the content of all caches can be replaced at once here, for memory whose content changed
    /// behind them: by this operation, executed on **every** CPU (`cachemaint::whole_cache` does it,
    /// with feature `privileged`).
    ///
    /// It may be asked anywhere. On x86 the ring is read from CS; elsewhere the answer does not
    /// depend on it. The rule is Linux's: on x86 without a hypervisor, and nowhere else
    /// (`cpu_cache_has_invalidate_memregion` in `arch/x86/mm/pat/set_memory.c`). A hypervisor that hides
    /// itself is not found (QEMU: `-cpu …,-hypervisor`).
    ///
    /// # Errors
    /// What is in the way.
    #[doc(alias("wbinvd", "cpu_cache_has_invalidate_memregion"))]
    pub fn can_invalidate_memory(&self) -> Result<WholeCacheOperation, Refused> {
        let no_whole_cache = self.architecture.no_whole_cache;
        let every_cache = self.architecture.whole_cache.filter(|does| does.reaches_every_cache);
        let Some(operation) = every_cache else {
            return Err(Refused { by: RefusedBy::Architecture, why: no_whole_cache });
        };
        let in_a_guest = self.what_becomes_of_it_in_this_guest();
        if !self.cpu.privileged {
            let why = in_a_guest.map_or(no_whole_cache, |(_, why)| why);
            return Err(Refused { by: RefusedBy::UserMode, why });
        }
        match in_a_guest {
            Some((by, why)) => Err(Refused { by, why }),
            None => Ok(operation),
        }
    }

    /// Whether this CPU can write back and drop all lines of its own caches, be they all or not. On
    /// architectures that cannot tell whether this is a guest, whoever made the report has to know.
    #[cfg(feature = "privileged")]
    pub(crate) fn can_empty_own_caches(&self) -> Result<(), Refused> {
        match self.architecture.whole_cache {
            Some(does) if !does.reaches_every_cache && self.cpu.privileged => Ok(()),
            _ => self.can_invalidate_memory().map(drop),
        }
    }

    /// Whether this CPU can write back a whole cache and keep the lines.
    #[cfg(feature = "privileged")]
    pub(crate) const fn keeps_whole_cache(&self) -> bool {
        self.cpu.keeps_whole_cache
    }

    /// Who takes WBINVD away, and what becomes of it; `None` on a machine without a hypervisor.
    fn what_becomes_of_it_in_this_guest(&self) -> Option<(RefusedBy, Unsupported)> {
        let (confidential, hypervisor) = (self.cpu.confidential, self.cpu.hypervisor);
        let whole_cache = self.virtualization().effects().whole_cache;
        if hypervisor == Hypervisor::Absent && whole_cache.is == Handling::Executed {
            return None;
        }
        let by = match confidential {
            Confidential::Unknown => RefusedBy::Hypervisor(hypervisor),
            _ => RefusedBy::ConfidentialGuest(confidential),
        };
        let advice = "maintain ranges instead";
        Some((by, Unsupported::new(Missing::Operation, whole_cache.text, advice)))
    }
}
