//! What tests of several crates share.
//!
//! Media: [`counting`] counts operations and fails on request, [`failed`] fails at one access, [`hooked`] shows each
//! call to the test first, [`looks`] counts bytes read, [`bad_blocks`] cannot read some of them, [`pages`] is a page cache over a drive, [`plain`] is ordinary memory, [`erased`] hides a medium's type so
//! that tests share compiled code.

#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::return_self_not_must_use,
    clippy::cast_possible_truncation,
    missing_docs,
    missing_debug_implementations,
    reason = "what fails here is a finding, and tests alone use it"
)]

pub mod bad_blocks;
#[cfg(target_has_atomic = "64")]
pub mod counting;
#[cfg(target_has_atomic = "64")]
pub mod erased;
#[cfg(target_has_atomic = "64")]
pub mod failed;
#[cfg(target_has_atomic = "64")]
pub mod hooked;
#[cfg(target_has_atomic = "64")]
pub mod looks;
#[cfg(target_has_atomic = "64")]
pub mod pages;
#[cfg(target_has_atomic = "64")]
pub mod part;
#[cfg(target_has_atomic = "64")]
pub mod plain;

pub mod allocated;
pub mod cases;
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "a filter of system calls is installed")]
pub mod failing_calls;
#[cfg(unix)]
pub mod fixture;
#[cfg(all(target_os = "linux", not(miri)))]
#[expect(unsafe_code, reason = "children are forked, traced and killed")]
pub mod killed;
#[cfg(target_os = "linux")]
pub mod own_mount;
pub mod refused;
pub mod skip;
