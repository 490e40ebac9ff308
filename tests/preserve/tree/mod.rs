//! The table as a tree: pages that are split and merged, levels that come and go, and pages that are damaged or forged.

mod forged;

use crate::cases::cases;
use crate::claims::damage_costs_what_it_touches;
use crate::claims::lives::{DATA, Deed, End, Lived, Step, live, options};
use crate::plain::Plain;
use crate::seal::seal;
use cachemaint::medium::Bytes;
use cachemaint::preserve::{Attributes, Error, ErrorKind, Reader, Store, Verify};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Names of the model. An entry with 2300 bytes of metadata has a page of its own, so there are 3 levels.
const NAMES: u16 = 150;

/// A change of names in a transaction: of each of a stride.
#[derive(Clone, Copy, Debug)]
enum Change {
    Put { first: u16, stride: u16, count: u16, metadata: usize },
    Delete { first: u16, stride: u16, count: u16 },
    Rename { from: u16, to: u16 },
}

#[derive(Clone, Copy, Debug)]
enum After {
    Commit,
    Drop,
    Reopen,
}

/// Metadata by name.
type Model = BTreeMap<String, Vec<u8>>;

fn name(number: u16) -> String {
    // Names of which many begin alike, and some with several bytes a letter.
    match number % 3 {
        0 => format!("state/of/the/machine/{number:03}"),
        1 => format!("{number}"),
        _ => format!("ä{number:03}"),
    }
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let stretch = (0..NAMES, 1..4_u16, prop_oneof![2 => 1..4_u16, 1 => 1..NAMES]);
    let metadata = prop_oneof![1 => 0..100_usize, 2 => 1000..2400_usize, 1 => Just(4096_usize)];
    let put = (stretch.clone(), metadata).prop_map(|((first, stride, count), metadata)| {
        Change::Put { first, stride, count, metadata }
    });
    let delete = stretch.prop_map(|(first, stride, count)| Change::Delete { first, stride, count });
    let rename = (0..NAMES, 0..NAMES).prop_map(|(from, to)| Change::Rename { from, to });
    proptest::collection::vec(prop_oneof![3 => put, 3 => delete, 1 => rename], 0..5)
}

fn stretch(first: u16, stride: u16, count: u16) -> impl Iterator<Item = String> {
    (first..NAMES).step_by(stride.into()).take(count.into()).map(name)
}

fn put(store: &mut Store<Plain>, names: impl Iterator<Item = String>, metadata: usize) {
    let mut transaction = store.begin().unwrap();
    for name in names {
        let metadata = vec![1; metadata];
        transaction.put(Attributes::new(&name).metadata(&metadata), name.as_bytes()).unwrap();
    }
    transaction.commit().unwrap();
}

fn delete(store: &mut Store<Plain>, names: impl Iterator<Item = String>) {
    let mut transaction = store.begin().unwrap();
    names.for_each(|name| transaction.delete(&name).unwrap());
    transaction.commit().unwrap();
}

/// Returns the levels below the root, by the documentation of the format.
fn levels(image: &[u8], generation: u64) -> u8 {
    let header = generation as usize % 2 * 4096;
    let root = u64::from_le_bytes(*image[header + 40..].first_chunk().unwrap()) as usize;
    image[root + 42]
}

fn is_there(medium: &Plain, store: &Store<Plain>, model: &Model) {
    let image = medium.bytes();
    let reader = Reader::open(Bytes(&image)).unwrap();
    let snapshot = reader.snapshot().unwrap();
    let mut buffer = vec![0; 4096];
    let (mut entries, mut found) = (snapshot.entries(), Model::new());
    while let Some(info) = entries.next() {
        let info = info.unwrap();
        let metadata = snapshot.metadata(&info, &mut buffer).unwrap().to_vec();
        assert_eq!(entries.metadata(&mut buffer).unwrap(), metadata);
        found.insert(info.name.to_string(), metadata);
    }
    assert!(found == *model);
    assert_eq!(snapshot.blobs(), model.len() as u64);
    for number in 0..NAMES {
        let name = name(number);
        assert_eq!(snapshot.find(&name).unwrap().is_some(), model.contains_key(&name), "{name}");
    }
    assert!(snapshot.verify(&mut |_| ()).unwrap().is_whole());
    // All that is in no use is free, as another writer finds it.
    let (again, _) = options().open(Plain::new(image)).unwrap();
    assert_eq!(store.capacity().free, again.capacity().free);
}

fn run(unit: u64, bytes: usize, steps: &[(Vec<Change>, After)]) {
    let medium = Plain::new(vec![0; DATA + bytes]);
    let mut store = options().unit(unit).create_new(medium.clone()).unwrap();
    let empty = store.capacity();
    let mut model = Model::new();
    for (changes, after) in steps {
        let mut changed = model.clone();
        let mut transaction = store.begin().unwrap();
        for change in changes {
            match *change {
                Change::Put { first, stride, count, metadata } => {
                    for name in stretch(first, stride, count) {
                        let metadata = vec![first as u8; metadata];
                        let attributes = Attributes::new(&name).metadata(&metadata);
                        match transaction.put(attributes, name.as_bytes()) {
                            Ok(()) => drop(changed.insert(name, metadata)),
                            Err(error) => {
                                assert!(matches!(error.kind(), ErrorKind::Full { .. }), "{error}");
                            }
                        }
                    }
                }
                Change::Delete { first, stride, count } => {
                    for name in stretch(first, stride, count) {
                        match transaction.delete(&name) {
                            Ok(()) => drop(changed.remove(&name).unwrap()),
                            Err(error) if matches!(error.kind(), ErrorKind::NotFound { .. }) => {
                                assert!(!changed.contains_key(&name));
                            }
                            Err(error) => {
                                assert!(matches!(error.kind(), ErrorKind::Full { .. }), "{error}");
                            }
                        }
                    }
                }
                Change::Rename { from, to } => match transaction.rename(&name(from), &name(to)) {
                    Ok(()) => {
                        let metadata = changed.remove(&name(from)).unwrap();
                        changed.insert(name(to), metadata);
                    }
                    Err(error) if matches!(error.kind(), ErrorKind::NotFound { .. }) => {
                        assert!(!changed.contains_key(&name(from)));
                    }
                    Err(error) if matches!(error.kind(), ErrorKind::NameTaken { .. }) => {
                        assert!(changed.contains_key(&name(to)));
                    }
                    Err(error) => {
                        assert!(matches!(error.kind(), ErrorKind::Full { .. }), "{error}");
                    }
                },
            }
        }
        if matches!(after, After::Drop) {
            drop(transaction);
        } else {
            transaction.commit().unwrap();
            model = changed;
        }
        if matches!(after, After::Reopen) {
            let (opened, found) = options().verify(Verify::Always).open(medium.clone()).unwrap();
            assert!(found.mended.is_empty());
            store = opened;
        }
        is_there(&medium, &store, &model);
    }
    // However full it is, one after the other.
    for name in model.into_keys() {
        delete(&mut store, Some(name).into_iter());
    }
    assert_eq!(levels(&medium.bytes(), store.generation()), 0);
    assert_eq!(store.capacity().free, empty.free);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn it_is_a_map_whatever_is_split_and_merged(
        steps in proptest::collection::vec(
            (changes(), prop_oneof![4 => Just(After::Commit), 1 => Just(After::Drop), 1 => Just(After::Reopen)]),
            1..14,
        ),
        // Sizes at which some stores are full.
        (unit, bytes) in prop_oneof![
            3 => (Just(64), 20_000..400_000_usize),
            3 => (Just(64), Just(4_000_000_usize)),
            1 => (Just(4096), 100_000..2_000_000_usize),
            1 => (Just(1 << 15), 400_000..4_000_000_usize),
        ],
    ) {
        run(unit, bytes, &steps);
    }
}

/// 2300 bytes of metadata, and 52 of the entry, leave room for one in a page of 4416. A page of 1024 has less than 32
/// children of 32 bytes at least.
#[test]
fn levels_come_and_go() {
    let medium = Plain::new(vec![0; DATA + 4_000_000]);
    let mut store = options().create_new(medium.clone()).unwrap();
    let level = |store: &Store<Plain>| levels(&medium.bytes(), store.generation());
    assert_eq!(level(&store), 0);
    put(&mut store, (0..1).map(name), 2300);
    assert_eq!(level(&store), 0);
    put(&mut store, (1..2).map(name), 2300);
    assert_eq!(level(&store), 1);
    put(&mut store, (2..NAMES).map(name), 2300);
    assert_eq!(level(&store), 2);
    delete(&mut store, (5..NAMES).map(name));
    assert_eq!(level(&store), 1);
    delete(&mut store, (1..5).map(name));
    assert_eq!(level(&store), 0);
    assert_eq!(store.snapshot().unwrap().blobs(), 1);
}

/// A page of 26 children is the only one of its level, and too long for a root: 26 of 32 bytes are 832, the root has 176 bytes
/// before them, and 1024 at most. It becomes the root when it has become shorter.
#[test]
fn levels_go_with_the_last_page_that_shrinks() {
    let medium = Plain::new(vec![0; DATA + 4_000_000]);
    let mut store = options().create_new(medium.clone()).unwrap();
    let level = |store: &Store<Plain>| levels(&medium.bytes(), store.generation());
    let (names, between) = (|number: u16| format!("{number:05}"), |one: u16| format!("00005{one}"));
    put(&mut store, (0..33).map(names), 2300);
    assert_eq!(level(&store), 2);
    for one in 0..10 {
        put(&mut store, std::iter::once(between(one)), 2300);
    }
    for one in (0..33).rev() {
        delete(&mut store, std::iter::once(names(one)));
    }
    assert_eq!(level(&store), 1);
    for one in 0..9 {
        delete(&mut store, std::iter::once(between(one)));
    }
    assert_eq!(level(&store), 0);
}

/// The tags that another implementation puts, by the documentation, are those that are there.
#[test]
fn all_tags_are_those_of_the_documentation() {
    let medium = Plain::new(vec![0; DATA + 4_000_000]);
    let mut store = options().create_new(medium.clone()).unwrap();
    put(&mut store, (0..NAMES).map(name), 2300);
    let image = medium.bytes();
    assert_eq!(levels(&image, store.generation()), 2);
    let mut sealed = image.clone();
    seal(&mut sealed);
    assert!(sealed == image);
}

/// Each of 800 blobs has a page of its own. The pages above have 20 each when they were split: five eighths of 1024 bytes
/// in children of 32. So there are 40, in two pages of 20. If all that is below the first one of a page goes, the next one
/// takes its name.
#[test]
fn a_blob_put_in_place_of_a_removed_page_is_found() {
    let name = |number: u16| format!("{number:04}");
    for gone in [0..20, 0..400, 20..40, 400..420] {
        let medium = Plain::new(vec![0; DATA + 16_000_000]);
        let mut store = options().create_new(medium.clone()).unwrap();
        put(&mut store, (0..800).map(name), 2300);
        delete(&mut store, gone.clone().map(name));
        let new = gone.end - 1;
        put(&mut store, Some(name(new)).into_iter(), 0);
        assert_eq!(store.reader().load(&name(new)).unwrap(), name(new).as_bytes());
        let (store, _) = options().open(medium).unwrap();
        let found: Vec<String> =
            store.reader().list().unwrap().iter().map(|info| info.name.to_string()).collect();
        let left = (0..800).filter(|number| !gone.contains(number) || *number == new);
        assert!(found.into_iter().eq(left.map(name)), "{gone:?}");
    }
}

/// With units of 8192 bytes the place of a root is larger than that of a page, with smaller ones it is not. The free
/// space is in pieces of two units.
#[test]
fn an_accepted_blob_can_be_committed_with_any_unit() {
    let last = 20 + cases(40).min(40) as usize;
    let stores =
        [64, 4096, 8192, 32_768].into_iter().flat_map(|unit| (20..last).map(move |n| (unit, n)));
    for (unit, places) in stores {
        let place = unit.max(4416_usize.next_multiple_of(unit));
        let bytes = DATA.next_multiple_of(unit) + 2 * places * place;
        let mut store = options().unit(unit as u64).create_new(Plain::new(vec![0; bytes])).unwrap();
        let mut transaction = store.begin().unwrap();
        let is_put = |number: &usize| {
            transaction
                .put(name(*number as u16).as_str(), &vec![0; (1 + number % 2) * place])
                .is_ok()
        };
        let blobs = (0..NAMES.into()).take_while(is_put).count();
        transaction.commit().unwrap();
        for number in (1..blobs as u16).step_by(2) {
            delete(&mut store, Some(name(number)).into_iter());
        }
        let mut transaction = store.begin().unwrap();
        let metadata = [1; 4096];
        let is_put = |number: &u16| {
            transaction.put(Attributes::new(&number.to_string()).metadata(&metadata), &[]).is_ok()
        };
        let more = (1000..=u16::MAX).take_while(is_put).count();
        assert!(more < usize::from(u16::MAX - 1000), "the store is full at last");
        transaction.commit().unwrap();
    }
}

/// 36 blobs, each with a page of its own, in three levels.
fn deep() -> Lived {
    let put = |name| Deed::Put { name, len: 10, metadata: 255 };
    let step =
        |names: core::ops::Range<u8>| Step { deeds: names.map(put).collect(), end: End::Commit };
    live(DATA + 600_000, &[step(0..20), step(20..36)])
}

#[test]
fn damage_of_one_copy_of_any_page_loses_nothing_and_of_both_what_is_below() {
    let lived = deep();
    let tables = lived.tables();
    assert!(tables.len() > 2 * 36, "{}", tables.len());
    for copies in tables.chunks(2) {
        for hit in [&copies[..1], &copies[1..], copies] {
            let mut image = lived.image.clone();
            for copy in hit {
                image[(copy.start + copy.end) as usize / 2] ^= 1;
            }
            damage_costs_what_it_touches(&lived, &image);
        }
    }
}

#[test]
fn a_page_that_is_lost_is_reported_with_what_can_be_done() {
    let lived = deep();
    let mut image = lived.image.clone();
    let page = lived.tables().chunks(2).last().unwrap().to_vec();
    for copy in &page {
        image[copy.start as usize] ^= 1;
    }
    let refused = options().open(Plain::new(image)).unwrap_err().to_string();
    let place = format!(
        "a page of the table, in both copies, is damaged ({} bytes at offset {}); the blobs that it named cannot be \
         found any more",
        page[0].end - page[0].start,
        page[0].start
    );
    assert!(refused.starts_with(&place), "{refused}");
}

/// Each list is one that was committed, and each of its blobs can be found or was replaced.
#[test]
fn readers_beside_a_writer_see_one_commit() {
    let medium = Plain::new(vec![0; DATA + 2_000_000]);
    let mut store = options().create_new(medium.clone()).unwrap();
    put(&mut store, (0..60).map(name), 2300);
    let reader = Reader::open(medium.clone()).unwrap();
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let mut seen = 0;
            while seen < 40 {
                let list = reader.list().unwrap();
                // The blobs come and go ten at once.
                assert_eq!(list.len() % 10, 0, "{list:?}");
                seen += 1;
                match reader.load(&name(7)) {
                    Ok(bytes) => assert_eq!(bytes, name(7).as_bytes()),
                    Err(error) => {
                        assert!(matches!(error.kind(), ErrorKind::NotFound { .. }), "{error}");
                    }
                }
            }
        });
        while !reading.is_finished() {
            delete(&mut store, (0..50).map(name));
            put(&mut store, (0..20).map(name), 1500);
            put(&mut store, (20..50).map(name), 2300);
        }
    });
    let snapshot = reader.snapshot().unwrap();
    let mut entries = snapshot.entries();
    assert!(entries.next().unwrap().is_ok());
    delete(&mut store, (0..10).map(name));
    assert!(matches!(
        entries.next().map(|next| next.map_err(ErrorKind::from)),
        Some(Err(ErrorKind::Replaced))
    ));
    assert!(entries.next().is_none());
    assert!(matches!(
        snapshot.find(&name(20)).as_ref().map_err(Error::kind),
        Err(ErrorKind::Replaced)
    ));
}
