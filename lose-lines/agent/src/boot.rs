//! The start of a machine: what the kernel's first program must do before others can run.

use anyhow::{Context as _, Result};
use rustix::mount::{MountFlags, mount};
use std::ffi::CString;
use std::fs::{self, File};
use std::path::Path;

/// The list of the machine's modules, one path per line, in load order.
const MODULES: &str = "/lab/modules";
/// The beginning of the path of a file system's list, which ends with its name.
const FILE_SYSTEM: &str = "/lab/modules-";

/// The kernel's own file systems: type and directory.
const KERNEL: [(&str, &str); 5] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("tmpfs", "/dev/shm"),
    ("tmpfs", "/tmp"),
];

/// Mounts the kernel's file systems, keeps its messages off the console, and loads the modules.
///
/// # Errors
/// If one of them fails; this is not the first program of a machine, for example.
pub fn boot() -> Result<()> {
    for (kind, directory) in KERNEL {
        fs::create_dir_all(directory).with_context(|| format!("cannot make {directory}"))?;
        mount("none", directory, kind, MountFlags::empty(), None)
            .with_context(|| format!("cannot mount {kind} at {directory}"))?;
    }
    // The kernel's messages would appear within the lines of the protocol. A panic is printed anyway.
    fs::write("/proc/sys/kernel/printk", "1").context("cannot lower the console's log level")?;
    load_all(MODULES)
}

/// Loads the modules of a file system, if it has its own. Loading those of a large one takes an emulator half a second.
pub(crate) fn load_file_system(kind: &str) -> Result<()> {
    let list = format!("{FILE_SYSTEM}{kind}");
    if Path::new(&list).exists() { load_all(&list) } else { Ok(()) }
}

fn load_all(list: &str) -> Result<()> {
    let modules = fs::read_to_string(list).with_context(|| format!("cannot read {list}"))?;
    let command_line = fs::read_to_string("/proc/cmdline").context("no command line")?;
    modules.lines().map(Path::new).try_for_each(|module| load(module, &command_line))
}

/// Loads a module with its parameters on the kernel's command line, as `NAME.parameter=value` (modprobe(8)).
fn load(module: &Path, command_line: &str) -> Result<()> {
    let name = module.file_name().unwrap_or_default().to_string_lossy();
    let prefix = format!("{}.", name.split('.').next().unwrap_or_default());
    let words = command_line.split_whitespace().filter_map(|word| word.strip_prefix(&prefix));
    let parameters = CString::new(words.collect::<Vec<_>>().join(" "))?;
    let file = File::open(module).with_context(|| format!("cannot open {}", module.display()))?;
    match rustix::system::finit_module(&file, &parameters, 0) {
        // The module is built into this kernel, already loaded, or for a missing device.
        Ok(()) | Err(rustix::io::Errno::EXIST | rustix::io::Errno::NODEV) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot load {}", module.display())),
    }
}
