//! Persistent memory regions, as Linux shows them under `/sys/bus/nd`.
//!
//! A region's promise at power loss is its `persistence_domain` attribute, which the kernel passes on from firmware
//! without checking it (`drivers/nvdimm/region_devs.c`, `drivers/acpi/nfit/core.c`). If there is no claim, as for
//! emulated persistent memory and virtio-pmem, the kernel hides the attribute. The provider of the bus distinguishes
//! these two.
//!
//! A claim is not a proof: a hypervisor can claim any domain for any file (QEMU `nvdimm-persistence=`), and a device
//! tree's `pmem-region` counts as `memory_controller`, whatever the memory (`drivers/nvdimm/of_pmem.c`). So does each
//! region of a CXL device (`drivers/cxl/pmem.c`, `cxl_pmem_region_probe`), although its buffers are emptied at power
//! loss only by Global Persistent Flush (GPF), if at all. The dirty shutdown count of a device shows that the device
//! has GPF. Linux 6.15 and newer shows the count if it could arm the device's dirty state and found the GPF capability
//! (`cxl_nvdimm_arm_dirty_shutdown_tracking`).

use super::bad_blocks;
use super::kernel;
use crate::{Evidence, Unknown};
use alloc::string::String;
use alloc::vec::Vec;
use cachemaint::family::region;
use cachemaint::family::tree::{Attribute, Tree, printable};
use cachemaint::medium::Domain;
use std::path::{Path, PathBuf};

/// One region of persistent memory.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PmemRegion {
    /// The kernel's name: `region0`.
    pub name: String,
    /// The provider of the bus: `ACPI.NFIT`, `e820`, `virtio-pmem`, …; empty if not shown.
    pub provider: String,
    /// The size of the region in bytes, if the kernel shows it.
    pub size: Option<u64>,
    /// The bytes that no namespace uses yet, if the kernel shows them.
    pub available_size: Option<u64>,
    /// The domain that survives power loss.
    #[cfg_attr(feature = "serde", serde(flatten, serialize_with = "claim"))]
    pub domain: Domain,
    /// True if the kernel refuses to write to it; `None` if not shown.
    pub read_only: Option<bool>,
    /// True if the DIMMs' own buffers can be flushed on request (`deep_flush`); `None` if not shown. The flush adds to
    /// the promise of the domain, and needs root.
    pub deep_flush: Option<bool>,
    /// The nearest NUMA node, if the kernel knows it.
    pub numa_node: Option<u32>,
    /// The number of bytes with known media errors, in sectors of 512, if the kernel shows them. A load from one raises
    /// SIGBUS.
    pub bad_bytes: Option<u64>,
    /// True if more bytes may be bad: the kernel's list is full, cut, unreadable or invalid.
    pub bad_bytes_may_be_more: bool,
    /// The devices that it lies on, in the order of the kernel's list; empty if it has none, like RAM, or if the kernel
    /// does not show them.
    pub devices: Vec<MemoryDevice>,
    /// The evidence for these facts.
    pub evidence: Vec<Evidence>,
}

/// Serializes the domain, its meaning, and that it is a claim.
#[cfg(feature = "serde")]
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn claim<S: serde::Serializer>(domain: &Domain, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(serde::Serialize)]
    struct Claimed {
        domain: Domain,
        meaning: &'static str,
        is_claim: bool,
    }
    let claimed = Claimed { domain: *domain, meaning: domain.meaning(), is_claim: true };
    serde::Serialize::serialize(&claimed, serializer)
}

/// A device that a region lies on: an NVDIMM, a CXL memory device.
///
/// The count of unsafe shutdowns grows if the device lost power before it had saved all accepted stores, or does not
/// know whether it had. A program can keep the count with its data; if it has grown, the program must treat the data as
/// damaged, even if they were persisted. The kernel reads the counts when it starts; they do not change while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct MemoryDevice {
    /// The kernel's name: `nmem0`. It can change in a reboot.
    pub name: String,
    /// The unique identifier of the device (ACPI's of an NVDIMM, the serial number of a CXL device), if the kernel
    /// shows it.
    pub id: Option<String>,
    /// The number of unsafe shutdowns.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::answers::number_or_reason"))]
    pub unsafe_shutdowns: Result<u64, Unknown>,
    /// The failures that the kernel reports: `save_fail`, `restore_fail`, `flush_fail`, `not_armed`, `map_fail`; empty
    /// if it shows none. A failed save, restore or flush has lost accepted stores before this start. A device that is
    /// not armed does not save them at the next power loss, so no claim holds for its region.
    pub failures: Vec<String>,
}

pub(crate) const DEVICES: &str = region::DEVICES;

/// Returns all regions of the machine, by name.
///
/// # Errors
/// The outcome of listing the devices, if that failed.
pub(crate) fn regions(tree: &Tree) -> Result<Vec<PmemRegion>, Attribute> {
    let devices = Path::new(DEVICES);
    let names = tree.names(devices)?;
    let regions = names.iter().filter(|name| region::is_region(name)).map(|name| {
        let link = devices.join(name);
        // The device itself can be hidden. Its region still exists, and shows no claim.
        let there = tree.link(&link).filter(|device| tree.exists(device));
        read_region(tree, &there.unwrap_or(link))
    });
    Ok(regions.collect())
}

pub(crate) fn read_region(tree: &Tree, path: &Path) -> PmemRegion {
    let mut evidence = Vec::new();
    let mut ask = |path: PathBuf| {
        let attribute = tree.read(&path);
        evidence.push(Evidence::new(path.to_string_lossy(), attribute.describe()));
        attribute
    };
    let provider = path.parent().map_or(Attribute::Absent, |bus| ask(bus.join("provider")));
    let domain = ask(path.join("persistence_domain"));
    let kind = tree.read(&path.join("devtype"));
    let is_volatile = kind.value() == Some(region::VOLATILE);
    if is_volatile {
        ask(path.join("devtype"));
    }
    let devices = devices(tree, path, &mut evidence);
    let domain = match region::claimed(&provider, domain.value(), is_volatile) {
        Domain::Cxl => cxl(tree, &devices, &mut evidence),
        Domain::CpuCaches | Domain::MemoryController if devices.iter().any(is_unarmed) => {
            Domain::Unknown
        }
        claim => claim,
    };
    let (bad_bytes, bad_bytes_may_be_more) = bad_bytes(tree, &path.join("badblocks"));
    let shown = |name| tree.read(&path.join(name));
    let number = |name| shown(name).value().and_then(|text| text.parse::<u64>().ok());
    let switch = |name| match shown(name).value() {
        Some("1") => Some(true),
        Some("0") => Some(false),
        _ => None,
    };
    PmemRegion {
        name: printable(&path.file_name().unwrap_or_default().to_string_lossy()),
        domain,
        provider: printable(provider.value().unwrap_or_default()),
        size: number("size"),
        available_size: number("available_size"),
        read_only: switch("read_only"),
        deep_flush: switch("deep_flush"),
        // -1 if it is unknown.
        numa_node: number("numa_node").and_then(|node| u32::try_from(node).ok()),
        bad_bytes,
        bad_bytes_may_be_more,
        devices,
        evidence,
    }
}

impl PmemRegion {
    /// Returns the name of a device that is not armed.
    pub(crate) fn unarmed(&self) -> Option<&str> {
        self.devices.iter().find(|device| is_unarmed(device)).map(|device| device.name.as_str())
    }
}

fn is_unarmed(device: &MemoryDevice) -> bool {
    device.failures.iter().any(|failure| failure == NOT_ARMED)
}

/// The smallest page of Linux, used if the page size is unknown. With larger pages, a complete list can then count as
/// cut.
const SMALLEST_PAGE: usize = 4096;

/// Returns the sum of the listed errors, and true if there may be more.
fn bad_bytes(tree: &Tree, path: &Path) -> (Option<u64>, bool) {
    if !tree.exists(path) {
        return (None, false);
    }
    let page = kernel::page_size(tree).ok().and_then(|page| usize::try_from(page).ok());
    let Ok(listed) = bad_blocks::read(tree, path, page.unwrap_or(SMALLEST_PAGE)) else {
        return (None, true);
    };
    let sum = listed.bytes();
    (sum, sum.is_none() || listed.may_be_cut)
}

/// Returns the domain of a CXL region. It has GPF if every device shows a dirty shutdown count.
fn cxl(tree: &Tree, devices: &[MemoryDevice], evidence: &mut Vec<Evidence>) -> Domain {
    for device in devices {
        let path = Path::new(DEVICES).join(&device.name).join("cxl").join(SHUTDOWNS);
        evidence.push(Evidence::new(path.to_string_lossy(), tree.read(&path).describe()));
    }
    let all = devices.iter().all(|device| device.unsafe_shutdowns.is_ok());
    if all && !devices.is_empty() { Domain::CxlGpf } else { Domain::Cxl }
}

/// The attribute with the count.
const SHUTDOWNS: &str = "dirty_shutdown";

/// Returns the devices under a region. `mappingN` begins with the device's name (`drivers/nvdimm/region_devs.c`).
fn devices(tree: &Tree, path: &Path, evidence: &mut Vec<Evidence>) -> Vec<MemoryDevice> {
    let count = tree.read(&path.join("mappings"));
    let count: usize = count.value().and_then(|text| text.parse().ok()).unwrap_or(0);
    if count > region::MOST_MAPPINGS {
        return Vec::new();
    }
    let mapping = |number| path.join(alloc::format!("mapping{number}"));
    (0..count).map(|number| device(tree, &mapping(number), evidence)).collect()
}

fn device(tree: &Tree, mapping: &Path, evidence: &mut Vec<Evidence>) -> MemoryDevice {
    let unknown = |asked: &Path, answer: &str| {
        Err(Unknown::new(&asked.to_string_lossy(), answer, ASK_VENDOR))
    };
    let shown = tree.read(mapping);
    let name = shown.value().and_then(region::device_of);
    let path = Path::new(DEVICES).join(name.unwrap_or_default());
    let family = FAMILIES.into_iter().find(|family| tree.exists(&path.join(family)));
    let mut device = MemoryDevice {
        name: String::from(name.unwrap_or_default()),
        id: None,
        unsafe_shutdowns: unknown(&path, "neither nfit nor papr nor cxl is there"),
        failures: Vec::new(),
    };
    let (Some(_), Some(family)) = (name, family) else {
        if name.is_none() {
            device.unsafe_shutdowns = unknown(mapping, &shown.describe());
        }
        return device;
    };
    let folder = path.join(family);
    let id = tree.read(&folder.join("id"));
    device.id = id.value().filter(|id| !id.is_empty()).map(printable);
    let asked = folder.join(SHUTDOWNS);
    let count = tree.read(&asked);
    device.unsafe_shutdowns = match count.value().map(str::parse::<u64>) {
        Some(Ok(0)) if family == PAPR => unknown(&asked, "0, which also stands for no count"),
        Some(Ok(count)) => Ok(count),
        _ => unknown(&asked, &count.describe()),
    };
    // Words, with spaces between (`Documentation/ABI/testing/sysfs-bus-nfit`, `sysfs-bus-papr-pmem`).
    let asked = folder.join("flags");
    let flags = tree.read(&asked);
    if flags != Attribute::Absent {
        evidence.push(Evidence::new(asked.to_string_lossy(), flags.describe()));
    }
    let flags = flags.value().unwrap_or_default().split_whitespace();
    device.failures = flags.filter(|flag| FAILURES.contains(flag)).map(String::from).collect();
    device
}

const NOT_ARMED: &str = region::NOT_ARMED;
/// The failures among the flags of a device (`drivers/acpi/nfit/nfit.h`, `ACPI_NFIT_MEM_FAILED_MASK`; ACPI, "NVDIMM State
/// Flags"). Other flags are about its health, its key or its events.
const FAILURES: [&str; 5] = ["save_fail", "restore_fail", "flush_fail", NOT_ARMED, "map_fail"];

/// The directories in which the kernel's drivers of such devices show their attributes (`drivers/acpi/nfit/core.c`,
/// `arch/powerpc/platforms/pseries/papr_scm.c`, `drivers/cxl/pmem.c`).
const FAMILIES: [&str; 3] = ["nfit", PAPR, "cxl"];
/// The family with a driver that also shows 0 if the hypervisor has no count (`papr_scm_probe`).
const PAPR: &str = "papr";

const ASK_VENDOR: &str = "ask the devices' own tool (ndctl list -DH) or their vendor";

/// Returns volatile memory, which is not a region of `libnvdimm`.
#[cfg(target_os = "linux")]
pub(crate) fn volatile(tree: &Tree, path: &Path, provider: &str) -> PmemRegion {
    // The size of the whole region, of which a device can be a part: `dax_region` shows it in decimal.
    let size = ["dax_region/size", "size"].map(|name| tree.read(&path.join(name)));
    let size = size.iter().filter_map(Attribute::value).find_map(|text| text.parse().ok());
    PmemRegion {
        name: region::name_of(path),
        provider: String::from(provider),
        size,
        available_size: None,
        domain: Domain::None,
        read_only: None,
        deep_flush: None,
        numa_node: None,
        bad_bytes: None,
        bad_bytes_may_be_more: false,
        devices: Vec::new(),
        evidence: Vec::new(),
    }
}

/// Returns the region above a device in `/sys/devices`.
#[cfg(target_os = "linux")]
pub(crate) fn region_of(tree: &Tree, device: &Path) -> Option<PmemRegion> {
    region::path_of_region(device).map(|path| read_region(tree, path))
}
