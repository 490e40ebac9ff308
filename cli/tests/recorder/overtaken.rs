//! `dump` beside a program that records faster than the dump is read.

use super::Place;
use cachemaint::dax;
use cachemaint_recorder::{Options, Writer};
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

/// Longer than the bytes that are verified at once, and in two shards far more than a pipe holds.
const PAYLOAD: usize = 1000;
const BYTES: u64 = 8 << 20;

/// Dumps two full shards, the first of which has the older events, and overwrites one of them as a whole while the dump
/// waits for its reader in the first shard. Returns standard output and standard error.
fn overtaken(overwritten: u32, format: &[&str]) -> (String, String) {
    let place = Place::empty();
    let file = dax::Options::new().allow_page_granularity().create_new(&place.path, BYTES).unwrap();
    let recorder = Options::new().shards(2).create_new(file).unwrap().0;
    let mut writers = [(); 2].map(|()| recorder.claim().unwrap());
    writers.sort_by_key(Writer::shard);
    let record = |shard: u32| {
        for _ in 0..BYTES / PAYLOAD as u64 {
            writers[shard as usize].record(1, &[b'x'; PAYLOAD]).unwrap();
        }
    };
    record(0);
    record(1);
    let mut dump = Command::new(assert_cmd::cargo::cargo_bin!("cachemaint"))
        .arg("dump")
        .arg(&place.path)
        .args(format)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(dump.stdout.take().unwrap());
    let mut text = String::new();
    output.read_line(&mut text).unwrap();
    record(overwritten);
    output.read_to_string(&mut text).unwrap();
    let ended = dump.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    (text, String::from_utf8(ended.stderr).unwrap())
}

#[test]
fn a_dump_that_a_writer_overtakes_counts_its_gaps_and_advises_a_copy() {
    let (text, error) = overtaken(0, &[]);
    let gaps = text.lines().filter(|line| line.ends_with(" are overwritten while they were read]"));
    let (gaps, places) = match gaps.count() {
        1 => (1, "place"),
        gaps => (gaps, "places"),
    };
    assert!(gaps > 0, "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    let said =
        format!(" overwrote events while they were read, which is marked in {gaps} {places}; ");
    assert!(error.contains(&said), "{gaps}: {error}");
    assert!(error.ends_with("; copy the file, and dump the copy\n"), "{error}");

    let (lines, error) = overtaken(0, &["--json"]);
    assert!(lines.contains("\"kind\":\"overwritten\""));
    assert!(error.ends_with("; copy the file, and dump the copy\n"), "{error}");
}

/// All events that this shard had are missing, and the copy would have them.
#[test]
fn a_shard_that_is_overwritten_before_its_first_event_is_read_is_advised_about() {
    let (text, error) = overtaken(1, &[]);
    assert!(text.contains(" are overwritten while they were read]"));
    assert!(error.ends_with("; copy the file, and dump the copy\n"), "{error}");
}
