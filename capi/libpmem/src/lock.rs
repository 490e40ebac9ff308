//! A value behind a lock that a forked child and a signal handler can take.
//!
//! The lock is a word: the number of readers, or the mark of a writer. Any number of readers hold it together, and each
//! takes and leaves it by one instruction. So a handler that interrupts a reader at any place can read; a lock that is
//! handed over in several steps, as the C library's, would have it wait for the reader that it interrupts. A writer has
//! all signals blocked: no handler waits for the writer that it interrupts. Who has to wait sleeps in the kernel (a
//! futex), so that a thread of another priority can go on.
//!
//! The threads of a parent do not exist in a forked child. No writer is there at a fork, since the forking thread reads
//! meanwhile, and the child forgets the other readers. A child that a handler has forked can call the library in that
//! handler. It must not return from it: the interrupted call can be between the count of its reads and the lock.

use crate::failure::{errno, set_errno};
use core::cell::{Cell, UnsafeCell};
use core::fmt;
use core::mem::MaybeUninit;
use core::ptr::{null, null_mut};
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

/// The mark of a writer.
const WRITER: u32 = u32::MAX;

/// A value behind a lock.
pub(crate) struct Lock<T> {
    /// The number of readers, or [`WRITER`].
    word: AtomicU32,
    /// The number of threads that may sleep until the word changes.
    waiting: AtomicU32,
    value: UnsafeCell<T>,
}

thread_local! {
    /// The calls of [`Lock::read`] that this thread is in: more than one in a handler. There is one lock.
    static READS: Cell<u32> = const { Cell::new(0) };
}

// SAFETY: the value is changed only by a thread that holds the lock alone, and read by those that hold it.
unsafe impl<T: Send + Sync> Sync for Lock<T> {}

impl<T> fmt::Debug for Lock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock").finish_non_exhaustive()
    }
}

impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self { word: AtomicU32::new(0), waiting: AtomicU32::new(0), value: UnsafeCell::new(value) }
    }

    /// Calls `work` with the value, which other threads can read meanwhile. `work` must not write.
    pub(crate) fn read<R>(&'static self, work: impl FnOnce(&T) -> R) -> R {
        let reads = READS.get();
        // Counts the read before the lock is held: a child of a handler has at least the reads that go on.
        READS.set(reads.saturating_add(1));
        self.lock_to_read();
        // SAFETY: no thread changes the value while this one reads.
        let result = work(unsafe { &*self.value.get() });
        // SAFETY: this thread has locked it to read, and has no reference to the value any more.
        unsafe { self.unlock() };
        READS.set(reads);
        result
    }

    /// Calls `work` with the value, which no other thread has. `work` must not come back here.
    pub(crate) fn write<R>(&'static self, work: impl FnOnce(&mut T) -> R) -> R {
        let mut all = MaybeUninit::uninit();
        let mut before = MaybeUninit::uninit();
        // SAFETY: the set can be written.
        unsafe { libc::sigfillset(all.as_mut_ptr()) };
        // SAFETY: the first set is filled, and the second one can be written. It does not fail for this request.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) };
        while let Err(held) = self.word.compare_exchange(0, WRITER, Acquire, Relaxed) {
            self.wait(held);
        }
        // SAFETY: this thread holds the lock alone until `work` has returned.
        let result = work(unsafe { &mut *self.value.get() });
        self.word.store(0, SeqCst);
        self.wake();
        // SAFETY: the call above has written the set.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), null_mut()) };
        result
    }

    /// Keeps writers away, for the time of a fork.
    pub(crate) fn lock_to_read(&'static self) {
        let one_more = |held| (held != WRITER).then(|| held + 1);
        while let Err(held) = self.word.fetch_update(Acquire, Relaxed, one_more) {
            self.wait(held);
        }
    }

    /// Unlocks the lock.
    ///
    /// # Safety
    /// 1. This thread holds the lock to read, and has no reference to the value that it needs the lock for.
    pub(crate) unsafe fn unlock(&'static self) {
        if self.word.fetch_sub(1, SeqCst) == 1 {
            self.wake();
        }
    }

    /// Waits until the word is no longer `held`, or for a shorter time.
    fn wait(&self, held: u32) {
        // Before the kernel compares the word, as those who change it look for threads that wait after that.
        self.waiting.fetch_add(1, SeqCst);
        futex(&self.word, libc::FUTEX_WAIT, held);
        self.waiting.fetch_sub(1, Release);
    }

    /// Wakes those who wait for a change of the word.
    fn wake(&self) {
        if self.waiting.load(SeqCst) != 0 {
            futex(&self.word, libc::FUTEX_WAKE, u32::MAX >> 1);
        }
    }

    /// Forgets the threads that a forked child does not have, and the lock for the time of the fork.
    ///
    /// # Safety
    /// 1. This is the only thread of a child, and was forked after [`lock_to_read`](Self::lock_to_read).
    pub(crate) unsafe fn forget_other_threads(&'static self) {
        self.word.store(READS.get(), Release);
    }
}

/// Calls the kernel with a word of this process. Neither failure nor an early return matters: the caller looks again.
fn futex(word: &AtomicU32, operation: libc::c_int, value: u32) {
    let operation = operation | libc::FUTEX_PRIVATE_FLAG;
    let forever = null::<libc::timespec>();
    // The calls that wait do not set it, nor do the handlers that interrupt them.
    let before = errno();
    // SAFETY: the kernel reads the word, which lives, and no time.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, value, forever) };
    set_errno(before);
}
