//! The library's own tests inside a machine, with their files on a DAX file system.

use anyhow::Result;
use lose_lines::initramfs::Initramfs;
use lose_lines::machine::programs::printed;
use xtask::counts::Tests;

use super::{Architecture, DIRECTORY, Kit, LIMIT, Lab, Lane, Log, Machine, Setup, dax_machine};
use crate::cpus::passed;
use crate::programs::{FEWER_CASES, Programs, Scope};

pub(super) fn lanes() -> Vec<Lane> {
    let proves = "the library's tests of files pass with these on DAX";
    let oldest = "the library's tests of files pass with these on DAX, with Linux 5.10";
    vec![
        tests_on_dax("machine/x86_64/tests-on-dax", proves, |lab| lab.kit(Architecture::X86)),
        tests_on_dax("machine/x86_64/oldest-kernel-tests", oldest, Lab::oldest_kit),
    ]
}

/// Returns a lane with the tests of files, on a PC of this kit.
fn tests_on_dax(name: &'static str, proves: &str, kit: fn(&Lab) -> Result<Kit>) -> Lane {
    Lane::new(name, proves, move |lab| {
        let tests = lab.static_tests(Architecture::X86.triple(), Scope::Files)?;
        let kit = kit(lab)?;
        Ok(Box::new(move |log| {
            let mut machine = dax_machine(&kit, name, |files| add_to(files, &tests), log)?;
            run_tests(&mut machine, &tests, DIRECTORY, None, log)?;
            machine.power_off()
        }))
    })
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
    log: &Log,
) -> Result<()> {
    let expected = choice.map(|choice| ("CACHEMAINT_EXPECT", choice));
    let environment: Vec<_> =
        [("TMPDIR", directory)].into_iter().chain(FEWER_CASES).chain(expected).collect();
    let (mut failed, mut all) = (Vec::new(), Tests::default());
    for (program, arguments) in tests.runs() {
        let line = format!("{} {}", place(&program.name), arguments.join(" "));
        let before = log.position()?;
        let ended = machine.run_any(&line, &environment)?;
        let mut ran = Tests::default();
        printed(&log.since(before)?).lines().for_each(|line| ran.add_line(line));
        if ended != (Some(0), None) {
            failed.push(format!("{} ended with {ended:?}", program.name));
        } else if ran.were_all_left_out() {
            failed.push(format!("{} ran no test: its names match none", program.name));
        }
        all += ran;
    }
    all.must_be_permitted()?;
    passed(&failed)
}
