//! The layer of an overlay that keeps what is stored.
//!
//! An overlay shows the path of its upper directory as its mounter wrote it (Linux `fs/overlayfs/params.c`,
//! `ovl_show_options`). That path belongs to the mounter's working directory, root and mount namespace, so it is believed
//! only where it leads to the same file system here.

use super::mounts::{Mount, mount, unescaped};
use crate::Evidence;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use cachemaint::family::file::Inode;
use cachemaint::family::tree::Tree;
use std::path::Path;

/// Returns the mount that the upper directory of an overlay lies on. The error is the reason why it is not known.
///
/// `blocks` is the size of the overlay in blocks, by statfs(2): it shows that of its upper layer (`fs/overlayfs/super.c`,
/// `ovl_statfs`).
pub(crate) fn upper(
    tree: &Tree,
    overlay: &Mount,
    blocks: u64,
    evidence: &mut Vec<Evidence>,
) -> Result<Mount, String> {
    let mut options = overlay.options.split(',');
    let Some(shown) = options.find_map(|option| option.strip_prefix("upperdir=")) else {
        return Err("no upper directory of the overlay is shown".to_string());
    };
    let unknown = |why: &str| Err(format!("its upper directory {shown} {why}"));
    let directory = unescaped(shown);
    let path = Path::new(&directory);
    if !path.is_absolute() {
        return unknown("is relative to the working directory of its mounter");
    }
    // Linux before 6.8 takes a backslash for an escape, and later kernels for a character of the name.
    if directory.contains('\\') {
        return unknown("has a backslash, which kernels read differently");
    }
    let inode = match Inode::at(&tree.inside(path)) {
        Ok(inode) => inode,
        Err(error) => return unknown(&format!("is not found here ({error})")),
    };
    if blocks_of(tree, path) != Some(blocks) {
        return unknown("names a directory of another file system here");
    }
    let upper = mount(tree, inode.mount_id, inode.device, evidence);
    match &*upper.file_system {
        "" => unknown("is on a mount that is not listed"),
        "overlay" => unknown("is on another overlay"),
        _ => Ok(upper),
    }
}

/// Returns the size in blocks of the file system that a path is on.
fn blocks_of(tree: &Tree, path: &Path) -> Option<u64> {
    rustix::fs::statfs(tree.inside(path)).ok().map(|status| status.f_blocks)
}
