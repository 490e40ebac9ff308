//! The checks of this workspace. Each step is one command, `cargo xtask STEP`; `cargo xtask ci`
//! runs them all.
//!
//! A step holds checks; each says what it proves, runs, and leaves a row in the table at the end. A
//! failure stops nothing. What this machine cannot run (no server for a toolchain, no root for a
//! package) is skipped by name with the reason. The last line counts tests one by one, and a check
//! that holds no tests as one.

extern crate alloc;

mod arrows;
mod asm;
mod budget;
mod changed;
mod command;
mod cost;
mod debian;
mod fuzz;
mod host;
mod interface;
mod lab;
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

/// The checks of this workspace, each one command.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
    /// Take other compilers from Debian's packages, as where rustup's server is out of reach.
    #[arg(long, global = true)]
    without_rustup: bool,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Every step below.
    Ci(Ci),
    /// Every step below, then the longer ones.
    Full,
    /// Every Rust file in the tree is formatted.
    Fmt,
    /// No lint, whichever features are on.
    Clippy,
    /// The documentation builds without a warning.
    Doc,
    /// The tests pass on this machine.
    Test,
    /// Defects that are put back are noticed.
    Regressions,
    /// The benchmarks run and their answers are right.
    Bench,
    /// The library builds without the standard library.
    NoStd,
    /// The library compiles for other operating systems, with every feature.
    Systems,
    /// The library compiles with the oldest compiler promised.
    Msrv,
    /// Miri finds no undefined behaviour.
    Miri,
    /// Every interleaving that loom tries is right.
    Loom,
    /// No input breaks a format: fuzzing, guided by coverage.
    Fuzz(fuzz::Request),
    /// The lab: every claim on other CPUs and on whole machines.
    Lab(lab::request::Request),
    /// Run a program inside a machine with a DAX file system: a runner for cargo.
    Machine(lab::runner::Program),
    /// The compiler makes the instructions that were reviewed.
    Asm(Golden),
    /// Draw what the benchmarks have measured here: SVG under docs/figures.
    Plot,
    /// The demonstration loses no acknowledged record.
    Demo,
    /// The package holds what it must.
    Package,
    /// The bare library depends on little.
    Tree,
    /// No room of the library uses one further down.
    Arrows,
    /// Check the English of comments, documents and messages, and the links of documents.
    Prose,
    /// The public interface is the one that was reviewed.
    Interface(Golden),
}

#[derive(Debug, Args)]
struct Ci {
    /// Only the steps and lanes that the changes since the main branch can have broken.
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
            Self::Fuzz(_) | Self::Lab(_) | Self::Machine(_) | Self::Plot => Vec::new(),
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

    /// Returns the checks that changes can have broken, if only these are asked for, and prints them.
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
            report.check("preparation", "what the step needs is there", || Err(error))?;
        }
    }
    Ok(if report.finish()? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
