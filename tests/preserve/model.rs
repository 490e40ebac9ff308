//! Whatever is done to a store, it has what a map would have, and counts its space as one counts it by hand.

use crate::claims::lives::{Blobs, DATA, Deed, apply, kept, name, options};
use crate::claims::{found, whole};
use crate::plain::Plain;
use cachemaint::preserve::{Attributes, Capacity, Error, ErrorKind, Store};
use proptest::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Bytes of a table before its entries, and of an entry before its name, by the documentation of the format.
const PREAMBLE: u64 = 176;
const ENTRY: u64 = 52;

/// The end of a transaction, and of the store after it.
#[derive(Clone, Copy, Debug)]
enum End {
    Commit,
    Abandon,
    Seal,
    Reopen,
    /// The store is opened in a medium that has so many more bytes.
    Grow(usize),
    /// Nothing is committed; another one opens what is in the medium.
    Crash,
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let len = prop_oneof![4 => 0..400_u32, 1 => 0..3000_u32, 1 => Just(0)];
    let names = 0..6_u8;
    let put = (names.clone(), len, prop_oneof![3 => Just(0), 1 => 0..36_u8]);
    let deed = prop_oneof![
        4 => put.clone().prop_map(|(name, len, metadata)| Deed::Put { name, len, metadata }),
        2 => put.prop_map(|(name, len, metadata)| Deed::Stream { name, len, metadata }),
        2 => names.clone().prop_map(Deed::Delete),
        1 => (names.clone(), names).prop_map(|(from, to)| Deed::Rename(from, to)),
    ];
    proptest::collection::vec(deed, 0..6)
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        6 => Just(End::Commit),
        2 => Just(End::Abandon),
        1 => Just(End::Seal),
        2 => Just(End::Reopen),
        1 => (0..300_usize).prop_map(|words| End::Grow(words * 8)),
        2 => Just(End::Crash),
    ]
}

/// Bytes of the table, in whole units: what is before the entries, and for each 52, name and metadata, in words. It is a
/// root alone.
fn table(blobs: &Blobs, unit: u64) -> u64 {
    let entry = |name: &str, metadata: usize| {
        (ENTRY + name.len() as u64 + metadata as u64).next_multiple_of(8)
    };
    let entries: u64 = blobs.iter().map(|(name, kept)| entry(name, kept.metadata.len())).sum();
    (PREAMBLE + entries).next_multiple_of(unit)
}

/// The free space is everything but blobs, in whole units, and two tables. These blobs have one chunk, so no list of
/// tags.
fn capacity_is_right(store: &Store<Plain>, blobs: &Blobs, bytes: usize, unit: u64) -> Capacity {
    let capacity = store.capacity();
    let total = bytes as u64 / unit * unit - (DATA as u64).next_multiple_of(unit);
    let used: u64 =
        blobs.values().map(|kept| (kept.bytes.len() as u64).next_multiple_of(unit)).sum();
    assert_eq!((capacity.total, capacity.free), (total, total - used - 2 * table(blobs, unit)));
    assert!(capacity.largest <= capacity.free);
    capacity
}

/// The largest blob fits, and no larger one, where the table does not get longer. If the table does, a blob fits that
/// is less by four tables.
fn largest_is_honest(store: &mut Store<Plain>, blobs: &Blobs, capacity: Capacity, unit: u64) {
    let largest = capacity.largest;
    if let Some((name, kept)) = blobs.iter().next() {
        let attributes = || Attributes::new(name).metadata(&kept.metadata);
        let more = vec![1; largest as usize + 1];
        let mut transaction = store.begin().unwrap();
        let refused = transaction.put(attributes(), &more);
        assert!(
            matches!(refused.as_ref().map_err(Error::kind), Err(ErrorKind::Full { .. })),
            "{refused:?} {capacity:?}"
        );
        if largest > 0 {
            transaction.put(attributes(), &more[1..]).unwrap();
        }
    }
    let mut with = blobs.clone();
    with.insert("new".into(), kept(0, 0, 0));
    let (before, after) = (table(blobs, unit), table(&with, unit));
    let less = if before == after { 0 } else { 4 * after };
    if largest > less {
        let mut transaction = store.begin().unwrap();
        transaction.put("new", &vec![1; (largest - less) as usize]).unwrap();
    }
}

fn contents_are_right(store: &Store<Plain>, blobs: &Blobs) {
    assert_eq!(found(&store.snapshot().unwrap()), whole(blobs));
}

fn run(mut bytes: usize, unit: u64, steps: &[(Vec<Deed>, End)]) {
    let mut medium = Plain::new(vec![0; bytes]);
    let mut store = options().unit(unit).create_new(medium.clone()).unwrap();
    let mut blobs = Blobs::new();
    for ((deeds, end), number) in steps.iter().zip((0..).step_by(100)) {
        let mut changed = blobs.clone();
        let mut transaction = store.begin().unwrap();
        for (deed, number) in deeds.iter().zip(number..) {
            match apply(deed, number, &mut transaction, &mut changed) {
                Ok(()) => {}
                Err(error) if matches!(error.kind(), ErrorKind::Full { .. }) => {
                    assert!(!matches!(deed, Deed::Delete(_)));
                }
                Err(error) if matches!(error.kind(), ErrorKind::NotFound { .. }) => {
                    let (Deed::Delete(of) | Deed::Rename(of, _)) = *deed else { panic!() };
                    assert!(!changed.contains_key(&name(of)));
                }
                Err(error) if matches!(error.kind(), ErrorKind::NameTaken { .. }) => {
                    let Deed::Rename(_, to) = *deed else { panic!() };
                    assert!(changed.contains_key(&name(to)));
                }
                Err(error) => panic!("{error}"),
            }
        }
        match end {
            End::Abandon => drop(transaction),
            // The medium is copied before the drop, which does not happen in a crash.
            End::Crash => {
                medium = Plain::new(medium.bytes());
                drop(transaction);
                store = options().open(medium.clone()).unwrap().0;
            }
            End::Commit | End::Seal | End::Reopen | End::Grow(_) => {
                transaction.commit().unwrap();
                blobs = changed;
            }
        }
        contents_are_right(&store, &blobs);
        match end {
            End::Seal => drop(store.seal().unwrap()),
            End::Reopen => store = options().open(medium.clone()).unwrap().0,
            End::Grow(more) => {
                bytes += more;
                let mut longer = medium.bytes();
                longer.resize(bytes, 0xa5);
                medium = Plain::new(longer);
                store = options().open(medium.clone()).unwrap().0;
            }
            End::Commit | End::Abandon | End::Crash => {}
        }
        contents_are_right(&store, &blobs);
        let capacity = capacity_is_right(&store, &blobs, bytes, unit);
        largest_is_honest(&mut store, &blobs, capacity, unit);
        assert_eq!(store.capacity(), capacity, "what was given up takes nothing");
        contents_are_right(&store, &blobs);
    }
    // However full it is.
    for name in blobs.keys() {
        let mut transaction = store.begin().unwrap();
        transaction.delete(name).unwrap();
        transaction.commit().unwrap();
    }
    capacity_is_right(&store, &Blobs::new(), bytes, unit);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_is_a_map_that_counts_its_space(
        words in 0..400_usize,
        unit in prop_oneof![4 => Just(64_u64), 1 => Just(128), 1 => Just(512)],
        steps in proptest::collection::vec((deeds(), end()), 1..20),
    ) {
        // The least is room for four tables.
        let least = DATA.next_multiple_of(unit as usize) + 4 * 176_usize.next_multiple_of(unit as usize);
        run(least + words * 8, unit, &steps);
    }
}

/// The piecewise blob would make the root smaller, but there is no room for all of it. The commit needs the larger root.
#[test]
fn a_blob_that_is_given_up_leaves_the_commit_its_places() {
    let put = |name, metadata| Deed::Put { name, len: 0, metadata };
    let stream = Deed::Stream { name: 1, len: 897, metadata: 0 };
    let steps = [(vec![put(1, 6)], End::Commit), (vec![put(2, 0), stream], End::Commit)];
    run(DATA.next_multiple_of(128) + 4 * 256 + 288 * 8, 128, &steps);
}

/// The arithmetic of blobs of several chunks: a list of 8 bytes for each 65536, from the next word on.
#[test]
fn the_largest_blob_leaves_room_for_its_tags() {
    // Tables of one blob "a" have 176 + 56 bytes, so 256. Below the place of 192 bytes of the empty table are that of the
    // table, that of a deletion and that of a put. The copy of the last one lies 4096 bytes lower.
    let bytes = DATA + 200_000 + 192 + 3 * 256 + 4096 + 256;
    let mut store = options().create_new(Plain::new(vec![0; bytes])).unwrap();
    let mut transaction = store.begin().unwrap();
    transaction.put("a", &[]).unwrap();
    transaction.commit().unwrap();
    let largest = store.capacity().largest;
    assert_eq!(largest, 200_000);
    // Four chunks: 32 bytes.
    let mut transaction = store.begin().unwrap();
    let refused = transaction.put("a", &vec![1; 200_000 - 32 + 1]);
    assert!(
        matches!(
            refused.as_ref().map_err(Error::kind),
            Err(ErrorKind::Full { needed: 200_064, largest: 200_000, .. })
        ),
        "{refused:?}"
    );
    transaction.put("a", &vec![1; 200_000 - 32]).unwrap();
    transaction.commit().unwrap();
    assert_eq!(store.reader().load("a").unwrap(), vec![1; 200_000 - 32]);
}

/// The entry of the blob needs a longer root, so other places are held while it is written.
#[test]
fn a_blob_that_is_given_up_alone_leaves_the_room_as_it_was() {
    let mut store = options().create_new(Plain::new(vec![0; DATA + 10_000])).unwrap();
    let before = store.capacity();
    let put = |store: &mut Store<Plain>, write: fn() -> Result<(), Option<Error<_>>>| {
        store.begin().unwrap().put_with("a", 100, |_| write())
    };
    assert_eq!(put(&mut store, || Err(None)), Err(None));
    assert_eq!(store.capacity(), before);

    let panicked = AssertUnwindSafe(|| put(&mut store, || panic!("the source of the blob")));
    assert!(catch_unwind(panicked).is_err());
    assert_eq!(store.capacity(), before);
}
