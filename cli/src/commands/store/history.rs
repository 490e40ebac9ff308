//! `cachemaint store history`.

use super::payload::hex;
use super::{heading, row, text, verdict, with_last_commit, write_place, yes_or_no};
use crate::read_only::ReadOnly;
use cachemaint::dax::Guarantee;
use cachemaint::survival::Backing;
use cachemaint_store::{Boot, Origin, Reader, Verdict};
use serde::Serialize;
use std::borrow::Cow;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Show the boots in which the store was written, the events between them, and the event since
///
/// The last 32 boots are kept. The file is opened for reading only.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The file of the store
    file: PathBuf,
    /// Print one JSON document
    #[arg(short, long)]
    json: bool,
}

struct Found {
    identity: String,
    is_sealed: bool,
    boots: Vec<Boot>,
    since: Verdict,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    path: Cow<'a, str>,
    identity: &'a str,
    boots: Vec<Shown<'a>>,
    is_sealed: bool,
    since: &'a Verdict,
    guarantee: &'a Guarantee,
}

#[derive(Serialize)]
struct Shown<'a> {
    opening: u64,
    opened: u32,
    time: Option<String>,
    is_creation: bool,
    origin: Origin,
    was_sealed: bool,
    kernel: &'a str,
    boot: Option<String>,
    backing: Backing,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let path = &arguments.file;
    let file = ReadOnly::open(path)?;
    let found = with_last_commit(path, &file, |reader| Ok(look(reader)))?;
    let Found { identity, is_sealed, boots, since } = &found;
    let document = Document {
        schema: text::SCHEMA,
        path: path.to_string_lossy(),
        identity,
        boots: boots.iter().map(Shown::of).collect(),
        is_sealed: *is_sealed,
        since,
        guarantee: file.view().guarantee(),
    };
    text::print(arguments.json, &document, |out| {
        write_place(out, path, &file)?;
        row(out, "store", identity)?;
        writeln!(out)?;
        heading(out, "Boots, by the number of their first opening")?;
        for boot in &document.boots {
            row(out, &boot.opening.to_string(), words(boot))?;
        }
        writeln!(out)?;
        heading(out, "Since the last commit")?;
        verdict::write(out, since)?;
        row(out, "sealed", yes_or_no(*is_sealed))
    })?;
    Ok(ExitCode::SUCCESS)
}

fn look(reader: &Reader<&ReadOnly>) -> Found {
    let boots = reader.history();
    let since = reader.stamp().verdict(reader.medium().view());
    let (identity, is_sealed) = (reader.identity().to_string(), reader.is_sealed());
    Found { identity, is_sealed, boots, since }
}

impl<'a> Shown<'a> {
    fn of(boot: &'a Boot) -> Self {
        let Boot { opening, opened, origin, was_sealed, ref stamp, .. } = *boot;
        Self {
            opening,
            opened,
            time: text::time(stamp.seconds),
            is_creation: opening == 1,
            origin,
            was_sealed,
            kernel: stamp.kernel(),
            boot: (stamp.boot_id != [0; 16]).then(|| hex(&stamp.boot_id)),
            backing: stamp.backing,
        }
    }
}

fn words(boot: &Shown<'_>) -> String {
    let before = match (boot.is_creation, boot.was_sealed) {
        (true, _) => "created".to_owned(),
        (false, true) => format!("after: {}, sealed", boot.origin),
        (false, false) => format!("after: {}, not sealed", boot.origin),
    };
    let times = if boot.opened == 1 { "once" } else { &format!("{} times", boot.opened) };
    let or_unknown = |text: &str| if text.is_empty() { "unknown" } else { text }.to_owned();
    let time = or_unknown(boot.time.as_deref().unwrap_or_default());
    let id = or_unknown(boot.boot.as_deref().unwrap_or_default());
    let (kernel, backing) = (or_unknown(boot.kernel), boot.backing);
    format!("{before}; opened {times}, last at {time}; on {backing}; kernel {kernel}; boot {id}")
}
