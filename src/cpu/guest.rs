//! Virtual machines and confidential guests, as far as the CPU reports them.
//!
//! The results are only used for texts, since a hypervisor can hide or forge all of it. No operation relies on them,
//! except for a refusal.

use super::Text;

/// The hypervisor, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(tag = "kind", rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Hypervisor {
    /// The CPU reports a hypervisor.
    #[non_exhaustive]
    Present {
        /// The signatures found, in the order of their leaves; none if it does not name itself.
        signatures: Signatures,
        /// True if this is Hyper-V's root partition: the system that owns the hardware, not a guest, such as a Windows
        /// with virtualization-based security. On x86: leaf `4000_0003H`, EBX\[0\] and EBX\[12\] without EBX\[22\], as
        /// Linux decides it (`drivers/hv/hv_common.c`, `hv_identify_partition_type`).
        is_root: bool,
    },
    /// A translator executes this program on another kind of CPU, and makes up the CPU that the program sees.
    Translated,
    /// The CPU reports no hypervisor (x86: CPUID.1:ECX\[31\] is 0). Linux uses that bit too; a hypervisor that hides
    /// itself clears it (QEMU: `-cpu …,-hypervisor`).
    Absent,
    /// The architecture does not show it to user mode.
    Unknown,
}

/// The signatures of known hypervisors, without their padding; `cachemaint-inspect` has their names and sources.
pub const KNOWN_SIGNATURES: [&str; 23] = [
    "KVMKVMKVM",
    "Linux KVM Hv",
    "TCGTCGTCGTCG",
    "Microsoft Hv",
    "VMwareVMware",
    "XenVMMXenVMM",
    "VBoxVBoxVBox",
    "bhyve bhyve",
    "BHyVE BHyVE",
    "ACRNACRNACRN",
    "Jailhouse",
    "QNXQVMBSQG",
    "SRESRESRESRE",
    "Apple VZ",
    "FEXIFEXIEMU",
    "prl hyperv",
    "lrpepyh  vr",
    "lrpepyh vr",
    "HAXMHAXMHAXM",
    "___ NVMM ___",
    "OpenBSDVMM58",
    "EVMMEVMMEVMM",
    "UnisysSpar64",
];

/// FEX, which translates programs (its `docs/CPUID.md`, leaf `4000_0000H`).
#[cfg(any(target_arch = "x86", target_arch = "x86_64", test))]
pub(crate) const TRANSLATOR: &str = "FEXIFEXIEMU";
/// Hyper-V, or a hypervisor that imitates it.
#[cfg(any(target_arch = "x86", target_arch = "x86_64", test))]
pub(crate) const HYPER_V: &str = "Microsoft Hv";

/// Returns true for the signature of a known hypervisor.
pub(crate) fn is_known(signature: &str) -> bool {
    KNOWN_SIGNATURES.contains(&signature)
}

impl Hypervisor {
    /// Returns the last known signature: hypervisors show the interfaces that they imitate before their own.
    ///
    /// It proves nothing: `VirtualBox` can be configured to show KVM's.
    #[must_use]
    pub fn known_signature(&self) -> Option<&str> {
        let Self::Present { signatures, .. } = self else { return None };
        signatures.iter().map(Text::as_str).filter(|signature| is_known(signature)).last()
    }
}

/// The number of signatures kept.
const KEPT: usize = 4;

/// The signatures of hypervisors that CPUID shows, at most four.
///
/// A hypervisor shows more than one if it also offers the interface of another (KVM with Hyper-V's or Xen's). With
/// nested hypervisors, a guest sees only the innermost.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signatures {
    texts: [Option<Text<12>>; KEPT],
}

/// Only x86 has signatures.
#[cfg(any(target_arch = "x86", target_arch = "x86_64", test))]
impl Signatures {
    pub(crate) const NONE: Self = Self { texts: [None; KEPT] };

    /// Adds a signature that is not there yet. A hypervisor that answers all leaves alike (bhyve) shows its signature
    /// at every place.
    pub(crate) fn add(&mut self, signature: Text<12>) {
        let is_new = !signature.is_empty() && self.iter().all(|known| *known != signature);
        let free = self.texts.iter_mut().find(|place| place.is_none());
        if let (true, Some(place)) = (is_new, free) {
            *place = Some(signature);
        }
    }
}

impl Signatures {
    /// Returns the signatures, in the order of their leaves.
    pub fn iter(&self) -> impl Iterator<Item = &Text<12>> {
        self.texts.iter().flatten()
    }

    /// Returns the signature at the first place (x86: leaf `4000_0000H`), or the first one found.
    pub(crate) fn first(&self) -> Option<&Text<12>> {
        self.iter().next()
    }
}

impl core::fmt::Debug for Signatures {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// A confidential guest, as the CPU reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(tag = "kind", rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Confidential {
    /// Intel TDX, from CPUID leaf 21H (Linux `arch/x86/coco/tdx/tdx.c`).
    Tdx,
    /// Hyper-V reports that it isolates this partition: leaf `4000_000CH`, EBX\[3:0\] (Linux
    /// `arch/x86/kernel/cpu/mshyperv.c`). It does so even if a paravisor hides leaf 21H.
    #[non_exhaustive]
    HyperV {
        /// The kind of isolation.
        isolation: Isolation,
        /// True if a paravisor in the guest handles the exceptions of the hardware (EAX\[0\]).
        paravisor: bool,
    },
    /// The CPU offers AMD SEV (leaf `8000_001FH`, EAX\[1\]). User mode cannot read the MSR bit that turns it on, and
    /// the leaf proves nothing: some hypervisors show it to every guest.
    #[non_exhaustive]
    SevOffered {
        /// SEV-ES is offered (EAX\[3\]).
        es: bool,
        /// SEV-SNP is offered (EAX\[4\]).
        snp: bool,
        /// Hardware keeps the caches coherent between encrypted and plain mappings of one page
        /// (EAX\[10\]).
        coherent: bool,
        /// SEV-SNP is offered, and a guest that makes a page private must evict its lines when it validates the page: it
        /// touches the first and the last byte of each 4 KiB (EBX\[31\], `COHERENCY_SFW_NO`, is 0; Linux
        /// `arch/x86/coco/sev`, "Evict cache lines during SNP memory validation").
        needs_eviction: bool,
    },
    /// Nothing indicates one.
    Unknown,
}

/// A technology that isolates a confidential guest, as Hyper-V reports it to its partition (Linux
/// `include/asm-generic/mshyperv.h`, `hv_isolation_type`), or as the kernel's driver for it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Isolation {
    /// The hypervisor itself (virtualization-based security), without encryption.
    Vbs,
    /// AMD SEV-SNP.
    SevSnp,
    /// Intel TDX.
    Tdx,
    /// A realm of Arm's CCA.
    ArmCca,
    /// An unknown number from Hyper-V.
    Other(#[cfg_attr(feature = "serde", serde(skip))] u8),
}

impl Isolation {
    /// Returns the name.
    #[doc(hidden)]
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vbs => "VBS",
            Self::SevSnp => "AMD SEV-SNP",
            Self::Tdx => "Intel TDX",
            Self::ArmCca => "Arm CCA",
            Self::Other(_) => "a kind not known here",
        }
    }
}

impl core::fmt::Display for Isolation {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.name())
    }
}
