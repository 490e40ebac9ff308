//! Every recorded machine, replayed on this one.

mod aliasing;
mod guest;
mod handle;
mod instructions;
#[cfg(all(feature = "serde", not(miri)))]
mod json;
mod machines;

use super::{CpuReport, Status};
use crate::arch::{aarch64, x86};
use crate::cache::Builder;
use crate::cpu::recorded::{
    Leaf, arm64, arm64_cpu, arm64_cpu_at_el1, x86 as x86_machines, x86_cpu,
};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

fn x86_report(leaves: &[Leaf]) -> CpuReport {
    CpuReport::new(&x86::ARCHITECTURE, x86_cpu(leaves), Builder::new())
}

fn x86_machine(name: &str) -> CpuReport {
    let machine = x86_machines::MACHINES.iter().find(|machine| machine.name.contains(name));
    x86_report(machine.unwrap().cpuid)
}

fn arm64_report(machine: &arm64::Machine) -> CpuReport {
    CpuReport::new(&aarch64::ARCHITECTURE, arm64_cpu(machine), Builder::new())
}

fn arm64_machine(name: &str) -> CpuReport {
    let machine = arm64::MACHINES.iter().find(|machine| machine.name.contains(name));
    arm64_report(machine.unwrap())
}

fn status(report: &CpuReport, name: &str) -> Status {
    let mut rows = report.instructions().filter(|row| row.instruction.name == name);
    let row = rows.next().unwrap();
    assert!(rows.next().is_none(), "{name} has more than one row");
    row.status
}

fn notes(report: &CpuReport) -> String {
    report.notes().map(|note| note.text).collect::<Vec<_>>().join("\n")
}

/// Returns the screen without its line breaks.
fn flowing(report: &CpuReport) -> String {
    report.to_string().replace("\n              ", " ")
}

fn at_el1(name: &str) -> CpuReport {
    let at_el1 = arm64::AT_EL1.iter().find(|machine| machine.name.contains(name)).unwrap();
    let machine = arm64::MACHINES.iter().find(|machine| machine.name == at_el1.name).unwrap();
    let cpu = arm64_cpu_at_el1(machine, at_el1.id_aa64isar1_el1);
    CpuReport::new(&aarch64::ARCHITECTURE, cpu, Builder::new())
}

const VENDOR: Leaf = (0, 0, [7, 0x756e_6547, 0x6c65_746e, 0x4965_6e69]);
/// CLFLUSH, SSE2, lines of 64 bytes.
const MINIMAL_FEATURES: Leaf = (1, 0, [0x0005_0654, 0x0800, 0, 1 << 19 | 1 << 26]);
const UNDER_HYPERVISOR: Leaf = (1, 0, [0x0005_0654, 0x0800, 1 << 31, 1 << 19 | 1 << 26]);

/// The lines of a report: that on the host adds 15, or 16 in a guest that shows its hypervisor, and has 38.
const CPU_LINES: usize = 23;

fn assert_fits(screen: &str, lines: usize, what: &str) {
    let count = screen.lines().count();
    assert!(count <= lines, "{what}: {count} lines\n{screen}");
    for line in screen.lines() {
        assert!(line.chars().count() <= 80, "{what}: {line}");
        assert_eq!(line.trim_end(), line, "{what}: ends in blanks");
    }
    let is_plain = |c: char| c == '\n' || c.is_ascii() && !c.is_control();
    assert!(screen.chars().all(is_plain), "{what}: {screen}");
}
