//! The evidence that Linux shows of a file: its mount, disks, devices, memory and bad blocks.

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

/// A reason why synced bytes are not known to outlive a loss of power.
#[derive(Clone, Debug)]
pub(crate) enum Doubt {
    /// It is seen that a sync ends too early, or on what keeps nothing.
    Lost(String),
    /// It is not seen what a sync does: the file system may honour it.
    Unseen(String),
}

impl Tree {
    /// Returns the path of a file of `/proc` about this thread, which can have descriptors and mounts of its own
    /// (unshare(2)). Before Linux 3.17 there are those of the main thread alone.
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
        // In one call: the kernel parses the text of each call on its own.
        io::Write::write_all(&mut file, text.as_bytes())
    }
}
