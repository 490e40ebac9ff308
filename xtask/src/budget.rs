//! The CPU time that each step may take, so that a new format or lane cannot multiply it unseen.
//!
//! CPU time, unlike wall-clock time, is not extended by downloads and hardly by other work on the machine. The budgets
//! are rounded from whole runs with an empty build folder on two cores of AMD EPYCs (family 25, model 17), of which one
//! needed about 1.2 times as much as another. So a step is compared with the others of its run.

use core::time::Duration;

/// The steps, by their names in the last table, and their budgets in CPU seconds.
const BUDGETS: [(&str, u32); 16] = [
    ("fmt", 10),
    ("clippy", 150),
    ("doc", 70),
    ("test", 620),
    ("no-std", 110),
    ("systems", 200),
    ("msrv", 30),
    ("miri", 140),
    ("loom", 90),
    ("lab c", 110),
    ("lab cpu", 800),
    ("lab freestanding", 40),
    ("lab flush", 110),
    ("lab machine", 1080),
    ("asm", 60),
    ("interface", 30),
];

/// Returns the budget of a step in CPU seconds.
pub(crate) fn of(step: &str) -> Option<u32> {
    BUDGETS.iter().find(|(name, _)| *name == step).map(|(_, seconds)| *seconds)
}

/// The least number of steps of a run that show the speed of the CPU.
const ENOUGH: usize = 5;

/// Returns the complaints about steps of a run that exceeded their budgets by half.
///
/// If the [typical] step needs more than its budget, the CPU is slower, and all budgets grow by that factor. A
/// run of few steps cannot be judged.
pub(crate) fn exceeded<'s>(run: &[(&'s str, Duration)]) -> Vec<(&'s str, String)> {
    let share = |(step, cpu): &(&'s str, Duration)| {
        let budget = of(step)?;
        Some((*step, cpu.as_secs_f64() / f64::from(budget), budget))
    };
    let mut shares: Vec<(&str, f64, u32)> = run.iter().filter_map(share).collect();
    if shares.len() < ENOUGH {
        return Vec::new();
    }
    shares.sort_by(|one, other| one.1.total_cmp(&other.1));
    let pace = typical(&shares).max(1.0);
    let is_over = |(_, share, _): &(&str, f64, u32)| *share > 1.5 * pace;
    let complaint = |(step, share, budget)| {
        let took = share * f64::from(budget);
        let why = format!(
            "{step} took {took:.0} CPU seconds, and its budget is {budget}, times {pace:.2} for the speed of this CPU: \
             make it cheaper, move checks to `full`, or raise the budget in xtask/src/budget.rs"
        );
        (step, why)
    };
    shares.into_iter().filter(is_over).map(complaint).collect()
}

/// Returns the share of its budget that the typical second of a run needed, from the steps in the order of their shares:
/// half of all budgets are those of steps with a lesser share. Steps of seconds, whose time depends on disks and caches,
/// count for little.
fn typical(shares: &[(&str, f64, u32)]) -> f64 {
    let all: u32 = shares.iter().map(|(.., budget)| budget).sum();
    let mut passed = 0;
    let is_half = |(.., budget): &&(&str, f64, u32)| {
        passed += budget;
        2 * passed >= all
    };
    shares.iter().find(is_half).map_or(1.0, |(_, share, _)| *share)
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::{BUDGETS, exceeded, of};

    /// Returns a run of every step, each of which takes its budget times `pace`, except `test`.
    fn run(pace: f64, test: f64) -> Vec<(&'static str, Duration)> {
        let took = |(step, budget): (&'static str, u32)| {
            let times = if step == "test" { test } else { pace };
            (step, Duration::from_secs_f64(f64::from(budget) * times))
        };
        BUDGETS.into_iter().map(took).collect()
    }

    #[test]
    fn half_as_much_again_exceeds_a_budget() {
        assert_eq!(exceeded(&run(0.5, 1.49)), []);
        let over = exceeded(&run(1.0, 1.51));
        assert_eq!(over.len(), 1);
        assert!(over[0].1.starts_with("test took "), "{over:?}");
    }

    #[test]
    fn a_slow_machine_exceeds_none_but_a_slow_step_does() {
        assert_eq!(exceeded(&run(3.0, 4.49)), []);
        assert_eq!(exceeded(&run(3.0, 4.51)).len(), 1);
    }

    /// The longest step is less than half of a run.
    #[test]
    fn many_short_steps_do_not_hide_that_a_machine_is_slow() {
        let is_long = |step: &str| of(step).is_some_and(|budget| budget >= 400);
        let pace = |step: &str| if is_long(step) { 3.0 } else { 0.5 };
        let took = |(step, budget): (&'static str, u32)| {
            (step, Duration::from_secs_f64(f64::from(budget) * pace(step)))
        };
        let run = BUDGETS.map(took);
        assert!(run.iter().filter(|(step, _)| is_long(step)).count() < run.len() / 4);
        assert_eq!(exceeded(&run), []);
    }

    #[test]
    fn a_step_alone_and_one_without_a_budget_are_not_judged() {
        let long = Duration::from_secs(1_000_000);
        assert_eq!(exceeded(&[("test", long)]), []);
        assert_eq!(of("a step without a budget"), None);
        let mut run = run(1.0, 1.0);
        run.push(("a step without a budget", long));
        assert_eq!(exceeded(&run), []);
    }
}
