//! The subcommand `drive`: its arguments and its report.

use core::time::Duration;
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use lose_lines::cache::Cache;
use lose_lines::command::quoted;
use lose_lines::drive::explanation::Explanation;
use lose_lines::drive::file_system::FileSystem;
use lose_lines::drive::flushes::{LeftOut, leave_out};
use lose_lines::drive::log::DriveLog;
use lose_lines::drive::states::{State, WritePolicy, chosen};
use lose_lines::drive::trials::{Failure, Trial, Trials, distinct};
use lose_lines::drive::{CheckOn, DriveTest, Prepared, Recorded};
use lose_lines::log::Log;
use lose_lines::losses::checked_seed_of_run;
use lose_lines::program::CommandLine;
use serde_json::{Value, json};

use crate::{LOSS, Machines, NOTHING_TESTED, Subject, Usage, progress};

/// The number of kinds of failures that are explained.
const EXPLAINED: usize = 3;

#[derive(Args, Clone, Debug)]
pub(crate) struct Driving {
    /// The number of states to build. Equal states are checked once.
    #[arg(long, default_value_t = 200)]
    states: usize,
    /// The seed for the states [default: a random number].
    #[arg(long)]
    seed: Option<u64>,
    /// Which writes survive a cut, of those that no flush has made durable [default: a random policy for each state].
    #[arg(long, value_enum)]
    policy: Option<WritePolicy>,
    /// The file system.
    #[arg(long = "fs", value_enum, default_value_t = FileSystem::Ext4)]
    file_system: FileSystem,
    /// The size of the drive in MiB [default: 256, or 320 for xfs].
    #[arg(long, value_name = "MIB")]
    size: Option<usize>,
    /// A command line that makes the initial files. Whatever it leaves is durable.
    #[arg(long, value_name = "COMMAND LINE")]
    prepare: Option<String>,
    /// The command line that checks a state, run without a shell. It must exit with 0 if the state is right. The
    /// variable PRINTED names a file with the lines that the program had printed before the cut.
    #[arg(long, value_name = "COMMAND LINE")]
    check: String,
    /// Where to check. On the host, e2fsck(8) replays the journal.
    #[arg(long, value_enum, default_value_t = CheckOn::Machine)]
    check_on: CheckOn,
    /// The number of machines that check in parallel.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    jobs: u8,
    /// Check states of this recording, without recording a new one.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Check this one state of a recording: EVENT:SEED:POLICY or EVENT:lose:WRITE+WRITE.
    #[arg(long, requires = "log", conflicts_with_all = ["states", "seed", "policy"])]
    state: Option<State>,
    /// If no check fails, leave out each flush in turn, and report those without which every check still succeeds.
    #[arg(long, conflicts_with = "state")]
    leave_out_flushes: bool,
    /// Keep the recording, and the drive of the first failure, in this directory.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    /// The time after which the program or a check counts as hanging and is killed.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    limit: u32,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    program: Subject,
}

impl Driving {
    /// Returns the command line of an option.
    fn command(&self, option: &str, line: &str) -> Result<CommandLine, Usage> {
        let found = CommandLine::find(line, &self.program.brought);
        found.map_err(|why| Usage(why.context(format!("{option} '{line}'"))))
    }

    /// Returns the file for the recording, and true if it is kept even when every check succeeds.
    fn place(&self) -> Result<(PathBuf, bool)> {
        if let Some(folder) = &self.keep {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let kept = self.keep.as_ref().map(|folder| folder.join("log"));
        if self.log.is_none()
            && let Some(log) = kept.as_ref().filter(|log| log.exists())
        {
            let log = log.display();
            bail!(Usage(anyhow!(
                "{log} is an earlier recording; check it with --log, or remove it"
            )));
        }
        if let Some(log) = self.log.clone().or(kept) {
            return Ok((log, true));
        }
        Ok((env::temp_dir().join(format!("lose-lines-{}.log", process::id())), false))
    }

    /// Returns the command that repeats one state.
    fn repeating(&self, log: &Path, state: &State) -> String {
        let Self { check, limit, program, .. } = self;
        let (log, state, limit) = (log.display().to_string(), state.to_string(), limit.to_string());
        let options = ["--log", &log, "--state", &state, "--limit", &limit, "--check", check];
        let words = options.into_iter().map(str::to_owned).chain(program.words());
        let words: Vec<String> = words.map(|word| quoted(&word)).collect();
        format!("lose-lines drive {}", words.join(" "))
    }
}

pub(crate) fn drive(request: &Driving) -> Result<u8> {
    let program = request.program.find()?;
    let check = request.command("--check", &request.check)?;
    let prepare = request.prepare.as_deref().map(|line| request.command("--prepare", line));
    let prepare = prepare.transpose()?;
    let seed = request.seed.map_or_else(checked_seed_of_run, Ok)?;
    let recorded = request.log.as_deref().map(DriveLog::read).transpose()?;
    let file_system = recorded.as_ref().map_or(request.file_system, |log| log.file_system);
    if request.check_on == CheckOn::Host && file_system != FileSystem::Ext4 {
        bail!(Usage(anyhow!("{file_system} cannot be checked on the host; leave out --check-on")));
    }
    let mib = request.size.unwrap_or(file_system.default_size());
    let size = recorded.as_ref().map_or(mib << 20, |log| log.size);
    let place = request.place()?;
    let code = Machines::new()?.finish(|machines| {
        let test = DriveTest {
            kit: &machines.kit,
            name: &machines.name,
            prepare,
            program,
            check,
            environment: request.program.environment.clone(),
            limit: Duration::from_secs(request.limit.into()),
        };
        let mut report = Report { request, log: &place.0, document: json!({ "seed": seed }) };
        let needs_machine = recorded.is_none() || request.check_on == CheckOn::Machine;
        let prepared = needs_machine.then(|| {
            progress("starting a machine");
            Prepared::new(&test, file_system, size, &machines.log)
        });
        let prepared = prepared.transpose()?;
        let log = match (recorded, &prepared) {
            (Some(log), _) => log,
            (None, Some(prepared)) => {
                let recorded = prepared.record(&place.0, &machines.log)?;
                let log = DriveLog::read(&place.0)?;
                report.recorded(&recorded, &log)?;
                log
            }
            (None, None) => bail!("there is neither a recording nor a machine"),
        };
        let prepared = prepared.filter(|_| request.check_on == CheckOn::Machine);
        let trials = Trials { test: &test, prepared: prepared.as_ref(), log: &log };
        checked(request, &trials, seed, &mut report)
    });
    if !place.1 && !matches!(code, Ok(LOSS)) {
        // Ignored: the file does not exist if nothing was recorded.
        drop(fs::remove_file(&place.0));
    }
    code
}

/// Checks the states of a recording, and reports them. Returns the exit code.
fn checked(
    request: &Driving,
    trials: &Trials<'_>,
    seed: u64,
    report: &mut Report<'_>,
) -> Result<u8> {
    let log = trials.log;
    if let Some(state) = request.state.as_ref().filter(|state| !state.is_of(log)) {
        bail!(Usage(anyhow!("the recording has no state {state}; pass a state of this recording")));
    }
    let states = match &request.state {
        Some(state) => vec![state.clone()],
        None => chosen(log, request.states, seed, request.policy),
    };
    let different = distinct(log, &states);
    if request.state.is_none() && !different.iter().any(|trial| trial.is_between) {
        return report.nothing_tested(states.len()).map(|()| NOTHING_TESTED);
    }
    let caches = Cache::of_user()?;
    let logs: Vec<Log> = (0..request.jobs)
        .map(|number| Log::create(caches.folder(), &format!("{}-{number}", process::id())))
        .collect::<Result<_>>()?;
    let first = logs.first().context("there is no log")?;
    if request.state.is_none()
        && log.end().is_some()
        && let Some(Failure { why, output }) = trials.check_end(first)?
    {
        bail!("the check {why} although nothing was lost; its output:\n{}", output.trim_end());
    }
    progress(&format!(
        "{} of {} states are distinct; checking them",
        different.len(),
        states.len()
    ));
    let mut failed = Vec::new();
    trials.check(&different, &logs, |trial, failure| {
        report.result(trial, failure.as_ref());
        if let Some(failure) = failure {
            failed.push((trial.clone(), failure));
        }
        Ok(())
    })?;
    failed.sort_by_key(|(trial, _)| trial.state.event);
    report.failures(trials, &failed, first)?;
    if request.leave_out_flushes && failed.is_empty() {
        report.flushes(trials, first)?;
    }
    report.end(&different, states.len(), failed.len())?;
    logs.into_iter().try_for_each(Log::remove)?;
    Ok(if failed.is_empty() { 0 } else { LOSS })
}

/// The results, on standard output: line by line, or as one document.
struct Report<'a> {
    request: &'a Driving,
    log: &'a Path,
    document: Value,
}

impl Report<'_> {
    fn say(&self, text: &str) -> Result<()> {
        if !self.request.json {
            writeln!(io::stdout(), "{text}")?;
        }
        Ok(())
    }

    fn recorded(&mut self, recorded: &Recorded, log: &DriveLog) -> Result<()> {
        let (writes, flushes, lines) = log.counts();
        self.document["recorded"] = json!({
            "seconds": recorded.seconds,
            "has_ended": recorded.has_ended,
            "writes": writes,
            "flushes": flushes,
            "lines": lines,
            "log": self.log,
        });
        let end = if recorded.has_ended { "succeeded" } else { "did not end and was killed" };
        self.say(&format!(
            "recorded on {}: the program {end} after {:.1} s; {writes} writes, {flushes} flushes, {lines} acknowledgements",
            log.file_system, recorded.seconds
        ))
    }

    fn nothing_tested(&mut self, states: usize) -> Result<()> {
        let advice = "no cut came between a printed line and the program's end, so the checks prove nothing; print a line \
                      to standard output when data must be there from then on, flush it, and write more after it";
        progress(advice);
        self.document["nothing_tested"] = json!({ "states": states });
        self.document_to_stdout()
    }

    fn result(&mut self, trial: &Trial, failure: Option<&Failure>) {
        let mut result = json!(trial);
        result["failure"] = json!(failure);
        match &mut self.document["states"] {
            Value::Array(results) => results.push(result),
            first => *first = json!([result]),
        }
    }

    /// Explains the first failure of each kind.
    fn failures(
        &mut self,
        trials: &Trials<'_>,
        failed: &[(Trial, Failure)],
        log: &Log,
    ) -> Result<()> {
        let mut kinds: BTreeMap<String, Vec<&(Trial, Failure)>> = BTreeMap::new();
        for result in failed {
            kinds.entry(kind(&result.1)).or_default().push(result);
        }
        let mut kinds: Vec<_> = kinds.into_iter().collect();
        kinds.sort_by_key(|(_, results)| core::cmp::Reverse(results.len()));
        let mut explained = Vec::new();
        for (number, (kind, results)) in kinds.iter().enumerate() {
            let times = results.len();
            let plural = if times == 1 { "" } else { "s" };
            self.say(&format!("{times} state{plural} FAILED: the check {kind}"))?;
            let Some((trial, failure)) = results.first().filter(|_| number < EXPLAINED) else {
                continue;
            };
            let (explanation, built) = Explanation::new(trials, trial, failure, log)?;
            let repeat = self.request.repeating(self.log, explanation.state());
            self.say(&format!("{explanation}\n   to repeat it: {repeat}"))?;
            if let (0, Some(folder)) = (number, &self.request.keep) {
                let image = folder.join("image");
                built.image.save(&image)?;
                self.say(&format!("   the drive after the cut: {}", image.display()))?;
            }
            let mut explanation = json!(explanation);
            explanation["states"] = json!(times);
            explanation["kind"] = json!(kind);
            explanation["repeat"] = json!(repeat);
            explained.push(explanation);
        }
        self.document["explained"] = json!(explained);
        Ok(())
    }

    /// Leaves out each flush in turn, and reports those without which every check succeeds.
    fn flushes(&mut self, trials: &Trials<'_>, machines: &Log) -> Result<()> {
        let (mut left_out, mut unmissed) = (0, Vec::new());
        leave_out(trials, machines, |LeftOut { event, acknowledged, is_missed }| {
            left_out += 1;
            if !is_missed {
                let line = trials.log.lines_before(*event).last().unwrap_or_default();
                self.say(&format!(
                    "every check succeeds without the flush of event {event}, after the line {line:?}"
                ))?;
                unmissed.push(json!({ "event": event, "acknowledged": acknowledged }));
            }
            Ok(())
        })?;
        let missed = left_out - unmissed.len();
        self.say(&format!(
            "flushes left out one at a time: {left_out}, needed by a check: {missed}"
        ))?;
        self.document["flushes"] = json!({ "left_out": left_out, "unmissed": unmissed });
        Ok(())
    }

    fn end(&mut self, different: &[Trial], states: usize, failures: usize) -> Result<()> {
        let between = different.iter().filter(|trial| trial.is_between).count();
        let distinct = different.len();
        self.document["summary"] = json!({
            "states": states,
            "distinct": distinct,
            "between": between,
            "failures": failures,
        });
        let is_given = self.request.state.is_some();
        let by_seed =
            if is_given { String::new() } else { format!(" by seed {}", self.document["seed"]) };
        self.say(&format!(
            "states: {states}{by_seed}, distinct: {distinct}, after an acknowledgement and before the end: {between}, failed checks: {failures}"
        ))?;
        self.document_to_stdout()
    }

    fn document_to_stdout(&self) -> Result<()> {
        if self.request.json {
            writeln!(io::stdout(), "{}", self.document)?;
        }
        Ok(())
    }
}

/// Returns the kind of a failure: how it ended and the last line of its output, without numbers.
fn kind(failure: &Failure) -> String {
    let text = match failure.output.lines().last() {
        Some(line) => format!("{}: {line}", failure.why),
        None => failure.why.clone(),
    };
    let mut kind = String::new();
    for character in text.chars() {
        if !character.is_ascii_digit() {
            kind.push(character);
        } else if !kind.ends_with('N') {
            kind.push('N');
        }
    }
    kind
}

#[cfg(test)]
mod tests {
    use core::str::FromStr as _;
    use std::path::Path;

    use clap::Parser as _;
    use lose_lines::drive::states::State;
    use lose_lines::drive::trials::Failure;
    use lose_lines::words::words;

    use super::{Driving, kind};
    use crate::{Cli, Task};

    fn parsed(line: &str) -> Driving {
        match Cli::try_parse_from(words(line).unwrap()).unwrap().task {
            Task::Drive(drive) => drive,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_that_repeats_a_state_is_the_same_test() {
        let request = parsed(
            "lose-lines drive --states 3 --fs xfs --limit 7 --bring /lib/a.so --check '/bin/sh -c \"a b\"' \
             --env 'A=b c' /bin/sh -c 'c --state d' --json",
        );
        let state = State::from_str("7:lose:3+5").unwrap();
        let again = parsed(&request.repeating(Path::new("/tmp/a log"), &state));
        assert_eq!(
            (again.log.as_deref(), again.state),
            (Some(Path::new("/tmp/a log")), Some(state))
        );
        assert_eq!((again.limit, &again.check), (7, &request.check));
        assert_eq!(again.program.words(), request.program.words());
        assert_eq!(again.program.arguments, ["-c", "c --state d", "--json"]);
    }

    #[test]
    fn failures_that_differ_in_numbers_are_of_one_kind() {
        let kind = |output: &str| {
            kind(&Failure {
                why: String::from("ended with exit code 1"),
                output: output.to_owned(),
            })
        };
        assert_eq!(kind("opened\nrow 17 of 20 is torn\n"), kind("row 3 of 999 is torn"));
        assert_ne!(kind("row 17 is torn"), kind("row 17 is lost"));
    }
}
