//! What follows from the facts about a file, the answers of the kernel, and a tree of `/proc` and `/sys`.
//!
//! It is a pure function, so tests can replay any machine. It uses only the file's own mount, device and region, never
//! other regions of the machine. The granularity is that of the opening; the rest explains it.

use super::{Asked, FileReport};
use crate::Evidence;
use crate::survival::backing_of;
use crate::system::nvdimm::{self, PmemRegion};
use crate::system::{Doubt, disks, mounts};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use cachemaint::dax::Guarantee;
use cachemaint::family::file::{ADVICE_VIRTIO, LEAVE_RAM, NEWER, USE_MEMORY};
use cachemaint::family::region;
use cachemaint::family::tree::Tree;
use cachemaint::medium::{Backing, Domain};
use disks::{Disk, disk};
use mounts::{Mount, mount};
use std::path::Path;

/// Returns the report on a file with these answers and this guarantee.
pub(super) fn conclude(tree: &Tree, asked: &Asked, guarantee: &Guarantee) -> FileReport {
    let mut report = if guarantee.is_device_dax {
        device_dax(tree, asked, guarantee)
    } else {
        file(tree, asked, guarantee)
    };
    report.has_name = asked.facts.has_name;
    if !report.has_name {
        report.evidence.push(Evidence::new("statx: stx_nlink", "0"));
    }
    report
}

fn file(tree: &Tree, asked: &Asked, guarantee: &Guarantee) -> FileReport {
    let facts = &asked.facts;
    let mut evidence = Vec::new();
    evidence.push(asked_map_sync(asked.refusal));
    evidence.push(Evidence::new(
        "statx: STATX_ATTR_DAX",
        match facts.dax_attribute {
            Some(true) => "set",
            Some(false) => "clear",
            None => "not reported",
        },
    ));
    evidence.extend(accepted(asked));
    let mut mount = mount(tree, facts.mount_id, facts.device, &mut evidence);
    if mount.file_system.is_empty() && !facts.file_system.is_empty() {
        evidence.push(Evidence::new("fstatfs: f_type", facts.file_system));
        mount.file_system = facts.file_system.to_string();
    }
    let disk = disk(tree, facts.device, &mount, &mut evidence);
    let direct = guarantee.domain.is_some();
    let backing = backing(direct, &mount, &disk);
    let (mut reason, advice) = if direct {
        (claim(guarantee, asked.in_guest), advice_for(guarantee, disk.region.as_ref()))
    } else {
        let (reason, advice) = why_not_direct(asked, &mount, &disk);
        (reason, Some(advice))
    };
    let through_page_cache = !direct && facts.dax_attribute != Some(true);
    let is_by_pages = guarantee.granularity.is_by_pages();
    let stays_in_caches =
        is_by_pages && !through_page_cache && !disk.name.is_empty() && !disk.is_cache_written_back;
    // As far as is known, the kernel writes back with the same instructions (arm64 `arch/arm64/mm/cache.S`,
    // `dcache_clean_pop`; RISC-V `arch/riscv/mm/pmem.c`).
    let ends_in_caches = is_by_pages
        && !through_page_cache
        && is_behind_caches(disk.region.as_ref())
        && asked.reach.persistence.is_none();
    let doubt = if stays_in_caches {
        Some(Doubt::Lost("msync writes no caches back here (dax/write_cache)".to_string()))
    } else if ends_in_caches {
        Some(Doubt::Lost("the kernel's msync is not known to reach further".to_string()))
    } else {
        doubt(backing, direct, &mount, &disk)
    };
    let backing = doubted(backing, doubt, &mut reason);
    if has_a_server(&mount.file_system) {
        reason.push_str("; stores that do not come through this mount may be seen late or never");
    }
    FileReport {
        granularity: guarantee.granularity,
        backing,
        reason,
        advice,
        file_system: mount.file_system,
        mount_point: mount.point,
        device: disk.name,
        is_device_dax: false,
        alignment: guarantee.alignment,
        region: disk.region,
        devices: disk.devices,
        through_page_cache,
        drops_flushes: disk.drops_flushes,
        has_name: true,
        evidence,
    }
}

fn device_dax(tree: &Tree, asked: &Asked, guarantee: &Guarantee) -> FileReport {
    let mut evidence = Vec::new();
    evidence.push(asked_map_sync(asked.refusal));
    evidence.extend(accepted(asked));
    let device = asked.facts.device_dax.as_deref();
    let path = device.map_or(Path::new(""), |device| &device.path);
    evidence.push(Evidence::new("device DAX", path.to_string_lossy()));
    for name in ["size", "align"] {
        let path = path.join(name);
        evidence.push(Evidence::new(path.to_string_lossy(), tree.read(&path).describe()));
    }
    let memory = device.and_then(|device| device.memory.as_ref());
    let above = device.and_then(|device| device.deep_flush.as_deref()?.parent());
    let region = memory.and_then(|memory| match (memory.provider.as_str(), memory.domain) {
        // RAM is not a region of `libnvdimm`.
        ("hmem" | "CXL", Domain::None) => Some(nvdimm::volatile(tree, above?, &memory.provider)),
        _ => nvdimm::region_of(tree, path),
    });
    evidence.extend(region.iter().flat_map(|region| region.evidence.iter().cloned()));
    let domain = region.as_ref().map(|region| region.domain);
    FileReport {
        granularity: guarantee.granularity,
        backing: domain.map_or(Backing::PmemUnknown, backing_of),
        reason: claim(guarantee, asked.in_guest),
        advice: advice_for(guarantee, region.as_ref()),
        file_system: String::new(),
        mount_point: String::new(),
        device: region::name_of(path),
        is_device_dax: true,
        alignment: guarantee.alignment,
        devices: region.as_ref().map(|region| region.devices.clone()).unwrap_or_default(),
        region,
        through_page_cache: false,
        drops_flushes: false,
        has_name: true,
        evidence,
    }
}

/// Returns the reason of the guarantee. In a guest, the hypervisor's firmware makes the claim.
fn claim(guarantee: &Guarantee, in_guest: bool) -> String {
    let by = if in_guest { "the hypervisor's firmware claims" } else { "firmware claims" };
    guarantee.reason.replacen("firmware claims", by, 1)
}

/// Returns the advice of the guarantee, unless the devices turn out to have Global Persistent Flush.
fn advice_for(guarantee: &Guarantee, region: Option<&PmemRegion>) -> Option<&'static str> {
    let has_gpf = region.is_some_and(|region| region.domain == Domain::CxlGpf);
    guarantee.advice.filter(|_| !has_gpf)
}

/// Returns the caller's promise as evidence, if there is one.
fn accepted(asked: &Asked) -> Option<Evidence> {
    let what = "Builder::accept_coherency_as_persistence";
    asked.reach.coherency_accepted.then(|| Evidence::new(what, "vouched for by the caller"))
}

const OVERLAY: &str = "overlay";

/// `EINVAL` on every architecture of Linux (`include/uapi/asm-generic/errno-base.h`).
const EINVAL: i32 = 22;

/// Returns the kernel's answer to `MAP_SYNC` as evidence.
fn asked_map_sync(refusal: Option<i32>) -> Evidence {
    let answer = refusal.map_or_else(
        || "granted".to_string(),
        |errno| format!("refused: {}", std::io::Error::from_raw_os_error(errno)),
    );
    Evidence::new("mmap(MAP_SHARED_VALIDATE | MAP_SYNC)", answer)
}

/// Returns the backing, if there is no [doubt].
fn backing(direct: bool, mount: &Mount, disk: &Disk) -> Backing {
    match disk.region.as_ref().map(|region| region.domain) {
        // Through the page cache, RAM is still RAM, and the host's memory is still the host's.
        Some(domain @ (Domain::None | Domain::HostFlush)) => backing_of(domain),
        Some(domain) if direct => backing_of(domain),
        None if direct => Backing::PmemUnknown,
        _ if is_ram(&mount.file_system) => Backing::Ram,
        _ => Backing::Storage,
    }
}

/// Returns false for memory whose claim holds from the point of coherency on: eADR, RAM, and a host's memory.
fn is_behind_caches(region: Option<&PmemRegion>) -> bool {
    let domain = region.map(|region| region.domain);
    !matches!(domain, Some(Domain::CpuCaches | Domain::None | Domain::HostFlush))
}

/// Returns the strongest reason to doubt that synced bytes are kept. It is `None` if, as far as can be seen, a sync
/// ends with a flush, the device keeps data, and the file system's log is on the device.
fn doubt(backing: Backing, direct: bool, mount: &Mount, disk: &Disk) -> Option<Doubt> {
    // Its path is that of its mounter, in a working directory, root and mount namespace that can be others.
    let of_overlay = (mount.file_system == OVERLAY).then(|| match mount.unsynced() {
        Some(lost @ Doubt::Lost(_)) => lost,
        _ => {
            Doubt::Lost("its upper directory is not looked at: ask about a file there".to_string())
        }
    });
    let dropped = "the kernel sends no flush to the device (queue/write_cache)";
    let of_data = match backing {
        // ext4 sends the request only with barriers (`fs/ext4/fsync.c`, `ext4_sync_file`).
        Backing::VirtioPmem => {
            let dropped = disk.drops_flushes.then(|| Doubt::Lost(dropped.to_string()));
            [of_overlay, disk.unflushed.clone(), dropped]
        }
        Backing::Storage => [of_overlay, disk.unflushed.clone(), disk.unkept.clone()],
        // RAM needs no flush. Without MAP_SYNC it needs a sync of the file system.
        Backing::EmulatedPmem if !direct => [of_overlay, mount.unsynced(), None],
        _ => [None, None, None],
    };
    let of_log = disk.foreign_log.map(|why| Doubt::Unseen(why.to_string()));
    let doubts = of_data.into_iter().chain([of_log]).flatten();
    doubts.reduce(|worst, other| match (&worst, &other) {
        (Doubt::Unseen(_), Doubt::Lost(_)) => other,
        _ => worst,
    })
}

/// Weakens the backing if there is a doubt, and adds the doubt to the reason. If it cannot be
/// seen what a sync reaches, storage and persistent memory with a claim become [`Backing::FileSystem`]: the only condition
/// is then that fsync is honoured. Any other backing, and a sync that is known to be lost, leave no promise.
fn doubted(backing: Backing, doubt: Option<Doubt>, reason: &mut String) -> Backing {
    let has_one_condition = matches!(
        backing,
        Backing::Storage | Backing::PmemAdr | Backing::PmemEadr | Backing::VirtioPmem
    );
    let (why, backing) = match doubt {
        None => return backing,
        Some(Doubt::Unseen(why)) if has_one_condition => (why, Backing::FileSystem),
        Some(Doubt::Unseen(why) | Doubt::Lost(why)) => (why, Backing::Unknown),
    };
    let left = match backing {
        Backing::FileSystem => "it survives only if the file system honours fsync",
        _ => "nothing is promised",
    };
    reason.extend(["; ", &why, ", so ", left]);
    backing
}

/// Returns true for file systems whose server can change a file whose pages are cached here.
fn has_a_server(file_system: &str) -> bool {
    let is_known =
        matches!(file_system, "nfs" | "nfs4" | "cifs" | "smb3" | "9p" | "virtiofs" | "ceph");
    is_known || file_system.starts_with("fuse")
}

fn is_ram(file_system: &str) -> bool {
    matches!(file_system, "tmpfs" | "ramfs" | "hugetlbfs" | "devtmpfs" | "rootfs")
}

const ADVICE_UNLISTED: &str = "mount /proc and /sys, and in a chroot bind its directory on itself first (mount --bind DIR DIR), \
                               so that mountinfo lists it";

/// Returns the reason why the kernel does not map the file directly, and the advice.
fn why_not_direct(asked: &Asked, mount: &Mount, disk: &Disk) -> (String, &'static str) {
    let file_system = mount.file_system.as_str();
    let region = disk.region.as_ref();
    let refused_though_granted = asked.refusal.is_none();
    if refused_though_granted && asked.facts.dax_attribute == Some(true) {
        return (
            format!(
                "{file_system} granted MAP_SYNC, but no persistent memory is known under it: written-back lines can \
                 end in a host's page cache"
            ),
            "use ext4 or xfs on persistent memory of this machine",
        );
    }
    if refused_though_granted {
        return (
            format!(
                "{file_system} granted MAP_SYNC, but the file is not mapped directly (DAX is off)"
            ),
            "use ext4 or xfs on persistent memory",
        );
    }
    match (file_system, region) {
        _ if is_ram(file_system) => (format!("{file_system} keeps files in RAM"), LEAVE_RAM),
        (_, Some(PmemRegion { domain: Domain::HostFlush, .. })) => {
            ("virtio-pmem reaches the host only by flush requests".to_string(), ADVICE_VIRTIO)
        }
        // This precedes any advice on mount options, which the kernel would refuse.
        (_, Some(region)) if asked.data_cache_aliases => (
            format!(
                "the data cache of this machine aliases, so Linux maps no file on {} directly",
                region.name
            ),
            "use device DAX (a namespace in devdax mode), which is not refused",
        ),
        // Linux before 4.15 does not know `MAP_SHARED_VALIDATE` (mmap(2)); after it the refusal is `EOPNOTSUPP`.
        (_, Some(_)) if asked.refusal == Some(EINVAL) => {
            ("this kernel does not know MAP_SYNC".to_string(), NEWER)
        }
        ("ext4" | "xfs", Some(region)) => {
            let advice = if mount.options.contains("dax=inode") {
                "set the inode's DAX flag while the file is empty (xfs_io -c 'chattr +x'), or mount \
                 with -o dax=always"
            } else {
                "mount with -o dax=always (block size = page size, namespace in fsdax mode)"
            };
            (format!("{file_system} on {} does not map this file directly", region.name), advice)
        }
        (_, Some(region)) => (
            format!("{file_system} on {} cannot map synchronously", region.name),
            "use ext4 or xfs with -o dax=always on it",
        ),
        // overlay, ext2, virtiofs: their files are mapped directly, but the blocks under a store are not durable.
        (_, None) if asked.facts.dax_attribute == Some(true) => (
            format!("{file_system} maps the file directly, but not synchronously (MAP_SYNC)"),
            "use ext4 or xfs on the memory itself, with -o dax=always",
        ),
        ("", None) => ("its mount could not be found".to_string(), ADVICE_UNLISTED),
        (_, None) if disk.name.is_empty() => (
            format!("{file_system} keeps it in the page cache, and no device is known under it"),
            if mount.options.is_empty() || mount.flushes_a_device() {
                ADVICE_UNLISTED
            } else {
                "use a file on persistent memory, or on a file system whose device is known here"
            },
        ),
        (_, None) => (
            format!(
                "{file_system} is on a device that is not persistent memory: persist writes whole pages of the \
                 page cache to it"
            ),
            if mount.options.is_empty() { ADVICE_UNLISTED } else { USE_MEMORY },
        ),
    }
}
