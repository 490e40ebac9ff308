//! The persistence domain: the part of a machine that keeps its bytes at power loss.

/// The part of the machine whose bytes survive power loss, as firmware claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Domain {
    /// The CPU caches and all below them (eADR): `cpu_cache`.
    CpuCaches,
    /// Bytes that the memory controller has accepted (ADR): `memory_controller`.
    MemoryController,
    /// Bytes that a CXL device has accepted, which it saves by Global Persistent Flush: each device of the region has
    /// the capability and counts its failures.
    CxlGpf,
    /// Bytes that a CXL device has accepted, as the kernel claims for all such devices. No attribute shows that the
    /// device has Global Persistent Flush.
    Cxl,
    /// Bytes that the host has flushed on request (virtio-pmem).
    HostFlush,
    /// Nothing: emulated pmem (`memmap=SIZE!START`, e820 type 12), or a region that the kernel
    /// itself calls volatile.
    None,
    /// No claim exists, or it does not hold: a device that is not armed saves nothing.
    Unknown,
}

impl Domain {
    /// Returns a short name for the domain.
    #[doc(hidden)]
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CpuCaches => "CPU caches (eADR)",
            Self::MemoryController => "memory controller (ADR)",
            Self::CxlGpf => "CXL device (GPF)",
            Self::Cxl => "CXL device (GPF unknown)",
            Self::HostFlush => "the host, on request",
            Self::None => "none (RAM)",
            Self::Unknown => "unknown",
        }
    }

    /// Returns the meaning of the claim, with advice.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::CpuCaches => "firmware claims that stored data survive power loss",
            Self::MemoryController => {
                "firmware claims that bytes written back and fenced survive power loss"
            }
            Self::CxlGpf => {
                "bytes written back and fenced survive if the device's flush at power loss \
                 completes; compare its dirty shutdown count before and after"
            }
            Self::Cxl => {
                "the kernel says so of every CXL device; ask the device's vendor for GPF, or use \
                 Linux 6.15 or newer, which shows it"
            }
            Self::HostFlush => "only fsync or msync asks the host to keep it",
            Self::None => "power loss erases it; use it for tests and to outlive a kexec",
            Self::Unknown => {
                "no claim about a domain holds; ask the platform's vendor before relying on it"
            }
        }
    }
}

impl core::fmt::Display for Domain {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.name())
    }
}
