//! Uses of a journal, and refusals that users meet.

use crate::claims::reason;
use crate::faulty::{Faulty, append_behind};
use crate::life::{BYTES, LOG, options, payload, records};
use cachemaint::medium::Medium;
use cachemaint_journal::{
    Error, ErrorKind, FormatError, Group, Journal, Opened, Options, Position, Reader, Salvaged,
};
use cachemaint_sim::{Model, SimMedium, Simulation};
use cachemaint_test_support::counting::{Broken, Counting};
use cachemaint_test_support::erased::erased;
use core::sync::atomic::Ordering::Relaxed;
use core::time::Duration;

pub(crate) fn medium() -> SimMedium {
    Simulation::new(Model::X86, BYTES).medium()
}

pub(crate) fn payloads<M: Medium>(journal: &Journal<M>) -> Vec<Vec<u8>> {
    records(journal).unwrap().into_iter().map(|record| record.payload).collect()
}

#[test]
fn an_append_stores_its_record_alone_and_fences_once() {
    let counting = Counting::new(medium());
    let (journal, _) = options().create_new(erased(&counting)).unwrap();
    counting.taken();
    // A mark of 64 bytes, a header of 16 bytes, and the payload. Each append stores the confirmation word, too.
    journal.append(&[7; 20]).unwrap();
    assert_eq!(counting.taken(), [8 + 64 + 40, 2, 1]);
    // 64 + 40 + 40 exceed a segment: a mark of 64 bytes and the record.
    journal.append(&[7; 24]).unwrap();
    assert_eq!(counting.taken(), [8 + 64 + 40, 2, 1]);
    // It does not fit again.
    journal.append(b"123456789").unwrap();
    assert_eq!(counting.taken(), [8 + 64 + 32, 2, 1]);
    // A mark and two records of one byte.
    let mut group = Group::new();
    (0..2).for_each(|_| group.push(b"a"));
    journal.append_group(&mut group).unwrap();
    assert_eq!(counting.taken(), [8 + 64 + 48, 2, 1]);
}

#[test]
fn each_line_of_a_record_is_written_back_once() {
    let counting = Counting::new(Simulation::new(Model::X86, 32 << 10).medium());
    let (journal, _) = options().segment(1 << 10).create_new(erased(&counting)).unwrap();
    counting.taken();
    // After the mark of 64 bytes, 16 + 256 bytes begin at a line and end in the fifth.
    journal.append(&[7; 256]).unwrap();
    assert_eq!(counting.taken(), [8 + 64 + 272, 1 + 5, 1]);
    // These 16 + 48 bytes begin 16 bytes into that line, and end 16 bytes into the next one.
    journal.append(&[7; 48]).unwrap();
    assert_eq!(counting.taken(), [8 + 64, 2, 1]);
}

#[test]
fn four_fences_open_a_journal() {
    let counting = Counting::new(medium());
    drop(options().create_new(erased(&counting)).unwrap());
    counting.taken();
    drop(options().open(erased(&counting)).unwrap());
    // Both copies of the root found and of the next one. No record is written back again.
    assert_eq!(counting.taken()[2], 3);
    options().open(erased(&counting)).unwrap().0.append(b"a record").unwrap();
    counting.taken();
    drop(options().open(erased(&counting)).unwrap());
    assert_eq!(counting.taken()[2], 4);
}

#[test]
fn records_of_every_size_come_back_whole() {
    let medium = Simulation::new(Model::X86, 1 << 20).medium();
    let (journal, _) = options().segment(4096).create_new(&medium).unwrap();
    let record = |len: usize| (0..len).map(|byte| byte as u8 ^ len as u8).collect::<Vec<u8>>();
    // Lengths around the one from which the payload is not copied, and around a segment.
    let sizes: Vec<usize> = (0..40).chain(230..260).chain(3990..4017).collect();
    for len in &sizes {
        journal.append(&record(*len)).unwrap();
    }
    let expected: Vec<_> = sizes.into_iter().map(record).collect();
    assert_eq!(payloads(&journal), expected);
}

#[test]
fn append_to_a_full_journal_is_refused_until_a_trim() {
    let medium = medium();
    let (journal, _) = options().create_new(&medium).unwrap();
    let mut positions = Vec::new();
    let error = loop {
        match journal.append(&payload(positions.len() as u64)) {
            Ok(position) => positions.push(position),
            Err(error) => break error,
        }
    };
    assert!(
        matches!(error.kind(), ErrorKind::Full { needed, free, .. } if needed > free),
        "{error}"
    );
    assert_eq!(records(&journal).unwrap().len(), positions.len());

    // The full journal can be opened repeatedly, and has lost nothing.
    drop(journal);
    for _ in 0..3 {
        let (_, Opened { recovered, .. }) = options().open(&medium).unwrap();
        assert_eq!(recovered.records, positions.len() as u64);
    }
    let (journal, _) = options().open(&medium).unwrap();
    assert!(matches!(reason(&journal.append(&[0; 40])), Some(ErrorKind::Full { .. })));
    journal.trim(positions[3]).unwrap();
    assert_eq!(journal.head(), positions[3]);
    let last = journal.append(&payload(15)).unwrap();
    assert!(last > *positions.last().unwrap());
    let left = records(&journal).unwrap();
    assert_eq!(left.first().unwrap().position, positions[3]);
    assert_eq!(left.last().unwrap().payload, payload(15));
}

#[test]
fn a_position_within_a_record_is_none_to_begin_or_trim_at() {
    let (journal, _) = options().create_new(medium()).unwrap();
    let first = journal.append(b"first").unwrap();
    let second = journal.append(b"second").unwrap();
    let wrong = Position(second.0 + 8);
    for position in [wrong, Position(journal.end().0 + 8)] {
        assert!(matches!(reason(&journal.trim(position)), Some(ErrorKind::NotABoundary { .. })));
        let records = journal.records_from(position);
        assert!(matches!(reason(&records), Some(ErrorKind::NotABoundary { .. })));
        let reader = Reader::open(journal.medium()).unwrap();
        let records = reader.records_from(position);
        assert!(matches!(reason(&records), Some(ErrorKind::NotABoundary { .. })));
    }
    let rest: Vec<_> =
        journal.records_from(second).unwrap().map(|record| record.unwrap().payload).collect();
    assert_eq!(rest, [b"second"]);
    journal.trim(journal.end()).unwrap();
    assert!(records(&journal).unwrap().is_empty());
    // Another thread may have trimmed further.
    let head = journal.head();
    journal.trim(first).unwrap();
    assert_eq!(journal.head(), head);
}

#[test]
fn a_too_long_record_is_refused() {
    let (journal, _) = options().create_new(medium()).unwrap();
    // 128 bytes minus a mark of 64 and a header of 16.
    assert_eq!(journal.largest(), 48);
    assert!(matches!(
        reason(&journal.append(&[0; 49])),
        Some(ErrorKind::TooLong { len: 49, limit: 48, .. })
    ));
    let mut group = Group::new();
    (0..4).for_each(|_| group.push(b"8 bytes."));
    assert!(matches!(reason(&journal.append_group(&mut group)), Some(ErrorKind::TooLong { .. })));
    journal.append(b"next").unwrap();
    assert_eq!(payloads(&journal), [b"next"]);
    // Two records of 24 bytes and one of 16 fill a segment after its mark of 64 bytes.
    let mut group = Group::new();
    for payload in [&b"8 bytes."[..], b"8 bytes.", b""] {
        group.push(payload);
    }
    let range = journal.append_group(&mut group).unwrap();
    assert_eq!((range.start.0 % 128, range.end.0 % 128), (64, 0));
    assert_eq!(payloads(&journal).len(), 4);
}

/// By hand: a sixteenth of the log, rounded down to a power of two, from 128 bytes to 64 KiB. A mark and a record of whole
/// pages take 8 KiB. The root states the segment.
#[test]
fn default_sizes_follow_from_the_size_of_the_medium() {
    const KIB: u64 = 1 << 10;
    for (log, is_safe, segment) in [
        (3 * 128, true, 128),
        (16 * 256 - 8, true, 128),
        (16 * 256, true, 256),
        (16 * 64 * KIB - 8, true, 32 * KIB),
        (8192 * KIB, true, 64 * KIB),
        (24 * KIB, false, 8 * KIB),
    ] {
        let medium = Simulation::new(Model::CACHES_KEPT, LOG + log).medium();
        let options = Options::with_entropy([1, 2]).powersafe_overwrite(is_safe);
        drop(options.create_new(&medium).unwrap());
        assert_eq!(medium.load(4096 + 56, Relaxed) & 0xffff_ffff, segment, "{log}");
    }
}

/// Segments of 4 MiB and records of whole pages. The longest payload is a segment less a page for the mark and a header. An
/// unfinished record and one of the longest fill the window of two segments.
#[test]
fn the_largest_sizes_are_possible() {
    const SEGMENT: u64 = 4 << 20;
    let options =
        |opening| Options::with_entropy([1, opening]).segment(SEGMENT).powersafe_overwrite(false);
    let medium = Simulation::new(Model::CACHES_KEPT, LOG + 6 * SEGMENT).medium();
    let faulty = Faulty::new(&medium);
    let (journal, _) = options(0).create_new(&faulty).unwrap();
    let longest = vec![7; SEGMENT as usize - 4096 - 16];
    assert_eq!(journal.largest(), longest.len() as u64);
    append_behind(&journal, 8, &[&longest[..]]);
    let (journal, Opened { recovered, .. }) = options(1).open(&medium).unwrap();
    assert_eq!((recovered.records, recovered.torn, recovered.after_gap), (0, true, 1));

    for _ in 0..5 {
        journal.append(&longest).unwrap();
    }
    drop(journal);
    let found = Reader::open(&medium).unwrap().verify().unwrap();
    assert_eq!((found.records, found.damage), (5, None));
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    let sizes = |options: Options| Error::from(options.create_new(medium()).unwrap_err());
    assert!(matches!(sizes(options().segment(100)).kind(), ErrorKind::Sizes { segment: 100, .. }));
    assert!(matches!(sizes(options().segment(0)).kind(), ErrorKind::Sizes { segment: 0, .. }));
    let pages = sizes(options().segment(4096).powersafe_overwrite(false));
    assert!(matches!(pages.kind(), ErrorKind::Sizes { segment: 4096, .. }));
    assert!(matches!(sizes(options().segment(1 << 63)).kind(), ErrorKind::Sizes { .. }));
    let needed = LOG + 3 * 4096;
    let small = sizes(options().segment(4096));
    assert!(
        matches!(small.kind(), ErrorKind::Format(FormatError::TooSmall { size: BYTES, needed: n, .. }) if *n == needed),
        "{small}"
    );
}

#[test]
fn a_wait_ends_with_its_time_or_with_the_journal() {
    let counting = Counting::new(medium());
    let (journal, _) = options().create_new(erased(&counting)).unwrap();
    let at_once = Duration::ZERO;
    let start = journal.end();
    assert_eq!(journal.wait_for_records(start, at_once).unwrap(), start);
    let too_long = journal.append_within(&[7; 49], Duration::MAX);
    assert!(matches!(reason(&too_long), Some(ErrorKind::TooLong { .. })));
    journal.append(&[7; 48]).unwrap();
    assert_eq!(journal.wait_for_records(start, Duration::MAX).unwrap(), journal.end());
    // Each record takes a segment.
    while journal.append_within(&[7; 48], at_once).is_ok() {}
    let full = journal.append_within(&[7; 48], at_once);
    assert!(matches!(reason(&full), Some(ErrorKind::Full { .. })));
    journal.trim(journal.end()).unwrap();
    journal.append_within(&[7; 48], Duration::MAX).unwrap();

    let end = journal.end();
    counting.left.store(0, Relaxed);
    assert!(journal.append(b"lost").is_err());
    assert!(matches!(
        reason(&journal.wait_for_records(end, Duration::MAX)),
        Some(ErrorKind::Format(FormatError::Failed))
    ));
    assert_eq!(journal.wait_for_records(start, Duration::MAX).unwrap(), end);
}

/// There will be no further records.
#[test]
fn a_wait_for_records_ends_when_a_trim_has_failed() {
    let counting = Counting::new(medium());
    let (journal, _) = options().create_new(erased(&counting)).unwrap();
    journal.append(b"a").unwrap();
    counting.left.store(0, Relaxed);
    assert!(journal.trim(journal.end()).is_err());
    let waited = journal.wait_for_records(journal.end(), Duration::MAX);
    assert!(matches!(reason(&waited), Some(ErrorKind::Format(FormatError::Failed))));
}

#[test]
fn after_a_failed_write_back_nothing_is_acknowledged() {
    let counting = Counting::new(medium());
    let (journal, _) = options().create_new(erased(&counting)).unwrap();
    journal.append(b"before").unwrap();
    counting.left.store(0, Relaxed);
    assert!(matches!(
        reason(&journal.append(b"lost!")),
        Some(ErrorKind::Format(FormatError::Medium(Broken)))
    ));
    counting.left.store(u64::MAX, Relaxed);
    assert!(matches!(
        reason(&journal.append(b"after")),
        Some(ErrorKind::Format(FormatError::Failed))
    ));
    drop(journal);
    let (journal, _) = options().open(erased(&counting)).unwrap();
    assert_eq!(payloads(&journal)[0], b"before");
    journal.append(b"after").unwrap();
}

/// A drop stores a root once, and only if there is something to note.
#[test]
fn a_drop_closes_the_journal_once_and_not_after_a_failure() {
    let counting = Counting::new(medium());
    let (journal, _) = options().create_new(erased(&counting)).unwrap();
    counting.taken();
    drop(journal);
    assert_eq!(counting.taken()[2], 0, "no record");
    let appended = || {
        let (journal, _) = options().open(erased(&counting)).unwrap();
        journal.append(b"record").unwrap();
        counting.taken();
        journal
    };
    drop(appended());
    assert_eq!(counting.taken()[2], 1);
    appended().close().unwrap();
    assert_eq!(counting.taken()[2], 1);
    let journal = appended();
    counting.left.store(0, Relaxed);
    journal.append(b"lost").unwrap_err();
    counting.left.store(u64::MAX, Relaxed);
    counting.taken();
    drop(journal);
    assert_eq!(counting.taken()[2], 0, "after a failure");
}

#[test]
fn damage_is_named_and_what_is_behind_it_salvaged() {
    let medium = medium();
    let (journal, _) = options().create_new(&medium).unwrap();
    let positions: Vec<_> =
        (0..8).map(|number| journal.append(&payload(number)).unwrap()).collect();
    drop(journal);
    let damaged = LOG + positions[2].0;
    medium.store(damaged, u64::MAX, Relaxed);
    let error = options().open(&medium).unwrap_err();
    let text = error.to_string();
    assert!(
        matches!(error.error.kind(), ErrorKind::Damaged(damage) if damage.at <= positions[2]),
        "{text}"
    );
    assert!(text.contains(&format!("offset {damaged}")), "{text}");

    let reader = Reader::open(&medium).unwrap();
    let found = reader.verify().unwrap();
    assert_eq!(found.records, 2);
    assert!(found.damage.is_some());
    let read: Vec<_> = reader.records().unwrap().collect();
    assert_eq!(read.len(), 3);
    assert!(matches!(reason(&read[2]), Some(ErrorKind::Damaged(_))));
    let salvaged: Vec<_> = reader.salvage().unwrap().map(Result::unwrap).collect();
    let records = salvaged.iter().filter(|item| matches!(item, Salvaged::Record(_))).count();
    assert_eq!((records, salvaged.len()), (7, 8));
}

/// A `main` that returns an error prints it with `{:?}`.
#[test]
fn a_returned_error_prints_its_message() {
    let error = options().open(medium()).map(drop).unwrap_err();
    assert_eq!(format!("{error:?}"), error.to_string());
    assert!(format!("{error:#?}").contains("Foreign"));
}
