//! Random transactions compared with a map in memory, full stores, and readers in parallel with a writer.

use crate::life::{bytes, options, why};
use crate::random::Random;
use crate::seal::{self, log};
use cachemaint::medium::{Bytes, Granularity, Medium, Readable, WriterLock};
use cachemaint_store::{Attributes, Error, ErrorKind, FormatError, Reader, Store};
use cachemaint_test_support::cases::cases;
use cachemaint_test_support::counting::Counting;
use cachemaint_test_support::erased::erased;
use cachemaint_test_support::plain::Plain;
use core::convert::Infallible;
use core::ops::Range;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{self, Relaxed};
use std::collections::BTreeMap;

/// Bytes and metadata by name.
type Blobs = BTreeMap<String, (Vec<u8>, Vec<u8>)>;

fn content(random: &mut Random) -> (Vec<u8>, Vec<u8>) {
    let len = random.one_of(&[0, 1, 8, 100, 255, 256, 257, 300, 1000, 5000, 65_536, 70_001]);
    let byte = random.next() as u8;
    let metadata = vec![byte; random.one_of(&[0, 0, 0, 5, 100, 2000, 4096])];
    ((0..len).map(|at: u32| byte ^ at as u8).collect(), metadata)
}

fn name(random: &mut Random) -> String {
    let number = random.below(24);
    if number == 0 { "z".repeat(255) } else { format!("name {number}") }
}

fn is_full<T: core::fmt::Debug>(done: &Result<T, Error<Infallible>>) -> bool {
    matches!(done.as_ref().map_err(Error::kind), Err(ErrorKind::Full { .. }))
}

/// Does a transaction on the store and on the map. An operation that does not fit is done on neither.
fn transaction(random: &mut Random, store: &mut Store<Plain>, blobs: &mut Blobs) {
    let mut after = blobs.clone();
    let mut transaction = store.begin().unwrap();
    for _ in 0..=random.below(5) {
        let (one, other) = (name(random), name(random));
        match random.below(6) {
            0 if after.contains_key(&one) => {
                let deleted = transaction.delete(&one);
                if deleted.is_ok() {
                    after.remove(&one);
                } else {
                    assert!(is_full(&deleted));
                }
            }
            1 if after.contains_key(&one) && !after.contains_key(&other) => {
                let renamed = transaction.rename(&one, &other);
                if renamed.is_ok() {
                    let moved = after.remove(&one).unwrap();
                    after.insert(other, moved);
                } else {
                    assert!(is_full(&renamed));
                }
            }
            2 => {
                let (bytes, metadata) = content(random);
                let attributes = Attributes::new(&one).metadata(&metadata);
                let attributes = attributes.alignment(random.one_of(&[1, 64, 4096]));
                let put = transaction.put_with(attributes, bytes.len() as u64, |writer| {
                    bytes.chunks(999).try_for_each(|piece| writer.append(piece))
                });
                assert!(put.is_ok() || is_full(&put), "{put:?}");
                if put.is_ok() {
                    after.insert(one, (bytes, metadata));
                }
            }
            _ => {
                let (bytes, metadata) = content(random);
                let attributes = Attributes::new(&one).metadata(&metadata);
                let attributes = attributes.alignment(random.one_of(&[1, 1, 64]));
                let put = transaction.put(attributes, &bytes);
                assert!(put.is_ok() || is_full(&put), "{put:?}");
                if put.is_ok() {
                    after.insert(one, (bytes, metadata));
                }
            }
        }
    }
    if random.once_in(8) {
        return;
    }
    transaction.commit().unwrap();
    *blobs = after;
}

fn found(store: &Store<Plain>) -> Blobs {
    let read = |name: &str| (store.load(name).unwrap(), store.metadata(name).unwrap().to_vec());
    store.list().map(|info| (info.name.to_string(), read(&info.name))).collect()
}

/// Returns what another reader, which has only the bytes, finds.
fn read_elsewhere(image: &[u8]) -> Blobs {
    let reader = Reader::open(Bytes(image)).unwrap();
    let read = |(info, metadata): (cachemaint_store::Info, &[u8])| {
        (info.name.to_string(), (reader.load(&info.name).unwrap(), metadata.to_vec()))
    };
    reader.entries().map(|entry| read(entry.unwrap())).collect()
}

#[test]
fn a_store_has_what_a_map_has() {
    for seed in 0..cases(60) {
        let mut random = Random(seed);
        let medium = Plain::zeros(random.one_of(&[48 << 10, 128 << 10, 600 << 10]));
        let unit = random.one_of(&[64, 512, 4096]);
        let (mut store, opened) = options().unit(unit).create_new(medium.clone()).unwrap();
        assert!(opened.is_new);
        let free = store.capacity().free;
        let mut blobs = Blobs::new();
        for _ in 0..40 {
            transaction(&mut random, &mut store, &mut blobs);
            if random.once_in(5) {
                assert!(found(&store) == blobs, "seed {seed}");
                assert!(read_elsewhere(&medium.bytes()) == blobs, "seed {seed}");
                assert_eq!(store.reader().capacity(), Ok(store.capacity()), "seed {seed}");
            }
            if random.once_in(20) {
                store.seal().unwrap();
            }
            if random.once_in(10) {
                let capacity = store.capacity();
                drop(store);
                let opened;
                (store, opened) = options().verify().open(medium.clone()).unwrap();
                assert!(opened.verification.unwrap().is_whole());
                // An opening can make the log smaller.
                assert!(store.capacity().free >= capacity.free, "seed {seed}");
                assert_eq!(store.reader().capacity(), Ok(store.capacity()), "seed {seed}");
            }
        }
        // Even in a full store, each blob can be deleted.
        for name in blobs.keys() {
            let mut transaction = store.begin().unwrap();
            transaction.delete(name).unwrap();
            transaction.commit().unwrap();
        }
        let capacity = store.capacity();
        assert!(capacity.free <= free);
        assert_eq!(store.list().count(), 0);
    }
}

/// Only small values, so the log takes all the space.
#[test]
fn a_store_that_is_full_of_values_can_be_opened_sealed_and_emptied() {
    for len in [0, 30, 256] {
        let medium = Plain::zeros(300 << 10);
        let (mut store, _) = options().create_new(medium.clone()).unwrap();
        let mut names = Vec::new();
        loop {
            let mut transaction = store.begin().unwrap();
            let name = format!("{:06}", names.len() * 7919 % 100_000);
            match transaction.put(&name, &vec![7; len]) {
                Ok(()) => drop(transaction.commit().unwrap()),
                Err(error) => {
                    assert!(matches!(error.kind(), ErrorKind::Full { .. }), "{error}");
                    break;
                }
            }
            names.push(name);
        }
        assert!(names.len() > 30, "{}", names.len());
        // Replacing a value needs no additional space.
        for name in names.iter().cycle().take(2 * names.len()) {
            let mut transaction = store.begin().unwrap();
            transaction.put(name, &vec![8; len]).unwrap();
            transaction.commit().unwrap();
        }
        for _ in 0..40 {
            drop(store);
            (store, _) = options().open(medium.clone()).unwrap();
        }
        store.seal().unwrap();
        let mut transaction = store.begin().unwrap();
        for name in &names {
            transaction.delete(name).unwrap();
        }
        transaction.commit().unwrap();
        assert_eq!(store.list().count(), 0);
    }
}

/// A commit writes all of them back at once.
#[test]
fn many_puts_by_pages_are_a_few_write_backs() {
    struct Pages(Counting<Plain>);
    impl Readable for Pages {
        type Error = cachemaint_test_support::counting::Broken;
        fn len(&self) -> u64 {
            self.0.len()
        }
        fn try_load(
            &self,
            at: u64,
            order: Ordering,
        ) -> Result<u64, cachemaint_test_support::counting::Broken> {
            Ok(self.load(at, order))
        }
        fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Self::Error> {
            self.0.read(at, into)
        }
        fn check(&self) -> Result<(), Self::Error> {
            self.0.check()
        }
    }
    impl Medium for Pages {
        fn load(&self, at: u64, order: Ordering) -> u64 {
            self.0.load(at, order)
        }

        fn granularity(&self) -> Granularity {
            Granularity::Page(4096)
        }
        fn atomic_unit(&self) -> usize {
            512
        }
        fn store(&self, at: u64, word: u64, order: Ordering) {
            self.0.store(at, word, order);
        }
        fn write(&self, at: u64, from: &[u8]) {
            self.0.write(at, from);
        }
        fn issue_writeback(&self, range: Range<u64>) -> Result<(), Self::Error> {
            self.0.issue_writeback(range)
        }
        fn fence(&self) -> Result<(), Self::Error> {
            self.check()
        }
        fn order_observed(&self) {}

        fn deep_persist(&self, range: Range<u64>) -> Result<(), Self::Error> {
            self.persist(range)
        }

        fn writer_lock(&self) -> Option<&WriterLock> {
            None
        }
    }
    let medium = Pages(Counting::new(Plain::zeros(64 << 20)));
    let (mut store, _) = options().unit(4096).create_new(erased(&medium)).unwrap();
    let before = 1 << 40;
    medium.0.left.store(before, Relaxed);
    let mut transaction = store.begin().unwrap();
    for number in 0..10_000 {
        let len = if number % 2 == 0 { 100 } else { 1000 };
        transaction.put(&number.to_string(), &vec![1; len]).unwrap();
    }
    transaction.commit().unwrap();
    let writebacks = before - medium.0.left.load(Relaxed);
    assert!(writebacks <= 12, "{writebacks}");
}

/// An open blob can be read, or is reported as replaced. A short one is a copy.
#[test]
fn a_reader_has_the_bytes_of_its_blob_or_learns_that_they_are_replaced() {
    let medium = Plain::zeros(64 << 10);
    let (mut store, _) = options().create_new(medium).unwrap();
    let put = |store: &mut Store<Plain>, name: &str, number| {
        let mut transaction = store.begin().unwrap();
        transaction.put(name, &bytes(number)).unwrap();
        transaction.commit().unwrap();
    };
    put(&mut store, "value", 3);
    put(&mut store, "blob", 4);
    let reader = store.reader();
    let (value, blob) = (reader.blob("value").unwrap(), reader.blob("blob").unwrap());
    put(&mut store, "other", 10);
    assert_eq!(reader.load("value").unwrap(), bytes(3));
    for number in 0..100 {
        put(&mut store, "other", 10 + number % 4);
    }
    let read = |blob: &cachemaint_store::Blob<_>| {
        let mut bytes = vec![0; blob.info().len as usize];
        blob.read_at(0, &mut bytes).map(|()| bytes).map_err(ErrorKind::from)
    };
    // The log was compacted.
    assert_eq!((read(&value), read(&blob)), (Ok(bytes(3)), Ok(bytes(4))));
    assert_eq!(reader.load("value").unwrap(), bytes(3), "it has the table of its commit");
    let mut now = reader.clone();
    now.refresh().unwrap();
    assert!(reader.commit_number() < now.commit_number());
    assert_eq!(now.load("value").unwrap(), bytes(3));
    for number in 0..100 {
        put(&mut store, "value", 5 + 2 * (number % 3));
        put(&mut store, "blob", 6);
    }
    assert_eq!((read(&value), read(&blob)), (Ok(bytes(3)), Err(ErrorKind::Replaced)));
    assert_eq!(store.blob("blob").map(|blob| blob.info().len), Ok(bytes(6).len() as u64));
}

#[test]
fn a_store_is_not_created_over_another_one() {
    let medium = Plain::zeros(64 << 10);
    drop(options().create_new(medium.clone()).unwrap());
    let refused = options().create_new(medium).unwrap_err();
    assert!(matches!(why(&refused), ErrorKind::Format(FormatError::Exists)), "{refused}");
}

/// Each write-back fails in turn. The commit exists as a whole or not at all, and the store cannot be used any more.
#[test]
fn a_commit_that_failed_ends_the_use_of_the_store() {
    for left in 0.. {
        let plain = Plain::zeros(64 << 10);
        let medium = Counting::new(plain.clone());
        let (mut store, _) = options().create_new(erased(&medium)).unwrap();
        medium.left.store(left, Relaxed);
        let mut transaction = store.begin().unwrap();
        let put = transaction.put("a", &[1; 300]);
        let done = put.and_then(|()| transaction.commit());
        medium.left.store(u64::MAX, Relaxed);
        let image = plain.bytes();
        let bytes = Bytes(&image);
        let found = Reader::open(bytes).unwrap().stat("a").unwrap();
        if done.is_ok() {
            assert!(found.is_some());
            break;
        }
        // A failed put leaves the store unchanged.
        let next = store.begin().map(drop).map_err(ErrorKind::from);
        assert!(
            next.is_ok() && found.is_none()
                || matches!(next, Err(ErrorKind::Format(FormatError::Failed))),
            "{left}"
        );
    }
}

#[test]
fn a_medium_with_anything_else_is_refused() {
    let refused = |medium: Plain| options().open(medium).unwrap_err().error;
    assert!(matches!(
        refused(Plain::zeros(64 << 10)).kind(),
        ErrorKind::Format(FormatError::Foreign { .. })
    ));
    assert!(matches!(
        refused(Plain::zeros(4096)).kind(),
        ErrorKind::Format(FormatError::Foreign { found: [0, 0, 0, 0, 0, 0, 0, 0] })
    ));
    assert!(matches!(
        refused(Plain::new(&vec![7; 64 << 10])).kind(),
        ErrorKind::Format(FormatError::Foreign { found: [7, 7, 7, 7, 7, 7, 7, 7], .. })
    ));
    let small = options().create_new(Plain::zeros((32 << 10) - 64)).unwrap_err();
    assert!(matches!(why(&small), ErrorKind::Format(FormatError::TooSmall { .. })), "{small}");
    for unit in [0, 32, 96, 1 << 31] {
        let refused = options().unit(unit).create_new(Plain::zeros(64 << 10)).unwrap_err();
        assert!(matches!(why(&refused), ErrorKind::Invalid { .. }), "{refused}");
    }
    let (_, opened) = options().open_or_create(Plain::zeros(64 << 10)).unwrap();
    assert!(opened.is_new);
}

/// A long blob is read in other steps.
#[test]
fn a_blob_of_more_than_16_mib_has_its_bytes() {
    let bytes: Vec<u8> = (0..(16_u32 << 20) + 3).map(|at| (at * 7) as u8).collect();
    let medium = Plain::zeros(20 << 20);
    let (mut store, _) = options().create_new(medium).unwrap();
    let mut transaction = store.begin().unwrap();
    transaction.put("large", &bytes).unwrap();
    transaction.commit().unwrap();
    assert!(store.load("large").unwrap() == bytes);
    let mut part = vec![0; 100_000];
    store.blob("large").unwrap().read_at(65_530, &mut part).unwrap();
    assert!(part == bytes[65_530..165_530]);
}

/// The numbers of commits end below 2^63.
#[test]
fn a_store_without_numbers_left_is_worn_out_and_can_be_read() {
    let medium = Plain::zeros(64 << 10);
    drop(options().create_new(medium.clone()).unwrap());
    let mut image = medium.bytes();
    for mirror in log(&image).unwrap().mirrors {
        seal::put(&mut image, mirror + 16, (1 << 63) - 4);
    }
    seal::seal(&mut image);
    let medium = Plain::new(&image);
    let (mut store, _) = options().open(medium.clone()).unwrap();
    let mut put = |bytes: &[u8]| {
        let mut transaction = store.begin()?;
        transaction.put("a", bytes)?;
        transaction.commit()
    };
    assert_eq!(put(b"last").unwrap(), (1 << 63) - 2);
    for _ in 0..2 {
        let refused = put(b"none").map_err(ErrorKind::from);
        assert!(matches!(refused, Err(ErrorKind::Format(FormatError::WornOut))), "{refused:?}");
    }
    let image = medium.bytes();
    assert_eq!(Reader::open(Bytes(&image)).unwrap().load("a").unwrap(), b"last");
    let refused = options().open(medium).unwrap_err();
    assert!(matches!(why(&refused), ErrorKind::Format(FormatError::WornOut)), "{refused}");
}

/// Shows the next image of a store each time one of the first two roots is read.
struct Compacting {
    images: Vec<Vec<u8>>,
    reads: AtomicU64,
}

impl Readable for &Compacting {
    type Error = Infallible;

    fn len(&self) -> u64 {
        self.images[0].len() as u64
    }

    fn try_load(&self, at: u64, _: Ordering) -> Result<u64, Infallible> {
        let mut word = [0; 8];
        self.read(at, &mut word)?;
        Ok(u64::from_le_bytes(word))
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Infallible> {
        let reads = self.reads.fetch_add(u64::from(at < 8192), Relaxed);
        let image = &self.images[reads as usize % self.images.len()];
        into.copy_from_slice(&image[at as usize..][..into.len()]);
        Ok(())
    }

    fn check(&self) -> Result<(), Infallible> {
        Ok(())
    }
}

#[test]
fn a_reader_that_is_always_overtaken_gives_up() {
    let medium = Plain::zeros(48 << 10);
    let (mut store, _) = options().create_new(medium.clone()).unwrap();
    let root = |image: &[u8]| seal::u64_at(image, 40).max(seal::u64_at(image, 4096 + 40));
    let mut images = vec![medium.bytes()];
    while images.len() < 20 {
        let mut transaction = store.begin().unwrap();
        transaction.put("a", &[7; 200]).unwrap();
        transaction.commit().unwrap();
        let now = medium.bytes();
        if root(&now) > root(&images[images.len() - 1]) {
            images.push(now);
        }
    }
    let compacting = Compacting { images, reads: AtomicU64::new(0) };
    let overtaken = Reader::open(&compacting).map(drop).unwrap_err();
    assert!(matches!(overtaken.error.kind(), ErrorKind::Replaced), "{overtaken}");
    assert!(compacting.reads.load(Relaxed) >= 256, "four roots in each of 64 attempts");
}
