//! Workloads of several threads: the orders that are tried, and the failures found in them.

use cachemaint::medium::{Medium, Readable};
use cachemaint::sim::{Model, SimMedium, Simulation, Violation, ViolationKind, sync};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicU64};
use std::cell::RefCell;
use std::collections::BTreeSet;

/// Threads that store `1, 2, 3` to a word each.
fn count(medium: &SimMedium, at: u64) {
    for value in 1..=3 {
        medium.store(at, value, Relaxed);
    }
}

#[test]
fn every_order_is_tried_once() {
    // Six operations, of which three are of one thread: 6! / (3! 3!) = 20 orders. Without preemptions one
    // thread comes before the other.
    for (preemptions, orders) in [(6, 20), (0, 2)] {
        let outcome = Simulation::new(Model::caches_kept(), 128).preemptions(preemptions).explore(
            |medium, _notes| {
                medium.run_threads(&[&|| count(medium, 0), &|| count(medium, 64)]);
            },
            |_medium, _notes: &[()]| Ok(()),
        );
        outcome.assert_safe();
        assert_eq!(outcome.schedules(), orders, "{preemptions} preemptions");
    }
}

#[test]
fn crash_states_are_explored_in_every_order() {
    // With the caches kept a crash leaves all executed stores: all pairs of the stores of two threads.
    let found = RefCell::new(BTreeSet::new());
    let outcome = Simulation::new(Model::caches_kept(), 128).preemptions(6).explore(
        |medium, _notes| medium.run_threads(&[&|| count(medium, 0), &|| count(medium, 64)]),
        |medium, _notes: &[()]| {
            found.borrow_mut().insert((medium.load(0, Relaxed), medium.load(64, Relaxed)));
            Ok(())
        },
    );
    outcome.assert_safe();
    assert_eq!(found.into_inner().len(), 16, "each of 0..=3 with each of 0..=3");
}

#[test]
fn a_thread_that_waits_lets_another_one_go_on() {
    let outcome = Simulation::new(Model::neutral(), 128).explore(
        |medium, notes| {
            let is_ready = AtomicBool::new(false);
            let writer = || {
                medium.store(0, 1, Relaxed);
                medium.persist(0..8).unwrap();
                is_ready.store(true, Release);
            };
            let reader = || {
                while !is_ready.load(Acquire) {
                    medium.pause();
                }
                notes.add("the reader knows");
            };
            medium.run_threads(&[&writer, &reader]);
        },
        |medium, notes| {
            let is_there = medium.load(0, Relaxed) == 1;
            if notes.is_empty() || is_there {
                Ok(())
            } else {
                Err(Violation::lost("what the reader knew"))
            }
        },
    );
    outcome.assert_safe();
}

#[test]
fn a_race_is_found_in_the_order_that_shows_it() {
    // Two increments of a persistent counter, load and store apart: one can be lost.
    let increment = |medium: &SimMedium, acknowledged: &AtomicU64| {
        let value = medium.load(0, Relaxed);
        medium.store(0, value + 1, Relaxed);
        medium.persist(0..8).unwrap();
        acknowledged.fetch_add(1, Relaxed)
    };
    let explore = |preemptions| {
        Simulation::new(Model::x86(), 64).zeros().preemptions(preemptions).explore(
            |medium, notes| {
                let acknowledged = AtomicU64::new(0);
                let thread = || notes.add(increment(medium, &acknowledged));
                medium.run_threads(&[&thread, &thread]);
            },
            |medium, notes| {
                let value = medium.load(0, Relaxed);
                let expected = notes.len() as u64;
                if value >= expected {
                    Ok(())
                } else {
                    Err(Violation::lost(format!("{value} of {expected}")))
                }
            },
        )
    };
    explore(0).assert_safe();
    let outcome = explore(1);
    assert_eq!(outcome.failure().map(|failure| failure.violation().text()), Some("1 of 2"));
}

#[test]
fn a_race_between_accesses_to_ordinary_memory_is_found() {
    // Two threads take a slot each. Between the look at the number of the next slot and its change there is no operation
    // on the medium.
    let explore = |take: fn(&sync::AtomicU64) -> u64| {
        Simulation::new(Model::x86(), 128).zeros().preemptions(1).explore(
            |medium, notes| {
                let next = sync::AtomicU64::new(0);
                let thread = |number| {
                    let at = 64 * take(&next);
                    medium.store(at, number, Relaxed);
                    medium.persist(at..at + 8).unwrap();
                    notes.add(number);
                };
                medium.run_threads(&[&|| thread(1), &|| thread(2)]);
            },
            |medium, notes| {
                let there = [0, 64].map(|at| medium.load(at, Relaxed));
                let lost = notes.iter().find(|number| !there.contains(number));
                lost.map_or(Ok(()), |number| Err(Violation::lost(format!("number {number}"))))
            },
        )
    };
    let taken_apart = explore(|next| {
        let slot = next.load(Relaxed);
        next.store(slot + 1, Relaxed);
        slot
    });
    let kind = taken_apart.failure().map(|failure| failure.violation().kind());
    assert_eq!(kind, Some(ViolationKind::Lost));
    explore(|next| next.fetch_add(1, Relaxed)).assert_safe();
}

/// Returns the report of the exploration about a workload that fails by itself.
fn workload_failure(workload: impl Fn(&SimMedium)) -> String {
    let outcome = Simulation::new(Model::x86(), 64)
        .operations(1000)
        .explore(|medium, _notes| workload(medium), |_medium, _notes: &[()]| Ok(()));
    let kind = outcome.failure().map(|failure| failure.violation().kind());
    assert_eq!(kind, Some(ViolationKind::Workload));
    outcome.failure().map(ToString::to_string).unwrap_or_default()
}

#[test]
fn threads_that_all_wait_are_a_failure() {
    let text = workload_failure(|medium| {
        let wait = || loop {
            medium.pause();
        };
        medium.run_threads(&[&wait, &wait]);
    });
    assert!(text.contains("every thread that has not ended is waiting"), "{text}");
}

#[test]
fn threads_that_all_spin_are_a_failure() {
    let waiting = workload_failure(|medium| {
        let is_free = sync::AtomicBool::new(false);
        let wait = || {
            while !is_free.load(Acquire) {
                sync::spin_loop();
            }
        };
        medium.run_threads(&[&wait, &wait]);
    });
    assert!(waiting.contains("every thread that has not ended is waiting"), "{waiting}");
    let spinning = workload_failure(|medium| {
        let lock = sync::AtomicBool::new(true);
        let take = || {
            while lock.swap(true, Acquire) {
                sync::spin_loop();
            }
        };
        medium.run_threads(&[&take, &take]);
    });
    assert!(spinning.contains("does this end?"), "{spinning}");
}

#[test]
fn a_thread_that_panics_is_a_failure_with_its_message() {
    let text = workload_failure(|medium| {
        let fails = || panic!("this one");
        let waits = || medium.store(0, 1, Relaxed);
        medium.run_threads(&[&fails, &waits]);
    });
    assert!(text.contains("thread 0: this one"), "{text}");
}

#[test]
fn a_workload_that_waits_forever_is_a_failure() {
    let text = workload_failure(|medium| {
        loop {
            medium.pause();
        }
    });
    assert!(text.contains("does this end?"), "{text}");
}

#[test]
fn a_workload_that_does_not_end_is_a_failure() {
    let text = workload_failure(|medium| {
        loop {
            medium.fence();
        }
    });
    assert!(text.contains("does this end?"), "{text}");
}
