//! The one writer of a medium: its lock, which a journal, a recorder or a store takes before it reads, and its process.

#[cfg(feature = "std")]
use cachemaint::family::Process;
use cachemaint::medium::{Medium, WriterLockGuard};

/// Takes the lock of a medium's one writer, if the medium has one. Fails with `second` if it is taken.
pub fn lock<M: Medium, E>(medium: &M, second: E) -> Result<Option<WriterLockGuard>, E> {
    medium.writer_lock().map(|lock| lock.try_lock().ok_or(second)).transpose()
}

/// The process that opened something for writing, which its drop closes.
#[derive(Clone, Copy, Debug)]
pub struct Opener {
    #[cfg(feature = "std")]
    process: Process,
}

impl Opener {
    /// Returns this process.
    #[must_use]
    #[cfg_attr(not(feature = "std"), expect(clippy::missing_const_for_fn, reason = "std"))]
    pub fn this() -> Self {
        Self {
            #[cfg(feature = "std")]
            process: Process::this(),
        }
    }

    /// Returns true if a drop may write: a forked child has no mapping of the medium, and during a panic another one would
    /// abort the process.
    #[must_use]
    pub fn may_write(&self) -> bool {
        #[cfg(feature = "std")]
        return self.process.is_this() && !std::thread::panicking();
        #[cfg(not(feature = "std"))]
        true
    }
}
