//! Journals that have lost superblocks or marks.

use crate::claims::reason;
use crate::faulty::{Faulty, abandon};
use crate::life::{WIDE, options, payload};
use crate::uses::{medium, payloads};
use cachemaint::journal::{ErrorKind, Journal, Options, Position};
use cachemaint::medium::Medium;
use cachemaint::sim::{Model, SimMedium, Simulation};
use core::sync::atomic::Ordering::Relaxed;

#[test]
fn a_journal_without_superblocks_is_repaired_from_its_marks() {
    let medium = medium();
    let journal = options().create_new(&medium).unwrap();
    let append = |journal: &Journal<_>, number| {
        journal.append(&payload(number)).unwrap();
    };
    (0..4).for_each(|number| append(&journal, number));
    drop(journal);
    let (journal, _) = options().open(&medium).unwrap();
    (4..6).for_each(|number| append(&journal, number));
    drop(journal);
    for at in [0, 4096] {
        medium.store(at + 64, 0x1234, Relaxed);
    }
    assert!(matches!(reason(&options().open(&medium)), Some(ErrorKind::Superblocks)));
    let (journal, repaired) = options().repair(&medium).unwrap();
    assert_eq!((repaired.records, repaired.lost.len()), (6, 0));
    journal.append(&payload(6)).unwrap();
    let expected: Vec<_> = (0..7).map(payload).collect();
    assert_eq!(payloads(&journal), expected);
    drop(journal);
    assert_eq!(options().open(&medium).unwrap().1.records, 7);
}

/// Damages the superblocks at these offsets.
fn lose_superblocks(medium: &SimMedium, lost: &[u64]) {
    for at in lost {
        medium.store(at + 64, 0x1234, Relaxed);
    }
}

/// Three segments of 256 bytes.
fn wide() -> Options<'static> {
    options().segment(256).window(512)
}

fn wide_medium() -> SimMedium {
    Simulation::new(Model::X86, WIDE).medium()
}

/// The last epoch has begun in the last segment, so that no segment begins with a mark of it.
#[test]
fn a_journal_without_superblocks_keeps_an_epoch_within_a_segment() {
    let medium = wide_medium();
    wide().create_new(&medium).unwrap().append(b"first").unwrap();
    wide().open(&medium).unwrap().0.append(b"last").unwrap();
    lose_superblocks(&medium, &[0, 4096]);
    let (journal, repaired) = wide().repair(&medium).unwrap();
    assert_eq!((repaired.records, repaired.lost.len()), (2, 0));
    assert_eq!(payloads(&journal), [b"first".to_vec(), b"last".to_vec()]);
}

/// The older superblock does not have the last epoch.
#[test]
fn a_journal_whose_newer_superblock_is_lost_keeps_the_last_epoch() {
    let medium = wide_medium();
    wide().create_new(&medium).unwrap().append(b"first").unwrap();
    wide().open(&medium).unwrap().0.append(b"last").unwrap();
    // The superblock of generation 2 is lost.
    lose_superblocks(&medium, &[0]);
    assert!(matches!(reason(&wide().open(&medium)), Some(ErrorKind::Damaged(_))));
    let (journal, repaired) = wide().repair(&medium).unwrap();
    assert_eq!((repaired.records, repaired.lost.len()), (2, 0));
    drop(journal);
    let (journal, _) = wide().open(&medium).unwrap();
    assert_eq!(payloads(&journal), [b"first".to_vec(), b"last".to_vec()]);
}

/// The mark of the next epoch goes where the trimmed record was: from 736 on there is no room for it.
#[test]
fn a_journal_without_its_superblock_is_not_begun_over_what_was_trimmed() {
    for lost in [&[0, 4096][..], &[0]] {
        let medium = wide_medium();
        let journal = wide().create_new(&medium).unwrap();
        journal.append(&[1; 176]).unwrap();
        journal.trim(journal.end()).unwrap();
        journal.append(&[2; 176]).unwrap();
        journal.append(&[3; 144]).unwrap();
        assert_eq!(journal.end(), Position(736));
        drop(journal);
        lose_superblocks(&medium, lost);
        drop(wide().repair(&medium).unwrap());
        let (journal, _) = wide().open(&medium).unwrap();
        assert_eq!(payloads(&journal), [vec![2; 176], vec![3; 144]]);
    }
}

/// Behind the lost mark of an epoch, at 88, there is a void, which any epoch may have, and then a record of that epoch.
#[test]
fn padding_behind_a_lost_mark_is_not_resumed_from() {
    let medium = wide_medium();
    wide().create_new(&medium).unwrap().append(b"first").unwrap();
    let faulty = Faulty::new(&medium);
    let (journal, _) = wide().open(&faulty).unwrap();
    abandon(&journal, 0);
    let second = journal.append(b"second").unwrap();
    assert_eq!(second, Position(88 + 64 + 16));
    journal.append(b"third").unwrap();
    // This record is in the next segment, whose mark states the epoch.
    journal.append(&[4; 30]).unwrap();
    drop(journal);
    wide().open(&medium).unwrap().0.append(b"").unwrap();
    medium.store(8192 + 88 + 16, 0x1234, Relaxed);
    let expected =
        [b"first".to_vec(), b"second".to_vec(), b"third".to_vec(), vec![4; 30], Vec::new()];
    let (journal, _) = wide().repair(&medium).unwrap();
    assert_eq!(payloads(&journal), expected);
    drop(journal);
    assert_eq!(wide().open(&medium).unwrap().1.records, 5);
}
