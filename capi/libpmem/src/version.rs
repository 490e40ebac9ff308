//! The version of the interface.

use crate::failure::{keep, last};
use core::ffi::{c_char, c_uint};
use core::ptr::null;

/// `PMEM_MAJOR_VERSION` and `PMEM_MINOR_VERSION` of `libpmem.h`.
const VERSION: (c_uint, c_uint) = (1, 1);

/// Returns null if the library provides this version of the interface, otherwise the reason. The text is that of
/// `pmem_errormsg`.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn pmem_check_version(major: c_uint, minor: c_uint) -> *const c_char {
    let (has_major, has_minor) = VERSION;
    if major == has_major && minor <= has_minor {
        return null();
    }
    keep(format_args!(
        "libpmem {major}.{minor} is required, but this is {has_major}.{has_minor}; build the program with its libpmem.h"
    ));
    last()
}
