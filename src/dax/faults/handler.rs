//! The handler of SIGBUS.
//!
//! # Why this file is unsafe
//! It installs a signal handler, reads the kernel's description of a fault, maps zeros over pages that cannot be
//! accessed, and calls the handler that was installed before.
//!
//! # What may run in it
//! It interrupts any code at any place, so it does nothing but load and store atomics of the process and
//! make system calls: `gettid`, `mmap`, `sigaction`, `raise`. POSIX has no word on `mmap` in a handler; on
//! Linux it is the system call alone (glibc `sysdeps/unix/sysv/linux/mmap64.c`, musl `src/mman/mmap.c`,
//! where `mmap` waits only for threads that give back their stack). `errno` is as before when it returns.
//!
//! # No hole in the mapping
//! `mmap(MAP_FIXED)` unmaps the old pages before it maps the new ones. A failure in between would leave addresses
//! that the file's mapping still counts as its own, and another thread's mapping could get there.
//!
//! | `mmap` can fail for | before it unmaps | here |
//! |---|---|---|
//! | `vm.max_map_count` | yes | then zeros replace the whole mapping, which needs no further mapping |
//! | `RLIMIT_AS`, `RLIMIT_DATA` | yes | the replaced pages are not counted again |
//! | memory to commit | Linux 6.12 and later | a mapping for reading only takes none; `MAP_NORESERVE` takes none unless `vm.overcommit_memory` is 2 |
//!
//! So a hole needs strict accounting, a mapping for writing and Linux before 6.12. As the mapping cannot be
//! trusted then, a failed replacement always ends the process, even if a former handler returns.

use super::slots::{self, Fault, Slot};
use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ops::Range;
use core::ptr::null_mut;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicUsize};
use libc::{c_int, c_short, siginfo_t};
use std::io;
use std::process;
use std::sync::OnceLock;

/// The handler that was there before, as `sigaction` has it.
static BEFORE: AtomicUsize = AtomicUsize::new(libc::SIG_DFL);
/// Its flags.
static BEFORE_FLAGS: AtomicI32 = AtomicI32::new(0);

type Handler = extern "C" fn(c_int);
type HandlerWithInfo = extern "C" fn(c_int, *mut siginfo_t, *mut c_void);

/// Whether the handler was tried on this architecture: on the last three in emulation. In user-mode emulation of
/// those with big-endian words (s390x, powerpc64; QEMU 10) guarded accesses end the process all the same, and the
/// others were not tried.
const TRIED: bool = cfg!(any(
    target_arch = "x86",
    target_arch = "x86_64",
    target_arch = "aarch64",
    target_arch = "arm",
    target_arch = "riscv64",
    all(target_arch = "powerpc64", target_endian = "little"),
));

/// Installs the handler, once in the life of the process.
pub(super) fn install() -> io::Result<()> {
    static OUTCOME: OnceLock<Result<(), i32>> = OnceLock::new();

    if !TRIED {
        let why = "the guard against SIGBUS was not tried on this architecture; read by calls instead \
                   (read_through_kernel)";
        return Err(io::Error::new(io::ErrorKind::Unsupported, why));
    }
    let outcome = OUTCOME
        .get_or_init(|| replace().map_err(|error| error.raw_os_error().unwrap_or(libc::EINVAL)));
    outcome.map_err(io::Error::from_raw_os_error)
}

fn replace() -> io::Result<()> {
    PROCESS.store(process::id(), Relaxed);
    // SAFETY: the function does nothing but store atomics and call `getpid`, which may be done in a child of a process
    // with threads.
    let errno = unsafe { libc::pthread_atfork(None, None, Some(on_fork)) };
    if errno != 0 {
        return Err(io::Error::from_raw_os_error(errno));
    }
    let before = action(None)?;
    remember(&before);
    // Another thread may have replaced it meanwhile.
    remember(&action(Some(&ours(before)))?);
    Ok(())
}

/// Returns the action of this file's handler, in place of another one.
fn ours(before: libc::sigaction) -> libc::sigaction {
    let mut action = before;
    // A signal that had no handler interrupted no call of the system for which the program went on.
    let has_handler = !matches!(action.sa_sigaction, libc::SIG_DFL | libc::SIG_IGN);
    let restart = if has_handler { action.sa_flags & libc::SA_RESTART } else { libc::SA_RESTART };
    action.sa_sigaction = address_of(on_sigbus);
    // On the thread's alternate stack, if it has one: the fault can be on its own. The signals that the
    // former handler has blocked stay blocked, as it is called from this one.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | restart;
    action
}

/// Installs the handler again if the former one has taken it away.
///
/// That of the standard library does so for what is not an overflow of the stack: it sets the default, so that the
/// access, tried again, ends the process. Without an access the process goes on, and later guarded accesses must be
/// errors still. Another handler is the program's decision and stays.
fn stay() {
    match action(None) {
        Ok(now) if matches!(now.sa_sigaction, libc::SIG_DFL | libc::SIG_IGN) => {
            // Its flags do not matter. Another thread may be about to use those of the former handler.
            BEFORE.store(now.sa_sigaction, Release);
            // The same call has succeeded before.
            drop(action(Some(&ours(now))));
        }
        _ => {}
    }
}

/// A handler as `sigaction` takes it.
#[expect(clippy::fn_to_numeric_cast_any, reason = "the structure has a number for it")]
fn address_of(handler: HandlerWithInfo) -> libc::sighandler_t {
    handler as libc::sighandler_t
}

fn remember(action: &libc::sigaction) {
    BEFORE_FLAGS.store(action.sa_flags, Release);
    BEFORE.store(action.sa_sigaction, Release);
}

/// Sets what SIGBUS does, unless that is to be asked only; what it did before.
fn action(new: Option<&libc::sigaction>) -> io::Result<libc::sigaction> {
    let mut before = MaybeUninit::zeroed();
    let new = new.map_or(core::ptr::null(), core::ptr::from_ref);
    // SAFETY: both are null or structures of that type; a new handler is one of this file or one that was
    // there before.
    if unsafe { libc::sigaction(libc::SIGBUS, new, before.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has succeeded and filled it; zeros are one as well.
    Ok(unsafe { before.assume_init() })
}

/// Runs in a forked child, which has neither the threads of its parent nor their guarded accesses.
unsafe extern "C" fn on_fork() {
    PROCESS.store(process::id(), Relaxed);
    slots::release_all();
}

/// The number of this process when the handler was installed, or after the last fork.
static PROCESS: AtomicU32 = AtomicU32::new(0);

/// Returns the number of this process, without a system call. In a child of `clone(2)` without the C library's `fork` it
/// is the parent's.
pub(super) fn this_process() -> u32 {
    PROCESS.load(Relaxed)
}

/// The number of this thread in the system (gettid(2)), which needs no storage of the thread's own.
pub(super) fn this_thread() -> i32 {
    // SAFETY: the call has no arguments and cannot fail.
    number_of(unsafe { libc::syscall(libc::SYS_gettid) })
}

/// The number in a `long`, which is an `i32` on some targets.
fn number_of<Long>(number: Long) -> i32
where
    i32: TryFrom<Long>,
{
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// What the kernel tells of a fault, from its beginning (`include/uapi/asm-generic/siginfo.h`), as all
/// architectures lay it out but mips, which has `si_errno` behind `si_code` and the rest alike.
#[repr(C)]
struct Told {
    signal: c_int,
    errno_and_code: [c_int; 2],
    address: usize,
    address_lsb: c_short,
}

extern "C" fn on_sigbus(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    let before = errno();
    // SAFETY: the kernel hands over a valid one, and nobody else has it.
    let code = unsafe { (*info).si_code };
    let guarded =
        fault(code, info).and_then(|fault| Some((Slot::of(this_thread(), fault.address)?, fault)));
    match guarded {
        Some((slot, fault)) => {
            if !replace_pages(slot, fault) {
                hand_on(signal, code, info, context);
                give_back(libc::SIG_DFL, true);
            }
        }
        None => hand_on(signal, code, info, context),
    }
    set_errno(before);
}

/// The fault, if that is what the signal says (sigaction(2), "SIGBUS").
fn fault(code: c_int, info: *const siginfo_t) -> Option<Fault> {
    if !matches!(code, libc::BUS_ADRERR | libc::BUS_MCEERR_AR) {
        return None;
    }
    // SAFETY: it is the kernel's, larger than this part of it and aligned as it; with these codes the
    // kernel has filled it as that of a fault.
    let told = unsafe { info.cast::<Told>().read() };
    let is_memory_error = code == libc::BUS_MCEERR_AR;
    // Filled for memory errors alone.
    let lsb = if is_memory_error { u32::try_from(told.address_lsb).unwrap_or(0) } else { 0 };
    let extent = 1_usize.checked_shl(lsb).unwrap_or(1);
    Some(Fault { address: told.address, is_memory_error, extent })
}

/// Maps zeros over the pages of a guarded access: over the whole mapping if there cannot be more mappings. Returns
/// false if there is no memory.
fn replace_pages(slot: &Slot, fault: Fault) -> bool {
    let is_writable = slot.is_writable();
    map_zeros(slot.note(fault), is_writable) || map_zeros(slot.note_whole(), is_writable)
}

/// Maps zeros over pages of a guarded mapping.
fn map_zeros(pages: Range<usize>, is_writable: bool) -> bool {
    let address = core::ptr::with_exposed_provenance_mut(pages.start);
    let protection = libc::PROT_READ | if is_writable { libc::PROT_WRITE } else { 0 };
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE;
    // SAFETY: the pages are in the mapping that the slot's owner has borrowed, whose bytes others may change at any
    // time; all references to them are to atomic words, for which zeros are values.
    let mapped = unsafe { libc::mmap(address, pages.len(), protection, flags, -1, 0) };
    mapped != libc::MAP_FAILED
}

/// Does what would have been done without this handler. Without a former one it ignores a memory error that nothing has
/// accessed yet (`BUS_MCEERR_AO`), which asks the program to act if it likes: an access will report it.
fn hand_on(signal: c_int, code: c_int, info: *mut siginfo_t, context: *mut c_void) {
    let before = BEFORE.load(Acquire);
    let (is_sent, is_access) = (code <= 0, code > 0 && code != libc::BUS_MCEERR_AO);
    match before {
        libc::SIG_IGN if is_sent => {}
        libc::SIG_DFL | libc::SIG_IGN if !is_sent && !is_access => {}
        libc::SIG_DFL | libc::SIG_IGN => give_back(before, is_sent),
        handler if BEFORE_FLAGS.load(Acquire) & libc::SA_SIGINFO != 0 => {
            let handler = core::ptr::with_exposed_provenance(handler);
            // SAFETY: it was installed as a handler of this kind.
            let handler = unsafe { core::mem::transmute::<*const (), HandlerWithInfo>(handler) };
            handler(signal, info, context);
            if !is_access {
                stay();
            }
        }
        handler => {
            let handler = core::ptr::with_exposed_provenance(handler);
            // SAFETY: it was installed as a handler of this kind.
            let handler = unsafe { core::mem::transmute::<*const (), Handler>(handler) };
            handler(signal);
            if !is_access {
                stay();
            }
        }
    }
}

/// Gives the signal back to the kernel. The access is tried again when the handler returns, and then the
/// kernel ends the process, also where the signal is ignored (`kernel/signal.c`, `force_sig_info_to_task`).
/// A signal that was sent is sent again.
fn give_back(before: usize, is_sent: bool) {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: zeros are a valid one: no flags, an empty mask, the default.
    unsafe { action.assume_init_mut() }.sa_sigaction = before;
    // SAFETY: the structure is whole; this is one of the two that are no handlers.
    unsafe { libc::sigaction(libc::SIGBUS, action.as_ptr(), null_mut()) };
    if is_sent {
        // SAFETY: it may be called in a handler (signal-safety(7)).
        unsafe { libc::raise(libc::SIGBUS) };
    }
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
