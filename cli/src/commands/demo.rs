//! `cachemaint demo`: the main job on a real file.
//!
//! A child process appends numbered records to a journal, and reports each one when it is acknowledged by the time that it
//! took, in nanoseconds, as 8 bytes. It is killed with SIGKILL in the middle. Then the journal is opened again, and every
//! record that was acknowledged must be there.

use super::text::{self, duration, heading, row, thousands};
use super::{inspect, journal, open, os};
use crate::interrupts;
use anyhow::{Context as _, ensure};
use cachemaint::cache::Choice;
use cachemaint::dax::{DaxFile, Options};
use cachemaint::medium::{Granularity, Medium};
use cachemaint::{Cache, Point};
use cachemaint_journal::{ErrorKind, Journal, Reader};
use std::fs;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio, exit};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Append records to a journal in a child process, kill it, and check that no acknowledged record is missing
///
/// Exits with 1 if an acknowledged record is missing or damaged; the file is kept then.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A directory for the demo's file, which is removed afterwards [default: a temporary one]
    path: Option<PathBuf>,
}

/// Append records until killed (the child of `demo`)
#[derive(clap::Args)]
pub(crate) struct WriterArguments {
    path: PathBuf,
}

/// Bytes of a record's payload: a cache line on most machines.
const PAYLOAD: usize = 64;
/// Bytes of the file.
const FILE: u64 = 8 << 20;
/// The number of acknowledged records after which the child is killed; or it is killed after [`PATIENCE`] and at least
/// one.
const KILL_AFTER: usize = (8 << 20) / PAYLOAD / 4;
const PATIENCE: Duration = Duration::from_secs(2);

/// The payload of a record: its number, and words that depend on it.
fn payload(number: u64) -> [u8; PAYLOAD] {
    let mut bytes = [0; PAYLOAD];
    let (words, _) = bytes.as_chunks_mut::<8>();
    // A payload is never zero, because some memory treats zeros specially and faster.
    let mut word = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for place in words.iter_mut() {
        *place = word.to_le_bytes();
        word = word.rotate_left(7);
    }
    words[0] = number.to_le_bytes();
    bytes
}

/// The content of the journal afterwards.
#[derive(Debug, Default, PartialEq, Eq)]
struct Findings {
    /// The opening of the journal: the number of records, and its end; or the reason why it failed.
    recovered: String,
    is_open: bool,
    /// Acknowledged and intact.
    intact: u64,
    /// Acknowledged and missing or damaged.
    lost: Vec<u64>,
    /// Intact though not acknowledged: appended when the kill came.
    beyond: u64,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let place = arguments.path.clone().unwrap_or_else(std::env::temp_dir);
    ensure!(place.is_dir(), "{}: is not a directory; name one that exists", place.display());
    let made = Arc::new(OnceLock::new());
    let removed = Arc::clone(&made);
    // Before the directory is there: a signal right after its creation must find the handler. The child ends when its pipes
    // have no other end.
    interrupts::handle(move || {
        let path: &PathBuf = removed.wait();
        IS_INTERRUPTED.store(true, Ordering::SeqCst);
        let is_used = |error: io::Error| error.kind() == io::ErrorKind::DirectoryNotEmpty;
        while fs::remove_dir_all(path).is_err_and(is_used) {}
        exit(interrupts::INTERRUPTED.into());
    })?;
    let directory = tempfile::Builder::new()
        .prefix("cachemaint-demo-")
        .tempdir_in(&place)
        .map_err(|error| os(&place, "mkdir", &error))
        .context("no directory for the demo; name another one (cachemaint demo DIRECTORY)")?;
    made.get_or_init(|| directory.path().to_path_buf());
    let ended = demonstrate(directory);
    while IS_INTERRUPTED.load(Ordering::SeqCst) {
        // The file may be gone, which is not an error. The handler ends the process.
        thread::park();
    }
    ended
}

static IS_INTERRUPTED: AtomicBool = AtomicBool::new(false);

fn demonstrate(directory: TempDir) -> anyhow::Result<ExitCode> {
    let path = directory.path().join("records");
    let file = Options::new().allow_page_granularity().create_new(&path, FILE)?;
    Journal::create_new(&file).map_err(|failed| failed.error)?;
    drop(file);

    let started = Instant::now();
    let acknowledged = write_and_kill(&path)?;
    let ran = started.elapsed();
    let file = open(&path)?;
    let findings = look(&file, acknowledged.len() as u64);
    file.check()?;
    let is_well = findings.is_open && findings.lost.is_empty();
    if !is_well {
        let kept = directory.keep().join("records");
        text::tell!("the check of the records failed; the file is kept: {}", kept.display());
    }
    let printed = text::report(|out| print(out, &file, acknowledged, &findings, ran));
    match (is_well, printed) {
        (true, printed) => printed.map(|()| ExitCode::SUCCESS),
        // The loss is the result, whatever becomes of its report.
        (false, Ok(()) | Err(_)) => Ok(ExitCode::FAILURE),
    }
}

/// Runs the child, kills it in the middle, and returns its acknowledgements: the nanoseconds of each.
fn write_and_kill(path: &Path) -> anyhow::Result<Vec<u64>> {
    let program = std::env::current_exe().context("cannot find the path of this program")?;
    let mut command = Command::new(program);
    command.arg("demo-writer").arg(path).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().context("the writing process cannot be started")?;
    let acknowledged = collect(&mut child);
    // No child is left behind after any failure.
    child.kill().context("the writing process cannot be killed")?;
    let status = child.wait().context("the writing process cannot be waited for")?;
    let acknowledged = acknowledged?;
    #[cfg(unix)]
    let was_killed = std::os::unix::process::ExitStatusExt::signal(&status) == Some(9);
    // Elsewhere the kill looks like any failure.
    #[cfg(not(unix))]
    let was_killed = !status.success();
    let count = acknowledged.len();
    ensure!(was_killed, "the writing process ended by itself ({status}) after {count} records");
    Ok(acknowledged)
}

/// Reads acknowledgements until it is time to kill, kills, and reads the rest of the pipe. One that the kill cut off does not
/// count.
fn collect(child: &mut Child) -> anyhow::Result<Vec<u64>> {
    let mut stdout = io::BufReader::new(child.stdout.take().context("no output")?);
    let mut times: Vec<u64> = Vec::new();
    let (started, mut is_killed, mut time) = (Instant::now(), false, [0; 8]);
    loop {
        // A busy machine may start the child late.
        let is_late = !times.is_empty() && started.elapsed() >= PATIENCE;
        if !is_killed && (times.len() >= KILL_AFTER || is_late) {
            child.kill().context("the writing process cannot be killed")?;
            is_killed = true;
        }
        match stdout.read_exact(&mut time) {
            Ok(()) => times.push(u64::from_le_bytes(time)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(times),
            Err(error) => return Err(error).context("the writing process cannot be read"),
        }
    }
}

/// Runs the child: appends record after record, and reports each when it is acknowledged.
pub(crate) fn write_until_killed(arguments: &WriterArguments) -> anyhow::Result<ExitCode> {
    let file = open(&arguments.path)?;
    let (journal, opened) = Journal::open(&file).map_err(|failed| failed.error)?;
    // Only the demo calls it, on its own journal; another journal must not get such records.
    let is_new = opened.recovered.records == 0 && file.len() == FILE;
    ensure!(is_new, "this is not the demo's file");
    let mut acknowledge = io::stdout().lock();
    for number in 0.. {
        let bytes = payload(number);
        let started = Instant::now();
        match journal.append(&bytes) {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::Full { .. }) => break,
            Err(error) => return Err(journal::named(&arguments.path, error)),
        }
        let taken = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        acknowledge.write_all(&taken.to_le_bytes())?;
        acknowledge.flush()?;
    }
    // The journal is full: the child waits for the kill, or for the parent's end, which closes the pipe.
    io::stdin().read_exact(&mut [0])?;
    Ok(ExitCode::FAILURE)
}

/// Opens the journal, and looks for every acknowledged record and for those behind them.
fn look<M: Medium>(medium: &M, acknowledged: u64) -> Findings {
    let mut findings = match Journal::open(medium) {
        Ok((_, opened)) => {
            let (records, torn) = (opened.recovered.records, opened.recovered.torn);
            let end = if torn { "torn, which counts for nothing" } else { "whole" };
            let words = format!("{} records; the end is {end}", thousands(records));
            Findings { recovered: words, is_open: true, ..Findings::default() }
        }
        Err(failed) => {
            Findings { recovered: format!("NOT: {}", failed.error), ..Findings::default() }
        }
    };
    let reader = Reader::open(medium).ok();
    let records = reader.as_ref().and_then(|reader| reader.records().ok());
    let mut records = records.into_iter().flatten().map_while(Result::ok);
    for number in 0.. {
        let found = records.next();
        let is_intact = found.is_some_and(|record| record.payload == payload(number));
        match (is_intact, number < acknowledged) {
            (true, true) => findings.intact += 1,
            (false, true) => findings.lost.push(number),
            (true, false) => findings.beyond += 1,
            (false, false) => break,
        }
    }
    findings
}

fn print(
    out: &mut impl Write,
    file: &DaxFile,
    mut times: Vec<u64>,
    findings: &Findings,
    ran: Duration,
) -> io::Result<()> {
    let guarantee = file.guarantee();
    heading(out, "A child process appended to a journal and was killed in the middle")?;
    row(out, "file", format!("{}, {}", text::bytes(file.len()), inspect::place(guarantee)))?;
    row(out, "granularity", guarantee.granularity)?;
    row(out, "because", &guarantee.reason)?;
    row(out, "persisted", how(file))?;
    let count = thousands(times.len() as u64);
    let ran = duration(u64::try_from(ran.as_nanos()).unwrap_or(u64::MAX));
    row(out, "killed", format!("SIGKILL after {ran}, {count} records acknowledged"))?;
    row(out, "recovered", &findings.recovered)?;
    row(out, "found", verdict(findings))?;
    times.sort_unstable();
    if let Some(last) = times.len().checked_sub(1) {
        let [median, slow] = [50, 99].map(|percent| duration(times[last * percent / 100]));
        let words = "until an append of 64 bytes returned, clock included";
        row(out, "time", format!("{median} median {words}, 99 % within {slow}"))?;
    }
    writeln!(out)?;
    text::survival(out, guarantee)?;
    writeln!(out)?;
    row(
        out,
        "It proves",
        "that a new process finds every acknowledged record, and that the order of \
         persisting and acknowledging is right.",
    )?;
    row(
        out,
        "It does not",
        "prove that anything was written back: a killed process keeps all its stores, since caches \
         and page cache belong to the machine. For the other events the table has the promises.",
    )
}

/// Returns the means, and the other ones on a DAX file.
fn how(file: &DaxFile) -> String {
    const BY_PAGES: &str = if cfg!(target_os = "linux") { "msync" } else { "the system's calls" };
    let by_lines = |cache: Cache| {
        let Choice { instruction, before, after, .. } = cache.writeback_choice();
        let before = before.map(|fence| format!("{fence}, ")).unwrap_or_default();
        format!("{before}{} and {after}", instruction.name)
    };
    match (file.guarantee().granularity, file.view().cache()) {
        (Granularity::Byte, Some(cache)) => {
            let fence = cache.writeback_choice().after;
            format!("{fence} alone: the caches are in the persistence domain")
        }
        (_, Some(cache)) => by_lines(cache),
        (_, None) => {
            let on_dax = match Cache::host().and_then(|cache| cache.to(Point::Persistence)) {
                Ok(cache) => by_lines(cache),
                Err(why) => format!("{BY_PAGES} as well ({why})"),
            };
            format!("{BY_PAGES} (on a DAX file this machine would use {on_dax})")
        }
    }
}

fn verdict(findings: &Findings) -> String {
    let text = match findings.lost.as_slice() {
        [] => format!("all {} acknowledged records, intact", thousands(findings.intact)),
        [first, ..] => format!(
            "{} of the acknowledged records ARE MISSING OR DAMAGED, the first is number {first}",
            thousands(findings.lost.len() as u64)
        ),
    };
    match findings.beyond {
        0 => text,
        beyond => format!("{text}; {beyond} more that was not acknowledged yet"),
    }
}

#[cfg(test)]
mod tests {
    use super::{look, payload, verdict};
    use cachemaint::Cache;
    use cachemaint::medium::Memory;
    use cachemaint::survival::Backing;
    use cachemaint_journal::Journal;
    use std::sync::atomic::AtomicU64;

    /// The log begins at 20480 and a record has 16 bytes before its payload (crate `cachemaint-journal`, the format).
    #[test]
    fn missing_wrong_and_changed_records_are_found() {
        let words: Vec<_> = (0..8192).map(|_| AtomicU64::new(0)).collect();
        let memory = Memory::new(&words, Cache::host().unwrap(), Backing::Ram);
        let nothing = look(&memory, 2);
        assert_eq!((nothing.is_open, nothing.lost), (false, vec![0, 1]));
        assert!(nothing.recovered.starts_with("NOT: there is no journal"), "{}", nothing.recovered);

        let (journal, _) = Journal::create_new(&memory).unwrap();
        // A journal keeps any appended bytes: here record 3 in the place of record 1.
        let positions = [0, 3, 2, 3, 4].map(|number| journal.append(&payload(number)).unwrap());
        drop(journal);
        let found = look(&memory, 4);
        assert_eq!((found.intact, &found.lost, found.beyond), (3, &vec![1], 1));
        assert!(found.is_open && found.recovered.starts_with("5 records"), "{}", found.recovered);
        let found = look(&memory, 7);
        assert_eq!(found.lost, [1, 5, 6]);
        assert!(verdict(&found).starts_with("3 of the acknowledged records ARE MISSING"));

        memory.write(20_480 + positions[4].0 + 16 + 40, &[payload(4)[40] ^ 0x10]);
        assert_eq!(look(&memory, 5).lost, [1, 4]);
    }
}
