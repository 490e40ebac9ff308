//! Programs for power-cut tests. Each commits to a file of one format, prints the number of each commit, and checks
//! what a power cut has left.
//!
//! ```sh
//! cargo build -p cachemaint-examples --example power_cut && cd target/debug/examples
//! lose-lines drive --check './power_cut journal check' -- ./power_cut journal run     # or store, recorder
//! ```

#![expect(clippy::print_stdout, reason = "a line says what is committed")]

use cachemaint::dax::{self, DaxFile};
use cachemaint_journal::{Group, Journal};
use cachemaint_recorder::{Durability, Found, Recorder};
use cachemaint_store::{ErrorKind, Store};
use std::collections::BTreeSet;
use std::env;
use std::error::Error;
use std::fs;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const COMMITS: u64 = 90;
/// The number of commits after which the file is closed and reopened.
const OPENING: u64 = 30;

fn file() -> Result<DaxFile> {
    let options = dax::Options::new().allow_page_granularity();
    Ok(options.open_or_create("file", 256 << 10)?)
}

fn acknowledge(number: u64) {
    println!("{number}"); // standard output passes whole lines on
}

/// Returns the last number printed before the cut.
fn acknowledged() -> Result<u64> {
    let lines = fs::read_to_string(env::var("PRINTED")?)?;
    Ok(lines.lines().last().map_or(Ok(0), str::parse)?)
}

/// Returns bytes for a number, with a length that depends on it.
fn payload(number: u64) -> Vec<u8> {
    let len = usize::try_from(number * 37 % 600).unwrap_or(0);
    [&number.to_le_bytes()[..], &vec![number.to_le_bytes()[0]; len]].concat()
}

/// Returns the number that these bytes belong to, and checks them.
fn number_of(bytes: &[u8]) -> Result<u64> {
    let number = u64::from_le_bytes(bytes.first_chunk().copied().ok_or("too short")?);
    if bytes == payload(number) { Ok(number) } else { Err(format!("{number} is torn").into()) }
}

fn expect(is_right: bool, what: String) -> Result<()> {
    if is_right { Ok(()) } else { Err(what.into()) }
}

fn run_journal() -> Result<()> {
    for opening in 0..COMMITS / OPENING {
        let (journal, _found) = Journal::open_or_create(file()?)?;
        let numbers: Vec<_> = (opening * OPENING + 1..=(opening + 1) * OPENING).collect();
        for three in numbers.chunks(3) {
            let first = journal.append(&payload(three[0]))?;
            acknowledge(three[0]);
            let mut group = Group::new();
            three[1..].iter().for_each(|number| group.push(&payload(*number)));
            journal.append_group(&mut group)?;
            acknowledge(three[2]);
            if three[0] % 5 == 0 {
                journal.trim(first)?;
            }
        }
        if opening == 1 {
            journal.close()?;
        }
    }
    Ok(())
}

fn check_journal() -> Result<()> {
    let (acknowledged, (journal, _found)) = (acknowledged()?, Journal::open_or_create(file()?)?);
    let (mut records, mut bytes, mut last) = (journal.records()?, Vec::new(), None);
    while records.read_next(&mut bytes)?.is_some() {
        let number = number_of(&bytes)?;
        let follows = last.is_none_or(|last| number == last + 1);
        expect(follows, format!("{number} follows {last:?}"))?;
        last = Some(number);
    }
    let last = last.unwrap_or(0);
    let is_right = (acknowledged..=acknowledged + 2).contains(&last);
    expect(is_right, format!("{acknowledged} was acknowledged, {last} is the last"))
}

fn run_store() -> Result<()> {
    for opening in 0..COMMITS / OPENING {
        let (mut store, _found) = Store::open_or_create(file()?)?;
        for number in opening * OPENING + 1..=(opening + 1) * OPENING {
            let mut transaction = store.begin()?;
            transaction.put("one", &payload(number))?;
            transaction.put("other", &payload(number))?;
            transaction.commit()?;
            acknowledge(number);
        }
        if opening == 1 {
            store.close()?;
        }
    }
    Ok(())
}

fn check_store() -> Result<()> {
    let (acknowledged, (store, _found)) = (acknowledged()?, Store::open_or_create(file()?)?);
    let mut numbers = BTreeSet::new();
    for name in ["one", "other"] {
        let bytes = match store.load(name) {
            Err(error)
                if acknowledged == 0 && matches!(error.kind(), ErrorKind::NotFound { .. }) =>
            {
                payload(0)
            }
            loaded => loaded?,
        };
        numbers.insert(number_of(&bytes)?);
    }
    let is_right = numbers.len() == 1
        && numbers.iter().all(|number| [acknowledged, acknowledged + 1].contains(number));
    expect(is_right, format!("{acknowledged} was acknowledged, {numbers:?} are there"))
}

fn run_recorder() -> Result<()> {
    for opening in 0..COMMITS / OPENING {
        let options = cachemaint_recorder::Options::new().durability(Durability::EachAppend);
        let (recorder, _found) = options.open_or_create(file()?)?;
        let writer = recorder.claim()?;
        for number in opening * OPENING + 1..=(opening + 1) * OPENING {
            writer.record(1, &number.to_le_bytes())?;
            acknowledge(number);
        }
    }
    Ok(())
}

fn check_recorder() -> Result<()> {
    let (acknowledged, (recorder, _found)) = (acknowledged()?, Recorder::open_or_create(file()?)?);
    let reader = recorder.reader();
    let (mut events, mut buffer) = (reader.events(), vec![0; reader.largest_payload()]);
    let mut found = BTreeSet::new();
    while let Some(event) = events.read_next(&mut buffer)? {
        if let Found::Event(event) = event {
            found.insert(u64::from_le_bytes(event.payload.first_chunk().copied().ok_or("short")?));
        }
    }
    let lost: Vec<_> = (1..=acknowledged).filter(|number| !found.contains(number)).collect();
    let newest = found.last().copied().unwrap_or(0);
    let is_right = lost.is_empty() && newest <= acknowledged + 1;
    expect(
        is_right,
        format!("{acknowledged} was acknowledged, {newest} is the last, {lost:?} are lost"),
    )
}

fn main() -> Result<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["journal", "run"] => run_journal(),
        ["journal", "check"] => check_journal(),
        ["store", "run"] => run_store(),
        ["store", "check"] => check_store(),
        ["recorder", "run"] => run_recorder(),
        ["recorder", "check"] => check_recorder(),
        _ => Err("usage: power_cut journal|store|recorder run|check".into()),
    }
}
