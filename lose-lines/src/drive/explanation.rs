//! A failure in words: the fewest lost writes with which the check fails, their files, and the sync that was missing.
use core::fmt;

use anyhow::Result;
use lose_lines_drive::states::{Built, Choice, losing};
use lose_lines_machine::transcript::Transcript;
use serde::{Serialize, Serializer};

use super::files::{LostPart, parts};
use super::machine::InMachine;
use super::trials::{DriveTrials, Trial};
use crate::changes::{Change, changes, named};
use crate::check::{Failure, Verdict};
use crate::fewest::Needed;

/// The number of lost parts that are listed.
const LISTED: usize = 12;

/// The number of flushes after a cut, until one of which the missing data is expected on the drive; and before it.
const LATER: usize = 6;

/// A failure of a check, explained.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    #[serde(flatten)]
    pub trial: Trial,
    pub failure: Failure,
    /// The state with the fewest lost writes for which the check fails, and that failure; `None` if it needs torn
    /// writes.
    #[serde(serialize_with = "named_failure")]
    pub fewest: Option<(Choice, Failure)>,
    /// The parts of writes that are lost in that state, or otherwise in the one that was tried.
    pub lost: Vec<LostPart>,
    /// The cause; `None` if it was not found.
    pub cause: Option<Gap>,
    /// The last line that the program had printed, with the number of its event.
    pub acknowledgement: Option<(usize, String)>,
    /// The number of the last flush before the cut.
    pub flush_before: Option<usize>,
    /// The number of the first flush after the cut.
    pub flush_after: Option<usize>,
    /// What kept this explanation from being complete.
    pub incomplete: Vec<String>,
}

#[expect(clippy::ref_option, reason = "serde passes the field")]
fn named_failure<S: Serializer>(
    fewest: &Option<(Choice, Failure)>,
    to: S,
) -> Result<S::Ok, S::Error> {
    fewest.as_ref().map(|(choice, failure)| (choice.to_string(), failure)).serialize(to)
}

/// What the drive lacked at a failure.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Gap {
    /// These changes were acknowledged before they were on the drive.
    Unsynced(Vec<Change>),
    /// The check fails whatever was acknowledged: the drive had the first changes and not yet the others.
    Order { present: Vec<Change>, missing: Vec<Change> },
}

impl Explanation {
    /// Explains the failure of a trial, as far as that is possible, and returns the drive after the cut.
    pub fn new(
        trials: &DriveTrials<'_>,
        trial: &Trial,
        failure: &Failure,
        log: &Transcript,
    ) -> Result<(Self, Built)> {
        let mut machine = trials.checker(0, log)?;
        let mut incomplete = Vec::new();
        let mut note = |what: &str, why: anyhow::Error| {
            incomplete.push(format!("{what}: {why:#}"));
        };
        let (needed, fewest) =
            trials.needed(&trial.choice, failure, &mut machine).unwrap_or_else(|why| {
                note("the fewest lost writes were not found", why);
                (Needed::Parts, None)
            });
        let state = fewest.as_ref().map_or(&trial.choice, |(state, _)| state);
        let built = trials.states().build(state);
        let (lost, why) = parts(trials, state.cut, &built.lost, &mut machine);
        if let Some(why) = why {
            note("the files of lost writes were not found", why);
        }
        let cause = cause(trials, state, &needed, &mut machine).unwrap_or_else(|why| {
            note("the cause was not found", why);
            None
        });
        let acknowledgement = trials.log.last_line(state.cut);
        let acknowledgement = acknowledgement.map(|(event, line)| (event, line.to_owned()));
        let (flush_before, flush_after) = trials.log.flushes_around(state.cut);
        let (trial, failure) = (trial.clone(), failure.clone());
        let explanation = Self {
            trial,
            failure,
            fewest,
            lost,
            cause,
            acknowledgement,
            flush_before,
            flush_after,
            incomplete,
        };
        Ok((explanation, built))
    }

    /// Returns the state to repeat.
    pub fn state(&self) -> &Choice {
        self.fewest.as_ref().map_or(&self.trial.choice, |(state, _)| state)
    }
}

/// Returns the cause of the failure in a state.
fn cause(
    trials: &DriveTrials<'_>,
    state: &Choice,
    needed: &Needed<usize>,
    machine: &mut InMachine<'_>,
) -> Result<Option<Gap>> {
    let start = trials.log.start();
    let is_order = matches!(trials.check_state(state, start, machine)?, Verdict::Failed(_));
    let whole = match needed {
        Needed::Nothing => complete(trials, state.cut, machine)?,
        Needed::Units(_) | Needed::Parts => losing(state.cut, []),
    };
    let (found, later) = (trials.files(state, machine)?, trials.files(&whole, machine)?);
    let Some((found, later)) = found.zip(later) else { return Ok(None) };
    let mut missing = changes(&found, &later);
    if !is_order {
        return Ok(Some(Gap::Unsynced(missing)));
    }
    let before = sound(trials, state.cut, machine)?;
    let before = trials.files(&before, machine)?;
    let present = before.map(|before| changes(&before, &found)).unwrap_or_default();
    // What is to be synced first is another file.
    let is_present = |change: &Change| present.iter().any(|other| other.path() == change.path());
    if !missing.iter().all(is_present) {
        missing.retain(|change| !is_present(change));
    }
    Ok(Some(Gap::Order { present, missing }))
}

/// Returns the last earlier state that the check accepts.
fn sound(trials: &DriveTrials<'_>, cut: usize, machine: &mut InMachine<'_>) -> Result<Choice> {
    let start = trials.log.start();
    let mut at = cut;
    for _flush in 0..LATER {
        let Some(flush) = trials.log.flushes_around(at).0.filter(|flush| *flush > start) else {
            break;
        };
        let state = losing(flush, []);
        if trials.check_state(&state, start, machine)? == Verdict::Right {
            return Ok(state);
        }
        at = flush;
    }
    Ok(losing(start, []))
}

/// Returns the first later state that has all that the check of a cut misses.
fn complete(trials: &DriveTrials<'_>, cut: usize, machine: &mut InMachine<'_>) -> Result<Choice> {
    let mut at = cut;
    for _flush in 0..LATER {
        let Some(flush) = trials.log.flushes_around(at).1 else { break };
        let state = losing(flush, []);
        if trials.check_state(&state, cut, machine)? == Verdict::Right {
            return Ok(state);
        }
        at = flush + 1;
    }
    Ok(losing(trials.log.events.len(), []))
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsynced(changes) if changes.is_empty() => {
                f.write_str(
                    "   the missing data was not on the drive: no fsync came before the acknowledgement\n",
                )
            }
            Self::Unsynced(changes) => {
                changes.iter().try_for_each(|change| writeln!(f, "   {}", change.unsynced()))
            }
            Self::Order { present, missing } => {
                f.write_str("   the check fails whatever was acknowledged: ")?;
                match (&present[..], &missing[..]) {
                    ([], []) => f.write_str("the drive had all changes\n"),
                    ([], missing) => writeln!(f, "not yet on the drive: {}", named(missing)),
                    (present, []) => writeln!(f, "on the drive already: {}", named(present)),
                    (present, missing) => writeln!(
                        f,
                        "on the drive already: {}; not yet: {}. Sync the second before the first",
                        named(present),
                        named(missing)
                    ),
                }
            }
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trial, fewest, lost, cause, acknowledgement, .. } = self;
        writeln!(f, "state {}:", trial.choice)?;
        if let Some((state, failure)) = fewest {
            writeln!(f, "   state {state} suffices: the check {}", failure.name())?;
        }
        lost.iter().take(LISTED).try_for_each(|part| writeln!(f, "   lost: {part}"))?;
        match lost.len() {
            0 => writeln!(f, "   the check fails even if no write is lost")?,
            parts if parts > LISTED => writeln!(f, "   and {} more parts", parts - LISTED)?,
            _ => {}
        }
        if let Some(cause) = cause {
            write!(f, "{cause}")?;
        }
        match acknowledgement {
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
            Some(event) => writeln!(f, "; the next one would have been event {event}")?,
            None => writeln!(f, "; no later flush followed")?,
        }
        self.incomplete.iter().try_for_each(|why| writeln!(f, "   {why}"))
    }
}
