//! One thread stores, another one acknowledges it to the outside world.

use super::{ACKNOWLEDGED, EACH, Source, assert_found, assert_safe};
use cachemaint::medium::{Medium, Readable};
use cachemaint_sim::ViolationKind::Lost;
use cachemaint_sim::{Cause, Exploration, Model, Notes, SimMedium, Simulation, Violation, sync};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// The offsets of the data and of the flag that they are handed over: each in a line of its own.
const DATA: u64 = 0;
const READY: u64 = 64;

/// The thread that persists, and its method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// The thread that stores, before it hands over.
    Writer,
    /// A bug: it writes back, and leaves the fence to the other thread.
    FenceElsewhere,
    /// The thread that takes over, after it has ordered the observed stores.
    TakenUp,
    /// The thread that takes over, without ordering the observed stores: a bug, but for x86.
    NotTakenUp,
}

const SOURCE: Source = Source { file: file!(), text: include_str!("threads.rs") };

fn write(medium: &SimMedium, way: Way) {
    medium.store(DATA, 1, Relaxed);
    if matches!(way, Way::Writer | Way::FenceElsewhere) {
        medium.issue_writeback(DATA..DATA + 8).unwrap();
    }
    if way == Way::Writer {
        medium.fence();
    }
    medium.store(READY, 1, Release);
}

fn take_over(medium: &SimMedium, notes: &Notes<'_, ()>, way: Way) {
    while medium.load(READY, Acquire) == 0 {
        medium.pause();
    }
    if way == Way::TakenUp {
        medium.order_observed();
    }
    if matches!(way, Way::TakenUp | Way::NotTakenUp) {
        medium.issue_writeback(DATA..DATA + 8).unwrap();
    }
    if way != Way::Writer {
        medium.fence();
    }
    notes.add(());
}

fn workload(medium: &SimMedium, notes: &Notes<'_, ()>, way: Way) {
    medium.run_threads(&[&|| write(medium, way), &|| take_over(medium, notes, way)]);
}

fn judge(medium: &SimMedium, notes: &[()]) -> Result<(), Violation> {
    let is_there = medium.load(DATA, Relaxed) == 1;
    if is_there || notes.is_empty() { Ok(()) } else { Err(Violation::lost("the data")) }
}

fn explore(model: Model, way: Way) -> Exploration {
    Simulation::new(model, 128).zeros().explore(|medium, notes| workload(medium, notes, way), judge)
}

#[test]
fn both_ways_are_safe() {
    assert_safe(&EACH, |model| explore(model, Way::Writer));
    assert_safe(&EACH, |model| explore(model, Way::TakenUp));
    // On x86 the loaded store is written back.
    assert_safe(&[Model::X86], |model| explore(model, Way::NotTakenUp));
}

/// A thread announces a store to another one after the write-back, and fences only then.
#[test]
fn a_store_announced_before_its_fence_is_found() {
    let explore = |is_early: bool| {
        Simulation::new(Model::X86, 128).zeros().explore(
            |medium, _notes: &Notes<'_, ()>| {
                let is_told = sync::AtomicBool::new(false);
                let tells = || {
                    medium.store(0, 1, Relaxed);
                    medium.issue_writeback(0..8).unwrap();
                    if is_early {
                        is_told.store(true, Release);
                    }
                    medium.fence();
                    is_told.store(true, Release);
                };
                let relies = || {
                    while !is_told.load(Acquire) {
                        sync::spin_loop();
                    }
                    medium.store(64, 1, Relaxed);
                    medium.persist(64..72).unwrap();
                };
                medium.run_threads(&[&tells, &relies]);
            },
            |medium, _notes| {
                let [first, second] = [0, 64].map(|at| medium.load(at, Relaxed));
                Violation::unless(first >= second, || "the second one alone".to_owned())
            },
        )
    };
    explore(false).assert_safe();
    let early = explore(true);
    let failure = early.failure.as_deref().expect("it is announced too early");
    assert!(matches!(failure.cause, Some(Cause::Unordered { .. })), "{failure}");
}

#[test]
fn a_fence_on_another_thread_is_found() {
    let store = SOURCE.at("medium.store(DATA, 1, Relaxed);");
    let explore = |model| explore(model, Way::FenceElsewhere);
    assert_found(&EACH, explore, Lost, ACKNOWLEDGED, &[("store", &store)]);
}

#[test]
fn another_threads_store_that_is_not_taken_up_is_found() {
    let store = SOURCE.at("medium.store(DATA, 1, Relaxed);");
    let models = [Model::ARM64, Model::NEUTRAL];
    let explore = |model| explore(model, Way::NotTakenUp);
    assert_found(&models, explore, Lost, ACKNOWLEDGED, &[("store", &store)]);
}
