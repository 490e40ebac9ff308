//! The CPU time that each step may take, so that a new format or lane cannot multiply it unseen.
//!
//! CPU time, unlike wall-clock time, is not extended by downloads and hardly by other work on the machine. The budgets
//! were measured on two cores of an AMD EPYC (family 25, model 17) with an empty build folder and other builds beside
//! it, and rounded. A slower CPU needs more for the same work, so a step beyond its budget is reported and does not fail.

use core::time::Duration;

/// Steps as the last table names them, and their budgets in CPU seconds.
const BUDGETS: [(&str, u32); 17] = [
    ("fmt", 10),
    ("clippy", 150),
    ("doc", 70),
    ("test", 600),
    ("regressions", 80),
    ("bench", 260),
    ("no-std", 210),
    ("systems", 200),
    ("msrv", 30),
    ("miri", 160),
    ("loom", 70),
    ("lab cpu", 1250),
    ("lab freestanding", 40),
    ("lab flush", 130),
    ("lab machine", 1250),
    ("asm", 90),
    ("demo", 110),
];

/// Returns the budget of a step in CPU seconds.
pub(crate) fn of(step: &str) -> Option<u32> {
    BUDGETS.iter().find(|(name, _)| *name == step).map(|(_, seconds)| *seconds)
}

/// Returns the complaint about a step that exceeded its budget by half.
pub(crate) fn exceeded(step: &str, cpu: Duration) -> Option<String> {
    let budget = of(step)?;
    let limit = Duration::from_secs(budget.into()) * 3 / 2;
    (cpu > limit).then(|| {
        format!(
            "{step} took {:.0} CPU seconds, and its budget is {budget}: make it cheaper, move checks to `full`, or \
             raise the budget in xtask/src/budget.rs",
            cpu.as_secs_f64()
        )
    })
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::{exceeded, of};

    #[test]
    fn half_as_much_again_exceeds_a_budget() {
        let budget = Duration::from_secs(of("test").unwrap().into());
        assert_eq!(exceeded("test", budget * 3 / 2), None);
        let why = exceeded("test", budget * 3 / 2 + Duration::from_secs(1)).unwrap();
        assert!(why.starts_with("test took "), "{why}");
        assert_eq!(exceeded("a step without a budget", budget * 1000), None);
    }
}
