//! The lanes of the lab, and their runs side by side.

use core::time::Duration;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Result, bail, ensure};

use super::Lab;
use crate::report::{Finding, Tests, timed};
use lose_lines::log::Log;
use lose_lines::losses;
use lose_lines::unavailable::Unavailable;

/// A claim to prove on one machine.
pub(crate) struct Lane {
    /// `group/name`, by which the lane is selected.
    pub(super) name: String,
    /// The claim that holds if the lane passes.
    pub(super) proves: String,
    prepare: Box<Prepare>,
}

/// Finds, fetches or builds the prerequisites of a lane. An error that is [`Unavailable`] is the reason to skip the
/// lane; any other is its failure.
type Prepare = dyn FnOnce(&Lab<'_>) -> Result<Run>;

/// The work of a lane. It has its own time limit.
pub(crate) type Run = Box<dyn FnOnce(&mut Log) -> Result<Finding> + Send>;

impl Lane {
    pub(crate) fn new(
        name: impl Into<String>,
        proves: impl Into<String>,
        prepare: impl FnOnce(&Lab<'_>) -> Result<Run> + 'static,
    ) -> Self {
        Self { name: name.into(), proves: proves.into(), prepare: Box::new(prepare) }
    }
}

/// A lane that can run: its name, the time of its preparation, and its work.
type Queued = (String, Duration, Run);

/// A lane that has ended: its name, its finding, and its time.
type Ended = (String, Finding, Duration);

/// Prepares the lanes one after the other, meanwhile runs the prepared ones side by side, and hands over each result.
pub(super) fn run_all(
    lab: &Lab<'_>,
    lanes: Vec<Lane>,
    mut record: impl FnMut(&str, Finding, Duration) -> Result<()>,
) -> Result<()> {
    let jobs = thread::available_parallelism().map_or(1, usize::from).min(lanes.len());
    let seed = losses::checked_seed_of_run()?;
    let count = lanes.len();
    writeln!(io::stdout(), "\nlab: {count} lanes, {jobs} side by side, {}={seed}", losses::SEED)?;
    let (prepared, queue) = mpsc::channel();
    let queue = Mutex::new(queue);
    thread::scope(|scope| {
        // This thread owns the queue, so that the other threads end even if it returns an error.
        let prepared = prepared;
        let (results, arriving) = mpsc::channel();
        for _ in 0..jobs {
            let (queue, work, results) = (&queue, lab.sources.work(), results.clone());
            scope.spawn(move || run_prepared(queue, work, &results));
        }
        drop(results);
        for lane in lanes {
            let (run, time) = timed(|| (lane.prepare)(lab));
            match run {
                Ok(run) => {
                    let queued = (lane.name, time, run);
                    ensure!(prepared.send(queued).is_ok(), "nothing runs lanes");
                }
                Err(why) => record(&lane.name, not_prepared(&why), time)?,
            }
            let mut ended = arriving.try_iter();
            ended.try_for_each(|(name, finding, time)| record(&name, finding, time))?;
        }
        drop(prepared);
        arriving.into_iter().try_for_each(|(name, finding, time)| record(&name, finding, time))
    })
}

/// Returns the finding of a lane that was not prepared.
fn not_prepared(why: &anyhow::Error) -> Finding {
    if why.is::<Unavailable>() {
        Finding::skipped(format!("{why:#}"))
    } else {
        Finding::failed(Tests::default(), format!("{why:#}"))
    }
}

/// Runs lanes until the queue is closed, or until the receiver of the results is gone.
fn run_prepared(queue: &Mutex<Receiver<Queued>>, work: &Path, results: &Sender<Ended>) {
    // The thread that waits for a lane holds the lock, so the others wait too. No lane is there for them either.
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
    while let Ok((name, mut time, run)) = next() {
        let (finding, running) = timed(|| run_one(work, &name, run));
        time += running;
        if results.send((name, finding, time)).is_err() {
            break;
        }
    }
}

/// Returns the finding of a lane, unless it passed although a machine that it dropped had faults.
fn without_faults(finding: Finding, log: &Log) -> Result<Finding> {
    if finding.failure().is_none()
        && let Some(fault) = log.text()?.lines().find(|line| line.contains(losses::INVALID))
    {
        bail!("{fault}");
    }
    Ok(finding)
}

/// Runs a lane with a log, whose end is printed if it fails.
fn run_one(work: &Path, name: &str, run: Run) -> Finding {
    let failed = |why: &anyhow::Error| Finding::failed(Tests::default(), format!("{why:#}"));
    let mut log = match Log::create(work, name) {
        Ok(log) => log,
        Err(why) => return failed(&why),
    };
    let finding = run(&mut log).and_then(|finding| without_faults(finding, &log));
    let finding = finding.unwrap_or_else(|why| failed(&why));
    match finding.failure() {
        Some(why) => Finding::failed(finding.tests(), format!("{why}\n{}", log.end())),
        None => finding,
    }
}

#[cfg(test)]
mod tests {
    use super::{Finding, Run, Tests, run_one};
    use lose_lines::log::Log;
    use lose_lines::losses;
    use std::io::Write as _;

    fn failure(run: impl FnOnce(&mut Log) + Send + 'static) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let run: Run = Box::new(|log| {
            run(log);
            Ok(Finding::passed(Tests::default()))
        });
        run_one(folder.path(), "a/lane", run).failure().map(str::to_owned)
    }

    #[test]
    fn a_lane_that_drops_a_machine_with_faults_fails() {
        assert_eq!(failure(|log| writeln!(log, "losses: loss crash=1").unwrap()), None);
        let why = failure(|log| {
            let fault = losses::check("fault unmodelled half=Lower at=0x1").unwrap_err();
            writeln!(log, "losses: {fault}").unwrap();
        });
        assert!(why.is_some_and(|why| why.contains("fault unmodelled half=Lower at=0x1")));
    }
}
