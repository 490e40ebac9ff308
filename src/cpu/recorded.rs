//! Machines for tests: recorded CPUs.

#[path = "../../testing/cpus/arm64.rs"]
pub(crate) mod arm64;
#[path = "../../testing/cpus/x86.rs"]
pub(crate) mod x86;

use super::{Cpu, aarch64, x86 as cpuid};
use crate::arch::{self, Architecture};
use alloc::vec::Vec;
use raw_cpuid::CpuIdResult;

/// One CPUID leaf: leaf, subleaf, EAX to EDX.
pub(crate) type Leaf = (u32, u32, [u32; 4]);

/// Returns a reader of these leaves; others read as zeros.
pub(crate) fn reader(leaves: &[Leaf]) -> impl Fn(u32, u32) -> CpuIdResult + Clone {
    move |leaf, subleaf| {
        let found = leaves.iter().find(|row| row.0 == leaf && row.1 == subleaf);
        let [eax, ebx, ecx, edx] = found.map_or([0; 4], |row| row.2);
        CpuIdResult { eax, ebx, ecx, edx }
    }
}

pub(crate) fn x86_cpu(leaves: &[Leaf]) -> Cpu {
    cpuid::read(&reader(leaves), false)
}

/// Returns the same CPU, asked in ring 0.
pub(crate) fn x86_cpu_in_ring_0(leaves: &[Leaf]) -> Cpu {
    cpuid::read(&reader(leaves), true)
}

pub(crate) fn arm64_cpu(machine: &arm64::Machine) -> Cpu {
    aarch64::words::read(aarch64::words::Words {
        ctr_el0: machine.ctr_el0,
        hwcap: machine.hwcap,
        hwcap2: machine.hwcap2,
        midr_el1: Some(machine.midr_el1),
        has_vdso: true,
        may_break_cleans: false,
        refusal: None,
    })
}

/// Returns the same machine, asked at EL1.
pub(crate) fn arm64_cpu_at_el1(machine: &arm64::Machine, id_aa64isar1_el1: u64) -> Cpu {
    let (ctr_el0, midr_el1) = (machine.ctr_el0, machine.midr_el1);
    aarch64::el1::read(aarch64::el1::IdRegisters { ctr_el0, id_aa64isar1_el1, midr_el1 })
}

/// Returns every recorded machine.
pub(crate) fn all() -> Vec<(&'static str, &'static Architecture, Cpu)> {
    let x86 = x86::MACHINES
        .iter()
        .map(|machine| (machine.name, &arch::x86::ARCHITECTURE, x86_cpu(machine.cpuid)));
    let arm64 = arm64::MACHINES
        .iter()
        .map(|machine| (machine.name, &arch::aarch64::ARCHITECTURE, arm64_cpu(machine)));
    x86.chain(arm64).collect()
}
