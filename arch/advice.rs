//! Advice for refusals, by the operating system and the architecture of the target. All of it is here, since the
//! refusals of one architecture are compiled for every system.

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
/// The calls that make a file durable, as a literal for longer texts.
pub(crate) use persist_files;

const HAS_SYSTEM: bool = !cfg!(any(target_os = "none", target_os = "uefi"));
/// True if `/proc` and `/sys` can exist.
pub(crate) const IS_LINUX: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// The advice in place of operations on lines.
pub(crate) const LEAVE_IT_TO_THE_SYSTEM: &str = if HAS_SYSTEM {
    concat!(persist_files!(), "; leave devices to a driver")
} else {
    "map the memory non-cacheable, or maintain it through the platform's cache controller (coherence::Maintain)"
};

/// The advice in place of the point of persistence. The code is in two words, each of which fits on a line of the
/// screen.
pub(crate) const ACCEPT_COHERENCY: &str = concat!(
    persist_files!(),
    ", or accept coherency if the platform says that memory is persistent: \
     Cache::builder().point(Point::Persistence) .accept_coherency_as_persistence()"
);

/// The advice in place of the point of deep persistence.
pub(crate) const DEEP_PERSIST: &str = if IS_LINUX {
    "let the kernel do it: fsync or msync a DAX file; for device DAX, write 1 to the region's deep_flush in /sys"
} else {
    concat!("aim at Point::Persistence, or ", persist_files!())
};

/// The advice in place of an operation on whole caches, in user mode on x86.
pub(crate) const WHOLE_CACHE_IN_A_DRIVER: &str = if IS_LINUX {
    "call Linux's cpu_cache_invalidate_memregion in a driver, on all CPUs"
} else {
    "use whole_cache (feature `privileged`) in ring 0, on all CPUs"
};
