//! The limits of this process.
//!
//! # Why this file is unsafe
//! rustix assumes that the call cannot fail, and returns an arbitrary number if a system-call filter refuses it.

use core::mem::MaybeUninit;

/// A limit of this process; `None` means no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The limit in force.
    pub current: Option<u64>,
    /// The limit to which this process may raise it.
    pub maximum: Option<u64>,
}

/// Returns the limit of open files; `None` if the system does not report it.
#[must_use]
pub fn open_files() -> Option<Limit> {
    // SAFETY: the kernel fills the structure.
    limit(|into| unsafe { libc::getrlimit64(libc::RLIMIT_NOFILE, into) })
}

/// Returns the limit of a file's length in bytes; `None` if the system does not report it.
#[must_use]
pub fn file_size() -> Option<Limit> {
    // SAFETY: the kernel fills the structure.
    limit(|into| unsafe { libc::getrlimit64(libc::RLIMIT_FSIZE, into) })
}

/// The type of a resource number differs between C libraries, so the caller makes the call.
fn limit(ask: impl FnOnce(*mut libc::rlimit64) -> libc::c_int) -> Option<Limit> {
    let mut limit = MaybeUninit::uninit();
    if ask(limit.as_mut_ptr()) != 0 {
        return None;
    }
    // SAFETY: the question has succeeded.
    let libc::rlimit64 { rlim_cur, rlim_max } = unsafe { limit.assume_init() };
    // `RLIM64_INFINITY` (`include/uapi/linux/resource.h`).
    let [current, maximum] = [rlim_cur, rlim_max].map(|limit| (limit != u64::MAX).then_some(limit));
    Some(Limit { current, maximum })
}
