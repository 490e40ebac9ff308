//! The checks of this workspace. Each step is one command, `cargo xtask STEP`; `cargo xtask ci` runs all steps.
//!
//! A step holds checks. Each check prints what it proves, runs, and leaves a row in the table at the end. A failure
//! does not stop the run. Checks that this machine cannot run (no server for a toolchain, no root for a package) are
//! skipped by name with the reason. The last line counts tests one by one, and a check that holds no tests as one.

extern crate alloc;

mod arrows;
mod asm;
mod c_development;
mod capi;
mod command;
mod fuzz;
mod host;
mod install;
mod interface;
mod lab;
mod libpmem;
mod links;
mod lint;
mod output;
mod package;
mod planted;
mod plot;
mod regressions;
mod report;
mod run;
mod targets;
mod toolchain;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::thread;

use anyhow::{Result, anyhow};
use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand};

use crate::host::Host;
use crate::report::Report;
use lose_lines::log::Log;

/// The checks of this workspace. Each is one command.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
    /// Take other compilers from Debian's packages, as if rustup's server were out of reach.
    #[arg(long, global = true)]
    without_rustup: bool,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run every step below.
    Ci,
    /// Run every step below, then the longer ones.
    Full(Full),
    /// Check the format of every Rust file in the tree.
    Fmt,
    /// Lint the workspace with each set of features.
    Clippy,
    /// Build the documentation without a warning, and follow the links of documents.
    Doc,
    /// Run the tests on this machine.
    Test,
    /// Put known defects back and check that a test notices each.
    Regressions,
    /// Run the benchmarks and check their answers.
    Bench,
    /// Build the library without the standard library.
    NoStd,
    /// Compile the library for other operating systems with every feature.
    Systems,
    /// Compile the library with the oldest supported compiler.
    Msrv,
    /// Run the tests under Miri, which finds undefined behaviour.
    Miri,
    /// Run the loom tests, which try the interleavings of threads.
    Loom,
    /// Fuzz the file formats, guided by coverage.
    Fuzz(fuzz::Request),
    /// Run the lab: check every claim on other CPUs and on whole machines.
    Lab(lab::request::Request),
    /// Compare the compiler's instructions with the reviewed ones.
    Asm(Golden),
    /// Build the libraries for C programs and install them.
    Capi(capi::Request),
    /// Draw the benchmark results of this machine as SVG under docs/figures.
    Plot,
    /// Check the contents of the package.
    Package,
    /// Check that the bare library has few dependencies.
    Tree,
    /// Check that no module of the library uses one further down.
    Arrows,
    /// Compare the public interface with the reviewed one.
    Interface(Golden),
}

#[derive(Debug, Args)]
struct Full {
    /// Run only these of the longer steps.
    #[arg(value_parser = PossibleValuesParser::new(LONGER.map(|(name, _)| without_task(name))))]
    steps: Vec<String>,
}

#[derive(Debug, Args)]
struct Golden {
    /// Rewrite the goldens, and do not compare with them.
    #[arg(long)]
    bless: bool,
}

type Step = (&'static str, fn(&Host, &mut Report) -> Result<()>);

const FMT: Step = ("fmt", lint::fmt);
const CLIPPY: Step = ("clippy", lint::clippy);
const DOC: Step = ("doc", lint::doc);
const TEST: Step = ("test", run::test);
const REGRESSIONS: Step = ("regressions", regressions::regressions);
const BENCH: Step = ("bench", run::bench);
const NO_STD: Step = ("no-std", targets::no_std);
const SYSTEMS: Step = ("systems", targets::systems);
const MSRV: Step = ("msrv", targets::msrv);
const MIRI: Step = ("miri", run::miri);
const LOOM: Step = ("loom", run::loom);
const LAB: Step = ("lab", lab::request::lab);
const ASM: Step = ("asm", asm::check_usual);
const PACKAGE: Step = ("package", package::package);
const TREE: Step = ("tree", package::tree);
const ARROWS: Step = ("arrows", arrows::arrows);
const INTERFACE: Step = ("interface", interface::check);

/// The steps that need seconds. Beside them Miri runs, which keeps one core busy.
const FIRST: [Step; 7] = [FMT, CLIPPY, DOC, PACKAGE, TREE, ARROWS, INTERFACE];
/// The steps that run beside the lab: each of them alone would leave a core idle.
const BESIDE_THE_LAB: [Step; 6] = [TEST, NO_STD, SYSTEMS, MSRV, LOOM, ASM];
/// Steps that only `full` runs: they take long and rarely fail.
const LONGER: [Step; 13] = [
    ("full demo", run::demo),
    ("full pairs", lint::pairs),
    ("full cases", run::test_long),
    ("full regressions", regressions::regressions),
    ("full bench", run::bench),
    ("full no-std", targets::no_std_elsewhere),
    ("full systems", targets::systems_with_tests),
    ("full asm", asm::check_elsewhere),
    ("full whole", lab::request::lab_whole),
    ("full fuzz", fuzz::fuzz),
    ("full package", package::package_builds),
    ("full long", lab::request::lab_long),
    ("full prove", lab::request::lab_prove),
];

/// Returns the name of a longer step as it is asked for.
fn without_task(name: &'static str) -> &'static str {
    name.strip_prefix("full ").unwrap_or(name)
}

/// Steps that run one after the other, and beside those of other columns.
type Column = Vec<Step>;

impl Task {
    /// Returns the stages of the run, one after the other: the columns of each run side by side.
    fn stages(&self) -> Vec<Vec<Column>> {
        let ci =
            || vec![vec![FIRST.to_vec(), vec![MIRI]], vec![vec![LAB], BESIDE_THE_LAB.to_vec()]];
        match self {
            Self::Ci => ci(),
            Self::Full(Full { steps }) if steps.is_empty() => {
                [ci(), vec![vec![LONGER.to_vec()]]].concat()
            }
            Self::Full(Full { steps }) => {
                let is_asked = |(name, _): &Step| steps.iter().any(|one| one == without_task(name));
                vec![vec![LONGER.into_iter().filter(is_asked).collect()]]
            }
            _ => vec![vec![self.step().into_iter().collect()]],
        }
    }

    /// Returns the step of a task that is one.
    fn step(&self) -> Option<Step> {
        match self {
            Self::Ci
            | Self::Full(_)
            | Self::Fuzz(_)
            | Self::Lab(_)
            | Self::Capi(_)
            | Self::Plot => None,
            Self::Fmt => Some(FMT),
            Self::Clippy => Some(CLIPPY),
            Self::Doc => Some(DOC),
            Self::Test => Some(TEST),
            Self::Regressions => Some(REGRESSIONS),
            Self::Bench => Some(BENCH),
            Self::NoStd => Some(NO_STD),
            Self::Systems => Some(SYSTEMS),
            Self::Msrv => Some(MSRV),
            Self::Miri => Some(MIRI),
            Self::Loom => Some(LOOM),
            Self::Asm(Golden { bless: true }) => Some(("asm", asm::bless)),
            Self::Asm(_) => Some(("asm", asm::check)),
            Self::Package => Some(PACKAGE),
            Self::Tree => Some(TREE),
            Self::Arrows => Some(ARROWS),
            Self::Interface(Golden { bless: true }) => Some(("interface", interface::bless)),
            Self::Interface(_) => Some(INTERFACE),
        }
    }
}

/// The steps of a run on this machine.
struct Steps<'a> {
    host: &'a Host,
}

impl Steps<'_> {
    /// Runs the columns of a stage side by side. The first one prints at once, and each step of the others at its end.
    fn run(&self, stage: &[Column], report: &mut Report) -> Result<()> {
        let Some((first, others)) = stage.split_first() else { return Ok(()) };
        thread::scope(|scope| {
            let others = others.iter().map(|column| scope.spawn(|| self.run_beside(column)));
            let others: Vec<_> = others.collect();
            first.iter().try_for_each(|step| self.run_one(*step, report))?;
            for other in others {
                let other = other.join().map_err(|_panic| anyhow!("a step ended by a panic"))?;
                report.append(other?);
            }
            Ok(())
        })
    }

    /// Runs a column with a log for each step.
    fn run_beside(&self, column: &[Step]) -> Result<Report> {
        let mut report = Report::new();
        for step in column {
            let log = Log::create(&self.host.target_dir("steps"), step.0)?;
            output::collected(log, || self.run_one(*step, &mut report))??;
        }
        Ok(report)
    }

    fn run_one(&self, (name, step): Step, report: &mut Report) -> Result<()> {
        report.begin(name);
        let Err(error) = step(self.host, report) else { return Ok(()) };
        report.check("preparation", "the prerequisites of the step are there", || Err(error))
    }
}

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    let host = Host::new(cli.without_rustup)?;
    if let Task::Capi(request) = &cli.task {
        capi::install(&host, request)?;
        return Ok(ExitCode::SUCCESS);
    }
    if matches!(cli.task, Task::Plot) {
        for path in plot::plot(&host)? {
            writeln!(io::stdout(), "{path}")?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut report = Report::new();
    if let Task::Lab(request) = &cli.task {
        report.begin("lab");
        if !lab::request::run(&host, &mut report, request)? {
            return Ok(ExitCode::SUCCESS);
        }
    }
    if let Task::Fuzz(request) = &cli.task {
        report.begin("fuzz");
        fuzz::run(&host, &mut report, request)?;
    }
    let steps = Steps { host: &host };
    cli.task.stages().iter().try_for_each(|stage| steps.run(stage, &mut report))?;
    Ok(if report.finish()? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
