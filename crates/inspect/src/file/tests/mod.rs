//! The conclusions about a file, over trees of `/proc` and `/sys` written by hand after the kernel's documentation
//! (`Documentation/filesystems/proc.rst`, `Documentation/ABI`). Real files are in `tests/dax/files`.

mod device_dax;
mod devices;
mod file_systems;

use super::{Asked, FileReport, conclude::conclude};
use crate::survival::{Event, Stage, Survival};
use crate::tests::{Fixture, tree_of};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use cachemaint::family::file::{FileFacts, Reach, decide};
use cachemaint::family::region;
use cachemaint::medium::{Backing, Granularity};
use rustix::io::Errno;

/// The answers about a file, in short.
#[derive(Clone, Copy)]
struct FileAnswers {
    device: (u32, u32),
    mount_id: Option<u64>,
    magic: &'static str,
    dax_attribute: Option<bool>,
    map_sync: Result<(), Errno>,
    reach: Reach,
    in_guest: bool,
    data_cache_aliases: bool,
    /// True for a file of xfs on the realtime device.
    is_elsewhere: bool,
}

/// Returns a machine with one file system, mount number 29, on device 259:0.
fn host(mount: &str) -> Fixture {
    Fixture::new().file("proc/self/mountinfo", mount)
}

/// Returns such a machine whose file system is on a block device in a region.
fn host_with_region(mount: &str, provider: &str, domain: Option<&str>) -> Fixture {
    let attributes: Vec<_> =
        domain.map(|domain| ("persistence_domain", domain)).into_iter().collect();
    let host = with_disk_in_region(host(mount).region(0, Some(provider), &attributes), 0)
        .link("sys/dev/block/259:0", &disk_in_region(0));
    let host = with_ext4(host, "pmem0");
    // As the kernel sets it (`drivers/nvdimm/region_devs.c`, `nvdimm_has_cache`).
    with_write_cache(host, if domain == Some("cpu_cache\n") { "0\n" } else { "1\n" })
}

/// Returns the machine with the files that the driver of ext4 shows of a disk: a journal in an inode, and barriers.
fn with_ext4(host: Fixture, disk: &str) -> Fixture {
    host.file(&format!("proc/fs/jbd2/{disk}-8/info"), "")
        .file(&format!("proc/fs/ext4/{disk}/options"), "rw\nbarrier\ndata=ordered\n")
}

/// Returns the machine with the kernel's own write-back of the caches switched on or off.
fn with_write_cache(host: Fixture, switch: &str) -> Fixture {
    host.file(&format!("{}/dax/write_cache", disk_in_region(0)), switch)
}

/// Returns the path of the block device of a region, as the kernel lays it out.
fn disk_in_region(number: u32) -> String {
    format!(
        "sys/devices/platform/ndbus{number}/region{number}/namespace{number}.0/block/pmem{number}"
    )
}

fn with_disk_in_region(fixture: Fixture, number: u32) -> Fixture {
    fixture.file(&format!("{}/size", disk_in_region(number)), "4096\n")
}

/// Returns the report on a file with these answers, with the decision of an opening.
fn concluded(fixture: &Fixture, asked: &FileAnswers) -> FileReport {
    concluding(fixture, asked).unwrap()
}

fn concluding(fixture: &Fixture, asked: &FileAnswers) -> Result<FileReport, String> {
    let tree = tree_of(fixture);
    let facts = FileFacts {
        size: 4096,
        alignment: 4096,
        has_name: true,
        may_be_of_a_lower_layer: false,
        file_system: asked.magic,
        device: asked.device,
        mount_id: asked.mount_id,
        dax_attribute: asked.dax_attribute,
        device_dax: None,
    };
    let refusal = asked.map_sync.err().map(Errno::raw_os_error);
    let memory = || if asked.is_elsewhere { None } else { region::of_device(&tree, facts.device) };
    let guarantee = decide(&facts, refusal, asked.reach, memory)?;
    let FileAnswers { reach, in_guest, data_cache_aliases, .. } = *asked;
    let asked = Asked { facts, refusal, reach, in_guest, data_cache_aliases };
    Ok(conclude(&tree, &asked, &guarantee))
}

const EXT4_DAX: &str =
    "29 1 259:0 / /mnt/pmem rw,relatime shared:1 - ext4 /dev/pmem0 rw,dax=always\n";

/// A CPU with lines of 64 bytes; the kernel grants `MAP_SYNC` and the inode is DAX.
const DIRECT: FileAnswers = FileAnswers {
    device: (259, 0),
    mount_id: Some(29),
    magic: "",
    dax_attribute: Some(true),
    map_sync: Ok(()),
    reach: Reach { coherency: Some(64), persistence: Some(64), coherency_accepted: false },
    in_guest: false,
    data_cache_aliases: false,
    is_elsewhere: false,
};

const REFUSED: FileAnswers =
    FileAnswers { dax_attribute: Some(false), map_sync: Err(Errno::OPNOTSUPP), ..DIRECT };

#[test]
fn the_domain_is_that_of_the_files_own_region() {
    let rows = [
        ("ACPI.NFIT", Some("memory_controller\n"), Backing::PmemAdr, Granularity::Line(64)),
        ("ACPI.NFIT", Some("cpu_cache\n"), Backing::PmemEadr, Granularity::Byte),
        ("CXL", Some("memory_controller\n"), Backing::Cxl, Granularity::Line(64)),
        ("ACPI.NFIT", Some("\n"), Backing::PmemUnknown, Granularity::Line(64)),
        ("ACPI.NFIT", None, Backing::PmemUnknown, Granularity::Line(64)),
        ("e820", None, Backing::EmulatedPmem, Granularity::Line(64)),
    ];
    for (provider, domain, backing, granularity) in rows {
        // Another region promises more; libpmem2 asks all regions of the machine, which is wrong.
        let host = host_with_region(EXT4_DAX, provider, domain).region(
            1,
            Some("ACPI.NFIT"),
            &[("persistence_domain", "cpu_cache\n")],
        );
        let guarantee = concluded(&host, &DIRECT);
        assert_eq!(guarantee.backing, backing, "{provider} {domain:?}");
        assert_eq!(guarantee.granularity, granularity, "{provider} {domain:?}");
        assert_eq!(guarantee.is_eadr(), domain == Some("cpu_cache\n"), "{provider} {domain:?}");
        assert_eq!(guarantee.region.as_ref().unwrap().name, "region0");
        assert_eq!(guarantee.device, "pmem0");
        assert_eq!(guarantee.mount_point, "/mnt/pmem");
    }
}

#[test]
fn each_answer_carries_its_evidence() {
    let host = host_with_region(EXT4_DAX, "ACPI.NFIT", Some("memory_controller\n"));
    let guarantee = concluded(&host, &DIRECT);
    let found = |asked: &str| {
        let all = &guarantee.evidence;
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
    let asked = &guarantee.evidence.last().unwrap().asked;
    assert!(asked.starts_with("/sys/devices/"), "not the test's own path: {asked}");
}

/// `EINVAL` is the answer to flags that the kernel does not know (mmap(2)). Without persistent memory it would not matter.
#[test]
fn a_kernel_without_map_sync_is_named_where_a_newer_one_would_help() {
    let old = FileAnswers { map_sync: Err(Errno::INVAL), dax_attribute: None, ..DIRECT };
    let guarantee = concluded(&host_with_region(EXT4_DAX, "ACPI.NFIT", None), &old);
    assert_eq!(guarantee.granularity, Granularity::Page(4096));
    assert!(guarantee.reason.contains("does not know MAP_SYNC"), "{}", guarantee.reason);
    assert_eq!(guarantee.advice, Some("use Linux 5.10 or newer"));
    let on_disk = concluded(&host(EXT4_DAX), &old);
    assert!(!on_disk.advice.unwrap().contains("5.10"), "{on_disk:?}");
}

/// A line that is written back to a host's file system goes to the host's page cache, whatever the inode says. overlay
/// passes the attribute of the file under it on, and has no `MAP_SYNC` of its own (`fs/overlayfs/file.c`). A sandbox can
/// hide the attribute.
#[test]
fn map_sync_and_the_attribute_are_believed_only_together() {
    let hidden = FileAnswers { dax_attribute: None, ..DIRECT };
    let not_dax = FileAnswers { dax_attribute: Some(false), ..DIRECT };
    let not_synchronous = FileAnswers { dax_attribute: Some(true), ..REFUSED };
    let conditional = Backing::FileSystem;
    for (file_system, asked, reason, backing) in [
        ("9p", not_dax, "9p granted MAP_SYNC, but the file is not mapped directly", conditional),
        ("9p", DIRECT, "a host's page cache", conditional),
        ("virtiofs", DIRECT, "a host's page cache", conditional),
        ("overlay", not_synchronous, "directly, but not synchronously", Backing::Unknown),
        ("ext4", hidden, "ext4 granted MAP_SYNC, but", conditional),
    ] {
        let host = host(&format!("29 1 259:0 / /mnt rw - {file_system} share rw\n"));
        let magic = if file_system == "virtiofs" { "fuse" } else { file_system };
        let guarantee = concluded(&host, &FileAnswers { magic, ..asked });
        assert_eq!(guarantee.granularity, Granularity::Page(4096), "{file_system}");
        assert_eq!(guarantee.backing, backing, "{file_system}");
        assert!(guarantee.reason.contains(reason), "{}", guarantee.reason);
    }
    let on_region = host_with_region(EXT4_DAX, "e820", None);
    assert_eq!(concluded(&on_region, &hidden).granularity, Granularity::Line(64));
}

/// On a region. With an aliasing data cache Linux refuses DAX however it is mounted (`drivers/dax/super.c`, `alloc_dax`).
#[test]
fn a_file_that_could_be_mapped_directly_gets_advice() {
    let aliasing = FileAnswers { data_cache_aliases: true, ..REFUSED };
    for (options, asked, advice) in [
        ("rw", REFUSED, "-o dax=always"),
        ("rw,dax=inode", REFUSED, "the inode's DAX flag"),
        ("rw", aliasing, "device DAX"),
    ] {
        let mount = format!("29 1 259:0 / /mnt/pmem rw - ext4 /dev/pmem0 {options}\n");
        let host = host_with_region(&mount, "ACPI.NFIT", Some("memory_controller\n"));
        let guarantee = concluded(&host, &asked);
        assert_eq!(guarantee.granularity, Granularity::Page(4096));
        assert_eq!(guarantee.backing, Backing::Storage);
        assert!(guarantee.advice.unwrap().contains(advice), "{:?}", guarantee.advice);
    }
}

/// An arm64 CPU without `FEAT_DPB`, and each RISC-V CPU with Zicbom, reach only coherency: RAM is behind that.
#[test]
fn a_cpu_gets_lines_where_it_reaches_the_point() {
    let alone = Reach { persistence: None, ..DIRECT.reach };
    let (line, page) = (Granularity::Line(64), Granularity::Page(4096));
    for (provider, domain, reach, granularity) in [
        ("e820", None, alone, line),
        ("ACPI.NFIT", Some("memory_controller\n"), alone, page),
        ("ACPI.NFIT", None, alone, page),
        ("e820", None, Reach::default(), page),
        ("ACPI.NFIT", Some("cpu_cache\n"), Reach::default(), page),
        // A fence suffices.
        ("ACPI.NFIT", Some("cpu_cache\n"), alone, Granularity::Byte),
    ] {
        let host = host_with_region(EXT4_DAX, provider, domain);
        let guarantee = concluded(&host, &FileAnswers { reach, ..DIRECT });
        assert_eq!(guarantee.granularity, granularity, "{provider} {domain:?} {reach:?}");
        let says_why = guarantee.reason.contains("this CPU cannot write back");
        assert_eq!(says_why, granularity == page, "{}", guarantee.reason);
        if granularity == page && reach == alone {
            let advice = guarantee.advice.unwrap();
            let line =
                "Options::new().cache(Cache::builder().accept_coherency_as_persistence().build()?)";
            assert!(advice.contains(line), "{advice}");
        }
    }
}

/// Emulated persistent memory, as a user would ask for one file. Without DAX the page cache is between, and a new kernel
/// does not know the old one's. Without `MAP_SYNC` the file system may not have committed the blocks under a store.
#[test]
fn each_stage_survives_what_the_medium_and_the_path_to_it_keep() {
    let host = host_with_region(EXT4_DAX, "e820", None);
    let not_synchronous = FileAnswers { dax_attribute: Some(true), ..REFUSED };
    let (no, not_promised) = (Some(Survival::No), Some(Survival::NotPromised));
    for (asked, stage, event, expected) in [
        (DIRECT, Stage::Persisted, Event::PowerLoss, no),
        (DIRECT, Stage::Stored, Event::WarmReboot, not_promised),
        (DIRECT, Stage::Persisted, Event::WarmReboot, None),
        (DIRECT, Stage::Stored, Event::ProcessCrash, Some(Survival::Yes)),
        (DIRECT, Stage::Stored, Event::Kexec, None),
        (REFUSED, Stage::Stored, Event::Kexec, no),
        (REFUSED, Stage::Persisted, Event::Kexec, None),
        (not_synchronous, Stage::Stored, Event::Kexec, not_promised),
        (not_synchronous, Stage::Persisted, Event::Kexec, None),
    ] {
        let found = concluded(&host, &asked).survives(stage, event).answer;
        match expected {
            Some(expected) => assert_eq!(found, expected, "{stage:?} {event:?}"),
            None => assert!(matches!(found, Survival::If(_)), "{stage:?} {event:?}: {found:?}"),
        }
    }
}

#[test]
fn page_granularity_says_why_and_what_to_do() {
    let nvme = "sys/devices/pci0000:00/nvme0n1";
    let rows = [
        (
            "29 1 0:30 / /tmp rw - tmpfs none rw\n",
            None,
            "keeps files in RAM",
            "an ordinary drive",
            Backing::Ram,
        ),
        (
            "29 1 0:31 / /huge rw - hugetlbfs none rw,pagesize=2M\n",
            None,
            "hugetlbfs keeps files in RAM",
            "an ordinary drive",
            Backing::Ram,
        ),
        (
            "29 1 0:32 / /ram rw - ramfs none rw\n",
            None,
            "ramfs keeps files in RAM",
            "an ordinary drive",
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
            "overlay keeps it in the page cache, and no device is known",
            "a file system whose device is known",
            Backing::Unknown,
        ),
        (
            "77 1 0:50 / / rw - overlay overlay rw\n",
            None,
            "mount could not be found",
            "mount /proc",
            Backing::FileSystem,
        ),
    ];
    for (mount, device, reason, advice, backing) in rows {
        let host = match device {
            Some(device) => with_ext4(host(mount), "nvme0n1")
                .file(&format!("{device}/size"), "1\n")
                .link("sys/dev/block/259:0", device),
            None => host(mount),
        };
        let guarantee = concluded(&host, &REFUSED);
        assert_eq!(guarantee.granularity, Granularity::Page(4096));
        assert_eq!(guarantee.backing, backing, "{mount}");
        assert!(guarantee.reason.contains(reason), "{}", guarantee.reason);
        assert!(guarantee.advice.unwrap().contains(advice), "{:?}", guarantee.advice);
    }
}

/// ext4 sends the request with barriers alone (Linux `fs/ext4/fsync.c`, `ext4_sync_file`), and the kernel drops it for a
/// device that is `write through` (`block/blk-core.c`, `submit_bio_noacct`).
#[test]
fn virtio_pmem_that_is_sent_no_request_promises_nothing() {
    let host = |options: &str, write_cache: &str| {
        let mount = format!("29 1 259:0 / /mnt/pmem rw - ext4 /dev/pmem0 rw{options}\n");
        host_with_region(&mount, "virtio-pmem", None)
            .file(&format!("{}/queue/write_cache", disk_in_region(0)), write_cache)
    };
    for asked in [DIRECT, REFUSED] {
        let sent = concluded(&host(",dax=always", "write back\n"), &asked);
        assert_eq!(sent.backing, Backing::VirtioPmem);
        for (options, write_cache, why) in [
            (
                ",nobarrier",
                "write back\n",
                "; the mount option nobarrier gives up flushes, so nothing is promised",
            ),
            ("", "write through\n", "(queue/write_cache), so nothing is promised"),
        ] {
            let guarantee = concluded(&host(options, write_cache), &asked);
            assert_eq!(guarantee.backing, Backing::Unknown, "{options} {write_cache}");
            assert_eq!(guarantee.granularity, Granularity::Page(4096));
            assert!(guarantee.reason.ends_with(why), "{}", guarantee.reason);
        }
    }
}

/// The kernel's msync writes no cache back for volatile memory, and with eADR, nor if root has switched it off: with
/// page granularity, nothing reaches the memory there.
#[test]
fn by_pages_nothing_is_promised_where_msync_writes_no_cache_back() {
    let volatile = host(EXT4_DAX).region(0, Some("of_pmem"), &[("devtype", "nd_volatile\n")]);
    let volatile = with_disk_in_region(volatile, 0).link("sys/dev/block/259:0", &disk_in_region(0));
    let volatile = with_write_cache(with_ext4(volatile, "pmem0"), "0\n");
    let eadr = host_with_region(EXT4_DAX, "ACPI.NFIT", Some("cpu_cache\n"));
    let switched_off = host_with_region(EXT4_DAX, "e820", None);
    let switched_off = with_write_cache(switched_off, "0\n");
    let set_aside = host_with_region(EXT4_DAX, "e820", None);
    let after_reset = |host: &Fixture, asked| {
        let guarantee = concluded(host, &asked);
        assert_eq!(guarantee.granularity, Granularity::Page(4096));
        guarantee.survives(Stage::Persisted, Event::WarmReboot).answer
    };
    let unreached = FileAnswers { reach: Reach::default(), ..DIRECT };
    // A file system without MAP_SYNC, whose files are direct all the same.
    let not_synchronous = FileAnswers { dax_attribute: Some(true), ..REFUSED };
    for asked in [unreached, not_synchronous] {
        for host in [&volatile, &eadr, &switched_off] {
            assert_eq!(after_reset(host, asked), Survival::NotPromised);
            assert!(concluded(host, &asked).reason.contains("msync writes no caches back"));
        }
        assert!(matches!(after_reset(&set_aside, asked), Survival::If(_)));
    }
    let through_page_cache = FileAnswers { dax_attribute: Some(false), ..REFUSED };
    for host in [&volatile, &switched_off] {
        assert!(matches!(after_reset(host, through_page_cache), Survival::If(_)));
    }
    assert_eq!(after_reset(&eadr, through_page_cache), Survival::Yes);
}

#[test]
fn a_claim_says_whose_it_is() {
    let host = host_with_region(EXT4_DAX, "ACPI.NFIT", Some("memory_controller\n"));
    let reason = |asked| concluded(&host, &asked).reason;
    assert!(reason(DIRECT).contains("and firmware claims"), "{}", reason(DIRECT));
    let in_guest = reason(FileAnswers { in_guest: true, ..DIRECT });
    assert!(in_guest.contains("and the hypervisor's firmware claims"), "{in_guest}");
    let reach = Reach { coherency_accepted: true, ..DIRECT.reach };
    let accepted = concluded(&host, &FileAnswers { reach, ..DIRECT });
    assert!(
        accepted.evidence.iter().any(|evidence| evidence.answer == "vouched for by the caller")
    );
}

#[test]
fn a_mount_point_is_named_as_it_is() {
    let host = host(r"29 1 259:0 / /mnt/my\040disk\134n rw - ext4 /dev/sda rw");
    let guarantee = concluded(&host, &REFUSED);
    assert_eq!(guarantee.mount_point, r"/mnt/my disk\n");
    assert_eq!(guarantee.file_system, "ext4");
}

proptest::proptest! {
    /// The kernel's files are not trusted to be whole.
    #[test]
    fn no_mountinfo_makes_it_panic(text in "(29 |[0-9/: -]|ext4|rw,|\\PC){0,40}") {
        concluded(&host(&text), &REFUSED);
    }
}
