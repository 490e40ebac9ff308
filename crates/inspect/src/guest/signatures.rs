//! Hypervisors and their signatures: a table with sources.

use cachemaint::report::Hypervisor;

/// A hypervisor, or another program that executes code in place of the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HypervisorKind {
    /// KVM of Linux, under any manager (QEMU, Firecracker, crosvm, clouds).
    Kvm,
    /// QEMU's emulation (TCG).
    Tcg,
    /// Hyper-V of Microsoft.
    HyperV,
    /// A product of `VMware`.
    Vmware,
    /// Xen.
    Xen,
    /// `VirtualBox`.
    VirtualBox,
    /// bhyve of FreeBSD and illumos.
    Bhyve,
    /// ACRN.
    Acrn,
    /// Jailhouse.
    Jailhouse,
    /// The QNX hypervisor.
    Qnx,
    /// LMHS of Lockheed Martin.
    Lmhs,
    /// Apple's Virtualization framework.
    AppleVz,
    /// A program that translates x86 programs for another CPU: Rosetta, FEX, Box64, felix86, Windows on Arm, ….
    Translator,
    /// Parallels.
    Parallels,
    /// HAXM of Intel.
    Haxm,
    /// NVMM of NetBSD.
    Nvmm,
    /// vmm of OpenBSD.
    OpenBsdVmm,
    /// eVMM of Intel's Kernel Guard Technology.
    Evmm,
    /// s-Par of Unisys.
    Spar,
}

impl HypervisorKind {
    /// Returns the kind of the hypervisor that the CPU shows, if one of its signatures is known.
    #[must_use]
    pub fn of(hypervisor: &Hypervisor) -> Option<Self> {
        if *hypervisor == Hypervisor::Translated {
            return Some(Self::Translator);
        }
        hypervisor.known_signature().and_then(Self::of_signature).map(|(kind, _)| kind)
    }

    /// Returns the kind of hypervisor with this CPUID signature, and the source of this claim.
    #[must_use]
    pub fn of_signature(signature: &str) -> Option<(Self, &'static str)> {
        let known = SIGNATURES.iter().find(|(known, ..)| *known == signature);
        known.map(|(_, kind, source)| (*kind, *source))
    }

    /// Returns the name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kvm => "KVM",
            Self::Tcg => "QEMU's emulation (TCG)",
            Self::HyperV => "Hyper-V",
            Self::Vmware => "VMware",
            Self::Xen => "Xen",
            Self::VirtualBox => "VirtualBox",
            Self::Bhyve => "bhyve",
            Self::Acrn => "ACRN",
            Self::Jailhouse => "Jailhouse",
            Self::Qnx => "QNX",
            Self::Lmhs => "LMHS",
            Self::AppleVz => "Apple's Virtualization framework",
            Self::Translator => "a translator of programs",
            Self::Parallels => "Parallels",
            Self::Haxm => "HAXM",
            Self::Nvmm => "NVMM",
            Self::OpenBsdVmm => "OpenBSD vmm",
            Self::Evmm => "Intel eVMM",
            Self::Spar => "Unisys s-Par",
        }
    }
}

/// By its name.
#[cfg(feature = "serde")]
impl serde::Serialize for HypervisorKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl core::fmt::Display for HypervisorKind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.name())
    }
}

/// A signature without its padding, its owner, and the source.
type Signature = (&'static str, HypervisorKind, &'static str);

/// Every known signature.
#[rustfmt::skip]
const SIGNATURES: [Signature; 23] = {
    use HypervisorKind::{
        Acrn, AppleVz, Bhyve, Evmm, Haxm, HyperV, Jailhouse, Kvm, Lmhs, Nvmm, OpenBsdVmm, Parallels,
        Qnx, Spar, Tcg, Translator, VirtualBox, Vmware, Xen,
    };
    [
        ("KVMKVMKVM", Kvm, "Linux Documentation/virt/kvm/x86/cpuid.rst"),
        ("Linux KVM Hv", Kvm, "systemd src/basic/virt.c: KVM with Hyper-V's interface"),
        ("TCGTCGTCGTCG", Tcg, "QEMU target/i386/cpu.c, leaf 4000_0000H"),
        ("Microsoft Hv", HyperV, "Hyper-V Top Level Functional Specification, CPUID 4000_0000H"),
        ("VMwareVMware", Vmware, "Linux arch/x86/kernel/cpu/vmware.c"),
        ("XenVMMXenVMM", Xen, "Xen xen/include/public/arch-x86/cpuid.h"),
        ("VBoxVBoxVBox", VirtualBox, "recorded: Fuchsia zircon/kernel/lib/arch/testing/data/cpuid"),
        ("bhyve bhyve", Bhyve, "FreeBSD sys/amd64/vmm/x86.c"),
        ("BHyVE BHyVE", Bhyve, "other lists: older bhyve"),
        ("ACRNACRNACRN", Acrn, "Linux arch/x86/kernel/cpu/acrn.c"),
        ("Jailhouse", Jailhouse, "Linux arch/x86/kernel/jailhouse.c"),
        ("QNXQVMBSQG", Qnx, "systemd src/basic/virt.c"),
        ("SRESRESRESRE", Lmhs, "systemd src/basic/virt.c"),
        ("Apple VZ", AppleVz, "systemd src/basic/virt.c"),
        ("FEXIFEXIEMU", Translator, "FEX docs/CPUID.md, leaf 4000_0000H"),
        ("prl hyperv", Parallels, "other lists; the vendor documents none"),
        ("lrpepyh  vr", Parallels, "other lists: the above with its words reversed"),
        ("lrpepyh vr", Parallels, "other lists: the above with its words reversed"),
        ("HAXMHAXMHAXM", Haxm, "HAXM core/cpuid.c"),
        ("___ NVMM ___", Nvmm, "NetBSD usr.sbin/cpuctl/arch/i386.c"),
        ("OpenBSDVMM58", OpenBsdVmm, "OpenBSD sys/arch/amd64/include/vmmvar.h, VMM_HV_SIGNATURE"),
        ("EVMMEVMMEVMM", Evmm, "minigbm i915.c; Intel KGT"),
        ("UnisysSpar64", Spar, "Linux drivers/staging/unisys (from 3.15), UNISYS_SPAR_ID_EBX"),
    ]
};

#[cfg(test)]
mod tests {
    use super::{HypervisorKind, SIGNATURES};
    use cachemaint::report::KNOWN_SIGNATURES;

    /// An opening believes the signatures that `cachemaint` knows, and this table explains each of them, once.
    #[test]
    fn each_known_signature_has_a_name_and_a_source() {
        assert_eq!(SIGNATURES.map(|(signature, ..)| signature), KNOWN_SIGNATURES);
        for (signature, kind, source) in &SIGNATURES {
            assert_eq!(HypervisorKind::of_signature(signature), Some((*kind, *source)), "twice");
            assert!(!source.is_empty());
        }
        assert_eq!(HypervisorKind::of_signature("GenuineIntel"), None);
    }
}
