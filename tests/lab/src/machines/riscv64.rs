//! riscv64 machines with Zicbom, without it, and with another block size: the library's choice from the kernel's
//! report, and its execution in user mode.

use cachemaint_lab_protocol::Request;

use super::suite::{run_tests, setup_for_tests};
use super::{Architecture, Lane, Machine};
use crate::cpus::passed;
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
    Lane::new(name.clone(), proves, move |lab| {
        let expectation = Expectation::read(lab.tree(), model.expected)?;
        let choice = expectation.choice()?;
        let tests = lab.static_tests(Architecture::Riscv64.triple(), Scope::Instructions)?;
        let kit = lab.kit(Architecture::Riscv64)?;
        Ok(Box::new(move |log| {
            let setup = setup_for_tests(&name, "virt", "1G", &tests).cpu(model.cpu);
            let mut machine = Machine::start(&kit, &setup, log)?;
            let report = machine.json(&Request::Report)?;
            passed(&expectation.differences(&report.to_string()))?;
            run_tests(&mut machine, &tests, "/tmp", Some(&choice), log)?;
            machine.power_off()
        }))
    })
}
