//! Decides whether memory can be invalidated at once, by an operation on the whole cache of every CPU, and what
//! prevents it.

use crate::arch::{Architecture, Missing, Unsupported, WholeCacheOperation};
use crate::cpu::{Confidential, Cpu, Hypervisor, Isolation};

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
    let refusal = by_guest(cpu);
    if !cpu.privileged {
        let why = refusal.map_or(architecture.no_whole_cache, |(_, why)| why);
        return Err(Refused { by: RefusedBy::UserMode, why });
    }
    match refusal {
        Some((by, why)) => Err(Refused { by, why }),
        None => Ok(operation),
    }
}

/// Returns the party that traps WBINVD, and the effect; `None` on a machine without a hypervisor. TDX alone is believed
/// even if no hypervisor shows itself, since WBINVD ends its guest.
fn by_guest(cpu: &Cpu) -> Option<(RefusedBy, Unsupported)> {
    let Cpu { confidential, hypervisor, .. } = *cpu;
    if hypervisor == Hypervisor::Absent && confidential != Confidential::Tdx {
        return None;
    }
    let (by, reason) = match confidential {
        Confidential::Unknown => (
            RefusedBy::Hypervisor(hypervisor),
            "WBINVD is privileged, and a hypervisor may ignore it: CPUID shows one",
        ),
        Confidential::Tdx
        | Confidential::HyperV { isolation: Isolation::Tdx, paravisor: false } => (
            RefusedBy::ConfidentialGuest(confidential),
            "WBINVD is privileged, and in a TDX guest it raises #VE, which kills a Linux kernel",
        ),
        _ => (
            RefusedBy::ConfidentialGuest(confidential),
            "WBINVD is privileged, and in a confidential guest, which this may be, it is a request that the host may \
             ignore",
        ),
    };
    Some((by, Unsupported::new(Missing::Operation, reason, "maintain ranges instead")))
}
