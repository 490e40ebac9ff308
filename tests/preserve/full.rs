//! A full store: each of its blobs can be deleted, one after the other.

use crate::cases::cases;
use crate::claims::lives::{DATA, options};
use crate::plain::Plain;
use crate::random::Random;
use cachemaint::preserve::{Attributes, ErrorKind, Store};

/// The blobs that a store is filled with.
#[derive(Clone, Copy, Debug)]
struct Shape {
    unit: usize,
    /// Bytes of the store.
    bytes: usize,
    /// Bytes of a name.
    name: usize,
    metadata: usize,
    /// Bytes of the longest blob.
    longest: usize,
    /// The store is filled so often. Between, blobs from all over it are deleted.
    rounds: usize,
}

/// Equal blobs in one level, long names in a divided store, blobs each with a page of its own, and units with which the
/// places of the root, of entries and of children differ.
const SHAPES: [Shape; 5] = [
    Shape { unit: 64, bytes: 40_000, name: 4, metadata: 0, longest: 64, rounds: 1 },
    Shape { unit: 64, bytes: 140_000, name: 255, metadata: 100, longest: 5000, rounds: 4 },
    Shape { unit: 64, bytes: 140_000, name: 4, metadata: 2300, longest: 3000, rounds: 3 },
    Shape { unit: 2048, bytes: 200_000, name: 4, metadata: 4096, longest: 8192, rounds: 3 },
    Shape { unit: 8192, bytes: 600_000, name: 200, metadata: 3000, longest: 20_000, rounds: 3 },
];

/// Stores of each shape. In the last three of the second shape a deletion was refused once, after the store was opened.
const SEEDS: [u64; 8] = [0, 1, 2, 3, 4, 58, 183, 332];

impl Shape {
    /// Puts a blob; returns false if the store is full.
    fn put(&self, store: &mut Store<Plain>, name: &str, len: usize) -> bool {
        let metadata = vec![7; self.metadata];
        let mut transaction = store.begin().unwrap();
        match transaction.put(Attributes::new(name).metadata(&metadata), &vec![1; len]) {
            Ok(()) => {
                transaction.commit().unwrap();
                true
            }
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::Full { .. }), "{error}");
                false
            }
        }
    }

    /// Puts blobs until there is no room for an empty one.
    fn fill(&self, store: &mut Store<Plain>, names: &mut Vec<String>, random: &mut Random) {
        for longest in [self.longest, self.longest / 8, 64, 0] {
            let mut refused = 0;
            while refused < 2 {
                let name = format!("{:0width$}", random.below(10_000), width = self.name);
                if !names.contains(&name) && self.put(store, &name, random.below(longest + 1)) {
                    names.push(name);
                } else {
                    refused += 1;
                }
            }
        }
    }

    /// Returns a full store and the names in it.
    fn filled(&self, random: &mut Random) -> (Plain, Store<Plain>, Vec<String>) {
        let bytes = DATA.next_multiple_of(self.unit) + self.bytes + 64 * random.below(100);
        let medium = Plain::new(vec![0; bytes]);
        let mut store = options().unit(self.unit as u64).create_new(medium.clone()).unwrap();
        let mut names = Vec::new();
        self.fill(&mut store, &mut names, random);
        for _ in 1..self.rounds {
            for _ in 0..random.below(names.len()) {
                delete(&mut store, &any(&mut names, random));
            }
            self.fill(&mut store, &mut names, random);
        }
        (medium, store, names)
    }
}

/// Removes one of the names.
fn any(names: &mut Vec<String>, random: &mut Random) -> String {
    names.swap_remove(random.below(names.len()))
}

fn delete(store: &mut Store<Plain>, name: &str) {
    let mut transaction = store.begin().unwrap();
    transaction.delete(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    transaction.commit().unwrap();
}

/// Calls a test with full stores of each shape.
fn for_each_full_store(test: impl Fn(Plain, Store<Plain>, Vec<String>, &mut Random)) {
    for shape in SHAPES {
        for seed in SEEDS.into_iter().take(cases(SEEDS.len() as u64) as usize) {
            let mut random = Random(seed);
            let (medium, store, names) = shape.filled(&mut random);
            test(medium, store, names, &mut random);
        }
    }
}

#[test]
fn each_blob_of_a_full_store_can_be_deleted() {
    for_each_full_store(|medium, mut store, mut names, random| {
        while !names.is_empty() {
            delete(&mut store, &any(&mut names, random));
        }
        let (again, _) = options().open(medium).unwrap();
        assert_eq!(again.snapshot().unwrap().blobs(), 0);
        assert_eq!(again.capacity().free, store.capacity().free);
    });
}

/// To open a store and to seal it writes its root.
#[test]
fn each_blob_of_a_full_store_can_be_deleted_after_it_was_opened_and_sealed() {
    for_each_full_store(|medium, mut store, mut names, random| {
        while !names.is_empty() {
            if random.once_in(3) {
                store = options().open(medium.clone()).unwrap().0;
            }
            if random.once_in(3) {
                store.seal().unwrap();
            }
            delete(&mut store, &any(&mut names, random));
        }
    });
}

/// Of 40,000 bytes the last multiple of 32,768 leaves 7232.
#[test]
fn an_error_says_that_alignment_leaves_no_room() {
    let mut store = options().create_new(Plain::new(vec![0; 40_000])).unwrap();
    let mut transaction = store.begin().unwrap();
    let error =
        transaction.put(Attributes::new("a").alignment(32_768), &vec![1; 10_000]).unwrap_err();
    assert!(error.to_string().contains(", too few with the alignment; "), "{error}");
    transaction.put("a", &vec![1; 10_000]).unwrap();
    let error = transaction.put("b", &vec![1; 30_000]).unwrap_err();
    assert!(!error.to_string().contains("alignment"), "{error}");
}
