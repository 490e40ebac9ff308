//! File systems: their logs, the devices beside the one that they are mounted from, and the options that give up syncs.

use super::{
    Asked, DIRECT, EXT4_DAX, REFUSED, concluded, disk_in_region, host, host_with_region, with_ext4,
};
use crate::survival::{Backing, Event, Stage, Survival};
use crate::system::fixture::Fixture;
use alloc::format;
use alloc::string::ToString;

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
        .file("proc/fs/ext4/sda1/options", "rw\nbarrier\ndata=ordered\n")
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
    // Linux 4.19 has no such attribute.
    let by_options = |options| backing(&unseen().file("proc/fs/ext4/sda1/options", options));
    assert_eq!(by_options("rw\nbarrier\n"), Backing::Storage);
    assert_eq!(by_options("rw\nbarrier\ndata=writeback\n"), Backing::Unknown);
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
