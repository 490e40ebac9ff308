//! The library's own tests inside a machine: those of files on a DAX file system, and those of instructions on CPUs of
//! riscv64 with Zicbom, without it, and with another block size, which the kernel reports.

use anyhow::Result;
use cachemaint_lab_protocol::Request;
use lose_lines_machine::initramfs::Initramfs;
use lose_lines_machine::machine::programs::printed;
use xtask::counts::Tests;

use super::{
    Architecture, DIRECTORY, Kit, LIMIT, Lab, Lane, Machine, Setup, Transcript, dax_machine,
};
use crate::cpus::passed;
use crate::expectation::Expectation;
use crate::programs::{FEWER_CASES, Programs, Scope};

/// The CPUs of riscv64, and their expected reports. `rv64` has Zicbom with blocks of 64 bytes (QEMU `target/riscv/cpu.c`).
const RISCV64: [(&str, &str); 3] = [
    ("rv64", "riscv64-zicbom-64"),
    ("rv64,cbom_blocksize=128", "riscv64-zicbom-128"),
    ("rv64,zicbom=false", "riscv64-no-zicbom"),
];

pub(super) fn lanes() -> Vec<Lane> {
    let on_dax = [
        on_dax("machine/x86_64/tests-on-dax", |lab| lab.kit(Architecture::X86)),
        on_dax("machine/x86_64/oldest-kernel-tests", Lab::oldest_kit),
    ];
    on_dax.into_iter().chain(RISCV64.map(|(cpu, expected)| on_riscv64(cpu, expected))).collect()
}

/// Returns a lane with the tests of files, on a PC of this kit.
fn on_dax(name: &'static str, kit: fn(&Lab) -> Result<Kit>) -> Lane {
    Lane::new(name, move |lab| {
        let tests = lab.static_tests(Architecture::X86.triple(), Scope::Files)?;
        let kit = kit(lab)?;
        Ok(Box::new(move |log| {
            let mut machine = dax_machine(&kit, name, |files| add_to(files, &tests), log)?;
            run_tests(&mut machine, &tests, DIRECTORY, None, log)?;
            machine.power_off()
        }))
    })
}

fn on_riscv64(cpu: &'static str, expected: &'static str) -> Lane {
    let name = format!("machine/riscv64/{cpu}");
    Lane::new(name.clone(), move |lab| {
        let expectation = Expectation::read(lab.tree(), expected)?;
        let choice = expectation.choice()?;
        let tests = lab.static_tests(Architecture::Riscv64.triple(), Scope::Instructions)?;
        let kit = lab.kit(Architecture::Riscv64)?;
        Ok(Box::new(move |log| {
            let mut setup = Setup::new(&name, "virt", "1G").cpu(cpu);
            setup.limit = LIMIT;
            add_to(&mut setup.files, &tests);
            let mut machine = Machine::start(&kit, &setup, log)?;
            let report = machine.json(&Request::Report)?;
            passed(&expectation.differences(&report.to_string()))?;
            run_tests(&mut machine, &tests, "/tmp", Some(&choice), log)?;
            machine.power_off()
        }))
    })
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
fn run_tests(
    machine: &mut Machine,
    tests: &Programs,
    directory: &str,
    choice: Option<&str>,
    log: &Transcript,
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
