//! Instructions: which are present, refused or absent, their fences, and notes on them.

use super::{VENDOR, arm64_machine, arm64_report, at_el1, notes, status, x86_machine, x86_report};
use crate::arch::{Instruction, Missing, Point, aarch64};
use crate::cache::Builder;
use crate::cpu::Cpu;
use crate::cpu::recorded::{Leaf, arm64, arm64_cpu, reader, x86};
use crate::instruction::Facts;
use crate::report::{CpuReport, Status};
use crate::statement::Certainty;
use alloc::string::ToString;
use alloc::vec::Vec;

#[test]
fn instructions_are_listed_once_with_their_status() {
    let report = x86_machine("Nehalem");
    let names: Vec<_> = report.instructions().map(|row| row.instruction.name).collect();
    assert_eq!(names, ["clwb", "clflushopt", "clflush"]);
    assert_eq!(status(&report, "clflush"), Status::Present);
    let Status::Absent(why) = status(&report, "clwb") else { panic!("Nehalem has no clwb") };
    assert_eq!(why.reason, "this CPU does not have it");
}

#[test]
fn under_a_hypervisor_an_absent_instruction_may_be_hidden() {
    let Status::Absent(why) = status(&x86_machine("Xen guest"), "clwb") else {
        panic!("Haswell has no clwb")
    };
    assert!(why.reason.contains("the CPU itself may have it"), "{}", why.reason);
    assert!(!why.advice.is_empty());
}

/// No kernel traps it there: the instruction that the erratum forbids must not be chosen, and the report names the
/// erratum.
#[test]
fn a_cortex_a53_refuses_its_clean_at_el1() {
    let report = at_el1("Cortex-A53 r0p2");
    let Status::Refused(why) = status(&report, "dc cvac") else {
        panic!("855873 and others: {:?}", status(&report, "dc cvac"))
    };
    assert_eq!(why.missing, Missing::Erratum);
    assert!(why.reason.contains("855873"), "{}", why.reason);
    assert_eq!(status(&report, "dc civac"), Status::Present);
    // A kernel gets no note about Linux's traps.
    assert!(!notes(&report).contains("traps"));
    assert!(matches!(status(&at_el1("Cortex-A53 r0p4"), "dc cvac"), Status::Refused(_)));
    assert_eq!(status(&at_el1("Cortex-A72"), "dc cvac"), Status::Present);
    // DC CVAP is absent: no kernel is asked, so none is blamed.
    let Status::Absent(why) = status(&report, "dc cvap") else { panic!("the A53 has no DC CVAP") };
    assert!(!why.reason.contains("kernel"), "{}", why.reason);
}

fn refused(leaves: &[Leaf]) -> (Missing, CpuReport) {
    let report = x86_report(leaves);
    let refusal = report.line.unwrap_err();
    for &point in Point::ALL {
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
    assert!(report.line.unwrap_err().reason.contains("no SSE2"));
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
    // arm64: 4 << DminLine. 8 bytes (1) and 4096 bytes (10) are outside of the architecture's range.
    for (dminline, bytes) in [(0, 4), (1, 8), (10, 4096), (15, 131_072)] {
        let machine =
            arm64::Machine { ctr_el0: 0x8000_c004 | dminline << 16, ..arm64::MACHINES[0] };
        let why = arm64_report(&machine).writeback(Point::Coherency).unwrap_err();
        assert_eq!(why.missing, Missing::LineSize(bytes));
    }
}

/// Part D46H is the Cortex-A510 (Linux `arch/arm64/include/asm/cputype.h`).
#[test]
fn notes_are_about_the_core_that_they_name() {
    let a510 = arm64::Machine { midr_el1: 0x410f_d461, ..arm64::MACHINES[0] };
    let notes_of = |name| notes(&arm64_machine(name));
    assert!(notes(&arm64_report(&a510)).contains("unmodified lines"));
    assert!(notes_of("Cortex-A53 r0p2").contains("traps every line operation"));
    assert!(notes_of("Altra").contains("cannot be detected"));
    for text in ["unmodified lines", "traps", "cannot be detected"] {
        assert!(!notes_of("Cortex-A53 r0p4").contains(text), "{text}");
    }
}

/// Apple's implementer is 61H (Linux `cputype.h`). An instruction that does nothing according to Apple's kernel must
/// not pass for a write-back.
#[test]
fn no_write_back_is_trusted_on_apples_cpus_in_user_mode_and_no_clean_at_el1() {
    let report = arm64_machine("Apple M1, Linux guest");
    for &point in Point::ALL {
        let why = report.writeback(point).unwrap_err();
        assert!(why.reason.contains("m1n1"), "{point}: {}", why.reason);
    }
    let report = at_el1("Apple M1");
    for name in ["dc cvac", "dc cvap"] {
        assert!(matches!(status(&report, name), Status::Refused(_)), "{name}");
    }
    let choice = report.writeback(Point::Coherency).unwrap();
    assert_eq!(choice.instruction.name, "dc civac");
}

#[test]
fn a_vendor_s_word_alone_says_that_streaming_stores_evict() {
    for (name, expected) in [
        ("Skylake-SP", (true, Certainty::Documented)),
        ("Zen 5, family 1Ah", (false, Certainty::Measured)),
        ("EPYC 7763", (false, Certainty::Measured)),
        ("Dhyana", (false, Certainty::Assumed)),
        ("KX-6000G", (false, Certainty::Assumed)),
    ] {
        let report = x86_machine(name);
        let statement = report.streaming_stores_evict().unwrap();
        assert_eq!(
            (statement.answer, statement.certainty),
            expected,
            "{name}: {}",
            statement.source
        );
        assert!(notes(&report).contains(statement.text), "{name}");
    }
    assert_eq!(arm64_machine("Altra").streaming_stores_evict(), None);
}

/// A hypervisor can name any vendor (QEMU's `-cpu EPYC,vendor=GenuineIntel`). The caches are those of the CPU.
#[test]
fn the_name_of_intel_is_not_believed_beside_features_of_amd_alone() {
    use crate::cpu::block_stores::x86_64::{Registers, read};
    for name in ["FX-8350", "EPYC 7763", "EPYC 9xx4", "Firecracker", "model max"] {
        let machine = x86::MACHINES.iter().find(|machine| machine.name.contains(name)).unwrap();
        let mut leaves = machine.cpuid.to_vec();
        let first = leaves.iter_mut().find(|row| row.0 == 0).unwrap();
        first.2[1..].copy_from_slice(&VENDOR.2[1..]);
        let report = x86_report(&leaves);
        let clflush = report.instructions().find(|row| row.instruction.name == "clflush").unwrap();
        assert_eq!(clflush.instruction.source, "AMD APM vol. 3, CLFLUSH", "{name}");
        assert!(!report.streaming_stores_evict().unwrap().answer, "{name}");
        assert!(!read(&reader(&leaves), Registers::Vector, || 0).evicts, "{name}");
    }
}

/// On AMD only MFENCE orders `clflush` (APM vol. 3, CLFLUSH); `clwb` may keep the line.
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

/// A note on the ordering of an instruction appears only on the CPUs that it applies to.
#[test]
fn clflush_that_only_mfence_orders_is_noted() {
    // CLFLUSH is all they have; the second is Intel's.
    let with_clflush_alone =
        |vendor| x86_report(&[vendor, (1, 0, [0x10f0, 0x0800, 0, 0x0408_0000])]);
    let amd: Leaf = (0, 0, [1, 0x6874_7541, 0x444d_4163, 0x6974_6e65]);
    for report in [with_clflush_alone(amd), x86_machine("FX-8350")] {
        assert!(notes(&report).contains("only mfence orders clflush"), "{report}");
        assert!(notes(&report).contains("Bind the thread to a CPU"), "{report}");
        assert!(notes(&report).contains("virtual CPUs"), "{report}");
    }
    assert!(!notes(&with_clflush_alone(VENDOR)).contains("only mfence"));
    assert!(!notes(&x86_machine("EPYC 7763")).contains("only mfence"), "it has clflushopt");
}

/// Linux executes `sync` between threads, which does not complete `dcbstps`.
#[test]
fn the_fence_of_power10_for_persistence_needs_a_bound_thread() {
    use crate::arch::powerpc::{ARCHITECTURE, DCBF, DCBF_PERSISTENT, DCBST, DCBSTPS};
    let says_so = |instructions: &[Instruction]| {
        let facts = Facts::new(128).unwrap();
        let facts = instructions.iter().fold(facts, |facts, instruction| facts.with(*instruction));
        let cpu = Cpu::refused(ARCHITECTURE.unreachable[0]).described(facts);
        let report = CpuReport::new(&ARCHITECTURE, cpu, Builder::new());
        notes(&report).contains("Bind the thread to a CPU")
    };
    assert!(says_so(&[DCBST, DCBF, DCBSTPS]));
    assert!(!says_so(&[DCBF, DCBF_PERSISTENT]));
}

#[test]
fn accepting_coherency_shows_in_the_choice_and_in_the_report() {
    let machine = arm64::MACHINES.iter().find(|machine| machine.name.contains("A57")).unwrap();
    let cpu = arm64_cpu(machine);
    let accepting = Builder::new().accept_coherency_as_persistence();
    let report = CpuReport::new(&aarch64::ARCHITECTURE, cpu, accepting);
    assert!(report.accepts_coherency_as_persistence);
    assert_eq!(report.writeback(Point::Persistence).unwrap().instruction.name, "dc cvac");
    assert!(notes(&report).contains("accepts coherency as persistence"));
    assert!(report.writeback(Point::DeepPersistence).is_err());
}
