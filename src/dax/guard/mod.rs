//! A guard that writes back the files of programs that never flush them, which bounds the loss at a reset.
//!
//! A tracer stores its events into mapped files on persistent memory and, for speed, issues no write-back. A kexec
//! keeps what is in the caches; a reset through firmware need not. No program has to be changed to mend that: a line
//! can be written back by another process, on another CPU, that has the same file mapped for reading
//! ([`DaxView`](super::DaxView), which names the manuals). A [`Guard`] maps the files below some directories, and writes
//! all their lines back again and again.
//!
//! ```
//! use cachemaint::dax::FaultHandler;
//! use cachemaint::dax::guard::Guard;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let traces = directory.path();
//! # std::fs::write(traces.join("buffer"), [1; 8192])?;
//! let installed = FaultHandler::install()?; // a file that is cut meanwhile ends nothing
//! // Without this a file that cannot be written back by lines is refused.
//! let mut guard = Guard::new(installed).allow_page_granularity();
//! guard.add(traces)?;
//! let pass = guard.pass();
//! assert_eq!((pass.files, pass.bytes), (1, 8192));
//! # Ok(())
//! # }
//! ```
//!
//! # What a pass promises
//! Bytes that were stored to a file, and visible to this CPU when the pass began, have reached the point of the medium
//! ([`Backing::point`](crate::survival::Backing::point)) when it ends, as if the program had persisted them. [`Guarantee::survives`](super::Guarantee::survives) says which
//! event they outlive. The promise is for each file that the pass has written back.
//!
//! # The bound
//! [`Statistics::longest_interval`] is the bound that was held: the longest time for which a stored byte was not written
//! back, of all files that passes have written back. The time given to [`Guard::run`] is only the goal. The bound is longer on a loaded
//! machine, for many files, and where the CPU's share or the bandwidth is too small.
//!
//! | file | its interval ends with the pass that writes it back, and begins with |
//! |---|---|
//! | known | the pass that wrote it back before |
//! | new, in a directory with notices | the pass before the one that finds it |
//! | new, elsewhere | the pass in which directories were read last |
//! | new, in a directory that could not be looked at | the last pass before that |
//! | refused, unreadable or failing at first | the same, however long ago that is |
//! | older than the guard | its first pass: what was stored earlier has no bound |
//! | found in a directory of which [names were left out](#memory), or that was left out | the same |
//! | removed, and missing when a pass looks for it | nothing of it is left to be lost |
//! | removed, and not looked for since | as a known one, and it is written back once more |
//! | renamed in the tree | as before, under its former name |
//! | moved into the tree, or linked there, and older than its name | its first pass: what was stored earlier has no bound |
//! | the same on another file system than ext4, xfs, btrfs and tmpfs, or after the clock was set | as a new one |
//! | moved out of the tree | as a known one, and it is written back once more |
//!
//! The time for which the machine is suspended counts.
//!
//! Files and directories that a pass has found and cannot write back or look at are not in the bound.
//! [`Pass::outside`] is their number, and [`Pass::problems`] the reason of each. A path that was added and is gone is one of
//! them until it is back.
//!
//! - A pass takes lines in ascending order and takes them one by one: a reset in the middle of one leaves some files,
//!   or some lines, newer than others. The same is true of lines that the CPU has written back by itself. A reader of
//!   the files must bear that, as it must after any crash.
//! - Bytes that another CPU has stored and still holds in its store buffer are for the next pass.
//! - Lines are written back also where the caches are in the persistence domain: that is about a loss of power, and a
//!   reset need not flush them.
//! - The file system's own data about a file (size, blocks and name) are synced when a file is found, and in each pass
//!   before which it has got another size or other blocks. Without that its lines would be on the medium and not in any
//!   file after a reset. So programs may store to holes, and to extents that were allocated and never written.
//! - A file that is cut can grow to its former size and blocks before the next pass, and a reset leaves the cut file. So
//!   a file on DAX is synced also after a call that modified it, such as `write` or `ftruncate`. Inotify reports these
//!   calls, but not if there are no notices of the directory, and not those by a hard link in another directory.
//!
//! # The page cache
//! If [that is allowed](Guard::allow_page_granularity), a file of the page cache is synced by `fdatasync`. That flushes
//! the device once for each file, also for one without new bytes. So more than 16 files of one file system (ext4, xfs,
//! btrfs or tmpfs, from Linux 5.8 on) are synced by one `syncfs`. It syncs all other files there as well, and takes as
//! long as the device needs for the bytes of all programs. 4,000 files of 4 KiB without new bytes took 220 ms a pass by
//! `fdatasync`, and take 7 ms. 5 ms of these are the `statx` of each file. Holes cost nothing, and no bandwidth is
//! charged. (Measured on ext4 on a virtio disk, Linux 6.18, a KVM guest with two CPUs, AMD EPYC family 25 model 17.)
//!
//! A file whose sync has failed is one of [`Pass::outside`] until it is empty or replaced, even if later syncs succeed
//! ([`Taint`](super::Taint)).
//!
//! # Clean lines
//! The guard cannot know the dirty lines, or if anything was stored at all. Each pass goes over all lines, and
//! [`Pass::lines`] is their number. A clean line takes no memory bandwidth, but the instruction. 10 MiB take 0.65 to
//! 0.8 ms, dirty or not, as the bare loop does: 7 to 8 % of a CPU every 10 ms. (Measured on an Intel Xeon reported as
//! family 6 model 167; KVM guest, Linux 6.18.)
//!
//! # Files that come and go
//! A tree is a directory with the directories below it in the same mount. A file system that is mounted below is one of
//! [`Pass::outside`] and is reported once: [add](Guard::add) it as a path of its own. The same holds for a bind mount, even
//! of the same file system. A file system that is mounted below is not asked, as it may never answer. Without
//! openat2(2) (before Linux 5.6, or if a container refuses it) it can be: a server of NFS or 9p that is gone then stops
//! the pass. Before Linux 6.18 an automount below that is not answered can stop it, too. Links are not followed.
//!
//! - The directory of a new name is synced. On ext4, xfs, btrfs and tmpfs that is one `syncfs` for all directories after the
//!   64th of a pass (from Linux 5.8 on). 53,000 new directories took 2 s in all. An `fsync` of each took 1 ms.
//!   (Measured on ext4 on a virtio disk, Linux 6.18, a KVM guest with two CPUs, AMD EPYC family 26 model 2.)
//! - New names are reported by inotify and are in the next pass. All directories are read again in that pass when a
//!   directory among them came, went or was moved, and when notices were lost. That delays all files: to read 53,000
//!   directories took 2 s (as above). So let only trusted programs create directories in a large tree. Directories are also
//!   read every 10 seconds. If that takes more than 50 ms, it is less often: no more than 1/200 of the time. Where a
//!   directory has no notices (other file systems than ext4, xfs, btrfs and tmpfs, `/proc` not mounted,
//!   `fs.inotify.max_user_watches`), directories are read as often as that share permits. The size of each file is
//!   looked at in each pass.
//! - A file that is renamed while a pass looks for it is looked for again. [`Pass::is_unsettled`] is set if names change
//!   faster than that. Where a directory has no notices, such a file can be missed by one pass without a sign of it.
//!   So can a new file whose name another file takes before the look. The next pass finds it and counts it from the pass
//!   that missed it, though its bytes are older.
//! - Each directory and file is opened by its name in the directory above, which is open, and never as a link. So a
//!   program that exchanges parts of the tree for links, also while they are looked at, leads the guard nowhere else.
//!   This holds below the path that was [added](Guard::add), whose own parents are followed. A hard link in the tree is
//!   a file of the tree.
//! - A path that was [added](Guard::add) and is then moved, removed, unmounted (seen from Linux 5.8 on) or replaced by a
//!   link is [`ErrorKind::Gone`] and one of [`Pass::outside`]. It is reported once each time, and [`Pass::gone`] counts it. The
//!   path is looked at in each pass, and is guarded again when it is back. The path of an ended mount is gone until
//!   something is mounted there again, and the files that are there meanwhile are guarded.
//! - A directory whose path has 4,096 bytes or more (`PATH_MAX`) is not read: it is one of [`Pass::outside`], with all
//!   files below it, and is reported once. No program can name a file there by a whole path. Without the limit a program
//!   could nest directories so deep that their reading delays all other files.
//! - A program that may write to a file of the tree can stop a guard of files on DAX. The kernel holds the lock of a file
//!   while `write` copies into it, and needs the lock to list the file's extents (Linux, `xfs_vn_fiemap`, `ext4_fiemap`).
//!   The bytes can be those of a mapped FUSE file whose server never answers. The pass then waits without an end, and no
//!   signal ends the wait: the thread stays in state `D`, and no pass follows. On btrfs `fdatasync` waits in the same
//!   manner. So let only trusted programs write in a tree.
//! - A file that is cut during a pass is not an error. The pass leaves it at the first MiB that has a missing page.
//! - A removed file is closed by a thread of the guard, since the last close has the file system free its blocks. The
//!   first removed file starts that thread from the thread that makes passes, with the same priority, unless the system
//!   is configured to reset it (`SCHED_RESET_ON_FORK`, sched(7)), as `cachemaint guard` does.
//! - Each file needs one descriptor. The last 32 of the process (`RLIMIT_NOFILE`), or a quarter of fewer than 128, are
//!   left for directories. Files beyond them are [`ErrorKind::TooManyFiles`] and are tried again. The library does not
//!   raise the limit of its process. `cachemaint guard` does. On DAX each file needs a mapping too (`vm.max_map_count`).
//!
//! # Memory
//! A guarded file of the page cache takes 0.45 KiB of memory, and 0.8 KiB with a name of 206 bytes (19,000 files, measured on
//! x86-64). The limit of descriptors bounds that. Other names have limits of their own, as another user can make millions of
//! them (hard links need no blocks):
//!
//! - Files and directories that cannot be guarded or looked at are kept up to 4,096, each with its reason. Those beyond are
//!   left out: [`Pass::outside`] has their number in each directory when directories were read last, and a directory is
//!   reported once with the reason of the first of them.
//! - Directories are kept up to 32 MiB, with 512 bytes and four times the path of each. Those beyond are
//!   [`NotSupported::TooManyDirectories`](super::NotSupported::TooManyDirectories) of the directory that has them, and
//!   count as one each, with all files below them. Known directories stay when others come.
//!
//! 240,000 hard links beyond a limit of 1,024 descriptors take 11 MB for all, and 0.3 s to read (measured on an AMD EPYC
//! family 26 model 2, ext4).
//!
//! # Files with holes
//! A pass over a file on DAX with holes or unwritten extents covers only the parts that were ever stored to. The first
//! store to each of the others, or to an extent that is shared with another file, makes the file system change its
//! tables. Each pass looks for that (`FIEMAP`, 2 us for a file of one extent; measured as above, on ext4) and syncs the
//! files in which
//! it has happened. A sync costs the *storing* programs a page fault for each page that they store to next. For a store
//! to a hole the file system allocates up to 2 MiB at once, where it has them (Linux, `fs/dax.c`,
//! `dax_iomap_pmd_fault`). A tracer that fills its buffers with zeros first, as LTTng-UST does, costs none; `fallocate`
//! alone leaves unwritten extents.
//!
//! A write-back of a page that the guard has not mapped yet is a page fault. After such a change, the pass maps the pages
//! of each extent by one call (`MADV_POPULATE_READ`, Linux 5.14); on older kernels each page faults once.
//!
//! | module | contents |
//! |---|---|
//! | `watched` | the files of the trees, and since when each counts |
//! | `descent` | directories and files, opened by descriptors |
//! | `notices` | names that come and go |
//! | `guarded` | one file: its mapping, its blocks, its write-back |
//! | `closing` | files that have left |
//! | `pace` | when the next pass begins, and where one pauses |
//! | `told` | the statistics of a pass, and of all passes |

mod closing;
mod descent;
mod guarded;
mod notices;
mod pace;
mod told;
mod watched;

pub use told::{Pass, Statistics};

use super::system::{Host, Mapper, file_system_at};
use super::{Error, ErrorKind, FaultHandler, Options, options};
use crate::cache::Cache;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use guarded::GuardedFile;
use pace::{BootTime, Clock, Limits, Pauses, sleep};
use rustix::io::Errno;
use std::fs;
use std::path::Path;
use watched::{Watched, Work};

/// Writes back what others have stored. See the [module](self).
#[derive(Debug)]
pub struct Guard {
    installed: FaultHandler,
    options: Options,
    limits: Limits,
    watched: Watched,
    statistics: Statistics,
    /// The beginning of the last pass, and its duration.
    last: Option<Last>,
}

/// A pass that is over.
#[derive(Clone, Copy, Debug)]
struct Last {
    began: BootTime,
    took: Duration,
    /// Time of the CPU.
    cpu: Duration,
}

impl Guard {
    /// Creates a guard without files. A file can be cut at any time, so it needs the handler that makes that
    /// harmless.
    #[must_use]
    pub fn new(installed: FaultHandler) -> Self {
        Self {
            installed,
            options: Options::new().take_unwritten(),
            limits: Limits::NONE,
            watched: Watched::default(),
            statistics: Statistics::default(),
            last: None,
        }
    }

    /// Takes files of the page cache, too, as
    /// [`Options::allow_page_granularity`](super::Options::allow_page_granularity) does.
    #[must_use]
    pub fn allow_page_granularity(self) -> Self {
        Self { options: self.options.allow_page_granularity(), ..self }
    }

    /// Writes lines back by this handle, as [`Options::cache`](super::Options::cache) says.
    #[must_use]
    pub fn cache(self, cache: Cache) -> Self {
        Self { options: self.options.cache(cache), ..self }
    }

    /// Limits the passes of [`run`](Self::run) to this share of one CPU's time: 0.05 are 5 %. It is counted from one pass
    /// to the next, and includes the time to look through directories. At first they may take a whole CPU.
    ///
    /// It holds whatever the time given to `run` asks for. If it is too small, the bound is not held, and
    /// [`Statistics::longest_interval`] shows that.
    #[must_use]
    pub fn cpu_share(self, share: f64) -> Self {
        Self { limits: self.limits.cpu_share(share), ..self }
    }

    /// Limits the lines that [`run`](Self::run) writes back to this number of bytes a second, at first 4 GiB, so that
    /// programs have some of the memory's bandwidth left if all lines are dirty. After 16 MiB a pass pauses if it is
    /// faster. Holes are not charged, nor are files that the operating system writes back by pages: it writes only dirty
    /// pages, as fast as the device takes them. It holds as [`cpu_share`](Self::cpu_share) does.
    #[must_use]
    pub fn bytes_per_second(self, rate: f64) -> Self {
        Self { limits: self.limits.bytes_per_second(rate), ..self }
    }

    /// Takes a file, or all regular files below a directory, also those that come later.
    ///
    /// The path is its caller's: its parents are followed, and no other program should be able to exchange them.
    ///
    /// # Errors
    /// [`ErrorKind::Missing`] and [`ErrorKind::NoPermission`]; [`ErrorKind::SymbolicLink`], as links are not followed;
    /// [`ErrorKind::NotRegular`], if it is neither a regular file nor a directory; [`ErrorKind::PageGranular`], if files
    /// there cannot be written back by lines; as [`Options::view`]. A file below a directory that cannot be guarded is
    /// not an error: it is one of [`Pass::problems`], and so is the path itself if it is gone later. If no file can be
    /// created in a directory to ask about, without the right or on a full file system, the directory is taken on ext4 and
    /// xfs, and on tmpfs if pages are allowed. Each of its files that cannot be written back by lines is such a problem
    /// then. Elsewhere the refusal is the error.
    pub fn add(&mut self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.add_on::<Host>(path.as_ref())
    }

    fn add_on<M: Mapper>(&mut self, path: &Path) -> Result<(), Error> {
        let kind = fs::symlink_metadata(path).map(|metadata| metadata.file_type());
        match kind {
            Ok(kind) if kind.is_symlink() => return Err(Error::new(path, ErrorKind::SymbolicLink)),
            Ok(kind) if !kind.is_file() && !kind.is_dir() => {
                return Err(Error::new(path, ErrorKind::NotRegular));
            }
            // The next call says why.
            Ok(_) | Err(_) => {}
        }
        match options::probe_on::<M>(path, self.options.cache_or_host().ok()) {
            Ok(guarantee) => match self.options.refusal(&guarantee) {
                Some(kind) => return Err(Error::new(path, kind)),
                None => self.watched.add(path),
            },
            Err(error) if is_uncreated(error.kind()) && path.is_dir() => {
                self.add_unprobed(path, error)?;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Takes a directory in which no file could be created to ask about, since a guard creates none: each file is asked
    /// about when it is found. `refusal` is the error where none of them can be guarded.
    fn add_unprobed(&mut self, path: &Path, refusal: Error) -> Result<(), Error> {
        fs::read_dir(path).map_err(|error| Error::opening(path, &error))?;
        match file_system_at(path) {
            Some("ext4" | "xfs") => {}
            Some("tmpfs") if self.options.takes_pages() => {}
            _ => return Err(refusal),
        }
        self.watched.add(path);
        Ok(())
    }

    /// Reads all directories, writes all lines of the files back, and waits until these have reached the point of
    /// persistence.
    ///
    /// # Cost
    /// Some system calls for each directory and each new file. A write-back for each line, two system calls for each
    /// file, and one fence. `fdatasync` of each file whose blocks have changed since the last pass, or that a call has
    /// modified.
    ///
    /// # Guarantees
    /// No file ends the pass, whatever becomes of it. [`Pass::problems`] and [`Pass::outside`] name the files that were
    /// not written back.
    pub fn pass(&mut self) -> Pass {
        self.watched.look_again();
        self.pass_with(|_| ())
    }

    /// Makes passes until it is to stop, and then a last one. `each` is called with each.
    ///
    /// It aims at a write-back of all stored bytes `within` this time: the next pass begins so early that it ends by then,
    /// if it takes as long as the last one.
    ///
    /// It sleeps on this thread in between. To hold a bound the thread must be run: real-time priority and locked
    /// memory are for the caller to ask for.
    pub fn run(&mut self, within: Duration, stop: &AtomicBool, mut each: impl FnMut(&Pass)) {
        let mut pauses = Pauses::new(self.limits);
        while !stop.load(Ordering::Relaxed) {
            each(&self.pass_with(|bytes| pauses.after(bytes, stop)));
            if let Some(last) = self.last {
                let start = self.limits.next(within, last.took, last.cpu);
                sleep(start.saturating_sub(last.began.elapsed()), stop);
            }
        }
        each(&self.pass());
    }

    /// Returns the statistics of all passes so far.
    #[must_use]
    pub const fn statistics(&self) -> Statistics {
        self.statistics
    }

    /// Returns the paths of the files that are guarded now. Empty ones are not among them, though they are watched.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.watched.files().filter(|file| file.size() > 0).map(GuardedFile::path)
    }

    /// `after` is called with the bytes of each stretch of lines.
    fn pass_with(&mut self, mut after: impl FnMut(u64)) -> Pass {
        let clock = Clock::start();
        let mut pass = Pass::default();
        let Self { installed, ref options, ref mut watched, .. } = *self;
        let problems = &mut pass.problems;
        let mut work = Work { options, installed, began: clock.began(), problems };
        watched.look(&mut work);
        let caches = watched.caches();
        // The pass covers the stores of others that are visible before this.
        for cache in &caches {
            cache.order_observed();
        }
        let covered = watched.write_back(&mut work, &mut after);
        for cache in &caches {
            cache.fence();
        }
        pass.files = covered.files;
        pass.bytes = covered.written.bytes;
        pass.lines = covered.written.lines;
        pass.outside = covered.outside;
        pass.gone = watched.gone();
        pass.is_unsettled = watched.is_unsettled;
        self.note(&clock, covered.oldest, &mut pass);
        pass
    }

    /// `oldest` is the earliest moment from which on a file that was written back had not been before.
    fn note(&mut self, clock: &Clock, oldest: Option<BootTime>, pass: &mut Pass) {
        let (took, cpu) = clock.elapsed();
        pass.took = took;
        let began = clock.began();
        let before = self.last.map(|last| last.began);
        let since = [before, oldest].into_iter().flatten().min();
        pass.interval = since.map(BootTime::elapsed);
        self.statistics.add(pass, cpu);
        self.last = Some(Last { began, took, cpu });
    }
}

/// Returns true if a directory was refused since no file can be created there: for want of a right or of space.
fn is_uncreated(why: &ErrorKind) -> bool {
    let has_no_space =
        |errno: i32| [Errno::NOSPC, Errno::DQUOT].map(Errno::raw_os_error).contains(&errno);
    match why {
        ErrorKind::NoPermission | ErrorKind::ReadOnlyFileSystem => true,
        ErrorKind::Os { errno, .. } => has_no_space(*errno),
        _ => false,
    }
}

#[cfg(all(
    test,
    any(
        target_arch = "x86",
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64",
        all(target_arch = "powerpc64", target_endian = "little"),
    ),
    not(miri)
))]
mod tests;
