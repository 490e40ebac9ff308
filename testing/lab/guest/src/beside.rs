//! A store, a journal and a recording that are opened for writing beside a bad block. No handler of SIGBUS is installed: a
//! load or a store there ends the program.

use anyhow::{Context as _, Result, bail, ensure};
use cachemaint::dax::{DaxFile, Options, PreadFile};
use cachemaint_journal::{self as journal, Journal};
use cachemaint_recorder::{self as recorder, Durability, Event, Found, Recorder};
use cachemaint_store::{Attributes, Reader, Store};
use serde_json::{Value, json};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

const LEN: u64 = 4 << 20;
const PAGE: u64 = 4096;
/// The offset of the first segment of a journal.
const LOG: u64 = 5 * PAGE;
/// The offset of the first sub-buffer of a recording.
const BASE: u64 = 5 * PAGE;
/// The number of events and records, which fill more than two pages.
const MANY: u8 = 150;

fn print(document: &Value) -> Result<ExitCode> {
    writeln!(std::io::stdout(), "{document}").context("cannot print")?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the bytes of a blob, which are in two chunks.
fn blob(byte: u8) -> Vec<u8> {
    vec![byte; 70_000]
}

fn options() -> Options {
    Options::new().allow_page_granularity()
}

fn recording() -> recorder::Options<'static> {
    recorder::Options::new().sub_buffer_size(4096).durability(Durability::SubBuffer)
}

/// Makes a file. Prints the offset of a block that will be bad: of a blob, of records before the last ones, or of a header.
pub(crate) fn make(kind: &str, path: &Path) -> Result<ExitCode> {
    let file = options().create_new(path, LEN)?;
    let at = match kind {
        "store" => {
            let (mut store, _) = Store::create_new(file)?;
            let mut transaction = store.begin()?;
            transaction.put(Attributes::new("bad").alignment(PAGE), &blob(1))?;
            transaction.put(Attributes::new("good").alignment(PAGE), &blob(2))?;
            transaction.commit()?;
            store.stat("bad").context("no blob")?.offset + 2 * PAGE
        }
        "journal" => {
            let (journal, _) = journal::Options::new().segment(PAGE).create_new(file)?;
            for number in 0..MANY {
                journal.append(&[number; 100])?;
            }
            LOG + PAGE
        }
        "recording" => {
            let (recorder, _) = recording().create_new(file)?;
            let writer = recorder.claim()?;
            for _ in 0..MANY {
                writer.record(1, &[1; 100])?;
            }
            recorder.write_back_all()?;
            BASE
        }
        _ => bail!("no such kind: {kind}"),
    };
    print(&json!({ "at": at }))
}

/// Opens the file for writing, and writes. Prints the findings.
pub(crate) fn open(kind: &str, path: &Path) -> Result<ExitCode> {
    let found = match kind {
        "store" => open_store(path)?,
        "journal" => open_journal(path)?,
        "recording" => open_recording(path)?,
        _ => bail!("no such kind: {kind}"),
    };
    print(&found)
}

fn names(damaged: &[(Box<str>, cachemaint_store::Damage)]) -> Vec<&str> {
    damaged.iter().map(|(name, _)| &**name).collect()
}

/// Replaces the damaged blob by another one.
fn open_store(path: &Path) -> Result<Value> {
    let verified = Reader::open(options().view(path)?)?.verify()?;
    let file = options().open(path)?;
    let (mut store, opened) = cachemaint_store::Options::new().verify().open(file)?;
    let found = opened.verification.context("nothing was verified")?;
    let mut transaction = store.begin()?;
    transaction.delete("bad")?;
    transaction.put("other", &blob(3))?;
    transaction.commit()?;
    ensure!(store.load("good")? == blob(2), "another blob has changed");
    ensure!(store.load("other")? == blob(3), "the new blob has changed");
    store.close()?;
    let after = Reader::open(options().view(path)?)?.verify()?;
    Ok(json!({
        "verified": names(&verified.damaged),
        "opened": names(&found.damaged),
        "is_whole_afterwards": after.is_whole(),
    }))
}

fn open_journal(path: &Path) -> Result<Value> {
    let refused = match Journal::open(options().open(path)?) {
        Ok(_) => bail!("it was opened"),
        Err(refused) => refused.error,
    };
    let journal::ErrorKind::Damaged(damage) = refused.kind() else { bail!(refused) };
    let calls = PreadFile::new(File::open(path)?, 0)?;
    let salvaged = journal::Reader::open(&calls).map_err(|failed| failed.error)?;
    let salvaged = salvaged.salvage()?.filter_map(Result::ok).count();
    let is_unreadable = damage.fault == journal::Fault::Unreadable;
    Ok(json!({
        "page": damage.offset / PAGE * PAGE,
        "is_unreadable": is_unreadable,
        "is_salvaged": salvaged > 0,
    }))
}

/// Counts the events of the second opening.
fn open_recording(path: &Path) -> Result<Value> {
    let file: DaxFile = options().open(path)?;
    let (recorder, _) = Recorder::open(file)?;
    let writer = recorder.claim()?;
    for _ in 0..10 {
        writer.record(2, &[2; 100])?;
    }
    recorder.write_back_all()?;
    let calls = PreadFile::new(File::open(path)?, 0)?;
    let reader = recorder::Reader::open(&calls).map_err(|failed| failed.error)?;
    let (mut buffer, mut counts) = (vec![0; reader.largest_payload()], [0_u8; 3]);
    let mut found = reader.shard(0);
    while let Some(found) = found.read_next(&mut buffer)? {
        if let Found::Event(Event { id, .. }) = found {
            counts[usize::from(id)] += 1;
        }
    }
    Ok(json!({ "is_some_lost": counts[1] < MANY, "new": counts[2] }))
}
