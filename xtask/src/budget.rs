//! The CPU time that each step may take, so that a new format or lane cannot multiply it unseen.
//!
//! CPU time, unlike wall-clock time, is not extended by downloads and hardly by other work on the machine. The budgets
//! are of a machine with two cores of an AMD EPYC (Zen 4) and empty caches, rounded up.

use core::time::Duration;

/// Steps as the last table names them, and their budgets in CPU seconds.
const BUDGETS: [(&str, u32); 0] = [];

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
