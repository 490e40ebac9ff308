//! A medium on which an append never finishes, because its process is killed or its producer panics.

use cachemaint::medium::{Granularity, Medium, Readable, WriterLock};
use cachemaint_journal::Journal;
use cachemaint_sim::SimMedium;
use cachemaint_test_support::counting::Broken;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::thread::{self, ThreadId};

pub(crate) struct Faulty<'m> {
    medium: &'m SimMedium,
    /// True if the next fence panics.
    panics: AtomicBool,
    unfinished: Mutex<Unfinished>,
    changed: Condvar,
}

/// The append that never finishes. None of its stores reaches the medium.
#[derive(Default)]
struct Unfinished {
    thread: Option<ThreadId>,
    has_begun: bool,
    is_over: bool,
    /// The number of fences of other threads.
    fences: u32,
}

impl<'m> Faulty<'m> {
    pub(crate) fn new(medium: &'m SimMedium) -> Self {
        let (unfinished, changed) = (Mutex::default(), Condvar::new());
        Self { medium, panics: AtomicBool::new(false), unfinished, changed }
    }

    fn change(&self, change: impl FnOnce(&mut Unfinished)) {
        change(&mut self.unfinished.lock().unwrap());
        self.changed.notify_all();
    }

    fn wait(&self, is_met: impl Fn(&Unfinished) -> bool) -> MutexGuard<'_, Unfinished> {
        let unfinished = self.unfinished.lock().unwrap();
        self.changed.wait_while(unfinished, |unfinished| !is_met(unfinished)).unwrap()
    }

    fn is_unfinished(&self) -> bool {
        self.unfinished.lock().unwrap().thread == Some(thread::current().id())
    }
}

/// Appends records after an unfinished append of `len` bytes. Only the later records reach the medium, and the journal
/// fails.
pub(crate) fn append_behind(journal: &Journal<&Faulty<'_>>, len: usize, behind: &[&[u8]]) {
    let faulty = *journal.medium();
    thread::scope(|scope| {
        scope.spawn(|| {
            faulty.change(|unfinished| unfinished.thread = Some(thread::current().id()));
            journal.append(&vec![0; len]).unwrap_err();
        });
        let mut fences = faulty.wait(|unfinished| unfinished.has_begun).fences;
        for payload in behind {
            scope.spawn(|| journal.append(payload).unwrap_err());
            fences = faulty.wait(|unfinished| unfinished.fences > fences).fences;
        }
        faulty.change(|unfinished| unfinished.is_over = true);
    });
}

/// Appends a record whose fence panics.
pub(crate) fn panic(journal: &Journal<&Faulty<'_>>, payload: &[u8]) {
    journal.medium().panics.store(true, Ordering::Relaxed);
    let appended = catch_unwind(AssertUnwindSafe(|| journal.append(payload)));
    assert!(appended.is_err());
}

impl Readable for Faulty<'_> {
    type Error = Broken;

    fn len(&self) -> u64 {
        self.medium.len()
    }

    fn try_load(&self, at: u64, order: Ordering) -> Result<u64, Broken> {
        Ok(self.load(at, order))
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Broken> {
        self.medium.read(at, into).unwrap();
        Ok(())
    }

    fn check(&self) -> Result<(), Broken> {
        Ok(())
    }
}

impl Medium for Faulty<'_> {
    fn load(&self, at: u64, order: Ordering) -> u64 {
        self.medium.load(at, order)
    }

    fn granularity(&self) -> Granularity {
        self.medium.granularity()
    }

    fn atomic_unit(&self) -> usize {
        self.medium.atomic_unit()
    }

    fn store(&self, at: u64, word: u64, order: Ordering) {
        if !self.is_unfinished() {
            self.medium.store(at, word, order);
        }
    }

    fn write(&self, at: u64, from: &[u8]) {
        if !self.is_unfinished() {
            self.medium.write(at, from);
        }
    }

    fn issue_writeback(&self, range: Range<u64>) -> Result<(), Broken> {
        if self.is_unfinished() {
            self.change(|unfinished| unfinished.has_begun = true);
            drop(self.wait(|unfinished| unfinished.is_over));
            return Err(Broken);
        }
        self.medium.issue_writeback(range).unwrap();
        Ok(())
    }

    fn fence(&self) -> Result<(), Self::Error> {
        if self.panics.swap(false, Ordering::Relaxed) {
            resume_unwind(Box::new(()));
        }
        if !self.is_unfinished() {
            self.medium.fence().unwrap();
            self.change(|unfinished| unfinished.fences += 1);
        }
        self.check()
    }

    fn order_observed(&self) {
        self.medium.order_observed();
    }

    fn deep_persist(&self, range: Range<u64>) -> Result<(), Broken> {
        self.persist(range)
    }

    fn writer_lock(&self) -> Option<&WriterLock> {
        None
    }
}
