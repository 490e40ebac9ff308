//! `cachemaint journal verify`.

use super::text::{self, Document, heading, row};
use super::{inspect, reader, verified};
use crate::read_only::ReadOnly;
use cachemaint::medium::Readable as _;
use cachemaint_journal::Recovered;
use serde_json::json;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Check the whole journal, and report its records and damage
///
/// The exit code is 1 if the journal is damaged or truncated, if intact records follow a torn end, or if a copy of the root
/// is torn or damaged. A torn end without such records is the normal result of a crash, not damage. While another process
/// appends or trims, a record or root can be half written for a moment: verify again. The file is only read.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The file of the journal
    file: PathBuf,
    /// Print one JSON document
    #[arg(short, long)]
    json: bool,
}

/// Returns the warning about a torn end, or `None` if there is none.
pub(super) fn torn_end(recovered: &Recovered) -> Option<String> {
    let Recovered { torn, after_gap, end, .. } = recovered;
    let records = match after_gap {
        0 => {
            let text = format!(
                "the end at {end} is torn: a crash interrupted a record, or one is being appended now. After a power cut, the last acknowledged record may also have been damaged there"
            );
            return torn.then_some(text);
        }
        1 => "1 intact record follows".to_owned(),
        more => format!("{} intact records follow", text::thousands(*more)),
    };
    Some(format!(
        "{records} the torn end at {end}: a record in between is damaged, or was interrupted by a crash, or is being appended now"
    ))
}

/// The warning about a lost root.
pub(super) const ROOT_LOST: &str = "a copy of the root is torn, damaged or being written now; if both copies are damaged, the last trim or close may be undone, and trimmed records may reappear";

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let path = &arguments.file;
    let file = ReadOnly::open(path)?;
    let reader = reader(path, &file)?;
    let recovered = verified(path, &reader)?;
    let identity = reader.identity();
    let report = file.report()?;
    let facts = json!({
        "identity": identity.to_string(), "recovered": &recovered, "guarantee": &report
    });
    text::print(arguments.json, &Document::of(path, facts), |out| {
        heading(out, &text::printable(path.display()))?;
        row(out, "journal", identity)?;
        let size = text::bytes(file.len());
        row(out, "file", format!("{size}, {}", inspect::place(&report)))?;
        row(out, "granularity", report.granularity)?;
        row(out, "positions", format!("{} to {}", recovered.head, recovered.end))?;
        write_recovered(out, &recovered)
    })?;
    let is_doubtful = recovered.damage.is_some() || recovered.after_gap > 0 || recovered.root_lost;
    Ok(if is_doubtful { ExitCode::FAILURE } else { ExitCode::SUCCESS })
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
        None => "intact".to_owned(),
        Some(torn) if *after_gap == 0 => torn,
        Some(torn) => format!("torn or damaged: {torn}. `journal salvage` prints them"),
    };
    row(out, "end", torn)?;
    match damage {
        None if *root_lost => {
            row(out, "damage", format!("{ROOT_LOST}. The next `append` or `trim` rewrites it"))
        }
        None => row(out, "damage", "none"),
        Some(damage) => row(
            out,
            "damage",
            format!(
                "{damage}. `journal salvage` prints all intact records, including those after the damage, or copies them to a new journal (`--into`)"
            ),
        ),
    }
}
