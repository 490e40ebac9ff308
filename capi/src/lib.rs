//! `cachemaint.h`: the operations and files of the crate for C programs.
#![cfg(target_os = "linux")]

use core::ffi::c_int;

/// Returns the version of the interface: `major << 16 | minor`.
#[unsafe(no_mangle)]
#[expect(unsafe_code, reason = "a name that C programs link to")]
pub extern "C" fn cachemaint_version() -> c_int {
    1
}
