//! riscv64 machines with Zicbom, without it, and with another block size: the library's choice from the kernel's
//! report, and its execution in user mode.

use anyhow::ensure;
use cachemaint_lab_protocol::Request;

use super::suite::{run_tests, setup_for_tests};
use super::{Architecture, Lab, Lane, Machine, lane_with};
use crate::expectation::{Expectation, FOLDER};
use crate::programs::Scope;

/// A CPU of QEMU with its expected report.
struct Model {
    cpu: &'static str,
    expected: &'static str,
}

/// QEMU `target/riscv/cpu.c`: `rv64` has Zicbom with blocks of 64 bytes.
const MODELS: [Model; 3] = [
    Model { cpu: "rv64", expected: "riscv64-zicbom-64" },
    Model { cpu: "rv64,cbom_blocksize=128", expected: "riscv64-zicbom-128" },
    Model { cpu: "rv64,zicbom=false", expected: "riscv64-no-zicbom" },
];

pub(super) fn lanes() -> Vec<Lane> {
    MODELS.iter().map(lane).collect()
}

fn lane(model: &'static Model) -> Lane {
    let name = format!("machine/riscv64/{}", model.cpu);
    let proves = format!(
        "user mode executes the chosen instructions, the tests pass, the report is as in {FOLDER}/{}.json",
        model.expected
    );
    let prepare = |lab: &Lab| {
        let expectation = Expectation::read(lab.tree(), model.expected)?;
        let choice = expectation.choice()?;
        let tests = lab.static_tests(Architecture::Riscv64.triple(), Scope::Instructions)?;
        Ok((expectation, choice, tests))
    };
    lane_with(Architecture::Riscv64, &name, &proves, prepare, |kit, needed, name, log| {
        let (expectation, choice, tests) = needed;
        let setup = setup_for_tests(name, "virt", "1G", tests).cpu(model.cpu);
        let mut machine = Machine::start(kit, &setup, log)?;
        let report = machine.json(&Request::Report)?;
        let differences = expectation.differences(&report.to_string());
        ensure!(differences.is_empty(), "{}", differences.join("; "));
        run_tests(&mut machine, tests, "/tmp", Some(choice), log)?;
        machine.power_off()
    })
}
