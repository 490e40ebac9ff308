//! The readers of the three formats on intact, damaged and crafted bytes, by size: the time for each MiB, and the memory
//! that is allocated at a time. No row may rise with the size: no reader's work may grow faster than its file.
//!
//! Crafted bytes are those whose every word begins something long: headers of records in a journal and a recording, names
//! of one large blob in a store. Crafted names of events are as many as a file has space for, and each event has no more
//! than one of them. `--test` reads one MiB of each. The least time and the most memory of three runs are
//! shown.

use cachemaint::journal::{self, Group, Journal, Salvaged};
use cachemaint::medium::{Memory, Readable};
use cachemaint::preserve::{self, Snapshot, Store};
use cachemaint::recorder::{self, Found};
use cachemaint::survival::Backing;
use cachemaint_benches::Outcome;
use cachemaint_benches::cost::{Cost, Counting};
use cachemaint_benches::payloads::Payloads;
use cachemaint_cli::measure::lines::{PAGE, Region};
use cachemaint_cli::measure::to_persistence;
use core::error::Error;
use core::hint::black_box;
use core::sync::atomic::Ordering::Relaxed;
use std::io::Write as _;
use std::{env, io};
use twox_hash::XxHash3_64;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MIB: usize = 1 << 20;
const SIZES: [usize; 4] = [1, 16, 128, 1024];
/// One word is damaged in so many bytes.
const DAMAGE: usize = 64 << 10;
const SEGMENT: u64 = 1 << 20;
const SHARDS: u32 = 4;
/// Bytes of a sub-buffer of crafted bytes, the smallest size.
const SUB_BUFFER: u32 = 256;
/// The places of a journal's log and of a recording's events, by their documentation.
const LOG: u64 = 8192;
const EVENTS: u64 = 12_288;
/// Bytes of the header of a sub-buffer, or more.
const HEADER: u64 = 64;
/// The most names of events that a file has space for, of one byte each: 3940 bytes, and 4 for each.
const MOST_NAMES: u16 = 788;
/// Names in one root of a store with units of 64 bytes, and the bytes before its entries.
const NAMES: usize = 78;
const ROOT: u64 = 176;

type Image<'a> = Memory<'a>;
/// Fills the memory with a file.
type Fill = fn(&Image<'_>) -> Result<(), Box<dyn Error>>;
/// Reads the memory and returns the number of things found.
type Read = fn(&Image<'_>) -> Result<u64, Box<dyn Error>>;

/// The files of a format, and its readers.
struct Format {
    name: &'static str,
    /// The first byte that may be damaged.
    data: u64,
    intact: Fill,
    crafted: Fill,
    readers: &'static [(&'static str, Read)],
}

const FORMATS: [Format; 4] = [
    Format {
        name: "journal",
        data: LOG + 4096,
        intact: journal,
        crafted: crafted_journal,
        readers: &[("verify", verify_journal), ("salvage", salvage_journal)],
    },
    Format {
        name: "recording",
        data: EVENTS + 4096,
        intact: recording,
        crafted: crafted_recording,
        readers: &[("all events", read_events)],
    },
    Format {
        name: "names",
        data: EVENTS + 4096,
        intact: named,
        crafted: crafted_names,
        readers: &[("describe", describe_events)],
    },
    Format {
        name: "store",
        data: 32 << 10,
        intact: store,
        crafted: crafted_store,
        readers: &[("verify", verify_store), ("list", list_store)],
    },
];

fn main() -> Outcome {
    let is_test = env::args().any(|argument| argument == "--test");
    let sizes = if is_test { &SIZES[..1] } else { &SIZES[..] };
    let mut out = io::stdout().lock();
    write!(out, "{:32}", "ms for each MiB; KiB taken")?;
    for size in sizes {
        write!(out, "{:>18}", format!("{size} MiB"))?;
    }
    writeln!(out)?;
    for format in &FORMATS {
        for content in [Content::Intact, Content::Damaged, Content::Crafted] {
            let mut rows = vec![Vec::new(); format.readers.len()];
            for size in sizes {
                let region = content.of(format, *size)?;
                for (row, (_, read)) in rows.iter_mut().zip(format.readers) {
                    row.push(cell(cost_of(*read, &region, content)?, *size));
                }
            }
            for (row, (reader, _)) in rows.iter().zip(format.readers) {
                let name = format!("{} {content:?}: {reader}", format.name);
                writeln!(out, "{name:32}{}", row.concat())?;
            }
        }
    }
    Ok(())
}

/// The bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Intact,
    Damaged,
    Crafted,
}

impl Content {
    /// Returns so many MiB of it.
    fn of(self, format: &Format, mib: usize) -> Result<Region, Box<dyn Error>> {
        let region = Region::new(mib * MIB / PAGE);
        match self {
            Self::Intact | Self::Damaged => (format.intact)(&image(&region)?)?,
            Self::Crafted => (format.crafted)(&image(&region)?)?,
        }
        if self == Self::Damaged {
            damage(&image(&region)?, format.data);
        }
        Ok(region)
    }
}

/// Returns the cost of reading.
///
/// # Errors
/// If nothing was found in intact bytes.
fn cost_of(read: Read, region: &Region, content: Content) -> Result<Cost, Box<dyn Error>> {
    Cost::of(|| {
        let found = read(&image(region)?)?;
        if content == Content::Intact && found == 0 {
            return Err("nothing was found in intact bytes".into());
        }
        Ok(())
    })
}

/// Returns a cell of the table for a file of so many MiB.
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn cell(cost: Cost, mib: usize) -> String {
    let ms = cost.seconds * 1e3 / mib as f64;
    format!("{:>18}", format!("{ms:.3}; {:.1}", cost.taken as f64 / 1024.0))
}

fn image(region: &Region) -> Result<Image<'_>, Box<dyn Error>> {
    Ok(Memory::new(region.words(), to_persistence()?, Backing::Ram))
}

fn damage(image: &Image<'_>, first: u64) {
    for at in (first..Readable::len(image) - 8).step_by(DAMAGE) {
        image.store(at, !image.load(at, Relaxed), Relaxed);
    }
}

/// Returns the options of a journal, and the bytes of its segments.
fn journal_options(image: &Image<'_>) -> (journal::Options<'static>, u64) {
    let segment = SEGMENT.min(Readable::len(image) / 16).next_power_of_two();
    (journal::Options::new().segment(segment), segment)
}

fn journal(image: &Image<'_>) -> Outcome {
    let (options, _) = journal_options(image);
    let journal = options.create_new(image).map_err(|failed| failed.error)?;
    let (payloads, mut group) = (Payloads::new(104), Group::new());
    for first in (0..).step_by(50) {
        (first..first + 50).for_each(|number| group.push(payloads.of(number)));
        match journal.append_group(&mut group) {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), journal::ErrorKind::Full { .. }) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Behind ten records each word is the second one of a header of its place, of a record that takes the rest of its segment:
/// its length in 24 bits, kind 1, and its position by 8 in bits 48 to 63.
fn crafted_journal(image: &Image<'_>) -> Outcome {
    let (options, segment) = journal_options(image);
    let journal: Journal<_> = options.create_new(image).map_err(|failed| failed.error)?;
    for number in 0..10_u8 {
        journal.append(&[number; 100])?;
    }
    let (end, capacity) = (journal.end().0, journal.capacity());
    drop(journal);
    for position in (end..capacity - 16).step_by(8) {
        let left = segment - position % segment;
        let word = left.saturating_sub(16) | 1 << 24 | (position / 8) << 48;
        image.store(LOG + position + 8, word, Relaxed);
    }
    Ok(())
}

fn verify_journal(image: &Image<'_>) -> Result<u64, Box<dyn Error>> {
    let reader = journal::Reader::open(image).map_err(|failed| failed.error)?;
    Ok(reader.verify(&mut |_| {})?.records)
}

fn salvage_journal(image: &Image<'_>) -> Result<u64, Box<dyn Error>> {
    let reader = journal::Reader::open(image).map_err(|failed| failed.error)?;
    let mut records = 0;
    for found in reader.salvage() {
        records += u64::from(matches!(found?, Salvaged::Record(_)));
    }
    Ok(records)
}

fn recording(image: &Image<'_>) -> Outcome {
    recorded(recorder::Options::new(), image, 1, &[7; 32])
}

/// A recording with the name and the fields of its events.
fn named(image: &Image<'_>) -> Outcome {
    let options = recorder::Options::new().events(&[(1, "sums: a=u64 b=u64 c=u64 d=u64")]);
    recorded(options, image, 1, &[7; 32])
}

/// Empty events, whose name is the last one of as many as fit.
fn crafted_names(image: &Image<'_>) -> Outcome {
    let names: Vec<(u16, &str)> = (1..=MOST_NAMES).map(|id| (id, "a")).collect();
    recorded(recorder::Options::new().events(&names), image, MOST_NAMES, &[])
}

/// Records events with this id and payload.
fn recorded(options: recorder::Options<'_>, image: &Image<'_>, id: u16, payload: &[u8]) -> Outcome {
    let options = options.shards(SHARDS);
    let recorder = options.create_new(image).map_err(|failed| failed.error)?;
    let writers = (0..SHARDS).map(|_| recorder.claim()).collect::<Result<Vec<_>, _>>()?;
    // An event takes 24 bytes and its payload: each shard is written once around.
    for number in 0..Readable::len(image) / u64::from(SHARDS) / (24 + payload.len() as u64) {
        for writer in &writers {
            writer.record_at(number, id, payload)?;
        }
    }
    Ok(())
}

/// In each sub-buffer that has been begun each word behind the header begins an event as long as can be: the id, the
/// length and the offset.
fn crafted_recording(image: &Image<'_>) -> Outcome {
    recorded(recorder::Options::new().sub_buffer_size(SUB_BUFFER), image, 1, &[7; 32])?;
    for at in (EVENTS..Readable::len(image)).step_by(8) {
        let offset = (at - EVENTS) % u64::from(SUB_BUFFER);
        if offset >= HEADER {
            let longest = (u64::from(SUB_BUFFER) - offset).saturating_sub(24);
            image.store(at, longest << 16 | (offset - 8) << 32, Relaxed);
        }
    }
    Ok(())
}

fn read_events(image: &Image<'_>) -> Result<u64, Box<dyn Error>> {
    let reader = recorder::Reader::open(image).map_err(|failed| failed.error)?;
    let mut buffer = vec![0; reader.largest_payload()];
    let (mut events, mut count) = (reader.events(), 0);
    while let Some(found) = events.read_next(&mut buffer) {
        count += u64::from(matches!(found, Found::Event(_)));
    }
    Ok(count)
}

/// Reads all events with their names and fields, and returns the number of names and fields.
fn describe_events(image: &Image<'_>) -> Result<u64, Box<dyn Error>> {
    let reader = recorder::Reader::open(image).map_err(|failed| failed.error)?;
    let mut buffer = vec![0; reader.largest_payload()];
    let (table, mut events, mut count) = (reader.event_table(), reader.events(), 0);
    while let Some(found) = events.read_next(&mut buffer) {
        if let Found::Event(event) = found
            && let Some((name, fields)) = table.describe(&event)
        {
            count += u64::from(!name.is_empty()) + fields.map(black_box).count() as u64;
        }
    }
    Ok(count)
}

/// Blobs of 48 KiB, which fill three quarters of the store.
fn store(image: &Image<'_>) -> Outcome {
    let mut store = Store::create_new(image).map_err(|failed| failed.error)?;
    let blobs = (Readable::len(image) / (64 << 10)).saturating_sub(2).max(1);
    let blob = vec![7; 48 << 10];
    let mut transaction = store.begin()?;
    for number in 0..blobs {
        transaction.put(&*format!("blob {number}"), &blob)?;
    }
    transaction.commit()?;
    Ok(())
}

/// Many names of one blob, which takes half of the store.
fn crafted_store(image: &Image<'_>) -> Outcome {
    let options = preserve::Options::new().unit(64);
    let mut store = options.create_new(image).map_err(|failed| failed.error)?;
    let large = vec![7; usize::try_from(Readable::len(image))? / 2];
    let mut transaction = store.begin()?;
    for number in 0..NAMES {
        let bytes = if number == 0 { &large[..] } else { &large[..48] };
        transaction.put(&*format!("n{number:03}"), bytes)?;
    }
    transaction.commit()?;
    drop(store);
    // The second generation's header: its places of both copies of the root, whose entries have 56 bytes each.
    let generation = image.load(24, Relaxed);
    let root_len = image.load(8, Relaxed) >> 32 & !7;
    let mut first = [0; 48];
    for root in [40, 48].map(|at| image.load(at, Relaxed)) {
        image.read(root + ROOT, &mut first);
        for number in 1..NAMES as u64 {
            image.write(root + ROOT + 56 * number, &first);
        }
        let mut bytes = vec![0; root_len as usize];
        image.read(root, &mut bytes);
        let key = hash(0, [generation, 0].map(u64::to_le_bytes).as_flattened());
        image.store(root, hash(key, &bytes[8..]), Relaxed);
    }
    let mut header = [0; 64];
    image.read(0, &mut header);
    let mut tag = [0; 8];
    image.read(image.load(40, Relaxed), &mut tag);
    header[60..].copy_from_slice(&tag[..4]);
    let sealed = hash(hash(0, &header[..16]), &header[24..]);
    header[16..24].copy_from_slice(&sealed.to_le_bytes());
    image.write(0, &header);
    if list_store(image)? != NAMES as u64 {
        return Err("the crafted store is not read".into());
    }
    Ok(())
}

fn hash(seed: u64, bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(seed, bytes)
}

fn verify_store(image: &Image<'_>) -> Result<u64, Box<dyn Error>> {
    let snapshot = Snapshot::of(image)?;
    let found = snapshot.verify(&mut |_| {})?;
    Ok(found.whole)
}

fn list_store(image: &Image<'_>) -> Result<u64, Box<dyn Error>> {
    Ok(Snapshot::of(image)?.entries().flatten().count() as u64)
}
