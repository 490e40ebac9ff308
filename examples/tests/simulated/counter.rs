//! The example of a counter: no crash loses an increment, on any machine.

#![expect(clippy::unwrap_used, reason = "a workload that panics is a finding")]

use cachemaint_examples::counter as example;
use cachemaint_sim::mutation::{Mutation, Setting};
use cachemaint_sim::{Exploration, Model, SimMedium, Simulation, Violation, ViolationKind};

/// Explores three increments; one more after each crash.
fn explore(simulation: &Simulation) -> Exploration {
    simulation.explore(
        |medium, counted| {
            for _ in 0..3 {
                let value = example::increment(medium).unwrap();
                counted.add(value);
            }
        },
        recovered,
    )
}

/// One more increment after a crash.
fn recovered(medium: &SimMedium, counted: &[u64]) -> Result<(), Violation> {
    let value = example::open(medium).unwrap();
    let acknowledged = counted.last().copied().unwrap_or(0);
    if value < acknowledged {
        return Err(Violation::lost(format!("{value}, and {acknowledged} was counted")));
    }
    // An increment may have been unfinished at the crash, and another one at a crash in this recovery.
    Violation::unless(value <= acknowledged + 2, || format!("{value} after {acknowledged}"))?;
    let next = example::increment(medium).unwrap();
    Violation::unless(next == value + 1, || format!("{next} after {value}"))
}

/// Explores a process that is killed after `kill` operations, and another one that continues; then the power fails.
fn killed_and_gone_on(simulation: &Simulation, kill: u64) -> Exploration {
    simulation.explore(
        |medium, counted| {
            for _ in 0..2 {
                let value = example::increment(medium).unwrap();
                counted.add(value);
            }
            let _killed = example::increment(&medium.mortal(kill));
            medium.killed();

            let found = example::open(medium).unwrap();
            counted.add(found);
            let value = example::increment(medium).unwrap();
            counted.add(value);
        },
        recovered,
    )
}

/// The operations of an increment are a copy, its write-back and its fence.
#[test]
fn no_kill_before_a_crash_loses_an_increment() {
    for model in media() {
        for kill in 0..=3 {
            let outcome = killed_and_gone_on(&Simulation::new(model, example::LEN), kill);
            outcome.assert_safe();
            assert!(outcome.is_exhaustive(), "{kill}: {outcome}");
        }
    }
}

fn media() -> [Model; 5] {
    [Model::X86, Model::ARM64, Model::NEUTRAL, Model::X86_EADR, Model::PAGES]
}

#[test]
fn no_crash_loses_an_increment() {
    for model in media() {
        let outcome = explore(&Simulation::new(model, example::LEN));
        outcome.assert_safe();
        assert!(outcome.is_exhaustive(), "{outcome}");
        assert!(outcome.waste.is_empty(), "{outcome}: {}", outcome.waste);
    }
    // The energy of eADR is used only at power loss, and a file on it is persisted by a fence.
    let outcome = explore(&Simulation::new(Model::X86_EADR_RESET, example::LEN));
    let kind = outcome.failure.as_ref().map(|failure| failure.violation.kind);
    assert_eq!(kind, Some(ViolationKind::Lost), "{outcome}");
}

#[test]
fn no_mutant_survives() {
    let whole = |setting: &Setting| explore(&setting.simulation(example::LEN));
    let killed = |setting: &Setting| killed_and_gone_on(&setting.simulation(example::LEN), 1);
    Mutation::new().only_in("examples/counter").run(&[&whole, &killed]).assert_none();
}
