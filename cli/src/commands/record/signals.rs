//! Passes signals that ask this command to end on to the program that it runs. After the program's end they stop the
//! recording: other processes can still have its output open.
//!
//! # Why this file is unsafe
//! It installs a signal handler, which reads the kernel's description of the signal and calls `kill` and `write`. All of
//! this may be done in a handler (signal-safety(7)). It also calls `waitid`, which is not in that list: the call only makes
//! a system call, in glibc, musl and the C libraries of macOS and the BSDs. `errno` is as before when the handler
//! returns.

use crate::interrupts::{SIGNALS, is_ignored};
use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::null_mut;
use core::sync::atomic::Ordering::SeqCst;
use core::sync::atomic::{AtomicBool, AtomicI32};
#[cfg(any(target_os = "netbsd", target_os = "openbsd"))]
use libc::__errno as errno_place;
#[cfg(target_os = "linux")]
use libc::__errno_location as errno_place;
#[cfg(any(target_os = "freebsd", target_vendor = "apple"))]
use libc::__error as errno_place;
use libc::{c_int, siginfo_t};
use std::io::{self, PipeReader};
use std::os::fd::IntoRawFd as _;
use std::process::Child;

/// The process that runs the program; 0 before it is started and after it has ended.
static PROGRAM: AtomicI32 = AtomicI32::new(0);
/// The last signal that arrived before the program was started; 0 without such a signal.
static EARLY: AtomicI32 = AtomicI32::new(0);
/// The end for writing of a pipe; 0 before it exists, and after its use. A byte in the pipe stops the recording.
static STOP: AtomicI32 = AtomicI32::new(0);
/// True if this process leads its session, as under `ssh -t HOST cachemaint record`.
static LEADS_SESSION: AtomicBool = AtomicBool::new(false);

/// Passes SIGTERM, SIGHUP and, on Linux, SIGINT on from now on, instead of ending this command. Returns a pipe, which has
/// bytes from the first signal on that comes after the end of the program.
///
/// An ignored signal stays ignored, as with `nohup`. The program inherits that.
pub(super) fn pass_on() -> io::Result<PipeReader> {
    // Not `rustix::process::getsid`, which takes 0 for impossible. The kernel returns 0 for a session that began outside
    // of this process's namespace, as in a container (`pid_namespaces(7)`).
    // SAFETY: the call has no memory of this process as an argument.
    let session = unsafe { libc::getsid(0) };
    let leads = u32::try_from(session).is_ok_and(|session| session == std::process::id());
    LEADS_SESSION.store(leads, SeqCst);
    let (stop, stopper) = io::pipe()?;
    // The handler can run until the process ends, so this end is never closed.
    STOP.store(stopper.into_raw_fd(), SeqCst);
    SIGNALS.into_iter().try_for_each(install)?;
    Ok(stop)
}

/// Sets the program that gets the signals. It also gets the last signal that has arrived already.
pub(super) fn pass_on_to(program: &Child) {
    PROGRAM.store(i32::try_from(program.id()).unwrap_or(0), SeqCst);
    send(EARLY.swap(0, SeqCst));
}

/// Waits until the program has ended, and then stops passing signals on. The process keeps its number until the caller
/// has waited for it, so the signals until then cannot reach another process.
pub(super) fn pass_on_until_end() -> io::Result<()> {
    let program = id_of(PROGRAM.load(SeqCst)).ok_or(io::ErrorKind::NotFound)?;
    loop {
        let mut info = MaybeUninit::<siginfo_t>::zeroed();
        let flags = libc::WEXITED | libc::WNOWAIT;
        // SAFETY: the structure is one of its kind, and the process is a child of this one.
        if unsafe { libc::waitid(libc::P_PID, program, info.as_mut_ptr(), flags) } == 0 {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    PROGRAM.store(0, SeqCst);
    Ok(())
}

#[expect(clippy::fn_to_numeric_cast_any, reason = "the structure has a number for it")]
fn install(signal: c_int) -> io::Result<()> {
    if is_ignored(signal)? {
        return Ok(());
    }
    let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = on_signal;
    // SAFETY: zeros are a valid action, with an empty set of blocked signals.
    let mut action = unsafe { MaybeUninit::<libc::sigaction>::zeroed().assume_init() };
    action.sa_sigaction = handler as libc::sighandler_t;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
    // SAFETY: the structure is whole, and the handler is one of its kind.
    if unsafe { libc::sigaction(signal, &raw const action, null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

extern "C" fn on_signal(signal: c_int, info: *mut siginfo_t, _: *mut c_void) {
    // SAFETY: the call only gives an address.
    let errno = unsafe { errno_place() };
    // SAFETY: the place is this thread's own.
    let before = unsafe { errno.read() };
    if has_ended(PROGRAM.load(SeqCst)) {
        stop();
    } else {
        pass(signal, info);
    }
    // SAFETY: as above.
    unsafe { errno.write(before) };
}

/// Returns true if a program was started and has ended. It keeps its number until this process has waited for it.
fn has_ended(program: c_int) -> bool {
    let Some(number) = id_of(program) else { return false };
    let mut info = MaybeUninit::<siginfo_t>::zeroed();
    let flags = libc::WEXITED | libc::WNOWAIT | libc::WNOHANG;
    // SAFETY: the structure is one of its kind.
    let failed = unsafe { libc::waitid(libc::P_PID, number, info.as_mut_ptr(), flags) };
    // SAFETY: zeros are a valid one, and the call has written a valid one over them.
    let info = unsafe { info.assume_init() };
    failed != 0 || info.si_signo != 0
}

/// Returns a process as `waitid` takes it, whose type has a sign on FreeBSD alone.
fn id_of(process: c_int) -> Option<libc::id_t> {
    let number = usize::try_from(process).ok().filter(|number| *number > 0)?;
    number.try_into().ok()
}

/// Stops the recording.
fn stop() {
    let stopper = STOP.swap(0, SeqCst);
    if stopper > 0 {
        // SAFETY: the descriptor is never closed, and the byte is valid for reads.
        unsafe { libc::write(stopper, [0_u8].as_ptr().cast(), 1) };
    }
}

/// Passes a signal on, unless the program gets it by itself.
fn pass(signal: c_int, info: *mut siginfo_t) {
    // SAFETY: the kernel hands over a valid one, and nothing else has it.
    let code = unsafe { (*info).si_code };
    // Other systems than Linux have numbers of their own there. Of these signals a key sends SIGINT alone.
    let is_sent = if cfg!(target_os = "linux") { code <= 0 } else { signal != libc::SIGINT };
    // The kernel sends the signals of keys to all processes in the foreground of the terminal, and so to the program.
    // It sends the SIGHUP of a hangup to the leader of the session alone (Linux, `drivers/tty/tty_jobctrl.c`,
    // `tty_signal_session_leader`), and to the foreground only when the leader has ended.
    let is_hangup = signal == libc::SIGHUP && LEADS_SESSION.load(SeqCst);
    if is_sent || is_hangup {
        if PROGRAM.load(SeqCst) == 0 {
            EARLY.store(signal, SeqCst);
        }
        send(signal);
    }
}

/// Sends a signal to the program, if it runs.
fn send(signal: c_int) {
    let program = PROGRAM.load(SeqCst);
    if program > 0 && signal > 0 {
        // SAFETY: the call has no memory of this process as an argument.
        unsafe { libc::kill(program, signal) };
    }
}
