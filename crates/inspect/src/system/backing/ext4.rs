//! Facts about a file system of the ext4 driver that the mount options do not show.
//!
//! Docker, Podman and Kubernetes show them in a container: `/proc/fs` is read-only there, but not masked. A `/proc`
//! that was mounted with `subset=pid` has no `/proc/fs`.

use super::Doubt;
use super::mounts::Mount;
use crate::Evidence;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use cachemaint::family::tree::Tree;
use std::path::{Path, PathBuf};

/// Returns true if the ext4 driver has, or may have, mounted a disk's file system. It mounts ext2 and ext3 too. Only
/// the ext2 driver has no journal and always flushes (Linux `fs/ext2/file.c`, `ext2_fsync`).
pub(super) fn may_have_mounted(tree: &Tree, mount: &Mount, disk: &str) -> bool {
    match mount.file_system.as_str() {
        "ext3" | "ext4" => true,
        "ext2" => tree.exists(&shown(disk)) || !tree.exists(Path::new("/proc/fs")),
        _ => false,
    }
}

/// Returns the reason why a sync is not known to end with a flush of the device. `/proc/thread-self/mountinfo` omits
/// the superblock's default options, which can include `nobarrier` (tune2fs(8), `-o`). This file has all options (Linux
/// `fs/ext4/super.c`, `_ext4_show_options`).
pub(super) fn unflushed(tree: &Tree, disk: &str, evidence: &mut Vec<Evidence>) -> Option<Doubt> {
    let path = shown(disk).join("options");
    let options = tree.read(&path);
    let mut lines = options.value().unwrap_or_default().lines();
    let (answer, why) = match lines.find(|option| is_of_barriers(option)) {
        Some("barrier") => ("barrier".to_string(), None),
        Some("nobarrier") => (
            "nobarrier".to_string(),
            Some(Doubt::Lost("the default mount option nobarrier gives up flushes".to_string())),
        ),
        _ => {
            let answer =
                options.value().map_or_else(|| options.describe(), |_| "no barrier".into());
            let asked = path.display();
            let why = format!("its default mount options are not known ({asked})");
            (answer, Some(Doubt::Unseen(why)))
        }
    };
    evidence.push(Evidence::new(path.to_string_lossy(), answer));
    why
}

/// Returns true if the journal is found in an inode, or if there is none. The kernel lists each journal by its device,
/// and one in an inode also with the inode's number (Linux `fs/jbd2/journal.c`, `jbd2_journal_init_inode`). A file
/// system with a journal has the journal's mode among its options (`fs/ext4/super.c`, `_ext4_show_options`:
/// `DATA_FLAGS`).
pub(super) fn has_own_journal(tree: &Tree, disk: &str, evidence: &mut Vec<Evidence>) -> bool {
    let listed = Path::new("/proc/fs/jbd2");
    let names = tree.names(listed);
    let own = names.iter().flatten().find(|name| is_inode_on(disk, name));
    let answer = match (&names, own) {
        (_, Some(name)) => name.clone(),
        (Ok(_), None) => format!("no journal in an inode on {disk}"),
        (Err(missing), None) => missing.describe(),
    };
    evidence.push(Evidence::new(listed.to_string_lossy(), answer));
    if own.is_some() {
        return true;
    }
    let path = shown(disk).join("options");
    let options = tree.read(&path);
    let lines = || options.value().unwrap_or_default().lines();
    let mode = lines().find(|option| option.starts_with("data="));
    let has_none = mode.is_none() && lines().any(is_of_barriers);
    let answer = mode.unwrap_or(if has_none { "no mode of a journal" } else { "not known" });
    evidence.push(Evidence::new(path.to_string_lossy(), answer));
    has_none
}

/// Returns true for an option that every full list of options contains.
fn is_of_barriers(option: &str) -> bool {
    matches!(option, "barrier" | "nobarrier")
}

/// Returns true if a journal of this name is in an inode on a disk: `sda1-8`. The number can be truncated.
fn is_inode_on(disk: &str, journal: &str) -> bool {
    let number = journal.strip_prefix(disk).and_then(|rest| rest.strip_prefix('-'));
    number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Returns the directory in which the driver shows a file system.
fn shown(disk: &str) -> PathBuf {
    Path::new("/proc/fs/ext4").join(disk)
}
