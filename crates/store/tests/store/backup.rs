//! Copies of a store while a writer changes it.

use crate::life::options;
use cachemaint::medium::Readable;
use cachemaint_store::{Attributes, CopyError, ErrorKind, Reader, Store};
use cachemaint_test_support::plain::Plain;
use core::convert::Infallible;
use core::sync::atomic::Ordering;
use std::collections::BTreeMap;
use std::sync::Mutex;

/// Replaces all blobs in one commit. All bytes equal the number.
const NAMES: [&str; 4] = ["a", "b", "c", "value"];

fn replace(store: &mut Store<Plain>, number: u8) {
    let mut transaction = store.begin().unwrap();
    for name in NAMES {
        let len = if name == "value" { 100 } else { 70_000 };
        let attributes = Attributes::new(name).version(number.into()).metadata(b"m");
        transaction.put(attributes, &vec![number; len]).unwrap();
    }
    transaction.commit().unwrap();
}

/// A medium whose writer calls `does` before a chunk is read, this number of times.
struct Busy {
    medium: Plain,
    writer: Mutex<(Store<Plain>, u8)>,
    does: fn(&mut Store<Plain>, u8),
}

impl Readable for Busy {
    type Error = Infallible;

    fn len(&self) -> u64 {
        self.medium.len()
    }

    fn try_load(&self, at: u64, order: Ordering) -> Result<u64, Infallible> {
        self.medium.try_load(at, order)
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Infallible> {
        let (store, left) = &mut *self.writer.lock().unwrap();
        if into.len() > 60_000 && *left > 0 {
            *left -= 1;
            (self.does)(store, *left);
        }
        self.medium.read(at, into)
    }

    fn check(&self) -> Result<(), Infallible> {
        Ok(())
    }
}

fn content(store: &Store<Plain>) -> BTreeMap<String, (u64, Vec<u8>)> {
    let read = |name: &str| store.load(name).unwrap();
    store.list().map(|it| (it.name.to_string(), (it.version, read(&it.name)))).collect()
}

#[test]
fn a_copy_beside_a_writer_has_the_blobs_of_one_commit() {
    let medium = Plain::zeros(1 << 20);
    let (mut store, _) = options().create_new(medium.clone()).unwrap();
    replace(&mut store, 99);
    let mut transaction = store.begin().unwrap();
    transaction.create_region("ram", 4096).unwrap();
    transaction.commit().unwrap();
    let does = |store: &mut Store<Plain>, left| {
        replace(store, left);
        replace(store, 100 + left);
    };
    let busy = Busy { medium: medium.clone(), writer: Mutex::new((store, 9)), does };
    let mut reader = Reader::open(busy).unwrap();

    let (mut target, _) = options().create_new(Plain::zeros(2 << 20)).unwrap();
    let mut transaction = target.begin().unwrap();
    transaction.put("older", &[5; 1000]).unwrap();
    transaction.put("a", &[5; 1000]).unwrap();
    transaction.commit().unwrap();
    let copied = reader.copy_into(&mut target).unwrap();
    assert_eq!((copied.commit, copied.blobs), (reader.commit_number(), 4));
    assert_eq!(copied.regions.iter().map(|name| &**name).collect::<Vec<_>>(), ["ram"]);
    let found = content(&target);
    assert_eq!(found.len(), 4);
    let version = found["a"].0;
    for (name, (found, bytes)) in &found {
        let is_of_one = bytes.iter().all(|byte| u64::from(*byte) == version);
        assert!(*found == version && is_of_one, "{name}: {found}, not {version}");
    }
    // The last commit, since the writer has ended.
    assert_eq!(version, 100);
    assert_eq!(target.metadata("a").unwrap(), b"m");
}

/// Two values with the same bytes swap their names after they were copied. The chunk of a blob is replaced before it is
/// copied.
#[test]
fn a_copy_has_the_metadata_of_values_that_were_renamed() {
    let medium = Plain::zeros(1 << 20);
    let (mut store, _) = options().create_new(medium.clone()).unwrap();
    let mut transaction = store.begin().unwrap();
    for name in ["a", "b"] {
        transaction.put(Attributes::new(name).metadata(name.as_bytes()), b"x").unwrap();
    }
    transaction.put("z", &vec![1; 70_000]).unwrap();
    transaction.commit().unwrap();
    let does = |store: &mut Store<Plain>, _| {
        let mut transaction = store.begin().unwrap();
        for (from, to) in [("a", "c"), ("b", "a"), ("c", "b")] {
            transaction.rename(from, to).unwrap();
        }
        transaction.commit().unwrap();
        for number in [2, 3] {
            let mut transaction = store.begin().unwrap();
            transaction.put("z", &vec![number; 70_000]).unwrap();
            transaction.commit().unwrap();
        }
    };
    let busy = Busy { medium: medium.clone(), writer: Mutex::new((store, 1)), does };
    let (mut target, _) = options().create_new(Plain::zeros(1 << 20)).unwrap();
    Reader::open(busy).unwrap().copy_into(&mut target).unwrap();
    assert_eq!(
        (target.metadata("a").unwrap(), target.metadata("b").unwrap()),
        (&b"b"[..], &b"a"[..])
    );
}

#[test]
fn a_copy_of_a_damaged_store_changes_nothing() {
    let medium = Plain::zeros(1 << 20);
    let (mut store, _) = options().create_new(medium.clone()).unwrap();
    replace(&mut store, 1);
    let at = store.stat("b").unwrap().offset as usize;
    drop(store);
    let mut image = medium.bytes();
    image[at] ^= 1;
    let (mut target, _) = options().create_new(Plain::zeros(1 << 20)).unwrap();
    let before = target.capacity();
    let failed = Reader::open(Plain::new(&image)).unwrap().copy_into(&mut target).unwrap_err();
    let CopyError::Source(error) = failed else { panic!("{failed}") };
    assert!(matches!(error.kind(), ErrorKind::Damaged(_)), "{error}");
    assert_eq!((target.list().count(), target.capacity()), (0, before));
}
