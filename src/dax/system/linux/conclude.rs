//! The guarantee of a file, concluded from the evidence.
//!
//! The conclusion is a pure function of the answers about the file ([`FileAnswers`]) and of a tree of `/proc` and
//! `/sys`, so tests can replay any machine. It uses only the file's own mount, device and region, never other regions
//! of the machine.
//!
//! `MAP_SYNC` means that stores reach the medium without the file system's help. It says nothing about the medium: the
//! kernel grants it on emulated persistent memory too. It was also seen granted on file systems of a host (9p,
//! virtiofs), where a written-back line ends in the host's page cache. The inode's DAX attribute must therefore agree,
//! and the file system must support `MAP_SYNC` itself (`FOP_MMAP_SYNC`: ext4, xfs) or lie on a region of persistent
//! memory.

use super::reach::{Reach, advice_to_reach, cannot_reach};
use crate::arch::ReservedRam;
use crate::arch::native::ARCHITECTURE;
use crate::dax::Guarantee;
use crate::medium::Granularity;
use crate::survival::Backing;
use crate::survival::Domain;
use crate::system::backing::Doubt;
use crate::system::backing::disks::{Disk, disk};
use crate::system::backing::mounts::{Mount, mount};
use crate::system::backing::overlay;
use crate::system::nvdimm::PmemRegion;
use crate::system::tree::{Evidence, Tree};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use rustix::io::Errno;

/// The answers about the file itself.
#[derive(Clone, Copy, Debug)]
pub(in crate::dax::system) struct FileAnswers {
    /// Device numbers of the file system.
    pub(super) device: (u32, u32),
    /// The number of the mount in `/proc/thread-self/mountinfo`, if the kernel reports it.
    pub(super) mount_id: Option<u64>,
    /// The inode's DAX attribute; `None` if the kernel or the file system does not report one.
    pub(super) dax_attribute: Option<bool>,
    /// The file system's name by its magic number, if this crate knows it: a memfd's file system is mounted nowhere,
    /// and `/proc` can be missing.
    pub(super) magic: Option<&'static str>,
    /// The size of the file system in blocks, by statfs(2).
    pub(super) blocks: u64,
    /// The kernel's answer to `MAP_SYNC`.
    pub(super) map_sync: Result<(), Errno>,
    pub(super) reach: Reach,
    /// True if the CPU reports a guest: claims are then the hypervisor's.
    pub(super) in_guest: bool,
    /// True if the data cache aliases, so that Linux refuses to map files directly.
    pub(super) data_cache_aliases: bool,
    pub(super) page: usize,
    /// The alignment of offsets: a page, or a huge page.
    pub(super) alignment: u64,
}

/// Returns the guarantee of the file. The error is the reason why there is none, and the remedy.
pub(super) fn conclude(tree: &Tree, asked: &FileAnswers) -> Result<Guarantee, &'static str> {
    let mut evidence = Vec::new();
    evidence.push(asked_map_sync(asked.map_sync));
    evidence.push(Evidence::new(
        "statx: STATX_ATTR_DAX",
        match asked.dax_attribute {
            Some(true) => "set",
            Some(false) => "clear",
            None => "not reported",
        },
    ));
    evidence.extend(asked.reach.evidence());
    let mut mount = mount(tree, asked.mount_id, asked.device, &mut evidence);
    if let (true, Some(name)) = (mount.file_system.is_empty(), asked.magic) {
        evidence.push(Evidence::new("fstatfs: f_type", name));
        mount.file_system = name.to_string();
    }
    if asked.magic == Some("famfs") || matches!(&*mount.file_system, "famfs" | "fuse.famfs") {
        return Err(IS_FAMFS);
    }
    let upper = (mount.file_system == OVERLAY)
        .then(|| overlay::upper(tree, &mount, asked.blocks, &mut evidence));
    // The file system that keeps what is stored, and its device.
    let (keeper, number) = match &upper {
        Some(Ok(upper)) => (upper, upper.device),
        _ => (&mount, asked.device),
    };
    let disk = disk(tree, number, keeper, &mut evidence);

    let on_region = disk.region.is_some();
    // If the inode does not report it, a region must: MAP_SYNC has been granted without either.
    let is_dax = match asked.dax_attribute {
        Some(set) => set && (on_region || has_map_sync(&mount.file_system)),
        None => on_region,
    };
    let direct = asked.map_sync.is_ok() && is_dax;
    let backing = backing(direct, keeper, &disk);
    let (granularity, mut reason, advice) = if direct {
        direct_granularity(asked, backing, disk.region.as_ref())
    } else {
        let (reason, advice) = why_not_direct(asked, &mount, keeper, &disk);
        (Granularity::Page(asked.page), reason, Some(advice))
    };
    let through_page_cache = !direct && asked.dax_attribute != Some(true);
    let is_by_pages = matches!(granularity, Granularity::Page(_));
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
        let of_overlay = upper.as_ref().and_then(|upper| match (mount.unsynced(), upper) {
            (Some(Doubt::Unseen(_)) | None, Err(why)) => Some(Doubt::Lost(why.clone())),
            (of_options, _) => of_options,
        });
        doubt(backing, direct, of_overlay, keeper, &disk)
    };
    let backing = doubted(backing, doubt, &mut reason);
    if has_a_server(&mount.file_system) {
        reason.push_str("; stores that do not come through this mount may be seen late or never");
    }
    Ok(Guarantee {
        granularity,
        backing,
        reason,
        advice,
        file_system: mount.file_system,
        mount_point: mount.point,
        device: disk.name,
        is_device_dax: false,
        alignment: asked.alignment,
        region: disk.region,
        devices: disk.devices,
        through_page_cache,
        drops_flushes: disk.drops_flushes,
        has_name: true,
        deep_flush: None,
        evidence,
    })
}

const OVERLAY: &str = "overlay";

/// Hosts with incoherent caches share this memory: bytes are handed over, and no system call does that.
const IS_FAMFS: &str = "is on famfs, whose msync writes no line back: its memory is shared by hosts; map the file without \
                        this crate, and write lines back to the point of coherency (cachemaint::coherence)";

/// Returns the kernel's answer to `MAP_SYNC` as evidence.
pub(super) fn asked_map_sync(answer: Result<(), Errno>) -> Evidence {
    Evidence::new(
        "mmap(MAP_SHARED_VALIDATE | MAP_SYNC)",
        match answer {
            Ok(()) => "granted".to_string(),
            Err(errno) => format!("refused: {}", std::io::Error::from(errno)),
        },
    )
}

/// Returns the backing, if there is no [doubt].
fn backing(direct: bool, keeper: &Mount, disk: &Disk) -> Backing {
    match disk.region.as_ref().map(|region| region.domain) {
        // Through the page cache, RAM is still RAM, and the host's memory is still the host's.
        Some(domain @ (Domain::None | Domain::HostFlush)) => Backing::of(domain),
        Some(domain) if direct => Backing::of(domain),
        None if direct => Backing::PmemUnknown,
        _ if is_ram(&keeper.file_system) => Backing::Ram,
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
fn doubt(
    backing: Backing,
    direct: bool,
    of_overlay: Option<Doubt>,
    keeper: &Mount,
    disk: &Disk,
) -> Option<Doubt> {
    let dropped = "the kernel sends no flush to the device (queue/write_cache)";
    let of_data = match backing {
        // ext4 sends the request only with barriers (`fs/ext4/fsync.c`, `ext4_sync_file`).
        Backing::VirtioPmem => {
            let dropped = disk.drops_flushes.then(|| Doubt::Lost(dropped.to_string()));
            [of_overlay, disk.unflushed.clone(), dropped]
        }
        Backing::Storage => [of_overlay, disk.unflushed.clone(), disk.unkept.clone()],
        // RAM needs no flush. Without MAP_SYNC it needs a sync of the file system.
        Backing::EmulatedPmem if !direct => [of_overlay, keeper.unsynced(), None],
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

/// Returns true for file systems whose files the kernel maps synchronously (`FOP_MMAP_SYNC`: `fs/ext4/file.c`,
/// `fs/xfs/xfs_file.c`).
fn has_map_sync(file_system: &str) -> bool {
    matches!(file_system, "ext4" | "xfs")
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

fn direct_granularity(
    asked: &FileAnswers,
    backing: Backing,
    region: Option<&PmemRegion>,
) -> (Granularity, String, Option<&'static str>) {
    let claim = claim(region, asked.in_guest);
    let point = backing.point();
    match (backing, asked.reach.line(point)) {
        (Backing::PmemEadr, Some(_)) => {
            (Granularity::Byte, format!("mapped directly, and {claim}: a fence suffices"), None)
        }
        (Backing::VirtioPmem, _) => (
            Granularity::Page(asked.page),
            "write-backs reach the host's memory; only a flush request makes them persistent"
                .to_string(),
            Some(ADVICE_VIRTIO),
        ),
        (_, Some(line)) => {
            (Granularity::Line(line), format!("mapped directly, and {claim}"), advice_for(backing))
        }
        (_, None) => (
            Granularity::Page(asked.page),
            format!("mapped directly, but {}", cannot_reach(point)),
            Some(advice_to_reach(point)),
        ),
    }
}

/// The providers of RAM that was reserved as persistent memory, and that the kernel treats as such.
const SET_ASIDE: [&str; 2] = ["e820", "ramdax"];

/// Returns the claim about power loss, with its source.
pub(super) fn claim(region: Option<&PmemRegion>, in_guest: bool) -> String {
    let Some(PmemRegion { name, domain, provider, .. }) = region else {
        return "no region of persistent memory was found for its device".to_string();
    };
    match domain {
        Domain::None if SET_ASIDE.contains(&provider.as_str()) => {
            format!("{name} is RAM that was reserved as persistent memory")
        }
        Domain::None => format!("{name} is volatile memory, according to the kernel"),
        Domain::Unknown => match region.and_then(PmemRegion::unarmed) {
            Some(device) => format!("no claim for {name} holds, since its {device} is not armed"),
            None => format!("no persistence domain is known for {name}"),
        },
        claimed => {
            let who = if in_guest { "the hypervisor's firmware" } else { "firmware" };
            format!("{who} claims this domain for {name}: {}", claimed.name())
        }
    }
}

const ADVICE_VIRTIO: &str =
    "give the guest an emulated NVDIMM instead, if the host has real persistent memory";

/// The advice for a file that is not on persistent memory.
const USE_MEMORY: &str = match ARCHITECTURE.reserved_ram {
    Some(ReservedRam::KernelParameter) => {
        "use a file on persistent memory, or on RAM reserved as pmem (memmap=SIZE!START), which a power loss erases"
    }
    Some(ReservedRam::DeviceTree) => {
        "use a file on persistent memory, or on RAM reserved as pmem (a node pmem-region in the device tree), which a power loss erases"
    }
    None => "use a file on persistent memory",
};

const ADVICE_UNLISTED: &str = "mount /proc and /sys, and in a chroot bind its directory on itself first (mount --bind DIR DIR), \
                               so that mountinfo lists it";

pub(super) const fn advice_for(backing: Backing) -> Option<&'static str> {
    match backing {
        Backing::EmulatedPmem => Some(
            "use real persistent memory against power loss; this is RAM, which a power loss erases",
        ),
        Backing::Cxl => Some(
            "ask the device's vendor for Global Persistent Flush; Linux 6.15 and newer shows whether the device has it",
        ),
        Backing::PmemUnknown => Some(
            "ask the vendor of the firmware or memory for the persistence domain; no claim is known to hold",
        ),
        _ => None,
    }
}

/// Returns the reason why the kernel does not map the file directly, and the advice.
fn why_not_direct(
    asked: &FileAnswers,
    mount: &Mount,
    keeper: &Mount,
    disk: &Disk,
) -> (String, &'static str) {
    let file_system = mount.file_system.as_str();
    let region = disk.region.as_ref();
    let refused_though_granted = asked.map_sync.is_ok();
    if refused_though_granted && asked.dax_attribute == Some(true) {
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
        _ if is_ram(&keeper.file_system) => {
            (format!("{} keeps files in RAM", keeper.file_system), USE_MEMORY)
        }
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
        (_, Some(_)) if asked.map_sync == Err(Errno::INVAL) => {
            ("this kernel does not know MAP_SYNC".to_string(), super::NEWER)
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
        (_, None) if asked.dax_attribute == Some(true) => (
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
