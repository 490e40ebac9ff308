//! The command `lose-lines`. In a machine this same program is the agent.

use core::time::Duration;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use lose_lines::architecture::Architecture;
use lose_lines::cache::{self, Cache};
use lose_lines::command::quoted;
use lose_lines::crash::moments::{Counted, Counts, Moment};
use lose_lines::crash::{Checked, CrashTest, Outcome, cut_all};
use lose_lines::elf;
use lose_lines::emulator::Emulated;
use lose_lines::initramfs::Initramfs;
use lose_lines::kit::{Kit, Kits};
use lose_lines::log::Log;
use lose_lines::losses::{Policy, checked_seed_of_run};
use lose_lines::machine::programs::printed;
use lose_lines::pmem::dax_machine;
use lose_lines::program::{CommandLine, HostProgram};
use lose_lines::restart::{Restart, Restarted};
use serde_json::{Value, json};

#[path = "drive/arguments.rs"]
mod drive;
#[path = "files/arguments.rs"]
mod files;

/// The exit codes, except those of `run`.
const LOSS: u8 = 1;
const USAGE: u8 = 2;
const IMPOSSIBLE: u8 = 3;
const NOTHING_TESTED: u8 = 4;

/// The exit code of `run` for this tool's own failures: that of docker(1), which few programs use.
const NOT_RUN: u8 = 125;

const FORGOTTEN_FLUSH: &str = include_str!("../examples/forgotten_flush.c");
const FORGOTTEN_FSYNC: &str = include_str!("../examples/forgotten_fsync.c");

const AFTER_HELP: &str = "\
files records the system calls of a program on this system; it needs no emulator. The others run
the program in the emulator QEMU, with the libraries that it is linked to. It must create
its files in its working directory or in TMPDIR: both are on the file system under test. For cut
and restart, that is ext4 with DAX, which supports MAP_SYNC. Needs x86-64 with Debian 12 or 13, or
an Ubuntu that has QEMU 10, but neither root nor KVM.

Exit codes: 0 no loss, 1 the check found a loss, 2 usage, 3 the test could not be run, 4 no cut
came after a line that the program had printed, so the check proved nothing. run exits with the
program's code, with 128 plus the number of the signal that ended it, or with 125 if the program
could not be run.

A program that writes and fsyncs, by its system calls, and on an ordinary drive:
  lose-lines example fsync > forgets.c # a program that forgets to sync a directory
  cc -g -O2 forgets.c -o forgets
  lose-lines files --seed 3 --check './forgets check' -- ./forgets update
  lose-lines drive --seed 3 --check './forgets check' ./forgets update

A program that maps persistent memory:
  lose-lines example > forgets.c       # a program that forgets one write-back
  cc -g -O2 forgets.c -o forgets
  lose-lines cut --seed 3 --check './forgets check' ./forgets update
All exit with 1 and print how to repeat each loss. Compiled with -DRIGHT, nothing is lost.";

/// Cuts the power of an emulated machine while a program runs there, and loses whatever the program has not flushed:
/// sectors of an ordinary drive, or cache lines of persistent memory.
#[derive(Debug, Parser)]
#[command(version, after_help = AFTER_HELP, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Record the program's system calls, and check directories that a power cut could have left. Needs no machine;
    /// `lose-lines -- PROGRAM` is the same.
    Files(Box<files::Filing>),
    /// Cut the power at many moments while the program runs, lose dirty cache lines, and check each remaining state.
    Cut(Cutting),
    /// Record the program's writes to an ordinary drive, and check states that a power cut could have left.
    Drive(drive::Driving),
    /// Run the program, restart the machine without clearing its RAM, and check the remaining state.
    Restart(ByRestart),
    /// Run the program once; also usable as a runner for cargo. Exits with the program's code, or 125.
    Run(Subject),
    /// Download the emulator and the kernel now, instead of at the first use.
    Fetch,
    /// Print a C program with a defect; compiling it with `-DRIGHT` removes the defect.
    Example {
        /// The defect: a missing write-back, for `cut`, or a missing fsync of a directory, for `drive`.
        #[arg(value_enum, default_value_t = Forgotten::WriteBack)]
        forgotten: Forgotten,
    },
}

/// The defect of an example.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Forgotten {
    WriteBack,
    Fsync,
}

#[derive(Args, Clone, Debug)]
struct Subject {
    /// A file that the program opens or starts, such as a library or another program, or a directory with everything
    /// below it. Linked libraries are added too. It has the same path in the machine, or /lab/host/NAME if that is
    /// hidden there.
    #[arg(long = "bring", value_name = "PATH")]
    brought: Vec<PathBuf>,
    /// A variable for its environment.
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    environment: Vec<(String, String)>,
    /// A program or a script, by its path or by its name in PATH.
    program: PathBuf,
    /// The program's arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

#[derive(Args, Clone, Debug)]
struct Checking {
    /// The command that checks the state, in quotes. It must exit with 0 if the state is right. The variable PRINTED
    /// names a file with the lines that the program had printed before the cut [default: the program with its
    /// arguments].
    #[arg(long, value_name = "COMMAND")]
    check: Option<String>,
    /// Which dirty lines persist.
    #[arg(long, value_enum, default_value_t = Policy::Half)]
    policy: Policy,
    /// The seed for moments and losses [default: a random number].
    #[arg(long)]
    seed: Option<u64>,
    /// The time after which the program or the check counts as hanging and is killed.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    limit: u64,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Args, Clone, Debug)]
struct Cutting {
    /// The number of cuts, each with a new file system. The last one comes after the program's end.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    cuts: u64,
    /// Cut only once, at this moment: writeback:N, fence:N, store:N, call:N or end. The seed then chooses only the
    /// losses.
    #[arg(long, value_name = "MOMENT", conflicts_with = "cuts")]
    cut: Option<Moment>,
    /// Lose exactly these lines; take their numbers from a reported failure.
    #[arg(
        long,
        value_name = "LINES",
        value_delimiter = ',',
        requires = "cut",
        conflicts_with = "policy"
    )]
    lose: Vec<u32>,
    /// The number of cuts to run in parallel. Each is a machine that takes one CPU and up to 1 GiB of memory.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: u16,
    /// Treat a streaming store as written back, so that a fence makes it persistent; PMDK relies on this.
    #[arg(long)]
    streaming: bool,
    #[command(flatten)]
    checking: Checking,
    #[command(flatten)]
    program: Subject,
}

#[derive(Args, Clone, Debug)]
struct ByRestart {
    /// How to restart.
    #[arg(long, value_enum, default_value_t = Restart::Reset)]
    by: Restart,
    #[command(flatten)]
    checking: Checking,
    #[command(flatten)]
    program: Subject,
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("give NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// A mistake in the command line.
#[derive(Debug)]
struct Usage(anyhow::Error);

impl core::fmt::Display for Usage {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

impl core::error::Error for Usage {}

impl Subject {
    fn find(&self) -> Result<CommandLine, Usage> {
        let found = HostProgram::find(&self.program, &self.brought).map_err(Usage)?;
        Ok(found.with(self.arguments.clone()))
    }

    /// Returns the words of a command line that select this program again.
    fn words(&self) -> Vec<String> {
        let Self { brought, environment, program, arguments } = self;
        let brought = brought.iter().map(|file| ["--bring".into(), file.display().to_string()]);
        let environment =
            environment.iter().map(|(name, value)| ["--env".into(), format!("{name}={value}")]);
        let options = brought.chain(environment).flatten();
        options.chain([program.display().to_string()]).chain(arguments.iter().cloned()).collect()
    }

    fn environment(&self) -> Vec<(&str, &str)> {
        self.environment.iter().map(|(name, value)| (&**name, &**value)).collect()
    }
}

impl Checking {
    /// Returns the check of a program.
    fn command(&self, program: &Subject) -> Result<CommandLine, Usage> {
        let Some(check) = &self.check else { return program.find() };
        let found = CommandLine::find(check, &program.brought);
        found.map_err(|why| Usage(why.context(format!("--check '{check}'"))))
    }

    fn seed(&self) -> Result<u64> {
        self.seed.map_or_else(checked_seed_of_run, Ok)
    }
}

fn main() -> Result<ExitCode> {
    // The kernel starts its first program before anything mounts /proc; in a container it is mounted.
    if process::id() == 1 && !Path::new("/proc/self").exists() {
        match lose_lines::agent::serve(|_request| bail!("this agent serves no other requests"))? {}
    }
    let task = match Cli::try_parse_from(command_line()) {
        Ok(Cli { task }) => task,
        Err(why) => return not_parsed(&why),
    };
    let is_run = matches!(task, Task::Run(_));
    let code = match task {
        Task::Files(request) => files::files(&request),
        Task::Cut(request) => cut(&request),
        Task::Drive(request) => drive::drive(&request),
        Task::Restart(request) => restart(&request),
        Task::Run(program) => run(&program),
        Task::Fetch => Machines::new().and_then(|machines| machines.finish(|_fetched| Ok(0))),
        Task::Example { forgotten } => {
            let example = match forgotten {
                Forgotten::WriteBack => FORGOTTEN_FLUSH,
                Forgotten::Fsync => FORGOTTEN_FSYNC,
            };
            write!(io::stdout(), "{example}").map(|()| 0).context("cannot print the example")
        }
    };
    Ok(ExitCode::from(code.unwrap_or_else(|why| {
        progress(&format!("{why:#}"));
        match why.is::<Usage>() {
            _ if is_run => NOT_RUN,
            true => USAGE,
            false => IMPOSSIBLE,
        }
    })))
}

/// Returns the words of the command line. Without a task, `--` and a program are for `files`.
fn command_line() -> Vec<OsString> {
    let mut words: Vec<_> = env::args_os().collect();
    if words.get(1).is_some_and(|word| word == "--") {
        words.insert(1, "files".into());
    }
    words
}

/// Prints help, or the mistake in the command line.
fn not_parsed(why: &clap::Error) -> Result<ExitCode> {
    why.print().context("cannot print the usage")?;
    let is_run = env::args_os().nth(1).is_some_and(|task| task == "run");
    Ok(ExitCode::from(match why.use_stderr() {
        false => 0,
        true if is_run => NOT_RUN,
        true => USAGE,
    }))
}

/// A closed terminal does not end a test.
fn progress(text: &str) {
    drop(writeln!(io::stderr(), "lose-lines: {text}"));
}

/// The parts of this process's machines, in its own folder, and their log.
struct Machines {
    kit: Kit,
    name: String,
    log: Log,
    work: PathBuf,
}

impl Machines {
    fn new() -> Result<Self> {
        let cache = Cache::of_user()?;
        let all = cache.folder().join("machines");
        cache::make(&all)?;
        remove_those_of_others(&all);
        let (name, work) = (format!("{}", process::id()), all.join(process::id().to_string()));
        cache::make_empty(&work)?;
        let agent = agent(&work)?;
        let kits = Kits::new(cache.clone(), Emulated::Pc, work.clone());
        let kit = kits.kit(Architecture::X86, agent)?;
        let log = Log::create(cache.folder(), &name)?;
        Ok(Self { kit, name, log, work })
    }

    /// Does the work. After a failure the log is kept.
    fn finish<T>(mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let done = work(&mut self);
        drop(fs::remove_dir_all(&self.work));
        match done {
            Ok(done) => self.log.remove().map(|()| done),
            Err(why) => Err(anyhow!("{why:#}\nthe log of the machines is {}", self.log.path())),
        }
    }
}

/// Removes the folders of processes that were killed.
fn remove_those_of_others(all: &Path) {
    for entry in fs::read_dir(all).into_iter().flatten().flatten() {
        if !Path::new("/proc").join(entry.file_name()).exists() {
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

/// Returns an archive in which this program is the first one of a machine.
fn agent(work: &Path) -> Result<PathBuf> {
    let program = env::current_exe().context("this program has no path")?;
    let init = work.join("init");
    let bytes = fs::read(&program).with_context(|| format!("cannot read {}", program.display()))?;
    fs::write(&init, elf::without_symbols(bytes)?).context("cannot write the agent")?;
    let mut files = Initramfs::default();
    HostProgram::find(&program, &[])?.add_libraries_to(&mut files);
    let archive = work.join("agent.cpio");
    files.file("/init", init).write(&archive)?;
    Ok(archive)
}

fn run(program: &Subject) -> Result<u8> {
    let found = program.find()?;
    Machines::new()?.finish(|Machines { kit, name, log, .. }| {
        let mut machine = dax_machine(kit, name, |files| found.add_to(files), log)?;
        let before = log.position()?;
        let ended = machine.run_request(&found.request(&program.environment()));
        write!(io::stdout(), "{}", printed(&log.since(before)?))?;
        machine.power_off()?;
        match ended? {
            (Some(code), _) => Ok(u8::try_from(code).unwrap_or(u8::MAX)),
            (None, Some(signal)) => Ok(u8::try_from(128 + signal).unwrap_or(u8::MAX)),
            (None, None) => bail!("the program ended without an exit code"),
        }
    })
}

fn restart(request: &ByRestart) -> Result<u8> {
    let ByRestart { by, checking, program } = request;
    let (found, check) = (program.find()?, checking.command(program)?);
    let seed = checking.seed()?;
    let checked = Machines::new()?.finish(|Machines { kit, name, log, .. }| {
        Restarted {
            kit,
            name,
            program: &found,
            check: &check,
            environment: &program.environment(),
            by: *by,
            policy: checking.policy,
            seed,
            limit: Duration::from_secs(checking.limit),
        }
        .checked(log)
    })?;
    let mut out = io::stdout();
    if checking.json {
        writeln!(out, "{}", json!({ "seed": seed, "restart": checked }))?;
    } else {
        let Checked { acknowledged, dirty, lost, .. } = &checked;
        write!(
            out,
            "seed {seed}: acknowledged {acknowledged}, {lost} of {dirty} dirty lines lost, "
        )?;
        match &checked.failure {
            None => writeln!(out, "the check succeeded")?,
            Some(why) => {
                writeln!(out, "the check FAILED: it {why}")?;
                checked.output.lines().try_for_each(|line| writeln!(out, "   | {line}"))?;
            }
        }
    }
    Ok(judged(checked.failure.is_some(), checked.acknowledged > 0))
}

/// Returns the exit code for the results of checks.
fn judged(has_failed: bool, has_tested: bool) -> u8 {
    if !has_failed && !has_tested {
        progress(
            "the check proved nothing, because no line had been printed before the cut; print and flush a line when \
             data must be there from then on, or cut more often",
        );
    }
    match (has_failed, has_tested) {
        (true, _) => LOSS,
        (false, true) => 0,
        (false, false) => NOTHING_TESTED,
    }
}

fn cut(request: &Cutting) -> Result<u8> {
    let Cutting { cuts, cut, lose, jobs, streaming, checking, program } = request;
    let (found, check) = (program.find()?, checking.command(program)?);
    let seed = checking.seed()?;
    Machines::new()?.finish(|Machines { kit, name, log, .. }| {
        let test = CrashTest {
            kit,
            name,
            program: found,
            prepare: None,
            check,
            environment: program.environment.clone(),
            policy: checking.policy,
            lost: lose.clone(),
            is_streaming_evicting: *streaming,
            limit: Duration::from_secs(checking.limit),
        };
        let mut told = Told { request, seed, document: json!({ "seed": seed }), outcomes: vec![] };
        progress("starting a machine; each cut then takes one to two seconds");
        let made = test.make(log)?;
        let is_chosen = cut.is_some();
        let cuts = if let Some(moment) = cut {
            vec![(*moment, seed)]
        } else {
            let counted = test.count(&made, log)?;
            told.counted(&counted)?;
            counted.cuts(*cuts, seed)
        };
        let summary = cut_all(&test, &made, &cuts, (*jobs).into(), log, |number, outcome| {
            told.outcome((number, cuts.len()), outcome)
        })?;
        told.end(&summary.to_string(), &json!(summary))?;
        Ok(judged(summary.failures > 0, is_chosen || summary.between > 0))
    })
}

/// The results of cuts, on standard output: line by line, or as one document.
struct Told<'a> {
    request: &'a Cutting,
    seed: u64,
    document: Value,
    outcomes: Vec<Value>,
}

impl Told<'_> {
    fn say(&self, text: &str) -> Result<()> {
        if !self.request.checking.json {
            writeln!(io::stdout(), "{text}")?;
        }
        Ok(())
    }

    /// Reports the run that was not cut.
    fn counted(&mut self, counted: &Counted) -> Result<()> {
        let Counted { counts, time, has_ended } = counted;
        let Counts { writebacks, fences, stores, calls } = counts;
        let seconds = time.as_secs_f64();
        self.document["uncut"] =
            json!({ "counts": counts, "seconds": seconds, "has_ended": has_ended });
        let end = if *has_ended { "it succeeded" } else { "it did not end and was killed" };
        self.say(&format!(
            "without a cut, {end} after {seconds:.1} s; it made {stores} stores to mapped files, {writebacks} write-backs, \
             {fences} fences that completed some of them, and {calls} system calls that change files; seed {}",
            self.seed
        ))
    }

    fn outcome(&mut self, which: (usize, usize), outcome: &Outcome) -> Result<()> {
        let chosen = if outcome.fewest.is_empty() { &self.request.lose } else { &outcome.fewest };
        let repeating = self.request.repeating(outcome.moment, outcome.seed, chosen);
        let mut document = json!(outcome);
        document["repeat"] = json!(repeating);
        self.outcomes.push(document);
        self.say(&outcome.in_words(which, &repeating))
    }

    fn end(&mut self, text: &str, summary: &Value) -> Result<()> {
        self.document["cuts"] = json!(self.outcomes);
        self.document["summary"] = summary.clone();
        if self.request.checking.json {
            writeln!(io::stdout(), "{}", self.document)?;
        }
        self.say(text)
    }
}

impl Cutting {
    /// Returns the command that repeats one cut.
    fn repeating(&self, moment: Moment, seed: u64, lose: &[u32]) -> String {
        let Self { streaming, checking, program, .. } = self;
        let Checking { check, policy, limit, .. } = checking;
        let lines: Vec<String> = lose.iter().map(u32::to_string).collect();
        let losses = if lines.is_empty() {
            format!("--seed {seed} --policy {policy}")
        } else {
            format!("--lose {}", lines.join(","))
        };
        let mut line = format!("lose-lines cut --cut {moment} {losses} --limit {limit}");
        let mut add = |word: &str| {
            line.push(' ');
            line.push_str(&quoted(word));
        };
        if *streaming {
            add("--streaming");
        }
        if let Some(check) = check {
            ["--check", check].into_iter().for_each(&mut add);
        }
        program.words().iter().for_each(|word| add(word));
        line
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use lose_lines::losses::{self, FENCE};

    use lose_lines::words::words;

    use super::{Checking, Cli, Cutting, Moment, Subject, Task};

    fn parsed(line: &str) -> Cutting {
        match Cli::try_parse_from(words(line).unwrap()).unwrap().task {
            Task::Cut(cut) => cut,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_that_repeats_a_cut_is_the_same_test() {
        let request = parsed(
            "lose-lines cut --cuts 3 --policy torn --streaming --limit 7 --bring /lib/a.so --check '/bin/sh -c \"a b\"' \
             --env 'A=b c' /bin/sh -c 'c --cut d' --json",
        );
        let moment = Moment::At(losses::Cut { event: FENCE, number: 3 });
        let fewest = parsed(&request.repeating(moment, 5, &[7, 9]));
        assert_eq!((fewest.cut, fewest.lose), (Some(moment), vec![7, 9]));
        let again = parsed(&request.repeating(moment, 5, &[]));
        assert_eq!((again.cut, again.checking.seed), (Some(moment), Some(5)));
        let kept = |request: &Cutting| {
            let Cutting { streaming, checking, program, .. } = request.clone();
            let Checking { check, policy, limit, .. } = checking;
            let Subject { brought, environment, program, arguments } = program;
            (streaming, check, policy, limit, brought, environment, program, arguments)
        };
        assert_eq!(kept(&again), kept(&request));
        assert_eq!(again.program.arguments, ["-c", "c --cut d", "--json"]);
    }
}
