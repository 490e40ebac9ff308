//! The checks of this workspace. Each step is one command, `cargo xtask STEP`; `cargo xtask ci` runs all steps.
//!
//! A step holds checks. Each check prints what it proves, runs, and leaves a row in the table at the end. A failure
//! does not stop the run. Checks that this machine cannot run (no server for a toolchain, no root for a package) are
//! skipped by name with the reason. The last line counts tests one by one, and a check that holds no tests as one.

extern crate alloc;

mod arrows;
mod asm;
mod budget;
mod c_development;
mod capi;
mod changed;
mod command;
mod cost;
mod debian;
mod fuzz;
mod host;
mod interface;
mod lab;
mod libpmem;
mod lint;
mod log;
mod package;
mod planted;
mod plot;
mod prose;
mod regressions;
mod report;
mod run;
mod targets;
mod toolchain;

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::changed::Affected;
use crate::host::Host;
use crate::report::Report;

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
    Ci(Ci),
    /// Run every step below, then the longer ones.
    Full,
    /// Check the format of every Rust file in the tree.
    Fmt,
    /// Lint the workspace with each set of features.
    Clippy,
    /// Build the documentation without a warning.
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
    /// Run a program inside a machine with a DAX file system, as a runner for cargo, or test it for crashes there.
    Machine(lab::runner::Request),
    /// Compare the compiler's instructions with the reviewed ones.
    Asm(Golden),
    /// Build the libraries for C programs and install them.
    Capi(capi::Request),
    /// Draw the benchmark results of this machine as SVG under docs/figures.
    Plot,
    /// Run the demo and check its records.
    Demo,
    /// Check the contents of the package.
    Package,
    /// Check that the bare library has few dependencies.
    Tree,
    /// Check that no module of the library uses one further down.
    Arrows,
    /// Check the English of comments, documents and messages, and the links of documents.
    Prose,
    /// Compare the public interface with the reviewed one.
    Interface(Golden),
}

#[derive(Debug, Args)]
struct Ci {
    /// Run only the steps and lanes that the changes since the main branch can have broken.
    #[arg(long)]
    changed: bool,
}

#[derive(Debug, Args)]
#[group(multiple = false)]
struct Golden {
    /// Compare with the goldens (the default).
    #[arg(long)]
    check: bool,
    /// Rewrite the goldens.
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
const ASM: Step = ("asm", asm::check);
const DEMO: Step = ("demo", run::demo);
const PACKAGE: Step = ("package", package::package);
const TREE: Step = ("tree", package::tree);
const ARROWS: Step = ("arrows", arrows::arrows);
const PROSE: Step = ("prose", prose::prose);
const INTERFACE: Step = ("interface", interface::check);

const CI: [Step; 19] = [
    FMT,
    CLIPPY,
    DOC,
    TEST,
    REGRESSIONS,
    BENCH,
    NO_STD,
    SYSTEMS,
    MSRV,
    MIRI,
    LOOM,
    LAB,
    ASM,
    DEMO,
    PACKAGE,
    TREE,
    ARROWS,
    PROSE,
    INTERFACE,
];
/// Steps that only `full` runs: they take long and rarely fail.
const LONGER: [Step; 8] = [
    ("full", lint::pairs),
    ("full", run::test_long),
    ("full", targets::systems_with_tests),
    ("full", lab::request::lab_whole),
    ("full", fuzz::fuzz),
    ("full", package::package_builds),
    ("full", lab::request::lab_long),
    ("full", lab::request::lab_prove),
];

impl Task {
    fn steps(&self) -> Vec<Step> {
        match self {
            Self::Fuzz(_) | Self::Lab(_) | Self::Machine(_) | Self::Capi(_) | Self::Plot => {
                Vec::new()
            }
            Self::Ci(_) => CI.to_vec(),
            Self::Full => CI.into_iter().chain(LONGER).collect(),
            Self::Fmt => vec![FMT],
            Self::Clippy => vec![CLIPPY],
            Self::Doc => vec![DOC],
            Self::Test => vec![TEST],
            Self::Regressions => vec![REGRESSIONS],
            Self::Bench => vec![BENCH],
            Self::NoStd => vec![NO_STD],
            Self::Systems => vec![SYSTEMS],
            Self::Msrv => vec![MSRV],
            Self::Miri => vec![MIRI],
            Self::Loom => vec![LOOM],
            Self::Asm(Golden { bless: true, .. }) => vec![("asm", asm::bless)],
            Self::Asm(_) => vec![ASM],
            Self::Demo => vec![DEMO],
            Self::Package => vec![PACKAGE],
            Self::Tree => vec![TREE],
            Self::Arrows => vec![ARROWS],
            Self::Prose => vec![PROSE],
            Self::Interface(Golden { bless: true, .. }) => vec![("interface", interface::bless)],
            Self::Interface(_) => vec![INTERFACE],
        }
    }

    /// Returns and prints the checks that changes can have broken, if only these are asked for.
    fn affected(&self) -> Result<Option<Affected>> {
        let Self::Ci(Ci { changed: true }) = self else { return Ok(None) };
        let affected = Affected::since_main()?;
        writeln!(io::stdout(), "{affected}")?;
        Ok(Some(affected))
    }
}

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    let host = Host::new(cli.without_rustup)?;
    if let Task::Machine(program) = &cli.task {
        return lab::runner::run(&host, program).map(ExitCode::from);
    }
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
    let affected = cli.task.affected()?;
    for (name, step) in cli.task.steps() {
        if affected.as_ref().is_some_and(|affected| !affected.has(name)) {
            continue;
        }
        report.begin(name);
        let ran = match &affected {
            Some(affected) if name == LAB.0 => {
                lab::request::lab_lanes(&host, &mut report, &affected.lanes)
            }
            _ => step(&host, &mut report),
        };
        if let Err(error) = ran {
            report
                .check("preparation", "the prerequisites of the step are there", || Err(error))?;
        }
    }
    Ok(if report.finish()? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
