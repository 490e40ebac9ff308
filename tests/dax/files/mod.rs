//! DAX files on the file systems that every machine has. Files get the guarantee of their medium; impossible operations
//! are refused with the path and the numbers, and leave files as they were.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, and says what it skips"
)]

mod mounts;
mod opening;
mod refused;
mod times;

use crate::options;
use cachemaint::dax::{DaxFile, Error, probe};
use cachemaint::medium::{Granularity, Medium};
use cachemaint_test_support::skip::skip;
use core::cell::RefCell;
use core::sync::atomic::Ordering;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use tempfile::TempDir;

const LEN: u64 = 64 << 10;
/// [`LEN`] as a length in memory.
const SIZE: usize = 64 << 10;

fn is_in_ram(file: &DaxFile) -> bool {
    file.guarantee().reason.contains("keeps files in RAM")
}

fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
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
    for range in [8..36, 4096..4104, LEN - 5..LEN, 100..100] {
        file.view().issue_writeback(range).unwrap();
    }
    file.view().fence().unwrap();
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
fn mapping_and_calls_show_the_same_bytes() {
    let directory = directory();
    let path = directory.path().join("file");
    drop(options().create_new(&path, LEN).unwrap());
    let file = options().offset(8192).open(&path).unwrap();
    assert_eq!(file.view().offset(), 8192);
    file.write(5, b"stored");
    let mut bytes = [0; 8];
    let opened = fs::File::options().read(true).write(true).open(&path).unwrap();
    opened.read_exact_at(&mut bytes, 8192 + 4).unwrap();
    assert_eq!(&bytes, b"\0stored\0");

    opened.write_all_at(b"!?", 8192 + 7).unwrap();
    file.read(4, &mut bytes).unwrap();
    assert_eq!(&bytes, b"\0st!?ed\0");
    assert_eq!(&fs::read(&path).unwrap()[8192 + 4..][..8], b"\0st!?ed\0");
}

/// A range beyond the end is the caller's mistake, wherever it is found.
#[test]
#[expect(unsafe_code, reason = "a call that panics is unsafe")]
fn a_panic_for_a_wrong_range_names_the_callers_line() {
    thread_local!(static PLACE: RefCell<String> = RefCell::default());

    let former = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        PLACE.replace(info.location().unwrap().file().to_owned());
        former(info);
    }));
    let directory = directory();
    let file = options().create_new(directory.path().join("file"), LEN).unwrap();
    let beyond = || LEN - 4..LEN + 4;
    let calls: [&dyn Fn(); 7] = [
        &|| drop(file.persist(beyond())),
        &|| drop(Medium::persist(&file, beyond())),
        &|| drop(file.issue_writeback(beyond())),
        &|| drop(file.deep_persist(beyond())),
        &|| _ = file.as_ptr(LEN),
        &|| _ = file.view().as_ptr(LEN),
        // SAFETY: it panics.
        &|| _ = unsafe { file.view().as_slice(beyond()) },
    ];
    for (at, call) in calls.into_iter().enumerate() {
        panic::catch_unwind(AssertUnwindSafe(call)).unwrap_err();
        assert_eq!(PLACE.take(), file!(), "call {at}");
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
    assert!(text.starts_with("can only be made persistent in whole pages: "), "{text}");
    assert!(text.contains("keeps files in RAM"), "{text}");
    assert!(!path.exists(), "nothing is left of a file that was refused");

    let file = options().create_new(&path, LEN).unwrap();
    assert!(matches!(file.granularity(), Granularity::Page(_)));
    assert!(is_in_ram(&file));
    assert!(file.view().cache().is_none());
    assert_eq!(&probe(&path).unwrap(), file.guarantee());
    assert_eq!(&probe(directory.path()).unwrap(), file.guarantee());
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
#[should_panic(expected = "8 bytes at offset 65536 are out of range: the medium has 65536 bytes")]
fn a_word_beyond_the_end_panics() {
    let directory = directory();
    let file = options().create_new(directory.path().join("file"), LEN).unwrap();
    std::hint::black_box(file.load(LEN, Ordering::Relaxed));
}

#[test]
#[should_panic(expected = "are out of range: the medium has 65536 bytes")]
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
