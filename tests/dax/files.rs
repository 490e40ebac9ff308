//! DAX files on the file systems that every machine has. Files get the guarantee of their medium; impossible operations
//! are refused with the path and the numbers, and leave files as they were.

#![cfg(all(feature = "dax", target_os = "linux", target_has_atomic = "64", not(miri), not(loom)))]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, and says what it skips"
)]

use crate::skip::skip;
use cachemaint::dax::{DaxFile, Error, ErrorKind, FaultHandler, Lock, Options, Taint, probe};
use cachemaint::medium::Granularity;
use cachemaint::report::{Aliasing, HostReport};
use cachemaint::survival::Backing;
use core::ffi::{c_int, c_long};
use core::sync::atomic::Ordering;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::thread;
use tempfile::TempDir;

const LEN: u64 = 64 << 10;
/// [`LEN`] as a length in memory.
const SIZE: usize = 64 << 10;

fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn options() -> Options {
    Options::new().allow_page_granularity()
}

/// The error's text, which must begin with the path.
fn refusal<T: core::fmt::Debug>(path: &Path, result: Result<T, Error>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.path(), path);
    let text = error.to_string();
    let rest = text.strip_prefix(&format!("{}: ", path.display()));
    rest.unwrap_or_else(|| panic!("names no path: {text}")).to_string()
}

#[test]
fn a_new_file_is_whole_private_and_zero() {
    let directory = directory();
    let path = directory.path().join("new");
    let file = options().create_new(&path, LEN).unwrap();
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!(metadata.len(), LEN);
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    assert!(metadata.blocks() * 512 >= LEN, "zeros are written, not a hole");
    assert_eq!(file.len(), LEN);
    let mut bytes = vec![1; SIZE];
    file.read(0, &mut bytes).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 0));
}

#[test]
fn written_back_bytes_are_in_the_file() {
    let directory = directory();
    let path = directory.path().join("file");
    let file = options().create_new(&path, LEN).unwrap();
    file.write(8, b"sixteen bytes...");
    file.write(33, b"odd");
    file.write(LEN - 5, b"at 5!");
    file.store(4096, 0x0807_0605_0403_0201, Ordering::Release);
    file.view()
        .batch(|batch| {
            batch.writeback(8..36);
            batch.writeback(4096..4104);
            batch.writeback(LEN - 5..LEN);
            batch.writeback(100..100);
        })
        .unwrap();
    drop(file);

    let bytes = fs::read(&path).unwrap();
    assert_eq!(&bytes[8..24], b"sixteen bytes...");
    assert_eq!(&bytes[33..36], b"odd");
    assert_eq!(&bytes[bytes.len() - 5..], b"at 5!");
    assert_eq!(&bytes[4096..4104], [1, 2, 3, 4, 5, 6, 7, 8], "words are little-endian");
    assert_eq!(bytes.iter().filter(|byte| **byte != 0).count(), 16 + 3 + 5 + 8);

    let file = options().open(&path).unwrap();
    let mut read = [0; 3];
    file.read(33, &mut read).unwrap();
    assert_eq!(&read, b"odd");
    assert_eq!(file.load(4096, Ordering::Acquire), 0x0807_0605_0403_0201);
}

/// Every offset and length up to three words, against the plain file.
#[test]
fn copies_of_every_alignment_touch_exactly_their_bytes() {
    let directory = directory();
    let path = directory.path().join("file");
    let file = options().create_new(&path, 4096).unwrap();
    let pattern: Vec<u8> = (1..=24).collect();
    for at in 0..16_usize {
        for len in 0..=24 {
            file.write(0, &[0xee; 64]);
            file.write(at as u64, &pattern[..len]);
            let mut expected = [0xee; 64];
            expected[at..at + len].copy_from_slice(&pattern[..len]);
            assert_eq!(fs::read(&path).unwrap()[..64], expected, "at {at}, len {len}");
            let mut read = vec![0; len];
            file.read(at as u64, &mut read).unwrap();
            assert_eq!(read, pattern[..len], "at {at}, len {len}");
        }
    }
}

#[test]
fn persist_copy_writes_all_parts() {
    let directory = directory();
    let path = directory.path().join("file");
    let file = options().create_new(&path, LEN).unwrap();
    file.persist_copy(&[(0, b"first"), (9000, b"second"), (50, b"")]).unwrap();
    let bytes = fs::read(&path).unwrap();
    assert_eq!((&bytes[..5], &bytes[9000..9006]), (&b"first"[..], &b"second"[..]));
}

#[test]
fn a_mapping_can_begin_within_the_file() {
    let directory = directory();
    let path = directory.path().join("file");
    drop(options().create_new(&path, LEN).unwrap());
    let file = options().offset(8192).len(100).open(&path).unwrap();
    assert_eq!(file.len(), 100);
    file.write(0, b"here");
    file.persist(0..4).unwrap();
    assert_eq!(&fs::read(&path).unwrap()[8192..8196], b"here");
}

/// Offsets are multiples of a page; lengths need not be. Each part shows its bytes of the file, ends where
/// it was asked to, and is written where it lies.
#[test]
fn every_part_of_a_file_can_be_mapped() {
    let directory = directory();
    let path = directory.path().join("file");
    let page = rustix::param::page_size();
    let size = 3 * page + 100;
    let mut expected: Vec<u8> = (0..size).map(|at| at.to_le_bytes()[0] ^ 0x5a).collect();
    fs::write(&path, &expected).unwrap();
    for offset in [0, page, 3 * page] {
        let rest = size - offset;
        for len in
            [1, 7, 8, 100, page - 1, page, page + 1, rest].into_iter().filter(|len| *len <= rest)
        {
            let part = options().offset(offset as u64).len(len as u64).open(&path).unwrap();
            assert_eq!((part.view().offset(), part.len()), (offset as u64, len as u64));
            let mut bytes = vec![0; len];
            part.read(0, &mut bytes).unwrap();
            assert!(bytes == expected[offset..offset + len], "offset {offset}, len {len}");
            part.persist_copy(&[(len as u64 - 1, b"!")]).unwrap();
            expected[offset + len - 1] = b'!';
            drop(part);
            assert!(fs::read(&path).unwrap() == expected, "offset {offset}, len {len}");
        }
        let whole = options().offset(offset as u64).open(&path).unwrap();
        assert_eq!(whole.len(), rest as u64);
    }
}

#[test]
fn a_closed_file_is_not_mapped() {
    let directory = directory();
    let path = directory.path().join("closed");
    // A file that was created without a name is shown with another one, in the same directory.
    let place = directory.path().to_str().unwrap();
    let is_mapped = || fs::read_to_string("/proc/self/maps").unwrap().contains(place);
    for len in [LEN, 4 << 20] {
        let file = options().create_new(&path, len).unwrap();
        assert!(is_mapped());
        drop(file);
        assert!(!is_mapped());
        fs::remove_file(&path).unwrap();
    }
}

/// Returns true where calls beside a mapping are refused, since the data cache aliases, or may; says that it skips then.
fn calls_are_refused(name: &str) -> bool {
    let aliasing = HostReport::host().aliasing;
    let refused = !matches!(aliasing, Aliasing::No { .. });
    if refused {
        skip(name, format_args!("the data cache may alias here: {aliasing:?}"));
    }
    refused
}

#[test]
fn mapping_and_calls_show_the_same_bytes() {
    if calls_are_refused("mapping_and_calls_show_the_same_bytes") {
        return;
    }
    let directory = directory();
    let path = directory.path().join("file");
    drop(options().create_new(&path, LEN).unwrap());
    let file = options().offset(8192).open(&path).unwrap();
    assert_eq!(file.view().offset(), 8192);
    file.write(5, b"stored");
    let mut bytes = [0; 8];
    file.view().read_through_kernel(4, &mut bytes).unwrap();
    assert_eq!(&bytes, b"\0stored\0");

    file.file().write_all_at(b"!?", 8192 + 7).unwrap();
    file.read(4, &mut bytes).unwrap();
    assert_eq!(&bytes, b"\0st!?ed\0");
    assert_eq!(&fs::read(&path).unwrap()[8192 + 4..][..8], b"\0st!?ed\0");
    file.view().read_through_kernel(file.len(), &mut []).unwrap();
}

#[test]
fn bytes_cut_off_the_file_are_not_read() {
    if calls_are_refused("bytes_cut_off_the_file_are_not_read") {
        return;
    }
    let directory = directory();
    let path = directory.path().join("file");
    let file = options().create_new(&path, LEN).unwrap();
    file.file().set_len(4096).unwrap();
    let mut bytes = [0; 16];
    let error = file.view().read_through_kernel(4096 - 8, &mut bytes).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Shorter { size: 4096, needed: LEN, .. }), "{error}");
}

/// "None" would be wrong: nothing is known of files that are not on persistent memory.
#[test]
fn bad_blocks_of_an_ordinary_file_are_unknown_with_the_reason() {
    let name = "bad_blocks_of_an_ordinary_file_are_unknown_with_the_reason";
    let directory = directory();
    let path = directory.path().join("file");
    let file = options().create_new(&path, LEN).unwrap();
    if file.guarantee().region.as_ref().is_some() {
        skip(name, "temporary files are on persistent memory here");
        return;
    }
    let text = refusal(&path, file.view().bad_blocks());
    let rest = text.strip_prefix("which blocks are bad is unknown: /sys/").unwrap();
    assert!(
        rest.contains(": ") && rest.contains("; "),
        "what was asked, answered, to be done: {text}"
    );
}

#[test]
fn clearing_a_good_file_changes_nothing() {
    if calls_are_refused("clearing_a_good_file_changes_nothing") {
        return;
    }
    let directory = directory();
    let path = directory.path().join("file");
    let bytes: Vec<u8> = (0..SIZE).map(|at| u8::try_from(at % 251).unwrap()).collect();
    fs::write(&path, &bytes).unwrap();
    let mut file = options().offset(8192).len(4096 * 2 + 100).open(&path).unwrap();
    let before = fs::metadata(&path).unwrap();
    assert_eq!(file.clear_bad_blocks(0..file.len()).unwrap(), []);
    assert_eq!(file.clear_bad_blocks(50..50).unwrap(), []);
    assert_eq!(file.view().taint(), None);
    let after = fs::metadata(&path).unwrap();
    assert_eq!((after.mtime(), after.mtime_nsec()), (before.mtime(), before.mtime_nsec()));
    assert!(fs::read(&path).unwrap() == bytes);

    file.file().set_len(4096).unwrap();
    let needed = 8192 + 4096 * 2 + 100;
    let text = refusal(&path, file.clear_bad_blocks(0..1));
    assert!(text.starts_with(&format!("has 4096 bytes, and offset and length need {needed}")));
}

#[test]
#[should_panic(expected = "are out of range")]
fn clearing_beyond_the_end_panics() {
    let directory = directory();
    let mut file = options().create_new(directory.path().join("file"), LEN).unwrap();
    drop(file.clear_bad_blocks(0..LEN + 1));
}

#[test]
#[should_panic(expected = "2 bytes at offset 65535 are out of range")]
fn a_read_through_the_kernel_beyond_the_mapping_panics() {
    let directory = directory();
    let file = options().create_new(directory.path().join("file"), LEN).unwrap();
    drop(file.view().read_through_kernel(LEN - 1, &mut [0; 2]));
}

#[test]
fn a_mapping_agrees_with_itself_and_with_the_page_behind_it() {
    let directory = directory();
    let path = directory.path().join("file");
    drop(options().create_new(&path, LEN).unwrap());
    let file = options().offset(8192).open(&path).unwrap();
    let address = file.as_ptr(0).addr();
    assert!(file.view().agrees_with(address, 8192));
    assert!(file.view().agrees_with(address + 4096, 8192 + 4096));
    // If the data cache aliases, it does not agree.
    let elsewhere = file.view().agrees_with(address + 4096, 8192);
    let aliases = !matches!(HostReport::host().aliasing, Aliasing::No { .. });
    assert_eq!(elsewhere, !aliases);
}

/// Large mappings are congruent to their offset modulo 2 MiB, so that huge pages can serve.
#[test]
fn a_large_mapping_is_aligned_for_huge_pages() {
    let directory = directory();
    let path = directory.path().join("file");
    drop(options().create_new(&path, 6 << 20).unwrap());
    for offset in [0, 4096, 2 << 20] {
        let file = options().offset(offset).open(&path).unwrap();
        assert_eq!(file.as_ptr(0).addr() as u64 % (2 << 20), offset % (2 << 20));
        file.write(file.len() - 1, &[7]);
        file.persist(file.len() - 1..file.len()).unwrap();
    }
}

#[test]
fn ordinary_file_systems_are_labelled_for_what_they_are() {
    let shm = Path::new("/dev/shm");
    if !shm.is_dir() {
        skip("ordinary_file_systems_are_labelled_for_what_they_are", "there is no /dev/shm");
        return;
    }
    let directory = tempfile::tempdir_in(shm).unwrap();
    let path = directory.path().join("file");
    let text = refusal(&path, DaxFile::create_new(&path, LEN));
    assert!(text.starts_with("can be made persistent in whole pages only: "), "{text}");
    assert!(text.contains("is RAM of the kernel"), "{text}");
    assert!(!path.exists(), "nothing is left of a file that was refused");

    let file = options().create_new(&path, LEN).unwrap();
    assert!(matches!(file.granularity(), Granularity::Page(_)));
    assert_eq!(file.guarantee().backing, Backing::Ram);
    assert!(file.view().cache().is_none());
    assert_eq!(&probe(&path).unwrap(), file.guarantee());
    assert_eq!(probe(directory.path()).unwrap().backing, Backing::Ram);
}

/// A memfd is on a mount of the kernel's own, which no list shows.
#[test]
fn a_memfd_is_ram() {
    let memfd = rustix::fs::memfd_create(c"test", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    let file = fs::File::from(memfd);
    file.set_len(LEN).unwrap();
    let path = PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file)));
    let guarantee = probe(&path).unwrap();
    assert_eq!(guarantee.backing, Backing::Ram, "{guarantee:?}");
    assert!(matches!(guarantee.granularity, Granularity::Page(_)));
    assert_eq!(guarantee.file_system, "tmpfs");
    // The memfd has no name that could be found again.
    assert!(refusal(&path, options().open(&path)).starts_with("is a symbolic link"));
}

#[test]
fn deep_persisted_bytes_are_in_the_file() {
    let directory = directory();
    let path = directory.path().join("file");
    let file = options().create_new(&path, LEN).unwrap();
    file.write(4000, &[7; 200]);
    file.deep_persist(4000..4200).unwrap();
    file.deep_persist(LEN..LEN).unwrap();
    file.deep_persist(0..LEN).unwrap();
    assert_eq!(&fs::read(&path).unwrap()[4000..4200], [7; 200]);
}

#[test]
#[should_panic(expected = "2 bytes at offset 65535 are out of range")]
fn a_deep_persist_beyond_the_end_panics() {
    let directory = directory();
    let file = options().create_new(directory.path().join("file"), LEN).unwrap();
    file.deep_persist(LEN - 1..LEN + 1).unwrap();
}

/// Devices other than those of device DAX: a terminal, what has no end, what is not there.
#[test]
fn other_devices_are_not_files() {
    for path in ["/dev/null", "/dev/zero", "/dev/full", "/dev/ptmx"].map(Path::new) {
        if path.exists() {
            assert!(refusal(path, options().open(path)).starts_with("is not a regular file"));
            assert!(refusal(path, probe(path)).starts_with("is not a regular file"));
            assert!(refusal(path, options().create_new(path, LEN)).starts_with("exists already"));
        }
    }
}

#[test]
fn single_bytes_are_refused_where_there_are_pages() {
    let directory = directory();
    let path = directory.path().join("file");
    let bytes = Options::new().require_byte_granularity();
    if matches!(probe(directory.path()).unwrap().granularity, Granularity::Byte) {
        assert_eq!(bytes.create_new(&path, LEN).unwrap().granularity(), Granularity::Byte);
        return;
    }
    let text = refusal(&path, bytes.create_new(&path, LEN));
    assert!(text.starts_with("is made persistent by the "), "{text}");
    assert!(!path.exists(), "nothing is left of a file that was refused");
    drop(Options::new().allow_page_granularity().create_new(&path, LEN).unwrap());
    let error = bytes.open(&path).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NotByteGranular(_)), "{error}");
}

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

#[test]
fn an_unusable_file_is_refused() {
    let directory = directory();
    let at = |name: &str| directory.path().join(name);

    let missing = at("missing");
    assert!(refusal(&missing, options().open(&missing)).starts_with("no such file"));
    let in_missing = at("missing/file");
    let text = refusal(&in_missing, options().create_new(&in_missing, LEN));
    assert!(text.starts_with("its directory does not exist"), "{text}");
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
    assert!(text.starts_with("has 100 bytes, and offset and length need 4096"), "{text}");
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
fn creating_never_touches_what_is_there() {
    let directory = directory();
    let path = directory.path().join("file");
    fs::write(&path, b"precious").unwrap();
    assert!(refusal(&path, options().create_new(&path, LEN)).starts_with("exists already"));
    assert_eq!(fs::read(&path).unwrap(), b"precious");
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
            (b"short", ErrorKind::Shorter { size: 5, needed: 6, .. }) | (b"", ErrorKind::Empty) => {
            }
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
        let lock = if round % 2 == 0 { Lock::None } else { Lock::Shared };
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

#[test]
fn one_writer_at_a_time() {
    let directory = directory();
    let path = directory.path().join("file");
    let first = options().create_new(&path, LEN).unwrap();
    assert!(refusal(&path, options().open(&path)).starts_with("is locked by another open file"));
    drop(first);
    options().open(&path).unwrap();
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
fn unwritten_parts_before_data_are_refused_where_cache_lines_are_persisted() {
    let directory = directory();
    let by_pages = matches!(probe(directory.path()).unwrap().granularity, Granularity::Page(_));
    for (path, what) in unwritten_files(directory.path()) {
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"data").unwrap();
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

/// Behind the data, where a growth that was cut off leaves them, nothing has to be refused.
#[test]
fn unwritten_parts_at_the_end_are_written_by_an_exclusive_opening() {
    let directory = directory();
    let by_pages = matches!(probe(directory.path()).unwrap().granularity, Granularity::Page(_));
    let shared = options().lock(Lock::Shared);
    for (path, _) in unwritten_files(directory.path()) {
        if !by_pages {
            let error = shared.open(&path).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Unfinished { at: 0, .. }), "{error}");
        }
        drop(options().open(&path).unwrap());
        let file = shared.open(&path).unwrap();
        assert!(by_pages || fs::metadata(&path).unwrap().blocks() * 512 >= LEN);
        assert!(fs::read(&path).unwrap() == vec![0; SIZE]);
        file.persist_copy(&[(5000, b"into the end")]).unwrap();
        assert_eq!(&fs::read(&path).unwrap()[5000..5012], b"into the end");
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

#[test]
#[should_panic(expected = "8 bytes at offset 65536 are out of range: the mapping has 65536 bytes")]
fn a_word_beyond_the_end_panics() {
    let directory = directory();
    let file = options().create_new(directory.path().join("file"), LEN).unwrap();
    std::hint::black_box(file.load(LEN, Ordering::Relaxed));
}

#[test]
#[should_panic(expected = "are out of range: the mapping has 65536 bytes")]
fn a_range_that_wraps_panics() {
    let directory = directory();
    let file = options().create_new(directory.path().join("file"), LEN).unwrap();
    file.write(u64::MAX - 3, b"wraps round");
}

#[test]
#[should_panic(expected = "the range 96..64 ends before it starts")]
fn a_reversed_range_panics() {
    let directory = directory();
    let file = options().create_new(directory.path().join("file"), LEN).unwrap();
    #[expect(clippy::reversed_empty_ranges, reason = "this is the test")]
    file.persist(96..64).unwrap();
}

/// Has each of these calls of this thread fail from now on (seccomp(2)). With `flags` only those that have one of them in an
/// argument, which is given by its place. Returns false if that is not possible here.
#[expect(unsafe_code, reason = "no safe wrapper offers it")]
fn fail_calls(number: c_long, flags: Option<(u32, c_int)>, errno: c_int) -> bool {
    let statement = |code, jf, k| libc::sock_filter { code, jt: 0, jf, k };
    let word = |number: c_int| number.cast_unsigned();
    let skipped = if flags.is_some() { 3 } else { 1 };
    let mut filter = vec![
        statement(0x20, 0, 0), // BPF_LD | BPF_W | BPF_ABS
        statement(0x15, skipped, u32::try_from(number).unwrap()), // BPF_JMP | BPF_JEQ | BPF_K
    ];
    if let Some((argument, flags)) = flags {
        // A filter is given the number of the call, and from the 16th byte on the arguments, of 8 bytes each.
        let low = 16 + 8 * argument + if cfg!(target_endian = "big") { 4 } else { 0 };
        filter.push(statement(0x20, 0, low)); // BPF_LD | BPF_W | BPF_ABS
        filter.push(statement(0x45, 1, word(flags))); // BPF_JMP | BPF_JSET | BPF_K
    }
    filter.push(statement(0x06, 0, libc::SECCOMP_RET_ERRNO | word(errno))); // BPF_RET | BPF_K
    filter.push(statement(0x06, 0, libc::SECCOMP_RET_ALLOW)); // BPF_RET | BPF_K
    let len = u16::try_from(filter.len()).unwrap();
    let program = libc::sock_fprog { len, filter: filter.as_mut_ptr() };
    // SAFETY: it takes rights from this thread, and reads nothing.
    let is_limited = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } == 0;
    let mode = libc::SECCOMP_MODE_FILTER;
    // SAFETY: the program has as many instructions, and the kernel copies it.
    is_limited && unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) } == 0
}

/// The stores of an earlier writer may be lost. By pages they can be read, and no write-back of the view succeeds.
///
/// ext4 has `EROFS` for a file system that has stopped after an error, and no error for one that is mounted for reading only
/// (`fs/ext4/fsync.c`).
#[test]
fn a_file_whose_sync_fails_is_not_opened_and_its_view_is_tainted() {
    let test = "a_file_whose_sync_fails_is_not_opened_and_its_view_is_tainted";
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let granularity = options().create_new(&path, LEN).unwrap().granularity();
    let is_failure = |error: &Error, with| {
        let kind = error.kind();
        matches!(*kind, ErrorKind::Os { call: "fsync", errno, .. } if errno == with)
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
        let viewed = options().view(&path);
        if !matches!(granularity, Granularity::Page(_)) {
            assert!(is_failure(&viewed.unwrap_err(), errno));
            return;
        }
        let view = viewed.unwrap();
        assert_eq!(view.load(0, Ordering::Relaxed), 0);
        assert_eq!(view.taint(), Some(Taint::Writeback { at: 0, len: LEN, errno }));
        let error = view.persist(0..8).unwrap_err();
        let ErrorKind::Writeback { errno: found, .. } = *error.kind() else { panic!("{error}") };
        assert_eq!(found, errno);
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

/// Work on mounts of the test's own, which needs root.
mod mounts {
    use super::{
        Backing, DaxFile, FaultHandler, Granularity, LEN, Options, Ordering, Path, PathBuf,
    };
    use super::{options, probe, refusal, skip};
    use crate::own_mount::{with_mount, with_small_tmpfs};
    use core::ffi::CStr;
    use core::time::Duration;
    use rustix::io::Errno;
    use rustix::mount::MountFlags;
    use std::fs;
    use std::io::Write as _;
    use std::process::Command;
    use std::thread;
    use std::time::Instant;

    #[cfg(target_pointer_width = "64")]
    #[test]
    fn a_file_on_a_file_system_for_reading_only_is_viewed() {
        with_small_tmpfs("a_file_on_a_file_system_for_reading_only_is_viewed", |directory| {
            let path = directory.join("file");
            drop(options().create_new(&path, LEN).unwrap());
            // A child that another test is about to start may still have the file.
            let remounted = || rustix::mount::mount_remount(directory, MountFlags::RDONLY, c"");
            while remounted() == Err(Errno::BUSY) {
                thread::sleep(Duration::from_millis(1));
            }
            let view = options().view(&path).unwrap();
            assert_eq!((view.len(), view.taint()), (LEN, None));
        });
    }

    #[test]
    fn ramfs_is_ram() {
        with_mount("ramfs_is_ram", "ramfs", c"", |directory| {
            let path = directory.join("file");
            let text = refusal(&path, Options::new().create_new(&path, LEN));
            assert!(text.contains("ramfs is RAM of the kernel"), "{text}");
            let file = options().create_new(&path, LEN).unwrap();
            file.persist_copy(&[(0, b"here")]).unwrap();
            file.deep_persist(0..4).unwrap();
            assert_eq!(file.guarantee().backing, Backing::Ram);
        });
    }

    /// The file system that keeps the file lies under the overlay, and is not visible through it.
    #[test]
    fn overlay_promises_nothing() {
        let name = "overlay_promises_nothing";
        with_small_tmpfs(name, |directory| {
            for part in ["lower", "upper", "work", "merged"] {
                fs::create_dir(directory.join(part)).unwrap();
            }
            let part = |part: &str| directory.join(part).display().to_string();
            let layers = format!(
                "lowerdir={},upperdir={},workdir={}\0",
                part("lower"),
                part("upper"),
                part("work")
            );
            let merged = directory.join("merged");
            let layers = CStr::from_bytes_with_nul(layers.as_bytes()).unwrap();
            let none = MountFlags::empty();
            if let Err(error) = rustix::mount::mount("none", &merged, "overlay", none, layers) {
                skip(name, format_args!("no overlay here: {error}"));
                return;
            }
            let path = merged.join("file");
            let file = options().create_new(&path, LEN).unwrap();
            file.persist_copy(&[(0, b"here")]).unwrap();
            assert!(matches!(file.granularity(), Granularity::Page(_)));
            assert_eq!(file.guarantee().file_system, "overlay");
            assert_eq!(file.guarantee().backing, Backing::Unknown);
            drop(file);
            // A child that another test is about to start may still have the file.
            rustix::mount::unmount(&merged, rustix::mount::UnmountFlags::DETACH).unwrap();
        });
    }

    /// Offsets are multiples of a huge page there. Lengths are rounded up to one by the kernel, which neither leaves
    /// nor takes away anything behind the mapping (mmap(2), munmap(2)). There msync does nothing
    /// (`fs/hugetlbfs/inode.c`, `noop_fsync`), and takes any page.
    #[test]
    fn a_part_of_a_huge_page_is_mapped_and_unmapped_whole() {
        const HUGE: u64 = 2 << 20;
        let name = "a_part_of_a_huge_page_is_mapped_and_unmapped_whole";
        let free = fs::read_to_string("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
        let free = free.ok().and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or(0);
        if free < 3 {
            skip(name, "no huge pages of 2 MiB are free (/proc/sys/vm/nr_hugepages)");
            return;
        }
        with_mount(name, "hugetlbfs", c"pagesize=2M", |directory| {
            let path = directory.join("file");
            fs::File::create(&path).unwrap().set_len(3 * HUGE).unwrap();
            assert_eq!(probe(&path).unwrap().alignment, HUGE);
            let text = refusal(&path, options().offset(4096).open(&path));
            assert!(text.starts_with("offset 4096 is not a multiple of 2097152"), "{text}");
            for (offset, len) in [(0, 4096), (HUGE, HUGE + 1), (0, 3 * HUGE), (HUGE, 8192)] {
                let file = options().offset(offset).len(len).open(&path).unwrap();
                assert_eq!(file.as_ptr(0).addr() as u64 % HUGE, 0);
                file.write(len - 8, b"the end!");
                file.persist(len - 8..len).unwrap();
                assert_eq!(file.guarantee().backing, Backing::Ram);
                let start = format!("{:x}-", file.as_ptr(0).addr());
                let is_mapped = || {
                    let maps = fs::read_to_string("/proc/self/maps").unwrap();
                    maps.lines().any(|line| line.starts_with(&start))
                };
                assert!(is_mapped());
                drop(file);
                assert!(!is_mapped(), "{len} bytes at {offset} stay mapped");
            }
        });
    }

    #[test]
    fn a_full_file_system_is_left_as_it_was() {
        with_small_tmpfs("a_full_file_system_is_left_as_it_was", |directory| {
            let path = directory.join("large");
            let text = refusal(&path, options().create_new(&path, 2 << 20));
            assert!(text.starts_with("no space for 2097152 bytes"), "{text}");
            assert!(!path.exists(), "nothing is left behind");
            options().create_new(&path, LEN).unwrap();
        });
    }

    /// Opens a file that is a hole, on a file system that the file "fills" has filled since.
    fn sparse_beside_a_file_that_fills(directory: &Path) -> (PathBuf, DaxFile) {
        let path = directory.join("sparse");
        fs::File::create(&path).unwrap().set_len(LEN).unwrap();
        let file = options().open(&path).unwrap();
        let full = fs::write(directory.join("fills"), vec![1; 2 << 20]).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
        (path, file)
    }

    /// The page cannot be accessed, and neither its medium nor its length is why.
    #[test]
    fn a_guarded_store_without_space_is_not_a_media_error() {
        let name = "a_guarded_store_without_space_is_not_a_media_error";
        with_small_tmpfs(name, |directory| {
            let guard = match FaultHandler::install() {
                Ok(guard) => guard,
                Err(error) => return skip(name, error),
            };
            let (path, file) = sparse_beside_a_file_that_fills(directory);
            let stored = file.catch_faults(guard, |file| file.store(4096, 1, Ordering::Relaxed));
            assert!(refusal(&path, stored).starts_with("no space for "));
            // Not removed: a process that another test starts may have a copy of the descriptor still.
            fs::write(directory.join("fills"), "").unwrap();
            file.catch_faults(guard, |file| file.store(4096, 1, Ordering::Relaxed)).unwrap();
            assert_eq!(fs::read(&path).unwrap()[4096], 1);
        });
    }

    /// A commit within a guarded call must learn that stores are lost before it stores what makes them count.
    #[test]
    fn persisting_lost_stores_within_a_guard_fails_there() {
        let name = "persisting_lost_stores_within_a_guard_fails_there";
        with_small_tmpfs(name, |directory| {
            let guard = match FaultHandler::install() {
                Ok(guard) => guard,
                Err(error) => return skip(name, error),
            };
            let (path, file) = sparse_beside_a_file_that_fills(directory);
            let mut failed = Vec::new();
            let guarded = file.catch_faults(guard, |file| {
                failed.push(file.persist_copy(&[(4096, b"lost")]).is_err());
                file.store(8192, 1, Ordering::Relaxed);
                failed.push(file.persist(8192..8200).is_err());
            });
            assert!(refusal(&path, guarded).starts_with("no space for "));
            assert_eq!(failed, [true, true]);
        });
    }

    /// Blocks of 1 KiB, of which a page has four: the first one has space and the others have not.
    #[test]
    fn a_guarded_store_to_a_partly_allocated_page_is_not_a_media_error() {
        let name = "a_guarded_store_to_a_partly_allocated_page_is_not_a_media_error";
        with_mount(name, "tmpfs", c"size=32m", |directory| {
            let guard = match FaultHandler::install() {
                Ok(guard) => guard,
                Err(error) => return skip(name, error),
            };
            let (image, mounted) = (directory.join("image"), directory.join("mounted"));
            fs::File::create(&image).unwrap().set_len(4 << 20).unwrap();
            fs::create_dir(&mounted).unwrap();
            let mut make = Command::new("mkfs.ext4");
            make.args(["-q", "-F", "-b", "1024"]).arg(&image);
            let mut mount = Command::new("mount");
            mount.args(["-o", "loop"]).arg(&image).arg(&mounted);
            for command in [&mut make, &mut mount] {
                if !command.output().is_ok_and(|output| output.status.success()) {
                    return skip(name, format_args!("{command:?} fails"));
                }
            }
            let path = mounted.join("sparse");
            fs::write(&path, [1; 1024]).unwrap();
            fs::File::options().write(true).open(&path).unwrap().set_len(LEN).unwrap();
            let file = options().open(&path).unwrap();
            let mut fills = fs::File::create(mounted.join("fills")).unwrap();
            while fills.write_all(&[1; 1024]).is_ok() {}
            let stored = file.catch_faults(guard, |file| file.store(8, 1, Ordering::Relaxed));
            assert!(refusal(&path, stored).starts_with("no space for "));
        });
    }

    /// A process that a thread of another test forks meanwhile has the file open for writing, too, until it executes its
    /// program. Till then the file system is busy.
    fn remount_read_only(directory: &Path) -> rustix::io::Result<()> {
        let begun = Instant::now();
        loop {
            match rustix::mount::mount_remount(directory, MountFlags::RDONLY, c"") {
                Err(Errno::BUSY) if begun.elapsed() < Duration::from_secs(60) => {
                    thread::yield_now();
                }
                remounted => return remounted,
            }
        }
    }

    #[test]
    fn a_read_only_file_system_is_named() {
        with_small_tmpfs("a_read_only_file_system_is_named", |directory| {
            let path = directory.join("file");
            drop(options().create_new(&path, LEN).unwrap());
            let before = fs::read(&path).unwrap();
            remount_read_only(directory).unwrap();
            let text = refusal(&path, options().open(&path));
            assert!(text.starts_with("its file system is mounted read-only"), "{text}");
            let other = directory.join("other");
            let text = refusal(&other, Options::new().create_new(&other, LEN));
            assert!(text.starts_with("its file system is mounted read-only"), "{text}");
            assert_eq!(fs::read(&path).unwrap(), before);
        });
    }
}

/// A kind that callers can match on, besides the text.
#[test]
fn the_kind_of_an_error_matches_its_cause() {
    let directory = directory();
    let path = directory.path().join("file");
    let error = options().open(&path).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Missing));
    drop(options().create_new(&path, LEN).unwrap());
    let error = options().len(LEN + 1).open(&path).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Shorter { size: LEN, needed, .. } if *needed == LEN + 1)
    );
}
