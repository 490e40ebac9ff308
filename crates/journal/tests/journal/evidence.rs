//! Damage and torn ends, told apart by the evidence that is left, and whole records after a torn end.

use crate::claims::{LOG, kill, reason, records};
use crate::faulty::{Faulty, append_behind};
use cachemaint::medium::{Medium as _, Readable as _};
use cachemaint_journal::{
    ErrorKind, FormatError, Group, Journal, Opened, Options, Position, Reader, Recovered, Salvaged,
};
use cachemaint_sim::{Model, SimMedium, Simulation};
use cachemaint_test_support::counting::Counting;
use cachemaint_test_support::erased::erased;
use core::sync::atomic::Ordering::Relaxed;

const SEGMENT: u64 = 1024;
/// The end of two records after a mark of 64 bytes. Each has a header of 16 bytes and a payload of 24.
const END: Position = Position(64 + 2 * 40);
/// The offsets of both copies of a root of an even generation, and of an odd one.
const EVEN: [u64; 2] = [0, 8192];
const ODD: [u64; 2] = [4096, 12288];

fn options(opening: u64) -> Options {
    Options::with_entropy([7, opening]).segment(SEGMENT)
}

fn medium() -> SimMedium {
    Simulation::new(Model::CACHES_KEPT, LOG + 8 * SEGMENT).medium()
}

fn verified(medium: &SimMedium) -> Recovered {
    Reader::open(medium).unwrap().verify().unwrap()
}

fn damage(medium: &SimMedium, at: u64) {
    medium.store(at, !medium.load(at, Relaxed), Relaxed);
}

/// Ends a journal as a kill of its process does.
fn killed(journal: Journal<&SimMedium>) {
    let medium = *journal.medium();
    kill(medium, journal);
}

/// Ends a journal as a power cut does before the confirmation word was written back.
fn cut(journal: Journal<&SimMedium>) {
    journal.medium().store(16384, 0, Relaxed);
    killed(journal);
}

/// Records of a group do not vouch for each other. The third of ten acknowledged records is damaged.
#[test]
fn whole_records_after_a_torn_end_are_counted_and_can_be_salvaged() {
    let medium = medium();
    let (journal, _) = options(0).create_new(&medium).unwrap();
    let mut group = Group::new();
    (0..10).for_each(|number| group.push(&[number; 24]));
    journal.append_group(&mut group).unwrap();
    cut(journal);
    damage(&medium, LOG + END.0 + 16);
    let reader = Reader::open(&medium).unwrap();
    let salvaged = reader.salvage().unwrap().map(Result::unwrap);
    let is_record = |found: &Salvaged| matches!(found, Salvaged::Record(_));
    assert_eq!(salvaged.filter(is_record).count(), 9);
    let (journal, Opened { recovered, .. }) = options(1).open(&medium).unwrap();
    assert_eq!((recovered.end, recovered.records, recovered.after_gap), (END, 2, 7));
    journal.append(b"next").unwrap();
    assert_eq!(records(&journal).unwrap().len(), 3);
    drop(journal);
    assert_eq!((verified(&medium).records, verified(&medium).after_gap), (3, 0));
}

/// Each record fills a segment. Records of the window behind the end, and a segment, are searched for evidence: the first
/// three segments. All of them are lost.
#[test]
fn a_mark_far_behind_lost_records_is_evidence_that_they_were_durable() {
    let medium = medium();
    let (journal, _) = options(0).create_new(&medium).unwrap();
    let filling = vec![7; journal.largest() as usize];
    (0..4).for_each(|_| assert!(journal.append(&filling).is_ok()));
    cut(journal);
    medium.write(LOG, &[0; 3 * SEGMENT as usize]);
    let opened = options(1).open(&medium);
    let Some(ErrorKind::Damaged(damage)) = reason(&opened) else { panic!("{opened:?}") };
    assert_eq!((damage.at.0, damage.evidence.0), (0, 3 * SEGMENT));
}

/// The end of a journal's process.
type End = fn(Journal<&SimMedium>);

/// The last record is damaged, and no record follows it.
#[test]
fn damage_to_the_last_record_is_known_unless_a_power_cut_has_taken_the_confirmation() {
    let ends: [(End, bool); 5] = [
        (
            |journal| {
                journal.trim(journal.head()).unwrap();
                cut(journal);
            },
            true,
        ),
        (
            |journal| {
                let medium = *journal.medium();
                journal.close().unwrap();
                medium.store(16384, 0, Relaxed);
            },
            true,
        ),
        (
            |journal| {
                let medium = *journal.medium();
                drop(journal);
                medium.store(16384, 0, Relaxed);
            },
            true,
        ),
        (killed, true),
        (cut, false),
    ];
    for (end, is_known) in ends {
        let medium = medium();
        let (journal, _) = options(0).create_new(&medium).unwrap();
        journal.append(b"first").unwrap();
        let second = journal.append(b"second").unwrap();
        end(journal);
        damage(&medium, LOG + second.0 + 16);
        let opened = options(1).open(&medium);
        match reason(&opened) {
            Some(ErrorKind::Damaged(damage)) if is_known => assert_eq!(damage.at, second),
            None if !is_known => assert!(opened.unwrap().1.recovered.torn),
            _ => panic!("{opened:?}"),
        }
    }
}

/// A journal with the records 1, 2 and 3 in the epochs 1, 3 and 4, one for each opening. Epoch 2 has no record.
fn epochs() -> (SimMedium, [Position; 3]) {
    let medium = medium();
    let (journal, _) = options(0).create_new(&medium).unwrap();
    let first = journal.append(&[1; 8]).unwrap();
    drop(journal);
    drop(options(1).open(&medium).unwrap());
    let second = options(2).open(&medium).unwrap().0.append(&[2; 8]).unwrap();
    let third = options(3).open(&medium).unwrap().0.append(&[3; 8]).unwrap();
    (medium, [first, second, third])
}

#[test]
fn an_opening_begins_a_segment_unless_the_last_one_has_no_record() {
    let (medium, positions) = epochs();
    assert_eq!(positions.map(|position| position.0), [64, SEGMENT + 64, 2 * SEGMENT + 64]);
    for opening in 4..20 {
        let (journal, Opened { recovered, .. }) = options(opening).open(&medium).unwrap();
        assert_eq!((recovered.records, recovered.torn), (3, false));
        assert_eq!(journal.end().0, 3 * SEGMENT);
        // The end of the records, the beginning of the epoch and each record are valid positions for `records_from`.
        for (position, left) in [(recovered.end, 0), (journal.end(), 0), (positions[1], 2)] {
            assert_eq!(journal.records_from(position).unwrap().count(), left);
        }
    }
}

/// A journal with two records, whose first one is trimmed: its root has generation 2.
fn trimmed() -> SimMedium {
    let medium = medium();
    let (journal, _) = options(0).create_new(&medium).unwrap();
    journal.append(b"trimmed").unwrap();
    let kept = journal.append(b"kept").unwrap();
    journal.trim(kept).unwrap();
    drop(journal);
    medium
}

/// Without both copies of the root that a trim stored, the trimmed record is back.
#[test]
fn a_lost_root_is_reported_with_the_records_that_it_had_trimmed() {
    let medium = trimmed();
    for copy in EVEN {
        medium.write(copy + 72, &[0xff]);
    }
    let (_, Opened { recovered, .. }) = options(1).open(&medium).unwrap();
    assert_eq!((recovered.records, recovered.root_lost), (2, true));
    let both = [EVEN, ODD].concat();
    for copy in both {
        medium.write(copy + 72, &[0xff]);
    }
    let opened = options(2).open(&medium).map(drop);
    assert!(matches!(reason(&opened), Some(ErrorKind::Format(FormatError::Roots))), "{opened:?}");
}

/// The root of the last opening is lost. A record appended after it shows that.
#[test]
fn a_record_of_an_epoch_that_the_root_does_not_know_is_evidence_of_damage() {
    let medium = medium();
    let (journal, _) = options(0).create_new(&medium).unwrap();
    journal.append(b"first").unwrap();
    killed(journal);
    let (journal, _) = options(1).open(&medium).unwrap();
    journal.append(b"second").unwrap();
    killed(journal);
    for copy in EVEN {
        medium.write(copy + 72, &[0xff]);
    }
    let opened = options(2).open(&medium).map(drop);
    assert!(matches!(reason(&opened), Some(ErrorKind::Damaged(_))), "{opened:?}");
    let reader = Reader::open(&medium).unwrap();
    let is_record = |found: &_| matches!(found, Ok(Salvaged::Record(_)));
    assert_eq!(reader.salvage().unwrap().filter(is_record).count(), 2);
}

/// The root of a trim is lost, and the next lap has records in the space that the trim freed. All other old records are
/// whole, and the next lap begins right after them.
#[test]
fn a_record_of_a_lap_that_the_root_does_not_know_is_evidence_of_damage() {
    let medium = medium();
    let (journal, _) = options(0).create_new(&medium).unwrap();
    let filling = vec![7; journal.largest() as usize];
    let first = journal.append(&filling).unwrap();
    for _ in 1..8 {
        journal.append(&filling).unwrap();
    }
    journal.trim(Position(first.0 + 16 + filling.len() as u64)).unwrap();
    journal.append(b"next lap").unwrap();
    killed(journal);
    for copy in EVEN {
        medium.write(copy + 72, &[0xff]);
    }
    let found = verified(&medium);
    assert!(found.damage.is_some() && found.root_lost, "{found:?}");
}

/// The root before the current one does not include this opening. A trim based on it would undo the opening.
#[test]
fn an_open_journal_stores_a_whole_root_in_place_of_damaged_ones() {
    let medium = trimmed();
    let (journal, _) = options(1).open(&medium).unwrap();
    journal.append(b"more").unwrap();
    for copy in ODD {
        medium.write(copy + 72, &[0xff]);
    }
    journal.trim(journal.head()).unwrap();
    let found = verified(&medium);
    assert_eq!((found.records, found.damage), (2, None));
    for copy in ODD {
        medium.write(copy + 72, &[0xff]);
    }
    journal.close().unwrap();
    let found = verified(&medium);
    assert_eq!((found.records, found.damage, found.root_lost), (2, None, false));
}

/// All four root slots are older but whole, because two blocks lost their writes. Every later record is returned, or an
/// error reports that some are missing.
#[test]
fn roots_that_are_rolled_back_lose_no_record_silently() {
    let slots = [EVEN, ODD].concat();
    let roots = |medium: &SimMedium| {
        let words = slots.iter().flat_map(|slot| (*slot..slot + 128).step_by(8));
        words.map(|at| (at, medium.load(at, Relaxed))).collect::<Vec<_>>()
    };
    for last in 1..8 {
        let medium = Simulation::new(Model::CACHES_KEPT, LOG + 8 * SEGMENT).zeros().medium();
        let mut older = Vec::new();
        let mut appended = Vec::new();
        for step in 0..last {
            let (journal, _) = options(step).open_or_create(&medium).unwrap();
            older.push(roots(&medium));
            appended.push(vec![step as u8; 24]);
            journal.append(&appended[step as usize]).unwrap();
            if step % 3 == 1 {
                journal.trim(journal.head()).unwrap();
                older.push(roots(&medium));
            }
            if step % 2 == 0 {
                kill(&medium, journal);
            }
        }
        for roots in &older {
            for (at, word) in roots {
                medium.store(*at, *word, Relaxed);
            }
            let found = verified(&medium);
            assert!(found.damage.is_some() || found.records == last, "{last}: {found:?}");
        }
    }
}

#[test]
fn after_a_failed_trim_the_journal_must_be_opened_again() {
    let counting = Counting::new(medium());
    let (journal, _) = options(0).create_new(erased(&counting)).unwrap();
    journal.append(b"first").unwrap();
    let end = journal.end();
    counting.left.store(0, Relaxed);
    journal.trim(end).unwrap_err();
    counting.left.store(u64::MAX, Relaxed);
    for failed in
        [journal.trim(end), journal.append(b"second").map(drop), journal.close().map(drop)]
    {
        let kind = reason(&failed);
        assert!(matches!(kind, Some(ErrorKind::Format(FormatError::Failed))), "{failed:?}");
    }
    options(1).open(erased(&counting)).unwrap().0.append(b"third").unwrap();
}

/// A power cut loses the confirmation word, and then one bit of the last record is flipped, in a journal that was created
/// in zeros. This looks like a torn end, and is reported as one.
#[test]
fn a_flipped_bit_of_the_last_record_after_a_power_cut_is_told_as_a_torn_end() {
    let medium = Simulation::new(Model::CACHES_KEPT, LOG + 8 * SEGMENT).zeros().medium();
    let (journal, _) = options(0).create_new(&medium).unwrap();
    for number in [1, 2] {
        journal.append(&[number; 24]).unwrap();
    }
    cut(journal);
    let last = LOG + END.0 - 40;
    for (word, bit) in (0..5).flat_map(|word| (0..64).map(move |bit| (last + word * 8, bit))) {
        medium.store(word, medium.load(word, Relaxed) ^ 1 << bit, Relaxed);
        let recovered = verified(&medium);
        assert_eq!((recovered.records, recovered.torn), (1, true), "bit {bit} of {word}");
        medium.store(word, medium.load(word, Relaxed) ^ 1 << bit, Relaxed);
    }
    assert_eq!(verified(&medium).records, 2);
}

/// Returns a journal in zeros whose records end at 512, the start of a sector: a mark of 64 bytes, a record of 48 and ten
/// of 40. Then come these records, which are acknowledged, and a power cut.
fn cut_behind_a_sector(payloads: &[&[u8]]) -> SimMedium {
    let medium = Simulation::new(Model::CACHES_KEPT, LOG + 8 * SEGMENT).zeros().medium();
    let (journal, _) = options(0).create_new(&medium).unwrap();
    journal.append(&[7; 32]).unwrap();
    for _ in 0..10 {
        journal.append(&[7; 24]).unwrap();
    }
    assert_eq!(journal.end().0, 512);
    for payload in payloads {
        journal.append(payload).unwrap();
    }
    cut(journal);
    medium
}

/// Four acknowledged records are lost with their sector.
#[test]
fn a_lost_sector_at_the_end_is_torn_unless_it_reads_as_zeros() {
    for (fill, is_torn) in [(0, false), (0xff, true), (1, true)] {
        let medium = cut_behind_a_sector(&[&[8; 24][..]; 4]);
        medium.write(LOG + 512, &[fill; 512]);
        let recovered = verified(&medium);
        assert_eq!((recovered.records, recovered.torn), (11, is_torn), "{fill:#x}");
        assert_eq!(recovered.damage, None);
    }
    let medium = cut_behind_a_sector(&[&[8; 24][..]; 4]);
    let mut other = [0; 512];
    medium.read(LOG, &mut other).unwrap();
    medium.write(LOG + 512, &other);
    assert_eq!((verified(&medium).records, verified(&medium).torn), (11, true));
}

/// The record of 116 bytes is in three lines.
#[test]
fn the_rest_of_a_record_without_its_header_is_a_torn_end() {
    for lost in [64, 128] {
        let medium = cut_behind_a_sector(&[&[8; 116]]);
        medium.write(LOG + 512, &vec![0; lost]);
        assert_eq!((verified(&medium).records, verified(&medium).torn), (11, true), "{lost}");
    }
}

/// Nothing is lost here, but the bytes behind the end are not zeros.
#[test]
fn bytes_of_earlier_laps_and_of_other_content_are_no_torn_end() {
    // Other content.
    let medium = medium();
    let (journal, _) = options(0).create_new(&medium).unwrap();
    journal.append(&[1; 24]).unwrap();
    cut(journal);
    assert_eq!((verified(&medium).records, verified(&medium).torn), (1, false));
    // An earlier lap.
    let medium = Simulation::new(Model::CACHES_KEPT, LOG + 8 * SEGMENT).zeros().medium();
    let (journal, _) = options(0).create_new(&medium).unwrap();
    for lap in 0..2 {
        while journal.append(&[lap; 24]).is_ok() {}
        journal.trim(journal.end()).unwrap();
    }
    let last = journal.append(&[2; 24]).unwrap();
    assert!(last.0 > 8 * SEGMENT, "{last}");
    cut(journal);
    assert_eq!((verified(&medium).records, verified(&medium).torn), (1, false));
}

/// A crash leaves a record in the second segment. The next opening appends one in the first, up to 104: there are zeros.
#[test]
fn the_end_of_a_closed_journal_is_not_torn_by_an_earlier_crash() {
    let ends: [(End, bool); 3] = [(|journal| drop(journal), false), (killed, false), (cut, true)];
    for (end, is_torn) in ends {
        let medium = Simulation::new(Model::CACHES_KEPT, LOG + 8 * SEGMENT).zeros().medium();
        let faulty = Faulty::new(&medium);
        let (journal, _) = options(0).create_new(&faulty).unwrap();
        append_behind(&journal, 40, &[&[9; 930]]);
        let (journal, Opened { recovered, .. }) = options(1).open(&medium).unwrap();
        assert_eq!((recovered.records, recovered.torn, recovered.after_gap), (0, true, 1));
        journal.append(&[1; 24]).unwrap();
        end(journal);
        assert_eq!((verified(&medium).records, verified(&medium).torn), (1, is_torn));
    }
}
