//! `cachemaint generate`: the files that a package of the command has beside it.

use super::os;
use clap::Command;
use clap_complete::Shell;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Write the man pages, the completions of shells and the schema of the JSON into a directory
#[derive(clap::Args)]
pub(crate) struct Arguments {
    directory: PathBuf,
}

/// The form of every JSON document.
const SCHEMA: &str = include_str!("../../schema.json");

pub(crate) fn run(arguments: &Arguments, command: Command) -> anyhow::Result<ExitCode> {
    let directory = &arguments.directory;
    write(directory, command).map_err(|error| os(directory, "write", &error))?;
    Ok(ExitCode::SUCCESS)
}

fn write(directory: &Path, mut command: Command) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    fs::write(directory.join("schema.json"), SCHEMA)?;
    // Before a completion adds the subcommands `help`.
    clap_mangen::generate_to(command.clone(), directory)?;
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        clap_complete::generate_to(shell, &mut command, "cachemaint", directory)?;
    }
    Ok(())
}
