//! A medium over plain memory.

use super::Backing;
use super::words::{self, AtomicU64, WORD, out_of_range};
use super::{Granularity, Medium, Readable, WriterLock};
use crate::arch::Point;
use crate::cache::Cache;
#[cfg(not(cachemaint_loom))]
use crate::cache::{Destination, copy::Copier};
use core::convert::Infallible;
use core::ops::Range;
use core::sync::atomic::Ordering;

/// A medium over words of plain memory: RAM that a kernel keeps, a region from a hypervisor, a mapping of persistent
/// memory, or ordinary memory in a test.
///
/// The owner of the memory states what survives, with a [`Backing`]. Here *persist* means to write lines back to the
/// point that the [`Cache`] is aimed at. No method can fail, so none returns a `Result`, unlike those of the traits.
///
/// `Memory` has no [`writer_lock`](Medium::writer_lock), because other code may have the same words. Two journals,
/// recorders or stores in them silently overwrite each other, so only one thread or CPU may open a structure, and the
/// others share it. Your own medium around a `Memory` can have a lock: see [`WriterLock`](super::WriterLock).
///
/// `Memory` borrows its words. To turn a failed opening of a store or journal in it into a `Box<dyn Error>`, put
/// `.map_err(|failed| failed.error)` before the `?`: [`OpenError`](super::OpenError) has an example.
///
/// All CPUs that use the words must map them with the same attributes, as ordinary memory that is cacheable and
/// coherent among them. On arm64 that is Normal, write-back and shareable memory, with MMU and caches on. Writers of
/// logs execute atomic exchanges, which need not work in other memory there (Arm ARM, "Synchronization and semaphores";
/// `ESR_EL1`, "Unsupported Exclusive or Atomic access"). Readers only load words, so a boot stage with MMU or caches
/// off can read, but not write, once the writer's stage has written the lines back. `Cache::privileged` (feature
/// `privileged`) describes the hand-over. On RISC-V the attributes of the physical addresses must permit atomic
/// operations. Other architectures were not examined.
///
/// A mapping of an ordinary file is not such memory: its pages reach the file only by a system call. Open the file as a
/// [`DaxFile`](../dax/struct.DaxFile.html).
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use cachemaint::{Cache, medium::{Backing, Memory}};
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// let words: Vec<AtomicU64> = (0..512).map(|_| AtomicU64::new(0)).collect();
/// let memory = Memory::new(&words, Cache::host()?, Backing::Ram);
/// memory.persist_copy(&[(64, b"a record of 27 bytes at 64.")]);
/// memory.store(0, 64, Ordering::Relaxed); // publish it
/// memory.persist(0..8);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Memory<'a> {
    words: &'a [AtomicU64],
    cache: Cache,
    backing: Backing,
}

impl<'a> Memory<'a> {
    /// Returns a medium over `words`, which lie on `backing` and are written back by `cache`: [`Cache::host`] for RAM,
    /// [`Cache::persistent`] for persistent memory. RAM that outlives a reset, such as a ring of firmware, is
    /// [`ReservedRam`](Backing::ReservedRam).
    ///
    /// Apart from the panics below, no operation depends on `backing`; [`backing`](Self::backing) returns it. The
    /// instructions are those of `cache`.
    ///
    /// Align `words` to a line if you lay out data by lines. Otherwise a range that starts at a multiple of the line
    /// size, and is one line long, lies in two lines.
    ///
    /// # Panics
    /// 1. If `backing` is [`Storage`](Backing::Storage), [`FileSystem`](Backing::FileSystem) or
    ///    [`VirtioPmem`](Backing::VirtioPmem), which written-back lines do not reach.
    /// 2. If it is persistent memory and `cache` is aimed at the point of coherency: lines would silently not reach it.
    #[must_use]
    #[track_caller]
    pub const fn new(words: &'a [AtomicU64], cache: Cache, backing: Backing) -> Self {
        assert!(
            !matches!(backing, Backing::Storage | Backing::FileSystem | Backing::VirtioPmem),
            "written-back lines do not reach this backing: open it as a DaxFile"
        );
        assert!(
            !backing.is_persistent_memory() || !matches!(cache.point(), Point::Coherency),
            "the cache is aimed at RAM, but the words are on persistent memory: use Cache::persistent"
        );
        Self { words, cache, backing }
    }

    /// Returns the backing that the owner of the memory has stated. `cachemaint-inspect` says what survives on it.
    #[must_use]
    pub const fn backing(&self) -> Backing {
        self.backing
    }

    /// Returns its size in bytes.
    #[must_use]
    pub const fn len(&self) -> u64 {
        size_of_val(self.words) as u64
    }

    /// Returns true if it has no bytes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Loads the word at `at`.
    ///
    /// # Panics
    /// If `at` is not a multiple of 8 or the word is out of range; if `order` is not an ordering for loads.
    #[inline]
    #[must_use]
    #[track_caller]
    pub fn load(&self, at: u64, order: Ordering) -> u64 {
        u64::from_le(self.word(at).load(order))
    }

    /// Stores the word at `at`.
    ///
    /// # Panics
    /// If `at` is not a multiple of 8 or the word is out of range; if `order` is not an ordering for stores.
    #[inline]
    #[track_caller]
    pub fn store(&self, at: u64, word: u64, order: Ordering) {
        self.word(at).store(word.to_le(), order);
    }

    /// Copies bytes out, by loading whole words one after the other.
    ///
    /// # Panics
    /// If the range is out of range.
    #[doc(alias("read_at", "pread"))]
    #[track_caller]
    pub fn read(&self, at: u64, into: &mut [u8]) {
        if let Some((place, chunks)) = words::whole_mut(at, into) {
            return words::load_each(self.words_at(place, chunks.len()), chunks);
        }
        let range = at..at.wrapping_add(into.len() as u64);
        let at = words::checked(&range, self.len()).start;
        words::copy_out(|place, count| &self.words[place..][..count], at, into);
    }

    /// Copies bytes in, by ordinary stores.
    ///
    /// # Panics
    /// If the range is out of range.
    #[doc(alias("write_at", "pwrite"))]
    #[inline]
    #[track_caller]
    pub fn write(&self, at: u64, from: &[u8]) {
        if let Some((place, chunks)) = words::whole(at, from) {
            return words::store_each(self.words_at(place, chunks.len()), chunks);
        }
        let range = at..at.wrapping_add(from.len() as u64);
        let at = words::checked(&range, self.len()).start;
        words::copy_in(|place, count| &self.words[place..][..count], at, from);
    }

    /// Issues the write-back of a range; [`fence`](Self::fence) completes it.
    ///
    /// # Panics
    /// If the range is out of range, or ends before it starts.
    #[inline]
    #[track_caller]
    pub fn issue_writeback(&self, range: Range<u64>) {
        let range = words::checked(&range, self.len());
        let start = self.words.as_ptr().cast::<u8>().wrapping_add(range.start);
        // SAFETY: (1) the range lies within the words, which are borrowed; (2) that nothing may rely
        // on it before the fence is rule 1 of a medium.
        unsafe { self.cache.writeback_range_unfenced(start, range.end - range.start) };
    }

    /// Completes the write-backs that this thread has issued for this medium.
    #[inline]
    pub fn fence(&self) {
        self.cache.fence();
    }

    /// Makes a range persistent: write-back and fence.
    ///
    /// # Panics
    /// If the range is out of range, or ends before it starts.
    #[inline]
    #[track_caller]
    pub fn persist(&self, range: Range<u64>) {
        let range = words::checked(&range, self.len());
        let start = self.words.as_ptr().cast::<u8>().wrapping_add(range.start);
        // SAFETY: (1) the range lies within the words, which are borrowed.
        unsafe { self.cache.persist_range(start, range.end - range.start) };
    }

    /// Writes several parts and makes them persistent, by the method for an unknown destination. Where parts overlap,
    /// the bytes of either may remain.
    ///
    /// # Panics
    /// If a part is out of range.
    #[cfg(not(cachemaint_loom))]
    #[track_caller]
    pub fn persist_copy(&self, parts: &[(u64, &[u8])]) {
        self.persist_copy_to(parts, Destination::Unknown);
    }

    /// Writes several parts and makes them persistent, as [`Medium::persist_copy`] does, by the method that fits the
    /// caller's knowledge of the destination ([`Destination`]). Where parts overlap, the bytes of either may remain.
    ///
    /// # Panics
    /// If a part is out of range.
    #[cfg(not(cachemaint_loom))]
    #[track_caller]
    pub fn persist_copy_to(&self, parts: &[(u64, &[u8])], destination: Destination) {
        self.copy_unfenced_to(parts, destination, false);
        self.cache.fence();
    }

    #[cfg(not(cachemaint_loom))]
    #[track_caller]
    fn copy_unfenced_to(&self, parts: &[(u64, &[u8])], destination: Destination, in_order: bool) {
        for (at, bytes) in parts {
            words::checked(&(*at..at.wrapping_add(bytes.len() as u64)), self.len());
        }
        let start = self.words.as_ptr().cast::<u8>().cast_mut();
        let place = |at: u64| start.wrapping_add(words::checked(&(at..at), self.len()).start);
        let copier = self.copier(destination);
        let parts = parts.iter().map(|(at, bytes)| (place(*at), bytes.as_ptr(), bytes.len()));
        // SAFETY: (1) all parts are in the words, which are cells, so no slice of bytes that may not change can be
        // borrowed from them; (2) every access to them is by whole atomic words.
        unsafe { copier.copy_parts(parts, in_order) };
    }

    #[cfg(not(cachemaint_loom))]
    fn copier(&self, destination: Destination) -> Copier<impl Fn(*mut u8, &[u8])> {
        let start = self.words.as_ptr().addr();
        let merge = move |to: *mut u8, bytes: &[u8]| self.write((to.addr() - start) as u64, bytes);
        Copier { lines: Some(self.cache), destination: Some(destination), merge }
    }

    /// Returns the word at a byte offset.
    ///
    /// # Panics
    /// If the offset is not a multiple of 8 or out of range.
    #[inline]
    #[track_caller]
    fn word(&self, at: u64) -> &AtomicU64 {
        assert!(at.is_multiple_of(WORD as u64), "offset {at} is not a multiple of {WORD}");
        let place = usize::try_from(at / WORD as u64).ok();
        match place.and_then(|place| self.words.get(place)) {
            Some(word) => word,
            None => out_of_range(at, WORD as u64, self.len()),
        }
    }

    /// Returns `count` words from a place on.
    ///
    /// # Panics
    /// If not all of them are in range.
    #[inline(always)]
    #[track_caller]
    fn words_at(&self, place: u64, count: usize) -> &[AtomicU64] {
        let place_in_memory = usize::try_from(place).ok();
        match place_in_memory.and_then(|place| self.words.get(place..place.checked_add(count)?)) {
            Some(words) => words,
            None => out_of_range(place * WORD as u64, (count * WORD) as u64, self.len()),
        }
    }
}

impl Readable for Memory<'_> {
    type Error = Infallible;

    fn len(&self) -> u64 {
        Self::len(self)
    }

    #[inline]
    fn try_load(&self, at: u64, order: Ordering) -> Result<u64, Infallible> {
        Ok(self.load(at, order))
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Infallible> {
        Self::read(self, at, into);
        Ok(())
    }

    fn check(&self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl Medium for Memory<'_> {
    #[inline]
    fn load(&self, at: u64, order: Ordering) -> u64 {
        Self::load(self, at, order)
    }

    fn granularity(&self) -> Granularity {
        Granularity::Line(self.cache.line_size())
    }

    fn atomic_unit(&self) -> usize {
        WORD
    }

    #[inline]
    fn store(&self, at: u64, word: u64, order: Ordering) {
        Self::store(self, at, word, order);
    }

    #[inline]
    fn write(&self, at: u64, from: &[u8]) {
        Self::write(self, at, from);
    }

    #[inline]
    fn issue_writeback(&self, range: Range<u64>) -> Result<(), Infallible> {
        Self::issue_writeback(self, range);
        Ok(())
    }

    #[inline]
    fn fence(&self) -> Result<(), Infallible> {
        Self::fence(self);
        Ok(())
    }

    #[inline]
    fn order_observed(&self) {
        self.cache.order_observed();
    }

    /// Copies to a destination about which nothing is known.
    #[cfg(not(cachemaint_loom))]
    fn copy_unfenced(&self, parts: &[(u64, &[u8])]) -> Result<(), Infallible> {
        self.copy_unfenced_to(parts, Destination::Unknown, true);
        Ok(())
    }

    #[cfg(not(cachemaint_loom))]
    unsafe fn copy_unordered(&self, parts: &[(u64, &[u8])]) -> Result<(), Infallible> {
        self.copy_unfenced_to(parts, Destination::Unknown, false);
        Ok(())
    }

    fn deep_persist(&self, range: Range<u64>) -> Result<(), Infallible> {
        Medium::persist(self, range)
    }

    fn writer_lock(&self) -> Option<&WriterLock> {
        None
    }
}

#[cfg(test)]
#[cfg(not(cachemaint_loom))]
mod tests {
    use super::{AtomicU64, Memory, Point};
    use crate::cache::tests::host_or_refused;
    use crate::medium::Backing;
    use alloc::string::String;
    use alloc::vec::Vec;
    use core::panic::AssertUnwindSafe;
    use core::sync::atomic::Ordering;

    fn words(count: usize) -> Vec<AtomicU64> {
        (0..count).map(|_| AtomicU64::new(u64::MAX)).collect()
    }

    /// Written-back lines reach neither: their pages need a system call.
    #[test]
    fn memory_that_lines_do_not_reach_is_refused() {
        let Some(cache) = host_or_refused() else { return };
        let words = words(1);
        for backing in [Backing::Storage, Backing::FileSystem, Backing::VirtioPmem] {
            let made = std::panic::catch_unwind(|| drop(Memory::new(&words, cache, backing)));
            assert!(made.is_err(), "{backing:?}");
        }
    }

    /// On arm64 the point of coherency is not the point of persistence (Arm ARM, "Memory hierarchy").
    #[test]
    fn persistent_memory_needs_a_cache_that_is_aimed_at_it() {
        let Some(cache) = host_or_refused() else { return };
        let words = words(1);
        let made = std::panic::catch_unwind(|| drop(Memory::new(&words, cache, Backing::PmemAdr)));
        assert!(made.is_err());
        if let Ok(persistent) = cache.to(Point::Persistence) {
            assert_eq!(
                Memory::new(&words, persistent, Backing::PmemAdr).backing(),
                Backing::PmemAdr
            );
        }
    }

    #[test]
    fn words_are_little_endian_in_the_bytes() {
        let Some(cache) = host_or_refused() else { return };
        let words = words(2);
        let memory = Memory::new(&words, cache, Backing::Ram);
        memory.store(8, 0x0807_0605_0403_0201, Ordering::Relaxed);
        let mut bytes = [0; 8];
        memory.read(8, &mut bytes);
        assert_eq!(bytes, [1, 2, 3, 4, 5, 6, 7, 8]);
        memory.write(8, &[9]);
        assert_eq!(memory.load(8, Ordering::Relaxed), 0x0807_0605_0403_0209);
    }

    #[test]
    fn persist_copy_writes_all_parts() {
        let Some(cache) = host_or_refused() else { return };
        let words = words(64);
        let memory = Memory::new(&words, cache, Backing::Ram);
        memory.persist_copy(&[(0, b"first"), (300, b"second"), (8, b"")]);
        let mut bytes = [0; 6];
        memory.read(300, &mut bytes);
        assert_eq!(&bytes, b"second");
    }

    /// The copies end within words and lines, and the bytes beside them stay as they were.
    #[test]
    fn persist_copy_stores_exactly_its_bytes() {
        let Some(cache) = host_or_refused() else { return };
        let source: Vec<u8> = (0..=250).cycle().take(2000).collect();
        // Miri interprets, some hundred times slower.
        let lengths: &[usize] =
            if cfg!(miri) { &[3, 200] } else { &[0, 1, 8, 60, 64, 130, 300, 1100, 2000] };
        for (at, len) in [0, 3, 8, 61, 64, 100]
            .into_iter()
            .flat_map(|at| lengths.iter().map(move |len| (at, *len)))
        {
            let words = words(300);
            let memory = Memory::new(&words, cache, Backing::Ram);
            memory.persist_copy(&[(at as u64, &source[..len])]);
            let mut found = alloc::vec![0; 2400];
            memory.read(0, &mut found);
            assert_eq!(found[at..at + len], source[..len], "{len} at {at}");
            let beside = found[..at].iter().chain(&found[at + len..]);
            assert!(beside.copied().all(|byte| byte == 0xff), "{len} at {at}");
        }
    }

    #[test]
    fn a_write_back_beyond_the_end_panics() {
        let Some(cache) = host_or_refused() else { return };
        let words = words(64);
        let memory = Memory::new(&words, cache, Backing::Ram);
        let writeback = AssertUnwindSafe(|| memory.issue_writeback(505..521));
        let panic = std::panic::catch_unwind(writeback).unwrap_err();
        let message = panic.downcast_ref::<String>().unwrap();
        assert_eq!(message, "16 bytes at offset 505 are out of range: the medium has 512 bytes");
    }
}

#[cfg(all(test, cachemaint_loom))]
mod loom_tests {
    use super::{AtomicU64, Memory};
    use crate::cache::Cache;
    use crate::medium::Backing;
    use core::sync::atomic::Ordering;
    use loom::sync::Arc;

    /// Logs publish a record by one word, so the requested orderings must be the actual ones.
    #[test]
    fn a_write_before_a_release_store_is_seen_after_an_acquire_load() {
        loom::model(|| {
            let words = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
            let cache = Cache::host().unwrap();
            let writer = {
                let words = Arc::clone(&words);
                loom::thread::spawn(move || {
                    let memory = Memory::new(&words[..], cache, Backing::Ram);
                    memory.write(8, &[7; 8]);
                    memory.store(0, 1, Ordering::Release);
                })
            };
            let memory = Memory::new(&words[..], cache, Backing::Ram);
            if memory.load(0, Ordering::Acquire) == 1 {
                let mut record = [0; 8];
                memory.read(8, &mut record);
                assert_eq!(record, [7; 8]);
            }
            writer.join().unwrap();
        });
    }
}
