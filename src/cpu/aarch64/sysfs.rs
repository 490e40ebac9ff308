//! The identities of all CPUs in sysfs (`Documentation/ABI/testing/sysfs-devices-system-cpu`, `midr_el1`).

use std::fs;
use std::path::Path;

use super::words::is_like_cortex_a53;
use crate::cpu::Midr;

const CPUS: &str = "sys/devices/system/cpu";

/// Returns true if a CPU of the machine that is online is a Cortex-A53 or like it: the program can be moved to it. `root` is
/// that of the file system.
pub(super) fn has_cortex_a53(root: &Path) -> bool {
    let cpus = fs::read_dir(root.join(CPUS)).into_iter().flatten().filter_map(Result::ok);
    let identity = |cpu: fs::DirEntry| {
        let text = fs::read_to_string(cpu.path().join("regs/identification/midr_el1")).ok()?;
        u64::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok()
    };
    cpus.filter_map(identity).any(|midr| is_like_cortex_a53(Midr(midr)))
}

#[cfg(test)]
mod tests {
    use super::has_cortex_a53;
    use std::fs;

    /// The RK3399 has four Cortex-A53 r0p4 and two Cortex-A72 r0p2. Linux writes `0x%016llx` (`arch/arm64/kernel/cpuinfo.c`).
    #[test]
    fn one_cortex_a53_among_the_cpus_is_found() {
        let machine = tempfile::tempdir().unwrap();
        assert!(!has_cortex_a53(machine.path()));
        let add = |cpu: &str, midr: &str| {
            let folder = machine.path().join("sys/devices/system/cpu").join(cpu);
            fs::create_dir_all(folder.join("regs/identification")).unwrap();
            fs::write(folder.join("regs/identification/midr_el1"), midr).unwrap();
        };
        fs::create_dir_all(machine.path().join("sys/devices/system/cpu/cpufreq")).unwrap();
        add("cpu4", "0x00000000410fd082\n");
        add("cpu5", "");
        assert!(!has_cortex_a53(machine.path()));
        add("cpu0", "0x00000000410fd034\n");
        assert!(has_cortex_a53(machine.path()));
    }
}
