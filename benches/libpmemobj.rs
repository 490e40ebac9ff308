//! The peer of a store: PMDK's libpmemobj, if it is installed (Debian: `libpmemobj1`). It is loaded when a benchmark
//! runs and is not needed to build one.
//!
//! Its pool is a file on tmpfs, which it is forced to treat as persistent memory (`PMEM_IS_PMEM_FORCE`, `libpmem(7)`).
//! Blobs are an array: it looks up no names and computes no checksums of blobs. A replacement is a transaction, which
//! copies the old bytes to its undo log and overwrites them.

#![expect(unsafe_code, reason = "a C library is loaded and called")]

use crate::environment;
use crate::functions::load;
use core::error::Error;
use core::ffi::{CStr, c_char, c_int, c_void};
use libloading::Library;
use std::ffi::CString;
use std::io::{self, Write};
use std::path::Path;
use tempfile::TempDir;

/// `PMEMoid`: the pool and the offset of an object (`libpmemobj(7)`).
#[derive(Clone, Copy)]
#[repr(C)]
struct Oid {
    pool: u64,
    offset: u64,
}

/// `PMEMobjpool *pmemobj_create(const char *path, const char *layout, size_t poolsize, mode_t mode)` (`pmemobj_create(3)`).
type Create = unsafe extern "C" fn(*const c_char, *const c_char, usize, u32) -> *mut c_void;
/// `void pmemobj_close(PMEMobjpool *pop)` (`pmemobj_create(3)`).
type Close = unsafe extern "C" fn(*mut c_void);
/// `PMEMoid pmemobj_root(PMEMobjpool *pop, size_t size)` (`pmemobj_root(3)`).
type Root = unsafe extern "C" fn(*mut c_void, usize) -> Oid;
/// `int pmemobj_tx_begin(PMEMobjpool *pop, jmp_buf *env, ...)` (`pmemobj_tx_begin(3)`).
type TxBegin = unsafe extern "C" fn(*mut c_void, *mut c_void, ...) -> c_int;
/// `int pmemobj_tx_add_range_direct(const void *ptr, size_t size)` (`pmemobj_tx_add_range(3)`).
type TxAdd = unsafe extern "C" fn(*const c_void, usize) -> c_int;
/// `void pmemobj_tx_commit(void)` (`pmemobj_tx_begin(3)`).
type TxCommit = unsafe extern "C" fn();
/// `int pmemobj_tx_end(void)` (`pmemobj_tx_begin(3)`).
type TxEnd = unsafe extern "C" fn() -> c_int;
/// `const char *pmemobj_errormsg(void)` (`libpmemobj(7)`).
type Errormsg = unsafe extern "C" fn() -> *const c_char;

/// The directory with files in memory (`shm_open(3)`).
const MEMORY: &str = "/dev/shm";
/// Bytes of a pool in addition to its objects.
const OVERHEAD: usize = 64 << 20;

/// An array of blobs in a pool of libpmemobj, for one thread.
#[derive(Debug)]
pub struct Libpmemobj {
    pool: *mut c_void,
    /// The first blob.
    blobs: *mut u8,
    /// The number of blobs and the bytes of each.
    shape: (usize, usize),
    begin: TxBegin,
    add: TxAdd,
    commit: TxCommit,
    end: TxEnd,
    close: Close,
    /// Keeps the functions loaded.
    _library: Library,
    /// Holds the file.
    _folder: TempDir,
}

impl Libpmemobj {
    /// Creates `blobs` of `bytes` bytes. Returns `None`, after a line on standard error, if the library is not installed or
    /// cannot make a pool.
    ///
    /// # Errors
    /// If standard error is closed.
    pub fn if_installed(blobs: usize, bytes: usize) -> io::Result<Option<Self>> {
        match Self::new(blobs, bytes) {
            Ok(pool) => Ok(Some(pool)),
            Err(why) => {
                writeln!(io::stderr(), "skipped: libpmemobj ({why})")?;
                Ok(None)
            }
        }
    }

    fn new(blobs: usize, bytes: usize) -> Result<Self, Box<dyn Error>> {
        environment::set("PMEM_IS_PMEM_FORCE", "1");
        // SAFETY: its constructor and that of libpmem only ask the CPU and the environment.
        let library = unsafe { Library::new("libpmemobj.so.1") }?;
        load! { library:
            create: Create = "pmemobj_create";
            close: Close = "pmemobj_close";
            root: Root = "pmemobj_root";
            begin: TxBegin = "pmemobj_tx_begin";
            add: TxAdd = "pmemobj_tx_add_range_direct";
            commit: TxCommit = "pmemobj_tx_commit";
            end: TxEnd = "pmemobj_tx_end";
            errormsg: Errormsg = "pmemobj_errormsg";
        }

        let folder = tempfile::Builder::new().prefix("cachemaint-").tempdir_in(MEMORY)?;
        let path = c_path(&folder.path().join("pool"))?;
        let size = blobs * bytes + OVERHEAD;
        // SAFETY: both are strings of C, and the library is loaded.
        let pool = unsafe { create(path.as_ptr(), c"blobs".as_ptr(), size, 0o600) };
        if pool.is_null() {
            // SAFETY: the library is loaded, and the last call of this thread has failed.
            let message = unsafe { errormsg() };
            // SAFETY: after a failure it is a string of C, in memory of this thread.
            let message = unsafe { CStr::from_ptr(message) };
            return Err(message.to_string_lossy().into());
        }
        // SAFETY: the pool is open.
        let first = unsafe { root(pool, blobs * bytes) };
        // SAFETY: an object lies at its offset in the pool (`pmemobj_direct(3)`).
        let first = unsafe { pool.cast::<u8>().add(usize::try_from(first.offset)?) };
        let shape = (blobs, bytes);
        let pool = Self {
            pool,
            blobs: first,
            shape,
            begin,
            add,
            commit,
            end,
            close,
            _library: library,
            _folder: folder,
        };
        // Each page is written once, so that later accesses do not fault.
        let bytes = vec![0x5a; bytes];
        (0..blobs).for_each(|blob| pool.replace(blob, &bytes));
        Ok(pool)
    }

    fn blob(&self, number: usize) -> *mut u8 {
        let (blobs, bytes) = self.shape;
        // SAFETY: the object has as many blobs.
        unsafe { self.blobs.add(number % blobs * bytes) }
    }

    /// Replaces a blob in a transaction.
    ///
    /// # Panics
    /// If it is aborted.
    #[inline]
    pub fn replace(&self, number: usize, bytes: &[u8]) {
        const NO_PARAMETERS: c_int = 0;
        let (blob, len) = (self.blob(number), bytes.len().min(self.shape.1));
        // SAFETY: the pool is open, and without a `jmp_buf` a failure returns.
        let begun = unsafe { (self.begin)(self.pool, core::ptr::null_mut(), NO_PARAMETERS) };
        assert_eq!(begun, 0, "what pmemobj_tx_begin returns");
        // SAFETY: a transaction is under way, and the range lies in the object.
        let added = unsafe { (self.add)(blob.cast(), len) };
        assert_eq!(added, 0, "what pmemobj_tx_add_range_direct returns");
        // SAFETY: the blob has as many bytes, and nothing else has a reference to them.
        unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), blob, len) };
        // SAFETY: the transaction is under way.
        unsafe { (self.commit)() };
        // SAFETY: the transaction was committed.
        let ended = unsafe { (self.end)() };
        assert_eq!(ended, 0, "what pmemobj_tx_end returns");
    }

    /// Returns a copy of a blob.
    #[must_use]
    pub fn load(&self, number: usize) -> Vec<u8> {
        // SAFETY: the blob lies in the object, and nothing writes it meanwhile.
        unsafe { core::slice::from_raw_parts(self.blob(number), self.shape.1) }.to_vec()
    }
}

impl Drop for Libpmemobj {
    fn drop(&mut self) {
        // SAFETY: the pool is open, and is not used any more.
        unsafe { (self.close)(self.pool) };
    }
}

fn c_path(path: &Path) -> Result<CString, Box<dyn Error>> {
    Ok(CString::new(path.as_os_str().as_encoded_bytes())?)
}
