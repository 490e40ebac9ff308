//! `cachemaint inspect`: the guarantee of a file at a path, and the fill, losses and damage of a log or store in it.

use super::contents::Contents;
use super::text::{self, heading, row};
use crate::canary::{self, Canary};
use crate::read_only::ReadOnly;
use anyhow::anyhow;
use cachemaint::dax::{self, ErrorKind, Extent, Guarantee, Placement, probe};
use cachemaint::medium::Granularity;
use cachemaint::report::{MemoryDevice, Unknown};
use cachemaint::survival::{Backing, Event, Stage, Statement, Survival};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::Serialize;
use std::borrow::Cow;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Show the guarantee of a file: medium, granularity, evidence, the events that its data survive
///
/// Of a journal, a flight recorder or a store it also shows the fill, the losses and the damage, for which the file is read
/// as a whole. While another process trims a journal or opens a recording, a root can be half stored for a moment: run the
/// command again.
///
/// The file can be a device of device DAX too (/dev/dax0.0). It is opened for reading only. For a directory an unnamed file,
/// which is gone at once, stands for a new file in it.
///
/// A canary shows whether a reboot kept the contents of the directory. Plant one, reset the machine or kexec, mount the
/// file system, and inspect the directory again. It has one part that was persisted and one that was only stored, and
/// the command prints the bytes of each that are still there. That is one event, not a promise. To learn something of
/// the part that was only stored, reset within seconds: the kernel writes it back after some 30 s. Remove the file
/// `cachemaint-canary` when it is done. In a container with a boot id of its own (systemd-nspawn, LXC) no canary is
/// planted, and the boot of one that is found is unknown.
///
/// With --extents it also shows the positions of the file's bytes on their device and, on persistent memory, the
/// physical addresses, which the kernel shows to root alone. The file is mapped for that, and synced.
///
/// --require and --survives make a gate for scripts: the exit code is 1 if the answer is no, with the reason on standard
/// error. An answer with a condition is a no, as nobody has checked the condition.
///
/// The exit code is 1 if the contents of the file or a canary are damaged, too, and 3 if they cannot be opened at all. Whole
/// records after the torn end of a journal are counted and do not change it; they change that of `journal verify`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A file, or a directory that you can create a file in
    path: PathBuf,
    /// Write the file `cachemaint-canary` of 192 KiB into the directory first. This needs Linux
    #[arg(long)]
    plant_canary: bool,
    /// Show the positions of the file's bytes
    #[arg(long, conflicts_with = "plant_canary")]
    extents: bool,
    /// Demand that the file is persisted by this unit, or by a smaller one
    #[arg(long, value_name = "UNIT", value_parser = one_of(&UNITS))]
    require: Option<Granularity>,
    /// Demand that persisted bytes survive this event
    #[arg(long, value_name = "EVENT", value_parser = one_of(&EVENTS))]
    survives: Option<Event>,
    /// Print one JSON document
    #[arg(short, long)]
    json: bool,
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
struct Document<'a> {
    schema: u32,
    /// The path, with invalid UTF-8 replaced by U+FFFD.
    path: Cow<'a, str>,
    guarantee: &'a Guarantee,
    unsafe_shutdowns: Shutdowns,
    survival: Vec<Cell>,
    /// The demands that are not met; `None` if there was none.
    refused: Option<&'a [String]>,
    placement: Option<&'a Placement>,
    /// The canary, for a directory alone.
    canary: Option<&'a Canary>,
    #[serde(flatten)]
    contents: Option<&'a Contents>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Shutdowns {
    Known { count: u64 },
    Unknown(Unknown),
}

#[derive(Serialize)]
struct Cell {
    event: Event,
    stage: Stage,
    #[serde(flatten)]
    statement: Statement<Survival>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if arguments.plant_canary {
        canary::plant(&arguments.path)?;
    }
    let guarantee = probe(&arguments.path).map_err(|error| unprobed(&arguments.path, error))?;
    let placement = arguments.extents.then(|| placement(&arguments.path)).transpose()?;
    let canary = arguments.path.is_dir().then(|| canary::find(&arguments.path));
    let contents = if canary.is_some() { None } else { Contents::of(&arguments.path)? };
    let refused = refused(arguments, &guarantee);
    let document = Document {
        schema: text::SCHEMA,
        path: arguments.path.to_string_lossy(),
        guarantee: &guarantee,
        unsafe_shutdowns: match guarantee.unsafe_shutdowns() {
            Ok(count) => Shutdowns::Known { count },
            Err(why) => Shutdowns::Unknown(why),
        },
        survival: cells(&guarantee),
        refused: refused.as_deref(),
        placement: placement.as_ref(),
        canary: canary.as_ref(),
        contents: contents.as_ref(),
    };
    text::print(arguments.json, &document, |out| print(out, &arguments.path, &document))?;
    for why in refused.iter().flatten() {
        text::tell!("{}: {why}", arguments.path.display());
    }
    let is_refused = refused.is_some_and(|refused| !refused.is_empty());
    let is_bad = canary.as_ref().is_some_and(Canary::is_bad)
        || contents.as_ref().is_some_and(Contents::is_damaged);
    Ok(if is_bad || is_refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Returns the demands of the command line that the guarantee does not meet, with the reasons; `None` if there was none.
fn refused(arguments: &Arguments, guarantee: &Guarantee) -> Option<Vec<String>> {
    let Arguments { require, survives, .. } = arguments;
    let has = guarantee.granularity;
    let unit = require.filter(|coarsest| coarseness(has) > coarseness(*coarsest)).map(|_| {
        let advice = guarantee.advice.map(|advice| format!("; {advice}")).unwrap_or_default();
        format!("is persisted by the {has}: {}{advice}", guarantee.reason)
    });
    let event = survives.and_then(|event| {
        let why = guarantee.require(event).err()?;
        let survive =
            |backing: &&Backing| backing.survives(Stage::Persisted, event).answer == Survival::Yes;
        let media: Vec<_> = Backing::ALL.iter().filter(survive).map(Backing::to_string).collect();
        let media = media.join("; ");
        let Statement { answer, text, .. } = why;
        Some(format!(
            "persisted bytes survive {event}: {answer}: {text}; media whose bytes do: {media}"
        ))
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
        "{}: you cannot create a file in this directory, and a directory is probed by an unnamed file; name a file \
         in it, or a directory that you can write",
        text::printable(path.display())
    )
}

fn cells(guarantee: &Guarantee) -> Vec<Cell> {
    let cell = |event, stage| Cell { event, stage, statement: guarantee.survives(stage, event) };
    let of_each_stage = |event| Stage::ALL.iter().map(move |stage| cell(event, *stage));
    Event::ALL.iter().copied().flat_map(of_each_stage).collect()
}

fn print(out: &mut impl Write, path: &Path, document: &Document<'_>) -> io::Result<()> {
    let Document { guarantee, placement, canary, contents, .. } = *document;
    heading(out, &text::printable(path.display()))?;
    row(out, "granularity", guarantee.granularity)?;
    row(out, "persisted", way_to_persist(guarantee.granularity))?;
    row(out, "because", &guarantee.reason)?;
    row(out, "file system", place(guarantee))?;
    if let Some(region) = &guarantee.region {
        row(out, "region", format!("{}, persistence domain: {}", region.name, region.domain))?;
    }
    if !guarantee.devices.is_empty() {
        row(out, "shutdowns", shutdowns(guarantee))?;
    }
    if let Some(advice) = guarantee.advice {
        row(out, "advice", advice)?;
    }
    writeln!(out)?;
    if let Some(contents) = contents {
        heading(out, "Contents")?;
        contents.write(out)?;
        writeln!(out)?;
    }
    text::survival(out, guarantee)?;
    writeln!(out)?;
    if let Some(placement) = placement {
        extents(out, placement)?;
        writeln!(out)?;
    }
    if let Some(canary) = canary.filter(|canary| canary.is_there()) {
        heading(out, "Canary")?;
        for (label, text) in canary.rows() {
            row(out, label, text)?;
        }
        writeln!(out)?;
    }
    heading(out, "Evidence")?;
    for evidence in &guarantee.evidence {
        writeln!(out, "  {}", text::printable(&evidence.asked))?;
        writeln!(out, "    {}", text::printable(&evidence.answer))?;
    }
    Ok(())
}

fn way_to_persist(granularity: Granularity) -> &'static str {
    match granularity {
        Granularity::Page(_) if cfg!(target_os = "linux") => {
            "by msync(2), which writes whole pages"
        }
        Granularity::Page(_) => "by the system's own calls, which write whole pages",
        Granularity::Byte => "by a fence alone: the caches are in the persistence domain",
        Granularity::Line(_) => {
            "by instructions of the CPU, line by line: `cachemaint caps`, at Write-back"
        }
    }
}

fn placement(path: &Path) -> Result<Placement, dax::Error> {
    ReadOnly::open(path)?.view().placement()
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
fn shutdowns(guarantee: &Guarantee) -> String {
    let of_device = |device: &MemoryDevice| {
        let id = device.id.as_ref().map(|id| format!(" ({id})")).unwrap_or_default();
        let failures: String = device.failures.iter().flat_map(|failure| [", ", failure]).collect();
        match &device.unsafe_shutdowns {
            Ok(count) => format!("{}{id}: {count}{failures}", device.name),
            Err(why) => format!("{}{id}: unknown: {why}{failures}", device.name),
        }
    };
    let devices: Vec<String> = guarantee.devices.iter().map(of_device).collect();
    let devices = devices.join("; ");
    match guarantee.unsafe_shutdowns() {
        Ok(sum) => format!("{sum} unsafe so far ({devices})"),
        Err(_) => format!("unsafe ones are not known ({devices})"),
    }
}

/// Returns file system, mount and device in one line.
pub(crate) fn place(guarantee: &Guarantee) -> String {
    if guarantee.is_device_dax {
        let alignment = text::bytes(guarantee.alignment);
        return format!("none: device DAX {}, in units of {alignment}", guarantee.device);
    }
    let or_unknown = |text: &str| if text.is_empty() { "unknown" } else { text }.to_string();
    let mut place = or_unknown(&guarantee.file_system);
    if !guarantee.mount_point.is_empty() {
        place.push_str(" at ");
        place.push_str(&guarantee.mount_point);
    }
    if !guarantee.device.is_empty() {
        place.push_str(" on ");
        place.push_str(&guarantee.device);
    }
    place
}
