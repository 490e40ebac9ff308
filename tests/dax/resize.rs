//! Files that grow and shrink while they are mapped: what was there stays, what is new is zero, and what
//! cannot be done changes nothing.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::{options, place};
use cachemaint::dax::{DaxFile, ErrorKind, Lock};
use cachemaint::medium::Readable;
use cachemaint_test_support::own_mount::with_small_tmpfs;
use std::fs;
use std::io::Write;
use std::path::Path;

const LEN: u64 = 64 << 10;
/// [`LEN`] as a length in memory.
const SIZE: usize = 64 << 10;

/// The bytes, by loads from the mapping.
fn mapped(file: &DaxFile) -> Vec<u8> {
    let mut bytes = vec![1; usize::try_from(Readable::len(file)).unwrap()];
    file.read(0, &mut bytes).unwrap();
    bytes
}

fn len(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

#[test]
fn a_grown_file_keeps_its_bytes_and_gets_zeros() {
    let (_directory, path) = place();
    let mut file = options().create_new(&path, LEN).unwrap();
    file.write(0, b"first");
    file.write(LEN - 4, b"last");
    for new in [LEN + 1, 3 * LEN, 5 << 20] {
        file.grow(new).unwrap();
        assert_eq!((Readable::len(&file), len(&path)), (new, new));
        let bytes = mapped(&file);
        assert_eq!((&bytes[..5], &bytes[SIZE - 4..SIZE]), (&b"first"[..], &b"last"[..]));
        assert!(bytes[SIZE..].iter().all(|byte| *byte == 0));
    }
    file.persist_copy(&[((5 << 20) - 4, b"more")]).unwrap();
    let before = mapped(&file);
    drop(file);
    assert!(fs::read(&path).unwrap() == before);
    assert_eq!(Readable::len(&options().open(&path).unwrap()), 5 << 20);
}

/// The last page can be stored to behind the end of the file. What was there is no byte of the file
/// (POSIX, mmap), so it must not become one.
#[test]
#[expect(unsafe_code, reason = "stores behind the end")]
fn stores_behind_the_end_do_not_enter_the_file() {
    let (_directory, path) = place();
    let mut file = options().create_new(&path, 100).unwrap();
    // SAFETY: it is in the last page of the mapping, which nothing else accesses.
    unsafe { file.as_ptr(99).wrapping_add(50).write_volatile(7) };
    file.grow(4096).unwrap();
    assert_eq!(mapped(&file)[149], 0);
    assert_eq!(fs::read(&path).unwrap()[149], 0);
}

#[test]
fn a_shrunk_file_keeps_the_rest() {
    let (_directory, path) = place();
    let mut file = options().create_new(&path, LEN).unwrap();
    file.write(0, b"first");
    file.write(5000, b"there");
    file.persist(0..LEN).unwrap();
    for new in [5005, 100] {
        file.shrink(new).unwrap();
        assert_eq!((Readable::len(&file), len(&path)), (new, new));
        assert_eq!(mapped(&file), fs::read(&path).unwrap());
    }
    assert_eq!(&mapped(&file)[..6], b"first\0");
    file.grow(8192).unwrap();
    assert!(mapped(&file)[100..].iter().all(|byte| *byte == 0), "what was cut off is gone");
}

#[test]
#[should_panic(expected = "1 bytes at offset 100 are out of range: the medium has 100 bytes")]
fn bytes_cut_off_are_out_of_range() {
    let (_directory, path) = place();
    let mut file = options().create_new(&path, LEN).unwrap();
    file.shrink(100).unwrap();
    file.write(100, b"!");
}

/// A part of a file: what is behind it in the file is shown when it grows, and not cut off.
#[test]
fn a_mapped_part_takes_in_what_is_there() {
    let (_directory, path) = place();
    drop(options().create_new(&path, LEN).unwrap());
    let mut whole = fs::read(&path).unwrap();
    whole[8192 + 150] = 9;
    fs::write(&path, &whole).unwrap();

    let mut file = options().offset(8192).len(100).open(&path).unwrap();
    let error = file.shrink(50).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidInput), "{error}");
    assert!(error.to_string().contains("has 65536 bytes, and its mapping ends at 8292"), "{error}");
    file.grow(200).unwrap();
    assert_eq!((file.view().offset(), mapped(&file)[150], len(&path)), (8192, 9, LEN));

    file.grow(LEN).unwrap();
    assert_eq!(len(&path), 8192 + LEN);
    assert!(fs::read(&path).unwrap()[..SIZE] == whole, "all of it as it was");
    file.shrink(LEN - 8192).unwrap();
    assert_eq!(len(&path), LEN);
}

#[test]
fn lengths_that_make_no_sense_are_refused() {
    let (_directory, path) = place();
    let mut file = options().create_new(&path, LEN).unwrap();
    let refused = |error: cachemaint::dax::Error| {
        assert_eq!(error.path(), path);
        error.to_string()
    };
    let text = refused(file.grow(100).unwrap_err());
    assert!(text.contains("has 65536 bytes mapped, more than 100"), "{text}");
    let text = refused(file.shrink(LEN + 1).unwrap_err());
    assert!(text.contains("has 65536 bytes mapped, fewer than 65537"), "{text}");
    assert!(refused(file.shrink(0).unwrap_err()).contains("a length of 0 bytes"));
    assert!(refused(file.grow(u64::MAX).unwrap_err()).contains("largest file"));
    assert_eq!((Readable::len(&file), len(&path)), (LEN, LEN));

    let mut file = {
        drop(file);
        options().offset(4096).open(&path).unwrap()
    };
    assert!(refused(file.grow(u64::MAX - 4095).unwrap_err()).contains("largest file"));
}

#[test]
fn a_file_that_has_shrunk_is_not_grown_over() {
    let (_directory, path) = place();
    let mut file = options().create_new(&path, LEN).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_len(4096).unwrap();
    let error = file.grow(2 * LEN).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Shorter { size: 4096, needed: LEN, .. }), "{error}");
    assert_eq!(len(&path), 4096);
}

/// Other holders of the lock could do so at the same time; a holder that may be alone, or that says so, can.
#[test]
fn a_shared_lock_forbids_changing_the_length() {
    let (_directory, path) = place();
    let mut file = options().lock(Lock::Shared).create_new(&path, LEN).unwrap();
    for result in [file.grow(LEN + 8), file.shrink(8)] {
        let error = result.unwrap_err();
        assert!(error.to_string().contains("under a shared lock"), "{error}");
    }
    assert_eq!((Readable::len(&file), len(&path)), (LEN, LEN));

    // Mapping bytes that another program has added does not change the file.
    let mut other = fs::OpenOptions::new().append(true).open(&path).unwrap();
    other.write_all(&vec![3; SIZE]).unwrap();
    file.grow(2 * LEN).unwrap();
    assert!(mapped(&file)[SIZE..].iter().all(|byte| *byte == 3));

    drop(file);
    let mut file = options().lock(Lock::Off).open(&path).unwrap();
    file.grow(3 * LEN).unwrap();
    file.shrink(LEN).unwrap();
    assert_eq!(len(&path), LEN);
}

#[test]
fn a_full_file_system_leaves_the_file_as_it_was() {
    with_small_tmpfs("a_full_file_system_leaves_the_file_as_it_was", |directory| {
        let path = directory.join("file");
        let mut file = options().create_new(&path, LEN).unwrap();
        file.write(0, b"as it was");
        let error = file.grow(2 << 20).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::NoSpace { .. }), "{error}");
        assert_eq!((Readable::len(&file), len(&path)), (LEN, LEN));
        assert_eq!(&mapped(&file)[..10], b"as it was\0");
        // The room it has taken in vain is free again.
        file.grow(900 << 10).unwrap();
    });
}
