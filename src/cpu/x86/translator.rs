//! Detects programs that a translator executes on another kind of CPU.
//!
//! A translator makes up the CPU that a program sees. It puts its own name in place of the vendor or the brand, or
//! claims the vendor of an x86 CPU but lacks what every CPU of that vendor has. A CPU is therefore believed only if it
//! has all marks of its maker, which refuses unknown translators too. The operator of a virtual machine chooses its
//! brand, so a known hypervisor is believed instead.

use super::{
    LEAF_BASIC, LEAF_EXTENDED, LEAF_EXTENDED_FEATURES, LEAF_HYPERVISOR, brand, is_guest, leaf,
    signature, signatures, vendor,
};
use crate::cpu::{TRANSLATOR, is_known};
use raw_cpuid::{CpuId, CpuIdReader};

/// The vendors whose CPUs have CLFLUSH and SSE2, and the names in their brands: recorded CPUs in `testing/cpus/x86`;
/// `Pentium(R) Dual-Core` and `Celeron(R) Dual-Core` lack Intel's name.
const MAKERS: [(&str, &[&str]); 6] = [
    ("GenuineIntel", &["intel", "pentium(r)", "celeron(r)"]),
    ("AuthenticAMD", &["amd"]),
    ("HygonGenuine", &["hygon"]),
    ("CentaurHauls", &["via", "centaur", "zhaoxin"]),
    ("Shanghai", &["zhaoxin"]),
    ("GenuineTMx86", &["transmeta"]),
];

/// The names in the brands of QEMU's CPU models, under any vendor and with a hidden hypervisor; its Westmere lacks
/// Intel's name.
const MODELS: &[&str] = &["qemu", "kvm", "westmere"];

const LEAF_CACHES: u32 = 4;
/// EDX of [`LEAF_EXTENDED_FEATURES`] (Intel SDM vol. 2A, CPUID).
const LONG_MODE: u32 = 1 << 29;

/// Returns true if a translator executes this program. Returns false in ring 0, since translators execute user programs,
/// and firmware may not have written the brand yet. Returns false without SSE2: nothing can be maintained then, and there
/// were many old makers.
pub(super) fn executes<R: CpuIdReader>(cpuid: &CpuId<R>, reader: &R, privileged: bool) -> bool {
    if privileged || !cpuid.get_feature_info().is_some_and(|features| features.has_sse2()) {
        return false;
    }
    let (vendor, brand) = (vendor(reader), brand(cpuid));
    let Some((_, names)) = MAKERS.iter().find(|(maker, _)| *maker == vendor.as_str()) else {
        return true;
    };
    // Box64 and felix86 name themselves and the real CPU. Windows on Arm has `Virtual CPU @ 2.99GHz` (recorded:
    // github.com/softmac/cpuidex, `results`); providers of virtual machines have such a name without the `@`.
    if brand.contains(" on ") || brand.starts_with("Virtual CPU @") {
        return true;
    }
    // FEX has its leaf even if it hides the hypervisor bit.
    let known = signature(reader, LEAF_HYPERVISOR).filter(|signature| is_known(signature));
    let is_makers = || names.iter().chain(MODELS).any(|name| contains(&brand, name));
    match known {
        Some(signature) => signature.as_str() == TRANSLATOR,
        None if brand.is_empty() && !has_long_mode(reader) => false,
        None if is_makers() => lacks_caches(reader, &vendor),
        None => !shows_later_signature(reader),
    }
}

/// Returns true if a known hypervisor follows a signature that its operator made up (libvirt, `<vendor_id>` of
/// `<hyperv>`).
fn shows_later_signature<R: CpuIdReader>(reader: &R) -> bool {
    is_guest(reader) && signatures(reader).iter().any(|found| is_known(found))
}

/// Returns true if the text contains the name, in upper or lower case (`INTEL(R) XEON(R) PLATINUM 8570`).
fn contains(text: &str, name: &str) -> bool {
    let mut places = text.as_bytes().windows(name.len());
    places.any(|place| place.eq_ignore_ascii_case(name.as_bytes()))
}

/// Every CPU with long mode has a brand, which firmware writes on AMD's CPUs.
fn has_long_mode<R: CpuIdReader>(reader: &R) -> bool {
    leaf(reader, LEAF_EXTENDED, LEAF_EXTENDED_FEATURES)
        .is_some_and(|leaf| leaf.edx & LONG_MODE != 0)
}

/// Returns true if an Intel CPU has the cache leaf but reports no caches. A guest's leaf can be empty, so a guest does
/// not count.
fn lacks_caches<R: CpuIdReader>(reader: &R, vendor: &str) -> bool {
    let caches = leaf(reader, LEAF_BASIC, LEAF_CACHES);
    vendor == super::INTEL
        && !is_guest(reader)
        && caches.is_some_and(|leaf| leaf.eax.trailing_zeros() >= 5)
}
