//! Limits and priorities of the process: descriptors for all files, and a scheduling that keeps the bound short.

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;

/// The most files that may be open: the hard limit that systemd gives (systemd.exec(5), `LimitNOFILE=`). Each
/// guarded file takes memory, and containers can have no limit.
const MOST_OPEN_FILES: u64 = 524_288;

/// Sets the number of files that this process may have open to its hard limit, or to [`MOST_OPEN_FILES`] if that is lower.
/// Each file needs a descriptor.
pub(super) fn raise_open_files() -> io::Result<()> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(MOST_OPEN_FILES, |maximum| maximum.min(MOST_OPEN_FILES));
    if current == Some(wanted) {
        return Ok(());
    }
    Ok(setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum })?)
}

/// Keeps the memory of this process resident once it is used; memory that is only mapped is not loaded.
pub(super) fn lock_memory() -> io::Result<()> {
    Ok(mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)?)
}

/// Makes this thread run before all ordinary ones, until it sleeps. Threads that it starts are ordinary ones.
pub(super) fn be_real_time(priority: u8) -> io::Result<()> {
    // The system call: the function of musl refuses every policy. The kernel's `sched_param` is this number alone
    // (`include/uapi/linux/sched/types.h`).
    let parameters = libc::c_int::from(priority);
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: it reads the parameters, which it is given.
    let result =
        unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, policy, &raw const parameters) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
