//! The limit of a process on the size of files (`ulimit -f`). It holds for the whole process, so this test
//! has one of its own.

#![cfg(all(
    feature = "dax",
    target_os = "linux",
    target_has_atomic = "64",
    not(miri),
    not(cachemaint_loom)
))]

use cachemaint::dax::{ErrorKind, Options};
use cachemaint::medium::Readable;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;

const LIMIT: u64 = 64 << 10;

/// The limit before, which holds again when this is dropped: the output of the tests can go to a file that is longer.
struct Before(Rlimit);

impl Drop for Before {
    fn drop(&mut self) {
        let _is_back = setrlimit(Resource::Fsize, self.0).is_ok();
    }
}

/// The system's own answer is a signal (SIGXFSZ) that ends the process, and with it this test.
#[test]
fn a_file_beyond_the_limit_is_an_error_and_no_signal() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let options = Options::new().allow_page_granularity();
    let before = Before(getrlimit(Resource::Fsize));
    setrlimit(Resource::Fsize, Rlimit { current: Some(LIMIT), ..before.0 }).unwrap();

    let error = options.create_new(&path, LIMIT + 1).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NoSpace { len, .. } if *len == LIMIT + 1), "{error}");
    assert!(error.to_string().contains("ulimit -f"), "{error}");
    assert!(!path.exists());

    let mut file = options.create_new(&path, LIMIT / 2).unwrap();
    file.write(0, b"as it was");
    let error = file.grow(LIMIT + 1).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NoSpace { .. }), "{error}");
    assert_eq!((Readable::len(&file), fs::metadata(&path).unwrap().len()), (LIMIT / 2, LIMIT / 2));
    assert_eq!(&fs::read(&path).unwrap()[..9], b"as it was");
    file.grow(LIMIT).unwrap();
}
