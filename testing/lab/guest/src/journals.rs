//! A journal of numbered records, appended to until an event ends the process, and then read.

use crate::number;
use crate::records::record;
use anyhow::{Context as _, Result};
use cachemaint::dax::{DaxFile, Options};
use cachemaint_journal::{Journal, Reader};
use cachemaint_lab_protocol::Records;
use lose_lines_agent::Reply;
use serde_json::json;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

/// The size of the file in bytes: enough for the appends of a lane.
const LEN: u64 = 16 << 20;

/// Returns the record with a number. Lengths differ, so that records begin anywhere in a line. Each ends with the
/// CRC32C of its other bytes, as in common framing: a linear checksum over it has the same value for any content.
fn payload(seed: u64, number: u64) -> Vec<u8> {
    let len = 12 + usize::try_from(number % 300).unwrap_or_default();
    let mut payload: Vec<u8> = record(seed, number).into_iter().cycle().take(len).collect();
    payload.extend(crc32c::crc32c(&payload).to_le_bytes());
    payload
}

/// Creates a journal, or opens the existing one. Returns it with its number of records.
fn open(path: &Path) -> Result<(Journal<DaxFile>, u64)> {
    if !path.try_exists().with_context(|| format!("cannot look for {}", path.display()))? {
        return Ok((Journal::create_new(Options::new().create_new(path, LEN)?)?.0, 0));
    }
    let (journal, opened) = Journal::open(Options::new().open(path)?)?;
    Ok((journal, opened.recovered.records))
}

/// Appends records until there are this many in total. Calls `tell` when each is acknowledged.
pub(crate) fn append(records: &Records, mut tell: impl FnMut(u64) -> Result<()>) -> Result<Reply> {
    let (journal, there) = open(records.path.as_ref())?;
    for number in there..records.count {
        journal.append(&payload(records.seed, number))?;
        tell(number + 1)?;
    }
    Ok(Reply::Done)
}

/// Prints the number of intact leading records, and the damaged ones. Then opens the journal for appending, and prints
/// the result of the recovery.
pub(crate) fn read(path: &Path, seed: &str) -> Result<ExitCode> {
    let seed = number(seed)?;
    let file = Options::new().open(path)?;
    let reader = Reader::open(&file).map_err(|failed| failed.error)?;
    let found = reader.verify()?;
    let mut intact = 0;
    for record in reader.records()? {
        if record?.payload != payload(seed, intact) {
            break;
        }
        intact += 1;
    }
    let (_journal, opened) = Journal::open(&file).map_err(|failed| failed.error)?;
    let document = json!({
        "found": found.records,
        "intact": intact,
        "recovered": opened.recovered.records,
    });
    writeln!(std::io::stdout(), "{document}").context("cannot print")?;
    Ok(ExitCode::SUCCESS)
}
