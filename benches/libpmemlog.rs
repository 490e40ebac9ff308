//! The peer of a journal: PMDK's libpmemlog, if it is installed (Debian: `libpmemlog1`). It is loaded when a benchmark
//! runs and is not needed to build one.
//!
//! Its log is a file on tmpfs, which it is forced to treat as persistent memory (`PMEM_IS_PMEM_FORCE`, `libpmem(7)`),
//! so it stores and writes back as on real persistent memory. An append is two rounds: the data and a fence, then the
//! end of the log and another fence.

#![expect(unsafe_code, reason = "a C library is loaded and called")]

use crate::environment;
use crate::functions::load;
use crate::measure::lines::PAGE;
use core::error::Error;
use core::ffi::{CStr, c_char, c_int, c_longlong, c_void};
use core::sync::atomic::{AtomicPtr, Ordering};
use libloading::Library;
use std::ffi::CString;
use std::io::{self, Write};
use std::path::Path;
use tempfile::TempDir;

/// `PMEMlogpool *pmemlog_create(const char *path, size_t poolsize, mode_t mode)` (`pmemlog_create(3)`).
type Create = unsafe extern "C" fn(*const c_char, usize, u32) -> *mut c_void;
/// `void pmemlog_close(PMEMlogpool *plp)` (`pmemlog_create(3)`).
type Close = unsafe extern "C" fn(*mut c_void);
/// `int pmemlog_append(PMEMlogpool *plp, const void *buf, size_t count)` (`pmemlog_append(3)`).
type Append = unsafe extern "C" fn(*mut c_void, *const c_void, usize) -> c_int;
/// `long long pmemlog_tell(PMEMlogpool *plp)` (`pmemlog_tell(3)`).
type Tell = unsafe extern "C" fn(*mut c_void) -> c_longlong;
/// `void pmemlog_rewind(PMEMlogpool *plp)` (`pmemlog_tell(3)`).
type Rewind = unsafe extern "C" fn(*mut c_void);
/// `size_t pmemlog_nbyte(PMEMlogpool *plp)` (`pmemlog_nbyte(3)`).
type Nbyte = unsafe extern "C" fn(*mut c_void) -> usize;
/// `const char *pmemlog_errormsg(void)` (`libpmemlog(7)`).
type Errormsg = unsafe extern "C" fn() -> *const c_char;
/// `void pmemlog_walk(PMEMlogpool *plp, size_t chunksize, int (*process_chunk)(const void *buf, size_t len,
/// void *arg), void *arg)` (`pmemlog_tell(3)`).
type Walk = unsafe extern "C" fn(*mut c_void, usize, ProcessChunk, *mut c_void);
type ProcessChunk = unsafe extern "C" fn(*const c_void, usize, *mut c_void) -> c_int;

/// The directory with files in memory. It exists on every Linux with a C library that has shared memory
/// (`shm_open(3)`).
const MEMORY: &str = "/dev/shm";

/// A log of libpmemlog.
#[derive(Debug)]
pub struct Libpmemlog {
    /// The pool, which locks itself, so threads may share it. Never null.
    pool: AtomicPtr<c_void>,
    append: Append,
    tell: Tell,
    rewind: Rewind,
    walk: Walk,
    close: Close,
    bytes: usize,
    /// Keeps the functions loaded.
    _library: Library,
    /// Holds the file.
    _folder: TempDir,
}

impl Libpmemlog {
    /// Creates an empty log in a file of `bytes` bytes, at least 2 MiB (`PMEMLOG_MIN_POOL`). Returns `None`, after a
    /// line on standard error, if the library is not installed or cannot make one.
    ///
    /// # Errors
    /// If standard error is closed.
    pub fn if_installed(bytes: usize) -> io::Result<Option<Self>> {
        match Self::new(bytes) {
            Ok(log) => Ok(Some(log)),
            Err(why) => {
                writeln!(io::stderr(), "skipped: libpmemlog ({why})")?;
                Ok(None)
            }
        }
    }

    fn new(bytes: usize) -> Result<Self, Box<dyn Error>> {
        environment::set("PMEM_IS_PMEM_FORCE", "1");
        // SAFETY: its constructor and that of libpmem only ask the CPU and the environment.
        let library = unsafe { Library::new("libpmemlog.so.1") }?;
        load! { library:
            create: Create = "pmemlog_create";
            append: Append = "pmemlog_append";
            tell: Tell = "pmemlog_tell";
            rewind: Rewind = "pmemlog_rewind";
            walk: Walk = "pmemlog_walk";
            close: Close = "pmemlog_close";
            nbyte: Nbyte = "pmemlog_nbyte";
            errormsg: Errormsg = "pmemlog_errormsg";
        }

        let folder = tempfile::Builder::new().prefix("cachemaint-").tempdir_in(MEMORY)?;
        let path = c_path(&folder.path().join("log"))?;
        // SAFETY: the path is a string of C, and the library is loaded.
        let pool = unsafe { create(path.as_ptr(), bytes, 0o600) };
        if pool.is_null() {
            // SAFETY: the library is loaded, and the last call of this thread has failed.
            let message = unsafe { errormsg() };
            // SAFETY: after a failure it is a string of C, in memory of this thread.
            let message = unsafe { CStr::from_ptr(message) };
            return Err(message.to_string_lossy().into());
        }
        // SAFETY: the pool was just made.
        let bytes = unsafe { nbyte(pool) };
        let pool = AtomicPtr::new(pool);
        let log = Self {
            pool,
            append,
            tell,
            rewind,
            walk,
            close,
            bytes,
            _library: library,
            _folder: folder,
        };
        log.touch();
        Ok(log)
    }

    /// Writes every page once, so that later accesses do not fault.
    fn touch(&self) {
        let page = [0x5a; PAGE];
        (0..self.bytes / PAGE).for_each(|_| self.append(&page));
        self.make_room(self.bytes);
    }

    fn pool(&self) -> *mut c_void {
        self.pool.load(Ordering::Relaxed)
    }

    /// Appends a record durably.
    ///
    /// # Panics
    /// If it is refused.
    #[inline]
    pub fn append(&self, payload: &[u8]) {
        // SAFETY: the pool is open, the payload can be read, and the library locks the pool.
        let outcome = unsafe { (self.append)(self.pool(), payload.as_ptr().cast(), payload.len()) };
        assert_eq!(outcome, 0, "what pmemlog_append returns; is the log full?");
    }

    /// Empties the log if it has no space for `bytes` more.
    pub fn make_room(&self, bytes: usize) {
        if self.bytes - self.len() < bytes {
            // SAFETY: the pool is open.
            unsafe { (self.rewind)(self.pool()) };
        }
    }

    /// Returns the number of bytes in the log.
    ///
    /// # Panics
    /// If the library fails to report it.
    #[must_use]
    pub fn len(&self) -> usize {
        // SAFETY: the pool is open.
        let bytes = unsafe { (self.tell)(self.pool()) };
        let bytes = usize::try_from(bytes);
        assert!(bytes.is_ok(), "pmemlog_tell fails");
        bytes.unwrap_or_default()
    }

    /// Returns true if the log is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `look` with the whole log.
    pub fn read(&self, mut look: impl FnMut(&[u8])) {
        let mut look: &mut dyn FnMut(&[u8]) = &mut look;
        let argument = core::ptr::from_mut(&mut look).cast();
        // SAFETY: the pool is open; a chunk size of 0 makes it one call, with everything; the argument has the type
        // that `show` expects, and is there until this returns.
        unsafe { (self.walk)(self.pool(), 0, show, argument) };
    }
}

/// # Safety
/// 1. `bytes` can be read for `len` bytes and do not change.
/// 2. `argument` is that of [`Libpmemlog::read`].
unsafe extern "C" fn show(bytes: *const c_void, len: usize, argument: *mut c_void) -> c_int {
    const STOP: c_int = 0;
    // SAFETY: (1).
    let bytes = unsafe { core::slice::from_raw_parts(bytes.cast(), len) };
    // SAFETY: (2): no other code has it meanwhile.
    let look = unsafe { &mut *argument.cast::<&mut dyn FnMut(&[u8])>() };
    look(bytes);
    STOP
}

impl Drop for Libpmemlog {
    fn drop(&mut self) {
        // SAFETY: the pool is open, and is not used any more.
        unsafe { (self.close)(self.pool()) };
    }
}

fn c_path(path: &Path) -> Result<CString, Box<dyn Error>> {
    Ok(CString::new(path.as_os_str().as_encoded_bytes())?)
}
