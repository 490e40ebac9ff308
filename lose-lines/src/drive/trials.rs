//! The checks of a log's states: equal states only once, in parallel, and the fewest lost writes with which a check
//! still fails.
use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::Result;
use lose_lines_agent::File;
use lose_lines_drive::content::Content;
use lose_lines_drive::log::DriveLog;
use lose_lines_drive::states::{Builder, Choice, Lost, Tearing, losing};
use lose_lines_machine::pmem::DIRECTORY;
use lose_lines_machine::transcript::Transcript;

use super::machine::{InMachine, Prepared};
use crate::check::{Failure, Tested, Verdict};
use crate::fewest::{Needed, needed};
use crate::trial::{Checked, Failed, Reason, Trial, Trials};

/// The maximum number of checks to find the fewest lost writes.
const ATTEMPTS: u32 = 60;

/// The writes that a failure needs, and the state without them with its failure.
pub(super) type Fewest = (Needed<usize>, Option<(Choice, Failure)>);

/// The checks of a log's states.
pub struct DriveTrials<'a> {
    pub test: &'a Tested<'a>,
    pub prepared: &'a Prepared<'a>,
    pub log: &'a DriveLog,
    /// The parts of torn writes.
    pub tearing: Tearing,
    /// The logs of the machines that check.
    pub logs: &'a [Transcript],
    /// The file for the drive of the first failure that is explained, and the sentence on it.
    pub image: Option<(PathBuf, OnceLock<String>)>,
}

impl<'a> Trials for DriveTrials<'a> {
    type Choice = Choice;
    type State = (Trial<Choice>, Content);
    type Checker = InMachine<'a>;
    type Evidence = ();
    const UNITS: &'static str = "unflushed sectors";

    fn checker(&self, number: usize) -> Result<InMachine<'a>> {
        self.prepared.checker(&format!("check-{number}"), &self.logs[number])
    }

    fn check(
        &self,
        checker: &mut InMachine<'a>,
        (trial, image): Self::State,
    ) -> Result<Checked<Choice, ()>> {
        let verdict = checker.check(&image, trial.choice.cut, self.log)?;
        Ok(Checked { trial, verdict, evidence: () })
    }

    fn reason(&self, failed: &Failed<Choice, ()>) -> Result<Reason<Choice>> {
        super::explanation::reason(self, &failed.trial, &failed.failure)
    }
}

/// The states of a log that differ in the drive or in the printed lines, in the order of their cuts.
pub struct Distinct<'a> {
    log: &'a DriveLog,
    builder: Builder<'a>,
    left: VecDeque<Choice>,
    seen: HashMap<(u128, usize), Vec<Choice>>,
}

impl Iterator for Distinct<'_> {
    type Item = (Trial<Choice>, Content);

    fn next(&mut self) -> Option<Self::Item> {
        let Self { log, builder, left, seen } = self;
        loop {
            let choice = left.pop_front()?;
            let built = builder.build(&choice);
            let acknowledged = log.lines_before(choice.cut).count();
            // The hash says which may be equal.
            let known = seen.entry((built.id, acknowledged)).or_default();
            if known.iter().any(|known| builder.build(known).image == built.image) {
                continue;
            }
            known.push(choice.clone());
            let trial = Trial {
                is_between: acknowledged > 0 && log.end().is_none_or(|end| choice.cut <= end),
                choice,
                acknowledged,
                pending: built.pending,
                lost: built.lost.iter().map(Lost::sectors).sum(),
                depends_on_clock: false,
            };
            return Some((trial, built.image));
        }
    }
}

impl<'a> DriveTrials<'a> {
    /// Returns a builder of the log's states.
    pub fn states(&self) -> Builder<'a> {
        Builder::new(self.log, self.tearing.clone())
    }

    /// Returns the states that differ in the drive or in the printed lines.
    pub fn distinct(&self, states: impl IntoIterator<Item = Choice>) -> Distinct<'a> {
        let (builder, left) = (self.states(), states.into_iter().collect());
        Distinct { log: self.log, builder, left, seen: HashMap::new() }
    }

    /// Checks the state after the program's end, without losses. A failure counts only if it does not come from what was
    /// acknowledged: such a check finds no losses.
    pub fn without_loss(&self) -> Result<Verdict> {
        let (end, mut machine) = (losing(self.log.events.len(), []), self.checker(0)?);
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
