//! `cachemaint generate`: the files that a package of the command has beside it.

use crate::failure::os;
use crate::output::removed;
use clap::Command;
use clap_complete::{Generator as _, Shell};
use clap_mangen::Man;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

/// Write the man pages, shell completions and the JSON schema to a directory
#[derive(clap::Args)]
pub(crate) struct Arguments {
    directory: PathBuf,
}

/// The form of every JSON document.
const SCHEMA: &str = include_str!("../../schema.json");

pub(crate) fn run(arguments: &Arguments, mut command: Command) -> anyhow::Result<ExitCode> {
    let directory = &arguments.directory;
    fs::create_dir_all(directory).map_err(|error| os(directory, "mkdir", &error))?;
    let mut files = vec![("schema.json".to_owned(), SCHEMA.as_bytes().to_vec())];
    // Before a completion adds the subcommands `help`.
    let mut documented = command.clone().disable_help_subcommand(true);
    documented.build();
    add_pages(&documented, &mut files)?;
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut command, "cachemaint", &mut text);
        files.push((shell.file_name("cachemaint"), text));
    }
    for (name, text) in files {
        let path = directory.join(name);
        fs::write(&path, text).map_err(|error| removed(&path, os(&path, "write", &error)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Adds the man pages of a command and of those below it.
fn add_pages(command: &Command, files: &mut Vec<(String, Vec<u8>)>) -> anyhow::Result<()> {
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        add_pages(below, files)?;
    }
    let (page, mut text) = (Man::new(command.clone()), Vec::new());
    page.render(&mut text)?;
    files.push((page.get_filename(), text));
    Ok(())
}
