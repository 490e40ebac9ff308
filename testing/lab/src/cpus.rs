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

use anyhow::{Context as _, Result, bail, ensure};
use lose_lines_machine::command::Cmd;
use lose_lines_machine::transcript::Transcript;
use xtask::absent::Lacks;
use xtask::counts::Tests;

use crate::cross::{LIMIT, Ready};
use crate::expectation::{Expectation, FOLDER};
use crate::lab::Lab;
use crate::lane::{Lane, Run};
use crate::programs::{FEWER_CASES, LISTED, Program, Programs, Scope, built};
use crate::targets::{I686, Model, TARGETS, Target};

pub(super) fn lanes() -> Vec<Lane> {
    let models =
        TARGETS.iter().flat_map(|target| target.models.iter().map(move |model| (target, model)));
    models.map(|(target, model)| lane(target, model)).chain([words()]).collect()
}

/// Returns the lane of every test with words of 32 bits: on this CPU, since no emulator is as fast.
fn words() -> Lane {
    Lane::new("cpu/i686", |lab| {
        let programs = lab.static_tests(I686.triple, Scope::Everything)?;
        let here = |program: &Program| Cmd::new(program.path.display().to_string()).limit(LIMIT);
        if let Err(why) = here(programs.named("chosen_here")?).arg("--list").read() {
            return Err(Lacks::Words32.error(why));
        }
        // The replacement of libpmem stores words, and asks the system with types, of their size.
        let libpmem = format!("test -p cachemaint-libpmem --lib {LISTED}");
        let libpmem = built(&lab.cargo_static(I686.triple, &libpmem)?.read()?);
        let tests: Vec<Cmd> = programs
            .runs()
            .map(|(program, arguments)| {
                with_fewer_cases(here(program)).args(arguments).folder(lab.tree())
            })
            .chain(libpmem.iter().map(here))
            .collect();
        Ok(Box::new(move |log| passed(&run_each(&tests, log)?)))
    })
}

fn lane(target: &'static Target, model: &'static Model) -> Lane {
    let name = format!("cpu/{}/{}", target.emulator, model.cpu);
    Lane::new(name.clone(), move |lab| prepare(lab, &name, target, model))
}

fn prepare(lab: &Lab, name: &str, target: &'static Target, model: &'static Model) -> Result<Run> {
    let expectation = Expectation::read(lab.tree(), model.expected)?;
    let choice = expectation.choice().with_context(|| model.expected)?;
    let ready = Ready::find(&lab.cache, target)?;
    let scope = model.scope.unwrap_or(Scope::Instructions);
    let cargo = |line: &str| Ok(lab.cargo(&ready.linking.compiler, line));
    let programs = Programs::build(target.triple, scope, cargo)?;
    let written = report_file(lab, name)?;
    let run = |program: &Program, arguments: Vec<&str>| {
        let command = ready
            .on(model, &program.path.display().to_string())
            .args(arguments)
            .folder(lab.tree())
            .env("CACHEMAINT_EXPECT", choice.clone())
            .env("CACHEMAINT_REPORT", written.display().to_string());
        with_fewer_cases(command)
    };
    let tests: Vec<Cmd> = match model.scope {
        Some(_) => programs.runs().map(|(program, arguments)| run(program, arguments)).collect(),
        None => vec![run(programs.named("chosen_here")?, vec![REPORTING])],
    };
    Ok(Box::new(move |log| {
        let mut failures = run_each(&tests, log)?;
        match fs::read_to_string(&written) {
            Ok(report) => failures.extend(expectation.differences(&report)),
            // A test that ended before has its own failure.
            Err(why) => failures.push(format!("no test wrote {}: {why}", written.display())),
        }
        passed(&failures).with_context(|| format!("expected by {FOLDER}/{}.json", model.expected))
    }))
}

fn with_fewer_cases(command: Cmd) -> Cmd {
    FEWER_CASES.into_iter().fold(command, |command, (name, value)| command.env(name, value))
}

/// The test that writes the report.
const REPORTING: &str = "the_report_names_the_chosen_instructions";

/// Returns the path of a lane's report, which does not exist yet.
fn report_file(lab: &Lab, name: &str) -> Result<PathBuf> {
    let folder = lab.work().join("reports");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let file = folder.join(format!("{}.json", name.replace('/', "-")));
    if file.exists() {
        fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
    }
    Ok(file)
}

/// Runs every program, also after one that fails. Returns their failures.
pub(super) fn run_each(programs: &[Cmd], log: &mut Transcript) -> Result<Vec<String>> {
    let mut all = Tests::default();
    let mut failures = Vec::new();
    for program in programs {
        let mut tests = Tests::default();
        let ending = program.watch_in(log, |line| tests.add_line(line))?;
        if ending.code != Some(0) {
            failures.push(format!("`{program}` {}", ending.told));
        } else if tests.were_all_left_out() {
            failures.push(format!("`{program}` ran no test: its names match none"));
        }
        all += tests;
    }
    ensure!(all.have_passed() || !failures.is_empty(), "no test ran");
    all.must_be_permitted()?;
    Ok(failures)
}

/// Fails with the failures, if there are any.
pub(super) fn passed(failures: &[String]) -> Result<()> {
    if failures.is_empty() { Ok(()) } else { bail!(failures.join("\n")) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Expectation, TARGETS};

    #[test]
    fn every_model_has_an_expectation_that_says_what_is_chosen() {
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        for model in TARGETS.iter().flat_map(|target| target.models) {
            let choice = Expectation::read(tree, model.expected).unwrap().choice().unwrap();
            assert_eq!(choice.matches('=').count(), 4, "{choice}");
        }
    }
}
