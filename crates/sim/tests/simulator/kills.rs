//! Processes that are killed: the stores, write-backs and fences that count afterwards.

use super::threads::{EACH, is_there};
use cachemaint::medium::Medium;
use cachemaint_sim::{Model, Notes, Simulation, Violation, ViolationKind};
use core::sync::atomic::Ordering::Relaxed;
use std::cell::RefCell;
use std::collections::BTreeSet;

#[test]
fn a_thread_of_a_killed_process_stores_nothing_after_the_kill() {
    // One of two changes is made, in each order. The next process writes back all that it finds.
    let outcome = Simulation::new(Model::NEUTRAL, 64).zeros().explore(
        |medium, notes| {
            let mortal = medium.mortal(1);
            let store = || {
                mortal.load(0, Relaxed);
                mortal.store(0, 1, Relaxed);
            };
            medium.run_threads(&[&|| mortal.fence().unwrap_or(()), &store]);
            medium.persist(0..8).unwrap();
            if medium.load(0, Relaxed) == 1 {
                notes.add(());
            }
        },
        is_there,
    );
    outcome.assert_safe();
}

#[test]
fn a_killed_process_gets_an_error_from_each_call_that_persists() {
    fn persist<M: Medium>(medium: M, call: usize) -> Result<(), M::Error> {
        medium.store(0, 1, Relaxed);
        match call {
            0 => medium.persist(0..8),
            1 => medium.deep_persist(0..8),
            _ => medium.persist_copy(&[(0, &[1; 8])]),
        }
    }
    // The store and the write-back, and a copy before that, are behind it when the fence fails.
    for (call, fence) in [(0, 2), (1, 2), (2, 3)] {
        for operations in 0..6 {
            let medium = Simulation::new(Model::X86, 64).medium();
            let mortal = medium.mortal(operations);
            let is_persistent = persist(&mortal, call).is_ok();
            assert_eq!(is_persistent, operations > fence, "call {call} of {operations} operations");
        }
    }
}

/// A fence reports no kill, so the process believes that its store is persistent.
#[test]
fn a_killed_process_adds_no_notes() {
    for model in EACH {
        for operations in 0..=3 {
            let outcome = Simulation::new(model, 64).zeros().explore(
                |medium, notes| {
                    let mortal = medium.mortal(operations);
                    mortal.store(0, 1, Relaxed);
                    let _killed = mortal.issue_writeback(0..8);
                    mortal.fence().unwrap_or(());
                    mortal.load(0, Relaxed);
                    notes.add(());
                },
                is_there,
            );
            outcome.assert_safe();
        }
    }
}

/// The code continues as the next process with an operation of its own, or with a kill.
#[test]
fn the_process_after_a_killed_one_adds_notes() {
    let kinds = [false, true].map(|goes_on| {
        let outcome = Simulation::new(Model::X86, 128).zeros().explore(
            |medium, notes| {
                let mortal = medium.mortal(1);
                mortal.store(0, 1, Relaxed);
                mortal.fence().unwrap_or(());
                if goes_on {
                    medium.load(0, Relaxed);
                } else {
                    medium.killed();
                }
                notes.add(());
            },
            is_there,
        );
        outcome.failure.map(|failure| failure.violation.kind)
    });
    assert_eq!(kinds, [Some(ViolationKind::Lost); 2]);
}

/// A kill of a mortal process comes before or after a write. The model of kept caches shows what else a kill may leave.
#[test]
fn the_words_of_a_write_are_kept_in_no_order() {
    let models = [
        Model::X86,
        Model::ARM64,
        Model::NEUTRAL,
        Model::X86_EADR,
        Model::PAGES,
        Model::CACHES_KEPT,
    ];
    for model in models {
        let found = RefCell::new(BTreeSet::new());
        let outcome = Simulation::new(model, 64).zeros().explore(
            |medium, _notes: &Notes<'_, ()>| medium.write(0, &[1; 16]),
            |medium, _notes| {
                let is_there = [0, 8].map(|at| medium.load(at, Relaxed) != 0);
                found.borrow_mut().insert(is_there);
                Ok(())
            },
        );
        outcome.assert_safe();
        assert_eq!(found.into_inner().len(), 4, "{model}");
    }
    for operations in 0..3 {
        let medium = Simulation::new(Model::X86, 64).zeros().medium();
        medium.mortal(operations).write(0, &[1; 16]);
        assert_eq!(medium.load(0, Relaxed), medium.load(8, Relaxed), "{operations} operations");
    }
}

#[test]
fn a_part_of_a_copy_is_kept_when_its_process_is_killed() {
    for model in [Model::X86_EADR, Model::CACHES_KEPT] {
        let outcome = Simulation::new(model, 128).zeros().explore(
            |medium, notes| {
                medium.mortal(1).copy_unfenced(&[(0, &[1; 8]), (64, &[1; 8])]).unwrap_err();
                assert_eq!(medium.load(64, Relaxed), 0, "the copy was cut");
                notes.add(());
            },
            |medium, notes| {
                let is_there = medium.load(0, Relaxed) != 0;
                Violation::unless(is_there || notes.is_empty(), || "lost".into())
            },
        );
        outcome.assert_safe();
    }
}

#[test]
fn a_next_process_beside_the_threads_of_a_killed_one_is_refused() {
    let outcome = Simulation::new(Model::X86, 64).zeros().explore(
        |medium, _notes: &Notes<'_, ()>| {
            let mortal = medium.mortal(0);
            let goes_on = || {
                mortal.store(0, 1, Relaxed);
                medium.load(0, Relaxed);
            };
            medium.run_threads(&[&goes_on]);
        },
        |_medium, _notes| Ok(()),
    );
    let text = outcome.failure.map(|failure| failure.violation.text);
    assert!(text.is_some_and(|text| text.contains("a kill ends all threads")));
}
