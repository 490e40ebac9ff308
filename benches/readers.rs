//! The readers of the three formats on intact, damaged and crafted bytes, by size: the time for each MiB, and the
//! memory allocated at the same time. No row may rise with the size: no reader's work may grow faster than its file.
//!
//! Most crafted bytes start something long at each word: headers of records in a journal and a recording. A table has
//! the maximum number of names, for one large blob or for overlapping blobs. There are as many crafted event names as a
//! file has space for, and each event has at most one of them. `--test` reads one MiB of each. The least time and the
//! most memory of three runs are shown.

use cachemaint::medium::Backing;
use cachemaint::medium::{Memory, Readable};
use cachemaint_benches::Outcome;
use cachemaint_benches::cost::{Cost, Counting};
use cachemaint_benches::measure::lines::{PAGE, Region};
use cachemaint_benches::measure::to_persistence;
use cachemaint_benches::payloads::Payloads;
use cachemaint_journal::{self, Group, Salvaged};
use cachemaint_recorder::{self, Found};
use cachemaint_store::{self, Attributes, Store};
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
const INTACT: &str = "intact";
const DAMAGED: &str = "damaged";
/// One word is damaged in this many bytes.
const DAMAGE: usize = 64 << 10;
const SEGMENT: u64 = 1 << 20;
const SHARDS: u32 = 4;
/// The number of shards, of which one has events.
const IDLE: u32 = 32;
/// The size of a sub-buffer of crafted bytes: the smallest one, and a large one.
const SUB_BUFFER: u32 = 256;
const LARGE_SUB_BUFFER: u32 = 1 << 18;
/// The places of a journal's log and of a recording's events, from their documentation.
const LOG: u64 = 20_480;
const EVENTS: u64 = 20_480;
/// The maximum size of a sub-buffer's header.
const HEADER: u64 = 64;
/// The maximum number of one-byte event names in a file: 4096 bytes, and 4 for each.
const MOST_NAMES: u16 = 819;
/// The names of a crafted store, of four bytes each, and the bytes of an entry.
const NAMES: u32 = 585;
const ENTRY: usize = 64;
/// Bytes of a segment of nested records, and the number of its records.
const NESTING: u32 = 8192;
const LAPS: u32 = 32;

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
    crafted: &'static [(&'static str, Fill)],
    readers: &'static [(&'static str, Read)],
}

const FORMATS: [Format; 4] = [
    Format {
        name: "journal",
        data: LOG + 4096,
        intact: journal,
        crafted: &[
            ("candidates", crafted_journal),
            ("nested", nested),
            ("random", |image| {
                journal(image)?;
                randomize(image, LOG + 4096);
                Ok(())
            }),
        ],
        readers: &[("verify", verify_journal), ("salvage", salvage_journal)],
    },
    Format {
        name: "recording",
        data: EVENTS + 4096,
        intact: recording,
        crafted: &[
            ("small candidates", |image| crafted_recording(image, SUB_BUFFER)),
            ("large candidates", |image| {
                let size = u32::try_from(Readable::len(image) / 16)?.next_power_of_two();
                crafted_recording(image, size.min(LARGE_SUB_BUFFER))
            }),
            ("idle shards", |image| {
                recorded(cachemaint_recorder::Options::new(), image, [IDLE, 1], 1, &[7; 8])
            }),
            ("random", |image| {
                recording(image)?;
                randomize(image, EVENTS);
                Ok(())
            }),
        ],
        readers: &[("all events", read_events)],
    },
    Format {
        name: "names",
        data: EVENTS + 4096,
        intact: named,
        crafted: &[("many names", crafted_names)],
        readers: &[("describe", describe_events)],
    },
    Format {
        name: "store",
        data: 32 << 10,
        intact: store,
        crafted: &[
            ("one blob", |image| crafted_store(image, 0)),
            ("overlaps", |image| crafted_store(image, 64)),
        ],
        readers: &[("verify", verify_store), ("list", list_store)],
    },
];

fn main() -> Outcome {
    let is_test = env::args().any(|argument| argument == "--test");
    let sizes = if is_test { &SIZES[..1] } else { &SIZES[..] };
    let mut out = io::stdout().lock();
    write!(out, "{:40}", "ms for each MiB; KiB taken")?;
    for size in sizes {
        write!(out, "{:>18}", format!("{size} MiB"))?;
    }
    writeln!(out)?;
    for format in &FORMATS {
        for content in format.contents() {
            let mut rows = vec![Vec::new(); format.readers.len()];
            for size in sizes {
                let region = format.filled(content, *size)?;
                for (row, (_, read)) in rows.iter_mut().zip(format.readers) {
                    row.push(cell(cost_of(*read, &region, content)?, *size));
                }
            }
            for (row, (reader, _)) in rows.iter().zip(format.readers) {
                let name = format!("{} {content}: {reader}", format.name);
                writeln!(out, "{name:40}{}", row.concat())?;
            }
        }
    }
    Ok(())
}

impl Format {
    /// Returns the names of the contents.
    fn contents(&self) -> impl Iterator<Item = &'static str> {
        [INTACT, DAMAGED].into_iter().chain(self.crafted.iter().map(|(name, _)| *name))
    }

    /// Returns a medium with this many MiB of a content.
    fn filled(&self, content: &str, mib: usize) -> Result<Region, Box<dyn Error>> {
        let region = Region::new(mib * MIB / PAGE);
        let image = image(&region)?;
        if [INTACT, DAMAGED].contains(&content) {
            (self.intact)(&image)?;
        } else {
            let mut crafted = self.crafted.iter();
            let (_, fill) = crafted.find(|one| one.0 == content).ok_or("an unknown content")?;
            fill(&image)?;
        }
        if content == DAMAGED {
            damage(&image, self.data);
        }
        Ok(region)
    }
}

/// Returns the cost of reading.
///
/// # Errors
/// If nothing was found in intact bytes.
fn cost_of(read: Read, region: &Region, content: &str) -> Result<Cost, Box<dyn Error>> {
    Cost::of(|| {
        let found = read(&image(region)?)?;
        if content == INTACT && found == 0 {
            return Err("nothing was found in intact bytes".into());
        }
        Ok(())
    })
}

/// Returns a cell of the table for a file of this many MiB.
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

/// Fills the bytes from a place on with the words of a xorshift generator (Marsaglia 2003).
fn randomize(image: &Image<'_>, first: u64) {
    let mut word = 0x9e37_79b9_7f4a_7c15_u64;
    for at in (first..Readable::len(image)).step_by(8) {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        image.store(at, word, Relaxed);
    }
}

/// Returns the options of a journal, and the bytes of its segments.
fn journal_options(image: &Image<'_>) -> (cachemaint_journal::Options, u64) {
    let segment = SEGMENT.min(Readable::len(image) / 16).next_power_of_two();
    (cachemaint_journal::Options::new().segment(segment), segment)
}

fn journal(image: &Image<'_>) -> Outcome {
    let (options, _) = journal_options(image);
    let (journal, _) = options.create_new(image).map_err(|failed| failed.error)?;
    let (payloads, mut group) = (Payloads::new(104), Group::new());
    for first in (0..).step_by(50) {
        (first..first + 50).for_each(|number| group.push(payloads.of(number)));
        match journal.append_group(&mut group) {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), cachemaint_journal::ErrorKind::Full { .. }) => {
                break;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Returns the second word of a record's header, from the documentation of the format.
const fn second_word(position: u64, len: u64) -> u64 {
    let word = position / 8;
    let mixed = (word >> 16).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
    len | 1 << 24 | (word ^ mixed) << 48
}

/// After ten records, each word is the second word of a header at its place, for a record that takes the rest of its
/// segment.
fn crafted_journal(image: &Image<'_>) -> Outcome {
    let (options, segment) = journal_options(image);
    let (journal, _) = options.create_new(image).map_err(|failed| failed.error)?;
    for number in 0..10_u8 {
        journal.append(&[number; 100])?;
    }
    let (end, capacity) = (journal.end().0, journal.capacity());
    drop(journal);
    for position in (end..capacity - 16).step_by(8) {
        let longest = (segment - position % segment).saturating_sub(16);
        image.store(LOG + position + 8, second_word(position, longest), Relaxed);
    }
    Ok(())
}

/// Each segment has a valid record from each of many laps, nested in the payloads of others.
fn nested(image: &Image<'_>) -> Outcome {
    let options = cachemaint_journal::Options::new().segment(NESTING.into());
    let (journal, _) = options.create_new(image).map_err(|failed| failed.error)?;
    let capacity = journal.capacity();
    drop(journal);
    // The root of generation 1.
    let key = image.load(4096 + 104, Relaxed);
    let mut bytes = vec![0; NESTING as usize];
    for start in (0..capacity).step_by(NESTING as usize) {
        for lap in (0..LAPS).rev() {
            let from = 64 + 16 * lap;
            let position = u64::from(lap) * capacity + start + u64::from(from);
            let second = second_word(position, (NESTING - from - 16).into()).to_le_bytes();
            let (header, payload) = bytes[from as usize..].split_at_mut(16);
            let seed = hash(key, [second, position.to_le_bytes()].as_flattened());
            header[..8].copy_from_slice(&hash(seed, payload).to_le_bytes());
            header[8..].copy_from_slice(&second);
        }
        image.write(LOG + start, &bytes);
    }
    if salvage_journal(image)? != capacity / u64::from(NESTING) {
        return Err("not each segment has a record".into());
    }
    Ok(())
}

fn verify_journal(image: &Image<'_>) -> Result<u64, Box<dyn Error>> {
    let reader = cachemaint_journal::Reader::open(image).map_err(|failed| failed.error)?;
    Ok(reader.verify()?.records)
}

fn salvage_journal(image: &Image<'_>) -> Result<u64, Box<dyn Error>> {
    let reader = cachemaint_journal::Reader::open(image).map_err(|failed| failed.error)?;
    let mut records = 0;
    for found in reader.salvage()? {
        records += u64::from(matches!(found?, Salvaged::Record(_)));
    }
    Ok(records)
}

fn recording(image: &Image<'_>) -> Outcome {
    recorded(cachemaint_recorder::Options::new(), image, [SHARDS; 2], 1, &[7; 32])
}

/// A recording with the name and the fields of its events.
fn named(image: &Image<'_>) -> Outcome {
    let options =
        cachemaint_recorder::Options::new().events(&[(1, "sums: a=u64 b=u64 c=u64 d=u64")]);
    recorded(options, image, [SHARDS; 2], 1, &[7; 32])
}

/// Empty events with the last of as many names as fit.
fn crafted_names(image: &Image<'_>) -> Outcome {
    let names: Vec<(u16, &str)> = (1..=MOST_NAMES).map(|id| (id, "a")).collect();
    recorded(
        cachemaint_recorder::Options::new().events(&names),
        image,
        [SHARDS; 2],
        MOST_NAMES,
        &[],
    )
}

/// Fills this many shards once around with events of this id and payload.
fn recorded(
    options: cachemaint_recorder::Options<'_>,
    image: &Image<'_>,
    [shards, busy]: [u32; 2],
    id: u16,
    payload: &[u8],
) -> Outcome {
    let options = options.shards(shards);
    let (recorder, _) = options.create_new(image).map_err(|failed| failed.error)?;
    let writers = (0..busy).map(|_| recorder.claim()).collect::<Result<Vec<_>, _>>()?;
    // An event takes 24 bytes plus its payload.
    for number in 0..Readable::len(image) / u64::from(shards) / (24 + payload.len() as u64) {
        for writer in &writers {
            writer.record_at(number, id, payload)?;
        }
    }
    Ok(())
}

/// In each started sub-buffer, each word after the header begins an event of the maximum length: the id, the length and
/// the offset.
fn crafted_recording(image: &Image<'_>, size: u32) -> Outcome {
    let options = cachemaint_recorder::Options::new().sub_buffer_size(size);
    recorded(options, image, [SHARDS; 2], 1, &[7; 32])?;
    for at in (EVENTS..Readable::len(image)).step_by(8) {
        let offset = (at - EVENTS) % u64::from(size);
        if offset >= HEADER {
            let longest = (u64::from(size) - offset).saturating_sub(24).min(0xffff);
            image.store(at, longest << 16 | (offset - 8) << 32, Relaxed);
        }
    }
    Ok(())
}

fn read_events(image: &Image<'_>) -> Result<u64, Box<dyn Error>> {
    let reader = cachemaint_recorder::Reader::open(image).map_err(|failed| failed.error)?;
    let mut buffer = vec![0; reader.largest_payload()];
    let (mut events, mut count) = (reader.events(), 0);
    while let Some(found) = events.read_next(&mut buffer)? {
        count += u64::from(matches!(found, Found::Event(_)));
    }
    Ok(count)
}

/// Reads all events with their names and fields, and returns the number of names and fields.
fn describe_events(image: &Image<'_>) -> Result<u64, Box<dyn Error>> {
    let reader = cachemaint_recorder::Reader::open(image).map_err(|failed| failed.error)?;
    let mut buffer = vec![0; reader.largest_payload()];
    let (table, mut events, mut count) = (reader.event_table()?, reader.events(), 0);
    while let Some(found) = events.read_next(&mut buffer)? {
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
    let (mut store, _) = Store::create_new(image).map_err(|failed| failed.error)?;
    let blobs = (Readable::len(image) / (64 << 10)).saturating_sub(2).max(1);
    let blob = vec![7; 48 << 10];
    let mut transaction = store.begin()?;
    for number in 0..blobs {
        transaction.put(&*format!("blob {number}"), &blob)?;
    }
    transaction.commit()?;
    Ok(())
}

/// As many names as the store has room for. The first blob takes an eighth of the store, and each further one begins
/// this many bytes after the previous one: entries of a commit with a correct tag.
fn crafted_store(image: &Image<'_>, stride: u64) -> Outcome {
    let options = cachemaint_store::Options::new().unit(64);
    let (mut store, _) = options.create_new(image).map_err(|failed| failed.error)?;
    let len = Readable::len(image);
    let (bytes, number) = (len / 8, store.commit_number() + 1);
    let mut transaction = store.begin()?;
    transaction.put("n000", &vec![7; usize::try_from(bytes)?])?;
    for number in 1..NAMES {
        transaction.put(Attributes::new(&format!("n{number:03}")).alignment(64), &[])?;
    }
    transaction.commit()?;
    let at = store.stat("n000").ok_or("it was put")?.offset;
    drop(store);
    // The record follows the base, which has 256 bytes, in both mirrors of the newest root.
    let word = |at| image.load(at, Relaxed);
    let root = if word(40) > word(4096 + 40) { 0 } else { 4096 };
    let (identity, salt) = ([word(root + 24), word(root + 32)], word(root + 96));
    let mirrors = [word(root + 64), word(root + 72)];
    let mut record = vec![0; usize::try_from(word(mirrors[0] + 256 + 32) & 0xffff_ffff)?];
    image.read(mirrors[0] + 256, &mut record);
    let tag = word(at + bytes.next_multiple_of(8));
    for (entry, name) in record[40..].chunks_exact_mut(ENTRY).zip(0..u64::from(NAMES)) {
        for (field, value) in [(16, bytes), (24, at + name * stride), (32, tag), (40, number)] {
            entry[field..field + 8].copy_from_slice(&value.to_le_bytes());
        }
    }
    let key = [identity[0], identity[1], salt, 256].map(u64::to_le_bytes);
    let sealed = hash(hash(2, key.as_flattened()), &record[8..]);
    record[..8].copy_from_slice(&sealed.to_le_bytes());
    for mirror in mirrors {
        image.write(mirror + 256, &record);
    }
    if list_store(image)? != u64::from(NAMES) {
        return Err("the crafted store is not read".into());
    }
    Ok(())
}

fn hash(seed: u64, bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(seed, bytes)
}

fn verify_store(image: &Image<'_>) -> Result<u64, Box<dyn Error>> {
    let reader = cachemaint_store::Reader::open(image).map_err(|failed| failed.error)?;
    let found = reader.verify()?;
    Ok(found.whole)
}

fn list_store(image: &Image<'_>) -> Result<u64, Box<dyn Error>> {
    Ok(cachemaint_store::Reader::open(image)
        .map_err(|failed| failed.error)?
        .entries()
        .flatten()
        .count() as u64)
}
