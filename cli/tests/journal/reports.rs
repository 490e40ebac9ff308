//! Reports that cannot be printed, of work that is done.

use crate::{HEADER, MARK, Place, stdout};
use std::fs;
use std::process::{Command, Stdio};

/// Runs a command with a full disk as its standard output, and returns its error.
fn unprinted(place: &Place, command: &[&str]) -> String {
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut process = Command::new(assert_cmd::cargo::cargo_bin!("cachemaint"));
    process.arg("journal").arg(command[0]).arg(&place.path).args(&command[1..]);
    let output = process.stdin(Stdio::null()).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{command:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// A user who repeats such a command would append the records twice. Damage to the last record shows that the journal
/// was closed.
#[test]
fn an_append_whose_report_cannot_be_printed_is_named_and_closes_the_journal() {
    let place = Place::with("");
    let error = unprinted(&place, &["append", "--record", "a", "--record", "b", "--json"]);
    assert!(error.contains("2 records are appended, but the report cannot be printed"), "{error}");
    assert_eq!(stdout(&place.run(&["read"]).success()), "a\nb\n");
    let bytes = fs::read(&place.path).unwrap();
    let last = bytes.iter().rposition(|byte| *byte == b'b').unwrap();
    place.damage(last.try_into().unwrap());
    assert!(place.json(&["verify"])["recovered"]["damage"].is_object());
}

#[test]
fn a_trim_whose_report_cannot_be_printed_is_named() {
    let place = Place::with("one\ntwo\n");
    let second = (MARK + HEADER + 8).to_string();
    for json in [&[][..], &["--json"]] {
        let error = unprinted(&place, &[&["trim", "--to", &second][..], json].concat());
        let expected =
            format!("the journal is trimmed to {second}, but the report cannot be printed");
        assert!(error.contains(&expected), "{error}");
    }
    assert_eq!(stdout(&place.run(&["read"]).success()), "two\n");
}
