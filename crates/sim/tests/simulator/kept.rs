//! State that a workload or a recovery keeps in ordinary memory from run to run.

use cachemaint::medium::Medium;
use cachemaint_sim::{Exploration, Model, Notes, SimMedium, Simulation, Violation, ViolationKind};
use core::cell::{Cell, RefCell};
use core::sync::atomic::Ordering::Relaxed;

/// Explores a medium of two lines.
fn explore(
    workload: impl Fn(&SimMedium, &Notes<'_, u64>),
    recovery: impl Fn(&SimMedium, &[u64]) -> Result<(), Violation>,
) -> Exploration {
    Simulation::new(Model::X86, 128).zeros().explore(workload, recovery)
}

#[track_caller]
fn assert_fails(outcome: &Exploration, kind: ViolationKind, with: &str) {
    let violation = outcome.failure.as_deref().map(|failure| failure.violation.clone());
    assert_eq!(violation.as_ref().map(|violation| violation.kind), Some(kind), "{outcome}");
    assert!(violation.is_some_and(|violation| violation.text.contains(with)));
}

fn set(medium: &SimMedium, at: u64, word: u64) {
    medium.store(at, word, Relaxed);
    medium.persist(at..at + 8).unwrap();
}

#[test]
fn an_index_that_a_crash_would_lose_is_a_failure() {
    let index = RefCell::new(Vec::new());
    let outcome = explore(
        |medium, notes| {
            index.borrow_mut().clear();
            for at in [0, 64] {
                set(medium, at, at + 1);
                index.borrow_mut().push(at);
                notes.add(at + 1);
            }
        },
        |medium, notes| {
            let found: Vec<_> = index.borrow().iter().map(|at| medium.load(*at, Relaxed)).collect();
            Violation::unless(notes.iter().all(|note| found.contains(note)), || "lost".into())
        },
    );
    assert_fails(&outcome, ViolationKind::Differs, "before the workload");
}

#[test]
fn a_recovery_that_reads_other_words_in_every_second_run_is_a_failure() {
    let runs = Cell::new(0);
    let outcome = explore(
        |medium, _notes| {
            medium.store(0, 1, Relaxed);
            set(medium, 64, 2);
        },
        |medium, _notes| {
            runs.set(runs.get() + 1);
            medium.load(64 * (runs.get() % 2), Relaxed);
            Ok(())
        },
    );
    assert_fails(&outcome, ViolationKind::Differs, "other operations");
}

#[test]
fn a_workload_that_stores_another_number_in_each_run_is_a_failure() {
    let runs = Cell::new(0);
    let outcome = explore(
        |medium, notes| {
            runs.set(runs.get() + 1);
            set(medium, 0, runs.get());
            notes.add(runs.get());
        },
        |medium, notes| {
            let found = medium.load(0, Relaxed);
            Violation::unless(notes.iter().all(|note| *note == found), || format!("{found}"))
        },
    );
    assert_fails(&outcome, ViolationKind::Workload, "other values");
}

/// A workload of threads that run in several orders does the same again in each.
#[test]
fn a_workload_that_keeps_its_results_alone_is_safe() {
    let found = RefCell::new(Vec::new());
    let outcome = explore(
        |medium, notes| {
            let add = || set(medium, 0, medium.load(0, Relaxed) + 1);
            medium.run_threads(&[&add, &add]);
            notes.add(medium.load(0, Relaxed));
        },
        |medium, _notes| {
            found.borrow_mut().push(medium.load(0, Relaxed));
            Ok(())
        },
    );
    outcome.assert_safe();
    assert!(outcome.schedules > 1, "{outcome}");
}
