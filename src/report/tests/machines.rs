//! Every recorded machine, and words that no machine has.

use super::{CPU_LINES, arm64_report, assert_fits, at_el1, x86_machine, x86_report};
use crate::aliasing::Aliasing;
use crate::arch::{Missing, Point, other};
use crate::cache::Builder;
use crate::cpu::recorded::{Leaf, all, arm64, x86 as x86_machines};
use crate::cpu::{Cpu, Midr};
use crate::report::{Confidential, CpuIdentity, CpuReport, Hypervisor, RefusedBy, Text};
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use proptest::prelude::*;

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

        let line = report.line.unwrap();
        assert_eq!((line.size, line.granule), (machine.line, machine.line), "{name}");
        assert_eq!(line.source, "CPUID.1:EBX[15:8]");

        let is_tdx = report.confidential == Confidential::Tdx;
        assert_eq!(is_tdx, machine.confidential == Some("TDX"), "{name}");
        match (report.hypervisor, machine.hypervisor) {
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
        if machine.coherency.is_none() {
            assert_eq!(report.line.unwrap_err().missing, Missing::Permission, "{name}");
            assert_eq!(report.invalidate().unwrap_err().missing, Missing::Permission, "{name}");
            continue;
        }
        let expected = [machine.coherency, machine.persistence, machine.deep];
        for (point, expected) in Point::ALL.iter().copied().zip(expected) {
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

        let line = report.line.unwrap();
        assert_eq!((line.size, line.granule), (machine.line, machine.granule), "{name}");
        assert_eq!(report.hypervisor, Hypervisor::Unknown, "{name}");
        assert_eq!(report.confidential, Confidential::Unknown, "{name}");
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
        let CpuIdentity::X86 { family, model, brand, .. } = x86_machine(name).identity else {
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

/// The machines whose ID registers are recorded, as a kernel at EL1 sees them.
#[test]
fn each_arm64_machine_gets_at_el1_what_its_registers_say() {
    for machine in arm64::AT_EL1 {
        let name = machine.name;
        let report = at_el1(name);
        let expected = [Some(machine.coherency), machine.persistence, machine.deep];
        for (point, expected) in Point::ALL.iter().copied().zip(expected) {
            let found = report.writeback(point).ok().map(|choice| choice.instruction.name);
            assert_eq!(found, expected, "{name} {point}");
        }
        assert_eq!(report.invalidate().unwrap().instruction.name, "dc civac", "{name}");
        assert_eq!(report.can_invalidate_memory().unwrap_err().by, RefusedBy::Architecture);
        assert_fits(&report.to_string(), CPU_LINES, name);
    }
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

/// A target without a back end gets a report like any other: nothing in it, with the reason.
#[test]
fn an_architecture_without_operations_says_why() {
    let reason = other::ARCHITECTURE.unreachable[0];
    let cpu = Cpu::refused(reason);
    let report = CpuReport::new(&other::ARCHITECTURE, cpu, Builder::new());
    assert_eq!(report.writeback(Point::Coherency), Err(reason));
    assert_eq!(report.instructions().count(), 0);
    assert!(report.to_string().contains("Write-back    no: "), "{report}");
    assert!(matches!(report.aliasing, Aliasing::Unknown { .. }));
}

#[test]
#[cfg_attr(miri, ignore = "takes minutes there, and is about words")]
fn each_cpu_report_fits_on_a_screen_and_has_data_that_do_not_alias() {
    for (name, architecture, cpu) in all() {
        let report = CpuReport::new(architecture, cpu, Builder::new());
        assert_fits(&report.to_string(), CPU_LINES, name);
        assert!(matches!(report.aliasing, Aliasing::No { .. }), "{name}");
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
        if let Ok(line) = report.line {
            prop_assert!(line.size.is_power_of_two());
        }
        assert_fits(&report.to_string(), 40, &format!("{words:x?}"));
    }

    #[test]
    fn no_arm64_words_make_detection_panic(midr_el1: u64, ctr_el0: u64, hwcap: u64, hwcap2: u64) {
        let machine = arm64::Machine { midr_el1, ctr_el0, hwcap, hwcap2, ..arm64::MACHINES[0] };
        let report = arm64_report(&machine);
        if let Ok(line) = report.line {
            prop_assert!(line.granule >= line.size);
        }
        assert_fits(&report.to_string(), 40, &format!("{ctr_el0:x} {hwcap:x} {hwcap2:x} {midr_el1:x}"));
    }
}
