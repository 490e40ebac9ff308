//! Commands with a limit of the size of files (`RLIMIT_FSIZE`).

use std::process::Command;

/// Returns a command with a limit of 4096 bytes, or of twice as many in shells that count in KiB.
pub(crate) fn limited(command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -f 8; exec \"$@\"", "sh"]);
    shell.arg(command.get_program()).args(command.get_args());
    shell
}
