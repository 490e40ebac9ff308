//! Device DAX: memory as a character device, as Linux shows it under `/sys/bus/dax`.
//!
//! Such a device (`/dev/dax0.0`) can only be opened and mapped: it has no read(2), write(2) or fsync(2)
//! (`drivers/dax/device.c`, `dax_fops`). Its size and alignment are in its attributes `size` and `align`
//! (`Documentation/ABI/testing/sysfs-bus-dax`). Its parent in `/sys/devices` shows its persistence:
//!
//! | below | memory | source |
//! |---|---|---|
//! | `ndbus0/region0/dax0.1` | a namespace of a region of persistent memory | `drivers/dax/pmem.c` |
//! | `decoder0.0/region0/dax_region0` | a CXL region, whose `mode` says `ram` or `pmem` | `drivers/cxl/core/region_dax.c`, `drivers/dax/cxl.c` |
//! | `hmem.0` | RAM that firmware set apart for a special purpose | `drivers/dax/hmem/hmem.c` |
//!
//! The kernel grants `MAP_SYNC` on all of them without looking at the memory (`drivers/dax/bus.c`,
//! `set_dax_synchronous`): on RAM too, and on memory that only a request to a host makes persistent.

use super::regions;
use crate::system::nvdimm::PmemRegion;
use crate::system::tree::{Attribute, Evidence, Tree, printable};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use std::path::{Path, PathBuf};

/// A device, from its attributes.
#[derive(Debug)]
pub(crate) struct Device {
    /// The kernel's name: `dax0.0`.
    pub(crate) name: String,
    /// The size of the device in bytes.
    pub(crate) size: u64,
    /// The unit in bytes of address, offset and length of a mapping: a power of two, and the size that one page fault
    /// maps. If the kernel cannot map that much at once, the first access raises SIGBUS (`drivers/dax/device.c`,
    /// `dev_dax_huge_fault`).
    pub(crate) alignment: u64,
    /// The memory that the device consists of, if it is shown.
    pub(crate) memory: Option<PmemRegion>,
    /// The attribute that flushes the medium's own buffers, if its kind of memory has one.
    pub(crate) deep_flush: Option<PathBuf>,
    /// True if only a call of the hypervisor makes written-back bytes persistent.
    pub(crate) needs_host_call: bool,
    /// The attributes read.
    pub(crate) evidence: Vec<Evidence>,
}

/// The reason why a device cannot be mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// An attribute is missing, cannot be read or has an invalid value.
    Attribute { path: String, answer: String },
    /// The device is bound to a driver that does not map it (`kmem`, `fsdev_dax`), or to none.
    Driver(Option<String>),
}

/// Returns the place in `/sys/devices` of a character device, if it is a device DAX: its subsystem is the bus `dax`, or
/// until Linux 5.17 with `CONFIG_DEV_DAX_PMEM_COMPAT` the class (`/sys/class/dax`).
pub(crate) fn find(tree: &Tree, (major, minor): (u32, u32)) -> Option<PathBuf> {
    let device = tree.resolve(&PathBuf::from(format!("/sys/dev/char/{major}:{minor}")))?;
    let subsystem = tree.resolve(&device.join("subsystem"))?;
    (subsystem.file_name()? == "dax").then_some(device)
}

/// Returns the place of a device DAX in `/sys/devices`, by its name.
pub(crate) fn named(tree: &Tree, name: &str) -> Option<PathBuf> {
    ["/sys/bus/dax/devices", "/sys/class/dax"]
        .into_iter()
        .find_map(|directory| tree.resolve(&Path::new(directory).join(name)))
}

/// Reads the properties of a device.
pub(crate) fn read(tree: &Tree, path: &Path) -> Result<Device, Unusable> {
    let mut evidence = alloc::vec![Evidence::new("device DAX", path.to_string_lossy())];
    require_driver(tree, path, &mut evidence)?;
    let size = attribute(tree, path, "size", |size| *size > 0, &mut evidence)?;
    let is_alignment = |align: &u64| align.is_power_of_two();
    let alignment = attribute(tree, path, "align", is_alignment, &mut evidence)?;
    let above = above(tree, path, &mut evidence);
    if let Some(memory) = above.as_ref().and_then(|above| above.memory.as_ref()) {
        evidence.extend(memory.evidence.iter().cloned());
    }
    let region = above.as_ref().map(|above| above.path.as_path());
    Ok(Device {
        name: name_of(path),
        size,
        alignment,
        deep_flush: region.map(|region| region.join("deep_flush")),
        needs_host_call: region.is_some_and(|region| needs_host_call(tree, region, &mut evidence)),
        memory: above.and_then(|above| above.memory),
        evidence,
    })
}

fn name_of(path: &Path) -> String {
    printable(&path.file_name().unwrap_or_default().to_string_lossy())
}

/// Requires the driver. A device on the bus works only with its driver; a device of the class comes from the driver.
fn require_driver(tree: &Tree, path: &Path, evidence: &mut Vec<Evidence>) -> Result<(), Unusable> {
    let subsystem = tree.resolve(&path.join("subsystem"));
    if subsystem.is_some_and(|subsystem| subsystem.starts_with("/sys/class")) {
        return Ok(());
    }
    let link = path.join("driver");
    let driver = tree.resolve(&link).as_deref().map(name_of);
    let answer = driver.as_deref().unwrap_or("absent");
    evidence.push(Evidence::new(link.to_string_lossy(), answer));
    match driver {
        Some(name) if name == DEVICE_DAX => Ok(()),
        other => Err(Unusable::Driver(other)),
    }
}

/// The only driver whose devices programs can map (`drivers/dax/device.c`). Others on the bus turn them into system RAM
/// (`kmem`) or give them to a file system (`fsdev_dax`).
const DEVICE_DAX: &str = "device_dax";

/// Returns the value of an attribute, if it is plausible.
fn attribute(
    tree: &Tree,
    device: &Path,
    name: &str,
    is_valid: fn(&u64) -> bool,
    evidence: &mut Vec<Evidence>,
) -> Result<u64, Unusable> {
    let path = device.join(name);
    let found = tree.read(&path);
    let evident = Evidence::new(path.to_string_lossy(), found.describe());
    let Evidence { asked, answer } = evident.clone();
    evidence.push(evident);
    let value = found.value().and_then(|text| text.parse().ok()).filter(is_valid);
    value.ok_or(Unusable::Attribute { path: asked, answer })
}

/// The parent of a device, and its memory.
struct Above {
    path: PathBuf,
    memory: Option<PmemRegion>,
}

fn above(tree: &Tree, device: &Path, evidence: &mut Vec<Evidence>) -> Option<Above> {
    if let Some(path) = device.ancestors().find(|path| is_hmem(path)) {
        let memory = volatile(tree, path, "hmem");
        return Some(Above { path: path.to_path_buf(), memory: Some(memory) });
    }
    let path = regions::path_of_region(device)?;
    let below = device.strip_prefix(path).ok()?.iter().next()?;
    let memory = if below.to_string_lossy().starts_with("dax_region") {
        cxl(tree, path, evidence)
    } else {
        regions::region_of(tree, device)
    };
    Some(Above { path: path.to_path_buf(), memory })
}

/// Returns true for `hmem.0`: a device of the platform.
fn is_hmem(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.strip_prefix("hmem.").is_some_and(|number| number.parse::<u32>().is_ok())
}

/// Returns a CXL region that is not a region of `libnvdimm`: RAM, or an undocumented kind.
fn cxl(tree: &Tree, region: &Path, evidence: &mut Vec<Evidence>) -> Option<PmemRegion> {
    let path = region.join("mode");
    let mode = tree.read(&path);
    evidence.push(Evidence::new(path.to_string_lossy(), mode.describe()));
    (mode.value() == Some("ram")).then(|| volatile(tree, region, "CXL"))
}

fn volatile(tree: &Tree, path: &Path, provider: &str) -> PmemRegion {
    // The size of the whole region, of which a device can be a part: `dax_region` shows it in decimal.
    let size = ["dax_region/size", "size"].map(|name| tree.read(&path.join(name)));
    let size = size.iter().filter_map(Attribute::value).find_map(|text| text.parse().ok());
    regions::volatile(&name_of(path), provider, size)
}

/// Returns true if the hypervisor of a POWER machine must be called to make written-back bytes persistent
/// (`arch/powerpc/platforms/pseries/papr_scm.c`: `ibm,hcall-flush-required`). Its region still says
/// `memory_controller`.
fn needs_host_call(tree: &Tree, region: &Path, evidence: &mut Vec<Evidence>) -> bool {
    let path = region.join("of_node/ibm,hcall-flush-required");
    let is_there = tree.exists(&path);
    if is_there {
        evidence.push(Evidence::new(path.to_string_lossy(), "is there"));
    }
    is_there
}
