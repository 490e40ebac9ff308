//! The number of system calls of an opening, which asks only what decides.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::{options, place};
use cachemaint::dax::{DaxFile, Error, ErrorKind, Options};
use cachemaint_test_support::killed::{alone, count_system_calls};

const LEN: u64 = 1 << 20;
/// The system calls that a process makes only for its first file: the page that tells it from its children, the
/// auxiliary vector, and the memory of the allocator.
const FIRST: u64 = 4096;

/// The calls that close a file are not counted.
#[expect(clippy::mem_forget, reason = "the child ends with it")]
fn leave_open(file: DaxFile) {
    core::mem::forget(file);
}

/// Counts the calls after a first opening in the same process, which makes those that are made once.
fn calls(test: &str, act: impl Fn() -> Result<(), Error>) -> Option<usize> {
    let (_directory, first) = place();
    drop(options().create_new(&first, FIRST).unwrap());
    let _alone = alone();
    let open = || options().open(&first).map(leave_open);
    let before = count_system_calls(test, open)?;
    let both = count_system_calls(test, || open().and_then(|()| act()))?;
    Some(both - before)
}

#[test]
fn an_existing_file_takes_30_system_calls_at_most() {
    let (_directory, path) = place();
    drop(options().create_new(&path, LEN).unwrap());
    let test = "an_existing_file_takes_30_system_calls_at_most";
    for options in [options(), Options::new()] {
        let open = || match options.open(&path) {
            Ok(file) => {
                leave_open(file);
                Ok(())
            }
            // A refusal asks no more.
            Err(error) if matches!(error.kind(), ErrorKind::PageGranular(_)) => Ok(()),
            Err(error) => Err(error),
        };
        let Some(calls) = calls(test, open) else { return };
        assert!(calls <= 30, "{calls}");
    }
}

#[test]
fn a_new_file_takes_45_system_calls_at_most() {
    let (_directory, path) = place();
    let test = "a_new_file_takes_45_system_calls_at_most";
    let create = || options().create_new(&path, LEN).map(leave_open);
    let Some(calls) = calls(test, create) else { return };
    assert!(calls <= 45, "{calls}");
}
