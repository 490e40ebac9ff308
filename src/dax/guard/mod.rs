//! A guard that writes back what other programs have stored in files and never flush themselves, so that what a
//! reset can take from them is bounded.
//!
//! A tracer stores its events into mapped files on persistent memory and, for speed, issues no write-back. A kexec
//! keeps what is in the caches; a reset through firmware need not. No program has to be changed to mend that: a line
//! can be written back by another process, on another CPU, that has the same file mapped for reading
//! ([`DaxView`](super::DaxView), which names the manuals). A [`Guard`] maps the files below some directories, and goes over
//! all their lines again and again.
//!
//! ```
//! use cachemaint::dax::{FaultGuard, Guard};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let traces = directory.path();
//! # std::fs::write(traces.join("buffer"), [1; 8192])?;
//! let installed = FaultGuard::install()?; // a file that is cut meanwhile ends nothing
//! // Without this what cannot be written back by lines is refused.
//! let mut guard = Guard::new(installed).allow_page_granularity();
//! guard.add(traces)?;
//! let pass = guard.pass();
//! assert_eq!((pass.files, pass.bytes), (1, 8192));
//! # Ok(())
//! # }
//! ```
//!
//! # What a pass promises
//! What was stored to a file, and visible to this CPU when the pass began, has reached the point of persistence when
//! it ends, as if the program had persisted it: [`Guarantee::survives`](super::Guarantee::survives) says which event
//! that outlives. So if passes follow each other, a reset takes no more than what was stored since the last
//! complete one *began*. [`Statistics::longest_interval`] is that bound as it was held: from the beginning of a pass
//! to the end of the next one, at most.
//!
//! - A pass takes lines in ascending order and takes them one by one: a reset in the middle of one leaves some files,
//!   or some lines, newer than others. The same is true of lines that the CPU has written back by itself. What
//!   reads the files afterwards must bear that, as it must after any crash.
//! - What another CPU has stored and still holds in its store buffer is for the next pass.
//! - By lines it is written back also where the caches are in the persistence domain: that is about a loss of power,
//!   and a reset need not flush them.
//! - On the page cache, if [that is allowed](Guard::allow_page_granularity), a pass is an `fdatasync` of each file,
//!   which costs as much as the device takes.
//! - What a file system knows of a file (its size, blocks and name) is synced when a file is found, and in each pass
//!   before which it has got another size or other blocks: without that its lines would be on the medium and not in any
//!   file after a reset. So programs may store to holes, and to what was allocated and never written.
//!
//! # What it cannot know
//! Which lines were dirty, and whether anything was stored at all: each pass goes over all lines, and
//! [`Pass::lines`] says how many that were. A clean line takes no memory bandwidth, but the instruction: 10 MiB take 0.65
//! to 0.8 ms, dirty or not, as the bare loop does (measured on an Intel Xeon reported as family 6 model 167; KVM guest,
//! Linux 6.18), which is 7 to 8 % of a CPU every 10 ms.
//!
//! # Files that come and go
//! Directories are looked through before a pass, with what is below them on the same file system; links are not
//! followed. Where passes follow each other ([`Guard::run`]) that is done so seldom that it takes no more than 1/200
//! of the time: with a few dozens of files every 10 ms or so. A file that has grown is mapped anew, one that was
//! removed is let go. One that shrinks during a pass is no error: what was cut off is not written back.
//!
//! # Files with holes
//! Of a file on DAX with holes or unwritten extents only what was ever stored to is gone over. The first store to each
//! of the others, or to an extent that is shared with another file, makes the file system change its tables. Each pass
//! looks for that (`FIEMAP`, 2 us for a file of one extent; measured as above, on ext4) and syncs the files in which
//! it has happened. A sync costs the *storing* programs a page fault for each page that they store to next. A store to
//! a hole is given up to 2 MiB at once, where the file system has them (Linux, `fs/dax.c`, `dax_iomap_pmd_fault`). A
//! tracer that fills its buffers with zeros first, as LTTng-UST does, costs none; `fallocate` alone leaves unwritten
//! extents.
//!
//! | room | what it holds |
//! |---|---|
//! | `watched` | which files there are |
//! | `guarded` | one of them: its mapping, its blocks, its write-back |
//! | `pace` | when the next pass begins, and where one pauses |
//! | `told` | what a pass was, and all of them |

mod closing;
mod descent;
mod guarded;
mod notices;
mod pace;
mod told;
mod watched;

pub use guarded::Guarded;
pub use pace::Pace;
pub use told::{Pass, Statistics};

use super::{Error, ErrorKind, FaultGuard, Options, options};
use crate::cache::Cache;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use pace::{Clock, Pauses, sleep};
use std::fs;
use std::path::Path;
use std::time::Instant;
use watched::{Watched, Work};

/// Writes back what others have stored. See the [module](self).
#[derive(Debug)]
pub struct Guard {
    installed: FaultGuard,
    options: Options,
    watched: Watched,
    statistics: Statistics,
    /// When the last pass began, and what it took.
    last: Option<Last>,
}

/// A pass that is over.
#[derive(Clone, Copy, Debug)]
struct Last {
    began: Instant,
    took: Duration,
    /// Time of the CPU.
    cpu: Duration,
}

impl Guard {
    /// A guard of nothing so far. A file can be cut at any time, so it needs the handler that makes that
    /// harmless.
    #[must_use]
    pub fn new(installed: FaultGuard) -> Self {
        Self {
            installed,
            options: Options::new().take_unwritten(),
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

    /// Takes a file, or all regular files below a directory, those that come later too.
    ///
    /// # Errors
    /// If there is nothing, or nothing that this user can read; [`ErrorKind::SymbolicLink`],
    /// as links are not followed; [`ErrorKind::NotRegular`], if it is no file of bytes;
    /// [`ErrorKind::PageGranular`], if what is there cannot be written back by lines; as
    /// [`Options::view`]. Single files below a directory are no error: they are [`Pass::problems`].
    pub fn add(&mut self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        let kind = fs::symlink_metadata(path).map(|metadata| metadata.file_type());
        match kind {
            Ok(kind) if kind.is_symlink() => return Err(Error::new(path, ErrorKind::SymbolicLink)),
            Ok(kind) if !kind.is_file() && !kind.is_dir() => {
                return Err(Error::new(path, ErrorKind::NotRegular));
            }
            // The next call says why.
            Ok(_) | Err(_) => {}
        }
        let guarantee = options::probe(path)?;
        if let Some(kind) = self.options.refusal(&guarantee) {
            return Err(Error::new(path, kind));
        }
        self.watched.add(path, guarantee.file_system());
        Ok(())
    }

    /// Looks which files there are, goes over all their lines, and waits until these have reached the point of
    /// persistence.
    ///
    /// # Cost
    /// Directories are looked through, with a system call for each file; a write-back for each line, two system calls
    /// for each file, and one fence. `fdatasync` of each file that has got other blocks since the last pass.
    pub fn pass(&mut self) -> Pass {
        self.watched.look_again();
        self.pass_with(|_| ())
    }

    /// Makes passes at this pace until it is to stop, and then a last one. `each` is told of each.
    ///
    /// It sleeps on this thread in between. To hold a bound the thread must be run: real-time priority and locked
    /// memory are for the caller to ask for.
    pub fn run(&mut self, pace: Pace, stop: &AtomicBool, mut each: impl FnMut(&Pass)) {
        let mut pauses = Pauses::new(pace);
        while !stop.load(Ordering::Relaxed) {
            each(&self.pass_with(|bytes| pauses.after(bytes, stop)));
            if let Some(last) = self.last {
                let start = pace.next(last.took, last.cpu);
                sleep(start.saturating_sub(last.began.elapsed()), stop);
            }
        }
        each(&self.pass());
    }

    /// All passes so far.
    #[must_use]
    pub const fn statistics(&self) -> Statistics {
        self.statistics
    }

    /// The files that are guarded now.
    pub fn files(&self) -> impl Iterator<Item = &Guarded> {
        self.watched.files()
    }

    /// `after` is called with the bytes of each stretch of lines.
    fn pass_with(&mut self, mut after: impl FnMut(u64)) -> Pass {
        let clock = Clock::start();
        let mut pass = Pass::default();
        let Self { installed, ref options, ref mut watched, .. } = *self;
        let problems = &mut pass.problems;
        let mut work = Work { options, installed, began: clock.began(), problems };
        watched.look(&mut work);
        let cache = watched.files().find_map(Guarded::cache);
        // What others are seen to have stored before this is what the pass is about.
        if let Some(cache) = cache {
            cache.order_observed();
        }
        let covered = watched.write_back(&mut work, &mut after);
        if let Some(cache) = cache {
            cache.fence();
        }
        pass.files = covered.files;
        pass.bytes = covered.written.bytes;
        pass.lines = covered.written.lines;
        pass.outside = covered.outside;
        self.note(&clock, covered.oldest, &mut pass);
        pass
    }

    /// `oldest` is the earliest moment from which on a file that was written back had not been before.
    fn note(&mut self, clock: &Clock, oldest: Option<Instant>, pass: &mut Pass) {
        let (took, cpu) = clock.elapsed();
        pass.took = took;
        let began = clock.began();
        let before = self.last.map(|last| last.began);
        let since = [before, oldest].into_iter().flatten().min();
        self.statistics.add(pass, cpu, since.map(|since| began + took - since));
        self.last = Some(Last { began, took, cpu });
    }
}

#[cfg(test)]
#[cfg(not(miri))]
#[expect(clippy::unwrap_used, reason = "a file that cannot be made is a finding")]
mod tests {
    use super::{FaultGuard, Guard};
    use core::time::Duration;
    use std::fs;
    use std::time::Instant;

    /// Passes follow each other, and directories are not read: the interval of the last two says nothing of the file.
    #[test]
    fn the_interval_of_a_file_that_is_found_late_begins_before_it_came() {
        let directory = tempfile::tempdir().unwrap();
        let mut guard = Guard::new(FaultGuard::install().unwrap()).allow_page_granularity();
        guard.add(directory.path()).unwrap();
        guard.pass();
        guard.watched.deafen();
        fs::write(directory.path().join("new"), [1; 100]).unwrap();
        let came = Instant::now();
        while came.elapsed() < Duration::from_millis(50) {
            assert_eq!(guard.pass_with(|_| ()).files, 0, "nothing tells of it");
        }
        let longest = guard.statistics().longest_interval;
        let unknown = came.elapsed();
        assert_eq!(guard.pass().files, 1);
        assert!(guard.statistics().longest_interval >= unknown, "{longest:?} of {unknown:?}");
    }

    /// A bound without it would be believed to be its own.
    #[test]
    fn a_file_that_cannot_be_guarded_is_outside_of_each_pass() {
        let directory = tempfile::tempdir().unwrap();
        let mut guard = Guard::new(FaultGuard::install().unwrap()).allow_page_granularity();
        guard.add(directory.path()).unwrap();
        fs::write(directory.path().join("file"), [1; 100]).unwrap();
        guard.pass();
        guard.options = super::Options::new();
        fs::write(directory.path().join("refused"), [1; 100]).unwrap();
        if guard.pass().files == 2 {
            let name = "a_file_that_cannot_be_guarded_is_outside_of_each_pass";
            return crate::skip::skip(name, "files are on DAX here");
        }
        let pass = guard.pass();
        assert_eq!((pass.files, pass.outside, pass.problems.len()), (1, 1, 0), "told before");
        assert_eq!((guard.statistics().outside, guard.statistics().problems), (1, 1));
    }
}
