//! Commands that are started with SIGCHLD ignored, as by a parent that never waits for its children.

use assert_cmd::cargo;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

#[expect(unsafe_code, reason = "a child ignores a signal before it runs the command")]
pub(crate) fn command() -> Command {
    let ignore = || {
        // SAFETY: no handler is installed.
        match unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) } {
            libc::SIG_ERR => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    };
    let mut command = Command::new(cargo::cargo_bin!("cachemaint"));
    // SAFETY: it makes one system call alone, which may be made between `fork` and `exec`.
    unsafe { command.pre_exec(ignore) };
    command
}
