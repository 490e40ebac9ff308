//! Checks of many states, and the reason of a failure.
use core::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use lose_lines_machine::program::located;
use lose_lines_recorder::Recorded;
use lose_lines_recorder::Sources;
use lose_lines_states::{Choice, Cut, Keep, Kept, Log, LostOperation, Model, State, States};
use serde_json::json;

use super::check::Check;
use crate::check::{Failure, Verdict};
use crate::fewest::fewest;
use crate::report::Progress;
use crate::trial::{Checked, Failed, Lost, Reason, Trial, Trials, first_failure};

/// The number of checks that look for the fewest losses, and for the fewest effects that survived.
const ATTEMPTS: u32 = 200;

/// The number of survivors that are listed.
const LISTED: usize = 6;

/// Failures of one kind.
pub type FailedFiles = Failed<Choice, ()>;

/// The states of one log under one model.
pub struct FileTrials<'a> {
    pub log: &'a Log,
    pub model: Model,
    pub check: &'a Check,
    pub jobs: usize,
    /// A directory for the states, best in memory.
    pub work: &'a Path,
    /// The log and the number of lines that a check reads, if it is not the log's own.
    pub lines: Option<(&'a Log, usize)>,
}

impl Trials for FileTrials<'_> {
    type Choice = Choice;
    type State = State;
    type Checker = usize;
    type Evidence = ();
    const UNITS: &'static str = "effects";

    fn checker(&self, number: usize) -> Result<usize> {
        Ok(number)
    }

    fn check(&self, checker: &mut usize, state: State) -> Result<Checked<Choice, ()>> {
        let verdict = self.check_one(&state, *checker)?.map_or(Verdict::Right, Verdict::Failed);
        let State { choice, lines, pending, lost, depends_on_clock, .. } = state;
        let (acknowledged, is_between) = (lines, lines > 0);
        let trial = Trial { choice, acknowledged, is_between, pending, lost, depends_on_clock };
        Ok(Checked { trial, verdict, evidence: () })
    }

    fn reason(
        &self,
        FailedFiles { trial, failure: first, .. }: &FailedFiles,
    ) -> Result<Reason<Choice>> {
        let failed = &trial.choice;
        let cut = Cut::new(self.log, self.model, failed.cut);
        let (kind, progress) = (first.kind(), RefCell::new(Progress::new(2 * ATTEMPTS as usize)));
        // Another failure, or one that needs a clock that stands still, is not this one.
        let same = |state: State| {
            let is_other = state.depends_on_clock && !trial.depends_on_clock;
            let failure = if is_other { None } else { self.check_one(&state, self.jobs)? };
            progress.borrow_mut().step(failure.is_some());
            anyhow::Ok(failure.filter(|failure| failure.kind() == kind))
        };
        let fails = |state: State| same(state).map(|failure| failure.is_some());
        if let Some(failure) = same(cut.losing(&[]))? {
            let kept = Kept::Chosen { seed: 0, keep: Keep::All };
            let written = match trial.acknowledged {
                0 => "",
                _ => "what the program acknowledged was not written before the cut, or ",
            };
            let cause = format!(
                "nothing is lost here: {written}the check fails on files that the program was still changing"
            );
            let (choice, lost) = (Choice { cut: failed.cut, kept }, Vec::new());
            return Ok(Reason { choice, failure, lost, cause: vec![cause] });
        }
        let mut lost = cut.lost(&failed.kept);
        // The last ones first: what a journal orders is lost with what precedes it.
        lost.reverse();
        lost = fewest(&lost, ATTEMPTS, |lost| fails(cut.losing(lost)))?;
        let mut survived = Vec::new();
        // Nothing survives there, so if the check then succeeds, what survived is the reason.
        if self.check_one(&cut.keeping(&[]), self.jobs)?.is_none() {
            survived = cut.kept(&cut.losing(&lost).choice.kept);
            survived = fewest(&survived, ATTEMPTS, |kept| fails(cut.keeping(kept)))?;
        }
        let failure = same(cut.losing(&lost))?.unwrap_or_else(|| first.clone());
        lost.reverse();
        let sources = RefCell::new(Sources::default());
        let place =
            |place: usize| self.log.places.get(place).and_then(|at| sources.borrow_mut().line(at));
        let operations = cut.operations(&lost, place).iter().map(told_of).collect();
        let survived: Vec<_> =
            cut.survivors(&survived, place).into_iter().map(|one| one.what).take(LISTED).collect();
        let order = (!survived.is_empty()).then(|| {
            let survived = survived.join(" and ");
            format!("but {survived} survived: sync the former before the latter")
        });
        let choice = Choice { cut: failed.cut, kept: Kept::AllBut(lost) };
        Ok(Reason { choice, failure, lost: operations, cause: order.into_iter().collect() })
    }
}

fn told_of(lost: &LostOperation) -> Lost {
    let LostOperation { call, name, path, range, what, why, .. } = lost;
    let facts = json!({ "call": call, "name": name, "path": path, "range": range, "why": why });
    Lost { what: format!("{what} {why}"), facts }
}

impl FileTrials<'_> {
    fn place(&self, number: usize) -> (PathBuf, PathBuf) {
        let folder = self.work.join(number.to_string());
        (folder.join("state"), folder.join("printed"))
    }

    /// Returns the lines that a check reads, each with its end.
    fn printed(&self, state: &State) -> Vec<u8> {
        let (log, count) = self.lines.unwrap_or((self.log, state.lines));
        printed(log, count)
    }

    /// Builds a state, and checks it.
    fn check_one(&self, state: &State, number: usize) -> Result<Option<Failure>> {
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

    /// Checks the end of the run without any loss. A failure counts only if it does not come from what was acknowledged:
    /// such a check finds no losses.
    pub fn without_loss(&self) -> Result<Verdict> {
        let state = Cut::new(self.log, self.model, self.log.records.len()).losing(&[]);
        if self.check_one(&state, self.jobs)?.is_none() {
            return Ok(Verdict::Right);
        }
        let unacknowledged = Self { lines: Some((self.log, 0)), ..*self };
        let failure = unacknowledged.check_one(&state, self.jobs)?;
        Ok(failure.map_or(Verdict::Right, Verdict::Failed))
    }

    /// Cuts the power while the check itself works on a state, and checks what that leaves. Passes on the first failure, with
    /// the trials that explain it.
    pub fn within_recovery(
        &self,
        state: &State,
        (count, seed): (usize, u64),
        take: impl FnOnce(&FileTrials<'_>, &FailedFiles) -> Result<()>,
    ) -> Result<()> {
        let (directory, printed) = self.place(self.jobs + 1);
        state.image.build(&directory).context("cannot build a state")?;
        fs::write(&printed, self.printed(state)).context("cannot write the lines")?;
        let mut environment = self.check.environment.clone();
        environment.push((String::from("PRINTED"), printed.display().to_string()));
        let recorded = Recorded {
            program: &located(Path::new(&self.check.command[0]))?,
            command: &self.check.command,
            directory: &directory,
            environment: &environment,
            limit: self.check.limit,
            fault: None,
            is_quiet: true,
        };
        let recording = recorded.record()?;
        let inner = FileTrials {
            log: &recording.log,
            lines: Some((self.lines.map_or(self.log, |lines| lines.0), state.lines)),
            ..*self
        };
        let mut states = States::new(&recording.log, self.model).count(count).seed(seed);
        let (_found, failed) = first_failure(&inner, &mut states, self.jobs)?;
        failed.map_or(Ok(()), |failed| take(&inner, &failed))
    }
}

/// Returns the first lines of a log, each with its end.
pub fn printed(log: &Log, count: usize) -> Vec<u8> {
    let lines = log.lines_before(usize::MAX).take(count);
    lines.flat_map(|line| [line, b"\n"]).flatten().copied().collect()
}
