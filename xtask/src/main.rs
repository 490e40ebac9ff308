//! The checks of this workspace. Each step is one command, `cargo xtask STEP`; `cargo xtask ci` runs those of each change,
//! and `cargo xtask full` all of them. The last line counts tests one by one, and a command that holds no tests as one.

extern crate alloc;

mod asm;
mod bless;
mod capi;
mod changed;
#[cfg(test)]
mod facts;
mod figures;
mod fuzz;
mod links;
mod release;
mod run;
mod suites;
mod targets;
mod text;

use core::fmt::Write as _;
use std::io;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use xtask::host::Host;

use crate::run::{Beside, Run};

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
    /// Build the libraries for C programs and install them.
    Capi(capi::Request),
    /// Prepare a release: versions, lock files, packages. Publishes nothing.
    Release(release::Request),
    /// Write the figures of the guide from the records in `docs/figures`.
    Figures,
    /// Rewrite all generated files that tests compare: machine code, public interface, figures, lists.
    Bless,
    /// Run the named steps.
    #[command(external_subcommand)]
    Steps(Vec<String>),
}

/// The name of a step, what it does, and its checks.
type Step = (&'static str, &'static str, fn(&Host, &mut Run) -> Result<()>);

/// The steps of each change. The columns run side by side. Miri and loom have folders of builds of their own, and wait for
/// no build of the first column.
const CI: [&[Step]; 2] = [
    &[
        ("fmt", "Check the format of every Rust file in the tree", text::fmt),
        ("spelling", "Check the spelling", text::spelling),
        ("clippy", "Lint the workspace", text::clippy),
        ("test", "Run the tests on this machine", suites::test),
        ("doc", "Build the documentation without warnings, and check its links", text::doc),
        ("no-std", "Build the library without the standard library", targets::no_std),
        ("msrv", "Compile the library with the oldest supported compiler", targets::msrv),
        ("asm", "Compare the generated machine code with the reviewed listings", asm::check),
        ("benches", "Run each benchmark once", suites::benches),
    ],
    &[
        ("miri", "Run the tests under Miri, which detects undefined behaviour", suites::miri),
        ("loom", "Run the loom tests, which try interleavings of threads", suites::loom),
        ("pausing", "Run tests with threads while atomics pause at random", suites::pausing),
        ("lanes", "Run the lanes of each change", suites::lanes_of_each_change),
        ("corpora", "Run the fuzzers on the inputs of their corpora", suites::corpora),
    ],
];

/// The other steps: they take long, or fail rarely if those of each change pass.
const FULL: [&[Step]; 2] = [
    &[
        ("lanes-all", "Run every lane", suites::all_lanes),
        ("defects", "Plant defects, and check that a test notices each", suites::defects),
        ("proofs", "Leave out each write-back and fence of the formats", suites::proofs),
        ("histories", "Run generated histories, and kill processes", suites::histories),
    ],
    &[
        ("deny", "Check the licences and advisories of dependencies", targets::deny),
        ("package", "Check the packages and the number of dependencies", targets::package),
        ("features", "Lint with each feature on its own", targets::features_alone),
        ("targets", "Build the library for other architectures", targets::no_std_elsewhere),
        ("systems", "Compile the library for other operating systems", targets::systems),
        ("members", "Run the tests of every member", suites::members),
        ("benches-all", "Run each benchmark once at its real sizes", suites::benches_at_size),
        ("book", "Build the guide as a book", text::book),
        ("guide", "Run the commands of the guide and of CONTRIBUTING.md", suites::guide),
        ("cases", "Run the property tests with many more cases", suites::cases),
        ("fuzzed", "Fuzz the file formats for a minute each", fuzz::fuzz),
    ],
];

/// Returns all steps.
fn steps() -> impl Iterator<Item = &'static Step> {
    CI.into_iter().chain(FULL).flatten()
}

/// Runs two columns of steps side by side.
fn run(host: &Host, [here, beside]: [&[Step]; 2], run: &mut Run) -> Result<()> {
    let names: Vec<&str> = beside.iter().map(|(name, ..)| *name).collect();
    let beside = Beside::start(host, &names)?;
    for (name, _, step) in here {
        run.step(name, |run| step(host, run))?;
    }
    beside.join(run)
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
    let host = &Host::new()?;
    let mut checks = Run::new(io::stdout());
    match &cli.task {
        Task::Ci => run(host, CI, &mut checks)?,
        Task::Full => {
            run(host, CI, &mut checks)?;
            run(host, FULL, &mut checks)?;
        }
        Task::Changed(request) => {
            checks.step("changed", |run| changed::run(host, run, request))?;
        }
        Task::Fuzz(request) => checks.step("fuzz", |run| fuzz::targets(host, run, request))?,
        Task::Capi(request) => return capi::install(host, request).map(|()| ExitCode::SUCCESS),
        Task::Release(request) => return release::run(host, request).map(|()| ExitCode::SUCCESS),
        Task::Figures => return figures::write(host.root()).map(|()| ExitCode::SUCCESS),
        Task::Bless => checks.step("bless", |run| bless::bless(host, run))?,
        Task::Steps(names) => {
            for name in names {
                let step = steps().find(|(known, ..)| known == name);
                let (.., step) = step.with_context(|| format!("no step is {name}: see --help"))?;
                checks.step(name, |run| step(host, run))?;
            }
        }
    }
    Ok(if checks.finish()? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::{CI, Cli, Task, steps};
    use clap::Parser as _;
    use pulldown_cmark::{Event, Parser};
    use std::fs;
    use std::path::Path;
    use xtask::command::Cmd;

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
    fn each_step_of_a_change_is_in_a_job() {
        let jobs = [
            include_str!("../../.github/workflows/checks.yml"),
            include_str!("../../.gitlab-ci.yml"),
        ];
        for (step, ..) in CI.into_iter().flatten() {
            for jobs in jobs {
                let mut words =
                    jobs.split(|letter: char| !letter.is_alphanumeric() && letter != '-');
                assert!(words.any(|word| word == *step), "no job has {step}");
            }
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
