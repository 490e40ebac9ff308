//! The memory that backs the bytes of a mapping.

/// The memory or storage that backs the bytes of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Backing {
    /// The page cache over a file system on storage.
    Storage,
    /// A file system with a sync that is documented to reach storage, but cannot be seen to do so: overlayfs over
    /// storage, ZFS, NFS, FUSE, any with an unseen log or device, and all on systems other than Linux.
    FileSystem,
    /// RAM that belongs to the kernel: tmpfs, hugetlbfs.
    Ram,
    /// RAM that was reserved as persistent memory (`memmap=SIZE!START`), or memory that the kernel calls volatile;
    /// mapped directly.
    EmulatedPmem,
    /// RAM that firmware or a kernel sets aside, and that only its own code maps: a range that a board's memory map
    /// leaves out, or one that Linux reserves by name (`reserve_mem=`). No file lies on it; the code that maps it
    /// states this backing, as for [`Memory`](super::Memory).
    ///
    /// Under Linux each kernel chooses a new place at boot. A range at a fixed address is always at the same place.
    ReservedRam,
    /// Persistent memory whose domain ends at the memory controller (ADR), mapped directly.
    PmemAdr,
    /// Persistent memory whose domain includes the CPU caches (eADR), mapped directly.
    PmemEadr,
    /// Persistent memory of CXL devices that show Global Persistent Flush (GPF), mapped directly.
    CxlGpf,
    /// Persistent memory of CXL devices that do not show GPF, mapped directly.
    Cxl,
    /// Persistent memory without a claimed domain, mapped directly.
    PmemUnknown,
    /// virtio-pmem: memory of the host, persistent after a flush request.
    VirtioPmem,
    /// The backing could not be determined.
    Unknown,
}

impl Backing {
    /// All kinds of backing.
    pub const ALL: &'static [Self] = &[
        Self::Storage,
        Self::FileSystem,
        Self::Ram,
        Self::EmulatedPmem,
        Self::ReservedRam,
        Self::PmemAdr,
        Self::PmemEadr,
        Self::CxlGpf,
        Self::Cxl,
        Self::PmemUnknown,
        Self::VirtioPmem,
        Self::Unknown,
    ];

    /// Returns a short name for the backing, which the guide explains.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Storage => "storage",
            Self::FileSystem => "file system",
            Self::Ram => "RAM (tmpfs)",
            Self::EmulatedPmem => "emulated pmem",
            Self::ReservedRam => "reserved RAM",
            Self::PmemAdr => "pmem, ADR",
            Self::PmemEadr => "pmem, eADR",
            Self::CxlGpf => "CXL, GPF",
            Self::Cxl => "CXL, GPF unknown",
            Self::PmemUnknown => "pmem, no domain",
            Self::VirtioPmem => "virtio-pmem",
            Self::Unknown => "unknown",
        }
    }

    /// Returns true for memory that a platform or a device keeps without power, mapped directly.
    pub(crate) const fn is_persistent_memory(self) -> bool {
        matches!(
            self,
            Self::PmemAdr | Self::PmemEadr | Self::CxlGpf | Self::Cxl | Self::PmemUnknown
        )
    }
}

impl core::fmt::Display for Backing {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.name())
    }
}

impl From<Backing> for &'static str {
    fn from(backing: Backing) -> Self {
        backing.name()
    }
}
