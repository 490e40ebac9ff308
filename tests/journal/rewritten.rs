//! Openings after a failed write-back by the operating system, which takes the pages for written all the same.

use crate::claims::{reason, records};
use crate::counting::Broken;
use crate::erased::{Erased, erased};
use crate::pages;
use cachemaint::journal::{ErrorKind, Journal, Options};
use cachemaint::medium::Medium;
use cachemaint::sim::{Model, SimMedium, Simulation};
use core::sync::atomic::Ordering::Relaxed;

type Pages = pages::Pages<SimMedium>;

const PAGE: u64 = 4096;
/// Two superblocks, and four segments of a page each.
const BYTES: u64 = 6 * PAGE;
/// The bytes of a segment behind its mark of 64 bytes and a header of 16.
const WHOLE: usize = 4096 - 64 - 16;

fn options() -> Options<'static> {
    Options::with_entropy([7, 9]).segment(PAGE).window(2 * PAGE)
}

fn created() -> Pages {
    let [cache, drive] = [(); 2].map(|()| Simulation::new(Model::CACHES_KEPT, BYTES).medium());
    let pages = Pages::new(cache, drive);
    drop(options().create_new(erased(&pages)).unwrap());
    pages
}

fn payloads(journal: &Journal<Erased<'_, Broken>>) -> Vec<Vec<u8>> {
    records(journal).unwrap().into_iter().map(|record| record.payload).collect()
}

/// Each write-back of pages is a call of the operating system.
#[test]
fn an_append_by_pages_writes_back_once() {
    let pages = created();
    let journal = options().open(erased(&pages)).unwrap().0;
    for len in [8, 256, 257, 300, 2000] {
        let left = pages.left.load(Relaxed);
        journal.append(&vec![7; len]).unwrap();
        assert_eq!(left - pages.left.load(Relaxed), 1, "{len} bytes");
    }
    assert_eq!(payloads(&journal)[2], [7; 257]);
}

/// Does things to a journal until one of them fails.
fn live(journal: &Journal<Erased<'_, Broken>>) -> Result<(), cachemaint::journal::Error<Broken>> {
    journal.append(&[1; WHOLE])?;
    journal.append(&[2; WHOLE])?;
    journal.trim(journal.records()?.next().unwrap()?.end)?;
    journal.append(b"small")?;
    journal.append(b"small too")?;
    Ok(())
}

/// Each write-back fails once. The records that the opening counts are acknowledged then.
#[test]
fn records_that_an_opening_finds_after_a_failed_write_back_reach_the_drive() {
    type Reopen = fn(&Pages) -> Journal<Erased<'_, Broken>>;
    let reopens: [Reopen; 2] = [
        |pages| options().open(erased(pages)).unwrap().0,
        |pages| options().repair(erased(pages)).unwrap().0,
    ];
    for reopen in reopens {
        let mut failed = 0;
        while let Some(pages) = fails_after(failed) {
            failed += 1;
            let journal = reopen(&pages);
            let mut acknowledged = payloads(&journal);
            journal.append(&[3; WHOLE]).unwrap();
            acknowledged.push(vec![3; WHOLE]);
            drop(journal);
            let pages = pages.remounted();
            let (journal, recovered) = options().open(erased(&pages)).unwrap();
            assert_eq!((payloads(&journal), recovered.torn), (acknowledged, false), "{failed}");
        }
        // A trim has one write-back at least, and so has each record.
        assert!(failed >= 5, "{failed}");
    }
}

/// Lives a life in which one write-back fails, after so many. Returns `None` if the life has no more than these.
fn fails_after(left: u64) -> Option<Pages> {
    let pages = created();
    let (journal, _) = options().open(erased(&pages)).unwrap();
    pages.left.store(left, Relaxed);
    let lived = live(&journal);
    drop(journal);
    pages.left.store(u64::MAX, Relaxed);
    lived.is_err().then_some(pages)
}

#[test]
fn a_repair_after_one_whose_write_back_failed_reaches_the_drive() {
    reach_the_drive_after_a_failed_repair(|pages| options().repair(erased(pages)).unwrap().0);
}

/// An opening succeeds after a repair that failed, or was killed, when all of its pieces were written.
#[test]
fn an_opening_after_a_repair_whose_write_back_failed_reaches_the_drive() {
    let mut opened = 0;
    reach_the_drive_after_a_failed_repair(|pages| {
        let was_whole = options().preview_repair(&erased(pages)).unwrap().was_whole;
        match options().open(erased(pages)) {
            Ok((journal, _)) => {
                // The repair had not begun the next epoch.
                opened += u32::from(!was_whole);
                journal
            }
            Err(failed) => {
                assert!(matches!(failed.error.kind(), ErrorKind::Damaged(_)), "{failed:?}");
                options().repair(erased(pages)).unwrap().0
            }
        }
    });
    assert!(opened > 0);
}

/// Each write-back of a repair fails once. The pieces that cover a damaged record are in the first segment, farther than a
/// window from the end.
fn reach_the_drive_after_a_failed_repair(
    mut reopened: impl FnMut(&Pages) -> Journal<Erased<'_, Broken>>,
) {
    let mut failed = 0;
    loop {
        let pages = created();
        let (journal, _) = options().open(erased(&pages)).unwrap();
        (1..4).for_each(|byte| drop(journal.append(&[byte; WHOLE - 64])));
        journal.append(&[4; 128]).unwrap();
        assert!(journal.end().0 > 3 * PAGE);
        drop(journal);
        pages.write(2 * PAGE + 256, &[0xff; 8]);
        pages.persist(2 * PAGE..3 * PAGE).unwrap();
        pages.left.store(failed, Relaxed);
        let repaired = options().repair(erased(&pages)).map(drop);
        pages.left.store(u64::MAX, Relaxed);
        if repaired.is_ok() {
            break;
        }
        let failure = repaired.unwrap_err().error;
        assert!(matches!(failure.kind(), ErrorKind::Medium(Broken)), "{failure}");
        failed += 1;

        let journal = reopened(&pages);
        journal.append(b"after").unwrap();
        drop(journal);
        let pages = pages.remounted();
        let (journal, _) = options().open(erased(&pages)).unwrap();
        let expected = [vec![2; WHOLE - 64], vec![3; WHOLE - 64], vec![4; 128], b"after".to_vec()];
        assert_eq!(payloads(&journal), expected, "{failed}");
    }
    assert!(failed > 3, "{failed}");
}

#[test]
fn a_journal_keeps_its_head_after_a_failed_trim_until_the_next_one() {
    let pages = created();
    let (journal, _) = options().open(erased(&pages)).unwrap();
    let positions = [1, 2, 3].map(|byte| journal.append(&[byte]).unwrap());
    let head = journal.head();
    pages.left.store(0, Relaxed);
    let trimmed = journal.trim(positions[1]);
    assert!(matches!(reason(&trimmed), Some(ErrorKind::Medium(Broken))), "{trimmed:?}");
    let all = [vec![1], vec![2], vec![3]];
    assert_eq!((journal.head(), payloads(&journal)), (head, all.to_vec()));
    let from = journal.records_from(head).unwrap().map(|record| record.unwrap().payload);
    assert_eq!(from.collect::<Vec<_>>(), all);

    journal.trim(positions[2]).unwrap();
    assert_eq!((journal.head(), payloads(&journal)), (positions[2], vec![vec![3]]));
    drop(journal);
    let pages = pages.remounted();
    let (journal, _) = options().open(erased(&pages)).unwrap();
    assert_eq!(payloads(&journal), [[3]]);
}

/// Of the two superblocks, only the one of the failed trim is not on the drive. The next one goes to the place of the
/// other one.
#[test]
fn the_superblock_of_a_failed_trim_reaches_the_drive_before_the_next_one() {
    let pages = created();
    let (journal, _) = options().open(erased(&pages)).unwrap();
    let positions = [1, 2, 3].map(|byte| journal.append(&[byte]).unwrap());
    pages.left.store(0, Relaxed);
    journal.trim(positions[1]).unwrap_err();
    // The next one fails at its own superblock.
    pages.left.store(1, Relaxed);
    journal.trim(positions[2]).unwrap_err();
    assert_eq!(journal.head(), positions[1]);
    drop(journal);
    let pages = pages.remounted();
    let (journal, _) = options().open(erased(&pages)).unwrap();
    assert_eq!(payloads(&journal), [[2], [3]]);
}
