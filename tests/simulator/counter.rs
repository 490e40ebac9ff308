//! The example of a counter: no crash loses an increment, on any machine.

#[path = "../../examples/counter/counter.rs"]
mod example;

use cachemaint::sim::mutation::{Mutation, Setting};
use cachemaint::sim::{Exploration, Model, Simulation, Violation};
use cachemaint::survival::Event;

/// Explores three increments; one more after each crash.
fn explore(simulation: &Simulation) -> Exploration {
    simulation.explore(
        |medium, counted| {
            for _ in 0..3 {
                let Ok(value) = example::increment(medium);
                counted.add(value);
            }
        },
        |medium, counted| {
            let value = example::value(medium);
            let acknowledged = counted.last().copied().unwrap_or(0);
            if value < acknowledged {
                return Err(Violation::lost(format!("{value}, and {acknowledged} was counted")));
            }
            // An increment may have been under way at the crash, and another one at a crash of this recovery.
            Violation::unless(value <= acknowledged + 2, || {
                format!("{value} after {acknowledged}")
            })?;
            let Ok(next) = example::increment(medium);
            Violation::unless(next == value + 1, || format!("{next} after {value}"))
        },
    )
}

#[test]
fn no_crash_loses_an_increment() {
    let media = [Model::x86(), Model::arm64(), Model::neutral(), Model::x86_eadr(), Model::pages()];
    for model in media {
        for event in Event::ALL {
            let outcome = explore(&Simulation::new(model.at(event), example::LEN));
            outcome.assert_safe();
            assert!(outcome.is_exhaustive(), "{event:?}: {outcome}");
            assert!(outcome.waste().is_empty(), "{event:?}: {outcome}: {}", outcome.waste());
        }
    }
}

#[test]
fn no_mutant_survives() {
    let scenario = |setting: &Setting| explore(&setting.simulation(example::LEN));
    Mutation::new().only_in("examples/counter").run(&[&scenario]).assert_none();
}
