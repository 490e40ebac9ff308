//! The evidence that Linux shows about a file: its mount, disks, devices, memory and bad blocks.

pub(crate) mod device_dax;
pub(crate) mod disks;
mod ext4;
pub(crate) mod inode;
pub(crate) mod mounts;
pub(crate) mod overlay;
pub(crate) mod physical;
pub(crate) mod regions;

use super::tree::Tree;
use alloc::string::String;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A reason why synced bytes are not known to survive power loss.
#[derive(Clone, Debug)]
pub(crate) enum Doubt {
    /// A sync is found to end too early, or on something that keeps nothing.
    Lost(String),
    /// The effect of a sync is not seen: the file system may honour it.
    Unseen(String),
}

impl Tree {
    /// Returns the path of a file of `/proc` about this thread, which can have descriptors and mounts of its own
    /// (unshare(2)). Before Linux 3.17 there is only that of the main thread.
    pub(crate) fn of_this_thread(&self, name: &str) -> PathBuf {
        let thread = Path::new("/proc/thread-self");
        let whose = if self.exists(thread) { thread } else { Path::new("/proc/self") };
        whose.join(name)
    }

    /// Writes text into the attribute at an absolute path, which must be there.
    ///
    /// # Errors
    /// Those of the calls.
    pub(crate) fn write(&self, path: &Path, text: &str) -> io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).open(self.inside(path))?;
        // In one call, since the kernel parses the text of each call separately.
        io::Write::write_all(&mut file, text.as_bytes())
    }
}
