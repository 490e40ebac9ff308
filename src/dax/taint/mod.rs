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
//! 2018). [`DaxView::taint`](super::DaxView::taint) keeps reporting the event, and every later write-back by the operating
//! system returns it.
//!
//! The first call that asks takes the error away from calls of other threads. Of some failures the inode has no note: of a
//! flush of the drive, of metadata, of a block that could not be allocated. They are returned to one call alone, and another
//! one that runs beside it can succeed. On ext4 without a journal one can even succeed before the block that leads to its
//! page is on the medium: the other call writes that block (`fs/buffer.c`, `fsync_buffers_list`). So calls are made in
//! [rounds], and one that has succeeded returns when all calls of its round have recorded their failures. On tmpfs and ramfs
//! a write-back does nothing and cannot fail (Linux, `mm/shmem.c` and `fs/ramfs/file-mmu.c`: `noop_fsync`), so there are no
//! rounds.

mod calls;
mod rounds;

use crate::process::Process;
use calls::{Call, Calls, is_crashing, this_thread};
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use rounds::Rounds;

/// The event after which bytes of an open file may not be the stored ones.
///
/// The system reports a failed write-back once to each open file. Duplicates of a descriptor are one open file, also in
/// several processes: the first of them that asks gets the error, and the others do not find out. So
/// [open the file anew](super::Options::open_file) for each of them.
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

/// Fails, unless this thread is in the handler of a signal that may end the process. An error allocates, and the handler
/// may have interrupted the allocator. The handler discards errors anyway, and does not rely on success.
#[cold]
pub(super) fn unless_crashing<E>(error: impl FnOnce() -> E) -> Result<(), E> {
    if is_crashing() { Ok(()) } else { Err(error()) }
}

/// The first event, if there was one.
#[derive(Debug)]
pub(super) struct Tainted {
    first: First,
    /// The first write-back by the operating system that failed.
    failed: First,
    calls: Calls,
    /// `None` if no call can fail.
    rounds: Option<Rounds>,
    /// The process whose calls are entered: a forked child has copies of calls that never end.
    owner: Process,
}

impl Default for Tainted {
    fn default() -> Self {
        let (first, failed) = (First::default(), First::default());
        let (calls, rounds) = (Calls::default(), Some(Rounds::default()));
        Self { first, failed, calls, rounds, owner: Process::this() }
    }
}

impl Tainted {
    /// Returns one for a file on a file system. On some no write-back can fail.
    pub(super) fn on(file_system: &str) -> Self {
        let is_memory = cfg!(target_os = "linux") && ["tmpfs", "ramfs"].contains(&file_system);
        let tainted = Self::default();
        if is_memory { Self { rounds: None, ..tainted } } else { tainted }
    }

    /// Records an event. The first one stays.
    pub(super) fn by(&self, taint: Taint) {
        self.first.keep(taint);
        if let Taint::Writeback { .. } = taint {
            self.failed.keep(taint);
        }
    }

    pub(super) fn first(&self) -> Option<Taint> {
        self.first.get()
    }

    /// Makes a call that writes pages back, and [records](Self::by) its failure. If it succeeds, returns the first failure
    /// of another one, until now: the stored bytes may be lost by that.
    ///
    /// On Linux it allocates nothing, takes no lock and does not wait in a signal handler that has interrupted such a call on
    /// this thread. Nor does it in a handler that stops recorders: the other call may be suspended below a handler that
    /// waits for this one. Calls of other threads wait for that of the handler all the same, and it can take the error away
    /// from them.
    pub(super) fn call<E>(&self, call: impl FnOnce() -> Result<(), E>) -> Result<Option<Taint>, E> {
        let begun = (self.owner == Process::this()).then(|| self.calls.begin());
        if begun.as_ref().is_some_and(Call::is_in_round) {
            let member = self.rounds.as_ref().map(Rounds::join);
            call()?;
            if let Some(member) = member {
                member.end_with_all();
            }
            self.calls.wait_for_handlers();
        } else {
            call()?;
        }
        Ok(self.failed.get_begun())
    }

    /// Returns true if this thread has a [call](Self::call), so that calls beside it wait for its failure. No other call waits
    /// for one of a forked child, or is known on other systems.
    pub(super) fn is_in_call(&self) -> bool {
        let is_own = self.owner == Process::this();
        !is_own || cfg!(not(target_os = "linux")) || self.calls.has_one_of(this_thread())
    }

    /// Returns true if a [call](Self::call) of this thread that succeeds has waited for the failures of all others.
    #[cfg(any(feature = "recorder", test))]
    pub(super) fn calls_wait(&self) -> bool {
        self.owner == Process::this() && !is_crashing() && !self.calls.has_one_of(this_thread())
    }
}

/// The first of several events. It is kept without a lock, since a signal can interrupt the thread that keeps it.
#[derive(Debug, Default)]
struct First {
    /// [`EMPTY`], or the kind of the event with its error number in the upper half, and [`KEEPING`] until it is kept.
    state: AtomicU64,
    at: AtomicU64,
    len: AtomicU64,
}

const EMPTY: u64 = 0;
const WRITEBACK: u64 = 1;
const CLEARED: u64 = 2;
const FAULT: u64 = 3;
/// A bit beside the kind.
const KEEPING: u64 = 1 << 31;

impl First {
    /// Keeps an event, unless there is one or another thread is about to keep one.
    fn keep(&self, taint: Taint) {
        let (kind, at, len, errno) = match taint {
            Taint::Writeback { at, len, errno } => (WRITEBACK, at, len, errno),
            Taint::Cleared { at, len } => (CLEARED, at, len, 0),
            Taint::Fault { at, len } => (FAULT, at, len, 0),
        };
        let state = kind | u64::from(errno.cast_unsigned()) << 32;
        if self.state.compare_exchange(EMPTY, state | KEEPING, Relaxed, Relaxed).is_ok() {
            self.at.store(at, Relaxed);
            self.len.store(len, Relaxed);
            self.state.store(state, Release);
        }
    }

    fn get(&self) -> Option<Taint> {
        let state = self.state.load(Acquire);
        if state & KEEPING == 0 { self.taint(state) } else { None }
    }

    /// Returns the event, also one that is about to be kept: a signal handler may have interrupted the thread that keeps it.
    /// Its range may still be 0.
    fn get_begun(&self) -> Option<Taint> {
        self.taint(self.state.load(Acquire) & !KEEPING)
    }

    fn taint(&self, state: u64) -> Option<Taint> {
        let (at, len) = (self.at.load(Relaxed), self.len.load(Relaxed));
        match state & u64::from(u32::MAX) {
            WRITEBACK => {
                let errno = ((state >> 32) as u32).cast_signed();
                Some(Taint::Writeback { at, len, errno })
            }
            CLEARED => Some(Taint::Cleared { at, len }),
            FAULT => Some(Taint::Fault { at, len }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Taint, Tainted};
    use core::sync::atomic::Ordering::Relaxed;
    use std::sync::mpsc::channel;
    use std::thread;

    const FAILURE: Taint = Taint::Writeback { at: 64, len: 8, errno: 5 };

    /// The kernel gives the error to one call. It has not recorded it when the other one succeeds.
    #[test]
    fn a_call_that_succeeds_beside_one_that_fails_has_its_failure() {
        succeed_beside_one_that_fails(|fails| fails());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_call_that_succeeds_beside_that_of_a_crash_handler_has_its_failure() {
        succeed_beside_one_that_fails(|fails| crate::signals::crashing(fails));
    }

    fn succeed_beside_one_that_fails(in_handler: fn(&mut dyn FnMut())) {
        let tainted = Tainted::default();
        let (begun, has_begun) = channel();
        let (done, is_done) = channel();
        let (tainted, beside) = (&tainted, &tainted);
        thread::scope(|scope| {
            scope.spawn(move || {
                in_handler(&mut || {
                    let failed = tainted.call(|| {
                        begun.send(()).unwrap();
                        is_done.recv().unwrap();
                        // The other call ends meanwhile, unless it waits.
                        thread::sleep(core::time::Duration::from_millis(20));
                        tainted.by(FAILURE);
                        Err(())
                    });
                    assert_eq!(failed, Err(()));
                });
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

    /// The other call ends when this one has returned.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_call_does_not_wait_for_one_beside_it_where_none_can_fail() {
        let tainted = &Tainted::on("tmpfs");
        let (begun, has_begun) = channel();
        let (returned, has_returned) = channel();
        thread::scope(|scope| {
            scope.spawn(move || {
                let ended = tainted.call(|| {
                    begun.send(()).unwrap();
                    has_returned.recv_timeout(core::time::Duration::from_secs(60)).map_err(drop)
                });
                assert_eq!(ended, Ok(None));
            });
            has_begun.recv().unwrap();
            assert_eq!(tainted.call(|| Ok::<(), ()>(())), Ok(None));
            returned.send(()).unwrap();
        });
    }

    /// The handler of a signal runs on the thread that it has interrupted, in the middle of the call.
    #[test]
    fn a_call_in_a_signal_handler_does_not_wait_for_the_one_that_it_has_interrupted() {
        if !cfg!(target_os = "linux") {
            return;
        }
        let tainted = Tainted::default();
        let nested = tainted
            .call(|| tainted.call(|| Ok::<(), ()>(())).map(|failed| assert_eq!(failed, None)));
        assert_eq!(nested, Ok(None));
    }

    /// The failure of the interrupted call is in its register, or half kept.
    #[test]
    fn success_in_a_signal_handler_is_not_certain_until_the_failure_is_about_to_be_kept() {
        if !cfg!(target_os = "linux") {
            return;
        }
        let tainted = Tainted::default();
        assert!(tainted.calls_wait());
        let failed = tainted.call(|| {
            assert!(!tainted.calls_wait());
            let kept = super::First::default();
            kept.keep(FAILURE);
            let state = kept.state.load(Relaxed) | super::KEEPING;
            tainted.failed.state.store(state, Relaxed);
            let nested = tainted.call(|| Ok::<(), ()>(()));
            assert_eq!(nested, Ok(Some(Taint::Writeback { at: 0, len: 0, errno: 5 })));
            Err(())
        });
        assert_eq!(failed, Err(()));
    }

    /// All other places are taken by calls under way.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_call_in_a_crash_handler_has_a_place_and_waits_for_no_other_call() {
        let tainted = Tainted::default();
        tainted.calls.begun[..super::calls::MOST].iter().for_each(|place| place.store(1, Relaxed));
        crate::signals::crashing(|| {
            assert!(!tainted.calls_wait());
            let ended = tainted.call(|| {
                assert!(tainted.calls.has_one_of(super::this_thread()));
                Ok::<(), ()>(())
            });
            assert_eq!(ended, Ok(None));
        });
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
