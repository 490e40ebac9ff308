//! The guarantees of each durability of the flight recorder, after every crash.
//!
//! Media begin with zeros here, since each word that differs from its old content doubles the torn states. The recorder's
//! generated histories, `testing/long/tests/histories/recorder.rs`, run on junk.

#![expect(clippy::unwrap_used, reason = "a workload that panics is a finding")]

mod creation;
mod threads;

use cachemaint::medium::{Medium, OpenError, Readable};
use cachemaint_recorder::{
    Clock, Durability, Error, Found, Identity, Opened as RecorderOpened, Options, Reader, Recorder,
    SkippedKind, Writer,
};
use cachemaint_sim::mutation::{Mutation, Setting, Weakening};
use cachemaint_sim::{Effort, Exploration, Model, Notes, SimMedium, Simulation, Violation};
use threads::{
    a_writer_is_sent_to_another_thread, another_thread_takes_the_shard_up,
    another_thread_writes_back,
};

const MODELS: [Model; 5] =
    [Model::X86, Model::ARM64, Model::NEUTRAL, Model::X86_EADR, Model::PAGES];

/// The roots, one page for the texts, and two shards of two sub-buffers.
const BYTES: u64 = 5 * 4096 + 2 * 2 * 256;
/// The number of events in a sub-buffer. An event has 96 bytes: two fit after the header, on two or three lines each.
const IN_SUB_BUFFER: u64 = 2;
const SUB_BUFFERS: u64 = 2;

/// An acknowledgement to the outside world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Note {
    /// The number of openings of the recording, including its creation.
    Opened(u64),
    Begun(u64),
    /// The event has been recorded.
    Recorded(u64),
    /// Events up to this one have been written back.
    WrittenBack(u64),
}

use Note::{Begun, Recorded, WrittenBack};

fn options(durability: Durability) -> Options<'static> {
    fn no_time() -> u64 {
        0
    }
    let clock = Clock::from_function(no_time, 1, || 0);
    Options::with_clock(Identity([0xa5; 16]), clock)
        .shards(2)
        .sub_buffers(2)
        .sub_buffer_size(256)
        .durability(durability)
}

type Outcome<M> =
    Result<(Recorder<'static, M>, RecorderOpened), OpenError<M, Error<<M as Readable>::Error>>>;

fn open<M: Medium>(medium: M, durability: Durability) -> Outcome<M> {
    options(durability).open(medium)
}

/// Returns a simulation of a recording with two openings. The next root replaces one that differs in few words.
fn with_recording(simulation: &Simulation) -> Simulation {
    let options = || options(Durability::OnRequest);
    simulation.clone().prepared(|medium| {
        drop(options().create_new(medium).unwrap());
        drop(options().open(medium).unwrap());
    })
}

/// Returns a payload that differs from the previous one in few words: each such word doubles the states of a torn
/// event.
fn payload(event: u64) -> [u8; 72] {
    let mut payload = [0; 72];
    payload[..8].copy_from_slice(&(event + 1).to_le_bytes());
    payload[64..].copy_from_slice(&(event + 1).to_le_bytes());
    payload
}

/// Records an event without a timestamp, for the same reason.
fn record<M: Medium>(writer: &Writer<'_, M>, event: u64) -> Result<(), Error<M::Error>> {
    writer.record_at(0, u16::try_from(event).unwrap(), &payload(event))
}

/// Returns the events of a shard, and checks that each is as recorded, in order, and found once.
fn events<S: Readable>(reader: &Reader<S>, shard: u32) -> Result<Vec<u64>, Violation> {
    let mut buffer = [0; 168];
    let mut events = Vec::new();
    let mut found = reader.shard(shard);
    while let Some(found) = found.read_next(&mut buffer).unwrap() {
        if let Found::Event(event) = found {
            let number = u64::from(event.id);
            let is_whole = event.payload == payload(number) && event.timestamp == 0;
            Violation::unless(is_whole, || format!("{event:?}"))?;
            events.push(number);
        }
    }
    let is_sorted = events.is_sorted_by(|one, next| one < next);
    Violation::unless(is_sorted, || format!("{events:?}"))?;
    Ok(events)
}

fn last(notes: &[Note], number: impl Fn(&Note) -> Option<u64>) -> Option<u64> {
    notes.iter().filter_map(number).max()
}

/// Returns the events that the notes require: all up to an event, except for those in the slot that the last begun
/// event overwrites.
fn promised(notes: &[Note], durability: Durability) -> std::ops::RangeInclusive<u64> {
    let begun = last(notes, |note| if let Begun(event) = note { Some(*event) } else { None });
    let recorded = last(notes, |note| if let Recorded(event) = note { Some(*event) } else { None });
    let written =
        last(notes, |note| if let WrittenBack(event) = note { Some(*event) } else { None });
    let durable = match (durability, recorded) {
        (Durability::EachAppend, Some(recorded)) => Some(recorded),
        // The events before this event's sub-buffer are persistent.
        (Durability::SubBuffer, Some(recorded)) => {
            (recorded / IN_SUB_BUFFER * IN_SUB_BUFFER).checked_sub(1)
        }
        _ => None,
    };
    let newest = begun.unwrap_or(0) / IN_SUB_BUFFER;
    let first = (newest + 1).saturating_sub(SUB_BUFFERS) * IN_SUB_BUFFER;
    match durable.max(written) {
        Some(last) => first..=last,
        #[expect(clippy::reversed_empty_ranges, reason = "nothing is promised")]
        None => 1..=0,
    }
}

fn judge(medium: &SimMedium, notes: &[Note], durability: Durability) -> Result<(), Violation> {
    let reader = Reader::open(medium)?;
    let found = events(&reader, 0)?;
    let begun = last(notes, |note| if let Begun(event) = note { Some(*event) } else { None });
    let is_known = found.iter().all(|event| Some(*event) <= begun);
    Violation::unless(is_known, || format!("{found:?} of {begun:?}"))?;
    match promised(notes, durability).find(|event| !found.contains(event)) {
        Some(event) => Err(Violation::lost(format!("event {event} of {found:?}"))),
        None => Ok(()),
    }
}

/// Claims the second shard, so that each claim after that takes the first one.
fn claim_second<'r, M: Medium>(recorder: &'r Recorder<'_, M>) -> Writer<'r, M> {
    let [_first, second] = [recorder.claim().unwrap(), recorder.claim().unwrap()];
    second
}

/// Records events until the medium refuses.
fn work<M: Medium>(
    recorder: &Recorder<'_, M>,
    events: std::ops::Range<u64>,
    tell: impl Fn(Note),
) -> Result<(), Error<M::Error>> {
    let writer = recorder.claim().unwrap();
    for event in events {
        tell(Begun(event));
        record(&writer, event)?;
        tell(Recorded(event));
    }
    Ok(())
}

/// Three laps and the beginning of a fourth.
fn life(simulation: &Simulation, durability: Durability) -> Exploration {
    with_recording(simulation).explore(
        |medium, notes| {
            let recorder = open(medium, durability).unwrap().0;
            work(&recorder, 0..7, |note| notes.add(note)).unwrap();
        },
        |medium: &SimMedium, notes| judge(medium, notes, durability),
    )
}

/// Three of four sub-buffers. Only their headers are written back. With line granularity none of them is lost.
fn headers_are_kept(simulation: &Simulation) -> Exploration {
    let options = || options(Durability::OnRequest).shards(1).sub_buffers(4);
    let created = simulation.clone().prepared(|medium| {
        drop(options().create_new(medium).unwrap());
        drop(options().open(medium).unwrap());
    });
    created.explore(
        |medium, notes: &Notes<'_, Note>| {
            let recorder = options().open(medium).unwrap().0;
            work(&recorder, 0..5, |note| notes.add(note)).unwrap();
        },
        |medium: &SimMedium, _: &[Note]| {
            let reader = Reader::open(medium)?;
            let (mut buffer, mut found) = ([0; 168], reader.shard(0));
            while let Some(found) = found.read_next(&mut buffer).unwrap() {
                let is_lost = matches!(
                    found,
                    Found::Skipped(gap) if gap.kind == SkippedKind::Damaged && gap.len >= 256
                );
                Violation::unless(!is_lost, || format!("{found:?}"))?;
            }
            Ok(())
        },
    )
}

/// A write-back in the middle of a sub-buffer, at its end, and after it.
fn written_back(simulation: &Simulation) -> Exploration {
    with_recording(simulation).explore(
        |medium, notes| {
            let recorder = open(medium, Durability::OnRequest).unwrap().0;
            let _second = claim_second(&recorder);
            let mut next = 0;
            for events in [1, 1, 2, 1] {
                work(&recorder, next..next + events, |note| notes.add(note)).unwrap();
                next += events;
                recorder.write_back_all().unwrap();
                notes.add(WrittenBack(next - 1));
            }
        },
        |medium: &SimMedium, notes| judge(medium, notes, Durability::OnRequest),
    )
}

type Scenario = fn(&Simulation) -> Exploration;

const CREATIONS: [Scenario; 4] = [
    creation::in_zeros,
    creation::over_remains,
    creation::then_a_crash,
    creation::over_foreign_content,
];

const SCENARIOS: [Scenario; 3] = [
    |simulation| life(simulation, Durability::EachAppend),
    written_back,
    |simulation| life(simulation, Durability::SubBuffer),
];

/// The neutral model has every crash of x86 and arm64, as a test of the simulator shows.
#[test]
fn promises_of_each_durability_hold_after_every_crash() {
    for model in [Model::NEUTRAL, Model::X86_EADR, Model::PAGES] {
        let simulation = Simulation::new(model, BYTES).zeros();
        for scenario in SCENARIOS {
            let exploration = scenario(&simulation);
            exploration.assert_safe();
            assert!(exploration.is_exhaustive());
        }
    }
}

/// A creation stores both copies of a root at once, so an exploration of all states would take too long.
#[test]
fn a_crash_of_a_creation_leaves_a_whole_recording_or_none() {
    let random = Effort::Random { states: 10, seed: 5 };
    for (model, effort) in MODELS
        .into_iter()
        .flat_map(|model| [Effort::Deviations(1), random].map(|effort| (model, effort)))
    {
        let simulation = Simulation::new(model, BYTES).zeros().effort(effort);
        for scenario in CREATIONS {
            scenario(&simulation).assert_safe();
        }
    }
}

#[test]
#[ignore = "mutation takes half a minute: cargo test -- --ignored"]
fn no_write_back_no_fence_and_no_order_can_be_left_out() {
    // A mutant can leave very many states. Those near the beginning show the defect.
    let of = |scenario: Scenario| {
        move |setting: &Setting| scenario(&setting.simulation(BYTES).zeros().at_most(50_000))
    };
    let threads = of(another_thread_writes_back);
    // One lost store shows the defect.
    let few = |setting: &Setting| setting.simulation(BYTES).effort(Effort::Deviations(1));
    let taken_up = |setting: &Setting| another_thread_takes_the_shard_up(&few(setting));
    let headers = |setting: &Setting| {
        headers_are_kept(&setting.simulation(BYTES).zeros().effort(Effort::Deviations(1)))
    };
    let sent = |setting: &Setting| a_writer_is_sent_to_another_thread(&few(setting));
    let list: Vec<_> = SCENARIOS.into_iter().map(of).collect();
    let of_creation = |scenario: Scenario| {
        move |setting: &Setting| {
            scenario(&setting.simulation(BYTES).zeros().effort(Effort::Deviations(1)))
        }
    };
    let creations: Vec<_> = CREATIONS.into_iter().map(of_creation).collect();
    let mut scenarios: Vec<&(dyn Fn(&Setting) -> Exploration + Sync)> =
        vec![&threads, &taken_up, &sent, &headers];
    for scenario in &list {
        scenarios.push(scenario);
    }
    for scenario in &creations {
        scenarios.push(scenario);
    }
    let arm64 = [Model::ARM64];
    let proved = "the tag proves a record whatever the order; it is for readers beside the writer (loom_tests)";
    let mutation = Mutation::new()
        .only_in("crates/recorder/src")
        .equivalent(
            "src/writer.rs",
            "medium.store(at, tag,",
            Weakening::RelaxedStore,
            &arm64,
            proved,
        )
        .equivalent("src/reader/sub_buffer.rs", "Acquire", Weakening::RelaxedLoad, &arm64, proved)
        .equivalent("src/reader/shard.rs", "Acquire", Weakening::RelaxedLoad, &arm64, proved);
    let survivors = mutation.run(&scenarios);
    survivors.assert_none();
}
