//! Workloads of several threads: the orders that are tried, and the failures found in them.

use cachemaint::medium::{Medium, Readable};
use cachemaint_sim::{Model, Notes, SimMedium, Simulation, Violation, ViolationKind, sync};
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
        let outcome = Simulation::new(Model::CACHES_KEPT, 128).preemptions(preemptions).explore(
            |medium, _notes| {
                medium.run_threads(&[&|| count(medium, 0), &|| count(medium, 64)]);
            },
            |_medium, _notes: &[()]| Ok(()),
        );
        outcome.assert_safe();
        assert_eq!(outcome.schedules, orders, "{preemptions} preemptions");
    }
}

#[test]
fn crash_states_are_explored_in_every_order() {
    // With the caches kept a crash leaves all executed stores: all pairs of the stores of two threads.
    let found = RefCell::new(BTreeSet::new());
    let outcome = Simulation::new(Model::CACHES_KEPT, 128).preemptions(6).explore(
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
    let outcome = Simulation::new(Model::NEUTRAL, 128).explore(
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
        Simulation::new(Model::X86, 64).zeros().preemptions(preemptions).explore(
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
    assert_eq!(outcome.failure.as_deref().map(|failure| &*failure.violation.text), Some("1 of 2"));
}

#[test]
fn a_race_between_accesses_to_ordinary_memory_is_found() {
    // Two threads take a slot each. Between the look at the number of the next slot and its change there is no operation
    // on the medium.
    let explore = |take: fn(&sync::AtomicU64) -> u64| {
        Simulation::new(Model::X86, 128).zeros().preemptions(1).explore(
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
    let kind = taken_apart.failure.as_deref().map(|failure| failure.violation.kind);
    assert_eq!(kind, Some(ViolationKind::Lost));
    explore(|next| next.fetch_add(1, Relaxed)).assert_safe();
}

/// Returns the result of recovery that finds the word at 0 stored, once that is noted.
pub(super) fn is_there(medium: &SimMedium, notes: &[()]) -> Result<(), Violation> {
    let is_there = notes.is_empty() || medium.load(0, Relaxed) == 1;
    if is_there { Ok(()) } else { Err(Violation::lost("it")) }
}

pub(super) const EACH: [Model; 3] = [Model::X86, Model::ARM64, Model::NEUTRAL];

#[test]
fn a_fence_outside_of_threads_completes_none_of_their_write_backs() {
    for (model, place) in EACH.into_iter().flat_map(|model| [(model, 0), (model, 1)]) {
        let outcome = Simulation::new(model, 128).zeros().explore(
            |medium, notes| {
                let writer = || {
                    medium.store(0, 1, Relaxed);
                    medium.issue_writeback(0..8).unwrap();
                };
                let reader = || {
                    medium.load(64, Relaxed);
                };
                let mut bodies: [&(dyn Fn() + Sync); 2] = [&reader; 2];
                bodies[place] = &writer;
                medium.run_threads(&bodies);
                medium.fence().unwrap();
                notes.add(());
            },
            is_there,
        );
        let kind = outcome.failure.as_deref().map(|failure| failure.violation.kind);
        assert_eq!(kind, Some(ViolationKind::Lost), "{outcome}, the writer at {place}");
    }
}

#[test]
fn threads_write_back_all_that_was_stored_before_they_began() {
    for (model, by_thread) in EACH.into_iter().flat_map(|model| [(model, false), (model, true)]) {
        let outcome = Simulation::new(model, 128).zeros().explore(
            |medium, notes| {
                let store = || medium.store(0, 1, Relaxed);
                if by_thread {
                    medium.run_threads(&[&store]);
                } else {
                    store();
                }
                let persist = || {
                    medium.persist(0..8).unwrap();
                    notes.add(());
                };
                medium.run_threads(&[&|| {}, &persist]);
            },
            is_there,
        );
        outcome.assert_safe();
    }
}

#[test]
fn a_store_of_a_thread_that_has_ended_is_ordered_before_later_ones() {
    // The threads store the first word of a line, and the code behind them a later one.
    let outcome = Simulation::new(Model::ARM64, 64).zeros().explore(
        |medium, _notes: &Notes<'_, ()>| {
            medium.run_threads(&[&|| medium.store(0, 1, Relaxed), &|| {}]);
            medium.store(8, 1, Relaxed);
        },
        |medium, _notes| {
            let (later, first) = (medium.load(8, Relaxed), medium.load(0, Relaxed));
            Violation::unless(later <= first, || "the later one alone".into())
        },
    );
    outcome.assert_safe();
}

#[test]
fn several_threads_wait_for_a_word_of_the_medium() {
    let outcome = Simulation::new(Model::X86, 64).zeros().operations(1000).explore(
        |medium, _notes: &Notes<'_, ()>| {
            let wait = || {
                while medium.load(0, Acquire) == 0 {
                    medium.pause();
                }
            };
            let read = || {
                let mut word = [0; 8];
                while word == [0; 8] {
                    medium.pause();
                    medium.read(0, &mut word).unwrap();
                }
            };
            medium.run_threads(&[&wait, &read, &wait, &|| medium.store(0, 1, Release)]);
        },
        |_medium, _notes| Ok(()),
    );
    outcome.assert_safe();
}

#[test]
fn a_note_does_not_wait_for_a_store_in_the_buffer_of_another_thread() {
    let eadr = || Simulation::new(Model::X86_EADR, 128).zeros();
    let store = |medium: &SimMedium, at| {
        medium.store(at, 1, Relaxed);
        medium.fence().unwrap();
    };
    let apart = eadr().explore(
        |medium, notes| {
            let notes_its_own = || {
                store(medium, 0);
                notes.add(());
            };
            medium.run_threads(&[&|| store(medium, 64), &notes_its_own]);
        },
        is_there,
    );
    apart.assert_safe();
    // The answer of another thread that has read the store proves that the store has left the buffer.
    let answered = eadr().explore(
        |medium, notes| {
            let wait = |at| {
                while medium.load(at, Acquire) == 0 {
                    medium.pause();
                }
            };
            let asks = || {
                medium.store(0, 1, Relaxed);
                wait(64);
                notes.add(());
            };
            let answers = || {
                wait(0);
                store(medium, 64);
            };
            medium.run_threads(&[&asks, &answers]);
        },
        is_there,
    );
    answered.assert_safe();
    let by_the_next_process = eadr().explore(
        |medium, notes| {
            medium.store(0, 1, Relaxed);
            medium.killed();
            notes.add(());
        },
        is_there,
    );
    by_the_next_process.assert_safe();
    // Its own store may be lost, whatever another thread does meanwhile.
    let too_early = eadr().explore(
        |medium, notes| {
            let early = || {
                medium.store(0, 1, Relaxed);
                notes.add(());
            };
            medium.run_threads(&[&early, &|| store(medium, 64)]);
        },
        is_there,
    );
    let kind = too_early.failure.as_deref().map(|failure| failure.violation.kind);
    assert_eq!(kind, Some(ViolationKind::Lost));
}

/// Returns the report of the exploration about a workload that fails by itself.
fn workload_failure(workload: impl Fn(&SimMedium)) -> String {
    let outcome = Simulation::new(Model::X86, 64)
        .operations(1000)
        .explore(|medium, _notes| workload(medium), |_medium, _notes: &[()]| Ok(()));
    let kind = outcome.failure.as_deref().map(|failure| failure.violation.kind);
    assert_eq!(kind, Some(ViolationKind::Workload));
    outcome.failure.as_deref().map(ToString::to_string).unwrap_or_default()
}

/// The first thread has ended when the others wait.
#[test]
fn a_standstill_names_the_place_where_each_thread_waits() {
    let line = line!();
    let text = workload_failure(|medium| {
        let waits = || {
            while medium.load(0, Acquire) != 1 {
                medium.pause();
            }
        };
        let free = sync::AtomicBool::new(false);
        let spins = || {
            while !free.load(Acquire) {
                sync::spin_loop();
            }
        };
        medium.run_threads(&[&|| medium.store(8, 1, Relaxed), &waits, &spins]);
    });
    let place = |line| format!("{}:{line}:", file!());
    let (first, second) = (place(line + 4), place(line + 10));
    let all = text.lines().next().unwrap_or_default();
    assert!(all.starts_with("the workload failed: every thread"), "{all}");
    assert!(all.contains(&format!("waiting: thread 2 at {first}")), "{all}");
    assert!(all.contains(&format!(", thread 3 at {second}")), "{all}");
    assert!(!all.contains("crates/sim/src"), "{all}");
}

/// The standard library's hint lets no other thread continue.
#[test]
fn a_thread_that_loads_again_and_again_is_advised_to_pause() {
    let text = workload_failure(|medium| {
        let waits = || {
            while medium.load(0, Acquire) != 1 {
                core::hint::spin_loop();
            }
        };
        medium.run_threads(&[&waits, &|| medium.store(0, 1, Release)]);
    });
    let all = text.lines().next().unwrap_or_default();
    assert!(all.contains("thread 1: more operations") && all.contains("call `pause`"), "{all}");
    assert!(all.contains(file!()) && !all.contains("crates/sim/src"), "{all}");
}

/// Explores a workload whose fence is in another thread than its write-back.
fn fenced_elsewhere(run: impl Fn(&SimMedium, &(dyn Fn() + Sync))) -> Option<Violation> {
    let outcome = Simulation::new(Model::X86, 64).zeros().explore(
        |medium, notes| {
            run(medium, &|| {
                medium.store(0, 1, Relaxed);
                medium.issue_writeback(0..8).unwrap();
            });
            medium.fence().unwrap();
            notes.add(());
        },
        is_there,
    );
    outcome.failure.map(|failure| failure.violation)
}

#[test]
fn an_operation_of_a_thread_that_the_simulation_did_not_start_is_a_failure() {
    let spawn = |body: &(dyn Fn() + Sync)| {
        std::thread::scope(|scope| {
            scope.spawn(body);
        });
    };
    let beside = fenced_elsewhere(|_medium, body| spawn(body));
    let within = fenced_elsewhere(|medium, body| medium.run_threads(&[&|| spawn(body)]));
    for violation in [beside, within].map(Option::unwrap) {
        assert_eq!(violation.kind, ViolationKind::Workload, "{violation}");
        assert!(violation.text.contains("`run_threads` did not start"), "{violation}");
        assert!(violation.text.contains(file!()), "{violation}");
    }
}

#[test]
fn a_recovery_with_a_thread_of_its_own_is_a_failure() {
    let outcome = Simulation::new(Model::X86, 64).zeros().explore(
        |medium, _notes: &Notes<'_, ()>| medium.store(0, 1, Relaxed),
        |medium, _notes| {
            std::thread::scope(|scope| scope.spawn(|| medium.load(0, Relaxed)).join().map(drop))
                .map_err(|_panic| Violation::broken("a panic"))
        },
    );
    let violation = outcome.failure.map(|failure| failure.violation.text);
    assert!(violation.is_some_and(|text| text.contains("`run_threads` did not start")));
}

#[test]
fn a_thread_that_panics_is_a_failure_with_its_message() {
    let text = workload_failure(|medium| {
        let fails = || panic!("this one");
        let waits = || medium.store(0, 1, Relaxed);
        medium.run_threads(&[&fails, &waits]);
    });
    let first = text.lines().next().unwrap_or_default();
    assert!(first.contains("thread 1: this one") && !first.contains("crates/sim/src"), "{first}");
}
