//! SIGBUS on Linux: an access that faults fails its mapping instead of ending the process.
//!
//! An access raises SIGBUS at a page with a media error, at a page beyond the end of a truncated file, and at a hole for which
//! there is no space. The handler finds the mapping in a registry, sets its [latch](Latch), and maps zeros over the
//! whole mapping. The access then succeeds, and callers that ask the latch afterwards do not take the zeros for the
//! file's bytes. Nothing is mapped back.
//!
//! # Why this file is unsafe
//! It handles a signal, calls the previous handler, maps zeros over mappings, and follows the links of the registry.
//!
//! # What may run in the handler
//! It interrupts any code at any place, so it loads and stores atomics and makes system calls: `mmap`, `munlock`,
//! `madvise`, `sigaction`, `pthread_sigmask`, `raise`. On Linux the first two are only the system calls (glibc
//! `sysdeps/unix/sysv/linux/mmap64.c`; musl `src/mman/mmap.c` waits only for threads that release their stacks). The
//! first caller that gets the failure determines later why the access failed.

use super::Error;
use super::latch::{FailedAccess, Latch};
use super::slot::{Described, Slot};
use crate::arch::Sigbus;
use crate::arch::native::ARCHITECTURE;
use crate::process::Process;
use alloc::boxed::Box;
use core::ffi::c_void;
use core::iter;
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull, from_ref, null, null_mut};
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicUsize};
use libc::{c_int, c_short, siginfo_t};
use std::io;
use std::path::Path;
use std::sync::OnceLock;

/// A token that the process has a SIGBUS handler for the mappings of this crate.
///
/// ```
/// use cachemaint::dax::{ErrorKind, FaultHandler, Options};
/// use std::sync::atomic::Ordering::Relaxed;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("records");
/// FaultHandler::install()?; // once, where the program decides about signals
/// let file = Options::new().allow_page_granularity().create_new(&path, 1 << 20)?;
///
/// # std::fs::File::options().write(true).open(&path)?.set_len(4096)?;
/// // Somebody has cut the file: this would have ended the process.
/// let word = file.load(8192, Relaxed);
/// let failed = file.check().unwrap_err(); // so the word is not to be believed
/// assert!(matches!(failed.kind(), ErrorKind::Shorter { .. }));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FaultHandler(());

impl FaultHandler {
    /// Installs a SIGBUS handler for the whole process. It stays for the life of the process.
    ///
    /// An access that faults in a mapping of a [`DaxView`](super::DaxView) or [`DaxFile`](super::DaxFile) then fails
    /// the mapping. Every thread sees zeros in place of all its bytes, and every call that can fail returns the failure
    /// until the file is reopened: [`ErrorKind::Poisoned`](super::ErrorKind::Poisoned),
    /// [`Shorter`](super::ErrorKind::Shorter) or [`NoSpace`](super::ErrorKind::NoSpace). It is
    /// [`Os`](super::ErrorKind::Os) if the file shows no reason, as after a refusal by a quota or by copy on write, or
    /// in a file that was truncated and extended again. Ask [`check`](super::DaxView::check) before relying on loaded
    /// bytes.
    ///
    /// Any other SIGBUS goes to the previous handler, or to the kernel if there was none. The kernel ends the process
    /// if the thread blocks SIGBUS. A program that installs another handler later must call this one.
    ///
    /// # Errors
    /// Those of `sigaction(2)`; [`ErrorKind::Unsupported`](super::ErrorKind::Unsupported) on architectures where it was
    /// not tried: all but x86, Arm, 64-bit RISC-V and little-endian POWER.
    pub fn install() -> Result<Self, Error> {
        static OUTCOME: OnceLock<Result<(), i32>> = OnceLock::new();

        let path = Path::new("SIGBUS");
        if ARCHITECTURE.sigbus == Sigbus::Untried {
            let why = "the SIGBUS handler was never tried on this architecture; read with PreadFile instead";
            return Err(Error::unsupported(path, why));
        }
        let replaced = OUTCOME.get_or_init(|| {
            replace().map_err(|error| error.raw_os_error().unwrap_or(libc::EINVAL))
        });
        replaced
            .map_err(|errno| Error::os(path, "sigaction", &io::Error::from_raw_os_error(errno)))?;
        Ok(Self(()))
    }
}

/// The newest entry of the registry; null before the first mapping.
static NEWEST: AtomicPtr<Entry> = AtomicPtr::new(null_mut());

/// An entry of the registry. Entries are reused and never freed, so that the handler can follow them.
#[derive(Debug)]
struct Entry {
    slot: Slot<Latch>,
    older: AtomicPtr<Self>,
}

impl Entry {
    /// Adds an entry whose slot is taken.
    #[cold]
    fn add() -> &'static Self {
        let new = Self { slot: Slot::taken(), older: AtomicPtr::new(null_mut()) };
        let entry: &'static Self = Box::leak(Box::new(new));
        let mut newest = NEWEST.load(Acquire);
        loop {
            entry.older.store(newest, Relaxed);
            let new = from_ref(entry).cast_mut();
            match NEWEST.compare_exchange(newest, new, AcqRel, Acquire) {
                Ok(_) => return entry,
                Err(other) => newest = other,
            }
        }
    }

    /// Returns the mapping if the address is in it. The mapping of an access cannot end meanwhile, so a slot that changes
    /// has another mapping.
    fn at(&self, address: usize) -> Option<Found> {
        let mapping = self.slot.read()?;
        let at = address.wrapping_sub(mapping.start);
        let is_here = at < mapping.len && Process::of(mapping.owner).is_this();
        is_here.then_some(Found { mapping, at })
    }
}

fn entries() -> impl Iterator<Item = &'static Entry> {
    // SAFETY: each link is null or an entry that was whole before it was linked, and is never released.
    let follow = |link: &AtomicPtr<Entry>| unsafe { link.load(Acquire).as_ref() };
    iter::successors(follow(&NEWEST), move |entry| follow(&entry.older))
}

/// A mapping in the registry; dropping this removes it.
#[derive(Debug)]
pub(super) struct Registered(&'static Entry);

impl Registered {
    /// Registers a mapping of whole pages.
    ///
    /// # Safety
    /// Until the value is dropped
    /// 1. zeros may be mapped over the `len` bytes from `base` on at any time: no code makes a reference to them except to
    ///    atomic words, or callers have vouched for its end;
    /// 2. the latch stays where it is.
    pub(super) unsafe fn new(
        base: NonNull<u8>,
        len: usize,
        is_writable: bool,
        latch: &Latch,
    ) -> Self {
        let entry = entries().find(|entry| entry.slot.take()).unwrap_or_else(Entry::add);
        entry.slot.fill(&Described {
            start: base.addr().get(),
            len,
            owner: Process::this().number(),
            is_writable,
            latch: from_ref(latch).cast_mut(),
        });
        Self(entry)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.0.slot.clear();
    }
}

/// The mapping of an access that has failed.
struct Found {
    mapping: Described<Latch>,
    /// The place of the access.
    at: usize,
}

impl Found {
    /// Fails the mapping, and maps zeros over it. Returns false if there is no memory for that.
    ///
    /// # Safety
    /// 1. The mapping exists: this thread accesses it.
    unsafe fn fail(&self, fault: &Fault) -> bool {
        // SAFETY: (1) is the caller's duty.
        unsafe { self.set_latch(fault) };
        // SAFETY: (1) the registry has the mapping, whose owner has permitted it.
        unsafe { map_zeros(&self.mapping) }
    }

    /// # Safety
    /// 1. The mapping exists.
    unsafe fn set_latch(&self, fault: &Fault) {
        // SAFETY: the latch lives as long as the mapping (1).
        if let Some(latch) = unsafe { self.mapping.latch.as_ref() } {
            let Fault { is_memory_error, order, .. } = *fault;
            latch.set_access(FailedAccess { at: self.at as u64, is_memory_error, order });
        }
    }
}

/// Maps zeros in place of a mapping. Returns false if there is no memory for that.
///
/// `mmap(MAP_FIXED)` replaces the pages in one step. `MAP_NORESERVE` reserves no memory for them unless
/// `vm.overcommit_memory` is 2. After `mlockall(MCL_FUTURE)` the new pages would count as locked again, so the old ones
/// are unlocked first.
///
/// # Safety
/// 1. The range is a mapping whose bytes may become zeros at any time.
unsafe fn map_zeros(mapping: &Described<Latch>) -> bool {
    let Described { start, len, is_writable, .. } = *mapping;
    let address = ptr::with_exposed_provenance_mut(start);
    let protection = libc::PROT_READ | if is_writable { libc::PROT_WRITE } else { 0 };
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE;
    // SAFETY: the caller's duty (1).
    let map = || unsafe { libc::mmap(address, len, protection, flags, -1, 0) };
    // SAFETY: the pages are the same; no byte changes.
    let unlock = || unsafe { libc::munlock(address, len) };
    let is_mapped = map() != libc::MAP_FAILED || (unlock() == 0 && map() != libc::MAP_FAILED);
    if is_mapped {
        // A child does not inherit the mapping, and so not its zeros. SAFETY: no byte changes.
        unsafe { libc::madvise(address, len, libc::MADV_DONTFORK) };
    }
    is_mapped
}

/// An access that has failed, as the kernel describes it.
#[derive(Debug)]
struct Fault {
    address: usize,
    is_memory_error: bool,
    /// The number of bytes around the address that are bad, as a power of two.
    order: u8,
}

/// The beginning of the kernel's description of a fault (`include/uapi/asm-generic/siginfo.h`). All architectures use
/// this layout, except mips, which swaps `si_errno` and `si_code`.
#[repr(C)]
struct SignalInfo {
    signal: c_int,
    errno_and_code: [c_int; 2],
    address: usize,
    address_lsb: c_short,
}

/// Returns the fault of a signal with this code (sigaction(2), "SIGBUS").
fn fault_of(code: c_int, address: usize, lsb: c_short) -> Option<Fault> {
    let (is_memory_error, order) = match code {
        libc::BUS_ADRERR => (false, 0),
        // If the CPU does not report the address, it is 0, at which no mapping is.
        libc::BUS_OBJERR if ARCHITECTURE.sigbus == Sigbus::HandledWithObjerr => (true, 0),
        // Filled only for this code.
        libc::BUS_MCEERR_AR => (true, u8::try_from(lsb).unwrap_or(0)),
        _ => return None,
    };
    Some(Fault { address, is_memory_error, order })
}

extern "C" fn on_sigbus(_: c_int, info: *mut siginfo_t, context: *mut c_void) {
    keeping_errno(|| {
        // SAFETY: the kernel hands over a valid one, and no other code has it.
        let code = unsafe { (*info).si_code };
        // SAFETY: it is the kernel's, larger than this part of it and aligned as it; all bytes of it are set.
        let of_kernel = unsafe { info.cast::<SignalInfo>().read() };
        let fault = fault_of(code, of_kernel.address, of_kernel.address_lsb);
        let found = fault.and_then(|fault| {
            let mapping = entries().find_map(|entry| entry.at(fault.address))?;
            Some((mapping, fault))
        });
        match found {
            // SAFETY: (1) this thread has accessed it just now.
            Some((mapping, fault)) if unsafe { mapping.fail(&fault) } => {}
            // The access is repeated and ends the process.
            Some(_) => set_action(libc::SIG_DFL),
            None => hand_on(code, info, context),
        }
    });
}

/// The previous handler, as `sigaction` has it, and its flags.
static PREVIOUS: AtomicUsize = AtomicUsize::new(libc::SIG_DFL);
static PREVIOUS_FLAGS: AtomicI32 = AtomicI32::new(0);

type Handler = extern "C" fn(c_int, *mut siginfo_t, *mut c_void);
type HandlerOfNumber = extern "C" fn(c_int);

/// Installs the handler, and keeps the action that it replaces.
#[expect(clippy::fn_to_numeric_cast_any, reason = "the structure has a number for it")]
fn replace() -> io::Result<()> {
    let current = exchange(None)?;
    keep(&current);
    // It has the signals blocked that the previous handler has, which it calls. Other handlers may interrupt it and access
    // a mapping that fails.
    let mut action = current;
    let handler: Handler = on_sigbus;
    action.sa_sigaction = handler as libc::sighandler_t;
    // A signal without a handler interrupted no system call.
    let restart = if is_no_handler(current.sa_sigaction) { !0 } else { current.sa_flags };
    // On the thread's alternate stack, if it has one: the fault can be on its main stack.
    action.sa_flags =
        libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER | restart & libc::SA_RESTART;
    // Another thread may have replaced it meanwhile.
    keep(&exchange(Some(&action))?);
    Ok(())
}

fn keep(action: &libc::sigaction) {
    PREVIOUS_FLAGS.store(action.sa_flags, Release);
    PREVIOUS.store(action.sa_sigaction, Release);
}

/// Sets the action if there is a new one, and returns the previous one.
fn exchange(new: Option<&libc::sigaction>) -> io::Result<libc::sigaction> {
    let mut before = MaybeUninit::zeroed();
    let new = new.map_or(null(), from_ref);
    // SAFETY: both are null or structures of that type; the new handler may interrupt any code.
    if unsafe { libc::sigaction(libc::SIGBUS, new, before.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has succeeded and filled it; zeros are one as well.
    Ok(unsafe { before.assume_init() })
}

/// Sets the default action, or ignores the signal.
fn set_action(action: libc::sighandler_t) {
    let mut whole = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: zeros are a valid one: no flags, an empty mask, the default.
    unsafe { whole.assume_init_mut() }.sa_sigaction = action;
    // SAFETY: the structure is whole; the action is one of the two that are not handlers.
    unsafe { libc::sigaction(libc::SIGBUS, whole.as_ptr(), null_mut()) };
}

/// Does what would happen without this handler. The failed access is repeated afterwards.
fn hand_on(code: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // Not one that a process sent, nor a memory error that nothing has accessed yet.
    let is_access = code > 0 && code != libc::BUS_MCEERR_AO;
    let previous = PREVIOUS.load(Acquire);
    match previous {
        libc::SIG_IGN if !is_access => {}
        libc::SIG_DFL | libc::SIG_IGN => {
            set_action(libc::SIG_DFL);
            if !is_access {
                // SAFETY: it may be called in a handler (signal-safety(7)).
                unsafe { libc::raise(libc::SIGBUS) };
            }
        }
        _ => {
            call(previous, info, context);
            if !is_access {
                stay();
            }
        }
    }
}

fn call(handler: libc::sighandler_t, info: *mut siginfo_t, context: *mut c_void) {
    let address = ptr::with_exposed_provenance(handler);
    let flags = PREVIOUS_FLAGS.load(Acquire);
    if flags & libc::SA_RESETHAND != 0 {
        // It was installed for one call.
        PREVIOUS.store(libc::SIG_DFL, Release);
    }
    if flags & libc::SA_NODEFER == 0 {
        block();
    }
    if flags & libc::SA_SIGINFO == 0 {
        // SAFETY: it was installed as a handler of this kind.
        let handler = unsafe { core::mem::transmute::<*const (), HandlerOfNumber>(address) };
        handler(libc::SIGBUS);
    } else {
        // SAFETY: it was installed as a handler of this kind.
        let handler = unsafe { core::mem::transmute::<*const (), Handler>(address) };
        handler(libc::SIGBUS, info, context);
    }
}

/// Blocks SIGBUS in this thread until the handler returns.
fn block() {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set can be written.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: the set is whole.
    unsafe { libc::sigaddset(set.as_mut_ptr(), libc::SIGBUS) };
    // SAFETY: the set is whole; the call may be made in a handler (signal-safety(7)).
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), null_mut()) };
}

/// Installs the handler again if the previous one has set the default action, as that of the standard library does at a
/// fault other than a stack overflow. If no access failed, the process goes on.
fn stay() {
    if exchange(None).is_ok_and(|now| is_no_handler(now.sa_sigaction)) {
        let (previous, flags) = (PREVIOUS.load(Acquire), PREVIOUS_FLAGS.load(Acquire));
        // The same call has succeeded before.
        drop(replace());
        PREVIOUS_FLAGS.store(flags, Release);
        PREVIOUS.store(previous, Release);
    }
}

/// Returns true for the default action and for ignoring the signal.
const fn is_no_handler(action: libc::sighandler_t) -> bool {
    matches!(action, libc::SIG_DFL | libc::SIG_IGN)
}

/// Does the work of a handler, and restores the `errno` of the interrupted code.
fn keeping_errno(work: impl FnOnce()) {
    // SAFETY: the call only gives an address.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: the place is this thread's own.
    let before = unsafe { errno.read() };
    work();
    // SAFETY: as above.
    unsafe { errno.write(before) };
}

/// Fails the mapping with this address, as the handler does, but maps no zeros. Returns false if there is none.
#[cfg(test)]
pub(super) fn fail_at(address: usize) -> bool {
    let found = entries().find_map(|entry| entry.at(address));
    // SAFETY: (1) the test has the mapping.
    found.is_some_and(|found| unsafe {
        found.set_latch(&Fault { address, is_memory_error: false, order: 0 });
        true
    })
}

#[cfg(test)]
mod tests {
    use super::{ARCHITECTURE, Sigbus, fault_of};

    #[test]
    fn a_signal_of_an_access_is_a_fault_of_the_bytes_that_the_kernel_gives() {
        for (code, lsb, expected) in [
            (libc::BUS_ADRERR, 12, Some((false, 0))),
            (libc::BUS_MCEERR_AR, 21, Some((true, 21))),
            (libc::BUS_MCEERR_AR, -1, Some((true, 0))),
            (
                libc::BUS_OBJERR,
                12,
                (ARCHITECTURE.sigbus == Sigbus::HandledWithObjerr).then_some((true, 0)),
            ),
            (libc::BUS_ADRALN, 0, None),
            (libc::BUS_MCEERR_AO, 12, None),
            (libc::SI_USER, 12, None),
        ] {
            let fault = fault_of(code, 0x5000, lsb);
            let described = fault.as_ref().map(|fault| (fault.is_memory_error, fault.order));
            assert_eq!(described, expected, "code {code}");
            assert!(fault.is_none_or(|fault| fault.address == 0x5000));
        }
    }
}
