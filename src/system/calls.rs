//! The operating systems with files here: their names, and by which call bytes stored in a mapped file
//! become durable.

/// An operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct System {
    pub(crate) name: &'static str,
    /// The calls that make a stretch of a mapped file durable.
    pub(crate) persists_by: &'static str,
    /// The source of the claim.
    pub(crate) source: &'static str,
    /// The command or call that shows its release.
    pub(crate) release_from: &'static str,
    /// The command or call that shows the size of its pages.
    pub(crate) page_size_from: &'static str,
}

impl System {
    /// Returns the system that this was compiled for.
    pub(crate) fn host() -> Self {
        Self::named(std::env::consts::OS)
    }

    /// Returns the system of this name in Rust (`target_os`).
    pub(crate) fn named(os: &str) -> Self {
        match os {
            "linux" => Self::unix("Linux", "msync", "msync(2): MS_SYNC"),
            "windows" => Self {
                name: "Windows",
                persists_by: "FlushViewOfFile and FlushFileBuffers",
                source: "Microsoft Learn, FlushViewOfFile: it writes the pages, and FlushFileBuffers waits \
                         for the device",
                release_from: "run winver",
                page_size_from: "call GetSystemInfo",
            },
            "macos" => Self::unix("macOS", MSYNC_AND_FULLFSYNC, FULLFSYNC),
            "ios" => Self::unix("iOS", MSYNC_AND_FULLFSYNC, FULLFSYNC),
            "freebsd" => Self::unix("FreeBSD", MSYNC_AND_FDATASYNC, FDATASYNC),
            "netbsd" => Self::unix("NetBSD", "msync and fsync_range(FDISKSYNC)", FDISKSYNC),
            "openbsd" => Self::unix("OpenBSD", MSYNC_AND_FDATASYNC, FDATASYNC),
            _ => Self::unix("this system", "the system's own sync calls", "its manual"),
        }
    }

    const fn unix(name: &'static str, persists_by: &'static str, source: &'static str) -> Self {
        let (release_from, page_size_from) = ("run uname -r", "call sysconf(_SC_PAGESIZE)");
        Self { name, persists_by, source, release_from, page_size_from }
    }
}

const MSYNC_AND_FULLFSYNC: &str = "msync and fcntl(F_FULLFSYNC)";
/// Rust's standard library calls it for `File::sync_data` on Apple's systems.
const FULLFSYNC: &str =
    "macOS fcntl(2): F_FULLFSYNC asks the drive to write its buffers; fsync(2) does not";
const FDISKSYNC: &str =
    "NetBSD fsync(2): FDISKSYNC flushes the drive's cache; fsync and fdatasync do not";
const MSYNC_AND_FDATASYNC: &str = "msync and fdatasync";
const FDATASYNC: &str = "POSIX, msync: MS_SYNC; fdatasync";

#[cfg(test)]
mod tests {
    use super::System;

    /// As the systems' manuals have it.
    #[test]
    fn each_system_has_its_own_call() {
        for (os, name, call) in [
            ("windows", "Windows", "FlushFileBuffers"),
            ("macos", "macOS", "F_FULLFSYNC"),
            ("freebsd", "FreeBSD", "fdatasync"),
            ("netbsd", "NetBSD", "FDISKSYNC"),
            ("linux", "Linux", "msync"),
        ] {
            let system = System::named(os);
            assert_eq!(system.name, name);
            assert!(system.persists_by.contains(call), "{system:?}");
        }
    }
}
