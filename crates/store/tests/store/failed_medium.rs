//! A medium that fails while a store is read. Its zeros are not damage, and no copy is replaced by them.

use crate::life::options;
use cachemaint::medium::Readable;
use cachemaint_store::{Attributes, Error, ErrorKind, FormatError, Info, Reader};
use cachemaint_test_support::counting::Broken;
use cachemaint_test_support::failed::{Failed, assert_right_or_failed};
use cachemaint_test_support::plain::Plain;
use core::fmt::Debug;

/// Returns the bytes of a store with a value, a blob and a longer blob.
fn bytes() -> Vec<u8> {
    let medium = Plain::zeros(1 << 17);
    let (mut store, _) = options().create_new(medium.clone()).unwrap();
    for (name, len) in [("a", 100), ("b", 300), ("c", 70_000)] {
        let mut transaction = store.begin().unwrap();
        transaction.put(Attributes::new(name).metadata(&[7; 200]), &vec![8; len]).unwrap();
        transaction.commit().unwrap();
    }
    medium.bytes()
}

fn names<R: Readable>(reader: &Reader<R>) -> Result<Vec<Info>, Error<R::Error>> {
    reader.entries().map(|entry| Ok(entry?.0)).collect()
}

#[track_caller]
fn assert_failure_is_returned<T: Debug + PartialEq>(
    work: impl Fn(&Failed<Plain>) -> Result<T, Error<Broken>>,
) {
    let bytes = bytes();
    let medium = || Plain::new(&bytes);
    let is_failure =
        |error: &Error<_>| matches!(error.kind(), ErrorKind::Format(FormatError::Medium(Broken)));
    assert_right_or_failed(medium, work, is_failure);
}

#[test]
fn a_medium_that_fails_while_blobs_are_read_is_an_error() {
    assert_failure_is_returned(|medium| Reader::open(medium)?.load("b"));
    assert_failure_is_returned(|medium| Reader::open(medium)?.stat("none"));
    assert_failure_is_returned(|medium| names(&Reader::open(medium)?));
    assert_failure_is_returned(|medium| Reader::open(medium)?.stat("b"));
}

#[test]
fn a_medium_that_fails_while_a_store_is_verified_is_an_error() {
    assert_failure_is_returned(|medium| Reader::open(medium)?.verify());
}

#[test]
fn a_medium_that_fails_while_a_store_is_opened_is_an_error() {
    for options in [options, || options().verify()] {
        assert_failure_is_returned(|medium| {
            let (store, opened) = options().open(medium)?;
            assert!(opened.mended.is_empty(), "{:?}", opened.mended);
            names(&store.reader())
        });
    }
}
