//! What a file's medium guarantees, and from which evidence.
//!
//! The conclusion is a pure function of what was asked of the file ([`Asked`]) and of a tree of
//! `/proc` and `/sys`, so that any machine can be replayed. It rests on the file's own mount, device
//! and region, never on other regions of the machine.
//!
//! `MAP_SYNC` says that stores reach the medium without the file system's help. It says nothing about
//! the medium: the kernel grants it on emulated persistent memory too, and on some network file
//! systems it has been seen granted without any direct access, so that the inode's DAX attribute must
//! agree.

use crate::medium::Granularity;
use crate::platform::nvdimm::{self, Domain, Region};
use crate::platform::tree::{Evidence, Tree};
use crate::report::{Backing, Event, Progress, Survival, survival};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use rustix::io::Errno;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// What a file gets: the granularity at which it is made persistent and why, what backs it, which
/// events its bytes survive.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Guarantee {
    granularity: Granularity,
    backing: Backing,
    reason: String,
    advice: Option<&'static str>,
    file_system: String,
    mount_point: String,
    device: String,
    region: Option<Region>,
    /// Whether stores go to the page cache, from which only a write-back takes them to the medium.
    through_page_cache: bool,
    evidence: Vec<Evidence>,
}

impl Guarantee {
    /// The smallest unit that is made persistent.
    #[must_use]
    pub const fn granularity(&self) -> Granularity {
        self.granularity
    }

    /// What backs the bytes.
    #[must_use]
    pub const fn backing(&self) -> Backing {
        self.backing
    }

    /// Why the granularity is what it is.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// What to do if that is not enough; `None` if there is nothing finer.
    #[must_use]
    pub const fn advice(&self) -> Option<&'static str> {
        self.advice
    }

    /// The type of the file system, as in `/proc/self/mountinfo`; empty if it was not found.
    #[must_use]
    pub fn file_system(&self) -> &str {
        &self.file_system
    }

    /// Where the file system is mounted; empty if it was not found.
    #[must_use]
    pub fn mount_point(&self) -> &str {
        &self.mount_point
    }

    /// The kernel's name of the block device; empty if there is none.
    #[must_use]
    pub fn device(&self) -> &str {
        &self.device
    }

    /// The region of persistent memory that the file lies in.
    #[must_use]
    pub const fn region(&self) -> Option<&Region> {
        self.region.as_ref()
    }

    /// What was asked and answered, in order.
    #[must_use]
    pub fn evidence(&self) -> &[Evidence] {
        &self.evidence
    }

    /// Whether bytes that have got so far are there after the event.
    #[must_use]
    pub const fn survives(&self, progress: Progress, event: Event) -> Survival {
        match (self.backing, progress, event) {
            (_, _, Event::ProcessCrash) => survival(self.backing, progress, event),
            // The page cache is ordinary RAM of a kernel that is gone then.
            (Backing::EmulatedPmem | Backing::VirtioPmem, Progress::Stored, _)
                if self.through_page_cache =>
            {
                Survival::No
            }
            _ => survival(self.backing, progress, event),
        }
    }
}

/// What was asked of the file itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// Device numbers of the file system.
    pub(super) device: (u32, u32),
    /// The number of the mount in `/proc/self/mountinfo`, if the kernel tells.
    pub(super) mount_id: Option<u64>,
    /// The inode's DAX attribute; `None` if the kernel or the file system does not tell.
    pub(super) dax_attribute: Option<bool>,
    /// The kernel's answer to `MAP_SYNC`.
    pub(super) map_sync: Result<(), Errno>,
    /// What the CPU writes back at once, or `None` if it cannot reach the point of persistence.
    pub(super) line: Option<usize>,
    /// Whether the caller takes the point of coherency for that of persistence on this CPU.
    pub(super) coherency_accepted: bool,
    /// Whether the CPU says that this is a guest, so that claims are the hypervisor's.
    pub(super) in_guest: bool,
    pub(super) page: usize,
}

/// A line of `/proc/self/mountinfo`.
#[derive(Debug, Default)]
struct Mount {
    point: String,
    file_system: String,
    source: String,
    options: String,
}

impl Mount {
    /// The name of the block device it was mounted from, where the number is not that of a device. Of
    /// other file systems the source is any text.
    fn device(&self) -> Option<&str> {
        let has_own_numbers = matches!(self.file_system.as_str(), "btrfs" | "bcachefs");
        self.source.strip_prefix("/dev/").filter(|_| has_own_numbers)
    }

    /// Whether the file system passes flushes on: some mount options give that up.
    fn flushes(&self) -> bool {
        let gives_up = ["nobarrier", "barrier=0", "volatile", "fsync=volatile"];
        !self.options.split(',').any(|option| gives_up.contains(&option))
    }

    /// Whether files can lie on another device than the one that the file system's number names.
    fn has_realtime_device(&self) -> bool {
        self.options.split(',').any(|option| option.starts_with("rtdev="))
    }
}

/// Concludes what the file gets.
pub(super) fn conclude(tree: &Tree, asked: &Asked) -> Guarantee {
    let mut evidence = Vec::new();
    evidence.push(Evidence::new(
        "mmap(MAP_SHARED_VALIDATE | MAP_SYNC)",
        match asked.map_sync {
            Ok(()) => "granted".to_string(),
            Err(errno) => format!("refused: {}", std::io::Error::from(errno)),
        },
    ));
    evidence.push(Evidence::new(
        "statx: STATX_ATTR_DAX",
        match asked.dax_attribute {
            Some(true) => "set",
            Some(false) => "clear",
            None => "not told",
        },
    ));
    if asked.coherency_accepted {
        let (asked, answer) = ("Builder::accept_coherency_as_persistence", "the caller's word");
        evidence.push(Evidence::new(asked, answer));
    }
    let mount = mount(tree, asked.mount_id, &mut evidence);
    let disk = disk(tree, asked.device, &mount, &mut evidence);

    // Where the inode does not tell, a region must: MAP_SYNC has been granted without either.
    let is_dax = asked.dax_attribute.unwrap_or(disk.region.is_some());
    let direct = asked.map_sync.is_ok() && is_dax;
    let backing = backing(direct, &mount, &disk);
    let (granularity, reason, advice) = if direct {
        direct_granularity(asked, backing, disk.region.as_ref())
    } else {
        let (reason, advice) = why_not_direct(asked, &mount, &disk);
        (Granularity::Page(asked.page), reason, Some(advice))
    };
    Guarantee {
        granularity,
        backing,
        reason,
        advice,
        file_system: mount.file_system,
        mount_point: mount.point,
        device: disk.name,
        region: disk.region,
        through_page_cache: !direct && asked.dax_attribute != Some(true),
        evidence,
    }
}

fn backing(direct: bool, mount: &Mount, disk: &Disk) -> Backing {
    match disk.region.as_ref().map(|region| region.domain) {
        // RAM stays RAM, and the host's memory the host's, also through the page cache.
        Some(domain @ (Domain::None | Domain::HostFlush)) => Backing::of(domain),
        Some(domain) if direct => Backing::of(domain),
        None if direct => Backing::PmemUnknown,
        _ if is_ram(&mount.file_system) => Backing::Ram,
        _ if disk.is_storage && mount.flushes() => Backing::Storage,
        _ => Backing::Unknown,
    }
}

fn is_ram(file_system: &str) -> bool {
    matches!(file_system, "tmpfs" | "ramfs" | "hugetlbfs" | "devtmpfs" | "rootfs")
}

fn direct_granularity(
    asked: &Asked,
    backing: Backing,
    region: Option<&Region>,
) -> (Granularity, String, Option<&'static str>) {
    let claim = claim(region, asked.in_guest);
    match (backing, asked.line) {
        (Backing::PmemEadr, Some(_)) => {
            (Granularity::Byte, format!("mapped directly, and {claim}: a fence suffices"), None)
        }
        (Backing::VirtioPmem, _) => (
            Granularity::Page(asked.page),
            "what is written back reaches the host's memory; only a flush request makes it persistent"
                .to_string(),
            Some(ADVICE_VIRTIO),
        ),
        (_, Some(line)) => {
            (Granularity::Line(line), format!("mapped directly, and {claim}"), advice_for(backing))
        }
        (_, None) => (
            Granularity::Page(asked.page),
            "mapped directly, but this CPU cannot write back to the point of persistence".to_string(),
            Some("accept the point of coherency by name where the platform says that it is persistent"),
        ),
    }
}

/// Who says what power loss does not lose.
fn claim(region: Option<&Region>, in_guest: bool) -> String {
    let Some(Region { name, domain, .. }) = region else {
        return "no region of persistent memory was found for its device".to_string();
    };
    match domain {
        Domain::None => format!("{name} is RAM that was set aside as persistent memory"),
        Domain::Unknown => format!("nobody claims a persistence domain for {name}"),
        claimed => {
            let who = if in_guest { "the hypervisor's firmware" } else { "firmware" };
            format!("{who} claims for {name} the domain: {}", claimed.name())
        }
    }
}

const ADVICE_VIRTIO: &str =
    "give the guest an emulated NVDIMM instead, if the host has real persistent memory";

const fn advice_for(backing: Backing) -> Option<&'static str> {
    match backing {
        Backing::EmulatedPmem => Some(
            "for power loss use real persistent memory; this is RAM, and survives what RAM survives",
        ),
        Backing::PmemUnknown => {
            Some("ask the firmware's vendor what its persistence domain is; no claim is shown")
        }
        _ => None,
    }
}

/// Why the kernel does not map the file directly, and what could be done.
fn why_not_direct(asked: &Asked, mount: &Mount, disk: &Disk) -> (String, &'static str) {
    let file_system = mount.file_system.as_str();
    let region = disk.region.as_ref();
    let refused_though_granted = asked.map_sync.is_ok();
    if refused_though_granted {
        return (
            format!(
                "{file_system} granted MAP_SYNC, but the file is not mapped directly (DAX is off)"
            ),
            "use ext4 or xfs on persistent memory",
        );
    }
    match (file_system, region) {
        ("tmpfs" | "ramfs" | "devtmpfs" | "rootfs" | "hugetlbfs", _) => (
            format!("{file_system} is RAM of the kernel"),
            "use a file on persistent memory, or on emulated persistent memory (memmap=nn!ss)",
        ),
        (_, Some(Region { domain: Domain::HostFlush, .. })) => {
            ("virtio-pmem reaches the host by flush requests only".to_string(), ADVICE_VIRTIO)
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
        ("", None) => {
            ("its mount could not be found".to_string(), "make /proc/self/mountinfo readable")
        }
        (_, None) if disk.name.is_empty() => (
            format!("{file_system} keeps it in the page cache, and no device is known under it"),
            "use a file on persistent memory, or on a file system whose device is known here",
        ),
        (_, None) => (
            format!("{file_system} keeps it in the page cache: its device is no persistent memory"),
            "use a file on persistent memory, or on emulated persistent memory (memmap=nn!ss)",
        ),
    }
}

/// The number of the mount that a file was opened on (`Documentation/filesystems/proc.rst`, 3.8).
pub(super) fn mount_id(tree: &Tree, file: &impl AsRawFd) -> Option<u64> {
    let path = format!("/proc/self/fdinfo/{}", file.as_raw_fd());
    let attribute = tree.read(Path::new(&path));
    let line = attribute.value()?.lines().find_map(|line| line.strip_prefix("mnt_id:"))?;
    line.trim().parse().ok()
}

const MOUNTS: &str = "/proc/self/mountinfo";

/// Finds a mount by its number. The format is that of `Documentation/filesystems/proc.rst`, 3.5.
fn mount(tree: &Tree, id: Option<u64>, evidence: &mut Vec<Evidence>) -> Mount {
    let Some(id) = id else {
        evidence.push(Evidence::new("/proc/self/fdinfo: mnt_id", "absent"));
        return Mount::default();
    };
    let attribute = tree.read(Path::new(MOUNTS));
    let Some(text) = attribute.value() else {
        evidence.push(Evidence::new(MOUNTS, attribute.describe()));
        return Mount::default();
    };
    let id = id.to_string();
    let line = text.lines().find(|line| line.split(' ').next() == Some(&id));
    let Some((line, mount)) = line.and_then(|line| Some((line, parse_mount(line)?))) else {
        evidence.push(Evidence::new(format!("{MOUNTS}: {id}"), "no such mount"));
        return Mount::default();
    };
    evidence.push(Evidence::new(format!("{MOUNTS}: {id}"), line));
    mount
}

fn parse_mount(line: &str) -> Option<Mount> {
    let (first, second) = line.split_once(" - ")?;
    let mut first = first.split(' ');
    let point = unescaped(first.nth(4)?);
    let per_mount = first.next()?;
    let mut second = second.split(' ');
    let file_system = second.next()?.to_string();
    let source = unescaped(second.next().unwrap_or_default());
    let per_file_system = second.next().unwrap_or_default();
    Some(Mount { point, file_system, source, options: format!("{per_mount},{per_file_system}") })
}

/// White space and backslashes of a path are written as octal numbers (`fs/proc_namespace.c`,
/// `mangle`).
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\043", "#"), ("\\134", "\\")]
        .into_iter()
        .fold(text.to_string(), |text, (escaped, plain)| text.replace(escaped, plain))
}

/// The block device under a file system.
#[derive(Debug, Default)]
struct Disk {
    /// The kernel's name of it; empty if there is none.
    name: String,
    /// The region of persistent memory that it is, or the weakest one under it.
    region: Option<Region>,
    /// Whether everything under it keeps data over a reboot, as far as it shows.
    is_storage: bool,
}

/// Finds the device by its number, or where a file system has several by the one it was mounted
/// from.
fn disk(
    tree: &Tree,
    (major, minor): (u32, u32),
    mount: &Mount,
    evidence: &mut Vec<Evidence>,
) -> Disk {
    let by_number = PathBuf::from(format!("/sys/dev/block/{major}:{minor}"));
    let mounted_from = mount.device().unwrap_or_default();
    let by_name = Path::new("/sys/class/block").join(mounted_from.replace('/', "!"));
    let found = [Some(by_number), (!mounted_from.is_empty()).then_some(by_name)]
        .into_iter()
        .flatten()
        .find_map(|link| {
            let device = tree.resolve(&link);
            let answer = device.as_ref().map_or("absent".into(), |device| device.to_string_lossy());
            evidence.push(Evidence::new(link.to_string_lossy(), answer));
            device
        });
    let Some(device) = found else { return Disk::default() };
    let mut region = weakest_region(tree, &device, 0);
    if let Some(region) = &region {
        evidence.extend(region.evidence.iter().cloned());
    }
    if mount.has_realtime_device() {
        // xfs: a file with the realtime flag lies there, and its DAX is that device's.
        evidence.push(Evidence::new("mount option rtdev", "the file may lie on that device"));
        region = None;
    }
    let is_storage = keeps_data(tree, &device, 0);
    Disk { name: name_of(&device), region, is_storage }
}

fn name_of(device: &Path) -> String {
    device.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// How deep device mappers may be stacked before they are not followed any more.
const DEEPEST_STACK: u32 = 8;

/// The devices under a device, through device mapper and md: their paths in `/sys/devices`. Those of
/// a partition are those of the device that it is a part of.
fn slaves(tree: &Tree, device: &Path, depth: u32) -> Vec<Option<PathBuf>> {
    let is_partition = tree.read(&device.join("partition")).value().is_some();
    let whole = if is_partition { device.parent().unwrap_or(device) } else { device };
    let below = whole.join("slaves");
    if depth == DEEPEST_STACK {
        return Vec::new();
    }
    tree.list(&below).iter().map(|name| tree.resolve(&below.join(name))).collect()
}

/// Whether all that is under a device keeps data: it is no file, no RAM, and not on another machine,
/// about which nothing is known here.
fn keeps_data(tree: &Tree, device: &Path, depth: u32) -> bool {
    let slaves = slaves(tree, device, depth);
    let kept = |slave: &Option<PathBuf>| {
        slave.as_ref().is_some_and(|slave| keeps_data(tree, slave, depth + 1))
    };
    if !slaves.is_empty() {
        return slaves.iter().all(kept);
    }
    let name = name_of(device);
    !["loop", "zram", "ram", "nbd"].iter().any(|kind| name.starts_with(kind))
}

/// The region of a device, or the weakest of those under it; `None` if any part of it is no
/// persistent memory.
fn weakest_region(tree: &Tree, device: &Path, depth: u32) -> Option<Region> {
    if let Some(region) = nvdimm::region_of(tree, device) {
        return Some(region);
    }
    let regions: Option<Vec<Region>> = slaves(tree, device, depth)
        .iter()
        .map(|slave| weakest_region(tree, slave.as_ref()?, depth + 1))
        .collect();
    regions?.into_iter().reduce(weaker)
}

/// Of two regions under one device the one that promises less.
fn weaker(a: Region, b: Region) -> Region {
    if promise(b.domain) < promise(a.domain) { b } else { a }
}

const fn promise(domain: Domain) -> u8 {
    match domain {
        Domain::None => 0,
        Domain::Unknown => 1,
        Domain::HostFlush => 2,
        Domain::MemoryController => 3,
        Domain::CpuCaches => 4,
    }
}
