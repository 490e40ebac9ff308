//! Replays of failures: each gives the violation that was found.

use cachemaint::medium::{Medium, Readable};
use cachemaint_sim::{Model, Notes, SimMedium, Simulation, Violation};
use core::fmt;
use core::sync::atomic::Ordering::Relaxed;

/// Explores a defect, and replays its failure.
fn assert_replayed<N: fmt::Debug>(
    model: Model,
    workload: impl Fn(&SimMedium, &Notes<'_, N>),
    recovery: impl Fn(&SimMedium, &[N]) -> Result<(), Violation>,
) {
    let simulation = Simulation::new(model, 192).zeros();
    let outcome = simulation.explore(&workload, &recovery);
    let failure = outcome.failure.as_deref();
    let replayed = failure.map(|failure| simulation.replay(&failure.replay, workload, recovery));
    let expected = failure.map(|failure| Err(failure.violation.clone()));
    assert!(failure.is_some() && replayed == expected, "{replayed:?}, not {expected:?}");
}

/// The second crash comes after a read that has decided about a word, and would fail earlier with another value of it.
#[test]
fn a_crash_of_recovery_after_a_decision_is_replayed() {
    for model in [Model::X86, Model::ARM64, Model::NEUTRAL] {
        assert_replayed(
            model,
            |medium, _notes: &Notes<'_, ()>| medium.store(0, 1, Relaxed),
            |medium, _notes| {
                if medium.load(64, Relaxed) == 1 {
                    let found = medium.load(0, Relaxed);
                    return Violation::unless(found == 1, || format!("a mark and {found}"));
                }
                medium.store(64, 1, Relaxed);
                medium.store(72, 1, Relaxed);
                if medium.load(0, Relaxed) == 0 {
                    medium.store(128, 1, Relaxed);
                }
                Ok(())
            },
        );
    }
}

#[test]
fn a_panic_of_the_workload_is_replayed() {
    assert_replayed(
        Model::X86,
        |medium, _notes: &Notes<'_, ()>| assert_eq!(medium.load(0, Relaxed), 1),
        |_medium, _notes| Ok(()),
    );
}
