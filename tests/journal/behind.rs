//! Whole records after a torn end: an opening discards or refuses them.

use crate::claims::{reason, records};
use crate::counting::Counting;
use cachemaint::journal::{ErrorKind, Group, Options, Position, Reader, Recovered};
use cachemaint::medium::{Medium as _, Readable as _};
use cachemaint::sim::{Model, SimMedium, Simulation};

const SEGMENT: u64 = 1024;
/// The end of two records behind a mark of 64 bytes: each has a header of 16 bytes and a payload of 24.
const END: Position = Position::new(64 + 2 * 40);

fn options(opening: u64) -> Options<'static> {
    Options::with_entropy([7, opening]).segment(SEGMENT).window(2 * SEGMENT)
}

/// A group of ten acknowledged records, the third of which is damaged, in a journal that was not closed.
fn damaged() -> Counting<SimMedium> {
    let medium = Simulation::new(Model::caches_kept(), 8192 + 8 * SEGMENT).medium();
    let journal = options(0).create_new(&medium).unwrap();
    let mut group = Group::new();
    (0..10).for_each(|number| group.push(&[number; 24]));
    journal.append_group(&mut group).unwrap();
    drop(journal);
    medium.write(8192 + END.get() + 16, &[0xff; 8]);
    Counting::new(medium)
}

#[test]
fn an_opening_that_would_discard_whole_records_is_refused_if_asked_for() {
    let medium = damaged();
    let refused = [
        options(1).refuse_discard().open(&medium).map(drop),
        options(1).refuse_discard().open_or_create(&medium).map(drop),
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
    let (journal, repaired) = options(2).refuse_discard().repair(&medium).unwrap();
    assert_eq!((repaired.records, records(&journal).unwrap().len()), (9, 9));
    drop(journal);
    options(3).refuse_discard().open(&medium).unwrap();
}

#[test]
fn an_opening_discards_whole_records_after_a_torn_end_by_default() {
    let medium = damaged();
    let (journal, recovered) = options(1).open(&medium).unwrap();
    assert_eq!((recovered.end, recovered.records, recovered.behind), (END, 2, 7));
    drop(journal);
    let (_, recovered) = options(2).refuse_discard().open(&medium).unwrap();
    assert_eq!((recovered.records, recovered.behind), (2, 0));
}

/// The last record is damaged, and nothing is behind it. The closing has noted its end.
#[test]
fn a_preview_of_a_repair_reports_a_damaged_last_record() {
    let medium = Simulation::new(Model::caches_kept(), 8192 + 8 * SEGMENT).medium();
    let journal = options(0).create_new(&medium).unwrap();
    journal.append(b"first").unwrap();
    let second = journal.append(b"second").unwrap();
    journal.close().unwrap();
    assert!(options(1).preview_repair(&medium).unwrap().was_whole);
    medium.write(8192 + second.get() + 16, &[0xff; 8]);
    let counting = Counting::new(medium);
    let preview = options(1).preview_repair(&counting).unwrap();
    assert_eq!((preview.records, preview.end, preview.was_whole), (1, second, false));
    // A header of 16 bytes, six bytes, and two up to the alignment.
    assert_eq!(preview.lost, [second..Position::new(second.get() + 24)]);
    assert_eq!(counting.taken(), [0; 3]);
    let (_, repaired) = options(1).repair(&counting).unwrap();
    assert_eq!(repaired, preview);
}

/// A trimmed journal that was never opened again, and the superblock of the trim, at offset 0.
fn trimmed() -> SimMedium {
    let medium = Simulation::new(Model::caches_kept(), 8192 + 8 * SEGMENT).medium();
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
