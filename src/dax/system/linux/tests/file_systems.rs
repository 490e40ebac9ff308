//! File systems: their logs, the devices beside the one that they are mounted from, and the options that give up syncs.

use super::{
    Asked, DIRECT, EXT4_DAX, REFUSED, concluded, disk_in_region, host, host_with_region, with_ext4,
};
use crate::survival::Backing;
use crate::system::fixture::Fixture;
use alloc::format;

/// Mount options that give up what a sync promises.
#[test]
fn a_mount_that_never_flushes_has_an_unknown_backing() {
    for (file_system, option, why) in [
        ("ext4", "nobarrier", "the mount option nobarrier gives up flushes"),
        ("ext4", "barrier=0", "the mount option barrier=0 gives up flushes"),
        // It can lie on several devices, and shows one.
        ("f2fs", "fsync_mode=posix", "a sync on f2fs is not known to flush a device"),
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

/// The log has the metadata of synced files until they are written to their places.
#[test]
fn a_log_on_another_device_promises_nothing() {
    let of_xfs = "29 1 259:0 / /d rw - xfs /dev/pmem0 rw,dax=always,logdev=/dev/sdb";
    let of_xfs = host_with_region(of_xfs, "ACPI.NFIT", Some("memory_controller\n"));
    let guarantee = concluded(&of_xfs, &DIRECT);
    assert_eq!(guarantee.backing, Backing::Unknown);
    assert_eq!(guarantee.region.as_ref().unwrap().name, "region0");
    let why = "; its log is on another device, so that nothing is promised";
    assert!(guarantee.reason.ends_with(why), "{}", guarantee.reason);

    let of_ext4 = host_with_region(EXT4_DAX, "ACPI.NFIT", Some("memory_controller\n"));
    assert_eq!(concluded(&of_ext4, &DIRECT).backing, Backing::PmemAdr, "it has one in an inode");
    std::fs::remove_dir_all(of_ext4.inside("proc/fs/jbd2")).unwrap();
    assert_eq!(concluded(&of_ext4, &DIRECT).backing, Backing::Unknown);
}

/// The mount options of ext4 do not show the journal (Linux `fs/ext4/super.c`, `_ext4_show_options`).
#[test]
fn a_journal_of_ext4_is_seen_in_an_inode_or_seen_not_to_be() {
    let shown = |options: &str| {
        host("29 1 259:0 / /d rw - ext4 /dev/sda1 rw")
            .file("sys/devices/x/sda1/size", "1\n")
            .link("sys/dev/block/259:0", "sys/devices/x/sda1")
            .file("proc/fs/ext4/sda1/options", options)
            // Another file system has its journal in an inode.
            .file("proc/fs/jbd2/sda12-8/info", "")
    };
    let backing = |host: &Fixture| concluded(host, &REFUSED).backing;
    let ordered = || shown("rw\nbarrier\ndata=ordered\n");
    assert_eq!(backing(&ordered().file("proc/fs/jbd2/sda1-8/info", "")), Backing::Storage);
    assert_eq!(backing(&ordered().file("proc/fs/jbd2/sdb/info", "")), Backing::Unknown);
    assert_eq!(backing(&shown("rw\nbarrier\n")), Backing::Storage, "it has none");
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
    assert_eq!(backing(&on_ext2().file("proc/fs/jbd2/vda-8/info", "")), Backing::Storage);
    assert_eq!(backing(&on_ext2()), Backing::Unknown, "/proc/fs is not shown");
    let by_ext4 = |options| backing(&on_ext2().file("proc/fs/ext4/sda1/options", options));
    assert_eq!(by_ext4("nobarrier\n"), Backing::Unknown);
    assert_eq!(by_ext4("barrier\n"), Backing::Storage);
}

/// RAM keeps its bytes in a kexec, and the file system must have written them there.
#[test]
fn ram_that_a_sync_does_not_reach_promises_nothing() {
    let not_synchronous = Asked { dax_attribute: Some(true), ..REFUSED };
    for (file_system, options, why) in [
        ("f2fs", "fsync_mode=posix", "a sync on f2fs is not known to flush a device"),
        ("fuseblk", "allow_other", "a sync on fuseblk is not known to flush a device"),
    ] {
        let mount = format!("29 1 259:0 / /d rw - {file_system} /dev/pmem0 rw,{options}");
        let host = host_with_region(&mount, "e820", None)
            .file(&format!("{}/size", disk_in_region(0)), "1048576\n");
        for asked in [REFUSED, not_synchronous] {
            let guarantee = concluded(&host, &asked);
            assert_eq!(guarantee.backing, Backing::Unknown, "{file_system}");
            assert!(guarantee.reason.contains(why), "{}", guarantee.reason);
        }
    }
    let unflushed = "29 1 259:0 / /d rw - ext4 /dev/pmem0 rw,nobarrier";
    let host = host_with_region(unflushed, "e820", None);
    assert_eq!(concluded(&host, &REFUSED).backing, Backing::EmulatedPmem);
    let synchronous = "29 1 259:0 / /d rw - ext4 /dev/pmem0 rw,dax=always";
    let host = host_with_region(synchronous, "e820", None);
    assert_eq!(concluded(&host, &DIRECT).backing, Backing::EmulatedPmem);
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
