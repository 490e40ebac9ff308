//! The checks of a log's states: equal states only once, in parallel, and the fewest lost writes with which a check
//! still fails.
use std::collections::HashMap;

use anyhow::Result;
use lose_lines_agent::File;
use lose_lines_drive::log::DriveLog;
use lose_lines_drive::states::{Builder, Choice, Lost, Tearing, losing};
use lose_lines_machine::pmem::DIRECTORY;
use lose_lines_machine::transcript::Transcript;

use super::machine::{InMachine, Prepared};
use crate::check::{Failure, Tested, Verdict};
use crate::fewest::{Needed, needed};
use crate::pool;

/// The maximum number of checks to find the fewest lost writes.
const ATTEMPTS: u32 = 60;

/// A state of a recording.
pub type Trial = crate::trial::Trial<Choice>;

/// The writes that a failure needs, and the state without them with its failure.
pub(super) type Fewest = (Needed<usize>, Option<(Choice, Failure)>);

/// The checks of a log's states.
pub struct DriveTrials<'a> {
    pub test: &'a Tested<'a>,
    pub prepared: &'a Prepared<'a>,
    pub log: &'a DriveLog,
    /// The parts of torn writes.
    pub tearing: Tearing,
}

impl DriveTrials<'_> {
    /// Returns a builder of the log's states.
    pub fn states(&self) -> Builder<'_> {
        Builder::new(self.log, self.tearing.clone())
    }

    /// Returns the states that differ in the drive or in the printed lines.
    pub fn distinct(&self, states: &[Choice]) -> Vec<Trial> {
        let mut builder = self.states();
        let mut seen: HashMap<(u128, usize), Vec<&Choice>> = HashMap::new();
        let mut trials = Vec::new();
        for state in states {
            let built = builder.build(state);
            let acknowledged = self.log.lines_before(state.cut).count();
            // The hash says which may be equal.
            let known = seen.entry((built.id, acknowledged)).or_default();
            if !known.iter().any(|known| builder.build(known).image == built.image) {
                known.push(state);
                trials.push(Trial {
                    choice: state.clone(),
                    acknowledged,
                    is_between: acknowledged > 0
                        && self.log.end().is_none_or(|end| state.cut <= end),
                    pending: built.pending,
                    lost: built.lost.iter().map(Lost::sectors).sum(),
                    depends_on_clock: false,
                });
            }
        }
        trials
    }

    /// Checks states with one machine per log, and passes on each verdict.
    ///
    /// # Errors
    /// If the host fails. Verdicts that were reached by then were passed on.
    pub fn check(
        &self,
        trials: &[Trial],
        logs: &[Transcript],
        mut take: impl FnMut(&Trial, Verdict) -> Result<()>,
    ) -> Result<()> {
        pool::in_order(
            trials.iter(),
            logs.len(),
            |number| Ok((self.checker(number, &logs[number])?, self.states())),
            |(checker, states), trial| {
                let image = states.build(&trial.choice).image;
                checker.check(&image, trial.choice.cut, self.log)
            },
            |place, verdict| take(&trials[place], verdict),
        )
    }

    /// Returns the machine of this number, with its own log.
    pub(super) fn checker<'c>(
        &'c self,
        number: usize,
        log: &'c Transcript,
    ) -> Result<InMachine<'c>> {
        self.prepared.checker(&format!("check-{number}"), log)
    }

    /// Checks the state after the program's end, without losses. A failure counts only if it does not come from what was
    /// acknowledged: such a check finds no losses.
    pub fn without_loss(&self, log: &Transcript) -> Result<Verdict> {
        let (end, mut machine) = (losing(self.log.events.len(), []), self.checker(0, log)?);
        match self.check_state(&end, end.cut, &mut machine)? {
            Verdict::Failed(_) => self.check_state(&end, self.log.start(), &mut machine),
            verdict => Ok(verdict),
        }
    }

    /// Checks a state with the lines that were printed before an event.
    pub(super) fn check_state(
        &self,
        state: &Choice,
        printed: usize,
        machine: &mut InMachine<'_>,
    ) -> Result<Verdict> {
        machine.check(&self.states().build(state).image, printed, self.log)
    }

    /// Returns the files of a state; `None` if the file system cannot be mounted.
    pub(super) fn files(
        &self,
        state: &Choice,
        machine: &mut InMachine<'_>,
    ) -> Result<Option<Vec<File>>> {
        let image = self.states().build(state).image;
        machine.mounted(&image, self.log.file_system, |machine| machine.files(DIRECTORY))
    }

    /// Returns the writes that must be lost for the check of a failed state to fail, as far as a limited number of
    /// checks finds the fewest, and the failure with those.
    pub(super) fn needed(
        &self,
        failed: &Choice,
        first: &Failure,
        machine: &mut InMachine<'_>,
    ) -> Result<Fewest> {
        let mut states = self.states();
        let lost: Vec<_> = states.build(failed).lost.iter().map(|lost| lost.event).collect();
        let mut found = None;
        let needed = needed(&lost, ATTEMPTS, |lost: &[usize]| {
            let state = losing(failed.cut, lost.iter().copied());
            let image = states.build(&state).image;
            match machine.check(&image, state.cut, self.log)? {
                // Another failure is not this one.
                Verdict::Failed(failure) if failure.kind() == first.kind() => {
                    found = Some((state, failure));
                    anyhow::Ok(true)
                }
                _ => Ok(false),
            }
        })?;
        Ok((needed, found))
    }
}
