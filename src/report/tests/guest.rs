//! Guests: hypervisors, confidential guests, and the whole cache.

use super::{MINIMAL_FEATURES, UNDER_HYPERVISOR, VENDOR, flowing, x86_machine, x86_report};
use crate::arch::x86;
use crate::cache::Builder;
use crate::cpu::recorded::{Leaf, x86 as x86_machines, x86_cpu_in_ring_0};
use crate::report::{Confidential, CpuReport, Hypervisor, Isolation, RefusedBy};
use crate::statement::Certainty;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

#[test]
fn sev_is_an_offer_on_a_host_and_a_doubt_in_a_guest() {
    let host = x86_machine("EPYC 7763");
    let offered =
        Confidential::SevOffered { es: true, snp: true, coherent: true, needs_eviction: true };
    assert_eq!(host.confidential, offered);
    assert!(host.to_string().contains("confidential guest: no sign"));

    let guest = x86_report(&[
        (0, 0, [0x10, 0x6874_7541, 0x444d_4163, 0x6974_6e65]),
        (1, 0, [0x00a0_0f11, 0x0800, 1 << 31, 1 << 19 | 1 << 26]),
        (0x4000_0000, 0, [0x4000_0001, 0x4b4d_564b, 0x564b_4d56, 0x4d]),
        (0x8000_0000, 0, [0x8000_001f, 0, 0, 0]),
        (0x8000_001f, 0, [1 << 1, 0, 0, 0]),
    ]);
    let screen = guest.to_string().replace("\n              ", " ");
    assert!(screen.contains("SEV offered; only the kernel can tell whether it is on"), "{screen}");
    let refused = guest.can_invalidate_memory().unwrap_err().to_string();
    assert!(refused.contains("which this may be"), "{refused}");
}

/// Linux `arch/x86/kernel/cpu/scattered.c`: `X86_FEATURE_COHERENCY_SFW_NO` is EBX\[31\].
#[test]
fn an_snp_guest_is_told_if_page_state_changes_need_eviction() {
    let needs_eviction = |eax, ebx| {
        let extended = (0x8000_0000, 0, [0x8000_001f, 0, 0, 0]);
        let leaves = [VENDOR, UNDER_HYPERVISOR, extended, (0x8000_001f, 0, [eax, ebx, 0, 0])];
        let confidential = x86_report(&leaves).confidential;
        matches!(confidential, Confidential::SevOffered { needs_eviction: true, .. })
    };
    let (sev, snp) = (1 << 1, 1 << 1 | 1 << 3 | 1 << 4);
    assert!(needs_eviction(snp, 0));
    assert!(!needs_eviction(snp, 1 << 31));
    assert!(!needs_eviction(sev, 0), "without SNP no page changes its state");
}

/// In ring 0 of a bare machine it is there, or it is the hypervisor that is in the way.
#[test]
fn in_ring_0_the_report_says_that_the_whole_cache_can_be_invalidated() {
    let in_ring_0 = |name: &str| {
        let machine = x86_machines::MACHINES.iter().find(|machine| machine.name.contains(name));
        let cpu = x86_cpu_in_ring_0(machine.unwrap().cpuid);
        CpuReport::new(&x86::ARCHITECTURE, cpu, Builder::new())
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

fn signatures(report: &CpuReport) -> Vec<String> {
    let Hypervisor::Present { signatures, .. } = report.hypervisor else { return Vec::new() };
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
    assert_eq!(report.hypervisor.known_signature(), Some("KVMKVMKVM"));

    let report = x86_report(&[VENDOR, UNDER_HYPERVISOR, HYPER_V, xen, kvm(0x4000_0200)]);
    assert_eq!(signatures(&report), ["Microsoft Hv", "XenVMMXenVMM", "KVMKVMKVM"]);
    assert_eq!(report.hypervisor.known_signature(), Some("KVMKVMKVM"));

    // The last place that Linux looks at (`hypervisor_cpuid_base`).
    let report = x86_report(&[VENDOR, UNDER_HYPERVISOR, HYPER_V, kvm(0x4000_ff00)]);
    assert_eq!(report.hypervisor.known_signature(), Some("KVMKVMKVM"));

    let report = x86_report(&[VENDOR, UNDER_HYPERVISOR, HYPER_V]);
    assert_eq!(report.hypervisor.known_signature(), Some("Microsoft Hv"));
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
        assert_eq!(report.hypervisor.known_signature(), Some("bhyve bhyve"));
    }
}

/// The places are asked only where the CPU says that there is a hypervisor: each CPUID leaves a
/// virtual machine.
#[test]
fn a_bare_machine_is_not_asked_for_signatures() {
    let kvm = (0x4000_0000, 0, [0x4000_0001, 0x4b4d_564b, 0x564b_4d56, 0x4d]);
    let report = x86_report(&[VENDOR, MINIMAL_FEATURES, kvm]);
    assert_eq!(report.hypervisor, Hypervisor::Absent);
}

/// Linux `drivers/hv/hv_common.c`: `CreatePartitions` (EBX\[0\]) and `CpuManagement` (EBX\[12\]) without
/// isolation (EBX\[22\]); the first alone is a guest that may have guests (L1VH).
#[test]
fn a_root_partition_is_distinguished_from_a_guest() {
    let roots: Vec<_> = x86_machines::MACHINES
        .iter()
        .filter(|machine| {
            matches!(
                x86_report(machine.cpuid).hypervisor,
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
        let Hypervisor::Present { is_root, .. } = report.hypervisor else {
            panic!("the bit says that there is a hypervisor")
        };
        assert_eq!(is_root, expected, "{ebx:#x}");
    }
}

/// EBX\[3:0\] of `4000_000CH`: 1 VBS, 2 SEV-SNP, 3 TDX (Linux `hv_isolation_type`); EAX\[0\]: a
/// paravisor. A guest whose leaf 21H a paravisor hides shows TDX here alone.
#[test]
fn hyper_v_reports_its_kind_of_isolation() {
    let isolated = (0x4000_0003, 0, [0, 1 << 22, 0, 0]);
    let of = |eax, ebx, privileges| {
        let leaf = (0x4000_000c, 0, [eax, ebx, 0, 0]);
        x86_report(&[VENDOR, UNDER_HYPERVISOR, HYPER_V, privileges, leaf])
    };
    for (ebx, isolation) in [
        (0x0be1, Isolation::Vbs),
        (0x0be2, Isolation::SevSnp),
        (0x0be3, Isolation::Tdx),
        (0x0be7, Isolation::Other(7)),
    ] {
        let report = of(0, ebx, isolated);
        let expected = Confidential::HyperV { isolation, paravisor: false };
        assert_eq!(report.confidential, expected);
    }
    let report = of(1, 0x0be3, isolated);
    assert!(flowing(&report).contains("TDX with a paravisor (CPUID.4000000CH)"), "{report}");

    assert_eq!(of(0, 0x0be0, isolated).confidential, Confidential::Unknown);
    assert_eq!(of(0, 3, (0x4000_0003, 0, [0; 4])).confidential, Confidential::Unknown);
    assert_eq!(x86_machine("TDX guest on Azure").confidential, Confidential::Tdx);
}

/// The words of felix86 25.12 on a RISC-V board. It takes Intel's vendor, family and model; the rest is made up.
const FELIX86: [Leaf; 4] = [
    (0, 0, [0xa, 0x756e_6547, 0x6c65_746e, 0x4965_6e69]),
    (1, 0, [0x676, 0x0004_0800, 0x000c_e3bd, 0xbfeb_fbff]),
    (0x8000_0000, 0, [0x8000_0008, 0, 0, 0]),
    (0x8000_0001, 0, [0, 0, 0x21, 0x2010_0000]),
];

/// A CPU is believed with its maker's name as vendor and in the brand, or under a known hypervisor, whose operator chooses
/// the brand. The brands of x86 CPUs are those of `/proc/cpuinfo` in public reports, and of QEMU's `target/i386/cpu.c`.
#[cfg(target_endian = "little")]
#[test]
fn what_is_not_a_makers_cpu_is_refused_as_translated() {
    const KVM: Leaf = (0x4000_0000, 0, [0x4000_0001, 0x4b4d_564b, 0x564b_4d56, 0x4d]);
    const UNKNOWN: Leaf = (0x4000_0000, 0, [0x4000_0001, 0x4141_4141, 0x4141_4141, 0x4141_4141]);
    const FEX: Leaf = (0x4000_0000, 0, [0x4000_0001, 0x4958_4546, 0x4958_4546, 0x0055_4d45]);
    // Behind a signature of the operator's choice.
    const LATER_KVM: Leaf = (0x4000_0100, 0, [0x4000_0101, 0x4b4d_564b, 0x564b_4d56, 0x4d]);
    let rows: [(&str, &str, Option<Leaf>, bool); 30] = [
        ("GenuineIntel", "felix86 25.12 on spacemit,x60", None, true),
        ("GenuineIntel", "Box64 v0.3.9 on Cortex-A76 @2.40 GHz", None, true),
        ("GenuineIntel", "Cortex-X1C", Some(FEX), true),
        ("AuthenticAMD", "Virtual CPU @ 2.99GHz", None, true),
        ("VirtualApple", "VirtualApple @ 2.50GHz processor", None, true),
        ("E2K MACHINE", "E8C", None, true),
        ("GenuineBlink", "Blink", None, true),
        ("PowerVM Lx86", "", None, true),
        ("GenuineIntel", "Loongson-3A5000 @ 2500MHz", None, true),
        ("GenuineIntel", "", None, true),
        ("GenuineIntel", "Intel(R) Core(TM) i7 on Neoverse-N1", None, true),
        ("GenuineIntel", "Loongson-3A5000 @ 2500MHz", Some(UNKNOWN), true),
        ("GenuineIntel", "", Some(UNKNOWN), true),
        ("GenuineIntel", "Intel(R) Xeon(R) CPU @ 2.70GHz", Some(UNKNOWN), false),
        ("GenuineIntel", "INTEL(R) XEON(R) PLATINUM 8570", None, false),
        ("GenuineIntel", "Pentium(R) Dual-Core  CPU      E5300  @ 2.60GHz", None, false),
        ("GenuineIntel", "Celeron(R) Dual-Core CPU       T3000  @ 1.80GHz", None, false),
        ("GenuineIntel", "Genuine Intel(R) CPU 0000 @ 2.10GHz", None, false),
        ("AuthenticAMD", "Dual-Core AMD Opteron(tm) Processor 2218", None, false),
        ("AuthenticAMD", "AMD Custom APU 0405", None, false),
        ("HygonGenuine", "Hygon C86 7185 32-core Processor", None, false),
        ("CentaurHauls", "VIA Eden X4 C4250 @ 1.2+ GHz", None, false),
        ("  Shanghai  ", "ZHAOXIN KaiXian KX-6640MA@2.2+GHz", None, false),
        ("GenuineIntel", "DO-Regular", Some(KVM), false),
        ("GenuineIntel", "DO-Regular", Some(LATER_KVM), false),
        ("AuthenticAMD", "Virtual CPU 714389bda930", Some(KVM), false),
        ("GenuineIntel", "Westmere E56xx/L56xx/X56xx (Nehalem-C)", None, false),
        ("AuthenticAMD", "AMD Eng Sample: 100-000000163-40_35/25_N", None, false),
        ("AuthenticAMD", "QEMU Virtual CPU version 2.5+", None, false),
        ("GenuineIntel", "Common KVM processor", None, false),
    ];
    for (vendor, brand, hypervisor, is_translated) in rows {
        let [ebx, edx, ecx] = words(vendor);
        let bit = u32::from(hypervisor.is_some()) << 31;
        let mut leaves = Vec::from(FELIX86);
        leaves[0].2 = [0xa, ebx, ecx, edx];
        leaves[1].2[2] |= bit;
        leaves.push((4, 0, [0x1c00_4121, 0x01c0_003f, 0x3f, 0]));
        let brand_words: [u32; 12] = words(brand);
        leaves.extend((0..3).map(|part| {
            let registers = core::array::from_fn(|place| brand_words[4 * part + place]);
            (0x8000_0002 + u32::try_from(part).unwrap(), 0, registers)
        }));
        leaves.extend(hypervisor);
        if hypervisor == Some(LATER_KVM) {
            leaves.push(UNKNOWN);
        }
        assert_translated(&x86_report(&leaves), is_translated, brand);
    }
    // A brand of the maker, and no cache: Intel's CPUs have the leaf of their caches since the Pentium 4.
    let mut leaves = Vec::from(FELIX86);
    let [first, ..]: [u32; 12] = words("Intel(R) Core(TM)2 Duo");
    leaves.push((0x8000_0002, 0, [first, 0x2952_286c, 0, 0]));
    assert_translated(&x86_report(&leaves), true, "no caches");
}

/// Firmware writes the brand of AMD's CPUs (AMD APM vol. 3, CPUID `Fn8000_000[4:2]`). Translators execute user programs.
#[test]
fn a_kernel_that_runs_before_the_brand_is_written_is_not_translated() {
    let machine = x86_machines::MACHINES.iter().find(|machine| machine.name.contains("7763"));
    let is_brand = |leaf: &Leaf| matches!(leaf.0, 0x8000_0002..=0x8000_0004);
    let leaves: Vec<Leaf> =
        machine.unwrap().cpuid.iter().copied().filter(|leaf| !is_brand(leaf)).collect();
    assert_translated(&x86_report(&leaves), true, "in user mode");
    let cpu = x86_cpu_in_ring_0(&leaves);
    assert_eq!((cpu.hypervisor, cpu.line.unwrap().size), (Hypervisor::Absent, 64));
}

fn assert_translated(report: &CpuReport, expected: bool, what: &str) {
    let refusal = report.line.err();
    assert_eq!(refusal.is_some(), expected, "{what}: {refusal:?}");
    assert_eq!(report.hypervisor == Hypervisor::Translated, expected, "{what}");
    let Some(why) = refusal else { return };
    assert!(why.reason.contains("translator"), "{why}");
    assert!(!why.advice.contains("from_facts"), "{why}");
    assert!(!report.streaming_stores_evict().unwrap().answer, "{what}");
    assert!(flowing(report).contains("Hypervisor    a translator of programs"), "{report}");
}

/// Returns the words of a text as registers hold them.
fn words<const N: usize>(text: &str) -> [u32; N] {
    let mut bytes = text.bytes().chain(core::iter::repeat(0));
    core::array::from_fn(|_| u32::from_le_bytes(core::array::from_fn(|_| bytes.next().unwrap())))
}

/// No manual is about a program whose signature nobody knows: it can be an emulator.
#[test]
fn of_an_unknown_signature_nothing_is_documented() {
    let unknown = (0x4000_0000, 0, [0x4000_0001, 0x4141_4141, 0x4141_4141, 0x4141_4141]);
    for leaves in [&[VENDOR, UNDER_HYPERVISOR, unknown][..], &[VENDOR, UNDER_HYPERVISOR]] {
        let report = x86_report(leaves);
        assert!(report.line.is_ok());
        let streaming = report.streaming_stores_evict().unwrap();
        assert_eq!((streaming.answer, streaming.certainty), (false, Certainty::Assumed));
    }
}

/// EAX of a hypervisor's first leaf names its highest; other words there are another leaf's. At the
/// second place even right-looking leaves count only with a known signature.
#[test]
fn invalid_hypervisor_leaves_are_not_signatures() {
    let another_leaf = (0x4000_0000, 0, [0x0000_021f, 0x4141_4141, 0x4141_4141, 0x4141_4141]);
    let report = x86_report(&[VENDOR, UNDER_HYPERVISOR, another_leaf]);
    assert!(report.to_string().contains("an unknown one (no signature)"), "{report}");

    let first = (0x4000_0000, 0, [0x4000_0001, 0x4b4d_564b, 0x564b_4d56, 0x4d]);
    let unknown = (0x4000_0100, 0, [0x4000_0101, 0x4141_4141, 0x4141_4141, 0x4141_4141]);
    let report = x86_report(&[VENDOR, UNDER_HYPERVISOR, first, unknown]);
    assert_eq!(report.hypervisor.known_signature(), Some("KVMKVMKVM"));
}

#[test]
fn a_signature_cannot_command_the_terminal() {
    let [ebx, ecx, edx] = [*b"\x1b]0;", *b"own\x07", *b"\x9b2J!"].map(u32::from_le_bytes);
    let report =
        x86_report(&[VENDOR, UNDER_HYPERVISOR, (0x4000_0000, 0, [0x4000_0001, ebx, ecx, edx])]);
    let screen = report.to_string();
    assert!(screen.contains("an unknown one (signature \"?]0;own??2J!\")"), "{screen}");
    assert!(screen.chars().all(|c| c == '\n' || !c.is_control()));
}

/// Above the highest leaf QEMU and Intel's CPUs answer with another leaf: `8000_001FH` has the bit of
/// SEV there, and 21H and `4000_0100H` some words.
#[test]
fn leaves_above_the_highest_are_not_believed() {
    let report = x86_machine("CPU model max");
    assert_eq!(report.confidential, Confidential::Unknown);
    assert_eq!(signatures(&report), ["TCGTCGTCGTCG"]);

    let with_tdx_words_above_the_end = x86_report(&[
        (0, 0, [0x20, 0x756e_6547, 0x6c65_746e, 0x4965_6e69]),
        MINIMAL_FEATURES,
        (0x21, 0, [0, 0x6574_6e49, 0x2020_2020, 0x5844_546c]),
    ]);
    assert_eq!(with_tdx_words_above_the_end.confidential, Confidential::Unknown);
}
