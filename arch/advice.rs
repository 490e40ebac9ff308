//! Advice for refusals, by the operating system and the architecture of the target. All of it stands here, as a refusal of
//! one architecture is compiled for every system.

cfg_if::cfg_if! {
    if #[cfg(windows)] {
        macro_rules! persist_files {
            () => { "persist files by FlushViewOfFile and FlushFileBuffers" };
        }
    } else if #[cfg(target_vendor = "apple")] {
        macro_rules! persist_files {
            () => { "persist files by msync and fcntl(F_FULLFSYNC)" };
        }
    } else if #[cfg(any(target_os = "none", target_os = "uefi"))] {
        macro_rules! persist_files {
            () => { "persist through the driver of the medium" };
        }
    } else {
        macro_rules! persist_files {
            () => { "persist files by msync or fsync" };
        }
    }
}
/// The calls that make a file durable: a literal for longer texts.
pub(crate) use persist_files;

const HAS_SYSTEM: bool = !cfg!(any(target_os = "none", target_os = "uefi"));
const IS_LINUX: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// Instead of operations on lines.
pub(crate) const LEAVE_IT_TO_THE_SYSTEM: &str = if HAS_SYSTEM {
    concat!(persist_files!(), "; leave devices to a driver")
} else {
    "map the memory as not cacheable, or maintain it by the platform's cache controller (coherence::Maintain)"
};

/// Instead of the point of persistence. The code is in two words, each of which fits on a screen's line.
pub(crate) const ACCEPT_COHERENCY: &str = concat!(
    persist_files!(),
    ", or accept coherency if the platform says that memory is persistent: \
     Cache::builder().point(Point::Persistence) .accept_coherency_as_persistence()"
);

/// Instead of the point of deep persistence.
pub(crate) const DEEP_PERSIST: &str = if IS_LINUX {
    "let the kernel do it: by fsync or msync on a DAX file; for device DAX write 1 to deep_flush of the region in /sys"
} else {
    concat!("aim at Point::Persistence, or ", persist_files!())
};

/// Instead of an operation on whole caches in user mode of x86.
pub(crate) const WHOLE_CACHE_IN_A_DRIVER: &str = if IS_LINUX {
    "in a driver: cpu_cache_invalidate_memregion of Linux, on all CPUs"
} else {
    "in ring 0: whole_cache (feature `privileged`), on all CPUs"
};

#[cfg(feature = "std")]
const IS_X86: bool = cfg!(any(target_arch = "x86_64", target_arch = "x86"));

/// Where Linux knows no persistent memory (its `Documentation/admin-guide/kernel-parameters.txt`, `memmap`, which is of x86
/// alone; `Documentation/devicetree/bindings/pmem/pmem-region.txt`).
#[cfg(feature = "std")]
pub(crate) const SET_RAM_ASIDE: &str = if IS_X86 {
    "persist files by msync or fsync; for tests set RAM aside (memmap=SIZE!START on the kernel's command line)"
} else {
    "persist files by msync or fsync; for tests set RAM aside (a node pmem-region in the device tree)"
};

/// Where a file is not on such memory.
#[cfg(all(feature = "dax", target_os = "linux"))]
pub(crate) const USE_MEMORY: &str = if IS_X86 {
    "use a file on persistent memory, or on RAM set aside as such (memmap=SIZE!START), which a power loss erases"
} else if cfg!(any(target_arch = "aarch64", target_arch = "riscv64")) {
    "use a file on persistent memory, or on RAM set aside as such (a node pmem-region in the device tree), which a power \
     loss erases"
} else {
    "use a file on persistent memory"
};

/// Where Linux has no bus of such memory.
#[cfg(feature = "std")]
pub(crate) const LOAD_DRIVERS: &str = if IS_X86 {
    "load the kernel's nvdimm drivers (nfit, nd_e820, virtio_pmem)"
} else {
    "load the kernel's nvdimm drivers (nfit or of_pmem, on PowerPC papr_scm, virtio_pmem)"
};
