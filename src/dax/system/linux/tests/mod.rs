//! The conclusions about a file, over trees of `/proc` and `/sys` written by hand after the kernel's documentation
//! (`Documentation/filesystems/proc.rst`, `Documentation/ABI`). Real files are in `tests/dax/files`.

mod devices;
mod file_systems;

use super::conclude::{Asked, conclude};
use super::reach::Reach;
use crate::dax::{ErrorKind, Guarantee, Options};
use crate::medium::Granularity;
use crate::survival::Domain;
use crate::survival::{Backing, Event, Stage, Survival};
use crate::system::fixture::Fixture;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use rustix::io::Errno;

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

fn concluded(fixture: &Fixture, asked: &Asked) -> Guarantee {
    conclude(&fixture.tree(), asked)
}

const EXT4_DAX: &str =
    "29 1 259:0 / /mnt/pmem rw,relatime shared:1 - ext4 /dev/pmem0 rw,dax=always\n";

/// A CPU with lines of 64 bytes; the kernel grants `MAP_SYNC` and the inode is DAX.
const DIRECT: Asked = Asked {
    device: (259, 0),
    mount_id: Some(29),
    magic: None,
    bytes: None,
    dax_attribute: Some(true),
    map_sync: Ok(()),
    reach: Reach { coherency: Some(64), persistence: Some(64), coherency_accepted: false },
    in_guest: false,
    data_cache_aliases: false,
    page: 4096,
    alignment: 4096,
};

const REFUSED: Asked =
    Asked { dax_attribute: Some(false), map_sync: Err(Errno::OPNOTSUPP), ..DIRECT };

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

/// A requested granularity is granted, or refused with the one that the file would get, and never a coarser one.
#[test]
fn a_granularity_that_is_too_coarse_is_refused_and_a_finer_one_taken() {
    let pmem = |domain| host_with_region(EXT4_DAX, "ACPI.NFIT", Some(domain));
    let byte = concluded(&pmem("cpu_cache\n"), &DIRECT);
    let line = concluded(&pmem("memory_controller\n"), &DIRECT);
    let page = concluded(&pmem("memory_controller\n"), &REFUSED);
    assert!(!concluded(&pmem("cpu_cache\n"), &REFUSED).is_eadr(), "through the page cache");
    let available = [&byte, &line, &page];
    let granularities = available.map(|guarantee| guarantee.granularity);
    assert_eq!(granularities, [Granularity::Byte, Granularity::Line(64), Granularity::Page(4096)]);

    let asked_byte = Options::new().require_byte_granularity();
    let asked_line = Options::new();
    let asked_page = Options::new().allow_page_granularity();
    for (asked, given) in [
        (&asked_byte, [true, false, false]),
        (&asked_line, [true, true, false]),
        (&asked_page, [true, true, true]),
    ] {
        for (guarantee, given) in available.into_iter().zip(given) {
            let refusal = asked.refusal(guarantee);
            assert_eq!(refusal.is_none(), given, "{asked:?}: {refusal:?}");
            let shown = match refusal {
                None => continue,
                Some(ErrorKind::NotByteGranular(shown) | ErrorKind::PageGranular(shown)) => shown,
                Some(other) => panic!("{other}"),
            };
            assert_eq!(*shown, *guarantee, "the refusal carries what there is");
        }
    }
    let text = asked_byte.refusal(&line).unwrap().to_string();
    let starts =
        "is made persistent by the cache line (64 bytes), not by the byte: mapped directly, and";
    assert!(text.starts_with(starts), "{text}");
    assert!(matches!(asked_byte.refusal(&page), Some(ErrorKind::NotByteGranular(_))));
    assert!(matches!(asked_line.refusal(&page), Some(ErrorKind::PageGranular(_))));

    // The last word counts.
    let taken_back = asked_page.require_byte_granularity();
    assert!(taken_back.refusal(&page).is_some());
    assert!(taken_back.allow_page_granularity().refusal(&page).is_none());
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

#[test]
fn map_sync_is_not_believed_where_the_inode_is_not_dax() {
    let host = host("29 1 0:40 / /mnt rw - 9p share rw\n");
    let guarantee =
        concluded(&host, &Asked { device: (0, 40), dax_attribute: Some(false), ..DIRECT });
    assert_eq!(guarantee.granularity, Granularity::Page(4096));
    assert_eq!(guarantee.backing, Backing::Unknown);
    assert!(guarantee.reason.contains("9p granted MAP_SYNC, but"), "{}", guarantee.reason);
}

/// A line that is written back there goes to the host's page cache, whatever the inode says.
#[test]
fn map_sync_of_a_hosts_file_system_is_not_believed() {
    for kind in ["9p", "virtiofs"] {
        let host = host(&format!("29 1 0:40 / /mnt rw - {kind} share rw\n"));
        let guarantee = concluded(&host, &Asked { device: (0, 40), ..DIRECT });
        assert_eq!(guarantee.granularity, Granularity::Page(4096), "{kind}");
        assert_eq!(guarantee.backing, Backing::Unknown, "{kind}");
        assert!(guarantee.reason.contains("a host's page cache"), "{}", guarantee.reason);
    }
}

/// overlay passes the attribute of the file under it on, and has no `MAP_SYNC` of its own
/// (`fs/overlayfs/file.c`): its msync is what persists, and nothing is known of the device.
#[test]
fn overlay_over_dax_is_persisted_by_pages() {
    let host = host("29 1 0:50 / /merged rw - overlay overlay rw,upperdir=/mnt/pmem/up\n");
    let asked = Asked { device: (0, 50), dax_attribute: Some(true), ..REFUSED };
    let guarantee = concluded(&host, &asked);
    assert_eq!(guarantee.granularity, Granularity::Page(4096));
    assert_eq!(guarantee.backing, Backing::Unknown);
    assert!(guarantee.reason.contains("directly, but not synchronously"), "{guarantee:?}");
    assert!(guarantee.advice.unwrap().contains("on the memory itself"), "{guarantee:?}");
}

/// Real persistent memory and RAM differ by who provides the bus, and by the claim; the kernel's own
/// word, `nd_volatile`, counts before both.
#[test]
fn persistent_memory_is_distinguished_from_ram() {
    let claim = ("persistence_domain", "memory_controller\n");
    let volatile = ("devtype", "nd_volatile\n");
    let none = ("numa_node", "0\n");
    let rows = [
        ("ACPI.NFIT", [claim, none], Backing::PmemAdr, "firmware claims this domain for region0"),
        ("e820", [none, none], Backing::EmulatedPmem, "region0 is RAM that was set aside"),
        ("ACPI.NFIT", [claim, volatile], Backing::EmulatedPmem, "region0 is volatile memory"),
    ];
    for (provider, attributes, backing, reason) in rows {
        let host = host(EXT4_DAX).region(0, Some(provider), &attributes);
        let host = with_disk_in_region(host, 0).link("sys/dev/block/259:0", &disk_in_region(0));
        let guarantee = concluded(&with_ext4(host, "pmem0"), &DIRECT);
        assert_eq!(guarantee.backing, backing, "{provider}");
        assert_eq!(guarantee.granularity, Granularity::Line(64), "{provider}");
        assert!(guarantee.reason.contains(reason), "{}", guarantee.reason);
        let asked = guarantee.evidence.iter().find(|row| row.asked.ends_with("/provider"));
        assert_eq!(asked.unwrap().answer, provider);
        let lost = guarantee.survives(Stage::Persisted, Event::PowerLoss).is;
        assert_eq!(lost == Survival::No, backing == Backing::EmulatedPmem, "{provider}");
    }
}

/// Linux refuses the region's DAX device there (`drivers/dax/super.c`, `alloc_dax`), however it is mounted.
#[test]
fn with_an_aliasing_data_cache_no_mount_option_is_advised() {
    let host = host_with_region(EXT4_DAX, "e820", None);
    let guarantee = concluded(&host, &Asked { data_cache_aliases: true, ..REFUSED });
    assert_eq!(guarantee.granularity, Granularity::Page(4096));
    assert!(guarantee.reason.contains("aliases"), "{}", guarantee.reason);
    let advice = guarantee.advice.unwrap();
    assert!(advice.contains("device DAX") && !advice.contains("mount"), "{advice}");
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
            "29 1 0:31 / /huge rw - hugetlbfs none rw,pagesize=2M\n",
            None,
            "hugetlbfs is RAM of the kernel",
            "memmap=",
            Backing::Ram,
        ),
        (
            "29 1 0:32 / /ram rw - ramfs none rw\n",
            None,
            "ramfs is RAM of the kernel",
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
            "overlay keeps it in the page cache, and no device is known",
            "a file system whose device is known",
            Backing::Unknown,
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

#[test]
fn persistent_memory_that_is_not_mapped_directly_names_the_mount_option() {
    for (options, advice) in [("rw", "-o dax=always"), ("rw,dax=inode", "the inode's DAX flag")] {
        let mount = format!("29 1 259:0 / /mnt rw - ext4 /dev/pmem0 {options}\n");
        let host = host_with_region(&mount, "ACPI.NFIT", Some("memory_controller\n"));
        let guarantee = concluded(&host, &REFUSED);
        assert_eq!(guarantee.granularity, Granularity::Page(4096));
        assert_eq!(guarantee.backing, Backing::Storage);
        assert!(guarantee.advice.unwrap().contains(advice), "{:?}", guarantee.advice);
    }
}

/// A guest that writes lines back reaches the host's page cache, whatever its kernel grants.
#[test]
fn virtio_pmem_is_page_granular_even_if_map_sync_were_granted() {
    for asked in [DIRECT, REFUSED] {
        let host = host_with_region(EXT4_DAX, "virtio-pmem", None);
        let guarantee = concluded(&host, &asked);
        assert_eq!(guarantee.granularity, Granularity::Page(4096));
        assert_eq!(guarantee.backing, Backing::VirtioPmem);
        assert_eq!(guarantee.region.as_ref().unwrap().domain, Domain::HostFlush);
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
                "; the mount option nobarrier gives up flushes, so that nothing is promised",
            ),
            ("", "write through\n", "(queue/write_cache), so that nothing is promised"),
        ] {
            let guarantee = concluded(&host(options, write_cache), &asked);
            assert_eq!(guarantee.backing, Backing::Unknown, "{options} {write_cache}");
            assert_eq!(guarantee.granularity, Granularity::Page(4096));
            assert!(guarantee.reason.ends_with(why), "{}", guarantee.reason);
        }
    }
}

#[test]
fn a_cpu_that_cannot_reach_the_point_gets_pages() {
    let host = host_with_region(EXT4_DAX, "ACPI.NFIT", Some("memory_controller\n"));
    let guarantee = concluded(&host, &Asked { reach: Reach::default(), ..DIRECT });
    assert_eq!(guarantee.granularity, Granularity::Page(4096));
    assert!(guarantee.reason.contains("this CPU cannot write back"), "{}", guarantee.reason);
    let host = host_with_region(EXT4_DAX, "ACPI.NFIT", Some("cpu_cache\n"));
    let guarantee = concluded(&host, &Asked { reach: Reach::default(), ..DIRECT });
    assert_eq!(guarantee.granularity, Granularity::Page(4096));
}

/// An arm64 CPU without `FEAT_DPB`, and each RISC-V CPU with Zicbom: RAM is behind the point of coherency.
#[test]
fn a_cpu_that_reaches_coherency_alone_gets_lines_on_ram() {
    let reach = Reach { persistence: None, ..DIRECT.reach };
    let asked = Asked { reach, ..DIRECT };
    let granularity = |provider, domain| {
        concluded(&host_with_region(EXT4_DAX, provider, domain), &asked).granularity
    };
    assert_eq!(granularity("e820", None), Granularity::Line(64));
    assert_eq!(granularity("ACPI.NFIT", Some("memory_controller\n")), Granularity::Page(4096));
    assert_eq!(granularity("ACPI.NFIT", None), Granularity::Page(4096));
}

/// The kernel's msync writes no cache back for volatile memory, and with eADR, nor where root has switched it off: by
/// pages nothing reaches the memory there.
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
        guarantee.survives(Stage::Persisted, Event::WarmReboot).is
    };
    let unreached = Asked { reach: Reach::default(), ..DIRECT };
    // A file system without MAP_SYNC, whose files are direct all the same.
    let not_synchronous = Asked { dax_attribute: Some(true), ..REFUSED };
    for asked in [unreached, not_synchronous] {
        for host in [&volatile, &eadr, &switched_off] {
            assert_eq!(after_reset(host, asked), Survival::NotPromised);
            assert!(concluded(host, &asked).reason.contains("msync writes no caches back"));
        }
        assert!(matches!(after_reset(&set_aside, asked), Survival::If(_)));
    }
    let through_page_cache = Asked { dax_attribute: Some(false), ..REFUSED };
    for host in [&volatile, &switched_off] {
        assert!(matches!(after_reset(host, through_page_cache), Survival::If(_)));
    }
    assert_eq!(after_reset(&eadr, through_page_cache), Survival::Yes);
}

/// A sandbox that hides the attribute and the region: `MAP_SYNC` alone has been granted wrongly.
#[test]
fn map_sync_alone_is_not_evidence() {
    let hidden = Asked { dax_attribute: None, ..DIRECT };
    assert_eq!(concluded(&host(EXT4_DAX), &hidden).granularity, Granularity::Page(4096));
    let host = host_with_region(EXT4_DAX, "e820", None);
    assert_eq!(concluded(&host, &hidden).granularity, Granularity::Line(64));
}

#[test]
fn a_claim_says_whose_it_is() {
    let host = host_with_region(EXT4_DAX, "ACPI.NFIT", Some("memory_controller\n"));
    let reason = |asked| concluded(&host, &asked).reason;
    assert!(reason(DIRECT).contains("and firmware claims"), "{}", reason(DIRECT));
    let in_guest = reason(Asked { in_guest: true, ..DIRECT });
    assert!(in_guest.contains("and the hypervisor's firmware claims"), "{in_guest}");
    let reach = Reach { coherency_accepted: true, ..DIRECT.reach };
    let accepted = concluded(&host, &Asked { reach, ..DIRECT });
    assert!(accepted.evidence.iter().any(|evidence| evidence.answer == "the caller's word"));
}

/// Without DAX the page cache is between, and a new kernel does not know the old one's.
#[test]
fn the_page_cache_does_not_survive_a_kexec() {
    for provider in ["e820", "virtio-pmem"] {
        let host = host_with_region(EXT4_DAX, provider, None);
        let through_page_cache = concluded(&host, &REFUSED);
        assert_eq!(through_page_cache.survives(Stage::Stored, Event::Kexec).is, Survival::No);
        assert!(matches!(
            through_page_cache.survives(Stage::Persisted, Event::Kexec).is,
            Survival::If(_)
        ));
        let direct = concluded(&host, &DIRECT);
        assert_ne!(direct.survives(Stage::Stored, Event::Kexec).is, Survival::No);
    }
}

/// A file system without `MAP_SYNC`, whose files are direct all the same: it may not have committed the blocks under a
/// store.
#[test]
fn stored_bytes_without_map_sync_are_not_promised_after_a_kexec() {
    let host = host_with_region(EXT4_DAX, "e820", None);
    let after = |asked, stage| concluded(&host, &asked).survives(stage, Event::Kexec).is;
    let not_synchronous = Asked { dax_attribute: Some(true), ..REFUSED };
    assert_eq!(after(not_synchronous, Stage::Stored), Survival::NotPromised);
    assert!(matches!(after(not_synchronous, Stage::Persisted), Survival::If(_)));
    assert!(matches!(after(DIRECT, Stage::Stored), Survival::If(_)));
}

/// The events, as a user would ask for one file.
#[test]
fn emulated_persistent_memory_never_promises_power_loss() {
    let host = host_with_region(EXT4_DAX, "e820", None);
    let guarantee = concluded(&host, &DIRECT);
    let after = |stage, event| guarantee.survives(stage, event).is;
    assert_eq!(after(Stage::Persisted, Event::PowerLoss), Survival::No);
    assert_eq!(after(Stage::Stored, Event::WarmReboot), Survival::NotPromised);
    assert!(matches!(after(Stage::Persisted, Event::WarmReboot), Survival::If(_)));
    assert_eq!(after(Stage::Stored, Event::ProcessCrash), Survival::Yes);
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
