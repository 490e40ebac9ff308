//! The files that the looks of a guard have found, and its passes over them.
//!
//! # Why this file is unsafe
//! A view's own write-back leaves lines where they are if the caches are in the persistence domain (eADR). That is about a
//! loss of power, and a reset need not flush them. So the guard writes all lines of the mapping back by the view's cache.

use super::trees::{Found, Identity, Root};
use crate::failure::os;
use anyhow::{Context as _, anyhow};
use cachemaint::cache::Cache;
use cachemaint::dax::{self, DaxView, ErrorKind, Options};
use core::time::Duration;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, Metadata};
use std::mem::take;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The time from one look for files to the next.
const LOOK: Duration = Duration::from_secs(1);
/// Descriptors that are left for directories.
const SPARE: u64 = 32;
/// Pages have this length, or a multiple of it.
const PAGE: usize = 4096;

/// The files below some paths.
#[derive(Debug)]
pub(super) struct Guard {
    page_cache: bool,
    most_files: u64,
    roots: Vec<Root>,
    files: BTreeMap<Identity, Guarded>,
    /// The directories and files that the last look could not see, with the reasons.
    unseen: BTreeMap<PathBuf, String>,
    /// The reasons of the last pass, which were told.
    told: BTreeSet<String>,
    looked: Option<Instant>,
    gone: u64,
    statistics: Statistics,
}

#[derive(Debug)]
struct Guarded {
    path: PathBuf,
    held: Held,
    /// The time since which stored bytes may not have been written back: the beginning of the last pass that has written the
    /// file back, or of the last look without the file. `None` if the file is older than the guard.
    since: Option<Instant>,
    is_found: bool,
}

/// The open parts of a file.
#[derive(Debug)]
enum Held {
    /// Nothing, for this reason. The next look tries again. There is none for a file that was replaced since the look.
    Nothing(Option<String>),
    /// A file without bytes.
    Empty,
    /// A file on DAX. Its lines are written back.
    Lines(Box<Lines>),
    /// A file that is synced: of the page cache, or on DAX with holes or with extents that are unwritten or shared. For a
    /// store there the file system changes its tables.
    Synced(File),
    /// A file whose sync has failed. Later syncs succeed, and the bytes are lost all the same.
    Failed(String),
}

#[derive(Debug)]
struct Lines {
    view: DaxView,
    cache: Cache,
    /// True if the pages were accessed: until then the write-back of each is a page fault, and none in some emulators.
    is_touched: bool,
}

/// One pass over all files.
#[derive(Debug)]
pub(super) struct Pass {
    pub(super) began: Instant,
    pub(super) took: Duration,
    pub(super) cpu: Duration,
    /// The files and directories that were found but not written back or read, and that no earlier pass has reported.
    pub(super) problems: Vec<String>,
    /// The longest time for which stored bytes of a file were not written back when the pass ended. `None` if it has
    /// written none back that is not older than the guard.
    pub(super) interval: Option<Duration>,
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
    in_passes: Duration,
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
            unseen: BTreeMap::new(),
            told: BTreeSet::new(),
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
        let (began, cpu) = (Instant::now(), cpu_time());
        if must_look || self.looked.is_none_or(|looked| looked.elapsed() >= LOOK) {
            self.look(began);
        }
        let statistics = &mut self.statistics;
        let (mut oldest, mut outside) = (None::<Instant>, self.unseen.len() as u64);
        let mut reasons: BTreeSet<String> = self.unseen.values().cloned().collect();
        statistics.files = 0;
        for (identity, guarded) in &mut self.files {
            match guarded.write_back(*identity, self.page_cache) {
                Ok(None) => {}
                Ok(Some([bytes, lines])) => {
                    statistics.files += u64::from(guarded.is_found);
                    statistics.bytes += bytes;
                    statistics.lines += lines;
                    oldest = [oldest, guarded.since].into_iter().flatten().min();
                    guarded.since = Some(began);
                }
                // The path above it is counted.
                Err(_) if !guarded.is_found => {}
                Err(why) => {
                    outside += 1;
                    reasons.extend(why);
                }
            }
        }
        // Those that the last look has not found were written back once more.
        self.files.retain(|_, guarded| guarded.is_found);
        let problems: Vec<_> = reasons.difference(&self.told).cloned().collect();
        self.told = reasons;
        let interval = oldest.map(|oldest| oldest.elapsed());
        let (took, cpu) = (began.elapsed(), cpu_time().saturating_sub(cpu));
        statistics.passes += 1;
        statistics.problems += problems.len() as u64;
        statistics.outside = statistics.outside.max(outside);
        statistics.longest_interval = statistics.longest_interval.max(interval.unwrap_or_default());
        statistics.longest_pass = statistics.longest_pass.max(took);
        statistics.in_passes += took;
        statistics.cpu += cpu;
        Pass { began, took, cpu, problems, interval }
    }

    fn look(&mut self, now: Instant) {
        self.files.values_mut().for_each(|guarded| guarded.is_found = false);
        self.unseen.clear();
        self.gone = 0;
        let roots = take(&mut self.roots);
        for root in &roots {
            root.look(|found| self.meet(found, now));
        }
        self.roots = roots;
        self.looked = Some(now);
    }

    fn meet(&mut self, found: Found, now: Instant) {
        let (path, identity, size) = match found {
            Found::File { path, identity, size } => (path, identity, size),
            Found::Gone { path, why } => {
                self.gone += 1;
                return self.cannot_see(path, &why);
            }
            Found::Unseen { path, why } => return self.cannot_see(path, &why),
        };
        let is_full = self.files.len() as u64 >= self.most_files;
        if is_full && !self.files.contains_key(&identity) {
            let directory = path.parent().unwrap_or(&path).to_path_buf();
            let why = anyhow!(
                "the limit of open files allows the guard only {} files; raise it (ulimit -n, or LimitNOFILE= in a unit), or run a guard for each part of the tree",
                self.most_files
            );
            return self.cannot_see(directory, &why);
        }
        let guarded = self.files.entry(identity).or_insert_with(|| Guarded {
            path: PathBuf::new(),
            held: Held::Nothing(None),
            since: self.looked,
            is_found: true,
        });
        (guarded.path, guarded.is_found) = (path, true);
        match &guarded.held {
            _ if size == 0 => (guarded.held, guarded.since) = (Held::Empty, Some(now)),
            Held::Lines(_) | Held::Failed(_) => {}
            Held::Synced(_) if self.page_cache => {}
            Held::Nothing(_) | Held::Empty | Held::Synced(_) => {
                guarded.open(identity, self.page_cache);
            }
        }
    }

    fn cannot_see(&mut self, path: PathBuf, why: &anyhow::Error) {
        let why = match why.downcast_ref::<Errno>() {
            Some(errno) => os(&path, "stat", &(*errno).into()).to_string(),
            None => format!("{}: {why:#}", path.display()),
        };
        self.unseen.insert(path, why);
    }
}

impl Guarded {
    /// Opens the file, which makes its size, blocks and name durable.
    fn open(&mut self, identity: Identity, page_cache: bool) {
        match Held::open(&self.path, identity, page_cache) {
            // The older descriptor is kept: a failed write may be reported only to that one.
            Held::Synced(_) if matches!(self.held, Held::Synced(_)) => {}
            opened => self.held = opened,
        }
    }

    /// Writes all bytes back that are visible to this CPU, and returns the number of bytes and lines, dirty or not; `None`
    /// for a file without bytes.
    fn write_back(
        &mut self,
        identity: Identity,
        page_cache: bool,
    ) -> Result<Option<[u64; 2]>, Option<String>> {
        if let Held::Lines(lines) = &self.held
            && lines.view.metadata().is_ok_and(|found| found.len() != lines.view.len())
        {
            self.held = Held::Nothing(None);
            self.open(identity, page_cache);
        }
        let (why, failed): (_, fn(String) -> Held) = match &mut self.held {
            Held::Empty => return Ok(None),
            Held::Nothing(why) => return Err(why.clone()),
            Held::Failed(why) => return Err(Some(why.clone())),
            Held::Lines(lines) => match lines.pass_over() {
                Ok(written) => return Ok(Some(written)),
                Err(error) => (error.to_string(), |why| Held::Nothing(Some(why))),
            },
            Held::Synced(file) => match synced(file) {
                Ok(bytes) => return Ok(Some([bytes, 0])),
                Err(error) => (format!("{}: {error:#}", self.path.display()), Held::Failed),
            },
        };
        self.held = failed(why.clone());
        Err(Some(why))
    }
}

impl Held {
    fn open(path: &Path, identity: Identity, page_cache: bool) -> Self {
        let is_same = |found: &Metadata| Identity::of(found) == identity;
        let error = match Options::new().view(path) {
            Ok(view) if !view.metadata().is_ok_and(|found| is_same(&found)) => {
                return Self::Nothing(None);
            }
            Ok(view) => match view.cache() {
                Some(cache) => {
                    return Self::Lines(Box::new(Lines { view, cache, is_touched: false }));
                }
                None => return Self::Nothing(Some(format!("{}: has no lines", path.display()))),
            },
            Err(error) => error,
        };
        let is_synced = match error.kind() {
            ErrorKind::PageGranular(_) => page_cache,
            // With eADR the kernel writes no lines back there (Linux `drivers/dax/super.c`, `dax_flush`).
            ErrorKind::NotAllocated { .. } => dax::probe(path).is_ok_and(|found| !found.is_eadr()),
            // It was emptied, removed or replaced since the look.
            ErrorKind::Shorter { size: 0, .. } | ErrorKind::NotFound | ErrorKind::NotAFile => {
                return Self::Empty;
            }
            _ => false,
        };
        if !is_synced {
            return Self::Nothing(Some(super::refused(&error)));
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = open(path, flags, Mode::empty()).map(File::from);
        let is_same = |file: &File| file.metadata().is_ok_and(|found| is_same(&found));
        opened.ok().filter(is_same).map_or(Self::Nothing(None), Self::Synced)
    }
}

impl Lines {
    /// Writes all lines of the mapping back, and completes that.
    ///
    /// # Errors
    /// If the file was truncated meanwhile, or its medium has lost bytes. The view is useless then.
    fn pass_over(&mut self) -> Result<[u64; 2], dax::Error> {
        let Self { view, cache, is_touched } = self;
        let len = usize::try_from(view.len()).unwrap_or(usize::MAX);
        if !*is_touched {
            (0..view.len()).step_by(PAGE).try_for_each(|at| view.read(at, &mut [0]))?;
        }
        cache.order_observed();
        // SAFETY: (1) the range is the whole mapping, which can be read.
        unsafe { cache.writeback_range(view.as_ptr(0), len) };
        view.check()?;
        *is_touched = true;
        Ok([view.len(), view.len().div_ceil(cache.line_size() as u64)])
    }
}

/// Syncs a file. Returns the number of its bytes that have a place in the file system.
fn synced(file: &File) -> anyhow::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;

    file.sync_data().context(
        "its sync failed, so its bytes may be lost; see the kernel log (dmesg), and write them again",
    )?;
    let found = file.metadata()?;
    // The unit of stat(2), `st_blocks`.
    Ok(found.len().min(found.blocks().saturating_mul(512)))
}

/// Returns the time of the CPU that this thread has had.
fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

fn nanoseconds<S: serde::Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::{Guard, Root};
    use std::fs;
    use std::path::Path;
    use std::thread::sleep;
    use std::time::Duration;

    fn guard(path: &Path) -> Guard {
        Guard::new(vec![Root::new(path).unwrap()], true, 1024)
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
        assert_eq!(guard.statistics().files, 1);
        assert!(found.interval.unwrap() >= Duration::from_millis(50), "{found:?}");
    }

    #[test]
    fn a_tree_that_is_gone_is_one_path_outside_and_its_files_are_found_again() {
        let directory = tempfile::tempdir().unwrap();
        let [tree, moved] = ["tree", "moved"].map(|name| directory.path().join(name));
        fs::create_dir(&tree).unwrap();
        fs::write(tree.join("file"), [1; 100]).unwrap();
        let mut guard = guard(&tree);
        guard.pass(true);
        fs::rename(&tree, &moved).unwrap();
        let gone = guard.pass(true);
        assert_eq!((guard.statistics().files, gone.problems.len(), guard.gone()), (0, 1, 1));
        assert_eq!(guard.pass(true).problems.len(), 0, "it was reported");
        fs::rename(&moved, &tree).unwrap();
        guard.pass(true);
        let statistics = guard.statistics();
        assert_eq!((statistics.files, statistics.outside, guard.gone()), (1, 1, 0));
    }

    /// The pages of the page cache have lines, too. A write-back of a missing page raises a signal.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    #[test]
    fn a_file_that_is_cut_during_a_pass_is_an_error() {
        use super::Lines;
        use cachemaint::cache::Cache;
        use cachemaint::dax::{ErrorKind, FaultHandler, Options};

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("buffer");
        fs::write(&path, vec![1; 100_000]).unwrap();
        let view = Options::new().allow_page_granularity().view(&path).unwrap();
        FaultHandler::install().unwrap();
        let mut lines = Lines { view, cache: Cache::host().unwrap(), is_touched: false };
        assert_eq!(lines.pass_over().unwrap()[0], 100_000);
        fs::File::options().write(true).open(&path).unwrap().set_len(10_000).unwrap();
        let error = lines.pass_over().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Shorter { .. }), "{error}");
    }
}
