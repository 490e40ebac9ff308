//! The library's own tests inside a machine, with their files on a DAX file system.

use core::time::Duration;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde_json::Value;

use super::{DIRECTORY, dax_machine};
use crate::lab::cpus::{SAME_ON_EVERY_CPU, TOO_LONG};
use crate::lab::kit::Architecture;
use crate::lab::machine::{Machine, Setup};
use crate::lab::{Lab, Lane};
use crate::report::Finding;
use crate::run::skipping;

/// For all of them: emulation is slow.
pub(super) const LIMIT: Duration = Duration::from_secs(400);

pub(super) fn lanes() -> Vec<Lane> {
    let name = "machine/x86_64/tests-on-dax";
    vec![Lane::new(name, "the library's tests pass with their files on DAX", move |lab| {
        let kit = lab.kit(Architecture::X86)?;
        let tests = lab.static_tests(Architecture::X86)?;
        Ok(Box::new(move |log| {
            let files: Vec<(String, &PathBuf)> = places(&tests).collect();
            let mut machine = dax_machine(&kit, name, &files, log)?;
            let finding = run_tests(&mut machine, &tests, DIRECTORY, None)?;
            machine.power_off()?;
            Ok(finding)
        }))
    })]
}

/// A machine that has these test programs in it.
pub(super) fn setup_for_tests(name: &str, board: &str, memory: &str, tests: &[PathBuf]) -> Setup {
    let mut setup = Setup::new(name, board, memory);
    setup.limit = LIMIT;
    for (place, program) in places(tests) {
        setup.files.file(&place, program);
    }
    setup
}

/// Each program with its path in the machine.
fn places(tests: &[PathBuf]) -> impl Iterator<Item = (String, &PathBuf)> {
    tests.iter().enumerate().map(|(number, program)| (format!("/lab/test-{number}"), program))
}

/// Runs the test programs that the machine has in it, with their files below `directory`; if `choice` is
/// given, the test `chosen_here` demands it.
pub(super) fn run_tests(
    machine: &mut Machine,
    tests: &[PathBuf],
    directory: &str,
    choice: Option<&str>,
) -> Result<Finding> {
    // Emulation is slow; the native run tries all cases.
    let environment = [("TMPDIR", directory), ("PROPTEST_CASES", "16")].into_iter();
    let expected = choice.map(|choice| ("CACHEMAINT_EXPECT", choice));
    let environment: Vec<_> = environment.chain(expected).collect();
    let mut failed = Vec::new();
    let left_out = skipping(SAME_ON_EVERY_CPU.iter().chain(&TOO_LONG)).join(" ");
    for (place, program) in places(tests) {
        let ended = machine.run_any(&format!("{place} {left_out}"), &environment)?;
        if ended != (Some(0), None) {
            failed.push(format!("{} ended with {ended:?}", name_of(program)));
        }
    }
    Ok(match failed.as_slice() {
        [] => Finding::passed(machine.tests()),
        failed => Finding::failed(machine.tests(), failed.join("; ")),
    })
}

fn name_of(program: &Path) -> String {
    program.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

impl Lab<'_> {
    /// The library's test programs, which need no library of the machine's.
    pub(super) fn static_tests(&self, architecture: Architecture) -> Result<Vec<PathBuf>> {
        let line = "test -p cachemaint --all-features --lib --tests --no-run --message-format json";
        let messages = self.cargo_static(architecture, line)?.read()?;
        let programs: Vec<PathBuf> = messages.lines().filter_map(program).collect();
        if programs.is_empty() {
            bail!("cargo built no tests");
        }
        Ok(programs)
    }
}

/// The program that a message of cargo's is about (The Cargo Book, "External tools").
fn program(message: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    message.get("executable")?.as_str().map(PathBuf::from)
}
