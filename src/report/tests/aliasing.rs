//! Aliases in the data cache, on machines of each kind: recorded lines of `/proc/cpuinfo`, in the
//! words of the kernel's format strings.

use super::{SCREEN_LINES, assert_fits};
use crate::arch::{Architecture, DataCache, arm, other};
use crate::cache::plan::Policy;
use crate::cpu::Cpu;
use crate::report::{Aliasing, CpuReport, HostReport};
use crate::system::fixture::Fixture;
use alloc::boxed::Box;
use alloc::string::ToString;

/// Returns a machine of an architecture that has no operation.
fn machine(name: &'static str, data_cache: DataCache, fixture: &Fixture) -> HostReport {
    let Architecture {
        instructions,
        fences,
        observed,
        unreachable,
        discard,
        whole_cache,
        no_whole_cache,
        ..
    } = other::ARCHITECTURE;
    let architecture = Box::leak(Box::new(Architecture {
        name,
        instructions,
        fences,
        observed,
        unreachable,
        data_cache,
        discard,
        whole_cache,
        no_whole_cache,
    }));
    let cpu = CpuReport::new(architecture, Cpu::refused(unreachable[0]), Policy::ANY);
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
    let told = |text: &str| machine("mips", of_other("mips"), &with_cpuinfo(text));
    let report = told("Options implemented\t: tlb 4kex 4k_cache dc_aliases\n");
    assert!(matches!(report.cpu.aliasing, Aliasing::Unknown { .. }), "of the CPU alone");
    assert_eq!(report.aliasing, Aliasing::Yes { source: "/proc/cpuinfo" });
    assert_eq!(report.shmlba, Ok(256 << 10));
    assert!(report.to_string().contains("data alias: map a"), "{report}");
    assert_fits(&report.to_string(), SCREEN_LINES, "mips");

    let report = told("Options implemented\t: tlb 4kex 4k_cache\n");
    assert_eq!(report.aliasing, Aliasing::No { source: "/proc/cpuinfo" });
    assert!(report.to_string().contains("data do not alias"), "{report}");

    let old_kernel = told("system type\t\t: MIPS Malta\n");
    assert!(matches!(old_kernel.aliasing, Aliasing::Unknown { .. }));
    assert_fits(&old_kernel.to_string(), SCREEN_LINES, "an old kernel on mips");
}

#[test]
fn arm_is_settled_by_the_version_where_it_is_v7_or_before_v6() {
    let told = |text: &str| machine("arm", arm::ARCHITECTURE.data_cache, &with_cpuinfo(text));
    let v7 = told("processor\t: 0\nmodel name\t: ARMv7 Processor rev 1 (v7l)\n");
    assert_eq!(v7.aliasing, Aliasing::No { source: "/proc/cpuinfo" });
    // The kernel's constant is for all of them.
    assert_eq!(v7.shmlba, Ok(16 << 10));
    let v5 = told("processor\t: 0\nmodel name\t: ARM926EJ-S rev 5 (v5l)\n");
    assert_eq!(v5.aliasing, Aliasing::Yes { source: "/proc/cpuinfo" });
    let v6 = told("processor\t: 0\nmodel name\t: ARMv6-compatible processor rev 7 (v6l)\n");
    let Aliasing::Unknown { reason, advice } = v6.aliasing else { panic!("{:?}", v6.aliasing) };
    assert!(reason.contains("v6") && advice.contains("SHMLBA"), "{reason}; {advice}");
    assert_fits(&v6.to_string(), SCREEN_LINES, "arm");
}

/// The architecture decides, even if a file says something else.
#[test]
fn a_decision_of_the_architecture_overrides_files() {
    let parisc = machine("parisc", of_other("parisc"), &with_cpuinfo("dc_aliases\n"));
    assert!(matches!(parisc.aliasing, Aliasing::Yes { .. }));
    assert_eq!(parisc.aliasing, parisc.cpu.aliasing);
    assert_eq!(parisc.shmlba, Ok(4 << 20));
    let arc = machine("arc", of_other("arc"), &with_cpuinfo(""));
    assert!(matches!(arc.aliasing, Aliasing::No { .. }));
    assert_eq!(arc.shmlba, Ok(8 << 10));
}
