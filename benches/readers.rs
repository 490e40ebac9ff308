//! The readers of the three formats on intact, damaged and random bytes, by size: the time for each MiB, and the memory
//! allocated at the same time. No row may rise with the size: no reader's work may grow faster than its file. The
//! fuzz targets count that work on crafted bytes. `--test` reads one MiB of each. The least time and the most memory
//! of three runs are shown.

use cachemaint::medium::Backing;
use cachemaint::medium::{Memory, Readable};
use cachemaint_benches::cost::{Cost, Counting};
use cachemaint_benches::measure::lines::{PAGE, Region};
use cachemaint_benches::measure::to_persistence;
use cachemaint_benches::payloads::Payloads;
use cachemaint_benches::{Outcome, is_small};
use cachemaint_journal::{self, Group, Salvaged};
use cachemaint_recorder::{self, Found};
use cachemaint_store::{self, Store};
use core::error::Error;
use core::hint::black_box;
use core::sync::atomic::Ordering::Relaxed;
use std::io::{self, Write as _};

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
/// The places of a journal's log and of a recording's events, from their documentation.
const LOG: u64 = 20_480;
const EVENTS: u64 = 20_480;
/// The maximum number of one-byte event names in a file: 4096 bytes, and 4 for each.
const MOST_NAMES: u16 = 819;
type Image<'a> = Memory<'a>;
/// Fills the memory with a file.
type Fill = fn(&Image<'_>) -> Result<(), Box<dyn Error>>;
/// Reads the memory and returns the number of things found.
type Read = fn(&Image<'_>) -> Result<u64, Box<dyn Error>>;

/// The files of a format, and its readers.
struct Format {
    name: &'static str,
    damage: fn(&Image<'_>) -> Outcome,
    intact: Fill,
    others: &'static [(&'static str, Fill)],
    readers: &'static [(&'static str, Read)],
}

const FORMATS: [Format; 4] = [
    Format {
        name: "journal",
        damage: |image| {
            damage(image, LOG + 4096);
            Ok(())
        },
        intact: journal,
        others: &[("random", |image| {
            journal(image)?;
            randomize(image, LOG + 4096);
            Ok(())
        })],
        readers: &[("verify", verify_journal), ("salvage", salvage_journal)],
    },
    Format {
        name: "recording",
        damage: |image| {
            damage(image, EVENTS + 4096);
            Ok(())
        },
        intact: recording,
        others: &[
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
        damage: |image| {
            damage(image, EVENTS + 4096);
            Ok(())
        },
        intact: named,
        others: &[("many names", many_names)],
        readers: &[("describe", describe_events)],
    },
    Format {
        name: "store",
        damage: damage_blobs,
        intact: store,
        others: &[],
        readers: &[("verify", verify_store), ("list", list_store)],
    },
];

fn main() -> Outcome {
    let sizes = if is_small() { &SIZES[..1] } else { &SIZES[..] };
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
        [INTACT, DAMAGED].into_iter().chain(self.others.iter().map(|(name, _)| *name))
    }

    /// Returns a medium with this many MiB of a content.
    fn filled(&self, content: &str, mib: usize) -> Result<Region, Box<dyn Error>> {
        let region = Region::new(mib * MIB / PAGE);
        let image = image(&region)?;
        if [INTACT, DAMAGED].contains(&content) {
            (self.intact)(&image)?;
        } else {
            let mut others = self.others.iter();
            let (_, fill) = others.find(|one| one.0 == content).ok_or("an unknown content")?;
            fill(&image)?;
        }
        if content == DAMAGED {
            (self.damage)(&image)?;
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
fn many_names(image: &Image<'_>) -> Outcome {
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

/// Damages a word of each blob. A log that is damaged in both mirrors would be refused as a whole.
fn damage_blobs(image: &Image<'_>) -> Outcome {
    let reader = cachemaint_store::Reader::open(image).map_err(|failed| failed.error)?;
    for entry in reader.entries() {
        let at = entry?.0.offset.next_multiple_of(8);
        image.store(at, !image.load(at, Relaxed), Relaxed);
    }
    Ok(())
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
