//! Block devices under file systems: their regions of persistent memory, and their durability.

use super::Doubt;
use super::ext4;
use super::mounts::Mount;
use crate::system::bad_blocks::{self, Listed, SECTOR};
use crate::system::nvdimm::{MemoryDevice, PmemRegion, region_of};
use crate::{Evidence, Unknown};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use cachemaint::family::region;
use cachemaint::family::tree::{Attribute, Tree};
use cachemaint::medium::Domain;
use core::ops::Range;
use std::path::{Path, PathBuf};

/// The block device under a file system.
#[derive(Debug)]
pub(crate) struct Disk {
    /// The kernel's name for it; empty if it has none.
    pub(crate) name: String,
    /// The region of persistent memory that it is, or the weakest one under it.
    pub(crate) region: Option<PmemRegion>,
    /// The memory devices of all regions under it.
    pub(crate) devices: Vec<MemoryDevice>,
    /// The reason why it is not known to keep data across a reboot; `None` if everything under it does, as far as it
    /// shows.
    pub(crate) unkept: Option<Doubt>,
    /// The reason why the file system's log is not known to be on it. Without the log, synced files are lost.
    pub(crate) foreign_log: Option<&'static str>,
    /// The reason why a sync is not known to flush it, from the mount options and those that only the driver shows.
    pub(crate) unflushed: Option<Doubt>,
    /// True if the kernel writes the caches back when a directly mapped file is synced. It does so for devices whose
    /// `dax/write_cache` is 1. The attribute is 0 with eADR and for volatile memory, root can set it, and a kernel that
    /// cannot write caches back does not show it (Linux `drivers/dax/super.c`, `dax_flush`, `dax_visible`;
    /// `drivers/nvdimm/region_devs.c`, `nvdimm_has_cache`).
    pub(crate) is_cache_written_back: bool,
    /// True if the kernel was found to drop the flushes of this device, or of one under it.
    pub(crate) drops_flushes: bool,
}

impl Disk {
    /// Returns a device of which only the name is known.
    fn unknown(name: String, mount: &Mount, why: &str) -> Self {
        Self {
            name,
            region: None,
            devices: Vec::new(),
            unkept: Some(Doubt::Unseen(String::from(why))),
            foreign_log: None,
            unflushed: mount.unflushed(),
            is_cache_written_back: false,
            drops_flushes: false,
        }
    }
}

/// Finds the device by its number, or, if a file system has several, by the one it was mounted from.
fn find(
    tree: &Tree,
    number: (u32, u32),
    mount: &Mount,
    evidence: &mut Vec<Evidence>,
) -> Option<PathBuf> {
    let links =
        [Some(by_number(tree, number)), mount.source_device().map(|name| by_name(tree, name))];
    links.into_iter().flatten().find_map(|link| {
        let device = tree.link(&link);
        let answer = device.as_ref().map_or("absent".into(), |device| device.to_string_lossy());
        evidence.push(Evidence::new(link.to_string_lossy(), answer));
        device
    })
}

/// Returns the kernel's name of the device; empty if it is not known.
pub(crate) fn name(tree: &Tree, number: (u32, u32), mount: &Mount) -> String {
    find(tree, number, mount, &mut Vec::new()).as_deref().map(name_of).unwrap_or_default()
}

/// Returns the device under a file system.
pub(crate) fn disk(
    tree: &Tree,
    number: (u32, u32),
    mount: &Mount,
    evidence: &mut Vec<Evidence>,
) -> Disk {
    let found = find(tree, number, mount, evidence);
    let Some(device) = found else {
        return Disk::unknown(String::new(), mount, "its device is not known");
    };
    let name = name_of(&device);
    let Some(parts) = parts(tree, device, mount, evidence) else {
        return Disk::unknown(name, mount, "not all devices of its file system are known");
    };
    let is_of_ext4 = ext4::may_have_mounted(tree, mount, &name);
    let by_driver = is_of_ext4.then(|| ext4::unflushed(tree, &name, evidence));
    let unflushed = match (mount.unflushed(), by_driver) {
        (lost @ Some(Doubt::Lost(_)), _) => lost,
        // The driver shows all mount options.
        (_, Some(by_driver)) => by_driver,
        (by_options, None) => by_options,
    };
    let foreign_log = if is_of_ext4 {
        let is_own = ext4::has_own_journal(tree, &name, evidence);
        (!is_own).then_some("its journal is not seen to be on its own device")
    } else {
        mount.has_log_device().then_some("its log is on another device")
    };
    let below = |part: &PathBuf| regions_under(tree, part, 0);
    let regions: Vec<_> = parts.iter().flat_map(below).collect();
    let devices = devices_of(&regions);
    // If one of several devices is not persistent memory, they count as storage.
    let regions = regions.into_iter().collect::<Option<Vec<_>>>().unwrap_or_default();
    let region = regions.into_iter().reduce(weaker);
    if let Some(region) = &region {
        evidence.extend(region.evidence.iter().cloned());
    }
    let unkept = parts.iter().find_map(|part| unkept(tree, part, 0));
    let is_cache_written_back =
        parts.iter().all(|part| writes_caches_back(tree, part, 0, evidence));
    let dropping = |dropped, part: &PathBuf| drops_flushes(tree, part, 0, evidence) | dropped;
    let drops_flushes = parts.iter().fold(false, dropping);
    Disk {
        name,
        region,
        devices,
        unkept,
        foreign_log,
        unflushed,
        is_cache_written_back,
        drops_flushes,
    }
}

/// Returns the memory devices of regions without duplicates: several parts can lie in one region.
fn devices_of(regions: &[Option<PmemRegion>]) -> Vec<MemoryDevice> {
    let mut devices = Vec::new();
    for device in regions.iter().flatten().flat_map(|region| &region.devices) {
        if !devices.contains(device) {
            devices.push(device.clone());
        }
    }
    devices
}

/// Returns the link to a device by its number. Podman hides `/sys/dev/block`, but not the class. Major number 0 means a
/// file system without a device.
fn by_number(tree: &Tree, (major, minor): (u32, u32)) -> PathBuf {
    let number = format!("{major}:{minor}");
    let link = Path::new("/sys/dev/block").join(&number);
    if major == 0 || tree.exists(&link) {
        return link;
    }
    region::with_attribute(tree, "dev", &number).unwrap_or(link)
}

/// Returns the link to a device by its path below `/dev`. A device mapper has its own name in `/dev/mapper`.
fn by_name(tree: &Tree, path: &str) -> PathBuf {
    let mapped = path.strip_prefix("mapper/");
    mapped
        .and_then(|name| region::with_attribute(tree, "dm/name", name))
        .unwrap_or_else(|| Path::new(region::BLOCK).join(path.replace('/', "!")))
}

/// Returns all devices that a file system keeps files on, given one of them; `None` if some are unknown.
fn parts(
    tree: &Tree,
    found: PathBuf,
    mount: &Mount,
    evidence: &mut Vec<Evidence>,
) -> Option<Vec<PathBuf>> {
    if mount.has_realtime_device() {
        // xfs: a file with the realtime flag lies on that device, which decides about its DAX.
        evidence.push(Evidence::new(
            "mount option rtdev",
            "there or not known: the file may lie on another device",
        ));
        return None;
    }
    if mount.file_system == "btrfs" {
        return parts_of_btrfs(tree, &name_of(&found), evidence);
    }
    Some(alloc::vec![found])
}

const BTRFS: &str = "/sys/fs/btrfs";

/// Returns the devices of the btrfs that contains one of them (Linux `fs/btrfs/sysfs.c`, `btrfs_sysfs_add_device`).
fn parts_of_btrfs(tree: &Tree, found: &str, evidence: &mut Vec<Evidence>) -> Option<Vec<PathBuf>> {
    let of_each = tree.list(Path::new(BTRFS)).into_iter();
    let folder = of_each
        .map(|id| Path::new(BTRFS).join(id).join("devices"))
        .find(|devices| tree.exists(&devices.join(found)));
    let Some(folder) = folder else {
        evidence.push(Evidence::new(BTRFS, format!("no devices with {found} among them")));
        return None;
    };
    let names = tree.list(&folder);
    evidence.push(Evidence::new(folder.to_string_lossy(), names.join(", ")));
    names.iter().map(|name| tree.link(&folder.join(name))).collect()
}

/// Returns the known media errors of the persistent memory under a file system, in bytes of its device, which can be a
/// partition. The device is found by its number; `page` is the size of a page, in bytes.
///
/// Only if the device belongs directly to a region do its sectors correspond to the region's list.
pub(crate) fn bad_blocks(tree: &Tree, number: (u32, u32), page: usize) -> Result<Listed, Unknown> {
    let link = by_number(tree, number);
    let device = tree.link(&link).ok_or_else(|| {
        let advice = "ask for a file on a block device, with /sys mounted";
        Unknown::new(&link.to_string_lossy(), "absent", advice)
    })?;
    if let Some(below) = region::slaves(tree, &device, 0).first() {
        let below = below.as_deref().map_or_else(|| "a device".into(), name_of);
        return Err(Unknown::new(
            &format!("{}/slaves", device.display()),
            &format!("{below} is under it, so its sectors are not the medium's"),
            "ask for the lists of the devices under it, which have no files",
        ));
    }
    if below_region(&device).is_none() {
        let answer = "the device is in no region of persistent memory";
        let advice = "use a file on persistent memory; other devices keep no such list";
        return Err(Unknown::new(&device.to_string_lossy(), answer, advice));
    }
    let (disk, start) = start_in_disk(tree, &device)?;
    let listed = bad_blocks::read(tree, &disk.join("badblocks"), page)?;
    let in_device = |range: Range<u64>| {
        let from_start = range.start.saturating_sub(start)..range.end.saturating_sub(start);
        (!from_start.is_empty()).then_some(from_start)
    };
    Ok(Listed { ranges: listed.ranges.into_iter().filter_map(in_device).collect(), ..listed })
}

/// Returns the disk that a device is, or is a part of, and the device's start on it in bytes. `start` is in sectors of
/// 512 bytes (`Documentation/ABI/stable/sysfs-block`).
pub(crate) fn start_in_disk<'a>(tree: &Tree, device: &'a Path) -> Result<(&'a Path, u64), Unknown> {
    if tree.read(&device.join("partition")).value().is_none() {
        return Ok((device, 0));
    }
    let path = device.join("start");
    let attribute = tree.read(&path);
    let sectors = attribute.value().and_then(|text| text.parse::<u64>().ok());
    match (sectors.and_then(|sectors| sectors.checked_mul(SECTOR)), device.parent()) {
        (Some(start), Some(disk)) => Ok((disk, start)),
        _ => Err(Unknown::new(
            &path.to_string_lossy(),
            &attribute.describe(),
            "report it, with the kernel's version",
        )),
    }
}

fn name_of(device: &Path) -> String {
    device.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Returns the reason why a device is not known to keep data; `None` if everything under it does. A file, RAM, or a
/// device that is found to be on another machine is not known to. A device without hardware (`zram0`, `nullb0`, a disk
/// of `scsi_debug`, a `dm-0` without slaves) keeps nothing, unless it represents the paths to an `NVMe` drive.
fn unkept(tree: &Tree, device: &Path, depth: u32) -> Option<Doubt> {
    let name = name_of(device);
    if depth == region::DEEPEST_STACK {
        return Some(Doubt::Unseen(format!("{name} is below too many other devices")));
    }
    let slaves = region::slaves(tree, device, depth);
    if !slaves.is_empty() {
        return slaves.iter().find_map(|slave| match slave {
            Some(slave) => unkept(tree, slave, depth + 1),
            None => Some(Doubt::Unseen(format!("a device under {name} is not known"))),
        });
    }
    if let Some(region) = region_of(tree, device) {
        // Storage has no condition about the dirty shutdown count, but CXL memory has.
        let is_kept = matches!(region.domain, Domain::MemoryController | Domain::CpuCaches);
        let outlives = if region.domain == Domain::CxlGpf {
            "outlives power loss on a condition that storage does not have"
        } else {
            "is not known to outlive power loss"
        };
        return (!is_kept).then(|| Doubt::Lost(format!("{} {outlives}", region.name)));
    }
    let is_virtual = device.starts_with(VIRTUAL) && !has_local_paths(tree, device);
    let has_no_hardware =
        is_virtual || WITHOUT_HARDWARE.iter().any(|adapter| device.starts_with(adapter));
    let is_elsewhere =
        ["loop", "zram", "ram", "nbd", "rbd"].iter().any(|kind| name.starts_with(kind));
    (has_no_hardware || is_elsewhere || is_remote(tree, device))
        .then(|| Doubt::Lost(format!("no drive of this machine is known behind {name}")))
}

const VIRTUAL: &str = "/sys/devices/virtual";
const VIRTUAL_NVME: &str = "/sys/devices/virtual/nvme-subsystem";

/// The adapters of SCSI disks that are or can be RAM or a file (Linux `drivers/scsi/scsi_debug.c`,
/// `drivers/target/loopback/tcm_loop.c`: `root_device_register`).
const WITHOUT_HARDWARE: [&str; 2] = ["/sys/devices/pseudo_0", "/sys/devices/tcm_loop_0"];

/// Returns true if a device represents the paths to an `NVMe` drive, and each is on a bus of this machine. Other paths
/// are `NVMe` over fabrics, which can end at RAM or a file (Linux `drivers/nvme/host/pci.c` and `apple.c`:
/// `nvme_ctrl_ops`; `sysfs.c`, `nvme_sysfs_show_transport`).
fn has_local_paths(tree: &Tree, device: &Path) -> bool {
    let Some(subsystem) = region::whole(tree, device).parent() else { return false };
    if !subsystem.starts_with(VIRTUAL_NVME) {
        return false;
    }
    let names = tree.list(subsystem);
    let mut transports = names
        .iter()
        .filter(|name| is_numbered(name, "nvme"))
        .map(|name| tree.read(&subsystem.join(name).join("transport")))
        .peekable();
    transports.peek().is_some()
        && transports.all(|transport| matches!(transport.value(), Some("pcie" | "apple-nvme")))
}

/// Returns true if a disk is found to be on another machine, which can keep it in RAM: iSCSI, SRP or USB over IP (Linux
/// `drivers/scsi/scsi_transport_iscsi.c`, `iscsi_add_session`; `drivers/infiniband/ulp/srp/ib_srp.c`, `srp_template`;
/// `drivers/usb/usbip/vhci_hcd.c`). Behind Fibre Channel are arrays of drives, as behind SAS.
fn is_remote(tree: &Tree, device: &Path) -> bool {
    device.ancestors().any(|path| {
        let name = name_of(path);
        let driver = path.join("scsi_host").join(&name).join("proc_name");
        is_numbered(&name, "session")
            || name.starts_with("vhci_hcd.")
            || (is_numbered(&name, "host") && tree.read(&driver).value() == Some("ib_srp"))
    })
}

/// Returns true if a name is this kind followed by a number: `host0`.
fn is_numbered(name: &str, kind: &str) -> bool {
    let number = name.strip_prefix(kind);
    number.is_some_and(|number| number.parse::<u32>().is_ok())
}

/// Returns true if the kernel writes the caches back for every device under a device.
fn writes_caches_back(
    tree: &Tree,
    device: &Path,
    depth: u32,
    evidence: &mut Vec<Evidence>,
) -> bool {
    let slaves = region::slaves(tree, device, depth);
    if !slaves.is_empty() {
        return slaves.iter().all(|slave| {
            slave.as_ref().is_some_and(|slave| writes_caches_back(tree, slave, depth + 1, evidence))
        });
    }
    let path = region::whole(tree, device).join("dax/write_cache");
    let attribute = tree.read(&path);
    if attribute != Attribute::Absent {
        evidence.push(Evidence::new(path.to_string_lossy(), attribute.describe()));
    }
    attribute.value() == Some("1")
}

/// Returns true if the kernel is found to drop the flushes of a device, or of one under it. It sends a device flushes
/// only while `queue/write_cache` is `write back`. The driver sets the attribute, and root can change it without
/// changing the drive (Linux `Documentation/ABI/stable/sysfs-block`; `block/blk-core.c`, `submit_bio_noacct`).
///
/// A missing attribute proves nothing: kernels before 4.7 drop flushes too. Persistent memory has no cache to flush,
/// except for virtio-pmem's host.
fn drops_flushes(tree: &Tree, device: &Path, depth: u32, evidence: &mut Vec<Evidence>) -> bool {
    let of_region = region_of(tree, device);
    if of_region.is_some_and(|region| region.domain != Domain::HostFlush) {
        return false;
    }
    let path = region::whole(tree, device).join("queue/write_cache");
    let attribute = tree.read(&path);
    evidence.push(Evidence::new(path.to_string_lossy(), attribute.describe()));
    let is_dropped = attribute.value().is_some_and(|shown| shown != "write back");
    // Checks every device, so that the evidence is complete.
    region::slaves(tree, device, depth).iter().flatten().fold(is_dropped, |dropped, slave| {
        drops_flushes(tree, slave, depth + 1, evidence) | dropped
    })
}

/// Returns the region of a device, or the regions of all devices under it, with `None` for each that is not persistent
/// memory.
fn regions_under(tree: &Tree, device: &Path, depth: u32) -> Vec<Option<PmemRegion>> {
    let region = region_of(tree, device);
    let slaves = region::slaves(tree, device, depth);
    if region.is_some() || slaves.is_empty() {
        return alloc::vec![region];
    }
    let below = |slave: &Option<PathBuf>| match slave {
        Some(slave) => regions_under(tree, slave, depth + 1),
        None => alloc::vec![None],
    };
    slaves.iter().flat_map(below).collect()
}

/// Returns whichever of two regions under one device promises less.
fn weaker(a: PmemRegion, b: PmemRegion) -> PmemRegion {
    if region::rank(b.domain) < region::rank(a.domain) { b } else { a }
}

/// Returns the namespace of a device, or the device that represents it: the one directly below the region and above the
/// given device in `/sys/devices`.
pub(super) fn below_region(device: &Path) -> Option<&Path> {
    device.ancestors().find(|path| {
        let name = path.parent().and_then(Path::file_name);
        name.is_some_and(|name| region::is_region(&name.to_string_lossy()))
    })
}
