//! What the extents of a file tell of its places.

use crate::Unknown;
use crate::system::mounts::Mount;
use alloc::format;
use std::io;

/// File systems on one device with extents that report the place on it: those that Linux maps directly for writing. The
/// extents of btrfs, for example, are in an address space of its own.
const WITH_PLACES: [&str; 3] = ["ext2", "ext4", "xfs"];

/// Refuses a file system with extents that do not report their place on its device.
pub(super) fn require_places(mount: &Mount) -> Result<(), Unknown> {
    if !WITH_PLACES.contains(&mount.file_system.as_str()) {
        return Err(Unknown::new(
            "the file system",
            if mount.file_system.is_empty() { "not found" } else { &mount.file_system },
            "use ext4 or xfs, whose extents say where they are on the device",
        ));
    }
    if mount.has_realtime_device() {
        return Err(Unknown::new(
            "mount option rtdev",
            "the file may lie on that device",
            "ask for a file of a file system on one device",
        ));
    }
    Ok(())
}

/// Returns the reason why the extents of a file are unknown.
pub(super) fn unknown(errno: rustix::io::Errno) -> Unknown {
    Unknown::new("FIEMAP", &format!("{}", io::Error::from(errno)), "use ext4 or xfs")
}

/// Returns the reason for an extent that does not report its place.
pub(super) fn placeless() -> Unknown {
    let answer = "an extent whose place on the device is not reported";
    Unknown::new("FIEMAP", answer, "sync the file, and ask again")
}
