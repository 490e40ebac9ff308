//! The handler of SIGBUS.
//!
//! # Why this file is unsafe
//! It reads the kernel's description of a fault, and maps zeros over pages that cannot be accessed.
//!
//! # What may run in it
//! It interrupts any code at any place, so it does nothing but load and store atomics of the process and
//! make system calls: `gettid`, `mmap`, `munlock`, `sigaction`, `raise`. POSIX has no word on `mmap` and `munlock` in a
//! handler; on Linux they are the system calls alone (glibc `sysdeps/unix/sysv/linux/mmap64.c`, musl `src/mman/mmap.c`,
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
//! | `RLIMIT_MEMLOCK`, after `mlockall(MCL_FUTURE)` | yes | the replaced pages are counted again unless they are unlocked |
//! | memory to commit | Linux 6.12 and later | a mapping for reading only takes none; `MAP_NORESERVE` takes none unless `vm.overcommit_memory` is 2 |
//!
//! So a hole needs strict accounting, a mapping for writing and Linux before 6.12. As the mapping cannot be
//! trusted then, a failed replacement always ends the process, even if a former handler returns.

use super::slots::{self, Fault, Slot};
use crate::signals::{self, Signal};
use core::ffi::c_void;
use core::ops::Range;
use libc::{c_int, c_short, siginfo_t};
use std::io;
use std::sync::OnceLock;

// SAFETY: (1) the head of this file lists what the handler does.
static BUS: Signal = unsafe { Signal::new(libc::SIGBUS, on_sigbus) };

/// True if the handler was tried on this architecture, on the last three in emulation. In user-mode emulation of those
/// with big-endian words (s390x, powerpc64; QEMU 10) guarded accesses end the process all the same. The other
/// architectures were not tried.
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
    // SAFETY: the function does nothing but store atomics, which may be done in a child of a process with threads.
    let errno = unsafe { libc::pthread_atfork(None, None, Some(on_fork)) };
    if errno != 0 {
        return Err(io::Error::from_raw_os_error(errno));
    }
    let current = BUS.action()?;
    BUS.install(&current, restart(&current))
}

/// Returns the flag of a handler in place of another action: a signal that had no handler interrupted no call of the
/// system for which the program went on.
fn restart(current: &libc::sigaction) -> c_int {
    if signals::is_no_handler(current.sa_sigaction) {
        return libc::SA_RESTART;
    }
    current.sa_flags & libc::SA_RESTART
}

/// Installs the handler again if the former one has taken it away.
///
/// The standard library's handler takes it away at a fault that is not an overflow of the stack: it sets the default,
/// so that the access, tried again, ends the process. Without an access the process continues, and later guarded
/// accesses must be errors still. Another handler is the program's decision and stays.
fn stay() {
    if let Ok(now) = BUS.action()
        && signals::is_no_handler(now.sa_sigaction)
    {
        BUS.reinstall(&now, restart(&now));
    }
}

/// Runs in a forked child, which has neither the threads of its parent nor their guarded accesses.
unsafe extern "C" fn on_fork() {
    slots::release_all();
}

/// The beginning of the kernel's description of a fault (`include/uapi/asm-generic/siginfo.h`). All architectures lay
/// it out so, except mips, which has `si_errno` after `si_code` and the rest alike.
#[repr(C)]
struct Told {
    signal: c_int,
    errno_and_code: [c_int; 2],
    address: usize,
    address_lsb: c_short,
}

extern "C" fn on_sigbus(_: c_int, info: *mut siginfo_t, context: *mut c_void) {
    signals::keeping_errno(|| {
        // SAFETY: the kernel hands over a valid one, and no other code has it.
        let code = unsafe { (*info).si_code };
        let guarded = fault(code, info)
            .and_then(|fault| Some((Slot::of(signals::this_thread(), fault.address)?, fault)));
        let is_replaced = guarded.map(|(slot, fault)| replace_pages(slot, fault));
        if is_replaced == Some(true) {
            return;
        }
        hand_on(code, info, context);
        if is_replaced == Some(false) {
            BUS.give_back(libc::SIG_DFL, true);
        }
    });
}

/// Returns the fault, if that is what the signal says.
fn fault(code: c_int, info: *const siginfo_t) -> Option<Fault> {
    // SAFETY: it is the kernel's, larger than this part of it and aligned as it; all bytes of it are set.
    let told = unsafe { info.cast::<Told>().read() };
    fault_of(code, told.address, told.address_lsb)
}

/// Returns the fault of a signal with this code (sigaction(2), "SIGBUS").
fn fault_of(code: c_int, address: usize, lsb: c_short) -> Option<Fault> {
    let (is_memory_error, lsb) = match code {
        libc::BUS_ADRERR => (false, 0),
        // A memory error on arm64 that firmware does not handle (`arch/arm64/mm/fault.c`, `do_sea`). If the CPU does not
        // report the address, it is 0, which no guard has. On 32-bit Arm it is an abort without an address
        // (`arch/arm/mm/fsr-2level.c`, "imprecise external abort").
        libc::BUS_OBJERR if cfg!(target_arch = "aarch64") => (true, 0),
        // Filled for this code alone.
        libc::BUS_MCEERR_AR => (true, u32::try_from(lsb).unwrap_or(0)),
        _ => return None,
    };
    let extent = 1_usize.checked_shl(lsb).unwrap_or(1);
    Some(Fault { address, is_memory_error, extent })
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
    let map = || unsafe { libc::mmap(address, pages.len(), protection, flags, -1, 0) };
    // SAFETY: the pages are the same; no byte changes.
    let unlock = || unsafe { libc::munlock(address, pages.len()) };
    map() != libc::MAP_FAILED || (unlock() == 0 && map() != libc::MAP_FAILED)
}

/// Does what would have been done without this handler. Without a former one it ignores a memory error that nothing has
/// accessed yet (`BUS_MCEERR_AO`), which asks the program to act if it likes: an access will report it.
fn hand_on(code: c_int, info: *mut siginfo_t, context: *mut c_void) {
    let (is_sent, is_access) = (code <= 0, signals::comes_again(libc::SIGBUS, code));
    match BUS.call_former(info, context) {
        Ok(()) if is_access => {}
        Ok(()) => stay(),
        Err(libc::SIG_IGN) if is_sent => {}
        Err(_) if !is_sent && !is_access => {}
        Err(action) => BUS.give_back(action, is_sent),
    }
}

#[cfg(test)]
mod tests {
    use super::fault_of;

    #[test]
    fn a_signal_of_an_access_is_a_fault_of_the_bytes_that_the_kernel_gives() {
        for (code, lsb, expected) in [
            (libc::BUS_ADRERR, 12, Some((false, 1))),
            (libc::BUS_MCEERR_AR, 21, Some((true, 1 << 21))),
            (libc::BUS_MCEERR_AR, -1, Some((true, 1))),
            (libc::BUS_OBJERR, 12, cfg!(target_arch = "aarch64").then_some((true, 1))),
            (libc::BUS_ADRALN, 0, None),
            (libc::BUS_MCEERR_AO, 12, None),
            (libc::SI_USER, 12, None),
        ] {
            let fault = fault_of(code, 0x5000, lsb);
            let described = fault.map(|fault| (fault.is_memory_error, fault.extent));
            assert_eq!(described, expected, "code {code}");
            assert!(fault.is_none_or(|fault| fault.address == 0x5000));
        }
    }
}
