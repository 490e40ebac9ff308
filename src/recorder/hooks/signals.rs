//! The handler of the signals that end a process.
//!
//! # Why this file is unsafe
//! It installs signal handlers, reads what the kernel hands to them, and calls the handlers that were there
//! before.
//!
//! # What may run in it
//! It interrupts any code at any place: it loads and stores atomics, executes write-backs and fences, and
//! calls `sigaction` and `raise`, which may be called in a handler (signal-safety(7)). `errno` is as before
//! when it returns.

use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::{null, null_mut};
use core::sync::atomic::Ordering::{Acquire, Release};
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize};
use libc::{c_int, siginfo_t};
use std::io;
use std::sync::{Mutex, PoisonError};

type Handler = extern "C" fn(c_int);
type HandlerWithInfo = extern "C" fn(c_int, *mut siginfo_t, *mut c_void);

/// A signal, and what it did before.
struct Signal {
    number: c_int,
    /// The handler, as `sigaction` has it.
    before: AtomicUsize,
    flags: AtomicI32,
    is_installed: AtomicBool,
}

impl Signal {
    const fn new(number: c_int) -> Self {
        Self {
            number,
            before: AtomicUsize::new(libc::SIG_DFL),
            flags: AtomicI32::new(0),
            is_installed: AtomicBool::new(false),
        }
    }

    fn install(&self) -> io::Result<()> {
        let mut action = self.action(None)?;
        if action.sa_sigaction == libc::SIG_IGN || self.is_installed.load(Acquire) {
            return Ok(());
        }
        self.remember(&action);
        action.sa_sigaction = address_of(on_signal);
        // Calls of the system that the former handler did not interrupt are not interrupted now.
        let restart = action.sa_flags & libc::SA_RESTART;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | restart;
        // Another thread may have replaced it meanwhile.
        let before = self.action(Some(&action))?;
        self.remember(&before);
        self.is_installed.store(true, Release);
        Ok(())
    }

    fn remember(&self, action: &libc::sigaction) {
        self.flags.store(action.sa_flags, Release);
        self.before.store(action.sa_sigaction, Release);
    }

    /// Sets what the signal does, unless that is to be asked only; what it did before.
    fn action(&self, new: Option<&libc::sigaction>) -> io::Result<libc::sigaction> {
        let mut before = MaybeUninit::zeroed();
        let new = new.map_or(null(), core::ptr::from_ref);
        // SAFETY: both are null or structures of that type; a new handler is one of this file or one that was
        // there before.
        if unsafe { libc::sigaction(self.number, new, before.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call has succeeded and filled it; zeros are one as well.
        Ok(unsafe { before.assume_init() })
    }

    /// Does what would have been done without this handler.
    fn hand_on(&self, info: *mut siginfo_t, context: *mut c_void) {
        match self.before.load(Acquire) {
            before @ (libc::SIG_DFL | libc::SIG_IGN) => self.give_back(before, info),
            before if self.flags.load(Acquire) & libc::SA_SIGINFO != 0 => {
                let handler = core::ptr::with_exposed_provenance(before);
                // SAFETY: it was installed as a handler of this kind.
                let handler =
                    unsafe { core::mem::transmute::<*const (), HandlerWithInfo>(handler) };
                handler(self.number, info, context);
            }
            before => {
                let handler = core::ptr::with_exposed_provenance(before);
                // SAFETY: it was installed as a handler of this kind.
                let handler = unsafe { core::mem::transmute::<*const (), Handler>(handler) };
                handler(self.number);
            }
        }
    }

    /// Gives the signal back to the kernel. An access that failed is tried again when the handler returns, and
    /// then the kernel ends the process. A signal that was sent is sent again, and so is one for a memory error that
    /// nothing has accessed yet.
    fn give_back(&self, before: usize, info: *const siginfo_t) {
        let mut action = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: zeros are a valid one: no flags, an empty mask, the default.
        unsafe { action.assume_init_mut() }.sa_sigaction = before;
        // SAFETY: the structure is whole; this is one of the two that are no handlers.
        unsafe { libc::sigaction(self.number, action.as_ptr(), null_mut()) };
        // SAFETY: the kernel hands over a valid one, and nobody else has it.
        let code = unsafe { (*info).si_code };
        let is_optional = self.number == libc::SIGBUS && code == libc::BUS_MCEERR_AO;
        if code <= 0 || is_optional {
            // SAFETY: it may be called in a handler (signal-safety(7)).
            unsafe { libc::raise(self.number) };
        }
    }
}

static SIGNALS: [Signal; 4] = [
    Signal::new(libc::SIGSEGV),
    Signal::new(libc::SIGABRT),
    Signal::new(libc::SIGBUS),
    Signal::new(libc::SIGTERM),
];

/// Installs the handlers, once in the life of the process.
pub(super) fn install() -> io::Result<()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    SIGNALS.iter().try_for_each(Signal::install)
}

/// A handler as `sigaction` takes it.
#[expect(clippy::fn_to_numeric_cast_any, reason = "the structure has a number for it")]
fn address_of(handler: HandlerWithInfo) -> libc::sighandler_t {
    handler as libc::sighandler_t
}

extern "C" fn on_signal(number: c_int, info: *mut siginfo_t, context: *mut c_void) {
    let before = errno();
    super::crash();
    if let Some(signal) = SIGNALS.iter().find(|signal| signal.number == number) {
        signal.hand_on(info, context);
    }
    set_errno(before);
}

/// The C library's place for the last error of this thread.
fn place_of_errno() -> *mut c_int {
    // SAFETY: the call only gives an address.
    unsafe { libc::__errno_location() }
}

fn errno() -> c_int {
    // SAFETY: the place is this thread's own.
    unsafe { place_of_errno().read() }
}

fn set_errno(errno: c_int) {
    // SAFETY: as above.
    unsafe { place_of_errno().write(errno) };
}
