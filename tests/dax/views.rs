//! Files mapped for reading only: they show what others store, can persist it, and cannot be stored to.

#![cfg(target_pointer_width = "64")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::{options, place};
use cachemaint::dax::{DaxFile, DaxView, Error, ErrorKind, Lock, Options, probe};
use cachemaint::medium::Granularity;
use cachemaint_test_support::skip::skip;
use core::sync::atomic::Ordering;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::Path;

const LEN: u64 = 64 << 10;

fn create(path: &Path) -> DaxFile {
    options().create_new(path, LEN).unwrap()
}

/// Returns the kernel's description of the mapping that begins at an address: the line of its place, and the lines
/// below it (proc(5), `/proc/PID/smaps`).
fn smaps(view: &DaxView) -> Vec<String> {
    let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
    let start = format!("{:x}-", view.as_ptr(0).addr());
    let from = smaps.lines().skip_while(|line| !line.starts_with(&start));
    from.take(30).map(String::from).collect()
}

#[test]
fn a_view_shows_what_is_stored_meanwhile() {
    let (_directory, path) = place();
    let file = create(&path);
    file.write(0, b"before");
    // The writer holds the exclusive lock.
    let view = options().view(&path).unwrap();
    assert_eq!((view.len(), view.offset(), view.path()), (LEN, 0, path.as_path()));
    assert_eq!(view.guarantee(), file.guarantee());
    assert!(!view.is_empty());
    let mut bytes = [0; 6];
    view.read(0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"before");

    file.write(33, b"after");
    file.store(4096, 0x0807_0605_0403_0201, Ordering::Release);
    for order in [Ordering::Relaxed, Ordering::Acquire, Ordering::SeqCst] {
        assert_eq!(view.load(4096, order), 0x0807_0605_0403_0201);
    }
    let mut bytes = [0; 5];
    view.read(33, &mut bytes).unwrap();
    assert_eq!(&bytes, b"after");
    #[expect(unsafe_code, reason = "no other code writes meanwhile")]
    // SAFETY: (1) no other code writes the range, (2) and none shrinks the file.
    let slice = unsafe { view.as_slice(33..38) };
    assert_eq!(slice, b"after");
}

#[test]
fn a_view_of_a_part_begins_where_it_was_asked_to() {
    let (_directory, path) = place();
    create(&path).write(8192, b"here");
    let view = options().offset(8192).len(4).view(&path).unwrap();
    let mut bytes = [0; 4];
    view.read(0, &mut bytes).unwrap();
    assert_eq!((&bytes, view.len(), view.offset()), (b"here", 4, 8192));
}

/// Neither the mapping nor the descriptor can be written, so no other bug can write through them. The kernel shows the
/// mapping as `r--s` (proc(5)), stores nothing there itself (read(2): EFAULT), and refuses the descriptor (write(2):
/// EBADF).
#[test]
fn nothing_can_be_stored() {
    let (_directory, path) = place();
    create(&path).write(0, b"as it was");
    for populate in [false, true] {
        let options = if populate { options().populate() } else { options() };
        let view = match options.view(&path) {
            Err(error) if matches!(error.kind(), ErrorKind::Unsupported) => {
                continue;
            }
            view => view.unwrap(),
        };
        let mapping = &smaps(&view)[0];
        assert!(mapping.contains(" r--s "), "{mapping}");
        let zeros = fs::File::open("/dev/zero").unwrap();
        let place = view.as_ptr(0).cast_mut().cast();
        #[expect(unsafe_code, reason = "tries to have the kernel store")]
        // SAFETY: the kernel checks what it may store to.
        let stored = unsafe { libc::read(zeros.as_raw_fd(), place, 8) };
        let error = std::io::Error::last_os_error();
        assert_eq!((stored, error.raw_os_error()), (-1, Some(libc::EFAULT)));
    }
    assert_eq!(&fs::read(&path).unwrap()[..9], b"as it was");
}

/// A page that another mapping has stored to is dirty in this one, too, until it is written back: the
/// kernel counts it (proc(5): `Shared_Dirty`). `msync` of a mapping for reading would leave it so.
#[test]
fn a_view_has_the_kernel_write_back_what_others_have_stored() {
    let name = "a_view_has_the_kernel_write_back_what_others_have_stored";
    if std::env::var_os("CACHEMAINT_EXPECT").is_some() {
        skip(name, "user-mode emulation has a smaps of its own making");
        return;
    }
    let (_directory, path) = place();
    let file = create(&path);
    if file.guarantee().reason.contains("keeps files in RAM") || file.view().cache().is_some() {
        skip(name, "nothing here is dirty for the kernel: no page cache over a medium");
        return;
    }
    let view = options().view(&path).unwrap();
    let dirty = || {
        let lines = smaps(&view);
        let of = |name| {
            lines.iter().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_string()
        };
        [of("Shared_Dirty:"), of("Private_Dirty:")]
    };
    // The kernel also writes pages back by itself, at any time.
    let is_counted = (1..=1000).any(|number| {
        file.store(0, number, Ordering::Release);
        assert_eq!(view.load(0, Ordering::Acquire), number);
        dirty() != ["0 kB", "0 kB"]
    });
    assert!(is_counted, "so that it is known what is counted");
    view.persist(0..8).unwrap();
    assert_eq!(dirty(), ["0 kB", "0 kB"]);
}

/// Several ranges under one fence, also of odd ends.
#[test]
fn a_view_writes_back_by_its_granularity() {
    let (_directory, path) = place();
    let file = create(&path);
    let view = options().view(&path).unwrap();
    assert_eq!(view.guarantee().granularity, file.granularity());
    assert_eq!(view.cache(), file.view().cache());
    file.write(100, b"here and there");
    for range in [100..114, LEN - 1..LEN, 0..0] {
        view.issue_writeback(range).unwrap();
    }
    view.issue_writeback(0..LEN).unwrap();
    view.fence().unwrap();
    assert_eq!(&fs::read(&path).unwrap()[100..114], b"here and there");
}

#[test]
fn a_view_is_granted_what_a_file_is() {
    let (directory, path) = place();
    drop(create(&path));
    if matches!(probe(&path).unwrap().granularity, Granularity::Page(_)) {
        let error = Options::new().view(&path).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::PageGranular(_)), "{error}");
    }
    let refused = |result: Result<DaxView, Error>| result.unwrap_err().to_string();
    assert!(refused(options().view(directory.path())).contains("is a directory"));
    assert!(refused(options().view(directory.path().join("none"))).contains("no such file"));
    assert!(refused(options().view("/dev/null")).contains("is not a regular file"));
    assert!(refused(options().len(2 * LEN).view(&path)).contains("has 65536 bytes, but offset"));
    assert!(refused(options().offset(10).view(&path)).contains("offset 10 is not a multiple"));
    let link = directory.path().join("link");
    symlink(&path, &link).unwrap();
    assert!(refused(options().view(&link)).contains("is a symbolic link"));
    fs::write(&path, b"").unwrap();
    assert!(refused(options().view(&path)).contains("has no bytes to map"));
}

/// By default a view stands beside any writer. It can ask that there be none.
#[test]
fn a_view_takes_the_lock_it_was_asked_to() {
    let (_directory, path) = place();
    let writer = create(&path);
    assert_eq!(options().view(&path).unwrap().lock(), Lock::Off);
    let error = options().lock(Lock::Shared).view(&path).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Locked), "{error}");
    drop(writer);
    let reader = options().lock(Lock::Shared).view(&path).unwrap();
    let other = options().lock(Lock::Shared).view(&path).unwrap();
    let error = options().open(&path).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Locked), "{error}");
    drop((reader, other));
    options().open(&path).unwrap();
}

#[test]
#[should_panic(expected = "Release is not an ordering for loads")]
fn an_order_of_a_store_panics() {
    let (_directory, path) = place();
    drop(create(&path));
    assert_eq!(options().view(&path).unwrap().load(0, Ordering::Release), 0);
}
