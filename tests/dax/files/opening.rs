//! Files that are opened, created, or refused.

use super::{LEN, directory, refusal};
use crate::options;
use cachemaint::dax::{Error, ErrorKind, Lock, probe};
use cachemaint::medium::Granularity;
use cachemaint_test_support::failing_calls::fail_calls;
use cachemaint_test_support::skip::skip;
use core::sync::atomic::Ordering;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::thread;

#[test]
fn probing_changes_nothing() {
    let directory = directory();
    let path = directory.path().join("file");
    fs::write(&path, b"contents").unwrap();
    let before = fs::metadata(&path).unwrap();
    probe(&path).unwrap();
    let after = fs::metadata(&path).unwrap();
    assert_eq!((before.mtime(), before.ctime(), before.len()), (after.mtime(), after.ctime(), 8));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    let _holds_the_lock = options().open(&path).unwrap();
    probe(&path).unwrap();
}

/// As on 9p with `cache=none`, a file that may be written can be mapped, but not for stores.
#[cfg(target_os = "linux")]
#[test]
fn probing_maps_a_file_as_an_opening_does() {
    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = fs::File::from(memfd_create(c"sealed", flags).unwrap());
    file.set_len(LEN).unwrap();
    let path = PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file)));
    probe(&path).unwrap();
    fcntl_add_seals(&file, SealFlags::WRITE).unwrap();
    assert!(refusal(&path, probe(&path)).starts_with("mmap is not permitted"));
    options().open_file(file).unwrap_err();
}

#[test]
fn an_unusable_file_is_refused() {
    let directory = directory();
    let at = |name: &str| directory.path().join(name);

    let missing = at("missing");
    assert!(refusal(&missing, options().open(&missing)).starts_with("no such file"));
    let in_missing = at("missing/file");
    let text = refusal(&in_missing, options().create_new(&in_missing, LEN));
    assert!(text.starts_with("its directory does not exist"), "{text}");
    let in_proc = Path::new("/proc/missing");
    let text = refusal(in_proc, options().create_new(in_proc, LEN));
    assert!(text.starts_with("its directory does not permit new files"), "{text}");
    assert!(refusal(&missing, probe(&missing)).starts_with("no such file"));

    assert!(
        refusal(directory.path(), options().open(directory.path())).starts_with("is a directory")
    );

    let zero = at("zero");
    assert!(refusal(&zero, options().create_new(&zero, 0)).starts_with("a length of 0 bytes"));
    assert!(!zero.exists());
    fs::write(&zero, b"").unwrap();
    assert!(refusal(&zero, options().open(&zero)).starts_with("has no bytes to map"));

    let target = at("target");
    fs::write(&target, b"secret").unwrap();
    let link = at("link");
    symlink(&target, &link).unwrap();
    assert!(refusal(&link, options().open(&link)).starts_with("is a symbolic link"));
    assert!(refusal(&link, options().create_new(&link, LEN)).starts_with("exists already"));
    assert_eq!(fs::read(&target).unwrap(), b"secret");

    let null = PathBuf::from("/dev/null");
    assert!(refusal(&null, options().open(&null)).starts_with("is not a regular file"));

    let short = at("short");
    fs::write(&short, [1; 100]).unwrap();
    let text = refusal(&short, options().len(4096).open(&short));
    assert!(text.starts_with("has 100 bytes, but offset and length need 4096"), "{text}");
    let text = refusal(&short, options().offset(u64::MAX - 4095).len(5000).open(&short));
    assert!(text.contains("exceed the largest file or mapping"), "{text}");
    let text = refusal(&short, options().offset(10).open(&short));
    assert!(text.starts_with("offset 10 is not a multiple of"), "{text}");
    assert_eq!(fs::read(&short).unwrap(), [1; 100]);

    let huge = at("huge");
    let text = refusal(&huge, options().create_new(&huge, u64::MAX));
    assert!(text.contains("exceed the largest file or mapping"), "{text}");
    assert!(!huge.exists());
}

#[test]
fn open_or_create_creates_a_missing_file_and_opens_it_the_next_time() {
    let directory = directory();
    let path = directory.path().join("file");
    let file = options().open_or_create(&path, LEN).unwrap();
    assert_eq!(file.len(), LEN);
    file.persist_copy(&[(100, b"kept")]).unwrap();
    drop(file);
    for least in [1, 104, LEN] {
        let file = options().open_or_create(&path, least).unwrap();
        assert_eq!(file.len(), LEN, "up to its end, with {least} asked for");
        let mut bytes = [0; 4];
        file.read(100, &mut bytes).unwrap();
        assert_eq!(&bytes, b"kept");
    }
    assert_eq!(options().len(4096).open_or_create(&path, LEN).unwrap().len(), 4096);
    assert!(refusal(&path, options().open_or_create(&path, 0)).starts_with("a length of 0"));
}

/// Growth is an order of its own, so a shorter file is an error and stays as it is.
#[test]
fn open_or_create_refuses_a_file_that_is_shorter_or_no_file() {
    let directory = directory();
    let path = directory.path().join("file");
    for bytes in [&b"short"[..], b""] {
        fs::write(&path, bytes).unwrap();
        let error = options().open_or_create(&path, 6).unwrap_err();
        match (bytes, error.kind()) {
            (b"short", ErrorKind::Shorter { size: 5, needed: 6, .. })
            | (b"", ErrorKind::Shorter { size: 0, .. }) => {}
            _ => panic!("{error}"),
        }
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
    let link = directory.path().join("link");
    symlink(directory.path().join("missing"), &link).unwrap();
    assert!(refusal(&link, options().open_or_create(&link, LEN)).starts_with("is a symbolic link"));
    assert!(!directory.path().join("missing").exists());
    let in_missing = directory.path().join("missing/file");
    let text = refusal(&in_missing, options().open_or_create(&in_missing, LEN));
    assert!(text.starts_with("its directory does not exist"), "{text}");
}

/// Each writes a word of its own and finds those of the others at the end: all have the same file.
#[test]
fn open_or_create_gives_racing_callers_the_same_file() {
    const CALLERS: u64 = 4;
    let directory = directory();
    for round in 0..20 {
        let path = directory.path().join(format!("file {round}"));
        let lock = if round % 2 == 0 { Lock::Off } else { Lock::Shared };
        let call = |caller: u64| {
            let file = options().lock(lock).open_or_create(&path, LEN).unwrap();
            file.store(8 * caller, 1, Ordering::Relaxed);
            file
        };
        let files = thread::scope(|scope| {
            let callers = [0, 1, 2, 3].map(|caller| {
                scope.spawn({
                    let call = &call;
                    move || call(caller)
                })
            });
            callers.map(|caller| caller.join().unwrap())
        });
        for file in &files {
            let words = (0..CALLERS).map(|caller| file.load(8 * caller, Ordering::Relaxed));
            assert_eq!(words.sum::<u64>(), CALLERS, "with {lock:?}");
        }
    }
}

/// The kernel refuses to open this attribute for writing to every user, so the test means the same for root.
#[test]
fn a_file_that_may_not_be_written_is_refused() {
    let path = Path::new("/sys/kernel/uevent_seqnum");
    if !path.exists() {
        skip("a_file_that_may_not_be_written_is_refused", "there is no /sys");
        return;
    }
    let text = refusal(path, options().open(path));
    if text.starts_with("its file system is mounted read-only") {
        skip("a_file_that_may_not_be_written_is_refused", "/sys is read-only, as in a container");
        return;
    }
    assert!(text.starts_with("permission denied"), "{text}");
}

/// A file of `/sys` can be the memory of a device, to which a mapping would store.
#[test]
fn a_file_that_stores_nothing_is_refused_by_its_file_system() {
    let files = [
        ("/proc/self/status", "proc"),
        ("/proc/bus/pci/devices", "proc"),
        ("/sys/kernel/uevent_seqnum", "sysfs"),
        ("/sys/kernel/notes", "sysfs"),
        ("/sys/kernel/btf/vmlinux", "sysfs"),
    ];
    for (path, expected) in &files {
        if fs::File::open(path).is_err() {
            let name = "a_file_that_stores_nothing_is_refused_by_its_file_system";
            skip(name, format_args!("the kernel shows no such file: {path}"));
            continue;
        }
        for error in [options().view(path).unwrap_err(), probe(path).unwrap_err()] {
            let ErrorKind::Pseudo { file_system, .. } = error.kind() else { panic!("{error}") };
            assert_eq!(*file_system, *expected, "{error}");
        }
    }
}

/// A file of so many bytes without data, as a hole and allocated, and the word for each in a refusal.
fn unwritten_files(directory: &Path) -> [(PathBuf, &'static str); 2] {
    let [hole, allocated] = ["hole", "allocated"].map(|name| directory.join(name));
    fs::File::create(&hole).unwrap().set_len(LEN).unwrap();
    let file = fs::File::create(&allocated).unwrap();
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, LEN).unwrap();
    [(hole, "a hole"), (allocated, "an extent that was allocated and never")]
}

/// A store through a mapping by cache lines must not need the file system. By pages it may.
#[test]
fn unwritten_parts_are_refused_where_cache_lines_are_persisted() {
    let directory = directory();
    let by_pages = matches!(probe(directory.path()).unwrap().granularity, Granularity::Page(_));
    for (path, what) in unwritten_files(directory.path()) {
        if by_pages {
            let file = options().open(&path).unwrap();
            file.persist_copy(&[(5000, b"into a hole")]).unwrap();
            assert_eq!(&fs::read(&path).unwrap()[5000..5011], b"into a hole");
        } else {
            let text = refusal(&path, options().open(&path));
            assert!(text.starts_with(&format!("has {what}")), "{text}");
        }
    }
}

/// A file that is persisted by cache lines must be mapped with `MAP_SYNC`: the kernel shows it as `sf`
/// (`fs/proc/task_mmu.c`). By pages it must not matter.
#[test]
fn a_file_persisted_by_cache_lines_is_mapped_synchronously() {
    let directory = directory();
    let file = options().create_new(directory.path().join("file"), LEN).unwrap();
    let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
    let start = format!("{:x}-", file.as_ptr(0).addr());
    let mapping = smaps.lines().skip_while(|line| !line.starts_with(&start));
    let flags = mapping.skip(1).find_map(|line| line.strip_prefix("VmFlags:")).unwrap();
    let synchronous = flags.split(' ').any(|flag| flag == "sf");
    let by_pages = matches!(file.granularity(), Granularity::Page(_));
    assert_eq!(synchronous, !by_pages, "granularity {}, flags {flags}", file.granularity());
}

/// The stores of an earlier writer may be lost. By pages they can be read, and no write-back of the view succeeds.
///
/// ext4 has `EROFS` for a file system that has stopped after an error, and no error for one that is mounted for reading only
/// (`fs/ext4/fsync.c`).
#[test]
fn a_file_whose_sync_fails_is_neither_opened_nor_viewed() {
    let test = "a_file_whose_sync_fails_is_neither_opened_nor_viewed";
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    drop(options().create_new(&path, LEN).unwrap());
    let is_failure = |error: &Error, with| {
        matches!(*error.kind(), ErrorKind::Writeback { errno, .. } if errno == with)
            && error.to_string().contains("may be lost")
    };
    let assert_opened = |errno| {
        if !fail_calls(libc::SYS_fsync, None, errno) {
            return skip(test, "no system call can be made to fail");
        }
        let error = options().open(&path).unwrap_err();
        assert!(is_failure(&error, errno), "{error}");
        if cfg!(target_pointer_width = "32") {
            return;
        }
        assert!(is_failure(&options().view(&path).unwrap_err(), errno));
    };
    for errno in [libc::EIO, libc::EROFS] {
        thread::scope(|scope| scope.spawn(|| assert_opened(errno)).join().unwrap());
    }
}

/// Its bytes are durable, and its name is not known to be.
#[test]
fn a_file_whose_directory_cannot_be_opened_is_an_error_for_views_too() {
    let test = "a_file_whose_directory_cannot_be_opened_is_an_error_for_views_too";
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    drop(options().create_new(&path, LEN).unwrap());
    let assert_refused = || {
        let fail = |call, flags| fail_calls(call, Some((flags, libc::O_DIRECTORY)), libc::ENFILE);
        #[cfg(any(target_arch = "x86", target_arch = "x86_64", target_arch = "powerpc64"))]
        let is_failing = fail(libc::SYS_open, 1) && fail(libc::SYS_openat, 2);
        #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "powerpc64")))]
        let is_failing = fail(libc::SYS_openat, 2);
        if !is_failing {
            return skip(test, "no system call can be made to fail");
        }
        let opened = options().open(&path).map(drop);
        let viewed = || options().view(&path).map(drop);
        let viewed = cfg!(target_pointer_width = "64").then(viewed);
        for refused in [Some(opened), viewed].into_iter().flatten() {
            let error = refused.unwrap_err();
            let ErrorKind::Os { call, errno, .. } = *error.kind() else { panic!("{error}") };
            assert_eq!((call, errno), ("open of its directory", libc::ENFILE));
        }
    };
    thread::scope(|scope| scope.spawn(assert_refused).join().unwrap());
}

/// Its name cannot be synced then.
#[test]
fn a_file_in_a_directory_that_may_not_be_read_is_opened() {
    let test = "a_file_in_a_directory_that_may_not_be_read_is_opened";
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    drop(options().create_new(&path, LEN).unwrap());
    let permit = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    permit(&path, 0o666);
    permit(directory.path(), 0o333);
    thread::scope(|scope| {
        scope.spawn(|| {
            // Root may read any directory, and no thread with another user id for files (setfsuid(2)).
            // SAFETY: it changes nothing but the rights of this thread, which ends with this scope.
            #[expect(unsafe_code, reason = "no safe wrapper offers it")]
            unsafe {
                libc::setfsuid(65534)
            };
            if fs::read_dir(directory.path()).is_ok() {
                return skip(
                    test,
                    "the user cannot be changed, as in a container, and may read it",
                );
            }
            if let Err(error) = fs::File::options().read(true).write(true).open(&path) {
                return skip(
                    test,
                    format_args!("another user cannot open temporary files: {error}"),
                );
            }
            drop(options().open(&path).unwrap());
            if cfg!(target_pointer_width = "64") {
                drop(options().view(&path).unwrap());
            }
        });
    });
    permit(directory.path(), 0o700);
}
