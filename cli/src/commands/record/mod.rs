//! `cachemaint record`: lines as events of a flight recorder.

mod durability;
mod file;
mod program;
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "handles signals")]
mod signals;

use super::text;
use super::{inspect, recording};
use crate::faults;
use anyhow::Context as _;
use cachemaint::dax;
use cachemaint::recorder::{self, NotRecorded, Options, Recorder, Within, Writer};
use durability::Durability;
use file::Guarded;
use std::ffi::OsString;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Record lines as events: of standard input, or of a program that is run
///
/// The file keeps the last events, and overwrites the oldest; `cachemaint dump` prints them, also while they
/// are recorded, and after any crash that the file survives. What a program writes is passed on as well, and
/// its exit code is this command's. On Linux SIGINT, SIGTERM and SIGHUP are passed on to it. Its lines have the
/// event id 1, those of its standard error 2, those of standard input 0. A line that is too long for an event is
/// split.
///
/// When the command is killed, all that was recorded is in the file. What a crash of the machine leaves depends on
/// `--durability`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The file; if it is there, recording goes on in it
    file: PathBuf,
    /// Create the file first, with so many bytes: 64K, 16M, 1G [default: 1M, if it is not there]
    #[arg(long, value_name = "SIZE", value_parser = text::size)]
    size: Option<u64>,
    /// When events are made persistent: on-crash (at the end of the command, and by whatever keeps the caches), a
    /// time such as 10ms (about so long after), sub-buffer (each 4 KiB), each-append (each event)
    #[arg(long, value_name = "WHEN", default_value = "on-crash")]
    durability: Durability,
    /// The program to run, and its arguments
    #[arg(last = true, value_name = "PROGRAM")]
    program: Vec<OsString>,
}

/// Bytes of a new file whose size is not said.
const SIZE: u64 = 1 << 20;
/// One for each stream of a program.
const SHARDS: u32 = 2;

/// Where a line comes from, as the id of its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Input = 0,
    Output = 1,
    Error = 2,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let path = &arguments.file;
    let recorder = Arc::new(open(path, arguments)?);
    tell(path, &recorder, arguments.durability);
    let within = match arguments.durability {
        Durability::Within(interval) => Some(
            Within::start(Arc::clone(&recorder), interval).context("no thread can be started")?,
        ),
        _ => None,
    };
    let code = match arguments.program.split_first() {
        Some((program, rest)) => program::record(path, &recorder, program, rest),
        None => record_input(path, &recorder),
    };
    // Also if something went wrong before.
    write_back(&recorder)?;
    if let Some(within) = within {
        let longest =
            within.finish().map_err(|error| faults::explained(recorder.medium().file(), error))?;
        anstream::eprintln!(
            "cachemaint: {}: an event was persistent after {} at most",
            text::printable(path.display()),
            text::duration(u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX))
        );
    }
    code
}

fn write_back(recorder: &Recorder<Guarded>) -> anyhow::Result<()> {
    let written = recorder.write_back_all();
    recorder.medium().check()?;
    written.map_err(|error| faults::explained(recorder.medium().file(), error))
}

/// Goes on in the file, or creates it.
fn open(path: &Path, arguments: &Arguments) -> anyhow::Result<Recorder<Guarded>> {
    let file = dax::Options::new().allow_page_granularity();
    let durability = arguments.durability.on_the_path();
    let options = Options::host().durability(durability);
    let is_new = arguments.size.is_some() || !path.try_exists().unwrap_or(true);
    if !is_new {
        let file = Guarded::new(file.open(path)?);
        return checked(path, options.open(file));
    }
    let file = file.create(path, arguments.size.unwrap_or(SIZE))?;
    checked(path, options.shards(SHARDS).create(Guarded::new(file))).inspect_err(|_| {
        // The first error is the one to report: a file of zeros is not a recording.
        drop(std::fs::remove_file(path));
    })
}

/// Returns an error if an access to the file failed while it was opened.
fn checked(
    path: &Path,
    opened: Result<Recorder<Guarded>, recorder::Error<dax::Error>>,
) -> anyhow::Result<Recorder<Guarded>> {
    let recorder = opened.map_err(|error| recording::named(path, error))?;
    recorder.medium().check()?;
    Ok(recorder)
}

/// Says on standard error what the file is good for.
fn tell(path: &Path, recorder: &Recorder<Guarded>, durability: Durability) {
    let guarantee = recorder.medium().file().guarantee();
    anstream::eprintln!(
        "cachemaint: {}: on {}; events are persistent {durability}, by the {}: {}",
        text::printable(path.display()),
        text::printable(inspect::place(guarantee)),
        guarantee.granularity(),
        text::printable(guarantee.reason())
    );
}

fn record_input(path: &Path, recorder: &Arc<Recorder<Guarded>>) -> anyhow::Result<ExitCode> {
    finish_when_interrupted(Arc::clone(recorder))?;
    let lines = Lines::new(path, recorder, Stream::Input)?;
    lines.record(io::stdin().lock(), &mut io::sink())?;
    Ok(ExitCode::SUCCESS)
}

/// Ends recording on SIGINT, SIGTERM and SIGHUP, with everything written back.
fn finish_when_interrupted(recorder: Arc<Recorder<Guarded>>) -> anyhow::Result<()> {
    ctrlc::set_handler(move || {
        recorder.stop();
        let code = if write_back(&recorder).is_ok() { text::INTERRUPTED } else { 1 };
        std::process::exit(code.into());
    })
    .context("interrupts cannot be handled")
}

/// Records lines into one shard.
struct Lines<'r> {
    path: &'r Path,
    file: &'r Guarded,
    writer: Writer<'r, Guarded>,
    stream: Stream,
    /// Bytes of an event at most.
    most: u64,
}

impl<'r> Lines<'r> {
    fn new(
        path: &'r Path,
        recorder: &'r Recorder<Guarded>,
        stream: Stream,
    ) -> anyhow::Result<Self> {
        let writer = recorder.claim().map_err(|error| recording::named(path, error))?;
        let most = recorder.reader().largest_payload().min(usize::from(u16::MAX)) as u64;
        Ok(Self { path, file: recorder.medium(), writer, stream, most })
    }

    /// Records all lines of `from`, and passes them on to `to`.
    fn record(self, from: impl Read, to: &mut impl Write) -> anyhow::Result<()> {
        let mut from = BufReader::new(from);
        let mut piece = Vec::new();
        loop {
            piece.clear();
            from.by_ref().take(self.most).read_until(b'\n', &mut piece).context(UNREADABLE)?;
            if piece.is_empty() {
                return Ok(());
            }
            // It is to be in the file when somebody sees it.
            self.event(piece.strip_suffix(b"\n").unwrap_or(&piece))?;
            to.write_all(&piece)?;
            if !piece.ends_with(b"\n") && from.fill_buf().is_ok_and(|next| next.starts_with(b"\n"))
            {
                from.consume(1);
                to.write_all(b"\n")?;
            }
            to.flush()?;
        }
    }

    fn event(&self, payload: &[u8]) -> anyhow::Result<()> {
        let recorded = self.writer.record(self.stream as u16, payload);
        self.file.check()?;
        match recorded {
            Ok(()) => Ok(()),
            // An interrupt did it: its thread writes back, and ends the process with its own exit code.
            Err(NotRecorded::Stopped) => loop {
                std::thread::park();
            },
            Err(NotRecorded::Medium(error)) => Err(faults::explained(self.file.file(), error)),
            Err(error) => Err(anyhow::Error::new(error).context(self.path.display().to_string())),
        }
    }
}

const UNREADABLE: &str = "what is to be recorded cannot be read";
