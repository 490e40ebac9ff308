//! The operating systems with files here, and the calls by which bytes stored in a mapped file become durable there.

/// An operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct System {
    pub(crate) name: &'static str,
    /// The calls that make a stretch of a mapped file durable.
    pub(crate) persists_by: &'static str,
}

impl System {
    /// Returns the system that this was compiled for.
    pub(crate) fn host() -> Self {
        Self::named(std::env::consts::OS)
    }

    /// Returns the system of this name in Rust (`target_os`).
    pub(crate) fn named(os: &'static str) -> Self {
        let (name, persists_by) = match os {
            "linux" => ("Linux", "msync"),
            "windows" => ("Windows", "FlushViewOfFile and FlushFileBuffers"),
            // Rust's standard library calls it for `File::sync_data` on Apple's systems: fsync(2) does not have the drive
            // write its buffers.
            "macos" => ("macOS", "msync and fcntl(F_FULLFSYNC)"),
            other => (other, "the system's own sync calls"),
        };
        Self { name, persists_by }
    }
}
