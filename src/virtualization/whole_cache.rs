//! Decides whether memory can be invalidated at once, by an operation on the whole cache of every CPU, and what
//! prevents it.

use super::{Handling, Virtualization};
use crate::arch::{Architecture, Missing, Unsupported, WholeCacheOperation};
use crate::cpu::{Confidential, Cpu, Hypervisor};

/// The reason why memory cannot be invalidated by operations on whole caches.
///
/// It prints as its reason and its advice.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused {
    /// The party that prevents it.
    pub by: RefusedBy,
    /// The missing thing, the reason, and advice.
    pub why: Unsupported,
}

/// The party that prevents operations on whole caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusedBy {
    /// The architecture: it has no such operation, or none that reaches the caches of other CPUs.
    Architecture,
    /// This is user mode. The reason states the effect in a kernel.
    UserMode,
    /// A confidential guest, or a possible one: the operation ends the guest, or is a request to an untrusted host.
    ConfidentialGuest(Confidential),
    /// A hypervisor, which traps the operation.
    Hypervisor(Hypervisor),
}

impl core::fmt::Display for Refused {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(&self.why, f)
    }
}

debug_is_display!(Refused);

impl core::error::Error for Refused {}

/// Returns the operation that invalidates memory if every CPU executes it, or the reason why there is none: the answer
/// of [`CpuReport::can_invalidate_memory`](crate::report::CpuReport::can_invalidate_memory).
pub(crate) fn can_invalidate_memory(
    architecture: &Architecture,
    cpu: &Cpu,
) -> Result<WholeCacheOperation, Refused> {
    let Some(operation) = architecture.whole_cache else {
        return Err(Refused { by: RefusedBy::Architecture, why: architecture.no_whole_cache });
    };
    let in_a_guest = what_becomes_of_it_in_this_guest(architecture, cpu);
    if !cpu.privileged {
        let why = in_a_guest.map_or(architecture.no_whole_cache, |(_, why)| why);
        return Err(Refused { by: RefusedBy::UserMode, why });
    }
    match in_a_guest {
        Some((by, why)) => Err(Refused { by, why }),
        None => Ok(operation),
    }
}

/// Returns the party that traps WBINVD, and its handling; `None` on a machine without a hypervisor.
fn what_becomes_of_it_in_this_guest(
    architecture: &Architecture,
    cpu: &Cpu,
) -> Option<(RefusedBy, Unsupported)> {
    let (confidential, hypervisor) = (cpu.confidential, cpu.hypervisor);
    let whole_cache = Virtualization::of(architecture, cpu).effects().whole_cache;
    if hypervisor == Hypervisor::Absent && whole_cache.answer == Handling::Executed {
        return None;
    }
    let by = match confidential {
        Confidential::Unknown => RefusedBy::Hypervisor(hypervisor),
        _ => RefusedBy::ConfidentialGuest(confidential),
    };
    let advice = "maintain ranges instead";
    Some((by, Unsupported::new(Missing::Operation, whole_cache.text, advice)))
}
