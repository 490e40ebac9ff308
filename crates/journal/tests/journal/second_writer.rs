//! Several journals, recorders and stores on one medium in one process: only the first one writes to it.

use cachemaint::dax::{self, DaxFile};
use cachemaint::medium::Medium;
use cachemaint_journal::{ErrorKind, FormatError, Journal, Opened, Options, Reader};
use std::io;
use std::path::Path;
use std::sync::Arc;

fn file(directory: &Path) -> DaxFile {
    let options = dax::Options::new().allow_page_granularity();
    options.create_new(directory.join("journal"), 1 << 20).unwrap()
}

/// Checks that every way to open a journal on the medium is refused.
fn assert_is_refused<M: Medium + Clone>(medium: &M) {
    let mut errors = vec![
        Options::new().open(medium.clone()).map(drop).unwrap_err().error,
        Options::new().open_or_create(medium.clone()).map(drop).unwrap_err().error,
        Options::new().create_new(medium.clone()).map(drop).unwrap_err().error,
    ];
    for error in &errors {
        assert!(matches!(error.kind(), ErrorKind::Format(FormatError::SecondWriter)), "{error}");
    }
    let error = errors.remove(0);
    assert_eq!(
        error.to_string(),
        "another journal, recorder or store in this process is writing to the medium; drop it first"
    );
}

#[test]
fn a_second_journal_in_a_file_loses_no_acknowledged_record_of_the_first() {
    let directory = tempfile::tempdir().unwrap();
    let file = file(directory.path());
    let (first, _) = Journal::create_new(&file).unwrap();
    first.append(b"of the first").unwrap();
    assert_is_refused(&&file);
    first.append(b"and another").unwrap();
    drop(first);

    let (second, Opened { recovered, .. }) = Journal::open(&file).unwrap();
    assert_eq!(recovered.records, 2);
    drop(second);
    let file = Arc::new(file);
    let (_first, _) = Journal::open(Arc::clone(&file)).unwrap();
    assert_is_refused(&file);
    let found: Vec<_> =
        Reader::open(&file).unwrap().records().unwrap().map(|record| record.unwrap()).collect();
    assert_eq!(found.len(), 2, "readers are permitted");
}

#[test]
fn an_opening_that_fails_leaves_the_file_to_others() {
    let directory = tempfile::tempdir().unwrap();
    let file = file(directory.path());
    let failed = Journal::open(&file).unwrap_err();
    assert!(
        matches!(failed.error.kind(), ErrorKind::Format(FormatError::Foreign { .. })),
        "{}",
        failed.error
    );
    Journal::create_new(&file).unwrap();
    let io = io::Error::from(Journal::create_new(&file).unwrap_err().error);
    assert_eq!(io.kind(), io::ErrorKind::AlreadyExists);
}

#[test]
fn a_region_has_one_journal_beside_its_store() {
    use cachemaint_store::{self as store, Store};

    let directory = tempfile::tempdir().unwrap();
    let file = Arc::new(file(directory.path()));
    let (mut store, _) = Store::create_new(Arc::clone(&file)).unwrap();
    let region = store.region_or_create("journal", 256 << 10).unwrap();
    let (journal, _) = Journal::create_new(region.clone()).unwrap();
    assert_is_refused(&region);
    assert_is_refused(&store.region("journal").unwrap());
    // Another region is another medium, and the store can still be used.
    let other = store.region_or_create("other", 256 << 10).unwrap();
    Journal::create_new(other).unwrap().0.append(b"of the other").unwrap();
    journal.append(b"of the first").unwrap();

    // A store that is opened again does not know the regions of the first one.
    drop((store, journal));
    assert_is_refused(&file);
    let failed = Store::open(Arc::clone(&file)).unwrap_err();
    assert!(
        matches!(failed.error.kind(), store::ErrorKind::Format(FormatError::SecondWriter)),
        "{}",
        failed.error
    );
    drop(region);
    let (mut store, _) = Store::open(Arc::clone(&file)).unwrap();
    let (_journal, Opened { recovered, .. }) =
        Journal::open(store.region("journal").unwrap()).unwrap();
    assert_eq!(recovered.records, 1);
}

#[test]
fn a_file_with_a_journal_takes_no_recorder() {
    use cachemaint_recorder::{self as recorder, Recorder};

    let directory = tempfile::tempdir().unwrap();
    let file = file(directory.path());
    let (journal, _) = Journal::create_new(&file).unwrap();
    for refused in [Recorder::create_new(&file), Recorder::open(&file)] {
        let error = refused.unwrap_err().error;
        assert!(
            matches!(error.kind(), recorder::ErrorKind::Format(FormatError::SecondWriter)),
            "{error}"
        );
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::ResourceBusy);
    }
    drop(journal);
    let error = Recorder::create_new(&file).unwrap_err().error;
    let is_foreign =
        matches!(error.kind(), recorder::ErrorKind::Format(FormatError::Foreign { .. }));
    assert!(is_foreign, "{error}");
}
