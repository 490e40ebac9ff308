//! File systems: their logs, the devices beside the one that they are mounted from, and the options that give up syncs.

use super::{
    DIRECT, EXT4_DAX, FileAnswers, REFUSED, concluded, concluding, disk_in_region, host,
    host_with_region, with_ext4,
};
use crate::survival::{Event, Stage, Survival};
use crate::tests::Fixture;
use alloc::format;
use cachemaint::medium::{Backing, Granularity};

/// xfs: a file can lie on the realtime device, and the number is that of the other.
#[test]
fn a_realtime_device_leaves_the_region_open() {
    let mount = "29 1 259:0 / /d rw - xfs /dev/pmem0 rw,dax=always,rtdev=/dev/pmem1";
    let host = host_with_region(mount, "ACPI.NFIT", Some("cpu_cache\n"));
    let asked = FileAnswers { magic: "xfs", is_elsewhere: true, ..DIRECT };
    let guarantee = concluded(&host, &asked);
    assert_eq!(guarantee.backing, Backing::PmemUnknown);
    assert_eq!(guarantee.granularity, Granularity::Line(64));
}

/// Mount options that give up what a sync promises (Linux `Documentation/filesystems`: `ext4/`, `f2fs.rst`,
/// `overlayfs.rst`; mount.cifs(8)).
#[test]
fn a_mount_that_gives_up_syncs_or_flushes_has_an_unknown_backing() {
    for (file_system, option, of_what) in [
        ("ext4", "nobarrier", "flushes"),
        ("ext4", "barrier=0", "flushes"),
        ("f2fs", "fsync_mode=nobarrier", "flushes"),
        ("overlay", "fsync=volatile", "syncs"),
        ("overlay", "volatile", "syncs"),
        ("cifs", "nostrictsync", "syncs"),
    ] {
        let guarantee = concluded(&on_a_drive(file_system, option), &REFUSED);
        assert_eq!(guarantee.backing, Backing::Unknown, "{option}");
        let reason =
            format!("; the mount option {option} gives up {of_what}, so nothing is promised");
        assert!(guarantee.reason.contains(&reason), "{}", guarantee.reason);
    }
}

fn on_a_drive(file_system: &str, option: &str) -> Fixture {
    let mount = format!("29 1 259:0 / /d rw - {file_system} /dev/sda1 rw,{option}");
    with_ext4(host(&mount), "sda1")
        .file("sys/devices/x/sda1/size", "1\n")
        .link("sys/dev/block/259:0", "sys/devices/x/sda1")
}

/// Each documents what a sync does, and none of them shows it here. Unknown names are among them.
#[test]
fn a_file_system_whose_syncs_are_not_seen_to_flush_has_one_condition() {
    let beside_a_drive =
        |file_system: &str| host(&format!("29 1 0:50 / / rw - {file_system} none rw"));
    for file_system in
        ["zfs", "nfs4", "nfs", "fuse", "fuse.x", "fuseblk", "f2fs", "bcachefs", "new"]
    {
        for host in [beside_a_drive(file_system), on_a_drive(file_system, "relatime")] {
            let guarantee = concluded(&host, &REFUSED);
            assert_eq!(guarantee.backing, Backing::FileSystem, "{file_system}");
            let reason = format!(
                "; a sync on {file_system} is not known to flush a device, so it survives only if the file system honours fsync"
            );
            assert!(guarantee.reason.contains(&reason), "{}", guarantee.reason);
            let has_a_server = file_system.starts_with("nfs") || file_system.starts_with("fuse");
            let says_so = guarantee.reason.contains("may be seen late or never");
            assert_eq!(says_so, has_a_server, "{}", guarantee.reason);
            for event in [Event::Kexec, Event::WarmReboot, Event::PowerLoss] {
                let answer = guarantee.survives(Stage::Persisted, event).answer;
                assert!(
                    matches!(answer, Survival::If(on) if on.code == "honours_fsync"),
                    "{answer:?}"
                );
            }
            let stored = guarantee.survives(Stage::Stored, Event::PowerLoss).answer;
            assert_eq!(stored, Survival::No, "{file_system}");
        }
    }
    // What is seen of the device counts more.
    let in_ram = host("29 1 259:0 / /d rw - f2fs /dev/zram0 rw")
        .file("sys/devices/virtual/block/zram0/size", "1\n")
        .link("sys/dev/block/259:0", "sys/devices/virtual/block/zram0");
    assert_eq!(concluded(&in_ram, &REFUSED).backing, Backing::Unknown);
}

/// The upper directory is a path of the mounter, which can lead elsewhere here.
#[test]
fn an_overlay_promises_nothing_and_sends_to_its_upper_directory() {
    let host = host("29 1 0:50 / / rw - overlay overlay rw,lowerdir=/ro,upperdir=/run/live/rw");
    let guarantee = concluded(&host, &FileAnswers { device: (0, 50), ..REFUSED });
    assert_eq!(guarantee.backing, Backing::Unknown);
    let why =
        "; its upper directory is not looked at: ask about a file there, so nothing is promised";
    assert!(guarantee.reason.ends_with(why), "{}", guarantee.reason);
}

/// Its memory is shared by hosts, and no call writes a line back.
#[test]
fn a_file_on_famfs_is_refused_and_sent_to_coherence() {
    for asked in [REFUSED, DIRECT] {
        let asked = FileAnswers { magic: "famfs", ..asked };
        let why = concluding(&Fixture::new(), &asked).unwrap_err();
        assert!(why.contains("is on famfs") && why.contains("cachemaint::coherence"), "{why}");
    }
}

/// The list has no mount outside of the root of a process (Linux `fs/proc_namespace.c`, `show_mountinfo`). Its options may
/// be any.
#[test]
fn a_mount_that_is_not_listed_is_known_as_far_as_its_driver_and_other_mounts_show_it() {
    let nothing = |asked: &FileAnswers, host: &Fixture| concluded(host, asked).backing;
    let unlisted = "30 1 0:1 / / rw - proc proc rw";
    let disk = |mounts: &str| {
        host(mounts)
            .file("sys/devices/x/sda1/size", "1\n")
            .link("sys/dev/block/259:0", "sys/devices/x/sda1")
    };
    let ext4 = FileAnswers { magic: "ext4", ..REFUSED };
    // The driver of ext4 shows all options.
    assert_eq!(nothing(&ext4, &with_ext4(disk(unlisted), "sda1")), Backing::Storage);
    assert_eq!(nothing(&ext4, &disk(unlisted)), Backing::FileSystem);
    let xfs = FileAnswers { magic: "xfs", ..REFUSED };
    let guarantee = concluded(&disk(unlisted), &xfs);
    assert_eq!(guarantee.backing, Backing::FileSystem);
    assert!(guarantee.reason.contains("its mount options are not known"), "{}", guarantee.reason);
    assert!(guarantee.advice.unwrap().contains("mount --bind"), "{:?}", guarantee.advice);
    // Another mount of the file system, here or of the first process, has the same options.
    let other = "31 1 259:0 /usr /usr rw - xfs /dev/sda1 rw,noquota";
    let first = disk(unlisted).file("proc/1/mountinfo", other);
    for host in [disk(other), first] {
        let guarantee = concluded(&host, &xfs);
        assert_eq!(guarantee.backing, Backing::Storage);
        assert_eq!((&*guarantee.file_system, &*guarantee.mount_point), ("xfs", ""));
    }
    let pmem = host_with_region("30 1 0:1 / / rw - proc proc rw", "ACPI.NFIT", Some("cpu_cache\n"));
    assert_eq!(nothing(&FileAnswers { magic: "xfs", ..DIRECT }, &pmem), Backing::PmemUnknown);
    assert_eq!(nothing(&FileAnswers { magic: "ext4", ..DIRECT }, &pmem), Backing::PmemEadr);
}

/// The log has the metadata of synced files until they are written to their places.
#[test]
fn a_log_on_another_device_is_a_condition() {
    let of_xfs = "29 1 259:0 / /d rw - xfs /dev/pmem0 rw,dax=always,logdev=/dev/sdb";
    let of_xfs = host_with_region(of_xfs, "ACPI.NFIT", Some("memory_controller\n"));
    let guarantee = concluded(&of_xfs, &DIRECT);
    assert_eq!(guarantee.backing, Backing::FileSystem);
    assert_eq!(guarantee.region.as_ref().unwrap().name, "region0");
    let why =
        "; its log is on another device, so it survives only if the file system honours fsync";
    assert!(guarantee.reason.ends_with(why), "{}", guarantee.reason);

    let of_ext4 = host_with_region(EXT4_DAX, "ACPI.NFIT", Some("memory_controller\n"));
    assert_eq!(concluded(&of_ext4, &DIRECT).backing, Backing::PmemAdr, "it has one in an inode");
    std::fs::remove_dir_all(of_ext4.inside("proc/fs/jbd2")).unwrap();
    assert_eq!(concluded(&of_ext4, &DIRECT).backing, Backing::FileSystem);
    // RAM that was set aside has a condition of its own, and keeps nothing without power.
    let in_ram = host_with_region(EXT4_DAX, "e820", None);
    std::fs::remove_dir_all(in_ram.inside("proc/fs/jbd2")).unwrap();
    assert_eq!(concluded(&in_ram, &DIRECT).backing, Backing::Unknown);
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
    assert_eq!(backing(&ordered().file("proc/fs/jbd2/sdb/info", "")), Backing::FileSystem);
    assert_eq!(backing(&shown("rw\nbarrier\n")), Backing::Storage, "it has none");
}

const UNSHOWN: &str = "; its default mount options are not known (/proc/fs/ext4/sda1/options), so it survives only if the \
                       file system honours fsync";

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
    for (options, backing, why) in [
        (
            Some("rw\nnobarrier\nacl\n"),
            Backing::Unknown,
            "; the default mount option nobarrier gives up flushes, so nothing is promised",
        ),
        (Some("rw\n"), Backing::FileSystem, UNSHOWN),
        (None, Backing::FileSystem, UNSHOWN),
    ] {
        let guarantee = with_options(options);
        assert_eq!(guarantee.backing, backing, "{options:?}");
        assert!(guarantee.reason.ends_with(why), "{}", guarantee.reason);
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
    assert_eq!(backing(&on_ext2()), Backing::FileSystem, "/proc/fs is not shown");
    let by_ext4 = |options| backing(&on_ext2().file("proc/fs/ext4/sda1/options", options));
    assert_eq!(by_ext4("nobarrier\n"), Backing::Unknown);
    assert_eq!(by_ext4("barrier\n"), Backing::Storage);
}

/// RAM keeps its bytes in a kexec, and the file system must have written them there.
#[test]
fn ram_that_a_sync_does_not_reach_promises_nothing() {
    let not_synchronous = FileAnswers { dax_attribute: Some(true), ..REFUSED };
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
    let found = |host: &Fixture| concluded(host, &FileAnswers { device: (0, 42), ..REFUSED });
    assert_eq!(found(&with("sdc")).backing, Backing::Storage);
    let ram = found(&with("zram0"));
    assert_eq!(ram.backing, Backing::Unknown);
    let row = ram.evidence.iter().find(|row| row.asked == "/sys/fs/btrfs/5e55/devices");
    assert_eq!(row.unwrap().answer, "sdb1, zram0");
    assert_eq!(found(&alone()).backing, Backing::FileSystem, "the others are not known");
}
