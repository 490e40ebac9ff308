//! Device DAX: memory as a character device, as Linux shows it under `/sys/bus/dax`, and the flush of its medium.
//!
//! Such a device (`/dev/dax0.0`) can only be opened and mapped: it has no read(2), write(2) or fsync(2)
//! (`drivers/dax/device.c`, `dax_fops`), so `msync` fails with `EINVAL` (`fs/sync.c`, `vfs_fsync_range`). Its size and
//! alignment are in its attributes `size` and `align` (`Documentation/ABI/testing/sysfs-bus-dax`). Its parent in
//! `/sys/devices` shows its persistence:
//!
//! | below | memory | source |
//! |---|---|---|
//! | `ndbus0/region0/dax0.1` | a namespace of a region of persistent memory | `drivers/dax/pmem.c` |
//! | `decoder0.0/region0/dax_region0` | a CXL region, whose `mode` says `ram` or `pmem` | `drivers/cxl/core/region_dax.c`, `drivers/dax/cxl.c` |
//! | `hmem.0` | RAM that firmware set apart for a special purpose | `drivers/dax/hmem/hmem.c` |
//!
//! The kernel grants `MAP_SYNC` on all of them without looking at the memory (`drivers/dax/bus.c`,
//! `set_dax_synchronous`): on RAM too, and on memory that only a request to a host makes persistent.

use super::super::{DeviceDax, Unflushed, Unusable};
use crate::medium::Domain;
use crate::system::region::{self, Memory};
use crate::system::tree::{Attribute, Tree};
use alloc::format;
use alloc::string::ToString;
use std::path::{Path, PathBuf};

/// Returns the place in `/sys/devices` of a character device, if it is a device DAX: its subsystem is the bus `dax`, or
/// until Linux 5.17 with `CONFIG_DEV_DAX_PMEM_COMPAT` the class (`/sys/class/dax`).
#[must_use]
pub fn find(tree: &Tree, (major, minor): (u32, u32)) -> Option<PathBuf> {
    let device = tree.link(&PathBuf::from(format!("/sys/dev/char/{major}:{minor}")))?;
    let subsystem = tree.link(&device.join("subsystem"))?;
    (subsystem.file_name()? == "dax").then_some(device)
}

/// Reads the properties of a device: the device, its size, and its alignment.
///
/// The alignment is the unit in bytes of address, offset and length of a mapping: a power of two, and the size that one
/// page fault maps. If the kernel cannot map that much at once, the first access raises SIGBUS
/// (`drivers/dax/device.c`, `dev_dax_huge_fault`).
///
/// # Errors
/// If the device cannot be mapped.
pub fn read(tree: &Tree, path: PathBuf) -> Result<(DeviceDax, u64, u64), Unusable> {
    require_driver(tree, &path)?;
    let size = attribute(tree, &path, "size", |size| *size > 0)?;
    let alignment = attribute(tree, &path, "align", |align| align.is_power_of_two())?;
    let hmem = path.ancestors().find(|path| is_hmem(path));
    let above = hmem.or_else(|| region::path_of_region(&path)).map(Path::to_path_buf);
    let device = DeviceDax {
        memory: above.as_deref().and_then(|above| memory(tree, &path, above)),
        deep_flush: above.as_ref().map(|above| above.join("deep_flush")),
        needs_host_call: above.is_some_and(|above| needs_host_call(tree, &above)),
        path,
    };
    Ok((device, size, alignment))
}

/// Requires the driver. A device on the bus works only with its driver; a device of the class comes from the driver.
fn require_driver(tree: &Tree, path: &Path) -> Result<(), Unusable> {
    let subsystem = tree.link(&path.join("subsystem"));
    if subsystem.is_some_and(|subsystem| subsystem.starts_with("/sys/class")) {
        return Ok(());
    }
    match tree.link(&path.join("driver")).as_deref().map(region::name_of) {
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
) -> Result<u64, Unusable> {
    let path = device.join(name);
    let found = tree.attribute(&path);
    let value = found.value().and_then(|text| text.parse().ok()).filter(is_valid);
    let path = path.to_string_lossy().into_owned();
    value.ok_or_else(|| Unusable::Attribute { path, answer: found.describe() })
}

/// Returns the memory of a device, by what is above it.
fn memory(tree: &Tree, device: &Path, above: &Path) -> Option<Memory> {
    let below = device.strip_prefix(above).ok()?.iter().next()?;
    let (provider, is_volatile) = if is_hmem(above) {
        ("hmem", true)
    } else if below.to_string_lossy().starts_with("dax_region") {
        // Not a region of `libnvdimm`: RAM, or an undocumented kind.
        ("CXL", tree.attribute(&above.join("mode")).value() == Some("ram"))
    } else {
        return Some(region::read(tree, above));
    };
    let (name, provider) = (region::name_of(above), provider.to_string());
    is_volatile.then_some(Memory { name, provider, domain: Domain::None, unarmed: None })
}

/// Returns true for `hmem.0`: a device of the platform.
fn is_hmem(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.strip_prefix("hmem.").is_some_and(|number| number.parse::<u32>().is_ok())
}

/// Returns true if the hypervisor of a POWER machine must be called to make written-back bytes persistent
/// (`arch/powerpc/platforms/pseries/papr_scm.c`: `ibm,hcall-flush-required`). Its region still says
/// `memory_controller`.
fn needs_host_call(tree: &Tree, region: &Path) -> bool {
    tree.exists(&region.join("of_node/ibm,hcall-flush-required"))
}

/// The attribute of a region that flushes the buffers of all its DIMMs.
///
/// It reads 1 if they have flush hints, or if the region has its own flush; writing 1 flushes. It reads 0, and is
/// read-only, if the DIMMs have no hints: the kernel assumes that power loss empties their queues (ADR). It is missing
/// if the kernel does not know: for a region without DIMMs, such as RAM, and on architectures without
/// `CONFIG_ARCH_HAS_PMEM_API`. This holds since Linux 4.12 (`drivers/nvdimm/region_devs.c`: `deep_flush_show`,
/// `region_visible`, `nvdimm_has_flush`).
#[derive(Debug)]
pub(in crate::dax) struct DeepFlush {
    tree: Tree,
    /// `None` if no region was found.
    attribute: Option<PathBuf>,
}

impl DeepFlush {
    /// Returns the flush by this attribute of the running kernel.
    pub(in crate::dax) fn new(attribute: Option<PathBuf>) -> Self {
        Self { tree: Tree::host(), attribute }
    }

    /// Flushes, if there is something to flush.
    pub(in crate::dax) fn flush(&self) -> Result<(), Unflushed> {
        let Some(path) = &self.attribute else {
            return Err(Unflushed {
                path: "deep_flush".to_string(),
                answer: "no region of persistent memory was found for the device".to_string(),
                errno: None,
            });
        };
        let failed = |answer, errno| {
            Err(Unflushed { path: path.to_string_lossy().into_owned(), answer, errno })
        };
        let found = self.tree.attribute(path);
        match &found {
            Attribute::Value(text) if text == "0" => Ok(()),
            Attribute::Value(text) if text == "1" => match self.tree.write(path, "1") {
                Ok(()) => Ok(()),
                Err(error) => failed(format!("writing 1 failed: {error}"), error.raw_os_error()),
            },
            _ => failed(found.describe(), None),
        }
    }
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use super::{DeepFlush, Unflushed};
    use crate::system::tree::Tree;
    use alloc::format;
    use cachemaint_test_support::fixture::Fixture;
    use std::fs;
    use std::path::Path;

    const ATTRIBUTE: &str = "sys/devices/platform/ndbus0/region0/deep_flush";

    fn with(provider: &str, attributes: &[(&str, &str)]) -> Fixture {
        Fixture::new().region(0, Some(provider), attributes)
    }

    /// The kernel's own readings: `drivers/nvdimm/region_devs.c`, `deep_flush_show` and `region_visible`.
    #[test]
    fn a_deep_flush_is_done_not_needed_or_an_error() {
        let flush = |host: &Fixture| {
            let attribute = Some(Path::new("/").join(ATTRIBUTE));
            DeepFlush { tree: Tree::at(host.root()), attribute }.flush()
        };
        let without_hints = with("ACPI.NFIT", &[("deep_flush", "0\n")]);
        flush(&without_hints).unwrap();
        assert_eq!(
            fs::read_to_string(without_hints.inside(ATTRIBUTE)).unwrap(),
            "0\n",
            "nor written"
        );

        // The blank before it shows what is written over it.
        let with_hints = with("ACPI.NFIT", &[("deep_flush", "\n1\n")]);
        flush(&with_hints).unwrap();
        assert_eq!(fs::read_to_string(with_hints.inside(ATTRIBUTE)).unwrap(), "11\n");

        for (text, words) in [("2\n", "2"), ("-6\n", "-6"), ("\n", "")] {
            let host = with("ACPI.NFIT", &[("deep_flush", text)]);
            let Err(Unflushed { path, answer, .. }) = flush(&host) else { panic!("{text}") };
            assert_eq!((path, answer.as_str()), (format!("/{ATTRIBUTE}"), words));
        }
        let Err(Unflushed { path, answer, .. }) = flush(&with("e820", &[])) else {
            panic!("there is no attribute")
        };
        assert_eq!((path, answer.as_str()), (format!("/{ATTRIBUTE}"), "absent"));
        // A directory can neither be read nor written, also not by root.
        let host = with("ACPI.NFIT", &[]).file(&format!("{ATTRIBUTE}/x"), "");
        let Err(Unflushed { answer, .. }) = flush(&host) else { panic!("unreadable") };
        assert!(answer.starts_with("unreadable: "), "{answer}");
    }
}
