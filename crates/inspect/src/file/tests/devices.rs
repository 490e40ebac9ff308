//! Devices under a file: the regions, partitions and mappers that it lies on, and their counts.

use super::{
    DIRECT, EXT4_DAX, FileAnswers, REFUSED, concluded, disk_in_region, host, host_with_region,
    with_disk_in_region, with_ext4,
};
use crate::survival::{Event, Stage, Survival};
use crate::tests::Fixture;
use alloc::format;
use alloc::vec::Vec;
use cachemaint::medium::{Backing, Granularity};
use rustix::io::Errno;

/// The kernel's `msync` executes the same instructions: arm64 before Armv8.2 stops at the point of coherency (Linux
/// `arch/arm64/mm/cache.S`, `dcache_clean_pop`).
#[test]
fn a_cpu_that_reaches_no_persistence_keeps_no_claim_of_the_medium() {
    let mut asked = DIRECT;
    asked.reach.persistence = None;
    for provider in ["ACPI.NFIT", "CXL"] {
        let host = host_with_region(EXT4_DAX, provider, Some("memory_controller\n"));
        let guarantee = concluded(&super::with_write_cache(host, "1\n"), &asked);
        assert_eq!(guarantee.granularity, Granularity::Page(4096));
        assert_eq!(guarantee.backing, Backing::Unknown, "{}", guarantee.reason);
    }
    // Without MAP_SYNC the same instructions write back.
    let not_synchronous = FileAnswers { map_sync: Err(Errno::OPNOTSUPP), ..asked };
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
        let is_known = guarantee.reason.contains("the kernel's msync is not known");
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
            .map(|stage| guarantee.survives(stage, Event::PowerLoss).answer);
        assert_eq!(persisted, deep);
        assert_eq!(guarantee.survives(Stage::Stored, Event::PowerLoss).answer, Survival::No);
        assert_eq!(guarantee.survives(Stage::Persisted, Event::WarmReboot).answer, Survival::Yes);
        let Survival::If(condition) = persisted else { panic!("{persisted:?}") };
        condition.code
    };
    let [honours, has_none] = ["drive_flushes", "no_volatile_cache"];
    let (back, through) = (Some("write back\n"), Some("write through\n"));
    assert_eq!(over(back, back), honours);
    assert_eq!(over(None, None), honours, "not known");
    assert_eq!(over(through, back), has_none);
    assert_eq!(over(back, through), has_none);
    assert_eq!(over(through, None), has_none);
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
        ("pci0000:00/host7/rport-7:0-3/target7:0:0/7:0:0:0/block/sda", Backing::Storage),
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
    let why = "; no drive of this machine is known behind loop0, so nothing is promised";
    assert!(unknown.reason.ends_with(why), "{}", unknown.reason);
    assert_eq!(unknown.survives(Stage::Persisted, Event::WarmReboot).answer, Survival::NotPromised);
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
    let guarantee = concluded(&host, &FileAnswers { device: (0, 42), ..REFUSED });
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
    let guarantee = concluded(&host, &FileAnswers { device: (0, 42), ..REFUSED });
    assert_eq!((guarantee.backing, &*guarantee.device), (Backing::Storage, "dm-1"));
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
            assert_ne!(unarmed.survives(Stage::Persisted, Event::PowerLoss).answer, Survival::Yes);
            let reason = "no claim for region0 holds, since its nmem1 is not armed";
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
