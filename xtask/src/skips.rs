//! The reasons for which a test may skip itself, by kinds. With `CI` set, the command that runs the test fails for any other
//! reason, and for kinds that its job does not list (`absent`).
//!
//! A test prints `skipped: NAME: REASON` (`cachemaint_test_support::skip`), and after another colon what it met. A reason
//! is permitted for what a machine cannot have, or a user may not do. Where a CPU refuses what a test is about, the test
//! asserts the refusal instead.

use crate::absent::is_listed;

/// Kinds that depend on no machine: another check runs the test; user-mode emulation lacks what it needs, and the test
/// passes elsewhere.
const ANYWHERE: [&str; 2] = ["elsewhere", "emulation"];

/// The reasons of each kind.
const PERMITTED: [(&str, &[&str]); 6] = [
    (
        "elsewhere",
        &[
            "CACHEMAINT_EXPECT is not set",
            "the examples are not compiled",
            "the packages of PMDK are not there",
        ],
    ),
    ("other-compiler", &["it was not made by this compiler"]),
    (
        "emulation",
        &[
            "user-mode emulation does not pass MADV_DONTFORK on to the kernel",
            "user-mode emulation takes a signal with the kernel's code for its own",
            "user-mode emulation does not start this program from within itself",
            "user-mode emulation does not run this program from within itself",
            "user-mode emulation of a CPU does not trace children",
            "user-mode emulation of a 32-bit CPU has msync succeed on anything",
            "user-mode emulation does not pass the advice on, and counts its own faults",
            "user-mode emulation has a smaps of its own making",
            "user-mode emulation filters no system calls",
            "the sources of the tests are not here, and the rest reads them",
        ],
    ),
    // A container, or a user without rights, forbids it.
    (
        "container",
        &[
            "/sys is read-only, as in a container",
            "the user cannot be changed, as in a container, and may read it",
            "/ is not a mount point, as in a chroot",
            "no mount namespace",
            "nothing may be mounted here",
            "nothing can be mounted over another file system",
            "no overlay here",
            "another user cannot open temporary files",
            "another user may not run the command",
            "this user may lock too little memory (ulimit -H -l)",
            "no filter of system calls is to be had",
            "no filter of them is to be had",
            "no system call can be made to fail",
            "no file system can be made and mounted",
            "no btrfs can be made and mounted",
            "children cannot be traced",
            "/proc cannot be hidden",
            "the device cannot be read",
            "the kernel shows no such file",
            "there is no /sys",
            "there is no /dev/shm",
            "/dev/shm is not a tmpfs",
        ],
    ),
    // The kernel or the file system lacks it.
    (
        "kernel",
        &[
            "no huge pages of 2 MiB are free (/proc/sys/vm/nr_hugepages)",
            "the kernel is older than 5.14",
            "the file system has no unnamed files",
            "the file system has no room for the files",
            "no FIEMAP for temporary files",
            "the boot is unknown here",
            "the place of the bytes is unknown",
            "this system does not limit the address space",
            "pages are larger than blocks here",
        ],
    ),
    // The test is about another medium than that of the temporary files.
    (
        "medium",
        &[
            "temporary files are on persistent memory here",
            "the directory for temporary files may be in RAM of the kernel",
            "the file system of the build is unknown, so a guard fails on it",
            "files are on DAX here",
            "this file is persisted by cache lines",
            "nothing here is dirty for the kernel",
            "a file with holes is refused here",
        ],
    ),
];

/// Returns true if a test may skip itself with this message here.
pub(crate) fn is_permitted(message: &str) -> bool {
    kind(message).is_some_and(|kind| ANYWHERE.contains(&kind) || is_listed(kind))
}

/// Returns the kind of a message's reason.
fn kind(message: &str) -> Option<&'static str> {
    let (_test, why) = message.split_once(": ")?;
    let reason = why.split(": ").next().unwrap_or(why);
    PERMITTED.iter().find(|(_, reasons)| reasons.contains(&reason)).map(|(kind, _)| *kind)
}

#[cfg(test)]
mod tests {
    use super::{PERMITTED, kind};
    use crate::command::Cmd;
    use std::fs;
    use std::path::Path;

    #[test]
    fn a_reason_is_matched_as_a_whole() {
        assert_eq!(kind("a_test: no mount namespace: EPERM"), Some("container"));
        assert_eq!(kind("a_test: children cannot be traced"), Some("container"));
        assert_eq!(kind("a_test: no mount namespace is here"), None);
        assert_eq!(kind("a_test: the temporary directory is full"), None);
    }

    #[test]
    fn each_permitted_reason_stands_in_a_test() {
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let git = Cmd::new("git").words("-c safe.directory=* ls-files -- *.rs").folder(tree);
        let listed = git.read().unwrap();
        let others = listed.lines().filter(|file| !file.ends_with("xtask/src/skips.rs"));
        let code: String =
            others.filter_map(|file| fs::read_to_string(tree.join(file)).ok()).collect();
        let reasons = PERMITTED.iter().flat_map(|(_, reasons)| *reasons);
        let stale: Vec<_> = reasons.filter(|reason| !code.contains(**reason)).collect();
        assert!(stale.is_empty(), "{stale:?}");
    }
}
