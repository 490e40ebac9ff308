//! Events with 40 bytes of payload, recorded in a ring that overwrites the oldest.
//!
//! The library's recorder is compared with a bare loop that stores records with checksum and timestamp and, if
//! installed, with LTTng-UST. One or two threads record at once, each with its own ring (LTTng-UST: each CPU). The
//! library and the loop run without write-backs, and with a write-back and a fence for each 32 KiB, which LTTng-UST
//! does not offer.
//!
//! A ring has 4 MiB. A recording's sub-buffers have 32 KiB, those of LTTng-UST 1 MiB. After criterion's figures the
//! ratios are printed, from interleaved blocks, with their 95 % intervals. Times are per event and thread.

use cachemaint::medium::Backing;
use cachemaint::medium::Memory;
use cachemaint_benches::Outcome;
use cachemaint_benches::bare::event::{Ring, recording};
use cachemaint_benches::contenders::{Case, Contender, run_cases};
#[cfg(target_os = "linux")]
use cachemaint_benches::lttng::Lttng;
use cachemaint_benches::measure::blocks::Blocks;
use cachemaint_benches::measure::clock::Clock;
use cachemaint_benches::measure::lines::{PAGE, Region};
use cachemaint_benches::measure::to_persistence;
use cachemaint_benches::payloads::EVENT_BYTES;
use cachemaint_benches::threads::{Apart, Cores};
use cachemaint_recorder::{self, Durability, Event, Found, Identity, Options, Recorder, Writer};
use core::error::Error;
use core::iter::zip;
use core::sync::atomic::Ordering;
use std::process::ExitCode;

/// The number of events that one block records on each thread.
const EVENTS: u16 = 4096;
/// Events that a thread records before the timing starts, so that everything it needs is in its caches.
const WARM_UP: u64 = 64;
/// Bytes of a ring.
const RING: usize = 4 << 20;
/// Bytes of a recording's sub-buffer, which are written back together, if at all.
const SUB_BUFFER: u32 = 32 << 10;
/// Each contender without write-backs, and with them.
const DURABILITIES: [Durability; 2] = [Durability::OnRequest, Durability::SubBuffer];
/// The kind of the events.
const EVENT: u16 = 7;
/// The identity of the recording. A real one is random.
const IDENTITY: [u8; 16] = *b"cachemaint bench";
/// Bytes that a recording needs in addition to its rings.
const DESCRIPTION: usize = 64 << 10;
/// The number of threads in each case.
const CASES: [(usize, &str); 2] = [(1, "1 thread"), (2, "2 threads")];
/// The goal for the ratio to the bare loop.
const GOAL: f64 = 1.2;
/// The number of blocks between two reads of the whole recording, since a read brings all of it into this core's
/// caches.
const CHECK_EACH: u64 = 64;

fn main() -> ExitCode {
    run_cases(
        Bench::new(),
        ("record an event of 40 B", "DRAM"),
        Blocks::at_least(301),
        |bench, then| bench.for_each_case(then),
    )
}

/// The parts that are created once, before a thread is pinned.
struct Bench {
    cores: Cores,
    #[cfg(target_os = "linux")]
    lttng: Option<Lttng>,
}

impl Bench {
    fn new() -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            cores: Cores::available()?,
            #[cfg(target_os = "linux")]
            lttng: Lttng::if_installed()?,
        })
    }

    fn for_each_case(&self, mut then: impl FnMut(Case<'_>) -> Outcome) -> Outcome {
        let clock = Clock::new();
        for (threads, name) in CASES {
            if !self.cores.are_enough_for(threads)? {
                continue;
            }
            // Both durabilities are in one case: the speed of a shared machine changes from case to case.
            let memories = DURABILITIES.map(|_| Region::new((DESCRIPTION + threads * RING) / PAGE));
            let recorders: Result<Vec<_>, _> = zip(&memories, DURABILITIES)
                .map(|(memory, durability)| recorder(memory, threads, durability))
                .collect();
            let recorders = recorders?;
            let rings = DURABILITIES.map(|_| -> Vec<Region> {
                (0..threads).map(|_| Region::new(RING / PAGE)).collect()
            });
            let mut contenders = Vec::new();
            for (recorder, rings) in zip(&recorders, &rings) {
                contenders.push(self.recorder(clock, recorder)?);
                contenders.push(self.bare(clock, rings, recorder.1)?);
                #[cfg(target_os = "linux")]
                if recorder.1 == Durability::OnRequest {
                    let lttng = self.lttng.as_ref();
                    contenders.extend(lttng.map(|lttng| self.lttng(clock, lttng, threads)));
                }
            }
            let name = format!("record an event, {name}");
            then(Case { name, operations: EVENTS.into(), contenders })?;
        }
        Ok(())
    }

    fn recorder<'a>(
        &'a self,
        clock: Clock,
        (recorder, durability): &'a (Recorder<'static, Memory<'a>>, Durability),
    ) -> Result<Contender<'a>, Box<dyn Error>> {
        let shards = 0..recorder.description().shards;
        let writers: Result<Vec<_>, _> =
            shards.map(|_| recorder.claim().map(|writer| Apart((writer, 1)))).collect();
        let (mut writers, mut blocks) = (writers?, 0);
        let block_ns = move || {
            let warm_up = |(writer, next): &mut (Writer<'_, _>, u64)| {
                record_each(writer, *next, WARM_UP);
                *next += WARM_UP;
            };
            let record = |(writer, next): &mut (Writer<'_, _>, u64)| {
                record_each(writer, *next, EVENTS.into());
                *next += u64::from(EVENTS);
            };
            let times = self.cores.time_at_once(clock, &mut writers, warm_up, record);
            if blocks % CHECK_EACH == 0 {
                for Apart((writer, next)) in &writers {
                    let checked = check(recorder, writer.shard(), next - 1);
                    assert!(checked.is_ok(), "{checked:?}");
                }
            }
            blocks += 1;
            an_event_and_thread(&times)
        };
        let name = named("cachemaint", *durability);
        Ok(Contender { name, goal: None, block_ns: Box::new(block_ns) })
    }

    fn bare<'a>(
        &'a self,
        clock: Clock,
        memories: &'a [Region],
        durability: Durability,
    ) -> Result<Contender<'a>, Box<dyn Error>> {
        let ring = |memory: &'a Region| Apart((Ring::new(memory.words()), 1));
        let mut rings: Vec<_> = memories.iter().map(ring).collect();
        let (record_each, cache) = (recording(), to_persistence()?);
        let at_once = Ring::events_of(SUB_BUFFER as usize);
        let block_ns = move || {
            let warm_up = |(ring, next): &mut (Ring<'_>, u64)| {
                record_each(ring, *next, WARM_UP);
                *next += WARM_UP;
            };
            let record = |(ring, next): &mut (Ring<'_>, u64)| {
                let end = *next + u64::from(EVENTS);
                if durability == Durability::OnRequest {
                    record_each(ring, *next, EVENTS.into());
                } else {
                    for first in (*next..end).step_by(at_once) {
                        record_each(ring, first, at_once as u64);
                        ring.write_back(cache, at_once);
                    }
                }
                *next = end;
            };
            let times = self.cores.time_at_once(clock, &mut rings, warm_up, record);
            for Apart((ring, next)) in &rings {
                ring.check(next - 1);
            }
            an_event_and_thread(&times)
        };
        let (name, goal) = (named("bare", durability), Some(GOAL));
        Ok(Contender { name, goal, block_ns: Box::new(block_ns) })
    }

    #[cfg(target_os = "linux")]
    fn lttng<'a>(&'a self, clock: Clock, lttng: &'a Lttng, threads: usize) -> Contender<'a> {
        let mut next = vec![Apart(1); threads];
        let block_ns = move || {
            let warm_up = |next: &mut u64| {
                lttng.record(*next, WARM_UP);
                *next += WARM_UP;
            };
            let record = |next: &mut u64| {
                lttng.record(*next, EVENTS.into());
                *next += u64::from(EVENTS);
            };
            let times = self.cores.time_at_once(clock, &mut next, warm_up, record);
            assert!(lttng.is_enabled(), "LTTng-UST has ceased to record");
            an_event_and_thread(&times)
        };
        Contender { name: "LTTng-UST".to_owned(), goal: None, block_ns: Box::new(block_ns) }
    }
}

/// Returns the name of a contender with its durability.
fn named(contender: &str, durability: Durability) -> String {
    let written_back = if durability == Durability::OnRequest { "" } else { ", written back" };
    format!("{contender}{written_back}")
}

/// Creates a recording in memory, which is zeroed like a new file, with a shard for each thread.
fn recorder(
    memory: &Region,
    threads: usize,
    durability: Durability,
) -> Result<(Recorder<'static, Memory<'_>>, Durability), Box<dyn Error>> {
    memory.words().iter().for_each(|word| word.store(0, Ordering::Relaxed));
    let options = Options::with_clock(Identity(IDENTITY), cachemaint_recorder::Clock::host())
        .shards(u32::try_from(threads)?)
        .sub_buffers(u32::try_from(RING)? / SUB_BUFFER)
        .sub_buffer_size(SUB_BUFFER)
        .durability(durability);
    let memory = Memory::new(memory.words(), to_persistence()?, Backing::Ram);
    let (recorder, _) = options.create_new(memory).map_err(|failed| failed.error)?;
    Ok((recorder, durability))
}

/// Records this many events; the first is numbered `first`.
fn record_each(writer: &Writer<'_, Memory<'_>>, first: u64, events: u64) {
    let mut payload = [0; 40];
    payload[8..].copy_from_slice(&EVENT_BYTES);
    for number in first..first + events {
        payload[..8].copy_from_slice(&number.to_le_bytes());
        let recorded = writer.record(EVENT, &payload);
        assert!(recorded.is_ok(), "{recorded:?}");
    }
}

/// Checks that a shard ends with the event of this number, and that all events before it are there.
///
/// # Panics
/// If it is not so.
fn check(recorder: &Recorder<'_, Memory<'_>>, shard: u32, last: u64) -> Outcome {
    let reader = recorder.reader();
    let (mut events, mut buffer) = (reader.shard(shard), vec![0; reader.largest_payload()]);
    let mut numbers = Vec::new();
    while let Some(found) = events.read_next(&mut buffer)? {
        match found {
            Found::Event(Event { id: EVENT, payload, .. }) => {
                let (number, bytes) = payload.split_at(size_of::<u64>());
                assert_eq!(bytes, EVENT_BYTES, "the payload of an event");
                numbers.push(u64::from_le_bytes(number.try_into()?));
            }
            other => return Err(format!("{other:?} instead of an event").into()),
        }
    }
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "events are missing");
    assert_eq!(numbers.last(), Some(&last), "the last event");
    Ok(())
}

/// Returns the mean nanoseconds for an event, from the times of threads that worked in parallel.
#[expect(clippy::cast_precision_loss, reason = "there are few threads")]
fn an_event_and_thread(times: &[f64]) -> f64 {
    times.iter().sum::<f64>() / times.len() as f64 / f64::from(EVENTS)
}
