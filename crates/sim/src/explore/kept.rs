//! Detects state that the workload or recovery keeps from run to run, such as an index in ordinary memory: a crash
//! would lose it.
//!
//! The same run is repeated, and operations and results are compared. Recovery opens the initial medium once before the
//! workload has run, and twice at the end of the exploration. The workload runs once more in the last order of threads.
//! State that changes neither the operations nor the result of these runs is not noticed.

use super::explorer::{Explorer, Subject};
use super::simulation::Simulation;
use crate::crash::choices::{Choices, Way};
use crate::failure::Failure;
use crate::failure::violation::{Violation, ViolationKind};
use crate::machine::history::{Happened, History};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// A recovery of the initial medium, without notes.
#[derive(PartialEq, Eq)]
pub(super) struct First {
    trace: Option<u64>,
    verdict: Result<(), ViolationKind>,
}

impl First {
    pub(super) fn of(simulation: &Simulation, subject: &dyn Subject) -> Self {
        let medium = simulation.holding(simulation.image(), Choices::new(Way::All)).traced();
        let verdict = subject.recover(&medium, 0).map_err(|violation| violation.kind);
        Self { trace: medium.trace(), verdict }
    }
}

impl Explorer<'_> {
    /// Returns a failure if state was kept, at the end of an exploration with this history of the last run.
    pub(super) fn kept(
        &self,
        simulation: &Simulation,
        first: &First,
        last: &History,
    ) -> Option<Box<Failure>> {
        // State that toggles in each run is the same in every second one.
        if (0..2).any(|_| First::of(simulation, self.subject) != *first) {
            let failure = self.described(Violation::kept(), Vec::new(), 0);
            return Some(Box::new(failure));
        }
        let (ran, panic) = self.subject.run(Choices::beginning(&self.schedule));
        let differs = || (!is_same(&ran.history, last)).then(Violation::workload_differs);
        let violation = panic.or_else(differs)?;
        Some(Box::new(self.in_workload(violation, &ran.image, &ran.history)))
    }
}

/// Returns true if both have the same operations, with the same values.
fn is_same(one: &History, other: &History) -> bool {
    let event = |event: &Happened| (event.thread, event.what);
    one.events.iter().map(event).eq(other.events.iter().map(event)) && values(one).eq(values(other))
}

fn values(history: &History) -> impl Iterator<Item = u64> {
    let lines = history.stored().map(|(_, line)| line);
    let words = lines.flat_map(|line| (0..line.len()).flat_map(|word| line.writes(word)));
    words.map(|write| write.value)
}
