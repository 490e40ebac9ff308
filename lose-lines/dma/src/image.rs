//! One run of an image in the emulator.

use core::time::Duration;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Instant;
use std::{io, thread};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use lose_lines_machine::cache::{Cache, Work};
use lose_lines_machine::command::{Cmd, find_program};
use lose_lines_machine::emulator::{Emulated, Emulators, value};
use lose_lines_machine::machine::control::{Control, within};
use lose_lines_machine::plugin::Plugin;

use crate::report::{Report, Suppressions};
use crate::symbols::Symbols;
use crate::tree;

/// The emulator's name of the memory.
const MEMORY: &str = "lose-lines-ram";

/// The time for the emulator's own end after a signal.
const END: Duration = Duration::from_secs(20);

/// One run of an image.
pub struct DmaTest {
    /// The emulator, by its name or its path.
    pub(crate) emulator: String,
    pub(crate) arguments: Vec<String>,
    pub(crate) line: u64,
    pub(crate) has_hooks: bool,
    /// Give the guest a device tree without `dma-coherent`.
    pub(crate) is_tree_noncoherent: bool,
    pub(crate) limit: Option<Duration>,
    /// Show the guest's output on standard error.
    pub(crate) is_output_kept_apart: bool,
    pub(crate) symbols: Symbols,
    pub(crate) suppressions: Suppressions,
}

impl DmaTest {
    /// Runs the image until the guest ends or the time is over.
    ///
    /// # Errors
    /// If the emulator does not run, or ends with an error.
    pub fn run(&self) -> Result<Report> {
        let cache = Cache::of_user()?;
        let work = Work::below(&cache.folder().join("machines"))?;
        self.run_in(&cache, work.folder())
    }

    fn run_in(&self, cache: &Cache, work: &Path) -> Result<Report> {
        let mut emulator = find_emulator(cache, &self.emulator)?;
        // One thread: the plugin's callbacks come in the order of the accesses. A reset would load images anew.
        emulator = emulator.words("-accel tcg,thread=single -no-reboot");
        emulator = emulator.args(self.arguments.iter().cloned());
        if self.is_tree_noncoherent {
            let tree = noncoherent_tree(&emulator, work)?;
            emulator = emulator.arg("-dtb").arg(tree);
        }
        let size = memory_size(&self.arguments)?;
        let (out, machine) = (work.join("found"), work.join("machine"));
        let mut options = vec![format!("dma={}", machine.display())];
        if self.has_hooks {
            options.push(String::from("hooks=on"));
        }
        let folder = File::open(work).with_context(|| format!("cannot open {}", work.display()))?;
        let socket = within(&folder, "control");
        let emulator = emulator
            .args(["-m".into(), format!("{}M", size >> 20)])
            .args(["-machine".into(), format!("memory-backend={MEMORY}")])
            .args(["-object".into(), format!("memory-backend-memfd,id={MEMORY},size={size}")])
            .args(["-qmp".into(), format!("unix:{},server=on,wait=off", value(socket.display()))])
            .arg("-S")
            .args(Plugin::in_folder(work)?.with(&options));
        let output = if self.is_output_kept_apart { io::stderr().into() } else { Stdio::inherit() };
        let mut child = emulator.start(output)?;
        let run = format!("{}\n{:x}\n", out.display(), self.line);
        let started = start(&mut child, &socket, &machine, run);
        let ended = started.and_then(|()| self.wait(&mut child));
        if ended.is_err() {
            drop(child.kill());
            drop(child.wait());
        }
        ended?;
        let text =
            fs::read_to_string(&out).context("the emulator ended before its plugin wrote")?;
        let mut report = Report::read(&text, &self.symbols, &self.suppressions)?;
        report.add_unseen(self.has_hooks, &self.symbols);
        Ok(report)
    }

    /// Waits for the emulator's end, and ends it after the limit.
    fn wait(&self, child: &mut Child) -> Result<()> {
        let begun = Instant::now();
        let mut is_asked = false;
        loop {
            if let Some(status) = child.try_wait()? {
                ensure!(status.success(), "the emulator failed: {status}");
                return Ok(());
            }
            let elapsed = begun.elapsed();
            if let Some(limit) = self.limit.filter(|limit| elapsed > *limit) {
                ensure!(elapsed < limit + END, "the emulator does not end");
                let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
                if let Some(pid) = pid.filter(|_pid| !is_asked) {
                    kill_process(pid, Signal::TERM).context("the emulator cannot be ended")?;
                    is_asked = true;
                }
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Lets the guest start, once the plugin can know the machine, whose description begins with `run`.
fn start(child: &mut Child, socket: &Path, machine: &Path, run: String) -> Result<()> {
    let mut control = Control::connect(socket, || match child.try_wait()? {
        Some(status) => bail!("the emulator did not start: {status}"),
        None => Ok(true),
    })?;
    let tree = json!({ "command-line": "info mtree -f" });
    let tree = control.execute("human-monitor-command", &tree)?;
    let described = describe(tree.as_str().unwrap_or_default());
    let described = described.context("the machine does not use the memory of -m")?;
    fs::write(machine, run + &described).context("cannot describe the machine")?;
    control.execute("cont", &Value::Object(serde_json::Map::new())).map(drop)
}

/// Returns the last part of the plugin's description: the physical address of the memory, then the ranges of devices and
/// their names. The emulator prints lines such as `  0000000040000000-0000000047ffffff (prio 0, ram): lose-lines-ram`.
fn describe(tree: &str) -> Option<String> {
    let (mut memory, mut devices) = (None, String::new());
    // Buses have views of their own, where the memory may be somewhere else.
    let of_cpus = tree.split("FlatView #").find(|view| view.contains(" AS \"memory\","))?;
    for line in of_cpus.lines() {
        let parts = line.trim().split_once(" (prio ").and_then(|(range, rest)| {
            let (kind, name) = rest.split_once("): ")?;
            Some((range.split_once('-')?, kind.split_once(", ")?.1, name))
        });
        let Some(((start, last), kind, name)) = parts else { continue };
        let (name, offset) = name.split_once(" @").unwrap_or((name, "0"));
        if name == MEMORY {
            let [start, offset] = [start, offset].map(|text| u64::from_str_radix(text, 16).ok());
            // A board may hide the first part of the memory, or have the rest somewhere else.
            let start = start?.wrapping_sub(offset?);
            memory = Some(memory.map_or(start, |other: u64| other.min(start)));
        // Devices appear later in the windows of PCI, which the emulator names when they are accessed.
        } else if kind == "i/o" && !name.ends_with("_window") {
            devices.extend([start, " ", last, " ", name, "\n"]);
        }
    }
    Some(format!("{:x}\n{devices}", memory?))
}

/// Returns the emulator: one that is installed and fits, or the tool's own.
fn find_emulator(cache: &Cache, name: &str) -> Result<Cmd> {
    if name.contains('/') {
        let emulator = Cmd::new(name);
        Plugin::fits(&emulator)?;
        return Ok(emulator);
    }
    if let Some(path) = find_program(name) {
        let emulator = Cmd::new(path.display().to_string());
        if Plugin::fits(&emulator).is_ok() {
            return Ok(emulator);
        }
    }
    let architecture = name.rsplit('-').next().unwrap_or_default();
    Ok(Emulators::fetch(cache, Emulated::Every)?.plain_system(architecture))
}

/// Returns the device tree of the machine, without coherent devices.
fn noncoherent_tree(emulator: &Cmd, work: &Path) -> Result<String> {
    let (tree, new) = (work.join("coherent.dtb"), work.join("noncoherent.dtb"));
    let dump = format!("dumpdtb={}", value(tree.display()));
    emulator.clone().arg("-machine").arg(dump).read()?;
    let bytes = fs::read(&tree).context("the emulator wrote no device tree")?;
    fs::write(&new, tree::without_coherence(&bytes)?)
        .with_context(|| format!("cannot write {}", new.display()))?;
    Ok(new.display().to_string())
}

/// Returns the bytes of memory that a command line of the emulator asks for.
fn memory_size(arguments: &[String]) -> Result<u64> {
    const DEFAULT: u64 = 128 << 20;
    let Some(size) = values(arguments, "-m").last() else { return Ok(DEFAULT) };
    let size = size.split(',').next().unwrap_or_default();
    let size = size.strip_prefix("size=").unwrap_or(size);
    let digits = size.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &size[digits.len()..] {
        "" | "M" | "m" => 20,
        "G" | "g" => 30,
        _ => bail!("-m {size}: give MiB, or a number with M or G"),
    };
    let number: u64 = digits.parse().with_context(|| format!("-m {size} is no size"))?;
    number.checked_shl(shift).context("-m is too large")
}

/// Returns the image that a command line of the emulator loads.
pub(crate) fn image_of(arguments: &[String]) -> Option<PathBuf> {
    values(arguments, "-kernel").last().map(PathBuf::from)
}

/// Returns the values of an option, which may have two dashes.
fn values<'a>(arguments: &'a [String], option: &'a str) -> impl Iterator<Item = &'a String> {
    let pairs = arguments.iter().zip(arguments.iter().skip(1));
    let is_option = move |word: &str| word.strip_prefix('-').is_some_and(|word| word == option);
    pairs.filter(move |(word, _)| *word == option || is_option(word)).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::{describe, memory_size};

    #[test]
    fn the_memory_is_found_in_the_flat_view() {
        let tree = "FlatView #1\n AS \"memory\", root: system\n Root memory region: system\n  \
            0000000000000000-0000000003ffffff (prio 0, romd): virt.flash0\n  \
            0000000080000000-00000000bfffffff (prio 0, ram): lose-lines-ram @0000000040000000\n  \
            000000000a000000-000000000a0001ff (prio 0, i/o): virtio-mmio\n  \
            0000000010000000-000000003efeffff (prio 0, i/o): gpex_mmio_window\n  \
            0000000040001000-000000007fffffff (prio 0, ram): lose-lines-ram @0000000000001000\nFlatView #2\n AS \"bus\", root: bus\n  \
            0000000000000000-000000000000007f (prio 0, i/o): mailbox\n  \
            0000000000000080-000000003fffffff (prio 0, ram): lose-lines-ram\n";
        let described = "40000000\n000000000a000000 000000000a0001ff virtio-mmio\n";
        assert_eq!(describe(tree).as_deref(), Some(described));
        let other =
            "FlatView #0\n AS \"memory\", root: system\n  0-1 (prio 0, ram): mach-virt.ram\n";
        assert_eq!(describe(other), None);
    }

    #[test]
    fn the_last_size_of_memory_counts() {
        let size =
            |line: &str| memory_size(&line.split(' ').map(str::to_owned).collect::<Vec<_>>()).ok();
        assert_eq!(size("-M virt"), Some(128 << 20));
        assert_eq!(size("-m 1G -m 256 -M virt"), Some(256 << 20));
        assert_eq!(size("--m size=2G,slots=2"), Some(2 << 30));
        assert_eq!(size("-m 1T"), None);
    }
}
