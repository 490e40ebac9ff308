//! Commands whose standard input or output is closed, or cannot be used.

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use std::process::Command as Process;

/// Redirections that leave a command without a standard input: closed, open for writing only as by `nohup`, and as the
/// standard library opens a closed one.
pub(crate) const NO_INPUT: [&str; 3] = ["<&-", "0>/dev/null", "0<>/dev/null"];

/// Runs a command with its standard streams as a shell redirects them.
pub(crate) fn run(command: &Process, redirection: &str) -> Assert {
    let mut shell = Process::new("sh");
    shell.arg("-c").arg(format!("exec \"$@\" {redirection}")).arg("sh");
    shell.arg(command.get_program()).args(command.get_args());
    Command::from_std(shell).assert()
}
