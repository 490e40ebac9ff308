//! A guard: the files that its looks have found, and its passes over them.

use super::clock::{BootTime, cpu_time};
use super::file::{FileSystem, Held, Outcome, Written};
use super::page_granular;
use super::trees::{Found, Identity, Root};
use core::time::Duration;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::fmt::Display;
use std::mem::take;
use std::path::PathBuf;

/// The time from one look for files to the next.
const LOOK: Duration = Duration::from_secs(1);
/// Descriptors that are left for directories.
const SPARE: u64 = 32;

/// The files below some paths.
#[derive(Debug)]
pub(super) struct Guard {
    page_cache: bool,
    most_files: u64,
    roots: Vec<Root>,
    files: BTreeMap<Identity, Guarded>,
    /// The file systems with files of the page cache, by device.
    file_systems: BTreeMap<u64, Synced>,
    /// Paths that the last look could not see.
    unseen: BTreeSet<PathBuf>,
    /// The beginning of the last look.
    looked: Option<BootTime>,
    gone: u64,
    statistics: Statistics,
}

#[derive(Debug)]
struct Guarded {
    path: PathBuf,
    held: Held,
    /// The time since which stored bytes may not have been written back. It is the beginning of the last pass that has
    /// written the file back, or of the last look without the file. `None` if the file is older than the guard.
    since: Option<BootTime>,
    /// True if it was reported since it was written back last.
    is_reported: bool,
    is_found: bool,
}

#[derive(Debug)]
struct Synced {
    file_system: FileSystem,
    /// As of a file.
    since: Option<BootTime>,
}

/// One pass over all files.
#[derive(Debug)]
pub(super) struct Pass {
    pub(super) began: BootTime,
    pub(super) took: Duration,
    pub(super) cpu: Duration,
    /// Files that were written back.
    pub(super) files: u64,
    pub(super) written: Written,
    /// Files and directories that were found and not written back or looked at.
    outside: u64,
    /// The reason of each, in the first pass that met it.
    pub(super) problems: Vec<String>,
    /// The longest time for which stored bytes of a file were not written back when the pass ended. `None` if it has
    /// written none back that is not older than the guard.
    pub(super) interval: Option<Duration>,
    since: Option<BootTime>,
}

/// All passes: see the table of the command's module.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Statistics {
    pub(super) passes: u64,
    pub(super) files: u64,
    pub(super) lines: u64,
    pub(super) bytes: u64,
    pub(super) problems: u64,
    pub(super) outside: u64,
    #[serde(rename = "longest_interval_ns", serialize_with = "nanoseconds")]
    pub(super) longest_interval: Duration,
    #[serde(rename = "longest_pass_ns", serialize_with = "nanoseconds")]
    pub(super) longest_pass: Duration,
    #[serde(rename = "passes_ns", serialize_with = "nanoseconds")]
    pub(super) in_passes: Duration,
    #[serde(rename = "cpu_ns", serialize_with = "nanoseconds")]
    pub(super) cpu: Duration,
}

impl Guard {
    /// Makes a guard of these roots, which has at most as many files open as this limit of the process permits.
    pub(super) fn new(roots: Vec<Root>, page_cache: bool, open_files: u64) -> Self {
        Self {
            page_cache,
            most_files: open_files.saturating_sub(SPARE),
            roots,
            files: BTreeMap::new(),
            file_systems: BTreeMap::new(),
            unseen: BTreeSet::new(),
            looked: None,
            gone: 0,
            statistics: Statistics::default(),
        }
    }

    pub(super) const fn statistics(&self) -> Statistics {
        self.statistics
    }

    /// Returns the number of paths that were not there at the last look.
    pub(super) const fn gone(&self) -> u64 {
        self.gone
    }

    /// Writes all files back. It looks for files first if a second has passed, or if it `must_look`.
    pub(super) fn pass(&mut self, must_look: bool) -> Pass {
        let cpu = cpu_time();
        let mut pass = Pass::new();
        if must_look || self.looked.is_none_or(|looked| looked.elapsed() >= LOOK) {
            self.look(&mut pass);
        }
        self.sync_file_systems(&mut pass);
        self.write_files_back(&mut pass);
        // These were written back once more.
        self.files.retain(|_, guarded| guarded.is_found);
        pass.outside += self.unseen.len() as u64;
        pass.took = pass.began.elapsed();
        pass.interval = pass.since.map(BootTime::elapsed);
        pass.cpu = cpu_time().saturating_sub(cpu);
        self.statistics.add(&pass);
        pass
    }

    fn look(&mut self, pass: &mut Pass) {
        self.files.values_mut().for_each(|guarded| guarded.is_found = false);
        let (before, roots) = (take(&mut self.unseen), take(&mut self.roots));
        self.gone = 0;
        for root in &roots {
            root.look(|found| self.meet(found, &before, pass));
        }
        self.roots = roots;
        self.looked = Some(pass.began);
    }

    fn meet(&mut self, found: Found, before: &BTreeSet<PathBuf>, pass: &mut Pass) {
        match found {
            Found::Gone { path, why } => {
                self.gone += 1;
                self.cannot_see(path, why, before, pass);
            }
            Found::Unseen { path, why } => self.cannot_see(path, why, before, pass),
            Found::File { path, identity, size, allocated } => {
                let is_full = self.files.len() as u64 >= self.most_files;
                let guarded = match self.files.entry(identity) {
                    btree_map::Entry::Occupied(known) => known.into_mut(),
                    btree_map::Entry::Vacant(_) if is_full => {
                        let directory = path.parent().unwrap_or(&path).to_path_buf();
                        let why = format!(
                            "the guard keeps no more than {} files, by its limit of open ones; raise it (ulimit -n, or \
                             LimitNOFILE= of a unit), or run a guard for each part of the tree",
                            self.most_files
                        );
                        return self.cannot_see(directory, why, before, pass);
                    }
                    btree_map::Entry::Vacant(new) => new.insert(Guarded::new(self.looked)),
                };
                (guarded.path, guarded.is_found) = (path, true);
                let bytes = allocated.min(size);
                match &mut guarded.held {
                    _ if size == 0 => guarded.empty(pass.began),
                    Held::Lines(_) | Held::Failed => {}
                    Held::Paged(known) => *known = bytes,
                    // A file with holes may have none any more.
                    Held::Nothing | Held::Empty | Held::Sparse(_) => {
                        guarded.open(identity, bytes, self.page_cache, pass);
                        self.find_file_system(identity);
                    }
                }
            }
        }
    }

    /// Opens the file system of a file of the page cache.
    fn find_file_system(&mut self, identity: Identity) {
        if let Some(guarded) = self.files.get_mut(&identity)
            && let Held::Paged(_) = guarded.held
            && let btree_map::Entry::Vacant(new) = self.file_systems.entry(identity.device)
        {
            match FileSystem::of(&guarded.path, identity) {
                Some(file_system) => {
                    new.insert(Synced { file_system, since: guarded.since });
                }
                None => guarded.held = Held::Nothing,
            }
        }
    }

    /// Notes a path that the look cannot see. The first of several looks reports it.
    fn cannot_see(
        &mut self,
        path: PathBuf,
        why: impl Display,
        before: &BTreeSet<PathBuf>,
        pass: &mut Pass,
    ) {
        if !before.contains(&path) && !self.unseen.contains(&path) {
            pass.problems.push(format!("{}: {why}", path.display()));
        }
        self.unseen.insert(path);
    }

    fn sync_file_systems(&mut self, pass: &mut Pass) {
        let paged = self.files.iter().filter(|(_, guarded)| matches!(guarded.held, Held::Paged(_)));
        let devices: BTreeSet<u64> = paged.map(|(identity, _)| identity.device).collect();
        self.file_systems.retain(|device, _| devices.contains(device));
        for synced in self.file_systems.values_mut() {
            if synced.file_system.has_failed() {
                continue;
            }
            match synced.file_system.sync() {
                Ok(()) => pass.reach_back(&mut synced.since),
                Err(error) => pass.problems.push(format!("{error:#}")),
            }
        }
    }

    fn write_files_back(&mut self, pass: &mut Pass) {
        for (&identity, guarded) in &mut self.files {
            if let Held::Paged(bytes) = guarded.held {
                let synced = self.file_systems.get(&identity.device);
                if synced.is_some_and(|synced| !synced.file_system.has_failed()) {
                    pass.add(guarded.is_found, Written { bytes, lines: 0 });
                } else {
                    pass.leave_out(guarded.is_found);
                }
                continue;
            }
            guarded.write_back(identity, self.page_cache, pass);
        }
    }
}

impl Guarded {
    fn new(since: Option<BootTime>) -> Self {
        let (path, held) = (PathBuf::new(), Held::Nothing);
        Self { path, held, since, is_reported: false, is_found: true }
    }

    /// A file without bytes has nothing to lose.
    fn empty(&mut self, now: BootTime) {
        (self.held, self.since, self.is_reported) = (Held::Empty, Some(now), false);
    }

    fn open(&mut self, identity: Identity, bytes: u64, page_cache: bool, pass: &mut Pass) {
        match Held::open(&self.path, identity, bytes, page_cache) {
            Ok(opened) => self.held.renew(opened),
            Err(error) => {
                self.held.fail();
                self.report(page_granular(&error).unwrap_or_else(|| error.to_string()), pass);
            }
        }
    }

    fn report(&mut self, why: String, pass: &mut Pass) {
        if !self.is_reported {
            pass.problems.push(why);
        }
        self.is_reported = true;
    }

    fn write_back(&mut self, identity: Identity, page_cache: bool, pass: &mut Pass) {
        let mut outcome = self.held.write_back();
        if let Ok(Outcome::Resized(size)) = outcome {
            if size == 0 {
                return self.empty(pass.began);
            }
            self.open(identity, size, page_cache, pass);
            outcome = self.held.write_back();
        }
        match outcome {
            Ok(Outcome::Written(written)) => {
                pass.add(self.is_found, written);
                pass.reach_back(&mut self.since);
                self.is_reported = false;
            }
            Ok(Outcome::Empty) => {}
            // It is tried again by the next look.
            Ok(Outcome::Resized(_)) => {
                self.held = Held::Nothing;
                pass.leave_out(self.is_found);
                let path = self.path.display();
                self.report(
                    format!("{path}: not written back, as its size changes all the time"),
                    pass,
                );
            }
            Ok(Outcome::None) => pass.leave_out(self.is_found),
            Err(error) => {
                self.held.fail();
                pass.leave_out(self.is_found);
                self.report(format!("{}: {error:#}", self.path.display()), pass);
            }
        }
    }
}

impl Pass {
    fn new() -> Self {
        Self {
            began: BootTime::now(),
            took: Duration::ZERO,
            cpu: Duration::ZERO,
            files: 0,
            written: Written::default(),
            outside: 0,
            problems: Vec::new(),
            interval: None,
            since: None,
        }
    }

    fn add(&mut self, is_found: bool, written: Written) {
        self.files += u64::from(is_found);
        self.written.bytes += written.bytes;
        self.written.lines += written.lines;
    }

    /// Counts a file that was not written back. Of one that the last look has not found, its path is counted.
    fn leave_out(&mut self, is_found: bool) {
        self.outside += u64::from(is_found);
    }

    /// Takes up the time since which stored bytes were not written back, and begins the next interval.
    fn reach_back(&mut self, since: &mut Option<BootTime>) {
        self.since = [self.since, *since].into_iter().flatten().min();
        *since = Some(self.began);
    }
}

impl Statistics {
    fn add(&mut self, pass: &Pass) {
        self.passes += 1;
        self.files = pass.files;
        self.lines += pass.written.lines;
        self.bytes += pass.written.bytes;
        self.problems += pass.problems.len() as u64;
        self.outside = self.outside.max(pass.outside);
        self.longest_interval = self.longest_interval.max(pass.interval.unwrap_or_default());
        self.longest_pass = self.longest_pass.max(pass.took);
        self.in_passes += pass.took;
        self.cpu += pass.cpu;
    }
}

fn nanoseconds<S: serde::Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::{Guard, Held, Root};
    use std::fs;
    use std::path::Path;
    use std::thread::sleep;
    use std::time::Duration;

    fn guard(path: &Path) -> Guard {
        let roots = vec![Root::new(path).unwrap()];
        Guard::new(roots, true, 1024)
    }

    #[test]
    fn a_new_file_counts_from_the_last_look_without_it() {
        let directory = tempfile::tempdir().unwrap();
        let mut guard = guard(directory.path());
        assert_eq!(guard.pass(true).interval, None);
        sleep(Duration::from_millis(50));
        assert_eq!(guard.pass(false).interval, None);
        fs::write(directory.path().join("new"), [1; 100]).unwrap();
        let found = guard.pass(true);
        assert_eq!(found.files, 1);
        assert!(found.interval.unwrap() >= Duration::from_millis(50), "{found:?}");
    }

    /// A file of which nothing is open is not counted beside the path above it that is gone.
    #[test]
    fn a_tree_that_is_gone_is_one_path_outside_and_its_files_are_found_again() {
        let directory = tempfile::tempdir().unwrap();
        let [tree, moved] = ["tree", "moved"].map(|name| directory.path().join(name));
        fs::create_dir(&tree).unwrap();
        fs::write(tree.join("file"), [1; 100]).unwrap();
        let mut guard = guard(&tree);
        guard.pass(true);
        guard.files.values_mut().for_each(|guarded| guarded.held = Held::Nothing);
        fs::rename(&tree, &moved).unwrap();
        let gone = guard.pass(true);
        assert_eq!((gone.files, gone.outside, gone.problems.len(), guard.gone()), (0, 1, 1, 1));
        assert_eq!(guard.pass(true).problems.len(), 0, "it was reported");
        fs::rename(&moved, &tree).unwrap();
        let back = guard.pass(true);
        assert_eq!((back.files, back.outside, guard.gone()), (1, 0, 0));
    }
}
