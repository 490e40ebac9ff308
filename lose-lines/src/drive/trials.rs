//! The checks of a log's states: equal states only once, in parallel, and the fewest lost writes with which a check
//! still fails.

use core::num::NonZero;
use std::collections::HashSet;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use anyhow::Result;
use serde::Serialize;

use super::DriveTest;
use super::host::OnHost;
use super::image::Image;
use super::log::DriveLog;
use super::machine::{InMachine, Prepared};
use super::states::{Built, Lost, State, States};
use crate::fewest::fewest;
use crate::log::Log;

/// The maximum number of checks to find the fewest lost writes.
const ATTEMPTS: u32 = 60;

/// The complaint about a state.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    /// The end of the check: "ended with exit code 1".
    pub why: String,
    /// The output of the check.
    pub output: String,
}

/// A state to be checked.
#[derive(Clone, Debug, Serialize)]
pub struct Trial {
    pub state: State,
    /// The number of lines that the program had printed: what it had acknowledged.
    pub acknowledged: usize,
    /// True if the cut came between such a line and the program's end.
    pub is_between: bool,
    /// The number of sectors that no flush had made durable.
    pub pending_sectors: usize,
    /// The number of these sectors that were lost.
    pub lost_sectors: usize,
}

impl Trial {
    fn of(log: &DriveLog, state: &State, built: &Built) -> Self {
        let acknowledged = log.lines_before(state.event).count();
        Self {
            state: state.clone(),
            acknowledged,
            is_between: acknowledged > 0 && log.end().is_none_or(|end| state.event <= end),
            pending_sectors: built.pending,
            lost_sectors: built.lost.iter().map(Lost::sectors).sum(),
        }
    }
}

/// Returns the states that differ in the drive or in the printed lines.
pub fn distinct(log: &DriveLog, states: &[State]) -> Vec<Trial> {
    let (mut builder, mut seen) = (States::new(log), HashSet::new());
    let mut trials = Vec::new();
    for state in states {
        let built = builder.build(state);
        let trial = Trial::of(log, state, &built);
        if seen.insert((built.id, trial.acknowledged)) {
            trials.push(trial);
        }
    }
    trials
}

/// The checks of a log's states.
pub struct Trials<'a> {
    pub test: &'a DriveTest<'a>,
    pub prepared: Option<&'a Prepared<'a>>,
    pub log: &'a DriveLog,
}

impl Trials<'_> {
    /// Checks states with one machine per log, and passes on each result as it comes.
    pub fn check(
        &self,
        trials: &[Trial],
        logs: &[Log],
        mut take: impl FnMut(&Trial, Option<Failure>) -> Result<()>,
    ) -> Result<()> {
        let jobs = NonZero::new(logs.len()).map_or(1, NonZero::get);
        let (sender, results) = channel();
        thread::scope(|scope| {
            // Neighbouring states share durable writes.
            let parts = trials.chunks(trials.len().div_ceil(jobs).max(1));
            for (number, (part, log)) in parts.zip(logs).enumerate() {
                let sender = sender.clone();
                scope.spawn(move || self.check_part(number, part, log, &sender));
            }
            drop(sender);
            results.into_iter().try_for_each(|result: Result<_>| {
                let (trial, failure) = result?;
                take(trial, failure)
            })
        })
    }

    fn check_part<'t>(
        &self,
        number: usize,
        trials: &'t [Trial],
        log: &Log,
        to: &Sender<Result<(&'t Trial, Option<Failure>)>>,
    ) {
        let (mut checker, mut states) = match self.checker(number, log) {
            Ok(checker) => (checker, States::new(self.log)),
            Err(why) => return drop(to.send(Err(why))),
        };
        for trial in trials {
            let image = states.build(&trial.state).image;
            let result = checker.check(&image, trial.state.event, self.log);
            let has_failed = result.is_err();
            // Nobody takes results after the first error.
            if to.send(result.map(|failure| (trial, failure))).is_err() || has_failed {
                return;
            }
        }
    }

    fn checker<'c>(&'c self, number: usize, log: &'c Log) -> Result<Checker<'c>> {
        Ok(match self.prepared {
            Some(prepared) => {
                Checker::Machine(Box::new(prepared.checker(&format!("check-{number}"), log)?))
            }
            None => Checker::Host(OnHost::new(self.test, number)),
        })
    }

    /// Checks the state without losses.
    pub fn check_end(&self, log: &Log) -> Result<Option<Failure>> {
        let event = self.log.events.len();
        let state = State::losing(event, []);
        let image = States::new(self.log).build(&state).image;
        self.checker(0, log)?.check(&image, event, self.log)
    }

    /// Returns the fewest lost writes with which the check of a failed state fails, as far as a limited number of
    /// checks finds them, and that failure. Returns `None` if the check fails only with torn writes.
    pub fn minimal(&self, failed: &State, log: &Log) -> Result<Option<(State, Failure)>> {
        let (mut checker, mut states) = (self.checker(0, log)?, States::new(self.log));
        let lost: Vec<_> = states.build(failed).lost.iter().map(|lost| lost.event).collect();
        let mut found = None;
        let mut fails = |lost: &[usize]| {
            let state = State::losing(failed.event, lost.iter().copied());
            let image = states.build(&state).image;
            let failure = checker.check(&image, state.event, self.log)?;
            let has_failed = failure.is_some();
            found = failure.map(|failure| (state, failure)).or(found.take());
            anyhow::Ok(has_failed)
        };
        if !fails(&[])? && fails(&lost)? {
            fewest(&lost, ATTEMPTS, &mut fails)?;
        }
        Ok(found)
    }
}

/// The place where checks are run.
enum Checker<'a> {
    Machine(Box<InMachine<'a>>),
    Host(OnHost<'a>),
}

impl Checker<'_> {
    fn check(&mut self, image: &Image, event: usize, log: &DriveLog) -> Result<Option<Failure>> {
        match self {
            Self::Machine(machine) => machine.check(image, event, log),
            Self::Host(host) => host.check(image, event, log),
        }
    }
}
