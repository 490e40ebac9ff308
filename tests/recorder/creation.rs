//! Creation and opening of recordings, which never replace a recording silently.

use super::plain::{Plain, options, shown};
use cachemaint::medium::{Medium, Memory};
use cachemaint::recorder::{Error, ErrorKind, Event, Found, Identity, Options, Reader};
use cachemaint::recorder::{Merged, Recorder, SkippedKind, Writer};
use core::convert::Infallible;
use std::io;

/// One shard of two sub-buffers of 256 bytes.
const LEN: usize = 3 * 4096 + 2 * 256;

/// A medium with a recording of one event.
fn recorded() -> Plain {
    let medium = Plain::new(LEN);
    let recorder = options().create_new(&medium).unwrap();
    recorder.claim().unwrap().record_at(1, 1, b"old").unwrap();
    drop(recorder);
    medium
}

/// Two openings, so that there are two descriptors.
fn opened_twice() -> Plain {
    let medium = recorded();
    drop(options().open(&medium).unwrap());
    medium
}

#[test]
fn a_recording_is_never_replaced_by_a_new_one() {
    let whole = recorded();
    let twice = opened_twice();
    let only_second = opened_twice();
    only_second.write(0, &[0xee; 128]);
    let damaged = opened_twice();
    for at in [0, 4096] {
        damaged.write(at + 32, &[0xee; 8]);
    }
    let newer = Plain::new(LEN);
    newer.write(4096, b"CMtRace\x1a\x01\0\0\0\x80\0\0\0");
    for medium in [whole, twice, only_second, damaged, newer] {
        let before = medium.bytes();
        let refused = options().create_new(&medium).map(drop).unwrap_err();
        assert_eq!(*refused.error.kind(), ErrorKind::Exists);
        assert_eq!(medium.bytes(), before);
    }
}

/// Nothing was cut from a medium of zeros, so the message must not advise to bring it back.
#[test]
fn a_short_medium_of_zeros_is_too_small_and_a_cut_recording_is_truncated() {
    for len in [8, 4096, 4224] {
        let refused = options().open_or_create(Plain::new(len)).map(drop).unwrap_err();
        let ErrorKind::TooSmall { len: found, needed, .. } = *refused.error.kind() else {
            panic!("{refused}")
        };
        assert_eq!((found, needed), (len as u64, LEN as u64));
    }
    let whole = recorded().bytes();
    let cut = Plain::new(4096);
    cut.write(0, &whole[..4096]);
    let refused = options().open_or_create(&cut).map(drop).unwrap_err();
    assert!(matches!(refused.error.kind(), ErrorKind::Truncated { len: 4096, .. }), "{refused}");
}

/// The second descriptor still describes the recording.
#[test]
fn a_cut_recording_whose_first_word_is_erased_is_truncated() {
    let long = Plain::new(2 * LEN);
    for _ in 0..2 {
        drop(options().open_or_create(&long).unwrap());
    }
    long.write(0, &[0; 8]);
    let cut = Plain::new(LEN);
    cut.write(0, &long.bytes()[..LEN]);
    let refused = options().open_or_create(&cut).map(drop).unwrap_err();
    assert!(matches!(refused.error.kind(), ErrorKind::Truncated { .. }), "{refused}");
}

#[test]
fn open_or_create_keeps_a_recording_and_creates_one_where_nothing_is() {
    let medium = Plain::new(LEN);
    let missing = options().open(medium).map(drop).unwrap_err();
    assert_eq!(*missing.error.kind(), ErrorKind::NotFound);
    let medium = missing.into_medium();
    for (number, generation) in [(1, 1), (2, 2)] {
        let recorder = options().open_or_create(&medium).unwrap();
        assert_eq!(recorder.description().generation, generation);
        recorder.claim().unwrap().record_at(number, 1, b"").unwrap();
    }
    let reader = Reader::open(&medium).unwrap();
    let times: Vec<_> = shown(&reader, 0).events.iter().map(|event| event.timestamp).collect();
    assert_eq!(times, [1, 2]);
}

/// Only `create_new` replaces it, and no byte of it looks like damage afterwards.
#[test]
fn foreign_content_is_refused_and_replaced_on_request_alone() {
    let medium = Plain::new(LEN);
    medium.write(0, &[0xee; LEN]);
    for refused in [options().open(&medium), options().open_or_create(&medium)] {
        let refused = refused.map(drop).unwrap_err();
        let ErrorKind::Foreign { first, second, .. } = *refused.error.kind() else {
            panic!("{refused}")
        };
        assert_eq!([first, second], [[0xee; 8]; 2]);
    }
    assert_eq!(medium.bytes(), [0xee; LEN]);
    let recorder = options().create_new(&medium).unwrap();
    recorder.claim().unwrap().record_at(1, 1, b"").unwrap();
    let shown = shown(&options().open(&medium).unwrap().reader(), 0);
    assert_eq!((shown.events.len(), shown.lost), (1, 0));
    // Junk after the last event may be one that was begun.
    assert!(shown.skipped.iter().all(|skipped| skipped.kind == SkippedKind::Torn));
}

/// `?` turns an error of opening into that of the recorder, or of the standard library.
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
    let medium = Plain::new(LEN);
    assert_eq!(*open(&medium).unwrap_err().kind(), ErrorKind::NotFound);
    let error = open_or_io(&medium).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert!(error.get_ref().unwrap().is::<Error<Infallible>>());
    medium.write(0, b"anything");
    assert_eq!(open_or_io(&medium).unwrap_err().kind(), io::ErrorKind::InvalidData);
    let exists = options().create_new(recorded()).map(drop).unwrap_err();
    assert_eq!(io::Error::from(exists).kind(), io::ErrorKind::AlreadyExists);
    let small = options().create_new(Plain::new(64)).map(drop).unwrap_err();
    assert_eq!(io::Error::from(small).kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn recorders_and_readers_are_sent_and_shared_and_writers_are_sent() {
    fn is_send<T: Send>() {}
    fn is_send_sync<T: Send + Sync>() {}
    is_send::<Writer<'_, Memory<'_>>>();
    is_send_sync::<Recorder<Memory<'_>>>();
    is_send_sync::<Reader<&Memory<'_>>>();
    is_send_sync::<Merged<Vec<cachemaint::recorder::Events<'_, &Memory<'_>>>>>();
    is_send_sync::<Options>();
    is_send_sync::<cachemaint::recorder::Cursor>();
    is_send_sync::<cachemaint::recorder::Within<Infallible>>();
    is_send_sync::<(Found<'_>, Event<'_>, Identity)>();
    is_send_sync::<Error<Infallible>>();
}

/// A `main` that returns an error prints it by `{:?}`.
#[test]
fn a_returned_error_prints_its_message() {
    let error = options().open(Plain::new(LEN)).map(drop).unwrap_err();
    assert_eq!(format!("{error:?}"), error.to_string());
    assert!(format!("{error:#?}").contains("NotFound"));
}
