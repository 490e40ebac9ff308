//! Aliases in the data cache, by architecture.

use crate::aliasing::Aliasing;
use crate::arch::{Architecture, DataCache, arm, other};
use crate::cache::Builder;
use crate::cpu::Cpu;
use crate::report::CpuReport;
use alloc::boxed::Box;
use alloc::string::ToString;

/// Returns a machine of an architecture that has no operation.
fn machine(name: &'static str, data_cache: DataCache) -> CpuReport {
    let architecture =
        Box::leak(Box::new(Architecture { name, data_cache, ..other::ARCHITECTURE }));
    CpuReport::new(architecture, Cpu::refused(architecture.unreachable[0]), Builder::new())
}

fn of_other(name: &'static str) -> CpuReport {
    machine(name, other::data_cache(name))
}

#[test]
fn what_the_architecture_leaves_open_is_settled_by_the_kernel() {
    let mips = of_other("mips");
    assert!(matches!(mips.aliasing, Aliasing::Unknown { .. }), "of the CPU alone");
    let aliases = mips.aliasing_on(Ok(true));
    assert_eq!(aliases, Aliasing::Yes { source: "/proc/cpuinfo" });
    assert!(aliases.to_string().starts_with("data alias: map a"), "{aliases}");
    assert_eq!(mips.shmlba(4096), Ok(256 << 10));
    assert_eq!(mips.aliasing_on(Ok(false)), Aliasing::No { source: "/proc/cpuinfo" });
    let Aliasing::Unknown { reason, advice } = mips.aliasing_on(Err(None)) else { panic!() };
    assert!(reason.contains("a way of") && advice.contains("SHMLBA"), "{reason}; {advice}");
    // The kernel's constant is for all of them.
    let arm = machine("arm", arm::ARCHITECTURE.data_cache);
    assert_eq!(arm.shmlba(4096), Ok(16 << 10));
}

/// The architecture decides, even if a file says something else.
#[test]
fn a_decision_of_the_architecture_overrides_files() {
    let csky = of_other("csky");
    assert!(matches!(csky.aliasing_on(Ok(false)), Aliasing::Yes { .. }));
    assert_eq!(csky.shmlba(4096), Ok(16 << 10));
    let hexagon = of_other("hexagon");
    assert!(matches!(hexagon.aliasing_on(Ok(true)), Aliasing::No { .. }));
    assert_eq!(hexagon.shmlba(4096), Ok(4096));
}

#[test]
fn a_distance_that_depends_on_the_machine_says_on_what() {
    let why = of_other("sparc").shmlba(4096).unwrap_err();
    assert!(why.contains("virtual cache"), "{why}");
}
