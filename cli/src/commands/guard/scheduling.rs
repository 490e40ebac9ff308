//! What makes a bound as good as it can be: to be run when it is time, and to have one's memory there.

use rustix::mm::{MlockAllFlags, mlockall};
use std::io;

/// Has what this process uses stay in memory, once it is used: not all that it maps.
pub(super) fn lock_memory() -> io::Result<()> {
    Ok(mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)?)
}

/// Has this thread run before all ordinary ones, until it sleeps.
pub(super) fn be_real_time(priority: u8) -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: priority.into() };
    // SAFETY: it reads the parameters, which it is given.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
