//! A failure in words: the fewest lost writes with which the check fails, their files, and the flush that came too
//! late.

use core::fmt;

use anyhow::Result;
use serde::Serialize;

use super::files::{LostPart, parts};
use super::states::{Built, State, States};
use super::trials::{Failure, Trial, Trials};
use crate::log::Log;

/// The number of lost parts that are listed.
const LISTED: usize = 12;

/// A failure of a check, explained.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    #[serde(flatten)]
    pub trial: Trial,
    pub failure: Failure,
    /// The state with the fewest lost writes for which the check fails, and that failure; `None` if it needs torn
    /// writes.
    pub fewest: Option<(State, Failure)>,
    /// The parts of writes that are lost in that state, or otherwise in the one that was tried.
    pub lost: Vec<LostPart>,
    /// The last line that the program had printed, with the number of its event.
    pub acknowledgement: Option<(usize, String)>,
    /// The number of the last flush before the cut.
    pub flush_before: Option<usize>,
    /// The number of the first flush after the cut.
    pub flush_after: Option<usize>,
}

impl Explanation {
    /// Explains the failure of a trial, and returns the drive after the cut.
    pub fn new(
        trials: &Trials<'_>,
        trial: &Trial,
        failure: &Failure,
        log: &Log,
    ) -> Result<(Self, Built)> {
        let fewest = trials.minimal(&trial.state, log)?;
        let state = fewest.as_ref().map_or(&trial.state, |(state, _)| state);
        let built = States::new(trials.log).build(state);
        let lost = parts(trials.test, trials.log, state.event, &built.lost)?;
        let acknowledgement = trials.log.last_line(state.event);
        let acknowledgement = acknowledgement.map(|(event, line)| (event, line.to_owned()));
        let (flush_before, flush_after) = trials.log.flushes_around(state.event);
        let (trial, failure) = (trial.clone(), failure.clone());
        let explanation =
            Self { trial, failure, fewest, lost, acknowledgement, flush_before, flush_after };
        Ok((explanation, built))
    }

    /// Returns the state to repeat.
    pub fn state(&self) -> &State {
        self.fewest.as_ref().map_or(&self.trial.state, |(state, _)| state)
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Trial { state, acknowledged, pending_sectors, lost_sectors, .. } = &self.trial;
        let Failure { why, output } = &self.failure;
        writeln!(
            f,
            "state {state}: acknowledged {acknowledged}, {lost_sectors} of {pending_sectors} unflushed sectors lost, the check FAILED: it {why}"
        )?;
        output.lines().try_for_each(|line| writeln!(f, "   | {line}"))?;
        if let Some((state, Failure { why, output })) = &self.fewest {
            let last = output.lines().last().map(|line| format!(": {line}")).unwrap_or_default();
            writeln!(f, "   state {state} suffices: the check {why}{last}")?;
        }
        self.lost.iter().take(LISTED).try_for_each(|part| writeln!(f, "   lost: {part}"))?;
        match self.lost.len() {
            0 => writeln!(
                f,
                "   the check fails even if no write is lost: the missing data had not been written to the drive before the cut. The program printed before its fsync, or did not sync"
            )?,
            parts if parts > LISTED => writeln!(f, "   and {} more parts", parts - LISTED)?,
            _ => {}
        }
        match &self.acknowledgement {
            Some((event, line)) => {
                write!(f, "   the last acknowledgement is event {event}, {line:?}")?;
            }
            None => write!(f, "   nothing was acknowledged")?,
        }
        match self.flush_before {
            Some(event) => write!(f, "; the last flush before the cut is event {event}")?,
            None => write!(f, "; no flush came before the cut")?,
        }
        match self.flush_after {
            Some(event) => write!(f, "; the next one would have been event {event}"),
            None => write!(f, "; no later flush followed"),
        }
    }
}
