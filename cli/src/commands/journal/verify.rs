//! `cachemaint journal verify`.

use super::text::{self, heading, row};
use super::{inspect, reader, verified};
use crate::read_only::ReadOnly;
use cachemaint::dax::Guarantee;
use cachemaint_journal::{Identity, Recovered};
use serde::Serialize;
use std::borrow::Cow;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Read everything, and report the records and the damage
///
/// The file is opened for reading only. The exit code is 3 if the file was cut or no root is whole, and 1 if the journal is
/// damaged, if there are whole records after a torn end, or if a copy of the root is torn or damaged. A torn end without such
/// records does not count as damage: a crash leaves it. While another process appends or
/// trims, records or a root can be half stored for a moment: verify again.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The file of the journal
    file: PathBuf,
    /// Print one JSON document
    #[arg(short, long)]
    json: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    path: Cow<'a, str>,
    identity: String,
    recovered: &'a Recovered,
    guarantee: &'a Guarantee,
}

/// Returns the warning about a torn end, or `None` if there is none.
pub(super) fn torn_end(recovered: &Recovered) -> Option<String> {
    let Recovered { torn, after_gap, end, .. } = recovered;
    let records = match after_gap {
        0 => {
            let text = format!(
                "the end at {end} is torn: a record was under way in a crash or is now. After a power cut it can also be the last \
                 acknowledged one, damaged"
            );
            return torn.then_some(text);
        }
        1 => "1 whole record is".to_owned(),
        more => format!("{} whole records are", text::thousands(*more)),
    };
    Some(format!(
        "{records} after the torn end at {end}, under way in a crash or now together with one that is missing, or \
         that one is damaged"
    ))
}

/// The warning about a lost root.
pub(super) const ROOT_LOST: &str = "a copy of the root is torn by a crash or damaged, or under way now; if both are damaged, the last \
    trim or closing may be undone, and trimmed records may be there again";

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let path = &arguments.file;
    let file = ReadOnly::open(path)?;
    let reader = reader(path, &file)?;
    let recovered = verified(path, &reader, "verifying")?;
    let identity = reader.identity();
    let document = Document {
        schema: text::SCHEMA,
        path: path.to_string_lossy(),
        identity: identity.to_string(),
        recovered: &recovered,
        guarantee: file.view().guarantee(),
    };
    text::print(arguments.json, &document, |out| print(out, path, &file, identity, &recovered))?;
    let is_doubtful = recovered.damage.is_some() || recovered.after_gap > 0 || recovered.root_lost;
    Ok(if is_doubtful { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn print(
    out: &mut impl Write,
    path: &Path,
    file: &ReadOnly,
    identity: Identity,
    recovered: &Recovered,
) -> io::Result<()> {
    let guarantee = file.view().guarantee();
    heading(out, &text::printable(path.display()))?;
    row(out, "journal", identity)?;
    let size = text::bytes(file.view().len());
    row(out, "file", format!("{size}, {}", inspect::place(guarantee)))?;
    row(out, "granularity", guarantee.granularity)?;
    row(out, "positions", format!("{} to {}", recovered.head, recovered.end))?;
    write_recovered(out, recovered)
}

/// Writes the records, the end and the damage of a journal.
pub(in crate::commands) fn write_recovered(
    out: &mut impl Write,
    recovered: &Recovered,
) -> io::Result<()> {
    let Recovered { records, bytes, after_gap, damage, root_lost, .. } = recovered;
    let (records, bytes) = (text::thousands(*records), text::thousands(*bytes));
    row(out, "records", format!("{records}, with {bytes} bytes of payload"))?;
    let torn = match torn_end(recovered) {
        None if damage.is_some() => {
            "unknown: only the records before the damage are counted".to_owned()
        }
        None => "whole".to_owned(),
        Some(torn) if *after_gap == 0 => torn,
        Some(torn) => format!("torn or damaged: {torn}. `journal salvage` prints them"),
    };
    row(out, "end", torn)?;
    match damage {
        None if *root_lost => {
            row(out, "damage", format!("{ROOT_LOST}. The next `append` or `trim` writes it anew"))
        }
        None => row(out, "damage", "none"),
        Some(damage) => row(
            out,
            "damage",
            format!(
                "{damage}. `journal salvage` prints the whole records, also after it, or makes a new journal of \
                 them (`--into`)"
            ),
        ),
    }
}
