//! The limit of a process on its address space (`ulimit -v`). It holds for the whole process, so this test has one of
//! its own.

#![cfg(all(
    feature = "dax",
    target_os = "linux",
    target_has_atomic = "64",
    not(miri),
    not(cachemaint_loom)
))]

use cachemaint::dax::{Error, Options};
use cachemaint::medium::Readable;
use rustix::fs::statvfs;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;

const SMALL: u64 = 64 << 10;
/// More than the limit leaves.
const LARGE: u64 = 256 << 20;

/// Returns true if the limit holds: an emulator of programs has addresses of its own.
fn is_limited() -> bool {
    usize::try_from(LARGE).is_ok_and(|large| Vec::<u8>::new().try_reserve_exact(large).is_err())
}

fn says_why(error: &Error) {
    assert_eq!(error.raw_os_error(), Some(libc::ENOMEM), "{error}");
    assert!(error.to_string().contains("ulimit -v"), "{error}");
}

#[test]
fn a_mapping_beyond_the_limit_is_an_error_and_changes_nothing() {
    let test = "a_mapping_beyond_the_limit_is_an_error_and_changes_nothing";
    let directory = tempfile::tempdir().unwrap();
    // On DAX an opened file gets all its blocks.
    let room = statvfs(directory.path()).unwrap();
    if room.f_bavail * room.f_frsize < 3 * LARGE {
        return cachemaint_test_support::skip::skip(
            test,
            "the file system has no room for the files",
        );
    }
    let [small, large, new] = ["small", "large", "new"].map(|name| directory.path().join(name));
    let options = Options::new().allow_page_granularity();
    fs::File::create_new(&large).unwrap().set_len(LARGE).unwrap();
    let mut file = options.create_new(&small, SMALL).unwrap();
    file.write(0, b"as it was");

    let used = fs::read_to_string("/proc/self/statm").unwrap();
    let used: u64 = used.split(' ').next().unwrap().parse().unwrap();
    let used = used * rustix::param::page_size() as u64;
    let old = getrlimit(Resource::As);
    setrlimit(Resource::As, Rlimit { current: Some(used + LARGE / 4), ..old }).unwrap();
    if !is_limited() {
        return cachemaint_test_support::skip::skip(
            test,
            "this system does not limit the address space",
        );
    }
    says_why(&options.open(&large).unwrap_err());
    // A view for reading only is refused on 32-bit CPUs in any case.
    if cfg!(target_pointer_width = "64") {
        says_why(&options.view(&large).unwrap_err());
    }
    says_why(&options.open_or_create(&large, LARGE).unwrap_err());
    says_why(&options.create_new(&new, LARGE).unwrap_err());
    assert!(!new.exists());
    says_why(&file.grow(LARGE).unwrap_err());
    assert_eq!((Readable::len(&file), fs::metadata(&small).unwrap().len()), (SMALL, SMALL));
    file.persist(0..9).unwrap();
    setrlimit(Resource::As, old).unwrap();

    drop(file);
    assert_eq!(&fs::read(&small).unwrap()[..9], b"as it was");
    assert_eq!(Readable::len(&options.open(&large).unwrap()), LARGE);
}
