//! The identity of this boot and this process. Unreadable parts are zero.

#[cfg(any(unix, windows))]
mod writer;

use super::tree::Tree;
use std::path::Path;

#[cfg(any(unix, windows))]
pub use writer::{is_by_kexec, process, release};

const ID: &str = "/proc/sys/kernel/random/boot_id";

/// Returns the boot id of Linux (random(4)); zeros elsewhere, and in a container that shows an id of its own.
#[must_use]
pub fn id() -> [u8; 16] {
    id_in(&Tree::host())
}

/// systemd-nspawn (`setup_boot_id`) and LXC (`lxc_setup_boot_id`) mount a new id over the file each time that a container
/// starts. The fifth field of a mount is its point (`proc_pid_mountinfo(5)`).
fn id_in(tree: &Tree) -> [u8; 16] {
    let mounts = tree.read(&tree.of_this_thread("mountinfo"));
    let mut mounts = mounts.value().unwrap_or_default().lines();
    if mounts.any(|mount| mount.split(' ').nth(4) == Some(ID)) {
        return [0; 16];
    }
    let text = tree.read(Path::new(ID));
    let digits = text.value().unwrap_or_default().replace('-', "");
    u128::from_str_radix(&digits, 16).map_or([0; 16], u128::to_be_bytes)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::id_in;
    use crate::system::fixture::Fixture;

    /// The mount is that of systemd-nspawn: a file of a tmpfs.
    #[test]
    fn a_containers_own_id_is_not_a_boot() {
        let host = Fixture::new()
            .file("proc/sys/kernel/random/boot_id", "01020304-0506-0708-090a-0b0c0d0e0f10\n")
            .file("proc/self/mountinfo", "30 1 0:1 / /proc rw - proc proc rw\n");
        let kernels_own = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
        assert_eq!(id_in(&host.tree()), kernels_own);
        let covered = "61 30 0:55 /id /proc/sys/kernel/random/boot_id ro - tmpfs tmpfs rw\n";
        let container = host.file("proc/self/mountinfo", covered);
        assert_eq!(id_in(&container.tree()), [0; 16]);
        assert_eq!(id_in(&Fixture::new().tree()), [0; 16]);
    }
}
