//! Media lose bytes in blocks: a page of memory, or a sector. A lost block of 4096 bytes costs the blobs that had bytes
//! there, and no others.

use crate::claims::lives::{DATA, options};
use crate::plain::Plain;
use cachemaint::medium::Bytes;
use cachemaint::preserve::{Attributes, ErrorKind, Reader, Store};
use core::ops::Range;

const BLOCK: usize = 4096;

/// Puts a blob in a commit of its own; returns false if the store is full.
fn put(store: &mut Store<Plain>, name: &str, metadata: &[u8], len: usize) -> bool {
    let mut transaction = store.begin().unwrap();
    match transaction.put(Attributes::new(name).metadata(metadata), &vec![7; len]) {
        Ok(()) => transaction.commit().is_ok(),
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::Full { .. }), "{error}");
            false
        }
    }
}

fn delete(store: &mut Store<Plain>, name: &str) {
    let mut transaction = store.begin().unwrap();
    transaction.delete(name).unwrap();
    transaction.commit().unwrap();
}

fn reopened(store: Store<Plain>) -> Store<Plain> {
    let medium = store.medium().clone();
    drop(store);
    options().open(medium).unwrap().0
}

/// Makes each block of a whole store zero, one at a time.
fn each_block_costs_its_own_blobs(image: &[u8]) {
    let whole = Reader::open(Bytes(image)).unwrap().list().unwrap();
    let mut harmed = image.to_vec();
    for block in (0..image.len()).step_by(BLOCK) {
        let block = block..(block + BLOCK).min(image.len());
        if image[block.clone()].iter().all(|byte| *byte == 0) {
            continue;
        }
        harmed[block.clone()].fill(0);
        let reader = Reader::open(Bytes(&harmed)).unwrap_or_else(|why| panic!("{block:?}: {why}"));
        let found = reader.snapshot().unwrap().verify(&mut |_| ()).unwrap();
        assert_eq!(found.pages, [], "{block:?}, with {} blobs", whole.len());
        let is_in = |place: Range<u64>| {
            (place.start as usize) < block.end && block.start < place.end as usize
        };
        let lost = whole.iter().filter(|info| is_in(info.range())).map(|info| &*info.name);
        assert!(found.damaged.iter().map(|(name, _)| &**name).eq(lost), "{block:?}");
        harmed[block.clone()].copy_from_slice(&image[block]);
    }
}

/// From an empty store to one of two levels below the root.
#[test]
fn a_lost_block_costs_no_blob_that_is_elsewhere() {
    let medium = Plain::new(vec![0; 1 << 20]);
    let mut store = options().create_new(medium.clone()).unwrap();
    each_block_costs_its_own_blobs(&medium.bytes());
    for number in 0..400 {
        assert!(put(&mut store, &format!("blob-{number:05}"), &[], 1000));
        if number < 80 || number % 40 == 0 {
            each_block_costs_its_own_blobs(&medium.bytes());
        }
    }
    store = reopened(store);
    each_block_costs_its_own_blobs(&medium.bytes());
    for number in 0..400 {
        delete(&mut store, &format!("blob-{number:05}"));
        if number % 40 == 0 || number > 380 {
            each_block_costs_its_own_blobs(&medium.bytes());
        }
    }
}

#[test]
fn a_lost_block_costs_no_blob_of_another_one_when_all_were_put_at_once() {
    for unit in [64, 512, 2048, 4096] {
        let medium = Plain::new(vec![0; 1 << 20]);
        let mut store = options().unit(unit).create_new(medium.clone()).unwrap();
        let mut transaction = store.begin().unwrap();
        for number in 0..150 {
            transaction.put(&format!("{number:0200}"), &[7; 1000]).unwrap();
        }
        transaction.commit().unwrap();
        store.seal().unwrap();
        each_block_costs_its_own_blobs(&medium.bytes());
    }
}

/// Blobs with short entries, and with entries that fill half a page.
#[test]
fn a_lost_block_costs_no_blob_of_another_one_in_a_full_store() {
    for (len, metadata) in [(300, 0), (0, 0), (700, 100), (0, 2300)] {
        let medium = Plain::new(vec![0; DATA + 140_000]);
        let mut store = options().create_new(medium.clone()).unwrap();
        let name = |number: usize| format!("{:05}", number * 7919 % 10_000);
        let fits = |number: &usize| put(&mut store, &name(*number), &vec![3; metadata], len);
        let blobs = (0..10_000).take_while(fits).count();
        each_block_costs_its_own_blobs(&medium.bytes());
        store = reopened(store);
        each_block_costs_its_own_blobs(&medium.bytes());
        for number in 0..blobs {
            delete(&mut store, &name(number));
            if number % 16 == 0 || number + 16 > blobs {
                each_block_costs_its_own_blobs(&medium.bytes());
            }
        }
    }
}

/// The copies of a table of a store of less than 64 KiB lie together.
#[test]
fn the_copies_of_a_table_are_moved_apart_by_the_opening_after_the_store_has_grown() {
    let medium = Plain::new(vec![0; 60_000]);
    let mut store = options().create_new(medium.clone()).unwrap();
    for number in 0..20 {
        assert!(put(&mut store, &format!("{number:02}"), &[], 100));
    }
    drop(store);
    let mut image = medium.bytes();
    image.resize(1 << 20, 0);
    let (store, _) = options().open(Plain::new(image)).unwrap();
    each_block_costs_its_own_blobs(&store.medium().bytes());
}
