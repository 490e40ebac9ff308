//! `libpmem.so.1`: the functions of PMDK's libpmem, for programs that are linked to it.
#![cfg(target_os = "linux")]

use core::ffi::c_int;

/// Returns 0: no platform makes stores persistent at a fence alone without being asked.
#[unsafe(no_mangle)]
#[expect(unsafe_code, reason = "a name that C programs link to")]
pub extern "C" fn pmem_has_hw_drain() -> c_int {
    0
}
