//! Whole records after a torn end, in images that the library makes, and the preview of a repair.

use crate::printed::{stderr, stdout};
use crate::wrapped::unwrapped;
use crate::{LOG, Place, cargo};
use assert_cmd::Command;
use cachemaint::journal::{Group, Options};
use cachemaint::medium::{Medium as _, Readable as _};
use cachemaint::sim::{Model, SimMedium, Simulation};
use serde_json::{Value, json};
use std::fs;
use std::mem::ManuallyDrop;

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
    let journal = options(0).create_new(&medium).unwrap();
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
        stderr(&read).contains("3 whole records are behind the torn end at 88"),
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

    /// Returns the document of a command without the part that depends on the machine.
    fn document(&self, arguments: &[&str]) -> Value {
        let mut document = self.json(arguments);
        let fields = document.as_object_mut().unwrap();
        fields.remove("guarantee").unwrap();
        fields.remove("path").unwrap();
        document
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(&self.path).unwrap()
    }
}

#[test]
fn whole_records_after_a_torn_end_are_reported_by_verify_and_stat() {
    let place = torn();
    let verified = place.json(&["verify"])["recovered"].clone();
    assert_eq!((&verified["records"], &verified["end"]), (&json!(1), &json!(88)));
    assert_eq!((&verified["torn"], &verified["behind"]), (&json!(true), &json!(3)));
    assert!(verified["damage"].is_null());
    let text = unwrapped(&stdout(&place.run(&["verify"]).code(1)));
    assert!(text.contains("3 whole records are behind the torn end at 88, "), "{text}");
    assert!(text.contains("`journal repair` keeps them"), "{text}");
    let text = unwrapped(&place.stat(&[]));
    assert!(text.contains("torn or damaged, with 3 whole records behind"), "{text}");
    let stat: Value = serde_json::from_str(&place.stat(&["--json"])).unwrap();
    assert_eq!(stat["recovered"], verified);
}

#[test]
fn commands_that_would_discard_whole_records_are_refused() {
    let place = torn();
    let before = place.bytes();
    let commands: [&[&str]; 4] = [
        &["trim", "--to", "88"],
        &["trim", "--to", "64"],
        &["append", "--record", "x"],
        &["append", "--create", "64K", "--record", "x"],
    ];
    for command in commands {
        let error = stderr(&place.run(command).code(1));
        let named = format!("cachemaint: {}: ", place.path.display());
        assert!(error.starts_with(&named), "{command:?}: {error}");
        assert!(error.contains("3 whole records are behind the torn end at 88, "), "{error}");
        assert!(error.contains("nothing was written"), "{error}");
        assert!(error.contains("`journal repair` keeps them"), "{error}");
        assert!(error.contains("`--discard` discards them"), "{error}");
        assert!(place.bytes() == before, "{command:?}");
    }
}

#[test]
fn append_discards_whole_records_after_a_torn_end_if_asked_to() {
    let create = ["append", "--create", "64K", "--discard", "--record", "x"];
    for command in [&["append", "--discard", "--record", "x"][..], &create] {
        let place = torn();
        place.run(command).success();
        assert_eq!(stdout(&place.run(&["read"]).success()), "first\nx\n");
        place.run(&["verify"]).success();
    }
}

#[test]
fn trim_discards_whole_records_after_a_torn_end_if_asked_to() {
    let place = torn();
    place.run(&["trim", "--to", "64", "--discard"]).success();
    assert_eq!(stdout(&place.run(&["read"]).success()), "first\n");
    place.run(&["verify"]).success();
}

#[test]
fn a_repair_keeps_whole_records_after_a_torn_end_as_its_preview_says() {
    let place = torn();
    let before = place.bytes();
    let preview = stdout(&place.run(&["repair"]).code(1));
    // The group ends at 88 + 4 × 24.
    let kept = "`--yes` keeps 4 records, up to 184\nlost: what was at positions 88 to 112\n";
    assert_eq!(preview, format!("nothing was written; {kept}"));
    let mut preview = place.document(&["repair"]);
    assert!(place.bytes() == before);
    let repaired = place.document(&["repair", "--yes"]);
    assert_eq!(preview["is_repaired"].take(), json!(false));
    preview["is_repaired"] = json!(true);
    assert_eq!(preview, repaired);
    assert_eq!(stdout(&place.run(&["read"]).success()), "first\nkept\ntwo\nthree\n");
    place.run(&["verify"]).success();
    let whole = stdout(&place.run(&["repair"]).success());
    assert_eq!(whole, "the journal is not damaged: it has 4 records, up to 184\n");
}

/// Nothing is behind the record, of 16 + 8 bytes. The closing has noted its end.
#[test]
fn a_damaged_last_record_is_something_to_repair() {
    let medium = medium();
    let journal = options(0).create_new(&medium).unwrap();
    journal.append(b"first").unwrap();
    journal.append(b"second").unwrap();
    journal.close().unwrap();
    medium.write(LOG + 88 + 16, &[0; 8]);
    let place = place(&medium);
    place.run(&["verify"]).code(1);
    let preview = stdout(&place.run(&["repair"]).code(1));
    let lost = "nothing was written; `--yes` keeps 1 records, up to 88\nlost: what was at positions 88 to 112\n";
    assert_eq!(preview, lost);
    place.run(&["repair", "--yes"]).success();
    assert_eq!(stdout(&place.run(&["read"]).success()), "first\n");
}

#[test]
fn a_lost_superblock_is_reported_until_the_next_opening() {
    let place = Place::with("one\ntwo\n");
    place.run(&["verify"]).success();
    let mut bytes = fs::read(&place.path).unwrap();
    bytes[64] ^= 0xff;
    fs::write(&place.path, bytes).unwrap();
    let lost = "one of the two superblocks is torn by a crash or damaged";
    let verified = place.run(&["verify"]).failure();
    assert!(unwrapped(&stdout(&verified)).contains(lost), "{}", stdout(&verified));
    assert!(!stdout(&verified).contains("none"), "{}", stdout(&verified));
    let repair = place.run(&["repair"]).failure();
    assert!(stdout(&repair).contains(lost), "{}", stdout(&repair));
    let stat = Command::new(cargo::cargo_bin!("cachemaint")).arg("stat").arg(&place.path).assert();
    assert!(stdout(&stat.code(1)).contains("one of the two superblocks is torn or damaged"));
    let appended = place.run(&["append", "--record", "three"]).success();
    assert!(stderr(&appended).contains(lost), "{}", stderr(&appended));
    place.run(&["verify"]).success();
    place.run(&["repair"]).success();
}

#[test]
fn discarded_records_are_counted() {
    let place = torn();
    let appended = place.run(&["append", "--discard", "--record", "next"]).success();
    let said = "3 whole records are behind the torn end at 88";
    assert!(stderr(&appended).contains(said), "{}", stderr(&appended));
    assert!(stderr(&appended).contains("discarded"), "{}", stderr(&appended));
}
