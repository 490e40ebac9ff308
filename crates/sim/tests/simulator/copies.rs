//! Copies, whose words are in no order until they return.

use super::threads::is_there;
use cachemaint::medium::{Medium, Readable};
use cachemaint_sim::{Model, Notes, SimMedium, Simulation, Violation, ViolationKind, sync};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::cell::RefCell;
use std::collections::BTreeSet;

/// The contract of `copy_unfenced`: nothing before the fence, all of it after.
#[test]
fn a_copy_may_be_lost_until_it_is_fenced() {
    for model in [Model::X86, Model::ARM64, Model::NEUTRAL] {
        for fences in [false, true] {
            let outcome = Simulation::new(model, 128).zeros().explore(
                |medium, notes| {
                    medium.copy_unfenced(&[(8, &[1; 8]), (64, &[1; 16])]).unwrap();
                    if fences {
                        medium.fence().unwrap();
                    }
                    notes.add(());
                },
                |medium, notes| {
                    let is_there = [8, 64, 72].iter().all(|at| medium.load(*at, Relaxed) != 0);
                    Violation::unless(is_there || notes.is_empty(), || "lost".to_owned())
                },
            );
            assert_eq!(outcome.failure.is_none(), fences, "{outcome}");
        }
    }
}

/// The contract of `copy_unfenced`: a store with release that follows it publishes it. It is therefore in order with
/// the copy if a line keeps the order of its stores, on x86 and arm64.
#[test]
fn a_store_behind_a_copy_of_its_line_is_not_kept_without_it() {
    type Copy = fn(&SimMedium);
    let by_process: Copy =
        |medium| medium.mortal(9).copy_unfenced(&[(8, &[1; 8]), (24, &[1; 8])]).unwrap();
    let copies: [Copy; 2] =
        [|medium| medium.copy_unfenced(&[(8, &[1; 8]), (24, &[1; 8])]).unwrap(), by_process];
    let models = [Model::X86, Model::ARM64, Model::X86_EADR].into_iter();
    for (model, copy) in models.flat_map(|model| copies.map(|copy| (model, copy))) {
        let found = RefCell::new(BTreeSet::new());
        let outcome = Simulation::new(model, 64).zeros().explore(
            |medium, _notes: &Notes<'_, ()>| {
                copy(medium);
                medium.store(0, 1, Release);
            },
            |medium, _notes| {
                found.borrow_mut().insert([8, 24, 0].map(|at| medium.load(at, Relaxed) != 0));
                Ok(())
            },
        );
        outcome.assert_safe();
        // The parts in any order, and the store after both.
        let parts = [[false, false], [true, false], [false, true], [true, true]];
        let mut allowed: BTreeSet<_> = parts.map(|[one, other]| [one, other, false]).into();
        allowed.insert([true; 3]);
        assert_eq!(found.into_inner(), allowed, "under {model}");
    }
}

#[test]
fn threads_meet_in_the_middle_of_a_copy() {
    let pair = |number: u64| [number.to_le_bytes(); 2].concat();
    let explore = |other: fn(&SimMedium, &[u8])| {
        let found = RefCell::new(BTreeSet::new());
        let outcome = Simulation::new(Model::CACHES_KEPT, 64).zeros().explore(
            |medium, notes| {
                let first = || {
                    medium.write(0, &pair(1));
                    notes.add(());
                };
                let second = || {
                    other(medium, &pair(2));
                    notes.add(());
                };
                medium.run_threads(&[&first, &second]);
            },
            |medium, notes| {
                let mut bytes = [0; 16];
                medium.read(0, &mut bytes)?;
                let numbers = [0, 8].map(|at| u64::from(bytes[at]));
                if notes.len() == 2 {
                    found.borrow_mut().insert(numbers);
                }
                Ok(())
            },
        );
        outcome.assert_safe();
        found.into_inner()
    };
    // One of them in the middle of the other leaves its second half, and the first half of this one is overwritten.
    let all = BTreeSet::from([[1, 1], [1, 2], [2, 1], [2, 2]]);
    assert_eq!(explore(|medium, bytes| medium.write(0, bytes)), all);
    assert_eq!(explore(|medium, bytes| medium.persist_copy(&[(0, bytes)]).unwrap()), all);
}

/// On x86 a thread that has loaded a store writes back all that came before it, and a copy is in order with later stores.
#[test]
fn a_copy_is_published_by_a_later_store() {
    let outcome = Simulation::new(Model::X86, 128).zeros().explore(
        |medium, notes| {
            let copies = || {
                medium.copy_unfenced(&[(0, &1_u64.to_le_bytes())]).unwrap();
                medium.store(64, 1, Release);
            };
            let persists = || {
                while medium.load(64, Acquire) == 0 {
                    medium.pause();
                }
                medium.persist(0..8).unwrap();
                notes.add(());
            };
            medium.run_threads(&[&copies, &persists]);
        },
        is_there,
    );
    outcome.assert_safe();
}

#[test]
fn a_reader_beside_a_writer_finds_a_torn_record() {
    let outcome = Simulation::new(Model::X86, 64).zeros().preemptions(1).explore(
        |medium, _notes: &Notes<'_, ()>| {
            let read = || {
                let mut record = [0; 16];
                medium.read(0, &mut record).unwrap();
                assert!(record == [0; 16] || record == [7; 16], "torn: {record:?}");
            };
            medium.run_threads(&[&|| medium.write(0, &[7; 16]), &read]);
        },
        |_medium, _notes| Ok(()),
    );
    let text = outcome.failure.as_deref().map(|failure| failure.violation.text.clone());
    assert!(text.is_some_and(|text| text.contains("torn: [")), "{outcome}");
}

/// A reader that has found a part of a copy in the caches, where it survives.
#[test]
fn a_part_of_a_copy_that_another_thread_has_read_by_bytes_is_kept() {
    let outcome = Simulation::new(Model::X86_EADR, 128).zeros().explore(
        |medium, notes| {
            let copy = || medium.copy_unfenced(&[(0, &[1; 8]), (64, &[1; 8])]).unwrap();
            let read = || {
                if medium.load(0, Relaxed) != 0 {
                    notes.add(());
                }
            };
            medium.run_threads(&[&copy, &read]);
        },
        |medium, notes| {
            let is_there = medium.load(0, Relaxed) != 0;
            Violation::unless(is_there || notes.is_empty(), || "lost".into())
        },
    );
    outcome.assert_safe();
}

/// A fence is missing between a copy and its note. Another thread has found the first part of the copy in the middle.
#[test]
fn the_other_parts_of_a_copy_are_in_the_buffer_of_the_cpu_until_the_fence() {
    let outcome = Simulation::new(Model::X86_EADR, 192).zeros().preemptions(1).explore(
        |medium, notes| {
            let copy = || {
                medium.copy_unfenced(&[(0, &[1; 8]), (64, &[1; 8])]).unwrap();
                notes.add(());
            };
            let read = || {
                if medium.load(0, Relaxed) != 0 {
                    medium.store(128, 1, Relaxed);
                }
            };
            medium.run_threads(&[&copy, &read]);
        },
        |medium, notes| {
            let is_found = medium.load(128, Relaxed) != 0;
            let is_lost = is_found && !notes.is_empty() && medium.load(64, Relaxed) == 0;
            Violation::unless(!is_lost, || "the second part".into())
        },
    );
    let kind = outcome.failure.as_deref().map(|failure| failure.violation.kind);
    assert_eq!(kind, Some(ViolationKind::Broken), "{outcome}");
}

/// It neither loads nor stores the word at its place. A write-back includes a store of another thread only if its
/// thread has loaded it.
#[test]
fn an_empty_write_within_a_word_does_nothing() {
    for model in [Model::ARM64, Model::NEUTRAL] {
        let outcome = Simulation::new(model, 64).zeros().explore(
            |medium, notes| {
                let is_stored = sync::AtomicBool::new(false);
                let stores = || {
                    medium.store(0, 1, Relaxed);
                    is_stored.store(true, Release);
                };
                let persists = || {
                    if is_stored.load(Acquire) {
                        medium.write(3, &[]);
                        medium.persist(0..8).unwrap();
                        notes.add(());
                    }
                };
                medium.run_threads(&[&stores, &persists]);
            },
            is_there,
        );
        let kind = outcome.failure.as_deref().map(|failure| failure.violation.kind);
        assert_eq!(kind, Some(ViolationKind::Lost), "{outcome}");
    }
    let alone = Simulation::new(Model::X86, 64)
        .zeros()
        .explore(|medium, _notes: &Notes<'_, ()>| medium.write(3, &[]), |_medium, _notes| Ok(()));
    assert!(alone.waste.is_empty(), "{}", alone.waste);
}
