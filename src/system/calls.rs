//! The operating systems with file support, their calls that make a mapped file durable, and calls that a signal
//! interrupts.

/// An operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct System {
    /// The name of the system.
    pub name: &'static str,
    /// The calls that make a range of a mapped file durable.
    pub persists_by: &'static str,
    /// The commands that show the space of a file system, in brackets, for a remedy.
    pub shows_space: &'static str,
    /// The command that shows the system's log, likewise.
    pub shows_log: &'static str,
    /// The remedy for a file that cannot be locked.
    pub locks: &'static str,
}

impl System {
    /// Returns the system that this was compiled for.
    #[must_use]
    pub fn host() -> Self {
        Self::named(std::env::consts::OS)
    }

    /// Returns the system with this Rust name (`target_os`).
    #[must_use]
    pub fn named(os: &'static str) -> Self {
        const OTHER: System = System {
            name: "",
            persists_by: "the system's own sync calls",
            shows_space: "",
            shows_log: "",
            locks: "use a file system with locks",
        };
        match os {
            "linux" => Self {
                name: "Linux",
                persists_by: "msync",
                shows_space: " (df -h, df -i)",
                shows_log: " (dmesg)",
                locks: "mount its file system with locks (NFS: with the server's lock service, or -o local_lock=flock; \
                        Lustre: -o flock), or use another file system",
            },
            "windows" => {
                let persists_by = "FlushViewOfFile and FlushFileBuffers";
                Self { name: "Windows", persists_by, shows_log: " (Event Viewer)", ..OTHER }
            }
            // Rust's standard library calls it for `File::sync_data` on Apple's systems: fsync(2) does not make the
            // drive write its buffers.
            "macos" => {
                let persists_by = "msync and fcntl(F_FULLFSYNC)";
                Self { name: "macOS", persists_by, shows_log: " (log show)", ..OTHER }
            }
            other => Self { name: other, ..OTHER },
        }
    }
}

/// An error type that can report a call interrupted by a signal.
#[cfg(feature = "dax")]
pub trait Interruption {
    /// Returns true if a signal interrupted the call, which has then done nothing.
    fn is_interruption(&self) -> bool;
}

#[cfg(feature = "dax")]
impl Interruption for std::io::Error {
    fn is_interruption(&self) -> bool {
        self.kind() == std::io::ErrorKind::Interrupted
    }
}

#[cfg(feature = "dax")]
impl Interruption for std::fs::TryLockError {
    fn is_interruption(&self) -> bool {
        matches!(self, Self::Error(error) if error.is_interruption())
    }
}

#[cfg(all(feature = "dax", target_os = "linux", target_has_atomic = "64"))]
impl Interruption for rustix::io::Errno {
    fn is_interruption(&self) -> bool {
        *self == Self::INTR
    }
}

/// Makes a system call, and repeats it while a signal interrupts it, as the standard library does. Stopping a process,
/// a debugger, and a timer can interrupt calls; on FUSE and NFS nearly any call.
///
/// # Errors
/// That of the call.
#[cfg(feature = "dax")]
pub fn uninterrupted<T, E: Interruption>(mut call: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    loop {
        match call() {
            Err(error) if error.is_interruption() => {}
            done => return done,
        }
    }
}

#[cfg(test)]
#[cfg(feature = "dax")]
mod tests {
    use super::{Interruption, uninterrupted};
    use std::fs::TryLockError;
    use std::io;

    fn is_repeated<E: Interruption>(interrupted: impl Fn() -> E, other: impl Fn() -> E) {
        let mut calls = 0;
        let done = uninterrupted(|| {
            calls += 1;
            if calls < 3 { Err(interrupted()) } else { Ok(calls) }
        });
        assert!(done.is_ok_and(|calls| calls == 3));
        let mut calls = 0;
        let failed: Result<(), E> = uninterrupted(|| {
            calls += 1;
            Err(other())
        });
        assert!(failed.is_err_and(|error| !error.is_interruption()) && calls == 1);
    }

    #[test]
    fn an_interrupted_call_is_made_again_and_a_failed_one_is_not() {
        let [interrupted, failed] = [io::ErrorKind::Interrupted, io::ErrorKind::Other]
            .map(|kind| move || io::Error::from(kind));
        is_repeated(interrupted, failed);
        is_repeated(|| TryLockError::Error(interrupted()), || TryLockError::WouldBlock);
        #[cfg(target_os = "linux")]
        is_repeated(|| rustix::io::Errno::INTR, || rustix::io::Errno::IO);
    }
}
