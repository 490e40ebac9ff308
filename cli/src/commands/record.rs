//! `cachemaint record`: recording of lines as events of a flight recorder.

use super::text::{self, Talk};
use super::{create, os, recording, tell_guarantee};
use crate::{interrupts, standard};
use anyhow::{Context as _, bail};
use cachemaint::dax::DaxFile;
use cachemaint_recorder::{Durability, ErrorKind, FormatError, Options, Recorder, Within, Writer};
use core::fmt;
use core::str::FromStr;
use core::time::Duration;
use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, exit};
use std::sync::Arc;
use std::thread;

/// Record the lines of standard input as events
///
/// The file keeps the last events, and overwrites the oldest. `cachemaint dump` prints them, even while they are
/// recorded, and after any crash that the file survives. To record the output of a program, use a pipe; `tee` passes the
/// lines on: `program | tee /dev/stderr | cachemaint record FILE`. A line that is too long for an event is split. All events
/// have the id 0.
///
/// If the command is killed, all recorded events are in the file. SIGINT, SIGTERM and SIGHUP end the recording: the events
/// are written back, and the exit code is 130. After a crash of the machine, the remaining events depend on `--durability`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The file, which is created if it is missing. A recording in it is continued: its events stay until the oldest
    /// sub-buffers are overwritten, of 64 KiB in a file of 1M; each run begins a new one
    file: PathBuf,
    /// The number of bytes of a new file: 64K, 16M, 1G
    #[arg(long, value_name = "SIZE", value_parser = text::size, default_value = "1M")]
    create: u64,
    /// Time at which events are made persistent: at-end (at the end of the command, and by a platform that keeps the
    /// caches), a time such as 10ms (after about this time), sub-buffer (each one that is full), each-append (each event)
    #[arg(long, value_name = "WHEN", default_value = "at-end")]
    durability: When,
}

type Recording = Recorder<'static, Arc<DaxFile>>;

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let path = &arguments.file;
    let input = standard::input()?;
    let recorder = Arc::new(open(path, arguments)?);
    let guarantee = recorder.medium().guarantee();
    tell_guarantee(path, guarantee, &format!("events are persistent {}", arguments.durability));
    let within = match arguments.durability {
        When::Within(interval) => Some(
            Within::start(Arc::clone(&recorder), interval).context("a thread cannot be started")?,
        ),
        _ => None,
    };
    finish_when_interrupted(Arc::clone(&recorder))?;
    let ended = record(path, &recorder, input);
    // The events are written back even after an error.
    write_back(&recorder)?;
    if let Some(within) = within {
        let longest = within.finish()?;
        if Talk::is_verbose() {
            text::tell!("{}: an event was persistent after {longest:?} at most", path.display());
        }
    }
    ended.map(|()| ExitCode::SUCCESS)
}

/// Creates the file and a recording in it, or continues the one that is there. A file in which no recording could be created
/// is removed.
fn open(path: &Path, arguments: &Arguments) -> anyhow::Result<Recording> {
    let durability = match arguments.durability {
        When::AtEnd | When::Within(_) => Durability::OnRequest,
        When::SubBuffer => Durability::SubBuffer,
        When::EachAppend => Durability::EachAppend,
    };
    let options = Options::new().shards(1).durability(durability);
    let opened = match create(path, arguments.create)? {
        Some(file) => {
            options.create_new(Arc::new(file)).inspect_err(|_| drop(fs::remove_file(path)))
        }
        None => options.open(Arc::new(super::open(path)?)),
    };
    let (recorder, _) = opened.map_err(|failed| recording::named(path, failed.error))?;
    Ok(recorder)
}

fn write_back(recorder: &Recording) -> anyhow::Result<()> {
    recorder.write_back_all()?;
    Ok(recorder.medium().check()?)
}

fn finish_when_interrupted(recorder: Arc<Recording>) -> anyhow::Result<()> {
    interrupts::handle(move || {
        recorder.stop();
        let Err(error) = write_back(&recorder) else { exit(interrupts::INTERRUPTED.into()) };
        text::tell!("{error:#}");
        exit(text::FAILED.into());
    })
}

/// Records all lines.
fn record(path: &Path, recorder: &Recording, input: impl Read) -> anyhow::Result<()> {
    let writer = recorder.claim().map_err(|error| recording::named(path, error))?;
    let most = recorder.reader().largest_payload().min(usize::from(u16::MAX));
    let mut input = BufReader::new(input);
    let (mut line, mut is_split) = (Vec::new(), false);
    loop {
        let bytes = input.fill_buf().map_err(|error| os("standard input", "read", &error))?;
        let bytes = &bytes[..bytes.len().min(most - line.len())];
        let Some(piece) = bytes.split_inclusive(|byte| *byte == b'\n').next() else { break };
        line.extend_from_slice(piece.strip_suffix(b"\n").unwrap_or(piece));
        let is_whole = piece.ends_with(b"\n");
        if is_whole || line.len() == most {
            // The newline behind the last part of a split line is not a line of its own.
            if !(is_split && line.is_empty()) {
                event(path, recorder, &writer, &line)?;
            }
            line.clear();
            is_split = !is_whole;
        }
        let read = piece.len();
        input.consume(read);
    }
    if line.is_empty() { Ok(()) } else { event(path, recorder, &writer, &line) }
}

fn event(
    path: &Path,
    recorder: &Recording,
    writer: &Writer<'_, Arc<DaxFile>>,
    payload: &[u8],
) -> anyhow::Result<()> {
    let outcome = writer.record(0, payload);
    recorder.medium().check()?;
    match outcome.map_err(ErrorKind::from) {
        Ok(()) => Ok(()),
        // An interrupt has stopped recording: its thread writes back, and ends the process with its own exit code.
        Err(ErrorKind::Stopped) => loop {
            thread::park();
        },
        Err(ErrorKind::Format(FormatError::Medium(error))) => Err(error.into()),
        Err(kind) => bail!("{}: {kind}", path.display()),
    }
}

/// The time at which events are made persistent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    AtEnd,
    Within(Duration),
    SubBuffer,
    EachAppend,
}

impl FromStr for When {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "at-end" => Ok(Self::AtEnd),
            "sub-buffer" => Ok(Self::SubBuffer),
            "each-append" => Ok(Self::EachAppend),
            _ => text::period(text)
                .map(Self::Within)
                .or(Err("use at-end, sub-buffer, each-append, or a time such as 10ms or 1s")),
        }
    }
}

/// The text that follows "persistent".
impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtEnd => f.write_str("at the end of the command"),
            Self::Within(time) => write!(f, "within about {time:?}"),
            Self::SubBuffer => {
                f.write_str("when the next sub-buffer begins, and at the end of the command")
            }
            Self::EachAppend => f.write_str("when they are recorded"),
        }
    }
}
