//! `cachemaint demo`: the main job on a real file.
//!
//! A child process appends numbered records to a journal and reports each one when it is acknowledged.
//! It is killed with SIGKILL in the middle. Then the journal is opened again, and every record that was
//! acknowledged must be there.

mod acknowledgements;
mod kill;
mod summary;

use super::text::{self, duration};
use acknowledgements::encode;
use anyhow::{Context, bail, ensure};
use cachemaint::dax::{self, DaxFile};
use cachemaint::medium::{Medium, Memory};
use cachemaint::survival::Backing;
use cachemaint::{Cache, Point};
use cachemaint_journal::{Error, ErrorKind, FormatError, Journal, Reader, Recovered};
use core::convert::Infallible;
use kill::{is_interrupted, note_interrupts, write_and_kill};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};
use summary::print;
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
    /// Acknowledged and intact.
    intact: u64,
    /// Acknowledged and missing or damaged.
    lost: Vec<u64>,
    /// Intact though not acknowledged: appended when the kill came.
    beyond: u64,
}

/// The journal after the kill.
struct Found {
    /// The recovery of the journal, or the reason why it failed.
    recovered: Result<Recovered, String>,
    findings: Findings,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let place = arguments.path.clone().unwrap_or_else(std::env::temp_dir);
    let fault = if place.exists() { "is not a directory" } else { "no such directory" };
    ensure!(place.is_dir(), "{}: {fault}; name a directory that exists", place.display());
    // The handler is set before there is a file or child to remove.
    note_interrupts()?;
    let directory = tempfile::Builder::new()
        .prefix("cachemaint-demo-")
        .tempdir_in(&place)
        .with_context(|| format!("{}: no directory can be made in it", place.display()))?;
    let path = directory.path().join("records");
    let file = dax::Options::new().allow_page_granularity().create_new(&path, FILE)?;
    Journal::create_new(&file).map_err(|failed| failed.error)?;
    drop(file);

    let started = Instant::now();
    let acknowledged = write_and_kill(&path)?;
    let ran = started.elapsed();
    if is_interrupted() {
        return Ok(ExitCode::from(text::INTERRUPTED));
    }

    let looked = open(&path).map_err(anyhow::Error::from).and_then(|file| {
        let found = look_in(&file, acknowledged.times.len() as u64)?;
        Ok((file, found))
    });
    conclude(directory, looked, |file, found| {
        print(&mut anstream::stdout().lock(), file, &acknowledged, found, ran)
    })
}

/// Prints the findings. Unless all is well, the file is kept, even if that cannot be printed.
fn conclude(
    directory: TempDir,
    looked: anyhow::Result<(DaxFile, Found)>,
    print: impl FnOnce(&DaxFile, &Found) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    if let Ok((file, found)) = &looked
        && found.recovered.is_ok()
        && found.findings.lost.is_empty()
    {
        print(file, found)?;
        return Ok(ExitCode::SUCCESS);
    }
    let kept = directory.keep().join("records");
    let kept = text::printable(kept.display());
    text::tell!("cachemaint: the check of the records failed; the file is kept: {kept}");
    let (file, found) = looked?;
    // The loss is the result, whatever becomes of its report.
    let (Ok(()) | Err(_)) = print(&file, &found);
    Ok(ExitCode::FAILURE)
}

fn open(path: &Path) -> Result<DaxFile, dax::Error> {
    dax::Options::new().allow_page_granularity().open(path)
}

/// Runs the child: appends record after record, and reports each when it is acknowledged.
pub(crate) fn write_until_killed(arguments: &WriterArguments) -> anyhow::Result<ExitCode> {
    let file = open(&arguments.path)?;
    let (journal, opened) = Journal::open(&file).map_err(|failed| failed.error)?;
    // Only the demo calls it, on its own journal; another journal must not get such records.
    ensure!(
        opened.recovered.records == 0 && journal.medium().len() == FILE,
        "this is not the demo's file"
    );
    let mut acknowledge = std::io::stdout().lock();
    for number in 0.. {
        let bytes = payload(number);
        let started = Instant::now();
        match journal.append(&bytes) {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::Full { .. }) => break,
            Err(error) => return Err(super::journal::named(&arguments.path, error)),
        }
        let taken = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        acknowledge.write_all(&encode(number, taken))?;
        acknowledge.flush()?;
    }
    // The journal is full: the child waits for the kill, or for the parent's end, which closes the pipe.
    std::io::stdin().read_exact(&mut [0])?;
    Ok(ExitCode::FAILURE)
}

/// Looks at the journal in a file, which another program may cut meanwhile.
fn look_in(file: &DaxFile, acknowledged: u64) -> anyhow::Result<Found> {
    let found = look(file, acknowledged)?;
    file.check()?;
    Ok(found)
}

/// Recovers the journal, and looks for every acknowledged record and for those behind them.
fn look<M: Medium>(medium: &M, acknowledged: u64) -> anyhow::Result<Found>
where
    M::Error: Send + Sync + 'static,
{
    let recovered = match Journal::open(medium).map_err(|failed| failed.error) {
        Ok((_, opened)) => Ok(opened.recovered),
        Err(error) if matches!(error.kind(), ErrorKind::Format(FormatError::Medium(_))) => {
            bail!("{error}")
        }
        Err(error) => Err(error.to_string()),
    };
    Ok(Found { recovered, findings: check(medium, acknowledged) })
}

/// Compares the records in the journal, as far as it can be read.
fn check<M: Medium>(medium: &M, acknowledged: u64) -> Findings {
    let mut findings = Findings::default();
    let reader = Reader::open(medium).ok();
    let records = reader.as_ref().and_then(|reader| reader.records().ok());
    let mut records = records.into_iter().flatten().map_while(Result::ok);
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

/// Returns the time of the same appends in RAM, line by line: a DAX file costs at least that.
///
/// It is the mean over all of them, one after the other: a clock around a single one can be read before its write-back
/// is complete, which the next one then waits for.
fn in_ram() -> String {
    let cache = match Cache::host().and_then(|cache| cache.to(Point::Persistence)) {
        Ok(cache) => cache,
        Err(why) => return format!("nothing: {why}"),
    };
    match append_in_ram(cache) {
        Ok((count, elapsed)) => {
            let nanoseconds = elapsed.as_nanos() / u128::from(count.max(1));
            let each = duration(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
            let instruction = cache.writeback_choice().instruction.name;
            format!("{each} for each, one after the other in RAM, by {instruction}")
        }
        Err(why) => format!("nothing: {why}"),
    }
}

/// Fills a journal in RAM. Returns the number of records and the time.
fn append_in_ram(cache: Cache) -> Result<(u64, Duration), Error<Infallible>> {
    let words: Vec<AtomicU64> = (0..FILE / 8).map(|_| AtomicU64::new(1)).collect();
    let (journal, _) = Journal::create_new(Memory::new(&words, cache, Backing::Ram))?;
    let bytes = payload(0);
    let mut count = 0;
    let started = Instant::now();
    loop {
        match journal.append(&bytes) {
            Ok(_) => count += 1,
            Err(error) if matches!(error.kind(), ErrorKind::Full { .. }) => {
                return Ok((count, started.elapsed()));
            }
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::summary::{recovery, verdict};
    use super::{Findings, check, conclude, look, payload};
    use anyhow::bail;
    use cachemaint::Cache;
    use cachemaint::medium::{Medium, Memory};
    use cachemaint::survival::Backing;
    use cachemaint_journal::{Journal, Position};
    use std::process::ExitCode;
    use std::sync::atomic::AtomicU64;

    fn words() -> Vec<AtomicU64> {
        (0..8192).map(|_| AtomicU64::new(0)).collect()
    }

    /// Writes a journal of records with these numbers. Returns the position of the last one.
    fn write(medium: impl Medium<Error: core::fmt::Debug>, numbers: &[u64]) -> Position {
        let (journal, _) = Journal::create_new(medium).unwrap();
        let positions = numbers.iter().map(|number| journal.append(&payload(*number)).unwrap());
        positions.last().unwrap()
    }

    /// Without the handler the test would end by SIGBUS.
    #[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
    #[test]
    fn a_journal_that_was_cut_is_an_error_and_not_a_loss() {
        cachemaint::dax::FaultHandler::install().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("records");
        let options = cachemaint::dax::Options::new().allow_page_granularity();
        let file = options.create_new(&path, 1 << 16).unwrap();
        write(&file, &[0, 1, 2]);
        assert_eq!(super::look_in(&file, 3).unwrap().findings.intact, 3);
        std::fs::File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
        let error = super::look_in(&file, 3).err().unwrap().to_string();
        let cut = format!("{}: was cut to 0 bytes while it was open; ", path.display());
        assert!(error.contains(&cut), "{error}");
    }

    /// The reader of the report has gone away.
    #[test]
    fn a_file_that_shows_a_loss_is_kept_though_the_report_cannot_be_printed() {
        for acknowledged in [Some(3), Some(4), None] {
            let directory = tempfile::tempdir().unwrap();
            let (place, path) = (directory.path().to_owned(), directory.path().join("records"));
            let options = cachemaint::dax::Options::new().allow_page_granularity();
            let file = options.create_new(&path, 1 << 16).unwrap();
            write(&file, &[0, 1, 2]);
            let looked = acknowledged.ok_or_else(|| anyhow::anyhow!("a medium error"));
            let looked = looked.and_then(|acknowledged| Ok((look(&file, acknowledged)?, file)));
            let looked = looked.map(|(found, file)| (file, found));
            let ended = conclude(directory, looked, |_, _| bail!("a broken pipe"));
            assert_eq!(path.exists(), acknowledged != Some(3), "{acknowledged:?}: {ended:?}");
            match acknowledged {
                Some(4) => assert_eq!(ended.unwrap(), ExitCode::FAILURE),
                _ => assert!(ended.is_err()),
            }
            std::fs::remove_dir_all(place).unwrap_or(());
        }
    }

    /// Five records are written, of which four were acknowledged.
    #[test]
    fn missing_records_are_found() {
        let words = words();
        let memory = Memory::new(&words, Cache::host().unwrap(), Backing::Ram);
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

    /// A journal keeps any appended bytes: here record 3 in the place of record 1.
    #[test]
    fn a_wrong_record_counts_as_lost() {
        let words = words();
        let memory = Memory::new(&words, Cache::host().unwrap(), Backing::Ram);
        write(&memory, &[0, 3, 2]);
        assert_eq!(check(&memory, 3), Findings { intact: 2, lost: vec![1], beyond: 0 });
    }

    /// The log begins at 16384 and a record has 16 bytes before its payload (module `journal`, the format).
    #[test]
    fn a_bit_that_changed_is_found() {
        let words = words();
        let memory = Memory::new(&words, Cache::host().unwrap(), Backing::Ram);
        let last = write(&memory, &[0, 1, 2]);
        memory.write(16_384 + last.0 + 16 + 40, &[payload(2)[40] ^ 0x10]);
        assert_eq!(check(&memory, 3), Findings { intact: 2, lost: vec![2], beyond: 0 });
    }

    #[test]
    fn a_journal_that_is_not_there_lost_everything() {
        let words = words();
        let memory = Memory::new(&words, Cache::host().unwrap(), Backing::Ram);
        let found = look(&memory, 2).unwrap();
        assert_eq!(found.findings.lost, [0, 1]);
        assert!(
            recovery(&found.recovered)
                .starts_with("NOT: there is no journal: the medium begins with zeros")
        );
    }
}
