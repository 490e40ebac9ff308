//! The region of persistent memory that a device belongs to.

use crate::survival::Domain;
use crate::system::nvdimm::{PmemRegion, is_region, region};
use crate::system::tree::Tree;
use alloc::string::String;
use alloc::vec::Vec;
use std::path::Path;

/// Returns the directory of the region above a device in `/sys/devices`.
pub(crate) fn path_of_region(device: &Path) -> Option<&Path> {
    device
        .ancestors()
        .find(|path| path.file_name().is_some_and(|name| is_region(&name.to_string_lossy())))
}

/// Returns the region above a device in `/sys/devices`.
pub(crate) fn region_of(tree: &Tree, device: &Path) -> Option<PmemRegion> {
    path_of_region(device).map(|path| region(tree, path))
}

/// Returns the namespace of a device, or the device that represents it: the one directly below the region and above the
/// given device in `/sys/devices`.
pub(crate) fn below_region(device: &Path) -> Option<&Path> {
    device.ancestors().find(|path| {
        let name = path.parent().and_then(Path::file_name);
        name.is_some_and(|name| is_region(&name.to_string_lossy()))
    })
}

/// Returns volatile memory, which is not a region of `libnvdimm`.
pub(crate) fn volatile(name: &str, provider: &str, size: Option<u64>) -> PmemRegion {
    PmemRegion {
        name: String::from(name),
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
