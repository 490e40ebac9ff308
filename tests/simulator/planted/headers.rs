//! Two slots for a pair of words that belong together, and headers that mark the valid one.

use super::{EACH, Source, TORN, UNORDERED, assert_found, assert_safe};
use cachemaint::medium::Medium;
use cachemaint::sim::ViolationKind::Broken;
use cachemaint::sim::{Exploration, Model, Notes, SimMedium, Simulation, Violation};
use core::sync::atomic::Ordering::Relaxed;

/// The offset of the number of the valid slot; each slot is in a line of its own.
const CURRENT: u64 = 0;

const fn slot(number: u64) -> u64 {
    64 + number * 64
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    /// A single slot without a checksum: a torn pair is read.
    InPlace,
    /// The slot before is overwritten while the persistent header still refers to it.
    Reused,
}

const SOURCE: Source = Source { file: file!(), text: include_str!("headers.rs") };

struct Pair<'m, M> {
    medium: &'m M,
    bug: Option<Bug>,
}

impl<M: Medium> Pair<'_, M> {
    fn set(&self, value: u64) -> Result<(), M::Error> {
        let pair = [value.to_le_bytes(), value.to_le_bytes()].concat();
        if self.bug == Some(Bug::InPlace) {
            self.medium.write(slot(0), &pair); // in place
            return self.medium.persist(slot(0)..slot(0) + 16);
        }
        let other = 1 - self.medium.load(CURRENT, Relaxed);
        let at = slot(other);
        self.medium.write(at, &pair);
        self.medium.persist(at..at + 16)?;
        self.medium.store(CURRENT, other, Relaxed);
        if self.bug == Some(Bug::Reused) {
            return Ok(());
        }
        self.medium.persist(CURRENT..CURRENT + 8)
    }

    fn get(&self) -> (u64, u64) {
        let at = slot(self.medium.load(CURRENT, Relaxed));
        (self.medium.load(at, Relaxed), self.medium.load(at + 8, Relaxed))
    }
}

fn workload(medium: &SimMedium, _notes: &Notes<'_, ()>, bug: Option<Bug>) {
    for value in 1..=3 {
        Pair { medium, bug }.set(value).unwrap();
    }
}

/// Judges the pair: the last values may be lost, but never one of a pair alone.
fn judge(medium: &SimMedium, _notes: &[()]) -> Result<(), Violation> {
    let (one, other) = Pair { medium, bug: None }.get();
    Violation::unless(one == other, || format!("the pair is {one} and {other}"))
}

fn explore(model: Model, bug: Option<Bug>) -> Exploration {
    Simulation::new(model, 192).zeros().explore(|medium, notes| workload(medium, notes, bug), judge)
}

#[test]
fn the_pair_is_safe() {
    assert_safe(&EACH, |model| explore(model, None));
}

#[test]
fn a_torn_value_without_a_checksum_is_found() {
    let store = SOURCE.at("self.medium.write(slot(0), &pair); // in place");
    let explore = |model| explore(model, Some(Bug::InPlace));
    assert_found(&EACH, explore, Broken, TORN, &[("write", &store)]);
}

#[test]
fn a_slot_that_is_reused_too_early_is_found() {
    // The header is lost, although the slot that it would have left is overwritten. No later write-back has
    // the header's line.
    let header = SOURCE.at("self.medium.store(CURRENT, other, Relaxed);");
    let slot = SOURCE.at("self.medium.write(at, &pair);");
    let explore = |model| explore(model, Some(Bug::Reused));
    assert_found(&EACH, explore, Broken, UNORDERED, &[("kept", &slot), ("missing", &header)]);
}
