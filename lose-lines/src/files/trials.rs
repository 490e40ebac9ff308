//! Checks of many states, and the reason of a failure.
use core::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use lose_lines_recorder::Recorded;
use lose_lines_recorder::Sources;
use lose_lines_states::{Choice, Cut, Keep, Kept, Log, LostOperation, Model, State, States};
use serde::{Serialize, Serializer};
use serde_json::json;

use super::check::{Check, program};
use crate::check::Failure;
use crate::fewest::fewest;
use crate::pool;
use crate::report::Progress;
use crate::trial::displayed;

/// The number of checks that look for the fewest losses, and for the fewest effects that survived.
const ATTEMPTS: u32 = 200;

/// A state of a recording.
pub type Trial = crate::trial::Trial<Choice>;

fn trial(state: &State) -> Trial {
    let (choice, acknowledged) = (state.choice.clone(), state.lines);
    let State { pending, lost, depends_on_clock, .. } = *state;
    let is_between = acknowledged > 0;
    Trial { choice, acknowledged, is_between, pending, lost, depends_on_clock }
}

/// The cause of a failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Cause {
    /// The check fails even if nothing is lost.
    NothingLost,
    /// The check fails whatever else is lost: something acknowledged was not durable.
    Lost,
    /// The check fails because a later operation survived an earlier one.
    Order,
    /// The search for the fewest losses failed.
    Unknown,
}

/// The fewest losses with which a check fails.
#[derive(Clone, Debug, Serialize)]
pub struct Reason {
    #[serde(serialize_with = "displayed")]
    pub choice: Choice,
    pub failure: Failure,
    pub cause: Cause,
    #[serde(serialize_with = "operations")]
    pub lost: Vec<LostOperation>,
    /// If it is the order: the operations that survived.
    #[serde(serialize_with = "operations")]
    pub survived: Vec<LostOperation>,
}

/// Serializes operations as far as a reader needs them.
fn operations<S: Serializer>(lost: &[LostOperation], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(lost.iter().map(|lost| {
        let LostOperation { call, name, path, range, what, why, .. } = lost;
        json!({ "call": call, "name": name, "path": path, "range": range, "what": what, "why": why })
    }))
}

/// The states of one log under one model.
pub struct Trials<'a> {
    pub log: &'a Log,
    pub model: Model,
    pub check: &'a Check,
    pub jobs: usize,
    /// A directory for the states, best in memory.
    pub work: &'a Path,
    /// The log and the number of lines that a check reads, if it is not the log's own.
    pub lines: Option<(&'a Log, usize)>,
}

impl Trials<'_> {
    /// Checks the states, and passes on each result.
    pub fn check(
        &self,
        states: &mut States<'_>,
        mut take: impl FnMut(Trial, Option<Failure>) -> Result<()>,
    ) -> Result<()> {
        pool::in_order(
            states,
            self.jobs,
            Ok,
            |number, state| Ok((trial(&state), self.check_one(&state, *number)?)),
            |_place, (trial, failure)| take(trial, failure),
        )
    }

    fn place(&self, number: usize) -> (PathBuf, PathBuf) {
        let folder = self.work.join(number.to_string());
        (folder.join("state"), folder.join("printed"))
    }

    /// Returns the lines that a check reads, each with its end.
    pub fn printed(&self, state: &State) -> Vec<u8> {
        let (log, count) = self.lines.unwrap_or((self.log, state.lines));
        let lines = log.lines_before(usize::MAX).take(count);
        lines.flat_map(|line| [line, b"\n"]).flatten().copied().collect()
    }

    /// Builds a state, and checks it.
    pub fn check_one(&self, state: &State, number: usize) -> Result<Option<Failure>> {
        let (directory, printed) = self.place(number);
        let built = state.image.build(&directory);
        built.with_context(|| format!("cannot build a state in {}", directory.display()))?;
        let failure = self.check.run(&directory, &printed, &self.printed(state))?;
        if failure.is_some() {
            let room = rustix::fs::statvfs(self.work).context("cannot see the free space")?;
            let work = self.work.display();
            ensure!(room.f_bavail > 0, "{work} is full, so a check failed; make room there");
        }
        Ok(failure)
    }

    /// Returns the reason of a failure, and the error if it was not found: the failure stands without it.
    pub fn explained(
        &self,
        trial: &Trial,
        failure: Failure,
        sources: &mut Sources,
    ) -> (Reason, Result<()>) {
        match self.reason(trial, &failure, sources) {
            Ok(reason) => (reason, Ok(())),
            Err(why) => {
                let (choice, cause) = (trial.choice.clone(), Cause::Unknown);
                let reason =
                    Reason { choice, failure, cause, lost: Vec::new(), survived: Vec::new() };
                (reason, Err(why.context("cannot look for the fewest losses")))
            }
        }
    }

    /// Returns the fewest losses with which the check of a failed state fails in the same way, and what survived them.
    fn reason(&self, trial: &Trial, first: &Failure, sources: &mut Sources) -> Result<Reason> {
        let failed = &trial.choice;
        let cut = Cut::new(self.log, self.model, failed.cut);
        let (kind, told) = (first.kind(), RefCell::new(Progress::new(2 * ATTEMPTS as usize)));
        // Another failure, or one that needs a clock that stands still, is not this one.
        let same = |state: State| {
            let is_other = state.depends_on_clock && !trial.depends_on_clock;
            let failure = if is_other { None } else { self.check_one(&state, self.jobs)? };
            told.borrow_mut().step(failure.is_some());
            anyhow::Ok(failure.filter(|failure| failure.kind() == kind))
        };
        let fails = |state: State| same(state).map(|failure| failure.is_some());
        let mut lost = cut.lost(&failed.kept);
        // The last ones first: what a journal orders is lost with what precedes it.
        lost.reverse();
        let (mut survived, mut cause) = (Vec::new(), Cause::NothingLost);
        let without_loss = same(cut.losing(&[]))?;
        let failure = if without_loss.is_some() {
            lost.clear();
            without_loss
        } else {
            lost = fewest(&lost, ATTEMPTS, |lost| fails(cut.losing(lost)))?;
            cause = Cause::Lost;
            // Nothing survives there, so if the check then succeeds, what survived is the reason.
            if self.check_one(&cut.keeping(&[]), self.jobs)?.is_none() {
                cause = Cause::Order;
                survived = cut.kept(&cut.losing(&lost).choice.kept);
                survived = fewest(&survived, ATTEMPTS, |kept| fails(cut.keeping(kept)))?;
            }
            same(cut.losing(&lost))?
        };
        lost.reverse();
        let kept = match &lost[..] {
            [] => Kept::Chosen { seed: 0, keep: Keep::All },
            lost => Kept::AllBut(lost.to_vec()),
        };
        let choice = Choice { cut: failed.cut, kept };
        let mut place = |place: usize| self.log.places.get(place).and_then(|at| sources.line(at));
        let lost = cut.operations(&lost, &mut place);
        let survived = cut.survivors(&survived, &mut place);
        let failure = failure.unwrap_or_else(|| first.clone());
        Ok(Reason { choice, failure, cause, lost, survived })
    }

    /// Checks the end of the run without any loss. Returns the failure if it does not come from what was acknowledged: such
    /// a check finds no losses.
    pub fn without_loss(&self) -> Result<Option<Failure>> {
        let state = Cut::new(self.log, self.model, self.log.records.len()).losing(&[]);
        if self.check_one(&state, self.jobs)?.is_none() {
            return Ok(None);
        }
        let unacknowledged = Self { lines: Some((self.log, 0)), ..*self };
        unacknowledged.check_one(&state, self.jobs)
    }

    /// Cuts the power while the check itself works on a state, and checks what that leaves. Passes each failure on, with
    /// its reason.
    pub fn within_recovery(
        &self,
        state: &State,
        (count, seed): (usize, u64),
        sources: &mut Sources,
        mut take: impl FnMut(Trial, Reason) -> Result<()>,
    ) -> Result<usize> {
        let (directory, printed) = self.place(self.jobs + 1);
        state.image.build(&directory).context("cannot build a state")?;
        fs::write(&printed, self.printed(state)).context("cannot write the lines")?;
        let mut environment = self.check.environment.clone();
        environment.push((String::from("PRINTED"), printed.display().to_string()));
        let recorded = Recorded {
            program: &program(&self.check.command[0], &directory)?,
            command: &self.check.command,
            directory: &directory,
            environment: &environment,
            limit: self.check.limit,
            fault: None,
            is_quiet: true,
        };
        let recording = recorded.record()?;
        let inner = Trials {
            log: &recording.log,
            lines: Some((self.lines.map_or(self.log, |lines| lines.0), state.lines)),
            ..*self
        };
        let mut states = States::new(&recording.log, self.model).count(count).seed(seed);
        let (mut checked, mut failed) = (0, None);
        inner.check(&mut states, |trial, failure| {
            checked += 1;
            if let (None, Some(failure)) = (&failed, failure) {
                failed = Some((trial, failure));
            }
            Ok(())
        })?;
        if let Some((trial, failure)) = failed {
            let (reason, found) = inner.explained(&trial, failure, sources);
            take(trial, reason)?;
            found?;
        }
        Ok(checked)
    }
}
