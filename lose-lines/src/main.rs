//! The command `lose-lines`. In a machine this same program is the agent.

use core::time::Duration;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::builder::{StringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use lose_lines::architecture::Architecture;
use lose_lines::cache::{Cache, Work};
use lose_lines::check::Verdict;
use lose_lines::command::quoted;
use lose_lines::crash::moments::{Counted, Counts, Moment};
use lose_lines::crash::{self, Checked, CrashTest, cut_all};
use lose_lines::elf;
use lose_lines::emulator::Emulated;
use lose_lines::initramfs::Initramfs;
use lose_lines::kit::{Kit, Kits};
use lose_lines::log::Log;
use lose_lines::losses::checked_seed_of_run;
use lose_lines::machine::programs::printed;
use lose_lines::pmem::dax_machine;
use lose_lines::policy::Policy;
use lose_lines::program::{CommandLine, HostProgram};
use lose_lines::report::{Form, note as progress};
use lose_lines::restart::{Restart, Restarted};
use serde_json::json;

#[path = "dma/arguments.rs"]
mod dma;
#[path = "drive/arguments.rs"]
mod drive;
#[path = "files/arguments.rs"]
mod files;

/// The exit codes, except those of `run`.
const LOSS: u8 = 1;
const USAGE: u8 = 2;
const IMPOSSIBLE: u8 = 3;
const NOTHING_TESTED: u8 = 4;
const UNMOUNTABLE: u8 = 5;

/// The exit code of `run` for this tool's own failures: that of docker(1), which few programs use.
const NOT_RUN: u8 = 125;

const FORGOTTEN_FLUSH: &str = include_str!("../examples/forgotten_flush.c");
const FORGOTTEN_FSYNC: &str = include_str!("../examples/forgotten_fsync.c");

const AFTER_HELP: &str = "\
files records the system calls of a program on this system; it needs no emulator. The others run
the program in the emulator QEMU, with the libraries that it is linked to. It must create
its files in its working directory or in TMPDIR: both are on the file system under test. For cut
and restart, that is ext4 with DAX, which supports MAP_SYNC. Needs Debian 12 or 13, or an Ubuntu
that has QEMU 10, but neither root nor KVM; on arm64, only drive works.

Exit codes: 0 no loss, 1 the check found a loss, 2 usage, 3 the test could not be run, 4 no cut
came after a line that the program had printed, so the check proved nothing, 5 no check failed,
but the file system of some states cannot be mounted. run exits with the program's code, with 128 plus
the number of the signal that ended it, or with 125 if the program could not be run.

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

/// Cuts the power of any program, and shows what it loses: files as its system calls left them, sectors of a drive, or
/// cache lines of persistent memory.
#[derive(Debug, Parser)]
#[command(version, after_help = AFTER_HELP, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Record the program's system calls, and check directories that a power cut could have left. Needs no machine;
    /// `lose-lines [OPTIONS] -- PROGRAM` is the same.
    Files(Box<files::Filing>),
    /// Cut the power at many moments while the program runs, lose dirty cache lines, and check each remaining state.
    Cut(Cutting),
    /// Record the program's writes to an ordinary drive, and check states that a power cut could have left.
    Drive(drive::Driving),
    /// Run an unmodified image in an emulator whose devices do not see the CPUs' cache, and report missing maintenance.
    Dma(dma::Watching),
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
    #[arg(long = "bring", value_name = "PATH", value_parser = path())]
    brought: Vec<PathBuf>,
    /// A variable for its environment.
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    environment: Vec<(String, String)>,
    /// A program or a script, by its path or by its name in PATH.
    #[arg(value_parser = path())]
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
    /// Print each result as one line of JSON.
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

/// Returns a parser of paths. Commands that repeat a failure, and machines, have paths in UTF-8 only.
fn path() -> impl TypedValueParser<Value = PathBuf> {
    StringValueParser::new().map(PathBuf::from)
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
}

/// The outcome of a test that was run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Held,
    Loss,
    NothingTested,
    Unmountable,
}

impl Outcome {
    /// Returns the outcome of checks, after telling a test that proved nothing.
    fn of(failures: usize, unmountable: usize, has_tested: bool) -> Self {
        match (failures, unmountable) {
            (1.., _) => Self::Loss,
            (_, 1..) => Self::Unmountable,
            _ if has_tested => Self::Held,
            _ => {
                progress(
                    "no cut came between a printed line and the program's end, so the checks prove nothing; print a line \
                     to standard output when data must be there from then on, flush it, and write more after it",
                );
                Self::NothingTested
            }
        }
    }

    const fn code(self) -> u8 {
        match self {
            Self::Held => 0,
            Self::Loss => LOSS,
            Self::NothingTested => NOTHING_TESTED,
            Self::Unmountable => UNMOUNTABLE,
        }
    }
}

/// Returns the command of these words.
fn repeated(words: impl IntoIterator<Item = String>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| quoted(&word)).collect();
    format!("lose-lines {}", words.join(" "))
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
        Task::Dma(request) => dma::watch(&request),
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

/// Returns the words of the command line. Without a task, options and a program after `--` are for `files`.
fn command_line() -> Vec<OsString> {
    let mut words: Vec<_> = env::args_os().collect();
    let is_option = words.get(1).is_some_and(|word| word.as_encoded_bytes().starts_with(b"-"));
    if is_option && words.iter().any(|word| word == "--") {
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

/// The parts of this process's machines, in its own folder, and their log.
struct Machines {
    kit: Kit,
    name: String,
    log: Log,
    _work: Work,
}

impl Machines {
    /// Returns the parts of machines with persistent memory.
    fn with_memory() -> Result<Self> {
        if Architecture::HOST != Some(Architecture::X86) {
            bail!(
                "cut, restart and run need an x86-64 system, whose emulator loads the plugin; drive works here"
            );
        }
        Self::new()
    }

    fn new() -> Result<Self> {
        let cache = Cache::of_user()?;
        let work = Work::below(&cache.folder().join("machines"))?;
        let folder = work.folder().to_path_buf();
        let agent = agent(&folder)?;
        let kits = Kits::new(cache.clone(), Emulated::Host, folder.clone());
        let host = Architecture::HOST.context("there are no machines for this system")?;
        let kit = kits.kit(host, agent)?;
        // Its own: a folder of machines has a random name.
        let name = String::from("machine");
        let log = Log::create(&folder, &name)?;
        Ok(Self { kit, name, log, _work: work })
    }

    /// Does the work. After a failure the log is kept.
    fn finish<T>(mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        work(&mut self).map_err(|why| match self.log.keep() {
            Ok(kept) if !why.is::<Usage>() => {
                anyhow!("{why:#}\nthe log of the machines is {}", kept.display())
            }
            _ => why,
        })
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
    Machines::with_memory()?.finish(|Machines { kit, name, log, .. }| {
        let mut machine = dax_machine(kit, name, |files| found.add_to(files), log)?;
        let before = log.position()?;
        let given = program.environment.iter().map(|(name, value)| (&**name, &**value));
        let ended = machine.run_request(&found.request(&given.collect::<Vec<_>>()));
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
    let checked = Machines::with_memory()?.finish(|Machines { kit, name, log, .. }| {
        Restarted {
            kit,
            name,
            program: &found,
            check: &check,
            environment: &program.environment,
            by: *by,
            policy: checking.policy,
            seed,
            limit: Duration::from_secs(checking.limit),
        }
        .checked(log)
    })?;
    let Checked { acknowledged, dirty, lost, verdict } = &checked;
    let told = match verdict {
        Verdict::Right => String::from("the check succeeded"),
        Verdict::Unmountable { why } => format!("the file system was NOT MOUNTED: {why}"),
        Verdict::Failed(failure) => {
            format!("the check FAILED: it {}\n{}", failure.why, failure.shown())
        }
    };
    let text = format!(
        "seed {seed}: acknowledged {acknowledged}, {lost} of {dirty} dirty lines lost, {told}"
    );
    let mut document = json!(checked);
    document["seed"] = json!(seed);
    Form::of(checking.json).say("restart", &text, &document)?;
    let failures = usize::from(checked.failure().is_some());
    let unmountable = usize::from(matches!(verdict, Verdict::Unmountable { .. }));
    Ok(Outcome::of(failures, unmountable, *acknowledged > 0).code())
}

fn cut(request: &Cutting) -> Result<u8> {
    let Cutting { cuts, cut, lose, jobs, streaming, checking, program } = request;
    let (found, check) = (program.find()?, checking.command(program)?);
    let (seed, form) = (checking.seed()?, Form::of(checking.json));
    let mut failures = 0;
    let result = Machines::with_memory()?.finish(|Machines { kit, name, log, .. }| {
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
        progress("starting a machine; each cut then takes one to two seconds");
        let made = test.make(log)?;
        let cuts = if let Some(moment) = cut {
            vec![(*moment, seed)]
        } else {
            let counted = test.count(&made, log)?;
            say_counted(form, seed, &counted)?;
            counted.cuts(*cuts, seed)
        };
        let summary = cut_all(&test, &made, &cuts, (*jobs).into(), log, |number, outcome| {
            failures += usize::from(outcome.checked.failure().is_some());
            request.say(form, (number, cuts.len()), outcome)
        })?;
        form.say("summary", &summary, &summary)?;
        let unmountable = usize::try_from(summary.not_mounted).unwrap_or(usize::MAX);
        Ok(Outcome::of(failures, unmountable, cut.is_some() || summary.between > 0))
    });
    match result {
        // A failure that was found stays one, whatever failed later.
        Err(why) if failures > 0 => {
            progress(&format!("{why:#}"));
            Ok(LOSS)
        }
        result => result.map(Outcome::code),
    }
}

/// Reports the run that was not cut.
fn say_counted(form: Form, seed: u64, counted: &Counted) -> Result<()> {
    let Counted { counts, time, has_ended } = counted;
    let Counts { writebacks, fences, stores, calls } = counts;
    let seconds = time.as_secs_f64();
    let end = if *has_ended { "it succeeded" } else { "it did not end and was killed" };
    let text = format!(
        "without a cut, {end} after {seconds:.1} s; it made {stores} stores to mapped files, {writebacks} write-backs, \
         {fences} fences that completed some of them, and {calls} system calls that change files; seed {seed}"
    );
    let document =
        json!({ "counts": counts, "seconds": seconds, "has_ended": has_ended, "seed": seed });
    form.say("uncut", &text, &document)
}

impl Cutting {
    /// Reports a cut. `which` is its number, and that of all.
    fn say(&self, form: Form, which: (usize, usize), outcome: &crash::Outcome) -> Result<()> {
        let chosen = if outcome.fewest.is_empty() { &self.lose } else { &outcome.fewest };
        let repeating = self.repeating(outcome.moment, outcome.seed, chosen);
        let mut document = json!(outcome);
        document["repeat"] = json!(repeating);
        form.say("cut", &outcome.in_words(which, &repeating), &document)
    }

    /// Returns the command that repeats one cut.
    fn repeating(&self, moment: Moment, seed: u64, lose: &[u32]) -> String {
        let Self { streaming, checking, program, .. } = self;
        let Checking { check, policy, limit, .. } = checking;
        let lines: Vec<String> = lose.iter().map(u32::to_string).collect();
        let losses = if lines.is_empty() {
            vec![
                String::from("--seed"),
                seed.to_string(),
                String::from("--policy"),
                policy.to_string(),
            ]
        } else {
            vec![String::from("--lose"), lines.join(",")]
        };
        let mut words = vec![String::from("cut"), String::from("--cut"), moment.to_string()];
        words.extend(losses);
        words.extend([String::from("--limit"), limit.to_string()]);
        words.extend(streaming.then(|| String::from("--streaming")));
        words.extend(check.iter().flat_map(|check| [String::from("--check"), check.clone()]));
        repeated(words.into_iter().chain(program.words()))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use lose_lines::losses::{self, FENCE};

    use super::{Checking, Cli, Cutting, Moment, Outcome, Subject, Task};

    fn parsed(line: &str) -> Cutting {
        match Cli::try_parse_from(shlex::split(line).unwrap()).unwrap().task {
            Task::Cut(cut) => cut,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_file_system_that_cannot_be_mounted_is_no_loss_of_the_program() {
        assert_eq!(Outcome::of(0, 1, true).code(), 5);
        assert_eq!(Outcome::of(1, 1, true).code(), 1);
        assert_eq!(Outcome::of(0, 0, true).code(), 0);
        assert_eq!(Outcome::of(0, 0, false).code(), 4);
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
