//! The lock of a medium's one writer, which a journal, a recorder or a store takes before it reads.

use cachemaint::medium::{Medium, WriterLockGuard};

/// Takes the lock of a medium's one writer, if the medium has one. Fails with `second` if it is taken.
pub fn lock<M: Medium, E>(medium: &M, second: E) -> Result<Option<WriterLockGuard>, E> {
    medium.writer_lock().map(|lock| lock.try_lock().ok_or(second)).transpose()
}
