//! The states that a mounted file system leaves: of runs between whose operations somebody else commits or writes files back,
//! and of the subsets of what the disk heard since its last flush.

use alloc::collections::BTreeMap;
use core::ops::Range;
use core::time::Duration;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context as _, Result, bail};
use fastrand::Rng;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use xtask::command::Cmd;

use super::disk::{Device, Disk, Heard, Image, SECTOR, is_content};
use super::program::{Program, begin, run};
use super::tree::tree;
use super::{Case, kernel};

/// The directories in which a program runs at once, each with write-backs of its own.
const COPIES: usize = 24;

/// The cuts that are mounted of each run.
const CUTS: usize = 16;

/// The size of the files that fill a file system, the most of them, and those that give way to single blocks.
const PIECE: u64 = 1 << 20;
const MOST: usize = 1000;
const SCATTERED: usize = 32;

/// A file system with its options.
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) size: u64,
    /// The options of mkfs, and of mount(8).
    pub(super) made: &'static str,
    pub(super) mounted: &'static str,
    /// The package with mkfs.
    pub(super) package: &'static str,
    /// True if a write of several blocks gets several extents only where free space is in pieces.
    pub(super) scatters: bool,
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

/// A program that runs in all copies at once.
struct Running<'a> {
    program: &'a Program,
    step: usize,
    /// What the present operation has opened, by copy.
    opened: Vec<Option<File>>,
    /// The places at which each copy has printed its lines.
    lines: Vec<Vec<usize>>,
}

impl<'a> Running<'a> {
    fn new(program: &'a Program) -> Self {
        let opened = (0..COPIES).map(|_| None).collect();
        Self { program, step: 0, opened, lines: vec![Vec::new(); COPIES] }
    }

    fn has_ended(&self) -> bool {
        self.step == self.program.0.len()
    }

    /// Returns the folders of its copies.
    fn copies(&self, number: usize) -> impl Iterator<Item = PathBuf> + use<> {
        (0..self.opened.len()).map(move |copy| path(number, copy))
    }
}

/// Returns the folder of a copy of a program.
fn path(program: usize, copy: usize) -> PathBuf {
    Path::new(&program.to_string()).join(copy.to_string())
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
        if kind.scatters {
            scatter(&real.live).context("free space cannot be scattered")?;
        }
        Ok(real)
    }

    fn mount(&self, device: &str, at: &Path) -> Result<()> {
        let options = std::ffi::CString::new(self.kind.mounted)?;
        mount(device, at, self.kind.name, MountFlags::NOATIME, Some(&*options))
            .with_context(|| format!("{} cannot be mounted", self.kind.name))
    }

    /// Adds the states of one run of some programs. Returns the number of cuts.
    pub(super) fn run(&mut self, cases: &mut [&mut Case], random: Rng) -> Result<usize> {
        self.random = random;
        let root = self.live.join("w");
        if root.exists() {
            fs::remove_dir_all(&root)?;
        }
        let mut running: Vec<_> = cases.iter().map(|case| Running::new(&case.program)).collect();
        for (number, one) in running.iter().enumerate() {
            one.copies(number).try_for_each(|copy| begin(&root.join(copy)))?;
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
        self.record(&mut running, &root)?;
        let lines: Vec<_> = running.into_iter().map(|one| one.lines).collect();
        let heard = self.disk.state().heard.clone();
        let mut places = lines.iter().flatten().flatten().copied().collect::<Vec<_>>();
        places.sort_unstable();
        places.dedup();
        let cuts = self.cuts(&heard, &places);
        let count = cuts.len();
        for cut in cuts {
            let image = cut.image(first.clone(), &heard);
            image.save(&self.file, self.kind.size)?;
            self.mount(&self.device.0, &self.cut)?;
            for (number, case) in cases.iter_mut().enumerate() {
                for (copy, lines) in lines[number].iter().enumerate() {
                    let tree = tree(&self.cut.join("w").join(path(number, copy)));
                    let tree = tree.unwrap_or_else(|why| format!("unreadable: {why}"));
                    let printed = |place: usize| lines.iter().filter(|at| **at <= place).count();
                    for count in printed(cut.places.start)..=printed(cut.places.end) {
                        case.seen.insert((count, tree.clone()));
                    }
                }
            }
            unmounted(&self.cut)?;
        }
        Ok(count)
    }

    /// Runs the programs in all copies at once.
    fn record(&mut self, running: &mut [Running<'_>], root: &Path) -> Result<()> {
        let (is_slow, busy) = (self.random.u8(0..4) > 0, self.random.u8(0..4));
        while running.iter().any(|one| !one.has_ended()) {
            for (number, one) in running.iter_mut().enumerate() {
                if !one.has_ended() && self.random.u8(0..3) > 0 {
                    self.advance(one, &root.join(number.to_string()), is_slow)?;
                }
            }
            self.disturb(running, root, (is_slow, busy))?;
        }
        if self.random.bool() {
            commit(self.kind.name, &self.live, &mut self.random)?;
        }
        self.slow(false);
        Ok(())
    }

    /// Does the next call of a program in all copies.
    fn advance(&mut self, running: &mut Running<'_>, root: &Path, is_slow: bool) -> Result<()> {
        let (number, step) = (running.step, &running.program.0[running.step]);
        // A sync may end while writes to other files are under way; it waits for those to its own.
        let stays_slow = is_slow && (!step.waits() || self.random.bool());
        self.slow(stays_slow);
        self.disk.state().is_awaited = step.may_wait();
        for (copy, opened) in running.opened.iter_mut().enumerate() {
            self.disk.tick();
            *opened = run(&root.join(copy.to_string()), (number, step), opened.take())
                .with_context(|| format!("{}: {step}", running.program))?;
            if step.is_sync() {
                running.lines[copy].push(self.disk.now());
            }
        }
        self.disk.state().is_awaited = false;
        self.slow(is_slow);
        if running.opened.iter().all(Option::is_none) {
            running.step += 1;
        }
        Ok(())
    }

    /// Writes back and commits, as somebody else may do between two calls: some blocks are on the drive, and others on their
    /// way to it, when a commit ends.
    fn disturb(
        &mut self,
        running: &[Running<'_>],
        root: &Path,
        (is_slow, busy): (bool, u8),
    ) -> Result<()> {
        // Of some copies nothing is written back.
        let copies = running.iter().enumerate().flat_map(|(number, one)| {
            let copies = one.copies(number).zip(&one.opened).skip(COPIES / 5);
            copies.map(|(copy, opened)| (root.join(copy), opened.as_ref()))
        });
        let copies: Vec<_> = copies.collect();
        if self.random.u8(0..3) == 0 {
            self.slow(false);
            copies.iter().try_for_each(|(path, opened)| self.write_back(path, *opened, true))?;
            self.slow(is_slow);
        }
        copies.iter().try_for_each(|(path, opened)| self.write_back(path, *opened, !is_slow))?;
        if self.random.u8(0..4) < busy {
            self.disk.tick();
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

    /// Writes back some files of a copy, or a block of them. The first close of a file that was cut begins a write-back, so the
    /// file that the program has open is not opened again.
    fn write_back(&mut self, root: &Path, opened: Option<&File>, waits: bool) -> Result<()> {
        let inode = |file: &File| file.metadata().map(|found| found.ino());
        let opened_inode = opened.map(inode).transpose()?;
        for folder in [root.to_path_buf(), root.join("d")] {
            let Ok(entries) = fs::read_dir(folder) else { continue };
            let mut entries: Vec<_> = entries.collect::<io::Result<_>>()?;
            self.random.shuffle(&mut entries);
            for entry in entries {
                if !entry.file_type()?.is_file() || self.random.bool() {
                    continue;
                }
                let is_opened = Some(entry.ino()) == opened_inode;
                let own = if is_opened { None } else { Some(File::open(entry.path())?) };
                let Some(file) = own.as_ref().or(opened) else { continue };
                self.disk.tick();
                let part = range(&mut self.random, file)?;
                kernel::write_back(file, part, waits)?;
            }
        }
        Ok(())
    }

    /// Chooses cuts of what the disk heard.
    fn cuts(&mut self, heard: &[Heard], lines: &[usize]) -> Vec<Cut> {
        let mut cuts = BTreeMap::new();
        let flushes: Vec<_> =
            (0..heard.len()).filter(|at| matches!(heard[*at], Heard::Flush)).collect();
        // What a flush covers may all be there just before it.
        let mut ends: Vec<_> = flushes.iter().copied().chain([heard.len()]).collect();
        self.random.shuffle(&mut ends);
        for number in 0..CUTS * 2 {
            if cuts.len() == CUTS {
                break;
            }
            let place = match (number % 6, lines) {
                (0, _) | (1, []) => self.random.usize(..=heard.len()),
                (1, some) => some[self.random.usize(..some.len())],
                _ => ends[number % ends.len()],
            };
            let last = flushes.iter().rfind(|at| **at < place).copied();
            let next = flushes.iter().find(|at| **at >= place).copied().unwrap_or(heard.len());
            let choice = self.random.u8(0..8);
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
                    3..6 if content => some,
                    6 if content => self.random.u64(..),
                    7 => some,
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

/// Leaves free space only in pieces of a block.
fn scatter(root: &Path) -> io::Result<()> {
    let fill = |name: String, len: u64| -> io::Result<File> {
        let file = File::create(root.join(name))?;
        fallocate(&file, FallocateFlags::empty(), 0, len).map(|()| file).map_err(Into::into)
    };
    let filled =
        (0..MOST).take_while(|number| fill(format!("filler{number}"), PIECE).is_ok()).count();
    let scattered = File::create(root.join("scattered"))?;
    for number in filled.saturating_sub(SCATTERED)..=filled {
        fs::remove_file(root.join(format!("filler{number}")))?;
    }
    rustix::fs::syncfs(&scattered)?;
    let (mut end, block) = (0, 4096);
    while fallocate(&scattered, FallocateFlags::empty(), end, block).is_ok() {
        end += block;
    }
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    for place in (0..end).step_by(2 * 4096) {
        fallocate(&scattered, punch, place, block)?;
    }
    rustix::fs::syncfs(&scattered).map_err(Into::into)
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
