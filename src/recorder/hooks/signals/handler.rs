//! The handler of the signals that end a process.
//!
//! # Why this file is unsafe
//! It reads what the kernel hands to a signal handler.
//!
//! # Contents of the handler
//! The handler can interrupt any code at any place. So it only loads and stores atomics, executes write-backs and
//! fences, calls the methods of a medium that is [`SignalSafe`], and hands the signal on. `errno` is as before when it returns.

use crate::dax::DaxFile;
use crate::medium::Memory;
use crate::recorder::Cursor;
use crate::signals::{self, Signal};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ffi::c_void;
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::{Acquire, Release};
use libc::{c_int, siginfo_t};
use std::io;
use std::sync::{Mutex, PoisonError};

/// A type whose methods a signal handler may call: a medium, or the memory for [`Cursor`]s.
///
/// [`Recorder::stop_on_signals`](crate::recorder::Recorder::stop_on_signals) demands it of both.
///
/// # Safety
/// 1. The methods of [`Medium`](crate::medium::Medium) and [`Readable`](crate::medium::Readable), or of `AsRef<[Cursor]>`,
///    do what a handler that has interrupted any code may do (signal-safety(7)). They do not lock, and do not allocate or
///    release memory, even for an error. This includes the methods that a crate implements for references to its type, and
///    the drop of the error. It excludes leases and `deep_persist`, which the handler does not use.
///
/// # Errors in the handler
/// The handler drops each error. Return one that owns no memory, such as the number of the system's error.
/// `io::Error::last_os_error` and `io::Error::from_raw_os_error` do not allocate; `io::Error::new` does.
///
/// If a write-back of a [`DaxFile`] fails in the handler, it returns `Ok(())`. The failure stays, and the next write-back
/// outside the handler returns it. So a medium around a file must not rely on success there. The recorder does not: all
/// events that the handler has written back stay due.
pub unsafe trait SignalSafe {}

// SAFETY: (1) loads, stores, write-backs, fences and `msync`; see `Tainted::call` for the threads that it waits for.
unsafe impl SignalSafe for DaxFile {}
// SAFETY: (1) loads, stores, write-backs and fences.
unsafe impl SignalSafe for Memory<'_> {}
// SAFETY: (1) nothing is done.
unsafe impl SignalSafe for [Cursor] {}
// SAFETY: (1) nothing is done.
unsafe impl<const N: usize> SignalSafe for [Cursor; N] {}
// SAFETY: (1) the contract of `T` includes its references.
unsafe impl<T: SignalSafe + ?Sized> SignalSafe for &T {}
// SAFETY: (1) the methods are those of `T`: no other crate can implement the traits for an `Arc`.
unsafe impl<T: SignalSafe + ?Sized> SignalSafe for Arc<T> {}
// SAFETY: (1) nothing is done. The crate of any other type can implement the traits for its box.
unsafe impl SignalSafe for Box<[Cursor]> {}

/// A signal that ends a process.
struct Ending {
    number: c_int,
    signal: Signal,
    is_installed: AtomicBool,
}

impl Ending {
    const fn new(number: c_int) -> Self {
        // SAFETY: (1) the head of this file lists what the handler does.
        let signal = unsafe { Signal::new(number, on_signal) };
        Self { number, signal, is_installed: AtomicBool::new(false) }
    }

    fn install(&self) -> io::Result<()> {
        let current = self.signal.action()?;
        // System calls that the former handler did not interrupt are not interrupted now.
        let restart = current.sa_flags & libc::SA_RESTART;
        if current.sa_sigaction == libc::SIG_IGN {
            return Ok(());
        }
        if self.is_installed.load(Acquire) {
            // A handler that was set over this one may call it. Above such a handler this one would call itself for ever.
            if current.sa_sigaction == libc::SIG_DFL {
                self.signal.reinstall(&current, restart);
            }
            return Ok(());
        }
        self.signal.install(&current, restart)?;
        self.is_installed.store(true, Release);
        Ok(())
    }

    /// Has the signal act as it would without this handler. A signal that does not come again by itself is sent again.
    fn hand_on(&self, info: *mut siginfo_t, context: *mut c_void, comes_again: bool) {
        if let Err(action) = self.signal.call_former(info, context) {
            self.signal.give_back(action, !comes_again);
        }
    }
}

static ENDINGS: [Ending; 4] = [
    Ending::new(libc::SIGSEGV),
    Ending::new(libc::SIGABRT),
    Ending::new(libc::SIGBUS),
    Ending::new(libc::SIGTERM),
];

/// Installs the handlers, once in the life of the process.
pub(super) fn install() -> io::Result<()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    ENDINGS.iter().try_for_each(Ending::install)
}

extern "C" fn on_signal(number: c_int, info: *mut siginfo_t, context: *mut c_void) {
    signals::keeping_errno(|| {
        // SAFETY: the kernel hands over a valid `siginfo_t`, which is not shared.
        let code = unsafe { (*info).si_code };
        let comes_again = signals::comes_again(number, code);
        signals::crashing(|| super::crash(is_fault(number, code)));
        if let Some(ending) = ENDINGS.iter().find(|ending| ending.number == number) {
            ending.hand_on(info, context, comes_again);
        }
    });
}

/// Returns true if the interrupted code itself caused the signal with this code, and would cause it again.
pub(super) const fn is_fault(number: c_int, code: c_int) -> bool {
    // `abort` sends its signal to its own thread (sigaction(2), `si_code`), and may unblock it in the handler.
    signals::comes_again(number, code) || matches!((number, code), (libc::SIGABRT, libc::SI_TKILL))
}
