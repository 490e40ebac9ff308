//! The persistence domain of the memory under a file.
//!
//! A region's promise at power loss is its `persistence_domain` attribute, which the kernel passes on from firmware
//! without checking it (`drivers/nvdimm/region_devs.c`, `drivers/acpi/nfit/core.c`). If there is no claim, as for
//! emulated persistent memory and virtio-pmem, the kernel hides the attribute. The provider of the bus distinguishes
//! these two.
//!
//! A claim is not a proof: a hypervisor can claim any domain for any file (QEMU `nvdimm-persistence=`), and a device
//! tree's `pmem-region` counts as `memory_controller`, whatever the memory (`drivers/nvdimm/of_pmem.c`). So does each
//! region of a CXL device (`drivers/cxl/pmem.c`, `cxl_pmem_region_probe`), although only Global Persistent Flush
//! empties its buffers at power loss.

use super::tree::{Attribute, Tree, printable};
use crate::medium::Domain;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use std::path::{Path, PathBuf};

/// Memory under a file, and what is claimed of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The kernel's name: `region0`.
    pub name: String,
    /// The provider of its bus; empty if not shown.
    pub provider: String,
    /// The domain that survives power loss.
    pub domain: Domain,
    /// A device under it that is not armed, so that no claim holds.
    pub unarmed: Option<String>,
}

/// Returns the memory under the block device with these numbers, or the one with the weakest domain if there are
/// several. `None` if a part of the device is not persistent memory, or is not known.
#[must_use]
pub fn of_device(tree: &Tree, number: (u32, u32)) -> Option<Memory> {
    let device = block_device(tree, number)?;
    let all = under(tree, &device, 0).into_iter().collect::<Option<Vec<_>>>()?;
    all.into_iter().reduce(|a, b| if rank(b.domain) < rank(a.domain) { b } else { a })
}

/// Returns the memory of all devices under a device, with `None` for each that is not persistent memory.
fn under(tree: &Tree, device: &Path, depth: u32) -> Vec<Option<Memory>> {
    if let Some(region) = path_of_region(device) {
        return alloc::vec![Some(read(tree, region))];
    }
    let slaves = slaves(tree, device, depth);
    if slaves.is_empty() {
        return alloc::vec![None];
    }
    let below = |slave: &Option<PathBuf>| match slave {
        Some(slave) => under(tree, slave, depth + 1),
        None => alloc::vec![None],
    };
    slaves.iter().flat_map(below).collect()
}

/// Returns a smaller number for the weaker promise.
#[must_use]
pub const fn rank(domain: Domain) -> u8 {
    match domain {
        Domain::None => 0,
        Domain::Unknown => 1,
        Domain::Cxl => 2,
        Domain::HostFlush => 3,
        Domain::CxlGpf => 4,
        Domain::MemoryController => 5,
        Domain::CpuCaches => 6,
    }
}

/// The class of block devices.
pub const BLOCK: &str = "/sys/class/block";

/// Returns the place in `/sys/devices` of a block device by its number. Podman hides `/sys/dev/block`, but not the
/// class. Major number 0 means a file system without a device.
fn block_device(tree: &Tree, (major, minor): (u32, u32)) -> Option<PathBuf> {
    let number = format!("{major}:{minor}");
    let by_class = || tree.link(&with_attribute(tree, "dev", &number)?);
    let by_number = tree.link(&Path::new("/sys/dev/block").join(&number));
    if major == 0 { by_number } else { by_number.or_else(by_class) }
}

/// Returns the link to the block device that has an attribute with this value.
#[must_use]
pub fn with_attribute(tree: &Tree, attribute: &str, value: &str) -> Option<PathBuf> {
    let mut links = tree.list(Path::new(BLOCK)).into_iter().map(|name| Path::new(BLOCK).join(name));
    links.find(|link| tree.attribute(&link.join(attribute)).value() == Some(value))
}

/// The greatest depth to which stacked device mappers are followed.
pub const DEEPEST_STACK: u32 = 8;

/// Returns the disk that a device is, or is a part of.
#[must_use]
pub fn whole<'a>(tree: &Tree, device: &'a Path) -> &'a Path {
    let is_partition = tree.exists(&device.join("partition"));
    if is_partition { device.parent().unwrap_or(device) } else { device }
}

/// Returns the devices under a device, through device mapper and md: their paths in `/sys/devices`. Those of a
/// partition are those of the device that it is a part of.
#[must_use]
pub fn slaves(tree: &Tree, device: &Path, depth: u32) -> Vec<Option<PathBuf>> {
    let below = whole(tree, device).join("slaves");
    if depth == DEEPEST_STACK {
        return Vec::new();
    }
    tree.list(&below).iter().map(|name| tree.link(&below.join(name))).collect()
}

/// Returns the directory of the region above a device in `/sys/devices`.
#[must_use]
pub fn path_of_region(device: &Path) -> Option<&Path> {
    device
        .ancestors()
        .find(|path| path.file_name().is_some_and(|name| is_region(&name.to_string_lossy())))
}

/// Returns true for `region0`.
#[must_use]
pub fn is_region(name: &str) -> bool {
    name.strip_prefix("region").is_some_and(|number| number.parse::<u32>().is_ok())
}

/// `devtype` of a region that keeps nothing (`drivers/nvdimm/region_devs.c`, `nd_volatile_device_type`).
pub const VOLATILE: &str = "nd_volatile";

/// Returns a region with its domain.
#[must_use]
pub fn read(tree: &Tree, region: &Path) -> Memory {
    let provider = region.parent().map(|bus| tree.attribute(&bus.join("provider")));
    let provider = provider.unwrap_or(Attribute::Absent);
    let mut memory = Memory {
        name: name_of(region),
        provider: printable(provider.value().unwrap_or_default()),
        domain: claimed(&provider, None, false),
        unarmed: None,
    };
    if !matches!(memory.domain, Domain::None | Domain::HostFlush) {
        let claim = tree.attribute(&region.join("persistence_domain"));
        let kind = tree.attribute(&region.join("devtype"));
        memory.domain = claimed(&provider, claim.value(), kind.value() == Some(VOLATILE));
    }
    if matches!(memory.domain, Domain::MemoryController | Domain::CpuCaches) {
        memory.unarmed = unarmed(tree, region);
    }
    if memory.unarmed.is_some() {
        memory.domain = Domain::Unknown;
    }
    memory
}

/// Returns the domain of a region. The kernel and the provider come first: RAM has no claim, and the host defines the
/// meaning of a flush of virtio-pmem. An unreadable provider can be any, even `CXL`, whose claim is unconditional.
#[must_use]
pub fn claimed(provider: &Attribute, domain: Option<&str>, is_volatile: bool) -> Domain {
    match (provider.value(), domain) {
        _ if is_volatile => Domain::None,
        (Some("e820" | "ramdax"), _) => Domain::None,
        (Some("virtio-pmem"), _) => Domain::HostFlush,
        (Some("CXL"), Some("memory_controller")) => Domain::Cxl,
        _ if matches!(provider, Attribute::Unreadable(_)) => Domain::Unknown,
        (_, Some("cpu_cache")) => Domain::CpuCaches,
        (_, Some("memory_controller")) => Domain::MemoryController,
        _ => Domain::Unknown,
    }
}

/// The devices of a bus of persistent memory.
pub const DEVICES: &str = "/sys/bus/nd/devices";
/// The most devices that a region can have (`drivers/nvdimm/region_devs.c` has attributes for 32 mappings).
pub const MOST_MAPPINGS: usize = 32;
/// The state of a memory device that cannot save accepted stores when it loses power.
pub const NOT_ARMED: &str = "not_armed";

/// Returns the name of a device under a region that is not armed. `mappingN` begins with the name of a device
/// (`drivers/nvdimm/region_devs.c`), whose driver shows its flags (`Documentation/ABI/testing/sysfs-bus-nfit`,
/// `sysfs-bus-papr-pmem`).
fn unarmed(tree: &Tree, region: &Path) -> Option<String> {
    let mapping = |number| tree.attribute(&region.join(format!("mapping{number}")));
    let mappings = (0..MOST_MAPPINGS).map(mapping);
    let mut names = mappings.map_while(|shown| Some(device_of(shown.value()?)?.to_string()));
    let is_unarmed = |name: &String| {
        let device = Path::new(DEVICES).join(name);
        let flags = ["nfit/flags", "papr/flags"].map(|flags| device.join(flags));
        let shown = flags.iter().map(|flags| tree.attribute(flags));
        let shown = shown.into_iter().find(|shown| *shown != Attribute::Absent);
        let flags = shown.as_ref().and_then(Attribute::value).unwrap_or_default();
        flags.split_whitespace().any(|flag| flag == NOT_ARMED)
    };
    names.find(is_unarmed)
}

/// Returns the name of the device in a mapping of a region: `nmem0,0,4096,0`.
#[must_use]
pub fn device_of(mapping: &str) -> Option<&str> {
    let name = mapping.split(',').next()?;
    name.strip_prefix("nmem")?.parse::<u32>().ok().map(|_number| name)
}

/// Returns the last name of a path.
#[must_use]
pub fn name_of(path: &Path) -> String {
    printable(&path.file_name().unwrap_or_default().to_string_lossy())
}

#[cfg(test)]
#[cfg(all(feature = "dax", target_os = "linux", not(miri)))]
mod tests {
    use super::{Memory, of_device};
    use crate::medium::Domain;
    use crate::system::tree::Tree;
    use cachemaint_test_support::fixture::Fixture;
    use cachemaint_test_support::killed::{alone, count_system_calls};
    use core::convert::Infallible;

    const DISK: &str = "sys/devices/platform/ndbus0/region0/namespace0.0/block/pmem0";

    fn host(provider: &str, attributes: &[(&str, &str)]) -> Fixture {
        Fixture::new()
            .region(0, Some(provider), attributes)
            .file(&alloc::format!("{DISK}/size"), "4096\n")
            .link("sys/dev/block/259:0", DISK)
    }

    const NVDIMM: [(&str, &str); 2] =
        [("persistence_domain", "cpu_cache\n"), ("mapping0", "nmem0,0,1073741824,0\n")];
    const FLAGS: &str = "sys/bus/nd/devices/nmem0/nfit/flags";

    /// An opening of a file on fsdax makes 13 other calls, and may make 30.
    #[test]
    fn the_domain_of_an_nvdimm_takes_17_system_calls_at_most() {
        let _alone = alone();
        let nvdimm = host("ACPI.NFIT", &NVDIMM).file(FLAGS, "smart_notify\n");
        for (host, domain, most) in
            [(nvdimm, Domain::CpuCaches, 17), (host("e820", &[]), Domain::None, 4)]
        {
            let tree = Tree::at(host.root());
            let domain_of = || of_device(&tree, (259, 0)).map(|memory| memory.domain);
            assert_eq!(domain_of(), Some(domain));
            let test = "the_domain_of_an_nvdimm_takes_17_system_calls_at_most";
            let ask = || {
                core::hint::black_box(domain_of());
                Ok::<(), Infallible>(())
            };
            let Some(calls) = count_system_calls(test, ask) else { return };
            // With its assertions, the standard library checks each descriptor that it closes.
            let checks = if cfg!(debug_assertions) { most / 3 } else { 0 };
            assert!(calls <= most + checks, "{calls}");
        }
    }

    /// A device that is not armed saves nothing, whatever the region claims (`drivers/acpi/nfit/core.c`, `flags_show`).
    #[test]
    fn a_device_that_is_not_armed_voids_the_claim() {
        let host = host("ACPI.NFIT", &NVDIMM).file(FLAGS, "not_armed smart_notify\n");
        let Memory { domain, unarmed, .. } = of_device(&Tree::at(host.root()), (259, 0)).unwrap();
        assert_eq!((domain, unarmed.as_deref()), (Domain::Unknown, Some("nmem0")));
    }
}
