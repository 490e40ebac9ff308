//! `cachemaint record`: recording of lines as events of a flight recorder.

mod durability;
mod program;
#[cfg(unix)]
#[expect(unsafe_code, reason = "handles signals")]
mod signals;
#[cfg(unix)]
mod stoppable;

use super::placed::refuse_of_another_user;
use super::text;
use super::unused::has_other_data;
use super::{inspect, recording};
use crate::{files, interrupts, standard};
use anyhow::{Context as _, bail};
use cachemaint::dax::{self, DaxFile};
use cachemaint::medium::OpenError;
use cachemaint_recorder::{
    Error, ErrorKind, FormatError, Options, Reader, Recorder, Within, Writer,
};
use core::sync::atomic::{AtomicBool, Ordering};
use durability::Durability;
use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, exit};
use std::sync::Arc;

/// Record the lines of standard input, or of a program's output, as events
///
/// The file keeps the last events, and overwrites the oldest. `cachemaint dump` prints them, even while they are
/// recorded, and after any crash that the file survives. The output of the program is passed on as it comes. A line is
/// in the file before its newline is passed on; a last line without a newline is recorded when the output ends. The
/// program's exit code becomes that of this command: 127 if it is not found, 126 if it cannot be started. If the
/// recording fails, that is reported, and the output is passed on without it. If the output cannot be passed on, as to
/// a full disk, that is reported too, and the lines are only recorded. After either failure the exit code is the
/// program's, or 1 instead of 0. A closed standard output discards the output, as `/dev/null` does. If the reader of
/// the output goes away, the program finds its own output closed. On Unix SIGTERM and SIGHUP are passed on to the
/// program, and on Linux SIGINT. If it has ended, and others still have its output open, or no process reads the
/// output that is passed on, these signals end the recording. SIGINT, SIGTERM and SIGHUP end the recording of standard
/// input: the recorded lines are written back, and the exit code is 130. Lines of standard input have the event id 0,
/// those of the program's standard output 1, and those of its standard error 2. A line that is too long for an event
/// is split.
///
/// If the command is killed, all recorded events are in the file. After a crash of the machine, the remaining events
/// depend on `--durability`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The file, which is created if it is missing. If it has a recording, the recording is continued: its events
    /// stay until the oldest sub-buffers of 4 KiB are overwritten; each run begins a new one. A file that has other
    /// bytes than zeros outside the places of its roots is refused and stays unchanged, and so is, on Unix, one of another
    /// user without a recording, unless root owns it
    file: PathBuf,
    /// Create the file, with this number of bytes, if it is missing: 64K, 16M, 1G [default: 1M]
    #[arg(long, value_name = "SIZE", value_parser = text::size)]
    create: Option<u64>,
    /// Time at which events are made persistent: at-end (at the end of the command, and by a platform that keeps the
    /// caches), a time such as 10ms (after about this time), sub-buffer (each 4 KiB), each-append (each event)
    #[arg(long, value_name = "WHEN", default_value = "at-end")]
    durability: Durability,
    /// The program to run, and its arguments
    #[arg(last = true, value_name = "PROGRAM")]
    program: Vec<OsString>,
}

type Recording = Recorder<'static, Arc<DaxFile>>;

/// The default size of a new file in bytes.
const SIZE: u64 = 1 << 20;
/// The places that the creation of a recording without names writes first (module `recorder`, the format).
const ROOTS: [[u64; 2]; 2] = [[4096, 4096 + 120], [12288, 12288 + 120]];
/// The number of shards: one for each stream of a program.
const SHARDS: u32 = 2;

/// The source of a line. Its number is the id of the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Input = 0,
    Output = 1,
    Error = 2,
}

/// The source of the lines: a program with its arguments, or standard input.
enum Source<'a, I> {
    Program(&'a OsStr, &'a [OsString]),
    Input(I),
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let path = &arguments.file;
    let source = match arguments.program.split_first() {
        Some((program, rest)) => Source::Program(program, rest),
        None => Source::Input(standard::input()?),
    };
    let recorder = Arc::new(open(path, arguments)?);
    tell(path, &recorder, arguments.durability);
    let within = match arguments.durability {
        Durability::Within(interval) => Some(
            Within::start(Arc::clone(&recorder), interval).context("a thread cannot be started")?,
        ),
        _ => None,
    };
    let code = match source {
        Source::Program(program, rest) => program::record(path, &recorder, program, rest),
        Source::Input(input) => record_input(path, &recorder, input),
    };
    // The events are written back even after an error.
    match (code, finish(path, &recorder, within)) {
        // The code of the program goes before that of this failure.
        (Ok(code), Err(error)) if code != ExitCode::SUCCESS => {
            let error = text::printable(format!("{error:#}"));
            text::tell!("cachemaint: recorded lines may not be persistent: {error}");
            Ok(code)
        }
        (code, finished) => finished.and(code),
    }
}

/// Writes all events back, and prints the longest time after which one was persistent if it was measured.
fn finish(
    path: &Path,
    recorder: &Recording,
    within: Option<Within<dax::Error>>,
) -> anyhow::Result<()> {
    write_back(recorder)?;
    let Some(within) = within else { return Ok(()) };
    let longest = within.finish()?;
    text::tell!(
        "cachemaint: {}: an event was persistent after {} at most",
        text::printable(path.display()),
        text::duration(u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX))
    );
    Ok(())
}

fn write_back(recorder: &Recording) -> anyhow::Result<()> {
    recorder.write_back_all()?;
    Ok(recorder.medium().check()?)
}

/// Continues the recording in the file, or creates it. A crash in an earlier creation can have left a file without a
/// recording.
fn open(path: &Path, arguments: &Arguments) -> anyhow::Result<Recording> {
    let file = dax::Options::new().allow_page_granularity();
    let durability = arguments.durability.on_the_path();
    let options = Options::new().shards(SHARDS).durability(durability);
    if !path.try_exists().unwrap_or(true) {
        match file.create_new(path, arguments.create.unwrap_or(SIZE)) {
            Ok(file) => {
                let file = Arc::new(file);
                let created = options.create_new(Arc::clone(&file));
                let created = created.map_err(|failed| recording::named(path, failed.error));
                // A file of zeros is not a recording.
                let created = created.inspect_err(|_| files::discard(path, file));
                return created.map(|(recorder, _)| recorder);
            }
            // Another process has created it meanwhile.
            Err(error) if matches!(error.kind(), dax::ErrorKind::Exists) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let file = Arc::new(file.open(path)?);
    let is_missing = |failed: OpenError<_, Error<dax::Error>>| {
        let nothing = [0; 8];
        matches!(
            failed.error.kind(),
            ErrorKind::Format(FormatError::Foreign { found, .. }) if *found == nothing
        )
    };
    if Reader::open(&file).is_err_and(is_missing) {
        check_unused(path, &file, arguments.create)?;
    }
    let opened = options.open_or_create(file);
    let (recorder, _) = opened.map_err(|failed| recording::named(path, failed.error))?;
    Ok(recorder)
}

/// Checks that a file without a recording has no other data, and that no other user has placed it.
fn check_unused(path: &Path, file: &DaxFile, size: Option<u64>) -> anyhow::Result<()> {
    let (shown, len) = (path.display(), file.len());
    if let Some(size) = size.filter(|size| *size != len) {
        bail!(
            "{shown}: exists already, with {len} bytes, not {size}; remove it, or record into another file"
        );
    }
    if has_other_data(file, file.file(), &ROOTS)? {
        bail!("{shown}: the file has other data than a recording; record into another file");
    }
    refuse_of_another_user(path, file.view())
}

/// Prints the guarantee of the file on standard error.
fn tell(path: &Path, recorder: &Recording, durability: Durability) {
    let guarantee = recorder.medium().guarantee();
    text::tell!(
        "cachemaint: {}: on {}; events are persistent {durability}, by the {}: {}",
        text::printable(path.display()),
        text::printable(inspect::place(guarantee)),
        guarantee.granularity,
        text::printable(&guarantee.reason)
    );
}

fn record_input(
    path: &Path,
    recorder: &Arc<Recording>,
    input: impl Read,
) -> anyhow::Result<ExitCode> {
    finish_when_interrupted(Arc::clone(recorder))?;
    let lines = Lines::new(path, recorder, Stream::Input, None)?;
    lines.record(input, &mut io::sink())?;
    Ok(ExitCode::SUCCESS)
}

/// Ends recording on SIGINT, SIGTERM and SIGHUP, with everything written back.
fn finish_when_interrupted(recorder: Arc<Recording>) -> anyhow::Result<()> {
    interrupts::handle(move || {
        recorder.stop();
        let Err(error) = write_back(&recorder) else { exit(text::INTERRUPTED.into()) };
        text::tell!("cachemaint: {}", text::printable(format!("{error:#}")));
        exit(1);
    })
}

/// A recorder of lines into one shard.
struct Lines<'r> {
    path: &'r Path,
    file: &'r DaxFile,
    writer: Writer<'r, Arc<DaxFile>>,
    stream: Stream,
    /// The greatest number of bytes of an event.
    most: usize,
    /// True after the first failure to record a line, from which on the bytes are passed on alone. If it is missing, the
    /// recording ends by a failure.
    has_failed: Option<&'r AtomicBool>,
}

impl<'r> Lines<'r> {
    fn new(
        path: &'r Path,
        recorder: &'r Recording,
        stream: Stream,
        has_failed: Option<&'r AtomicBool>,
    ) -> anyhow::Result<Self> {
        let writer = recorder.claim().map_err(|error| recording::named(path, error))?;
        let most = recorder.reader().largest_payload().min(usize::from(u16::MAX));
        Ok(Self { path, file: recorder.medium(), writer, stream, most, has_failed })
    }

    /// Records all lines of `from`, and passes the bytes on to `to` as they come. If these have no reader any more, `from`
    /// is closed: its program has the end that it would have without this command. If they cannot be written, or the
    /// recording is stopped and they are not read, the lines are recorded alone, and the result is false.
    fn record(self, from: impl Read, to: &mut impl Write) -> anyhow::Result<bool> {
        let mut from = BufReader::new(from);
        let (mut line, mut is_split, mut is_passed_on) = (Vec::new(), false, true);
        loop {
            let piece = piece(available(&mut from).context(UNREADABLE)?, self.most - line.len());
            if piece.is_empty() {
                break;
            }
            line.extend_from_slice(piece.strip_suffix(b"\n").unwrap_or(piece));
            let is_whole = piece.ends_with(b"\n");
            if is_whole || line.len() == self.most {
                // The newline behind the last part of a split line is not a line of its own.
                if !(is_split && line.is_empty()) {
                    self.event_or_report(&line)?;
                }
                line.clear();
                is_split = !is_whole;
            }
            // A whole line that a reader of the output sees is in the file by now. A part is passed on at once: a prompt
            // has no newline.
            if is_passed_on && let Err(error) = to.write_all(piece).and_then(|()| to.flush()) {
                if error.kind() == io::ErrorKind::BrokenPipe {
                    break;
                }
                is_passed_on = false;
                // Standard error may have the same reader. The system's own error has a number.
                let is_given_up =
                    error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none();
                if !is_given_up {
                    text::tell!("cachemaint: lines are recorded, but no longer passed on: {error}");
                }
            }
            let passed = piece.len();
            from.consume(passed);
        }
        if !line.is_empty() {
            self.event_or_report(&line)?;
        }
        Ok(is_passed_on)
    }

    /// Records an event. A program must not end by a failure of its recording, which is reported once.
    fn event_or_report(&self, payload: &[u8]) -> anyhow::Result<()> {
        let Some(has_failed) = self.has_failed else { return self.event(payload) };
        if has_failed.load(Ordering::Relaxed) {
            return Ok(());
        }
        if let Err(error) = self.event(payload)
            && !has_failed.swap(true, Ordering::Relaxed)
        {
            let error = text::printable(format!("{error:#}"));
            text::tell!("cachemaint: lines are passed on, but no longer recorded: {error}");
        }
        Ok(())
    }

    fn event(&self, payload: &[u8]) -> anyhow::Result<()> {
        let recorded = self.writer.record(self.stream as u16, payload);
        self.file.check()?;
        match recorded.map_err(ErrorKind::from) {
            Ok(()) => Ok(()),
            // An interrupt has stopped recording: its thread writes back, and ends the process with its own exit code.
            Err(ErrorKind::Stopped) => loop {
                std::thread::park();
            },
            Err(ErrorKind::Format(FormatError::Medium(error))) => Err(error.into()),
            Err(kind) => bail!("{}: {kind}", self.path.display()),
        }
    }
}

/// Waits for bytes, and returns all that have come; none at the end.
fn available(from: &mut BufReader<impl Read>) -> io::Result<&[u8]> {
    while let Err(error) = from.fill_buf() {
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    Ok(from.buffer())
}

/// Returns the first bytes up to and with a newline, and at most this number.
fn piece(bytes: &[u8], most: usize) -> &[u8] {
    let bytes = &bytes[..bytes.len().min(most)];
    bytes.split_inclusive(|byte| *byte == b'\n').next().unwrap_or(bytes)
}

const UNREADABLE: &str = "the lines to record cannot be read";
