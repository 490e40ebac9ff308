//! A bucket of a hash table that is one line: which entries are valid, then keys and values.

use super::{EACH, Source, UNORDERED, assert_found, assert_safe};
use cachemaint::medium::Medium;
use cachemaint_sim::ViolationKind::Broken;
use cachemaint_sim::{Exploration, Model, Notes, SimMedium, Simulation, Violation};
use core::sync::atomic::Ordering::{Relaxed, Release};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// The entry is persisted before it becomes valid.
    Persisted,
    /// Entry and word are persisted together, and the store that makes the entry valid is a release.
    Released,
    /// Entry and word are persisted together, and the store that makes the entry valid is relaxed.
    Relaxed,
}

const SOURCE: Source = Source { file: file!(), text: include_str!("bucket.rs") };

/// The offset of the word that marks the valid entries.
const VALID: u64 = 0;
const LINE: u64 = 64;

/// Returns the key and value of an entry.
const fn entry(number: u64) -> (u64, u64) {
    (100 + number, 200 + number)
}

struct Bucket<'m, M> {
    medium: &'m M,
    way: Way,
}

impl<M: Medium> Bucket<'_, M> {
    fn insert(&self, number: u64) -> Result<(), M::Error> {
        let (key, value) = entry(number);
        let at = 8 + number * 16;
        self.medium.store(at, key, Relaxed);
        self.medium.store(at + 8, value, Relaxed);
        if self.way == Way::Persisted {
            self.medium.persist(at..at + 16)?;
        }
        let valid = self.medium.load(VALID, Relaxed) | 1 << number;
        let order = if self.way == Way::Relaxed { Relaxed } else { Release };
        self.medium.store(VALID, valid, order);
        self.medium.persist(0..LINE)
    }

    fn entries(&self) -> Vec<(u64, (u64, u64))> {
        let valid = self.medium.load(VALID, Relaxed);
        let entry = |number: u64| {
            let at = 8 + number * 16;
            (self.medium.load(at, Relaxed), self.medium.load(at + 8, Relaxed))
        };
        let numbers = (0..3).filter(|number| valid & 1 << number != 0);
        numbers.map(|number| (number, entry(number))).collect()
    }
}

fn workload(medium: &SimMedium, _notes: &Notes<'_, ()>, way: Way) {
    for number in 0..2 {
        Bucket { medium, way }.insert(number).unwrap();
    }
}

fn judge(medium: &SimMedium, _notes: &[()]) -> Result<(), Violation> {
    let entries = Bucket { medium, way: Way::Persisted }.entries();
    let is_whole = entries.iter().all(|(number, found)| *found == entry(*number));
    Violation::unless(is_whole, || format!("the entries are {entries:?}"))
}

fn explore(model: Model, way: Way) -> Exploration {
    Simulation::new(model, LINE)
        .zeros()
        .explore(|medium, notes| workload(medium, notes, way), judge)
}

#[test]
fn the_bucket_is_safe() {
    assert_safe(&EACH, |model| explore(model, Way::Persisted));
    // Stores of a line that are ordered persist in order, but for the neutral model.
    assert_safe(&[Model::X86, Model::ARM64], |model| explore(model, Way::Released));
    // On x86 each store is ordered.
    assert_safe(&[Model::X86], |model| explore(model, Way::Relaxed));
}

#[test]
fn a_missing_release_is_found_on_arm64() {
    // The first word in the order of recovery's loads can be lost alone or with the other.
    let valid = SOURCE.at("self.medium.store(VALID, valid, order);");
    let explore = |model| explore(model, Way::Relaxed);
    assert_found(&[Model::ARM64], explore, Broken, UNORDERED, &[("kept", &valid)]);
}

#[test]
fn the_order_within_a_line_is_not_relied_on_everywhere() {
    let valid = SOURCE.at("self.medium.store(VALID, valid, order);");
    let explore = |model| explore(model, Way::Released);
    assert_found(&[Model::NEUTRAL], explore, Broken, UNORDERED, &[("kept", &valid)]);
}
