//! A failure in words: the fewest lost writes with which the check fails, their files, and the sync that was missing.
use anyhow::Result;
use lose_lines_drive::states::{Choice, losing};
use serde_json::json;

use super::files::parts;
use super::machine::InMachine;
use super::trials::DriveTrials;
use crate::changes::{Change, changes, named};
use crate::check::{Failure, Verdict};
use crate::fewest::Needed;
use crate::trial::{Lost, Reason, Trial, Trials as _};

/// The number of flushes after a cut, until one of which the missing data is expected on the drive; and before it.
const LATER: usize = 6;

/// Explains the failure of a trial, as far as that is possible.
pub(super) fn reason(
    trials: &DriveTrials<'_>,
    trial: &Trial<Choice>,
    failure: &Failure,
) -> Result<Reason<Choice>> {
    let mut machine = trials.checker(0)?;
    let mut incomplete = Vec::new();
    let mut note = |what: &str, why: anyhow::Error| incomplete.push(format!("{what}: {why:#}"));
    let (needed, fewest) =
        trials.needed(&trial.choice, failure, &mut machine).unwrap_or_else(|why| {
            note("the fewest lost writes were not found", why);
            (Needed::Parts, None)
        });
    let (choice, failure) = fewest.unwrap_or_else(|| (trial.choice.clone(), failure.clone()));
    let built = trials.states().build(&choice);
    let (lost, why) = parts(trials, choice.cut, &built.lost, &mut machine);
    if let Some(why) = why {
        note("the files of lost writes were not found", why);
    }
    let lost: Vec<_> =
        lost.iter().map(|part| Lost { what: part.to_string(), facts: json!(part) }).collect();
    let mut sentences = Vec::new();
    if lost.is_empty() {
        sentences.push(String::from("the check fails even if nothing is lost"));
    }
    match cause(trials, &choice, &needed, &mut machine) {
        Ok(cause) => sentences.extend(cause),
        Err(why) => note("the cause was not found", why),
    }
    sentences.push(flushes(trials, choice.cut));
    if let Some((path, said)) = &trials.image {
        let save = || match built.image.save(path) {
            Ok(()) => format!("the drive after the cut: {}", path.display()),
            Err(why) => format!("{why:#}"),
        };
        let is_first = said.get().is_none();
        let said = said.get_or_init(save);
        sentences.extend(is_first.then(|| said.clone()));
    }
    sentences.extend(incomplete);
    Ok(Reason { choice, failure, lost, cause: sentences })
}

/// Returns the cause of the failure in a state, in words; nothing if it was not found.
fn cause(
    trials: &DriveTrials<'_>,
    state: &Choice,
    needed: &Needed<usize>,
    machine: &mut InMachine<'_>,
) -> Result<Vec<String>> {
    let start = trials.log.start();
    let is_order = matches!(trials.check_state(state, start, machine)?, Verdict::Failed(_));
    let whole = match needed {
        Needed::Nothing => complete(trials, state.cut, machine)?,
        Needed::Units(_) | Needed::Parts => losing(state.cut, []),
    };
    let (found, later) = (trials.files(state, machine)?, trials.files(&whole, machine)?);
    let Some((found, later)) = found.zip(later) else { return Ok(Vec::new()) };
    let mut missing = changes(&found, &later);
    if !is_order {
        return Ok(unsynced(&missing));
    }
    let before = sound(trials, state.cut, machine)?;
    let before = trials.files(&before, machine)?;
    let present = before.map(|before| changes(&before, &found)).unwrap_or_default();
    // What is to be synced first is another file.
    let is_present = |change: &Change| present.iter().any(|other| other.path() == change.path());
    if !missing.iter().all(is_present) {
        missing.retain(|change| !is_present(change));
    }
    Ok(vec![format!("the check fails whatever was acknowledged: {}", order(&present, &missing))])
}

/// Returns sentences on changes that were acknowledged before they were on the drive.
fn unsynced(changes: &[Change]) -> Vec<String> {
    if changes.is_empty() {
        let unknown =
            "the missing data was not on the drive: no fsync came before the acknowledgement";
        return vec![unknown.to_owned()];
    }
    changes.iter().map(Change::unsynced).collect()
}

/// Says that the drive had the first changes and not yet the others.
fn order(present: &[Change], missing: &[Change]) -> String {
    match (present, missing) {
        ([], []) => String::from("the drive had all changes"),
        ([], missing) => format!("not yet on the drive: {}", named(missing)),
        (present, []) => format!("on the drive already: {}", named(present)),
        (present, missing) => format!(
            "on the drive already: {}; not yet: {}. Sync the second before the first",
            named(present),
            named(missing)
        ),
    }
}

/// Returns a sentence on the acknowledgement before a cut, and on the flushes around it.
fn flushes(trials: &DriveTrials<'_>, cut: usize) -> String {
    let line = match trials.log.last_line(cut) {
        Some((event, line)) => format!("the last acknowledgement is event {event}, {line:?}"),
        None => String::from("nothing was acknowledged"),
    };
    let (before, after) = trials.log.flushes_around(cut);
    let [before, after] = [before, after]
        .map(|event| event.map_or_else(|| String::from("none"), |event| format!("event {event}")));
    format!("{line}; the last flush before the cut: {before}; the next one: {after}")
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
