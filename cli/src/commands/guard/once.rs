//! `cachemaint writeback`.

use super::{guard_of, tell_problems, written};
use crate::commands::text::{self, row, thousands};
use cachemaint::dax::guard::Statistics;
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;

/// Write back once the files that other programs store to and never flush: before a reboot, say
///
/// All lines of the files below PATH have reached the medium when it ends, as they were when it began.
/// The file system's changes for new files and for those that have grown are synced. The exit code is 1 if this failed
/// for a file, or if there is no file. It is 1, too, if programs rename files faster than these can be looked for: one can
/// be missing.
///
/// Files of the page cache are refused. With --page-cache they are synced instead.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Files, and directories of files in the same mount. A file system or directory that is mounted below one is another
    /// PATH
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Take files of the page cache too, and sync them
    #[arg(long)]
    page_cache: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Document {
    schema: u32,
    #[serde(flatten)]
    statistics: Statistics,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut guard = guard_of(&arguments.paths, arguments.page_cache)?;
    let pass = guard.pass();
    tell_problems(&pass, |message| text::tell!("cachemaint: {message}"));
    if pass.files == 0 {
        text::tell!("cachemaint: nothing was written back: no file with bytes was found there");
    }
    if pass.is_unsettled {
        text::tell!(
            "cachemaint: names changed all the time, and a renamed file can be missing; run it again when no program \
             renames files there"
        );
    }
    let document = Document { schema: 1, statistics: guard.statistics() };
    text::print(arguments.json, &document, |out| {
        row(out, "files", thousands(pass.files))?;
        written(out, pass.lines, pass.bytes, "")?;
        row(out, "took", format!("{:?}", pass.took))
    })?;
    Ok(if pass.problems.is_empty() && pass.files > 0 && !pass.is_unsettled {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
