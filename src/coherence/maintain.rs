//! The trait that drivers and HALs are written against.

use crate::Cache;

/// A platform's cache maintenance for devices and hosts that do not see the cache.
///
/// Operations are *issued* for ranges and *completed* by [`complete`](Self::complete). Users call
/// [`release`](super::release) and [`acquire`](super::acquire), which do both. Implement the trait for a platform; call
/// its methods only to cover several ranges with one fence:
///
/// ```
/// use cachemaint::coherence::{Coherent, Maintain};
///
/// /// Takes over the pages that a device has filled, after its flag has been read.
/// ///
/// /// # Safety
/// /// 1. As for [`Maintain::issue_invalidate`], for `len` bytes from each start.
/// unsafe fn take_over(cache: &dyn Maintain, pages: &[*mut u8], len: usize) {
///     cache.order_observed(); // no line is dropped before the flag was read
///     for &page in pages {
///         // SAFETY: (1) is the caller's duty.
///         unsafe { cache.issue_invalidate(page, len) };
///     }
///     cache.complete();
/// }
/// # let mut page = [0_u8; 64];
/// # unsafe { take_over(&Coherent, &[page.as_mut_ptr()], 64) };
/// ```
///
/// # Safety
/// An implementation guarantees:
/// 1. *Granule.* [`granule`](Self::granule) is a power of two and always the same. No cache that the
///    implementation maintains, up to where the observer reads, writes back or drops a larger unit at once.
/// 2. *Write-back.* After [`issue_writeback`](Self::issue_writeback) or
///    [`issue_writeback_invalidate`](Self::issue_writeback_invalidate) of a range, and then `complete` on the same thread,
///    the observer reads each byte of the range that this thread had stored before the call. A store that follows (to
///    memory, or to a device's register) is observed after it.
/// 3. *Invalidation.* After [`issue_invalidate`](Self::issue_invalidate) or `issue_writeback_invalidate`
///    of a range, and then `complete` on the same thread, loads return data no older than the start of the
///    call.
/// 4. *Nothing else is lost.* No byte outside the range of `issue_invalidate` changes its value for this program,
///    except by an observer's stores. A unit is *discarded* (dropped while dirty) only if the range covers it whole.
///    Afterwards, a byte within the range has a value that it had in the cache or in memory. Other units may be written
///    back and then dropped, as an eviction may do at any time: a flush of the whole cache is a valid implementation.
/// 5. *Order.* `complete` orders every load and store of this thread before it with every one after it, and with the
///    operations issued after it, as the observer sees them. [`order_observed`](Self::order_observed) orders every load
///    before it with the operations issued after it: none of them is carried out before such a load.
/// 6. *The compiler.* Every operation is, to the compiler, code that may read and write the memory of the
///    range: assembly that is given the pointer and may access memory (the default of `asm!`), or
///    [`hand_over`](super::hand_over). So is `complete`, for all that was handed over. A volatile store to a
///    controller's register is not enough: the compiler may move ordinary stores over it.
/// 7. Every operation and `complete` returns and does its full work; none unwinds. What can fail (a region that the
///    controller does not serve) is refused when the value is made.
///
/// # Implementing it
/// `cachemaint-platforms` has implementations for controllers that registers or functions maintain. If another cache is
/// maintained by an instruction or a function that acts on all of it, this suffices:
///
/// ```
/// use cachemaint::coherence::{Maintain, hand_over};
///
/// struct Board;
///
/// /// Writes back all dirty lines, drops all lines, and waits.
/// fn flush_data_cache() { /* an instruction, a register or a function of the vendor */ }
///
/// // SAFETY: (1) lines have 64 bytes. (2), (3) The flush comes after the stores and loads before `complete`, and writes back
/// // what it drops (4). (5) It waits, and is a barrier. (6) The range is handed over; the flush is assembly. (7) It cannot fail.
/// unsafe impl Maintain for Board {
///     fn granule(&self) -> usize { 64 }
///     unsafe fn issue_writeback(&self, start: *const u8, _: usize) { hand_over(start) }
///     unsafe fn issue_invalidate(&self, start: *mut u8, _: usize) { hand_over(start) }
///     unsafe fn issue_writeback_invalidate(&self, start: *const u8, _: usize) { hand_over(start) }
///     fn order_observed(&self) {} // `complete` carries the operations out, behind all loads
///     fn complete(&self) { flush_data_cache() }
/// }
/// ```
///
/// If operations take an address, earlier stores must be visible to them: Cortex-M7 needs a DSB before a set of
/// operations, and a DSB and an ISB after it (Arm DUI 0646C, 4.8.7). Use an operation that discards only for lines that
/// the range covers whole.
///
/// A trait object can be in a static, since every implementation is `Send` and `Sync`:
///
/// ```
/// use cachemaint::coherence::{Coherent, Maintain};
///
/// struct Driver {
///     cache: &'static dyn Maintain,
/// }
///
/// static DRIVER: Driver = Driver { cache: &Coherent };
/// ```
pub unsafe trait Maintain: Send + Sync {
    /// Returns the alignment and padding, in bytes, of data that changes hands: a power of two.
    fn granule(&self) -> usize;

    /// Issues the write-back of `len` bytes from `start`. Does nothing for an empty range.
    ///
    /// # Safety
    /// 1. Each line that the range touches holds a byte of the range that this thread may read, and the
    ///    range does not wrap round the end of the address space.
    /// 2. The range stays mapped, validly and cacheable, and nothing relies on the operation, until
    ///    [`complete`](Self::complete) has been called on this thread. Once no mapping is cacheable, one that is valid
    ///    suffices to drop the lines that are left.
    unsafe fn issue_writeback(&self, start: *const u8, len: usize);

    /// Issues the invalidation of `len` bytes from `start`. Does nothing for an empty range.
    ///
    /// It may be carried out before loads that precede the call: after reading a flag, call
    /// [`order_observed`](Self::order_observed), once for all ranges.
    ///
    /// # Safety
    /// 1. As for [`issue_writeback`](Self::issue_writeback) (1).
    /// 2. As for [`issue_writeback`](Self::issue_writeback) (2).
    /// 3. No reference to any byte of the range exists, except to [`Plain`](crate::cache::Plain) values that the caller
    ///    has borrowed for writing, or to cells that others may change. After the call they can have other values, even
    ///    older ones: an implementation may lose dirty bytes of the range.
    unsafe fn issue_invalidate(&self, start: *mut u8, len: usize);

    /// Issues the write-back and invalidation of `len` bytes from `start`. Does nothing for an empty range.
    ///
    /// # Safety
    /// 1. As for [`issue_writeback`](Self::issue_writeback) (1).
    /// 2. As for [`issue_writeback`](Self::issue_writeback) (2).
    unsafe fn issue_writeback_invalidate(&self, start: *const u8, len: usize);

    /// Orders the loads of this thread so far before the operations that it issues from now on. An invalidation then
    /// shows what was stored before a flag that this thread has read, and a write-back includes stores of others that
    /// this thread has observed through another location.
    ///
    /// The default is [`complete`](Self::complete). An implementation may do less: nothing, if each operation has a
    /// barrier of its own before it, or if `complete` carries the operations out.
    #[inline]
    fn order_observed(&self) {
        self.complete();
    }

    /// Completes the operations that this thread has issued, and orders its earlier loads and stores before its later
    /// ones, as the observer sees them.
    ///
    /// [`Cache::fence`] is another function: it completes only write-backs.
    fn complete(&self);

    /// Tells a model of the machine which bytes of the next range are a value: the others are its padding. Does nothing
    /// elsewhere.
    #[doc(hidden)]
    #[inline]
    fn note_value(&self, _start: *const u8, _len: usize) {}
}

/// Uses the instructions of this CPU. Write-backs reach at least the point of coherency, where such observers read,
/// even if the handle is aimed at a nearer point.
///
/// # Cost
/// [`Cache::order_observed`] executes the fence before. One fence completes write-backs and invalidations alike: MFENCE
/// on x86, DSB SY on arm64, FENCE IORW, IORW on riscv, `sync` on powerpc (`phwsync` if the handle writes back by
/// `dcbstps`).
// SAFETY: (1) the facts of a handle hold for its machine; (2) and (3) are those of `Cache::writeback` and
// `Cache::invalidate`. (4) No instruction that a handle executes discards. (5) The fence of `complete` is that behind an
// invalidation or a stronger one, which orders loads and stores; that of `order_observed` is the one before it.
// (6) Instructions and fences are assembly, and the range's provenance is exposed to it; (7) nothing of it can fail.
unsafe impl Maintain for Cache {
    #[inline]
    fn granule(&self) -> usize {
        Self::granule(*self)
    }

    #[inline]
    unsafe fn issue_writeback(&self, start: *const u8, len: usize) {
        // SAFETY: (1) and (2) are the caller's duties.
        unsafe { self.writeback_range_unfenced(start, len) };
    }

    #[inline]
    unsafe fn issue_invalidate(&self, start: *mut u8, len: usize) {
        // SAFETY: (1) and (2) are the caller's duties.
        unsafe { self.writeback_invalidate_range_unfenced(start, len) };
    }

    #[inline]
    unsafe fn issue_writeback_invalidate(&self, start: *const u8, len: usize) {
        // SAFETY: (1) and (2) are the caller's duties.
        unsafe { self.writeback_invalidate_range_unfenced(start, len) };
    }

    #[inline]
    fn order_observed(&self) {
        Self::order_observed(*self);
    }

    #[inline]
    fn complete(&self) {
        self.fence_all();
    }
}
