//! Two counters; the second is never ahead of the first.

use super::{ACKNOWLEDGED, EACH, Source, UNORDERED, assert_found, assert_safe};
use cachemaint::medium::Medium;
use cachemaint_sim::ViolationKind::{Broken, Lost};
use cachemaint_sim::{Exploration, Model, Notes, SimMedium, Simulation, Violation};
use core::sync::atomic::Ordering::Relaxed;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    /// The counters are persisted, which is only a fence if the caches survive power loss; a reset still drops them.
    TrustsCaches,
    /// The fence is missing too: stores in the store buffer do not survive.
    TrustsStores,
}

const SOURCE: Source = Source { file: file!(), text: include_str!("counters.rs") };

/// The counters, each in a line of its own.
const FIRST: u64 = 0;
const SECOND: u64 = 64;

struct Counters<'m, M> {
    medium: &'m M,
    bug: Option<Bug>,
}

impl<M: Medium> Counters<'_, M> {
    fn count(&self, to: u64) -> Result<(), M::Error> {
        self.medium.store(FIRST, to, Relaxed);
        self.persist(FIRST)?;
        self.medium.store(SECOND, to, Relaxed);
        self.persist(SECOND)
    }

    fn persist(&self, counter: u64) -> Result<(), M::Error> {
        let range = counter..counter + 8;
        match self.bug {
            None => self.medium.deep_persist(range),
            Some(Bug::TrustsCaches) => self.medium.persist(range),
            Some(Bug::TrustsStores) => Ok(()),
        }
    }
}

fn workload(medium: &SimMedium, notes: &Notes<'_, u64>, bug: Option<Bug>) {
    for to in 1..=2 {
        Counters { medium, bug }.count(to).unwrap();
        notes.add(to);
    }
}

fn judge(medium: &SimMedium, counted: &[u64]) -> Result<(), Violation> {
    let (first, second) = (medium.load(FIRST, Relaxed), medium.load(SECOND, Relaxed));
    Violation::unless(first >= second, || format!("{second} is ahead of {first}"))?;
    match counted.last() {
        Some(counted) if *counted > second => Err(Violation::lost(format!("{counted}"))),
        _ => Ok(()),
    }
}

fn explore(model: Model, bug: Option<Bug>) -> Exploration {
    Simulation::new(model, 128).zeros().explore(|medium, notes| workload(medium, notes, bug), judge)
}

#[test]
fn the_counters_are_safe() {
    assert_safe(&EACH, |model| explore(model, None));
    assert_safe(&[Model::X86_EADR, Model::X86_EADR_RESET, Model::PAGES], |model| {
        explore(model, None)
    });
}

#[test]
fn reliance_on_surviving_caches_is_found_by_a_reset() {
    assert_safe(&[Model::X86_EADR], |model| explore(model, Some(Bug::TrustsCaches)));
    // The first counter is lost, the second is not.
    let first = SOURCE.at("self.medium.store(FIRST, to, Relaxed);");
    let second = SOURCE.at("self.medium.store(SECOND, to, Relaxed);");
    let explore = |model| explore(model, Some(Bug::TrustsCaches));
    let operations: [(_, &str); 2] = [("kept", &second), ("missing", &first)];
    assert_found(&[Model::X86_EADR_RESET], explore, Broken, UNORDERED, &operations);
}

#[test]
fn reliance_on_the_store_buffer_is_found() {
    // Both are acknowledged from the buffer; the second is read.
    let second = SOURCE.at("self.medium.store(SECOND, to, Relaxed);");
    let note = SOURCE.at("notes.add(to);");
    let explore = |model| explore(model, Some(Bug::TrustsStores));
    let operations: [(_, &str); 2] = [("store", &second), ("note", &note)];
    assert_found(&[Model::X86_EADR], explore, Lost, ACKNOWLEDGED, &operations);
}
