//! The lines of the data caches in sysfs.

use std::fs;
use std::path::Path;

use crate::cpu::sysfs::{below, cpus};

/// Returns the smallest line of a first-level data cache among all CPUs, in bytes: the safe step if the CPUs of a
/// machine differ. `root` is the root of the file system.
pub(super) fn smallest_data_line(root: &Path) -> Option<usize> {
    let caches = cpus(root).flat_map(|cpu| below(&cpu.join("cache"), "index"));
    caches.filter_map(|cache| data_line(&cache)).min()
}

/// Returns the line size of a first-level cache that holds data.
fn data_line(cache: &Path) -> Option<usize> {
    let attribute = |name| fs::read_to_string(cache.join(name)).ok();
    let is_first = attribute("level")?.trim() == "1";
    let holds_data = attribute("type").is_none_or(|kind| kind.trim() != "Instruction");
    (is_first && holds_data).then(|| attribute("coherency_line_size")?.trim().parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::smallest_data_line;
    use std::fs;

    /// If the CPUs of a machine differ, a step by the larger line would skip lines of the others. Instruction caches
    /// and other levels do not count.
    #[test]
    fn the_smallest_data_line_of_all_cpus_counts() {
        let machine = tempfile::tempdir().unwrap();
        assert_eq!(smallest_data_line(machine.path()), None);
        for (cache, level, kind, line) in [
            ("cpu0/cache/index0", "1", "Data", "128"),
            ("cpu0/cache/index1", "1", "Instruction", "16"),
            ("cpu1/cache/index0", "1", "Unified", "64"),
            ("cpu1/cache/index1", "2", "Unified", "32"),
            ("cpufreq/cache/index0", "1", "Data", "8"),
        ] {
            let path = machine.path().join("sys/devices/system/cpu").join(cache);
            fs::create_dir_all(&path).unwrap();
            for (attribute, value) in
                [("level", level), ("type", kind), ("coherency_line_size", line)]
            {
                fs::write(path.join(attribute), std::format!("{value}\n")).unwrap();
            }
        }
        assert_eq!(smallest_data_line(machine.path()), Some(64));
    }
}
