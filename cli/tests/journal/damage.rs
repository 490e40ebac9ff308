//! Journals that are damaged, cut off, or not journals.

use super::printed::{stderr, stdout};
use super::refused::is_refused;
use super::wrapped::unwrapped;
use super::{HEADER, LOG, MARK, Place, many_lines};
use assert_cmd::{Command, cargo};
use serde_json::Value;
use std::fs;

#[test]
fn a_damaged_journal_is_reported_read_and_salvaged() {
    let place = Place::with(&many_lines());
    let is_whole = place.json(&["verify"]);
    assert_eq!(is_whole["recovered"]["records"], 20_000);
    assert!(is_whole["recovered"]["damage"].is_null());
    // Records of `line 0` to `line 9` have 16 + 8 bytes; this is in the payload of the fifth.
    let position = MARK + 4 * (HEADER + 8);
    place.damage(LOG + position + HEADER + 2);

    let verified = place.json(&["verify"]);
    assert_eq!(verified["recovered"]["records"], 4);
    assert_eq!(verified["recovered"]["damage"]["at"], position);
    assert_eq!(verified["recovered"]["damage"]["fault"], "tag");
    let text = unwrapped(&stdout(&place.run(&["verify"]).code(1)));
    let where_it_is = format!("damaged at position {position}, offset {}", LOG + position);
    assert!(text.contains(&where_it_is), "{text}");
    let mut stat = Command::new(cargo::cargo_bin!("cachemaint"));
    let stat = unwrapped(&stdout(&stat.arg("stat").arg(&place.path).assert()));
    for text in [text, stat] {
        assert!(text.contains("unknown: only the records before the damage are counted"), "{text}");
    }

    let read = place.run(&["read"]).code(1);
    assert_eq!(stdout(&read), "line 0\nline 1\nline 2\nline 3\n");
    for refused in [read, place.run(&["append", "--record", "x"]).code(1)] {
        let error = stderr(&refused);
        assert!(error.contains(&format!("log: the journal is {where_it_is}")), "{error}");
        assert!(
            error.contains("a new journal of its whole records by `journal salvage --into`"),
            "{error}"
        );
    }

    let expected = many_lines().replace("line 4\n", "");
    let salvaged = place.run(&["salvage"]).code(1);
    assert_eq!(stdout(&salvaged), expected);
    let skipped = format!("skipped positions {position} to {}", position + HEADER + 8);
    assert!(stderr(&salvaged).contains(&skipped), "{}", stderr(&salvaged));

    let before = fs::read(&place.path).unwrap();
    let new = Place::empty();
    let into = ["salvage", "--into", new.path.to_str().unwrap()];
    let made = place.run(&into).code(1);
    let expected_text = format!("19999 records are in {}\n", new.path.display());
    assert_eq!(stdout(&made), expected_text);
    assert!(fs::read(&place.path).unwrap() == before, "the damaged journal is not written to");
    assert_eq!(stdout(&new.run(&["read"]).success()), expected);
    new.run(&["append", "--record", "and on"]).success();
    assert!(stdout(&new.run(&["read"]).success()).ends_with("line 19999\nand on\n"));
    new.run(&["verify"]).success();
    let kept = fs::read(&new.path).unwrap();
    let error = stderr(&place.run(&into).code(1));
    assert!(error.contains("exists"), "{error}");
    assert!(fs::read(&new.path).unwrap() == kept);
}

/// Records of a journal of small segments, of which one fills a segment, are as many as before in one of the same sizes.
#[test]
fn a_full_journal_is_salvaged_into_one_of_its_sizes() {
    let place = Place::empty();
    let create = ["append", "--create", "32K", "--segment", "128"];
    place.run_with(&create, format!("{}\nshort\n", "x".repeat(48)).repeat(200)).code(1);
    let records = stdout(&place.run(&["read"]).success());
    let new = Place::empty();
    place.run(&["salvage", "--into", new.path.to_str().unwrap()]).success();
    assert_eq!(stdout(&new.run(&["read"]).success()), records);
}

/// The content of a file with a recording.
fn recording() -> Vec<u8> {
    let place = Place::empty();
    let mut command = Command::new(cargo::cargo_bin!("cachemaint"));
    command.args(["record", "--create", "64K"]).arg(&place.path).assert().success();
    fs::read(&place.path).unwrap()
}

#[test]
fn an_invalid_journal_is_refused() {
    let commands: [&[&str]; 5] = [
        &["read"],
        &["verify"],
        &["salvage"],
        &["append", "--record", "x"],
        &["trim", "--to", "0"],
    ];
    let whole = fs::read(Place::with("one\n").path).unwrap();
    let contents: [(Vec<u8>, &str); 6] = [
        (Vec::new(), "has no bytes to map"),
        (vec![0; 65_536], "there is no journal: the medium begins with zeros"),
        (vec![b'x'; 65_536], "this is not a journal: it begins with xxxxxxxx"),
        (b"short".to_vec(), "this is not a journal: it begins with short"),
        (recording(), "the medium has a recording instead of a journal; open it as that"),
        (whole[..100_000].to_vec(), "but only 100000 are there; bring the rest back"),
    ];
    for (content, expected) in contents {
        let place = Place::empty();
        is_refused(&place.path, &content, expected, &commands, |command| place.run(command));
    }
}

#[test]
fn skipped_bytes_are_in_the_json_too() {
    let place = Place::with(&many_lines());
    place.damage(LOG + MARK + HEADER);
    let lines = stdout(&place.run(&["salvage", "--json"]).code(1));
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(first, serde_json::json!({"skipped": {"start": MARK, "end": MARK + HEADER + 8}}));
}

/// The records of the last page are gone, which a journal that was closed proves.
#[test]
fn salvage_fails_if_the_last_records_are_gone() {
    let place = Place::with(&many_lines());
    let len = fs::metadata(&place.path).unwrap().len();
    let file = fs::File::options().write(true).open(&place.path).unwrap();
    file.set_len(28_672).unwrap();
    file.set_len(len).unwrap();
    place.run(&["verify"]).failure().code(1);
    let salvaged = place.run(&["salvage"]).failure().code(1);
    assert!(!salvaged.get_output().stderr.is_empty());
}

/// A byte of 3,000 payloads is changed, none of a record beside another one of them.
#[test]
fn salvage_reports_skipped_ranges_up_to_a_number() {
    let place = Place::with(&many_lines());
    let read = stdout(&place.run(&["read", "--json"]).success());
    let position =
        |line| serde_json::from_str::<Value>(line).unwrap()["position"].as_u64().unwrap();
    let mut bytes = fs::read(&place.path).unwrap();
    for at in read.lines().skip(1).step_by(2).take(3000).map(position) {
        bytes[usize::try_from(LOG + at + HEADER).unwrap()] ^= 1;
    }
    fs::write(&place.path, bytes).unwrap();
    let salvaged = place.run(&["salvage"]).code(1);
    assert_eq!(stdout(&salvaged).lines().count(), 17_000);
    let errors = stderr(&salvaged);
    assert_eq!(errors.matches(": skipped positions ").count(), 1000);
    let last = errors.lines().last().unwrap();
    assert!(
        last.ends_with("log: 2000 further ranges were skipped; --json has all of them"),
        "{last}"
    );
    let lines = stdout(&place.run(&["salvage", "--json"]).code(1));
    assert_eq!(lines.matches("\"skipped\"").count(), 3000);
}
