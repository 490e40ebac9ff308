//! Reports on real files.

#![cfg(all(target_os = "linux", feature = "std", not(miri)))]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod placement;

use cachemaint::dax::{DaxFile, Lock, Options};
use cachemaint_inspect::survival::{Event, Stage, Survival};
use cachemaint_inspect::{FileReport, bad_blocks};
use cachemaint_test_support::skip::skip;
use std::fs;
use std::os::fd::AsRawFd as _;

const LEN: u64 = 64 << 10;

fn options() -> Options {
    Options::new().allow_page_granularity()
}

fn report(file: &DaxFile) -> FileReport {
    FileReport::of(file.view()).unwrap()
}

/// "None" would be wrong: nothing is known of files that are not on persistent memory.
#[test]
fn bad_blocks_of_an_ordinary_file_are_unknown_with_the_reason() {
    let name = "bad_blocks_of_an_ordinary_file_are_unknown_with_the_reason";
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let file = options().create_new(&path, LEN).unwrap();
    if report(&file).region.as_ref().is_some() {
        skip(name, "temporary files are on persistent memory here");
        return;
    }
    let text = bad_blocks(file.view()).unwrap_err().to_string();
    let text = text.strip_prefix(&format!("{}: ", path.display())).unwrap();
    let rest = text.strip_prefix("which blocks are bad is unknown: /sys/").unwrap();
    assert!(
        rest.contains(": ") && rest.contains("; "),
        "what was asked, answered, to be done: {text}"
    );
}

fn after(guarantee: &FileReport, event: Event) -> Survival {
    guarantee.survives(Stage::Persisted, event).answer
}

/// unlink(2): the file remains until the last descriptor that refers to it is closed.
#[test]
fn a_file_without_a_name_outlives_its_process_only_if_another_keeps_it_open() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    drop(options().create_new(&path, LEN).unwrap());
    let unlinked = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    for opened in [memfd(), unlinked] {
        let by_link = format!("/proc/self/fd/{}", opened.as_raw_fd());
        let _stays_open = &opened;
        let file = options().open_file(opened.try_clone().unwrap()).unwrap();
        for guarantee in [FileReport::of(file.view()).unwrap(), FileReport::at(by_link).unwrap()] {
            let crash = guarantee.survives(Stage::Persisted, Event::ProcessCrash);
            assert!(matches!(crash.answer, Survival::If(_)), "{crash:?}");
            assert!(crash.text.contains("no name"), "{crash:?}");
            for event in [Event::Kexec, Event::WarmReboot, Event::PowerLoss] {
                assert_eq!(after(&guarantee, event), Survival::No);
            }
            let evidence = guarantee.evidence.iter();
            let links = evidence.filter(|evidence| evidence.asked.contains("stx_nlink"));
            assert_eq!(links.map(|links| links.answer.as_str()).collect::<Vec<_>>(), ["0"]);
        }
    }
}

/// A new file gets its name after its guarantee was asked of it, and a directory is tried by a file without one.
#[test]
fn a_new_file_outlives_its_process_by_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let created = options().create_new(&path, LEN).unwrap();
    let report = FileReport::of(created.view()).unwrap();
    assert_eq!(after(&report, Event::ProcessCrash), Survival::Yes);
    let opened = options().lock(Lock::Off).open(&path).unwrap();
    assert_eq!(opened.guarantee(), created.guarantee());
    if let Ok(in_directory) = FileReport::at(directory.path()) {
        assert_eq!(after(&in_directory, Event::ProcessCrash), Survival::Yes);
    }
}

fn memfd() -> fs::File {
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    let memfd = fs::File::from(rustix::fs::memfd_create(c"state", flags).unwrap());
    memfd.set_len(LEN).unwrap();
    memfd
}
