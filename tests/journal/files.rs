//! Journals in files.

use cachemaint::dax::{self, DaxFile};
use cachemaint::journal::{Group, Journal, Reader};
use std::path::Path;

fn create(path: &Path) -> DaxFile {
    dax::Options::new().allow_page_granularity().create(path, 1 << 20).unwrap()
}

fn open(path: &Path) -> DaxFile {
    dax::Options::new().allow_page_granularity().open(path).unwrap()
}

#[test]
fn threads_append_to_a_file_and_all_of_it_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal");
    let journal = Journal::create(create(&path)).unwrap();
    let (threads, each) = if cfg!(miri) { (2, 3_u64) } else { (4, 100) };
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let journal = &journal;
            scope.spawn(move || {
                for number in 0..each {
                    let record = format!("{thread} {number} {}", "x".repeat(number as usize % 50));
                    if number % 10 == 7 {
                        let mut group = Group::new();
                        group.push(record.as_bytes());
                        journal.append_group(&mut group).unwrap();
                    } else {
                        journal.append(record.as_bytes()).unwrap();
                    }
                }
            });
        }
    });
    drop(journal);

    let (journal, recovered) = Journal::open(open(&path)).unwrap();
    assert_eq!(recovered.records, threads * each);
    let mut next = vec![0; usize::try_from(threads).unwrap()];
    for record in journal.reader().unwrap().records() {
        let payload = String::from_utf8(record.unwrap().payload).unwrap();
        let mut words = payload.split(' ').map(str::parse::<u64>);
        let (thread, number) = (words.next().unwrap().unwrap(), words.next().unwrap().unwrap());
        // Each thread's records in the order in which it was told that they are there.
        let expected = &mut next[usize::try_from(thread).unwrap()];
        assert_eq!(number, *expected, "thread {thread}");
        *expected += 1;
    }
    assert!(next.iter().all(|count| *count == each));
}

#[test]
#[cfg_attr(
    not(target_pointer_width = "64"),
    ignore = "a 32-bit CPU may need the right to write to load 8 bytes at once: there are no views"
)]
fn somebody_else_reads_a_file_that_is_written_to() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal");
    let journal = Journal::create(create(&path)).unwrap();
    journal.append(b"first").unwrap();
    let view = dax::Options::new().allow_page_granularity().view(&path).unwrap();
    let reader = Reader::open(&view).unwrap();
    let mut records = reader.records();
    let mut payload = Vec::new();
    records.read_next(&mut payload).unwrap().unwrap();
    assert_eq!(payload, b"first");
    journal.append(b"second").unwrap();
    records.read_next(&mut payload).unwrap().unwrap();
    assert_eq!(payload, b"second");
    // One process writes.
    assert!(dax::Options::new().allow_page_granularity().open(&path).is_err());
}
