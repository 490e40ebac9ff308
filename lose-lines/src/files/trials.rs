//! Checks of many states, and the reason of a failure.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result};
use lose_lines_states::{Choice, Cut, Kept, Log, LostOperation, Model, State, States};
use serde::Serialize;

use super::check::{Check, Failure};
use super::recorder::Recorded;
use super::stack::Sources;
use crate::fewest::fewest;

/// The number of checks that look for the fewest losses, and for the fewest effects that survived.
const ATTEMPTS: u32 = 200;

/// A state without its files.
#[derive(Clone, Debug, Serialize)]
pub struct Trial {
    #[serde(serialize_with = "displayed")]
    pub choice: Choice,
    /// The number of lines that the program had printed.
    pub acknowledged: usize,
    /// The effects that were not durable, and of those that were lost.
    pub pending: usize,
    pub lost: usize,
}

fn displayed<S: serde::Serializer>(choice: &Choice, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(choice)
}

impl Trial {
    fn of(state: &State) -> Self {
        let State { choice, lines, pending, lost, .. } = state;
        Self { choice: choice.clone(), acknowledged: *lines, pending: *pending, lost: *lost }
    }
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
}

/// The fewest losses with which a check fails.
#[derive(Clone, Debug, Serialize)]
pub struct Reason {
    #[serde(serialize_with = "displayed")]
    pub choice: Choice,
    pub failure: Failure,
    pub cause: Cause,
    /// The sentences on the lost operations.
    pub lost: Vec<String>,
    /// If it is the order: the operations that survived.
    pub survived: Vec<String>,
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
    /// Checks the states, and passes each result on as it is found.
    pub fn check(
        &self,
        states: &mut States<'_>,
        mut take: impl FnMut(Trial, Option<Failure>) -> Result<()>,
    ) -> Result<()> {
        let (jobs, waiting) = sync_channel::<State>(self.jobs * 2);
        let (results, found) = channel();
        let waiting = Mutex::new(waiting);
        thread::scope(|scope| {
            for number in 0..self.jobs {
                let (waiting, results) = (&waiting, results.clone());
                scope.spawn(move || self.work(number, waiting, &results));
            }
            drop(results);
            scope.spawn(move || {
                // Nobody takes states after the first error.
                while let Some(state) = states.next() {
                    if jobs.send(state).is_err() {
                        break;
                    }
                }
            });
            let done = found.iter().try_for_each(|result: Result<_>| {
                let (trial, failure) = result?;
                take(trial, failure)
            });
            if done.is_err() {
                // Lets the workers end.
                drop(found);
            }
            done
        })
    }

    fn work(
        &self,
        number: usize,
        waiting: &Mutex<Receiver<State>>,
        results: &Sender<Result<(Trial, Option<Failure>)>>,
    ) {
        let mut is_used = true;
        loop {
            let state = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(state) = state else { return };
            if is_used {
                let result = self.check_one(&state, number);
                is_used = result.is_ok();
                let sent = results.send(result.map(|failure| (Trial::of(&state), failure)));
                is_used &= sent.is_ok();
            }
        }
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
        self.check.run(&directory, &printed, &self.printed(state))
    }

    /// Returns the fewest losses with which the check of a failed state fails, and what survived them.
    pub fn reason(
        &self,
        failed: &Choice,
        failure: &Failure,
        sources: &mut Sources,
    ) -> Result<Reason> {
        let cut = Cut::new(self.log, self.model, failed.cut);
        let number = self.jobs;
        let mut last = (failed.clone(), failure.clone());
        let mut fails = |state: State| {
            let failure = self.check_one(&state, number)?;
            let has_failed = failure.is_some();
            last = failure.map_or_else(|| last.clone(), |failure| (state.choice, failure));
            anyhow::Ok(has_failed)
        };
        let mut lost = cut.lost(&failed.kept);
        // The last ones first: what a journal orders is lost with what precedes it.
        lost.reverse();
        let mut survived = Vec::new();
        let cause = if fails(cut.losing(&[]))? {
            lost.clear();
            Cause::NothingLost
        } else {
            if fails(cut.losing(&lost))? {
                lost = fewest(&lost, ATTEMPTS, |lost| fails(cut.losing(lost)))?;
            }
            if fails(cut.keeping(&[]))? {
                Cause::Lost
            } else {
                survived = cut.kept(&cut.losing(&lost).choice.kept);
                survived = fewest(&survived, ATTEMPTS, |kept| fails(cut.keeping(kept)))?;
                Cause::Order
            }
        };
        let (choice, failure) = if cause == Cause::NothingLost {
            last.clone()
        } else {
            let state = cut.losing(&lost);
            let failure = self.check_one(&state, number)?.unwrap_or_else(|| failure.clone());
            (
                Choice {
                    cut: failed.cut,
                    kept: Kept::AllBut(lost.iter().rev().copied().collect()),
                },
                failure,
            )
        };
        let mut place = |place: usize| self.log.places.get(place).and_then(|at| sources.line(at));
        let lost = cut.operations(&lost, &mut place);
        let survived = cut.operations(&survived, &mut place);
        let sentence = |LostOperation { what, why, .. }: LostOperation| format!("{what} {why}");
        Ok(Reason {
            choice,
            failure,
            cause,
            lost: lost.into_iter().map(sentence).collect(),
            survived: survived.into_iter().map(|operation| operation.what).collect(),
        })
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
            command: &self.check.command,
            directory: &directory,
            environment: &environment,
            limit: self.check.limit,
            fault: None,
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
            let reason = inner.reason(&trial.choice, &failure, sources)?;
            take(trial, reason)?;
        }
        Ok(checked)
    }
}
