//! The peer of a log in an ordinary file: SQLite, if it is installed (Debian: `libsqlite3-0`). It is loaded when a
//! benchmark runs and is not needed to build one.
//!
//! Each row is a transaction in WAL mode with `synchronous=FULL`: the log is synced at each commit (SQLite's
//! documentation, "PRAGMA synchronous").

#![expect(unsafe_code, reason = "a C library is loaded and called")]

use crate::functions::load;
use core::error::Error;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};
use libloading::Library;
use std::ffi::CString;
use std::io::{self, Write};
use std::path::Path;

/// `int sqlite3_open(const char *filename, sqlite3 **ppDb)`, as all of these in SQLite's C interface.
type Open = unsafe extern "C" fn(*const c_char, *mut *mut c_void) -> c_int;
/// `int sqlite3_exec(sqlite3*, const char *sql, int (*callback)(…), void *, char **errmsg)`.
type Exec = unsafe extern "C" fn(
    *mut c_void,
    *const c_char,
    *const c_void,
    *mut c_void,
    *mut *mut c_char,
) -> c_int;
/// `int sqlite3_prepare_v2(sqlite3*, const char *sql, int nByte, sqlite3_stmt **, const char **tail)`.
type Prepare = unsafe extern "C" fn(
    *mut c_void,
    *const c_char,
    c_int,
    *mut *mut c_void,
    *mut *const c_char,
) -> c_int;
/// `int sqlite3_bind_blob(sqlite3_stmt*, int, const void*, int n, void(*)(void*))`.
type BindBlob =
    unsafe extern "C" fn(*mut c_void, c_int, *const c_void, c_int, *const c_void) -> c_int;
/// `int sqlite3_step(sqlite3_stmt*)`, `sqlite3_reset`, `sqlite3_finalize`, and `sqlite3_close` of a database.
type Call = unsafe extern "C" fn(*mut c_void) -> c_int;
/// `sqlite3_int64 sqlite3_last_insert_rowid(sqlite3*)`.
type LastRow = unsafe extern "C" fn(*mut c_void) -> i64;

const OK: c_int = 0;
const DONE: c_int = 101;

/// A database with one table, and its statement that inserts a row.
#[derive(Debug)]
pub struct Sqlite {
    /// Never null.
    database: AtomicPtr<c_void>,
    insert: AtomicPtr<c_void>,
    bind_blob: BindBlob,
    step: Call,
    reset: Call,
    last_row: LastRow,
    finalize: Call,
    close: Call,
    /// Keeps the functions loaded.
    _library: Library,
}

impl Sqlite {
    /// Creates a database at `path`. Returns `None`, after a line on standard error, if the library is not installed or
    /// cannot make one.
    ///
    /// # Errors
    /// If standard error is closed.
    pub fn if_installed(path: &Path) -> io::Result<Option<Self>> {
        match Self::new(path) {
            Ok(database) => Ok(Some(database)),
            Err(why) => {
                writeln!(io::stderr(), "skipped: SQLite ({why})")?;
                Ok(None)
            }
        }
    }

    fn new(path: &Path) -> Result<Self, Box<dyn Error>> {
        // SAFETY: the library has no constructor.
        let library = unsafe { Library::new("libsqlite3.so.0") }?;
        load! { library:
            open: Open = "sqlite3_open";
            exec: Exec = "sqlite3_exec";
            prepare: Prepare = "sqlite3_prepare_v2";
            bind_blob: BindBlob = "sqlite3_bind_blob";
            step: Call = "sqlite3_step";
            reset: Call = "sqlite3_reset";
            last_row: LastRow = "sqlite3_last_insert_rowid";
            finalize: Call = "sqlite3_finalize";
            close: Call = "sqlite3_close";
        }

        let path = CString::new(path.as_os_str().as_encoded_bytes())?;
        let (mut database, mut insert) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the path is a string of C.
        let opened = unsafe { open(path.as_ptr(), &raw mut database) };
        done(opened, "sqlite3_open")?;
        let setup: [&CStr; 3] = [
            c"PRAGMA journal_mode=WAL",
            c"PRAGMA synchronous=FULL",
            c"CREATE TABLE log (number INTEGER PRIMARY KEY, payload BLOB NOT NULL)",
        ];
        for sql in setup {
            // SAFETY: the database is open; no callback and no message are asked for.
            let executed = unsafe {
                exec(database, sql.as_ptr(), ptr::null(), ptr::null_mut(), ptr::null_mut())
            };
            done(executed, "sqlite3_exec")?;
        }
        let sql = c"INSERT INTO log (payload) VALUES (?)";
        // SAFETY: the database is open, and -1 takes the whole string.
        let prepared =
            unsafe { prepare(database, sql.as_ptr(), -1, &raw mut insert, ptr::null_mut()) };
        done(prepared, "sqlite3_prepare_v2")?;
        let (database, insert) = (AtomicPtr::new(database), AtomicPtr::new(insert));
        Ok(Self {
            database,
            insert,
            bind_blob,
            step,
            reset,
            last_row,
            finalize,
            close,
            _library: library,
        })
    }

    /// Inserts a row durably.
    ///
    /// # Panics
    /// If it fails.
    pub fn insert(&self, payload: &[u8]) {
        let insert = self.insert.load(Ordering::Relaxed);
        let len = c_int::try_from(payload.len()).unwrap_or(c_int::MAX);
        // SAFETY: the statement is reset, and the payload stays until it is reset again (no destructor: SQLITE_STATIC).
        let bound =
            unsafe { (self.bind_blob)(insert, 1, payload.as_ptr().cast(), len, ptr::null()) };
        assert_eq!(bound, OK, "sqlite3_bind_blob");
        // SAFETY: the statement is prepared and its parameter bound.
        let stepped = unsafe { (self.step)(insert) };
        assert_eq!(stepped, DONE, "sqlite3_step");
        // SAFETY: the statement is prepared.
        let reset = unsafe { (self.reset)(insert) };
        assert_eq!(reset, OK, "sqlite3_reset");
    }

    /// Returns the number of the last row.
    #[must_use]
    pub fn last_row(&self) -> i64 {
        // SAFETY: the database is open.
        unsafe { (self.last_row)(self.database.load(Ordering::Relaxed)) }
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        // SAFETY: the statement is not used any more.
        unsafe { (self.finalize)(self.insert.load(Ordering::Relaxed)) };
        // SAFETY: nor is the database, and it has no other statement.
        unsafe { (self.close)(self.database.load(Ordering::Relaxed)) };
    }
}

fn done(code: c_int, call: &str) -> Result<(), Box<dyn Error>> {
    if code == OK { Ok(()) } else { Err(format!("{call} fails with {code}").into()) }
}
