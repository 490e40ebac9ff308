//! x86: everything comes from CPUID.
//!
//! A leaf above the highest one returns another leaf's words (Intel SDM vol. 2A, CPUID), so every leaf is compared with
//! the highest before it is used. raw-cpuid does that for the leaves that it decodes, [`leaf`] for the others (TDX,
//! hypervisors, SEV).

native_only! { x86 {
    pub(super) mod host;
} }
mod translator;

use super::reading::{line_size, shown};
use super::{
    Confidential, Cpu, CpuIdentity, HYPER_V, Hypervisor, Isolation, Line, Signatures, Text,
    is_known,
};
use crate::arch::x86::{ARCHITECTURE, CLFLUSH, CLFLUSH_ORDERED, CLFLUSHOPT, CLWB};
use crate::arch::{Missing, Point, Unsupported, advice::persist_files};
use raw_cpuid::{CpuId, CpuIdReader, CpuIdResult, ExtendedFeatures, FeatureInfo};

/// The vendor whose CLFLUSH is ordered by SFENCE (Intel SDM vol. 2A, CLFLUSH).
const INTEL: &str = "GenuineIntel";
/// Leaf 21H of a TDX guest, in the order EBX, EDX, ECX (Linux `arch/x86/coco/tdx/tdx.c`).
const TDX_SIGNATURE: &[u8; 12] = b"IntelTDX    ";

const LEAF_BASIC: u32 = 0;
const LEAF_TDX: u32 = 0x21;
/// The first place of a hypervisor's leaves. Further ones follow in steps of [`NEXT_HYPERVISOR`]: KVM and Xen put their
/// own there if the first place has Hyper-V's. They are searched as by Linux (`arch/x86/include/asm/cpuid/api.h`,
/// `hypervisor_cpuid_base`).
const LEAF_HYPERVISOR: u32 = 0x4000_0000;
const NEXT_HYPERVISOR: usize = 0x100;
const LAST_HYPERVISOR: u32 = 0x4000_ff00;
/// Hyper-V's leaves: privileges, and the isolation of a partition (Hyper-V Top Level Functional Specification, "Feature
/// and interface discovery").
const LEAF_PRIVILEGES: u32 = 0x4000_0003;
const LEAF_ISOLATION: u32 = 0x4000_000c;
/// EBX of [`LEAF_PRIVILEGES`] (Linux `include/hyperv/hvgdk_mini.h`).
const CREATE_PARTITIONS: u32 = 1 << 0;
const CPU_MANAGEMENT: u32 = 1 << 12;
const ISOLATION: u32 = 1 << 22;
const LEAF_EXTENDED: u32 = 0x8000_0000;
const LEAF_EXTENDED_FEATURES: u32 = 0x8000_0001;
/// ECX of [`LEAF_EXTENDED_FEATURES`]: SVM, SSE4A and `TopologyExtensions` (AMD APM vol. 3, CPUID `Fn8000_0001`). Intel has
/// reserved these bits (Intel SDM vol. 2A, CPUID).
const OF_AMD_ALONE: u32 = 1 << 2 | 1 << 6 | 1 << 22;
const LEAF_ENCRYPTION: u32 = 0x8000_001f;
/// EAX of [`LEAF_ENCRYPTION`] (AMD APM vol. 3, CPUID `Fn8000_001F`).
const SEV: u32 = 1 << 1;
const SEV_ES: u32 = 1 << 3;
const SEV_SNP: u32 = 1 << 4;
const SEV_COHERENT: u32 = 1 << 10;
/// EBX of [`LEAF_ENCRYPTION`]: `COHERENCY_SFW_NO` (Linux `arch/x86/kernel/cpu/scattered.c`).
const SNP_NEEDS_NO_EVICTION: u32 = 1 << 31;

/// Some 32-bit CPUs have CLFLUSH without SSE2 (AMD Geode LX), and so without the fences.
const NO_FENCE: Unsupported = Unsupported::new(
    Missing::Instruction,
    "this CPU has no SSE2 (CPUID.1:EDX[26]), so no MFENCE: nothing completes a write-back",
    "only privileged code can write back here, the whole cache at once (WBINVD)",
);

/// FEX executes DC CVAC for CLWB and `dmb st` for SFENCE, which does not complete it (FEX
/// `FEXCore/Source/Interface/Core/JIT/MemoryOps.cpp`, `CacheLineClean`, and `MiscOps.cpp`, `Fence`). Box64 does the
/// same with DC CIVAC, and its interpreter executes only a barrier (Box64 `src/dynarec/arm64/dynarec_arm64_660f.c`,
/// `dynarec_arm64_0f.c` and `src/emu/x64run660f.c`). The others are not documented.
const TRANSLATED: Unsupported = Unsupported::new(
    Missing::Permission,
    "a translator executes this program on another CPU, and promises no write-back that a fence completes: the \
     vendor, brand or caches in CPUID are not those of an x86 manufacturer",
    concat!("run a program compiled for the machine's CPU, or ", persist_files!()),
);

/// Returns the ring of code with this selector in CS (Intel SDM vol. 3A, "Privilege Levels"). A kernel paravirtualised
/// by Xen is in ring 1 or 3.
const fn privilege_level(code_segment: u16) -> u16 {
    code_segment & 3
}

/// Reads the CPU from `reader`'s CPUID.
pub(crate) fn read<R: CpuIdReader>(reader: &R, privileged: bool) -> Cpu {
    let cpuid = CpuId::with_cpuid_reader(reader.clone());
    let hypervisor = hypervisor(&cpuid, reader, privileged);
    Cpu {
        identity: identity(&cpuid, reader),
        hypervisor,
        privileged,
        confidential: confidential(reader, hypervisor),
        ..read_for_choice(reader, privileged)
    }
}

/// Reads the part of the CPU that a choice needs: its instructions and lines. Every CPUID exits a virtual machine, so
/// nothing else is read.
fn read_for_choice<R: CpuIdReader>(reader: &R, privileged: bool) -> Cpu {
    let cpuid = CpuId::with_cpuid_reader(reader.clone());
    let features = cpuid.get_feature_info();
    let extended = cpuid.get_extended_feature_info();
    let clflush = features.as_ref().is_some_and(FeatureInfo::has_clflush);
    let is_intel = is_intel(reader);
    let present = shown([
        (clflush, CLFLUSH),
        (clflush && is_intel, CLFLUSH_ORDERED),
        (extended.as_ref().is_some_and(ExtendedFeatures::has_clflushopt), CLFLUSHOPT),
        (extended.as_ref().is_some_and(ExtendedFeatures::has_clwb), CLWB),
    ]);
    let line = match &features {
        _ if translator::executes(&cpuid, reader, privileged) => Err(TRANSLATED),
        // Without CLFLUSH the line size is not valid (Intel SDM vol. 2A, CPUID leaf 1).
        Some(features) if features.has_clflush() => {
            if features.has_sse2() {
                line_size(usize::from(features.cflush_cache_line_size()) * 8)
            } else {
                Err(NO_FENCE)
            }
        }
        _ => Err(ARCHITECTURE.unreachable[Point::Coherency as usize]),
    };
    let line = line.map(|size| Line { size, granule: size, source: "CPUID.1:EBX[15:8]" });
    Cpu { present, is_intel, line, ..Cpu::refused(NO_FENCE) }
}

/// Returns true if the CPU has Intel's name and no feature that only AMD has: a hypervisor can set any vendor, as QEMU
/// does for `-cpu EPYC,vendor=GenuineIntel`.
pub(super) fn is_intel<R: CpuIdReader>(reader: &R) -> bool {
    let has_feature_of_amd = || {
        leaf(reader, LEAF_EXTENDED, LEAF_EXTENDED_FEATURES)
            .is_some_and(|leaf| leaf.ecx & OF_AMD_ALONE != 0)
    };
    vendor(reader).as_str() == INTEL && !has_feature_of_amd()
}

fn vendor<R: CpuIdReader>(reader: &R) -> Text<12> {
    let leaf = reader.cpuid1(LEAF_BASIC);
    text([leaf.ebx, leaf.edx, leaf.ecx])
}

/// Returns the identity, with family and model added up as Linux does (`x86_family`, `x86_model`).
fn identity<R: CpuIdReader>(cpuid: &CpuId<R>, reader: &R) -> CpuIdentity {
    let features = cpuid.get_feature_info();
    let base = features.as_ref().map_or(0, FeatureInfo::base_family_id);
    let family = match &features {
        Some(features) if base == 0xf => u16::from(base) + u16::from(features.extended_family_id()),
        _ => u16::from(base),
    };
    let model = features.as_ref().map_or(0, |features| {
        let extended = if base >= 6 { features.extended_model_id() } else { 0 };
        extended << 4 | features.base_model_id()
    });
    CpuIdentity::X86 {
        vendor: vendor(reader),
        family,
        model,
        stepping: features.as_ref().map_or(0, FeatureInfo::stepping_id),
        brand: brand(cpuid),
    }
}

fn brand<R: CpuIdReader>(cpuid: &CpuId<R>) -> Text<48> {
    let brand = cpuid.get_processor_brand_string();
    brand.map_or(Text::EMPTY, |brand| Text::new(brand.as_str().as_bytes()))
}

/// Returns true if the CPU reports a guest (CPUID.1:ECX\[31\]).
fn is_guest<R: CpuIdReader>(reader: &R) -> bool {
    leaf(reader, LEAF_BASIC, 1).is_some_and(|leaf| leaf.ecx & 1 << 31 != 0)
}

/// Returns the hypervisor. All places of signatures are read only in a guest: each CPUID exits the virtual machine,
/// which takes microseconds.
fn hypervisor<R: CpuIdReader>(cpuid: &CpuId<R>, reader: &R, privileged: bool) -> Hypervisor {
    if translator::executes(cpuid, reader, privileged) {
        return Hypervisor::Translated;
    }
    if !is_guest(reader) {
        return Hypervisor::Absent;
    }
    let signatures = signatures(reader);
    let found = Hypervisor::Present { signatures, is_root: false };
    Hypervisor::Present { signatures, is_root: is_root(reader, found) }
}

/// Returns true if the program is translated for a CPU of another architecture.
#[cfg(any(target_arch = "x86_64", test))]
fn is_translated<R: CpuIdReader>(reader: &R) -> bool {
    translator::executes(&CpuId::with_cpuid_reader(reader.clone()), reader, false)
}

/// Returns true if the vendor's manual applies to this CPU. It does not apply under a translator, nor under an unknown
/// hypervisor, which can be an emulator. A known signature at the first place saves the search for others.
#[cfg(any(target_arch = "x86_64", test))]
pub(super) fn is_documented<R: CpuIdReader>(reader: &R) -> bool {
    let names_itself = || {
        signature(reader, LEAF_HYPERVISOR).is_some_and(|found| is_known(&found))
            || signatures(reader).iter().any(|found| is_known(found))
    };
    !is_translated(reader) && (!is_guest(reader) || names_itself())
}

/// Returns the signatures at all places where a hypervisor can have its leaves. No leaf holds the number of places, so
/// beyond the first only a known signature is believed.
fn signatures<R: CpuIdReader>(reader: &R) -> Signatures {
    let mut found = Signatures::NONE;
    for base in (LEAF_HYPERVISOR..=LAST_HYPERVISOR).step_by(NEXT_HYPERVISOR) {
        let signature = signature(reader, base)
            .filter(|signature| base == LEAF_HYPERVISOR || is_known(signature));
        if let Some(signature) = signature {
            found.add(signature);
        }
    }
    found
}

/// Returns the signature of the hypervisor with leaves from `base` on: EAX is the highest of them, or 0 under an old
/// KVM (Linux `Documentation/virt/kvm/x86/cpuid.rst`).
fn signature<R: CpuIdReader>(reader: &R, base: u32) -> Option<Text<12>> {
    let leaf = reader.cpuid1(base);
    let is_base = leaf.eax == 0 || leaf.eax & !0xff == base;
    is_base.then(|| text([leaf.ebx, leaf.ecx, leaf.edx]))
}

/// Returns true in a root partition, as Linux decides it (`drivers/hv/hv_common.c`, `hv_identify_partition_type`).
fn is_root<R: CpuIdReader>(reader: &R, hypervisor: Hypervisor) -> bool {
    let owns = CREATE_PARTITIONS | CPU_MANAGEMENT;
    hypervisor.known_signature() == Some(HYPER_V) && privileges(reader) & (owns | ISOLATION) == owns
}

/// Returns the privileges that Hyper-V gives to this partition; 0 if it does not report them.
fn privileges<R: CpuIdReader>(reader: &R) -> u32 {
    leaf(reader, LEAF_HYPERVISOR, LEAF_PRIVILEGES).map_or(0, |leaf| leaf.ebx)
}

/// Returns the kind of confidential guest. TDX's own leaf comes first, since the kernel must handle TDX. Hyper-V's leaf
/// is for guests where a paravisor hides TDX.
fn confidential<R: CpuIdReader>(reader: &R, hypervisor: Hypervisor) -> Confidential {
    let is_tdx =
        |leaf: CpuIdResult| text([leaf.ebx, leaf.edx, leaf.ecx]) == Text::<12>::new(TDX_SIGNATURE);
    if leaf(reader, LEAF_BASIC, LEAF_TDX).is_some_and(is_tdx) {
        return Confidential::Tdx;
    }
    isolated(reader, hypervisor).unwrap_or_else(|| sev(reader))
}

fn isolated<R: CpuIdReader>(reader: &R, hypervisor: Hypervisor) -> Option<Confidential> {
    let is_hyper_v = hypervisor.known_signature() == Some(HYPER_V);
    if !is_hyper_v || privileges(reader) & ISOLATION == 0 {
        return None;
    }
    let leaf = leaf(reader, LEAF_HYPERVISOR, LEAF_ISOLATION)?;
    let isolation = match (leaf.ebx & 0xf) as u8 {
        0 => return None,
        1 => Isolation::Vbs,
        2 => Isolation::SevSnp,
        3 => Isolation::Tdx,
        other => Isolation::Other(other),
    };
    Some(Confidential::HyperV { isolation, paravisor: leaf.eax & 1 != 0 })
}

fn sev<R: CpuIdReader>(reader: &R) -> Confidential {
    match leaf(reader, LEAF_EXTENDED, LEAF_ENCRYPTION) {
        Some(leaf) if leaf.eax & SEV != 0 => Confidential::SevOffered {
            es: leaf.eax & SEV_ES != 0,
            snp: leaf.eax & SEV_SNP != 0,
            coherent: leaf.eax & SEV_COHERENT != 0,
            needs_eviction: leaf.eax & SEV_SNP != 0 && leaf.ebx & SNP_NEEDS_NO_EVICTION == 0,
        },
        _ => Confidential::Unknown,
    }
}

/// Returns a leaf of the range that begins at `base`, if the range includes it.
pub(super) fn leaf<R: CpuIdReader>(reader: &R, base: u32, leaf: u32) -> Option<CpuIdResult> {
    (reader.cpuid1(base).eax >= leaf).then(|| reader.cpuid1(leaf))
}

/// Returns the text in three registers.
fn text(registers: [u32; 3]) -> Text<12> {
    let mut bytes = [0; 12];
    for (to, register) in bytes.chunks_exact_mut(4).zip(registers) {
        to.copy_from_slice(&register.to_le_bytes());
    }
    Text::new(&bytes)
}

#[cfg(test)]
mod tests {
    use super::privilege_level;

    /// Linux `arch/x86/include/asm/segment.h`: `__KERNEL_CS` is 0x10, `__USER_CS` 0x33, `__USER32_CS` 0x23; kernels
    /// paravirtualised by Xen: `FLAT_RING3_CS64` 0xe033 and, with 32 bits, `FLAT_RING1_CS` 0xe019 (Xen
    /// `xen/include/public/arch-x86`).
    #[test]
    fn the_ring_is_in_the_code_segment() {
        for (code_segment, ring) in [(0x10, 0), (0x33, 3), (0x23, 3), (0xe033, 3), (0xe019, 1)] {
            assert_eq!(privilege_level(code_segment), ring, "{code_segment:#x}");
        }
    }
}
