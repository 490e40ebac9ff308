//! What is concluded about a file, over trees of `/proc` and `/sys` written by hand after the
//! kernel's documentation (`Documentation/filesystems/proc.rst`, `Documentation/ABI`); and the pure
//! checks. Real files are in `tests/dax_files.rs`.

use super::error::ErrorKind;
use super::file::checked_len;
use super::guarantee::{Asked, Guarantee, conclude};
use crate::medium::Granularity;
use crate::platform::nvdimm::Domain;
use crate::platform::tree::Tree;
use crate::report::{Backing, Event, Progress, Survival};
use alloc::string::ToString;
use rustix::io::Errno;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use tempfile::TempDir;

const REGION: &str = "sys/devices/LNXSYSTM:00/ACPI0012:00/ndbus0/region0";

/// A machine with one file system, mount number 29, on device 259:0.
struct Host {
    root: TempDir,
}

impl Host {
    fn new(mount: &str) -> Self {
        let host = Self { root: tempfile::tempdir().unwrap() };
        host.put("proc/self/mountinfo", mount);
        fs::create_dir_all(host.root.path().join("sys/dev/block")).unwrap();
        host
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A block device in a region, as the kernel lays it out.
    fn with_region(self, provider: &str, domain: Option<&str>) -> Self {
        self.put(&alloc::format!("{REGION}/../provider"), "");
        self.put(&alloc::format!("{REGION}/namespace0.0/block/pmem0/size"), "4096\n");
        self.put(
            &alloc::format!("{}/provider", Path::new(REGION).parent().unwrap().display()),
            provider,
        );
        if let Some(domain) = domain {
            self.put(&alloc::format!("{REGION}/persistence_domain"), domain);
        }
        self.link("259:0", &alloc::format!("{REGION}/namespace0.0/block/pmem0"))
    }

    fn link(self, number: &str, device: &str) -> Self {
        let device = self.root.path().join(device);
        fs::create_dir_all(&device).unwrap();
        symlink(device, self.root.path().join("sys/dev/block").join(number)).unwrap();
        self
    }

    fn conclude(&self, asked: &Asked) -> Guarantee {
        conclude(&Tree::at(self.root.path()), asked)
    }
}

const EXT4_DAX: &str =
    "29 1 259:0 / /mnt/pmem rw,relatime shared:1 - ext4 /dev/pmem0 rw,dax=always\n";

/// A CPU with lines of 64 bytes; the kernel grants `MAP_SYNC` and the inode is DAX.
const DIRECT: Asked = Asked {
    device: (259, 0),
    mount_id: Some(29),
    dax_attribute: Some(true),
    map_sync: Ok(()),
    line: Some(64),
    page: 4096,
};

const REFUSED: Asked =
    Asked { dax_attribute: Some(false), map_sync: Err(Errno::OPNOTSUPP), ..DIRECT };

#[test]
fn the_domain_is_that_of_the_files_own_region() {
    let rows = [
        ("ACPI.NFIT", Some("memory_controller\n"), Backing::PmemAdr, Granularity::Line(64)),
        ("ACPI.NFIT", Some("cpu_cache\n"), Backing::PmemEadr, Granularity::Byte),
        ("ACPI.NFIT", Some("\n"), Backing::PmemUnknown, Granularity::Line(64)),
        ("ACPI.NFIT", None, Backing::PmemUnknown, Granularity::Line(64)),
        ("e820", None, Backing::EmulatedPmem, Granularity::Line(64)),
    ];
    for (provider, domain, backing, granularity) in rows {
        let host = Host::new(EXT4_DAX).with_region(provider, domain);
        // Another region promises more; libpmem2 asks all regions of the machine, which is wrong.
        host.put("sys/devices/other/ndbus1/region1/persistence_domain", "cpu_cache\n");
        let guarantee = host.conclude(&DIRECT);
        assert_eq!(guarantee.backing(), backing, "{provider} {domain:?}");
        assert_eq!(guarantee.granularity(), granularity, "{provider} {domain:?}");
        assert_eq!(guarantee.region().unwrap().name, "region0");
        assert_eq!(guarantee.device(), "pmem0");
        assert_eq!(guarantee.mount_point(), "/mnt/pmem");
    }
}

#[test]
fn each_answer_carries_its_evidence() {
    let host = Host::new(EXT4_DAX).with_region("ACPI.NFIT", Some("memory_controller\n"));
    let guarantee = host.conclude(&DIRECT);
    let found = |asked: &str| {
        let all = guarantee.evidence();
        all.iter()
            .find(|e| e.asked.contains(asked))
            .unwrap_or_else(|| panic!("{asked}"))
            .answer
            .clone()
    };
    assert_eq!(found("MAP_SYNC"), "granted");
    assert_eq!(found("STATX_ATTR_DAX"), "set");
    assert_eq!(found("/proc/self/mountinfo"), EXT4_DAX.trim());
    assert_eq!(found("region0/persistence_domain"), "memory_controller");
    assert_eq!(found("ndbus0/provider"), "ACPI.NFIT");
    let asked = &guarantee.evidence().last().unwrap().asked;
    assert!(asked.starts_with("/sys/devices/"), "not the test's own path: {asked}");
}

#[test]
fn map_sync_is_not_believed_where_the_inode_is_not_dax() {
    let host = Host::new("29 1 0:40 / /mnt rw - 9p share rw\n");
    let guarantee = host.conclude(&Asked { device: (0, 40), dax_attribute: Some(false), ..DIRECT });
    assert_eq!(guarantee.granularity(), Granularity::Page(4096));
    assert_eq!(guarantee.backing(), Backing::Storage);
    assert!(guarantee.reason().contains("9p granted MAP_SYNC, but"), "{}", guarantee.reason());
}

#[test]
fn page_granularity_says_why_and_what_to_do() {
    let nvme = "sys/devices/pci0000:00/nvme0n1";
    let rows = [
        (
            "29 1 0:30 / /tmp rw - tmpfs none rw\n",
            None,
            "RAM of the kernel",
            "memmap=",
            Backing::Ram,
        ),
        (
            "29 1 259:0 / /d rw - ext4 /dev/nvme0n1 rw\n",
            Some(nvme),
            "page cache",
            "persistent memory",
            Backing::Storage,
        ),
        (
            "29 1 0:50 / / rw - overlay overlay rw\n",
            None,
            "overlay keeps it in the page cache",
            "persistent memory",
            Backing::Storage,
        ),
        (
            "77 1 0:50 / / rw - overlay overlay rw\n",
            None,
            "mount could not be found",
            "mountinfo",
            Backing::Unknown,
        ),
    ];
    for (mount, device, reason, advice, backing) in rows {
        let host = Host::new(mount);
        let host = match device {
            Some(device) => host.link("259:0", device),
            None => host,
        };
        let guarantee = host.conclude(&REFUSED);
        assert_eq!(guarantee.granularity(), Granularity::Page(4096));
        assert_eq!(guarantee.backing(), backing, "{mount}");
        assert!(guarantee.reason().contains(reason), "{}", guarantee.reason());
        assert!(guarantee.advice().unwrap().contains(advice), "{:?}", guarantee.advice());
    }
}

#[test]
fn persistent_memory_that_is_not_mapped_directly_names_the_mount_option() {
    for (options, advice) in [("rw", "-o dax=always"), ("rw,dax=inode", "the inode's DAX flag")] {
        let mount = alloc::format!("29 1 259:0 / /mnt rw - ext4 /dev/pmem0 {options}\n");
        let host = Host::new(&mount).with_region("ACPI.NFIT", Some("memory_controller\n"));
        let guarantee = host.conclude(&REFUSED);
        assert_eq!(guarantee.granularity(), Granularity::Page(4096));
        assert_eq!(guarantee.backing(), Backing::Storage);
        assert!(guarantee.advice().unwrap().contains(advice), "{:?}", guarantee.advice());
    }
}

/// A guest that writes lines back reaches the host's page cache, whatever its kernel grants.
#[test]
fn virtio_pmem_is_page_granular_even_if_map_sync_were_granted() {
    for asked in [DIRECT, REFUSED] {
        let host = Host::new(EXT4_DAX).with_region("virtio-pmem", None);
        let guarantee = host.conclude(&asked);
        assert_eq!(guarantee.granularity(), Granularity::Page(4096));
        assert_eq!(guarantee.backing(), Backing::VirtioPmem);
        assert_eq!(guarantee.region().unwrap().domain, Domain::HostFlush);
    }
}

#[test]
fn a_cpu_that_cannot_reach_the_point_gets_pages() {
    let host = Host::new(EXT4_DAX).with_region("ACPI.NFIT", Some("memory_controller\n"));
    let guarantee = host.conclude(&Asked { line: None, ..DIRECT });
    assert_eq!(guarantee.granularity(), Granularity::Page(4096));
    assert!(guarantee.reason().contains("this CPU cannot write back"), "{}", guarantee.reason());
    // With the caches in the domain nothing needs writing back.
    let host = Host::new(EXT4_DAX).with_region("ACPI.NFIT", Some("cpu_cache\n"));
    assert_eq!(host.conclude(&Asked { line: None, ..DIRECT }).granularity(), Granularity::Byte);
}

/// A striped device is worth what the weakest region under it is worth, and nothing if a part of it
/// is no persistent memory.
#[test]
fn device_mappers_are_followed_to_the_weakest_region() {
    let host = Host::new(EXT4_DAX).link("259:0", "sys/devices/virtual/block/dm-0");
    let slaves = host.root.path().join("sys/devices/virtual/block/dm-0/slaves");
    fs::create_dir_all(&slaves).unwrap();
    for (number, domain) in [(0, "cpu_cache"), (1, "memory_controller")] {
        let region = alloc::format!("sys/devices/ndbus0/region{number}");
        host.put(&alloc::format!("{region}/persistence_domain"), domain);
        host.put(&alloc::format!("{region}/ns/block/pmem{number}/size"), "1");
        let device = host.root.path().join(alloc::format!("{region}/ns/block/pmem{number}"));
        symlink(device, slaves.join(alloc::format!("pmem{number}"))).unwrap();
    }
    let guarantee = host.conclude(&DIRECT);
    assert_eq!(guarantee.backing(), Backing::PmemAdr);
    assert_eq!(guarantee.region().unwrap().name, "region1");

    let disk = host.root.path().join("sys/devices/pci/sda");
    fs::create_dir_all(&disk).unwrap();
    symlink(disk, slaves.join("sda")).unwrap();
    assert_eq!(host.conclude(&DIRECT).region(), None);
}

/// The events, as a user would ask for one file.
#[test]
fn emulated_persistent_memory_never_promises_power_loss() {
    let host = Host::new(EXT4_DAX).with_region("e820", None);
    let guarantee = host.conclude(&DIRECT);
    let after = |progress, event| guarantee.survives(progress, event);
    assert_eq!(after(Progress::Persisted, Event::PowerLoss), Survival::No);
    assert_eq!(after(Progress::Stored, Event::WarmReboot), Survival::NotPromised);
    assert!(matches!(after(Progress::Persisted, Event::WarmReboot), Survival::If(_)));
    assert_eq!(after(Progress::Stored, Event::ProcessCrash), Survival::Yes);
}

#[test]
fn offsets_and_lengths_are_checked_without_overflow() {
    let page = 4096;
    assert_eq!(checked_len(8192, 4096, None, page).unwrap(), 4096);
    assert_eq!(checked_len(8192, 4096, Some(4096), page).unwrap(), 4096);
    assert_eq!(checked_len(5000, 4096, Some(904), page).unwrap(), 904);
    let refused = |size, offset, len| checked_len(size, offset, len, page).unwrap_err().to_string();
    assert!(refused(0, 0, None).starts_with("has no bytes to map"));
    assert!(refused(8192, 0, Some(0)).starts_with("a length of 0 bytes"));
    assert!(refused(8192, 100, None).starts_with("offset 100 is no multiple of 4096"));
    assert!(
        refused(8192, 4096, Some(4097))
            .starts_with("has 8192 bytes, and offset and length need 8193")
    );
    assert!(
        refused(8192, 8192, None).starts_with("has 8192 bytes, and offset and length need 8193")
    );
    let top = u64::MAX - 4095;
    assert!(
        refused(8192, top, Some(4096))
            .starts_with(&alloc::format!("offset {top} and length 4096 exceed"))
    );
    assert!(matches!(
        checked_len(8192, top, None, page),
        Err(ErrorKind::Shorter { size: 8192, .. })
    ));
}
