//! Errors: their kinds, what they become by `?`, and the medium that an opening gives back.

use crate::counting::{Broken, Counting};
use crate::erased::erased;
use crate::life::{BYTES, DATA, blobs, open, options};
use crate::plain::Plain;
#[cfg(feature = "dax")]
use cachemaint::dax::{DaxFile, Error as DaxError};
use cachemaint::medium::OpenError;
use cachemaint::preserve::{Attributes, Error, ErrorKind, Reader, Store};
use core::convert::Infallible;
use core::error::Error as _;
use core::sync::atomic::Ordering::Relaxed;
use std::io;

fn zeros() -> Plain {
    Plain::new(vec![0; BYTES as usize])
}

/// A store with the blob `a`.
fn store() -> Plain {
    let medium = zeros();
    let mut store = options().create_new(medium.clone()).unwrap();
    let mut transaction = store.begin().unwrap();
    transaction.put("a", b"bytes").unwrap();
    transaction.commit().unwrap();
    medium
}

#[test]
fn a_failed_opening_gives_the_medium_back() {
    let failed = Store::open(zeros()).unwrap_err();
    assert!(matches!(
        failed.error.kind(),
        ErrorKind::NotAStore { found: [0, 0, 0, 0, 0, 0, 0, 0], .. }
    ));
    let (_, opened) = Store::open_or_create(failed.into_medium()).unwrap();
    assert!(opened.is_none());
    let medium = Store::create_new(store()).unwrap_err().into_medium();
    let medium = Reader::open(Plain::new(medium.bytes()[..8].to_vec())).map_err(|failed| {
        assert_eq!(failed.into_medium().bytes(), medium.bytes()[..8]);
        medium
    });
    assert_eq!(Reader::open(medium.unwrap_err()).unwrap().load("a").unwrap(), b"bytes");
}

/// Each write-back of an opening fails once.
#[test]
fn an_opening_that_fails_late_gives_the_medium_back_too() {
    let counting = Counting::new(store());
    let mut medium = erased(&counting);
    let mut failures = 0;
    loop {
        counting.left.store(failures, Relaxed);
        medium = match options().open(medium) {
            Ok((store, _)) => {
                assert_eq!(blobs(&store).unwrap()["a"], b"bytes");
                break;
            }
            Err(failed) => {
                assert!(matches!(failed.error.kind(), ErrorKind::Medium(Broken)));
                failed.into_medium()
            }
        };
        counting.left.store(u64::MAX, Relaxed);
        failures += 1;
    }
    assert!(failures > 4, "{failures}");
}

fn is_replaced(metadata: Result<&[u8], Error<Infallible>>) -> bool {
    matches!(metadata.map_err(ErrorKind::from), Err(ErrorKind::Replaced))
}

/// Metadata of an entry is that of its put, in any snapshot, and never the bytes that are in its place now.
#[test]
fn metadata_of_an_entry_that_is_not_in_the_commit_is_refused() {
    let put = |store: &mut Store<Plain>, name: &str, metadata: &[u8]| {
        let mut transaction = store.begin().unwrap();
        transaction.put(Attributes::new(name).metadata(metadata), b"bytes").unwrap();
        transaction.commit().unwrap();
        store.snapshot().unwrap().find(name).unwrap().unwrap()
    };
    let mut store = options().create_new(zeros()).unwrap();
    let (kept, replaced) = (put(&mut store, "kept", b"kept"), put(&mut store, "other", b"other"));
    for byte in 0..4 {
        put(&mut store, "other", &[byte; 40]);
    }
    let snapshot = store.snapshot().unwrap();
    assert_eq!(snapshot.metadata(&kept, &mut [0; 4]).unwrap(), b"kept");
    assert!(is_replaced(snapshot.metadata(&replaced, &mut [0; 40])));

    // The entry is beyond the end of this store.
    let small = options().create_new(Plain::new(vec![0; DATA as usize + 16 * 64])).unwrap();
    let snapshot = small.snapshot().unwrap();
    assert!(is_replaced(snapshot.metadata(&kept, &mut [0; 4])));
}

fn by_question_mark(medium: Plain) -> Result<Store<Plain>, Error<Infallible>> {
    Ok(options().open(medium)?.0)
}

fn in_io(medium: Plain) -> io::Result<Vec<u8>> {
    let (store, _) = options().open(medium)?;
    Ok(store.reader().load("missing")?)
}

#[test]
fn errors_pass_by_question_mark() {
    assert!(matches!(by_question_mark(zeros()).unwrap_err().kind(), ErrorKind::NotAStore { .. }));
    let error = in_io(zeros()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert!(error.get_ref().unwrap().is::<Error<Infallible>>());
    assert_eq!(in_io(store()).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(open(store()).unwrap().1["a"], b"bytes");
}

#[test]
fn an_error_has_the_fitting_kind_in_io() {
    let kind = |error: Error<Infallible>| io::Error::from(error).kind();
    assert_eq!(kind(ErrorKind::Exists.into()), io::ErrorKind::AlreadyExists);
    assert_eq!(kind(ErrorKind::Headers.into()), io::ErrorKind::InvalidData);
    // A caller of `io::Read` does an interrupted call again.
    assert_eq!(kind(ErrorKind::Replaced.into()), io::ErrorKind::Other);
    let mut foreign = vec![0; BYTES as usize];
    foreign[..8].copy_from_slice(b"elephant");
    let foreign = options().open(Plain::new(foreign)).unwrap_err().error;
    assert_eq!(kind(foreign), io::ErrorKind::InvalidData);
    let (mut store, _) = options().open(store()).unwrap();
    let mut transaction = store.begin().unwrap();
    let full = transaction.put("b", &vec![1; BYTES as usize]).unwrap_err();
    assert_eq!(kind(full), io::ErrorKind::StorageFull);
    assert_eq!(kind(transaction.put("", b"").unwrap_err()), io::ErrorKind::InvalidInput);
}

/// The message of deleting and renaming a blob that does not exist, which must be the same.
fn missing(name: &str) -> String {
    let mut store = options().open(store()).unwrap().0;
    let loaded = store.reader().load(name).unwrap_err().to_string();
    let mut transaction = store.begin().unwrap();
    assert_eq!(transaction.delete(name).unwrap_err().to_string(), loaded);
    assert_eq!(transaction.rename(name, "b").unwrap_err().to_string(), loaded);
    loaded
}

#[test]
fn a_missing_blob_is_named() {
    assert!(missing("ram/0").starts_with("there is no blob or region \"ram/0\"; "));
    assert!(
        missing("\u{1b}[2J\"\n").starts_with("there is no blob or region \"\\u{1b}[2J\\\"\\n\"; ")
    );
    // 62 bytes are shown, and fewer where a character would be cut.
    let whole = "n".repeat(62);
    assert!(missing(&whole).starts_with(&format!("there is no blob or region {whole:?}; ")));
    let cut = format!("n{}", "\u{fc}".repeat(30));
    let long = format!("{cut}{}", "\u{fc}".repeat(300));
    assert!(missing(&long).starts_with(&format!("there is no blob or region {cut:?}...; ")));
}

#[test]
fn a_name_that_is_taken_is_named() {
    let mut store = options().open(store()).unwrap().0;
    let mut transaction = store.begin().unwrap();
    transaction.put("b", b"").unwrap();
    let error = transaction.rename("b", "a").unwrap_err();
    assert!(error.to_string().starts_with("\"a\" exists already; "), "{error}");
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::AlreadyExists);
}

/// Clippy reports functions whose error has 128 bytes or more, also in crates of users.
#[test]
fn errors_are_small() {
    assert!(size_of::<Error<Infallible>>() < 128);
    assert!(size_of::<OpenError<[u8; 1000], Error<Infallible>>>() < 128);
    #[cfg(feature = "dax")]
    assert!(size_of::<OpenError<DaxFile, Error<DaxError>>>() < 128);
}

#[test]
fn the_source_of_an_error_is_that_of_the_medium() {
    let error = Error::from(ErrorKind::Medium(Broken));
    assert!(error.source().unwrap().is::<Broken>());
    assert!(Error::<Broken>::from(ErrorKind::Failed).source().is_none());
}

/// A `main` that returns an error prints it by `{:?}`.
#[test]
fn a_returned_error_prints_its_message() {
    let error = Error::from(ErrorKind::<Infallible>::Exists);
    assert_eq!(format!("{error:?}"), error.to_string());
    assert!(format!("{error:#?}").contains("Exists"));
}
