//! The report of an exploration: its coverage, and useless operations.

use cachemaint::medium::{Medium, Readable};
use cachemaint_sim::mutation::{Mutation, Setting, Weakening};
use cachemaint_sim::waste::Kind;
use cachemaint_sim::{
    Cause, Effort, Exploration, Failure, Model, Notes, SimMedium, Simulation, Violation,
    ViolationKind,
};
use cachemaint_test_support::skip::skip;
use core::cell::RefCell;
use core::panic::AssertUnwindSafe;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::collections::BTreeSet;
use std::panic::catch_unwind;

/// Stores two lines of two words each, which are never persisted.
fn store_four(medium: &SimMedium, _notes: &Notes<'_, ()>) {
    for at in [0, 8, 64, 72] {
        medium.store(at, 1, Relaxed);
    }
}

/// Returns the states that recovery finds.
fn states(simulation: &Simulation) -> (Exploration, BTreeSet<[u64; 4]>) {
    let found = RefCell::new(BTreeSet::new());
    let exploration = simulation.explore(store_four, |medium, _notes| {
        found.borrow_mut().insert([0, 8, 64, 72].map(|at| medium.load(at, Relaxed)));
        Ok(())
    });
    (exploration, found.into_inner())
}

#[test]
fn all_states_are_found() {
    // Each of two lines has both words, the first, or none: 3 * 3. Without order in a line: 2^4.
    for (model, number) in [(Model::X86, 9), (Model::NEUTRAL, 16)] {
        let (exploration, found) = states(&Simulation::new(model, 128).zeros());
        assert_eq!(found.len(), number);
        assert_eq!(exploration.recoveries, number as u64);
        assert!(exploration.is_exhaustive());
    }
}

/// A copy promises no order of its parts, not where the caches survive either.
#[test]
fn a_flag_in_the_copy_of_its_record_is_found_without_it() {
    for model in [Model::X86_EADR, Model::CACHES_KEPT] {
        let outcome = Simulation::new(model, 128).zeros().explore(
            |medium, _notes: &Notes<'_, ()>| {
                medium.persist_copy(&[(64, &[7; 8]), (0, &[1; 8])]).unwrap();
            },
            |medium, _notes| {
                let (flag, record) = (medium.load(0, Relaxed), medium.load(64, Relaxed));
                Violation::unless(flag == 0 || record != 0, || "the flag alone".into())
            },
        );
        let failure = outcome.failure.expect("a failure");
        assert_eq!(failure.violation.kind, ViolationKind::Broken, "{model}");
        assert!(matches!(failure.cause, Some(Cause::Unordered { .. })), "{failure}");
    }
}

#[test]
fn one_recovery_stands_for_all_states_that_it_cannot_tell_apart() {
    let outcome =
        Simulation::new(Model::NEUTRAL, 128).zeros().explore(store_four, |medium, _notes| {
            medium.load(8, Relaxed);
            Ok(())
        });
    assert_eq!(outcome.to_string(), "neutral: 1 crash, 2 recoveries; exhaustive");
}

#[test]
fn deviations_are_few_words_that_are_not_the_latest() {
    // All four words are there or one of them is not, or none is there or one is: 10 of 16 states.
    let simulation = Simulation::new(Model::NEUTRAL, 128).zeros().effort(Effort::Deviations(1));
    let (exploration, found) = states(&simulation);
    assert_eq!(found.len(), 10);
    assert!(found.iter().all(|words| words.iter().sum::<u64>() != 2));
    assert!(!exploration.is_exhaustive());
    assert!(exploration.to_string().ends_with("; not exhaustive"), "{exploration}");
}

#[test]
fn an_exploration_that_is_cut_short_fails_and_says_so() {
    let (exploration, _) = states(&Simulation::new(Model::NEUTRAL, 128).zeros().at_most(5));
    assert_eq!(exploration.recoveries, 5);
    assert!(!exploration.is_exhaustive());
    let panic = catch_unwind(|| exploration.assert_safe()).unwrap_err();
    let text = panic.downcast_ref::<String>().unwrap();
    assert!(text.contains("the limit of `Simulation::at_most` was reached"), "{text}");
}

#[test]
fn a_prepared_state_survives_every_crash() {
    let prepared =
        Simulation::new(Model::NEUTRAL, 16).zeros().prepared(|medium| medium.write(3, b"seven"));
    let outcome = prepared.explore(
        |_medium, _notes: &Notes<'_, ()>| {},
        |medium, _notes| {
            let mut bytes = [0; 9];
            medium.read(1, &mut bytes)?;
            Violation::unless(&bytes == b"\0\0seven\0\0", || format!("{bytes:?}"))
        },
    );
    outcome.assert_safe();
}

#[test]
fn lines_of_another_size_are_written_back_as_a_whole() {
    for (line, is_found) in [(64, true), (128, false)] {
        let outcome = Simulation::new(Model::X86.with_line(line), 128).explore(
            |medium, notes| {
                medium.store(0, 1, Relaxed);
                medium.store(64, 1, Relaxed);
                medium.persist(0..8).unwrap();
                notes.add(());
            },
            |medium, notes| {
                let is_there = medium.load(64, Relaxed) == 1;
                if is_there || notes.is_empty() { Ok(()) } else { Err(Violation::lost("64")) }
            },
        );
        assert_eq!(outcome.failure.is_some(), is_found, "lines of {line} bytes");
    }
}

#[test]
fn a_write_back_has_no_other_words_where_no_line_is_promised() {
    // A record of two words, of which the first alone is written back. A line may end between them: the beginning of a
    // medium need not be that of a line.
    for (model, is_lost) in [
        (Model::X86, false),
        (Model::ARM64, false),
        (Model::NEUTRAL, true),
        (Model::NEUTRAL.with_line(128), true),
    ] {
        for (written_back, is_lost) in [(64..72, is_lost), (64..80, false), (71..73, false)] {
            let outcome = Simulation::new(model, 128).zeros().explore(
                |medium, notes| {
                    medium.write(64, &[7; 16]);
                    medium.persist(written_back.clone()).unwrap();
                    notes.add(());
                },
                |medium: &SimMedium, notes: &[()]| {
                    let mut record = [0; 16];
                    medium.read(64, &mut record)?;
                    let is_there = notes.is_empty() || record == [7; 16];
                    Violation::unless(is_there, || format!("{record:?}"))
                },
            );
            assert_eq!(outcome.failure.is_some(), is_lost, "{model}: {written_back:?}");
        }
    }
}

#[test]
fn useless_and_missing_work_is_reported_by_place() {
    let first_line = line!() + 3;
    let outcome = Simulation::new(Model::X86, 128).explore(
        |medium, _notes: &Notes<'_, ()>| {
            medium.issue_writeback(64..72).unwrap();
            medium.fence().unwrap();
            medium.store(0, 1, Relaxed);
            medium.store(0, 2, Relaxed);
            medium.persist(0..8).unwrap();
            medium.persist(0..8).unwrap();
            medium.store(64, 3, Relaxed);
        },
        |_medium, _notes| Ok(()),
    );
    let found: Vec<_> = outcome
        .waste
        .iter()
        .map(|(kind, (_, line, _), times)| (kind, line - first_line, times))
        .collect();
    assert_eq!(
        found,
        [
            (Kind::NothingToWriteBack, 0, 1),
            (Kind::NothingToWriteBack, 5, 1),
            (Kind::NothingToComplete, 1, 1),
            (Kind::NothingToComplete, 5, 1),
            (Kind::Overwritten, 2, 1),
            (Kind::NeverPersisted, 6, 1),
        ]
    );
    assert_eq!(outcome.waste.count(Kind::NothingToComplete), 2);
    let assertion = || outcome.waste.assert_none_of(&[Kind::Overwritten]);
    let panic = catch_unwind(AssertUnwindSafe(assertion)).unwrap_err();
    let text = panic.downcast_ref::<String>().unwrap();
    assert!(
        text.contains("stores bytes that are overwritten before they are persistent"),
        "{text}"
    );
    outcome.waste.assert_none_of(&[]);
}

#[test]
fn stores_of_other_bytes_of_a_word_overwrite_nothing() {
    // The places of two writes of four bytes in a row, and the number of those that are overwritten.
    for (writes, overwritten) in
        [(&[0, 4][..], 0), (&[0, 2], 1), (&[0, 4, 2], 2), (&[0, 4, 0, 0], 2)]
    {
        let outcome = Simulation::new(Model::X86, 64).zeros().explore(
            |medium, _notes: &Notes<'_, ()>| {
                for at in writes {
                    medium.write(*at, &[1; 4]);
                }
                medium.persist(0..8).unwrap();
            },
            |_medium, _notes| Ok(()),
        );
        assert_eq!(outcome.waste.count(Kind::Overwritten), overwritten, "{writes:?}");
    }
}

#[test]
fn nobody_completes_what_a_killed_process_wrote_back() {
    // The next process fences; only if it writes back too, the value it found is persistent.
    for (writes_back, is_lost) in [(false, true), (true, false)] {
        let outcome = Simulation::new(Model::X86, 64).explore(
            |medium, notes| {
                let mortal = medium.mortal(2);
                mortal.store(0, 1, Relaxed);
                mortal.issue_writeback(0..8).unwrap();
                mortal.fence().unwrap_or(());
                assert!(!mortal.is_alive() && mortal.persist(0..8).is_err());
                assert_eq!(medium.load(0, Relaxed), 1, "the caches keep it");
                if writes_back {
                    medium.issue_writeback(0..8).unwrap();
                }
                medium.fence().unwrap();
                notes.add("found");
            },
            |medium, notes| {
                let is_there = medium.load(0, Relaxed) == 1;
                if is_there || notes.is_empty() { Ok(()) } else { Err(Violation::lost("it")) }
            },
        );
        assert_eq!(outcome.failure.is_some(), is_lost, "writes back: {writes_back}");
        let is_read = |failure: &Failure| matches!(failure.cause, Some(Cause::Read { .. }));
        assert!(outcome.failure.as_deref().is_none_or(is_read), "{outcome}");
    }
}

#[test]
fn a_workload_that_differs_from_run_to_run_is_a_failure() {
    let runs = RefCell::new(0);
    let outcome = Simulation::new(Model::X86, 64).explore(
        |medium, _notes: &Notes<'_, ()>| {
            *runs.borrow_mut() += 1;
            let threads = if *runs.borrow() > 1 { 3 } else { 2 };
            let body: &(dyn Fn() + Sync) = &|| medium.fence().unwrap();
            medium.run_threads(&vec![body; threads]);
        },
        |_medium, _notes| Ok(()),
    );
    let violation = outcome.failure.as_deref().map(|failure| failure.violation.clone());
    assert_eq!(violation.as_ref().map(|violation| violation.kind), Some(ViolationKind::Workload));
    assert!(violation.is_some_and(|violation| violation.text.contains("made other operations")));
}

#[test]
#[should_panic(expected = "16 bytes at offset 4 are out of range: the medium has 16 bytes")]
fn out_of_range_is_a_bug_above_the_medium() {
    Simulation::new(Model::X86, 16).medium().write(4, &[0; 16]);
}

#[test]
fn a_crash_at_the_end_of_recovery_keeps_the_values_that_it_read() {
    // Recovery marks that it was here, reads a word that the crash left open, and goes on only if it found `then`. A
    // second crash may keep the mark and the other value, whichever was read first.
    for (model, then) in [(Model::X86, 0), (Model::X86, 1), (Model::NEUTRAL, 1)] {
        let outcome = Simulation::new(model, 192).zeros().explore(
            |medium, _notes| medium.store(0, 1, Relaxed),
            |medium: &SimMedium, _notes: &[()]| {
                if medium.load(64, Relaxed) == 1 {
                    let found = medium.load(0, Relaxed);
                    return Violation::unless(found == then, || format!("a mark and {found}"));
                }
                medium.store(64, 1, Relaxed);
                if medium.load(0, Relaxed) == then {
                    medium.store(128, 1, Relaxed);
                }
                Ok(())
            },
        );
        let text = outcome.failure.as_deref().map(|failure| failure.violation.text.clone());
        assert_eq!(text, Some(format!("a mark and {}", 1 - then)), "{outcome}");
    }
}

/// Explores a word and a flag that marks it valid: right, but for the ordering of the flag's store and load.
fn publish(setting: &Setting) -> Exploration {
    setting.simulation(128).zeros().explore(
        |medium, notes: &Notes<'_, ()>| {
            // This fence is not needed.
            medium.fence().unwrap();
            medium.store(0, 1, Relaxed);
            medium.store(8, 1, Release);
            medium.persist(0..16).unwrap();
            notes.add(());
        },
        |medium, notes| {
            let (flag, word) = (medium.load(8, Acquire), medium.load(0, Relaxed));
            Violation::unless(flag == 0 || word == 1, || "a flag without its word".into())?;
            if notes.is_empty() || flag == 1 { Ok(()) } else { Err(Violation::lost("the flag")) }
        },
    )
}

#[test]
#[should_panic(
    expected = "a scenario fails without any mutant: fix it first\nacknowledged data are lost"
)]
fn a_scenario_that_fails_without_a_mutant_is_named_as_such() {
    let lossy = |setting: &Setting| {
        setting.simulation(64).explore(
            |medium, notes| {
                medium.store(0, 1, Relaxed);
                notes.add(());
            },
            |medium: &SimMedium, notes: &[()]| {
                let is_there = notes.is_empty() || medium.load(0, Relaxed) == 1;
                if is_there { Ok(()) } else { Err(Violation::lost("the word")) }
            },
        )
    };
    let _survivors = Mutation::new().run(&[&lossy]);
}

#[test]
fn survivors_are_named_and_equivalent_ones_need_a_line_each() {
    let arm64 = Mutation::new().models([Model::ARM64]).only_in("exploration.rs");
    let survivors = arm64.run(&[&publish]);
    // Of five: the release, and the write-back and the fence of `persist` are needed; the first fence and the
    // acquire, which orders loads after a crash, are not.
    let survived: Vec<_> = survivors.survived.iter().map(|(_, mutant)| mutant.weakening).collect();
    assert_eq!((survivors.tried, survivors.killed), (5, 3), "{survivors}");
    assert_eq!(survived, [Weakening::NoFence, Weakening::RelaxedLoad]);
    assert!(survivors.to_string().starts_with("5 mutants: 3 killed, 2 survived, "), "{survivors}");
    assert!(survivors.to_string().contains("\nno crash showed the defect of those"), "{survivors}");
    let under_both = Mutation::new().models([Model::ARM64, Model::X86]);
    let text = under_both.only_in("exploration.rs").run(&[&publish]).to_string();
    assert!(text.contains(" mutants, counted under each of 2 models: "), "{text}");

    let is_without_sources = survivors.survived.iter().any(|(_, mutant)| mutant.source().is_none());
    let says_so = survivors.to_string().contains("\nsources of these were not found: ");
    assert_eq!(says_so, is_without_sources, "{survivors}");
    if is_without_sources {
        let name = "survivors_are_named_and_equivalent_ones_need_a_line_each";
        return skip(name, "the sources of the tests are not here, and the rest reads them");
    }
    assert!(survivors.to_string().contains("medium.fence().unwrap();"), "{survivors}");

    let listed = arm64
        .equivalent(
            "exploration.rs",
            "medium.fence().unwrap();",
            Weakening::NoFence,
            &[],
            "it completes nothing",
        )
        .equivalent(
            "exploration.rs",
            "medium.load(8, Acquire)",
            Weakening::RelaxedLoad,
            &[],
            "no thread stores meanwhile",
        );
    listed.run(&[&publish]).assert_none();
    // An entry that lets no mutant survive is a mistake of the list.
    let outdated = listed.equivalent(
        "exploration.rs",
        "store(8, 1",
        Weakening::RelaxedStore,
        &[],
        "it is not",
    );
    let panic = catch_unwind(|| outdated.run(&[&publish]).assert_none()).unwrap_err();
    assert!(
        panic
            .downcast_ref::<String>()
            .unwrap()
            .contains("listed as equivalent, but did not survive")
    );
}

#[test]
fn a_sample_of_mutants_has_its_size() {
    let survivors = Mutation::new().models([Model::ARM64]).sample(2, 1).run(&[&publish]);
    assert_eq!(survivors.tried, 2);
}

/// Copies of a line that nothing orders on arm64 leave each word in any of their states, independently. With a fence
/// between them two of them are open at once.
#[test]
fn a_limit_that_copies_of_a_line_reach_names_its_words() {
    let explore = |copies: u8, is_fenced: bool| {
        Simulation::new(Model::ARM64, 128).zeros().at_most(100_000).explore(
            |medium, _notes: &Notes<'_, ()>| {
                for copy in 1..=copies {
                    medium.write(0, &[copy; 64]);
                    if is_fenced {
                        medium.fence().unwrap();
                    }
                }
                medium.persist(0..64).unwrap();
            },
            |medium, _notes| Ok(medium.read(0, &mut [0; 64])?),
        )
    };
    for copies in [4, 8] {
        let fenced = explore(copies, true);
        fenced.assert_safe();
        assert_eq!(fenced.recoveries, 1 + 255 * u64::from(copies), "{fenced}");
        let exploration = explore(copies, false);
        let limited = catch_unwind(AssertUnwindSafe(|| exploration.assert_safe()));
        let text = limited.unwrap_err().downcast::<String>().unwrap();
        let words =
            format!("The words 0x0..0x40 had up to {} states", (u128::from(copies) + 1).pow(8));
        assert!(text.contains(&words) && text.contains("exploration.rs"), "{text}");
    }
}
