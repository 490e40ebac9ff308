//! Devices under a file: the regions, partitions and mappers that it lies on, and their counts.

use super::{
    Asked, DIRECT, EXT4_DAX, REFUSED, concluded, disk_in_region, host, host_with_region,
    with_disk_in_region, with_ext4,
};
use crate::medium::Granularity;
use crate::survival::{Backing, Event, Stage, Survival};
use crate::system::fixture::Fixture;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use rustix::io::Errno;

/// xfs: a file can lie on the realtime device, and the number is that of the other.
#[test]
fn a_realtime_device_leaves_the_region_open() {
    let mount = "29 1 259:0 / /d rw - xfs /dev/pmem0 rw,dax=always,rtdev=/dev/pmem1";
    let host = host_with_region(mount, "ACPI.NFIT", Some("cpu_cache\n"));
    let guarantee = concluded(&host, &DIRECT);
    assert_eq!(guarantee.backing, Backing::PmemUnknown);
    assert_eq!(guarantee.granularity, Granularity::Line(64));
}

/// A partition has no list of the devices under it. The device that contains the partition has one.
#[test]
fn a_partition_of_a_mapper_is_followed() {
    let part = "sys/devices/virtual/block/md0/md0p1";
    let host = host(EXT4_DAX)
        .file(&format!("{part}/partition"), "1\n")
        .link("sys/dev/block/259:0", part)
        .region(0, Some("e820"), &[]);
    let host = with_disk_in_region(with_ext4(host, "md0p1"), 0)
        .link("sys/devices/virtual/block/md0/slaves/pmem0", &disk_in_region(0));
    assert_eq!(concluded(&host, &DIRECT).backing, Backing::EmulatedPmem);
}

/// Mount options that give up what a sync promises.
#[test]
fn a_mount_that_never_flushes_has_an_unknown_backing() {
    for (file_system, option, why) in [
        ("ext4", "nobarrier", "the mount option nobarrier gives up flushes"),
        ("ext4", "barrier=0", "the mount option barrier=0 gives up flushes"),
        ("ext4", "volatile", "the mount option volatile gives up syncs"),
        ("f2fs", "fsync_mode=nobarrier", "the mount option fsync_mode=nobarrier gives up flushes"),
        // The server decides.
        ("fuseblk", "allow_other", "a sync on fuseblk is not known to flush a device"),
    ] {
        let mount = format!("29 1 259:0 / /d rw - {file_system} /dev/sda1 rw,{option}");
        let host = with_ext4(host(&mount), "sda1")
            .file("sys/devices/x/sda1/size", "1\n")
            .link("sys/dev/block/259:0", "sys/devices/x/sda1");
        let guarantee = concluded(&host, &REFUSED);
        assert_eq!(guarantee.backing, Backing::Unknown, "{option}");
        let reason = format!("; {why}, so that nothing is promised");
        assert!(guarantee.reason.ends_with(&reason), "{}", guarantee.reason);
    }
}

/// The list has no mount outside of the root of a process (Linux `fs/proc_namespace.c`, `show_mountinfo`). Its options may
/// be any.
#[test]
fn a_mount_that_is_not_listed_promises_nothing_about_flushes_and_realtime_devices() {
    let nothing = |asked: &Asked, host: &Fixture| concluded(host, asked).backing;
    let disk = with_ext4(host("30 1 0:1 / / rw - proc proc rw"), "sda1")
        .file("sys/devices/x/sda1/size", "1\n")
        .link("sys/dev/block/259:0", "sys/devices/x/sda1");
    let ext4 = Asked { magic: Some("ext4"), ..REFUSED };
    assert_eq!(nothing(&ext4, &disk), Backing::Unknown);
    let pmem = host_with_region("30 1 0:1 / / rw - proc proc rw", "ACPI.NFIT", Some("cpu_cache\n"));
    assert_eq!(nothing(&Asked { magic: Some("xfs"), ..DIRECT }, &pmem), Backing::PmemUnknown);
    assert_eq!(nothing(&Asked { magic: Some("ext4"), ..DIRECT }, &pmem), Backing::PmemEadr);
}

/// The kernel's `msync` executes the same instructions: arm64 before Armv8.2 stops at the point of coherency (Linux
/// `arch/arm64/mm/cache.S`, `dcache_clean_pop`).
#[test]
fn a_cpu_that_reaches_no_persistence_keeps_no_claim_of_the_medium() {
    let mut asked = DIRECT;
    asked.reach.persistence = None;
    for (provider, domain, backing) in [
        ("ACPI.NFIT", "memory_controller\n", Backing::Unknown),
        ("ACPI.NFIT", "cpu_cache\n", Backing::PmemEadr),
        ("CXL", "memory_controller\n", Backing::Unknown),
    ] {
        let host = host_with_region(EXT4_DAX, provider, Some(domain));
        let host = super::with_write_cache(host, "1\n");
        let guarantee = concluded(&host, &asked);
        assert_eq!(guarantee.granularity, Granularity::Page(4096));
        assert_eq!(guarantee.backing, backing, "{}", guarantee.reason);
    }
    // Without MAP_SYNC the same instructions write back.
    let not_synchronous = Asked { map_sync: Err(Errno::OPNOTSUPP), ..asked };
    for (provider, domain, backing) in [
        ("ACPI.NFIT", Some("memory_controller\n"), Backing::Unknown),
        ("ACPI.NFIT", None, Backing::Unknown),
        ("CXL", Some("memory_controller\n"), Backing::Unknown),
        ("ACPI.NFIT", Some("cpu_cache\n"), Backing::Storage),
        ("e820", None, Backing::EmulatedPmem),
    ] {
        let host = super::with_write_cache(host_with_region(EXT4_DAX, provider, domain), "1\n");
        let guarantee = concluded(&host, &not_synchronous);
        assert_eq!(guarantee.backing, backing, "{}", guarantee.reason);
        let is_known = guarantee.reason.contains("msync of the kernel is not known");
        assert_eq!(is_known, backing == Backing::Unknown, "{}", guarantee.reason);
    }
    // RAM that was set aside is reached by lines as far as it goes.
    let ram = concluded(&host_with_region(EXT4_DAX, "e820", None), &asked);
    assert_eq!(ram.granularity, Granularity::Line(64));
    assert_eq!(ram.backing, Backing::EmulatedPmem);
}

/// A striped device is worth as much as the weakest region under it, and nothing if a part of it is not persistent
/// memory.
#[test]
fn device_mappers_are_followed_to_the_weakest_region() {
    let mapper = "sys/devices/virtual/block/dm-0";
    let mut host = with_ext4(host(EXT4_DAX), "dm-0")
        .file(&format!("{mapper}/size"), "1\n")
        .link("sys/dev/block/259:0", mapper);
    for (number, domain) in [(0, "cpu_cache\n"), (1, "memory_controller\n")] {
        host = host.region(number, Some("ACPI.NFIT"), &[("persistence_domain", domain)]);
        host = with_disk_in_region(host, number)
            .link(&format!("{mapper}/slaves/pmem{number}"), &disk_in_region(number));
    }
    let guarantee = concluded(&host, &DIRECT);
    assert_eq!(guarantee.backing, Backing::PmemAdr);
    assert_eq!(guarantee.region.as_ref().unwrap().name, "region1");

    let with_a_disk = host
        .file("sys/devices/pci/sda/size", "1\n")
        .link(&format!("{mapper}/slaves/sda"), "sys/devices/pci/sda");
    assert_eq!(concluded(&with_a_disk, &DIRECT).region.as_ref(), None);
}

/// The part in RAM makes the whole of it worth nothing after a power loss, also where the file is in the page cache.
#[test]
fn a_disk_and_ram_under_one_mapper_do_not_make_storage() {
    let mapper = "sys/devices/virtual/block/dm-0";
    for (provider, domain, backing) in [
        ("e820", None, Backing::Unknown),
        ("ramdax", None, Backing::Unknown),
        ("ACPI.NFIT", None, Backing::Unknown),
        ("ACPI.NFIT", Some("memory_controller\n"), Backing::Storage),
    ] {
        let claims: Vec<_> =
            domain.map(|claim| ("persistence_domain", claim)).into_iter().collect();
        let host = with_ext4(host(EXT4_DAX), "dm-0")
            .region(0, Some(provider), &claims)
            .file(&format!("{mapper}/size"), "1\n")
            .link("sys/dev/block/259:0", mapper)
            .file("sys/devices/pci/sda/size", "1\n")
            .link(&format!("{mapper}/slaves/sda"), "sys/devices/pci/sda");
        let host = with_disk_in_region(host, 0)
            .link(&format!("{mapper}/slaves/pmem0"), &disk_in_region(0));
        let guarantee = concluded(&host, &REFUSED);
        assert_eq!(guarantee.backing, backing, "{provider} {domain:?}");
        let is_withheld = guarantee.reason.contains("; region0 is not known to outlive power loss");
        assert_eq!(is_withheld, backing == Backing::Unknown, "{}", guarantee.reason);
    }
}

/// The kernel drops the flushes of a device that is `write through` (`block/blk-core.c`, `submit_bio_noacct`), also on the
/// way through a mapper. Persistent memory needs none.
#[test]
fn a_drive_without_flushes_must_have_no_volatile_cache() {
    let on_pci = "sys/devices/pci/sda";
    let mapper = "sys/devices/virtual/block/dm-0";
    let attribute = |host: Fixture, device: &str, value: Option<&str>| match value {
        Some(value) => host.file(&format!("{device}/queue/write_cache"), value),
        None => host,
    };
    let over = |under: Option<&str>, own: Option<&str>| {
        let host = with_ext4(host(EXT4_DAX), "dm-0")
            .file(&format!("{on_pci}/sda1/partition"), "1\n")
            .link(&format!("{mapper}/slaves/sda1"), &format!("{on_pci}/sda1"))
            .file(&format!("{mapper}/size"), "1\n")
            .link("sys/dev/block/259:0", mapper)
            .region(0, Some("ACPI.NFIT"), &[("persistence_domain", "memory_controller\n")]);
        let host = with_disk_in_region(host, 0)
            .link(&format!("{mapper}/slaves/pmem0"), &disk_in_region(0));
        let host = attribute(host, &disk_in_region(0), Some("write through\n"));
        let guarantee =
            concluded(&attribute(attribute(host, on_pci, under), mapper, own), &REFUSED);
        assert_eq!(guarantee.backing, Backing::Storage);
        let shown = format!("/{on_pci}/queue/write_cache");
        let row = guarantee.evidence.iter().find(|row| row.asked == shown);
        assert_eq!(row.unwrap().answer, under.map_or("absent", str::trim));
        let [persisted, deep] = [Stage::Persisted, Stage::DeepPersisted]
            .map(|stage| guarantee.survives(stage, Event::PowerLoss).is);
        assert_eq!(persisted, deep);
        assert_eq!(guarantee.survives(Stage::Stored, Event::PowerLoss).is, Survival::No);
        assert_eq!(guarantee.survives(Stage::Persisted, Event::WarmReboot).is, Survival::Yes);
        persisted
    };
    let honours = Survival::If("the drive gets and honours flushes");
    let has_none = Survival::If("the drive has no volatile cache: the kernel sends it no flush");
    let (back, through) = (Some("write back\n"), Some("write through\n"));
    assert_eq!(over(back, back), honours);
    assert_eq!(over(None, None), honours, "not known");
    assert_eq!(over(through, back), has_none);
    assert_eq!(over(back, through), has_none);
    assert_eq!(over(through, None), has_none);
}

/// A mapper has no switch of its own: the kernel writes the caches back for all of its devices, or maybe not.
#[test]
fn by_pages_each_device_under_a_mapper_must_have_its_caches_written_back() {
    let mapper = "sys/devices/virtual/block/dm-0";
    let over = |switches: [Option<&str>; 2]| {
        let mut host = with_ext4(host(EXT4_DAX), "dm-0")
            .file(&format!("{mapper}/size"), "1\n")
            .link("sys/dev/block/259:0", mapper);
        for (number, switch) in (0..).zip(switches) {
            host = host.region(number, Some("e820"), &[]);
            let disk = disk_in_region(number);
            host = with_disk_in_region(host, number)
                .link(&format!("{mapper}/slaves/pmem{number}"), &disk);
            if let Some(switch) = switch {
                host = host.file(&format!("{disk}/dax/write_cache"), switch);
            }
        }
        concluded(&host, &Asked { map_sync: Err(Errno::OPNOTSUPP), ..DIRECT }).backing
    };
    assert_eq!(over([Some("1\n"), Some("1\n")]), Backing::EmulatedPmem);
    assert_eq!(over([Some("1\n"), Some("0\n")]), Backing::Unknown);
    assert_eq!(over([None, Some("1\n")]), Backing::Unknown);
}

/// The device under a file system decides if it is storage at all.
#[test]
fn storage_is_claimed_only_for_devices_that_keep_data() {
    let on = |name: &str| {
        with_ext4(host(&format!("29 1 259:0 / /d rw - ext4 /dev/{name} rw")), name)
            .file(&format!("sys/devices/x/{name}/size"), "1\n")
            .link("sys/dev/block/259:0", &format!("sys/devices/x/{name}"))
    };
    for (name, backing) in [
        ("sda1", Backing::Storage),
        ("nvme0n1p2", Backing::Storage),
        ("vda", Backing::Storage),
        ("loop0", Backing::Unknown),
        ("zram1", Backing::Unknown),
        ("ram0", Backing::Unknown),
        ("nbd0", Backing::Unknown),
    ] {
        assert_eq!(concluded(&on(name), &REFUSED).backing, backing, "{name}");
    }
    // Each of the others is in RAM, on another machine, or nowhere: `nullb`, `dm-0` without slaves.
    for (path, backing) in [
        ("pci0000:00/ata1/host0/target0:0:0/0:0:0:0/block/sda", Backing::Storage),
        (
            "pci0000:00/host0/port-0:0/end_device-0:0/target0:0:0/0:0:0:0/block/sda",
            Backing::Storage,
        ),
        ("pci0000:00/usb2/2-1/2-1:1.0/host6/target6:0:0/6:0:0:0/block/sda", Backing::Storage),
        ("pci0000:00/virtio0/block/vda/vda1", Backing::Storage),
        ("tcm_loop_0/tcm_loop_adapter_0/host2/target2:0:1/2:0:1:0/block/sda", Backing::Unknown),
        ("platform/host3/session1/target3:0:0/3:0:0:0/block/sda/sda1", Backing::Unknown),
        ("pci0000:00/host7/rport-7:0-3/target7:0:0/7:0:0:0/block/sda", Backing::Unknown),
        ("platform/vhci_hcd.0/usb5/5-1/host9/target9:0:0/9:0:0:0/block/sda", Backing::Unknown),
        ("pseudo_0/adapter0/host2/target2:0:0/2:0:0:0/block/sda", Backing::Unknown),
        ("virtual/block/nullb0", Backing::Unknown),
        ("virtual/block/dm-0", Backing::Unknown),
    ] {
        assert_eq!(concluded(&on_device(path), &REFUSED).backing, backing, "{path}");
    }
    let over_a_loop = on("dm-0")
        .file("sys/devices/x/loop0/size", "1\n")
        .link("sys/devices/x/dm-0/slaves/loop0", "sys/devices/x/loop0");
    assert_eq!(concluded(&over_a_loop, &REFUSED).backing, Backing::Unknown);
    let unknown = concluded(&over_a_loop, &REFUSED);
    let why = "; no drive of this machine is known behind loop0, so that nothing is promised";
    assert!(unknown.reason.ends_with(why), "{}", unknown.reason);
    assert_eq!(unknown.survives(Stage::Persisted, Event::WarmReboot).is, Survival::NotPromised);
}

/// Returns a machine with ext4 on a device below `/sys/devices`.
fn on_device(path: &str) -> Fixture {
    let device = format!("sys/devices/{path}");
    let name = path.rsplit('/').next().unwrap();
    with_ext4(host("29 1 259:0 / /d rw - ext4 /dev/disk rw"), name)
        .file(&format!("{device}/size"), "1\n")
        .link("sys/dev/block/259:0", &device)
}

/// A drive by several paths has its controllers beside it. `NVMe` over fabrics can end in RAM (`nvme-loop`).
#[test]
fn a_drive_with_several_paths_is_storage_only_if_each_is_of_this_machine() {
    let over = |disk: &str, transports: &[&str]| {
        let subsystem = "virtual/nvme-subsystem/nvme-subsys0";
        let mut host = on_device(&format!("{subsystem}/{disk}"));
        if disk.contains('/') {
            host = host.file(&format!("sys/devices/{subsystem}/{disk}/partition"), "1\n");
        }
        for (number, transport) in transports.iter().enumerate() {
            let controller = format!("sys/devices/pci0000:00/nvme/nvme{number}");
            host = host
                .file(&format!("{controller}/transport"), transport)
                .link(&format!("sys/devices/{subsystem}/nvme{number}"), &controller);
        }
        concluded(&host, &REFUSED).backing
    };
    for disk in ["nvme0n1", "nvme0n1/nvme0n1p1"] {
        assert_eq!(over(disk, &["pcie\n"]), Backing::Storage, "{disk}");
        assert_eq!(over(disk, &["pcie\n", "pcie\n"]), Backing::Storage, "{disk}");
        assert_eq!(over(disk, &["apple-nvme\n"]), Backing::Storage, "{disk}");
        for remote in ["loop\n", "tcp\n", "rdma\n", "fc\n"] {
            assert_eq!(over(disk, &[remote]), Backing::Unknown, "{disk} {remote}");
            assert_eq!(over(disk, &["pcie\n", remote]), Backing::Unknown, "{disk} {remote}");
        }
        assert_eq!(over(disk, &[]), Backing::Unknown, "{disk}");
    }
}

/// The path of such a disk is that of a local one (`drivers/infiniband/ulp/srp/ib_srp.c`, `srp_add_target`).
#[test]
fn a_disk_of_srp_is_known_by_its_driver() {
    let adapter = "pci0000:00/host4";
    let by = |driver: &str| {
        let host = on_device(&format!("{adapter}/target4:0:0/4:0:0:0/block/sda"));
        let name = format!("sys/devices/{adapter}/scsi_host/host4/proc_name");
        concluded(&host.file(&name, driver), &REFUSED).backing
    };
    assert_eq!(by("ahci\n"), Backing::Storage);
    assert_eq!(by("ib_srp\n"), Backing::Unknown);
}

/// btrfs has a device number of its own for each subvolume.
#[test]
fn a_file_system_with_numbers_of_its_own_is_found_by_what_it_was_mounted_from() {
    let host = host("29 1 0:42 / /d rw - btrfs /dev/sdb1 rw")
        .file("sys/devices/pci/sdb/sdb1/size", "1\n")
        .link("sys/class/block/sdb1", "sys/devices/pci/sdb/sdb1")
        .link("sys/fs/btrfs/5e55/devices/sdb1", "sys/devices/pci/sdb/sdb1");
    let guarantee = concluded(&host, &Asked { device: (0, 42), ..REFUSED });
    assert_eq!(guarantee.backing, Backing::Storage);
    assert_eq!(guarantee.device, "sdb1");
}

/// Podman hides `/sys/dev/block`, and shows the class.
#[test]
fn a_device_is_found_by_its_number_in_the_class_too() {
    let host = with_ext4(host("29 1 259:0 / /d rw - ext4 /dev/sdb1 rw"), "sdb")
        .file("sys/devices/pci/sda/dev", "8:0\n")
        .file("sys/devices/pci/sdb/dev", "259:0\n")
        .link("sys/class/block/sda", "sys/devices/pci/sda")
        .link("sys/class/block/sdb", "sys/devices/pci/sdb");
    std::fs::create_dir_all(host.inside("sys/dev/block")).unwrap();
    let guarantee = concluded(&host, &REFUSED);
    assert_eq!((guarantee.backing, &*guarantee.device), (Backing::Storage, "sdb"));
}

/// The kernel's name of it is `dm-0` (Linux `Documentation/ABI/testing/sysfs-block-dm`).
#[test]
fn a_mapper_is_found_by_its_own_name() {
    let device = "sys/devices/virtual/block/dm-1";
    let host = host("29 1 0:42 / /d rw - btrfs /dev/mapper/vg-home rw")
        .file("sys/devices/virtual/block/dm-0/dm/name", "vg-root\n")
        .file(&format!("{device}/dm/name"), "vg-home\n")
        .link("sys/class/block/dm-0", "sys/devices/virtual/block/dm-0")
        .link("sys/class/block/dm-1", device)
        .link("sys/fs/btrfs/5e55/devices/dm-1", device)
        .file("sys/devices/pci/sda/size", "1\n")
        .link(&format!("{device}/slaves/sda"), "sys/devices/pci/sda");
    let guarantee = concluded(&host, &Asked { device: (0, 42), ..REFUSED });
    assert_eq!((guarantee.backing, &*guarantee.device), (Backing::Storage, "dm-1"));
}

/// Data and metadata can lie on each of the devices (`/sys/fs/btrfs/UUID/devices`).
#[test]
fn each_device_of_a_btrfs_must_be_storage() {
    let disk = "sys/devices/pci/sdb/sdb1";
    let alone = || {
        host("29 1 0:42 / /d rw - btrfs /dev/sdb1 rw")
            .file(&format!("{disk}/size"), "1\n")
            .link("sys/class/block/sdb1", disk)
    };
    let with = |name: &str| {
        let other = format!("sys/devices/x/{name}");
        alone()
            .link("sys/fs/btrfs/0ther/devices/sda", "sys/devices/x")
            .link("sys/fs/btrfs/5e55/devices/sdb1", disk)
            .file(&format!("{other}/size"), "1\n")
            .link(&format!("sys/fs/btrfs/5e55/devices/{name}"), &other)
    };
    let found = |host: &Fixture| concluded(host, &Asked { device: (0, 42), ..REFUSED });
    assert_eq!(found(&with("sdc")).backing, Backing::Storage);
    let ram = found(&with("zram0"));
    assert_eq!(ram.backing, Backing::Unknown);
    let row = ram.evidence.iter().find(|row| row.asked == "/sys/fs/btrfs/5e55/devices");
    assert_eq!(row.unwrap().answer, "sdb1, zram0");
    assert_eq!(found(&alone()).backing, Backing::Unknown, "the others are not known");
}

/// The log has the metadata of synced files until they are written to their places.
#[test]
fn the_log_device_of_xfs_must_be_storage_too() {
    let with_log = |log: &str| {
        let on_log = format!("sys/devices/x/{log}");
        let host = host(&format!("29 1 259:0 / /d rw - xfs /dev/sda rw,logdev=/dev/{log},noquota"))
            .file("sys/devices/x/sda/size", "1\n")
            .link("sys/dev/block/259:0", "sys/devices/x/sda")
            .file(&format!("{on_log}/size"), "1\n")
            .file(&format!("{on_log}/queue/write_cache"), "write through\n")
            .link("sys/class/block/sdb", "sys/devices/x/sdb")
            .link("sys/class/block/ram0", "sys/devices/x/ram0");
        concluded(&host, &REFUSED)
    };
    let drive = with_log("sdb");
    assert_eq!(drive.backing, Backing::Storage);
    let after = drive.survives(Stage::Persisted, Event::PowerLoss).is;
    assert!(after.to_string().contains("no volatile cache"), "{after}");
    assert_eq!(with_log("ram0").backing, Backing::Unknown);
    let hidden = with_log("hidden");
    assert_eq!(hidden.backing, Backing::Unknown);
    let why = "; the device of its log is not known, so that nothing is promised";
    assert!(hidden.reason.ends_with(why), "{}", hidden.reason);
}

/// xfs shows the path of the log as it was given, which can be a link.
#[test]
fn a_log_on_a_drive_leaves_a_dax_file_its_region() {
    let with_log = |log: &str| {
        let mount = format!("29 1 259:0 / /d rw - xfs /dev/pmem0 rw,dax=always,logdev={log}");
        let host = host_with_region(&mount, "ACPI.NFIT", Some("memory_controller\n"))
            .file("sys/devices/x/sdb/size", "1\n")
            .link("sys/class/block/sdb", "sys/devices/x/sdb")
            .file("sys/devices/x/ram0/size", "1\n")
            .link("sys/class/block/ram0", "sys/devices/x/ram0")
            .file("dev/sdb", "")
            .link("dev/vg/log", "dev/sdb");
        let host = super::with_write_cache(host, "1\n");
        concluded(&host, &DIRECT)
    };
    for log in ["/dev/sdb", "/dev/vg/log"] {
        let guarantee = with_log(log);
        assert_eq!(guarantee.backing, Backing::PmemAdr, "{log}: {}", guarantee.reason);
        assert_eq!(guarantee.region.as_ref().unwrap().name, "region0");
        // The drive of the log can lose the blocks of the file.
        let after = |stage, event| guarantee.survives(stage, event).is;
        let power_loss = after(Stage::Persisted, Event::PowerLoss);
        assert!(power_loss.to_string().contains("the drive of the log"), "{power_loss}");
        assert_eq!(after(Stage::Stored, Event::PowerLoss), Survival::No);
        assert_eq!(after(Stage::Persisted, Event::WarmReboot), Survival::Yes);
    }
    let lost = with_log("/dev/ram0");
    assert_eq!(lost.backing, Backing::Unknown);
    assert_eq!(lost.region.as_ref().unwrap().name, "region0");
}

/// Returns a machine with ext4 on `sda1`, on which the ext4 driver shows barriers and no journal in an inode.
fn with_journal_elsewhere() -> Fixture {
    host("29 1 259:0 / /d rw - ext4 /dev/sda1 rw")
        .file("sys/devices/x/sda1/size", "1\n")
        .link("sys/dev/block/259:0", "sys/devices/x/sda1")
        .file("proc/fs/ext4/sda1/options", "rw\nbarrier\n")
        // Another file system has its journal in an inode.
        .file("proc/fs/jbd2/sda12-8/info", "")
        .file("sys/fs/ext4/sda1/journal_task", "321\n")
}

/// The mount options of ext4 do not show the device (Linux `fs/ext4/super.c`, `_ext4_show_options`). The thread of the
/// journal has its name.
#[test]
fn the_journal_device_of_ext4_must_be_storage_too() {
    let with_journal = |name: &str| {
        let host = with_journal_elsewhere()
            .file("sys/devices/x/sdb/size", "1\n")
            .link("sys/class/block/sdb", "sys/devices/x/sdb")
            .file("sys/devices/x/ram0/size", "1\n")
            .link("sys/class/block/ram0", "sys/devices/x/ram0")
            .file(&format!("proc/fs/jbd2/{name}/info"), "")
            .file("proc/321/comm", format!("jbd2/{name}\n"));
        concluded(&host, &REFUSED)
    };
    assert_eq!(with_journal("sdb").backing, Backing::Storage);
    assert_eq!(with_journal("sda1-8").backing, Backing::Storage);
    let lost = with_journal("ram0");
    assert_eq!(lost.backing, Backing::Unknown);
    let why = "; no drive of this machine is known behind ram0, so that nothing is promised";
    assert!(lost.reason.ends_with(why), "{}", lost.reason);
    assert_eq!(lost.survives(Stage::Persisted, Event::WarmReboot).is, Survival::NotPromised);
    for unknown in ["hidden", "nvme0n1p10"] {
        let unknown = with_journal(unknown);
        assert_eq!(unknown.backing, Backing::Unknown);
        let why = "; the device of its log is not known, so that nothing is promised";
        assert!(unknown.reason.ends_with(why), "{}", unknown.reason);
    }
}

/// A container shows the journals and not their threads: the kernel answers 0 (`task_pid_vnr`). With `subset=pid` the
/// threads alone are shown.
#[test]
fn a_journal_in_an_inode_is_known_by_the_list_or_by_its_thread() {
    let backing = |host: &Fixture| concluded(host, &REFUSED).backing;
    let unseen = || with_journal_elsewhere().file("sys/fs/ext4/sda1/journal_task", "0\n");
    assert_eq!(backing(&unseen()), Backing::Unknown);
    assert_eq!(backing(&unseen().file("proc/fs/jbd2/sda1-8/info", "")), Backing::Storage);
    let by_thread = |name: &str| backing(&with_journal_elsewhere().file("proc/321/comm", name));
    assert_eq!(by_thread("jbd2/sda1-8\n"), Backing::Storage);
    assert_eq!(by_thread("jbd2/sda12-8\n"), Backing::Unknown);
    assert_eq!(by_thread("sda1-8\n"), Backing::Unknown);
    let without = with_journal_elsewhere().file("sys/fs/ext4/sda1/journal_task", "<none>\n");
    assert_eq!(backing(&without), Backing::Storage);
}

/// Stores of a file on persistent memory need the journal for its blocks.
#[test]
fn a_dax_file_of_ext4_needs_its_journal_too() {
    let host = host_with_region(EXT4_DAX, "ACPI.NFIT", Some("memory_controller\n"))
        .file("sys/fs/ext4/pmem0/journal_task", "321\n")
        .file("proc/321/comm", "jbd2/ram0\n")
        .file("sys/devices/x/ram0/size", "1\n")
        .link("sys/class/block/ram0", "sys/devices/x/ram0");
    assert_eq!(concluded(&host, &DIRECT).backing, Backing::PmemAdr, "it has one in an inode");
    std::fs::remove_dir_all(host.inside("proc/fs/jbd2")).unwrap();
    assert_eq!(concluded(&host, &DIRECT).backing, Backing::Unknown);
}

/// The superblock's default is `nobarrier` after `tune2fs -o nobarrier`, which mountinfo does not show.
#[test]
fn the_default_options_of_ext4_must_not_give_up_flushes() {
    let with_options = |options: Option<&str>| {
        let host = host("29 1 259:0 / /d rw - ext4 /dev/sda1 rw")
            .file("sys/devices/x/sda1/size", "1\n")
            .link("sys/dev/block/259:0", "sys/devices/x/sda1")
            .file("proc/fs/jbd2/sda1-8/info", "");
        let host = match options {
            Some(options) => host.file("proc/fs/ext4/sda1/options", options),
            None => host,
        };
        concluded(&host, &REFUSED)
    };
    assert_eq!(with_options(Some("rw\nbarrier\nacl\n")).backing, Backing::Storage);
    for (options, why) in [
        (Some("rw\nnobarrier\nacl\n"), "the default mount option nobarrier gives up flushes"),
        (Some("rw\n"), "its default mount options are not known (/proc/fs/ext4/sda1/options)"),
        (None, "its default mount options are not known (/proc/fs/ext4/sda1/options)"),
    ] {
        let guarantee = with_options(options);
        assert_eq!(guarantee.backing, Backing::Unknown, "{options:?}");
        let reason = format!("; {why}, so that nothing is promised");
        assert!(guarantee.reason.ends_with(&reason), "{}", guarantee.reason);
    }
    // The flush of virtio-pmem is a request to the host.
    let virtio = host_with_region(EXT4_DAX, "virtio-pmem", None)
        .file("proc/fs/ext4/pmem0/options", "nobarrier\n")
        .file(&format!("{}/queue/write_cache", disk_in_region(0)), "write back\n");
    assert_eq!(concluded(&virtio, &DIRECT).backing, Backing::Unknown);
    // Memory itself needs no flush.
    let memory = host_with_region(EXT4_DAX, "ACPI.NFIT", Some("memory_controller\n"))
        .file("proc/fs/ext4/pmem0/options", "nobarrier\n");
    assert_eq!(concluded(&memory, &DIRECT).backing, Backing::PmemAdr);
}

/// The driver of ext2 has no journal, and flushes always; that of ext4 can have mounted ext2 too.
#[test]
fn ext2_has_the_options_of_ext4_if_the_driver_of_ext4_shows_it() {
    let on_ext2 = || {
        host("29 1 259:0 / /d rw - ext2 /dev/sda1 rw")
            .file("sys/devices/x/sda1/size", "1\n")
            .link("sys/dev/block/259:0", "sys/devices/x/sda1")
    };
    let backing = |host: &Fixture| concluded(host, &REFUSED).backing;
    assert_eq!(backing(&on_ext2().file("sys/fs/ext4/features/x", "")), Backing::Storage);
    assert_eq!(backing(&on_ext2()), Backing::Unknown, "/sys/fs is not shown");
    let by_ext4 = || on_ext2().file("sys/fs/ext4/sda1/journal_task", "<none>\n");
    assert_eq!(backing(&by_ext4()), Backing::Unknown);
    let flushing = by_ext4().file("proc/fs/ext4/sda1/options", "barrier\n");
    assert_eq!(backing(&flushing), Backing::Storage);
}

/// f2fs shows the first of its devices alone, and the blocks of all (Linux `fs/f2fs/super.c`, `f2fs_statfs`).
#[test]
fn an_f2fs_that_is_larger_than_its_device_is_on_others_too() {
    const DEVICE: u64 = 64 << 20;
    const SEGMENT: u64 = 2 << 20;
    let with_bytes = |bytes, size: Option<u64>| {
        let host = host("29 1 259:0 / /d rw - f2fs /dev/sda1 rw,fsync_mode=posix")
            .file("sys/devices/x/sda1/partition", "1\n")
            .link("sys/dev/block/259:0", "sys/devices/x/sda1");
        let host = match size {
            Some(bytes) => host.file("sys/devices/x/sda1/size", format!("{}\n", bytes / 512)),
            None => host,
        };
        concluded(&host, &Asked { bytes, ..REFUSED })
    };
    // The blocks before the first segment are not counted.
    let alone = with_bytes(Some(DEVICE - SEGMENT), Some(DEVICE));
    assert_eq!(alone.backing, Backing::Storage, "{}", alone.reason);
    for (bytes, size) in [
        (Some(DEVICE), Some(DEVICE)),
        (Some(2 * DEVICE), Some(DEVICE)),
        (None, Some(DEVICE)),
        (Some(DEVICE - SEGMENT), None),
    ] {
        let guarantee = with_bytes(bytes, size);
        assert_eq!(guarantee.backing, Backing::Unknown, "{bytes:?} {size:?}");
        let why = "; not all devices of its file system are known, so that nothing is promised";
        assert!(guarantee.reason.ends_with(why), "{}", guarantee.reason);
    }
}

/// RAM keeps its bytes in a kexec, and the file system must have written them there.
#[test]
fn ram_that_a_sync_does_not_reach_promises_nothing() {
    let not_synchronous = Asked { dax_attribute: Some(true), ..REFUSED };
    for (file_system, options, why) in [
        ("f2fs", "checkpoint=disable:0", "the mount option checkpoint=disable:0 gives up syncs"),
        ("ext4", "volatile", "the mount option volatile gives up syncs"),
        ("fuseblk", "allow_other", "a sync on fuseblk is not known to flush a device"),
    ] {
        let mount = format!("29 1 259:0 / /d rw - {file_system} /dev/pmem0 rw,{options}");
        let host = host_with_region(&mount, "e820", None)
            .file(&format!("{}/size", disk_in_region(0)), "1048576\n");
        for asked in [REFUSED, not_synchronous] {
            let guarantee = concluded(&host, &Asked { bytes: Some(4096), ..asked });
            assert_eq!(guarantee.backing, Backing::Unknown, "{file_system}");
            assert!(guarantee.reason.contains(why), "{}", guarantee.reason);
        }
    }
    let unflushed = "29 1 259:0 / /d rw - ext4 /dev/pmem0 rw,nobarrier";
    let host = host_with_region(unflushed, "e820", None);
    assert_eq!(concluded(&host, &REFUSED).backing, Backing::EmulatedPmem);
    let synchronous = "29 1 259:0 / /d rw - ext4 /dev/pmem0 rw,volatile,dax=always";
    let host = host_with_region(synchronous, "e820", None);
    assert_eq!(concluded(&host, &DIRECT).backing, Backing::EmulatedPmem);
}

/// A drive survives a reset without condition, and this memory with one.
#[test]
fn a_file_in_the_page_cache_over_cxl_memory_is_not_on_a_drive() {
    let attributes = [
        ("persistence_domain", "memory_controller\n"),
        ("mappings", "1\n"),
        ("mapping0", "nmem0,0,1073741824,0\n"),
    ];
    let host = host(EXT4_DAX).region(0, Some("CXL"), &attributes);
    let host = with_disk_in_region(with_ext4(host, "pmem0"), 0)
        .link("sys/dev/block/259:0", &disk_in_region(0))
        .file("sys/bus/nd/devices/nmem0/cxl/dirty_shutdown", "0\n");
    assert_eq!(concluded(&host, &DIRECT).backing, Backing::CxlGpf);
    assert_eq!(concluded(&host, &REFUSED).backing, Backing::Unknown);
}

/// The drive of the log can lose the blocks of a file whose bytes the memory keeps.
#[test]
fn a_log_on_a_drive_adds_its_condition_to_that_of_the_memory() {
    let mount = "29 1 259:0 / /d rw - xfs /dev/pmem0 rw,dax=always,logdev=/dev/sdb";
    let after_power_loss = |provider, domain, stage| {
        let host = host_with_region(mount, provider, Some(domain))
            .file("sys/devices/x/sdb/size", "1\n")
            .link("sys/class/block/sdb", "sys/devices/x/sdb")
            .file("sys/devices/platform/ndbus0/region0/mappings", "1\n")
            .file("sys/devices/platform/ndbus0/region0/mapping0", "nmem0,0,4096,0\n")
            .file("sys/bus/nd/devices/nmem0/cxl/dirty_shutdown", "0\n");
        concluded(&host, &DIRECT).survives(stage, Event::PowerLoss).is.to_string()
    };
    for (provider, domain, stage, words) in [
        (
            "ACPI.NFIT",
            "memory_controller\n",
            Stage::Persisted,
            "the drive of the log has no volatile",
        ),
        ("ACPI.NFIT", "cpu_cache\n", Stage::Stored, "the drive of the log has no volatile"),
        ("CXL", "memory_controller\n", Stage::DeepPersisted, "and the drive of the log honours"),
    ] {
        let found = after_power_loss(provider, domain, stage);
        assert!(found.contains(words), "{provider} {domain}: {found}");
    }
    let stored = after_power_loss("ACPI.NFIT", "memory_controller\n", Stage::Stored);
    assert_eq!(stored, Survival::No.to_string());
}

/// A memfd is on a mount that is in no list.
#[test]
fn a_file_on_no_listed_mount_is_known_by_its_file_systems_number() {
    let host = host("30 1 259:0 / / rw - ext4 /dev/sda rw\n");
    for name in ["tmpfs", "hugetlbfs"] {
        let asked = Asked { device: (0, 1), magic: Some(name), ..REFUSED };
        let guarantee = concluded(&host, &asked);
        assert_eq!(guarantee.backing, Backing::Ram, "{name}");
        assert_eq!(guarantee.reason, format!("{name} is RAM of the kernel"));
        let row = guarantee.evidence.iter().find(|row| row.asked == "fstatfs: f_type");
        assert_eq!(row.unwrap().answer, name);
    }
}

/// Of two regions under one device all memory devices count, and the sum is that of all or none.
#[test]
fn unsafe_shutdowns_are_added_up_over_all_devices_or_not_at_all() {
    let region = |fixture: Fixture, number: u32| {
        let mapping = format!("nmem{number},0,1073741824,0\n");
        let attributes = [("mappings", "1\n"), ("mapping0", mapping.as_str())];
        with_disk_in_region(fixture.region(number, Some("ACPI.NFIT"), &attributes), number)
    };
    let mapper = "sys/devices/virtual/block/dm-0";
    let host = region(region(host(EXT4_DAX), 0), 1)
        .link("sys/dev/block/259:0", mapper)
        .file(&format!("{mapper}/size"), "1\n")
        .link(&format!("{mapper}/slaves/pmem0"), &disk_in_region(0))
        .link(&format!("{mapper}/slaves/pmem1"), &disk_in_region(1))
        .file("sys/bus/nd/devices/nmem0/nfit/id", "8089-a2-1837-00000bb3\n")
        .file("sys/bus/nd/devices/nmem0/nfit/dirty_shutdown", "3\n");
    let host = with_ext4(host, "dm-0");
    let guarantee = concluded(&host, &DIRECT);
    let [first, second] = &*guarantee.devices else { panic!("{guarantee:?}") };
    assert_eq!((first.name.as_str(), first.unsafe_shutdowns.as_ref().ok()), ("nmem0", Some(&3)));
    assert_eq!(first.id.as_deref(), Some("8089-a2-1837-00000bb3"));
    assert_eq!((second.name.as_str(), second.id.as_deref()), ("nmem1", None));
    let why = guarantee.unsafe_shutdowns().unwrap_err();
    assert!(why.reason.contains("/sys/bus/nd/devices/nmem1"), "{why}");

    let host = host.file("sys/bus/nd/devices/nmem1/nfit/dirty_shutdown", "4\n");
    assert_eq!(concluded(&host, &DIRECT).unsafe_shutdowns(), Ok(7));
    let host = host.file("sys/bus/nd/devices/nmem1/nfit/dirty_shutdown", "18446744073709551615\n");
    let why = concluded(&host, &DIRECT).unsafe_shutdowns().unwrap_err();
    assert!(why.reason.contains("exceeds 64 bits"), "{why}");
}

/// A cache of dm-writecache on persistent memory before a drive, and a log on persistent memory.
#[test]
fn unsafe_shutdowns_of_memory_beside_a_drive_are_counted() {
    let mapper = "sys/devices/virtual/block/dm-0";
    let attributes = [("mappings", "1\n"), ("mapping0", "nmem0,0,1073741824,0\n")];
    let on = |mount: &str| {
        with_disk_in_region(host(mount).region(0, Some("ACPI.NFIT"), &attributes), 0)
            .file("sys/bus/nd/devices/nmem0/nfit/dirty_shutdown", "3\n")
            .file("sys/devices/pci/sda/size", "1\n")
    };
    let cached = with_ext4(on(EXT4_DAX), "dm-0")
        .link("sys/dev/block/259:0", mapper)
        .link(&format!("{mapper}/slaves/pmem0"), &disk_in_region(0))
        .link(&format!("{mapper}/slaves/sda"), "sys/devices/pci/sda");
    let logged = on("29 1 259:0 / /d rw - xfs /dev/sda rw,logdev=/dev/pmem0")
        .link("sys/dev/block/259:0", "sys/devices/pci/sda")
        .link("sys/class/block/pmem0", &disk_in_region(0));
    for host in [cached, logged] {
        let guarantee = concluded(&host, &REFUSED);
        assert_eq!(guarantee.region, None);
        assert_eq!(guarantee.unsafe_shutdowns(), Ok(3));
    }
}

/// ACPI, "NVDIMM State Flags", bit 3: without its energy source a device saves nothing, whatever firmware claims of the
/// platform (Linux `drivers/acpi/nfit/core.c`, `flags_show`; `arch/powerpc/platforms/pseries/papr_scm.c`).
#[test]
fn a_device_that_is_not_armed_voids_the_claim() {
    let on = |domain: &str, family: &str, flags: &str| {
        let attributes = [
            ("persistence_domain", domain),
            ("mappings", "2\n"),
            ("mapping0", "nmem0,0,1073741824,0\n"),
            ("mapping1", "nmem1,0,1073741824,1\n"),
        ];
        let host = host(EXT4_DAX)
            .region(0, Some("ACPI.NFIT"), &attributes)
            .file("sys/bus/nd/devices/nmem0/nfit/flags", "\n")
            .file(&format!("sys/bus/nd/devices/nmem1/{family}/flags"), flags);
        let host = with_disk_in_region(host, 0).link("sys/dev/block/259:0", &disk_in_region(0));
        concluded(&with_ext4(host, "pmem0"), &DIRECT)
    };
    for domain in ["memory_controller\n", "cpu_cache\n"] {
        for family in ["nfit", "papr"] {
            let unarmed = on(domain, family, "save_fail not_armed smart_notify \n");
            assert_eq!(unarmed.backing, Backing::PmemUnknown, "{domain} {family}");
            assert_ne!(unarmed.survives(Stage::Persisted, Event::PowerLoss).is, Survival::Yes);
            let reason = "no claim for region0 holds, as its nmem1 is not armed";
            assert!(unarmed.reason.contains(reason), "{}", unarmed.reason);
            let asked = format!("/sys/bus/nd/devices/nmem1/{family}/flags");
            let row = unarmed.evidence.iter().find(|row| row.asked == asked);
            assert_eq!(row.unwrap().answer, "save_fail not_armed smart_notify");
            assert_eq!(unarmed.devices[1].failures, ["save_fail", "not_armed"]);
        }
    }
    let failed = on("memory_controller\n", "nfit", "flush_fail smart_event \n");
    assert_eq!(failed.backing, Backing::PmemAdr, "the next save can succeed");
    assert_eq!(failed.devices[1].failures, ["flush_fail"]);
}

/// Each kernel driver has its own folder, and POWER's shows 0 also without a count
/// (`arch/powerpc/platforms/pseries/papr_scm.c`, `papr_scm_probe`). An invalid name is not followed.
#[test]
fn a_count_is_believed_only_where_it_is_one() {
    let whole = "nmem0,0,4096,0\n";
    let rows = [
        (whole, "cxl/dirty_shutdown", "5\n", Ok(5)),
        (whole, "papr/dirty_shutdown", "2\n", Ok(2)),
        (whole, "papr/dirty_shutdown", "0\n", Err("0, which also stands for no count")),
        (whole, "nfit/dirty_shutdown", "0\n", Ok(0)),
        (whole, "nfit/dirty_shutdown", "-1\n", Err("dirty_shutdown: -1")),
        (whole, "nfit/id", "x\n", Err("dirty_shutdown: absent")),
        (whole, "flags", "\n", Err("neither nfit nor papr nor cxl")),
        ("../../../nmem0\n", "nfit/dirty_shutdown", "1\n", Err("mapping0: ../../../nmem0")),
    ];
    for (mapping, attribute, text, expected) in rows {
        let attributes = [("mappings", "1\n"), ("mapping0", mapping)];
        let host = host(EXT4_DAX).region(0, Some("ACPI.NFIT"), &attributes);
        let host = with_disk_in_region(host, 0)
            .link("sys/dev/block/259:0", &disk_in_region(0))
            .file(&format!("sys/bus/nd/devices/nmem0/{attribute}"), text);
        match (concluded(&host, &DIRECT).unsafe_shutdowns(), expected) {
            (Ok(count), Ok(expected)) => assert_eq!(count, expected, "{attribute} {text}"),
            (Err(why), Err(words)) => assert!(why.reason.contains(words), "{why}"),
            (found, _) => panic!("{attribute} {text}: {found:?}"),
        }
    }
    let without_devices = host_with_region(EXT4_DAX, "e820", None);
    assert!(concluded(&without_devices, &DIRECT).unsafe_shutdowns().is_err());
}
