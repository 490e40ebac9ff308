//! Aliases in the data cache, on machines of each kind: recorded lines of `/proc/cpuinfo`, in the
//! words of the kernel's format strings.

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
    let row = other::ALIASING.iter().find(|row| row.names.contains(&name)).unwrap();
    machine(name, row.data_cache)
}

fn aliasing(report: &CpuReport, cpuinfo: &str) -> Aliasing {
    report.aliasing_on(Some(cpuinfo), Some(4096))
}

#[test]
fn mips_is_settled_by_what_the_kernel_tells() {
    let mips = of_other("mips");
    assert!(matches!(mips.aliasing, Aliasing::Unknown { .. }), "of the CPU alone");
    let aliases = aliasing(&mips, "Options implemented\t: tlb 4kex 4k_cache dc_aliases\n");
    assert_eq!(aliases, Aliasing::Yes { source: "/proc/cpuinfo" });
    assert!(aliases.to_string().starts_with("data alias: map a"), "{aliases}");
    assert_eq!(mips.shmlba(4096), Ok(256 << 10));
    let agrees = aliasing(&mips, "Options implemented\t: tlb 4kex 4k_cache\n");
    assert_eq!(agrees, Aliasing::No { source: "/proc/cpuinfo" });
    let old_kernel = aliasing(&mips, "system type\t\t: MIPS Malta\n");
    assert!(matches!(old_kernel, Aliasing::Unknown { .. }));
}

#[test]
fn arm_is_settled_by_the_version_where_it_is_v7_or_before_v6() {
    let arm = machine("arm", arm::ARCHITECTURE.data_cache);
    let v7 = aliasing(&arm, "processor\t: 0\nmodel name\t: ARMv7 Processor rev 1 (v7l)\n");
    assert_eq!(v7, Aliasing::No { source: "/proc/cpuinfo" });
    // The kernel's constant is for all of them.
    assert_eq!(arm.shmlba(4096), Ok(16 << 10));
    let v5 = aliasing(&arm, "processor\t: 0\nmodel name\t: ARM926EJ-S rev 5 (v5l)\n");
    assert_eq!(v5, Aliasing::Yes { source: "/proc/cpuinfo" });
    let v6 =
        aliasing(&arm, "processor\t: 0\nmodel name\t: ARMv6-compatible processor rev 7 (v6l)\n");
    let Aliasing::Unknown { reason, advice } = v6 else { panic!("{v6:?}") };
    assert!(reason.contains("v6") && advice.contains("SHMLBA"), "{reason}; {advice}");
}

#[test]
fn without_proc_it_is_not_known() {
    for name in ["mips", "xtensa"] {
        let found = of_other(name).aliasing_on(None, None);
        let Aliasing::Unknown { advice, .. } = found else { panic!("{name}") };
        assert!(advice.contains("/proc"), "{name}: {advice}");
    }
}

/// The architecture decides, even if a file says something else.
#[test]
fn a_decision_of_the_architecture_overrides_files() {
    let csky = of_other("csky");
    assert!(matches!(aliasing(&csky, "dc_aliases\n"), Aliasing::Yes { .. }));
    assert_eq!(csky.shmlba(4096), Ok(16 << 10));
    let hexagon = of_other("hexagon");
    assert!(matches!(aliasing(&hexagon, ""), Aliasing::No { .. }));
    assert_eq!(hexagon.shmlba(4096), Ok(4096));
}

#[test]
fn a_distance_that_depends_on_the_machine_says_on_what() {
    let why = of_other("sparc").shmlba(4096).unwrap_err();
    assert!(why.contains("virtual cache"), "{why}");
}
