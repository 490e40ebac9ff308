//! Aliases in the data cache, on machines of each kind: recorded lines of `/proc/cpuinfo`, in the
//! words of the kernel's format strings.

use super::{SCREEN_LINES, assert_fits};
use crate::aliasing::Aliasing;
use crate::arch::{Architecture, DataCache, arm, other};
use crate::cache::plan::Policy;
use crate::cpu::Cpu;
use crate::report::{CpuReport, HostReport};
use crate::system::fixture::Fixture;
use alloc::boxed::Box;
use alloc::string::ToString;

/// Returns a machine of an architecture that has no operation.
fn machine(name: &'static str, data_cache: DataCache, fixture: &Fixture) -> HostReport {
    let architecture =
        Box::leak(Box::new(Architecture { name, data_cache, ..other::ARCHITECTURE }));
    let cpu = CpuReport::new(architecture, Cpu::refused(architecture.unreachable[0]), Policy::ANY);
    HostReport::from_tree(cpu, &fixture.tree())
}

fn of_other(name: &'static str) -> DataCache {
    other::ALIASING.iter().find(|row| row.names.contains(&name)).unwrap().data_cache
}

fn with_cpuinfo(text: &str) -> Fixture {
    Fixture::new().kernel_and_caches().file("proc/cpuinfo", text)
}

#[test]
fn mips_is_settled_by_what_the_kernel_tells() {
    let report_of = |text: &str| machine("mips", of_other("mips"), &with_cpuinfo(text));
    let report = report_of("Options implemented\t: tlb 4kex 4k_cache dc_aliases\n");
    assert!(matches!(report.cpu.aliasing, Aliasing::Unknown { .. }), "of the CPU alone");
    assert_eq!(report.aliasing, Aliasing::Yes { source: "/proc/cpuinfo" });
    assert_eq!(report.shmlba, Ok(256 << 10));
    assert!(report.to_string().contains("data alias: map a"), "{report}");
    assert_fits(&report.to_string(), SCREEN_LINES, "mips");

    let report = report_of("Options implemented\t: tlb 4kex 4k_cache\n");
    assert_eq!(report.aliasing, Aliasing::No { source: "/proc/cpuinfo" });
    assert!(report.to_string().contains("data do not alias"), "{report}");

    let old_kernel = report_of("system type\t\t: MIPS Malta\n");
    assert!(matches!(old_kernel.aliasing, Aliasing::Unknown { .. }));
    assert_fits(&old_kernel.to_string(), SCREEN_LINES, "an old kernel on mips");
}

#[test]
fn arm_is_settled_by_the_version_where_it_is_v7_or_before_v6() {
    let report_of = |text: &str| machine("arm", arm::ARCHITECTURE.data_cache, &with_cpuinfo(text));
    let v7 = report_of("processor\t: 0\nmodel name\t: ARMv7 Processor rev 1 (v7l)\n");
    assert_eq!(v7.aliasing, Aliasing::No { source: "/proc/cpuinfo" });
    // The kernel's constant is for all of them.
    assert_eq!(v7.shmlba, Ok(16 << 10));
    let v5 = report_of("processor\t: 0\nmodel name\t: ARM926EJ-S rev 5 (v5l)\n");
    assert_eq!(v5.aliasing, Aliasing::Yes { source: "/proc/cpuinfo" });
    let v6 = report_of("processor\t: 0\nmodel name\t: ARMv6-compatible processor rev 7 (v6l)\n");
    let Aliasing::Unknown { reason, advice } = v6.aliasing else { panic!("{:?}", v6.aliasing) };
    assert!(reason.contains("v6") && advice.contains("SHMLBA"), "{reason}; {advice}");
    assert_fits(&v6.to_string(), SCREEN_LINES, "arm");
}

/// No `/proc`, no answer, and no page size to compute a distance from.
#[test]
fn without_proc_it_is_not_known() {
    for name in ["mips", "xtensa"] {
        let report = machine(name, of_other(name), &Fixture::new());
        let Aliasing::Unknown { advice, .. } = report.aliasing else { panic!("{name}") };
        assert!(advice.contains("/proc"), "{name}: {advice}");
        assert!(report.shmlba.is_err());
    }
}

/// The architecture decides, even if a file says something else.
#[test]
fn a_decision_of_the_architecture_overrides_files() {
    let csky = machine("csky", of_other("csky"), &with_cpuinfo("dc_aliases\n"));
    assert!(matches!(csky.aliasing, Aliasing::Yes { .. }));
    assert_eq!(csky.aliasing, csky.cpu.aliasing);
    assert_eq!(csky.shmlba, Ok(16 << 10));
    let hexagon = machine("hexagon", of_other("hexagon"), &with_cpuinfo(""));
    assert!(matches!(hexagon.aliasing, Aliasing::No { .. }));
    assert_eq!(hexagon.shmlba, Ok(4096));
}

#[test]
fn a_distance_that_depends_on_the_machine_says_on_what() {
    let sparc = machine("sparc", of_other("sparc"), &with_cpuinfo(""));
    let why = sparc.shmlba.unwrap_err();
    assert!(why.reason.contains("virtual cache") && why.advice.contains("4 MiB"), "{why}");
}
