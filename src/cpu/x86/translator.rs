//! Programs that a translator executes on a CPU of another kind.
//!
//! A translator makes up the CPU that it shows: it puts its own name in the place of the vendor or of the brand, or takes
//! the vendor of an x86 CPU and leaves out what every CPU of that vendor has. So a CPU is believed if it has all marks of
//! its maker, and translators that nobody here knows are refused too. The brand of a virtual machine is its operator's
//! choice, so a known hypervisor stands for its CPU.

use super::{
    LEAF_BASIC, LEAF_EXTENDED, LEAF_EXTENDED_FEATURES, LEAF_HYPERVISOR, brand, is_guest, leaf,
    signature, signatures, vendor,
};
use crate::cpu::HypervisorKind;
use raw_cpuid::{CpuId, CpuIdReader};

/// The vendors whose CPUs have CLFLUSH and SSE2, and the names in their brands: recorded CPUs in `tests/cpus/x86`;
/// `Pentium(R) Dual-Core` and `Celeron(R) Dual-Core` stand without Intel's name.
const MAKERS: [(&str, &[&str]); 6] = [
    ("GenuineIntel", &["intel", "pentium(r)", "celeron(r)"]),
    ("AuthenticAMD", &["amd"]),
    ("HygonGenuine", &["hygon"]),
    ("CentaurHauls", &["via", "centaur", "zhaoxin"]),
    ("Shanghai", &["zhaoxin"]),
    ("GenuineTMx86", &["transmeta"]),
];

/// The names in the brands of QEMU's CPU models, under any vendor and with a hypervisor that hides; its Westmere stands
/// without Intel's.
const MODELS: &[&str] = &["qemu", "kvm", "westmere"];

const LEAF_CACHES: u32 = 4;
/// EDX of [`LEAF_EXTENDED_FEATURES`] (Intel SDM vol. 2A, CPUID).
const LONG_MODE: u32 = 1 << 29;

/// Returns true if a translator executes this program. Without SSE2 nothing can be maintained, and old makers are many.
pub(super) fn executes<R: CpuIdReader>(cpuid: &CpuId<R>, reader: &R) -> bool {
    if !cpuid.get_feature_info().is_some_and(|features| features.has_sse2()) {
        return false;
    }
    let (vendor, brand) = (vendor(reader), brand(cpuid));
    let Some((_, names)) = MAKERS.iter().find(|(maker, _)| *maker == vendor.as_str()) else {
        return true;
    };
    // Box64 and felix86 name themselves and the CPU below. Windows on Arm has `Virtual CPU @ 2.99GHz` (recorded:
    // github.com/softmac/cpuidex, `results`); providers of virtual machines have such a name without the `@`.
    if brand.contains(" on ") || brand.starts_with("Virtual CPU @") {
        return true;
    }
    // FEX has its leaf where it hides the hypervisor bit too.
    let known = signature(reader, LEAF_HYPERVISOR)
        .and_then(|signature| HypervisorKind::of_signature(&signature));
    let is_makers = || names.iter().chain(MODELS).any(|name| contains(&brand, name));
    match known {
        Some((kind, _)) => kind == HypervisorKind::Translator,
        None if brand.is_empty() && !has_long_mode(reader) => false,
        None if is_makers() => lacks_caches(reader, &vendor),
        None => !shows_later_signature(reader),
    }
}

/// Returns true if a known hypervisor stands behind a signature that its operator made up (libvirt, `<vendor_id>` of
/// `<hyperv>`).
fn shows_later_signature<R: CpuIdReader>(reader: &R) -> bool {
    is_guest(reader)
        && signatures(reader).iter().any(|found| HypervisorKind::of_signature(found).is_some())
}

/// Returns true if the text has the name in it, in any case (`INTEL(R) XEON(R) PLATINUM 8570`).
fn contains(text: &str, name: &str) -> bool {
    let mut places = text.as_bytes().windows(name.len());
    places.any(|place| place.eq_ignore_ascii_case(name.as_bytes()))
}

/// Every CPU with it has a brand, which firmware writes on AMD's.
fn has_long_mode<R: CpuIdReader>(reader: &R) -> bool {
    leaf(reader, LEAF_EXTENDED, LEAF_EXTENDED_FEATURES)
        .is_some_and(|leaf| leaf.edx & LONG_MODE != 0)
}

/// Returns true if a CPU of Intel that has the leaf of its caches names none, and is not a guest, whose leaf can be empty.
fn lacks_caches<R: CpuIdReader>(reader: &R, vendor: &str) -> bool {
    let caches = leaf(reader, LEAF_BASIC, LEAF_CACHES);
    vendor == super::INTEL
        && !is_guest(reader)
        && caches.is_some_and(|leaf| leaf.eax.trailing_zeros() >= 5)
}
