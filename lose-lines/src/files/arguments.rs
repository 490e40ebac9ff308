//! The subcommand `files`: its arguments and its report.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use clap::Args;
use lose_lines::check::Failure;
use lose_lines::files::check::{Check, program as located};
use lose_lines::files::trials::{Cause, Reason, Trial, Trials};
use lose_lines::kinds::Kinds;
use lose_lines::report::{Progress, recording_of};
use lose_lines_recorder::{Fault, FaultKind, Recorded, Recording, Sources};
use lose_lines_states::{
    Choice, Coverage, Cut, Log, Model, Operation, States, differences_from_end,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{LOSS, NOTHING_TESTED, Testing, Usage, progress, repeated, variable};

/// The number of kinds of failures that are explained.
const EXPLAINED: usize = 3;

/// The number of lost operations that are listed.
const LISTED: usize = 6;

/// The number of calls that fail, if there are more.
const FAULTS: u64 = 100;

/// What a shell adds to the number of a signal.
const SIGNAL: i32 = 128;

/// The number of cuts within one check.
const WITHIN: usize = 20;

#[derive(Args, Clone, Debug)]
pub(crate) struct Filing {
    /// The directory that is recorded. The program starts there, and what is there at the start is durable [default: a
    /// new empty one in TMPDIR].
    #[arg(long = "dir", value_name = "FOLDER")]
    directory: Option<PathBuf>,
    /// The file system's rules: ext4, ext4-ordered, xfs, btrfs, or posix, which +512, +garbage and +steps weaken further.
    /// Repeat it for several [default: those of the directory's file system, or of ext4 if there are none for it; then
    /// posix, which only warns].
    #[arg(long = "model", visible_alias = "fs", value_name = "MODEL")]
    models: Vec<Model>,
    /// The number of states to build, besides those just after each printed line and at the end. Equal states are checked
    /// once.
    #[arg(long, default_value_t = 1000)]
    states: usize,
    /// At each place, lose and keep each operation by itself, instead of choosing by seed.
    #[arg(long)]
    systematic: bool,
    /// The number of checks to run in parallel [default: the number of CPUs].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Instead of cutting the power, run the program again for each call of a kind, and let that call fail.
    #[arg(long, value_enum, conflicts_with_all = ["log", "models", "recovery_cuts"])]
    fail: Option<FaultKind>,
    /// Let only this call fail, counted among those of its kind.
    #[arg(long, value_name = "NUMBER", requires = "fail")]
    fail_at: Option<u64>,
    /// Also cut the power during the check of this many states.
    #[arg(long, value_name = "STATES", default_value_t = 0)]
    recovery_cuts: usize,
    /// Check states of this recording, without running the program.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Check this one state of a recording: CUT:SEED:KEEP or CUT:lose:EFFECT+EFFECT.
    #[arg(long, requires_all = ["log", "models"], conflicts_with_all = ["states", "seed"])]
    state: Option<Choice>,
    /// Keep the recording in this file [default: after a failure, one in TMPDIR, which the next failure replaces].
    #[arg(long, value_name = "FILE")]
    keep: Option<PathBuf>,
    /// Write a report in the format of `JUnit`.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// A variable for the environment of program and check.
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    environment: Vec<(String, String)>,
    #[command(flatten)]
    testing: Testing,
    /// The program, by its path or by its name in PATH, and its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required_unless_present = "log")]
    program: Vec<OsString>,
}

impl Filing {
    fn check(&self) -> Result<Check, Usage> {
        let command = match &self.testing.check {
            Some(line) => {
                let words = shlex::split(line).ok_or_else(|| {
                    Usage(anyhow!("--check '{line}': a quotation mark is not closed"))
                })?;
                words.into_iter().map(OsString::from).collect()
            }
            None => self.program.clone(),
        };
        if command.is_empty() {
            return Err(Usage(anyhow!("there is nothing to check with; pass --check")));
        }
        let command = absolute(command)?;
        let environment = self.environment.clone();
        Ok(Check { command, environment, limit: self.testing.limit() })
    }

    fn jobs(&self) -> usize {
        self.jobs.map_or_else(|| available_parallelism().map_or(1, Into::into), usize::from)
    }

    /// Returns the command that repeats one state.
    fn repeating(&self, log: &Path, model: Model, choice: &Choice) -> String {
        let mut line = vec![String::from("files")];
        let options = [
            ("--log", log.display().to_string()),
            ("--model", model.to_string()),
            ("--state", choice.to_string()),
        ];
        line.extend(options.into_iter().flat_map(|(name, value)| [name.to_owned(), value]));
        for (name, value) in &self.environment {
            line.extend([String::from("--env"), format!("{name}={value}")]);
        }
        line.extend(self.testing.words());
        if self.testing.check.is_none() {
            line.push(String::from("--"));
            line.extend(self.program.iter().map(|word| word.to_string_lossy().into_owned()));
        }
        repeated(line)
    }
}

/// Makes the program's path absolute: it is started in another directory.
fn absolute(mut command: Vec<OsString>) -> Result<Vec<OsString>, Usage> {
    if let Some(program) = command.first_mut()
        && Path::new(program).components().count() > 1
    {
        let path = env::current_dir().map_err(|why| Usage(why.into()))?.join(&*program);
        if !path.is_file() {
            return Err(Usage(anyhow!("there is no program {}", path.display())));
        }
        *program = path.into();
    }
    Ok(command)
}

pub(crate) fn files(request: &Filing) -> Result<u8> {
    let check = request.check()?;
    let seed = request.testing.seed()?;
    let work = match memory() {
        Some(made) => Ok(made),
        None => TempDir::with_prefix("lose-lines-"),
    };
    let work = work.context("cannot make a directory for the states")?;
    let mut report = Report { request, seed, junit: Vec::new(), is_repeated: false };
    let run = |log, path| Run { request, check: &check, log, path, work: work.path(), seed };
    if let Some(path) = &request.log {
        let code = run(&read(path)?, path).models(&request.models, None, &mut report)?;
        return report.end().map(|()| code);
    }
    let own = TempDir::with_prefix("lose-lines-files-").context("cannot make a directory")?;
    let directory = request.directory.as_deref().unwrap_or(own.path());
    let program = absolute(request.program.clone())?;
    let recorded = Recorded {
        program: &located(&program[0], directory)?,
        command: &program,
        directory,
        environment: &request.environment,
        limit: request.testing.limit(),
        fault: None,
        is_quiet: false,
    };
    let (models, warned, said) = request.models(directory)?;
    let names: Vec<_> = models.iter().map(Model::to_string).collect();
    report.say("rules", &said, &json!({ "models": names }))?;
    let recording = recorded.record()?;
    report.recorded(&recording)?;
    request.accept(&recording, directory)?;
    if let Some(kind) = request.fail {
        let run = Faults { request, check: &check, recorded: &recorded, work: work.path() };
        let code = run.all(kind, &recording, &mut report)?;
        return report.end().map(|()| code);
    }
    let path = request.keep.clone().unwrap_or_else(|| recording_of(Path::new(&program[0])));
    let code = run(&recording.log, &path).models(&models, warned, &mut report);
    if request.keep.is_some() || report.is_repeated || code.is_err() {
        save(&path, &recording.log)?;
    }
    // What was found is reported also if the test then failed.
    let ended = report.end();
    let code = code.with_context(|| {
        format!("the recording is kept; use it again: --log {}", path.display())
    })?;
    ended.map(|()| code)
}

/// Makes a directory in memory, if there is room: a container may have only 64 MiB.
fn memory() -> Option<TempDir> {
    const ROOM: u64 = 1 << 30;
    let memory = Path::new("/dev/shm");
    let room = rustix::fs::statvfs(memory).ok()?;
    let has_room = room.f_bavail.saturating_mul(room.f_frsize) >= ROOM;
    has_room.then(|| tempfile::Builder::new().prefix("lose-lines-").tempdir_in(memory).ok())?
}

impl Filing {
    /// Refuses a run that says nothing about power cuts: the program failed, or its recording is not complete.
    fn accept(&self, recording: &Recording, directory: &Path) -> Result<()> {
        let how = match recording {
            Recording { has_ended: false, .. } => {
                format!("did not end in {} s (--limit)", self.testing.limit)
            }
            Recording { code: 0, .. } => String::new(),
            Recording { code, .. } if *code > SIGNAL => {
                format!("was ended by signal {}, without any cut", code - SIGNAL)
            }
            Recording { code, .. } => format!("ended with exit code {code}, without any cut"),
        };
        ensure!(
            how.is_empty() || self.testing.allow_failure,
            "the program {how}; if it is meant to, pass --allow-failure. Programs that trace, such as LeakSanitizer, fail \
             only here: disable that"
        );
        let differences = differences_from_end(&recording.log, directory)
            .context("the recording cannot be compared with the directory")?;
        ensure!(
            differences.is_empty(),
            "the recording is incomplete, so there is no verdict: {}; lose-lines drive records everything",
            differences.join(", ")
        );
        Ok(())
    }

    /// Returns the models that decide, the one that warns, and a sentence on them.
    fn models(&self, directory: &Path) -> Result<(Vec<Model>, Option<Model>, String)> {
        if !self.models.is_empty() {
            return Ok((self.models.clone(), None, String::new()));
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
        let said = match model {
            Some(model) => format!("{} is on {model}: states by its rules", directory.display()),
            None => format!(
                "{} is on {name}: states by the rules of ext4, unless --model names others",
                directory.display()
            ),
        };
        Ok((vec![model.unwrap_or(Model::Ext4)], Some(Model::POSIX), said))
    }
}

fn read(path: &Path) -> Result<Log> {
    let cannot = || format!("cannot read {}", path.display());
    let file = File::open(path).with_context(cannot)?;
    Log::load(BufReader::new(file)).with_context(cannot)
}

/// Saves a recording in place of an earlier one.
fn save(path: &Path, log: &Log) -> Result<()> {
    let cannot = || format!("cannot write {}", path.display());
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
    seed: u64,
}

impl Run<'_> {
    /// Checks the states of the models that decide, and of one that warns. Returns the exit code.
    fn models(
        &self,
        models: &[Model],
        warned: Option<Model>,
        report: &mut Report<'_>,
    ) -> Result<u8> {
        if self.request.state.is_none()
            && let Some(model) = models.first()
            && let Some(failure) = self.trials(*model).without_loss()?
        {
            bail!(
                "the check FAILED although nothing was lost: it {}\n{}",
                failure.why,
                failure.shown().trim_end()
            );
        }
        let mut code = NOTHING_TESTED;
        for model in models {
            let (failed, has_tested) = self.model(*model, Role::Decides, report)?;
            if failed > 0 {
                code = LOSS;
            } else if has_tested && code == NOTHING_TESTED {
                code = 0;
            }
        }
        if let Some(warned) = warned {
            // Nothing is saved by a model that fails too.
            let saving = models.first().copied().filter(|_model| code != LOSS);
            self.model(warned, Role::Warns { saving }, report)?;
        }
        if code == NOTHING_TESTED {
            progress(
                "the checks prove nothing, because the program printed no line; print and flush a line when data must be \
                 there from then on",
            );
        }
        Ok(code)
    }

    fn trials(&self, model: Model) -> Trials<'_> {
        let Self { check, log, work, .. } = *self;
        Trials { log, model, check, jobs: self.request.jobs(), work, lines: None }
    }

    /// Checks the states of one model. Returns the number of failures, and true if a state came after a line.
    fn model(&self, model: Model, role: Role, report: &mut Report<'_>) -> Result<(usize, bool)> {
        let (request, trials) = (self.request, self.trials(model));
        let mut states = States::new(self.log, model).count(request.states).seed(self.seed);
        if let Some(choice) = &request.state {
            states = states.only(choice.clone());
        } else if request.systematic {
            states = states.systematic();
        }
        let (mut told, mut sources) = (Progress::new(states.at_most()), Sources::default());
        let (mut distinct, mut between, mut kinds) = (0, 0, Kinds::default());
        let checked = trials.check(&mut states, |trial, failure| {
            distinct += 1;
            between += usize::from(trial.acknowledged > 0);
            told.step(failure.is_some());
            let Some(failure) = failure else { return Ok(()) };
            let document =
                json!({ "model": model.to_string(), "trial": trial, "failure": failure });
            if kinds.add(&failure, (trial, failure.clone())) {
                report.say("state", "", &document)?;
            }
            Ok(())
        });
        let explained = if role == Role::Decides { EXPLAINED } else { 1 };
        for (_, all) in kinds.by_number().into_iter().take(explained) {
            let timeless = all.iter().filter(|(trial, _)| !trial.depends_on_clock).count();
            let example = all.iter().find(|(trial, _)| !trial.depends_on_clock).or(all.first());
            let Some((trial, failure)) = example else { continue };
            let (reason, found) = trials.explained(trial, failure.clone(), &mut sources);
            let repeat = request.repeating(self.path, model, &reason.choice);
            let after = After::Run { repeat, failed: all.len(), timeless };
            report.failure((model, role), trial, &reason, &after)?;
            found?;
        }
        checked?;
        let failed = kinds.failures();
        let within = self.within(&trials, &mut sources, report)?;
        let built = states.built();
        let coverage = states.coverage();
        report.summary(
            (model, role),
            &kinds,
            (built, distinct, between),
            failed + within,
            &coverage,
        )?;
        Ok((failed + within, between > 0 || request.state.is_some()))
    }

    /// Cuts the power within some checks. Returns the number of failures.
    fn within(
        &self,
        trials: &Trials<'_>,
        sources: &mut Sources,
        report: &mut Report<'_>,
    ) -> Result<usize> {
        let (count, seed) = (self.request.recovery_cuts, self.seed);
        let mut failed = 0;
        for state in States::new(self.log, trials.model).count(count).seed(seed) {
            let outer = state.choice.clone();
            trials.within_recovery(&state, (WITHIN, seed), sources, |trial, reason| {
                failed += 1;
                let during = After::Cut { during: outer.clone() };
                report.failure((trials.model, Role::Decides), &trial, &reason, &during)
            })?;
        }
        Ok(failed)
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
    fn all(&self, kind: FaultKind, first: &Recording, report: &mut Report<'_>) -> Result<u8> {
        let count = if kind == FaultKind::Fsync { first.syncs } else { first.writes };
        let numbers: Vec<u64> = match self.request.fail_at {
            Some(number) => vec![number],
            None => {
                (0..count.min(FAULTS)).map(|step| 1 + step * count / count.min(FAULTS)).collect()
            }
        };
        let start = Cut::new(&first.log, Model::Ext4, first.log.begun);
        let (mut failed, mut done) = (0, 0);
        for number in numbers {
            let directory = self.work.join("run");
            start.durable().build(&directory).context("cannot build the initial files")?;
            let fault = Some(Fault { kind, number });
            let recorded =
                Recorded { directory: &directory, fault, is_quiet: true, ..*self.recorded };
            let recording = recorded.record()?;
            let Some(call) = &recording.failed else { continue };
            done += 1;
            let lines: Vec<u8> = recording
                .log
                .lines_before(usize::MAX)
                .flat_map(|line| [line, b"\n"])
                .flatten()
                .copied()
                .collect();
            let printed = self.work.join("printed");
            if let Some(failure) = self.check.run(&directory, &printed, &lines)? {
                failed += 1;
                report.fault((kind, number), call, &recording, &failure)?;
            }
        }
        report.faults(kind, count, done, failed)?;
        Ok(match (failed, done) {
            (0, 0) => NOTHING_TESTED,
            (0, _) => 0,
            _ => LOSS,
        })
    }
}

/// What failures under a model mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Decides,
    /// They are warnings: the rules of another model prevented them, if there is one.
    Warns {
        saving: Option<Model>,
    },
}

/// What a cut came after.
enum After {
    /// The program's run: this command repeats the failure, of so many of its kind. Those that no clock prevents are
    /// timeless.
    Run { repeat: String, failed: usize, timeless: usize },
    /// Another cut, while the check of this state ran.
    Cut { during: Choice },
}

/// The results, on standard output.
struct Report<'a> {
    request: &'a Filing,
    seed: u64,
    /// Names of the tests with their failures.
    junit: Vec<(String, Option<String>)>,
    /// True if a command was printed that reads the recording.
    is_repeated: bool,
}

impl Report<'_> {
    fn say(&self, event: &str, text: &str, document: &Value) -> Result<()> {
        self.request.testing.form().say(event, &text, document)
    }

    fn recorded(&self, recording: &Recording) -> Result<()> {
        let Recording { log, notes, code, has_ended, time, .. } = recording;
        let after = &log.records[log.begun..];
        let calls = after.last().map_or(0, |record| record.call);
        let syncs = |record: &&lose_lines_states::Record| {
            matches!(record.operation, Operation::Sync { .. } | Operation::SyncAll)
        };
        let (syncs, lines) =
            (after.iter().filter(syncs).count(), log.lines_before(usize::MAX).count());
        let document = json!({
            "seconds": time.as_secs_f64(), "code": code, "has_ended": has_ended, "calls": calls, "syncs": syncs,
            "acknowledgements": lines, "notes": notes, "seed": self.seed,
        });
        let end = match (has_ended, code) {
            (false, _) => String::from("did not end and was killed"),
            (true, 0) => String::from("succeeded"),
            (true, code) => format!("ended with exit code {code}"),
        };
        let mut text = format!(
            "recorded: the program {end} after {:.1} s; {calls} calls on files, {syncs} syncs, {lines} acknowledgements",
            time.as_secs_f64()
        );
        text.extend(notes.iter().flat_map(|note| ["\nnote: ", note]));
        self.say("recorded", &text, &document)
    }

    fn failure(
        &mut self,
        (model, role): (Model, Role),
        trial: &Trial,
        reason: &Reason,
        after: &After,
    ) -> Result<()> {
        let (choice, is_warning) = (&trial.choice, role != Role::Decides);
        let mut text = vec![found((model, role), trial, &reason.failure)];
        text.extend(in_words(reason, trial.acknowledged));
        if let Role::Warns { saving: Some(saving) } = role {
            text.push(format!("   saved by the rules of {saving}, lost by those of POSIX"));
        }
        let mut document = json!({
            "model": model.to_string(), "is_warning": is_warning, "trial": trial, "reason": reason,
        });
        match after {
            After::Run { repeat, failed, timeless } => {
                self.is_repeated = true;
                text.extend(on_the_clock(*failed, *timeless));
                text.push(format!("   to repeat it: {repeat}"));
                document["repeat"] = json!(repeat);
                document["states"] = json!(failed);
                document["timeless"] = json!(timeless);
            }
            After::Cut { during } => {
                text.insert(
                    0,
                    format!("the power was cut again during the check of state {during}:"),
                );
                document["during"] = json!(during.to_string());
            }
        }
        let text = text.join("\n");
        self.say("failure", &text, &document)?;
        if !is_warning {
            self.junit.push((format!("{model} state {choice}"), Some(text)));
        }
        Ok(())
    }

    fn summary(
        &mut self,
        (model, role): (Model, Role),
        kinds: &Kinds<(Trial, Failure)>,
        (built, distinct, between): (usize, usize, usize),
        failed: usize,
        coverage: &Coverage,
    ) -> Result<()> {
        let is_warning = role != Role::Decides;
        let found: Vec<(String, usize)> =
            kinds.by_number().into_iter().map(|(first, all)| (first.name(), all.len())).collect();
        let document = json!({
            "model": model.to_string(), "is_warning": is_warning, "states": built, "distinct": distinct,
            "between": between, "failed": failed, "kinds": found.iter().cloned().collect::<BTreeMap<_, _>>(), "places": coverage.places, "shown": coverage.shown,
            "synced": coverage.synced, "never_lost": coverage.never_lost,
        });
        if !is_warning && failed == 0 {
            self.junit.push((format!("{model}: {distinct} states"), None));
        }
        let warning = if is_warning && failed > 0 { " (a warning)" } else { "" };
        let mut text = format!(
            "{model}: {failed} of {distinct} distinct states failed{warning}; {between} states are after an acknowledgement; seed {}; {coverage}",
            self.seed
        );
        let kinds = found.iter().filter(|_kind| found.len() > 1);
        text.extend(kinds.map(|(kind, count)| format!("\n   {count} times: it {kind}")));
        self.say("summary", &text, &document)
    }

    fn fault(
        &mut self,
        (kind, number): (FaultKind, u64),
        call: &str,
        recording: &Recording,
        failure: &Failure,
    ) -> Result<()> {
        let lines = recording.log.lines_before(usize::MAX).count();
        let error = if kind == FaultKind::Enospc { "ENOSPC" } else { "EIO" };
        let text = format!(
            "{error} from {call}, --fail-at {number}: the program ended with exit code {}, acknowledged {lines}, the check FAILED: it {}\n{}",
            recording.code,
            failure.why,
            failure.shown()
        );
        let document = json!({ "call": call, "error": error, "number": number, "acknowledged": lines,
            "failure": failure });
        self.say("failure", &text, &document)?;
        self.junit.push((format!("{error} {number}"), Some(text)));
        Ok(())
    }

    fn faults(&mut self, kind: FaultKind, count: u64, done: u64, failed: u64) -> Result<()> {
        let name = match kind {
            FaultKind::Fsync => "syncs",
            FaultKind::Write => "writes",
            FaultKind::Enospc => "writes and allocations",
        };
        if failed == 0 {
            self.junit.push((format!("{done} {name} fail"), None));
        }
        let text = format!(
            "of {count} {name}, {done} failed once, each in a run of its own; {failed} checks failed"
        );
        self.say("summary", &text, &json!({ "calls": count, "failing": done, "failed": failed }))
    }

    /// Writes the report for `JUnit`, if one is asked for.
    fn end(&self) -> Result<()> {
        let Some(path) = &self.request.junit else { return Ok(()) };
        let failures = self.junit.iter().filter(|(_, failure)| failure.is_some()).count();
        let case = |(name, failure): &(String, Option<String>)| {
            let (name, failure) = (escaped(name), failure.as_deref().map(escaped));
            let failure = failure.map(|text| format!("<failure>{text}</failure>"));
            format!("  <testcase name=\"{name}\">{}</testcase>\n", failure.unwrap_or_default())
        };
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"lose-lines files\" tests=\"{}\" failures=\"{failures}\">\n{}</testsuite>\n",
            self.junit.len(),
            self.junit.iter().map(case).collect::<String>()
        );
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

fn escaped(text: &str) -> String {
    let pairs = [("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\"", "&quot;")];
    pairs.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// Returns a failure as it was found.
fn found((model, role): (Model, Role), trial: &Trial, failure: &Failure) -> String {
    let Trial { choice, acknowledged, pending, lost, .. } = trial;
    let said = format!(
        "{model}, state {choice}: acknowledged {acknowledged}, {lost} of {pending} effects lost, the check {}: it {}\n{}",
        if role == Role::Decides { "FAILED" } else { "fails" },
        failure.why,
        failure.shown()
    );
    said.trim_end().to_owned()
}

/// Says which of the failures of one kind need a clock that stands still.
fn on_the_clock(failed: usize, timeless: usize) -> Option<String> {
    let others = match timeless {
        _ if timeless == failed => return None,
        0 => String::from("no state fails in this way without that"),
        _ => format!("{timeless} of {failed} states fail in this way without that"),
    };
    Some(format!(
        "   it can depend on the clock: a sync of a file that was written in place commits earlier names only if the clock has \
         ticked since the file's last change; {others}"
    ))
}

/// Returns the reason, line by line.
fn in_words(reason: &Reason, acknowledged: usize) -> Vec<String> {
    let Reason { cause, lost, survived, .. } = reason;
    if *cause == Cause::NothingLost {
        let what = match acknowledged {
            0 => "",
            _ => "what the program acknowledged was not written before the cut, or ",
        };
        return vec![format!(
            "   nothing is lost here: {what}the check fails on files that the program was still changing"
        )];
    }
    if *cause == Cause::Unknown {
        return vec![String::from("   the fewest lost operations were not found")];
    }
    let mut lines: Vec<_> =
        lost.iter().take(LISTED).map(|one| format!("   {} {}", one.what, one.why)).collect();
    if lost.len() > LISTED {
        lines.push(format!("   and {} more operations", lost.len() - LISTED));
    }
    if !survived.is_empty() {
        let survived: Vec<_> = survived.iter().take(LISTED).map(|one| &*one.what).collect();
        let survived = survived.join(" and ");
        lines.push(format!("   but {survived} survived: sync the former before the latter"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser as _;
    use lose_lines_states::{Choice, Model};

    use super::Filing;
    use crate::{Cli, Task, Testing};

    fn parsed(line: &str) -> Filing {
        match Cli::try_parse_from(shlex::split(line).unwrap()).unwrap().task {
            Task::Files(files) => *files,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_that_repeats_a_state_is_the_same_test() {
        let line = "lose-lines files --states 3 --limit 7 --check '/bin/sh -c \"a b\"' --env 'A=b c' /bin/sh -c 'c --state d'";
        let request = parsed(line);
        let choice: Choice = "7:lose:3+5".parse().unwrap();
        let again = parsed(&request.repeating(Path::new("/tmp/a log"), Model::Xfs, &choice));
        assert_eq!(
            (again.log.as_deref(), &again.state),
            (Some(Path::new("/tmp/a log")), &Some(choice))
        );
        assert_eq!(
            (again.testing, again.models),
            (Testing { seed: None, ..request.testing }, vec![Model::Xfs])
        );
        assert_eq!(again.environment, request.environment);
        let plain = parsed("lose-lines files ./a b --json");
        let choice: Choice = "7:1:none".parse().unwrap();
        let again = parsed(&plain.repeating(Path::new("l"), Model::POSIX, &choice));
        assert_eq!((again.program, again.testing.json), (plain.program, false));
    }
}
