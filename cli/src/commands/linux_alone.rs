//! `cachemaint guard` and `cachemaint writeback` on systems that have no guards.

use anyhow::bail;
use std::ffi::OsString;
use std::process::ExitCode;

/// Needs Linux: fails on this system
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    _ignored: Vec<OsString>,
}

pub(crate) fn run() -> anyhow::Result<ExitCode> {
    bail!(
        "guards need Linux: another process can write back the lines of a file there alone; call msync or fsync in \
         the program itself"
    )
}

#[cfg(test)]
mod tests {
    use super::{Arguments, run};
    use clap::Args as _;

    #[test]
    fn a_command_line_for_linux_is_understood_and_refused() {
        let command = Arguments::augment_args(clap::Command::new("guard"));
        command.try_get_matches_from(["guard", "--within", "10ms", "DIR", "--json"]).unwrap();
        assert!(run().unwrap_err().to_string().starts_with("guards need Linux: "));
    }
}
