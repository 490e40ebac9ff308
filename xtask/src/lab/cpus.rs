//! The library's tests and the command's report on CPUs that this machine does not have, under QEMU's
//! user emulation.
//!
//! The test programs are built once for each target. A lane runs the programs of its [`Scope`] on one model, and they
//! must pass. One of them, `chosen_here`, executes the chosen instructions, so that an instruction which the model
//! lacks ends it by SIGILL. It compares the choice with that of the model's [`Expectation`] (`CACHEMAINT_EXPECT`). It
//! also writes the report (`CACHEMAINT_REPORT`), which must be as the expectation demands. An emulator has no caches: a
//! lane proves the choice and that it executes, never that data became durable.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::Lab;
use super::expectation::{Expectation, FOLDER};
use super::lane::{Lane, Run};
use super::programs::{FEWER_CASES, LISTED, Linked, Program, Scope, built};
use super::targets::{I686, Model, TARGETS, Target};
use super::user_emulation::LIMIT;
use crate::command::{Check as _, Cmd};
use crate::report::{Finding, Tests};
use lose_lines::log::Log;
use lose_lines::unavailable::Unavailable;

pub(super) fn lanes() -> Vec<Lane> {
    let models =
        TARGETS.iter().flat_map(|target| target.models.iter().map(move |model| (target, model)));
    models.map(|(target, model)| lane(target, model)).chain([words()]).collect()
}

/// Returns the lane of every test with words of 32 bits: on this CPU, since no emulator is as fast.
fn words() -> Lane {
    let proves = "every test passes as a 32-bit program, on this machine's own CPU";
    Lane::new("cpu/i686", proves, |lab| {
        let programs = lab.static_tests(I686.triple, Scope::Everything)?;
        let lists =
            |program: &Program| Cmd::new(program.path.display().to_string()).arg("--list").read();
        lists(programs.named("chosen_here")?)
            .context("this machine runs no programs of 32 bits")
            .map_err(Unavailable::because)?;
        // The replacement of libpmem stores words, and asks the system with types, of their size.
        let libpmem = format!("test -p cachemaint-libpmem --lib {LISTED}");
        let libpmem = built(&lab.sources.cargo_static(I686.triple, &libpmem)?.read()?);
        let libpmem =
            libpmem.into_iter().map(|program| Cmd::new(program.path.display().to_string()));
        let tests: Vec<Cmd> = programs
            .runs()
            .map(|(program, arguments)| {
                with_fewer_cases(Cmd::new(program.path.display().to_string()))
                    .args(arguments)
                    .limit(LIMIT)
                    .folder(lab.sources.tree())
            })
            .chain(libpmem.map(|tests| tests.limit(LIMIT)))
            .collect();
        Ok(Box::new(move |log| {
            let (tests, failures) = run_each(&tests, log)?;
            Ok(Finding::of(tests, failures.join("\n")))
        }))
    })
}

fn lane(target: &'static Target, model: &'static Model) -> Lane {
    let name = format!("cpu/{}/{}", target.emulator, model.cpu);
    let proves = match model.scope {
        Some(_) => "the tests pass, the report is as in",
        None => "the report is as in",
    };
    let proves = format!("{proves} {FOLDER}/{}.json", model.expected);
    Lane::new(name.clone(), proves, move |lab| prepare(lab, &name, target, model))
}

fn prepare(
    lab: &Lab<'_>,
    name: &str,
    target: &'static Target,
    model: &'static Model,
) -> Result<Run> {
    let expectation = Expectation::read(lab.sources.tree(), model.expected)?;
    let choice = expectation.choice().with_context(|| model.expected)?;
    let ready = lab.targets.ready(lab.sources.host, target)?;
    let scope = model.scope.unwrap_or(Scope::Instructions);
    let programs = lab.programs.build(target.triple, Linked::Dynamic, scope, |line| {
        Ok(lab.sources.cargo(&ready.linking.compiler, line))
    })?;
    let written = report_file(lab, name)?;
    let run = |program: &Program, arguments: Vec<&str>| {
        let command = ready
            .on(model, &program.path.display().to_string())
            .args(arguments)
            .folder(lab.sources.tree())
            .env("CACHEMAINT_EXPECT", choice.clone())
            .env("CACHEMAINT_REPORT", written.display().to_string());
        with_fewer_cases(command)
    };
    let tests = match model.scope {
        Some(_) => programs.runs().map(|(program, arguments)| run(program, arguments)).collect(),
        None => vec![run(programs.named("chosen_here")?, vec![REPORTING])],
    };
    let checks = Checks { expectation, name: model.expected, written, tests };
    Ok(Box::new(move |log| checks.run(log)))
}

fn with_fewer_cases(command: Cmd) -> Cmd {
    FEWER_CASES.into_iter().fold(command, |command, (name, value)| command.env(name, value))
}

/// The test that writes the report.
const REPORTING: &str = "the_report_names_the_chosen_instructions";

/// Returns the path of a lane's report, which does not exist yet.
fn report_file(lab: &Lab<'_>, name: &str) -> Result<PathBuf> {
    let folder = lab.sources.work().join("reports");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let file = folder.join(format!("{}.json", name.replace('/', "-")));
    if file.exists() {
        fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
    }
    Ok(file)
}

/// The checks of a lane on its CPU.
struct Checks {
    expectation: Expectation,
    name: &'static str,
    /// The report, which one of the tests writes.
    written: PathBuf,
    tests: Vec<Cmd>,
}

impl Checks {
    /// Returns the differences of a report from the expectation, and the place of that.
    fn differences(&self, report: &str) -> Vec<String> {
        let mut differences = self.expectation.differences(report);
        if !differences.is_empty() {
            differences.push(format!("(expected by {FOLDER}/{}.json)", self.name));
        }
        differences
    }

    fn run(&self, log: &mut Log) -> Result<Finding> {
        let (tests, mut failures) = run_each(&self.tests, log)?;
        match fs::read_to_string(&self.written) {
            Ok(report) => failures.extend(self.differences(&report)),
            // A test that ended before has its own failure.
            Err(why) => failures.push(format!("no test wrote {}: {why}", self.written.display())),
        }
        Ok(Finding::of(tests, failures.join("\n")))
    }
}

/// Runs every program, also after one that fails. Returns their failures.
fn run_each(programs: &[Cmd], log: &mut Log) -> Result<(Tests, Vec<String>)> {
    let mut tests = Tests::default();
    let mut failures = Vec::new();
    for program in programs {
        let finding = program.check_in(log)?;
        if finding.tests().were_all_left_out() {
            failures.push(format!("`{program}` ran no test: its names match none"));
        }
        tests.add(finding.tests());
        failures.extend(finding.failure().map(str::to_owned));
    }
    if !tests.have_passed() {
        failures.push(String::from("no test ran"));
    }
    Ok((tests, failures))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Expectation, TARGETS};

    #[test]
    fn every_model_has_an_expectation_that_says_what_is_chosen() {
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for model in TARGETS.iter().flat_map(|target| target.models) {
            let choice = Expectation::read(tree, model.expected).unwrap().choice().unwrap();
            assert_eq!(choice.matches('=').count(), 4, "{choice}");
        }
    }
}
