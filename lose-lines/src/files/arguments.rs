//! The subcommand `files`: its arguments and its test.

use core::fmt::Display;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use clap::Args;
use lose_lines::check::{accept, in_words};
use lose_lines::files::check::Check;
use lose_lines::files::trials::{FileTrials, printed};
use lose_lines::report::{Report, recording_of};
use lose_lines::trial::{Found, Wording, run, succeeds};
use lose_lines_machine::machine::programs::End;
use lose_lines_machine::program::located;
use lose_lines_recorder::{Fault, FaultKind, Recorded, Recording};
use lose_lines_states::{
    Choice, Cut, Kept, Log, Model, Operation, Record, States, differences_from_end,
};
use serde_json::json;
use tempfile::TempDir;

use crate::{Testing, Usage, kept, progress, tested};

/// The number of states, if none is given.
const STATES: usize = 1000;

/// The number of calls that fail, if there are more.
const FAULTS: u64 = 100;

/// The number of cuts within one check.
const WITHIN: usize = 20;

#[derive(Args, Clone, Debug)]
pub(crate) struct Filing {
    /// The directory that is recorded. The program starts there, and what is there at the start is durable [default: a
    /// new empty one in TMPDIR].
    #[arg(long = "dir", value_name = "FOLDER")]
    directory: Option<PathBuf>,
    /// At each place, lose and keep each operation by itself, instead of choosing by seed.
    #[arg(long, conflicts_with_all = ["states", "state"])]
    systematic: bool,
    /// Instead of cutting the power, run the program again for each call of a kind, and let that call fail.
    #[arg(long, value_enum, conflicts_with_all = ["log", "keep", "models", "recovery_cuts"])]
    fail: Option<FaultKind>,
    /// Let only this call fail, counted among those of its kind.
    #[arg(long, value_name = "NUMBER", requires = "fail")]
    fail_at: Option<u64>,
    /// Also cut the power during the check of this many states.
    #[arg(long, value_name = "STATES", default_value_t = 0)]
    recovery_cuts: usize,
    #[command(flatten)]
    pub(crate) testing: Testing,
}

impl Filing {
    fn check(&self) -> Result<Check, Usage> {
        let command = absolute(&self.testing.check()?)?;
        let environment = self.testing.environment.clone();
        Ok(Check { command, environment, limit: self.testing.limit() })
    }

    fn jobs(&self) -> usize {
        let jobs = self.testing.jobs.map(usize::from);
        jobs.unwrap_or_else(|| available_parallelism().map_or(1, Into::into))
    }

    /// Returns the command that repeats a state.
    pub(crate) fn repeating(&self, log: &Path, model: Model, state: impl Display) -> String {
        self.testing.repeating("files", Some(log), (model, state), &[])
    }
}

/// Makes the program's path absolute, since it is started in another directory. Refuses a program that is not there.
fn absolute(command: &[String]) -> Result<Vec<OsString>, Usage> {
    let mut command: Vec<_> = command.iter().map(OsString::from).collect();
    if let Some(program) = command.first_mut() {
        let found = located(Path::new(program)).map_err(Usage)?;
        if Path::new(program).components().count() > 1 {
            *program = found.into();
        }
    }
    Ok(command)
}

pub(crate) fn files(request: &Filing) -> Result<u8> {
    let (testing, check) = (&request.testing, request.check()?);
    testing.needs_log()?;
    let state: Option<Choice> = testing.state()?;
    let work = match memory() {
        Some(made) => Ok(made),
        None => TempDir::with_prefix("lose-lines-"),
    };
    let work = work.context("cannot make a directory for the states")?;
    if let Some(path) = &testing.log {
        let log = read(path)?;
        let models = if testing.models.is_empty() { &[Model::Ext4][..] } else { &testing.models };
        let run = Run { request, check: &check, log: &log, path, work: work.path(), state: &state };
        return tested("files", testing, |report| run.models(models, None, report));
    }
    let own = TempDir::with_prefix("lose-lines-files-").context("cannot make a directory")?;
    let directory = request.directory.as_deref().unwrap_or(own.path());
    let program = absolute(&testing.program)?;
    let recorded = Recorded {
        program: &located(Path::new(&program[0]))?,
        command: &program,
        directory,
        environment: &testing.environment,
        limit: testing.limit(),
        fault: None,
        is_quiet: false,
    };
    tested("files", testing, |report| {
        let (models, warned) = request.models(directory)?;
        let recording = recorded.record()?;
        request.accept(&recording, directory, report)?;
        if let Some(kind) = request.fail {
            let run = Faults { request, check: &check, recorded: &recorded, work: work.path() };
            return run.all(kind, &recording, report);
        }
        let path = testing.keep.clone().unwrap_or_else(|| recording_of("files", testing.name()));
        let (log, work, path) = (&recording.log, work.path(), &path);
        let run = Run { request, check: &check, log, path, work, state: &state };
        let found = run.models(&models, warned, report);
        if testing.keep.is_some() || report.needs_recording() || found.is_err() {
            save(path, log)?;
        }
        found.with_context(|| kept(path))
    })
}

/// Makes a directory in memory, if there is room: a container may have only 64 MiB.
fn memory() -> Option<TempDir> {
    const ROOM: u64 = 1 << 30;
    let memory = Path::new("/dev/shm");
    let room = rustix::fs::statvfs(memory).ok()?;
    let has_room = room.f_bavail.saturating_mul(room.f_frsize) >= ROOM;
    has_room.then(|| tempfile::Builder::new().prefix("lose-lines-").tempdir_in(memory).ok())?
}

/// Returns the end of a recorded program.
fn end(recording: &Recording) -> Option<End> {
    let status = recording.status;
    recording.has_ended.then_some((status.code(), status.signal()))
}

impl Filing {
    /// Reports a recording, and refuses one that says nothing about power cuts: the program failed, or it is not complete.
    fn accept(&self, recording: &Recording, directory: &Path, report: &Report) -> Result<()> {
        let Recording { log, notes, time, .. } = recording;
        let after = &log.records[log.begun..];
        let syncs = |record: &&Record| {
            matches!(record.operation, Operation::Sync { .. } | Operation::SyncAll)
        };
        let (syncs, lines) =
            (after.iter().filter(syncs).count(), log.lines_before(usize::MAX).count());
        let counts = [
            ("calls on files", after.last().map_or(0, |record| record.call)),
            ("syncs", syncs as u64),
            ("acknowledgements", lines as u64),
        ];
        report.recorded((end(recording), *time), &counts, notes)?;
        let Testing { allow_failure, .. } = self.testing;
        accept(end(recording), self.testing.limit(), allow_failure).map_err(|why| {
            anyhow!(
                "{why}. Programs that trace, such as LeakSanitizer, fail only here: disable that"
            )
        })?;
        let differences = differences_from_end(&recording.log, directory)
            .context("the recording cannot be compared with the directory")?;
        ensure!(
            differences.is_empty(),
            "the recording is incomplete, so there is no verdict: {}; lose-lines drive records everything",
            differences.join(", ")
        );
        Ok(())
    }

    /// Returns the models that decide, and the one that warns.
    fn models(&self, directory: &Path) -> Result<(Vec<Model>, Option<Model>)> {
        if !self.testing.models.is_empty() {
            return Ok((self.testing.models.clone(), None));
        }
        let found = rustix::fs::statfs(directory)
            .with_context(|| format!("cannot use {}", directory.display()))?;
        // The numbers of file systems (linux/magic.h).
        let name = match found.f_type {
            0xef53 => "ext4",
            0x5846_5342 => "xfs",
            0x9123_683e => "btrfs",
            0x0102_1994 => "tmpfs",
            0x794c_7630 => "overlay",
            _ => "another file system",
        };
        let model = Model::of_file_system(name);
        let rules = match model {
            Some(_) => "states by its rules",
            None => "states by the rules of ext4, unless --model names others",
        };
        progress(&format!("{} is on {name}: {rules}", directory.display()));
        Ok((vec![model.unwrap_or(Model::Ext4)], Some(Model::POSIX)))
    }
}

fn read(path: &Path) -> Result<Log> {
    let cannot = || format!("cannot read {}", path.display());
    let file = File::open(path).with_context(cannot)?;
    Log::load(BufReader::new(file)).with_context(cannot)
}

/// Saves a recording in place of an earlier one. A device or a pipe is written, and not replaced.
fn save(path: &Path, log: &Log) -> Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    if path.metadata().is_ok_and(|there| !there.is_file()) {
        let mut to = BufWriter::new(File::options().write(true).open(path).with_context(cannot)?);
        return log.save(&mut to).and_then(|()| to.flush()).with_context(cannot);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let made = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")));
    let mut to = BufWriter::new(made.with_context(cannot)?);
    log.save(&mut to).and_then(|()| to.flush()).with_context(cannot)?;
    let made = to.into_inner().with_context(cannot)?;
    made.persist(path).with_context(cannot).map(drop)
}

/// The states of one recording.
struct Run<'a> {
    request: &'a Filing,
    check: &'a Check,
    log: &'a Log,
    path: &'a Path,
    work: &'a Path,
    state: &'a Option<Choice>,
}

impl Run<'_> {
    /// Checks the states of the models that decide, and of one that warns. Returns the results of those that decide.
    fn models(
        &self,
        models: &[Model],
        warned: Option<Model>,
        report: &mut Report,
    ) -> Result<Found> {
        if let Some(state) = self.state
            && let Some(model) = models.iter().find(|model| !self.has(state, **model))
        {
            bail!(Usage(anyhow!("the recording has no state {state} by the rules of {model}")));
        }
        if let (None, Some(model)) = (self.state, models.first()) {
            succeeds(self.trials(*model).without_loss()?)?;
        }
        let mut all = Found::default();
        for model in models {
            let found = self.model(*model, None, report)?;
            all.failed += found.failed;
            all.between += found.between;
        }
        if let Some(warned) = warned {
            // Nothing is saved by a model that fails too.
            let saving = models.first().filter(|_model| all.failed == 0);
            let saved = |model| format!("saved by the rules of {model}, lost by those of POSIX");
            self.model(warned, Some(saving.map_or_else(String::new, saved)), report)?;
        }
        Ok(all)
    }

    /// Returns true if the recording has the place and the lost effects of a state.
    fn has(&self, state: &Choice, model: Model) -> bool {
        let lost = match &state.kept {
            Kept::AllBut(lost) => lost.len(),
            Kept::Chosen { .. } => 0,
        };
        let mut states = States::new(self.log, model).only(state.clone());
        state.cut <= self.log.records.len() && states.any(|built| built.lost >= lost)
    }

    fn trials(&self, model: Model) -> FileTrials<'_> {
        let Self { check, log, work, .. } = *self;
        FileTrials { log, model, check, jobs: self.request.jobs(), work, lines: None }
    }

    /// Checks the states of one model.
    fn model(&self, model: Model, warning: Option<String>, report: &mut Report) -> Result<Found> {
        let (request, trials) = (self.request, self.trials(model));
        let count = request.testing.states(STATES);
        let mut states = States::new(self.log, model).count(count).seed(report.seed);
        if let Some(choice) = self.state {
            states = states.only(choice.clone());
        } else if request.systematic {
            states = states.systematic();
        }
        let wording = Wording {
            model: model.to_string(),
            warning,
            repeating: &|choice| request.repeating(self.path, model, choice),
        };
        let limits = (states.at_most(), trials.jobs);
        let mut found = run(&trials, &mut states, limits, &wording, report)?;
        found.failed += self.within(&trials, &wording, report)?;
        let (built, coverage) = (states.built(), states.coverage());
        let document = json!({
            "states": built, "places": coverage.places, "shown": coverage.shown, "synced": coverage.synced,
            "never_lost": coverage.never_lost,
        });
        wording.summary(&found, (&coverage.to_string(), &document), report)?;
        Ok(found)
    }

    /// Cuts the power within some checks. Returns the number of failures.
    fn within(
        &self,
        trials: &FileTrials<'_>,
        wording: &Wording<'_, Choice>,
        report: &mut Report,
    ) -> Result<usize> {
        let (count, seed) = (self.request.recovery_cuts, report.seed);
        let mut failures = 0;
        for state in States::new(self.log, trials.model).count(count).seed(seed) {
            let how =
                format!("the power was cut again during the check of state {}:\n", state.choice);
            trials.within_recovery(&state, (WITHIN, seed), |trials, failed| {
                failures += 1;
                wording.failure(trials, failed, &how, report)
            })?;
        }
        Ok(failures)
    }
}

/// Runs in which one call fails.
struct Faults<'a> {
    request: &'a Filing,
    check: &'a Check,
    recorded: &'a Recorded<'a>,
    work: &'a Path,
}

impl Faults<'_> {
    fn all(&self, kind: FaultKind, first: &Recording, report: &mut Report) -> Result<Found> {
        let (name, error, count) = match kind {
            FaultKind::Fsync => ("syncs", "EIO", first.syncs),
            FaultKind::Write => ("writes", "EIO", first.writes),
            FaultKind::Enospc => ("writes and allocations", "ENOSPC", first.writes),
        };
        let numbers: Vec<u64> = match self.request.fail_at {
            Some(number) => vec![number],
            None => {
                (0..count.min(FAULTS)).map(|step| 1 + step * count / count.min(FAULTS)).collect()
            }
        };
        let start = Cut::new(&first.log, Model::Ext4, first.log.begun);
        let mut found = Found::default();
        for number in numbers {
            let directory = self.work.join("run");
            start.durable().build(&directory).context("cannot build the initial files")?;
            let fault = Some(Fault { kind, number });
            let recorded =
                Recorded { directory: &directory, fault, is_quiet: true, ..*self.recorded };
            let recording = recorded.record()?;
            let Some(call) = &recording.failed else { continue };
            found.between += 1;
            let place = self.work.join("printed");
            let lines = printed(&recording.log, usize::MAX);
            let Some(failure) = self.check.run(&directory, &place, &lines)? else { continue };
            found.failed += 1;
            let lines = recording.log.lines_before(usize::MAX).count();
            let text = format!(
                "{error} from {call}, --fail-at {number}: the program {}, acknowledged {lines}, the check \
                 FAILED: it {}\n{}",
                in_words((recording.status.code(), recording.status.signal())),
                failure.why,
                failure.shown()
            );
            let document = json!({
                "call": call, "error": error, "number": number, "acknowledged": lines, "failure": failure,
            });
            report.failed(format!("{error} {number}"), text.clone());
            report.say("failure", &text, &document)?;
        }
        let (done, failed) = (found.between, found.failed);
        let text = format!(
            "of {count} {name}, {done} failed once, each in a run of its own; {failed} checks failed"
        );
        if failed == 0 {
            report.passed(text.clone());
        }
        let document = json!({ "calls": count, "failing": done, "failed": failed });
        report.say("summary", &text, &document)?;
        Ok(found)
    }
}
