//! The library's own tests inside a machine, with their files on a DAX file system.

use core::time::Duration;

use anyhow::Result;

use super::{Architecture, DIRECTORY, Lab, Lane, Machine, Setup, dax_machine, lane_with};
use lose_lines::initramfs::Initramfs;
use crate::lab::programs::{FEWER_CASES, Programs, Scope};
use crate::report::Finding;

/// The time limit of all programs: emulation is slow.
pub(super) const LIMIT: Duration = Duration::from_secs(3000);

pub(super) fn lanes() -> Vec<Lane> {
    let name = "machine/x86_64/tests-on-dax";
    let proves = "the library's tests of files pass with these on DAX";
    let prepare = |lab: &Lab<'_>| lab.static_tests(Architecture::X86.triple(), Scope::Files);
    vec![lane_with(Architecture::X86, name, proves, prepare, |kit, tests, name, log| {
        let mut machine = dax_machine(kit, name, |files| add_to(files, tests), log)?;
        let finding = run_tests(&mut machine, tests, DIRECTORY, None)?;
        machine.power_off()?;
        Ok(finding)
    })]
}

/// Returns a machine that has these test programs in it.
pub(super) fn setup_for_tests(name: &str, board: &str, memory: &str, tests: &Programs) -> Setup {
    let mut setup = Setup::new(name, board, memory);
    setup.limit = LIMIT;
    add_to(&mut setup.files, tests);
    setup
}

fn add_to(files: &mut Initramfs, tests: &Programs) {
    for (program, _) in tests.runs() {
        files.file(&place(&program.name), &program.path);
    }
}

fn place(program: &str) -> String {
    format!("/lab/test-{program}")
}

/// Runs the test programs of the machine, with their files below `directory`. If `choice` is given, the test
/// `chosen_here` demands it.
pub(super) fn run_tests(
    machine: &mut Machine,
    tests: &Programs,
    directory: &str,
    choice: Option<&str>,
) -> Result<Finding> {
    let expected = choice.map(|choice| ("CACHEMAINT_EXPECT", choice));
    let environment: Vec<_> =
        [("TMPDIR", directory)].into_iter().chain(FEWER_CASES).chain(expected).collect();
    let mut failed = Vec::new();
    for (program, arguments) in tests.runs() {
        let line = format!("{} {}", place(&program.name), arguments.join(" "));
        let before = machine.tests();
        let ended = machine.run_any(&line, &environment)?;
        if ended != (Some(0), None) {
            failed.push(format!("{} ended with {ended:?}", program.name));
        } else if machine.tests().since(before).were_all_left_out() {
            failed.push(format!("{} ran no test: its names match none", program.name));
        }
    }
    Ok(Finding::of(machine.tests(), failed.join("; ")))
}
