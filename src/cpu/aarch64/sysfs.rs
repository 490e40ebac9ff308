//! The identities of all CPUs in sysfs (`midr_el1`).

use std::fs;
use std::path::Path;

use super::words::breaks_cleans;
use crate::cpu::Midr;
use crate::cpu::sysfs::cpus;

/// Returns true if a CPU of the machine must not clean, or is not identified because it was never online: the program
/// can be moved to it. `root` is the root of the file system. The identity is recorded when a CPU starts, so a guest
/// does not see that a hypervisor moved a virtual CPU to another core.
pub(super) fn may_break_cleans(root: &Path) -> bool {
    let mut cpus = cpus(root).peekable();
    cpus.peek().is_none() || cpus.any(|cpu| identity(&cpu).is_none_or(breaks_cleans))
}

fn identity(cpu: &Path) -> Option<Midr> {
    let text = fs::read_to_string(cpu.join("regs/identification/midr_el1")).ok()?;
    u64::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok().map(Midr)
}

#[cfg(test)]
mod tests {
    use super::may_break_cleans;
    use std::{format, fs};

    /// The RK3399 has four Cortex-A53 r0p4 and two Cortex-A72 r0p2. Linux writes `0x%016llx` (`arch/arm64/kernel/cpuinfo.c`).
    #[test]
    fn a_cortex_a53_or_an_unknown_cpu_among_the_others_is_found() {
        let machine = tempfile::tempdir().unwrap();
        assert!(may_break_cleans(machine.path()), "nothing is known");
        let folder = |cpu: &str| machine.path().join("sys/devices/system/cpu").join(cpu);
        let add = |cpu: &str, midr: &str| {
            let registers = folder(cpu).join("regs/identification");
            fs::create_dir_all(&registers).unwrap();
            fs::write(registers.join("midr_el1"), midr).unwrap();
        };
        fs::create_dir_all(folder("cpufreq")).unwrap();
        add("cpu4", "0x00000000410fd082\n");
        add("cpu5", "0x00000000410fd082\n");
        assert!(!may_break_cleans(machine.path()));
        fs::create_dir_all(folder("cpu0")).unwrap();
        assert!(may_break_cleans(machine.path()), "it was never online");
        for (midr, breaks) in [("410fd034", true), ("410fd070", true), ("411fd070", false)] {
            add("cpu0", &format!("0x00000000{midr}\n"));
            assert_eq!(may_break_cleans(machine.path()), breaks, "{midr}");
        }
    }
}
