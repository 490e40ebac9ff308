//! The peer: libpmem of PMDK, if it is installed (Debian: `libpmem1`). It is loaded when a benchmark
//! runs and never needed to build one.

#![expect(unsafe_code, reason = "a C library is loaded and called")]

use core::ffi::c_void;
use core::sync::atomic::AtomicU64;
use libloading::Library;

/// `void pmem_persist(const void *addr, size_t len)` (`libpmem(7)`).
type Persist = unsafe extern "C" fn(*const c_void, usize);

/// libpmem, loaded.
#[derive(Debug)]
pub struct Libpmem {
    persist: Persist,
    /// Keeps `persist` where it is.
    _library: Library,
}

impl Libpmem {
    /// Loads it.
    ///
    /// # Errors
    /// If it is not installed.
    pub fn load() -> Result<Self, libloading::Error> {
        // SAFETY: the library's constructor only asks the CPU and the environment.
        let library = unsafe { Library::new("libpmem.so.1") }?;
        // SAFETY: this is the function's type in the library's manual page; the ABI is version 1.
        let persist = *unsafe { library.get::<Persist>(b"pmem_persist\0") }?;
        Ok(Self { persist, _library: library })
    }

    /// Persists one word.
    #[inline]
    pub fn persist(&self, word: &AtomicU64) {
        // SAFETY: the word can be read, and the library is loaded as long as this is there.
        unsafe { (self.persist)(word.as_ptr().cast(), size_of::<AtomicU64>()) };
    }
}
