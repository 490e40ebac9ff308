//! Locks around values in ordinary memory.

use cachemaint::medium::Medium;
use cachemaint_sim::sync::Mutex;
use cachemaint_sim::{Model, Notes, SimMedium, Simulation, Violation};
use core::sync::atomic::Ordering::Relaxed;
use std::cell::RefCell;
use std::collections::BTreeSet;

/// Both threads change the word by a load and a store.
#[test]
fn a_thread_goes_on_while_the_owner_of_a_lock_is_preempted() {
    let orders = RefCell::new(BTreeSet::new());
    let outcome = Simulation::new(Model::CACHES_KEPT, 64).zeros().explore(
        |medium, notes: &Notes<'_, usize>| {
            let lock = Mutex::new(Vec::new());
            let add = |thread| {
                lock.with_mut(|done| {
                    medium.store(0, medium.load(0, Relaxed) + 1, Relaxed);
                    done.push(thread);
                });
                notes.add(thread);
            };
            medium.run_threads(&[&|| add(1), &|| add(2)]);
            lock.with_mut(|done| orders.borrow_mut().insert(done.clone()));
            assert_eq!(medium.load(0, Relaxed), 2);
        },
        |medium, notes| {
            let found = medium.load(0, Relaxed);
            Violation::unless(found >= notes.len() as u64, || format!("{found} for {notes:?}"))
        },
    );
    outcome.assert_safe();
    assert_eq!(orders.into_inner(), BTreeSet::from([vec![1, 2], vec![2, 1]]));
}

/// Explores two threads and returns the message of their failure.
fn failure(body: impl Fn(&SimMedium, &[Mutex<u64>; 2])) -> String {
    let outcome = Simulation::new(Model::X86, 64).zeros().explore(
        |medium, _notes: &Notes<'_, ()>| body(medium, &[Mutex::new(0), Mutex::new(0)]),
        |_medium, _notes| Ok(()),
    );
    outcome.failure.map(|failure| failure.violation.text).unwrap_or_default()
}

/// Takes the second lock while it holds the first one.
fn both(medium: &SimMedium, first: &Mutex<u64>, second: &Mutex<u64>) {
    first.with_mut(|_| {
        medium.store(0, 1, Relaxed);
        second.with_mut(|value| *value += 1);
    });
}

#[test]
fn two_locks_in_two_orders_are_a_standstill_with_its_places() {
    let text = failure(|medium, [one, other]| {
        medium.run_threads(&[&|| both(medium, one, other), &|| both(medium, other, one)]);
    });
    assert!(text.starts_with("every thread that has not ended is waiting: thread 1 at"), "{text}");
    assert_eq!(text.matches(file!()).count(), 2, "{text}");
}

#[test]
fn a_panic_frees_the_lock() {
    let text = failure(|medium, [lock, _]| {
        let fails = || lock.with_mut(|_| assert_eq!(medium.load(0, Relaxed), 1, "the defect"));
        medium.run_threads(&[&fails, &|| lock.with_mut(|value| *value += 1)]);
    });
    assert!(text.starts_with("thread 1: ") && text.contains("the defect"), "{text}");
}
