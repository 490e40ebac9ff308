//! A value behind a lock that a forked child and a signal handler can take.
//!
//! The lock is a word: the number of readers, or the mark of a writer. Any number of readers can hold it together, and
//! each acquires and releases it with one instruction, so a handler that interrupts a reader at any point can still
//! read. A lock that changes hands in several steps, like the C library's, would make it wait for the reader that it
//! interrupted. A writer blocks all signals, so no handler waits for a writer that it interrupted. A thread that has to
//! wait sleeps in the kernel (a futex), so that a thread of another priority can continue, and it handles signals as
//! before the call. A handler that interrupts a reader and writes waits forever, as with PMDK, and a signal can end
//! that.
//!
//! The threads of a parent do not exist in a forked child, so the child forgets any readers and writer among them. The
//! value is intact there, since a writer makes a new value and publishes it with one store. A fork does not take the
//! lock: the forking thread may hold locks of the program or of its allocator, which a writer can be waiting for.
//!
//! A child that was forked in a handler can call the library in that handler. It also forgets the call that the handler
//! interrupted, which its own call would otherwise wait for. It must not return from the handler once it has written
//! there: the interrupted reader may use the previous value.
//!
//! Handlers of `pthread_atfork` run in a child in the order in which they were registered. One that the program
//! registered before it loaded this library with `dlopen` runs before the threads are forgotten: a call there can wait
//! forever for a thread of the parent, as with PMDK.

use crate::failure::{errno, set_errno};
use core::fmt;
use core::mem::MaybeUninit;
use core::ptr::{null, null_mut};
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use core::sync::atomic::{AtomicPtr, AtomicU32};

/// The mark of a writer.
const WRITER: u32 = u32::MAX;

/// A value behind a lock.
pub(crate) struct Lock<T> {
    /// The number of readers, or [`WRITER`].
    word: AtomicU32,
    /// The number of threads that may sleep until the word changes.
    waiting: AtomicU32,
    first: T,
    /// The value, in a box; null for the first one.
    replaced: AtomicPtr<[T; 1]>,
}

impl<T> fmt::Debug for Lock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock").finish_non_exhaustive()
    }
}

impl<T: Send + Sync> Lock<T> {
    pub(crate) const fn new(first: T) -> Self {
        let (word, waiting) = (AtomicU32::new(0), AtomicU32::new(0));
        Self { word, waiting, first, replaced: AtomicPtr::new(null_mut()) }
    }

    /// Calls `work` with the value, which other threads can read meanwhile. `work` must not replace it.
    pub(crate) fn read<R>(&'static self, work: impl FnOnce(&T) -> R) -> R {
        self.lock_to_read();
        // SAFETY: (1) this thread has locked it to read.
        let result = work(unsafe { self.value() });
        self.unlock_to_read();
        result
    }

    /// Replaces the value with the one that `make` returns, if any, and calls `complete`. If that fails, the previous
    /// value stays. Other threads wait meanwhile. The functions must not use this lock.
    ///
    /// A child that is forked during this call has the previous value until `make` has returned, then the new one.
    pub(crate) fn replace<E>(
        &'static self,
        make: impl FnOnce(&T) -> Result<Option<Box<[T; 1]>>, E>,
        complete: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let before = self.lock_to_write();
        // SAFETY: (1) this thread holds the lock alone.
        let result = unsafe { self.replace_locked(make, complete) };
        self.word.store(0, SeqCst);
        self.wake();
        set_signals(&before);
        result
    }

    /// # Safety
    /// 1. This thread holds the lock alone.
    unsafe fn replace_locked<E>(
        &self,
        make: impl FnOnce(&T) -> Result<Option<Box<[T; 1]>>, E>,
        complete: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        // SAFETY: (1) this thread holds it.
        let Some(new) = make(unsafe { self.value() })? else { return complete() };
        let new = Box::into_raw(new);
        let former = self.replaced.swap(new, AcqRel);
        let completed = complete();
        let unused = if completed.is_ok() { former } else { self.replaced.swap(former, AcqRel) };
        if !unused.is_null() {
            // SAFETY: it was made of a box, and no other thread has a reference to it (1).
            drop(unsafe { Box::from_raw(unused) });
        }
        completed
    }

    /// # Safety
    /// 1. This thread holds the lock until it has dropped the reference.
    unsafe fn value(&self) -> &T {
        // SAFETY: it is null or a box's, which a writer alone releases (1).
        unsafe { self.replaced.load(Acquire).as_ref() }.map_or(&self.first, |[value]| value)
    }

    /// Locks the value with all signals blocked. Returns the signals that were blocked before.
    fn lock_to_write(&self) -> MaybeUninit<libc::sigset_t> {
        loop {
            let before = block_signals();
            let Err(held) = self.word.compare_exchange(0, WRITER, Acquire, Relaxed) else {
                return before;
            };
            set_signals(&before);
            self.wait(held);
        }
    }

    fn lock_to_read(&self) {
        let one_more = |held| (held != WRITER).then(|| held + 1);
        while let Err(held) = self.word.fetch_update(Acquire, Relaxed, one_more) {
            self.wait(held);
        }
    }

    fn unlock_to_read(&self) {
        // A child that has returned from a handler has forgotten this read.
        let one_less = |held: u32| held.checked_sub(1);
        if self.word.fetch_update(SeqCst, Relaxed, one_less) == Ok(1) {
            self.wake();
        }
    }

    /// Waits until the word is no longer `held`, or for a shorter time.
    fn wait(&self, held: u32) {
        // This comes before the kernel compares the word, since threads that change the word look for waiting threads
        // after that.
        self.waiting.fetch_add(1, SeqCst);
        futex(&self.word, libc::FUTEX_WAIT, held);
        self.waiting.fetch_sub(1, Release);
    }

    /// Wakes the threads that wait for a change of the word.
    fn wake(&self) {
        if self.waiting.load(SeqCst) != 0 {
            futex(&self.word, libc::FUTEX_WAKE, u32::MAX >> 1);
        }
    }

    /// Forgets the threads that a forked child does not have, and the calls that the forking handler interrupted. The
    /// value of a writer among those threads is not freed.
    ///
    /// # Safety
    /// 1. This is the only thread of a child, and does not replace the value.
    pub(crate) unsafe fn forget_other_threads(&'static self) {
        self.word.store(0, Release);
        self.waiting.store(0, Relaxed);
    }
}

/// Blocks all signals of this thread. Returns those that were blocked before; a C library writes only the part that the
/// kernel knows.
fn block_signals() -> MaybeUninit<libc::sigset_t> {
    let mut all = MaybeUninit::uninit();
    let mut before = MaybeUninit::uninit();
    // SAFETY: the set can be written.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: the first set is filled, and the second one can be written. It does not fail for this request.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) };
    before
}

/// Blocks only these signals of this thread.
fn set_signals(blocked: &MaybeUninit<libc::sigset_t>) {
    // SAFETY: the set was written by this function. It does not fail for this request.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, blocked.as_ptr(), null_mut()) };
}

/// Calls the kernel with a word of this process. Failures and early returns do not matter, since the caller checks
/// again.
fn futex(word: &AtomicU32, operation: libc::c_int, value: u32) {
    let operation = operation | libc::FUTEX_PRIVATE_FLAG;
    let forever = null::<libc::timespec>();
    // Waiting calls do not set it, and neither do handlers that interrupt them.
    let before = errno();
    // SAFETY: the kernel reads the word, which lives, and no time.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, value, forever) };
    set_errno(before);
}

#[cfg(test)]
mod tests {
    use super::Lock;
    use crate::ranges::{OutOfMemory, boxed};
    use core::sync::atomic::AtomicBool;
    use core::sync::atomic::Ordering::SeqCst;
    use std::os::unix::thread::JoinHandleExt as _;
    use std::thread;
    use std::time::{Duration, Instant};

    /// A child that is forked while a range is being unmapped must not find it in the list.
    #[test]
    fn a_value_is_published_before_its_change_is_completed() {
        static LOCK: Lock<u32> = Lock::new(1);
        // SAFETY: only this thread uses the lock, and nothing is released in the call (1).
        let published = || *unsafe { LOCK.value() };
        let replace = |new: Option<u32>, seen: u32, completed: Result<(), OutOfMemory>| {
            LOCK.replace(
                |_| new.map(boxed).transpose(),
                || {
                    assert_eq!(published(), seen);
                    completed
                },
            )
        };
        assert!(replace(Some(2), 2, Ok(())).is_ok());
        assert!(replace(Some(3), 3, Err(OutOfMemory)).is_err());
        assert_eq!(LOCK.read(|value| *value), 2, "the former one after a failure");
        assert!(replace(None, 2, Ok(())).is_ok());
        assert!(replace(Some(4), 4, Ok(())).is_ok());
        assert_eq!(LOCK.read(|value| *value), 4);
    }

    /// A handler of a signal that ends the program, or that releases the lock, must not wait for it.
    #[test]
    #[expect(clippy::fn_to_numeric_cast_any, reason = "signal(2) takes a number")]
    fn a_writer_that_waits_for_a_reader_handles_signals() {
        static LOCK: Lock<u32> = Lock::new(1);
        static HANDLED: AtomicBool = AtomicBool::new(false);
        extern "C" fn handle(_signal: libc::c_int) {
            HANDLED.store(true, SeqCst);
        }
        let handler: extern "C" fn(libc::c_int) = handle;
        // SAFETY: the handler stores a flag, and no other test sends this signal.
        unsafe { libc::signal(libc::SIGURG, handler as libc::sighandler_t) };
        let (is_handled, writer) = LOCK.read(|_| {
            let writer = thread::spawn(|| LOCK.replace(|_| boxed(2).map(Some), || Ok(())));
            while LOCK.waiting.load(SeqCst) == 0 {
                thread::yield_now();
            }
            // SAFETY: the thread waits, and is joined below.
            unsafe { libc::pthread_kill(writer.as_pthread_t(), libc::SIGURG) };
            let begin = Instant::now();
            while !HANDLED.load(SeqCst) && begin.elapsed() < Duration::from_secs(600) {
                thread::yield_now();
            }
            (HANDLED.load(SeqCst), writer)
        });
        assert!(writer.join().unwrap().is_ok());
        assert!(is_handled, "the signal waited for the lock");
        assert_eq!(LOCK.read(|value| *value), 2);
    }
}
