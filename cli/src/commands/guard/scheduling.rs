//! Limits and priorities of the process: descriptors for all files, and a scheduling that keeps the bound short.

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;

/// The most files that are kept: as many as a process can have open by the hard limit that systemd gives (systemd.exec(5),
/// `LimitNOFILE=`).
const MOST_FILES: u64 = 524_288;

/// Sets the number of files that this process may have open to its hard limit, or to [`MOST_FILES`] if that is lower.
/// Returns it.
pub(super) fn raise_open_files() -> io::Result<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(MOST_FILES, |maximum| maximum.min(MOST_FILES));
    if current != Some(wanted) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum })?;
    }
    Ok(wanted)
}

/// Returns true from Linux 5.8 on: before, `syncfs` reports no failed write (syncfs(2)).
pub(super) fn syncfs_reports_failures() -> bool {
    let release = rustix::system::uname();
    let release = release.release().to_string_lossy();
    let mut numbers = release.split('.').map_while(|part| part.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(5), Some(8))
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
