//! The identity of this boot. Where it cannot be read, it is zero.

use alloc::format;
use alloc::string::String;
use std::fs;

/// Returns the boot id of Linux (random(4)). Returns zeros on other systems, and in a container that shows its own id.
#[must_use]
pub fn id() -> [u8; 16] {
    const ID: &str = "/proc/sys/kernel/random/boot_id";
    // A thread can have its own mounts (unshare(2)), and not every system has `thread-self`.
    let mounts = ["thread-self", "self"].map(|whose| text_of(&format!("/proc/{whose}/mountinfo")));
    id_of(&mounts.join("\n"), &text_of(ID), ID)
}

/// systemd-nspawn (`setup_boot_id`) and LXC (`lxc_setup_boot_id`) mount a new id over the file whenever a container
/// starts. The fifth field of a mount is its mount point (`proc_pid_mountinfo(5)`).
fn id_of(mounts: &str, id: &str, path: &str) -> [u8; 16] {
    if mounts.lines().any(|mount| mount.split(' ').nth(4) == Some(path)) {
        return [0; 16];
    }
    u128::from_str_radix(&id.replace('-', ""), 16).map_or([0; 16], u128::to_be_bytes)
}

/// Returns the text of a kernel file, or an empty string if it cannot be read.
#[must_use]
pub fn text_of(path: &str) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).trim().into()
}

#[cfg(test)]
mod tests {
    use super::id_of;

    /// The mount as systemd-nspawn makes it: a file on a tmpfs.
    #[test]
    fn a_containers_own_id_is_not_a_boot() {
        let id = |mounts, id| id_of(mounts, id, "/proc/sys/kernel/random/boot_id");
        let shown = "01020304-0506-0708-090a-0b0c0d0e0f10";
        let kernels_own = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
        assert_eq!(id("30 1 0:1 / /proc rw - proc proc rw\n", shown), kernels_own);
        let covered = "61 30 0:55 /id /proc/sys/kernel/random/boot_id ro - tmpfs tmpfs rw\n";
        assert_eq!(id(covered, shown), [0; 16]);
        assert_eq!(id("", ""), [0; 16]);
    }
}
