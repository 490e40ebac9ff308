//! The kernel and the process that write a store.

use crate::system::kernel::OSRELEASE;
use std::fs;

/// Returns the release of the kernel.
#[must_use]
pub fn release() -> alloc::string::String {
    let text = fs::read_to_string(OSRELEASE).unwrap_or_default();
    text.trim().into()
}

/// Returns true if another kernel started this one, where x86 shows it. The type of the loader is in the high bits, and
/// 0xD is kexec, both of kexec(8) and of `kexec_file_load` (Linux `Documentation/arch/x86/boot.rst`, `type_of_loader`;
/// `arch/x86/kernel/kexec-bzimage64.c`).
#[must_use]
pub fn is_by_kexec() -> Option<bool> {
    let text = fs::read_to_string("/proc/sys/kernel/bootloader_type").ok()?;
    Some(text.trim().parse::<u64>().ok()? >> 4 == 0xd)
}

/// Returns the process and its start time, in ticks since the boot (`proc_pid_stat(5)`, field 22).
#[must_use]
pub fn process() -> (u32, u64) {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    (std::process::id(), started(&text).unwrap_or(0))
}

/// Returns the start time. The second field, a name in brackets, may have anything in it.
fn started(stat: &str) -> Option<u64> {
    let (_, behind) = stat.rsplit_once(')')?;
    behind.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::started;

    /// A line of `proc_pid_stat(5)`, whose name is unkind.
    #[test]
    fn the_start_is_found_behind_any_name() {
        let line = "42 (a ) b) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 100 200";
        assert_eq!(started(line), Some(987_654));
        assert_eq!(started(""), None);
    }
}
