//! Commands whose standard input or output is closed, or cannot be used.

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use std::process::Command as Process;

/// Runs a command with its standard streams as a shell redirects them.
pub(crate) fn run(command: &Process, redirection: &str) -> Assert {
    let mut shell = Process::new("sh");
    shell.arg("-c").arg(format!("exec \"$@\" {redirection}")).arg("sh");
    shell.arg(command.get_program()).args(command.get_args());
    shell.current_dir(command.get_current_dir().unwrap_or(".".as_ref()));
    Command::from_std(shell).assert()
}
