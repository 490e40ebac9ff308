//! A medium that fails while a recording is read. Its zeros are not a gap.

use super::plain::options;
use cachemaint::medium::Medium as _;
use cachemaint_recorder::{Error, ErrorKind, FormatError, Found, Reader};
use cachemaint_test_support::counting::Broken;
use cachemaint_test_support::failed::{Failed, assert_right_or_failed};
use cachemaint_test_support::plain::Plain;
use core::fmt::Debug;

const BYTES: usize = 32 << 10;

/// Returns the bytes of a recording with two openings and two shards. One of the shards was filled more than once, and
/// an event is damaged.
fn bytes() -> Vec<u8> {
    const EVENTS: &[(u16, &str)] = &[(1, "opened")];
    let medium = Plain::zeros(BYTES);
    let options = || options().shards(2).sub_buffers(4).events(EVENTS);
    drop(options().create_new(&medium).unwrap().0);
    let recorder = options().open(&medium).unwrap().0;
    let writers = [recorder.claim().unwrap(), recorder.claim().unwrap()];
    (1..20).for_each(|number| writers[0].record_at(number, 1, &[7; 40]).unwrap());
    (1..3).for_each(|number| writers[1].record_at(number, 1, &[8; 16]).unwrap());
    let mut buffer = [0; 256];
    let (reader, mut at) = (recorder.reader(), 0);
    let mut events = reader.shard(0);
    while let Some(found) = events.read_next(&mut buffer).unwrap() {
        if let Found::Event(event) = found
            && at == 0
        {
            at = event.at;
        }
    }
    medium.write(at, &[0xff; 8]);
    medium.bytes()
}

#[track_caller]
fn assert_failure_is_returned<T: Debug + PartialEq>(
    work: impl Fn(&Failed<Plain>) -> Result<T, Error<Broken>>,
) {
    let bytes = bytes();
    let medium = || {
        let medium = Plain::zeros(BYTES);
        medium.write(0, &bytes);
        medium
    };
    let is_failure =
        |error: &Error<_>| matches!(error.kind(), ErrorKind::Format(FormatError::Medium(Broken)));
    assert_right_or_failed(medium, work, is_failure);
}

/// Returns everything that a reader finds, as text.
fn dumped(medium: &Failed<Plain>) -> Result<Vec<String>, Error<Broken>> {
    let reader = Reader::open(medium)?;
    let mut buffer = vec![0; reader.largest_payload()];
    let (mut events, mut dumped) = (reader.events(), Vec::new());
    while let Some(found) = events.read_next(&mut buffer)? {
        dumped.push(format!("{found:?}"));
    }
    Ok(dumped)
}

#[test]
fn a_medium_that_fails_while_events_are_read_is_an_error() {
    assert_failure_is_returned(dumped);
}

#[test]
fn a_medium_that_fails_while_a_recording_is_looked_at_is_an_error() {
    assert_failure_is_returned(|medium| {
        let reader = Reader::open(medium)?;
        Ok(reader.event_table()?.is_damaged())
    });
}

#[test]
fn a_medium_that_fails_while_a_recording_is_opened_is_an_error() {
    assert_failure_is_returned(|medium| {
        let (recorder, _) = options().open(medium)?;
        recorder.claim()?.record_at(30, 1, &[9; 40])?;
        Ok(*recorder.description())
    });
    assert_failure_is_returned(|medium| {
        drop(options().open_or_create(medium)?);
        dumped(medium)
    });
}
