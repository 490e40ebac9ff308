//! The environment variables of this process, which configure a peer.

#![expect(unsafe_code, reason = "the environment has no owner")]

use std::ffi::OsStr;

/// Sets a variable that libraries written in C read when they are loaded.
///
/// It is meant for the beginning of a benchmark, where one thread loads them.
pub(crate) fn set(name: &str, value: impl AsRef<OsStr>) {
    // SAFETY: readers in Rust are kept out by a lock of the standard library. Peers read the
    // environment while they are loaded, and the thread that loads them is this one.
    unsafe { std::env::set_var(name, value) };
}
