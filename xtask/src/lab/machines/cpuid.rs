//! Machines whose CPUs differ: the choice of instructions, and the report on the hypervisor.

use anyhow::ensure;
use cachemaint_lab_protocol::Request;

use super::requests::Library as _;
use super::{
    Architecture, DAX, LINE, Lab, Lane, Machine, PMEM0, emulated, expect, expect_value, lane_with,
    make_ext4, records,
};
use crate::lab::expectation::{Expectation, FOLDER};

/// A CPU model of QEMU with its expected report, and whether CPUID shows its hypervisor (leaf 1, ECX\[31\]). Leaf
/// `4000_0000h` has no signature: the machines of all other lanes have TCG's.
struct Model {
    cpu: &'static str,
    expected: &'static str,
    has_hypervisor: bool,
}

const MODELS: [Model; 2] = [
    Model { cpu: "max,-hypervisor", expected: "x86-max", has_hypervisor: false },
    Model { cpu: "max,tcg-cpuid=off", expected: "x86-max", has_hypervisor: true },
];

pub(super) fn lanes() -> Vec<Lane> {
    MODELS.iter().map(lane).collect()
}

fn lane(model: &'static Model) -> Lane {
    let name = format!("machine/x86_64/cpu/{}", model.cpu);
    let proves = format!("the report is as in {FOLDER}/{}.json, and DAX works", model.expected);
    let prepare = |lab: &Lab<'_>| Expectation::read(lab.sources.tree(), model.expected);
    let run = |kit: &_, expectation: &Expectation, name: &_, log: &mut _| {
        let mut machine = Machine::start(kit, &emulated(name).cpu(model.cpu), log)?;
        let report = machine.json(&Request::Report)?;
        let differences = expectation.differences(&report.to_string());
        ensure!(differences.is_empty(), "{}", differences.join("; "));
        expect_value(&report, "/cpu/hypervisor/present", model.has_hypervisor)?;
        make_ext4(&mut machine, PMEM0, DAX)?;
        let written = records("/mnt/records", 10);
        expect(&machine.persist(&written)?, LINE)?;
        machine.verify(&written)?;
        machine.power_off()
    };
    lane_with(Architecture::X86, &name, &proves, prepare, run)
}
