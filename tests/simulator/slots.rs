//! The example of slots: kept values are whole, and acknowledged ones are there after every crash.

#[path = "../../examples/slots/slots.rs"]
mod example;

use cachemaint::medium::Medium;
use cachemaint::sim::{Exploration, Model, SimMedium, Simulation, Violation};
use example::Payment;
use std::sync::atomic::Ordering::Relaxed;

const PAYMENTS: [Payment; 2] =
    [Payment { to: [0x11; 24], cents: 1111 }, Payment { to: [0x22; 24], cents: 2222 }];

/// Explores two payments into the first slot, one after the other.
fn explore(
    model: Model,
    put: impl Fn(&SimMedium, &Payment) -> Result<(), core::convert::Infallible> + Sync,
) -> Exploration {
    Simulation::new(model, example::LEN.next_multiple_of(64)).zeros().explore(
        |medium, notes| {
            let Ok(()) = put(medium, &PAYMENTS[0]);
            notes.add("first");
            let Ok(()) = example::remove(medium, 0);
            notes.add("removed");
            let Ok(()) = put(medium, &PAYMENTS[1]);
            notes.add("second");
        },
        |medium, notes: &[&str]| {
            let Ok((count, kept)) = example::open(medium);
            let is_whole = kept.iter().all(|(_, payment)| PAYMENTS.contains(payment));
            Violation::unless(is_whole, || format!("{kept:?}"))?;
            let acknowledged = notes.iter().filter(|note| **note != "removed").count() as u64;
            Violation::unless(count >= acknowledged, || format!("{count} payments"))?;
            let is_kept = |payment| kept.iter().any(|(_, found)| *found == payment);
            match notes.last() {
                Some(&"second") if !is_kept(PAYMENTS[1]) => Err(Violation::lost("the second")),
                _ => Ok(()),
            }
        },
    )
}

#[test]
fn no_crash_tears_or_loses_a_payment() {
    for model in [Model::x86(), Model::arm64(), Model::neutral(), Model::pages()] {
        explore(model, |medium, payment| example::put(medium, 0, payment)).assert_safe();
    }
}

/// The word that says that a slot is full comes first.
#[test]
fn a_payment_that_is_announced_too_early_is_found() {
    let wrong = |medium: &SimMedium, payment: &Payment| {
        medium.store(64, 1, Relaxed);
        medium.persist(64..72)?;
        example::put(medium, 0, payment)
    };
    assert!(explore(Model::x86(), wrong).failure().is_some());
}
