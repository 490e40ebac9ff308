//! A medium that fails while a journal is read. Its zeros are neither an end nor damage.

use crate::life::{BYTES, LOG, options, payload, records};
use cachemaint::medium::{Medium as _, Readable as _};
use cachemaint_journal::{Error, ErrorKind, FormatError, Opened, Reader};
use cachemaint_sim::{Model, SimMedium, Simulation};
use cachemaint_test_support::counting::Broken;
use cachemaint_test_support::failed::{Failed, assert_right_or_failed};
use core::fmt::Debug;

type Medium = Failed<SimMedium>;

/// The bytes of a trimmed journal with two epochs and a torn record.
fn bytes() -> Vec<u8> {
    let medium = Simulation::new(Model::CACHES_KEPT, BYTES).medium();
    let (journal, _) = options().create_new(&medium).unwrap();
    for number in 0..3 {
        journal.append(&payload(number)).unwrap();
    }
    let second = journal.records().unwrap().nth(1).unwrap().unwrap().position;
    journal.trim(second).unwrap();
    drop(journal);
    let (journal, _) = options().open(&medium).unwrap();
    for number in 3..6 {
        journal.append(&payload(number)).unwrap();
    }
    let torn = journal.append(&payload(6)).unwrap();
    medium.write(LOG + torn.0 % journal.capacity(), &[0xff; 8]);
    // The record was not acknowledged.
    medium.write(16384, &[0; 8]);
    let mut bytes = vec![0; BYTES as usize];
    medium.read(0, &mut bytes).unwrap();
    bytes
}

#[track_caller]
fn assert_failure_is_returned<T: Debug + PartialEq>(
    work: impl Fn(&Medium) -> Result<T, Error<Broken>>,
) {
    let bytes = bytes();
    let medium = || {
        let medium = Simulation::new(Model::CACHES_KEPT, BYTES).medium();
        medium.write(0, &bytes);
        medium
    };
    let is_failure =
        |error: &Error<_>| matches!(error.kind(), ErrorKind::Format(FormatError::Medium(Broken)));
    assert_right_or_failed(medium, work, is_failure);
}

#[test]
fn a_medium_that_fails_while_records_are_read_is_an_error() {
    assert_failure_is_returned(|medium| {
        Reader::open(medium)?.records()?.collect::<Result<Vec<_>, _>>()
    });
    assert_failure_is_returned(|medium| {
        Reader::open(medium)?.salvage()?.collect::<Result<Vec<_>, _>>()
    });
}

#[test]
fn a_medium_that_fails_while_a_journal_is_verified_is_an_error() {
    assert_failure_is_returned(|medium| Reader::open(medium)?.verify());
}

#[test]
fn a_medium_that_fails_while_a_journal_is_opened_is_an_error() {
    assert_failure_is_returned(|medium| {
        let (journal, Opened { recovered, .. }) = options().open(medium)?;
        Ok((recovered, records(&journal)?))
    });
    assert_failure_is_returned(|medium| Ok(options().open_or_create(medium)?.1));
}
