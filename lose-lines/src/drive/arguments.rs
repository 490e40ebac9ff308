//! The subcommand `drive`: its arguments and its report.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::{Args, ValueEnum};
use lose_lines::check::{Failure, Tested, Verdict};
use lose_lines::drive::explanation::Explanation;
use lose_lines::drive::flushes::{LeftOut, leave_out};
use lose_lines::drive::trials::{DriveTrials, Trial};
use lose_lines::drive::{Prepared, RecordedRun};
use lose_lines::kinds::Kinds;
use lose_lines::report::{Form, Progress, recording_of};
use lose_lines_drive::file_system::FileSystem;
use lose_lines_drive::log::DriveLog;
use lose_lines_drive::states::{Choice, Tearing, chosen, is_of};
use lose_lines_machine::transcript::Transcript;
use lose_lines_plugin::policy::Policy;
use serde_json::json;
use tempfile::TempPath;

use crate::{Machines, Outcome, Subject, Testing, Usage, path, progress, repeated};

/// The number of kinds of failures that are explained.
const EXPLAINED: usize = 3;

/// The bytes that a drive writes whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Unit {
    #[value(name = "512")]
    Sector,
    #[value(name = "4096")]
    Page,
}

impl Unit {
    const fn bytes(self) -> usize {
        match self {
            Self::Sector => 512,
            Self::Page => 4096,
        }
    }
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Driving {
    /// The number of states to build. Equal states are checked once.
    #[arg(long, default_value_t = 200)]
    states: usize,
    /// Which writes survive a cut, of those that no flush has made durable.
    #[arg(long, value_enum, default_value_t = Policy::Any)]
    policy: Policy,
    /// The bytes that the drive writes whole, as lsblk(8) says (PHY-SEC). Longer writes can be torn.
    #[arg(long, value_enum, value_name = "BYTES", default_value_t = Unit::Sector)]
    unit: Unit,
    /// Tear blocks of ext4's journal too. Some kernels then refuse to mount the file system.
    #[arg(long)]
    tear_journal: bool,
    /// The file system.
    #[arg(long = "fs", visible_alias = "model", value_enum, default_value_t = FileSystem::Ext4)]
    file_system: FileSystem,
    /// The size of the drive in MiB [default: 256, or 320 for xfs].
    #[arg(long, value_name = "MIB")]
    size: Option<usize>,
    /// A command line that makes the initial files. Whatever it leaves is durable.
    #[arg(long, value_name = "COMMAND LINE")]
    prepare: Option<String>,
    /// The number of machines that check in parallel.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    jobs: u8,
    /// Check states of this recording, without recording a new one.
    #[arg(long, value_name = "FILE", value_parser = path())]
    log: Option<PathBuf>,
    /// Check this one state of a recording: EVENT:SEED:POLICY or EVENT:lose:WRITE+WRITE.
    #[arg(long, requires = "log", conflicts_with_all = ["states", "seed", "policy"])]
    state: Option<Choice>,
    /// If no check fails, leave out each flush in turn, and report those without which every check still succeeds.
    #[arg(long, conflicts_with = "state")]
    leave_out_flushes: bool,
    /// Keep the recording, and the drive of the first failure, in this directory.
    #[arg(long, value_name = "FOLDER", value_parser = path())]
    keep: Option<PathBuf>,
    #[command(flatten)]
    testing: Testing,
    #[command(flatten)]
    program: Subject,
}

/// The file of a recording.
enum Place {
    /// The user's: it stays.
    Chosen(PathBuf),
    /// Removed unless a failure can be repeated with it.
    Temporary(TempPath, PathBuf),
}

impl Place {
    fn path(&self) -> &Path {
        match self {
            Self::Chosen(path) => path,
            Self::Temporary(path, _) => path,
        }
    }

    /// Returns the path that the recording has if it is kept.
    fn name(&self) -> &Path {
        let (Self::Chosen(path) | Self::Temporary(_, path)) = self;
        path
    }

    /// Keeps the recording, and returns its path.
    fn keep(self) -> Result<PathBuf> {
        match self {
            Self::Chosen(path) => Ok(path),
            Self::Temporary(made, path) => {
                made.persist(&path).context("cannot keep the recording")?;
                Ok(path)
            }
        }
    }
}

impl Driving {
    /// Returns the file for the recording.
    fn place(&self) -> Result<Place> {
        if let Some(log) = &self.log {
            return Ok(Place::Chosen(log.clone()));
        }
        let Some(folder) = &self.keep else {
            let file = tempfile::Builder::new().prefix("lose-lines-").suffix(".log").tempfile();
            let made = file.context("cannot make a recording")?.into_temp_path();
            return Ok(Place::Temporary(made, recording_of(&self.program.program)));
        };
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let log = folder.join("log");
        if log.exists() {
            let log = log.display();
            bail!(Usage(anyhow!(
                "{log} is an earlier recording; check it with --log, or remove it"
            )));
        }
        Ok(Place::Chosen(log))
    }

    /// Returns the size of the drive in bytes.
    fn size(&self) -> Result<usize, Usage> {
        let (mib, least) = (self.size, self.file_system.least_size());
        match mib.unwrap_or(self.file_system.default_size()) {
            mib if mib < least => Err(Usage(anyhow!(
                "--size {mib}: {} needs at least {least} MiB here",
                self.file_system
            ))),
            mib => Ok(mib << 20),
        }
    }

    /// Returns the command that repeats one state.
    fn repeating(&self, log: &Path, state: &Choice) -> String {
        let Self { testing, unit, tear_journal, program, .. } = self;
        let (log, state) = (log.display().to_string(), state.to_string());
        let mut words = vec!["drive", "--log", &log, "--state", &state];
        if *unit == Unit::Page {
            words.extend(["--unit", "4096"]);
        }
        if *tear_journal {
            words.push("--tear-journal");
        }
        let words = words.into_iter().map(str::to_owned);
        repeated(words.chain(testing.words()).chain(program.words()))
    }
}

pub(crate) fn drive(request: &Driving) -> Result<u8> {
    let program = request.program.find()?;
    let check = request.program.check(&request.testing)?;
    let prepare = request.prepare.as_deref().map(|line| request.program.line("--prepare", line));
    let (prepare, seed) = (prepare.transpose()?, request.testing.seed()?);
    let recorded = request.log.as_deref().map(DriveLog::read).transpose()?;
    let file_system = recorded.as_ref().map_or(request.file_system, |log| log.file_system);
    let size = recorded.as_ref().map_or_else(|| request.size(), |log| Ok(log.size))?;
    let place = request.place()?;
    let mut is_complete = false;
    let mut report =
        Report { request, log: place.name(), seed, failed: Kinds::default(), unmountable: 0 };
    let result = Machines::new()?.finish(|machines| {
        let test = Tested {
            kit: &machines.kit,
            name: &machines.name,
            prepare,
            program,
            check,
            environment: request.program.environment.clone(),
            limit: request.testing.limit(),
            may_fail: request.testing.allow_failure,
        };
        progress("starting a machine");
        let prepared = Prepared::new(&test, file_system, size, &machines.log)?;
        let log = if let Some(log) = recorded {
            log
        } else {
            let recorded = prepared.record(place.path(), &machines.log)?;
            let log = DriveLog::read(place.path())?;
            is_complete = true;
            report.recorded(&recorded, &log)?;
            log
        };
        let tearing = Tearing::of(&log, request.unit.bytes(), request.tear_journal);
        let trials = DriveTrials { test: &test, prepared: &prepared, log: &log, tearing };
        checked(request, &trials, machines, &mut report)
    });
    // A failure that was found stays one, whatever failed later.
    let outcome = match result {
        Err(why) if report.failed.failures() == 0 => {
            // Its states can be checked when the reason is gone.
            if is_complete {
                let log = place.keep()?;
                let log = log.display();
                progress(&format!("the recording is kept; check it with --log {log}"));
            }
            return Err(why);
        }
        Err(why) => {
            progress(&format!("{why:#}"));
            Outcome::Loss
        }
        Ok(outcome) => outcome,
    };
    if let Outcome::Loss | Outcome::Unmountable = outcome {
        place.keep()?;
    }
    Ok(outcome.code())
}

/// Checks the states of a recording, and reports them.
fn checked(
    request: &Driving,
    trials: &DriveTrials<'_>,
    machines: &Machines,
    report: &mut Report<'_>,
) -> Result<Outcome> {
    let log = trials.log;
    if let Some(state) = request.state.as_ref().filter(|state| !is_of(state, log)) {
        bail!(Usage(anyhow!("the recording has no state {state}; pass a state of this recording")));
    }
    let states = match &request.state {
        Some(state) => vec![state.clone()],
        None => chosen(log, request.states, report.seed, request.policy),
    };
    let different = trials.distinct(&states);
    let logs: Vec<Transcript> = (0..request.jobs)
        .map(|number| machines.log.beside(&format!("{}-{number}", machines.name)))
        .collect::<Result<_>>()?;
    let first = logs.first().context("there is no log")?;
    if request.state.is_none()
        && log.end().is_some()
        && let Verdict::Failed(Failure { why, output }) = trials.without_loss(first)?
    {
        bail!("the check {why} although nothing was lost; its output:\n{}", output.trim_end());
    }
    progress(&format!(
        "{} of {} states are distinct; checking them",
        different.len(),
        states.len()
    ));
    let mut told = Progress::new(different.len());
    let result = trials.check(&different, &logs, |trial, verdict| {
        told.step(matches!(verdict, Verdict::Failed(_)));
        report.result(trial, verdict)
    });
    report.failures(trials, first)?;
    result?;
    if request.leave_out_flushes && report.failed.failures() == 0 {
        report.flushes(trials, first)?;
    }
    report.end(&different, states.len())?;
    logs.into_iter().try_for_each(Transcript::remove)?;
    let has_tested = request.state.is_some() || different.iter().any(|trial| trial.is_between);
    Ok(Outcome::of(report.failed.failures(), report.unmountable, has_tested))
}

/// The results, on standard output.
struct Report<'a> {
    request: &'a Driving,
    log: &'a Path,
    seed: u64,
    failed: Kinds<(Trial, Failure)>,
    unmountable: usize,
}

impl Report<'_> {
    fn form(&self) -> Form {
        self.request.testing.form()
    }

    fn recorded(&self, recorded: &RecordedRun, log: &DriveLog) -> Result<()> {
        let (writes, flushes, lines) = log.counts();
        let document = json!({
            "seconds": recorded.seconds,
            "has_ended": recorded.has_ended,
            "writes": writes,
            "flushes": flushes,
            "lines": lines,
            "log": self.log,
        });
        let end = if recorded.has_ended { "succeeded" } else { "did not end and was killed" };
        let text = format!(
            "recorded on {}: the program {end} after {:.1} s; {writes} writes, {flushes} flushes, {lines} acknowledgements",
            log.file_system, recorded.seconds
        );
        self.form().say("recorded", &text, &document)
    }

    /// Takes the verdict on a state. The first failure of each kind is printed at once.
    fn result(&mut self, trial: &Trial, verdict: Verdict) -> Result<()> {
        let Trial { choice, acknowledged, pending, lost, .. } = trial;
        let repeat = self.request.repeating(self.log, choice);
        let told = format!(
            "state {choice}: acknowledged {acknowledged}, {lost} of {pending} unflushed sectors lost"
        );
        let mut document = json!(trial);
        document["result"] = json!(verdict);
        let text = match verdict {
            Verdict::Right => String::new(),
            Verdict::Unmountable { why } => {
                self.unmountable += 1;
                let text = format!(
                    "{told}, the file system was NOT MOUNTED: {why}\n   no check was run on this state\n   to repeat it: {repeat}"
                );
                if self.unmountable == 1 { text } else { String::new() }
            }
            Verdict::Failed(failure) => {
                let text = format!(
                    "{told}, the check FAILED: it {}\n{}   to repeat it: {repeat}",
                    failure.why,
                    failure.shown()
                );
                let is_new = self.failed.add(&failure, (trial.clone(), failure.clone()));
                if is_new { text } else { String::new() }
            }
        };
        self.form().say("state", &text, &document)
    }

    /// Explains the first failure of each kind.
    fn failures(&self, trials: &DriveTrials<'_>, log: &Transcript) -> Result<()> {
        for (number, (first, results)) in self.failed.by_number().into_iter().enumerate() {
            let kind = first.name();
            let times = results.len();
            let plural = if times == 1 { "" } else { "s" };
            let text = format!("{times} state{plural} FAILED: the check {kind}");
            self.form().say("kind", &text, &json!({ "kind": kind, "states": times }))?;
            let Some((trial, failure)) = results.first().filter(|_| number < EXPLAINED) else {
                continue;
            };
            let (explanation, built) = match Explanation::new(trials, trial, failure, log) {
                Ok(explained) => explained,
                Err(why) => {
                    progress(&format!("this failure cannot be explained: {why:#}"));
                    continue;
                }
            };
            let repeat = self.request.repeating(self.log, explanation.state());
            let mut text = format!("{explanation}   to repeat it: {repeat}");
            if let (0, Some(folder)) = (number, &self.request.keep) {
                let image = folder.join("image");
                text.push_str("\n   ");
                text.push_str(&match built.image.save(&image) {
                    Ok(()) => ["the drive after the cut: ", &*image.to_string_lossy()].concat(),
                    Err(why) => why.to_string(),
                });
            }
            let mut document = json!(explanation);
            document["kind"] = json!(kind);
            document["repeat"] = json!(repeat);
            self.form().say("explanation", &text, &document)?;
        }
        Ok(())
    }

    /// Leaves out each flush in turn, and reports those without which every check succeeds.
    fn flushes(&self, trials: &DriveTrials<'_>, machines: &Transcript) -> Result<()> {
        let (mut left_out, mut missed) = (0, 0);
        leave_out(trials, machines, |LeftOut { event, acknowledged, is_missed }| {
            left_out += 1;
            if *is_missed {
                missed += 1;
                return Ok(());
            }
            let line = trials.log.lines_before(*event).last().unwrap_or_default();
            let text = format!(
                "every check succeeds without the flush of event {event}, after the line {line:?}"
            );
            let document = json!({ "flush": event, "acknowledged": acknowledged });
            self.form().say("flush_not_needed", &text, &document)
        })?;
        let text =
            format!("flushes left out one at a time: {left_out}, needed by a check: {missed}");
        self.form().say("flushes", &text, &json!({ "left_out": left_out, "needed": missed }))
    }

    fn end(&self, different: &[Trial], states: usize) -> Result<()> {
        let between = different.iter().filter(|trial| trial.is_between).count();
        let (distinct, failures, unmountable) =
            (different.len(), self.failed.failures(), self.unmountable);
        let seed = self.seed;
        let is_given = self.request.state.is_some();
        let by_seed = if is_given { String::new() } else { format!(" by seed {seed}") };
        let not_mounted = match unmountable {
            0 => String::new(),
            count => format!(", not mounted: {count}"),
        };
        let text = format!(
            "states: {states}{by_seed}, distinct: {distinct}, after an acknowledgement and before the end: {between}, failed checks: {failures}{not_mounted}"
        );
        let document = json!({
            "seed": seed,
            "states": states,
            "distinct": distinct,
            "between": between,
            "failures": failures,
            "not_mounted": unmountable,
        });
        self.form().say("summary", &text, &document)
    }
}

#[cfg(test)]
mod tests {
    use core::str::FromStr as _;
    use std::path::Path;

    use clap::Parser as _;
    use lose_lines_drive::states::Choice;

    use super::Driving;
    use crate::{Cli, Task};

    fn parsed(line: &str) -> Driving {
        match Cli::try_parse_from(shlex::split(line).unwrap()).unwrap().task {
            Task::Drive(drive) => drive,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_that_repeats_a_state_is_the_same_test() {
        let request = parsed(
            "lose-lines drive --states 3 --fs xfs --limit 7 --unit 4096 --tear-journal --bring /lib/a.so \
             --check '/bin/sh -c \"a b\"' --env 'A=b c' /bin/sh -c 'c --state d' --json",
        );
        let state = Choice::from_str("7:lose:3+5").unwrap();
        let again = parsed(&request.repeating(Path::new("/tmp/a log"), &state));
        assert_eq!(
            (again.log.as_deref(), again.state),
            (Some(Path::new("/tmp/a log")), Some(state))
        );
        assert_eq!(again.testing, request.testing);
        assert_eq!((again.unit, again.tear_journal), (request.unit, true));
        assert_eq!(again.program.words(), request.program.words());
        assert_eq!(again.program.arguments, ["-c", "c --state d", "--json"]);
    }

    #[test]
    fn a_drive_that_is_too_small_for_its_file_system_is_refused() {
        let size = |line: &str| parsed(line).size().map_err(|why| why.to_string());
        assert!(size("lose-lines drive --size 8 --check a b").unwrap_err().contains("at least 16"));
        assert_eq!(size("lose-lines drive --size 16 --check a b"), Ok(16 << 20));
        assert!(size("lose-lines drive --fs xfs --size 256 --check a b").is_err());
    }

    #[test]
    fn two_recordings_have_two_names() {
        let request = parsed("lose-lines drive a b");
        let [one, other] = [request.place().unwrap(), request.place().unwrap()];
        assert_ne!(one.path(), other.path());
    }
}
