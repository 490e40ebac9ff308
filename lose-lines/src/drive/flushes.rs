//! Leaving out flushes one at a time, like a drive that ignores one. If every check then succeeds, the flush is not
//! needed, or the check does not see what it protects.
use anyhow::Result;
use lose_lines_drive::log::{DriveLog, Event};
use lose_lines_drive::states::Choice;
use lose_lines_plugin::policy::Policy;
use lose_lines_states::Kept;

use super::trials::DriveTrials;
use crate::check::Verdict;
use crate::trial::{Checked, each};

/// The states that are checked without a flush, at each cut: the policy, and the number of seeds.
const TRIED: [(Policy, u64); 4] =
    [(Policy::None, 1), (Policy::KeepOne, 3), (Policy::LoseOne, 3), (Policy::Half, 3)];

/// A flush that was left out.
#[derive(Clone, Debug)]
pub struct LeftOut {
    /// The number of its event.
    pub event: usize,
    /// The number of lines printed before it.
    pub acknowledged: usize,
    /// True if a check failed without it.
    pub is_missed: bool,
}

/// Leaves out each flush that completes a write, from the first printed line to the program's end, and checks the
/// states between it and the next one.
pub fn leave_out(
    trials: &DriveTrials<'_>,
    mut take: impl FnMut(&LeftOut) -> Result<()>,
) -> Result<()> {
    let log = trials.log;
    for event in flushes(log) {
        let mut without = log.clone();
        without.events.remove(event);
        let states: Vec<_> = cuts(&without, event).flat_map(states_at).collect();
        let mut is_missed = false;
        let (tearing, logs) = (trials.tearing.clone(), &trials.logs[..1]);
        let trials = DriveTrials { log: &without, tearing, logs, image: None, ..*trials };
        each(&trials, trials.distinct(states), 1, |Checked { verdict, .. }| {
            is_missed |= matches!(verdict, Verdict::Failed(_));
            Ok(())
        })?;
        let acknowledged = log.lines_before(event).count();
        take(&LeftOut { event, acknowledged, is_missed })?;
    }
    Ok(())
}

/// Returns the flushes that complete a write, from the first printed line to the end.
fn flushes(log: &DriveLog) -> impl Iterator<Item = usize> {
    let is_of_program = |event: usize| log.lines_before(event).next().is_some();
    let end = log.end().unwrap_or(log.events.len());
    (log.start()..end).filter(move |event| {
        let pending = log.flushes_around(*event).0.unwrap_or_default()..*event;
        log.events[*event] == Event::Flush
            && is_of_program(*event)
            && log.events[pending]
                .iter()
                .any(|event| matches!(event, Event::Write(write) if !write.is_durable))
    })
}

/// Returns the cuts after a flush that was left out: after each printed line, and before the next flush.
fn cuts(without: &DriveLog, event: usize) -> impl Iterator<Item = usize> {
    let next = without.flushes_around(event).1.unwrap_or(without.events.len());
    let is_line = |event: &usize| matches!(without.events[*event], Event::Line(_));
    (event..next).filter(is_line).map(|event| event + 1).chain([next])
}

fn states_at(event: usize) -> impl Iterator<Item = Choice> {
    TRIED.into_iter().flat_map(move |(policy, seeds)| {
        (0..seeds).map(move |seed| Choice { cut: event, kept: Kept::Chosen { seed, keep: policy } })
    })
}
