//! The only writer of a medium: its process, and the lock that a journal, a recorder or a store takes before it reads.

#[cfg(feature = "std")]
use cachemaint::family::Process;
use cachemaint::medium::{Medium, WriterLockGuard};

/// Takes the writer lock of a medium, if the medium has one. Fails with `second` if another writer holds it.
pub fn lock<M: Medium, E>(medium: &M, second: E) -> Result<Option<WriterLockGuard>, E> {
    medium.writer_lock().map(|lock| lock.try_lock().ok_or(second)).transpose()
}

/// The process that opened something for writing, and that closes it on drop.
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

    /// Returns true if a drop may write. A forked child has no mapping of the medium, and a second panic during a panic
    /// would abort the process.
    #[must_use]
    pub fn may_write(&self) -> bool {
        #[cfg(feature = "std")]
        return self.process.is_this() && !std::thread::panicking();
        #[cfg(not(feature = "std"))]
        true
    }
}
