//! The result of an exploration, and its coverage.

use super::settings::Effort;
use crate::sim::crash::image::Image;
use crate::sim::failure::Failure;
use crate::sim::machine::model::Model;
use crate::sim::machine::waste::Waste;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
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
    /// The number of moments of a crash that were explored, those during recovery included.
    pub crashes: u64,
    /// The number of recoveries that were run.
    pub recoveries: u64,
    /// The number of states of the memory that these recoveries stand for, at least. A state is the number of persistent
    /// stores of each word that a crash left open.
    pub states: u128,
    is_states_exact: bool,
    pub(crate) is_exhaustive_so_far: bool,
    /// The words that had the most states at the crash where the limit of recoveries was reached.
    pub(crate) widest: Option<String>,
    /// The operations that were done for nothing, and those that were not done.
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
            states: 0,
            is_states_exact: true,
            is_exhaustive_so_far: true,
            widest: None,
            waste: Waste::default(),
        }
    }

    /// Counts one recovery, and the states that it stands for.
    pub(crate) fn count(&mut self, image: &Image) {
        self.recoveries += 1;
        let (states, is_exact) = image.states();
        self.states = self.states.saturating_add(states);
        self.is_states_exact &= is_exact && self.states < u128::MAX;
    }

    /// Returns true if everything was explored that the simulation's bounds on threads and crashes of recovery allow,
    /// and nothing failed.
    #[must_use]
    pub fn is_exhaustive(&self) -> bool {
        self.effort == Effort::Exhaustive && self.is_exhaustive_so_far && self.failure.is_none()
    }

    /// Panics with the failure, if there is one; and if all was to be explored and was not.
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
        let Self { model, crashes, recoveries, states, schedules, .. } = self;
        let least = if self.is_states_exact { "" } else { "at least " };
        let counted = |count: u128, one: &str, several: &str| {
            let noun = if count == 1 { one } else { several };
            format!("{} {noun}", short(count))
        };
        let crashes = counted((*crashes).into(), "crash", "crashes");
        let recoveries = counted((*recoveries).into(), "recovery", "recoveries");
        let states = counted(*states, "state", "states");
        write!(f, "{model}: {crashes}, {recoveries} for {least}{states}")?;
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

/// Returns a number as text, with two digits if it is long.
#[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
fn short(number: u128) -> String {
    if number < 1_000_000_000 { number.to_string() } else { format!("{:.1e}", number as f64) }
}
