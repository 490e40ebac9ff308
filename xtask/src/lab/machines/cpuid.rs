//! Machines whose CPUs differ: what is chosen, and what the report says of the hypervisor.

use anyhow::Result;
use cachemaint_lab_protocol::Request;
use serde_json::Value;

use super::{DAX, emulated, expect, expect_value, make_ext4, records};
use crate::lab::kit::Architecture;
use crate::lab::machine::Machine;
use crate::lab::{Lane, Prepared};
use crate::report::{Finding, Tests};

/// A CPU model of QEMU's and what it must give.
struct Model {
    cpu: &'static str,
    instruction: &'static str,
    /// By the rules that the library states, for a vendor that is not Intel: CLFLUSH is ordered by
    /// MFENCE alone.
    fences: [Option<&'static str>; 2],
    hypervisor: Hypervisor,
}

enum Hypervisor {
    /// CPUID.1:ECX[31] is set and leaf `4000_0000h` has a signature.
    Signed(&'static str),
    /// The bit is set, and the leaves are empty.
    Unsigned,
    /// The bit is clear.
    Absent,
}

/// TCG's own signature (QEMU `target/i386/cpu.c`, leaf `4000_0000h`).
const TCG: Hypervisor = Hypervisor::Signed("TCGTCGTCGTCG");

/// `max` has CLWB and CLFLUSHOPT, and is an AMD family 15 model (QEMU `target/i386/cpu.c`). Other
/// signatures need KVM's help; `tests/cpus` has them as recorded machines.
const MODELS: [Model; 6] = [
    Model { cpu: "max", instruction: "clwb", fences: [None, Some("sfence")], hypervisor: TCG },
    Model {
        cpu: "max,-clwb",
        instruction: "clflushopt",
        fences: [None, Some("sfence")],
        hypervisor: TCG,
    },
    Model {
        cpu: "max,-clwb,-clflushopt",
        instruction: "clflush",
        fences: [Some("mfence"), Some("mfence")],
        hypervisor: TCG,
    },
    Model {
        cpu: "max,-clwb,-clflushopt,vendor=GenuineIntel",
        instruction: "clflush",
        fences: [None, Some("sfence")],
        hypervisor: TCG,
    },
    Model {
        cpu: "max,-hypervisor",
        instruction: "clwb",
        fences: [None, Some("sfence")],
        hypervisor: Hypervisor::Absent,
    },
    Model {
        cpu: "max,tcg-cpuid=off",
        instruction: "clwb",
        fences: [None, Some("sfence")],
        hypervisor: Hypervisor::Unsigned,
    },
];

pub(super) fn lanes() -> Vec<Lane> {
    MODELS.iter().map(lane).collect()
}

fn lane(model: &'static Model) -> Lane {
    let name = format!("machine/x86_64/cpu/{}", model.cpu);
    let proves = format!("persists by {}, and the report agrees with CPUID", model.instruction);
    Lane::new(name.clone(), proves, move |lab| {
        let kit = lab.kit(Architecture::X86)?;
        Ok(Prepared::Ready(Box::new(move |log| {
            let setup = emulated(&name).cpu(model.cpu);
            let mut machine = Machine::start(&kit, &setup, log)?;
            let report = machine.json(&Request::Report)?;
            model.agrees(&report)?;
            make_ext4(&mut machine, "/dev/pmem0", DAX)?;
            let written = records("/mnt/records", 10);
            expect(&machine.persist(&written)?, "cache line (64 bytes)")?;
            machine.verify(&written)?;
            machine.power_off()?;
            Ok(Finding::passed(Tests::default()))
        })))
    })
}

impl Model {
    fn agrees(&self, report: &Value) -> Result<()> {
        let [before, after] = self.fences;
        expect_value(report, "/cpu/writeback/persistence/instruction", self.instruction)?;
        expect_value(report, "/cpu/writeback/persistence/before", before)?;
        expect_value(report, "/cpu/writeback/persistence/after", after)?;
        expect_value(report, "/cpu/whole_cache/available", false)?;
        let (present, signature) = match self.hypervisor {
            Hypervisor::Signed(signature) => (true, Some(signature)),
            Hypervisor::Unsigned => (true, None),
            Hypervisor::Absent => (false, None),
        };
        expect_value(report, "/cpu/hypervisor/present", present)?;
        match signature {
            Some(signature) => expect_value(report, "/cpu/hypervisor/signature", signature),
            None => Ok(()),
        }
    }
}
