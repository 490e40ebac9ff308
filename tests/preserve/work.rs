//! The work of a commit, which does not grow with the store, and that of reading, which is linear in its size.

use crate::claims::lives::DATA;
use crate::counting::{Broken, Counting};
use crate::erased::{Erased, erased};
use crate::looks::Looks;
use crate::plain::Plain;
use crate::seal::seal;
use cachemaint::medium::{Medium as _, Readable};
use cachemaint::preserve::{
    Attributes, Content, Error, ErrorKind, Options, Reader, Snapshot, Store,
};
use core::convert::Infallible;
use core::sync::atomic::Ordering::{self, Relaxed};
use core::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::Mutex;

const FEW: usize = 100;
const MANY: usize = 100_000;
/// Commits of each kind that are counted.
const COMMITS: usize = 60;

type Counted = Counting<Plain>;

/// The bytes of each blob, which take one unit.
const BLOB: [u8; 48] = [7; 48];

fn name(number: usize) -> String {
    format!("blob {number:06}")
}

/// A medium for so many blobs, each at a multiple of `alignment`.
fn with_room(blobs: usize, alignment: u64) -> Counted {
    let bytes = DATA + blobs * (alignment as usize + 600) + (1 << 20);
    Counting::new(Plain::new(vec![0; bytes]))
}

/// A store of so many blobs, each at a multiple of `alignment`.
fn filled(medium: &Counted, blobs: usize, alignment: u64) -> Store<Erased<'_, Broken>> {
    let options = Options::with_entropy([1, 2]).unit(64);
    let mut store = options.create_new(erased(medium)).unwrap();
    let mut transaction = store.begin().unwrap();
    for number in 0..blobs {
        let name = name(number);
        let attributes = Attributes::new(&name).alignment(alignment);
        transaction.put(attributes, &BLOB).unwrap();
    }
    transaction.commit().unwrap();
    store
}

/// Puts, replaces, renames and deletes blobs at places all over the store, each in a transaction of its own: the bytes stored
/// and looked at for a commit of each kind, on average.
fn costs(medium: &Counted, store: &mut Store<Erased<'_, Broken>>, blobs: usize) -> [u64; 4] {
    let place = |commit: usize| commit * 7919 % blobs;
    let new = |commit: usize| format!("{}-new", name(place(commit)));
    [0, 1, 2, 3].map(|kind| {
        medium.taken();
        medium.looked_at.store(0, Relaxed);
        for commit in 0..COMMITS {
            let mut transaction = store.begin().unwrap();
            match kind {
                0 => transaction.put(&*new(commit), &BLOB).unwrap(),
                1 => transaction.put(&*name(place(commit)), &BLOB).unwrap(),
                2 => transaction.rename(&new(commit), &format!("{}+", new(commit))).unwrap(),
                _ => transaction.delete(&format!("{}+", new(commit))).unwrap(),
            }
            transaction.commit().unwrap();
        }
        (medium.taken()[0] + medium.looked_at.load(Relaxed)) / COMMITS as u64
    })
}

fn costs_at_most_twice_as_much(alignment: u64) {
    let medium = with_room(FEW, 64);
    let few = costs(&medium, &mut filled(&medium, FEW, 64), FEW);
    let medium = with_room(MANY, alignment);
    let mut store = filled(&medium, MANY, alignment);
    let many = costs(&medium, &mut store, MANY);
    for (few, many) in few.into_iter().zip(many) {
        assert!(many <= 2 * few, "{few}, {many}");
    }
    drop(store);
    let (store, opened) = Options::with_entropy([1, 2]).open(erased(&medium)).unwrap();
    assert_eq!((opened.mended.len(), store.snapshot().unwrap().blobs()), (0, MANY as u64));
}

#[test]
fn a_commit_in_a_store_of_many_blobs_costs_at_most_twice_as_much() {
    costs_at_most_twice_as_much(64);
}

/// Each blob takes 64 bytes of 128.
#[test]
fn a_commit_beside_many_gaps_costs_at_most_twice_as_much() {
    costs_at_most_twice_as_much(128);
}

/// Bytes of an entry before its name, by the documentation of the format.
const ENTRY: usize = 52;

/// Names in one root: it has 4,416 bytes of entries with units of 64, and an entry with such a name has 56.
const NAMES: usize = 78;

/// A forged store whose names have all the same blob of 1 MiB.
fn many_names_of_one_blob() -> Vec<u8> {
    let medium = Plain::new(vec![0; DATA + (2 << 20)]);
    let mut store = Options::with_entropy([1, 2]).unit(64).create_new(medium.clone()).unwrap();
    let mut transaction = store.begin().unwrap();
    for number in 0..NAMES {
        let len = if number == 0 { 1 << 20 } else { 48 };
        transaction.put(&*format!("n{number:03}"), &vec![7; len]).unwrap();
    }
    transaction.commit().unwrap();
    drop(store);
    let mut image = medium.bytes();
    let word = |image: &[u8], at: usize| {
        usize::try_from(u64::from_le_bytes(*image[at..].first_chunk().unwrap())).unwrap()
    };
    // The second generation's header, with the places of both roots. 176 bytes are before the entries of a root.
    for root in [40, 48].map(|at| word(&image, at)) {
        let first = root + 176;
        for entry in (first..).step_by(ENTRY + 4).take(NAMES).skip(1) {
            // All fields before the length of the name.
            image.copy_within(first..first + 48, entry);
        }
    }
    seal(&mut image);
    image
}

/// By the documentation a walk looks at each byte of the table 7 times at most. The blobs overlap, and are not read. The
/// constant is for headers and histories.
fn most(image: &[u8]) -> u64 {
    7 * image.len() as u64 + 10_000
}

/// Were the blob read for each name, 78 MiB would be read.
#[test]
fn a_verification_of_many_names_of_one_blob_is_linear_in_the_size_of_the_store() {
    let image = many_names_of_one_blob();
    let looks = Looks::new(&image);
    let snapshot = Snapshot::of(&looks).unwrap();
    let verification = snapshot.verify(&mut |_| ()).unwrap();
    assert_eq!((verification.whole, verification.damaged.len()), (0, NAMES));
    let count = looks.taken();
    assert!(count <= most(&image), "verified: {count}");
    assert_eq!(snapshot.entries().flatten().count(), NAMES);
    let count = looks.taken();
    assert!(count <= most(&image), "listed: {count}");
}

/// By the documentation of walks a step reads 64 bytes of the header, and 32 of each copy of the next one.
#[test]
fn a_step_of_a_list_reads_one_header_and_the_beginnings_of_the_next_one() {
    let image = many_names_of_one_blob();
    let looks = Looks::new(&image);
    let snapshot = Snapshot::of(&looks).unwrap();
    looks.taken();
    assert_eq!(snapshot.entries().flatten().count(), NAMES);
    let (entry, headers) = (ENTRY + 4, 64 + 2 * 32);
    // The last step finds the end.
    assert_eq!(looks.taken(), (NAMES * entry + (NAMES + 1) * headers) as u64);
}

/// By the documentation of walks it is read in place, without a search for its name.
#[test]
fn metadata_of_a_listed_entry_costs_its_bytes_and_one_header() {
    let medium = Plain::new(vec![0; DATA + (1 << 20)]);
    let mut store = Options::with_entropy([1, 2]).unit(64).create_new(medium.clone()).unwrap();
    let mut transaction = store.begin().unwrap();
    for number in 0..FEW {
        let (name, metadata) = (name(number), (number as u64).to_le_bytes());
        transaction.put(Attributes::new(&name).metadata(&metadata), &BLOB).unwrap();
    }
    transaction.commit().unwrap();
    let image = medium.bytes();
    let looks = Looks::new(&image);
    let snapshot = Snapshot::of(&looks).unwrap();
    let (mut entries, mut buffer) = (snapshot.entries(), [0; 9]);
    for number in 0..FEW as u64 {
        entries.next().unwrap().unwrap();
        looks.taken();
        assert_eq!(entries.metadata(&mut buffer).unwrap(), number.to_le_bytes());
        assert_eq!(looks.taken(), 8 + 64 + 2 * 32);
    }
    assert!(entries.next().is_none());
    assert_eq!(entries.metadata(&mut []).unwrap(), b"");
}

/// `stat` reads a page of each level, and no blob.
#[test]
fn stat_of_one_of_many_names_of_one_blob_reads_the_table_alone() {
    let image = many_names_of_one_blob();
    let looks = Looks::new(&image);
    let reader = Reader::open(&looks).unwrap();
    for number in [0, 40, 77] {
        looks.taken();
        let info = reader.stat(&format!("n{number:03}")).unwrap().unwrap();
        assert_eq!((info.content, info.len), (Content::Blob, 1 << 20));
        let count = looks.taken();
        // Both readings of the root, which has 176 bytes and 56 for each name, and a walk over it; headers.
        assert!(count <= 3 * (176 + 78 * 56) + 10_000, "{number}: {count}");
    }
}

/// A store whose writer commits at each reading of an entry.
struct Busy {
    medium: Plain,
    store: Mutex<Store<Plain>>,
    does_commit: AtomicBool,
    commits: AtomicU64,
}

impl Busy {
    /// Returns the number of commits since the last call.
    fn taken(&self) -> u64 {
        self.commits.swap(0, Relaxed)
    }
}

impl Readable for Busy {
    type Error = Infallible;

    fn len(&self) -> u64 {
        Readable::len(&self.medium)
    }

    fn load(&self, at: u64, order: Ordering) -> u64 {
        self.medium.load(at, order)
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Infallible> {
        if into.len() == ENTRY && self.does_commit.load(Relaxed) {
            let mut store = self.store.lock().unwrap();
            let mut transaction = store.begin().unwrap();
            transaction.put("other", &BLOB).unwrap();
            transaction.commit().unwrap();
            assert!(self.commits.fetch_add(1, Relaxed) < 10_000, "the reading does not end");
        }
        Readable::read(&self.medium, at, into)
    }

    fn check(&self) -> Result<(), Infallible> {
        self.medium.check()
    }
}

/// By the documentation after 100 attempts. Each attempt reads one entry, and so finds one commit.
#[test]
fn a_reading_that_commits_overtake_at_each_attempt_is_an_error() {
    let medium = Plain::new(vec![0; DATA + (1 << 16)]);
    let options = Options::with_entropy([1, 2]).unit(64);
    let mut store = options.create_new(medium.clone()).unwrap();
    let mut transaction = store.begin().unwrap();
    transaction.put("blob", &BLOB).unwrap();
    transaction.commit().unwrap();
    let (does_commit, commits) = (AtomicBool::new(false), AtomicU64::new(0));
    let busy = Busy { medium: medium.clone(), store: Mutex::new(store), does_commit, commits };
    let reader = Reader::open(&busy).unwrap();
    let blob = reader.blob("blob").unwrap();
    busy.does_commit.store(true, Relaxed);
    let is_overtaken = |error: Option<Error<Infallible>>| {
        assert!(matches!(error.map(ErrorKind::from), Some(ErrorKind::Replaced)));
        assert_eq!(busy.taken(), 100);
    };
    is_overtaken(reader.list().err());
    is_overtaken(reader.stat("blob").err());
    is_overtaken(reader.load("blob").err());
    is_overtaken(reader.blob("blob").err());
    // A damaged blob is looked up, as it may have been replaced.
    medium.write(blob.info().offset, &[1]);
    is_overtaken(blob.read_at(0, &mut [0; 48]).err());
    busy.does_commit.store(false, Relaxed);
    assert_eq!(reader.list().unwrap().len(), 2);
    assert!(matches!(reader.load("blob").map_err(ErrorKind::from), Err(ErrorKind::Damaged(_))));
}
