//! `cachemaint writeback`.

use super::guard::Statistics;
use super::{guard_of, print_written, tell_problems};
use crate::commands::text::{self, row, thousands};
use cachemaint::dax;
use cachemaint::survival::{Event, Stage, Survival};
use serde::Serialize;
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Write back once the files that other programs store to and never flush: before a reboot, say
///
/// All lines of the files below PATH have reached the medium when it ends, as they were when it began.
/// The file system's changes for new files and for those that have grown are synced. The exit code is 1 if this failed
/// for a file, or if there is no file.
///
/// The exit code is also 1 if a reboot and a kexec both lose the files of a PATH, as those of a tmpfs, which is RAM of the
/// kernel. Standard error names the PATH.
///
/// Files of the page cache are refused. With --page-cache their file systems are synced instead.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Files, and directories of files in the same mount. A file system or directory that is mounted below one is another
    /// PATH
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Take files of the page cache too, and sync their file systems
    #[arg(long)]
    page_cache: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    survives: Vec<Survives<'a>>,
    #[serde(flatten)]
    statistics: Statistics,
}

/// The events that bytes of files below a path survive when they are written back. `None` if that is not known.
#[derive(Serialize)]
struct Survives<'a> {
    path: Cow<'a, str>,
    kexec: Option<Survival>,
    warm_reboot: Option<Survival>,
    #[serde(skip)]
    reason: String,
}

impl<'a> Survives<'a> {
    fn of(path: &'a Path) -> Self {
        let guarantee = dax::probe(path).ok();
        let of = |event| Some(guarantee.as_ref()?.survives(Stage::Persisted, event).answer);
        Self {
            path: path.to_string_lossy(),
            kexec: of(Event::Kexec),
            warm_reboot: of(Event::WarmReboot),
            reason: guarantee.map(|guarantee| guarantee.reason).unwrap_or_default(),
        }
    }

    fn is_lost(&self) -> bool {
        [self.kexec, self.warm_reboot].iter().all(|kept| *kept == Some(Survival::No))
    }
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut guard = guard_of(&arguments.paths, arguments.page_cache)?;
    let pass = guard.pass(true);
    tell_problems(&pass);
    if pass.files == 0 {
        text::tell!("cachemaint: nothing was written back: no file with bytes was found there");
    }
    let survives: Vec<_> = arguments.paths.iter().map(|path| Survives::of(path)).collect();
    for lost in survives.iter().filter(|survives| survives.is_lost()) {
        text::tell!(
            "cachemaint: {}: no reboot and no kexec keeps its files: {}; copy them to a disk or to persistent memory before",
            text::printable(&lost.path),
            text::printable(&lost.reason)
        );
    }
    let is_lost = survives.iter().any(Survives::is_lost);
    let document = Document { schema: 1, survives, statistics: guard.statistics() };
    text::print(arguments.json, &document, |out| {
        row(out, "files", thousands(pass.files))?;
        print_written(out, pass.written, "")?;
        row(out, "took", format!("{:?}", pass.took))
    })?;
    Ok(if pass.problems.is_empty() && pass.files > 0 && !is_lost {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
