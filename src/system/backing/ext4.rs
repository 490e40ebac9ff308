//! Facts of a file system of the ext4 driver that its mount options do not show.
//!
//! Docker, Podman and Kubernetes show them in a container: `/proc/fs` is one of their read-only paths, and is not masked. A
//! `/proc` that was mounted with `subset=pid` does not show `/proc/fs`.

use super::mounts::Mount;
use crate::system::tree::{Evidence, Tree};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use std::path::{Path, PathBuf};

/// The place of the journal.
pub(super) enum Journal {
    /// In an inode of the file system; or the file system has none.
    OnDisk,
    /// On a device of this name.
    On(String),
    Unknown,
}

/// Returns true if the driver of ext4 has mounted a disk's file system, or this is not known. It mounts ext2 and ext3 too.
/// The driver of ext2 alone has no journal, and always flushes (Linux `fs/ext2/file.c`, `ext2_fsync`).
pub(super) fn may_have_mounted(tree: &Tree, mount: &Mount, disk: &str) -> bool {
    match mount.file_system.as_str() {
        "ext3" | "ext4" => true,
        "ext2" => tree.exists(&shown(disk)) || !tree.exists(Path::new("/proc/fs")),
        _ => false,
    }
}

/// Returns the reason why a sync is not known to end with a flush of the device. `/proc/thread-self/mountinfo` leaves out
/// the options that the superblock has by default, which can be `nobarrier` (tune2fs(8), `-o`). This file has all options
/// (Linux `fs/ext4/super.c`, `_ext4_show_options`).
pub(super) fn unflushed(tree: &Tree, disk: &str, evidence: &mut Vec<Evidence>) -> Option<String> {
    let path = shown(disk).join("options");
    let options = tree.read(&path);
    let mut lines = options.value().unwrap_or_default().lines();
    let (answer, why) = match lines.find(|option| is_of_barriers(option)) {
        Some("barrier") => ("barrier".to_string(), None),
        Some("nobarrier") => (
            "nobarrier".to_string(),
            Some("the default mount option nobarrier gives up flushes".to_string()),
        ),
        _ => {
            let answer =
                options.value().map_or_else(|| options.describe(), |_| "no barrier".into());
            let asked = path.display();
            (answer, Some(format!("its default mount options are not known ({asked})")))
        }
    };
    evidence.push(Evidence::new(path.to_string_lossy(), answer));
    why
}

/// Returns the place of the journal. The kernel lists each journal by its device, and one in an inode with the inode's
/// number (Linux `fs/jbd2/journal.c`, `jbd2_journal_init_dev`, `jbd2_journal_init_inode`). A file system without a journal
/// has no mode of it among all its options. The thread of a journal on another device has that device's name. A container
/// does not see the thread.
pub(super) fn journal(tree: &Tree, disk: &str, evidence: &mut Vec<Evidence>) -> Journal {
    let listed = Path::new("/proc/fs/jbd2");
    let names = tree.names(listed);
    let own = names.iter().flatten().find(|name| is_inode_on(disk, name));
    let answer = match (&names, own) {
        (_, Some(name)) => name.clone(),
        (Ok(_), None) => format!("no journal in an inode on {disk}"),
        (Err(missing), None) => missing.describe(),
    };
    evidence.push(Evidence::new(listed.to_string_lossy(), answer));
    if own.is_some() || has_none(tree, disk, evidence) {
        return Journal::OnDisk;
    }
    let path = Path::new("/sys/fs/ext4").join(disk).join("journal_task");
    let task = tree.read(&path);
    evidence.push(Evidence::new(path.to_string_lossy(), task.describe()));
    match task.value() {
        Some("<none>") => Journal::OnDisk,
        Some(task) => of_thread(tree, disk, task, evidence),
        None => Journal::Unknown,
    }
}

/// Returns true if a file system is seen to have no journal. With one it has a mode, and the kernel shows that with every
/// other option (Linux `fs/ext4/super.c`, `_ext4_show_options`: `DATA_FLAGS`, cleared for a file system without a journal).
fn has_none(tree: &Tree, disk: &str, evidence: &mut Vec<Evidence>) -> bool {
    let path = shown(disk).join("options");
    let options = tree.read(&path);
    let lines = || options.value().unwrap_or_default().lines();
    let mode = lines().find(|option| option.starts_with("data="));
    let answer = match mode {
        Some(mode) => mode.to_string(),
        None => {
            options.value().map_or_else(|| options.describe(), |_| "no mode of a journal".into())
        }
    };
    evidence.push(Evidence::new(path.to_string_lossy(), answer));
    mode.is_none() && lines().any(is_of_barriers)
}

/// Returns true for an option that the kernel shows in each list of all options.
fn is_of_barriers(option: &str) -> bool {
    matches!(option, "barrier" | "nobarrier")
}

/// The bytes of the longest name of a thread in kernels before 5.17, which cut longer ones off.
const LONGEST: usize = 15;

fn of_thread(tree: &Tree, disk: &str, task: &str, evidence: &mut Vec<Evidence>) -> Journal {
    // In another namespace of processes the kernel answers 0.
    let Some(task) = task.parse::<u32>().ok().filter(|task| *task != 0) else {
        return Journal::Unknown;
    };
    let path = PathBuf::from(format!("/proc/{task}/comm"));
    let thread = tree.read(&path);
    evidence.push(Evidence::new(path.to_string_lossy(), thread.describe()));
    let name = thread.value().and_then(|thread| thread.strip_prefix("jbd2/"));
    match name {
        Some(name) if is_inode_on(disk, name) => Journal::OnDisk,
        Some(name) if "jbd2/".len() + name.len() != LONGEST => Journal::On(name.to_string()),
        _ => Journal::Unknown,
    }
}

/// Returns true if a journal of this name is in an inode on a disk: `sda1-8`. The number can be cut off.
fn is_inode_on(disk: &str, journal: &str) -> bool {
    let number = journal.strip_prefix(disk).and_then(|rest| rest.strip_prefix('-'));
    number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Returns the folder in which the driver shows a file system.
fn shown(disk: &str) -> PathBuf {
    Path::new("/proc/fs/ext4").join(disk)
}
