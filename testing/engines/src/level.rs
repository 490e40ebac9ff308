// LevelDB and RocksDB have the same C interface except for the prefix. Writes set `sync` unless the setting is
// `nosync`.
use lose_lines_engines::{Engine, Entries, Result, command};
use std::ffi::{CStr, c_char};
use std::ptr::null_mut;

/// An object of the C library.
type Object = *mut std::ffi::c_void;
type Failure = *mut c_char;

macro_rules! c_interface {
    ($prefix:literal) => {
        unsafe extern "C" {
            #[link_name = concat!($prefix, "options_create")]
            fn options() -> Object;
            #[link_name = concat!($prefix, "options_set_create_if_missing")]
            fn create_if_missing(options: Object, yes: u8);
            #[link_name = concat!($prefix, "options_set_write_buffer_size")]
            fn write_buffer_size(options: Object, bytes: usize);
            #[link_name = concat!($prefix, "writeoptions_create")]
            fn write_options() -> Object;
            #[link_name = concat!($prefix, "writeoptions_set_sync")]
            fn sync(options: Object, yes: u8);
            #[link_name = concat!($prefix, "readoptions_create")]
            fn read_options() -> Object;
            #[link_name = concat!($prefix, "open")]
            fn open(options: Object, path: *const c_char, failure: *mut Failure) -> Object;
            #[link_name = concat!($prefix, "close")]
            fn close(database: Object);
            #[link_name = concat!($prefix, "writebatch_create")]
            fn batch() -> Object;
            #[link_name = concat!($prefix, "writebatch_destroy")]
            fn destroy_batch(batch: Object);
            #[link_name = concat!($prefix, "writebatch_put")]
            fn put(
                batch: Object,
                key: *const u8,
                key_bytes: usize,
                value: *const u8,
                value_bytes: usize,
            );
            #[link_name = concat!($prefix, "write")]
            fn write(database: Object, options: Object, batch: Object, failure: *mut Failure);
            #[link_name = concat!($prefix, "get")]
            fn get(
                database: Object,
                options: Object,
                key: *const u8,
                bytes: usize,
                found: *mut usize,
                failure: *mut Failure,
            ) -> *mut u8;
            #[link_name = concat!($prefix, "free")]
            fn free(memory: *mut u8);
        }
    };
}

struct Level {
    database: Object,
    write_options: Object,
    read_options: Object,
}

/// Calls a library function that reports a failure through its last argument.
fn call<T>(function: impl FnOnce(*mut Failure) -> T) -> Result<T> {
    let mut failure = null_mut();
    let value = function(&raw mut failure);
    if failure.is_null() {
        return Ok(value);
    }
    // SAFETY: the library has set it to a string that lives on.
    Err(unsafe { CStr::from_ptr(failure) }.to_string_lossy().into())
}

impl Engine for Level {
    fn open(setting: &str) -> Result<Self> {
        // SAFETY: each object is of the kind that the function takes, and is alive.
        unsafe {
            let (options, write_options) = (options(), write_options());
            create_if_missing(options, 1);
            // A small table is flushed and compacted even during a short run.
            write_buffer_size(options, 64 << 10);
            sync(write_options, u8::from(setting != "nosync"));
            let database = call(|failure| open(options, c"level".as_ptr(), failure))?;
            Ok(Self { database, write_options, read_options: read_options() })
        }
    }
    fn commit(&mut self, entries: &Entries) -> Result<()> {
        // SAFETY: as above; the library copies keys and values.
        unsafe {
            let batch = batch();
            for (key, value) in entries {
                put(batch, key.as_ptr(), key.len(), value.as_ptr(), value.len());
            }
            let written = call(|failure| write(self.database, self.write_options, batch, failure));
            destroy_batch(batch);
            written
        }
    }
    fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>> {
        let mut bytes = 0;
        // SAFETY: as above; the library returns null, or memory of so many bytes that is the caller's.
        unsafe {
            let value = call(|failure| {
                get(
                    self.database,
                    self.read_options,
                    key.as_ptr(),
                    key.len(),
                    &raw mut bytes,
                    failure,
                )
            })?;
            let copy =
                (!value.is_null()).then(|| std::slice::from_raw_parts(value, bytes).to_vec());
            free(value);
            Ok(copy)
        }
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        // SAFETY: the database is open, and is not used afterwards.
        unsafe { close(self.database) }
    }
}

fn main() {
    command::<Level>();
}
