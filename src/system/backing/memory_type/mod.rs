//! The memory type of a mapping, as Linux shows it.
//!
//! A file on DAX maps the medium itself, so the type is that of the physical range.
//! Linux shows it on x86 alone, in two places, both for root only in practice:
//!
//! - `/sys/kernel/debug/x86/pat_memtype_list`: the types that the kernel has reserved for physical
//!   ranges which are not ordinary RAM (`arch/x86/mm/pat/memtype.c`, `memtype_seq_show`). The end
//!   of a range is the first address behind it. Up to Linux 6.14 a mapping of DAX takes its type
//!   over (`track_pfn_insert`). Later kernels map DAX pages as those of RAM, write-back
//!   (`fs/dax.c`, `vmf_insert_page_mkwrite`), and the list is about the kernel's own mapping of the same range. Where
//!   that is another, the effect on a file's mapping is not known.
//! - `/proc/mtrr`: the variable ranges that firmware set (`arch/x86/kernel/cpu/mtrr/if.c`). The type
//!   of everything else is in a register that no file shows. Where write-back was asked for, the
//!   kernel has looked it up, and the list says `uncached-minus` if it is another
//!   (`pat_x_mtrr_type`).
//!
//! The CPU combines both (Intel SDM vol. 3A, "Effective Page-Level Memory Types for Pentium III and
//! More Recent Processor Families"). A hypervisor has tables of its own and can overrule them.
//!
//! The physical range is that of the namespace under the block device ([`physical`]).

mod mtrr;
mod pat;
#[cfg(test)]
mod tests;

use crate::system::backing::physical::{self, AS_ROOT, hexadecimal};
use crate::system::kernel::OSRELEASE;
use crate::system::memory_type::{Caching, MemoryType};
use crate::system::tree::{Evidence, Tree, Unknown};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::Range;
use mtrr::Set;
use pat::Reserved;
use std::path::Path;

const RULE_DAX: &str = "Linux maps persistent memory write-back: mm/memremap.c (memremap_pages: \
                        PAGE_KERNEL) for drivers/nvdimm/pmem.c, and a file by vm_page_prot";
const RULE_RAM: &str = "Linux maps pages of RAM write-back (vm_page_prot), the page cache too";

/// KVM on Intel ignores a guest's types, unless a device was assigned to it that does not snoop (Linux
/// `arch/x86/kvm/vmx/vmx.c`, `vmx_get_mt_mask`).
const OVERRULED: &str =
    "This is a guest: the hypervisor's own tables can make it another type, and nothing shows that";

const ASK_FIRMWARE: &str = "ask the person who set the machine's firmware up";
const ASK_RULE: &str = "rely on the kernel's rule: no other evidence exists";

/// True for the kernel of x86.
pub(crate) const IS_X86: bool = cfg!(any(target_arch = "x86", target_arch = "x86_64"));

/// The kind of memory that maps a file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mapped<'a> {
    /// Pages of RAM.
    PageCache,
    /// The namespace under this block device, if there is one, or this device of device DAX.
    Device(&'a str),
}

/// Returns the caching of a file that is mapped so. `is_x86` is true for a tree of an x86 kernel.
pub(crate) fn caching(tree: &Tree, mapped: Mapped<'_>, is_x86: bool, in_guest: bool) -> Caching {
    let mut evidence = Vec::new();
    let (read, rule) = match mapped {
        Mapped::PageCache => (Err(page_cache()), RULE_RAM),
        Mapped::Device(_) if !is_x86 => (Err(not_shown()), RULE_DAX),
        Mapped::Device(name) => (read(tree, name, &mut evidence), RULE_DAX),
    };
    let caveat = matches!(mapped, Mapped::Device(_) if in_guest).then_some(OVERRULED);
    Caching { read, by_rule: MemoryType::WriteBack, rule, caveat, evidence }
}

fn page_cache() -> Unknown {
    Unknown {
        reason: "it is mapped from the page cache, and no list shows the types of RAM".to_string(),
        advice: ASK_RULE,
    }
}

fn not_shown() -> Unknown {
    Unknown {
        reason: "Linux shows the types of physical ranges on x86 alone".to_string(),
        advice: ASK_RULE,
    }
}

fn read(tree: &Tree, device: &str, evidence: &mut Vec<Evidence>) -> Result<MemoryType, Unknown> {
    let range = physical::range(tree, device, ASK_RULE, evidence)?;
    let reserved = pat::reserved(tree, &range, evidence)?;
    if reserved != Reserved::Is(MemoryType::WriteBack) {
        require_list_followed(tree, reserved, evidence)?;
    }
    let set = mtrr::set(tree, &range, evidence);
    effective(reserved, set)
}

/// The first kernel whose mappings of DAX do not follow the list.
const NOT_FOLLOWED_SINCE: (u32, u32) = (6, 15);

fn require_list_followed(
    tree: &Tree,
    reserved: Reserved,
    evidence: &mut Vec<Evidence>,
) -> Result<(), Unknown> {
    let release = tree.read(Path::new(OSRELEASE));
    evidence.push(Evidence::new(OSRELEASE, release.describe()));
    match release.value().and_then(version) {
        Some(version) if version < NOT_FOLLOWED_SINCE => Ok(()),
        _ => {
            let asked =
                format!("{} says {} of the kernel's own mapping", pat::LIST, reserved.name());
            let answer = "since Linux 6.15 that of a file need not be the same";
            Err(Unknown::new(&asked, answer, ASK_FIRMWARE))
        }
    }
}

/// Returns the 6 and 12 of `6.12.48+deb13-cloud-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn shown(range: &Range<u64>) -> String {
    format!("{:#x}-{:#x}", range.start, range.end)
}

/// Returns the type that page tables and MTRRs give together.
///
/// # Errors
/// Returns the reason if the manual leaves the type to the implementation.
#[expect(clippy::match_same_arms, reason = "each line of the table has its own reason")]
fn effective(reserved: Reserved, set: Set) -> Result<MemoryType, Unknown> {
    use MemoryType::{Uncached, WriteBack, WriteCombining, WriteProtected, WriteThrough};
    let unknown = |why: &str| {
        let asked = format!("{} says {}", pat::LIST, reserved.name());
        Err(Unknown::new(&asked, why, ASK_FIRMWARE))
    };
    match (reserved, set) {
        // No MTRR changes these.
        (Reserved::Is(kind @ (Uncached | WriteCombining)), _) => Ok(kind),
        (Reserved::UncachedMinus, Set::Is(WriteCombining)) => Ok(WriteCombining),
        (Reserved::UncachedMinus, Set::Is(Uncached | WriteThrough | WriteBack)) => Ok(Uncached),
        // The kernel compared with the MTRRs, their default too, before it reserved write-back.
        (Reserved::Is(WriteBack), Set::Default | Set::NotShown(_)) => Ok(WriteBack),
        (Reserved::Is(WriteBack), Set::Is(kind)) => Ok(kind),
        (Reserved::Is(_), Set::Is(Uncached)) => Ok(Uncached),
        (Reserved::Is(kind @ (WriteThrough | WriteProtected)), Set::Is(WriteBack)) => Ok(kind),
        (Reserved::Is(WriteThrough), Set::Is(WriteThrough)) => Ok(WriteThrough),
        (_, Set::Default) => unknown("the default type of the MTRRs decides, which no file shows"),
        (_, Set::NotShown(why) | Set::Mixed(why)) => unknown(&why),
        (_, Set::Is(kind)) => unknown(&format!("an MTRR says {}", kind.name())),
    }
}
