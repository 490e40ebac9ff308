//! The work of a commit, which does not grow with the store.

use crate::claims::DATA;
use crate::counting::Counting;
use crate::plain::Plain;
use cachemaint::preserve::{Attributes, Options, Store};
use core::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;

const FEW: usize = 100;
const MANY: usize = 100_000;
/// Commits of each kind that are counted.
const COMMITS: usize = 60;

type Counted = Arc<Counting<Plain>>;

/// The bytes of each blob, which take one unit.
const BLOB: [u8; 48] = [7; 48];

fn name(number: usize) -> String {
    format!("blob {number:06}")
}

/// A store of so many blobs, each at a multiple of `alignment`.
fn filled(blobs: usize, alignment: u64) -> (Counted, Store<Counted>) {
    let bytes = DATA + blobs * (alignment as usize + 600) + (1 << 20);
    let medium = Arc::new(Counting::new(Plain::new(vec![0; bytes])));
    let options = Options::with_entropy([1, 2]).unit(64);
    let mut store = options.create_new(Arc::clone(&medium)).unwrap();
    let mut transaction = store.begin().unwrap();
    for number in 0..blobs {
        let name = name(number);
        let attributes = Attributes::new(&name).alignment(alignment);
        transaction.put(attributes, &BLOB).unwrap();
    }
    transaction.commit().unwrap();
    (medium, store)
}

/// Puts, replaces, renames and deletes blobs at places all over the store, each in a transaction of its own: the bytes stored
/// and looked at for a commit of each kind, on average.
fn costs(medium: &Counted, store: &mut Store<Counted>, blobs: usize) -> [u64; 4] {
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
    let (medium, mut store) = filled(FEW, 64);
    let few = costs(&medium, &mut store, FEW);
    let (medium, mut store) = filled(MANY, alignment);
    let many = costs(&medium, &mut store, MANY);
    for (few, many) in few.into_iter().zip(many) {
        assert!(many <= 2 * few, "{few}, {many}");
    }
    drop(store);
    let (store, opened) = Options::with_entropy([1, 2]).open(medium).unwrap();
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
