//! Openings after a failed write-back by the operating system, which takes the pages for written all the same.

use super::plain::{Plain, options};
use crate::pages::Pages;
use cachemaint::medium::Medium;
use cachemaint::recorder::{Found, Reader};
use core::sync::atomic::Ordering::Relaxed;

const PAGE: u64 = 4096;
/// One shard of two sub-buffers of 256 bytes.
const LEN: usize = 3 * 4096 + 2 * 256;

const EVENTS: &[(u16, &str)] = &[(1, "closed")];

/// Each write-back of an opening fails once. A crash tears the descriptor of the next one, in the place of the older.
#[test]
fn an_opening_after_one_whose_write_back_failed_overwrites_no_only_descriptor() {
    let mut failed = 0;
    loop {
        let pages = Pages::new(Plain::new(LEN), Plain::new(LEN));
        let recorder = options().events(EVENTS).create_new(&pages).unwrap();
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
        let next = found % 2 * PAGE;
        let pages = pages.remounted();
        pages.write(next, &[0xff; 128]);
        pages.persist(next..next + 128).unwrap();

        let pages = pages.remounted();
        let reader = Reader::open(&pages).unwrap();
        assert_eq!(reader.description().generation, found, "{failed}");
        let mut buffer = vec![0; reader.largest_payload()];
        let mut events = reader.events();
        let Some(Found::Event(event)) = events.read_next(&mut buffer).unwrap() else {
            panic!("{failed}")
        };
        assert_eq!(reader.event_table().unwrap().describe(&event).unwrap().0, "closed", "{failed}");
    }
    // The descriptor that counts, and the new one.
    assert!(failed >= 2, "{failed}");
}
