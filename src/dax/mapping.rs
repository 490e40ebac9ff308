//! The bytes of a mapping, accessed only here. The system's module maps and unmaps them.
//!
//! Other threads and processes may write the bytes at any time. This module therefore makes no references to them
//! except to atomic words, and accesses them only through these.
//!
//! # Why this file is unsafe
//! It dereferences addresses of the mapping, which stays in place until the value is dropped. A file that shrinks under
//! its mapping, or a page with a media error, ends the process by a signal or an exception. That is not undefined
//! behaviour, and the documentation of [`DaxFile`](super::DaxFile) says so.

use super::Writeback;
#[cfg(target_os = "linux")]
use super::faults::Registered;
use super::latch::{Failure, Latch};
use super::read_order::{PIECE, ReadOrder};
use super::rounds::Rounds;
#[cfg(target_os = "linux")]
use super::system::Access;
use super::system::{Pages, Unflushed, files, host};
use crate::medium::words::{self, AtomicU64, WORD};
use alloc::boxed::Box;
use core::ops::Range;
use core::ptr::NonNull;
use core::slice;
use core::sync::atomic::Ordering::{self, Acquire, Relaxed, SeqCst};
use core::sync::atomic::fence;

/// The error of a failed mapping. Its latch has the failure.
#[derive(Debug)]
pub(super) struct HasFailed;

/// A shared mapping of a part of a file. It can be read; its owner knows whether it can be written.
#[derive(Debug)]
pub(super) struct Mapping {
    base: NonNull<u8>,
    len: usize,
    /// Dropped before the pages are.
    #[cfg(target_os = "linux")]
    registered: Option<Registered>,
    pages: Box<dyn Pages>,
    /// The failure of the mapping. Boxed, since the registry has its address, and since a value without cells can stay
    /// in registers across stores to the mapping.
    latch: Box<Latch>,
    rounds: Box<Rounds>,
    /// The order of reads, if pages are not otherwise read ahead.
    order: Option<Box<ReadOrder>>,
}

// SAFETY: the address is that of memory which belongs to the value, whichever thread has it.
unsafe impl Send for Mapping {}
// SAFETY: all access through a shared reference is atomic.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Returns the mapping of `len` bytes from `base`, held by `pages`.
    ///
    /// # Safety
    /// 1. They are mapped, at least for reading, up to the end of the last page, until `pages` is
    ///    dropped.
    /// 2. `base` is a multiple of the page size.
    /// 3. No code of this process makes a reference to them except to atomic words.
    pub(super) unsafe fn new(base: NonNull<u8>, len: usize, pages: impl Pages + 'static) -> Self {
        Self {
            base,
            len,
            #[cfg(target_os = "linux")]
            registered: None,
            order: pages.must_be_asked_for().then(Box::default),
            pages: Box::new(pages),
            latch: Box::default(),
            rounds: Box::default(),
        }
    }

    /// Returns the mapping of the first `len` bytes of mapped pages.
    pub(super) fn of(pages: host::MappedPages, len: usize) -> Self {
        let base = pages.base();
        #[cfg(target_os = "linux")]
        let (whole, access) = (pages.whole_len(), pages.access());
        // SAFETY: (1) they are mapped by whole pages, and unmapped when `pages` is dropped; (2) mappings begin at a
        // page; (3) no other code knows of it.
        let mapping = unsafe { Self::new(base, len, pages) };
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
        // `DaxView::as_slice` has its callers vouch for the rest; (2) the latch is boxed.
        let registered = unsafe { Registered::new(self.base, len, is_writable, &self.latch) };
        self.registered = Some(registered);
        self
    }

    /// Returns the latch, which has the failure of the mapping if there was one.
    #[inline]
    pub(super) const fn latch(&self) -> &Latch {
        &self.latch
    }

    /// Returns its first byte.
    pub(super) const fn base(&self) -> NonNull<u8> {
        self.base
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
        let at = self.checked(at, into.len() as u64).start;
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
        let read = self.checked(at, len as u64);
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
        let range = self.checked(at, from.len() as u64);
        if let Some((_, chunks)) = words::whole(at, from) {
            return words::store_each(self.words(range.start / WORD, chunks.len()), chunks);
        }
        let at = range.start;
        words::copy_in(|place, count| self.words(place, count), at, from);
    }

    /// Issues the write-back of the lines of a range, where lines are written back.
    #[inline]
    pub(super) fn issue_lines(&self, range: &Range<usize>, writeback: Writeback) {
        if let Writeback::Lines(cache) = writeback {
            let start = self.base.as_ptr().wrapping_add(range.start);
            // SAFETY: (1) the range is in the mapping, which can be read; (2) nothing relies on it before `complete`.
            unsafe { cache.writeback_range_unfenced(start, range.len()) };
        }
    }

    /// Completes what this thread has stored and issued, and then checks the latch. Every call that succeeds ends here,
    /// so it sees any failure that was kept before the fence completed.
    #[inline]
    pub(super) fn complete(&self, writeback: Writeback) -> Result<(), HasFailed> {
        match writeback {
            Writeback::Fence(cache) | Writeback::Lines(cache) => cache.fence(),
            Writeback::Pages => {}
        }
        if self.latch.is_set() { Err(HasFailed) } else { Ok(()) }
    }

    /// Makes the operating system write back the pages that a range touches, and waits. The latch keeps a failure, even
    /// if another thread made the call for this one.
    pub(super) fn writeback_pages(&self, range: Range<usize>) {
        self.rounds.join(range, |hull| {
            if self.latch.is_set() {
                return;
            }
            let (at, len) = (hull.start as u64, hull.len() as u64);
            if let Err(error) = self.pages.writeback(hull) {
                self.latch.set(Failure::Writeback { at, len, errno: files::number(&error) });
            }
        });
    }

    /// Flushes the medium's own buffers after a range was written back.
    pub(super) fn flush_medium(&self, range: Range<usize>) -> Result<(), Unflushed> {
        if let Some(flushed) = self.pages.flush_medium() {
            return flushed;
        }
        self.writeback_pages(range);
        Ok(())
    }

    /// Returns the range within the mapping.
    ///
    /// # Panics
    /// If it ends before it starts, or is out of range.
    #[inline]
    #[track_caller]
    pub(super) fn checked_range(&self, range: &Range<u64>) -> Range<usize> {
        assert!(range.start <= range.end, "the range {range:?} ends before it starts");
        self.checked(range.start, range.end - range.start)
    }

    /// Returns `len` bytes from `at` as a range of the mapping.
    ///
    /// # Panics
    /// If they are out of range.
    #[inline]
    #[track_caller]
    #[expect(clippy::cast_possible_truncation, reason = "what is mapped fits its address type")]
    pub(super) fn checked(&self, at: u64, len: u64) -> Range<usize> {
        match at.checked_add(len) {
            Some(end) if end <= self.len as u64 => at as usize..end as usize,
            _ => out_of_range(at, len, self.len),
        }
    }

    #[inline]
    #[track_caller]
    fn checked_word(&self, at: u64) -> &AtomicU64 {
        let at = self.checked(at, WORD as u64).start;
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

#[cold]
#[track_caller]
#[expect(clippy::panic, reason = "offsets are checked above a medium; out of range is a bug there")]
fn out_of_range(at: u64, len: u64, size: usize) -> ! {
    panic!("{len} bytes at offset {at} are out of range: the mapping has {size} bytes")
}

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
    use crate::dax::Writeback;
    use crate::dax::latch::Failure;
    use crate::medium::words::AtomicU64;
    use core::ops::Range;
    use core::ptr::NonNull;
    use std::io;

    static WORDS: [AtomicU64; 512] = [const { AtomicU64::new(7) }; 512];

    /// The owner of these words.
    #[derive(Debug)]
    struct Owned;

    impl Pages for Owned {
        fn writeback(&self, _: Range<usize>) -> io::Result<()> {
            Ok(())
        }
    }

    /// Another thread's failure comes between the write-back and the fence.
    #[test]
    fn a_failure_after_a_write_back_was_issued_is_that_of_its_fence() {
        let Some(cache) = host_or_refused() else { return };
        let base = NonNull::from(&WORDS).cast();
        // SAFETY: (1) the words are never released; (2) nothing here relies on pages; (3) they are atomic words.
        let mapping = unsafe { Mapping::new(base, size_of_val(&WORDS), Owned) };
        let writeback = Writeback::Lines(cache);
        mapping.issue_lines(&(0..64), writeback);
        mapping.complete(writeback).unwrap();
        mapping.issue_lines(&(0..64), writeback);
        mapping.latch().set(Failure::Cut { size: 0, needed: 4096 });
        mapping.complete(writeback).unwrap_err();
    }
}
