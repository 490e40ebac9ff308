//! The write-backs of a mapping, and their failures.

use super::DaxView;
use crate::cache::Cache;
use crate::dax::mapping::Unflushed;
use crate::dax::system::files;
use crate::dax::taint::{Taint, unless_crashing};
use crate::dax::{Batch, Error, ErrorKind, Writeback};
use core::ops::Range;
use std::io;

impl DaxView {
    /// Issues the write-back of a range, of everything that this thread has stored to it, and of what others have
    /// stored that this thread had observed before it called [`order_observed`](Self::order_observed).
    ///
    /// By lines this costs an instruction each. By pages it is a call of the operating system, complete when it
    /// returns. Of a [`DaxFile`](crate::dax::DaxFile) the call is an `msync` of the pages that the range touches, or the
    /// system's calls for it; of a view it is an `fdatasync` of the whole file.
    ///
    /// [`durability`](crate::durability) compares this call with the others.
    ///
    /// # Errors
    /// [`ErrorKind::Writeback`], if the operating system reports that the range could not be written. If it has
    /// reported a failure since the file was opened, the first one is returned, since it can be about these bytes.
    /// [`NotSupported::ViewNotPersisted`], of a view by pages on other systems than Linux. By pages
    /// [`NotSupported::ForkedChild`] in a child of the process that opened the file, and [`ErrorKind::Shorter`] if the file was
    /// cut in the range, also within a page. While a guarded access
    /// (`catch_faults`) to this file has replaced pages by zeros, its error: a store may have gone to the zeros. After it,
    /// [`ErrorKind::Os`] with `mmap after a guarded access`, if the file could not be mapped again.
    ///
    /// In the handler of a recorder's `stop_on_signals` a failed write-back returns `Ok(())`, since an error allocates. The
    /// failure stays, and the next call outside the handler returns it.
    ///
    /// # Panics
    /// If the range is out of range, or ends before it starts.
    ///
    /// # Cost
    /// By lines an instruction each, without a lock. By pages the system's call, and `fstat`. Threads make the calls of this
    /// view in rounds, since the kernel reports a failure to one of them alone: a call joins those that are under way until
    /// one of them has ended, or else waits for the next round, and returns when all calls of its round have ended. So a long
    /// call holds up the others. 16 threads made 2,100 to 4,300 write-backs a second, and 16 bare `msync` at a time 2,600 to
    /// 4,600. (Measured on ext4 on a virtio disk, a KVM guest with two CPUs, AMD EPYC family 26, beside builds.) They share
    /// few flushes of the drive: on ext4 on a loop device, 16 threads made 1.6 write-backs for each, and 64 threads 2.5. At
    /// most 64 write-backs are under way at a time, and further ones wait. On Linux there are no rounds on tmpfs and ramfs.
    #[inline]
    #[track_caller]
    pub fn issue_writeback(&self, range: Range<u64>) -> Result<(), Error> {
        match self.writeback {
            Writeback::Lines(cache) => self.writeback_lines(&range, cache),
            Writeback::Fence(_) => {
                self.mapping.checked_range(&range);
            }
            Writeback::Pages => return self.writeback_pages(&range),
        }
        self.check_stores()
    }

    /// Completes the write-backs that this thread has issued for this file, and not those for another file.
    #[inline]
    pub fn fence(&self) {
        match self.writeback {
            Writeback::Fence(cache) | Writeback::Lines(cache) => cache.fence(),
            Writeback::Pages => {}
        }
    }

    /// Orders what this thread has observed of others' stores before the write-backs that it issues next: see
    /// [`Cache::order_observed`](crate::Cache::order_observed). By pages the operating system does it.
    #[inline]
    pub fn order_observed(&self) {
        match self.writeback {
            Writeback::Fence(cache) | Writeback::Lines(cache) => cache.order_observed(),
            Writeback::Pages => {}
        }
    }

    /// Makes a range persistent: write-back and fence.
    ///
    /// [`durability`](crate::durability) compares this call with the others.
    ///
    /// # Errors
    /// As [`issue_writeback`](Self::issue_writeback).
    ///
    /// # Panics
    /// If the range is out of range, or ends before it starts.
    ///
    /// # Cost
    /// As [`issue_writeback`](Self::issue_writeback), and a fence.
    #[inline]
    #[track_caller]
    pub fn persist(&self, range: Range<u64>) -> Result<(), Error> {
        match self.writeback {
            Writeback::Lines(cache) => self.persist_lines(&range, cache),
            Writeback::Fence(cache) => {
                self.mapping.checked_range(&range);
                cache.fence();
            }
            Writeback::Pages => return self.writeback_pages(&range),
        }
        self.check_stores()
    }

    /// Writes several ranges back and completes them with one fence, when `work` returns or unwinds.
    ///
    /// ```
    /// # use cachemaint::dax::Options;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("records");
    /// let file = Options::new().allow_page_granularity().create_new(&path, 1 << 16)?;
    /// file.write(0, &[1; 64]);
    /// file.write(8192, &[2; 64]);
    /// file.view().batch(|batch| {
    ///     batch.writeback(0..64);
    ///     batch.writeback(8192..8256);
    /// })?; // one fence; both are persistent
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// [`durability`](crate::durability) compares this call with the others.
    ///
    /// # Errors
    /// [`ErrorKind::Writeback`], the first one, if the operating system could not write a range; the others
    /// were tried all the same. And as [`issue_writeback`](Self::issue_writeback).
    pub fn batch<R>(&self, work: impl FnOnce(&Batch<'_>) -> R) -> Result<R, Error> {
        let batch = Batch::new(self);
        let result = work(&batch);
        batch.complete()?;
        Ok(result)
    }

    #[track_caller]
    fn writeback_pages(&self, range: &Range<u64>) -> Result<(), Error> {
        if self.refuses_pages {
            return Err(Error::unsupported(
                &self.path,
                "is open for reading only, and this system is not known to write back bytes that others have stored; open \
                 it for reading and writing",
            ));
        }
        self.by_system(range, || self.mapping.writeback_pages(range).map_err(Unflushed::Call))?;
        self.check_stores()?;
        self.check_length(range)
    }

    /// Fails if the file ends before a range that was written back. A store behind the end, in the page that has it, raises
    /// no signal, and no call reports it: the system clears these bytes instead of writing them.
    pub(in super::super) fn check_length(&self, range: &Range<u64>) -> Result<(), Error> {
        let needed = self.offset.saturating_add(range.end);
        match self.file.metadata() {
            Ok(found) if found.is_file() && found.len() < needed && !range.is_empty() => {
                let size = found.len();
                unless_crashing(|| Error::new(&self.path, ErrorKind::Shorter { size, needed }))
            }
            // It stays open, and a device has no length.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Makes a call that writes a range back by the operating system. A failure of an earlier call, or of one beside it,
    /// is a failure of this one too: bytes of this range may be lost by it, and no call finds that out again.
    ///
    /// In the handler of a signal that may end the process, a failure is recorded and not returned.
    ///
    /// # Panics
    /// If the range is out of range.
    #[track_caller]
    pub(in super::super) fn by_system(
        &self,
        range: &Range<u64>,
        call: impl FnOnce() -> Result<(), Unflushed>,
    ) -> Result<(), Error> {
        // A panic in the closure would name it, and not the caller.
        self.mapping.checked_range(range);
        // On Linux the write-back of the pages without access that are there would succeed.
        self.file.require_this_process(&self.path)?;
        let call = || call().inspect_err(|why| self.note_unflushed(range, why));
        match self.taint.call(call) {
            Ok(Some(Taint::Writeback { at, len, errno })) if !range.is_empty() => {
                unless_crashing(|| Error::new(&self.path, ErrorKind::Writeback { at, len, errno }))
            }
            Ok(_) => Ok(()),
            Err(why) => unless_crashing(|| self.unflushed(range, why)),
        }
    }

    /// Returns false if a write-back of this thread that succeeds may have ignored an error. In some signal handlers one by
    /// pages does not wait for the calls that are under way, or does not return its failure. Any one ignores the zeros of a
    /// guarded access there.
    #[cfg(feature = "recorder")]
    pub(crate) fn is_success_certain(&self) -> bool {
        match self.writeback {
            Writeback::Pages => self.taint.calls_wait(),
            Writeback::Fence(_) | Writeback::Lines(_) => !Self::may_ignore_zeros(),
        }
    }

    /// Makes a call that writes back and fails, after this work.
    #[cfg(all(test, feature = "recorder", target_os = "linux", not(miri)))]
    pub(crate) fn call_that_fails(&self, work: impl FnOnce()) {
        let failed = self.taint.call(|| {
            work();
            self.taint_all(5);
            Err(())
        });
        debug_assert!(failed.is_err());
    }

    #[cfg(not(target_os = "linux"))]
    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "there is no guard here")]
    pub(in super::super) fn check_stores(&self) -> Result<(), Error> {
        Ok(())
    }

    #[cfg(all(feature = "recorder", not(target_os = "linux")))]
    const fn may_ignore_zeros() -> bool {
        false
    }

    /// Notes that stored bytes may be lost by a call that failed, whatever succeeds later.
    #[cold]
    fn note_unflushed(&self, range: &Range<u64>, why: &Unflushed) {
        if let Unflushed::Call(error) = why {
            let (at, len, errno) = (range.start, range.end - range.start, files::number(error));
            debug_assert!(
                self.taint.is_in_call(),
                "a call beside it would not wait for its failure"
            );
            self.taint.by(Taint::Writeback { at, len, errno });
        }
    }

    /// Returns the error of a call that failed.
    #[cold]
    fn unflushed(&self, range: &Range<u64>, why: Unflushed) -> Error {
        match why {
            Unflushed::Call(error) => Error::writeback(&self.path, range, &error),
            Unflushed::Attribute { path, answer, errno } => {
                let text = alloc::format!(
                    "was persisted, but the medium's own buffers were not flushed: {path}: {answer}; flush them as root, or \
                     rely on the stored energy of the persistence domain"
                );
                let error = Error::because(&self.path, ErrorKind::NotFlushed, text);
                match errno {
                    Some(errno) => error.numbered(errno),
                    None => error,
                }
            }
        }
    }

    /// Syncs the file. A failure can be about any stored byte, and the kernel reports it once.
    pub(in super::super) fn sync_file(&self) -> io::Result<()> {
        let sync =
            || self.file.sync_all().inspect_err(|error| self.taint_all(files::number(error)));
        self.taint.call(sync).map(drop)
    }

    /// Notes a failed sync of the file.
    pub(in super::super) fn taint_all(&self, errno: i32) {
        self.taint.by(Taint::Writeback { at: 0, len: self.len(), errno });
    }

    /// Writes the lines of a range back and completes the write-backs of this thread, with one choice of the
    /// instruction. An empty range executes the fence too, which completes the earlier ones.
    #[inline]
    #[track_caller]
    #[expect(unsafe_code, reason = "hands a range of the mapping to the cache's operations")]
    fn persist_lines(&self, range: &Range<u64>, cache: Cache) {
        let range = self.mapping.checked_range(range);
        if range.is_empty() {
            return cache.fence();
        }
        let start = self.mapping.base().as_ptr().wrapping_add(range.start);
        // SAFETY: (1) the range is in the mapping, which can be read.
        unsafe { cache.writeback_range(start, range.len()) };
    }

    #[inline]
    #[track_caller]
    #[expect(unsafe_code, reason = "hands a range of the mapping to the cache's operations")]
    pub(in super::super) fn writeback_lines(&self, range: &Range<u64>, cache: Cache) {
        let range = self.mapping.checked_range(range);
        let start = self.mapping.base().as_ptr().wrapping_add(range.start);
        // SAFETY: (1) the range is in the mapping, which can be read; (2) that nothing may rely on it
        // before the fence is the rule of `Medium`, and of `issue_writeback`.
        unsafe { cache.writeback_range_unfenced(start, range.len()) };
    }
}

#[cfg(test)]
#[cfg(all(target_os = "linux", not(miri)))]
mod tests {
    use super::{Writeback, files};
    use crate::cache::Cache;
    use crate::dax::{DaxFile, Error, ErrorKind, FaultHandler, Options};
    #[cfg(feature = "recorder")]
    use crate::{medium::Granularity, recorder, signals::crashing};
    use core::sync::atomic::Ordering::Relaxed;
    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
    use std::fs::File;

    fn file_that_takes_seals(len: u64) -> DaxFile {
        let memfd = File::from(memfd_create(c"file", MemfdFlags::ALLOW_SEALING).unwrap());
        memfd.set_len(len).unwrap();
        Options::new().allow_page_granularity().open_file(memfd).unwrap()
    }

    /// No signal is raised in the page that has the new end, and the kernel clears the bytes behind it.
    #[test]
    fn a_write_back_by_pages_behind_the_end_of_a_cut_file_fails() {
        let page = files::page_size() as u64;
        let mut file = file_that_takes_seals(2 * page);
        file.view.writeback = Writeback::Pages;
        file.store(page + 8, 7, Relaxed);
        file.persist(page..page + 16).unwrap();
        file.file().set_len(page + 12).unwrap();
        file.persist(page..page + 12).unwrap();
        file.persist(2 * page..2 * page).unwrap();
        file.store(page + 16, 7, Relaxed);
        let error = file.persist(page + 16..page + 24).unwrap_err();
        let expected = (page + 12, page + 24);
        let deep = file.deep_persist(page + 16..page + 24).unwrap_err();
        for error in [error, deep] {
            assert!(
                matches!(error.kind(), ErrorKind::Shorter { size, needed } if (*size, *needed) == expected),
                "{error}"
            );
        }
    }

    /// The file system refuses to map the file again, as one that was shut down does.
    fn leave_zeros_in_last_page(file: &DaxFile, installed: FaultHandler) {
        let last = file.len() - files::page_size() as u64;
        file.file().set_len(last).unwrap();
        fcntl_add_seals(file.file(), SealFlags::FUTURE_WRITE).unwrap();
        let guarded = file.catch_faults(installed, |file| file.load(last, Relaxed)).unwrap_err();
        assert!(matches!(guarded.kind(), ErrorKind::Os { call: "mmap", .. }), "{guarded}");
    }

    #[test]
    fn a_write_back_fails_while_the_zeros_of_a_guard_are_left() {
        type Call = fn(&DaxFile, u64) -> Result<(), Error>;

        let (Ok(cache), Ok(installed)) = (Cache::host(), FaultHandler::install()) else { return };
        let page = files::page_size() as u64;
        let mut file = file_that_takes_seals(2 * page);
        file.persist(0..page).unwrap();
        leave_zeros_in_last_page(&file, installed);

        file.store(page, 7, Relaxed);
        for writeback in [Writeback::Pages, Writeback::Lines(cache), Writeback::Fence(cache)] {
            file.view.writeback = writeback;
            let calls: [Call; 4] = [
                |file, at| file.persist(at..at + 8),
                |file, at| file.issue_writeback(at..at + 8),
                |file, at| file.deep_persist(at..at + 8),
                |file, at| file.persist_copy(&[(at, &[7; 8])]),
            ];
            for call in calls {
                let error = call(&file, page).unwrap_err();
                let expected = "mmap after a guarded access";
                assert!(matches!(error.kind(), ErrorKind::Os { call, .. } if *call == expected));
            }
        }
    }

    /// The handler of a signal that may end the process ignores the zeros, and the process goes on.
    #[cfg(feature = "recorder")]
    #[test]
    fn events_of_a_write_back_in_a_handler_stay_due_while_the_zeros_of_a_guard_are_left() {
        let (Ok(cache), Ok(installed)) = (Cache::host(), FaultHandler::install()) else { return };
        for (writeback, granularity) in [
            (Writeback::Lines(cache), Granularity::Line(64)),
            (Writeback::Fence(cache), Granularity::Byte),
            (Writeback::Pages, Granularity::Page(files::page_size())),
        ] {
            let mut file = file_that_takes_seals(1 << 18);
            file.view.writeback = writeback;
            file.view.guarantee.granularity = granularity;
            let recorder = recorder::Options::new().shards(1).create_new(file).unwrap();
            leave_zeros_in_last_page(recorder.medium(), installed);
            recorder.claim().unwrap().record(1, b"the valve is open").unwrap();
            crashing(|| recorder.write_back_all().unwrap());
            recorder.write_back_all().unwrap_err();
        }
    }

    /// The store went to a page of zeros, which replaced a page that the file has lost.
    #[test]
    fn a_write_back_of_a_store_that_a_guard_has_lost_fails_by_lines_too() {
        let (Ok(cache), Ok(installed)) = (Cache::host(), FaultHandler::install()) else { return };
        let directory = tempfile::tempdir().unwrap();
        let page = files::page_size() as u64;
        let options = Options::new().allow_page_granularity();
        let mut file = options.create_new(directory.path().join("file"), 2 * page).unwrap();
        file.file().set_len(page).unwrap();
        let lost = |written: Result<(), Error>| {
            matches!(written.unwrap_err().kind(), ErrorKind::Shorter { .. })
        };
        for writeback in [Writeback::Lines(cache), Writeback::Fence(cache)] {
            file.view.writeback = writeback;
            let guarded = file.catch_faults(installed, |file| {
                file.store(page, 7, Relaxed);
                assert!(lost(file.issue_writeback(page..page + 8)));
                assert!(lost(file.persist(page..page + 8)));
                assert!(lost(file.deep_persist(page..page + 8)));
            });
            assert!(lost(guarded));
        }
    }
}
