//! The command `lose-lines`. In a machine this same program is the agent.

use core::fmt::Display;
use core::str::FromStr;
use core::time::Duration;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::builder::{StringValueParser, TypedValueParser};
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use lose_lines::check::Tested;
use lose_lines::report::{Report, note as progress};
use lose_lines::trial::Found;
use lose_lines_dma::Watching;
use lose_lines_machine::architecture::Architecture;
use lose_lines_machine::cache::{Cache, Work};
use lose_lines_machine::command::quoted;
use lose_lines_machine::elf;
use lose_lines_machine::emulator::Emulated;
use lose_lines_machine::initramfs::Initramfs;
use lose_lines_machine::kit::{Kit, Kits};
use lose_lines_machine::losses::checked_seed_of_run;
use lose_lines_machine::program::{CommandLine, HostProgram};
use lose_lines_machine::transcript::Transcript;
use lose_lines_plugin::policy::Policy;
use lose_lines_states::Model;

#[path = "crash/arguments.rs"]
mod crash;
#[path = "drive/arguments.rs"]
mod drive;
#[path = "files/arguments.rs"]
mod files;

/// The exit codes.
const LOSS: u8 = 1;
const USAGE: u8 = 2;
const IMPOSSIBLE: u8 = 3;
const NOTHING_TESTED: u8 = 4;
const UNMOUNTABLE: u8 = 5;

const FORGOTTEN_FLUSH: &str = include_str!("../examples/forgotten_flush.c");
const FORGOTTEN_FSYNC: &str = include_str!("../examples/forgotten_fsync.c");

const AFTER_HELP: &str = "\
files records the system calls of a program on this system; it needs no emulator. The others run
the program in the emulator QEMU, with the libraries that it is linked to. It must create
its files in its working directory or in TMPDIR: both are on the file system under test. For cut,
that is ext4 with DAX, which supports MAP_SYNC. They need Debian 12 or 13, or an Ubuntu that has
QEMU 10, and its packages e2fsprogs (for xfs and btrfs: xfsprogs, btrfs-progs), but neither root
nor KVM. cut needs x86-64. On arm64, files and drive compile, and have never been run.

Exit codes: 0 no loss, 1 the check found a loss, 2 usage, 3 the test could not be run, its
recording is incomplete, or the program or the check fails without a loss, 4 no cut came after a
line that the program had printed, so the check proved nothing, 5 no check failed, but the file
system of some states cannot be mounted.

A program that writes and fsyncs, by its system calls, and on an ordinary drive:
  lose-lines example fsync > forgets.c # a program that forgets to sync a directory
  cc -g -O2 forgets.c -o forgets
  lose-lines files --seed 3 --check './forgets check' -- ./forgets update
  lose-lines drive --seed 3 --check './forgets check' -- ./forgets update

A program that maps persistent memory:
  lose-lines example > forgets.c       # a program that forgets one write-back
  cc -g -O2 forgets.c -o forgets
  lose-lines cut --seed 3 --check './forgets check' -- ./forgets update
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
    Cut(Box<crash::Cutting>),
    /// Record the program's writes to an ordinary drive, and check states that a power cut could have left.
    Drive(Box<drive::Driving>),
    /// Run an unmodified image in an emulator whose devices do not see the CPUs' cache, and report missing maintenance.
    Dma(Watching),
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

/// The options of `files`, `drive` and `cut`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
struct Testing {
    /// The command line that checks a state, run without a shell. It must exit with 0 if the state is right. The variable
    /// PRINTED names a file with the lines that the program had printed before the cut [default: the program with its
    /// arguments].
    #[arg(long, value_name = "COMMAND LINE")]
    check: Option<String>,
    /// The file system: ext4, xfs or btrfs; for cut ext4. files has their rules, and also ext4-ordered and posix, which
    /// +512, +garbage and +steps weaken further; repeat the option for several [default: ext4; for files that of the
    /// directory, and then posix, which only warns].
    #[arg(long = "model", visible_alias = "fs", value_name = "FILE SYSTEM")]
    models: Vec<Model>,
    /// The number of states to choose by seed; files adds those just after each printed line and at the end. Equal states
    /// are checked once [default: for files 1000, for drive 200, for cut 10].
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    states: Option<u64>,
    /// The seed for what is cut and lost [default: a random number].
    #[arg(long)]
    seed: Option<u64>,
    /// The number of checks to run in parallel [default: for files the number of CPUs, otherwise 1: each is a machine that
    /// takes one CPU and up to 1 GiB of memory].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// The time after which the program or a check counts as hanging and is killed.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Check states of a program that fails, is ended by a signal, or does not end.
    #[arg(long)]
    allow_failure: bool,
    /// Keep the recording in this file [default: after a failure, one in TMPDIR, which the next failure replaces; cut: none].
    #[arg(long, value_name = "FILE", value_parser = path())]
    keep: Option<PathBuf>,
    /// Check states of this recording, without making a new one.
    #[arg(long, value_name = "FILE", value_parser = path(), conflicts_with = "keep")]
    log: Option<PathBuf>,
    /// Check this one state, as a report names it: CUT:SEED:KEPT or CUT:lose:LOST+LOST. files and drive need its --log.
    #[arg(long, conflicts_with_all = ["states", "seed"])]
    state: Option<String>,
    /// Print each result at once, as one line of JSON with its kind in `event`.
    #[arg(long)]
    json: bool,
    /// Write a report in the format of `JUnit`.
    #[arg(long, value_name = "FILE", value_parser = path())]
    junit: Option<PathBuf>,
    /// A variable for the environment of program and check.
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    environment: Vec<(String, String)>,
    /// The program, by its path or by its name in PATH, and its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required_unless_present = "log")]
    program: Vec<String>,
}

impl Testing {
    fn limit(&self) -> Duration {
        Duration::from_secs(self.limit.into())
    }

    /// Returns the number of states to choose.
    fn states(&self, default: usize) -> usize {
        self.states.map_or(default, |states| usize::try_from(states).unwrap_or(usize::MAX))
    }

    /// Returns the number of machines that check in parallel.
    fn machines(&self) -> usize {
        self.jobs.unwrap_or(1).into()
    }

    /// Returns the state to check, if one is given.
    fn state<C: FromStr<Err = String>>(&self) -> Result<Option<C>, Usage> {
        let state = self.state.as_deref().map(str::parse).transpose();
        state.map_err(|why| Usage(anyhow!("--state {why}")))
    }

    /// Refuses a state without the recording that has it.
    fn needs_log(&self) -> Result<(), Usage> {
        if self.state.is_some() && self.log.is_none() {
            return Err(Usage(anyhow!("--state needs the recording of the state; pass --log")));
        }
        Ok(())
    }

    /// Returns the words of the command that checks the program.
    fn check(&self) -> Result<Vec<String>, Usage> {
        let words = match &self.check {
            Some(line) => shlex::split(line).ok_or_else(|| {
                Usage(anyhow!("--check '{line}': a quotation mark is not closed"))
            })?,
            None => self.program.clone(),
        };
        if words.is_empty() {
            return Err(Usage(anyhow!("there is nothing to check with; pass --check")));
        }
        Ok(words)
    }

    /// Returns the name of the program, for its recording.
    fn name(&self) -> &Path {
        Path::new(self.program.first().map_or("program", |name| name))
    }

    /// Returns the command that repeats a state. `more` are further options.
    fn repeating(
        &self,
        command: &str,
        log: Option<&Path>,
        (model, state): (impl Display, impl Display),
        more: &[String],
    ) -> String {
        let log = log.map(|log| ("--log", log.display().to_string()));
        let (model, state) = (model.to_string(), state.to_string());
        let options = [("--model", model), ("--state", state), ("--limit", self.limit.to_string())];
        let options = log.into_iter().chain(options);
        let options = options.chain(self.check.iter().map(|line| ("--check", line.clone())));
        let environment = self.environment.iter().map(|(name, value)| format!("{name}={value}"));
        let options = options.chain(environment.map(|variable| ("--env", variable)));
        let options = options.flat_map(|(name, value)| [name.to_owned(), value]);
        let mut words = vec![String::from("lose-lines"), command.to_owned()];
        words.extend(options.chain(more.iter().cloned()));
        if !self.program.is_empty() {
            words.push(String::from("--"));
            words.extend(self.program.iter().cloned());
        }
        words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
    }
}

/// The options of `drive` and `cut`, which run machines.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
struct Machined {
    /// Which writes, or lines, survive a cut, of those that are not durable.
    #[arg(long, value_enum, default_value_t = Policy::Any)]
    policy: Policy,
    /// A command line that makes the initial files. Whatever it leaves is durable.
    #[arg(long, value_name = "COMMAND LINE")]
    prepare: Option<String>,
    /// A file that the program opens or starts, such as a library or another program, or a directory with everything
    /// below it. Linked libraries are added too. It has the same path in the machine, or /lab/host/NAME if that is
    /// hidden there.
    #[arg(long = "bring", value_name = "PATH", value_parser = path())]
    brought: Vec<PathBuf>,
}

impl Machined {
    /// Returns the program under test in machines.
    fn tested<'a>(&self, testing: &Testing, kit: &'a Kit, name: &'a str) -> Result<Tested<'a>> {
        let find = |words: &[String]| {
            let (program, arguments) = words.split_first().context("pass a program")?;
            let found = HostProgram::find(Path::new(program), &self.brought)?;
            anyhow::Ok(found.with(arguments.to_vec()))
        };
        let line = |option: &'static str, line: &Option<String>| {
            let found = line.as_deref().map(|line| CommandLine::find(line, &self.brought));
            found.transpose().with_context(|| option)
        };
        let found = || {
            let check = match line("--check", &testing.check)? {
                Some(check) => check,
                None => find(&testing.check()?)?,
            };
            // Without a program, there is a recording.
            let program =
                if testing.program.is_empty() { check.clone() } else { find(&testing.program)? };
            anyhow::Ok((program, check, line("--prepare", &self.prepare)?))
        };
        let (program, check, prepare) = found().map_err(Usage)?;
        Ok(Tested {
            kit,
            name,
            program,
            check,
            prepare,
            environment: testing.environment.clone(),
            limit: testing.limit(),
            may_fail: testing.allow_failure,
        })
    }

    /// Returns the words with which a state is checked again.
    fn words(&self) -> Vec<String> {
        let prepare = self.prepare.iter().map(|line| ("--prepare", line.clone()));
        let brought = self.brought.iter().map(|file| ("--bring", file.display().to_string()));
        prepare.chain(brought).flat_map(|(name, value)| [name.to_owned(), value]).collect()
    }
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

impl Display for Usage {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

impl core::error::Error for Usage {}

/// Says that a recording is kept.
fn kept(log: &Path) -> String {
    format!("the recording is kept; use it again: --log {}", log.display())
}

/// Runs a test, and returns its exit code. A failure that was found stays one, whatever fails later.
fn tested(
    command: &'static str,
    testing: &Testing,
    test: impl FnOnce(&mut Report) -> Result<Found>,
) -> Result<u8> {
    let seed = testing.seed.map_or_else(checked_seed_of_run, Ok)?;
    let mut report = Report::new(command, testing.json, seed);
    let found = test(&mut report);
    let saved = testing.junit.as_deref().map_or(Ok(()), |path| report.save(path));
    let found = match found.and_then(|found| saved.map(|()| found)) {
        Err(why) if report.has_failed() => {
            progress(&format!("{why:#}"));
            return Ok(LOSS);
        }
        found => found?,
    };
    Ok(code(&found, testing.state.is_some()))
}

/// Returns the exit code of a test, after telling one that proved nothing.
fn code(found: &Found, is_chosen: bool) -> u8 {
    match found {
        Found { failed: 1.., .. } => LOSS,
        Found { unmountable: 1.., .. } => UNMOUNTABLE,
        Found { between: 0, .. } if !is_chosen => {
            progress(
                "no state came after a printed line, so the checks prove nothing; print a line to standard output when data \
                 must be there from then on, flush it, and write more after it",
            );
            NOTHING_TESTED
        }
        _ => 0,
    }
}

fn main() -> Result<ExitCode> {
    // The kernel starts its first program before anything mounts /proc; in a container it is mounted.
    if process::id() == 1 && !Path::new("/proc/self").exists() {
        match lose_lines_agent::serve(|_request| bail!("this agent serves no other requests"))? {}
    }
    let task = match Cli::try_parse_from(command_line()) {
        Ok(Cli { task }) => task,
        Err(why) => return not_parsed(&why),
    };
    let code = match task {
        Task::Files(request) => files::files(&request),
        Task::Cut(request) => crash::cut(&request),
        Task::Drive(request) => drive::drive(&request),
        Task::Dma(request) => dma(&request),
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
        if why.is::<Usage>() { USAGE } else { IMPOSSIBLE }
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
    let first = env::args_os().nth(1).unwrap_or_default();
    let is_task = Cli::command().find_subcommand(&first).is_some();
    if why.use_stderr() && !is_task && env::args_os().all(|word| word != "--") {
        progress("-- is missing before the program: lose-lines [OPTIONS] -- PROGRAM [ARGUMENTS]");
    }
    Ok(ExitCode::from(if why.use_stderr() { USAGE } else { 0 }))
}

/// The parts of this process's machines, in its own folder, and their log.
struct Machines {
    kit: Kit,
    name: String,
    log: Transcript,
    _work: Work,
}

impl Machines {
    /// Returns the parts of machines with persistent memory.
    fn with_memory() -> Result<Self> {
        if Architecture::HOST != Some(Architecture::X86) {
            bail!("cut needs an x86-64 system, whose emulator loads the plugin; drive works here");
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
        let log = Transcript::create(&folder, &name)?;
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

/// Runs an image, and reports the maintenance that it lacks.
fn dma(request: &Watching) -> Result<u8> {
    let report = request.test().map_err(Usage)?.run()?;
    let mut out = io::stdout();
    if request.is_json() {
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
    } else {
        write!(out, "{report}")?;
    }
    if !report.has_tested() {
        let coherent = if report.count("fw_cfg") > 0 {
            " but fw_cfg, which is coherent by definition"
        } else {
            ""
        };
        progress(&format!(
            "no device{coherent} got cacheable memory, so nothing was tested: the guest did not get as far as its devices, \
             takes them for coherent (for Linux give --dtb-noncoherent, and iommu_platform=on to each virtio device), uses the \
             legacy interface of virtio on PCI (give disable-legacy=on), or has them behind an IOMMU (give --hooks)"
        ));
        return Ok(NOTHING_TESTED);
    }
    Ok(if report.findings.is_empty() { 0 } else { LOSS })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use lose_lines::trial::Found;
    use lose_lines_drive::file_system::FileSystem;
    use lose_lines_states::Model;

    use super::{Cli, Machined, Task, Testing, code};

    #[test]
    fn a_file_system_that_cannot_be_mounted_is_no_loss_of_the_program() {
        let found = |failed, unmountable, between| Found {
            failed,
            unmountable,
            between,
            ..Found::default()
        };
        assert_eq!(code(&found(0, 1, 1), false), 5);
        assert_eq!(code(&found(1, 1, 1), false), 1);
        assert_eq!(code(&found(0, 0, 1), false), 0);
        assert_eq!(code(&found(0, 0, 0), false), 4);
        assert_eq!(code(&found(0, 0, 0), true), 0);
    }

    fn parsed(line: &str) -> Task {
        Cli::try_parse_from(shlex::split(line).unwrap()).unwrap().task
    }

    fn shared(task: &Task) -> (&Testing, Option<&Machined>) {
        match task {
            Task::Files(files) => (&files.testing, None),
            Task::Drive(drive) => (&drive.testing, Some(&drive.machined)),
            Task::Cut(cut) => (&cut.testing, Some(&cut.machined)),
            other => panic!("{other:?}"),
        }
    }

    /// Each command with the same options, and a state of its own.
    #[test]
    fn the_three_commands_have_one_grammar_and_repeat_a_state_by_it() {
        let options = "--check '/bin/sh -c \"a b\"' --model ext4 --states 7 --seed 3 --jobs 2 --limit 9 --allow-failure --keep k \
                       --json --junit j --env 'A=b c' -- /bin/sh -c 'c --state d' --json";
        let mut all = Vec::new();
        for (command, state, more) in [
            ("files", "7:lose:3+5", ""),
            ("drive", "7:lose:3+5", "--unit 4096 --tear-journal --bring /lib/a.so --prepare p"),
            ("cut", "fence:18:lose:3+5", "--streaming --bring /lib/a.so --prepare p"),
        ] {
            let task = parsed(&format!("lose-lines {command} {more} {options}"));
            let repeated = match &task {
                Task::Files(files) => files.repeating("/a log".as_ref(), Model::Ext4, state),
                Task::Drive(drive) => drive.repeating("/a log".as_ref(), FileSystem::Ext4, state),
                Task::Cut(cut) => cut.repeating(state),
                other => panic!("{other:?}"),
            };
            let again = parsed(&repeated);
            let ((first, machined), (again, machined_again)) = (shared(&task), shared(&again));
            assert_eq!(again.state.as_deref(), Some(state));
            assert_eq!(again.log.is_some(), command != "cut");
            assert_eq!(machined, machined_again);
            let kept = Testing { log: None, state: None, ..again.clone() };
            let of_the_state = Testing {
                states: None,
                seed: None,
                jobs: None,
                allow_failure: false,
                keep: None,
                json: false,
                junit: None,
                ..first.clone()
            };
            assert_eq!(kept, of_the_state, "{repeated}");
            all.push(first.clone());
        }
        assert!(all.iter().all(|testing| *testing == all[0]));
        assert_eq!(all[0].program, ["/bin/sh", "-c", "c --state d", "--json"]);
    }

    #[test]
    fn the_check_is_optional_for_each_command() {
        for command in ["files", "drive", "cut"] {
            let task = parsed(&format!("lose-lines {command} -- ./a b"));
            assert_eq!(shared(&task).0.check().unwrap(), ["./a", "b"]);
        }
    }
}
