//! Several ranges of a file under one fence.

use super::{DaxView, Error};
use core::cell::{Cell, RefCell};
use core::marker::PhantomData;
use core::ops::Range;

/// The write-backs of a [`DaxView::batch`]. The closure gets this value, which stays on its thread: a fence completes
/// only the write-backs of its own thread.
#[derive(Debug)]
pub struct Batch<'a> {
    view: &'a DaxView,
    /// The first error.
    failed: RefCell<Option<Error>>,
    is_complete: Cell<bool>,
    stays_on_its_thread: PhantomData<*mut ()>,
}

impl<'a> Batch<'a> {
    pub(super) const fn new(view: &'a DaxView) -> Self {
        Self {
            view,
            failed: RefCell::new(None),
            is_complete: Cell::new(false),
            stays_on_its_thread: PhantomData,
        }
    }

    /// Writes a range back. It is persistent once the batch has ended without an error.
    ///
    /// # Panics
    /// If the range is out of range.
    #[track_caller]
    pub fn writeback(&self, range: Range<u64>) {
        let written = self.view.issue_writeback(range);
        let mut failed = self.failed.borrow_mut();
        if failed.is_none() {
            *failed = written.err();
        }
    }

    /// Executes the fence, and returns the first error.
    pub(super) fn complete(self) -> Result<(), Error> {
        self.is_complete.set(true);
        let fenced = self.view.fence();
        self.failed.take().map_or(fenced, Err)
    }
}

/// Executes the fence if the closure unwinds.
impl Drop for Batch<'_> {
    fn drop(&mut self) {
        if !self.is_complete.get() {
            // The caller gets the panic.
            drop(self.view.fence());
        }
    }
}
