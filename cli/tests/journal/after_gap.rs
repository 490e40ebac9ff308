//! Whole records after a torn end, and lost roots, in images that the library makes.

use crate::printed::{stderr, stdout};
use crate::wrapped::unwrapped;
use crate::{LOG, Place, cargo};
use assert_cmd::Command;
use cachemaint::medium::{Medium as _, Readable as _};
use cachemaint_journal::{Group, Options};
use cachemaint_sim::{Model, SimMedium, Simulation};
use serde_json::{Value, json};
use std::fs;

/// 16 segments of 256 bytes.
fn medium() -> SimMedium {
    Simulation::new(Model::CACHES_KEPT, LOG + 16 * 256).medium()
}

fn options(opening: u64) -> Options<'static> {
    Options::with_entropy([7, opening]).segment(256).window(512)
}

fn bytes(medium: &SimMedium) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(medium.len()).unwrap()];
    medium.read(0, &mut bytes).unwrap();
    bytes
}

/// A file with the bytes of a medium.
fn place(medium: &SimMedium) -> Place {
    let place = Place::empty();
    fs::write(&place.path, bytes(medium)).unwrap();
    place
}

/// An acknowledged record of 16 + 8 bytes behind the mark of 64 bytes, and a group of four such records, the first of
/// which is torn: from 88 to 112.
fn torn() -> Place {
    let medium = medium();
    let (journal, _) = options(0).create_new(&medium).unwrap();
    journal.append(b"first").unwrap();
    let mut group = Group::new();
    for record in ["torn", "kept", "two", "three"] {
        group.push(record.as_bytes());
    }
    journal.append_group(&mut group).unwrap();
    medium.write(LOG + 88 + 16, &[0; 8]);
    place(&medium)
}

#[test]
fn reading_names_the_whole_records_that_it_does_not_print() {
    let place = torn();
    let read = place.run(&["read"]).success();
    assert_eq!(stdout(&read), "first\n");
    assert!(
        stderr(&read).contains("3 whole records are after the torn end at 88"),
        "{}",
        stderr(&read)
    );
    assert_eq!(stderr(&place.run(&["read", "--from", "88"]).success()), "");
}

impl Place {
    /// Runs `cachemaint stat FILE …`.
    fn stat(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(cargo::cargo_bin!("cachemaint"));
        stdout(&command.arg("stat").arg(&self.path).args(arguments).assert().success())
    }
}

#[test]
fn whole_records_after_a_torn_end_are_reported_by_verify_and_stat() {
    let place = torn();
    let verified = place.json(&["verify"])["recovered"].clone();
    assert_eq!((&verified["records"], &verified["end"]), (&json!(1), &json!(88)));
    assert_eq!((&verified["torn"], &verified["after_gap"]), (&json!(true), &json!(3)));
    assert!(verified["damage"].is_null());
    let text = unwrapped(&stdout(&place.run(&["verify"]).code(1)));
    assert!(text.contains("3 whole records are after the torn end at 88, "), "{text}");
    let text = unwrapped(&place.stat(&[]));
    assert!(text.contains("torn or damaged, with 3 whole records after it"), "{text}");
    let stat: Value = serde_json::from_str(&place.stat(&["--json"])).unwrap();
    assert_eq!(stat["recovered"], verified);
}

#[test]
fn a_lost_copy_of_the_root_is_reported_until_the_next_opening() {
    let place = Place::with("one\ntwo\n");
    place.run(&["verify"]).success();
    let mut bytes = fs::read(&place.path).unwrap();
    bytes[64] ^= 0xff;
    fs::write(&place.path, bytes).unwrap();
    let lost = "a copy of the root is torn by a crash or damaged";
    let verified = place.run(&["verify"]).failure();
    assert!(unwrapped(&stdout(&verified)).contains(lost), "{}", stdout(&verified));
    assert!(!stdout(&verified).contains("none"), "{}", stdout(&verified));
    let stat = Command::new(cargo::cargo_bin!("cachemaint")).arg("stat").arg(&place.path).assert();
    assert!(stdout(&stat.code(1)).contains("a copy of the root is torn or damaged"));
    let appended = place.run(&["append", "--record", "three"]).success();
    assert!(stderr(&appended).contains(lost), "{}", stderr(&appended));
    place.run(&["verify"]).success();
}

#[test]
fn discarded_records_are_counted() {
    let place = torn();
    let appended = place.run(&["append", "--record", "next"]).success();
    let said = "3 whole records are after the torn end at 88";
    assert!(stderr(&appended).contains(said), "{}", stderr(&appended));
    assert!(stderr(&appended).contains("discarded"), "{}", stderr(&appended));
}
