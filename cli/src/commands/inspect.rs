//! `cachemaint inspect`: what a file at a path gets.

use super::text::{self, heading, row};
use cachemaint::dax::{Guarantee, probe};
use serde::Serialize;
use std::borrow::Cow;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Show what a file there gets: medium, granularity, evidence, which events its data survive
///
/// Nothing is written: a file is opened for reading only, and for a directory an unnamed file that
/// is gone at once stands for a new file in it.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A file, or a directory that a file could be created in
    path: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// The JSON document. `schema` grows by one when a field changes its meaning or goes away.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    /// What is no UTF-8 in it is replaced.
    path: Cow<'a, str>,
    guarantee: &'a Guarantee,
    survival: Vec<Cell>,
}

#[derive(Serialize)]
struct Cell {
    event: cachemaint::report::Event,
    progress: cachemaint::report::Progress,
    survival: cachemaint::report::Survival,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let guarantee = probe(&arguments.path)?;
    let mut out = anstream::stdout().lock();
    if arguments.json {
        let document = Document {
            schema: 1,
            path: arguments.path.to_string_lossy(),
            guarantee: &guarantee,
            survival: cells(&guarantee),
        };
        // Through a string: serde_json hides from its callers that a pipe is broken.
        writeln!(out, "{}", serde_json::to_string_pretty(&document)?)?;
    } else {
        print(&mut out, &arguments.path, &guarantee)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn cells(guarantee: &Guarantee) -> Vec<Cell> {
    use cachemaint::report::{Event, Progress};
    let cell =
        |event, progress| Cell { event, progress, survival: guarantee.survives(progress, event) };
    Event::ALL
        .into_iter()
        .flat_map(|event| [cell(event, Progress::Stored), cell(event, Progress::Persisted)])
        .collect()
}

fn print(out: &mut impl Write, path: &Path, guarantee: &Guarantee) -> anyhow::Result<()> {
    heading(out, &text::printable(path.display()))?;
    row(out, "granularity", guarantee.granularity())?;
    row(out, "because", guarantee.reason())?;
    row(out, "file system", place(guarantee))?;
    if let Some(region) = guarantee.region() {
        row(
            out,
            "region",
            format!("{}, persistence domain: {}", region.name, region.domain.name()),
        )?;
    }
    if let Some(advice) = guarantee.advice() {
        row(out, "for more", advice)?;
    }
    writeln!(out)?;
    text::survival(out, guarantee)?;
    writeln!(out)?;
    heading(out, "Evidence")?;
    for evidence in guarantee.evidence() {
        writeln!(out, "  {}", text::printable(&evidence.asked))?;
        writeln!(out, "    {}", text::printable(&evidence.answer))?;
    }
    Ok(())
}

/// File system, mount and device in one line.
pub(crate) fn place(guarantee: &Guarantee) -> String {
    let or_unknown = |text: &str| if text.is_empty() { "unknown" } else { text }.to_string();
    let mut place = or_unknown(guarantee.file_system());
    if !guarantee.mount_point().is_empty() {
        place.push_str(" at ");
        place.push_str(guarantee.mount_point());
    }
    if !guarantee.device().is_empty() {
        place.push_str(" on ");
        place.push_str(guarantee.device());
    }
    place
}
