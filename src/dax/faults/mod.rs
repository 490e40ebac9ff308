//! Accesses to a mapping that give an error where they would end the process: an opt-in guard against
//! SIGBUS, on Linux.
//!
//! A page with a media error, a page that the file has lost because it shrank, and a hole without space for it raise
//! SIGBUS at the access. [`FaultHandler::install`] installs a handler for the signal. [`DaxFile::catch_faults`] selects
//! the guarded accesses: those of this thread to this file. The handler maps a page of zeros in place of the page that
//! cannot be accessed, so the access succeeds. At the end the call returns the error instead of a result that may
//! depend on these zeros. Then the page is the file's again, so later accesses fail again.
//!
//! No jump is made out of the handler, so nothing on the stack is left behind. The handler knows only `slots`.
//!
//! | module | contents |
//! |---|---|
//! | `slots` | the thread and the addresses of each guarded call, and the faults that it met |
//! | `handler` | the handler, and the one that was there before |

#[expect(unsafe_code, reason = "handles a signal, and calls the handler that was there before")]
mod handler;
mod slots;

use super::system::{extents, files};
use super::taint::{Taint, unless_crashing};
use super::{DaxFile, DaxView, Error, ErrorKind};
use crate::process::Process;
use crate::signals;
use core::ops::Range;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::{Acquire, Release};
use rustix::fs::SeekFrom;
use slots::{Faulted, Slot, Watched};
use std::fs::File;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The process has a handler of SIGBUS that serves [`DaxFile::catch_faults`].
///
/// ```
/// use cachemaint::dax::{ErrorKind, FaultHandler, Options};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("records");
/// let guard = FaultHandler::install()?; // once, where the program decides about signals
/// let file = Options::new().allow_page_granularity().create_new(&path, 1 << 20)?;
///
/// # file.file().set_len(4096)?;
/// // Somebody has cut the file: this would have ended the process.
/// let sum = file.catch_faults(guard, |file| file.load(8192, std::sync::atomic::Ordering::Relaxed));
/// assert!(matches!(sum.unwrap_err().kind(), ErrorKind::Shorter { .. }));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FaultHandler(());

impl FaultHandler {
    /// Installs a handler of SIGBUS for the whole process, once; nothing else of this crate installs one.
    /// It stays for the life of the process.
    ///
    /// A fault that it is not asked to catch is passed on as if this handler did not exist. The handler that was
    /// installed before gets it, with the kernel's description if it takes one. Without such a handler the kernel gets
    /// it, which ends the process. The standard library's handler, for example, still distinguishes an overflow of the
    /// stack from other faults. The handler runs on the thread's alternate stack, if it has one.
    ///
    /// A memory error that nothing has accessed yet (`BUS_MCEERR_AO`) goes to the former handler. Without such a
    /// handler it is ignored: a guarded access to these bytes is an error. A forked child has none of the guarded calls
    /// of its parent's other threads; a child of `clone(2)` without the C library's `fork` keeps their slots. Install before
    /// other threads fork: a child that was forked during the first call waits in its own call for ever.
    ///
    /// A program that installs another handler afterwards must call this one for faults that are not its own, or
    /// `catch_faults` is without effect. A thread that blocks SIGBUS cannot be guarded: the kernel ends the process
    /// then.
    ///
    /// # Errors
    /// Those of `sigaction(2)`; [`io::ErrorKind::Unsupported`] on architectures on which it was not tried, which
    /// are all but x86, Arm, 64-bit RISC-V and little-endian POWER.
    pub fn install() -> io::Result<Self> {
        handler::install()?;
        Ok(Self(()))
    }
}

/// Accesses that a guard can make an error of.
impl DaxFile {
    /// Runs `work`, and makes an error of a load or store of this thread to this file's mapping that would
    /// have ended the process by SIGBUS, as [`DaxView::catch_faults`] does.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cost
    /// As there.
    #[doc(alias("SIGBUS", "poison", "machine check"))]
    pub fn catch_faults<R>(
        &self,
        installed: FaultHandler,
        work: impl FnOnce(&Self) -> R,
    ) -> Result<R, Error> {
        self.view.catch_faults(installed, |_| work(self))
    }
}

/// Accesses that a guard can make an error of.
impl DaxView {
    /// Runs `work`, and makes an error of a load or store of this thread to this file's mapping that would
    /// have ended the process by SIGBUS. The file is handed to `work` for its use; accesses by addresses of
    /// [`as_ptr`](Self::as_ptr) are guarded too.
    ///
    /// At such an access a page of zeros replaces the page of the file, and the access succeeds. So `work` runs to its
    /// end and may see zeros that the file does not have. It should do nothing with them that its caller cannot undo,
    /// and end whatever it reads. Its result is dropped then. When this returns, or `work` panics, the page is the
    /// file's again, and the next access fails again.
    ///
    /// A process can have a limited number of mappings (`vm.max_map_count`), and a file that was cut can have lost
    /// more pages than that. So from the 17th fault of a call each fault replaces twice as many pages as the one
    /// before, from its own page on. If the process can have no further mapping, zeros replace the whole mapping.
    /// A memory error replaces no more than the kernel reports as bad.
    ///
    /// Meanwhile *other threads* of this process see the zeros too, and what any thread stores there is
    /// lost. Those that are in a guarded call for this file at the time get the error as well, whatever
    /// they have accessed; those that are not see zeros without an error. [`taint`](Self::taint) says from
    /// then on that it happened. A page that was replaced is not written back by the operating system, and
    /// writing its lines back reaches nothing.
    ///
    /// Guards nest: an access belongs to the innermost guard for its file, and the guards around that one do not fail
    /// for it. Other threads are guarded by calls of their own, other files not at all.
    ///
    /// # Errors
    /// The error is that of the first access that failed; others may have followed. [`ErrorKind::Shorter`], if the file
    /// has shrunk. [`ErrorKind::NoSpace`], if the file system has no block for a hole of the file, or the file was cut
    /// and made longer again. [`ErrorKind::Os`], if a call failed that is needed to find that out: without FIEMAP the file
    /// is opened anew for it. [`ErrorKind::Poisoned`] otherwise, with the whole page, or more if the kernel says so.
    /// [`read_through_kernel`](Self::read_through_kernel) finds the bytes of it that are bad.
    ///
    /// [`ErrorKind::TooManyCatches`], if 256 calls are under way in this process; `work` was not run then.
    /// [`ErrorKind::Os`] with `mmap`, if the file's pages cannot be mapped again: the file system refuses it, or there
    /// is no memory. They stay zeros then, and the file should be closed. Each later guarded call tries again. Until
    /// that succeeds it returns the same error, and does not run `work`. Write-backs of any range fail until then, because
    /// the range can have such a page.
    ///
    /// [`NotSupported::Adopted`](super::NotSupported::Adopted) for a mapping that its owner alone may change.
    ///
    /// The process still ends by SIGBUS if there is no memory for the zeros. That needs a writable mapping and
    /// strict accounting of memory (`vm.overcommit_memory` is 2). After `mlockall(MCL_FUTURE)` it also happens at
    /// `RLIMIT_MEMLOCK`, if the mapping itself is not locked: it is one of DAX, or older than that call. On arm64 the
    /// process also ends at a memory error of which the CPU does not report the address.
    ///
    /// # Cost
    /// Without a fault one system call (`gettid`), three locks and two searches through as many slots of a table as were
    /// ever used at a time. Each page that fails costs a signal and a mapping.
    #[doc(alias("SIGBUS", "poison", "machine check"))]
    pub fn catch_faults<R>(
        &self,
        _installed: FaultHandler,
        work: impl FnOnce(&Self) -> R,
    ) -> Result<R, Error> {
        let watch = Watch::new(self)?;
        let result = work(self);
        watch.end()?;
        Ok(result)
    }

    /// Runs `work` again and again in one guarded call, until it returns false or an access fails. So many small readings
    /// share the cost of one call.
    ///
    /// `work` is run again only if all accesses before have succeeded. So when a run begins, the results of the runs
    /// before it are good, even if this returns an error later. An error makes those of the last run void. In a child that
    /// was forked in the middle of a run, end the runs: a guarded call of its own would hide a fault of that run.
    ///
    /// ```
    /// use cachemaint::dax::{ErrorKind, FaultHandler, Options};
    /// use std::sync::atomic::Ordering::Relaxed;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("words");
    /// let file = Options::new().allow_page_granularity().create_new(&path, 1 << 20)?;
    /// # file.file().set_len(512 << 10)?;
    /// let (mut good, mut read) = (0, Vec::new());
    /// let ended = file.view().catch_faults_while(FaultHandler::install()?, |view| {
    ///     good = read.len();
    ///     read.push(view.load(good as u64 * 8, Relaxed));
    ///     read.len() < 1 << 17
    /// });
    /// // Somebody has cut the file to half its length.
    /// assert!(matches!(ended.unwrap_err().kind(), ErrorKind::Shorter { .. }));
    /// read.truncate(good);
    /// assert_eq!(read.len(), 1 << 16);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`catch_faults`](Self::catch_faults).
    ///
    /// # Cost
    /// That of one guarded call. For each run a fence, and three loads for each slot: as many slots as were ever used at a
    /// time.
    pub fn catch_faults_while(
        &self,
        _installed: FaultHandler,
        mut work: impl FnMut(&Self) -> bool,
    ) -> Result<(), Error> {
        let watch = Watch::new(self)?;
        while work(self) && watch.seen().is_none() {}
        watch.end()
    }

    /// Fails if a guarded access has lost stores, one under way or one whose zeros are left: a caller that relies on what it
    /// has written would then build on nothing. Costs one load in a process that has not used a guard yet.
    ///
    /// # Errors
    /// That of the guarded access.
    #[inline]
    pub(super) fn check_stores(&self) -> Result<(), Error> {
        if Slot::are_unused() { Ok(()) } else { self.check_guarded_stores() }
    }

    #[cold]
    fn check_guarded_stores(&self) -> Result<(), Error> {
        // In this order: a guard that ends leaves its zeros to the mapping before it gives its slot back.
        if let Some(faulted) = Slot::faulted_in(self.mapping.base().as_ptr().addr()) {
            return unless_crashing(|| self.fault(&faulted));
        }
        match self.mapping.zeros_left() {
            Some(errno) => unless_crashing(|| {
                let kind = ErrorKind::Os { call: "mmap after a guarded access", errno };
                Error::new(&self.path, kind)
            }),
            None => Ok(()),
        }
    }

    /// Returns true if [`check_stores`](Self::check_stores) may have ignored zeros on this thread. They can be gone again, so
    /// that only the use of guards is known.
    #[cfg(feature = "recorder")]
    pub(super) fn may_ignore_zeros() -> bool {
        !Slot::are_unused() && signals::is_crashing()
    }

    /// Returns the reason why an access failed.
    #[cold]
    fn fault(&self, faulted: &Faulted) -> Error {
        let len = self.mapping.len();
        let (start, end) = (faulted.first.start.min(len), faulted.first.end.min(len));
        let (at, len) = (start as u64, (end - start) as u64);
        self.taint.by(Taint::Fault { at, len });
        let kind = match self.lost(faulted) {
            Ok(Some(kind)) => kind,
            Err(unanswered) if !faulted.is_memory_error => unanswered,
            _ => ErrorKind::Poisoned { at, len },
        };
        Error::new(&self.path, kind)
    }

    /// Returns the reason other than its medium for which the page of a fault can be missing.
    ///
    /// # Errors
    /// The call that failed, so that the reason is not known.
    fn lost(&self, faulted: &Faulted) -> Result<Option<ErrorKind>, ErrorKind> {
        let place = self.offset.saturating_add(faulted.first.start as u64);
        let metadata = self.file.metadata().map_err(|error| ErrorKind::Os {
            call: files::METADATA,
            errno: files::number(&error),
        })?;
        // A device has neither a length nor holes.
        if !metadata.is_file() {
            return Ok(None);
        }
        let size = metadata.len();
        if size <= place {
            let needed = self.offset.saturating_add(self.mapping.len() as u64);
            return Ok(Some(ErrorKind::Shorter { size, needed }));
        }
        if faulted.is_memory_error {
            return Ok(None);
        }
        // A store to a hole needs a block. With blocks smaller than a page, a part of the page can be a hole.
        let page = files::page_size() as u64;
        let range = place..place.saturating_add(page).min(size);
        let has_hole = extents::has_hole(self.file(), &range).or_else(|_| self.seeks_hole(&range));
        match has_hole {
            Ok(false) => Ok(None),
            Err(unanswered) if !self.is_file_system_full() => Err(unanswered),
            _ => Ok(Some(ErrorKind::NoSpace { len: page })),
        }
    }

    /// Returns true if a range has a hole, on a file system without FIEMAP (tmpfs).
    fn seeks_hole(&self, range: &Range<u64>) -> Result<bool, ErrorKind> {
        // The end of the file is taken for a hole, and is not.
        Ok(self.met.hole_from(range.start, self.file())? < range.end)
    }

    /// Returns true if the file system has no free block. One without a limit reports no blocks at all.
    fn is_file_system_full(&self) -> bool {
        rustix::fs::fstatvfs(self.file()).is_ok_and(|fs| fs.f_blocks > 0 && fs.f_bfree == 0)
    }

    /// Makes pages the file's again.
    fn map_again(&self, range: Range<usize>) -> Result<(), Error> {
        let mapped = self.mapping.map_again(range, &self.file);
        mapped.map_err(|error| Error::os(&self.path, "mmap", &error))
    }
}

/// The faults that guards of a file have met and that are over.
#[derive(Debug, Default)]
pub(super) struct Met {
    count: AtomicUsize,
    faults: Mutex<Faults>,
}

#[derive(Debug, Default)]
struct Faults {
    last: Option<Faulted>,
    /// The file, opened anew to look for holes. The position of an open file is that of all its duplicates, whose next
    /// write would go to the hole. It stays open until the view is closed: the process loses its fcntl locks of a file
    /// with each of its descriptors that is closed (`fcntl_locking(2)`).
    anew: Option<File>,
}

impl Met {
    fn counted(&self) -> usize {
        self.count.load(Acquire)
    }

    fn count(&self, faulted: Faulted) {
        let mut faults = self.lock();
        faults.last = Some(faulted);
        self.count.fetch_add(1, Release);
    }

    /// Returns the last fault, if there are more than `known`.
    fn since(&self, known: usize) -> Option<Faulted> {
        if self.counted() == known { None } else { self.lock().last.clone() }
    }

    /// Returns the position of the first hole of a file from `at` on.
    fn hole_from(&self, at: u64, file: &File) -> Result<u64, ErrorKind> {
        let mut faults = self.lock();
        let anew = match &mut faults.anew {
            Some(anew) => anew,
            missing => {
                let opened = File::open(files::path_of(file)).map_err(|error| ErrorKind::Os {
                    call: "open",
                    errno: files::number(&error),
                })?;
                missing.insert(opened)
            }
        };
        rustix::fs::seek(anew, SeekFrom::Hole(at))
            .map_err(|errno| ErrorKind::Os { call: "lseek", errno: errno.raw_os_error() })
    }

    fn lock(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Accesses of this thread to a file that are guarded.
struct Watch<'a> {
    file: &'a DaxView,
    slot: &'static Slot,
    /// A forked child has neither the mapping nor the slot.
    owner: Process,
    /// The claim of the slot. What happened is this guard's while there is no later one.
    claim: usize,
}

impl<'a> Watch<'a> {
    fn new(file: &'a DaxView) -> Result<Self, Error> {
        file.require_own_mapping()?;
        // The unit in which the kernel maps: on a device or on hugetlbfs more than a page.
        let page = usize::try_from(file.guarantee.alignment).unwrap_or(files::page_size());
        let base = file.mapping.base().as_ptr().expose_provenance();
        let len = file.mapping.len().next_multiple_of(page);
        let is_writable = file.mapping.is_writable();
        let watched = Watched { thread: signals::this_thread(), base, len, page, is_writable };
        let full = || Error::unsupported(&file.path, "too many guards");
        let slot = Slot::claim(watched).ok_or_else(full)?;
        slot.set_known(file.met.counted());
        let watch = Self { file, slot, owner: Process::this(), claim: slot.claims() };
        // Zeros that an earlier guard could not replace would be taken for the file's. Those of a later one are not known yet.
        file.map_again(0..0)?;
        Ok(watch)
    }

    /// Ends the guard: the error of its first fault, or of one of another guard whose zeros this one may
    /// have seen.
    fn end(self) -> Result<(), Error> {
        if !self.is_inherited()
            && let Some(error) = self.restore()
        {
            return Err(error);
        }
        self.seen().map_or(Ok(()), |faulted| Err(self.file.fault(&faulted)))
    }

    /// Returns the first fault of this guard, or one of another guard whose zeros this one may have seen.
    fn seen(&self) -> Option<Faulted> {
        let own = self.slot.faulted();
        if self.is_inherited() {
            return own.filter(|_| self.slot.claims() == self.claim);
        }
        // First those that are under way: who ends one meanwhile has counted it before.
        own.or_else(|| self.slot.faulted_beside())
            .or_else(|| self.file.met.since(self.slot.known()))
    }

    /// Returns true in a process that was forked in the middle of the guarded call.
    fn is_inherited(&self) -> bool {
        self.owner != Process::this()
    }

    /// Makes the pages that were replaced the file's again; the error of the first fault, if there was one.
    fn restore(&self) -> Option<Error> {
        let faulted = self.slot.faulted()?;
        let error = self.file.fault(&faulted);
        let restored = self.file.map_again(faulted.replaced.clone());
        self.file.met.count(faulted);
        // An outer guard would take zeros that are left for the file's bytes.
        if restored.is_ok() {
            self.slot.excuse_outer();
        }
        self.slot.forget();
        Some(restored.err().unwrap_or(error))
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        // The handler of forks has given it back, and another guard of this process may have it.
        if self.is_inherited() {
            return;
        }
        // Nothing is left to restore unless `work` panics; the panic is what the caller gets then, and the
        // file is tainted.
        drop(self.restore());
        self.slot.release();
    }
}
