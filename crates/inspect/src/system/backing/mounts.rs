//! Mounts, as `/proc/thread-self/mountinfo` shows them.

use super::Doubt;
use crate::Evidence;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use cachemaint::family::file::FileFacts;
use cachemaint::family::tree::Tree;
use std::path::Path;

/// A line of `/proc/thread-self/mountinfo`.
#[derive(Debug, Default)]
pub(crate) struct Mount {
    pub(crate) point: String,
    pub(crate) file_system: String,
    source: String,
    pub(crate) options: String,
}

/// File systems whose `fsync` and `fdatasync` end with a flush of the device (Linux: `ext4_sync_file`,
/// `xfs_file_fsync`, `btrfs_sync_file`, `fat_file_fsync`, `exfat_file_fsync`, and `generic_file_fsync` for ext2). Not
/// f2fs, which can lie on several devices but shows only one.
const FLUSHING: [&str; 7] = ["ext2", "ext3", "ext4", "xfs", "btrfs", "vfat", "exfat"];

/// Mount options that give up syncs, of overlayfs (Linux `Documentation/filesystems/overlayfs.rst`, "Volatile mount"),
/// of bcachefs, and of SMB (mount.cifs(8)).
const WITHOUT_SYNCS: [&str; 4] =
    ["volatile", "fsync=volatile", "journal_flush_disabled", "nostrictsync"];

/// Mount options that give up flushes, of ext4, xfs, btrfs and f2fs.
const WITHOUT_FLUSHES: [&str; 3] = ["nobarrier", "barrier=0", "fsync_mode=nobarrier"];

impl Mount {
    /// Returns the name of the block device that it was mounted from, for file systems whose number is not that of a
    /// device. For others the source is arbitrary text.
    pub(crate) fn source_device(&self) -> Option<&str> {
        self.source.strip_prefix("/dev/").filter(|_| self.file_system == "btrfs")
    }

    /// Returns true for a file system that lies on block devices, and flushes them.
    pub(crate) fn flushes_a_device(&self) -> bool {
        FLUSHING.contains(&self.file_system.as_str())
    }

    /// Returns the reason why a sync of a file is not known to reach its device; `None` if it does. With FUSE, NFS and
    /// SMB the server decides that, and overlayfs leaves it to its upper layer.
    pub(crate) fn unsynced(&self) -> Option<Doubt> {
        let given_up = self.option_of(&WITHOUT_SYNCS, "syncs");
        given_up.or_else(|| {
            let name =
                if self.file_system.is_empty() { "this file system" } else { &self.file_system };
            let why = || format!("a sync on {name} is not known to flush a device");
            (!self.flushes_a_device()).then(|| Doubt::Unseen(why()))
        })
    }

    /// Returns the reason why a sync of a file is not known to end with a flush of its device, as far as the mount
    /// options show; `None` if it is.
    pub(crate) fn unflushed(&self) -> Option<Doubt> {
        let unlisted = || Doubt::Unseen("its mount options are not known".to_string());
        self.option_of(&WITHOUT_FLUSHES, "flushes")
            .or_else(|| self.unsynced())
            .or_else(|| self.options.is_empty().then(unlisted))
    }

    fn option_of(&self, names: &[&str], given_up: &str) -> Option<Doubt> {
        let option = self.options.split(',').find(|option| names.contains(option))?;
        Some(Doubt::Lost(format!("the mount option {option} gives up {given_up}")))
    }

    /// Returns true if xfs has its log on another device (Linux `Documentation/admin-guide/xfs.rst`, `logdev`). Other
    /// file systems do not show a log device in their options.
    pub(crate) fn has_log_device(&self) -> bool {
        self.options.split(',').any(|option| option.starts_with("logdev="))
    }

    /// Returns true if files can lie on a device other than the one with the file system's number.
    pub(crate) fn has_realtime_device(&self) -> bool {
        let is_unknown = self.file_system == "xfs" && self.options.is_empty();
        is_unknown || self.options.split(',').any(|option| option.starts_with("rtdev="))
    }
}

/// The mounts of the first process.
const FIRST: &str = "/proc/1/mountinfo";

/// Returns the mount of a file with these facts.
pub(crate) fn of_file(tree: &Tree, facts: &FileFacts) -> Mount {
    mount(tree, facts.mount_id, facts.device, &mut Vec::new())
}

/// Finds a mount by its number, and a file system by its device. The format is that of
/// `Documentation/filesystems/proc.rst`, 3.5.
///
/// A process lists no mount outside of its root (`fs/proc_namespace.c`, `show_mountinfo`), as in a plain chroot.
/// Another mount of the file system has the same file-system options, and the first process may list one.
pub(crate) fn mount(
    tree: &Tree,
    id: Option<u64>,
    device: (u32, u32),
    evidence: &mut Vec<Evidence>,
) -> Mount {
    let (id, device) = (id.map(|id| id.to_string()), format!("{}:{}", device.0, device.1));
    let own = super::of_this_thread(tree, "mountinfo");
    let ways =
        [(&*own, 0, id), (&*own, 2, Some(device.clone())), (Path::new(FIRST), 2, Some(device))];
    for (path, field, key) in ways {
        let asked = path.display();
        let Some(key) = key else {
            evidence.push(Evidence::new("statx: STATX_MNT_ID", "not reported"));
            continue;
        };
        let attribute = tree.read(path);
        let Some(text) = attribute.value() else {
            evidence.push(Evidence::new(asked.to_string(), attribute.describe()));
            continue;
        };
        let line = text.lines().find(|line| line.split(' ').nth(field) == Some(&key));
        if let Some((line, mut mount)) = line.and_then(|line| Some((line, parse_mount(line)?))) {
            evidence.push(Evidence::new(format!("{asked}: {key}"), line));
            if field != 0 {
                mount.point.clear();
            }
            return mount;
        }
        evidence.push(Evidence::new(format!("{asked}: {key}"), "no such mount"));
    }
    Mount::default()
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
    let options = format!("{per_mount},{per_file_system}");
    Some(Mount { point, file_system, source, options })
}

/// Replaces octal numbers such as `\040` by their characters (`fs/seq_file.c`, `seq_escape`).
fn unescaped(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let number = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        if let Some(number) = number.filter(u8::is_ascii) {
            plain.push(char::from(number));
            plain.push_str(&part[3..]);
        } else {
            plain.push('\\');
            plain.push_str(part);
        }
    }
    plain
}
