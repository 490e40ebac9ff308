//! Several journals, recorders and stores on one medium in one process: only the first one writes to it.

use crate::claims::{LOG, reason};
use crate::faulty::Faulty;
use cachemaint::dax::{self, DaxFile};
use cachemaint::medium::{Medium, Readable as _};
use cachemaint_journal::{ErrorKind, FormatError, Journal, Opened, Options, Reader};
use cachemaint_sim::{Model, SimMedium, Simulation};
use cachemaint_test_support::counting::Broken;
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

type Failed = cachemaint_journal::Error<Broken>;

/// Segments hold one record of 48 bytes.
fn segments(opening: u64) -> Options {
    Options::with_entropy([7, opening]).segment(128)
}

fn bytes(medium: &SimMedium) -> Vec<u8> {
    let mut bytes = vec![0; medium.len() as usize];
    medium.read(0, &mut bytes).unwrap();
    bytes
}

fn is_another(done: &Result<(), Failed>) -> bool {
    matches!(reason(done), Some(ErrorKind::Format(FormatError::AnotherWriter)))
}

/// Opens a journal twice, without a lock. What the first writer then does must fail and change nothing.
fn assert_noticed(
    second: fn(&Faulty<'_>),
    does: impl Fn(Journal<&Faulty<'_>>) -> Result<(), Failed>,
) {
    let medium = Simulation::new(Model::CACHES_KEPT, LOG + 8 * 128).medium();
    let [one, other] = [(); 2].map(|()| Faulty::new(&medium));
    drop(segments(0).create_new(&one).unwrap());
    let (first, _) = segments(1).open(&one).unwrap();
    first.append(b"of the first").unwrap();
    second(&other);
    let left = bytes(&medium);
    let done = does(first);
    assert!(is_another(&done), "not noticed: {done:?}");
    assert!(bytes(&medium) == left, "it was written to");
}

fn opens(medium: &Faulty<'_>) {
    segments(2).open(medium).unwrap().0.append(b"of the second").unwrap();
}

/// The journal is erased as the text of `Exists` advises, and created again.
fn creates(medium: &Faulty<'_>) {
    (0..4).for_each(|slot| medium.write(4096 * slot, &[0; 8]));
    segments(3).create_new(medium).unwrap().0.append(b"of the second").unwrap();
}

fn closes(first: Journal<&Faulty<'_>>) -> Result<(), Failed> {
    first.close()
}

#[test]
fn a_writer_notices_another_one_when_it_begins_a_segment_and_has_then_failed() {
    assert_noticed(opens, |first| {
        let failed = first.append(&[1; 48]).map(drop);
        let later = [first.append(b"").map(drop), first.trim(first.head())];
        assert!(later.iter().all(is_another), "{later:?}");
        failed
    });
}

#[test]
fn a_writer_notices_another_one_when_it_trims_or_closes() {
    for second in [opens, creates] {
        assert_noticed(second, |first| first.trim(first.end()));
        assert_noticed(second, closes);
        assert_noticed(second, |first| {
            first.trim(first.head()).unwrap_err();
            first.append(b"").map(drop)
        });
    }
}

/// Neither opening saw the other one's root.
#[test]
fn of_two_writers_that_open_a_journal_at_once_one_notices_it() {
    let medium = Simulation::new(Model::CACHES_KEPT, LOG + 8 * 128).medium();
    let [one, other] = [(); 2].map(|()| Faulty::new(&medium));
    drop(segments(0).create_new(&one).unwrap());
    let roots = bytes(&medium)[..16384].to_vec();
    let (first, _) = segments(1).open(&one).unwrap();
    medium.write(0, &roots);
    opens(&other);
    let done = first.trim(first.head());
    assert!(is_another(&done), "not noticed: {done:?}");
}

/// Both copies of the newest root are damaged, and an earlier epoch is found.
#[test]
fn damage_to_the_roots_is_not_taken_for_another_writer() {
    let medium = Simulation::new(Model::CACHES_KEPT, LOG + 8 * 128).medium();
    drop(segments(0).create_new(&medium).unwrap());
    let (journal, _) = segments(1).open(&medium).unwrap();
    for slots in [&[0, 8192][..], &[0, 4096, 8192, 12288]] {
        for slot in slots {
            medium.write(slot + 40, &[0xff; 8]);
        }
        journal.append(&[1; 48]).unwrap();
        journal.trim(journal.head()).unwrap();
    }
    journal.close().unwrap();
}
