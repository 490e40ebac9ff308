//! Openings after a write-back by the operating system failed and its pages were marked as clean.

use super::plain::{BASE, options, shown};
use cachemaint::medium::Medium;
use cachemaint_recorder::Reader;
use cachemaint_test_support::pages::Pages;
use cachemaint_test_support::plain::Plain;
use core::sync::atomic::Ordering::Relaxed;

/// One shard of two sub-buffers of 256 bytes.
const LEN: usize = BASE + 2 * 256;

/// Each write-back of an opening fails once. Then a crash tears the root that the next opening wrote over the older
/// one.
#[test]
fn an_opening_after_one_whose_write_back_failed_overwrites_no_only_root() {
    let mut failed = 0;
    loop {
        let pages = Pages::new(Plain::zeros(LEN), Plain::zeros(LEN));
        let recorder = options().create_new(&pages).unwrap().0;
        recorder.claim().unwrap().record_at(0, 1, b"").unwrap();
        recorder.write_back_all().unwrap();
        drop(recorder);
        pages.left.store(failed, Relaxed);
        let opened = options().open(&pages).map(drop);
        pages.left.store(u64::MAX, Relaxed);
        if opened.is_ok() {
            break;
        }
        failed += 1;

        let found = Reader::open(&pages).unwrap().description().generation;
        drop(options().open(&pages).unwrap());
        let pages = pages.remounted();
        let next = (found + 1) % 2 * 4096;
        for slot in [next, next + 8192] {
            pages.write(slot, &[0xff; 128]);
            pages.persist(slot..slot + 128).unwrap();
        }

        let pages = pages.remounted();
        let reader = Reader::open(&pages).unwrap();
        assert_eq!(reader.description().generation, found, "{failed}");
        assert_eq!(shown(&reader, 0).events.len(), 1, "{failed}");
    }
    // Both copies of the current root, and of the new one.
    assert!(failed >= 4, "{failed}");
}
