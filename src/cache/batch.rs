//! Several ranges under one fence.

use super::plan::Plan;
use super::run::{self, Machine, Operation};
use super::{Plain, address};
use core::cell::Cell;
use core::marker::PhantomData;

/// Operations that are issued now and completed together when the closure of
/// [`Cache::batch`](super::Cache::batch) returns or unwinds. Completing costs one fence for all
/// write-backs and one for all invalidations, for any number of ranges.
///
/// It stays on its thread, as a fence completes only the operations of its own thread:
///
/// ```compile_fail
/// # let cache = cachemaint::Cache::host().unwrap();
/// cache.batch(|batch| std::thread::scope(|scope| {
///     scope.spawn(|| batch.writeback(&[0_u8; 64]));
/// }));
/// ```
///
/// The closure gets it by shared reference, so that it cannot be exchanged for another batch, which
/// would be completed at another time.
///
/// The given values are borrowed until the fence, so they can neither be freed nor changed before:
///
/// ```compile_fail
/// # let cache = cachemaint::Cache::host().unwrap();
/// cache.batch(|batch| {
///     let short_lived = [0_u8; 64];
///     batch.writeback(&short_lived);
/// });
/// ```
#[derive(Debug)]
pub struct Batch<'a> {
    pending: Pending,
    /// Invariant, so that nothing can be lent for less than `'a`.
    borrows: PhantomData<fn(&'a ()) -> &'a ()>,
    stays_on_its_thread: PhantomData<*mut ()>,
}

/// The operations that were issued and not completed. Completes them when dropped.
struct Pending {
    plan: Plan,
    writeback: Cell<bool>,
    invalidate: Cell<bool>,
}

impl<'a> Batch<'a> {
    #[inline]
    pub(super) const fn new(plan: Plan) -> Self {
        let pending = Pending { plan, writeback: Cell::new(false), invalidate: Cell::new(false) };
        Self { pending, borrows: PhantomData, stays_on_its_thread: PhantomData }
    }

    /// Issues the write-back of `value`; see [`Cache::writeback`](super::Cache::writeback).
    #[inline]
    pub fn writeback<T: ?Sized>(&self, value: &'a T) {
        // SAFETY: (1) all bytes of a reference can be read; (2) it is borrowed until the fence.
        unsafe { self.writeback_range(address(value), size_of_val(value)) };
    }

    /// Issues the invalidation of `integers`; see [`Cache::invalidate`](super::Cache::invalidate).
    #[inline]
    pub fn invalidate<T: Plain>(&self, integers: &'a mut [T]) {
        // SAFETY: (1) all bytes of a slice can be read; (2) it is borrowed until the fence.
        unsafe {
            self.writeback_invalidate_range(
                integers.as_mut_ptr().cast_const().cast(),
                size_of_val(integers),
            );
        };
    }

    /// Issues the write-back and invalidation of `value`; see
    /// [`Cache::writeback_invalidate`](super::Cache::writeback_invalidate).
    #[inline]
    pub fn writeback_invalidate<T: ?Sized>(&self, value: &'a T) {
        // SAFETY: (1) all bytes of a reference can be read; (2) it is borrowed until the fence.
        unsafe { self.writeback_invalidate_range(address(value), size_of_val(value)) };
    }

    /// Does [`writeback`](Self::writeback) for `len` bytes from `start`.
    ///
    /// # Safety
    /// 1. As for [`Cache::writeback_range`](super::Cache::writeback_range).
    /// 2. The range stays mapped until the batch has ended.
    #[inline]
    pub unsafe fn writeback_range(&self, start: *const u8, len: usize) {
        self.pending.writeback.set(true);
        // SAFETY: (1) is the caller's duty.
        unsafe { self.issue(Operation::Writeback, start, len) };
    }

    /// Does [`writeback_invalidate`](Self::writeback_invalidate) for `len` bytes from `start`.
    ///
    /// # Safety
    /// 1. As for [`Cache::writeback_range`](super::Cache::writeback_range).
    /// 2. The range stays mapped until the batch has ended.
    #[inline]
    pub unsafe fn writeback_invalidate_range(&self, start: *const u8, len: usize) {
        self.pending.invalidate.set(true);
        // SAFETY: (1) is the caller's duty.
        unsafe { self.issue(Operation::Invalidate, start, len) };
    }

    /// Issues an operation. The fence before is executed for each range: stores between two of them
    /// must be ordered before the second where the architecture does not do it.
    ///
    /// # Safety
    /// 1. As for [`Cache::writeback_range`](super::Cache::writeback_range).
    #[inline(always)]
    unsafe fn issue(&self, operation: Operation, start: *const u8, len: usize) {
        // SAFETY: a handle's plan is for its machine (1); (2) is the caller's duty (1).
        unsafe { run::issue(Machine, self.pending.plan, operation, start, len) };
    }
}

impl Drop for Pending {
    #[inline]
    fn drop(&mut self) {
        if self.writeback.get() {
            run::complete(Machine, self.plan, Operation::Writeback);
        }
        if self.invalidate.get() {
            run::complete(Machine, self.plan, Operation::Invalidate);
        }
    }
}

impl core::fmt::Debug for Pending {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Pending").finish_non_exhaustive()
    }
}
