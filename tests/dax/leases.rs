//! Leases of ranges of a file. `dax_processes.rs` has the leases of killed readers, and those of readers with
//! forked children.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use cachemaint::dax::{DaxFile, ErrorKind, Lock, Options};
use core::ops::Range;
use std::path::PathBuf;
use tempfile::TempDir;

const LEN: u64 = 256 << 10;
const WHOLE: Range<u64> = 0..LEN;

/// Each open file is another holder, in one process too (fcntl(2), "Open file description locks").
fn options() -> Options {
    Options::new().allow_page_granularity().lock(Lock::None)
}

fn file() -> (TempDir, PathBuf, DaxFile) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let writer = options().create_new(&path, LEN).unwrap();
    (directory, path, writer)
}

#[test]
fn a_writer_finds_what_a_reader_has_leased_and_no_more() {
    let (_directory, path, writer) = file();
    let reader = options().open(&path).unwrap();
    assert_eq!(writer.leased(WHOLE).unwrap(), None);
    reader.view().lease(100..200).unwrap();
    assert_eq!(writer.leased(WHOLE).unwrap(), Some(100..200));
    // The answer is cut to the range that was asked for, and exact to the byte.
    assert_eq!(writer.leased(150..180).unwrap(), Some(150..180));
    assert_eq!(writer.leased(0..101).unwrap(), Some(100..101));
    assert_eq!(writer.leased(199..1000).unwrap(), Some(199..200));
    assert_eq!(writer.leased(0..100).unwrap(), None);
    assert_eq!(writer.leased(200..LEN).unwrap(), None);
}

/// The kernel reports the locks of one owner after those of another: here the first reader's come first.
#[test]
fn the_first_of_several_is_found() {
    let (_directory, path, writer) = file();
    let readers = [(); 3].map(|()| options().open(&path).unwrap());
    readers[0].view().lease(9000..9100).unwrap();
    readers[1].view().lease(5000..5100).unwrap();
    readers[2].view().lease(1000..1100).unwrap();
    readers[0].view().lease(3000..3100).unwrap();
    assert_eq!(writer.leased(WHOLE).unwrap(), Some(1000..1100));
    assert_eq!(writer.leased(1100..LEN).unwrap(), Some(3000..3100));
    assert_eq!(writer.leased(3100..LEN).unwrap(), Some(5000..5100));
    assert_eq!(writer.leased(5100..LEN).unwrap(), Some(9000..9100));
    assert_eq!(writer.leased(9100..LEN).unwrap(), None);
}

#[test]
fn readers_share_and_each_gives_up_its_own() {
    let (_directory, path, writer) = file();
    let [one, other] = [(); 2].map(|()| options().open(&path).unwrap());
    one.view().lease(0..4096).unwrap();
    other.view().lease(0..4096).unwrap();
    one.view().release(0..4096).unwrap();
    assert_eq!(writer.leased(WHOLE).unwrap(), Some(0..4096), "the other one's");
    assert_eq!(other.leased(WHOLE).unwrap(), None, "its own lease is not another's");
    assert_eq!(one.leased(WHOLE).unwrap(), Some(0..4096));
    drop(other);
    assert_eq!(writer.leased(WHOLE).unwrap(), None);
}

#[test]
fn the_leases_of_one_view_merge_and_split() {
    let (_directory, path, writer) = file();
    let reader = options().open(&path).unwrap();
    reader.view().lease(100..200).unwrap();
    reader.view().lease(200..300).unwrap();
    reader.view().lease(150..250).unwrap();
    assert_eq!(writer.leased(WHOLE).unwrap(), Some(100..300));
    // One release is enough for bytes that were leased twice.
    reader.view().release(150..250).unwrap();
    assert_eq!(writer.leased(WHOLE).unwrap(), Some(100..150));
    assert_eq!(writer.leased(150..LEN).unwrap(), Some(250..300));
    reader.view().release(WHOLE).unwrap();
    assert_eq!(writer.leased(WHOLE).unwrap(), None);
    reader.view().release(WHOLE).unwrap();
}

#[test]
fn a_lease_ends_with_its_view_and_not_before() {
    let (_directory, path, writer) = file();
    let reader = options().open(&path).unwrap();
    reader.view().lease(0..1).unwrap();
    // Closing another descriptor of the same file, as of POSIX's own locks, does not end it.
    drop(options().open(&path).unwrap());
    drop(std::fs::File::open(&path).unwrap());
    assert_eq!(writer.leased(WHOLE).unwrap(), Some(0..1));
    drop(reader.file().try_clone().unwrap());
    assert_eq!(writer.leased(WHOLE).unwrap(), Some(0..1));
    let duplicate = reader.file().try_clone().unwrap();
    drop(reader);
    assert_eq!(writer.leased(WHOLE).unwrap(), None, "a duplicate does not keep it");
    drop(duplicate);
}

/// A range of no bytes is for fcntl(2) one up to the end of the file.
#[test]
fn a_range_of_no_bytes_is_none() {
    let (_directory, path, writer) = file();
    let reader = options().open(&path).unwrap();
    reader.view().lease(100..100).unwrap();
    assert_eq!(writer.leased(WHOLE).unwrap(), None);
    reader.view().lease(WHOLE).unwrap();
    reader.view().release(0..0).unwrap();
    assert_eq!(writer.leased(WHOLE).unwrap(), Some(WHOLE));
    assert_eq!(writer.leased(LEN..LEN).unwrap(), None);
}

/// Each counts from where its own mapping begins.
#[test]
fn mappings_of_other_parts_mean_the_same_bytes() {
    const PART: u64 = 64 << 10;
    let (_directory, path, writer) = file();
    let reader = options().offset(PART).len(PART).open(&path).unwrap();
    reader.view().lease(10..20).unwrap();
    assert_eq!(writer.leased(WHOLE).unwrap(), Some(PART + 10..PART + 20));
    let other = options().offset(PART).open(&path).unwrap();
    assert_eq!(other.leased(0..PART).unwrap(), Some(10..20));
    let behind = options().offset(2 * PART).open(&path).unwrap();
    assert_eq!(behind.leased(0..PART).unwrap(), None);
}

/// flock(2): the two kinds of locks do not meet on file systems of one machine.
#[test]
fn a_lease_is_apart_from_the_lock_of_the_file() {
    let (_directory, path, writer) = file();
    drop(writer);
    let writer = options().lock(Lock::Exclusive).open(&path).unwrap();
    let reader = options().open(&path).unwrap();
    reader.view().lease(0..4096).unwrap();
    assert_eq!(writer.leased(WHOLE).unwrap(), Some(0..4096));
    drop(writer);
    options().lock(Lock::Exclusive).open(&path).unwrap();
}

/// A view may only read, which is all that a shared lock needs.
#[test]
#[cfg(target_pointer_width = "64")]
fn a_view_can_lease() {
    let (_directory, path, writer) = file();
    let view = options().view(&path).unwrap();
    view.lease(4096..8192).unwrap();
    assert_eq!(writer.leased(WHOLE).unwrap(), Some(4096..8192));
    drop(view);
    assert_eq!(writer.leased(WHOLE).unwrap(), None);
}

/// Somebody else's exclusive lock, by fcntl(2), of the second half of a range.
#[test]
fn a_lease_of_a_locked_file_is_refused() {
    let (_directory, path, writer) = file();
    let reader = options().open(&path).unwrap();
    let other = std::fs::File::options().write(true).open(&path).unwrap();
    // A lock of the whole file by this process, which no open file has.
    rustix::fs::fcntl_lock(&other, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    let error = reader.view().lease(0..4096).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Locked), "{error}");
    assert_eq!(writer.leased(WHOLE).unwrap(), Some(WHOLE));
    rustix::fs::fcntl_lock(&other, rustix::fs::FlockOperation::NonBlockingUnlock).unwrap();
    reader.view().lease(0..4096).unwrap();
}

#[test]
#[should_panic(expected = "out of range")]
fn bytes_that_are_not_mapped_cannot_be_leased() {
    let (_directory, _path, writer) = file();
    drop(writer.view().lease(LEN - 1..LEN + 1));
}
