//! The evidence that Linux shows about a file: its mount, disks, and memory.

pub(crate) mod disks;
mod ext4;
pub(crate) mod mounts;
pub(crate) mod physical;

use alloc::string::String;
use cachemaint::family::tree::Tree;
use std::path::{Path, PathBuf};

/// A reason why synced bytes are not known to survive power loss.
#[derive(Clone, Debug)]
pub(crate) enum Doubt {
    /// A sync is found to end too early, or on something that keeps nothing.
    Lost(String),
    /// The effect of a sync is not seen: the file system may honour it.
    Unseen(String),
}

/// Returns the path of a file of `/proc` about this thread, which can have descriptors and mounts of its own
/// (unshare(2)). Before Linux 3.17 there is only that of the main thread.
fn of_this_thread(tree: &Tree, name: &str) -> PathBuf {
    let thread = Path::new("/proc/thread-self");
    let whose = if tree.exists(thread) { thread } else { Path::new("/proc/self") };
    whose.join(name)
}
