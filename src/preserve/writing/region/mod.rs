//! Regions: bytes of a store that are used in place.

mod handed_out;

use crate::medium::words::WORD;
use crate::medium::{Granularity, Medium, Readable, WriterLock};
use crate::preserve::info::Info;
use crate::preserve::stamp::Origin;
use crate::preserve::writing::store::Writer;
use alloc::sync::Arc;
use core::ops::Range;
use core::sync::atomic::Ordering;

/// Parts that are passed on to the medium at once, without an allocation.
const PARTS: usize = 8;

/// A region of a store, to be used in place: a [`Medium`], whose offsets begin at 0.
///
/// [`Store::region`](crate::preserve::Store::region) returns it. It holds the store's medium, and can outlive the store. Threads can share it, and the store
/// can be written meanwhile. While it exists, its bytes belong to its users. Stored bytes survive as on the medium
/// itself: when they were written back. See [Regions](crate::preserve#regions).
///
/// Another store that is opened in the same medium does not know of it, and could delete the region or be sealed. A
/// [`DaxFile`](../dax/struct.DaxFile.html) refuses other stores as long as a [`Region`] holds it; share other media only when
/// each has been dropped.
///
/// ```
/// # #[cfg(all(feature = "preserve", feature = "std"))]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use cachemaint::{Cache, medium::Memory, survival::Backing};
/// # use std::sync::atomic::AtomicU64;
/// # static WORDS: [AtomicU64; 1 << 14] = [const { AtomicU64::new(0) }; 1 << 14];
/// # let medium = Memory::new(&WORDS, Cache::host()?, Backing::Ram);
/// use cachemaint::preserve::Store;
/// use std::sync::atomic::Ordering;
///
/// let mut store = Store::create_new(medium)?;
/// let counters = store.region_or_create("counters", 4096)?;
/// counters.store(0, counters.load(0, Ordering::Relaxed) + 1, Ordering::Relaxed);
/// counters.persist(0..8)?;
/// # Ok(())
/// # }
/// # #[cfg(not(all(feature = "preserve", feature = "std")))]
/// # fn main() {}
/// ```
#[derive(Debug)]
pub struct Region<M: Medium> {
    medium: Arc<M>,
    info: Info,
    since_use: Origin,
    /// As long as it exists, the region is in use. It is the lock of a log in the region.
    mark: Arc<WriterLock>,
    /// Locked as long as the store or a region of it exists.
    writer: Writer,
}

/// Another handle of the same region.
impl<M: Medium> Clone for Region<M> {
    fn clone(&self) -> Self {
        let Self { medium, info, since_use, mark, writer } = self;
        let (medium, mark) = (Arc::clone(medium), Arc::clone(mark));
        Self { medium, info: *info, since_use: *since_use, mark, writer: writer.clone() }
    }
}

impl<M: Medium> Region<M> {
    /// Returns its entry in the table, as it was before the store handed it out: [`Info::is_dirty`] is false if its bytes are
    /// as at the last seal.
    #[must_use]
    pub const fn info(&self) -> &Info {
        &self.info
    }

    /// Returns the worst event since the region was last handed out, or created if it never was. It decides which bytes
    /// are left of those that were stored then.
    ///
    /// [`Verdict::origin`](crate::preserve::Verdict::origin) is the event since the last commit, and each opening is one.
    /// So only the first opening after a reboot has the reboot as its origin. This one stays the reboot until the region is
    /// handed out.
    ///
    /// | event | bytes stored at the last use |
    /// |---|---|
    /// | [`SameProcess`](Origin::SameProcess): this store has handed it out | all are there, unless the machine hibernated |
    /// | [`SameBoot`](Origin::SameBoot): an earlier opening has, in this boot | all are there, unless the machine hibernated |
    /// | [`Unknown`](Origin::Unknown): a boot is not known, or the use was before the first boot of the [history](crate::preserve::Snapshot::history) | any that were not written back can be lost |
    /// | [`Kexec`](Origin::Kexec) | those are there that [survive](crate::survival) it, unless a reset or a power loss came before the kexec |
    /// | another | those are there that [survive](crate::survival) it |
    ///
    /// A reset or a power loss does not show behind a kexec if the store was not opened for writing between the two. A boot
    /// loader that is itself a Linux kernel starts each boot by kexec. So open the store in each boot, before that boot
    /// starts another kernel. Without such an opening, recover a dirty region as after a power loss.
    ///
    /// The recovery of a region is a use, too. If it is cut off, the next one returns `SameBoot`, though bytes of earlier
    /// uses can be lost. So put a blob in each use once the region is whole: at once if it was not dirty, else when the
    /// recovery ends. A dirty region is whole in the same process or boot if that blob has a higher
    /// [generation](Info::generation) than its [entry](Self::info). Without such a blob, recover it as after a power loss.
    #[must_use]
    pub const fn since_use(&self) -> Origin {
        self.since_use
    }

    /// Returns the medium of the store. The region has its [range](Info::range).
    #[must_use]
    pub fn medium(&self) -> &M {
        &self.medium
    }

    /// Returns a range of the region as one of the medium.
    #[inline]
    #[track_caller]
    pub(super) fn on_medium(&self, range: &Range<u64>) -> Range<u64> {
        let len = self.info.len;
        assert!(
            range.start <= range.end && range.end <= len,
            "the range {range:?} is out of range: the region has {len} bytes"
        );
        self.info.offset + range.start..self.info.offset + range.end
    }

    /// Returns its length in bytes.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.info.len
    }

    /// Returns false: no region is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.info.len == 0
    }

    /// Loads the word at `at`, little-endian in the bytes.
    ///
    /// # Panics
    /// If `at` is not a multiple of 8 or the word is out of range; if `order` is not an ordering for loads.
    #[inline]
    #[must_use]
    #[track_caller]
    pub fn load(&self, at: u64, order: Ordering) -> u64 {
        assert_aligned(at);
        self.medium.load(self.at(at, WORD), order)
    }

    /// Stores the word at `at`, little-endian in the bytes.
    ///
    /// # Panics
    /// If `at` is not a multiple of 8 or the word is out of range; if `order` is not an ordering for stores.
    #[inline]
    #[track_caller]
    pub fn store(&self, at: u64, word: u64, order: Ordering) {
        assert_aligned(at);
        self.medium.store(self.at(at, WORD), word, order);
    }

    /// Copies bytes out.
    ///
    /// # Errors
    /// If the medium finds the bytes unreadable.
    ///
    /// # Panics
    /// If the range is out of range.
    #[doc(alias("read_at", "pread"))]
    #[inline]
    #[track_caller]
    pub fn read(&self, at: u64, into: &mut [u8]) -> Result<(), M::Error> {
        self.medium.read(self.at(at, into.len()), into)
    }

    /// Copies bytes in, by ordinary stores.
    ///
    /// # Panics
    /// If the range is out of range.
    #[doc(alias("write_at", "pwrite"))]
    #[inline]
    #[track_caller]
    pub fn write(&self, at: u64, from: &[u8]) {
        self.medium.write(self.at(at, from.len()), from);
    }

    /// Issues the write-back of a range. It is durable when a [`fence`](Self::fence) on this thread has returned.
    ///
    /// # Errors
    /// If the operating system reports that it could not be written.
    ///
    /// # Panics
    /// If the range is out of range, or ends before it starts.
    #[inline]
    #[track_caller]
    pub fn issue_writeback(&self, range: Range<u64>) -> Result<(), M::Error> {
        self.medium.issue_writeback(self.on_medium(&range))
    }

    /// Completes the write-backs that this thread has issued for the medium of this store.
    #[inline]
    #[track_caller]
    pub fn fence(&self) {
        self.medium.fence();
    }

    /// Makes a range durable: write-back and fence.
    ///
    /// # Errors
    /// As [`issue_writeback`](Self::issue_writeback).
    ///
    /// # Panics
    /// If the range is out of range, or ends before it starts.
    #[inline]
    #[track_caller]
    pub fn persist(&self, range: Range<u64>) -> Result<(), M::Error> {
        self.medium.persist(self.on_medium(&range))
    }

    /// Writes several parts and makes them durable.
    ///
    /// # Errors
    /// As [`issue_writeback`](Self::issue_writeback).
    ///
    /// # Panics
    /// If a part is out of range.
    #[track_caller]
    pub fn persist_copy(&self, parts: &[(u64, &[u8])]) -> Result<(), M::Error> {
        self.check_parts(parts);
        let last = parts.len().saturating_sub(1) / PARTS * PARTS;
        let (first, last) = parts.split_at(last);
        self.copy_parts(first)?;
        // The medium's own call can report an end of the process at its fence.
        self.medium.persist_copy(&self.parts_on_medium(last)[..last.len()])
    }

    #[track_caller]
    fn copy_parts(&self, parts: &[(u64, &[u8])]) -> Result<(), M::Error> {
        for some in parts.chunks(PARTS) {
            self.medium.copy_unfenced(&self.parts_on_medium(some)[..some.len()])?;
        }
        Ok(())
    }

    fn parts_on_medium<'b>(&self, parts: &[(u64, &'b [u8])]) -> [(u64, &'b [u8]); PARTS] {
        let mut on_medium = [(0, [].as_slice()); PARTS];
        for (part, (at, bytes)) in on_medium.iter_mut().zip(parts) {
            *part = (self.info.offset + at, bytes);
        }
        on_medium
    }

    #[track_caller]
    fn check_parts(&self, parts: &[(u64, &[u8])]) {
        for (at, bytes) in parts {
            self.at(*at, bytes.len());
        }
    }

    #[inline]
    #[track_caller]
    fn at(&self, at: u64, len: usize) -> u64 {
        self.on_medium(&(at..at.saturating_add(len as u64))).start
    }
}

/// The medium would name its own offset.
#[inline]
#[track_caller]
fn assert_aligned(at: u64) {
    assert!(at.is_multiple_of(WORD as u64), "offset {at} is not a multiple of {WORD}");
}

/// Offsets are those in the region.
impl<M: Medium + Send> Readable for Region<M> {
    type Error = M::Error;

    fn len(&self) -> u64 {
        Self::len(self)
    }

    #[inline]
    #[track_caller]
    fn load(&self, at: u64, order: Ordering) -> u64 {
        Self::load(self, at, order)
    }

    #[inline]
    #[track_caller]
    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), M::Error> {
        Self::read(self, at, into)
    }

    fn check(&self) -> Result<(), M::Error> {
        self.medium.check()
    }
}

/// Offsets are those in the region.
impl<M: Medium + Send> Medium for Region<M> {
    fn granularity(&self) -> Granularity {
        self.medium.granularity()
    }

    fn atomic_unit(&self) -> usize {
        self.medium.atomic_unit()
    }

    #[inline]
    #[track_caller]
    fn store(&self, at: u64, word: u64, order: Ordering) {
        Self::store(self, at, word, order);
    }

    #[inline]
    #[track_caller]
    fn write(&self, at: u64, from: &[u8]) {
        Self::write(self, at, from);
    }

    #[inline]
    #[track_caller]
    fn issue_writeback(&self, range: Range<u64>) -> Result<(), M::Error> {
        Self::issue_writeback(self, range)
    }

    #[inline]
    #[track_caller]
    fn fence(&self) {
        Self::fence(self);
    }

    #[inline]
    #[track_caller]
    fn order_observed(&self) {
        self.medium.order_observed();
    }

    #[track_caller]
    fn copy_unfenced(&self, parts: &[(u64, &[u8])]) -> Result<(), M::Error> {
        self.check_parts(parts);
        self.copy_parts(parts)
    }

    #[track_caller]
    fn persist_copy(&self, parts: &[(u64, &[u8])]) -> Result<(), M::Error> {
        Self::persist_copy(self, parts)
    }

    #[inline]
    #[track_caller]
    fn persist(&self, range: Range<u64>) -> Result<(), M::Error> {
        Self::persist(self, range)
    }

    #[track_caller]
    fn deep_persist(&self, range: Range<u64>) -> Result<(), M::Error> {
        self.medium.deep_persist(self.on_medium(&range))
    }

    fn writer_lock(&self) -> Option<&WriterLock> {
        Some(&self.mark)
    }
}
