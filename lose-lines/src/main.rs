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
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use lose_lines::report::{Form, note as progress};
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
    Cut(crash::Cutting),
    /// Record the program's writes to an ordinary drive, and check states that a power cut could have left.
    Drive(drive::Driving),
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

/// The options that `files`, `drive` and `cut` share.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
struct Testing {
    /// The command line that checks a state, run without a shell. It must exit with 0 if the state is right. The variable
    /// PRINTED names a file with the lines that the program had printed before the cut [default: the program with its
    /// arguments].
    #[arg(long, value_name = "COMMAND LINE")]
    check: Option<String>,
    /// The seed for what is cut and lost [default: a random number].
    #[arg(long)]
    seed: Option<u64>,
    /// The time after which the program or a check counts as hanging and is killed.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    limit: u64,
    /// Check states of a program that fails or is ended by a signal, with files also of one that does not end.
    #[arg(long)]
    allow_failure: bool,
    /// Print each result at once, as one line of JSON with its kind in `event`.
    #[arg(long)]
    json: bool,
}

impl Testing {
    fn seed(&self) -> Result<u64> {
        self.seed.map_or_else(checked_seed_of_run, Ok)
    }

    const fn limit(&self) -> Duration {
        Duration::from_secs(self.limit)
    }

    const fn form(&self) -> Form {
        Form::of(self.json)
    }

    /// Returns the words of a command line with which a state is checked again.
    fn words(&self) -> Vec<String> {
        let limit = [String::from("--limit"), self.limit.to_string()];
        let check = self.check.iter().flat_map(|line| [String::from("--check"), line.clone()]);
        limit.into_iter().chain(check).collect()
    }
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

    /// Returns the check of a state.
    fn check(&self, testing: &Testing) -> Result<CommandLine, Usage> {
        testing.check.as_deref().map_or_else(|| self.find(), |line| self.line("--check", line))
    }

    /// Returns the command line of an option.
    fn line(&self, option: &str, line: &str) -> Result<CommandLine, Usage> {
        let found = CommandLine::find(line, &self.brought);
        found.map_err(|why| Usage(why.context(format!("{option} '{line}'"))))
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
    use super::Outcome;

    #[test]
    fn a_file_system_that_cannot_be_mounted_is_no_loss_of_the_program() {
        assert_eq!(Outcome::of(0, 1, true).code(), 5);
        assert_eq!(Outcome::of(1, 1, true).code(), 1);
        assert_eq!(Outcome::of(0, 0, true).code(), 0);
        assert_eq!(Outcome::of(0, 0, false).code(), 4);
    }
}
