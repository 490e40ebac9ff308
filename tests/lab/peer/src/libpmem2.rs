//! The functions of libpmem2 that it takes, with the types of its manual pages
//! (`pmem2_source_from_fd(3)`, `pmem2_config_new(3)`,
//! `pmem2_config_set_required_store_granularity(3)`, `pmem2_map_new(3)`,
//! `pmem2_map_get_store_granularity(3)`); the ABI is version 1.
//!
//! Nothing is released: the program ends with its answer.

use anyhow::{Context as _, Result, ensure};
use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use std::fs::File;
use std::os::fd::AsRawFd as _;

/// A source, a configuration or a mapping of the library's.
type Handle = *mut c_void;
type New = unsafe extern "C" fn(*mut Handle) -> c_int;
type FromDescriptor = unsafe extern "C" fn(*mut Handle, c_int) -> c_int;
type Require = unsafe extern "C" fn(Handle, c_int) -> c_int;
type Map = unsafe extern "C" fn(*mut Handle, Handle, Handle) -> c_int;
type Granularity = unsafe extern "C" fn(Handle) -> c_int;

/// The values of `enum pmem2_granularity`, in order.
const NAMES: [&str; 3] = ["byte", "cache line", "page"];
/// The coarsest granularity: nothing is refused.
const PAGE: c_int = 2;

/// libpmem2, loaded.
pub(crate) struct Library {
    library: libloading::Library,
}

impl Library {
    pub(crate) fn load() -> Result<Self> {
        // SAFETY: the library's constructor only asks the CPU and the environment.
        let library = unsafe { libloading::Library::new("libpmem2.so.1") };
        Ok(Self { library: library.context("no libpmem2")? })
    }

    /// Returns a function, to be called while the library is loaded.
    ///
    /// # Safety
    /// 1. `T` is the type of the function in its manual page.
    unsafe fn function<T: Copy>(&self, name: &str) -> Result<T> {
        // SAFETY: the type is the caller's duty (1).
        let symbol = unsafe { self.library.get::<T>(name.as_bytes()) };
        Ok(*symbol.with_context(|| format!("libpmem2 has no {name}"))?)
    }

    /// Maps the file at the coarsest granularity, and returns the granularity of the mapping.
    pub(crate) fn granularity(&self, file: &File) -> Result<&'static str> {
        let (mut source, mut config, mut map): (Handle, Handle, Handle) =
            (null_mut(), null_mut(), null_mut());
        // SAFETY: (1) the type is that of the manual page.
        let from_descriptor = unsafe { self.function::<FromDescriptor>("pmem2_source_from_fd") }?;
        // SAFETY: the descriptor is open, and the source is written to a place that is ours.
        let result = unsafe { from_descriptor(&raw mut source, file.as_raw_fd()) };
        ensure!(result == 0, "pmem2_source_from_fd: error {result}");
        // SAFETY: (1) the type is that of the manual page.
        let new = unsafe { self.function::<New>("pmem2_config_new") }?;
        // SAFETY: the configuration is written to a place that is ours.
        let result = unsafe { new(&raw mut config) };
        ensure!(result == 0, "pmem2_config_new: error {result}");
        // SAFETY: (1) the type is that of the manual page.
        let require =
            unsafe { self.function::<Require>("pmem2_config_set_required_store_granularity") }?;
        // SAFETY: the configuration was made just now; the value is one of the enumeration's.
        let result = unsafe { require(config, PAGE) };
        ensure!(result == 0, "pmem2_config_set_required_store_granularity: error {result}");
        // SAFETY: (1) the type is that of the manual page.
        let map_new = unsafe { self.function::<Map>("pmem2_map_new") }?;
        // SAFETY: configuration and source were made just now, and no other code has them.
        let result = unsafe { map_new(&raw mut map, config, source) };
        ensure!(result == 0, "pmem2_map_new: error {result}");
        // SAFETY: (1) the type is that of the manual page.
        let granularity =
            unsafe { self.function::<Granularity>("pmem2_map_get_store_granularity") }?;
        // SAFETY: the mapping was made just now.
        let found = unsafe { granularity(map) };
        let name = usize::try_from(found).ok().and_then(|place| NAMES.get(place));
        name.copied().with_context(|| format!("libpmem2 names a granularity of {found}"))
    }
}
