//! `cachemaint recording write`: lines as events of a flight recorder.

use super::{named, text};
use crate::commands::{open_or_create, tell_weak_guarantee};
use crate::failure::{FAILED, of_format, os, unprinted};
use crate::{signals, streams};
use anyhow::Context as _;
use cachemaint::dax::DaxFile;
use cachemaint_inspect::FileReport;
use cachemaint_recorder::{Durability, ErrorKind, FormatError, Options, Recorder, Within, Writer};
use core::fmt;
use core::str::FromStr;
use core::time::Duration;
use serde_json::json;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, exit};
use std::sync::Arc;
use std::thread;

/// Record each line of standard input as an event
///
/// The file keeps the newest events and overwrites the oldest. `recording print` prints them, even during the recording. To
/// see the lines as well, use tee(1): `program | tee /dev/stderr | cachemaint recording write FILE`. A line that is too
/// long for an event is split. All events have the id 0.
///
/// If the command is killed, all recorded events are in the file. SIGINT, SIGTERM and SIGHUP write the events back and end
/// it. --durability determines which events survive a crash of the machine.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The file of the recording. New events are added to it
    file: PathBuf,
    /// Create the file with this size if it is missing: 64K, 16M, 1G
    #[arg(long, value_name = "SIZE", value_parser = text::size)]
    create: Option<u64>,
    /// When events become persistent: at-end (of the command), within a time such as 10ms, sub-buffer (when one is full),
    /// or each-append
    #[arg(long, value_name = "WHEN", default_value = "at-end")]
    durability: When,
    /// Print one JSON document at the end
    #[arg(short, long)]
    json: bool,
}

type Recording = Recorder<'static, Arc<DaxFile>>;

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let path = &arguments.file;
    let input = streams::input()?;
    let durability = match arguments.durability {
        When::AtEnd | When::Within(_) => Durability::OnRequest,
        When::SubBuffer => Durability::SubBuffer,
        When::EachAppend => Durability::EachAppend,
    };
    let options = || Options::new().shards(1).durability(durability);
    let (recorder, created) = open_or_create(
        path,
        arguments.create,
        |file| {
            Ok(options().create_new(Arc::new(file)).map_err(|failed| named(path, failed.error))?.0)
        },
        |file| Ok(options().open(Arc::new(file)).map_err(|failed| named(path, failed.error))?.0),
    )?;
    let recorder: Arc<Recording> = Arc::new(recorder);
    let report = FileReport::of(recorder.medium().view())?;
    if !arguments.json {
        tell_weak_guarantee(
            path,
            &report,
            &format!("events are persistent {}", arguments.durability),
        );
    }
    let within = match arguments.durability {
        When::Within(interval) => {
            Some(Within::start(Arc::clone(&recorder), interval).context("cannot start a thread")?)
        }
        _ => None,
    };
    finish_when_interrupted(Arc::clone(&recorder))?;
    let counted = record(path, &recorder, input);
    // The events are written back even after an error.
    write_back(&recorder)?;
    let longest = within.map(Within::finish).transpose()?;
    let events = counted?;
    if arguments.json {
        let longest = longest.map(|longest| u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX));
        let facts = json!({
            "created": created, "events": events, "longest_interval_ns": longest, "guarantee": &report
        });
        text::write_json(&text::Document::of(path, facts))
            .with_context(|| unprinted(format_args!("{events} events are recorded")))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn write_back(recorder: &Recording) -> anyhow::Result<()> {
    recorder.write_back_all()?;
    Ok(recorder.medium().check()?)
}

fn finish_when_interrupted(recorder: Arc<Recording>) -> anyhow::Result<()> {
    signals::handle(move |signal| {
        recorder.stop();
        let Err(error) = write_back(&recorder) else { signals::end_by(signal) };
        text::tell!("{error:#}");
        exit(FAILED.into());
    })
}

/// Records all lines. Returns the number of events.
fn record(path: &Path, recorder: &Recording, input: impl Read) -> anyhow::Result<u64> {
    let writer = recorder.claim().map_err(|error| named(path, error))?;
    let most = recorder.reader().largest_payload().min(usize::from(u16::MAX));
    let mut input = BufReader::new(input);
    let (mut line, mut is_split, mut events) = (Vec::new(), false, 0);
    loop {
        let bytes = input.fill_buf().map_err(|error| os("standard input", "read", &error))?;
        let bytes = &bytes[..bytes.len().min(most - line.len())];
        let Some(piece) = bytes.split_inclusive(|byte| *byte == b'\n').next() else { break };
        line.extend_from_slice(piece.strip_suffix(b"\n").unwrap_or(piece));
        let is_whole = piece.ends_with(b"\n");
        if is_whole || line.len() == most {
            // The newline after the last part of a split line is not a line of its own.
            if !(is_split && line.is_empty()) {
                event(path, recorder, &writer, &line)?;
                events += 1;
            }
            line.clear();
            is_split = !is_whole;
        }
        let read = piece.len();
        input.consume(read);
    }
    if line.is_empty() {
        return Ok(events);
    }
    event(path, recorder, &writer, &line)?;
    Ok(events + 1)
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
        // An interrupt has stopped recording: its thread writes back, and ends the process by the signal.
        Err(ErrorKind::Stopped) => loop {
            thread::park();
        },
        Err(ErrorKind::Format(FormatError::Medium(error))) => Err(error.into()),
        Err(kind) => Err(of_format(path, None, kind)),
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
