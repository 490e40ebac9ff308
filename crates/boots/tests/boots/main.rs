//! Stamps and places of a store in a file.

#![cfg(all(target_os = "linux", not(miri)))]
#![expect(clippy::unwrap_used, reason = "a failed call is a finding")]

use cachemaint::dax::{self, DaxFile};
use cachemaint::medium::{Backing, Readable as _};
use cachemaint_boots::{Origin, Stamp, digest, is_in_place, placement, put, renew, since};
use cachemaint_inspect::survival::Survival;
use cachemaint_store::{Attributes, Error, Region, Store};
use cachemaint_test_support::skip::skip;
use std::path::Path;

type Result<T> = core::result::Result<T, Error<dax::Error>>;

fn create(path: &Path) -> Store<DaxFile> {
    let file = dax::Options::new().allow_page_granularity().create_new(path, 8 << 20).unwrap();
    Store::create_new(file).unwrap().0
}

fn open(path: &Path) -> Store<DaxFile> {
    let file = dax::Options::new().allow_page_granularity().open(path).unwrap();
    Store::open(file).unwrap().0
}

fn put_blob(store: &mut Store<DaxFile>, name: &str, bytes: &[u8]) -> Result<()> {
    let mut transaction = store.begin()?;
    transaction.put(name, bytes)?;
    transaction.commit()?;
    Ok(())
}

#[test]
fn the_event_is_the_one_since_the_stamp_was_put() -> Result<()> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let mut store = create(&path);
    assert_eq!(since(&store, "started")?, None);
    assert_eq!(renew(&mut store, "started")?, None);
    drop(store);
    let mut store = open(&path);
    let here = Stamp::of(store.medium().view());
    if here.boot_id == [0; 16] {
        skip("the_event_is_the_one_since_the_stamp_was_put", "the boot is unknown here");
        return Ok(());
    }
    assert_eq!(store.load("started")?, here.bytes());
    let origin =
        |store: &Store<DaxFile>| Result::Ok(since(store, "started")?.map(|verdict| verdict.origin));
    assert_eq!(origin(&store)?, Some(Origin::SameProcess));

    let other = Stamp { process: here.process + 1, ..here };
    put_blob(&mut store, "started", &other.bytes())?;
    assert_eq!(origin(&store)?, Some(Origin::SameBoot));

    let before = Stamp { boot_id: [1; 16], backing: Backing::Ram, ..here };
    put_blob(&mut store, "started", &before.bytes())?;
    let verdict = renew(&mut store, "started")?.unwrap();
    assert!(!verdict.is_same_boot() && verdict.origin != Origin::Unknown, "{verdict:?}");
    assert_eq!(verdict.promise.map(|promise| promise.answer), Some(Survival::No));
    assert_eq!(origin(&store)?, Some(Origin::SameProcess), "it was replaced");

    put_blob(&mut store, "started", b"something else")?;
    assert_eq!(origin(&store)?, Some(Origin::Unknown));
    put(&mut store, "started")?;
    assert_eq!(origin(&store)?, Some(Origin::SameProcess));
    Ok(())
}

/// The stamp that a region's user puts in each use tells that nothing stored since then is lost.
#[test]
fn a_stamp_of_the_last_use_is_newer_than_the_region() -> Result<()> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let mut store = create(&path);
    let ram = store.region_or_create("ram", 4096)?;
    put(&mut store, "whole")?;
    drop((ram, store));
    let is_of_last_use = |store: &Store<_>, ram: &Region<_>| {
        store.stat("whole").is_some_and(|stamp| stamp.commit > ram.info().commit)
    };
    let mut store = open(&path);
    let ram = store.region("ram")?;
    assert!(ram.info().is_dirty && is_of_last_use(&store, &ram));
    // This use ends without a stamp.
    drop((ram, store));
    let mut store = open(&path);
    let ram = store.region("ram")?;
    assert!(!is_of_last_use(&store, &ram));
    Ok(())
}

/// Creates a store with a region, and returns both, unless places are unknown here.
fn with_region(test: &str, path: &Path) -> Option<(Store<DaxFile>, Region<DaxFile>)> {
    const LEN: u64 = 2 << 20;
    let mut store = create(path);
    let region = store.region_or_create(Attributes::new("ram").alignment(LEN), LEN).unwrap();
    match cachemaint_inspect::placement(store.medium().view()) {
        Ok(_) => Some((store, region)),
        Err(why) => {
            assert!(matches!(why.kind(), dax::ErrorKind::Unknown), "{why}");
            skip(test, format_args!("the place of the bytes is unknown: {why}"));
            None
        }
    }
}

/// The extents of a region begin at its first byte and cover it. The next kernel finds them by the same numbers.
#[test]
fn a_region_reports_its_placement() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let Some((store, region)) = with_region("a_region_reports_its_placement", &path) else {
        return;
    };
    let offset = region.info().offset;
    let whole = cachemaint_inspect::placement(store.medium().view()).unwrap();
    let ours = placement(&region).unwrap();
    assert_eq!((&ours.device, &ours.base), (&whole.device, &whole.base));
    // The creation of the region has allocated each byte.
    let mut next = 0;
    for extent in &ours.extents {
        assert_eq!(extent.offset, next);
        next += extent.len;
        let holds = |of_file: &&cachemaint_inspect::Extent| {
            (of_file.offset..of_file.offset + of_file.len).contains(&(offset + extent.offset))
        };
        let of_file = whole.extents.iter().find(holds).unwrap();
        let skipped = offset + extent.offset - of_file.offset;
        assert_eq!(extent.on_device, of_file.on_device + skipped);
        assert_eq!(extent.physical, of_file.physical.map(|physical| physical + skipped));
    }
    assert_eq!(next, region.len());
}

#[test]
fn a_file_that_was_copied_lies_elsewhere() -> Result<()> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let Some((mut store, region)) = with_region("a_file_that_was_copied_lies_elsewhere", &path)
    else {
        return Ok(());
    };
    let before = digest(&placement(&region).unwrap());
    drop(region);
    // None of the region's bytes moves.
    store.grow(9 << 20)?;
    drop(store);
    assert!(is_in_place(&open(&path).region("ram")?, before).unwrap());
    let copy = directory.path().join("copy");
    std::fs::copy(&path, &copy).unwrap();
    std::fs::File::open(&copy).unwrap().sync_all().unwrap();
    assert!(!is_in_place(&open(&copy).region("ram")?, before).unwrap());
    Ok(())
}
