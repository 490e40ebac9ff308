//! Every recorded machine, replayed on this one.

use super::{
    Aliasing, Availability, Certainty, Confidential, CpuReport, Handling, Hypervisor,
    HypervisorKind, Identity, Isolation, Migration, RefusedBy, Status, Text,
};
use crate::arch::{Missing, Point, aarch64, other, x86};
use crate::cache::plan::Policy;
use crate::cpu::recorded::{Leaf, all, arm64, arm64_cpu, x86 as x86_machines, x86_cpu};
use crate::cpu::{Cpu, Midr};
use crate::skip::skip;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use proptest::prelude::*;

fn x86_report(leaves: &[Leaf]) -> CpuReport {
    CpuReport::new(&x86::ARCHITECTURE, x86_cpu(leaves), Policy::ANY)
}

fn x86_machine(name: &str) -> CpuReport {
    let machine = x86_machines::MACHINES.iter().find(|machine| machine.name.contains(name));
    x86_report(machine.unwrap().cpuid)
}

fn arm64_report(machine: &arm64::Machine) -> CpuReport {
    CpuReport::new(&aarch64::ARCHITECTURE, arm64_cpu(machine), Policy::ANY)
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

/// The screen without its line breaks.
fn flowing(report: &CpuReport) -> String {
    report.to_string().replace("\n              ", " ")
}

#[test]
fn each_x86_machine_gets_what_its_words_say() {
    for machine in x86_machines::MACHINES {
        let (name, report) = (machine.name, x86_report(machine.cpuid));
        for point in [Point::Coherency, Point::Persistence] {
            let choice = report.writeback(point).unwrap();
            assert_eq!(choice.instruction.name, machine.writeback, "{name}");
            assert_eq!((choice.before, choice.after), machine.writeback_fences, "{name}");
        }
        let deep = report.writeback(Point::DeepPersistence).unwrap_err();
        assert_eq!(deep.missing, Missing::Point, "{name}");

        let invalidate = report.invalidate().unwrap();
        assert_eq!(invalidate.instruction.name, machine.invalidate, "{name}");
        assert_eq!((invalidate.before, invalidate.after), (Some("mfence"), "mfence"), "{name}");

        let line = report.line().unwrap();
        assert_eq!((line.size.bytes(), line.granule), (machine.line, machine.line), "{name}");
        assert_eq!(line.source, "CPUID.1:EBX[15:8]");

        let is_tdx = report.confidential() == Confidential::Tdx;
        assert_eq!(is_tdx, machine.confidential == Some("TDX"), "{name}");
        match (report.hypervisor(), machine.hypervisor) {
            (Hypervisor::Absent, None) => {}
            (Hypervisor::Present { signatures, .. }, Some(expected)) => {
                let found: Vec<_> = signatures.iter().map(Text::as_str).collect();
                assert_eq!(found, [expected], "{name}");
            }
            (found, expected) => panic!("{name}: {found:?} instead of {expected:?}"),
        }
    }
}

#[test]
fn each_arm64_machine_gets_what_its_words_say() {
    for machine in arm64::MACHINES {
        let (name, report) = (machine.name, arm64_report(machine));
        let expected = [Some(machine.coherency), machine.persistence, machine.deep];
        for (point, expected) in Point::ALL.into_iter().zip(expected) {
            match report.writeback(point) {
                Ok(choice) => {
                    assert_eq!(Some(choice.instruction.name), expected, "{name} {point}");
                    assert_eq!((choice.before, choice.after), (None, "dsb sy"), "{name}");
                }
                Err(why) => {
                    assert_eq!(expected, None, "{name} {point}");
                    assert_eq!(why.missing, Missing::Point, "{name} {point}");
                }
            }
        }
        let invalidate = report.invalidate().unwrap();
        assert_eq!(invalidate.instruction.name, "dc civac", "{name}");
        assert_eq!((invalidate.before, invalidate.after), (Some("dmb osh"), "dsb sy"), "{name}");

        let line = report.line().unwrap();
        assert_eq!((line.size.bytes(), line.granule), (machine.line, machine.granule), "{name}");
        assert_eq!(report.hypervisor(), Hypervisor::Unknown, "{name}");
        assert_eq!(report.confidential(), Confidential::Unknown, "{name}");
    }
}

/// The family and model in the names of the recorded machines are the vendors'.
#[test]
fn families_and_models_are_the_vendors() {
    let machines = [
        ("Nehalem", 6, 26, "Intel(R) Core(TM) i7 CPU         920  @ 2.67GHz"),
        ("Zen 5, family 1Ah", 0x1a, 2, "AMD EPYC 9655 96-Core Processor"),
        ("Jaguar", 0x16, 0, "AMD Athlon 5370 APU with Radeon R3"),
        ("Dhyana", 0x18, 1, "Hygon C86 3250  8-core Processor"),
        ("KX-6000G", 7, 59, "ZHAOXIN KaiXian KX-6000G/4@2.6GHz"),
        ("VIA Nano", 6, 15, "VIA Nano L3050@1800MHz"),
    ];
    for (name, expected_family, expected_model, expected_brand) in machines {
        let Identity::X86 { family, model, brand, .. } = x86_machine(name).identity() else {
            panic!("{name} is an x86 CPU")
        };
        assert_eq!((family, model), (expected_family, expected_model), "{name}");
        // raw-cpuid takes the brand's words apart in the order of the host's bytes.
        if cfg!(target_endian = "little") {
            assert_eq!(brand.as_str(), expected_brand);
        }
    }
}

#[test]
fn a_midr_names_the_core() {
    assert_eq!(Midr(0x410f_d034).to_string(), "Arm Cortex-A53 r0p4 (MIDR_EL1 0x410fd034)");
    assert_eq!(Midr(0x413f_d0c1).to_string(), "Arm Neoverse N1 r3p1 (MIDR_EL1 0x413fd0c1)");
    assert_eq!(Midr(0x461f_0010).to_string(), "Fujitsu A64FX r1p0 (MIDR_EL1 0x461f0010)");
    assert_eq!(Midr(0x611f_0231).to_string(), "Apple part 0x23 r1p1 (MIDR_EL1 0x611f0231)");
    assert_eq!(Midr(0x000f_0510).to_string(), "implementer 0x0 part 0x51 r0p0 (MIDR_EL1 0xf0510)");
}

#[test]
fn instructions_are_listed_once_with_their_status() {
    let report = x86_machine("Nehalem");
    let names: Vec<_> = report.instructions().map(|row| row.instruction.name).collect();
    assert_eq!(names, ["clwb", "clflushopt", "clflush"]);
    assert_eq!(status(&report, "clflush"), Status::Present);
    let Status::Absent(why) = status(&report, "clwb") else { panic!("Nehalem has no clwb") };
    assert_eq!(why.reason, "this CPU does not have it");

    // Intel's ordering for Intel, AMD's for AMD, under the one name.
    let source = |name| {
        let is_clflush = |row: &Availability| row.instruction.name == "clflush";
        x86_machine(name).instructions().find(is_clflush).unwrap().instruction.source
    };
    assert_eq!(source("Nehalem"), "Intel SDM vol. 2A, CLFLUSH");
    assert_eq!(source("FX-8350"), "AMD APM vol. 3, CLFLUSH");
}

#[test]
fn under_a_hypervisor_an_absent_instruction_may_be_hidden() {
    let Status::Absent(why) = status(&x86_machine("Xen guest"), "clwb") else {
        panic!("Haswell has no clwb")
    };
    assert!(why.reason.contains("the CPU itself may have it"), "{}", why.reason);
    assert!(!why.advice.is_empty());
}

/// Above the highest leaf QEMU and Intel's CPUs answer with another leaf: `8000_001FH` has the bit of
/// SEV there, and 21H and `4000_0100H` some words.
#[test]
fn leaves_above_the_highest_are_not_believed() {
    let report = x86_machine("CPU model max");
    assert_eq!(report.confidential(), Confidential::Unknown);
    assert_eq!(signatures(&report), ["TCGTCGTCGTCG"]);

    let with_tdx_words_above_the_end = x86_report(&[
        (0, 0, [0x20, 0x756e_6547, 0x6c65_746e, 0x4965_6e69]),
        MINIMAL_FEATURES,
        (0x21, 0, [0, 0x6574_6e49, 0x2020_2020, 0x5844_546c]),
    ]);
    assert_eq!(with_tdx_words_above_the_end.confidential(), Confidential::Unknown);
}

#[test]
fn sev_is_an_offer_on_a_host_and_a_doubt_in_a_guest() {
    let host = x86_machine("EPYC 7763");
    let offered = Confidential::SevOffered { es: true, snp: true, coherent: true };
    assert_eq!(host.confidential(), offered);
    assert!(host.to_string().contains("confidential guest: no sign"));

    let guest = x86_report(&[
        (0, 0, [0x10, 0x6874_7541, 0x444d_4163, 0x6974_6e65]),
        (1, 0, [0x00a0_0f11, 0x0800, 1 << 31, 1 << 19 | 1 << 26]),
        (0x4000_0000, 0, [0x4000_0001, 0x4b4d_564b, 0x564b_4d56, 0x4d]),
        (0x8000_0000, 0, [0x8000_001f, 0, 0, 0]),
        (0x8000_001f, 0, [1 << 1, 0, 0, 0]),
    ]);
    let screen = guest.to_string().replace("\n              ", " ");
    assert!(screen.contains("SEV offered; whether on, only the kernel can read"), "{screen}");
    assert!(whole_cache(&guest).contains("in an SEV guest"));
    // EAX[10] is 0: encrypted and plain mappings do not agree.
    assert!(guest.virtualization().effects().lines.text.contains("encrypted and plain"));
}

/// A dump of a microVM that is no SEV guest shows all of SEV: the leaf is an offer in a guest too.
#[test]
fn sev_in_cpuid_is_no_proof_of_a_confidential_guest() {
    let report = x86_machine("Firecracker");
    let offered = Confidential::SevOffered { es: true, snp: true, coherent: true };
    assert_eq!(report.confidential(), offered);
    assert!(flowing(&report).contains("SEV, ES, SNP offered"), "{report}");

    // QEMU shows the leaf to SEV guests alone, and without coherence.
    let offered = Confidential::SevOffered { es: true, snp: true, coherent: false };
    assert_eq!(x86_machine("SEV-SNP guest").confidential(), offered);
}

fn whole_cache(report: &CpuReport) -> String {
    let refused = report.can_invalidate_memory().unwrap_err();
    assert_eq!(refused.why.missing, Missing::Operation);
    refused.to_string()
}

/// What a hypervisor does with WBINVD decides what a kernel in it can rely on: a user is told.
#[test]
fn the_whole_cache_is_refused_with_what_becomes_of_it() {
    let machines = [
        ("Nehalem", "WBINVD is privileged (#GP in user mode)"),
        ("9xx4 (family 25 model 17), KVM", "KVM ignores it"),
        ("TDX", "#VE"),
        ("Xen guest", "Xen ignores it"),
        ("VMware", "this hypervisor may ignore it"),
        ("CPU model max", "QEMU's emulation has no caches"),
        ("(Ice Lake-D), Hyper-V root", "under this root partition"),
        ("WSL 2", "nobody says what Hyper-V makes of it"),
    ];
    for (name, words) in machines {
        let report = x86_machine(name);
        assert!(whole_cache(&report).contains(words), "{name}: {}", whole_cache(&report));
        assert_eq!(report.can_invalidate_memory().unwrap_err().by, RefusedBy::UserMode, "{name}");
    }
    assert!(whole_cache(&arm64_machine("Altra")).contains("set/way"));
}

/// In ring 0 of the same machines it is there, or it is the hypervisor that is in the way.
#[test]
fn in_ring_0_the_report_says_that_the_whole_cache_can_be_invalidated() {
    let in_ring_0 = |name: &str| {
        let machine = x86_machines::MACHINES.iter().find(|machine| machine.name.contains(name));
        let cpu = Cpu { privileged: true, ..x86_cpu(machine.unwrap().cpuid) };
        CpuReport::new(&x86::ARCHITECTURE, cpu, Policy::ANY)
    };
    let bare = in_ring_0("Nehalem");
    assert_eq!(bare.can_invalidate_memory().unwrap().writeback_invalidate, "wbinvd");
    let screen = bare.to_string();
    assert!(screen.contains("Whole cache   yes: wbinvd on every CPU"), "{screen}");
    assert!(!screen.contains("user mode"), "{screen}");
    let guest = in_ring_0("Xen guest");
    assert!(!guest.to_string().contains("user mode"), "{guest}");
    assert!(matches!(guest.can_invalidate_memory().unwrap_err().by, RefusedBy::Hypervisor(_)));
}

/// The machines whose ID registers are recorded, as a kernel at EL1 sees them.
#[test]
fn each_arm64_machine_gets_at_el1_what_its_registers_say() {
    for machine in arm64::AT_EL1 {
        let name = machine.name;
        let report = at_el1(name);
        let expected = [Some(machine.coherency), machine.persistence, machine.deep];
        for (point, expected) in Point::ALL.into_iter().zip(expected) {
            let found = report.writeback(point).ok().map(|choice| choice.instruction.name);
            assert_eq!(found, expected, "{name} {point}");
        }
        assert_eq!(report.invalidate().unwrap().instruction.name, "dc civac", "{name}");
        assert_eq!(report.can_invalidate_memory().unwrap_err().by, RefusedBy::Architecture);
        assert_fits(&report.to_string(), 30, name);
    }
}

fn at_el1(name: &str) -> CpuReport {
    let at_el1 = arm64::AT_EL1.iter().find(|machine| machine.name.contains(name)).unwrap();
    let machine = arm64::MACHINES.iter().find(|machine| machine.name == at_el1.name).unwrap();
    let cpu = crate::cpu::recorded::arm64_cpu_at_el1(machine, at_el1.id_aa64isar1_el1);
    CpuReport::new(&aarch64::ARCHITECTURE, cpu, Policy::ANY)
}

/// Nobody traps it there: what the erratum forbids must not be chosen, and the report says which it is.
#[test]
fn an_early_cortex_a53_refuses_its_clean_at_el1() {
    let report = at_el1("Cortex-A53 r0p2");
    let Status::Refused(why) = status(&report, "dc cvac") else {
        panic!("826319 and others: {:?}", status(&report, "dc cvac"))
    };
    assert_eq!(why.missing, Missing::Erratum);
    assert!(why.reason.contains("826319"), "{}", why.reason);
    assert_eq!(status(&report, "dc civac"), Status::Present);
    // Linux's traps are no note for a kernel.
    assert!(!notes(&report).contains("traps"));
    assert_eq!(status(&at_el1("Cortex-A53 r0p4"), "dc cvac"), Status::Present);
    // DC CVAP is absent: no kernel is asked, so none is blamed.
    let Status::Absent(why) = status(&report, "dc cvap") else { panic!("the A53 has no DC CVAP") };
    assert!(!why.reason.contains("kernel"), "{}", why.reason);
}

fn signatures(report: &CpuReport) -> Vec<String> {
    let Hypervisor::Present { signatures, .. } = report.hypervisor() else { return Vec::new() };
    signatures.iter().map(ToString::to_string).collect()
}

const HYPER_V: Leaf = (0x4000_0000, 0, [0x4000_000c, 0x7263_694d, 0x666f_736f, 0x7648_2074]);

/// KVM that shows Hyper-V's interface first has its own signature at the second place; with Xen's
/// interface too, at the third (QEMU `docs/system/i386/xen.rst`, `hyperv.rst`).
#[test]
fn the_last_signature_names_the_hypervisor() {
    let kvm = |base| (base, 0, [base + 1, 0x4b4d_564b, 0x564b_4d56, 0x4d]);
    let xen = (0x4000_0100, 0, [0x4000_0105, 0x566e_6558, 0x6558_4d4d, 0x4d4d_566e]);

    let report = x86_report(&[VENDOR, UNDER_HYPERVISOR, HYPER_V, kvm(0x4000_0100)]);
    assert_eq!(signatures(&report), ["Microsoft Hv", "KVMKVMKVM"]);
    assert_eq!(report.hypervisor().kind(), Some(HypervisorKind::Kvm));

    let report = x86_report(&[VENDOR, UNDER_HYPERVISOR, HYPER_V, xen, kvm(0x4000_0200)]);
    assert_eq!(signatures(&report), ["Microsoft Hv", "XenVMMXenVMM", "KVMKVMKVM"]);
    assert_eq!(report.hypervisor().name(), Some("KVM"));

    // The last place that Linux looks at (`hypervisor_cpuid_base`).
    let report = x86_report(&[VENDOR, UNDER_HYPERVISOR, HYPER_V, kvm(0x4000_ff00)]);
    assert_eq!(report.hypervisor().name(), Some("KVM"));

    let report = x86_report(&[VENDOR, UNDER_HYPERVISOR, HYPER_V]);
    assert_eq!(report.hypervisor().name(), Some("Hyper-V"));
}

#[test]
fn a_signature_names_its_hypervisor_and_source() {
    let (kind, source) = HypervisorKind::of_signature("VBoxVBoxVBox").unwrap();
    assert_eq!(kind, HypervisorKind::VirtualBox);
    assert!(source.contains("Fuchsia"), "{source}");
    assert_eq!(HypervisorKind::of_signature("GenuineIntel"), None);
}

/// bhyve answers each leaf of the range as the first (FreeBSD `sys/amd64/vmm/x86.c`).
#[test]
fn a_hypervisor_that_shows_itself_everywhere_is_one() {
    let bhyve = |base| (base, 0, [0x4000_0000, 0x7679_6862, 0x6862_2065, 0x2065_7679]);
    let zeroed = |base| (base, 0, [0, 0x7679_6862, 0x6862_2065, 0x2065_7679]);
    for leaves in
        [[bhyve(0x4000_0000), bhyve(0x4000_0100)], [zeroed(0x4000_0000), zeroed(0x4000_0100)]]
    {
        let report = x86_report(&[VENDOR, UNDER_HYPERVISOR, leaves[0], leaves[1]]);
        assert_eq!(signatures(&report), ["bhyve bhyve"]);
        assert_eq!(report.hypervisor().kind(), Some(HypervisorKind::Bhyve));
    }
}

/// The places are asked only where the CPU says that there is a hypervisor: each CPUID leaves a
/// virtual machine.
#[test]
fn a_machine_that_is_no_guest_is_not_asked_for_signatures() {
    let kvm = (0x4000_0000, 0, [0x4000_0001, 0x4b4d_564b, 0x564b_4d56, 0x4d]);
    let report = x86_report(&[VENDOR, MINIMAL_FEATURES, kvm]);
    assert_eq!(report.hypervisor(), Hypervisor::Absent);
}

/// Linux `drivers/hv/hv_common.c`: `CreatePartitions` (EBX\[0\]) and `CpuManagement` (EBX\[12\]) without
/// isolation (EBX\[22\]); the first alone is a guest that may have guests (L1VH).
#[test]
fn a_root_partition_is_told_from_a_guest() {
    let roots: Vec<_> = x86_machines::MACHINES
        .iter()
        .filter(|machine| {
            matches!(
                x86_report(machine.cpuid).hypervisor(),
                Hypervisor::Present { is_root: true, .. }
            )
        })
        .map(|machine| machine.name)
        .collect();
    assert_eq!(roots.len(), 5, "{roots:?}");
    assert!(roots.iter().all(|name| name.ends_with("Hyper-V root")), "{roots:?}");

    for (ebx, expected) in [(0x1001, true), (1, false), (0x1000, false), (0x0040_1001, false)] {
        let privileges = (0x4000_0003, 0, [0, ebx, 0, 0]);
        let report = x86_report(&[VENDOR, UNDER_HYPERVISOR, HYPER_V, privileges]);
        let Hypervisor::Present { is_root, .. } = report.hypervisor() else {
            panic!("the bit says that there is a hypervisor")
        };
        assert_eq!(is_root, expected, "{ebx:#x}");
    }
}

/// EBX\[3:0\] of `4000_000CH`: 1 VBS, 2 SEV-SNP, 3 TDX (Linux `hv_isolation_type`); EAX\[0\]: a
/// paravisor. A guest whose leaf 21H a paravisor hides shows TDX here alone.
#[test]
fn hyper_v_tells_how_it_isolates() {
    let isolated = (0x4000_0003, 0, [0, 1 << 22, 0, 0]);
    let of = |eax, ebx, privileges| {
        let leaf = (0x4000_000c, 0, [eax, ebx, 0, 0]);
        x86_report(&[VENDOR, UNDER_HYPERVISOR, HYPER_V, privileges, leaf])
    };
    for (ebx, isolation, handling) in [
        (0x0be1, Isolation::Vbs, Handling::Unknown),
        (0x0be2, Isolation::SevSnp, Handling::MayBeIgnored),
        (0x0be3, Isolation::Tdx, Handling::Fatal),
        (0x0be7, Isolation::Other(7), Handling::Unknown),
    ] {
        let report = of(0, ebx, isolated);
        let expected = Confidential::HyperV { isolation, paravisor: false };
        assert_eq!(report.confidential(), expected);
        assert_eq!(report.virtualization().effects().whole_cache.is, handling, "{isolation:?}");
    }
    let report = of(1, 0x0be3, isolated);
    assert_eq!(report.virtualization().effects().whole_cache.is, Handling::Unknown);
    assert!(flowing(&report).contains("TDX with a paravisor (CPUID.4000000CH)"), "{report}");

    assert_eq!(of(0, 0x0be0, isolated).confidential(), Confidential::Unknown);
    assert_eq!(of(0, 3, (0x4000_0003, 0, [0; 4])).confidential(), Confidential::Unknown);
    assert_eq!(x86_machine("TDX guest on Azure").confidential(), Confidential::Tdx);
}

/// Rosetta has no leaves of its own: its name is the CPU's.
#[test]
fn rosetta_is_known_by_the_name_of_the_cpu() {
    // "VirtualApple", EBX, EDX, ECX.
    let vendor = (0, 0, [7, 0x7472_6956, 0x656c_7070, 0x416c_6175]);
    let report = x86_report(&[vendor, MINIMAL_FEATURES]);
    assert_eq!(report.hypervisor().kind(), Some(HypervisorKind::Rosetta));
    assert!(whole_cache(&report).contains("Rosetta"));
}

/// What may be relied on is what nobody takes away.
#[test]
fn whole_cache_operations_are_executed_on_bare_metal_alone() {
    for machine in x86_machines::MACHINES {
        let report = x86_report(machine.cpuid);
        let effects = report.virtualization().effects();
        let is_bare = machine.hypervisor.is_none();
        assert_eq!(effects.whole_cache.is == Handling::Executed, is_bare, "{}", machine.name);
        let tells_of_a_guest = ["hypervisor", "guest", "KVM", "Xen"]
            .iter()
            .any(|word| whole_cache(&report).contains(word));
        assert_eq!(tells_of_a_guest, !is_bare, "{}", machine.name);
    }
    let lines = x86_machine("9xx4 (family 25 model 17), KVM").virtualization().effects().lines;
    assert_eq!((lines.is, lines.certainty), (Handling::Executed, Certainty::Documented));
}

#[test]
fn a_guest_that_can_be_moved_says_so() {
    let migration = |name| x86_machine(name).virtualization().effects().migration.is;
    assert_eq!(migration("9xx4 (family 25 model 17), KVM"), Migration::Possible);
    assert_eq!(migration("Nehalem"), Migration::No);
    assert_eq!(migration("(Ice Lake-D), Hyper-V root"), Migration::No);
    let report = x86_machine("9xx4 (family 25 model 17), KVM");
    assert!(flowing(&report).contains("can be moved to another host"), "{report}");
}

/// Of each architecture, and with a source for each.
#[test]
fn at_least_twenty_machines_are_recorded() {
    let x86 = x86_machines::MACHINES
        .iter()
        .map(|machine| (machine.provenance == x86_machines::Provenance::Recorded, machine.source));
    let arm64 = arm64::MACHINES
        .iter()
        .map(|machine| (machine.provenance == arm64::Provenance::Recorded, machine.source));
    let sources: Vec<_> = x86.chain(arm64).collect();
    assert!(sources.iter().filter(|(is_recorded, _)| *is_recorded).count() >= 20);
    assert!(sources.iter().all(|(_, source)| !source.is_empty()));
}

/// EAX of a hypervisor's first leaf names its highest; other words there are another leaf's. At the
/// second place even right-looking leaves count only with a known signature.
#[test]
fn words_that_are_no_hypervisor_leaf_are_no_signature() {
    let another_leaf = (0x4000_0000, 0, [0x0000_021f, 0x4141_4141, 0x4141_4141, 0x4141_4141]);
    let report = x86_report(&[VENDOR, UNDER_HYPERVISOR, another_leaf]);
    assert!(report.to_string().contains("one not known here (signature \"\")"), "{report}");

    let first = (0x4000_0000, 0, [0x4000_0001, 0x4b4d_564b, 0x564b_4d56, 0x4d]);
    let unknown = (0x4000_0100, 0, [0x4000_0101, 0x4141_4141, 0x4141_4141, 0x4141_4141]);
    let report = x86_report(&[VENDOR, UNDER_HYPERVISOR, first, unknown]);
    assert_eq!(report.hypervisor().name(), Some("KVM"));
}

const VENDOR: Leaf = (0, 0, [7, 0x756e_6547, 0x6c65_746e, 0x4965_6e69]);
/// CLFLUSH, SSE2, lines of 64 bytes.
const MINIMAL_FEATURES: Leaf = (1, 0, [0x0005_0654, 0x0800, 0, 1 << 19 | 1 << 26]);
const UNDER_HYPERVISOR: Leaf = (1, 0, [0x0005_0654, 0x0800, 1 << 31, 1 << 19 | 1 << 26]);

#[test]
fn a_signature_cannot_command_the_terminal() {
    let [ebx, ecx, edx] = [*b"\x1b]0;", *b"own\x07", *b"\x9b2J!"].map(u32::from_le_bytes);
    let report =
        x86_report(&[VENDOR, UNDER_HYPERVISOR, (0x4000_0000, 0, [0x4000_0001, ebx, ecx, edx])]);
    let screen = report.to_string();
    assert!(screen.contains("one not known here (signature \"?]0;own??2J!\")"), "{screen}");
    assert!(screen.chars().all(|c| c == '\n' || !c.is_control()));
}

fn refused(leaves: &[Leaf]) -> (Missing, CpuReport) {
    let report = x86_report(leaves);
    let refusal = report.line().unwrap_err();
    for point in Point::ALL {
        assert_eq!(report.writeback(point), Err(refusal));
    }
    assert_eq!(report.invalidate(), Err(refusal));
    assert!(report.to_string().contains("Write-back    no: "), "{report}");
    (refusal.missing, report)
}

#[test]
fn a_cpu_without_clflush_is_refused_and_still_named() {
    let (missing, report) = refused(&[VENDOR, (1, 0, [0x0543, 0, 0, 0x0183_fbff & !(1 << 19)])]);
    assert_eq!(missing, Missing::Instruction);
    assert!(report.to_string().contains("GenuineIntel, family 5 model 4 stepping 3"), "{report}");
}

/// AMD Geode LX: CLFLUSH with lines of 32 bytes and neither SFENCE nor MFENCE. Its words: CPUID dump
/// of `AuthenticAMD00005A2` in jcurl/RJCP.DLL.CpuId, 1:EDX = 0088A93DH.
#[test]
fn clflush_without_a_fence_is_refused() {
    let (missing, report) = refused(&[
        (0, 0, [1, 0x6874_7541, 0x444d_4163, 0x6974_6e65]),
        (1, 0, [0x05a2, 0x0400, 0, 0x0088_a93d]),
    ]);
    assert_eq!(missing, Missing::Instruction);
    assert!(report.line().unwrap_err().reason.contains("no SSE2"));
    assert!(matches!(status(&report, "clflush"), Status::Refused(_)));
    assert!(matches!(status(&report, "clflushopt"), Status::Absent(_)));
}

/// EBX\[15:8\] counts 8 bytes: 0, 6 (48 bytes, no power of two); 2040 bytes is the most it can say.
#[test]
fn a_line_size_that_cannot_be_one_is_refused_by_its_number() {
    for (ebx, bytes) in [(0x0000, 0), (0x0100, 8), (0x0600, 48), (0xff00, 2040)] {
        let (missing, _) = refused(&[VENDOR, (1, 0, [0, ebx, 0, 1 << 19 | 1 << 26])]);
        assert_eq!(missing, Missing::LineSize(bytes));
    }
    // arm64: 4 << DminLine. 8 bytes (1) and 4096 bytes (10) are outside of what the architecture has.
    for (dminline, bytes) in [(0, 4), (1, 8), (10, 4096), (15, 131_072)] {
        let machine =
            arm64::Machine { ctr_el0: 0x8000_c004 | dminline << 16, ..arm64::MACHINES[0] };
        let why = arm64_report(&machine).writeback(Point::Coherency).unwrap_err();
        assert_eq!(why.missing, Missing::LineSize(bytes));
    }
}

/// A granule smaller than a line would let two buffers share one.
#[test]
fn the_granule_is_never_smaller_than_the_line() {
    // CWG 3 (32 bytes), DminLine 4 (64 bytes).
    let machine = arm64::Machine { ctr_el0: 0x8344_c004, ..arm64::MACHINES[0] };
    assert_eq!(arm64_report(&machine).line().unwrap().granule, 64);
}

#[test]
fn an_early_cortex_a53_is_slow_and_says_so() {
    assert!(notes(&arm64_machine("Cortex-A53 r0p2")).contains("traps every line operation"));
    assert!(!notes(&arm64_machine("Cortex-A53 r0p4")).contains("traps"));
}

#[test]
fn a_point_of_persistence_is_not_proven_by_its_instruction() {
    assert!(notes(&arm64_machine("Altra")).contains("cannot be found out"));
    assert!(!notes(&arm64_machine("Cortex-A53 r0p4")).contains("cannot be found out"));
}

/// Apple's implementer is 61H (Linux `cputype.h`). What its kernel says does nothing must not pass for a
/// write-back.
#[test]
fn no_clean_is_trusted_on_apples_cpus() {
    let report = arm64_machine("Apple M1, Linux guest");
    for name in ["dc cvac", "dc cvap"] {
        assert!(matches!(status(&report, name), Status::Refused(_)), "{name}");
    }
    let choice = report.writeback(Point::Coherency).unwrap();
    assert_eq!(choice.instruction.name, "dc civac");
    assert!(report.writeback(Point::Persistence).is_err());
}

#[test]
fn streaming_stores_are_trusted_only_where_the_vendor_promises() {
    assert!(notes(&x86_machine("Skylake-SP")).contains("evict the line"));
    for name in ["EPYC 7763", "KX-6000G", "Dhyana"] {
        assert!(notes(&x86_machine(name)).contains("no manual promises"), "{name}");
    }
    assert!(notes(&x86_machine("Zen 5, family 1Ah")).contains("(measured)"));
}

#[test]
fn a_vendor_s_word_alone_says_that_streaming_stores_evict() {
    for (name, expected) in [
        ("Skylake-SP", (true, Certainty::Documented)),
        ("Zen 5, family 1Ah", (false, Certainty::Measured)),
        ("EPYC 7763", (false, Certainty::Measured)),
        ("Dhyana", (false, Certainty::Assumed)),
    ] {
        let statement = x86_machine(name).streaming_stores_evict().unwrap();
        assert_eq!((statement.is, statement.certainty), expected, "{name}: {}", statement.source);
    }
    assert_eq!(arm64_machine("Altra").streaming_stores_evict(), None);
}

/// AMD orders `clflush` by MFENCE alone (APM vol. 3, CLFLUSH); `clwb` may keep the line.
#[test]
fn an_instruction_has_the_fences_of_its_vendor() {
    let row = |machine: &str, name: &str| {
        let report = x86_machine(machine);
        report.instructions().find(|row| row.instruction.name == name).unwrap()
    };
    let clflush = row("FX-8350", "clflush");
    assert_eq!(clflush.writeback.to_string(), "mfence, then clflush each line, then mfence");
    assert_eq!(clflush.invalidate, Some(clflush.writeback));
    let clwb = row("EPYC 9655", "clwb");
    assert_eq!(clwb.writeback.to_string(), "clwb each line, then sfence");
    assert_eq!(clwb.invalidate, None);
}

/// What orders an instruction, and errata that name one, are told where they apply and nowhere else.
#[test]
fn errata_of_clflush_are_reported() {
    // CLFLUSH is all they have; the second is Intel's.
    let with_clflush_alone =
        |vendor| x86_report(&[vendor, (1, 0, [0x10f0, 0x0800, 0, 0x0408_0000])]);
    let amd: Leaf = (0, 0, [1, 0x6874_7541, 0x444d_4163, 0x6974_6e65]);
    assert!(notes(&with_clflush_alone(amd)).contains("ordered by mfence alone"));
    assert!(!notes(&with_clflush_alone(VENDOR)).contains("mfence alone"));
    assert!(!notes(&x86_machine("EPYC 7763")).contains("mfence alone"), "it has clflushopt");
    // Westmere-EX is family 6, model 2fH (Linux intel-family.h); a Nehalem desktop is model 1aH.
    let words = |signature| [VENDOR, (1, 0, [signature, 0x0800, 0, 0x0408_0000])];
    assert!(notes(&x86_report(&words(0x206f2))).contains("AAI65"));
    assert!(!notes(&x86_report(&words(0x106a5))).contains("AAI65"));
}

#[test]
fn accepting_coherency_shows_in_the_choice_and_in_the_report() {
    let machine = arm64::MACHINES.iter().find(|machine| machine.name.contains("A57")).unwrap();
    let cpu = arm64_cpu(machine);
    let accepting = Policy::ANY.accepting_coherency();
    let report = CpuReport::new(&aarch64::ARCHITECTURE, cpu, accepting);
    assert!(report.accepts_coherency_as_persistence());
    assert_eq!(report.writeback(Point::Persistence).unwrap().instruction.name, "dc cvac");
    assert!(notes(&report).contains("accepts coherency as persistence"));
    assert!(report.writeback(Point::DeepPersistence).is_err());
}

#[test]
fn data_do_not_alias_on_x86_and_arm64() {
    for (name, architecture, cpu) in all() {
        let report = CpuReport::new(architecture, cpu, Policy::ANY);
        assert!(matches!(report.aliasing(), Aliasing::No { .. }), "{name}");
    }
}

/// A target without a back end gets a report like any other: nothing in it, with the reason.
#[test]
fn an_architecture_without_operations_says_why() {
    let reason = other::ARCHITECTURE.unreachable[0];
    let cpu = Cpu::refused(reason);
    let report = CpuReport::new(&other::ARCHITECTURE, cpu, Policy::ANY);
    assert_eq!(report.writeback(Point::Coherency), Err(reason));
    assert_eq!(report.instructions().count(), 0);
    assert!(report.to_string().contains("Write-back    no: "), "{report}");
    assert!(matches!(report.aliasing(), Aliasing::Unknown { .. }));
}

#[test]
fn the_report_on_this_machine_is_what_its_cache_does() {
    let report = CpuReport::host();
    match crate::Cache::host() {
        Ok(cache) => {
            let choice = report.writeback(Point::Coherency).unwrap();
            assert_eq!(choice.instruction, cache.writeback_instruction());
            let fences = cache.writeback_fences();
            assert_eq!((choice.before, choice.after), (fences.before, fences.after));
            let choice = report.invalidate().unwrap();
            assert_eq!(choice.instruction, cache.invalidate_instruction());
            let fences = cache.invalidate_fences();
            assert_eq!((choice.before, choice.after), (fences.before, fences.after));
            assert_eq!(report.line().unwrap().size.bytes(), cache.line_size());
        }
        Err(why) => assert_eq!(report.writeback(Point::Coherency), Err(why)),
    }
}

#[test]
fn the_report_on_a_cache_has_the_instruction_that_was_asked_for() {
    let host = match crate::Cache::host() {
        Ok(host) => host,
        Err(why) => {
            return skip("the_report_on_a_cache_has_the_instruction_that_was_asked_for", why);
        }
    };
    let slowest = host.invalidate_instruction();
    let cache = crate::Cache::builder().writeback_with(slowest).build().unwrap();
    let choice = CpuReport::for_cache(cache).writeback(Point::Coherency).unwrap();
    assert_eq!(choice.instruction.name, slowest.name);
}

/// A kernel on RISC-V has no other way than to describe the CPU: what it says is what is executed.
#[cfg(all(target_arch = "x86_64", not(any(miri, loom))))]
#[expect(unsafe_code, reason = "a description is the caller's word")]
#[test]
fn the_report_on_a_described_cpu_has_what_was_described() {
    use crate::{Cache, Facts, LineSize, instruction::CLFLUSH};
    let facts = Facts::new(LineSize::new(32).unwrap()).with(CLFLUSH);
    // SAFETY: every x86_64 CPU has CLFLUSH, and none has lines of fewer than 32 bytes.
    let report = CpuReport::for_cache(unsafe { Cache::from_facts(facts) }.unwrap());
    let choice = report.writeback(Point::Persistence).unwrap();
    assert_eq!((choice.instruction, choice.after), (CLFLUSH, "mfence"));
    let line = report.line().unwrap();
    assert_eq!((line.size.bytes(), line.source), (32, "the caller's description"));
    let Status::Absent(why) = status(&report, "clwb") else { panic!("it was not described") };
    assert!(why.reason.contains("description"), "{}", why.reason);
    // Which CPU it is, is still found out.
    assert_eq!(report.identity(), CpuReport::host().identity());
}

/// On x86 privileged code finds what user mode finds, and its report says the same of lines.
#[cfg(all(feature = "privileged", target_arch = "x86_64", not(any(miri, loom))))]
#[expect(unsafe_code, reason = "the level is the caller's word")]
#[test]
fn a_handle_of_privileged_code_is_built_with_the_same_overrides() {
    let host = match crate::Cache::host() {
        Ok(host) => host,
        Err(why) => {
            return skip("a_handle_of_privileged_code_is_built_with_the_same_overrides", why);
        }
    };
    let slowest = host.invalidate_instruction();
    let builder = crate::Cache::builder()
        .writeback_with(slowest)
        .point(Point::Persistence)
        .accept_coherency_as_persistence();
    // SAFETY: (1) is about arm64; (2) it is used on this machine.
    let cache = unsafe { builder.build_privileged() }.unwrap();
    assert_eq!(cache.writeback_instruction().name, slowest.name);
    let report = CpuReport::for_cache(cache);
    assert_eq!(report.writeback(Point::Persistence).unwrap().instruction.name, slowest.name);
    assert!(report.accepts_coherency_as_persistence());
    // It is still user mode, whatever was vouched for.
    assert_eq!(report.can_invalidate_memory().unwrap_err().by, RefusedBy::UserMode);
}

/// At EL1 of a CPU without DC CVAP the caller can accept coherency by name, as in user mode.
#[test]
fn coherency_is_accepted_as_persistence_at_el1_too() {
    let facts = at_el1("Cortex-A72");
    assert_eq!(facts.writeback(Point::Persistence).unwrap_err().missing, Missing::Point);
    let machine = arm64::MACHINES.iter().find(|machine| machine.name.contains("Cortex-A72"));
    let cpu = crate::cpu::recorded::arm64_cpu_at_el1(machine.unwrap(), 0);
    let accepting = Policy::ANY.accepting_coherency();
    let report = CpuReport::new(&aarch64::ARCHITECTURE, cpu, accepting);
    assert_eq!(report.writeback(Point::Persistence).unwrap().instruction.name, "dc cvac");
}

pub(super) fn assert_fits(screen: &str, lines: usize, what: &str) {
    let count = screen.lines().count();
    assert!(count <= lines, "{what}: {count} lines\n{screen}");
    for line in screen.lines() {
        assert!(line.chars().count() <= 80, "{what}: {line}");
        assert_eq!(line.trim_end(), line, "{what}: ends in blanks");
    }
    assert!(screen.chars().all(|c| c == '\n' || !c.is_control()), "{what}");
}

#[test]
#[cfg_attr(miri, ignore = "takes minutes there, and is about words")]
fn each_cpu_report_fits_on_a_screen() {
    for (name, architecture, cpu) in all() {
        let report = CpuReport::new(architecture, cpu, Policy::ANY);
        assert_fits(&report.to_string(), 30, name);
    }
}

/// The leaves that anything reads.
const LEAVES: [(u32, u32); 15] = [
    (0, 0),
    (1, 0),
    (7, 0),
    (7, 1),
    (0x21, 0),
    (0x4000_0000, 0),
    (0x4000_0003, 0),
    (0x4000_000c, 0),
    (0x4000_0100, 0),
    (0x4000_ff00, 0),
    (0x8000_0000, 0),
    (0x8000_0002, 0),
    (0x8000_0003, 0),
    (0x8000_0004, 0),
    (0x8000_001f, 0),
];

proptest! {
    #[test]
    fn no_cpuid_words_make_detection_panic(words: [[u32; 4]; 15], far: bool) {
        let mut leaves: Vec<Leaf> = LEAVES
            .into_iter()
            .zip(words)
            .map(|((leaf, subleaf), words)| (leaf, subleaf, words))
            .collect();
        if far {
            // Every leaf counts as there.
            for (leaf, _, words) in &mut leaves {
                if matches!(leaf, 0 | 0x8000_0000) {
                    words[0] = u32::MAX;
                }
            }
        }
        let report = x86_report(&leaves);
        if let Ok(line) = report.line() {
            prop_assert!(line.size.bytes().is_power_of_two());
        }
        assert_fits(&report.to_string(), 40, &format!("{words:x?}"));
    }

    #[test]
    fn no_arm64_words_make_detection_panic(midr_el1: u64, ctr_el0: u64, hwcap: u64, hwcap2: u64) {
        let machine = arm64::Machine { midr_el1, ctr_el0, hwcap, hwcap2, ..arm64::MACHINES[0] };
        let report = arm64_report(&machine);
        if let Ok(line) = report.line() {
            prop_assert!(line.granule >= line.size.bytes());
        }
        assert_fits(&report.to_string(), 40, &format!("{ctr_el0:x} {hwcap:x} {hwcap2:x} {midr_el1:x}"));
    }
}

// Safe code over many files: minutes under Miri, and nothing for it to find. The trees of Linux have links.
#[cfg(all(feature = "std", unix, not(miri)))]
mod aliasing;
#[cfg(all(feature = "std", unix, not(miri)))]
mod host;
#[cfg(all(feature = "std", feature = "serde", unix, not(miri)))]
mod json;
