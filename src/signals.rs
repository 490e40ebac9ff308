//! Handlers of signals that go on to the handlers that were there before.
//!
//! # Why this file is unsafe
//! It installs signal handlers, and calls the former ones.
//!
//! # What may run in a handler
//! It interrupts any code at any place. [`Signal::call_former`], [`Signal::give_back`], [`Signal::reinstall`]
//! and [`keeping_errno`] load and store atomics, and call `sigaction`, `pthread_sigmask` and `raise`, which may be
//! called in a handler (signal-safety(7)). `crashing` does so with `poll`, and [`this_thread`] is a system call alone.

use crate::process::Process;
use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::{from_ref, null, null_mut};
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize};
use libc::{c_int, siginfo_t};
use std::io;

/// A handler that receives the origin of the signal (`SA_SIGINFO`).
pub(crate) type Handler = extern "C" fn(c_int, *mut siginfo_t, *mut c_void);

type HandlerOfNumber = extern "C" fn(c_int);

/// A signal, its new handler, and its former action.
pub(crate) struct Signal {
    number: c_int,
    handler: Handler,
    /// The former handler, as `sigaction` has it.
    former: AtomicUsize,
    former_flags: AtomicI32,
}

impl Signal {
    /// Returns a signal whose handler is not installed yet.
    ///
    /// # Safety
    /// 1. The handler does only what may be done in the middle of any code (signal-safety(7)).
    pub(crate) const unsafe fn new(number: c_int, handler: Handler) -> Self {
        Self {
            number,
            handler,
            former: AtomicUsize::new(libc::SIG_DFL),
            former_flags: AtomicI32::new(0),
        }
    }

    /// Returns the current action.
    pub(crate) fn action(&self) -> io::Result<libc::sigaction> {
        self.exchange(None)
    }

    /// Installs the handler in place of the current action. `restart` is `SA_RESTART` or 0.
    ///
    /// The signals that the former handler blocks stay blocked, as it is called from this one.
    pub(crate) fn install(&self, current: &libc::sigaction, restart: c_int) -> io::Result<()> {
        self.remember(current);
        // Another thread may have replaced it meanwhile.
        self.remember(&self.set(current, restart)?);
        Ok(())
    }

    /// Installs the handler again in place of the default or of ignoring.
    pub(crate) fn reinstall(&self, current: &libc::sigaction, restart: c_int) {
        // The flags of `current` do not matter. Another thread may be about to use those of the former handler.
        self.former.store(current.sa_sigaction, Release);
        // An equal call has succeeded before.
        drop(self.set(current, restart));
    }

    /// Calls the former handler as the kernel would: with the signal blocked, unless it has `SA_NODEFER`, and once, if
    /// it has `SA_RESETHAND`. Without a former handler it returns the former action: `SIG_DFL` or `SIG_IGN`.
    pub(crate) fn call_former(
        &self,
        info: *mut siginfo_t,
        context: *mut c_void,
    ) -> Result<(), libc::sighandler_t> {
        let former = self.former.load(Acquire);
        if is_no_handler(former) {
            return Err(former);
        }
        let flags = self.former_flags.load(Acquire);
        if flags & libc::SA_RESETHAND != 0 {
            // Another thread may have used it up.
            let used = self.former.compare_exchange(former, libc::SIG_DFL, AcqRel, Acquire);
            used.map(drop)?;
        }
        let is_blocked = flags & libc::SA_NODEFER == 0;
        if !is_blocked {
            self.set_mask(libc::SIG_UNBLOCK);
        }
        self.call(former, flags, info, context);
        if !is_blocked {
            self.set_mask(libc::SIG_BLOCK);
        }
        Ok(())
    }

    fn call(
        &self,
        handler: libc::sighandler_t,
        flags: c_int,
        info: *mut siginfo_t,
        context: *mut c_void,
    ) {
        let address = core::ptr::with_exposed_provenance(handler);
        if flags & libc::SA_SIGINFO == 0 {
            // SAFETY: it was installed as a handler of this kind.
            let handler = unsafe { core::mem::transmute::<*const (), HandlerOfNumber>(address) };
            handler(self.number);
        } else {
            // SAFETY: it was installed as a handler of this kind.
            let handler = unsafe { core::mem::transmute::<*const (), Handler>(address) };
            handler(self.number, info, context);
        }
    }

    /// Blocks this signal on this thread, or unblocks it.
    fn set_mask(&self, how: c_int) {
        let mut signals = MaybeUninit::<libc::sigset_t>::zeroed();
        // SAFETY: the call fills the set.
        unsafe { libc::sigemptyset(signals.as_mut_ptr()) };
        // SAFETY: the call changes a set that was filled.
        unsafe { libc::sigaddset(signals.as_mut_ptr(), self.number) };
        // SAFETY: the call reads a set that was filled.
        unsafe { libc::pthread_sigmask(how, signals.as_ptr(), null_mut()) };
    }

    /// Gives the signal back to the kernel: sets the default or ignoring, and sends the signal again if asked to.
    ///
    /// An access that failed is tried again when the handler returns, and then the kernel ends the process, also
    /// where the signal is ignored (`kernel/signal.c`, `force_sig_info_to_task`).
    pub(crate) fn give_back(&self, action: libc::sighandler_t, sends_again: bool) {
        let mut whole = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: zeros are a valid one: no flags, an empty mask, the default.
        unsafe { whole.assume_init_mut() }.sa_sigaction = action;
        // SAFETY: the structure is whole; the action is one of the two that are not handlers.
        unsafe { libc::sigaction(self.number, whole.as_ptr(), null_mut()) };
        if sends_again {
            // SAFETY: it may be called in a handler (signal-safety(7)).
            unsafe { libc::raise(self.number) };
        }
    }

    fn remember(&self, action: &libc::sigaction) {
        // SAFETY: the set is that of an action.
        let is_masked = unsafe { libc::sigismember(&raw const action.sa_mask, self.number) } == 1;
        let dropped = if is_masked { libc::SA_NODEFER } else { 0 };
        self.former_flags.store(action.sa_flags & !dropped, Release);
        self.former.store(action.sa_sigaction, Release);
    }

    /// Sets the handler, and returns the action before.
    #[expect(clippy::fn_to_numeric_cast_any, reason = "the structure has a number for it")]
    fn set(&self, current: &libc::sigaction, restart: c_int) -> io::Result<libc::sigaction> {
        let mut action = *current;
        action.sa_sigaction = self.handler as libc::sighandler_t;
        // On the thread's alternate stack, if it has one: the fault can be on its own.
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | restart;
        self.exchange(Some(&action))
    }

    /// Sets the action if there is a new one, and returns the action before.
    fn exchange(&self, new: Option<&libc::sigaction>) -> io::Result<libc::sigaction> {
        let mut before = MaybeUninit::zeroed();
        let new = new.map_or(null(), from_ref);
        // SAFETY: both are null or structures of that type; the new handler may interrupt any code, as `new`
        // demands.
        if unsafe { libc::sigaction(self.number, new, before.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call has succeeded and filled it; zeros are one as well.
        Ok(unsafe { before.assume_init() })
    }
}

/// Returns true if the signal with this code is for an access that fails again when the handler returns (sigaction(2),
/// `si_code`). Another one is over: it was sent, or is for an access that is not repeated.
pub(crate) const fn comes_again(number: c_int, code: c_int) -> bool {
    /// A failed check of tags that was found later (Linux, `include/uapi/asm-generic/siginfo.h`).
    const SEGV_MTEAERR: c_int = 8;
    match number {
        libc::SIGSEGV => code > 0 && code != SEGV_MTEAERR,
        libc::SIGBUS => code > 0 && code != libc::BUS_MCEERR_AO,
        _ => false,
    }
}

/// The threads that write back in a handler, because the process may end.
static CRASHING: Places = Places([const { AtomicU64::new(0) }; MOST_CRASHING]);

/// The number of threads that can be [crashing] at a time. Another one waits.
pub(crate) const MOST_CRASHING: usize = 32;

/// Does the work of a handler of a signal that may end the process. The work must not wait for another thread, which may be
/// waiting for a place.
#[cfg(any(feature = "recorder", test))]
pub(crate) fn crashing(work: impl FnOnce()) {
    CRASHING.hold(crashing_thread(), wait, work);
}

/// Returns true on a thread that is [crashing].
pub(crate) fn is_crashing() -> bool {
    CRASHING.has(crashing_thread())
}

/// Returns the number of this thread with that of its process: a forked child has a copy of the places, and its threads can
/// have the numbers of the parent's.
fn crashing_thread() -> u64 {
    u64::from(this_thread().cast_unsigned()) << 32 | Process::this().number() & PROCESS
}

/// Waits for a millisecond. It may be called in a handler (signal-safety(7)).
#[cfg(any(feature = "recorder", test))]
fn wait() {
    // SAFETY: there is no structure to read.
    unsafe { libc::poll(null_mut(), 0, 1) };
}

/// The bits of a place that have the process.
const PROCESS: u64 = u32::MAX as u64;

/// A place for each thread that is crashing; 0 if it is free. A thread's number has its [process](PROCESS) in the lower half.
struct Places([AtomicU64; MOST_CRASHING]);

impl Places {
    fn has(&self, thread: u64) -> bool {
        self.0.iter().any(|place| place.load(Relaxed) == thread)
    }

    /// Does the work with a place for the thread. A handler that interrupts the work shares the place: otherwise threads that
    /// have all places could wait for each other.
    #[cfg(any(feature = "recorder", test))]
    fn hold(&self, thread: u64, mut wait: impl FnMut(), work: impl FnOnce()) {
        if self.has(thread) {
            return work();
        }
        let place = loop {
            if let Some(place) = self.0.iter().find(|place| take(place, thread)) {
                break place;
            }
            wait();
        };
        work();
        place.store(0, Relaxed);
    }
}

/// Takes a place if it is free: empty, or a copy of the parent's.
#[cfg(any(feature = "recorder", test))]
fn take(place: &AtomicU64, thread: u64) -> bool {
    let is_free = |other: u64| other == 0 || (other ^ thread) & PROCESS != 0;
    let taken = place.fetch_update(Relaxed, Relaxed, |other| is_free(other).then_some(thread));
    taken.is_ok()
}

/// Returns true for the default and for ignoring.
pub(crate) const fn is_no_handler(action: libc::sighandler_t) -> bool {
    matches!(action, libc::SIG_DFL | libc::SIG_IGN)
}

/// Does the work of a handler, and leaves `errno` as the interrupted code had it.
pub(crate) fn keeping_errno(work: impl FnOnce()) {
    // SAFETY: the call only gives an address.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: the place is this thread's own.
    let before = unsafe { errno.read() };
    work();
    // SAFETY: as above.
    unsafe { errno.write(before) };
}

/// Returns the number of this thread in the system (gettid(2)), which needs no storage of the thread's own.
pub(crate) fn this_thread() -> i32 {
    // SAFETY: the call has no arguments and cannot fail.
    number_of(unsafe { libc::syscall(libc::SYS_gettid) })
}

/// Returns the number in a `long`, which is an `i32` on some targets.
fn number_of<Long>(number: Long) -> i32
where
    i32: TryFrom<Long>,
{
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{AtomicU64, MOST_CRASHING, Places, Relaxed};
    use core::cell::Cell;

    const THREAD: u64 = 7 << 32 | 5;
    const OTHER: u64 = 8 << 32 | 5;

    /// Returns places that are all taken.
    fn taken() -> Places {
        Places([const { AtomicU64::new(OTHER) }; MOST_CRASHING])
    }

    #[test]
    fn a_crashing_thread_without_a_place_waits_until_it_has_one() {
        let places = taken();
        let (waits, works) = (Cell::new(0), Cell::new(0));
        let wait = || {
            assert!(!places.has(THREAD));
            waits.set(waits.get() + 1);
            if waits.get() == 3 {
                places.0[MOST_CRASHING - 1].store(0, Relaxed);
            }
        };
        places.hold(THREAD, wait, || {
            assert!(places.has(THREAD));
            works.set(works.get() + 1);
        });
        assert_eq!((waits.get(), works.get()), (3, 1));
        assert!(!places.has(THREAD));
    }

    #[test]
    fn a_handler_that_interrupts_a_crashing_thread_does_not_wait() {
        let places = taken();
        places.0[0].store(0, Relaxed);
        let none = || unreachable!("its thread has a place");
        places.hold(THREAD, none, || {
            let works = Cell::new(false);
            places.hold(THREAD, none, || works.set(true));
            assert!(works.get() && places.has(THREAD));
        });
    }

    #[test]
    fn a_forked_child_takes_the_places_of_its_parent_and_is_not_crashing_by_them() {
        let places = taken();
        let child = OTHER + 1;
        assert!(!places.has(child));
        places.hold(child, || unreachable!("the places are free"), || assert!(places.has(child)));
    }
}
