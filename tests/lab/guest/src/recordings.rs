//! Recordings of numbered events: recorded until something ends it, and read again.

use crate::records::record;
use anyhow::{Context as _, Result, bail, ensure};
use cachemaint::dax::{self, DaxFile};
use cachemaint::recorder::{
    Durability, Event, Found, NotRecorded, Options, Reader, Recorder, Skipped, SkippedKind, Within,
    Writer,
};
use cachemaint_lab_protocol::{Records, Reply};
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use rustix::process::{Signal, getpid, kill_process};
use serde_json::json;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

/// Bytes of the file: enough for what a lane records, so that nothing is overwritten.
const LEN: u64 = 16 << 20;
/// A thread records so many events at most: 80 bytes each, in half of the file.
const MOST: u64 = 64 << 10;
/// What kind of event it is.
const EVENT: u16 = 5;
/// The threads that record at once.
const THREADS: usize = 2;
/// How long what was recorded may not be persistent.
const INTERVAL: Duration = Duration::from_millis(2);
/// So many events are recorded before they are written back, where that is asked for.
const AT_ONCE: u64 = 100;
/// Events of a sub-buffer of 4096 bytes: a header of 64, and 16 + 64 for each event (the format's tables in
/// `cachemaint::recorder`).
const OF_A_SUB_BUFFER: u64 = 50;

/// When events are made persistent, by the names that a lane gives to it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    OnCrash,
    Within,
    SubBuffer,
    EachAppend,
}

impl When {
    fn named(name: &str) -> Result<Self> {
        Ok(match name {
            "on-crash" => Self::OnCrash,
            "within" => Self::Within,
            "sub-buffer" => Self::SubBuffer,
            "each-append" => Self::EachAppend,
            other => bail!("{other} is no durability"),
        })
    }

    const fn durability(self) -> Durability {
        match self {
            Self::OnCrash | Self::Within => Durability::OnCrash,
            Self::SubBuffer => Durability::SubBuffer,
            Self::EachAppend => Durability::EachAppend,
        }
    }
}

type OnFile = Recorder<DaxFile>;

/// A recording that lives as long as the process.
fn create(path: &Path, when: When, shards: u32) -> Result<&'static OnFile> {
    let file = dax::Options::new().create(path, LEN)?;
    let options = Options::host().shards(shards).durability(when.durability());
    Ok(Box::leak(Box::new(options.create(file)?)))
}

fn within(recorder: &'static OnFile) -> Result<Within<dax::Error>> {
    Within::start(recorder, INTERVAL).context("cannot start a thread")
}

/// Has threads record, and ends the process by a signal when each has recorded so many, wherever they
/// are then. Prints how many each had recorded by then, at least.
pub(crate) fn record_until_ended(
    path: &Path,
    when: &str,
    enough: &str,
    end: &str,
) -> Result<ExitCode> {
    let (when, enough): (_, u64) = (When::named(when)?, number(enough)?);
    let signal = match end {
        "kill" => Signal::KILL,
        "segv" => Signal::SEGV,
        "term" => Signal::TERM,
        other => bail!("{other} is no end"),
    };
    let recorder = create(path, when, u32::try_from(THREADS)?)?;
    if signal != Signal::KILL {
        recorder.stop_on_signals().context("cannot install the handlers")?;
    }
    let _guard = (when == When::Within).then(|| within(recorder)).transpose()?;
    let counts: &'static [AtomicU64; THREADS] = Box::leak(Box::default());
    for _ in counts {
        std::thread::spawn(move || record_into(recorder, counts));
    }
    while counts.iter().any(|count| count.load(Ordering::Acquire) < enough) {
        std::thread::yield_now();
    }
    let numbers = counts.each_ref().map(|count| count.load(Ordering::Acquire));
    writeln!(std::io::stdout(), "{}", json!({ "recorded": numbers }))?;
    loop {
        // A handler of the standard library's gives a signal that was sent back to the kernel, for the next.
        kill_process(getpid(), signal).context("cannot end by a signal")?;
        std::thread::yield_now();
    }
}

/// Records numbered events until recording ends, and counts them by the shard: which thread has which one is up
/// to the scheduler.
fn record_into(recorder: &OnFile, counts: &[AtomicU64; THREADS]) -> Result<()> {
    let writer = recorder.claim()?;
    let count = &counts[usize::try_from(writer.shard())?];
    for number in 0..MOST {
        match put(&writer, u64::from(writer.shard()), number) {
            Ok(()) => count.store(number + 1, Ordering::Release),
            Err(NotRecorded::Stopped) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn put(
    writer: &Writer<'_, DaxFile>,
    seed: u64,
    number: u64,
) -> Result<(), NotRecorded<dax::Error>> {
    writer.record(EVENT, &record(seed, number))
}

/// Creates a recording and records event after event until the machine ends; tells how many must outlive it, as
/// the durability has it.
pub(crate) fn record_forever(
    records: &Records,
    when: &str,
    mut tell: impl FnMut(u64) -> Result<()>,
) -> Result<Reply> {
    let when = When::named(when)?;
    let recorder = create(records.path.as_ref(), when, 1)?;
    let writer = recorder.claim()?;
    let mut guard = None;
    for number in 0..records.count {
        if when == When::Within && guard.is_none() {
            guard = Some(within(recorder)?);
        }
        put(&writer, 0, number)?;
        let all = number + 1;
        match when {
            When::EachAppend => tell(all)?,
            // The first event of the next one has written back the one before.
            When::SubBuffer if number % OF_A_SUB_BUFFER == 0 => tell(number)?,
            When::OnCrash if all % AT_ONCE == 0 => {
                recorder.write_back_all()?;
                tell(all)?;
            }
            When::Within if all % AT_ONCE == 0 => {
                // It has written all of them back when it ends.
                guard.take().context("there is no guard")?.finish()?;
                tell(all)?;
            }
            _ => {}
        }
    }
    Ok(Reply::Done)
}

/// Prints how many events each shard has from the first on, as they were recorded, what is damaged and what was
/// lost.
pub(crate) fn read(path: &Path) -> Result<ExitCode> {
    let file = dax::Options::new().open(path)?;
    let reader = Reader::open(&file)?;
    let mut buffer = vec![0; reader.largest_payload()];
    let (mut events, mut damaged, mut lost) = (Vec::new(), 0, 0);
    for shard in 0..reader.description().shards() {
        let mut found = reader.shard(shard);
        let mut next = 0;
        while let Some(found) = found.next(&mut buffer) {
            match found {
                Found::Event(Event { id, payload, .. }) => {
                    let expected = record(u64::from(shard), next);
                    ensure!(id == EVENT && payload == expected, "shard {shard}: no event {next}");
                    next += 1;
                }
                Found::Skipped(Skipped { kind: SkippedKind::Damaged, len, .. }) => damaged += len,
                _ => {}
            }
        }
        events.push(next);
        lost += reader.lost(shard);
    }
    let document = json!({ "events": events, "damaged": damaged, "lost": lost });
    writeln!(std::io::stdout(), "{document}").context("cannot print")?;
    Ok(ExitCode::SUCCESS)
}

fn number(text: &str) -> Result<u64> {
    text.parse().with_context(|| format!("{text} is no number"))
}
