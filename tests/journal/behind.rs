//! Whole records after a torn end: an opening discards or refuses them.

use crate::claims::{reason, records};
use crate::counting::Counting;
use crate::erased::erased;
use cachemaint::journal::{ErrorKind, Group, Journal, Options, Position, Reader, Recovered};
use cachemaint::medium::{Medium as _, Readable};
use cachemaint::sim::{Model, SimMedium, Simulation};
use core::sync::atomic::Ordering;

const SEGMENT: u64 = 1024;
/// The end of two records behind a mark of 64 bytes: each has a header of 16 bytes and a payload of 24.
const END: Position = Position(64 + 2 * 40);

fn options(opening: u64) -> Options<'static> {
    Options::with_entropy([7, opening]).segment(SEGMENT).window(2 * SEGMENT)
}

/// A group of ten acknowledged records, the third of which is damaged, in a journal that was not closed.
fn damaged() -> Counting<SimMedium> {
    let medium = Simulation::new(Model::CACHES_KEPT, 8192 + 8 * SEGMENT).medium();
    let journal = options(0).create_new(&medium).unwrap();
    let mut group = Group::new();
    (0..10).for_each(|number| group.push(&[number; 24]));
    journal.append_group(&mut group).unwrap();
    drop(journal);
    medium.write(8192 + END.0 + 16, &[0xff; 8]);
    Counting::new(medium)
}

#[test]
fn an_opening_that_would_discard_whole_records_is_refused_if_asked_for() {
    let medium = damaged();
    let refused = [
        options(1).refuse_discard().open(erased(&medium)).map(drop),
        options(1).refuse_discard().open_or_create(erased(&medium)).map(drop),
    ];
    for refused in refused {
        let Some(ErrorKind::WouldDiscard { end, behind, .. }) = reason(&refused) else {
            panic!("{refused:?}")
        };
        assert_eq!((*end, *behind), (END, 7));
        let text = refused.unwrap_err().to_string();
        assert!(text.contains("7 whole records after the torn end at position 144"), "{text}");
    }
    let [stored, ..] = medium.taken();
    assert_eq!(stored, 0);
    // A repair keeps all of them, with this option too.
    let (journal, repaired) = options(2).refuse_discard().repair(erased(&medium)).unwrap();
    assert_eq!((repaired.records, records(&journal).unwrap().len()), (9, 9));
    drop(journal);
    options(3).refuse_discard().open(erased(&medium)).unwrap();
}

#[test]
fn an_opening_discards_whole_records_after_a_torn_end_by_default() {
    let medium = damaged();
    let (journal, recovered) = options(1).open(erased(&medium)).unwrap();
    assert_eq!((recovered.end, recovered.records, recovered.behind), (END, 2, 7));
    drop(journal);
    let (_, recovered) = options(2).refuse_discard().open(erased(&medium)).unwrap();
    assert_eq!((recovered.records, recovered.behind), (2, 0));
}

/// The last record is damaged, and nothing is behind it. The closing has noted its end.
#[test]
fn a_preview_of_a_repair_reports_a_damaged_last_record() {
    let medium = Simulation::new(Model::CACHES_KEPT, 8192 + 8 * SEGMENT).medium();
    let journal = options(0).create_new(&medium).unwrap();
    journal.append(b"first").unwrap();
    let second = journal.append(b"second").unwrap();
    journal.close().unwrap();
    assert!(options(1).preview_repair(&medium).unwrap().was_whole);
    medium.write(8192 + second.0 + 16, &[0xff; 8]);
    let counting = Counting::new(medium);
    let preview = options(1).preview_repair(&erased(&counting)).unwrap();
    assert_eq!((preview.records, preview.end, preview.was_whole), (1, second, false));
    // A header of 16 bytes, six bytes, and two up to the alignment.
    assert_eq!(preview.lost, [second..Position(second.0 + 24)]);
    assert_eq!(counting.taken(), [0; 3]);
    let (_, repaired) = options(1).repair(erased(&counting)).unwrap();
    assert_eq!(repaired, preview);
}

/// The last record is damaged, and nothing is behind it. A trim to the head discards nothing, and has noted the end.
#[test]
fn damage_to_the_last_record_is_reported_after_a_trim_to_the_head() {
    let damaged = |is_trimmed: bool| {
        let medium = Simulation::new(Model::CACHES_KEPT, 8192 + 8 * SEGMENT).medium();
        let journal = options(0).create_new(&medium).unwrap();
        journal.append(b"first").unwrap();
        let second = journal.append(b"second").unwrap();
        if is_trimmed {
            journal.trim(journal.head()).unwrap();
        }
        drop(journal);
        medium.write(8192 + second.0 + 16, &[0xff; 8]);
        (medium, second)
    };
    let (medium, second) = damaged(true);
    let opened = options(1).open(medium);
    let Some(ErrorKind::Damaged(damage)) = reason(&opened) else { panic!("{opened:?}") };
    assert_eq!(damage.at, second);
    // Without the trim the end looks torn.
    let (_, recovered) = options(1).open(damaged(false).0).unwrap();
    assert_eq!((recovered.records, recovered.torn), (1, true));
}

/// A trimmed journal that was never opened again, and the superblock of the trim, at offset 0.
fn trimmed() -> SimMedium {
    let medium = Simulation::new(Model::CACHES_KEPT, 8192 + 8 * SEGMENT).medium();
    let journal = options(0).create_new(&medium).unwrap();
    assert!(!verified(&medium).superblock_lost, "a creation writes one superblock");
    journal.append(b"trimmed").unwrap();
    let kept = journal.append(b"kept").unwrap();
    journal.trim(kept).unwrap();
    drop(journal);
    medium
}

fn verified(medium: &SimMedium) -> Recovered {
    Reader::open(medium).unwrap().verify(&mut |_| ()).unwrap()
}

/// A trim and a closing are noted in one superblock, and damage to it brings back what they had noted before.
#[test]
fn an_opening_reports_that_a_trim_may_be_undone() {
    let medium = trimmed();
    let whole = verified(&medium);
    assert_eq!((whole.records, whole.superblock_lost), (1, false));
    // The superblock of the trim is the second one, and at offset 0.
    medium.write(64, &[0xff]);
    let undone = verified(&medium);
    assert_eq!((undone.records, undone.damage, undone.superblock_lost), (2, None, true));
    let preview = options(1).preview_repair(&medium).unwrap();
    assert_eq!((preview.was_whole, preview.superblock_lost, preview.records), (false, true, 2));
    let (journal, recovered) = options(1).open(&medium).unwrap();
    assert!(recovered.superblock_lost);
    drop(journal);
    assert!(!verified(&medium).superblock_lost, "the opening has written it anew");
}

fn is_superblock_lost(reader: &Reader<&SimMedium>) -> bool {
    reader.verify(&mut |_| ()).unwrap().superblock_lost
}

/// The place of the second superblock has zeros before it is stored.
#[test]
fn a_superblock_without_its_magic_is_lost() {
    let medium = trimmed();
    medium.write(0, &[0; 8]);
    assert!(is_superblock_lost(&Reader::open(&medium).unwrap()));
    medium.write(0, &[0; 128]);
    assert!(!is_superblock_lost(&Reader::open(&medium).unwrap()), "as a creation leaves it");
}

/// The next superblock would be stored over it.
#[test]
fn a_superblock_in_the_place_of_the_other_one_is_lost() {
    let medium = trimmed();
    let mut older = [0; 128];
    medium.read(4096, &mut older).unwrap();
    medium.write(0, &older);
    let reader = Reader::open(&medium).unwrap();
    assert!(is_superblock_lost(&reader));
    drop(options(1).open(&medium).unwrap());
    assert!(!is_superblock_lost(&reader));
}

/// The opening counts on from the older superblock, to the generation that the reader has.
#[test]
fn a_reader_from_before_the_damage_follows_the_next_opening() {
    let medium = trimmed();
    let reader = Reader::open(&medium).unwrap();
    medium.write(72, &[0xff]);
    assert!(is_superblock_lost(&reader));
    let (journal, _) = options(1).open(&medium).unwrap();
    journal.append(b"more").unwrap();
    let found = reader.verify(&mut |_| ()).unwrap();
    assert_eq!((found.records, found.damage, found.superblock_lost), (3, None, false));
}

/// The older superblock does not have this opening: a closing that counts on from it would undo the opening.
#[test]
fn an_open_journal_does_not_count_on_from_an_older_superblock() {
    let medium = trimmed();
    let (journal, _) = options(1).open(&medium).unwrap();
    journal.append(b"more").unwrap();
    // The third superblock is at the second place.
    medium.write(4096 + 72, &[0xff]);
    let trimmed = journal.trim(journal.end());
    assert!(matches!(trimmed.unwrap_err().kind(), ErrorKind::Superblocks));
    assert!(matches!(journal.close().unwrap_err().kind(), ErrorKind::Superblocks));
    let (journal, repaired) = options(2).repair(&medium).unwrap();
    assert!(repaired.rebuilt);
    assert_eq!(records(&journal).unwrap().len(), 2);
}

/// The end of the space beside a head in the first of eight segments.
const LIMIT: u64 = 8 * SEGMENT;

/// Appends records of 40 bytes up to this position. 24 of them fill a segment behind its mark of 64 bytes.
fn fill(journal: &Journal<&SimMedium>, end: u64) {
    while journal.end() < Position(end) {
        journal.append(&[7; 24]).unwrap();
    }
    assert_eq!(journal.end(), Position(end));
}

/// The head is the 21st record, and the last segment has this many records: the journal may not grow beyond 8192.
/// Returns the first record of the second segment too.
fn filled(medium: &SimMedium, last: u64) -> (Journal<&SimMedium>, Position) {
    let journal = options(0).create_new(medium).unwrap();
    fill(&journal, SEGMENT + 64 + 40);
    journal.trim(Position(64 + 20 * 40)).unwrap();
    fill(&journal, LIMIT - SEGMENT + 64 + last * 40);
    (journal, Position(SEGMENT + 64))
}

/// A journal with records before the limit of the older superblock, in its last segment so many, and behind the limit.
/// The last ones take only space before the head of the older superblock. The newer superblock is lost.
fn lapped(last: u64, behind: &[usize]) -> SimMedium {
    let medium = Simulation::new(Model::CACHES_KEPT, 8192 + LIMIT).medium();
    let (journal, next) = filled(&medium, last.min(22));
    journal.trim(next).unwrap();
    fill(&journal, LIMIT - SEGMENT + 64 + last * 40);
    for len in behind {
        journal.append(&vec![8; *len]).unwrap();
    }
    assert!((LIMIT + 64..LIMIT + 64 + 20 * 40).contains(&journal.end().0));
    drop(journal);
    // The third superblock is at the second place.
    medium.write(4096 + 64, &[0xff]);
    medium
}

/// The last segment is full, or ends with padding: a record of 56 bytes does not fit into the last 40.
#[test]
fn records_of_a_lap_that_the_older_superblock_does_not_know_are_evidence_of_damage() {
    for (last, behind) in [(24, &[24; 18][..]), (23, &[40, 24, 24])] {
        let medium = lapped(last, behind);
        let found = verified(&medium);
        assert!(found.damage.is_some() && found.superblock_lost, "{found:?}");
        let opened = options(1).open(&medium).map(drop);
        assert!(matches!(reason(&opened), Some(ErrorKind::Damaged(_))), "{opened:?}");
        let (journal, repaired) = options(2).repair(&medium).unwrap();
        assert!(repaired.rebuilt && repaired.lost.is_empty(), "{repaired:?}");
        // From the first record of the second segment on.
        assert_eq!(records(&journal).unwrap().len() as u64, 6 * 24 + last + behind.len() as u64);
    }
}

/// The mark behind the limit is damaged too. The next epoch would begin there.
#[test]
fn an_older_superblock_without_space_for_the_next_epoch_is_not_opened() {
    let medium = lapped(24, &[24; 18]);
    medium.write(8192 + 16, &[0xff; 8]);
    let opened = options(1).open(&medium).map(drop);
    assert!(matches!(reason(&opened), Some(ErrorKind::Superblocks)), "{opened:?}");
    let (journal, _) = options(2).repair(&medium).unwrap();
    // The epoch of the records behind that mark is the one before it.
    assert_eq!(records(&journal).unwrap().len(), 7 * 24 + 18);
}

/// The newer superblock is lost. A repair that fails at one of its write-backs leaves a superblock that the marks show.
#[test]
fn a_repair_after_one_that_was_cut_off_loses_no_free_space() {
    let mut left = 0;
    loop {
        let medium = trimmed();
        let (journal, _) = options(1).open(&medium).unwrap();
        journal.append(b"last").unwrap();
        let end = journal.end();
        drop(journal);
        // The third superblock is at the second place.
        medium.write(4096 + 64, &[0xff]);
        let failing = Counting::new(medium);
        failing.left.store(left, Ordering::Relaxed);
        if options(2).repair(erased(&failing)).is_ok() {
            break;
        }
        left += 1;
        if let Err(failed) = options(3).open(erased(&failing)) {
            let ErrorKind::Damaged(damage) = failed.error.kind() else { panic!("{failed:?}") };
            assert!(damage.evidence <= end, "{damage:?} after {end}");
        }
        let preview = options(3).preview_repair(&erased(&failing)).unwrap();
        assert_eq!((preview.records, preview.lost.len(), preview.end), (2, 0, end), "{left}");
    }
    assert!(left > 2, "{left}");
}

/// The last record is damaged, its end is noted, and nothing is behind it.
#[test]
fn a_repair_after_one_that_was_cut_off_reports_the_lost_tail() {
    let (mut left, mut reported) = (0, 0);
    loop {
        let medium = Simulation::new(Model::CACHES_KEPT, 8192 + 8 * SEGMENT).medium();
        let journal = options(0).create_new(&medium).unwrap();
        journal.append(b"first").unwrap();
        let second = journal.append(b"second").unwrap();
        let end = journal.end();
        journal.close().unwrap();
        medium.write(8192 + second.0 + 16, &[0xff; 8]);
        let failing = Counting::new(medium);
        failing.left.store(left, Ordering::Relaxed);
        if options(1).repair(erased(&failing)).is_ok() {
            break;
        }
        left += 1;
        let preview = options(2).preview_repair(&erased(&failing)).unwrap();
        assert_eq!((preview.records, preview.end), (1, second), "{left}");
        let opened = options(2).open(erased(&failing)).map(|(journal, _)| journal.end());
        match reason(&opened) {
            Some(ErrorKind::Damaged(damage)) => {
                assert_eq!((damage.at, damage.evidence), (second, end), "{left}");
                assert_eq!(preview.lost, [second..end], "{left}");
                reported += 1;
            }
            // The superblock of the next epoch was stored.
            _ => assert!(opened.is_ok(), "{opened:?}"),
        }
    }
    assert!(reported > 2, "{reported} of {left}");
}

/// The mark at the beginning of the log is durable before the journal is.
#[test]
fn a_new_journal_without_its_first_page_is_damaged() {
    let medium = Simulation::new(Model::CACHES_KEPT, 8192 + LIMIT).medium();
    let journal = options(0).create_new(&medium).unwrap();
    assert!(verified(&medium).damage.is_none());
    fill(&journal, SEGMENT + 64 + 40);
    drop(journal);
    medium.write(8192, &[0; 4096]);
    let opened = options(1).open(&medium).map(drop);
    let Some(ErrorKind::Damaged(damage)) = reason(&opened) else { panic!("{opened:?}") };
    assert_eq!((damage.at, damage.offset, damage.evidence.0), (Position(0), 8192, 64));
}
