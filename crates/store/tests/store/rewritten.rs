//! Openings after a write-back by the operating system failed and its pages were marked as clean.

use crate::life::{Blobs, blobs, open, options};
use cachemaint_sim::{Model, SimMedium, Simulation};
use cachemaint_store::Store;
use cachemaint_test_support::counting::Broken;
use cachemaint_test_support::erased::{Erased, erased};
use cachemaint_test_support::pages;
use core::sync::atomic::Ordering::Relaxed;

type Pages = pages::Pages<SimMedium>;

fn put(
    store: &mut Store<Erased<'_, Broken>>,
    name: &str,
) -> Result<u64, cachemaint_store::Error<Broken>> {
    let mut transaction = store.begin()?;
    transaction.put(name, name.repeat(40).as_bytes())?;
    transaction.commit()
}

/// Makes commits until this number of write-backs has succeeded and the next one fails. Returns `None` if there are no
/// more.
fn fails_after(left: u64) -> Option<Pages> {
    let medium = || Simulation::new(Model::CACHES_KEPT, 64 << 10).medium();
    let pages = Pages::new(medium(), medium());
    let (mut store, _) = options().create_new(erased(&pages)).unwrap();
    put(&mut store, "first").unwrap();
    pages.left.store(left, Relaxed);
    // A value, and a blob beside the log.
    let lived = put(&mut store, "value").and_then(|_| put(&mut store, "a longer name"));
    drop(store);
    pages.left.store(u64::MAX, Relaxed);
    lived.is_err().then_some(pages)
}

/// Opens the store, makes a commit, and returns what is acknowledged then.
fn go_on(pages: &Pages) -> Blobs {
    let (mut store, _) = options().open(erased(pages)).unwrap();
    put(&mut store, "last").unwrap();
    blobs(&store).unwrap()
}

/// Each write-back fails once. Then the cache drops its clean pages during each write-back of the opening in turn, or
/// keeps them. Whatever an opening finds and whatever is committed later is on the drive.
#[test]
fn commits_that_an_opening_finds_after_a_failed_write_back_reach_the_drive() {
    let mut failed = 0;
    while fails_after(failed).is_some() {
        for drops in [None, Some(0), Some(1), Some(2), Some(3), Some(4)] {
            let pages = fails_after(failed).unwrap();
            pages.drops_clean_after(drops);
            let found = go_on(&pages);
            let pages = pages.remounted();
            let after = open(erased(&pages)).map(|(_, blobs)| blobs).unwrap();
            assert_eq!(after, found, "write-back {failed}, drop {drops:?}");
        }
        failed += 1;
    }
    // Two mirrors of each record, and the blob.
    assert_eq!(failed, 5);
}
