//! `cachemaint demo`: the main job on a real file.
//!
//! A child process, `cachemaint journal append`, appends numbered records and prints the position of each when it is
//! acknowledged. It is killed with SIGKILL in the middle. Then the journal is opened again, and every record that was
//! acknowledged must be there.

use super::text::{self, heading, row, thousands};
use super::{inspect, open};
use crate::failure::os;
use crate::signals;
use anyhow::{Context as _, ensure};
use cachemaint::dax::DaxFile;
use cachemaint::medium::Medium;
use cachemaint_inspect::FileReport;
use cachemaint_journal::{Journal, Reader};
use serde_json::json;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Kill a process that appends records, and check that every acknowledged record is there
///
/// If an acknowledged record is missing or damaged, the exit code is 1 and the file is kept.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A directory for the demo's file, which is removed at the end [default: a temporary one]
    path: Option<PathBuf>,
    /// Print one JSON document
    #[arg(short, long)]
    json: bool,
}

/// The number of acknowledged records after which the child is killed; or it is killed after [`PATIENCE`] and at least
/// one. All of them have room in the file.
const KILL_AFTER: u64 = 30_000;
const PATIENCE: Duration = Duration::from_secs(2);

fn payload(number: u64) -> String {
    format!("record {number}")
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
    signals::handle(move |signal| {
        let path: &PathBuf = removed.wait();
        IS_INTERRUPTED.store(true, Ordering::SeqCst);
        let is_used = |error: io::Error| error.kind() == io::ErrorKind::DirectoryNotEmpty;
        while fs::remove_dir_all(path).is_err_and(is_used) {}
        signals::end_by(signal);
    })?;
    let directory = tempfile::Builder::new()
        .prefix("cachemaint-demo-")
        .tempdir_in(&place)
        .map_err(|error| os(&place, "mkdir", &error))
        .context("cannot create a temporary directory; name one (cachemaint demo DIRECTORY)")?;
    made.get_or_init(|| directory.path().to_path_buf());
    let ended = demonstrate(directory, arguments.json);
    while IS_INTERRUPTED.load(Ordering::SeqCst) {
        // The file may be gone, which is not an error. The handler ends the process.
        thread::park();
    }
    ended
}

static IS_INTERRUPTED: AtomicBool = AtomicBool::new(false);

fn demonstrate(directory: TempDir, as_json: bool) -> anyhow::Result<ExitCode> {
    let path = directory.path().join("records");
    let started = Instant::now();
    let acknowledged = append_and_kill(&path)?;
    let ran = started.elapsed();
    let file = open(&path)?;
    let findings = look(&file, acknowledged);
    file.check()?;
    let is_well = findings.is_open && findings.lost.is_empty();
    if !is_well {
        let kept = directory.keep().join("records");
        text::tell!("the check of the records failed; the file is kept: {}", kept.display());
    }
    let report = FileReport::of(file.view())?;
    let facts = json!({
        "acknowledged": acknowledged, "intact": findings.intact, "lost": findings.lost.len(),
        "beyond": findings.beyond, "opened": findings.is_open, "guarantee": &report
    });
    text::print(as_json, &text::Document::of(&path, facts), |out| {
        print(out, &file, &report, acknowledged, &findings, ran)
    })?;
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the child, kills it in the middle, and returns the number of its acknowledgements.
fn append_and_kill(path: &Path) -> anyhow::Result<u64> {
    let program = std::env::current_exe().context("cannot find the path of this program")?;
    let mut command = Command::new(program);
    command.args(["journal", "append", "--create", "8M", "--positions"]).arg(path);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().context("cannot start the writing process")?;
    let (mut records, positions) =
        child.stdin.take().zip(child.stdout.take()).context("no pipes")?;
    // It ends when the child does.
    let feed = move || (0..).try_for_each(|number| writeln!(records, "{}", payload(number)));
    let feeding = thread::Builder::new().spawn(feed).context("cannot start a thread")?;
    let counted = count(positions, || child.kill());
    // No child is left behind after any failure.
    child.kill().context("cannot kill the writing process")?;
    let status = child.wait().context("cannot wait for the writing process")?;
    drop(feeding.join());
    let acknowledged = counted.context("cannot read from the writing process")?;
    #[cfg(unix)]
    let was_killed = std::os::unix::process::ExitStatusExt::signal(&status) == Some(9);
    // Elsewhere the kill looks like any failure.
    #[cfg(not(unix))]
    let was_killed = !status.success();
    ensure!(
        was_killed,
        "the writing process ended by itself ({status}) after {acknowledged} records"
    );
    Ok(acknowledged)
}

/// Counts acknowledgements until it is time to kill, kills, and counts the rest of the pipe. One that the kill cut off does not
/// count.
fn count(positions: ChildStdout, mut kill: impl FnMut() -> io::Result<()>) -> io::Result<u64> {
    let (mut positions, mut line) = (BufReader::new(positions), Vec::new());
    let (started, mut is_killed, mut acknowledged) = (Instant::now(), false, 0);
    while positions.read_until(b'\n', &mut line)? > 0 {
        acknowledged += u64::from(line.ends_with(b"\n"));
        line.clear();
        // A busy machine may start the child late.
        if !is_killed && (acknowledged >= KILL_AFTER || started.elapsed() >= PATIENCE) {
            kill()?;
            is_killed = true;
        }
    }
    Ok(acknowledged)
}

/// Opens the journal, and looks for every acknowledged record and for later ones.
fn look<M: Medium>(medium: &M, acknowledged: u64) -> Findings {
    let (recovered, is_open) = match Journal::open(medium) {
        Ok((_, opened)) => {
            let (records, torn) = (opened.recovered.records, opened.recovered.torn);
            let end = if torn { "torn, as a crash may leave it" } else { "intact" };
            (format!("{} records; the end is {end}", thousands(records)), true)
        }
        Err(failed) => (format!("NOT: {}", failed.error), false),
    };
    let mut findings = Findings { recovered, is_open, ..Findings::default() };
    let reader = Reader::open(medium).ok();
    let records = reader.as_ref().and_then(|reader| reader.records().ok());
    let mut records = records.into_iter().flatten().map_while(Result::ok);
    for number in 0.. {
        let found = records.next();
        let is_intact = found.is_some_and(|record| record.payload == payload(number).as_bytes());
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
    report: &FileReport,
    acknowledged: u64,
    findings: &Findings,
    ran: Duration,
) -> io::Result<()> {
    heading(out, "A child process was killed while it appended to a journal")?;
    row(out, "file", format!("{}, {}", text::bytes(file.len()), inspect::place(report)))?;
    row(out, "granularity", report.granularity)?;
    row(out, "because", &report.reason)?;
    row(out, "persisted", inspect::way_to_persist(report.granularity))?;
    let count = thousands(acknowledged);
    row(out, "killed", format!("SIGKILL after {ran:.1?}, {count} records acknowledged"))?;
    row(out, "recovered", &findings.recovered)?;
    row(out, "found", verdict(findings))?;
    writeln!(out)?;
    text::survival(out, report)?;
    writeln!(out)?;
    row(out, "It proves", "that a new process finds every acknowledged record.")?;
    row(
        out,
        "It does not",
        "prove that anything was written back: the stores of a killed process remain in the CPU caches and the page cache. The table shows the promises for other events.",
    )
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
    use cachemaint::medium::Backing;
    use cachemaint::medium::Memory;
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
        let positions =
            [0, 3, 2, 3, 4].map(|number| journal.append(payload(number).as_bytes()).unwrap());
        drop(journal);
        let found = look(&memory, 4);
        assert_eq!((found.intact, &found.lost, found.beyond), (3, &vec![1], 1));
        assert!(found.is_open && found.recovered.starts_with("5 records"), "{}", found.recovered);
        let found = look(&memory, 7);
        assert_eq!(found.lost, [1, 5, 6]);
        assert!(verdict(&found).starts_with("3 of the acknowledged records ARE MISSING"));

        memory.write(20_480 + positions[4].0 + 16 + 2, b"X");
        assert_eq!(look(&memory, 5).lost, [1, 4]);
    }
}
