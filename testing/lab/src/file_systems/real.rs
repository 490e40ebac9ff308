//! The states that a mounted file system leaves: of runs between whose operations somebody else commits or writes files back,
//! and of the subsets of what the disk heard since its last flush.

use alloc::collections::{BTreeMap, BTreeSet};
use core::ops::Range;
use core::time::Duration;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context as _, Result, bail};
use fastrand::Rng;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use xtask::command::Cmd;

use super::disk::{Device, Disk, Heard, Image, SECTOR, is_content};
use super::kernel;
use super::model::Seen;
use super::program::{Program, begin, run};
use super::tree::tree;

/// The directories in which a program runs at once, each with write-backs of its own.
const COPIES: usize = 24;

/// The cuts that are mounted of each run.
const CUTS: usize = 24;

/// A file system with its options.
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) size: u64,
    /// The options of mkfs, and of mount(8).
    pub(super) made: &'static str,
    pub(super) mounted: &'static str,
    /// The package with mkfs.
    pub(super) package: &'static str,
}

pub(super) struct Real {
    kind: &'static Kind,
    disk: Disk,
    live: PathBuf,
    /// The disk after a cut.
    file: File,
    device: Device,
    cut: PathBuf,
    random: Rng,
}

/// A cut: the writes after the last flush that it keeps, by sectors, and the places to which it fits.
struct Cut {
    kept: BTreeMap<usize, u64>,
    /// The number of events before the last flush.
    durable: usize,
    places: Range<usize>,
}

impl Cut {
    /// Returns what is left of a disk.
    fn image(&self, mut image: Image, heard: &[Heard]) -> Image {
        for (index, event) in heard.iter().enumerate().take(self.places.start) {
            let Heard::Write { at, bytes, answered } = event else { continue };
            if *answered <= self.durable {
                image.write(*at, bytes);
                continue;
            }
            let sectors = self.kept.get(&index).copied().unwrap_or(0);
            for (number, part) in bytes.chunks(SECTOR).enumerate() {
                if sectors >> (number % 64) & 1 == 1 {
                    image.write(*at + (number * SECTOR) as u64, part);
                }
            }
        }
        image
    }
}

impl Real {
    pub(super) fn new(kind: &'static Kind, folder: &Path, memory: &Path) -> Result<Self> {
        let [files, live, cut] = ["fuse", "live", "cut"].map(|name| folder.join(name));
        for path in [&files, &live, &cut] {
            fs::create_dir_all(path)?;
        }
        let disk = Disk::new(&files, kind.size)?;
        Cmd::new(format!("mkfs.{}", kind.name)).words(kind.made).arg(&disk.device.0).read()?;
        let path = memory.join("disk");
        let file = File::create_new(&path)?;
        file.set_len(kind.size)?;
        let device = Device::new(&path, "")?;
        let real = Self { kind, disk, live, file, device, cut, random: Rng::with_seed(0) };
        real.mount(&real.disk.device.0, &real.live)?;
        Ok(real)
    }

    fn mount(&self, device: &str, at: &Path) -> Result<()> {
        let options = std::ffi::CString::new(self.kind.mounted)?;
        mount(device, at, self.kind.name, MountFlags::NOATIME, Some(&*options))
            .with_context(|| format!("{} cannot be mounted", self.kind.name))
    }

    /// Adds the states of one run of a program. Returns the number of cuts.
    pub(super) fn run(
        &mut self,
        program: &Program,
        random: Rng,
        seen: &mut BTreeSet<Seen>,
    ) -> Result<usize> {
        self.random = random;
        let root = self.live.join("w");
        if root.exists() {
            fs::remove_dir_all(&root)?;
        }
        for copy in 0..COPIES {
            begin(&root.join(copy.to_string()))?;
        }
        fs::write(self.live.join("other"), "0")?;
        let folder = File::open(&self.live)?;
        rustix::fs::syncfs(&folder)?;
        kernel::settle(&folder)?;
        let first = {
            let mut state = self.disk.state();
            state.heard.clear();
            state.live.clone()
        };
        let lines = self.record(program, &root)?;
        let heard = self.disk.state().heard.clone();
        let mut places = lines.concat();
        places.sort_unstable();
        places.dedup();
        let cuts = self.cuts(&heard, &places);
        let count = cuts.len();
        for cut in cuts {
            let image = cut.image(first.clone(), &heard);
            image.save(&self.file, self.kind.size)?;
            self.mount(&self.device.0, &self.cut)?;
            let trees: Vec<_> =
                (0..COPIES).map(|copy| tree(&self.cut.join("w").join(copy.to_string()))).collect();
            unmounted(&self.cut)?;
            for (copy, tree) in trees.into_iter().enumerate() {
                let tree = tree.unwrap_or_else(|why| format!("unreadable: {why}"));
                let printed = |place: usize| lines[copy].iter().filter(|at| **at <= place).count();
                for count in printed(cut.places.start)..=printed(cut.places.end) {
                    seen.insert((count, tree.clone()));
                }
            }
        }
        Ok(count)
    }

    /// Runs the program in each copy, and returns the places at which each has printed its lines.
    fn record(&mut self, program: &Program, root: &Path) -> Result<Vec<Vec<usize>>> {
        let mut lines = vec![Vec::new(); COPIES];
        let is_slow = self.random.bool();
        // Commits come anywhere, after one operation, or only at the end.
        let (steps, anywhere) = (program.0.len(), self.random.bool());
        let commits_after = self.random.usize(0..=steps);
        let copies: Vec<_> = (0..COPIES).map(|copy| root.join(copy.to_string())).collect();
        for (number, step) in program.0.iter().enumerate() {
            // A sync may end while writes to other files are under way; it waits for those to its own.
            let stays_slow = is_slow && (!step.waits() || self.random.bool());
            self.slow(stays_slow);
            for (copy, path) in copies.iter().enumerate() {
                let (random, live, name) = (&mut self.random, &self.live, self.kind.name);
                let between = |file: &File| {
                    let choice = random.u8(0..24);
                    if choice < 6 {
                        kernel::write_back(file, range(random, file)?, !is_slow)?;
                    }
                    if choice == 0 && anywhere { commit(name, live, random) } else { Ok(()) }
                };
                self.disk.tick();
                run(path, number, step, between).with_context(|| format!("{program}: {step}"))?;
                if step.is_sync() {
                    lines[copy].push(self.disk.now());
                }
            }
            self.slow(is_slow);
            self.disturb(&copies, is_slow, anywhere || commits_after == number)?;
        }
        if self.random.bool() {
            commit(self.kind.name, &self.live, &mut self.random)?;
        }
        self.slow(false);
        Ok(lines)
    }

    /// Commits and writes back, as somebody else may do between two operations.
    fn disturb(&mut self, copies: &[PathBuf], is_slow: bool, commits: bool) -> Result<()> {
        for _ in 0..self.random.usize(0..5) {
            self.disk.tick();
            match self.random.u8(0..6) {
                0..3 if commits => commit(self.kind.name, &self.live, &mut self.random)?,
                0..3 => {}
                3 => self.write_back_in_parts(copies, is_slow)?,
                _ => copies.iter().try_for_each(|path| self.write_back(path, !is_slow, None))?,
            }
        }
        Ok(())
    }

    /// Writes some blocks back, and then the others, whose writes may still be under way at a commit; or waits for all.
    fn write_back_in_parts(&mut self, copies: &[PathBuf], is_slow: bool) -> Result<()> {
        let block = self.random.i64(0..4);
        let part = (block < 3).then_some((block * 4096, 4096));
        self.slow(false);
        copies.iter().try_for_each(|path| self.write_back(path, true, part))?;
        self.slow(is_slow);
        if part.is_some() {
            copies.iter().try_for_each(|path| self.write_back(path, !is_slow, None))?;
            commit(self.kind.name, &self.live, &mut self.random)?;
        }
        Ok(())
    }

    /// Answers some writes of content late from now on, or all of them at once.
    fn slow(&mut self, is_slow: bool) {
        let seed = self.random.fork();
        let mut state = self.disk.state();
        state.slow = is_slow.then_some(seed);
        if !is_slow {
            state.release();
        }
    }

    /// Writes back some files of a copy, or a block of them.
    fn write_back(&mut self, root: &Path, waits: bool, part: Option<(i64, i64)>) -> Result<()> {
        for folder in [root.to_path_buf(), root.join("d")] {
            let Ok(entries) = fs::read_dir(folder) else { continue };
            let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
            self.random.shuffle(&mut paths);
            for path in paths {
                if path.is_file() && self.random.u8(0..3) > 0 {
                    let file = File::open(path)?;
                    self.disk.tick();
                    let part = part.map_or_else(|| range(&mut self.random, &file), Ok)?;
                    kernel::write_back(&file, part, waits)?;
                }
            }
        }
        Ok(())
    }

    /// Chooses cuts of what the disk heard.
    fn cuts(&mut self, heard: &[Heard], lines: &[usize]) -> Vec<Cut> {
        let mut cuts = BTreeMap::new();
        let flushes: Vec<_> =
            (0..heard.len()).filter(|at| matches!(heard[*at], Heard::Flush)).collect();
        for number in 0..CUTS * 2 {
            if cuts.len() == CUTS {
                break;
            }
            let special = if number % 2 == 0 { &flushes[..] } else { lines };
            let place = match special {
                [] => self.random.usize(..=heard.len()),
                _ if number % 4 > 1 => self.random.usize(..=heard.len()),
                some => some[self.random.usize(..some.len())],
            };
            let last = flushes.iter().rfind(|at| **at < place).copied();
            let next = flushes.iter().find(|at| **at >= place).copied().unwrap_or(heard.len());
            let choice = self.random.u8(0..6);
            let mut kept = BTreeMap::new();
            for (index, event) in heard.iter().enumerate().take(place) {
                let Heard::Write { bytes, answered, .. } = event else { continue };
                if last.is_some_and(|last| *answered <= last) {
                    continue;
                }
                let content = is_content(bytes);
                let some = if self.random.bool() { u64::MAX } else { 0 };
                let sectors = match choice {
                    2 if content => 0,
                    3 if content => some,
                    4 if content => self.random.u64(..),
                    5 => some,
                    _ => u64::MAX,
                };
                if sectors != 0 {
                    kept.insert(index, sectors);
                }
            }
            let durable = last.unwrap_or(0);
            let key: Vec<_> = kept.iter().map(|(index, sectors)| (*index, *sectors)).collect();
            cuts.entry((last, key)).or_insert(Cut { kept, durable, places: place..next });
        }
        cuts.into_values().collect()
    }
}

/// Commits what somebody else did.
fn commit(kind: &str, root: &Path, random: &mut Rng) -> io::Result<()> {
    if kind == "btrfs" {
        return kernel::commit_btrfs(&File::open(root)?);
    }
    let other = OpenOptions::new().write(true).open(root.join("other"))?;
    // The size changes, so that there is something to commit.
    other.set_len(random.u64(1..1 << 20))?;
    other.sync_all()
}

/// Returns a range to write back: a whole file, or one of its blocks.
fn range(random: &mut Rng, file: &File) -> io::Result<(i64, i64)> {
    let blocks = i64::try_from(file.metadata()?.len().div_ceil(4096)).unwrap_or(1);
    Ok(if blocks < 2 || random.bool() { (0, 0) } else { (random.i64(0..blocks) * 4096, 4096) })
}

/// Unmounts a file system, also if another process of the system looks into it at the moment.
fn unmounted(at: &Path) -> Result<()> {
    for _ in 0..1000 {
        match unmount(at, UnmountFlags::empty()) {
            Err(Errno::BUSY) => thread::sleep(Duration::from_millis(1)),
            ended => return ended.with_context(|| format!("{} cannot be unmounted", at.display())),
        }
    }
    bail!("{} stays busy", at.display())
}

impl Drop for Real {
    fn drop(&mut self) {
        self.slow(false);
        for path in [&self.cut, &self.live] {
            drop(unmounted(path));
        }
    }
}
