//! The example of slots: kept values are intact, and acknowledged ones are there after every crash.

#![expect(clippy::unwrap_used, reason = "a workload that panics is a finding")]

use cachemaint::medium::Medium;
use cachemaint_examples::slots::{self as example, Payment};
use cachemaint_sim::{Exploration, Model, SimMedium, Simulation, Violation};
use std::sync::atomic::Ordering::Relaxed;

/// Returns the payment of a number.
fn payment(number: u64) -> Payment {
    Payment { to: [number.to_le_bytes()[0]; 24], cents: 1111 * number }
}

fn simulation(model: Model) -> Simulation {
    Simulation::new(model, example::LEN.next_multiple_of(64)).zeros()
}

/// Explores two payments in one slot, one after the other.
fn explore(
    model: Model,
    put: impl Fn(&SimMedium, u64) -> Result<(), cachemaint_sim::BadBlock> + Sync,
) -> Exploration {
    simulation(model).explore(
        |medium, acknowledged| {
            for number in [1, 9] {
                put(medium, number).unwrap();
                acknowledged.add(number);
            }
        },
        |medium, acknowledged: &[u64]| {
            let kept = whole(medium)?;
            let allowed: &[&[u64]] = match acknowledged {
                [] => &[&[], &[1]],
                // The second one replaces the first one.
                [1] => &[&[1], &[], &[9]],
                _ => &[&[9]],
            };
            if allowed.contains(&&*kept) {
                return Ok(());
            }
            Err(Violation::lost(format!("{kept:?} after {acknowledged:?}")))
        },
    )
}

/// Returns the numbers of the kept payments, which must be intact.
fn whole(medium: &SimMedium) -> Result<Vec<u64>, Violation> {
    let kept = example::open(medium).unwrap();
    let is_whole = kept.iter().all(|(number, found)| *found == payment(*number));
    Violation::unless(is_whole, || format!("{kept:?}"))?;
    Ok(kept.into_iter().map(|(number, _)| number).collect())
}

#[test]
fn no_crash_tears_or_loses_a_payment() {
    for model in [Model::X86, Model::ARM64, Model::NEUTRAL, Model::PAGES] {
        explore(model, |medium, number| example::put(medium, number, &payment(number)))
            .assert_safe();
    }
}

/// A process is killed during a payment. The next one shows the payments that it has found, and makes one more.
#[test]
fn a_payment_that_was_found_after_a_kill_stays() {
    let explore = |kill| {
        simulation(Model::NEUTRAL).explore(
            |medium, shown| {
                example::put(medium, 1, &payment(1)).unwrap();
                shown.add(1);
                let _killed = example::put(&medium.mortal(kill), 2, &payment(2));
                medium.killed();
                let kept = example::open(medium).unwrap();
                for (number, _) in &kept {
                    shown.add(*number);
                }
                let next = kept.last().map_or(1, |(number, _)| number + 1);
                example::put(medium, next, &payment(next)).unwrap();
                shown.add(next);
            },
            |medium, shown: &[u64]| {
                let kept = whole(medium)?;
                Violation::unless(shown.iter().all(|number| kept.contains(number)), || {
                    format!("{kept:?} after {shown:?}")
                })
            },
        )
    };
    // Two stores, each with a write-back and a fence.
    (0..=6).for_each(|kill| explore(kill).assert_safe());
}

/// The number comes first.
#[test]
fn a_payment_that_is_announced_too_early_is_found() {
    let wrong = |medium: &SimMedium, number: u64| {
        medium.store(number % 8 * 8, number, Relaxed);
        medium.persist(number % 8 * 8..number % 8 * 8 + 8)?;
        medium.persist_copy(&[(
            64 + number % 8 * 32,
            zerocopy::IntoBytes::as_bytes(&payment(number)),
        )])
    };
    assert!(explore(Model::X86, wrong).failure.is_some());
}
