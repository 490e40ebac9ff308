//! The physical addresses of a memory device: the namespace under a block device, or a device DAX.
//!
//! Linux shows them only to root, in the attributes `resource` and `size` of the device directly below the region and
//! above the block device (`drivers/nvdimm`):
//!
//! | above the block device | mode | `resource` |
//! |---|---|---|
//! | `namespace0.0` | raw | where the namespace begins (`namespace_devs.c`, `resource_show`) |
//! | `pfn0.0` | fsdax | where its data begin, behind padding, the info block and the page structures, if those are kept there (`pfn_devs.c`, `resource_show`: `start_pad`, `dataoff`) |
//! | `btt0.0` | sector | none: its blocks move about (`Documentation/driver-api/nvdimm/btt.rst`) |
//!
//! In the first two cases this is the address of the disk's byte 0. The driver has it at `phys_addr + data_offset`
//! (`pmem.c`, `__pmem_direct_access`), where `data_offset` is the `dataoff` of the info block, and 0 without one
//! (`pmem_attach_disk`). With padding, which no kernel creates any more, this holds for reads and writes, and mappings
//! are broken (`pfn.h`, `start_pad`). A partition begins later, by `start` sectors of 512 bytes
//! (`Documentation/ABI/stable/sysfs-block`).

use super::disks;
use crate::Unknown;
use cachemaint::family::tree::{Attribute, Tree};
use core::ops::Range;
use std::path::{Path, PathBuf};

const AS_ROOT: &str = "run it as root: the kernel hides physical addresses from others";

/// Returns the addresses of the bytes of a block device, which can be a partition, or of a device DAX: from its byte 0
/// to the end of the memory that it lies in. `advice` is used if no better advice exists.
pub(crate) fn of_device(
    tree: &Tree,
    device: &str,
    advice: &'static str,
) -> Result<Range<u64>, Unknown> {
    let range = range(tree, device, advice)?;
    // A device DAX is not a block device.
    let Some(path) = tree.link(&block_device(device)) else { return Ok(range) };
    let (_disk, start) = disks::start_in_disk(tree, &path)?;
    match range.start.checked_add(start) {
        Some(first) if first < range.end => Ok(first..range.end),
        _ => Err(Unknown::new(&path.to_string_lossy(), "begins after the end of its disk", advice)),
    }
}

/// Returns the addresses of the memory under a block device or its partition, or of a device DAX. `advice` is used if
/// no better advice exists.
fn range(tree: &Tree, device: &str, advice: &'static str) -> Result<Range<u64>, Unknown> {
    let link = block_device(device);
    let shown = link.to_string_lossy();
    if device.is_empty() {
        return Err(Unknown::new(&shown, "no device is known under the file", advice));
    }
    if let Some(path) = device_dax_named(tree, device) {
        return range_of_device_dax(tree, &path, advice);
    }
    let Some(path) = tree.link(&link) else {
        return Err(Unknown::new(&shown, "absent", "mount /sys"));
    };
    match disks::below_region(&path) {
        Some(namespace) => shown_range(tree, namespace, advice),
        None if is_made_of_others(tree, &path) => Err(Unknown::new(
            &shown,
            "is not a namespace of persistent memory itself",
            "inspect a file on one of the devices that it is made of",
        )),
        None => Err(Unknown::new(
            &shown,
            "is not persistent memory, and its blocks have no physical addresses",
            "inspect a file on persistent memory",
        )),
    }
}

/// Returns true for a device of the device mapper or of md, and for its partitions (Linux, `drivers/md/dm-sysfs.c` and
/// `drivers/md/md.c`: the attributes are in a directory of this name).
fn is_made_of_others(tree: &Tree, device: &Path) -> bool {
    let mut disks = device.ancestors().take(2);
    disks.any(|disk| ["dm", "md"].iter().any(|name| tree.exists(&disk.join(name))))
}

fn block_device(name: &str) -> PathBuf {
    Path::new("/sys/class/block").join(name)
}

/// Returns the place of a device DAX in `/sys/devices`, by its name.
fn device_dax_named(tree: &Tree, name: &str) -> Option<PathBuf> {
    ["/sys/bus/dax/devices", "/sys/class/dax"]
        .into_iter()
        .find_map(|directory| tree.link(&Path::new(directory).join(name)))
}

/// Returns the range of a device DAX. It can have several ranges (`drivers/dax/bus.c`); `resource` is the first.
fn range_of_device_dax(
    tree: &Tree,
    device: &Path,
    advice: &'static str,
) -> Result<Range<u64>, Unknown> {
    if tree.exists(&device.join("mapping1")) {
        return Err(Unknown::new(&device.to_string_lossy(), "has several ranges", advice));
    }
    shown_range(tree, device, advice)
}

/// Returns the range that attributes show.
fn shown_range(tree: &Tree, namespace: &Path, advice: &'static str) -> Result<Range<u64>, Unknown> {
    let ask = |name: &str, parse: fn(&str) -> Option<u64>| {
        let path = namespace.join(name);
        let attribute = tree.read(&path);
        let number = attribute.value().and_then(parse);
        let advice = if matches!(attribute, Attribute::Unreadable(_)) { AS_ROOT } else { advice };
        number.ok_or_else(|| Unknown::new(&path.to_string_lossy(), &attribute.describe(), advice))
    };
    let start = ask("resource", hexadecimal)?;
    let size = ask("size", |text| text.parse().ok())?;
    match start.checked_add(size) {
        Some(end) if size > 0 => Ok(start..end),
        _ => Err(Unknown::new(&namespace.to_string_lossy(), "has no range", advice)),
    }
}

fn hexadecimal(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::of_device;
    use crate::tests::{Fixture, tree_of};
    use alloc::format;
    use alloc::string::{String, ToString};
    use core::ops::Range;

    const REGION: &str = "sys/devices/platform/ndbus0/region0";
    const ADVICE: &str = "do without";

    /// Returns a device of 256 MiB, named as `ndctl` and the kernel do, and a disk below it with one partition, which
    /// begins at 1 MiB.
    fn machine(above: &str, resource: &str) -> Fixture {
        let disk = format!("{REGION}/{above}/block/pmem0");
        Fixture::new()
            .file(&format!("{REGION}/{above}/resource"), resource)
            .file(&format!("{REGION}/{above}/size"), "268435456\n")
            .file(&format!("{disk}/size"), "524288\n")
            .file(&format!("{disk}/pmem0p1/partition"), "1\n")
            .file(&format!("{disk}/pmem0p1/start"), "2048\n")
            .link("sys/class/block/pmem0", &disk)
            .link("sys/class/block/pmem0p1", &format!("{disk}/pmem0p1"))
    }

    fn asked(fixture: &Fixture, device: &str) -> Result<Range<u64>, String> {
        of_device(&tree_of(fixture), device, ADVICE).map_err(|why| why.to_string())
    }

    /// The namespace begins at 1 GiB; 2048 sectors are 1 MiB.
    #[test]
    fn a_raw_disk_begins_with_its_namespace_and_a_partition_where_it_starts() {
        let raw = machine("namespace0.0", "0x40000000\n");
        assert_eq!(asked(&raw, "pmem0"), Ok(0x4000_0000..0x5000_0000));
        assert_eq!(asked(&raw, "pmem0p1"), Ok(0x4010_0000..0x5000_0000));
    }

    /// An fsdax namespace, whose first 6 MiB are the info block and the page structures. The data's own
    /// `resource` counts, not that of the namespace beside it.
    #[test]
    fn an_fsdax_disk_begins_behind_its_info_block() {
        let fsdax = machine("pfn0.0", "0x40600000\n")
            .file(&format!("{REGION}/pfn0.0/size"), "262144000\n")
            .file(&format!("{REGION}/namespace0.0/resource"), "0x40000000\n");
        assert_eq!(asked(&fsdax, "pmem0"), Ok(0x4060_0000..0x5000_0000));
        assert_eq!(asked(&fsdax, "pmem0p1"), Ok(0x4070_0000..0x5000_0000));
    }

    #[test]
    fn a_device_of_device_dax_begins_where_it_says() {
        let device = format!("{REGION}/dax0.1/dax0.0");
        let host = Fixture::new()
            .file(&format!("{device}/resource"), "0x40400000\n")
            .file(&format!("{device}/size"), "264241152\n")
            .link("sys/bus/dax/devices/dax0.0", &device);
        assert_eq!(asked(&host, "dax0.0"), Ok(0x4040_0000..0x5000_0000));
        let host = host.file(&format!("{device}/mapping1/start"), "0x80000000\n");
        assert!(asked(&host, "dax0.0").unwrap_err().contains("has several ranges"));
    }

    #[test]
    fn an_unknown_address_has_its_reason() {
        let refused = |fixture: &Fixture, device| asked(fixture, device).unwrap_err();
        assert!(refused(&Fixture::new(), "").contains("no device is known under the file"));
        assert!(refused(&Fixture::new(), "pmem0").contains("pmem0: absent; mount /sys"));
        let sector = Fixture::new()
            .file(&format!("{REGION}/btt0.0/block/pmem0s/size"), "1\n")
            .link("sys/class/block/pmem0s", &format!("{REGION}/btt0.0/block/pmem0s"));
        assert!(refused(&sector, "pmem0s").ends_with("btt0.0/resource: absent; do without"));
        let mapper = Fixture::new()
            .file("sys/devices/virtual/block/dm-0/dm/name", "both\n")
            .link("sys/class/block/dm-0", "sys/devices/virtual/block/dm-0");
        assert!(
            refused(&mapper, "dm-0").contains("is not a namespace of persistent memory itself")
        );
        let disk = Fixture::new()
            .file("sys/devices/pci0000:00/0000:00:02.0/virtio1/block/vda/size", "1\n")
            .link("sys/class/block/vda", "sys/devices/pci0000:00/0000:00:02.0/virtio1/block/vda");
        assert!(refused(&disk, "vda").contains("vda: is not persistent memory"));

        let start = format!("{REGION}/namespace0.0/block/pmem0/pmem0p1/start");
        let raw = || machine("namespace0.0", "0x40000000\n");
        // 524288 sectors are all of the 256 MiB.
        let behind = refused(&raw().file(&start, "524288\n"), "pmem0p1");
        assert!(behind.contains("pmem0p1: begins after the end of its disk"), "{behind}");
        let absurd = refused(&raw().file(&start, "18446744073709551615\n"), "pmem0p1");
        assert!(absurd.contains("pmem0p1/start: 18446744073709551615"), "{absurd}");
        let hidden = refused(&machine("namespace0.0", "(hidden)\n"), "pmem0");
        assert!(hidden.contains("namespace0.0/resource: (hidden); do without"), "{hidden}");
        let endless = refused(&machine("namespace0.0", "0xfffffffff8000000\n"), "pmem0");
        assert!(endless.contains("has no range"), "{endless}");
    }
}
