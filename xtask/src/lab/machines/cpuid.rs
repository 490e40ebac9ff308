//! Machines whose CPUs differ: the choice of instructions, and the report on the hypervisor.

use anyhow::{Result, anyhow, ensure};
use cachemaint_lab_protocol::Request;
use serde_json::Value;

use super::requests::Library as _;
use super::{
    Architecture, DAX, LINE, Lab, Lane, Machine, PMEM0, emulated, expect, expect_value, lane_with,
    make_ext4, records,
};
use crate::lab::expectation::{Expectation, FOLDER};
use lose_lines::unavailable::Unavailable;

/// A CPU model of QEMU with its expected report: its instructions, and its hypervisor.
struct Model {
    cpu: &'static str,
    expected: &'static str,
    hypervisor: Hypervisor,
}

/// The expected answer of CPUID on the hypervisor.
enum Hypervisor {
    /// Leaf 1, ECX\[31\] is set, and leaf `4000_0000h` has a signature.
    Signed(&'static str),
    /// The bit is set, and the leaf is empty.
    Unsigned,
    /// The bit is clear.
    Absent,
}

/// TCG's own signature (QEMU `target/i386/cpu.c`, leaf `4000_0000h`).
const TCG: Hypervisor = Hypervisor::Signed("TCGTCGTCGTCG");

const MODELS: [Model; 6] = [
    Model { cpu: "max", expected: "x86-max", hypervisor: TCG },
    Model { cpu: "max,-clwb", expected: "x86-max-no-clwb", hypervisor: TCG },
    Model { cpu: "max,-clwb,-clflushopt", expected: "x86-max-no-clflushopt", hypervisor: TCG },
    Model {
        cpu: "max,vendor=GenuineIntel,-svm,-sse4a,-clwb,-clflushopt",
        expected: "x86-max-intel-no-clflushopt",
        hypervisor: TCG,
    },
    Model { cpu: "max,-hypervisor", expected: "x86-max", hypervisor: Hypervisor::Absent },
    Model { cpu: "max,tcg-cpuid=off", expected: "x86-max", hypervisor: Hypervisor::Unsigned },
];

pub(super) fn lanes() -> Vec<Lane> {
    MODELS.iter().map(lane).chain([other_signatures()]).collect()
}

/// The lane is listed as skipped, so that the report shows that it did not run.
fn other_signatures() -> Lane {
    let proves = "the report names the hypervisors of other signatures";
    Lane::new("machine/x86_64/cpu/signatures", proves, |_lab| {
        let why = "TCG has no signature but its own, other ones need KVM: see tests/cpus";
        Err(Unavailable::because(anyhow!(why)).into())
    })
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
        model.hypervisor.is_reported(&report)?;
        make_ext4(&mut machine, PMEM0, DAX)?;
        let written = records("/mnt/records", 10);
        expect(&machine.persist(&written)?, LINE)?;
        machine.verify(&written)?;
        machine.power_off()
    };
    let lane = lane_with(Architecture::X86, &name, &proves, prepare, run);
    // User emulation has the same models, and the machines with files have this hypervisor.
    if matches!(model.hypervisor, Hypervisor::Signed(_)) { lane.long() } else { lane }
}

impl Hypervisor {
    fn is_reported(&self, report: &Value) -> Result<()> {
        let is_there = !matches!(self, Self::Absent);
        expect_value(report, "/cpu/hypervisor/present", is_there)?;
        match self {
            Self::Signed(signature) => {
                expect_value(report, "/cpu/hypervisor/signature", *signature)
            }
            Self::Unsigned | Self::Absent => Ok(()),
        }
    }
}
