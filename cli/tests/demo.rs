//! `cachemaint demo` as a user runs it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use assert_cmd::Command;
use std::path::Path;

fn demo(arguments: &[&str]) -> assert_cmd::assert::Assert {
    Command::cargo_bin("cachemaint").unwrap().arg("demo").args(arguments).assert()
}

fn entries(directory: &Path) -> usize {
    std::fs::read_dir(directory).unwrap().count()
}

#[test]
fn every_acknowledged_record_is_found_and_nothing_is_left_behind() {
    let directory = tempfile::tempdir().unwrap();
    let assert = demo(&[directory.path().to_str().unwrap()]).success();
    let text = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
    let killed = text.lines().find(|line| line.starts_with("killed")).unwrap();
    let count = killed.split("s, ").nth(1).unwrap().split(' ').next().unwrap();
    assert_ne!(count, "0", "the writer got to work: {killed}");
    assert!(text.contains(&format!("all {count} acknowledged records, intact")), "{text}");
    assert!(text.contains("It does not prove that anything was written back"), "{text}");
    assert!(!text.contains('\u{1b}'), "no colours in a pipe");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert_eq!(entries(directory.path()), 0);
}

#[test]
fn a_place_where_nothing_can_be_made_is_named() {
    let assert = demo(&["/proc/no-such-place"]).code(1);
    let text = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    let expected = "cachemaint: no directory can be made in /proc/no-such-place";
    assert!(text.starts_with(expected), "{text}");
}
