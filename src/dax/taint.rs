//! The first event after which bytes of an open file may not be the stored ones, kept for as long as the file is open.
//!
//! # What a failed write-back leaves, on Linux
//! Pages that could not be written are clean all the same. `PG_dirty` is cleared before they are written
//! (`Documentation/filesystems/vfs.rst`, "The Address Space Object"; `mm/page-writeback.c`,
//! `folio_clear_dirty_for_io`), and no file system has to mark them dirty again. So the page cache shows the stored
//! bytes until it drops the page, and then the bytes of the medium, both without a further error.
//!
//! The error itself is kept in the inode (`lib/errseq.c`, set by `mapping_set_error`). It is reported once to each open
//! file, by the next of `fsync`, `fdatasync` and `msync` (`mm/filemap.c`, `file_check_and_advance_wb_err`). After an
//! error was reported, "subsequent requests on the same file descriptor should return 0" (vfs.rst, "Handling errors
//! during writeback"). The error does not name its pages. It stands for the whole file, and covers bytes that another
//! process stored.
//!
//! So after [`ErrorKind::Writeback`](super::ErrorKind::Writeback) every page that was stored to since the last
//! write-back of the whole file without an error may be lost, not just the pages of the range. A second try that
//! succeeds proves nothing. `PostgreSQL` ends itself then and recovers from its log ("fsync failures", LWN 752063,
//! 2018). [`DaxFile::taint`](super::DaxFile::taint) keeps reporting the event, and every later write-back by the operating
//! system returns it.
//!
//! The first call that asks takes the error away from calls of other threads. So a call that has succeeded waits until the
//! calls that were under way with it have recorded their failures, and then looks for one.

use alloc::vec::Vec;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

/// The event after which bytes of an open file may not be the stored ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Taint {
    /// A write-back by the operating system failed. On Linux every store since the last write-back of the whole file
    /// without an error may be lost. Later write-backs by the operating system return this failure.
    Writeback {
        /// The beginning of the range that was written back, in bytes of the mapping.
        at: u64,
        /// The length of the range in bytes.
        len: u64,
        /// The error.
        errno: i32,
    },
    /// Bad blocks were released, so that zeros replace the stored bytes; or clearing them failed half-way.
    Cleared {
        /// The beginning of the range that was cleared, in bytes of the mapping.
        at: u64,
        /// The length of the range in bytes.
        len: u64,
    },
    /// A guarded access met missing bytes. For a moment every thread had zeros in their place, and bytes that were
    /// stored there meanwhile are lost.
    Fault {
        /// The beginning of the first page, in bytes of the mapping.
        at: u64,
        /// The length of the pages in bytes.
        len: u64,
    },
}

impl core::fmt::Display for Taint {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Writeback { at, len, .. } => {
                write!(f, "a write-back of {len} bytes at offset {at} failed")
            }
            Self::Cleared { at, len } => {
                write!(f, "bad blocks in {len} bytes at offset {at} were given up")
            }
            Self::Fault { at, len } => {
                write!(f, "an access to {len} bytes at offset {at} failed under a guard")
            }
        }
    }
}

/// The first event, if there was one.
#[derive(Debug, Default)]
pub(super) struct Tainted {
    first: OnceLock<Taint>,
    /// The first write-back by the operating system that failed.
    failed: OnceLock<Taint>,
    calls: Calls,
}

impl Tainted {
    /// Records an event. The first one stays.
    pub(super) fn by(&self, taint: Taint) {
        self.first.get_or_init(|| taint);
        if let Taint::Writeback { .. } = taint {
            self.failed.get_or_init(|| taint);
        }
    }

    pub(super) fn first(&self) -> Option<Taint> {
        self.first.get().copied()
    }

    /// Makes a call that writes pages back, and [records](Self::by) its failure. If it succeeds, returns the first failure
    /// of another one, until now: the stored bytes may be lost by that.
    pub(super) fn call<E>(&self, call: impl FnOnce() -> Result<(), E>) -> Result<Option<Taint>, E> {
        let under_way = self.calls.begin();
        call()?;
        drop(under_way);
        self.calls.wait();
        Ok(self.failed.get().copied())
    }
}

/// Calls of several threads, any of which may be the one that gets the error of the file.
#[derive(Debug, Default)]
struct Calls {
    under_way: Mutex<UnderWay>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct UnderWay {
    next: u64,
    /// The numbers of the calls that have not ended, in ascending order.
    numbers: Vec<u64>,
}

/// A call under way, until it is dropped.
struct Call<'c> {
    calls: &'c Calls,
    number: u64,
}

impl Calls {
    fn begin(&self) -> Call<'_> {
        let mut under_way = self.lock();
        let number = under_way.next;
        under_way.next += 1;
        under_way.numbers.push(number);
        Call { calls: self, number }
    }

    /// Waits until all calls have ended that have begun by now.
    fn wait(&self) {
        let mut under_way = self.lock();
        let begun = under_way.next;
        while under_way.numbers.first().is_some_and(|oldest| *oldest < begun) {
            under_way = self.ended.wait(under_way).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, UnderWay> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.calls.lock().numbers.retain(|number| *number != self.number);
        self.calls.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::{Taint, Tainted};
    use std::sync::mpsc::channel;
    use std::thread;

    const FAILURE: Taint = Taint::Writeback { at: 64, len: 8, errno: 5 };

    /// The kernel gives the error to one call. It has not recorded it when the other one succeeds.
    #[test]
    fn a_call_that_succeeds_beside_one_that_fails_has_its_failure() {
        let tainted = Tainted::default();
        let (begun, has_begun) = channel();
        let (done, is_done) = channel();
        let (tainted, beside) = (&tainted, &tainted);
        thread::scope(|scope| {
            scope.spawn(move || {
                let failed = tainted.call(|| {
                    begun.send(()).unwrap();
                    is_done.recv().unwrap();
                    tainted.by(FAILURE);
                    Err(())
                });
                assert_eq!(failed, Err(()));
            });
            has_begun.recv().unwrap();
            let ended = beside.call(|| {
                done.send(()).unwrap();
                Ok::<(), ()>(())
            });
            assert_eq!(ended, Ok(Some(FAILURE)));
        });
        assert_eq!(beside.call(|| Ok::<(), ()>(())), Ok(Some(FAILURE)));
    }

    #[test]
    fn other_events_neither_fail_nor_hide_a_failure() {
        let tainted = Tainted::default();
        let fault = Taint::Fault { at: 0, len: 4096 };
        tainted.by(fault);
        assert_eq!(tainted.call(|| Ok::<(), ()>(())), Ok(None));
        tainted.by(FAILURE);
        assert_eq!(tainted.call(|| Ok::<(), ()>(())), Ok(Some(FAILURE)));
        assert_eq!(tainted.first(), Some(fault));
    }
}
