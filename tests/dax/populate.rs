//! Mappings that are populated: no access waits for a page fault, and what would end the process is an
//! error instead.

use crate::options;
use cachemaint::dax::{DaxView, Error, ErrorKind};
use cachemaint::medium::Readable;
use cachemaint_test_support::own_mount::with_small_tmpfs;
use cachemaint_test_support::skip::skip;
use core::mem::MaybeUninit;
use core::sync::atomic::Ordering;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const LEN: u64 = 256 << 10;

/// Page faults of this thread so far (getrusage(2)).
#[expect(unsafe_code, reason = "getrusage fills a structure")]
fn faults() -> libc::c_long {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the structure is the one that it fills.
    assert_eq!(unsafe { libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr()) }, 0);
    // SAFETY: it was filled, and before that all of it was zero.
    let usage = unsafe { usage.assume_init() };
    usage.ru_minflt + usage.ru_majflt
}

fn page_size() -> usize {
    rustix::param::page_size()
}

/// Returns the number of faults to load from each page, and to store to it by `store`.
fn faults_of(view: &DaxView, store: impl Fn(u64)) -> libc::c_long {
    let before = faults();
    for at in (0..view.len()).step_by(page_size()) {
        core::hint::black_box(view.load(at, Ordering::Relaxed));
        store(at);
    }
    faults() - before
}

/// The faults that mappings of their own have in common. Code that runs for the first time faults as well, and the kernel
/// can take a page away at any time.
fn least(faults_of_a_mapping: impl Fn() -> libc::c_long) -> libc::c_long {
    (0..5).map(|_| faults_of_a_mapping()).fold(libc::c_long::MAX, libc::c_long::min)
}

/// Returns true, after a message, if the tests cannot be run. They use memory files, so that no write-back in the
/// background write-protects a page meanwhile.
fn cannot_populate<T>(name: &str, result: &Result<T, Error>) -> bool {
    let old = matches!(result, Err(error) if matches!(error.kind(), ErrorKind::Unsupported));
    if old {
        skip(name, "the kernel is older than 5.14");
    }
    old
}

fn is_emulated(name: &str) -> bool {
    let emulated = std::env::var_os("CACHEMAINT_EXPECT").is_some();
    if emulated {
        skip(name, "user-mode emulation does not pass the advice on, and counts its own faults");
    }
    emulated
}

#[test]
fn no_fault_is_left_for_later() {
    let name = "no_fault_is_left_for_later";
    let shm = Path::new("/dev/shm");
    if is_emulated(name) {
        return;
    }
    if !shm.is_dir() {
        skip(name, "there is no /dev/shm");
        return;
    }
    let directory = tempfile::tempdir_in(shm).unwrap();
    let path = directory.path().join("file");
    let file = options().create_new(&path, LEN).unwrap();
    let store = |at| file.store(at, 1, Ordering::Relaxed);
    assert!(faults_of(file.view(), store) > 0, "so that it is known what populating saves");
    drop(file);

    if cannot_populate(name, &options().populate().open(&path)) {
        return;
    }
    let opened = || {
        let file = options().populate().open(&path).unwrap();
        faults_of(file.view(), |at| file.store(at, 2, Ordering::Relaxed))
    };
    assert_eq!(least(opened), 0);
    let grown = || {
        let mut file = options().populate().open(&path).unwrap();
        file.grow(Readable::len(&file) + LEN).unwrap();
        faults_of(file.view(), |at| file.store(at, 3, Ordering::Relaxed))
    };
    assert_eq!(least(grown), 0, "also when grown");
    let created = || {
        let new = directory.path().join("new");
        let file = options().populate().create_new(&new, LEN).unwrap();
        fs::remove_file(new).unwrap();
        faults_of(file.view(), |at| file.store(at, 4, Ordering::Relaxed))
    };
    assert_eq!(least(created), 0);

    if cfg!(target_pointer_width = "64") {
        assert!(faults_of(&options().view(&path).unwrap(), |_| {}) > 0);
        assert_eq!(least(|| faults_of(&options().populate().view(&path).unwrap(), |_| {})), 0);
    }
}

/// Holes for which the file system has no room. The first access to the first of them would be SIGBUS.
#[test]
fn a_hole_on_a_full_file_system_is_an_error() {
    let name = "a_hole_on_a_full_file_system_is_an_error";
    if is_emulated(name) {
        return;
    }
    with_small_tmpfs(name, |directory| {
        let path = directory.join("sparse");
        fs::File::create(&path).unwrap().set_len(2 << 20).unwrap();
        let opened = options().populate().open(&path);
        if cannot_populate(name, &opened) {
            return;
        }
        let error = opened.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EFAULT), "madvise(2)");
        // Every page before it got its block, and no other one.
        let at = fs::metadata(&path).unwrap().blocks() * 512;
        assert!(at > 0 && at <= 1 << 20, "{at}");
        assert!(error.to_string().contains(&format!("the page at offset {at} ")), "{error}");
        assert_eq!(fs::metadata(&path).unwrap().len(), 2 << 20);
    });
}
