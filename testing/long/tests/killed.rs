//! Processes that are killed while they create a journal, a recording or a store in a file, or make one longer: what the
//! next process finds.
//!
//! A child is killed before each of its system calls in turn that can matter to the next process. On a file system without
//! DAX this proves nothing about a loss of power, since what is in memory outlives the process.

#![cfg(all(target_os = "linux", target_has_atomic = "64", not(miri), not(cachemaint_loom)))]

use cachemaint::dax::Options;
use cachemaint_test_support::killed::{alone, at_each_system_call, directory};
use std::fs;
use std::path::Path;

const OLD: u64 = 64 << 10;

/// On DAX files are persisted by lines, which demands more of what a killed process leaves.
fn options() -> Options {
    Options::new().allow_page_granularity()
}

/// Cuts off `start`, which opens or creates a file and a structure in it, and starts again.
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
fn each_next_start_succeeds(
    test: &str,
    start: fn(&Path) -> Result<(), Box<dyn core::error::Error>>,
    open: fn(&Path) -> Result<(), Box<dyn core::error::Error>>,
) {
    let _alone = alone();
    let directory = directory();
    let path = directory.path().join("file");
    start(&path).unwrap();
    at_each_system_call(
        test,
        || fs::remove_file(&path).unwrap(),
        || start(&path),
        |is_finished| {
            if is_finished {
                open(&path).unwrap();
            }
            start(&path).unwrap();
        },
    );
}

#[test]
fn a_journal_whose_creation_is_cut_off_can_be_created_or_opened() {
    use cachemaint_journal::Journal;
    each_next_start_succeeds(
        "a_journal_whose_creation_is_cut_off_can_be_created_or_opened",
        |path| {
            Journal::open_or_create(options().open_or_create(path, OLD)?)
                .map(drop)
                .map_err(Into::into)
        },
        |path| Journal::open(options().open(path)?).map(drop).map_err(Into::into),
    );
}

#[test]
fn a_recording_whose_creation_is_cut_off_can_be_created_or_opened() {
    use cachemaint_recorder::Options as Recording;
    each_next_start_succeeds(
        "a_recording_whose_creation_is_cut_off_can_be_created_or_opened",
        |path| {
            let file = options().open_or_create(path, OLD)?;
            Recording::new().open_or_create(file).map(drop).map_err(Into::into)
        },
        |path| Recording::new().open(options().open(path)?).map(drop).map_err(Into::into),
    );
}

mod stores {
    use super::{alone, at_each_system_call, directory, each_next_start_succeeds, options};
    use cachemaint::dax::{self, DaxFile};
    use cachemaint_store::{Error, Store};
    use std::fs;
    use std::path::Path;

    const LEN: u64 = 128 << 10;
    const LONGER: u64 = 512 << 10;

    fn put(store: &mut Store<DaxFile>, name: &str, bytes: &[u8]) -> Result<(), Error<dax::Error>> {
        let mut transaction = store.begin()?;
        transaction.put(name, bytes)?;
        transaction.commit().map(drop)
    }

    fn open(path: &Path) -> Result<Store<DaxFile>, Box<dyn core::error::Error>> {
        Ok(Store::open(options().open(path)?)?.0)
    }

    /// A file without a store is whole, so a store can be created in it.
    fn create(path: &Path) -> Result<Store<DaxFile>, Box<dyn core::error::Error>> {
        Ok(Store::open_or_create(options().open_or_create(path, LEN)?)?.0)
    }

    #[test]
    fn a_store_whose_creation_is_cut_off_can_be_created_or_opened() {
        each_next_start_succeeds(
            "a_store_whose_creation_is_cut_off_can_be_created_or_opened",
            |path| create(path).map(drop),
            |path| open(path).map(drop),
        );
    }

    #[test]
    fn a_store_that_is_cut_off_while_it_grows_keeps_its_blobs() {
        let _alone = alone();
        let directory = directory();
        let path = directory.path().join("store");
        let (old, new) = (vec![7; 20_000], vec![9; 200_000]);
        put(&mut create(&path).unwrap(), "old", &old).unwrap();
        let before = fs::read(&path).unwrap();
        at_each_system_call(
            "a_store_that_is_cut_off_while_it_grows_keeps_its_blobs",
            || fs::write(&path, &before).unwrap(),
            || open(&path).and_then(|mut store| Ok(store.grow(LONGER)?)),
            |_| {
                let mut store = open(&path).unwrap();
                assert!(store.load("old").unwrap() == old);
                store.grow(LONGER).unwrap();
                put(&mut store, "new", &new).unwrap();
                assert!(store.load("new").unwrap() == new);
            },
        );
    }
}
