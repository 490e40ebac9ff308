//! The failure latch of a mapping: set once, by the first event after which its bytes may not be the stored ones.
//!
//! # The reason why a failed write-back ends the use of a file, on Linux
//! Pages that could not be written are clean all the same (`mm/page-writeback.c`, `folio_clear_dirty_for_io`). The page
//! cache shows the stored bytes until it drops the page, and then those of the medium, without a further error. The error
//! is reported once to each open file (`lib/errseq.c`), does not name its pages, and a second try that succeeds proves
//! nothing ("fsync failures", LWN 752063, 2018).

use super::{Error, ErrorKind};
use crate::medium::words::AtomicU64;
use alloc::format;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use core::sync::atomic::{AtomicI32, AtomicU32};
use std::io;
use std::path::Path;

/// An event that ends the use of a mapping. Offsets are in bytes of the mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The system could not write a range back. Bytes that were stored anywhere in the file may be lost.
    Writeback { at: u64, len: u64, errno: i32 },
    /// The file ended before its mapping. It had `size` bytes of `needed`.
    Cut { size: u64, needed: u64 },
    /// The medium has lost these bytes.
    Poisoned { at: u64, len: u64 },
    /// The file system refused a store to the page there, which can be read.
    Refused { at: u64, errno: i32 },
    /// An access failed for another reason. A file that was cut and made longer again is one.
    Access { at: u64 },
}

impl Failure {
    /// Returns the error that each later call for the file at this path returns.
    #[cold]
    pub(super) fn error(self, path: &Path) -> Error {
        match self {
            Self::Writeback { at, len, errno } => {
                Error::new(path, ErrorKind::Writeback { at, len, errno })
            }
            Self::Cut { size, needed } => {
                let text = format!("was cut to {size} bytes while it was open; {FIND_CUTTER}");
                Error::because(path, ErrorKind::Shorter { size, needed }, text)
            }
            Self::Poisoned { at, len } => Error::new(path, ErrorKind::Poisoned { at, len }),
            Self::Refused { at, errno } => {
                let error = io::Error::from_raw_os_error(errno);
                Error::os(path, "a store to the mapping", &error).about(|text| {
                    format!("a store at offset {at} was refused: {text}; then open it anew")
                })
            }
            Self::Access { at } => {
                let kind = ErrorKind::Os { call: "an access to the mapping", errno: EFAULT };
                let text = format!(
                    "an access at offset {at} of the mapping failed, and later nothing was wrong with it; look for the cause \
                     in the kernel's log (dmesg), and open the file anew; if the file was cut and made longer again, \
                     {FIND_CUTTER}"
                );
                Error::because(path, kind, text)
            }
        }
    }
}

const FIND_CUTTER: &str = "find the program that cuts it, and bring the file back from a copy";

/// `EFAULT`, which is 14 on every system.
const EFAULT: i32 = 14;

/// The first failure, if there was one. It is set without a lock or an allocation, since the handler of SIGBUS does so.
#[derive(Debug, Default)]
pub(super) struct Latch {
    /// [`OPEN`], [`SETTING`] or the failure's variant.
    state: AtomicU32,
    errno: AtomicI32,
    numbers: [AtomicU64; 2],
}

const OPEN: u32 = 0;
const SETTING: u32 = 1;
const WRITEBACK: u32 = 2;
const CUT: u32 = 3;
const POISONED: u32 = 4;
const REFUSED: u32 = 5;
const ACCESS: u32 = 6;

impl Latch {
    /// Returns true once there is a failure. It costs one load.
    #[inline]
    pub(super) fn is_set(&self) -> bool {
        self.state.load(Relaxed) != OPEN
    }

    /// Keeps a failure, unless there is one.
    #[cold]
    pub(super) fn set(&self, failure: Failure) {
        self.set_by(|| failure);
    }

    /// Keeps a failure that is found out only then, unless there is one. From before that on no store is acknowledged.
    #[cold]
    pub(super) fn set_by(&self, find_out: impl FnOnce() -> Failure) {
        if self.state.compare_exchange(OPEN, SETTING, SeqCst, Relaxed).is_err() {
            return;
        }
        let (state, numbers, errno) = match find_out() {
            Failure::Writeback { at, len, errno } => (WRITEBACK, [at, len], errno),
            Failure::Cut { size, needed } => (CUT, [size, needed], 0),
            Failure::Poisoned { at, len } => (POISONED, [at, len], 0),
            Failure::Refused { at, errno } => (REFUSED, [at, 0], errno),
            Failure::Access { at } => (ACCESS, [at, 0], 0),
        };
        self.errno.store(errno, Relaxed);
        self.numbers[0].store(numbers[0], Relaxed);
        self.numbers[1].store(numbers[1], Relaxed);
        self.state.store(state, Release);
    }

    /// Returns the failure. Waits for another thread that is about to set it: no signal interrupts that in the handler of SIGBUS.
    #[cold]
    pub(super) fn failure(&self) -> Option<Failure> {
        let mut state = self.state.load(Acquire);
        while state == SETTING {
            std::thread::yield_now();
            state = self.state.load(Acquire);
        }
        let [first, second] =
            [&self.numbers[0], &self.numbers[1]].map(|number| number.load(Relaxed));
        Some(match state {
            WRITEBACK => {
                Failure::Writeback { at: first, len: second, errno: self.errno.load(Relaxed) }
            }
            CUT => Failure::Cut { size: first, needed: second },
            POISONED => Failure::Poisoned { at: first, len: second },
            REFUSED => Failure::Refused { at: first, errno: self.errno.load(Relaxed) },
            ACCESS => Failure::Access { at: first },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Failure, Latch};
    use std::thread;

    #[test]
    fn the_first_failure_stays() {
        let failures = [
            Failure::Writeback { at: 1, len: 2, errno: 5 },
            Failure::Cut { size: 3, needed: 4 },
            Failure::Poisoned { at: 5, len: 6 },
            Failure::Refused { at: 7, errno: 28 },
            Failure::Access { at: 8 },
        ];
        for first in failures {
            let latch = Latch::default();
            assert!(!latch.is_set() && latch.failure().is_none());
            latch.set(first);
            for later in failures {
                latch.set(later);
            }
            assert!(latch.is_set());
            assert_eq!(latch.failure(), Some(first));
        }
    }

    /// The handler of SIGBUS writes a byte as it was, to learn why a store failed: one that another thread stores meanwhile
    /// may be undone, and must not be acknowledged.
    #[test]
    fn a_failure_is_seen_before_its_reason_is_found_out() {
        let (latch, failure) = (Latch::default(), Failure::Access { at: 1 });
        latch.set_by(|| {
            assert!(latch.is_set());
            failure
        });
        assert_eq!(latch.failure(), Some(failure));
    }

    #[test]
    fn two_threads_that_fail_at_once_agree_on_one_whole_failure() {
        for _ in 0..if cfg!(miri) { 10 } else { 1000 } {
            let latch = Latch::default();
            let fail = |number| {
                let failure = Failure::Writeback { at: number, len: number, errno: 5 };
                latch.set(failure);
                latch.failure()
            };
            let seen = thread::scope(|scope| {
                [1, 2]
                    .map(|number| scope.spawn(move || fail(number)))
                    .map(|one| one.join().unwrap())
            });
            assert_eq!(seen[0], seen[1]);
            assert!(matches!(seen[0], Some(Failure::Writeback { at, len, .. }) if at == len));
        }
    }
}
