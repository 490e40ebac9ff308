//! The CPUs of the machine in sysfs (`Documentation/ABI/testing/sysfs-devices-system-cpu`).

use std::fs;
use std::path::{Path, PathBuf};

/// Returns the folders of all CPUs. `root` is the root of the file system.
pub(super) fn cpus(root: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    below(&root.join("sys/devices/system/cpu"), "cpu")
}

/// Returns the entries of a directory with this name and a number.
pub(super) fn below(directory: &Path, name: &'static str) -> impl Iterator<Item = PathBuf> + use<> {
    let is_numbered = move |path: &PathBuf| {
        let found = path.file_name().and_then(|found| found.to_str()?.strip_prefix(name));
        found.is_some_and(|number| number.parse::<u32>().is_ok())
    };
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_numbered)
}
