//! Recordings of numbered events, recorded until an event ends the process, and then read.

use crate::records::{number_of, record};
use anyhow::{Context as _, Result, ensure};
use cachemaint::dax::{self, DaxFile};
use cachemaint_lab_protocol::recording::{
    Events, OF_A_SUB_BUFFER, Recorded, SHARDS, SUB_BUFFERS, When,
};
use cachemaint_recorder::{
    Durability, Error, Event, Found, Options, Reader, Recorder, Skipped, SkippedKind, Within,
    Writer,
};
use core::time::Duration;
use lose_lines_agent::Reply;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

/// The size of the file in bytes, which exceeds that of its shards.
const LEN: u64 = 64 << 10;
/// The kind of the events.
const EVENT: u16 = 5;
/// The maximum time for which recorded events may not be persistent.
const INTERVAL: Duration = Duration::from_millis(2);
/// The number of events after which they are written back, for a durability that does not do so itself.
const AT_ONCE: u64 = 25;

type OnFile = Recorder<'static, DaxFile>;

/// Creates a recording that lives until the process ends.
fn create(path: &Path, when: When) -> Result<&'static OnFile> {
    let durability = match when {
        When::OnRequest | When::Within => Durability::OnRequest,
        When::SubBuffer => Durability::SubBuffer,
        When::EachAppend => Durability::EachAppend,
    };
    let options = Options::new().shards(SHARDS).sub_buffers(SUB_BUFFERS).durability(durability);
    let file = dax::Options::new().create_new(path, LEN)?;
    let (recorder, _) = options.create_new(file)?;
    Ok(Box::leak(Box::new(recorder)))
}

/// Starts the thread that writes back at intervals, if the durability has one.
fn guard(recorder: &'static OnFile, when: When) -> Result<Option<Within<dax::Error>>> {
    let start = || Within::start(recorder, INTERVAL).context("cannot start a thread");
    (when == When::Within).then(start).transpose()
}

fn put(writer: &Writer<'_, DaxFile>, number: u64) -> Result<(), Error<dax::Error>> {
    writer.record(EVENT, &record(writer.shard().into(), number))
}

/// Creates a recording, and records events in each shard until the machine ends. Reports the number of events of each
/// shard that must survive.
pub(crate) fn record_forever(
    path: &Path,
    when: When,
    mut tell: impl FnMut(u64) -> Result<()>,
) -> Result<Reply> {
    let recorder = create(path, when)?;
    let writers = (0..SHARDS).map(|_| recorder.claim()).collect::<Result<Vec<_>, _>>()?;
    let guard = guard(recorder, when)?;
    for number in 0.. {
        for writer in &writers {
            put(writer, number)?;
        }
        let all = number + 1;
        match (when, &guard) {
            (When::EachAppend, _) => tell(all)?,
            // The first event of the next sub-buffer has written back the one before.
            (When::SubBuffer, _) if number % OF_A_SUB_BUFFER == 0 => tell(number)?,
            (When::OnRequest, _) if all % AT_ONCE == 0 => {
                recorder.write_back_all()?;
                tell(all)?;
            }
            (When::Within, Some(guard)) if all % AT_ONCE == 0 => {
                wait_until_older(Instant::now(), guard);
                tell(all)?;
            }
            _ => {}
        }
    }
    Ok(Reply::Done)
}

/// Waits until the events recorded before this time are persistent, according to the guard's statistics.
fn wait_until_older(recorded: Instant, guard: &Within<dax::Error>) {
    // The age comes first: it must not grow after the guard was asked.
    while recorded.elapsed() <= guard.longest() {
        thread::yield_now();
    }
}

/// Prints the contents of a recording.
pub(crate) fn read(path: &Path) -> Result<ExitCode> {
    let file = dax::Options::new().open(path)?;
    let reader = Reader::open(&file).map_err(|failed| failed.error)?;
    let mut recorded = Recorded { shards: Vec::new(), damaged: 0 };
    for shard in 0..reader.description().shards {
        recorded.shards.push(events(&reader, shard, &mut recorded.damaged)?);
    }
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&recorded)?)?;
    Ok(ExitCode::SUCCESS)
}

/// Reads the events of a shard. Each must be as recorded. An event may be missing only where the reader reports a gap.
/// Then the longest run without a gap counts.
fn events(reader: &Reader<&DaxFile>, shard: u32, damaged: &mut u64) -> Result<Events> {
    let mut buffer = vec![0; reader.largest_payload()];
    let mut found = reader.shard(shard);
    let (mut run, mut longest) = (None, 0..0);
    let mut has_skipped = false;
    while let Some(found) = found.read_next(&mut buffer)? {
        match found {
            Found::Event(Event { id, payload, .. }) => {
                let number = number_of(payload)?;
                let is_it = id == EVENT && payload == record(shard.into(), number);
                ensure!(is_it, "shard {shard}: an event is there that was never recorded");
                let (mut first, next) = run.unwrap_or((number, number));
                if number != next {
                    let is_told = has_skipped && number > next;
                    ensure!(is_told, "shard {shard}: {number} is there instead of {next}");
                    first = number;
                }
                (run, has_skipped) = (Some((first, number + 1)), false);
                if number + 1 - first > longest.end - longest.start {
                    longest = first..number + 1;
                }
            }
            Found::Skipped(Skipped { kind, len, .. }) => {
                has_skipped = true;
                if kind == SkippedKind::Damaged {
                    *damaged += len;
                }
            }
            _ => {}
        }
    }
    Ok(Events { first: longest.start, next: longest.end })
}
