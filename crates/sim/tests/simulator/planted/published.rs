//! Published structures with more than one defect, or with the defect far from the store that shows it: the cause names
//! the two stores whose order fixes the failure.

use super::{EACH, Source, UNORDERED, assert_found};
use cachemaint::medium::Medium;
use cachemaint_sim::ViolationKind::Broken;
use cachemaint_sim::{Exploration, Model, SimMedium, Simulation, Violation};
use core::sync::atomic::Ordering::Relaxed;

const SOURCE: Source = Source { file: file!(), text: include_str!("published.rs") };

fn explore(
    model: Model,
    workload: impl Fn(&SimMedium),
    recovery: impl Fn(&SimMedium) -> Result<(), Violation>,
) -> Exploration {
    Simulation::new(model, 256)
        .zeros()
        .explore(|medium, _notes| workload(medium), |medium, _notes: &[()]| recovery(medium))
}

/// Words of a leaf and its new sibling, in lines of their own.
const SIBLING: u64 = 0;
const LAST_INDEX: u64 = 64;
const MOVED: u64 = 128;

/// The split of a leaf (Hwang et al., *Endurable Transient Inconsistency in Byte-Addressable Persistent B+-Tree*, FAST
/// 2018) with the sibling linked first. The index of the last key is a hint, which readers check.
fn split(medium: &SimMedium) {
    medium.store(SIBLING, MOVED, Relaxed);
    medium.persist(SIBLING..SIBLING + 8).unwrap();
    medium.store(LAST_INDEX, 1, Relaxed);
    medium.persist(LAST_INDEX..LAST_INDEX + 8).unwrap();
    medium.store(MOVED, 7, Relaxed);
    medium.persist(MOVED..MOVED + 8).unwrap();
}

/// A linked sibling has the keys that moved.
fn find_moved(medium: &SimMedium) -> Result<(), Violation> {
    let sibling = medium.load(SIBLING, Relaxed);
    let is_there = sibling == 0 || medium.load(sibling, Relaxed) == 7;
    Violation::unless(is_there, || "the sibling is empty".into())
}

#[test]
fn the_store_that_mends_is_named_and_not_the_next_one() {
    let linked = SOURCE.at("medium.store(SIBLING, MOVED, Relaxed);");
    let moved = SOURCE.at("medium.store(MOVED, 7, Relaxed);");
    let explore = |model| explore(model, split, find_moved);
    assert_found(&EACH, explore, Broken, UNORDERED, &[("kept", &linked), ("missing", &moved)]);
}

/// Words of a bucket, in lines of their own.
const ITEM: u64 = 0;
const TOKEN: u64 = 64;
const ITEMS: u64 = 128;

/// The insertion without a log (Zuo et al., *Write-Optimized and High-Performance Hashing Index Scheme for Persistent
/// Memory*, OSDI 2018), without the persist between item, token and number of items.
fn insert(medium: &SimMedium) {
    medium.store(ITEM, 7, Relaxed);
    medium.store(TOKEN, 1, Relaxed);
    medium.store(ITEMS, 1, Relaxed);
    medium.persist(0..192).unwrap();
}

/// Each token has its item, and the items that are counted have tokens.
fn count(medium: &SimMedium) -> Result<(), Violation> {
    let [item, items, token] = [ITEM, ITEMS, TOKEN].map(|at| medium.load(at, Relaxed));
    Violation::unless(token == 0 || item == 7, || "a token without an item".into())?;
    Violation::unless(items <= token, || "an item is counted and not there".into())
}

#[test]
fn a_lost_store_is_named_though_another_defect_comes_with_it() {
    let token = SOURCE.at("medium.store(TOKEN, 1, Relaxed);");
    let items = SOURCE.at("medium.store(ITEMS, 1, Relaxed);");
    let explore = |model| explore(model, insert, count);
    assert_found(&EACH, explore, Broken, UNORDERED, &[("kept", &items), ("missing", &token)]);
}
