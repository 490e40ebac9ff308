//! The failure latch of a mapping: set once, by the first event after which the mapped bytes may differ from the stored
//! ones.
//!
//! # The reason why a failed write-back ends the use of a file, on Linux
//! On Linux, pages that could not be written are still marked clean (`mm/page-writeback.c`,
//! `folio_clear_dirty_for_io`). The page cache shows the stored bytes until it drops the page, and then those of the
//! medium, without another error. The error is reported once to each open file (`lib/errseq.c`) and does not name the
//! pages, and a successful second try proves nothing ("fsync failures", LWN 752063, 2018).

use super::system::files;
use super::{Error, ErrorKind};
use crate::medium::words::AtomicU64;
use alloc::format;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::path::Path;
use std::sync::OnceLock;

/// An event that ends the use of a mapping. Offsets are in bytes of the mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(any(target_os = "linux", test)),
    expect(dead_code, reason = "only Linux tells the reason of an access")
)]
pub(super) enum Failure {
    /// The system could not write a range back. Bytes that were stored anywhere in the file may be lost.
    Writeback { at: u64, len: u64, errno: i32 },
    /// The file ended before its mapping. It had `size` of the `needed` bytes.
    Cut { size: u64, needed: u64 },
    /// The system did not report the length of the file, which may have been cut.
    Unmeasured { errno: i32 },
    /// The medium has lost these bytes.
    Poisoned { at: u64, len: u64 },
    /// The file system has no room for a store to the page there.
    NoSpace { at: u64 },
    /// An access failed for an unknown reason.
    Access(FailedAccess),
}

/// An access that failed, as a signal describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FailedAccess {
    /// The place of the access, in bytes of the mapping.
    pub(super) at: u64,
    /// True if the kernel reports a memory error: the bytes are lost.
    pub(super) is_memory_error: bool,
    /// The size of the bad bytes around the address, as a power of two.
    pub(super) order: u8,
}

impl Failure {
    /// Returns the same failure, which names `at` and `len` if it is that of a write-back.
    pub(super) const fn of_range(self, at: u64, len: u64) -> Self {
        match self {
            Self::Writeback { errno, .. } => Self::Writeback { at, len, errno },
            other => other,
        }
    }

    /// Returns the error that each later call for the file at this path returns.
    #[cold]
    pub(super) fn error(self, path: &Path) -> Error {
        match self {
            Self::Writeback { at, len, errno } => {
                Error::new(path, ErrorKind::Writeback { at, len, errno })
            }
            Self::Cut { size, needed } => {
                let text =
                    format!("was truncated to {size} bytes while it was open; {FIND_TRUNCATOR}");
                Error::because(path, ErrorKind::Shorter { size, needed }, text)
            }
            Self::Unmeasured { errno } => Error::os(
                path,
                files::METADATA,
                &std::io::Error::from_raw_os_error(errno),
            )
            .about(|text| {
                format!(
                    "{text}; its length after the last write-back is unknown, so reopen the file"
                )
            }),
            Self::Poisoned { at, len } => Error::new(path, ErrorKind::Poisoned { at, len }),
            Self::NoSpace { at } => {
                let text = format!(
                    "a store at offset {at} of the mapping was refused: its file system has no space (df -h); free some, \
                     and reopen the file"
                );
                Error::because(path, ErrorKind::NoSpace { len: 0 }, text)
            }
            Self::Access(FailedAccess { at, .. }) => {
                let kind = ErrorKind::Os { call: "an access to the mapping", errno: EFAULT };
                let text = format!(
                    "an access at offset {at} of the mapping failed, and the file can be read there; its file system had no \
                     space or no quota left for a store (df -h, quota -v): free some, and reopen the file; or the file was \
                     truncated and extended again: {FIND_TRUNCATOR}"
                );
                Error::because(path, kind, text)
            }
        }
    }
}

const FIND_TRUNCATOR: &str = "find the program that truncates it, and restore the file from a copy";

/// `EFAULT`, which is 14 on every system.
const EFAULT: i32 = 14;

/// The first failure, if there was one: the one that leaves [`OPEN`]. A handler of SIGBUS can set it, in the middle of
/// any call here: that takes one store.
#[derive(Debug, Default)]
pub(super) struct Latch {
    /// [`OPEN`], [`FAILED`], or an access that failed.
    word: AtomicU64,
    /// The failure, if the word is [`FAILED`].
    failure: OnceLock<Failure>,
    /// The reason of an access, if the word is one, once found.
    reason: OnceLock<Failure>,
}

const OPEN: u64 = 0;
const FAILED: u64 = 1;
/// The bits in the word of an access: this one, one for a memory error, six for the order, and the place in words.
const ACCESS: u64 = 2;
const MEMORY_ERROR: u64 = 4;
const ORDER: u32 = 3;
const PLACE: u32 = 9;

impl Latch {
    /// Returns true once there is a failure. It costs one load.
    #[inline]
    pub(super) fn is_set(&self) -> bool {
        self.word.load(Relaxed) != OPEN
    }

    /// Keeps a failure, unless there is one already.
    #[cold]
    pub(super) fn set(&self, failure: Failure) {
        let _is_later = self.failure.set(failure);
        let _is_later = self.word.compare_exchange(OPEN, FAILED, SeqCst, Relaxed);
    }

    /// Keeps a failed access, unless there is a failure already. A signal handler may call it.
    #[cfg_attr(
        not(any(target_os = "linux", test)),
        expect(dead_code, reason = "only Linux has the handler")
    )]
    pub(super) fn set_access(&self, access: FailedAccess) {
        let FailedAccess { at, is_memory_error, order } = access;
        let flags = ACCESS | if is_memory_error { MEMORY_ERROR } else { 0 };
        let word = flags | u64::from(order & 63) << ORDER | (at / 8) << PLACE;
        let _is_later = self.word.compare_exchange(OPEN, word, Release, Relaxed);
    }

    /// Returns the failure. `find_out` determines the reason of a failed access, and is called once.
    #[cold]
    pub(super) fn failure(
        &self,
        find_out: impl FnOnce(FailedAccess) -> Failure,
    ) -> Option<Failure> {
        match self.word.load(Acquire) {
            OPEN => None,
            FAILED => self.failure.get().copied(),
            word => {
                let access = FailedAccess {
                    at: (word >> PLACE) * 8,
                    is_memory_error: word & MEMORY_ERROR != 0,
                    order: (word >> ORDER & 63) as u8,
                };
                Some(*self.reason.get_or_init(|| find_out(access)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FailedAccess, Failure, Latch};
    use std::thread;

    const ACCESS: FailedAccess = FailedAccess { at: 4096, is_memory_error: true, order: 21 };
    const FOUND: Failure = Failure::Poisoned { at: 0, len: 2 << 20 };

    fn failure(latch: &Latch) -> Option<Failure> {
        latch.failure(|access| {
            assert_eq!(access, ACCESS);
            FOUND
        })
    }

    #[test]
    fn the_first_failure_stays() {
        let failures = [
            Failure::Writeback { at: 1, len: 2, errno: 5 },
            Failure::Cut { size: 3, needed: 4 },
            Failure::Unmeasured { errno: 116 },
            Failure::NoSpace { at: 7 },
        ];
        for first in failures {
            let latch = Latch::default();
            assert!(!latch.is_set() && failure(&latch).is_none());
            latch.set(first);
            latch.set_access(ACCESS);
            for later in failures {
                latch.set(later);
            }
            assert!(latch.is_set());
            assert_eq!(failure(&latch), Some(first));
        }
    }

    /// An access can fail before another failure is set, and in the middle of that: a signal handler runs anywhere.
    #[test]
    fn an_access_that_fails_first_stays() {
        let later = Failure::Cut { size: 3, needed: 4 };
        let before = Latch::default();
        before.set_access(ACCESS);
        before.set(later);
        assert_eq!(failure(&before), Some(FOUND));

        let within = Latch::default();
        within.failure.set(later).unwrap(); // the first step of `set`
        within.set_access(ACCESS);
        within.set(later);
        assert_eq!(failure(&within), Some(FOUND));
    }

    #[test]
    fn the_reason_of_an_access_is_found_out_once() {
        let latch = Latch::default();
        latch.set_access(ACCESS);
        latch.set_access(FailedAccess { at: 8, is_memory_error: false, order: 0 });
        assert!(latch.is_set());
        assert_eq!(failure(&latch), Some(FOUND));
        assert_eq!(latch.failure(|_| unreachable!()), Some(FOUND));
    }

    #[test]
    fn two_threads_that_fail_at_once_agree_on_one_whole_failure() {
        for _ in 0..if cfg!(miri) { 10 } else { 1000 } {
            let latch = Latch::default();
            let fail = |number| {
                latch.set(Failure::Writeback { at: number, len: number, errno: 5 });
                failure(&latch)
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
