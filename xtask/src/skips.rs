//! The skips that are permitted. With `CI` set, any other skip fails its check.
//!
//! A skip is permitted if the machine or its distribution lacks something that no step can install. An installation that
//! was tried and failed is a failure. Where a CPU refuses what a test is about, the test asserts the refusal.

use crate::host::{NO_NETWORK, NO_SERVER};

/// A permitted skip.
struct Skip {
    /// Words of the place, which is `step / check`.
    at: &'static str,
    /// Words of the message that the skip prints.
    says: &'static str,
    because: &'static str,
}

const fn skip(at: &'static str, says: &'static str, because: &'static str) -> Skip {
    Skip { at, says, because }
}

const DISTRIBUTION: &str = "the distribution's Rust has one compiler and one target";
const NO_ROOT: &str = "packages are installed by root, or by a sudo that asks nothing";
const NO_APT: &str = "the lab takes its packages from Debian or Ubuntu";
const NETWORK: &str = "nothing can be downloaded here";
const CROSS: &str = "the distribution has no cross compiler for this architecture";
const QEMU: &str = "the distribution's emulator is too old or too new";
const DEBIAN: &str = "only Debian has these kernels";
const OTHER_CPU: &str = "the emulators and 32-bit programs run on x86-64";
const COMPILER: &str = "the golden belongs to the compiler that it names";

/// Whole checks.
const CHECKS: &[Skip] = &[
    skip("", "rustup is not installed", DISTRIBUTION),
    skip("", "needs root", NO_ROOT),
    skip("", "apt-get is not there", NO_APT),
    skip("", NO_NETWORK, NETWORK),
    skip("", NO_SERVER, NETWORK),
    skip(" / cpu/", "Unable to locate package gcc-", CROSS),
    skip(" / cpu/", "Unable to locate package libc6-dev-", CROSS),
    skip(" / cpu/", "has no installation candidate", CROSS),
    skip("", " is of version ", QEMU),
    skip("", "has another interface for plugins", QEMU),
    skip(" / machine/", " is of Debian, this system is of ", DEBIAN),
    skip("", "the emulators are programs for x86_64", OTHER_CPU),
    skip(" / cpu/i686", "this machine runs no programs of 32 bits", OTHER_CPU),
    skip("asm / ", "they are of rustc ", COMPILER),
];

const LATER: &str = "another check runs it";
const FRAGMENT: &str = "part of a function that another block of the page has whole";
const MIRI: &str = "Miri has no such call, or takes minutes; the test runs natively";
const EMULATED: &str =
    "the emulator or its CPU lacks this; the lane compares the choice with the CPU's manual";
const CONTAINER: &str = "a container, or a user without rights, forbids it";
const FILE_SYSTEMS: &str = "the check `test / file systems` has the reason";
const SYSTEM: &str = "the kernel or the file system lacks it";
const MEDIUM: &str = "the test is about another medium than that of the temporary files";

/// Tests, by the line that they print, and those that carry `#[ignore]`, by the harness's line.
const TESTS: &[Skip] = &[
    skip("", "... ignored, mutation takes half a minute", LATER),
    skip("", "... ignored, builds for minutes, and downloads an emulator", LATER),
    skip("", "... ignored, runs what contributors type", LATER),
    skip("", "docs/device-model.md", FRAGMENT),
    skip("miri / ", "... ignored, ", MIRI),
    skip("", "CACHEMAINT_EXPECT is not set", LATER),
    skip("", "was not made by", COMPILER),
    skip("members / libpmem", "the packages of PMDK are not there", NO_APT),
    skip(" / c/", " as C++: ", CROSS),
    skip(" / cpu/", "user-mode emulation", EMULATED),
    skip(" / machine/", "the sources of the tests are not here", EMULATED),
    skip("", "as in a container", CONTAINER),
    skip("", "as in a chroot", CONTAINER),
    skip("", "no mount namespace: ", CONTAINER),
    skip("", "nothing may be mounted here: ", CONTAINER),
    skip("", "nothing can be mounted over ", CONTAINER),
    skip("", "no overlay here: ", CONTAINER),
    skip("", "no btrfs can be made and mounted", FILE_SYSTEMS),
    skip("", "no attribute can be set here (chattr)", CONTAINER),
    skip("", "another user cannot open temporary files: ", CONTAINER),
    skip("", "another user may not run the command: ", CONTAINER),
    skip("", "this user may lock too little memory", CONTAINER),
    skip("", "no filter of system calls is to be had", CONTAINER),
    skip("", "no filter of them is to be had", CONTAINER),
    skip("", "no system call can be made to fail", CONTAINER),
    skip("", "losetup", CONTAINER),
    skip("", "mkfs.", FILE_SYSTEMS),
    skip("", "children cannot be traced", CONTAINER),
    skip("", "/proc cannot be hidden", CONTAINER),
    skip("", "the_device_has_the_bytes_there", CONTAINER),
    skip("", "there is no /sys", CONTAINER),
    skip("", "there is no /dev/shm", CONTAINER),
    skip("", "/dev/shm is not a tmpfs", CONTAINER),
    skip("", "no huge pages of 2 MiB are free", SYSTEM),
    skip("", "the kernel is older than 5.14", SYSTEM),
    skip("", "the file system has no ", SYSTEM),
    skip("", "no FIEMAP for temporary files", SYSTEM),
    skip("", "the boot is unknown here", SYSTEM),
    skip("", " is unknown: ", SYSTEM),
    skip("", "this system does not limit the address space", SYSTEM),
    skip("", "pages are larger than blocks here", SYSTEM),
    skip("", "temporary files are ", MEDIUM),
    skip("", "the file system of the build is unknown", SYSTEM),
    skip("", "files are on DAX here", MEDIUM),
    skip("", "this file is persisted by cache lines", MEDIUM),
    skip("", "nothing here is dirty for the kernel", MEDIUM),
    skip("", "a file with holes is refused here", MEDIUM),
];

/// Messages of an installation that was tried and failed, whatever else the reason says.
const FAILED: [&str; 4] =
    ["Failed to fetch", "took longer than", "Temporary failure", "could not download"];

/// Returns the reason why a whole check may be skipped at `place`, if the list has it.
pub(crate) fn permits_check(place: &str, says: &str) -> Option<&'static str> {
    if FAILED.iter().any(|failed| says.contains(failed)) { None } else { find(CHECKS, place, says) }
}

/// Returns the reason why a test may be skipped at `place`, if the list has it.
pub(crate) fn permits_test(place: &str, says: &str) -> Option<&'static str> {
    find(TESTS, place, says)
}

fn find(list: &[Skip], place: &str, says: &str) -> Option<&'static str> {
    let is_it = |skip: &&Skip| place.contains(skip.at) && says.contains(skip.says);
    list.iter().find(is_it).map(|skip| skip.because)
}

#[cfg(test)]
mod tests {
    use super::{TESTS, permits_check, permits_test};
    use crate::command::Cmd;
    use std::fs;
    use std::path::Path;

    #[test]
    fn each_listed_message_of_a_test_stands_in_the_code() {
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let git = Cmd::new("git").words("-c safe.directory=* ls-files -- *.rs").folder(tree);
        let listed = git.read().unwrap();
        let others = listed.lines().filter(|file| !file.ends_with("skips.rs"));
        let code: String =
            others.filter_map(|file| fs::read_to_string(tree.join(file)).ok()).collect();
        let stale = TESTS.iter().map(|skip| skip.says.trim_start_matches("... ignored, "));
        let stale: Vec<&str> = stale.filter(|says| !code.contains(says)).collect();
        assert_eq!(stale, [""; 0]);
    }

    #[test]
    fn what_a_machine_lacks_is_permitted_and_a_failed_installation_is_not() {
        let permits = |says| permits_check("lanes / cpu/qemu-arm/cortex-a15", says).is_some();
        assert!(permits("no cross linker: installing gcc-arm-linux-gnueabihf needs root"));
        assert!(permits("no cross linker: E: Unable to locate package gcc-loongarch64-linux-gnu"));
        assert!(permits("qemu-arm is of version 8"));
        assert!(permits("this network does not know the server's name: static.rust-lang.org"));
        assert!(!permits("no cross linker: E: Failed to fetch http://mirror/gcc.deb"));
        assert!(!permits("qemu-arm is of version 8: E: Failed to fetch http://mirror/qemu.deb"));
        assert!(!permits("`rustup target add x` took longer than 180 s"));
    }

    #[test]
    fn a_skip_of_one_step_is_not_permitted_in_another() {
        let ignored = "a::b ... ignored, starts processes";
        assert!(permits_test("miri / formats", ignored).is_some());
        assert_eq!(permits_test("test / as in the README", ignored), None);
        let emulated = |says| permits_test("lanes / cpu/qemu-x86_64/max", says).is_some();
        assert!(emulated("t: user-mode emulation filters no system calls"));
        assert!(!emulated("t: the temporary directory is full"));
        assert_eq!(permits_check("miri / library", "Miri is not to be had: error"), None);
    }
}
