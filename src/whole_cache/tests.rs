//! The question, on recorded machines as user mode and as ring 0 see them.

use super::WholeCache;
use crate::arch::{self, Architecture};
use crate::cpu::recorded::{Leaf, all, x86 as x86_machines, x86_cpu_in_ring_0 as in_ring_0};
use crate::cpu::{Confidential, Cpu, Hypervisor};
use crate::report::CpuReport;
use crate::virtualization::{Refused, RefusedBy};
use alloc::string::ToString;

const X86: &Architecture = &arch::x86::ARCHITECTURE;

fn machine(name: &str) -> &'static [Leaf] {
    x86_machines::MACHINES.iter().find(|machine| machine.name.contains(name)).unwrap().cpuid
}

fn refused(cpuid: &[Leaf]) -> Refused {
    let cpu = in_ring_0(cpuid);
    WholeCache::of(X86, &cpu).unwrap_err()
}

/// Linux: `cpu_cache_has_invalidate_memregion` is `!cpu_feature_enabled(X86_FEATURE_HYPERVISOR)`.
#[test]
fn ring_0_can_on_every_machine_without_a_hypervisor_and_on_no_other() {
    let mut bare = 0;
    for machine in x86_machines::MACHINES {
        let cpu = in_ring_0(machine.cpuid);
        let is_bare = machine.hypervisor.is_none();
        assert_eq!(WholeCache::of(X86, &cpu).is_ok(), is_bare, "{}", machine.name);
        bare += usize::from(is_bare);
    }
    assert!(bare > 5);
}

/// The reason names the effect.
#[test]
fn in_a_guest_it_is_refused_with_who_takes_it_and_what_becomes_of_it() {
    let tdx = refused(machine("TDX"));
    assert_eq!(tdx.by, RefusedBy::ConfidentialGuest(Confidential::Tdx));
    assert!(tdx.to_string().contains("#VE"), "{tdx}");

    let sev = refused(&[
        (0, 0, [0x10, 0x6874_7541, 0x444d_4163, 0x6974_6e65]),
        (1, 0, [0x00a0_0f11, 0x0800, 1 << 31, 1 << 19 | 1 << 26]),
        (0x4000_0000, 0, [0x4000_0001, 0x4b4d_564b, 0x564b_4d56, 0x4d]),
        (0x8000_0000, 0, [0x8000_001f, 0, 0, 0]),
        (0x8000_001f, 0, [1 << 1, 0, 0, 0]),
    ]);
    assert_eq!(
        sev.by,
        RefusedBy::ConfidentialGuest(Confidential::SevOffered {
            es: false,
            snp: false,
            coherent: false,
            needs_eviction: false
        })
    );
    assert!(sev.to_string().contains("a request that the host may ignore"), "{sev}");

    for (name, signature) in [
        ("9xx4 (family 25 model 17), KVM", "KVMKVMKVM"),
        ("Xen guest", "XenVMMXenVMM"),
        ("VMware", "VMwareVMware"),
        ("CPU model max", "TCGTCGTCGTCG"),
        ("(Ice Lake-D), Hyper-V root", "Microsoft Hv"),
    ] {
        let refused = refused(machine(name));
        let RefusedBy::Hypervisor(by) = refused.by else { panic!("{name}: {refused:?}") };
        assert_eq!(by.known_signature(), Some(signature), "{name}");
        assert!(refused.to_string().contains("a hypervisor may ignore it"), "{name}: {refused}");
        assert!(!refused.to_string().contains("user mode"), "{name}: {refused}");
        assert!(!refused.why.advice.is_empty(), "{name}");
    }
}

/// WBINVD ends a TDX guest: leaf 21H is believed even if the bit of the hypervisor were hidden.
#[test]
fn one_sign_of_tdx_is_enough() {
    let refused = refused(&[
        (0, 0, [0x23, 0x756e_6547, 0x6c65_746e, 0x4965_6e69]),
        (1, 0, [0x000c_06f2, 0x0800, 0, 1 << 19 | 1 << 26]),
        (0x21, 0, [0, 0x6574_6e49, 0x2020_2020, 0x5844_546c]),
    ]);
    assert_eq!(refused.by, RefusedBy::ConfidentialGuest(Confidential::Tdx));
}

/// A hypervisor that shows no signature is one all the same.
#[test]
fn a_hypervisor_without_a_name_is_in_the_way_too() {
    let refused = refused(&[
        (0, 0, [7, 0x756e_6547, 0x6c65_746e, 0x4965_6e69]),
        (1, 0, [0x0005_0654, 0x0800, 1 << 31, 1 << 19 | 1 << 26]),
    ]);
    let RefusedBy::Hypervisor(Hypervisor::Present { signatures, .. }) = refused.by else {
        panic!("{refused:?}")
    };
    assert!(signatures.first().is_none());
}

/// SEV is an offer of the CPU on a host, where WBINVD has its full effect.
#[test]
fn an_offer_of_sev_is_not_a_guest() {
    let cpu = in_ring_0(machine("EPYC 7763"));
    assert!(matches!(cpu.confidential, Confidential::SevOffered { .. }));
    assert!(WholeCache::of(X86, &cpu).is_ok());
}

#[test]
fn user_mode_is_in_the_way_on_every_recorded_machine() {
    for (name, architecture, cpu) in all() {
        let refused = WholeCache::of(architecture, &cpu).unwrap_err();
        let by = if architecture.name.starts_with("x86") {
            RefusedBy::UserMode
        } else {
            RefusedBy::Architecture
        };
        assert_eq!(refused.by, by, "{name}");
    }
}

/// No architecture but x86 reaches the caches of all CPUs, at any privilege.
#[test]
fn only_x86_reaches_every_cache() {
    for architecture in arch::ALL {
        let nothing = Cpu::refused(architecture.no_whole_cache);
        let cpu = Cpu { privileged: true, hypervisor: Hypervisor::Absent, ..nothing };
        let is_x86 = architecture.name.starts_with("x86");
        match WholeCache::of(architecture, &cpu) {
            Ok(_) => assert!(is_x86, "{}", architecture.name),
            Err(refused) => {
                assert!(!is_x86, "{refused}");
                assert_eq!(refused.by, RefusedBy::Architecture);
                assert_eq!(refused.why, architecture.no_whole_cache);
            }
        }
    }
}

/// This is a user program: the question must come back with the reason, not with a signal.
#[test]
fn asking_here_is_harmless_and_refused() {
    let refused = WholeCache::ask().unwrap_err();
    let has_it =
        cfg!(any(target_arch = "x86", target_arch = "x86_64")) && !cfg!(any(miri, cachemaint_loom));
    let by = if has_it { RefusedBy::UserMode } else { RefusedBy::Architecture };
    assert_eq!(refused.by, by);
    assert_eq!(CpuReport::host().can_invalidate_memory(), Err(refused));
}
