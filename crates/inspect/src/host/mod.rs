//! The promises of the whole machine, a pure function of the CPU's report and of `/proc` and `/sys`.

#[cfg(feature = "serde")]
mod json;
mod screen;
#[cfg(test)]
#[cfg(all(target_os = "linux", not(miri)))]
mod tests;

use crate::guest::{Effects, HypervisorKind};
use crate::survival::backing_of;
use crate::system::{cpuinfo, kernel, nvdimm};
use crate::{Kernel, PmemRegion, Unknown};
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use cachemaint::aliasing::Aliasing;
use cachemaint::family::calls::System;
use cachemaint::family::tree::{Attribute, Tree};
use cachemaint::medium::{Backing, Domain};
use cachemaint::report::CpuReport;
use std::path::Path;

/// The promises of this machine: the CPU, the kernel, persistent memory, and the survival
/// of bytes.
///
/// It prints on one screen of 80 columns and 38 lines with `{}`, in plain ASCII; long names and damaged regions can take
/// more lines. On systems other than Linux it shows the CPU and the calls that
/// persist files; the rest is unknown.
///
/// ```
/// let report = cachemaint_inspect::HostReport::host();
/// println!("{report}");
/// ```
///
/// # JSON
/// With feature `serde` it is an object with `"schema": 1`. Names are in snake case. A schema may gain names, but the
/// meaning of an existing name does not change.
///
/// | name | what |
/// |---|---|
/// | `cpu` | the [report on the CPU](cachemaint::report#json) |
/// | `hypervisor` | the name of the hypervisor that the CPU shows, or `null` |
/// | `effects` | `whole_cache`, `lines`, `migration`: each `answer`, `text`, `source`, `certainty` (`documented`, `read_in_source`, `measured`, `assumed`) |
/// | `aliasing` | as in `cpu`, with what the kernel's files show |
/// | `kernel` | `name`, `release` |
/// | `page_size`, `shmlba` | `bytes` |
/// | `regions` | `list`: `name`, `provider`, `size`, `available_size` (bytes), `domain`, `meaning`, `is_claim` (always true), `read_only`, `deep_flush` (the DIMMs' buffers can be flushed), `numa_node`, `bad_bytes` (known media errors), each `null` if not shown. `bad_bytes_may_be_more` is true if the kernel's list is full, cut, invalid or unreadable. Also `devices` (list of `name`, `id` or `null`, `unsafe_shutdowns`: a number, or `reason` and `advice`; `failures`: list of `save_fail`, `restore_fail`, `flush_fail`, `not_armed`, `map_fail`), `evidence`; if empty, `reason` and `advice` |
/// | `backings` | the backings that [`survival`](Self::backings) is shown for |
/// | `survival` | list of `backing`, `event`, `stage` (`stored`, `persisted`, `deep_persisted`), `answer` (`yes`, `no`, `not_promised` or `{"if": {"code": …, "text": …}}`), `text`, `source`, `certainty` |
///
/// If `kernel`, `page_size`, `shmlba` or `regions` is unknown, it has only `reason` and `advice`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HostReport {
    /// The CPU.
    pub cpu: CpuReport,
    /// The kernel, or the reason why it is unknown.
    pub kernel: Result<Kernel, Unknown>,
    /// The size of a page in bytes, or the reason why it is unknown.
    pub page_size: Result<u64, Unknown>,
    /// The distance in bytes at whose multiples two mappings of one page agree, or the reason why it is unknown. It is
    /// the kernel's `SHMLBA`, which can be more than this CPU needs, and a page if no CPU of the architecture aliases.
    /// On parisc, where `SHMLBA` is a page, it is the distance at which caches agree. On `LoongArch` it is that of
    /// Linux 6.8 and newer; older kernels need 64 KiB.
    pub shmlba: Result<u64, Unknown>,
    /// The aliasing of the data cache, from the architecture or, if it depends on the CPU, from `/proc/cpuinfo`.
    pub aliasing: Aliasing,
    /// The effects of the hypervisor and a confidential guest on cache maintenance, as far as the CPU shows them.
    pub effects: Effects,
    /// The regions of persistent memory, by their kernel names, or the reason why they are unknown. Each domain is an
    /// unverified claim.
    pub regions: Result<Vec<PmemRegion>, Unknown>,
    /// False on other systems: nothing is known about their media.
    is_linux: bool,
}

impl HostReport {
    /// Returns the report on the machine that this program runs on.
    ///
    /// Reads some dozens of small files. Cannot fail: files that cannot be read are in the report with their reason.
    #[must_use]
    pub fn host() -> Self {
        let report = Self::from_tree(CpuReport::host(), &Tree::host());
        if cfg!(target_os = "linux") { report } else { report.on(&System::host()) }
    }

    /// Returns the kind of hypervisor, if the CPU shows one that is known. `None` means "unknown", never "no".
    #[must_use]
    pub fn hypervisor(&self) -> Option<HypervisorKind> {
        HypervisorKind::of(&self.cpu.hypervisor)
    }

    /// Returns true if there is persistent memory and each region's firmware claims that the CPU caches survive power
    /// loss (eADR). A fence then makes a store persistent on any of them.
    ///
    /// This is for callers that do not know the file of an address; only the regions are read. The
    /// [guarantee](cachemaint::dax::Guarantee) of a file depends on its own region.
    ///
    /// # Errors
    /// If the kernel shows no regions, or if this is not Linux.
    #[doc(alias("eADR", "pmem_has_auto_flush"))]
    pub fn caches_survive_power_loss() -> Result<bool, Unknown> {
        Ok(all_caches_survive(&regions_in(&Tree::host())?))
    }

    /// Returns the report on any machine.
    #[expect(clippy::large_types_passed_by_value, reason = "it becomes a part of the report")]
    fn from_tree(cpu: CpuReport, tree: &Tree) -> Self {
        let page_size = kernel::page_size(tree);
        Self {
            cpu,
            effects: Effects::of(&cpu),
            shmlba: shmlba(&cpu, &page_size),
            kernel: kernel::kernel(tree),
            aliasing: aliasing(&cpu, tree, &page_size),
            page_size,
            regions: regions_in(tree),
            is_linux: true,
        }
    }

    /// Returns a report on the same CPU under another system, with everything else unknown.
    fn on(self, &System { name, persists_by, .. }: &System) -> Self {
        let unasked =
            || Unknown::new(name, "not asked on this system", "see the system's own tools");
        let page_size = Err(unasked());
        Self {
            shmlba: shmlba(&self.cpu, &page_size),
            page_size,
            kernel: Err(unasked()),
            regions: Err(Unknown::new(
                name,
                &format!("files are persisted in whole pages ({persists_by}), on any medium"),
                "use Linux to persist files line by line",
            )),
            is_linux: false,
            ..self
        }
    }

    /// Returns the meaning of an empty list of regions, if it is empty.
    #[must_use]
    pub fn no_region(&self) -> Option<Unknown> {
        let is_empty = self.regions.as_ref().is_ok_and(Vec::is_empty);
        is_empty.then(|| Unknown {
            reason:
                "the kernel shows no region, so nothing in memory is known to outlive power loss"
                    .to_string(),
            advice: SET_RAM_ASIDE,
        })
    }

    /// Returns the possible backings of a file here: always storage and RAM, each kind of region, and file systems with
    /// an unseen path to storage, which includes all on systems other than Linux.
    #[must_use]
    pub fn backings(&self) -> Vec<Backing> {
        if !self.is_linux {
            return alloc::vec![Backing::FileSystem];
        }
        let mut backings = alloc::vec![Backing::Storage, Backing::Ram];
        for region in self.regions.iter().flatten() {
            let backing = backing_of(region.domain);
            if !backings.contains(&backing) {
                backings.push(backing);
            }
        }
        backings.push(Backing::FileSystem);
        backings
    }
}

fn all_caches_survive(regions: &[PmemRegion]) -> bool {
    !regions.is_empty() && regions.iter().all(|region| region.domain == Domain::CpuCaches)
}

/// Returns the regions, or the reason why they are unknown: if the bus is missing, a driver may not be loaded.
fn regions_in(tree: &Tree) -> Result<Vec<PmemRegion>, Unknown> {
    nvdimm::regions(tree).map_err(|missing| {
        let advice = match missing {
            Attribute::Absent => LOAD_DRIVERS,
            _ => "run this as a user who may list it",
        };
        Unknown::new(nvdimm::DEVICES, &missing.describe(), advice)
    })
}

/// Returns the aliasing of the data cache, from the architecture or from `/proc/cpuinfo`.
pub(crate) fn aliasing(cpu: &CpuReport, tree: &Tree, page: &Result<u64, Unknown>) -> Aliasing {
    if !matches!(cpu.aliasing, Aliasing::Unknown { .. }) {
        return cpu.aliasing;
    }
    let cpuinfo = tree.read(Path::new("/proc/cpuinfo"));
    cpu.aliasing_on(match (cpuinfo.value(), page) {
        (Some(text), Ok(page)) => cpuinfo::aliases(cpu.architecture, text, *page).ok_or(None),
        _ => Err(Some("mount /proc, and ask again")),
    })
}

/// Returns the distance at which two mappings of one page agree.
fn shmlba(cpu: &CpuReport, page: &Result<u64, Unknown>) -> Result<u64, Unknown> {
    const TAKE_THE_LARGEST: &str = "take 4 MiB, which is a multiple of it";
    let page = page.clone()?;
    cpu.shmlba(page).map_err(|what| Unknown::new("SHMLBA", what, TAKE_THE_LARGEST))
}

/// True on x86.
const HAS_MEMMAP: bool = cfg!(any(target_arch = "x86", target_arch = "x86_64"));

/// The advice if Linux knows no persistent memory (its `Documentation/admin-guide/kernel-parameters.txt`, `memmap`,
/// which only x86 has; `Documentation/devicetree/bindings/pmem/pmem-region.txt`).
const SET_RAM_ASIDE: &str = if HAS_MEMMAP {
    "persist files by msync or fsync; for tests reserve RAM (memmap=SIZE!START on the kernel's command line)"
} else {
    "persist files by msync or fsync; for tests reserve RAM (a node pmem-region in the device tree)"
};

/// The advice if Linux has no bus for such memory.
const LOAD_DRIVERS: &str = if HAS_MEMMAP {
    "load the kernel's nvdimm drivers (nfit, nd_e820, virtio_pmem)"
} else {
    "load the kernel's nvdimm drivers (nfit or of_pmem, on PowerPC papr_scm, virtio_pmem)"
};
