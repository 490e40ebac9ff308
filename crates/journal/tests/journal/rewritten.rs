//! Openings after a write-back by the operating system failed and its pages were marked as clean.

use crate::claims::{reason, records};
use cachemaint_journal::{ErrorKind, FormatError, Group, Journal, Opened, Options};
use cachemaint_sim::{Model, SimMedium, Simulation};
use cachemaint_test_support::counting::Broken;
use cachemaint_test_support::erased::{Erased, erased};
use cachemaint_test_support::pages;
use core::sync::atomic::Ordering::Relaxed;

type Pages = pages::Pages<SimMedium>;

const PAGE: u64 = 4096;
/// Four roots, and six segments of a page each.
const BYTES: u64 = 10 * PAGE;
/// The payload that fills a segment after its mark of 64 bytes and a header of 16.
const WHOLE: usize = 4096 - 64 - 16;

fn options() -> Options {
    Options::with_entropy([7, 9]).segment(PAGE)
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

/// Each write-back of pages is a system call. The first record, and the group, enter a segment with a mark.
#[test]
fn an_append_by_pages_writes_back_once() {
    let pages = created();
    let journal = options().open(erased(&pages)).unwrap().0;
    let writebacks = |append: &dyn Fn()| {
        let left = pages.left.load(Relaxed);
        append();
        left - pages.left.load(Relaxed)
    };
    for len in [20, 8, 256, 257, 300, 2000] {
        let count = writebacks(&|| _ = journal.append(&vec![7; len]).unwrap());
        assert_eq!(count, 1, "{len} bytes");
    }
    let count = writebacks(&|| {
        let mut group = Group::new();
        group.push(&[8; WHOLE - 16]);
        group.push(b"");
        journal.append_group(&mut group).unwrap();
    });
    assert_eq!(count, 1, "a group");
    let payloads = payloads(&journal);
    assert_eq!((&payloads[3], &payloads[6]), (&vec![7; 257], &vec![8; WHOLE - 16]));
}

/// Uses a journal until an operation fails.
fn live(journal: &Journal<Erased<'_, Broken>>) -> Result<(), cachemaint_journal::Error<Broken>> {
    journal.append(&[1; WHOLE])?;
    journal.append(&[2; WHOLE])?;
    journal.trim(journal.records()?.next().unwrap()?.end)?;
    journal.append(b"small")?;
    journal.append(b"small too")?;
    Ok(())
}

/// Each write-back fails once. The records that the opening counts are acknowledged.
#[test]
fn records_that_an_opening_finds_after_a_failed_write_back_reach_the_drive() {
    let mut failed = 0;
    while let Some(pages) = fails_after(failed) {
        failed += 1;
        let (journal, _) = options().open(erased(&pages)).unwrap();
        let mut acknowledged = payloads(&journal);
        journal.append(&[3; WHOLE]).unwrap();
        acknowledged.push(vec![3; WHOLE]);
        drop(journal);
        let pages = pages.remounted();
        let (journal, Opened { recovered, .. }) = options().open(erased(&pages)).unwrap();
        assert_eq!((payloads(&journal), recovered.torn), (acknowledged, false), "{failed}");
    }
    // A trim has two write-backs, and each record one.
    assert!(failed >= 6, "{failed}");
}

/// When the record is read, it is only in the page cache. The page is dropped before the opening stores it again.
#[test]
fn a_record_that_the_page_cache_drops_during_an_opening_does_not_count() {
    let pages = fails_after(0).unwrap();
    pages.drops_clean_after(Some(0));
    let opened = options().open(erased(&pages)).map(drop);
    let failed = reason(&opened);
    assert!(matches!(failed, Some(ErrorKind::Format(FormatError::Failed))), "{opened:?}");
    let (journal, _) = options().open(erased(&pages)).unwrap();
    assert!(payloads(&journal).is_empty());
}

/// Uses a journal until this number of write-backs has succeeded and the next one fails. Returns `None` if there are no
/// more.
fn fails_after(left: u64) -> Option<Pages> {
    let pages = created();
    let (journal, _) = options().open(erased(&pages)).unwrap();
    pages.left.store(left, Relaxed);
    let lived = live(&journal);
    drop(journal);
    pages.left.store(u64::MAX, Relaxed);
    lived.is_err().then_some(pages)
}
