//! Journals in files.

use cachemaint::dax::{self, DaxFile, DaxView};
use cachemaint_journal::{
    Error, ErrorKind, FormatError, Group, Journal, Opened, Options, Reader, Record, Records,
    Salvage,
};
use std::path::Path;
use std::time::Duration;

fn create(path: &Path) -> DaxFile {
    dax::Options::new().allow_page_granularity().create_new(path, 1 << 20).unwrap()
}

#[test]
fn each_type_can_be_sent_to_and_shared_by_threads() {
    const fn is_send_sync<T: Send + Sync>() {}
    is_send_sync::<Journal<DaxFile>>();
    is_send_sync::<Group>();
    is_send_sync::<Reader<DaxView>>();
    is_send_sync::<Records<'_, DaxView>>();
    is_send_sync::<Salvage<'_, DaxView>>();
    is_send_sync::<(Record, Opened)>();
    is_send_sync::<Error<dax::Error>>();
}

#[test]
#[cfg_attr(
    not(target_pointer_width = "64"),
    ignore = "a 32-bit CPU may need the right to write to load 8 bytes at once: there are no views"
)]
fn somebody_else_reads_a_file_that_is_written_to() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal");
    let (journal, _) = Journal::create_new(create(&path)).unwrap();
    journal.append(b"first").unwrap();
    let view = dax::Options::new().allow_page_granularity().view(&path).unwrap();
    let reader = Reader::open(&view).unwrap();
    let mut records = reader.records().unwrap();
    let mut payload = Vec::new();
    records.read_next(&mut payload).unwrap().unwrap();
    assert_eq!(payload, b"first");
    journal.append(b"second").unwrap();
    records.read_next(&mut payload).unwrap().unwrap();
    assert_eq!(payload, b"second");
    // One process writes.
    assert!(dax::Options::new().allow_page_granularity().open(&path).is_err());
}

/// The file is truncated. The first append and all later ones return that cause.
#[test]
#[cfg_attr(miri, ignore = "a file is mapped")]
fn after_a_failure_of_the_medium_each_call_returns_that_failure() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal");
    let (journal, _) = Journal::create_new(create(&path)).unwrap();
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(1 << 19).unwrap();
    for appended in [journal.append(b"lost"), journal.append(b"after")] {
        let error = appended.unwrap_err();
        let is_cut = matches!(
            error.kind(),
            ErrorKind::Format(FormatError::Medium(cause))
                if matches!(cause.kind(), dax::ErrorKind::Shorter { .. })
        );
        assert!(is_cut, "{error}");
    }
}

/// Without one of the wake-ups, this test does not end.
#[test]
fn a_consumer_waits_for_records_and_producers_for_space() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal");
    let file = dax::Options::new().allow_page_granularity().create_new(&path, 32 << 10).unwrap();
    let (journal, _) = Options::new().segment(1 << 10).create_new(file).unwrap();
    // Payloads of 40 bytes and more, several times the free space in total.
    let (producers, each) = if cfg!(miri) { (2, 150) } else { (3, 1000_u64) };
    let mut numbers = Vec::new();
    std::thread::scope(|scope| {
        for producer in 0..producers {
            let journal = &journal;
            scope.spawn(move || {
                for number in 0..each {
                    let payload = format!("{:24}", producer * each + number);
                    journal.append_within(payload.as_bytes(), Duration::MAX).unwrap();
                }
            });
        }
        let mut records = journal.records().unwrap();
        while numbers.len() as u64 != producers * each {
            journal.wait_for_records(records.reached(), Duration::MAX).unwrap();
            for record in &mut records {
                let payload = String::from_utf8(record.unwrap().payload).unwrap();
                numbers.push(payload.trim().parse::<u64>().unwrap());
            }
            journal.trim(records.reached()).unwrap();
        }
    });
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..producers * each));
}
