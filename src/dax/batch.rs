//! Several ranges of a file under one fence.

use super::{DaxView, Error};
use core::cell::RefCell;
use core::marker::PhantomData;
use core::ops::Range;

/// The write-backs of a [`DaxView::batch`], as its closure gets them. It stays on its thread, as a fence completes only
/// the write-backs of its own thread.
#[derive(Debug)]
pub struct Batch<'a> {
    pending: Pending<'a>,
    /// The first error.
    failed: RefCell<Option<Error>>,
    stays_on_its_thread: PhantomData<*mut ()>,
}

/// Write-backs that were issued. Completes them when dropped.
#[derive(Debug)]
struct Pending<'a> {
    view: &'a DaxView,
}

impl<'a> Batch<'a> {
    pub(super) const fn new(view: &'a DaxView) -> Self {
        Self {
            pending: Pending { view },
            failed: RefCell::new(None),
            stays_on_its_thread: PhantomData,
        }
    }

    /// Writes a range back; it is persistent when the batch has ended without an error.
    ///
    /// # Panics
    /// If the range is out of range.
    pub fn writeback(&self, range: Range<u64>) {
        let written = self.pending.view.writeback(range);
        let mut failed = self.failed.borrow_mut();
        if failed.is_none() {
            *failed = written.err();
        }
    }

    /// Executes the fence, and returns the first error.
    pub(super) fn complete(self) -> Result<(), Error> {
        drop(self.pending);
        self.failed.into_inner().map_or(Ok(()), Err)
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.view.fence();
    }
}
