//! The result of an exploration, and its coverage.

use super::settings::Effort;
use crate::failure::Failure;
use crate::machine::model::Model;
use crate::machine::waste::Waste;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::fmt;

/// The result of an exploration.
#[derive(Clone, Debug)]
#[must_use = "an exploration reports failures only through its result: check it"]
pub struct Exploration {
    model: Model,
    effort: Effort,
    /// The first failure, if there is one.
    pub failure: Option<Box<Failure>>,
    /// The number of orders of the workload's threads that were explored.
    pub schedules: u64,
    /// The number of moments of a crash that were explored, including those during recovery.
    pub crashes: u64,
    /// The number of recoveries that were run.
    pub recoveries: u64,
    pub(crate) is_exhaustive_so_far: bool,
    /// The words that had the most states at the crash where the limit of recoveries was reached.
    pub(crate) widest: Option<String>,
    /// The useless operations, and the missing ones.
    pub waste: Waste,
}

impl Exploration {
    pub(crate) fn new(model: Model, effort: Effort) -> Self {
        Self {
            model,
            effort,
            failure: None,
            schedules: 0,
            crashes: 0,
            recoveries: 0,
            is_exhaustive_so_far: true,
            widest: None,
            waste: Waste::default(),
        }
    }

    /// Returns true if everything was explored within the simulation's bounds on threads and crashes in recovery, and
    /// nothing failed.
    #[must_use]
    pub fn is_exhaustive(&self) -> bool {
        self.effort == Effort::Exhaustive && self.is_exhaustive_so_far && self.failure.is_none()
    }

    /// Panics with the failure, if there is one. Also panics if the exploration was to be exhaustive and was not.
    ///
    /// # Panics
    /// In these cases.
    #[track_caller]
    #[expect(clippy::panic, reason = "an assertion")]
    pub fn assert_safe(&self) {
        if let Some(failure) = &self.failure {
            panic!("{failure}");
        }
        assert!(
            self.is_exhaustive_so_far,
            "{self}\nthe limit of `Simulation::at_most` was reached: choose an `Effort`, or a shorter workload. {}",
            self.widest.as_deref().unwrap_or_default()
        );
    }
}

impl fmt::Display for Exploration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, crashes, recoveries, schedules, .. } = self;
        let counted = |count: u64, one: &str, several: &str| {
            format!("{count} {}", if count == 1 { one } else { several })
        };
        let crashes = counted(*crashes, "crash", "crashes");
        let recoveries = counted(*recoveries, "recovery", "recoveries");
        write!(f, "{model}: {crashes}, {recoveries}")?;
        if *schedules > 1 {
            write!(f, ", {schedules} orders of threads")?;
        }
        let covered = match (&self.failure, self.effort, self.is_exhaustive_so_far) {
            (Some(_), ..) => "; ended at a failure",
            (None, Effort::Exhaustive, true) => "; exhaustive",
            _ => "; not exhaustive",
        };
        f.write_str(covered)
    }
}
