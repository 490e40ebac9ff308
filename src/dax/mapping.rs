//! The bytes of a mapping, accessed and persisted only here. The system's module maps and unmaps them.
//!
//! Other threads and processes may write the bytes at any time. This module therefore makes no references to them
//! except to atomic words, and accesses them only through these.
//!
//! # Why this file is unsafe
//! It dereferences addresses of the mapping, which stays in place until the value is dropped. A file that shrinks under
//! its mapping, or a page with a media error, ends the process by a signal or an exception. That is not undefined
//! behaviour, and the documentation of [`DaxFile`](super::DaxFile) says so.

#[cfg(target_os = "linux")]
use super::faults::Registered;
use super::latch::{Failure, Latch};
use super::read_order::{PIECE, ReadOrder};
use super::rounds::Rounds;
#[cfg(target_os = "linux")]
use super::system::Access;
use super::system::{Pages, host};
use super::{Error, Writeback};
use crate::cache::Cache;
use crate::medium::words::{self, AtomicU64, WORD};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ops::Range;
use core::ptr::NonNull;
use core::slice;
use core::sync::atomic::Ordering::{self, Acquire, Relaxed, SeqCst};
use core::sync::atomic::fence;
use std::path::{Path, PathBuf};

/// A shared mapping of a part of a file. It can be read; its owner knows whether it can be written.
#[derive(Debug)]
pub(super) struct Mapping {
    base: NonNull<u8>,
    len: usize,
    writeback: Writeback,
    /// Dropped before the pages are.
    #[cfg(target_os = "linux")]
    registered: Option<Registered>,
    pages: Box<dyn Pages>,
    /// The failure of the mapping. Not in the value, since the registry has its address, and since a value without cells
    /// can stay in registers across stores to the mapping.
    latch: Arc<Latch>,
    rounds: Box<Rounds<Failure>>,
    /// The order of reads, if pages are not otherwise read ahead.
    order: Option<Box<ReadOrder>>,
    /// The file's name in errors.
    path: PathBuf,
}

// SAFETY: the address is that of memory which belongs to the value, whichever thread has it.
unsafe impl Send for Mapping {}
// SAFETY: all access through a shared reference is atomic.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Returns the mapping of `len` bytes from `base`, held by `pages` and persisted by `writeback`.
    ///
    /// # Safety
    /// 1. They are mapped, at least for reading, up to the end of the last page, until `pages` is
    ///    dropped.
    /// 2. `base` is a multiple of the page size.
    /// 3. No code of this process makes a reference to them except to atomic words.
    pub(super) unsafe fn new(
        path: &Path,
        base: NonNull<u8>,
        len: usize,
        writeback: Writeback,
        pages: impl Pages + 'static,
    ) -> Self {
        Self {
            base,
            len,
            writeback,
            #[cfg(target_os = "linux")]
            registered: None,
            order: pages.must_be_asked_for().then(Box::default),
            pages: Box::new(pages),
            latch: Arc::default(),
            rounds: Box::default(),
            path: path.to_path_buf(),
        }
    }

    /// Returns the mapping of the first `len` bytes of mapped pages.
    pub(super) fn of(
        path: &Path,
        pages: host::MappedPages,
        len: usize,
        writeback: Writeback,
    ) -> Self {
        let base = pages.base();
        #[cfg(target_os = "linux")]
        let (whole, access) = (pages.whole_len(), pages.access());
        // SAFETY: (1) they are mapped by whole pages, and unmapped when `pages` is dropped; (2) mappings begin at a
        // page; (3) no other code knows of it.
        let mapping = unsafe { Self::new(path, base, len, writeback, pages) };
        #[cfg(target_os = "linux")]
        // SAFETY: (1) as above.
        let mapping = unsafe { mapping.register(whole, access == Access::ReadAndWrite) };
        mapping
    }

    /// Lets an access that raises SIGBUS fail the mapping, if a handler is installed. `len` is the length of its whole
    /// pages.
    ///
    /// # Safety
    /// 1. The pages are mapped until the value is dropped.
    #[cfg(target_os = "linux")]
    pub(super) unsafe fn register(mut self, len: usize, is_writable: bool) -> Self {
        // SAFETY: (1) the bytes are mapped as long as the pages are, all references here are to atomic words, and
        // `DaxView::as_slice` has its callers vouch for the rest; (2) the latch is shared, and lives as long as the value.
        let registered = unsafe { Registered::new(self.base, len, is_writable, &self.latch) };
        self.registered = Some(registered);
        self
    }

    /// Returns the file's name in errors.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the method to persist.
    pub(super) const fn writeback(&self) -> Writeback {
        self.writeback
    }

    /// Returns the handle that writes lines back; `None` if the operating system writes pages back.
    pub(super) const fn cache(&self) -> Option<Cache> {
        match self.writeback {
            Writeback::Fence(cache) | Writeback::Lines(cache) => Some(cache),
            Writeback::Pages | Writeback::Refused => None,
        }
    }

    /// Returns its first byte.
    pub(super) const fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Returns the range within the mapping.
    ///
    /// # Panics
    /// If it ends before it starts, or is out of range.
    #[track_caller]
    pub(super) fn checked(&self, range: &Range<u64>) -> Range<usize> {
        words::checked(range, self.len as u64)
    }

    /// Returns its length in bytes.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Returns the word at a checked offset, for any operation.
    ///
    /// # Panics
    /// If the offset is not a multiple of 8 or the word is out of range.
    ///
    /// # Safety
    /// 1. The mapping is one for writing.
    #[inline]
    #[track_caller]
    pub(super) unsafe fn word(&self, at: u64) -> &AtomicU64 {
        self.checked_word(at)
    }

    /// Loads the word at a checked offset, even from a read-only mapping. The load itself is relaxed, and fences add
    /// the ordering, since no other load is permitted on read-only memory (`core::sync::atomic`, "Atomic accesses to
    /// read-only memory").
    ///
    /// # Panics
    /// If the offset is not a multiple of 8 or the word is out of range; if `order` is not an ordering for loads.
    #[inline]
    #[track_caller]
    pub(super) fn load(&self, at: u64, order: Ordering) -> u64 {
        let word = self.checked_word(at);
        match order {
            Relaxed => word.load(Relaxed),
            Acquire => {
                let loaded = word.load(Relaxed);
                fence(Acquire);
                loaded
            }
            SeqCst => {
                fence(SeqCst);
                let loaded = word.load(Relaxed);
                fence(Acquire);
                loaded
            }
            _ => no_order_of_a_load(order),
        }
    }

    /// Copies bytes out of the mapping.
    ///
    /// # Panics
    /// If they are out of range.
    #[inline]
    #[track_caller]
    pub(super) fn read(&self, at: u64, into: &mut [u8]) {
        let at = words::checked(&(at..at.wrapping_add(into.len() as u64)), self.len as u64).start;
        match &self.order {
            None => words::copy_out(|place, count| self.words(place, count), at, into),
            Some(order) => self.read_in_pieces(order, at, into),
        }
    }

    /// Copies piece by piece and asks for bytes ahead, so that one piece is read from the medium while another is
    /// copied.
    fn read_in_pieces(&self, order: &ReadOrder, mut at: usize, into: &mut [u8]) {
        for piece in into.chunks_mut(PIECE) {
            self.note_read(order, &(at..at + piece.len()));
            words::copy_out(|place, count| self.words(place, count), at, piece);
            at += piece.len();
        }
    }

    fn note_read(&self, order: &ReadOrder, read: &Range<usize>) {
        order.note(read, |ahead| {
            self.pages.read_ahead(ahead.start.min(self.len)..ahead.end.min(self.len));
        });
    }

    /// Checks a range that will be read by a system call, and asks for bytes ahead.
    ///
    /// # Panics
    /// If it is out of range.
    #[cfg(target_os = "linux")]
    #[track_caller]
    pub(super) fn read_ahead_of(&self, at: u64, len: usize) {
        let read = self.checked(&(at..at.saturating_add(len as u64)));
        if let Some(order) = &self.order {
            self.note_read(order, &read);
        }
    }

    /// Copies bytes into the mapping, by ordinary stores in ascending order.
    ///
    /// # Panics
    /// If they are out of range.
    ///
    /// # Safety
    /// 1. The mapping is one for writing.
    #[inline]
    #[track_caller]
    pub(super) unsafe fn write(&self, at: u64, from: &[u8]) {
        let range = words::checked(&(at..at.wrapping_add(from.len() as u64)), self.len as u64);
        if let Some((_, chunks)) = words::whole(at, from) {
            return words::store_each(self.words(range.start / WORD, chunks.len()), chunks);
        }
        let at = range.start;
        words::copy_in(|place, count| self.words(place, count), at, from);
    }

    /// Makes a range persistent: lines or pages, fence, latch.
    ///
    /// # Panics
    /// If the range is out of range, or ends before it starts.
    #[inline]
    #[track_caller]
    pub(super) fn persist(&self, range: Range<u64>) -> Result<(), Error> {
        let range = words::checked(&range, self.len as u64);
        match self.writeback {
            Writeback::Lines(cache) => {
                let start = self.base.as_ptr().wrapping_add(range.start);
                // SAFETY: (1) the range is in the mapping, which can be read.
                unsafe { cache.persist_range(start, range.end - range.start) };
            }
            Writeback::Fence(cache) => cache.fence(),
            Writeback::Pages | Writeback::Refused => return self.persist_pages(range),
        }
        self.check()
    }

    /// Issues the write-back of a range: [`fence`](Self::fence) completes it. Pages are persistent when this returns.
    ///
    /// # Panics
    /// As [`persist`](Self::persist).
    #[inline]
    #[track_caller]
    pub(super) fn issue_writeback(&self, range: Range<u64>) -> Result<(), Error> {
        let range = words::checked(&range, self.len as u64);
        match self.writeback {
            Writeback::Lines(cache) => {
                let start = self.base.as_ptr().wrapping_add(range.start);
                // SAFETY: (1) the range is in the mapping, which can be read; (2) nothing relies on it before `fence`.
                unsafe { cache.writeback_range_unfenced(start, range.end - range.start) };
            }
            Writeback::Fence(_) => {}
            Writeback::Pages | Writeback::Refused => return self.persist_pages(range),
        }
        self.check()
    }

    /// Completes what this thread has stored and issued, and then checks the latch.
    #[inline]
    pub(super) fn fence(&self) -> Result<(), Error> {
        if let Writeback::Fence(cache) | Writeback::Lines(cache) = self.writeback {
            cache.fence();
        }
        self.check()
    }

    /// Makes a range persistent, and flushes the device's own buffers. An empty range only checks the latch.
    ///
    /// # Panics
    /// As [`persist`](Self::persist).
    #[track_caller]
    pub(super) fn deep_persist(&self, range: Range<u64>) -> Result<(), Error> {
        let range = words::checked(&range, self.len as u64);
        if range.is_empty() {
            return self.check();
        }
        // With eADR too.
        if let Some(cache) = self.cache() {
            let start = self.base.as_ptr().wrapping_add(range.start);
            // SAFETY: (1) the range is in the mapping, which can be read.
            unsafe { cache.persist_range(start, range.end - range.start) };
        }
        self.check()?;
        match self.pages.flush_device() {
            Some(flushed) => flushed.map_err(|why| Error::unflushed(&self.path, &why)),
            None => self.persist_pages(range),
        }
    }

    /// Fails if the mapping has failed.
    ///
    /// A failure of this thread's own accesses is always seen. One of another thread can be seen by the next call only:
    /// SFENCE, for example, does not order this load after the write-backs.
    #[inline]
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.latch.is_set() { self.failed() } else { Ok(()) }
    }

    /// Ends the use of the mapping, unless it has failed before.
    pub(super) fn fail(&self, failure: Failure) {
        self.latch.set(failure);
    }

    #[cold]
    fn failed(&self) -> Result<(), Error> {
        let failure = self.latch.failure(|access| self.pages.reason(access));
        failure.map_or(Ok(()), |failure| Err(failure.error(&self.path)))
    }

    /// Makes the operating system write back the pages that a range touches, and waits. The error of a call that another
    /// thread made for this one names the range here; the latch keeps that of the thread.
    fn persist_pages(&self, range: Range<usize>) -> Result<(), Error> {
        if matches!(self.writeback, Writeback::Refused) {
            return Err(Error::unsupported(&self.path, REFUSED));
        }
        if !range.is_empty() {
            let (at, len) = (range.start as u64, range.len() as u64);
            let range = if self.pages.writes_whole_file() { 0..self.len } else { range };
            let written = self.rounds.join(range, |range| {
                // After a failure the kernel may report success.
                if self.latch.is_set() {
                    return Ok(());
                }
                let written = self.pages.writeback(range);
                written.inspect_err(|failure| self.latch.set(failure.of_range(at, len)))
            });
            written.map_err(|failure| failure.of_range(at, len).error(&self.path))?;
        }
        self.check()
    }

    #[inline]
    #[track_caller]
    fn checked_word(&self, at: u64) -> &AtomicU64 {
        let at = words::checked(&(at..at.wrapping_add(WORD as u64)), self.len as u64).start;
        assert!(at.is_multiple_of(WORD), "offset {at} is not a multiple of {WORD}");
        &self.words(at / WORD, 1)[0]
    }

    /// Returns `count` words from a place on, each of which holds a byte of the mapping. The last word can reach past
    /// the end, into the rest of the last page, which is mapped too.
    #[inline(always)]
    fn words(&self, place: usize, count: usize) -> &[AtomicU64] {
        let first = self.base.as_ptr().wrapping_add(place * WORD).cast();
        // SAFETY: the words are in pages of the mapping, which outlives the reference, and aligned, as
        // the mapping begins at a page; every other access to them here is atomic and of their size.
        unsafe { slice::from_raw_parts(first, count) }
    }
}

const REFUSED: &str = "is open for reading only, and this system is not known to write back bytes that others have \
                       stored; open it for reading and writing";

#[cold]
#[track_caller]
#[expect(clippy::panic, reason = "as the loads of atomics do")]
fn no_order_of_a_load(order: Ordering) -> ! {
    panic!("{order:?} is not an ordering for loads")
}

#[cfg(test)]
mod tests {
    use super::{Mapping, Pages};
    use crate::cache::tests::host_or_refused;
    use crate::dax::latch::Failure;
    use crate::dax::system::Unflushed;
    use crate::dax::{ErrorKind, Writeback};
    use crate::medium::words::AtomicU64;
    use alloc::sync::Arc;
    use core::ops::Range;
    use core::ptr::NonNull;
    use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::path::Path;

    static WORDS: [AtomicU64; 512] = [const { AtomicU64::new(7) }; 512];

    /// The owner of these words, whose pages cannot be written back.
    #[derive(Debug, Default)]
    struct Owned {
        flushes: Arc<AtomicUsize>,
    }

    impl Pages for Owned {
        fn writeback(&self, range: Range<usize>) -> Result<(), Failure> {
            Err(Failure::Writeback { at: range.start as u64, len: range.len() as u64, errno: 5 })
        }

        fn flush_device(&self) -> Option<Result<(), Unflushed>> {
            self.flushes.fetch_add(1, Relaxed);
            Some(Ok(()))
        }
    }

    fn mapping(writeback: Writeback, owned: Owned) -> Mapping {
        let base = NonNull::from(&WORDS).cast();
        let path = Path::new("/file");
        // SAFETY: (1) the words are never released; (2) nothing here relies on pages; (3) they are atomic words.
        unsafe { Mapping::new(path, base, size_of_val(&WORDS), writeback, owned) }
    }

    /// Another thread's failure comes between the write-back and the fence.
    #[test]
    fn a_failure_after_a_write_back_was_issued_is_that_of_its_fence() {
        let Some(cache) = host_or_refused() else { return };
        let mapping = mapping(Writeback::Lines(cache), Owned::default());
        mapping.issue_writeback(0..64).unwrap();
        mapping.fence().unwrap();
        mapping.issue_writeback(0..64).unwrap();
        mapping.fail(Failure::Cut { size: 0, needed: 4096 });
        mapping.fence().unwrap_err();
    }

    #[test]
    fn a_failed_write_back_names_the_range_of_its_caller_from_then_on() {
        let mapping = mapping(Writeback::Pages, Owned::default());
        let first = mapping.persist(8..24).unwrap_err();
        assert!(
            matches!(first.kind(), ErrorKind::Writeback { at: 8, len: 16, errno: 5 }),
            "{first}"
        );
        assert_eq!(mapping.persist(64..72), Err(first.clone()));
        assert_eq!(mapping.check(), Err(first));
    }

    #[test]
    fn a_failed_mapping_fails_every_call_that_can_fail() {
        let Some(cache) = host_or_refused() else { return };
        for writeback in [Writeback::Lines(cache), Writeback::Fence(cache), Writeback::Pages] {
            let mapping = mapping(writeback, Owned::default());
            mapping.fail(Failure::Cut { size: 0, needed: 4096 });
            let results = [
                mapping.check(),
                mapping.fence(),
                mapping.issue_writeback(0..8),
                mapping.persist(0..8),
                mapping.persist(0..0),
                mapping.deep_persist(0..8),
                mapping.deep_persist(0..0),
            ];
            for (number, result) in results.into_iter().enumerate() {
                let error = result.expect_err("the mapping has failed");
                let is_cut = matches!(error.kind(), ErrorKind::Shorter { .. });
                assert!(is_cut, "call {number} of {writeback:?}: {error}");
            }
        }
    }

    #[test]
    fn an_empty_range_flushes_no_device() {
        let flushes = Arc::new(AtomicUsize::new(0));
        let mapping = mapping(Writeback::Pages, Owned { flushes: Arc::clone(&flushes) });
        mapping.deep_persist(8..8).unwrap();
        assert_eq!(flushes.load(Relaxed), 0);
        mapping.deep_persist(8..16).unwrap();
        assert_eq!(flushes.load(Relaxed), 1);
    }

    /// The handler of SIGBUS has the address of the latch, and the mapping moves. Miri finds an address that a move
    /// invalidates.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_mapping_that_has_moved_is_failed_through_the_registry() {
        let mapping = mapping(Writeback::Pages, Owned::default());
        let at = mapping.base().addr().get() + 4096 - 8;
        // SAFETY: (1) the words are never released.
        let mapping = unsafe { mapping.register(size_of_val(&WORDS), true) };
        let mapping = core::hint::black_box(alloc::boxed::Box::new(mapping));
        mapping.check().unwrap();
        assert!(crate::dax::faults::fail_at(at));
        mapping.check().unwrap_err();
    }
}
