//! The output of commands whose file is cut while they print it: all that is before the cut, and nothing that is not in the
//! file.

use super::{cut, directory, refusal, said, start};
use cachemaint::dax;
use cachemaint_journal::{Group, Journal, Reader};
use cachemaint_recorder::{self, Found, Options};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

/// More than a pipe holds, in pages of each size.
const CUT: u64 = 2 << 20;
const BYTES: u64 = 4 << 20;

/// Starts a command, cuts the file when the first line is there, and returns the output and the error. Its pipe is full
/// then, long before the cut.
fn cut_while_printing(command: &[&str], path: &Path) -> (String, String) {
    let mut child = start(command, path);
    let input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    output.read_line(&mut text).unwrap();
    cut(path, CUT);
    output.read_to_string(&mut text).unwrap();
    (text, refusal(child, input))
}

/// Compares the output of a command for a file that is cut with the first lines of its output for the whole file.
fn prints_all_before_the_cut(command: &[&str], path: &Path, before: usize) {
    let whole = super::run(command, path, b"");
    assert!(whole.status.success(), "{command:?}: {}", said(&whole));
    let whole = String::from_utf8(whole.stdout).unwrap();
    let (text, error) = cut_while_printing(command, path);
    assert_eq!(text.lines().count(), before, "{command:?}: {error}");
    assert!(whole.lines().count() > before && whole.starts_with(&text), "{command:?}");
    let begins = format!("cachemaint: {}: was cut to {CUT} bytes while it", path.display());
    assert!(error.starts_with(&begins), "{command:?}: {error}");
}

#[test]
fn a_dump_of_a_file_that_is_cut_has_all_events_before_the_cut() {
    for format in [&["dump", "FILE"][..], &["dump", "FILE", "--json"]] {
        let directory = directory();
        let path = directory.path().join("trace");
        let file = dax::Options::new().allow_page_granularity().create_new(&path, BYTES).unwrap();
        let recorder = Options::new().create_new(&file).unwrap().0;
        let writer = recorder.claim().unwrap();
        // An event takes 24 bytes and its payload: the events of one lap.
        for number in 0..BYTES / 64 {
            writer.record(1, format!("event number {number:10}").as_bytes()).unwrap();
        }
        let reader = cachemaint_recorder::Reader::open(&file).unwrap();
        let (mut buffer, mut before) = (vec![0; reader.largest_payload()], 0);
        let mut events = reader.events();
        while let Some(found) = events.read_next(&mut buffer).unwrap() {
            let Found::Event(event) = found else { panic!("{found:?}") };
            before += usize::from(event.at < CUT);
        }
        prints_all_before_the_cut(format, &path, before);
    }
}

#[test]
fn records_before_the_cut_of_a_journal_are_printed() {
    let read = ["journal", "read", "FILE"];
    let salvage = ["journal", "salvage", "FILE"];
    for (command, form) in [(read, "--raw"), (read, "--json"), (salvage, "--raw")] {
        let directory = directory();
        let path = directory.path().join("log");
        let file = dax::Options::new().allow_page_granularity().create_new(&path, BYTES).unwrap();
        let (journal, _) = Journal::create_new(&file).unwrap();
        let mut group = Group::new();
        for number in 0..BYTES / 64 {
            group.push(format!("record number {number:10}").as_bytes());
            if number % 64 == 0 {
                journal.append_group(&mut group).unwrap();
            }
        }
        journal.append_group(&mut group).unwrap();
        // The log begins at offset 16384 (module `journal`, the format).
        let reader = Reader::open(&file).unwrap();
        let is_before = |end: u64| 16_384 + end <= CUT;
        let before =
            reader.records().unwrap().filter(|record| is_before(record.as_ref().unwrap().end.0));
        let before = before.count();
        prints_all_before_the_cut(&[&command[..], &[form]].concat(), &path, before);
    }
}
