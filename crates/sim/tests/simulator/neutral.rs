//! The neutral model has every crash of x86 and arm64, so an exploration under it needs no other model.

use super::brute_force::{
    Found, WORDS, cases, machine, operation, perform, program, without_clflush, word, work_on,
};
use super::naive::{Do, LINE, Program};
use cachemaint::medium::Medium as _;
use cachemaint_sim::{Model, Notes, SimMedium, Simulation};
use core::cell::RefCell;
use core::fmt;
use core::ops::Range;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// Checks that the neutral model leaves everything that the others do.
fn check<T: Ord + fmt::Debug>(left: impl Fn(Model) -> BTreeSet<T>) -> Result<(), TestCaseError> {
    let neutral = left(Model::NEUTRAL);
    for model in [Model::X86, Model::ARM64] {
        let more: Vec<_> = left(model).into_iter().filter(|one| !neutral.contains(one)).collect();
        prop_assert!(more.is_empty(), "under {} alone: {:?}", model, more);
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(4_000))]

    #[test]
    fn the_neutral_model_leaves_what_those_of_x86_and_arm64_do(program in program()) {
        let program = without_clflush(program);
        check(|model| machine(model, &program).outcomes(&WORDS.map(|word| word * 8)))?;
    }
}

/// Returns operations of some threads in their order. Three in a row make a word persistent and acknowledge that.
fn operations(threads: Range<usize>, most: usize) -> impl Strategy<Value = Program> {
    let one = prop_oneof![
        6 => operation(1..4),
        2 => (word(), any::<bool>()).prop_map(|(word, acquires)| Do::Load { word, acquires }),
        2 => Just(Do::Barrier),
        1 => Just(Do::Kill),
    ];
    let step = prop_oneof![
        2 => one.prop_map(|one| vec![one]),
        1 => word().prop_map(|word| vec![Do::Writeback { word }, Do::Fence, Do::Note]),
    ];
    let flat = |(thread, step): (usize, Vec<Do>)| step.into_iter().map(move |one| (thread, one));
    proptest::collection::vec((threads, step), 0..=most)
        .prop_map(move |steps| steps.into_iter().flat_map(flat).collect())
}

/// Runs two threads whose operations have this order.
fn run_threads(medium: &SimMedium, program: &Program, notes: &Notes<'_, ()>) {
    let next = AtomicUsize::new(0);
    let run = |thread| {
        let own = program.iter().enumerate().filter(|(_, (of, _))| *of == thread);
        for (place, (_, operation)) in own {
            while next.load(Relaxed) != place {
                medium.pause();
            }
            perform(medium, operation, || notes.add(()));
            next.store(place + 1, Relaxed);
        }
    };
    medium.run_threads(&[&|| run(0), &|| run(1)]);
}

proptest! {
    #![proptest_config(cases(2_000))]

    /// Includes the code before and after the threads.
    #[test]
    fn threads_leave_under_the_neutral_model_what_they_leave_under_those_of_x86_and_arm64(
        before in operations(0..1, 1),
        threads in operations(0..2, 5),
        after in operations(0..1, 2),
    ) {
        check(|model| {
            let left = RefCell::new(Found::new());
            let outcome = Simulation::new(model, 16 * LINE).zeros().preemptions(0).explore(
                |medium, notes| {
                    work_on(medium, &before, notes);
                    run_threads(medium, &threads, notes);
                    work_on(medium, &after, notes);
                },
                |medium, notes| {
                    let words = WORDS.iter().map(|word| medium.load(word * 8, Relaxed)).collect();
                    left.borrow_mut().insert((notes.len(), words));
                    Ok(())
                },
            );
            outcome.assert_safe();
            assert!(outcome.is_exhaustive());
            left.into_inner()
        })?;
    }
}
