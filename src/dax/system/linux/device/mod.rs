//! Device DAX: the guarantee of a device, and the flush of its medium.
//!
//! There is no page granularity: the device has no fsync(2), so that `msync` fails with `EINVAL`
//! (`drivers/dax/device.c`, `dax_fops`; `fs/sync.c`, `vfs_fsync_range`). If lines cannot be made persistent, nothing
//! can.

// No unsafe code is tested, and Miri would take minutes for the generated cases.
#[cfg(test)]
#[cfg(not(miri))]
mod tests;

use super::conclude::{advice_for, asked_map_sync, claim};
use super::reach::{Reach, advice_to_reach, cannot_reach};
use crate::dax::mapping::Unflushed;
use crate::dax::{Error, Guarantee};
use crate::medium::Granularity;
use crate::survival::Backing;
use crate::system::backing::device_dax::{self, Device, Unusable};
use crate::system::tree::{Attribute, Tree};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use rustix::io::Errno;
use std::io;
use std::path::{Path, PathBuf};

/// The answers about the device itself.
#[derive(Clone, Copy, Debug)]
pub(in crate::dax::system) struct DeviceAnswers {
    /// The kernel's answer to `MAP_SYNC`.
    pub(super) map_sync: Result<(), Errno>,
    pub(super) reach: Reach,
    /// True if the CPU reports a guest: claims are then the hypervisor's.
    pub(super) in_guest: bool,
}

/// Returns the device DAX with this number of a character device; `None` if it is another device.
pub(super) fn find(path: &Path, tree: &Tree, number: (u32, u32)) -> Result<Option<Device>, Error> {
    let Some(found) = device_dax::find(tree, number) else { return Ok(None) };
    let device = device_dax::read(tree, &found);
    device.map(Some).map_err(|why| Error::unsupported(path, unusable(why)))
}

fn unusable(why: Unusable) -> String {
    match why {
        Unusable::Attribute { path, answer } => format!(
            "its attribute {path} is unusable: {answer}; see how the device is set up (daxctl list)"
        ),
        Unusable::Driver(Some(name)) => {
            let what = match name.as_str() {
                "kmem" => "which makes it system RAM",
                "fsdev_dax" => "which has no mmap: a file system (famfs) maps it",
                _ => "which is not known to map it",
            };
            format!(
                "is bound to {name}, {what}; give it to device DAX (daxctl reconfigure-device --mode=devdax)"
            )
        }
        Unusable::Driver(None) => "has no driver; enable it (daxctl enable-device)".to_string(),
    }
}

/// Returns the guarantee of a device. The error is the reason why it cannot be made persistent, and the remedy.
pub(super) fn conclude(device: &Device, asked: &DeviceAnswers) -> Result<Guarantee, String> {
    let mut evidence = Vec::new();
    evidence.push(asked_map_sync(asked.map_sync));
    evidence.extend(asked.reach.evidence());
    evidence.extend(device.evidence.iter().cloned());
    let domain = device.memory.as_ref().map(|memory| memory.domain);
    let backing = domain.map_or(Backing::PmemUnknown, Backing::of);
    let line = persistable(device, backing, asked)?;
    let claim = claim(device.memory.as_ref(), asked.in_guest);
    let (granularity, reason, advice) = match backing {
        Backing::PmemEadr => {
            (Granularity::Byte, format!("a device, and {claim}: a fence suffices"), None)
        }
        _ => (Granularity::Line(line), format!("a device, and {claim}"), advice_for(backing)),
    };
    let devices = device.memory.as_ref().map(|memory| memory.devices.clone()).unwrap_or_default();
    Ok(Guarantee {
        granularity,
        backing,
        reason,
        advice,
        file_system: String::new(),
        mount_point: String::new(),
        is_device_dax: true,
        alignment: device.alignment,
        region: device.memory.clone(),
        deep_flush: device.deep_flush.clone(),
        devices,
        through_page_cache: false,
        drops_flushes: false,
        has_name: true,
        device: device.name.clone(),
        evidence,
    })
}

/// Returns the line size that the CPU makes persistent there, or the reason why it cannot.
fn persistable(device: &Device, backing: Backing, asked: &DeviceAnswers) -> Result<usize, String> {
    let refused =
        |reason: &str, advice| Err(format!("cannot be made persistent: {reason}; {advice}"));
    let point = backing.point();
    match (asked.map_sync, backing, asked.reach.line(point)) {
        (Err(errno), _, _) => refused(
            &format!("the kernel refuses MAP_SYNC on it: {}", io::Error::from(errno)),
            super::NEWER,
        ),
        (_, Backing::VirtioPmem, _) => refused(
            "virtio-pmem reaches the host only by flush requests, and device DAX sends none",
            "use a file on the memory instead (a namespace in fsdax mode), whose msync sends them",
        ),
        _ if device.needs_host_call => refused(
            "only a hypervisor call makes written-back lines persistent, and device DAX makes none",
            "use a file on the memory instead (a namespace in fsdax mode), whose msync makes it",
        ),
        (.., None) => refused(
            &format!("{}, and device DAX has no msync", cannot_reach(point)),
            advice_to_reach(point),
        ),
        (.., Some(line)) => Ok(line),
    }
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
    pub(super) const fn new(tree: Tree, attribute: Option<PathBuf>) -> Self {
        Self { tree, attribute }
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
        let found = self.tree.read(path);
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
