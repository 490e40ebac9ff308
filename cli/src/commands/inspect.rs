//! `cachemaint inspect`: the guarantee of a file at a path, and the fill and damage of a log or store in it.

use super::contents::Contents;
use super::text::{self, heading, row};
use crate::read_only::ReadOnly;
use anyhow::{Context as _, anyhow};
use cachemaint::dax::{self, ErrorKind};
use cachemaint::medium::Granularity;
use cachemaint::report::Statement;
use cachemaint_inspect::survival::{Condition, Event, Stage, Survival};
use cachemaint_inspect::{Extent, FileReport, MemoryDevice, Placement};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::Serialize;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Show which crashes a file's data survives, and why
///
/// For a journal, recording or store, the command reads the whole file and also shows its fill level and damage.
/// While another process trims a journal or opens a recording, a root can be half written for a moment: run the command
/// again.
///
/// PATH can also be device DAX (/dev/dax0.0). The file is only read, and never copied up on overlayfs. For a directory, the
/// answer applies to new files in it: the command creates an unnamed file there, which disappears at once. On overlayfs, this
/// copies up the directory itself, without its files.
///
/// In scripts, demand a guarantee with --require and --survives: if the answer is no, the exit code is 1, and standard
/// error has the reason and the remedy. An answer with a condition counts as no, because nothing has checked the condition,
/// unless you --accept it.
///
/// The exit code is also 1 if the contents are damaged. Intact records after the torn end of a journal are only counted;
/// `journal verify` fails for them.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A file, or a directory in which you can create a file
    path: PathBuf,
    /// Also show where the file's bytes are on the device and, to root, their addresses in persistent memory. This maps and
    /// syncs the file
    #[arg(long)]
    extents: bool,
    /// Fail unless the file can be persisted in units of this size or smaller
    #[arg(long, value_name = "UNIT", value_parser = one_of(&UNITS))]
    require: Option<Granularity>,
    /// Fail unless persisted data (by fsync, msync or persist) survives this event
    #[arg(long, value_name = "EVENT", value_parser = one_of(&EVENTS))]
    survives: Option<Event>,
    /// Accept this condition, which you have checked yourself, such as `drive_flushes`; can be repeated
    #[arg(long, value_name = "CODE", value_parser = condition(), requires = "survives")]
    accept: Vec<String>,
    /// Print one JSON document
    #[arg(short, long)]
    json: bool,
}

/// Returns the parser of a condition's code.
fn condition() -> PossibleValuesParser {
    Condition::ALL.iter().map(|condition| condition.code).collect::<Vec<_>>().into()
}

/// The size of the unit is that of the file.
const UNITS: [(&str, Granularity); 3] =
    [("byte", Granularity::Byte), ("line", Granularity::Line(0)), ("page", Granularity::Page(0))];

const EVENTS: [(&str, Event); 4] = [
    ("process-crash", Event::ProcessCrash),
    ("kexec", Event::Kexec),
    ("warm-reboot", Event::WarmReboot),
    ("power-loss", Event::PowerLoss),
];

/// Returns the parser of a value with a name.
fn one_of<T: Copy + Send + Sync>(
    values: &'static [(&'static str, T)],
) -> impl TypedValueParser<Value = T> {
    let names = PossibleValuesParser::new(values.iter().map(|(name, _)| *name));
    names.try_map(move |chosen| {
        let found = values.iter().find(|(name, _)| *name == chosen);
        found.map(|(_, value)| *value).ok_or("no such value")
    })
}

#[derive(Serialize)]
struct Facts<'a> {
    #[serde(rename = "guarantee")]
    report: &'a FileReport,
    unsafe_shutdowns: Value,
    survival: Vec<Cell>,
    /// The demands that are not met; `None` if there was none.
    refused: Option<&'a [String]>,
    placement: Option<&'a Placement>,
    #[serde(flatten)]
    contents: Option<&'a Contents>,
}

#[derive(Serialize)]
pub(super) struct Cell {
    event: Event,
    stage: Stage,
    #[serde(flatten)]
    statement: Statement<Survival>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let path = &arguments.path;
    let report = FileReport::at(path).map_err(|error| unprobed(path, error))?;
    let placement = arguments.extents.then(|| placement(path)).transpose()?;
    let contents = if path.is_dir() { None } else { Contents::of(path)? };
    let refused = refused(arguments, &report);
    let facts = Facts {
        report: &report,
        unsafe_shutdowns: match report.unsafe_shutdowns() {
            Ok(count) => json!({"count": count}),
            Err(why) => json!(why),
        },
        survival: cells(&report),
        refused: refused.as_deref(),
        placement: placement.as_ref(),
        contents: contents.as_ref(),
    };
    text::print(arguments.json, &text::Document::of(path, &facts), |out| print(out, path, &facts))?;
    let damage = contents.as_ref().and_then(Contents::damage);
    let reasons: Vec<&str> = refused.iter().flatten().map(String::as_str).chain(damage).collect();
    for why in &reasons {
        text::tell!("{}: {why}", path.display());
    }
    Ok(if reasons.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns the demands of the command line that the guarantee does not meet, with the reasons and what would meet them; `None`
/// if there was none.
fn refused(arguments: &Arguments, report: &FileReport) -> Option<Vec<String>> {
    let Arguments { require, survives, accept, .. } = arguments;
    let has = report.granularity;
    let unit = require.filter(|coarsest| coarseness(has) > coarseness(*coarsest)).map(|_| {
        let advice = report.advice.unwrap_or("use a file on persistent memory");
        format!("has the granularity {has}: {}; {advice}", report.reason)
    });
    let accepted =
        Condition::ALL.iter().filter(|condition| accept.iter().any(|code| code == condition.code));
    let accepted: Vec<Condition> = accepted.copied().collect();
    let event = survives.and_then(|event| {
        let unmet = report.require(event, &accepted).err()?;
        Some(match unmet.condition() {
            Some(condition) => format!("{unmet}: add `--accept {}`", condition.code),
            None => unmet.to_string(),
        })
    });
    let is_asked = require.is_some() || survives.is_some();
    is_asked.then(|| [unit, event].into_iter().flatten().collect())
}

const fn coarseness(granularity: Granularity) -> u8 {
    match granularity {
        Granularity::Byte => 0,
        Granularity::Line(_) => 1,
        Granularity::Page(_) => 2,
    }
}

/// Returns the error of a path. A directory that takes no file is named as such, because this command creates nothing that
/// a user sees.
fn unprobed(path: &Path, error: dax::Error) -> anyhow::Error {
    let refuses = *error.kind() == ErrorKind::PermissionDenied;
    if !refuses || !path.is_dir() {
        return error.into();
    }
    anyhow!(
        "{}: cannot create a probe file in this directory; name a file in it, or a directory that you \
         may write to",
        text::printable(path.display())
    )
}

pub(super) fn cells(report: &FileReport) -> Vec<Cell> {
    let cell = |event, stage| Cell { event, stage, statement: report.survives(stage, event) };
    let of_each_stage = |event| Stage::ALL.iter().map(move |stage| cell(event, *stage));
    Event::ALL.iter().copied().flat_map(of_each_stage).collect()
}

fn print(out: &mut impl Write, path: &Path, facts: &Facts<'_>) -> io::Result<()> {
    let Facts { report, placement, contents, .. } = *facts;
    heading(out, &text::printable(path.display()))?;
    row(out, "granularity", report.granularity)?;
    row(out, "persisted", way_to_persist(report.granularity))?;
    row(out, "because", &report.reason)?;
    row(out, "file system", place(report))?;
    if let Some(region) = &report.region {
        row(out, "region", format!("{}, persistence domain: {}", region.name, region.domain))?;
    }
    if !report.devices.is_empty() {
        row(out, "shutdowns", shutdowns(report))?;
    }
    if let Some(advice) = report.advice {
        // Such a file may survive more with its pages than one in reserved RAM.
        let purpose = match report.granularity {
            Granularity::Page(_) => "to persist single lines, ",
            _ => "",
        };
        row(out, "advice", format!("{purpose}{advice}"))?;
    }
    writeln!(out)?;
    if let Some(contents) = contents {
        heading(out, "Contents")?;
        contents.write(out)?;
        writeln!(out)?;
    }
    text::survival(out, report)?;
    writeln!(out)?;
    if let Some(placement) = placement {
        extents(out, placement)?;
        writeln!(out)?;
    }
    heading(out, "Evidence")?;
    for evidence in &report.evidence {
        writeln!(out, "  {}", text::printable(&evidence.asked))?;
        writeln!(out, "    {}", text::printable(&evidence.answer))?;
    }
    Ok(())
}

pub(super) fn way_to_persist(granularity: Granularity) -> &'static str {
    match granularity {
        Granularity::Page(_) if cfg!(target_os = "linux") => {
            "by msync(2), which writes whole pages"
        }
        Granularity::Page(_) => "by the system's own calls, which write whole pages",
        Granularity::Byte => "by a fence: the caches are in the persistence domain",
        Granularity::Line(_) => {
            "by instructions of the CPU, line by line: `cachemaint caps`, at Write-back"
        }
    }
}

fn placement(path: &Path) -> anyhow::Result<Placement> {
    let file = ReadOnly::open(path)?;
    let view = file.view().with_context(|| {
        format!("{}: is on overlayfs; inspect the file in the layer that has it", path.display())
    })?;
    Ok(cachemaint_inspect::placement(view)?)
}

/// Writes a line for each extent: the positions of its first and its last byte.
fn extents(out: &mut impl Write, placement: &Placement) -> io::Result<()> {
    heading(out, "Extents                 in the file, on the device, at the physical addresses")?;
    for Extent { offset, on_device, len, physical, .. } in &placement.extents {
        let last = |first: u64| first.saturating_add(len - 1);
        let address = physical.map_or_else(
            || "unknown".to_string(),
            |first| format!("{first:#x}-{:#x}", last(first)),
        );
        writeln!(out, "  {offset}-{}  {on_device}-{}  {address}", last(*offset), last(*on_device))?;
    }
    let device = if placement.device.is_empty() { "unknown" } else { &placement.device };
    row(out, "device", device)?;
    match &placement.base {
        Ok(base) => row(out, "begins at", format!("{base:#x}"))?,
        Err(why) => row(out, "begins at", format!("unknown: {why}"))?,
    }
    Ok(())
}

/// Returns the number of unsafe shutdowns of each device under the file with its failures, and the number of all
/// together.
fn shutdowns(report: &FileReport) -> String {
    let of_device = |device: &MemoryDevice| {
        let id = device.id.as_ref().map(|id| format!(" ({id})")).unwrap_or_default();
        let failures: String = device.failures.iter().flat_map(|failure| [", ", failure]).collect();
        match &device.unsafe_shutdowns {
            Ok(count) => format!("{}{id}: {count}{failures}", device.name),
            Err(why) => format!("{}{id}: unknown: {why}{failures}", device.name),
        }
    };
    let devices = report.devices.iter().map(of_device).collect::<Vec<_>>().join("; ");
    match report.unsafe_shutdowns() {
        Ok(sum) => format!("{sum} unsafe so far ({devices})"),
        Err(_) => format!("unsafe ones are not known ({devices})"),
    }
}

/// Returns file system, mount and device in one line.
pub(crate) fn place(report: &FileReport) -> String {
    if report.is_device_dax {
        let alignment = text::bytes(report.alignment);
        return format!("none: device DAX {}, in units of {alignment}", report.device);
    }
    let or_unknown = |text: &str| if text.is_empty() { "unknown" } else { text }.to_string();
    let mut place = or_unknown(&report.file_system);
    for (word, name) in [(" at ", &report.mount_point), (" on ", &report.device)] {
        if !name.is_empty() {
            place.extend([word, name]);
        }
    }
    place
}
