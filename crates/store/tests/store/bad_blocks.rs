//! Unreadable blocks on a medium that has not failed: each costs only what it contained.

use crate::life::{options, why};
use crate::seal::u64_at;
use cachemaint::medium::{Bytes, Granularity, Medium, Readable, WriterLock};
use cachemaint_store::{Attributes, ErrorKind, Part, Reader};
use cachemaint_test_support::bad_blocks::{Mapped, PAGE};
use cachemaint_test_support::plain::Plain;
use core::error::Error;
use core::fmt;
use core::ops::Range;
use core::sync::atomic::Ordering;

/// The size of a block in bytes.
const BLOCK: u64 = 512;

/// A medium that cannot read the blocks at these offsets.
#[derive(Clone, Debug)]
struct Bad {
    medium: Plain,
    blocks: Vec<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unreadable;

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a bad block")
    }
}

impl Error for Unreadable {}

impl Readable for Bad {
    type Error = Unreadable;

    fn len(&self) -> u64 {
        Readable::len(&self.medium)
    }

    fn try_load(&self, at: u64, _order: Ordering) -> Result<u64, Unreadable> {
        let mut word = [0; 8];
        self.read(at, &mut word)?;
        Ok(u64::from_le_bytes(word))
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Unreadable> {
        let end = at + into.len() as u64;
        if self.blocks.iter().any(|bad| *bad < end && at < bad + BLOCK) {
            return Err(Unreadable);
        }
        let Ok(()) = self.medium.read(at, into);
        Ok(())
    }

    fn check(&self) -> Result<(), Unreadable> {
        Ok(())
    }
}

impl Medium for Bad {
    fn load(&self, at: u64, order: Ordering) -> u64 {
        self.medium.load(at, order)
    }

    fn granularity(&self) -> Granularity {
        self.medium.granularity()
    }

    fn atomic_unit(&self) -> usize {
        self.medium.atomic_unit()
    }

    fn store(&self, at: u64, word: u64, order: Ordering) {
        self.medium.store(at, word, order);
    }

    fn write(&self, at: u64, from: &[u8]) {
        self.medium.write(at, from);
    }

    fn issue_writeback(&self, range: Range<u64>) -> Result<(), Unreadable> {
        let Ok(()) = self.medium.issue_writeback(range);
        Ok(())
    }

    fn fence(&self) -> Result<(), Unreadable> {
        Ok(())
    }

    fn order_observed(&self) {}

    fn deep_persist(&self, range: Range<u64>) -> Result<(), Unreadable> {
        self.persist(range)
    }

    fn writer_lock(&self) -> Option<&WriterLock> {
        None
    }
}

/// Returns a closed store with a value and two blobs of several blocks, the second of which has two chunks, and the
/// blobs' offsets.
fn lived() -> (Plain, [u64; 2]) {
    let medium = Plain::zeros(256 << 10);
    let (mut store, _) = options().create_new(medium.clone()).unwrap();
    for (name, len) in [("value", 164), ("blob", 5000), ("chunks", 70_000)] {
        let mut transaction = store.begin().unwrap();
        let alignment = if name == "value" { 1 } else { BLOCK };
        transaction.put(Attributes::new(name).alignment(alignment), &vec![7; len]).unwrap();
        transaction.commit().unwrap();
    }
    let places = ["blob", "chunks"].map(|name| store.stat(name).unwrap().offset);
    store.close().unwrap();
    (medium, places)
}

/// Returns the names of the blobs that a reader can read, and of those that the verification at an opening finds
/// damaged.
fn whole_and_damaged(medium: &Bad) -> (Vec<String>, Vec<String>) {
    let reader = Reader::open(medium).unwrap();
    let mut whole = Vec::new();
    for (name, len) in [("value", 164), ("blob", 5000), ("chunks", 70_000)] {
        match reader.load(name).map_err(ErrorKind::from) {
            Ok(bytes) => {
                assert_eq!(bytes, vec![7; len]);
                whole.push(name.to_owned());
            }
            Err(error) => assert!(matches!(error, ErrorKind::Damaged(_)), "{error:?}"),
        }
    }
    let opened = options().verify().open(medium.clone()).unwrap().1;
    let damaged = opened.verification.unwrap().damaged;
    (whole, damaged.into_iter().map(|(name, _)| name.into()).collect())
}

#[test]
fn a_bad_block_costs_what_stood_in_it() {
    let (medium, [blob, chunks]) = lived();
    let all = ["value", "blob", "chunks"];
    let only = |bad: &[u64], lost: &[&str]| {
        let medium = Bad { medium: Plain::new(&medium.bytes()), blocks: bad.to_vec() };
        let (whole, damaged) = whole_and_damaged(&medium);
        let is_lost = |name: &&str| lost.contains(name);
        let expected: Vec<_> = all.into_iter().filter(|name| !is_lost(name)).collect();
        assert!(whole == expected && damaged == lost, "{bad:?}: {whole:?} and {damaged:?}");
    };
    only(&[], &[]);
    // Each slot of the root, of the current generation and of the other one.
    for slot in [0, 4096, 8192, 12_288] {
        only(&[slot], &[]);
    }
    only(&[0, 8192], &[]);
    only(&[0, 4096, 8192], &[]);
    // Each block of a mirror of the log, and both mirrors in different blocks.
    for block in 0..8 {
        only(&[16_384 + block * BLOCK], &[]);
        only(&[20_480 + block * BLOCK], &[]);
    }
    only(&[16_384, 20_480 + BLOCK], &[]);
    // The first and the last block of a blob, a chunk, and the list of tags.
    only(&[blob / BLOCK * BLOCK], &["blob"]);
    only(&[(blob + 4999) / BLOCK * BLOCK], &["blob"]);
    only(&[(chunks + 66_000) / BLOCK * BLOCK], &["chunks"]);
    only(&[(chunks + 70_015) / BLOCK * BLOCK], &["chunks"]);
    only(&[blob.next_multiple_of(BLOCK), chunks.next_multiple_of(BLOCK)], &["blob", "chunks"]);
}

#[test]
fn a_bad_block_in_both_mirrors_is_a_damaged_record() {
    let (medium, _) = lived();
    // The second block has the last records, and the third one is after them.
    for block in 1..8 {
        let blocks = [16_384, 20_480].map(|mirror| mirror + block * BLOCK).to_vec();
        let medium = Bad { medium: Plain::new(&medium.bytes()), blocks };
        let reader = Reader::open(&medium).unwrap();
        let found = reader.verify().unwrap();
        let opened = options().open(medium.clone());
        let Some(damage) = found.records.first() else {
            // The block is after the end, and an earlier block can be read.
            assert!(block > 1 && reader.load("chunks").is_ok() && opened.is_ok(), "{block}");
            continue;
        };
        assert_eq!(damage.part, Part::Record);
        let loaded = reader.load("chunks").map_err(ErrorKind::from);
        assert!(matches!(loaded, Err(ErrorKind::Damaged(_))), "{loaded:?}");
        let refused = opened.unwrap_err();
        assert!(matches!(why(&refused), ErrorKind::Damaged(_)), "{refused}");
    }
}

/// Returns a store that is sealed, if that is asked for, and whose log of four pages has records in two of them. Also
/// returns the page of a blob.
fn mapped(is_sealed: bool) -> (Vec<u8>, u64) {
    let medium = Plain::zeros(1 << 20);
    let (mut store, _) = options().create_new(medium.clone()).unwrap();
    let mut transaction = store.begin().unwrap();
    transaction.put(Attributes::new("blob").alignment(PAGE), &vec![7; 70_000]).unwrap();
    transaction.put(Attributes::new("whole").alignment(PAGE), &[8; 5000]).unwrap();
    transaction.commit().unwrap();
    for number in 0..30_u8 {
        let mut transaction = store.begin().unwrap();
        transaction.put("value", &[number; 100]).unwrap();
        transaction.commit().unwrap();
    }
    if is_sealed {
        store.seal().unwrap();
    }
    let blob = store.stat("blob").unwrap().offset;
    store.close().unwrap();
    (medium.bytes(), blob)
}

#[test]
fn a_writer_opens_beside_a_bad_page_of_a_mapping_and_replaces_its_blob() {
    const MIRRORS: [u64; 2] = [16_384, 32_768];
    for (granularity, is_sealed) in [
        (Granularity::Line(64), false),
        (Granularity::Line(64), true),
        (Granularity::Page(4096), false),
    ] {
        let (bytes, blob) = mapped(is_sealed);
        let slots = [0, PAGE, 2 * PAGE, 3 * PAGE];
        let bad_blob = [blob, blob + PAGE, blob + (70_000 / PAGE) * PAGE];
        for bad in [MIRRORS.as_slice(), &slots, &bad_blob].concat() {
            let is_lost = bad_blob.contains(&bad);
            let mut medium = Mapped::new(bytes.clone(), granularity, &[bad]);
            for put in ["first", "blob"] {
                let options = options().verify();
                let (mut store, opened) = options.open(&medium).unwrap();
                let damaged = opened.verification.unwrap().damaged;
                let expected = if is_lost && put == "first" { &["blob"][..] } else { &[] };
                assert!(
                    damaged.iter().map(|(name, _)| &**name).eq(expected.iter().copied()),
                    "{bad}"
                );
                assert_eq!(opened.mended, []);
                assert_eq!(store.load("whole").unwrap(), [8; 5000]);
                assert_eq!(store.load("value").unwrap(), [29; 100]);
                let mut transaction = store.begin().unwrap();
                transaction.delete("blob").unwrap();
                transaction.put(put, &vec![9; 70_000]).unwrap();
                transaction.commit().unwrap();
                let mut transaction = store.begin().unwrap();
                if put == "first" {
                    transaction.rename("first", "blob").unwrap();
                }
                transaction.commit().unwrap();
                let found = store.reader().verify().unwrap();
                assert_eq!((found.damaged, found.records), (vec![], vec![]));
                store.close().unwrap();
                let read = Reader::open(Bytes(&medium.bytes())).unwrap().load("blob");
                assert_eq!(read.unwrap(), vec![9; 70_000]);
                // The place of the bad blob is free now, and not to be used.
                let bad = if is_lost { vec![] } else { vec![bad] };
                medium = Mapped::new(medium.bytes(), granularity, &bad);
            }
        }
    }
}

#[test]
fn a_compaction_leaves_a_log_with_a_bad_page() {
    let (bytes, _) = mapped(false);
    for bad in [16_384, 32_768] {
        let medium = Mapped::new(bytes.clone(), Granularity::Line(64), &[bad]);
        let (mut store, _) = options().open(&medium).unwrap();
        for number in 0..70_u8 {
            let mut transaction = store.begin().unwrap();
            transaction.put("value", &[number; 100]).unwrap();
            transaction.commit().unwrap();
        }
        drop(store);
        let (store, opened) = options().open(&medium).unwrap();
        assert_eq!((opened.mended, store.load("value").unwrap()), (vec![], vec![69; 100]));
        let found = Reader::open(Bytes(&medium.bytes())).unwrap().verify().unwrap();
        assert!(found.is_whole(), "{found:?}");
    }
}

/// The pages with the end of the log, behind it, and of the area that the opening writes to.
#[test]
fn a_writer_opens_and_commits_beside_a_bad_page_of_the_log() {
    for is_sealed in [false, true] {
        let (bytes, _) = mapped(is_sealed);
        for page in 0..16 {
            let bad = 16_384 + page * PAGE;
            let medium = Mapped::new(bytes.clone(), Granularity::Line(64), &[bad]);
            for number in 0..3 {
                let (mut store, _) = options().open(&medium).unwrap();
                let mut transaction = store.begin().unwrap();
                transaction.put("value", &[number; 100]).unwrap();
                transaction.commit().unwrap();
                assert!(store.reader().verify().unwrap().records.is_empty(), "page {page}");
                store.close().unwrap();
            }
            assert_eq!(Reader::open(&medium).unwrap().load("value").unwrap(), [2; 100]);
        }
    }
}

/// No piece of free space has room for another log.
#[test]
fn a_full_store_is_not_opened_onto_a_bad_block() {
    let medium = Plain::zeros(128 << 10);
    let (mut store, _) = options().create_new(medium.clone()).unwrap();
    for (number, len) in (0..).zip([60_000, 30_000, 9000, 4000, 2000, 1000, 500, 300]) {
        let mut transaction = store.begin().unwrap();
        let put = transaction.put(&*format!("{number}"), &vec![7; len]);
        assert!(put.is_ok() || is_full(put.as_ref().unwrap_err().kind()));
        transaction.commit().unwrap();
    }
    assert!(store.capacity().largest < PAGE);
    drop(store);
    let image = medium.bytes();
    let root = [0, 4096].into_iter().max_by_key(|slot| u64_at(&image, slot + 40)).unwrap();
    for bad in [80, 88].map(|field| u64_at(&image, root + field)) {
        for granularity in [Granularity::Line(64), Granularity::Page(4096)] {
            let mapped = Mapped::new(image.clone(), granularity, &[bad]);
            let failed = options().open(&mapped).unwrap_err();
            assert!(is_full(why(&failed)), "{bad}: {failed}");
        }
    }
}

fn is_full<E>(kind: &ErrorKind<E>) -> bool {
    matches!(kind, ErrorKind::Full { .. })
}
