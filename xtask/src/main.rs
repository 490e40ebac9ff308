//! The checks of this workspace. Each step is one command, `cargo xtask STEP`; `cargo xtask ci` runs those of each change,
//! and `cargo xtask full` all of them.
//!
//! A step holds checks. Each check prints what it proves, runs, and leaves a row in the table at the end. A failure
//! does not stop the run. A check that this machine cannot run (no rustup, no root for a package) is skipped with the
//! reason. `skips.rs` lists the permitted reasons; on CI any other fails. The last line counts tests one by one, and a
//! check that holds no tests as one.

extern crate alloc;

mod asm;
mod bless;
mod c_development;
mod capi;
mod changed;
mod command;
mod figures;
mod fuzz;
mod host;
mod install;
mod lab;
mod libpmem;
mod links;
mod output;
mod packages;
mod planted;
mod regressions;
mod release;
mod report;
mod run;
mod skips;
mod targets;
mod text;
mod toolchain;

use core::fmt::Write as _;
use std::process::ExitCode;
use std::thread;

use anyhow::{Context as _, Result, anyhow};
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::host::Host;
use crate::report::Report;
use lose_lines::log::Log;

/// Runs the checks of this workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run the steps that every change must pass.
    Ci,
    /// Run every step.
    Full,
    /// Check the crates that a change touches and the crates that depend on them.
    Changed(changed::Request),
    /// Fuzz the file formats.
    Fuzz(fuzz::Request),
    /// Run the lab: check claims on emulated CPUs and machines.
    Lab(lab::request::Request),
    /// Build the libraries for C programs and install them.
    Capi(capi::Request),
    /// Prepare a release: versions, lock files, packages. Publishes nothing.
    Release(release::Request),
    /// Write the figures of the guide and the README from the records in `docs/figures`.
    Figures,
    /// Rewrite all generated files that tests compare: machine code, public interface, figures, lists.
    Bless,
    /// Run the named steps.
    #[command(external_subcommand)]
    Steps(Vec<String>),
}

/// The name of a step, what it does, and its checks.
type Step = (&'static str, &'static str, fn(&Host, &mut Report) -> Result<()>);

/// The steps of each change. The columns run side by side, with folders of builds of their own.
const CI: [&[Step]; 2] = [
    &[
        ("fmt", "Check the format of every Rust file in the tree", text::fmt),
        ("spelling", "Check the spelling", text::spelling),
        ("clippy", "Lint the workspace", text::clippy),
        ("test", "Run the tests on this machine", run::test),
        ("doc", "Build the documentation without warnings, and check its links", text::doc),
        ("no-std", "Build the library without the standard library", targets::no_std),
        ("msrv", "Compile the library with the oldest supported compiler", targets::msrv),
    ],
    &[
        ("lanes", "Run one lab lane of each kind", lab::request::one_of_each_kind),
        ("miri", "Run the tests under Miri, which detects undefined behaviour", run::miri),
        ("loom", "Run the loom tests, which try interleavings of threads", run::loom),
    ],
];

/// The other steps: they take long, or fail rarely if those of each change pass.
const FULL: [&[Step]; 2] = [
    &[
        ("lanes-all", "Run every lab lane", lab::request::all),
        ("prove", "Plant defects, and check that a lane notices each", lab::prove::prove),
    ],
    &[
        ("asm", "Compare the generated machine code with the reviewed listings", asm::check),
        ("package", "Check the packages and the number of dependencies", packages::package),
        ("features", "Lint with each feature on its own", targets::features_alone),
        ("targets", "Build the library for other architectures", targets::no_std_elsewhere),
        ("systems", "Compile the library for other operating systems", targets::systems),
        ("members", "Run the tests and benchmarks of every member", run::members),
        ("guide", "Run the commands of the guide and of CONTRIBUTING.md", run::guide),
        ("cases", "Run the property tests with many more cases", run::cases),
        (
            "regressions",
            "Put fixed defects back, and check that a test notices each",
            regressions::regressions,
        ),
        ("fuzzed", "Fuzz the file formats for a minute each", fuzz::fuzz),
    ],
];

/// Returns all steps.
fn steps() -> impl Iterator<Item = &'static Step> {
    CI.into_iter().chain(FULL).flatten()
}

/// Runs columns of steps side by side. The first one prints at once, and each step of the others at its end.
fn run(host: &Host, columns: &[&[Step]], report: &mut Report) -> Result<()> {
    let Some((first, others)) = columns.split_first() else { return Ok(()) };
    thread::scope(|scope| {
        let others = others.iter().map(|column| scope.spawn(move || run_beside(host, column)));
        let others: Vec<_> = others.collect();
        first.iter().try_for_each(|step| run_one(host, step, report))?;
        for other in others {
            let other = other.join().map_err(|_panic| anyhow!("a step ended by a panic"))?;
            report.append(other?);
        }
        Ok(())
    })
}

/// Runs a column with a log for each step.
fn run_beside(host: &Host, column: &[Step]) -> Result<Report> {
    let mut report = Report::new();
    for step in column {
        let log = Log::create(&host.target_dir("steps"), step.0)?;
        output::collected(log, || run_one(host, step, &mut report))??;
    }
    Ok(report)
}

fn run_one(host: &Host, (name, _, step): &Step, report: &mut Report) -> Result<()> {
    report.begin(name);
    let Err(error) = step(host, report) else { return Ok(()) };
    report.check("preparation", "the prerequisites of the step are there", || Err(error))
}

fn parsed() -> Result<Cli> {
    let mut help = String::from("Steps:\n");
    for (name, does, _) in steps() {
        writeln!(help, "  {name:12} {does}")?;
    }
    Ok(Cli::from_arg_matches(&Cli::command().after_help(help).get_matches())?)
}

fn main() -> Result<ExitCode> {
    let cli = parsed()?;
    let host = Host::new()?;
    let mut report = Report::new();
    match &cli.task {
        Task::Ci => run(&host, &CI, &mut report)?,
        Task::Full => {
            run(&host, &CI, &mut report)?;
            run(&host, &FULL, &mut report)?;
        }
        Task::Changed(request) => {
            report.begin("changed");
            changed::run(&host, &mut report, request)?;
        }
        Task::Fuzz(request) => {
            report.begin("fuzz");
            fuzz::run(&host, &mut report, request)?;
        }
        Task::Lab(request) => {
            report.begin("lab");
            if !lab::request::run(&host, &mut report, request)? {
                return Ok(ExitCode::SUCCESS);
            }
        }
        Task::Capi(request) => return capi::install(&host, request).map(|()| ExitCode::SUCCESS),
        Task::Release(request) => return release::run(&host, request).map(|()| ExitCode::SUCCESS),
        Task::Figures => return figures::write(host.root()).map(|()| ExitCode::SUCCESS),
        Task::Bless => {
            report.begin("bless");
            bless::bless(&host, &mut report)?;
        }
        Task::Steps(names) => {
            for name in names {
                let step = steps().find(|(known, ..)| known == name);
                let step = step.with_context(|| format!("there is no step {name}: see --help"))?;
                run_one(&host, step, &mut report)?;
            }
        }
    }
    Ok(if report.finish()? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::{Cli, Task, steps};
    use crate::command::Cmd;
    use clap::Parser as _;
    use pulldown_cmark::{Event, Parser};
    use std::fs;
    use std::path::Path;

    /// Returns the error of a command `cargo xtask …`, if it has one.
    fn error(command: &str) -> Option<String> {
        let parts = command.split('\'').enumerate();
        let words = parts.flat_map(|(number, part)| match number % 2 {
            0 => part.split_whitespace().collect(),
            _ => vec![part],
        });
        match Cli::try_parse_from(words.skip(1)).map(|cli| cli.task) {
            Err(help) if help.exit_code() == 0 => None,
            Err(error) => Some(error.to_string()),
            Ok(Task::Steps(names)) => {
                names.into_iter().find(|name| steps().all(|(step, ..)| step != name))
            }
            Ok(_) => None,
        }
    }

    #[test]
    fn each_command_of_xtask_in_a_document_exists() {
        assert!(error("cargo xtask full miri").is_some() && error("cargo xtask no-step").is_some());
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let git = Cmd::new("git").words("-c safe.directory=* ls-files -- *.md").folder(tree);
        let mut count = 0;
        for page in git.read().unwrap().lines() {
            let text = fs::read_to_string(tree.join(page)).unwrap_or_default();
            let shown = Parser::new(&text).filter_map(|event| match event {
                Event::Code(code) | Event::Text(code) => Some(code),
                _ => None,
            });
            for code in shown {
                let joined = code.replace("\\\n", " ");
                let commands =
                    joined.lines().map(|line| line.split('#').next().unwrap_or_default());
                for command in commands.filter(|line| line.starts_with("cargo xtask ")) {
                    assert_eq!(error(command.trim()), None, "{page}: {command}");
                    count += 1;
                }
            }
        }
        assert!(count > 20, "{count} commands were found");
    }
}
