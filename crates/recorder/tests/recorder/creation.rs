//! Creation and opening of recordings. They never replace a recording silently.

use super::plain::{BASE, is_missing, options, shown};
use cachemaint::medium::{Medium, Memory};
use cachemaint_recorder::{Error, ErrorKind, Event, FormatError, Found, Identity, Options};
use cachemaint_recorder::{Merged, Reader, Recorder, Writer};
use cachemaint_test_support::plain::Plain;
use core::convert::Infallible;
use std::io;

/// One shard of two sub-buffers of 256 bytes.
const LEN: usize = BASE + 2 * 256;

/// A medium with a recording of one event.
fn recorded() -> Plain {
    let medium = Plain::zeros(LEN);
    let recorder = options().create_new(&medium).unwrap().0;
    recorder.claim().unwrap().record_at(1, 1, b"old").unwrap();
    drop(recorder);
    medium
}

#[test]
fn a_recording_is_never_replaced_by_a_new_one() {
    let (whole, twice, one_copy, damaged) = (recorded(), recorded(), recorded(), recorded());
    drop(options().open(&twice).unwrap());
    one_copy.write(4096, &[0xee; 128]);
    for at in [4096, 12288] {
        damaged.write(at + 32, &[0xee; 8]);
    }
    let newer = Plain::zeros(LEN);
    newer.write(4096, b"CMtRace\x1a\x01\0\0\0\x80\0\0\0");
    for medium in [whole, twice, one_copy, damaged, newer] {
        let before = medium.bytes();
        let refused = options().create_new(&medium).map(drop).unwrap_err();
        assert_eq!(*refused.error.kind(), ErrorKind::Format(FormatError::Exists));
        assert_eq!(medium.bytes(), before);
    }
}

/// Nothing was cut off a medium of zeros, so the message must not advise to restore it.
#[test]
fn a_short_medium_of_zeros_is_too_small_and_a_cut_recording_is_truncated() {
    for len in [8, 4096, 16384] {
        let refused = options().open_or_create(Plain::zeros(len)).map(drop).unwrap_err();
        let ErrorKind::Format(FormatError::TooSmall { size, needed, .. }) = *refused.error.kind()
        else {
            panic!("{refused}")
        };
        assert_eq!((size, needed), (len as u64, LEN as u64));
    }
    let whole = recorded().bytes();
    for len in [8192, LEN - 8] {
        let cut = Plain::zeros(len);
        cut.write(0, &whole[..len]);
        let refused = options().open_or_create(&cut).map(drop).unwrap_err();
        let is_it = matches!(
            refused.error.kind(),
            ErrorKind::Format(FormatError::Truncated { size, .. }) if *size == len as u64
        );
        assert!(is_it, "{refused}");
    }
}

#[test]
fn open_or_create_keeps_a_recording_and_creates_one_where_nothing_is() {
    let medium = Plain::zeros(LEN);
    let missing = options().open(medium).map(drop).unwrap_err();
    assert!(is_missing(missing.error.kind()), "{missing}");
    let medium = missing.into_medium();
    for (number, is_new) in [(1, true), (2, false)] {
        let (recorder, opened) = options().open_or_create(&medium).unwrap();
        assert_eq!((recorder.description().generation, opened.is_new), (number, is_new));
        recorder.claim().unwrap().record_at(number, 1, b"").unwrap();
    }
    let reader = Reader::open(&medium).unwrap();
    let times: Vec<_> = shown(&reader, 0).events.iter().map(|event| event.timestamp).collect();
    assert_eq!(times, [1, 2]);
}

/// Only `create_new` replaces it, and then no byte of it looks like damage.
#[test]
fn foreign_content_is_refused_and_replaced_on_request_alone() {
    let medium = Plain::zeros(LEN);
    medium.write(0, &vec![0xee; LEN]);
    for refused in [options().open(&medium), options().open_or_create(&medium)] {
        let refused = refused.map(drop).unwrap_err();
        let ErrorKind::Format(FormatError::Foreign { found, .. }) = *refused.error.kind() else {
            panic!("{refused}")
        };
        assert_eq!(found, [0xee; 8]);
    }
    assert!(medium.bytes().iter().all(|byte| *byte == 0xee));
    let recorder = options().create_new(&medium).unwrap().0;
    recorder.claim().unwrap().record_at(1, 1, b"").unwrap();
    let shown = shown(&options().open(&medium).unwrap().0.reader(), 0);
    assert_eq!((shown.events.len(), shown.skipped), (1, vec![]));
}

/// The other format can be opened with one copy of a root.
#[test]
fn a_journal_or_a_store_is_not_replaced() {
    for found in [*b"cmjournl", *b"cm-store"] {
        for at in [0, 4096, 8192, 12288] {
            let medium = Plain::zeros(LEN);
            medium.write(at, &found);
            let before = medium.bytes();
            let refused = options().create_new(&medium).map(drop).unwrap_err();
            let ErrorKind::Format(FormatError::Foreign { found: it, .. }) = *refused.error.kind()
            else {
                panic!("{refused}")
            };
            assert_eq!((it, medium.bytes()), (found, before));
        }
    }
}

/// `?` converts an error of an opening to one of the recorder, or of the standard library.
#[test]
fn errors_are_turned_into_those_of_the_standard_library() {
    fn open(medium: &Plain) -> Result<(), Error<Infallible>> {
        options().open(medium)?;
        Ok(())
    }
    fn open_or_io(medium: &Plain) -> io::Result<()> {
        options().open(medium)?;
        Ok(())
    }
    let medium = Plain::zeros(LEN);
    assert!(is_missing(open(&medium).unwrap_err().kind()));
    let error = open_or_io(&medium).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert!(error.get_ref().unwrap().is::<Error<Infallible>>());
    medium.write(0, b"anything");
    assert_eq!(open_or_io(&medium).unwrap_err().kind(), io::ErrorKind::InvalidData);
    let exists = options().create_new(recorded()).map(drop).unwrap_err();
    assert_eq!(io::Error::from(exists).kind(), io::ErrorKind::AlreadyExists);
    let small = options().create_new(Plain::zeros(64)).map(drop).unwrap_err();
    assert_eq!(io::Error::from(small).kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn recorders_and_readers_are_sent_and_shared_and_writers_are_sent() {
    fn is_send<T: Send>() {}
    fn is_send_sync<T: Send + Sync>() {}
    is_send::<Writer<'_, Memory<'_>>>();
    is_send_sync::<Recorder<'_, Memory<'_>>>();
    is_send_sync::<Reader<&Memory<'_>>>();
    is_send_sync::<Merged<'_, &Memory<'_>>>();
    is_send_sync::<Options<'_>>();
    is_send_sync::<cachemaint_recorder::Cursor>();
    is_send_sync::<cachemaint_recorder::Within<Infallible>>();
    is_send_sync::<(Found<'_>, Event<'_>, Identity)>();
    is_send_sync::<Error<Infallible>>();
}
