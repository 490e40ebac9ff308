//! The library's own tests inside a machine, with their files on a DAX file system.

use std::path::PathBuf;

use anyhow::{Result, bail};
use serde_json::Value;

use super::{DIRECTORY, dax_machine};
use crate::lab::kit::{Architecture, Kit};
use crate::lab::{Lab, Lane, Log};
use crate::report::Finding;

pub(super) fn lanes() -> Vec<Lane> {
    let name = "machine/x86_64/tests-on-dax";
    vec![Lane::new(name, "the library's tests pass with their files on DAX", move |lab| {
        let kit = lab.kit(Architecture::X86)?;
        let tests = lab.static_tests(Architecture::X86)?;
        Ok(Box::new(move |log| all(&kit, name, &tests, log)))
    })]
}

fn all(kit: &Kit, name: &str, tests: &[PathBuf], log: &mut Log) -> Result<Finding> {
    let places: Vec<String> =
        (0..tests.len()).map(|number| format!("/lab/test-{number}")).collect();
    let files: Vec<(&str, &PathBuf)> = places.iter().map(String::as_str).zip(tests).collect();
    let mut machine = dax_machine(kit, name, &files, log)?;
    // Emulation is slow; the native run tries all cases.
    let environment = [("TMPDIR", DIRECTORY), ("PROPTEST_CASES", "16")];
    let mut failed = Vec::new();
    for (place, program) in files {
        let ended = machine.run_any(place, environment)?;
        if ended != (Some(0), None) {
            failed.push(format!("{} ended with {ended:?}", program.display()));
        }
    }
    let tests = machine.tests();
    machine.power_off()?;
    Ok(match failed.as_slice() {
        [] => Finding::passed(tests),
        failed => Finding::failed(tests, failed.join("; ")),
    })
}

impl Lab<'_> {
    /// The library's test programs, which need no library of the machine's.
    fn static_tests(&self, architecture: Architecture) -> Result<Vec<PathBuf>> {
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
