//! `cachemaint demo`: the main job on a real file.
//!
//! A child process appends numbered records to a journal and reports each one when it is acknowledged.
//! It is killed with SIGKILL in the middle. Then the journal is opened again, and every record that was
//! acknowledged must be there.

use super::inspect;
use super::text::{self, duration, heading, row, thousands};
use anyhow::{Context, ensure};
use cachemaint::cache::FenceNames;
use cachemaint::dax::{self, DaxFile, Guarantee};
use cachemaint::journal::{Error, Journal, Reader, Recovered};
use cachemaint::medium::{Granularity, Medium, Memory};
use cachemaint::{Cache, Point};
use core::convert::Infallible;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Append records to a journal in a child process, kill it, and check that nothing acknowledged is missing
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
/// The child is killed when it has acknowledged so many records, or after [`PATIENCE`] and at least one.
const KILL_AFTER: u64 = FILE / PAYLOAD as u64 / 4;
const PATIENCE: Duration = Duration::from_secs(2);

/// What is appended: the record's number, and words that depend on it.
fn payload(number: u64) -> [u8; PAYLOAD] {
    let mut bytes = [0; PAYLOAD];
    let (words, _) = bytes.as_chunks_mut::<8>();
    // Never zero, so that memory which treats zeros specially is not flattered.
    let mut word = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for place in words.iter_mut() {
        *place = word.to_le_bytes();
        word = word.rotate_left(7);
    }
    words[0] = number.to_le_bytes();
    bytes
}

/// What the writer reported: how many records were acknowledged and how long each append took, in
/// nanoseconds.
#[derive(Default)]
struct Acknowledged {
    times: Vec<u64>,
}

/// What was found in the journal afterwards.
#[derive(Debug, Default, PartialEq, Eq)]
struct Findings {
    /// Acknowledged and intact.
    intact: u64,
    /// Acknowledged and missing or damaged.
    lost: Vec<u64>,
    /// Intact though not acknowledged: appended when the kill came.
    beyond: u64,
}

/// The journal after the kill.
struct Found {
    /// How it was recovered, or why not.
    recovered: Result<Recovered, String>,
    findings: Findings,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let place = arguments.path.clone().unwrap_or_else(std::env::temp_dir);
    let is_directory = place.is_dir();
    ensure!(is_directory, "{}: no such directory; name one that exists", place.display());
    // Before there is anything to leave behind.
    note_interrupts()?;
    let directory = tempfile::Builder::new()
        .prefix("cachemaint-demo-")
        .tempdir_in(&place)
        .with_context(|| format!("{}: no directory can be made in it", place.display()))?;
    let path = directory.path().join("records");
    drop(Journal::create(dax::Options::new().allow_page_granularity().create(&path, FILE)?)?);

    let started = Instant::now();
    let acknowledged = write_and_kill(&path)?;
    let ran = started.elapsed();
    if INTERRUPTED.load(Ordering::Relaxed) {
        return Ok(ExitCode::from(text::INTERRUPTED));
    }

    let file = open(&path)?;
    let found = look(&file, acknowledged.times.len() as u64)?;
    let mut out = anstream::stdout().lock();
    print(&mut out, &file, &acknowledged, &found, ran)?;
    if found.recovered.is_ok() && found.findings.lost.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "The file is kept: {}", directory.keep().join("records").display())?;
    Ok(ExitCode::FAILURE)
}

fn open(path: &Path) -> Result<DaxFile, dax::Error> {
    dax::Options::new().allow_page_granularity().open(path)
}

/// Set by SIGINT, SIGTERM and SIGHUP.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Ends the demo at its next record after SIGINT, SIGTERM or SIGHUP, by the way that removes its file and its child.
/// A second signal ends it at once: the disk may hang.
fn note_interrupts() -> anyhow::Result<()> {
    ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            std::process::exit(text::INTERRUPTED.into());
        }
    })
    .context("interrupts cannot be handled")
}

/// Runs the child, kills it in the middle, and collects what it acknowledged.
fn write_and_kill(path: &Path) -> anyhow::Result<Acknowledged> {
    let program = std::env::current_exe().context("the path of this program")?;
    let mut command = Command::new(program);
    command.arg("demo-writer").arg(path).stdin(Stdio::piped()).stdout(Stdio::piped());
    // A terminal's interrupt is for this process, which ends the child.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.spawn().context("the writing process cannot be started")?;
    let acknowledged = collect(&mut child);
    // Whatever went wrong, no child is left behind.
    child.kill().context("the writing process cannot be killed")?;
    let status = child.wait().context("the writing process cannot be waited for")?;
    let acknowledged = acknowledged?;
    ensure!(
        was_killed(status),
        "the writing process ended by itself ({status}) after {} records",
        acknowledged.times.len(),
    );
    Ok(acknowledged)
}

#[cfg(unix)]
fn was_killed(status: ExitStatus) -> bool {
    std::os::unix::process::ExitStatusExt::signal(&status) == Some(9)
}

/// Elsewhere (`TerminateProcess`) it looks like any failure.
#[cfg(not(unix))]
fn was_killed(status: ExitStatus) -> bool {
    !status.success()
}

/// Reads acknowledgements until it is time to kill, kills, and reads what was still in the pipe.
fn collect(child: &mut Child) -> anyhow::Result<Acknowledged> {
    let stdout = child.stdout.take().context("the writing process has no output")?;
    let mut reader = BufReader::new(stdout);
    let mut acknowledged = Acknowledged::default();
    let started = Instant::now();
    let is_time = |acknowledged: &Acknowledged| {
        let count = acknowledged.times.len() as u64;
        // A busy machine may start the child late.
        let is_late = count > 0 && started.elapsed() >= PATIENCE;
        count >= KILL_AFTER || is_late || INTERRUPTED.load(Ordering::Relaxed)
    };
    while !is_time(&acknowledged) {
        if !take_one(&mut reader, &mut acknowledged)? {
            break;
        }
    }
    child.kill().context("the writing process cannot be killed")?;
    while take_one(&mut reader, &mut acknowledged)? {}
    Ok(acknowledged)
}

/// Takes one whole acknowledgement; what the kill cut off is none.
fn take_one(reader: &mut impl BufRead, acknowledged: &mut Acknowledged) -> anyhow::Result<bool> {
    let mut bytes = [0; ACKNOWLEDGEMENT];
    match reader.read_exact(&mut bytes) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(false),
        Err(error) => return Err(error).context("the writing process's output cannot be read"),
    }
    let (number, time) = decode(bytes);
    let expected = acknowledged.times.len() as u64;
    ensure!(number == expected, "record {number} was acknowledged instead of {expected}");
    acknowledged.times.push(time);
    Ok(true)
}

/// Bytes of an acknowledgement in the pipe: the record's number and the nanoseconds it took.
const ACKNOWLEDGEMENT: usize = 16;

fn encode(number: u64, nanoseconds: u64) -> [u8; ACKNOWLEDGEMENT] {
    let mut bytes = [0; ACKNOWLEDGEMENT];
    let (first, second) = bytes.split_at_mut(8);
    first.copy_from_slice(&number.to_le_bytes());
    second.copy_from_slice(&nanoseconds.to_le_bytes());
    bytes
}

fn decode(bytes: [u8; ACKNOWLEDGEMENT]) -> (u64, u64) {
    let (words, _) = bytes.as_chunks::<8>();
    (u64::from_le_bytes(words[0]), u64::from_le_bytes(words[1]))
}

/// The child: appends record after record, and reports each when it is acknowledged.
pub(crate) fn write_until_killed(arguments: &WriterArguments) -> anyhow::Result<ExitCode> {
    let (journal, recovered) = Journal::open(open(&arguments.path)?)?;
    // It is called by the demo, on its own journal; another one gets no such records.
    ensure!(
        recovered.records == 0 && journal.medium().len() == FILE,
        "this is not the demo's file"
    );
    let mut acknowledge = std::io::stdout().lock();
    for number in 0.. {
        let bytes = payload(number);
        let started = Instant::now();
        match journal.append(&bytes) {
            Ok(_) => {}
            Err(Error::Full { .. }) => break,
            Err(error) => return Err(error.into()),
        }
        let taken = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        acknowledge.write_all(&encode(number, taken))?;
        acknowledge.flush()?;
    }
    // The journal is full, and the kill is still to come; or the parent's end, which closes the pipe.
    std::io::stdin().read_exact(&mut [0])?;
    Ok(ExitCode::FAILURE)
}

/// Recovers the journal, and looks for every record that was acknowledged and for those behind them.
fn look<M: Medium>(medium: &M, acknowledged: u64) -> anyhow::Result<Found>
where
    M::Error: Send + Sync + 'static,
{
    let recovered = match Journal::open(medium) {
        Ok((_, recovered)) => Ok(recovered),
        Err(Error::Medium(error)) => return Err(error.into()),
        Err(error) => Err(error.to_string()),
    };
    Ok(Found { recovered, findings: check(medium, acknowledged) })
}

/// The records that are in the journal, as far as it can be read.
fn check<M: Medium>(medium: &M, acknowledged: u64) -> Findings {
    let mut findings = Findings::default();
    let reader = Reader::open(medium).ok();
    let mut records = reader.iter().flat_map(Reader::records).map_while(Result::ok);
    for number in 0.. {
        let found = records.next();
        let is_intact = found.as_ref().is_some_and(|record| record.payload == payload(number));
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
    acknowledged: &Acknowledged,
    found: &Found,
    ran: Duration,
) -> anyhow::Result<()> {
    let guarantee = file.guarantee();
    heading(out, "A child process appended to a journal and was killed in the middle")?;
    row(out, "file", format!("{}, {}", text::bytes(file.len()), inspect::place(guarantee)))?;
    row(out, "granularity", guarantee.granularity())?;
    row(out, "because", guarantee.reason())?;
    row(out, "persisted", how(file, guarantee))?;
    let count = thousands(acknowledged.times.len() as u64);
    let ran = duration(u64::try_from(ran.as_nanos()).unwrap_or(u64::MAX));
    row(out, "killed", format!("SIGKILL after {ran}, {count} records acknowledged"))?;
    row(out, "recovered", recovery(&found.recovered))?;
    row(out, "found", verdict(&found.findings))?;
    row(out, "time", times(&acknowledged.times))?;
    row(out, "compare", in_ram())?;
    writeln!(out)?;
    text::survival(out, guarantee)?;
    writeln!(out)?;
    row(
        out,
        "It proves",
        "that what was acknowledged can be found again by a new process, and that the order of \
         persisting and acknowledging is right.",
    )?;
    row(
        out,
        "It does not",
        "prove that anything was written back: a killed process keeps all its stores, since caches \
         and page cache belong to the machine. For the other events the table says what is promised.",
    )?;
    Ok(())
}

/// What persists pages.
const BY_PAGES: &str = if cfg!(target_os = "linux") { "msync" } else { "the system's calls" };

/// By which means, and by which other ones on a DAX file.
fn how(file: &DaxFile, guarantee: &Guarantee) -> String {
    let on_dax = match Cache::host().and_then(|cache| cache.to(Point::Persistence)) {
        Ok(cache) => {
            let FenceNames { before, after, .. } = cache.writeback_fences();
            let before = before.map(|fence| format!("{fence}, ")).unwrap_or_default();
            format!("{before}{} and {after}", cache.writeback_instruction().name)
        }
        Err(why) => format!("{BY_PAGES} as well ({why})"),
    };
    match (guarantee.granularity(), file.cache()) {
        (Granularity::Byte, Some(cache)) => {
            format!(
                "{} alone: the caches are in the persistence domain",
                cache.writeback_fences().after
            )
        }
        (_, Some(_)) => on_dax,
        (_, None) => format!("{BY_PAGES} (on a DAX file this machine would use {on_dax})"),
    }
}

fn recovery(recovered: &Result<Recovered, String>) -> String {
    match recovered {
        Ok(Recovered { records, torn, .. }) => {
            let end = if *torn { "torn, which counts for nothing" } else { "whole" };
            format!("{} records by opening the journal; its end is {end}", thousands(*records))
        }
        Err(why) => format!("NOT: {why}"),
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

/// What the same appends take in RAM, line by line: what a DAX file costs at least.
///
/// The mean over all of them, one after the other: a clock around a single one can be read before its
/// write-back is complete, which the next one then waits for.
fn in_ram() -> String {
    let cache = match Cache::host().and_then(|cache| cache.to(Point::Persistence)) {
        Ok(cache) => cache,
        Err(why) => return format!("nothing: {why}"),
    };
    match append_in_ram(cache) {
        Ok((count, elapsed)) => {
            let nanoseconds = elapsed.as_nanos() / u128::from(count.max(1));
            let each = duration(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
            let instruction = cache.writeback_instruction().name;
            format!("{each} for each, one after the other in RAM, by {instruction}")
        }
        Err(why) => format!("nothing: {why}"),
    }
}

/// Fills a journal in RAM; how many records there are, and how long it took.
fn append_in_ram(cache: Cache) -> Result<(u64, Duration), Error<Infallible>> {
    let words: Vec<AtomicU64> = (0..FILE / 8).map(|_| AtomicU64::new(1)).collect();
    let journal = Journal::create(Memory::new(&words, cache))?;
    let bytes = payload(0);
    let mut count = 0;
    let started = Instant::now();
    loop {
        match journal.append(&bytes) {
            Ok(_) => count += 1,
            Err(Error::Full { .. }) => return Ok((count, started.elapsed())),
            Err(error) => return Err(error),
        }
    }
}

fn times(times: &[u64]) -> String {
    format!("{} (clock included)", times_of(times))
}

fn times_of(times: &[u64]) -> String {
    let mut times = times.to_vec();
    times.sort_unstable();
    let at = |percent: usize| {
        times.get((times.len() * percent / 100).min(times.len().saturating_sub(1)))
    };
    match (at(50), at(99)) {
        (Some(median), Some(slow)) => format!(
            "{} median until an append of {PAYLOAD} bytes returned, 99 % within {}",
            duration(*median),
            duration(*slow)
        ),
        _ => "no record was acknowledged".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Acknowledged, Findings, check, decode, encode, look, payload, recovery, take_one, times_of,
        verdict,
    };
    use cachemaint::Cache;
    use cachemaint::journal::{Journal, Position};
    use cachemaint::medium::{Medium, Memory};
    use std::sync::atomic::AtomicU64;

    fn words() -> Vec<AtomicU64> {
        (0..8192).map(|_| AtomicU64::new(0)).collect()
    }

    /// A journal of records with these numbers; where the last one begins.
    fn write(medium: impl Medium<Error: core::fmt::Debug>, numbers: &[u64]) -> Position {
        let journal = Journal::create(medium).unwrap();
        let positions = numbers.iter().map(|number| journal.append(&payload(*number)).unwrap());
        positions.last().unwrap()
    }

    /// Five records are written, of which four were acknowledged.
    #[test]
    fn what_is_missing_is_found() {
        let words = words();
        let memory = Memory::new(&words, Cache::host().unwrap());
        write(&memory, &[0, 1, 2, 3, 4]);
        let found = look(&memory, 4).unwrap();
        assert_eq!(found.findings, Findings { intact: 4, lost: vec![], beyond: 1 });
        assert_eq!(found.recovered.as_ref().unwrap().records, 5);
        assert!(
            recovery(&found.recovered).starts_with("5 records"),
            "{}",
            recovery(&found.recovered)
        );

        // Acknowledged and never written.
        let findings = check(&memory, 7);
        assert_eq!(findings.lost, [5, 6]);
        assert!(verdict(&findings).starts_with("2 of the acknowledged records ARE MISSING"));
    }

    /// A journal keeps what is appended, whatever it is: here record 3 in the place of record 1.
    #[test]
    fn what_is_not_what_was_acknowledged_is_found() {
        let words = words();
        let memory = Memory::new(&words, Cache::host().unwrap());
        write(&memory, &[0, 3, 2]);
        assert_eq!(check(&memory, 3), Findings { intact: 2, lost: vec![1], beyond: 0 });
    }

    /// The log begins at 8192 and a record has 16 bytes before its payload (module `journal`, the format).
    #[test]
    fn a_bit_that_changed_is_found() {
        let words = words();
        let memory = Memory::new(&words, Cache::host().unwrap());
        let last = write(&memory, &[0, 1, 2]);
        memory.write(8192 + last.get() + 16 + 40, &[payload(2)[40] ^ 0x10]);
        assert_eq!(check(&memory, 3), Findings { intact: 2, lost: vec![2], beyond: 0 });
    }

    #[test]
    fn a_journal_that_is_not_there_lost_everything() {
        let words = words();
        let memory = Memory::new(&words, Cache::host().unwrap());
        let found = look(&memory, 2).unwrap();
        assert_eq!(found.findings.lost, [0, 1]);
        assert!(recovery(&found.recovered).starts_with("NOT: there is no journal"));
    }

    #[test]
    fn an_acknowledgement_that_was_cut_off_is_none() {
        let mut pipe = [encode(0, 170), encode(1, 180)].concat();
        pipe.truncate(20);
        let mut acknowledged = Acknowledged::default();
        let mut reader = pipe.as_slice();
        assert!(take_one(&mut reader, &mut acknowledged).unwrap());
        assert!(!take_one(&mut reader, &mut acknowledged).unwrap());
        assert_eq!(acknowledged.times, [170]);
        assert_eq!(decode(encode(7, 9)), (7, 9));
    }

    #[test]
    fn acknowledgements_out_of_order_are_an_error() {
        let mut acknowledged = Acknowledged::default();
        assert!(take_one(&mut encode(1, 170).as_slice(), &mut acknowledged).is_err());
    }

    #[test]
    fn times_of_few_records_are_told_too() {
        assert_eq!(times_of(&[]), "no record was acknowledged");
        assert!(times_of(&[170]).starts_with("170 ns median"), "{}", times_of(&[170]));
    }
}
