//! Several ranges under one fence.

use super::{Cache, Plain, address};
use core::cell::Cell;
use core::fmt;
use core::marker::PhantomData;

/// Operations that are issued now and completed together by one fence, when the closure of [`Cache::batch`] returns or
/// unwinds.
///
/// Read flags before the batch: the fence that orders invalidations after earlier loads is executed once, before the
/// first invalidation. A later invalidation may overtake loads made in between.
///
/// A batch stays on its thread, since a fence completes only the operations of its own thread:
///
/// ```compile_fail
/// # let cache = cachemaint::Cache::host().unwrap();
/// cache.batch(|batch| std::thread::scope(|scope| {
///     scope.spawn(|| batch.writeback(&[0_u8; 64]));
/// }));
/// ```
///
/// The closure gets a shared reference, so it cannot swap the batch for another one, which would be completed at
/// another time.
///
/// Values are borrowed until the fence, so they can be neither freed nor changed before it:
///
/// ```compile_fail
/// # let cache = cachemaint::Cache::host().unwrap();
/// cache.batch(|batch| {
///     let short_lived = [0_u8; 64];
///     batch.writeback(&short_lived);
/// });
/// ```
pub struct Batch<'a> {
    cache: Cache,
    has_writebacks: Cell<bool>,
    has_invalidations: Cell<bool>,
    /// Invariant, so that nothing can be lent for less than `'a`; a pointer, so that it stays on its thread.
    borrows: PhantomData<*mut &'a ()>,
}

impl<'a> Batch<'a> {
    #[inline]
    pub(super) const fn new(cache: Cache) -> Self {
        let [has_writebacks, has_invalidations] = [const { Cell::new(false) }; 2];
        Self { cache, has_writebacks, has_invalidations, borrows: PhantomData }
    }

    /// Issues the write-back of `value`; see [`Cache::writeback`].
    #[inline]
    pub fn writeback<T: ?Sized>(&self, value: &'a T) {
        // SAFETY: (1) all bytes of a reference can be read; (2) it is borrowed until the fence.
        unsafe { self.writeback_range(address(value), size_of_val(value)) };
    }

    /// Issues the invalidation of `values`; see [`Cache::invalidate`].
    #[inline]
    pub fn invalidate<T: Plain>(&self, values: &'a mut [T]) {
        let start = values.as_mut_ptr().cast_const().cast();
        // SAFETY: (1) all bytes of a slice can be read; (2) it is borrowed until the fence.
        unsafe { self.writeback_invalidate_range(start, size_of_val(values)) };
    }

    /// Issues the write-back and invalidation of `value`; see [`Cache::writeback_invalidate`].
    #[inline]
    pub fn writeback_invalidate<T: ?Sized>(&self, value: &'a T) {
        // SAFETY: (1) all bytes of a reference can be read; (2) it is borrowed until the fence.
        unsafe { self.writeback_invalidate_range(address(value), size_of_val(value)) };
    }

    /// Does [`writeback`](Self::writeback) for `len` bytes from `start`.
    ///
    /// # Safety
    /// 1. As for [`Cache::writeback_range`].
    /// 2. The range stays mapped until the batch has ended.
    #[inline]
    pub unsafe fn writeback_range(&self, start: *const u8, len: usize) {
        self.has_writebacks.set(true);
        // SAFETY: (1) is the caller's duty; (2) the fence comes when the batch is dropped.
        unsafe { self.cache.writeback_range_unfenced(start, len) };
    }

    /// Does [`writeback_invalidate`](Self::writeback_invalidate) for `len` bytes from `start`.
    ///
    /// # Safety
    /// 1. As for [`Cache::writeback_range`].
    /// 2. The range stays mapped until the batch has ended.
    #[inline]
    pub unsafe fn writeback_invalidate_range(&self, start: *const u8, len: usize) {
        if !self.has_invalidations.replace(true) {
            self.cache.order_observed();
        }
        // SAFETY: (1) is the caller's duty; (2) the fence comes when the batch is dropped.
        unsafe { self.cache.writeback_invalidate_range_unfenced(start, len) };
    }
}

impl Drop for Batch<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.has_invalidations.get() {
            self.cache.fence_all();
        } else if self.has_writebacks.get() {
            self.cache.fence();
        }
    }
}

impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").finish_non_exhaustive()
    }
}
