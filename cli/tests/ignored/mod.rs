//! Commands that are started with signals ignored.

use rustix::process::Signal;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Returns a command that runs a program with SIGHUP and SIGINT ignored.
pub(crate) fn command(program: impl AsRef<Path>) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' HUP INT; exec \"$@\"", "sh"]).arg(program.as_ref());
    shell
}

/// Returns true if a process ignores a signal.
pub(crate) fn ignores(process: u32, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap() >> (signal.as_raw() - 1) & 1 == 1
}
