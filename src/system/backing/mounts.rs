//! Mounts, as `/proc/thread-self/mountinfo` shows them.

use crate::system::tree::{Evidence, Tree};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use std::os::fd::AsRawFd;

/// A line of `/proc/thread-self/mountinfo`.
#[derive(Debug, Default)]
pub(crate) struct Mount {
    pub(crate) point: String,
    pub(crate) file_system: String,
    source: String,
    pub(crate) options: String,
}

/// File systems whose `fsync` and `fdatasync` end with a flush of the device (Linux: `ext4_sync_file`, `xfs_file_fsync`,
/// `btrfs_sync_file`, `fat_file_fsync`, `exfat_file_fsync`, and `generic_file_fsync` for ext2). Not f2fs: it can lie on
/// several devices, and shows one.
const FLUSHING: [&str; 7] = ["ext2", "ext3", "ext4", "xfs", "btrfs", "vfat", "exfat"];

impl Mount {
    /// Returns the name of the block device it was mounted from, where the number is not that of a device. Of other
    /// file systems the source is any text.
    pub(crate) fn device(&self) -> Option<&str> {
        self.source.strip_prefix("/dev/").filter(|_| self.file_system == "btrfs")
    }

    /// Returns the reason why a sync of a file is not known to reach its device; `None` if it does. A FUSE server decides
    /// that itself.
    pub(crate) fn unsynced(&self) -> Option<String> {
        if self.options.is_empty() {
            return Some("its mount options are not known".to_string());
        }
        let is_flushing = FLUSHING.contains(&self.file_system.as_str());
        (!is_flushing)
            .then(|| format!("a sync on {} is not known to flush a device", self.file_system))
    }

    /// Returns the reason why a sync of a file is not known to end with a flush of its device, as far as the mount options
    /// show; `None` if it does.
    pub(crate) fn unflushed(&self) -> Option<String> {
        let gives_up = |option: &&str| matches!(*option, "nobarrier" | "barrier=0");
        let option = self.options.split(',').find(gives_up);
        let of_flushes = option.map(|option| format!("the mount option {option} gives up flushes"));
        of_flushes.or_else(|| self.unsynced())
    }

    /// Returns true if xfs has its log on another device (Linux `Documentation/admin-guide/xfs.rst`, `logdev`). The options
    /// of other file systems do not show one.
    pub(crate) fn has_log_device(&self) -> bool {
        self.options.split(',').any(|option| option.starts_with("logdev="))
    }

    /// Returns true if files can lie on another device than the one that the file system's number names.
    pub(crate) fn has_realtime_device(&self) -> bool {
        let is_unknown = self.file_system == "xfs" && self.options.is_empty();
        is_unknown || self.options.split(',').any(|option| option.starts_with("rtdev="))
    }
}

/// Returns the number of the mount that a file was opened on (`Documentation/filesystems/proc.rst`, 3.8).
pub(crate) fn mount_id(tree: &Tree, file: &impl AsRawFd) -> Option<u64> {
    let path = tree.of_this_thread(&format!("fdinfo/{}", file.as_raw_fd()));
    let attribute = tree.read(&path);
    let line = attribute.value()?.lines().find_map(|line| line.strip_prefix("mnt_id:"))?;
    line.trim().parse().ok()
}

/// Finds a mount by its number. The format is that of `Documentation/filesystems/proc.rst`, 3.5.
pub(crate) fn mount(tree: &Tree, id: Option<u64>, evidence: &mut Vec<Evidence>) -> Mount {
    let Some(id) = id else {
        let asked = tree.of_this_thread("fdinfo: mnt_id");
        evidence.push(Evidence::new(asked.to_string_lossy(), "absent"));
        return Mount::default();
    };
    let path = tree.of_this_thread("mountinfo");
    let (attribute, asked) = (tree.read(&path), path.display());
    let Some(text) = attribute.value() else {
        evidence.push(Evidence::new(asked.to_string(), attribute.describe()));
        return Mount::default();
    };
    let id = id.to_string();
    let line = text.lines().find(|line| line.split(' ').next() == Some(&id));
    let Some((line, mount)) = line.and_then(|line| Some((line, parse_mount(line)?))) else {
        evidence.push(Evidence::new(format!("{asked}: {id}"), "no such mount"));
        return Mount::default();
    };
    evidence.push(Evidence::new(format!("{asked}: {id}"), line));
    mount
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

/// Unescapes white space and backslashes of a path, written as octal numbers (`fs/proc_namespace.c`, `mangle`).
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\043", "#"), ("\\134", "\\")]
        .into_iter()
        .fold(text.to_string(), |text, (escaped, plain)| text.replace(escaped, plain))
}

#[cfg(test)]
#[cfg(all(target_os = "linux", not(miri)))]
mod tests {
    use super::{Tree, mount_id};
    use cachemaint_test_support::skip::skip;
    use std::fs::File;
    use std::io;
    use std::os::fd::AsRawFd;
    use std::thread;

    /// The file has the number of another one in the table of the main thread.
    #[test]
    fn a_thread_with_descriptors_of_its_own_gets_the_mount_of_its_own_file() {
        let test = "a_thread_with_descriptors_of_its_own_gets_the_mount_of_its_own_file";
        let (tree, file) = (Tree::host(), tempfile::tempfile().unwrap());
        let Ok(elsewhere) = File::open("/proc/thread-self/stat") else {
            return skip(test, "/proc has no threads here");
        };
        let [Some(own), Some(other)] = [&file, &elsewhere].map(|file| mount_id(&tree, file)) else {
            return skip(test, "/proc shows no mounts of open files here");
        };
        assert_ne!(own, other);
        let found = thread::scope(|scope| {
            let found = scope.spawn(|| {
                // SAFETY: it changes nothing but the descriptors of this thread.
                #[expect(unsafe_code, reason = "no safe wrapper offers it")]
                let unshared = unsafe { libc::unshare(libc::CLONE_FILES) };
                if unshared != 0 {
                    return Err(io::Error::last_os_error());
                }
                // SAFETY: the number is that of a file for this thread alone, which closes it when it ends.
                #[expect(unsafe_code, reason = "no safe wrapper takes a number that is in use")]
                let replaced = unsafe { libc::dup2(file.as_raw_fd(), elsewhere.as_raw_fd()) };
                assert_eq!(replaced, elsewhere.as_raw_fd());
                Ok(mount_id(&tree, &elsewhere))
            });
            found.join().unwrap()
        });
        match found {
            Ok(found) => assert_eq!(found, Some(own)),
            Err(error) => {
                skip(test, format_args!("a thread cannot have its own descriptors: {error}"));
            }
        }
    }
}
