//! A slot for the description of one mapping: a sequence lock that the handler of SIGBUS reads without waiting.
//!
//! A reader that gets a description has got all of it, by the memory model of C++:
//! - [`fill`](Slot::fill) releases the fields with the odd version, which the reader acquires first.
//! - If the reader sees a field of a later `fill`, its acquire fence synchronizes with the release fence of that `fill`.
//!   The [`clear`](Slot::clear) of the version that the reader has is before that fence, since the next owner acquires the
//!   slot. So the reader then sees another version.

#[cfg(not(cachemaint_loom))]
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, fence};
#[cfg(cachemaint_loom)]
use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, fence};

use core::ptr::null_mut;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// A mapping, with the latch that its failure sets.
#[derive(Debug)]
#[cfg_attr(test, derive(PartialEq))]
pub(super) struct Described<L> {
    pub(super) start: usize,
    pub(super) len: usize,
    /// The process that has the mapping. A forked child has the slot, but other memory in place of the mapping.
    pub(super) owner: usize,
    pub(super) is_writable: bool,
    pub(super) latch: *mut L,
}

#[derive(Debug)]
pub(super) struct Slot<L> {
    is_taken: AtomicBool,
    /// Odd while there is a description, and different for each.
    version: AtomicUsize,
    start: AtomicUsize,
    len: AtomicUsize,
    owner: AtomicUsize,
    is_writable: AtomicBool,
    latch: AtomicPtr<L>,
}

impl<L> Slot<L> {
    /// Returns a slot that is taken and empty.
    pub(super) fn taken() -> Self {
        Self {
            is_taken: AtomicBool::new(true),
            version: AtomicUsize::new(0),
            start: AtomicUsize::new(0),
            len: AtomicUsize::new(0),
            owner: AtomicUsize::new(0),
            is_writable: AtomicBool::new(false),
            latch: AtomicPtr::new(null_mut()),
        }
    }

    /// Takes the slot, unless it is taken.
    pub(super) fn take(&self) -> bool {
        !self.is_taken.load(Relaxed) && !self.is_taken.swap(true, Acquire)
    }

    /// Fills a slot that the caller has taken.
    pub(super) fn fill(&self, described: &Described<L>) {
        let Described { start, len, owner, is_writable, latch } = *described;
        fence(Release);
        self.start.store(start, Relaxed);
        self.len.store(len, Relaxed);
        self.owner.store(owner, Relaxed);
        self.is_writable.store(is_writable, Relaxed);
        self.latch.store(latch, Relaxed);
        self.version.fetch_add(1, Release);
    }

    /// Empties a slot that the caller has filled, and gives it back.
    pub(super) fn clear(&self) {
        self.version.fetch_add(1, Relaxed);
        self.is_taken.store(false, Release);
    }

    /// Returns the description; `None` if there is none, or if it changes meanwhile.
    pub(super) fn read(&self) -> Option<Described<L>> {
        let version = self.version.load(Acquire);
        let described = Described {
            start: self.start.load(Relaxed),
            len: self.len.load(Relaxed),
            owner: self.owner.load(Relaxed),
            is_writable: self.is_writable.load(Relaxed),
            latch: self.latch.load(Relaxed),
        };
        fence(Acquire);
        let is_whole = version % 2 == 1 && self.version.load(Relaxed) == version;
        is_whole.then_some(described)
    }
}

#[cfg(all(test, cachemaint_loom))]
mod loom_tests {
    use super::{Described, Slot};
    use alloc::sync::Arc;
    use core::ptr::null_mut;

    const fn described(number: usize) -> Described<()> {
        Described {
            start: number,
            len: number,
            owner: number,
            is_writable: true,
            latch: null_mut(),
        }
    }

    /// One thread gives the slot back, another one takes it, and a third one reads.
    #[test]
    fn a_description_that_is_read_is_whole() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(2);
        model.check(|| {
            let slot = Arc::new(Slot::taken());
            slot.fill(&described(1));
            let (first, second) = (Arc::clone(&slot), Arc::clone(&slot));
            let first = loom::thread::spawn(move || first.clear());
            let second = loom::thread::spawn(move || {
                if second.take() {
                    second.fill(&described(2));
                }
            });
            if let Some(read) = slot.read() {
                assert!([1, 2].map(described).contains(&read), "{read:?}");
            }
            first.join().unwrap();
            second.join().unwrap();
        });
    }
}
