//! Processes that are killed while they create a file, make it longer, or hold it: what the next process finds. And
//! processes that read a store while another one writes it.
//!
//! A child is killed before each of its system calls in turn that can matter to the next process, or held up before each.
//! On a file system without DAX this proves nothing about a loss of power, since what is in memory outlives the process.

#![cfg(all(
    feature = "dax",
    target_os = "linux",
    target_has_atomic = "64",
    not(miri),
    not(cachemaint_loom)
))]

use cachemaint::dax::{DaxFile, Options};
use cachemaint::medium::Readable;
use cachemaint_test_support::killed::{
    Call, alone, at_each_system_call, directory, note_system_calls,
};
use core::fmt::Display;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

const OLD: u64 = 64 << 10;
const NEW: u64 = 3 << 20;
/// Slices are compared at once, which an emulator needs.
static ZEROS: [u8; 3 << 20] = [0; 3 << 20];

/// On DAX files are persisted by lines, which demands more of what a killed process leaves.
fn options() -> Options {
    Options::new().allow_page_granularity()
}

#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
fn bytes(file: &DaxFile) -> Vec<u8> {
    let mut bytes = vec![1; usize::try_from(Readable::len(file)).unwrap()];
    file.read(0, &mut bytes).unwrap();
    bytes
}

/// The names in a directory but those of temporary files, which file systems without unnamed files have.
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
fn names(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    names.filter(|name| !name.starts_with(".cachemaint-")).collect()
}

#[test]
fn a_creation_that_is_cut_off_leaves_no_file_or_a_whole_one() {
    let _alone = alone();
    let directory = directory();
    let path = directory.path().join("file");
    let granularity = options().create_new(&path, NEW).unwrap().granularity();
    let mut left = [0, 0];
    let was_cut_off = at_each_system_call(
        "a_creation_that_is_cut_off_leaves_no_file_or_a_whole_one",
        || fs::remove_file(&path).unwrap(),
        || options().create_new(&path, NEW).map(drop),
        |is_finished| {
            let is_there = path.exists();
            left[usize::from(is_there)] += 1;
            assert!(is_there || !is_finished);
            if is_there {
                let file = options().open(&path).unwrap();
                assert_eq!((Readable::len(&file), file.granularity()), (NEW, granularity));
                assert!(bytes(&file) == ZEROS);
                assert_eq!(names(directory.path()), ["file"]);
            } else {
                assert_eq!(names(directory.path()), [""; 0]);
                assert!(bytes(&options().open_or_create(&path, NEW).unwrap()) == ZEROS);
            }
        },
    );
    assert!(!was_cut_off || left[0] > 3 && left[1] > 1, "killed on both sides: {left:?}");
}

/// The system calls of `act`; `None` if they cannot be traced here.
fn system_calls<E: Display>(test: &str, act: impl Fn() -> Result<(), E>) -> Option<Vec<Call>> {
    let mut calls = Vec::new();
    note_system_calls(test, act, |call| calls.push(call)).then_some(calls)
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// `fsync` of a file need not make its name durable (fsync(2)), and one of the directory need not make the file's length
/// durable.
#[test]
fn a_new_file_and_its_name_are_synced_after_it_has_got_the_name() {
    let _alone = alone();
    let directory = directory();
    let path = directory.path().join("file");
    let test = "a_new_file_and_its_name_are_synced_after_it_has_got_the_name";
    let Some(calls) = system_calls(test, || options().create_new(&path, OLD).map(drop)) else {
        return;
    };
    let names_it = |call: &Call| [libc::SYS_linkat, libc::SYS_renameat2].contains(&call.number);
    let named = calls.iter().position(names_it).unwrap();
    assert_eq!(synced(&calls[named..]), [identity(&path), identity(directory.path())]);
}

/// Returns the files that are synced, in order.
fn synced(calls: &[Call]) -> Vec<Option<(u64, u64)>> {
    calls.iter().filter(|call| call.number == libc::SYS_fsync).map(|call| call.file).collect()
}

/// Opens a file for reading and writing.
fn opened(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).open(path)
}

/// A file can be there without being durable: its program was killed before it had synced the file or its name. A later
/// `msync` need not wait for the name, and by lines nothing has the file system commit blocks that exist.
#[test]
fn a_file_that_exists_is_synced_with_its_name_by_each_opening() {
    type Opening = fn(&Path) -> Result<(), Box<dyn core::error::Error>>;

    let _alone = alone();
    let directory = directory();
    let path = directory.path().join("file");
    fs::write(&path, pattern()).unwrap();
    let test = "a_file_that_exists_is_synced_with_its_name_by_each_opening";
    let openings: &[Opening] = &[
        |path| Ok(options().open(path).map(drop)?),
        |path| Ok(options().open_or_create(path, OLD).map(drop)?),
        |path| Ok(options().open_file(opened(path)?).map(drop)?),
        #[cfg(target_pointer_width = "64")]
        |path| Ok(options().view(path).map(drop)?),
        #[cfg(target_pointer_width = "64")]
        |path| Ok(options().view_file(File::open(path)?).map(drop)?),
    ];
    for (at, open) in openings.iter().enumerate() {
        let Some(calls) = system_calls(test, || open(&path)) else { return };
        assert_eq!(synced(&calls), [identity(&path), identity(directory.path())], "opening {at}");
    }
}

/// Another program can have written them, or this one by calls.
#[test]
fn bytes_that_a_file_has_already_are_synced_when_a_growth_maps_them() {
    let _alone = alone();
    let directory = directory();
    let path = directory.path().join("file");
    fs::write(&path, &ZEROS[..]).unwrap();
    let test = "bytes_that_a_file_has_already_are_synced_when_a_growth_maps_them";
    let grow = || options().len(OLD).open(&path)?.grow(NEW);
    let Some(calls) = system_calls(test, grow) else { return };
    let (file, name) = (identity(&path), identity(directory.path()));
    assert_eq!(synced(&calls), [file, name, file]);
}

/// The bytes of a file before it is made longer.
fn pattern() -> Vec<u8> {
    (1..=OLD).map(|at| at.to_le_bytes()[0] | 1).collect()
}

#[test]
fn a_growth_that_is_cut_off_leaves_written_bytes() {
    let _alone = alone();
    let directory = directory();
    let path = directory.path().join("file");
    let old = pattern();
    let file = options().create_new(&path, OLD).unwrap();
    file.persist_copy(&[(0, &old)]).unwrap();
    let granularity = file.granularity();
    drop(file);
    let mut left = [0, 0];
    let was_cut_off = at_each_system_call(
        "a_growth_that_is_cut_off_leaves_written_bytes",
        || fs::write(&path, &old).unwrap(),
        || options().open(&path)?.grow(NEW),
        |is_finished| {
            let mut file = options().open(&path).unwrap();
            assert_eq!(file.granularity(), granularity);
            let len = Readable::len(&file);
            left[usize::from(len > OLD)] += 1;
            assert!(len == NEW || len >= OLD && !is_finished, "{len}");
            assert!(fs::metadata(&path).unwrap().blocks() * 512 >= len, "each byte is written");
            file.grow(NEW).unwrap();
            let found = bytes(&file);
            let (before, new) = found.split_at(old.len());
            assert!(before == old, "what was persisted is there");
            assert!(*new == ZEROS[old.len()..], "what is new is zero");
            file.persist_copy(&[(NEW - 4, b"last")]).unwrap();
        },
    );
    assert!(!was_cut_off || left[0] > 3 && left[1] > 3, "killed on both sides: {left:?}");
}
