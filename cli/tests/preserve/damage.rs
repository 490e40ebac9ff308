//! Files that are damaged, or have no store.

use crate::place::{PIECE, Place, many};
use crate::printed::{stderr, stdout};
use crate::refused::is_refused;
use crate::wrapped::unwrapped;
use serde_json::json;
use std::fs;

#[test]
fn a_damaged_byte_is_reported_until_its_blob_is_saved_anew() {
    let place = Place::with(&["first"]);
    place.run(&["rm", "first"]).success();
    place.run_with(&["save", "cpu"], many(300, 3)).success();
    let big = many(3 * PIECE, 0);
    place.run_with(&["save", "ram", "--grow", "8M"], big.clone()).success();
    place.run(&["verify"]).success();
    let (cpu, ram) = (place.offset("cpu"), place.offset("ram"));
    place.damage(cpu);
    place.damage(ram + PIECE + 65_536);

    let verified = place.run(&["verify"]).code(1);
    let shown = unwrapped(&stdout(&verified));
    let expected = format!(
        "damage cpu: the blob from its byte 0 on is damaged (300 bytes at offset {cpu}); save it anew damage ram: \
         the blob from its byte {} on is damaged (65536 bytes at offset {})",
        PIECE + 65_536,
        ram + PIECE + 65_536
    );
    assert!(shown.contains(&expected), "{shown}");
    let expected = json!([
        {"name": "cpu", "part": {"bytes": {"at": 0}}, "offset": cpu, "len": 300},
        {"name": "ram", "part": {"bytes": {"at": PIECE + 65_536}}, "offset": ram + PIECE + 65_536, "len": 65_536}
    ]);
    let found = place.json("verify");
    assert_eq!((&found["damaged"], &found["copies"]), (&expected, &json!([])));
    assert_eq!((&found["blobs"], &found["whole"]), (&json!(2), &json!(0)));

    let output = place.file("output", b"as it was");
    let refused = place.run(&["load", "cpu", "--output", &output]).code(1);
    assert!(stderr(&refused).contains("state: cpu: the blob from its byte 0 on is damaged"));
    assert_eq!(fs::read(&output).unwrap(), b"as it was");
    let refused = place.run(&["load", "ram"]).code(1);
    assert!(refused.get_output().stdout == big[..PIECE]);
    let error = stderr(&refused);
    assert!(error.contains("only its first 1048576 bytes were written"), "{error}");

    place.run_with(&["save", "cpu"], "registers").success();
    assert_eq!(place.load("cpu"), b"registers");
    assert_eq!(place.json("verify")["whole"], 1);
}

/// The copies of the roots are at 8192 and 12288.
#[test]
fn a_damaged_copy_is_reported_and_mended_by_the_next_write() {
    let place = Place::with(&["cpu"]);
    place.damage(8192 + 20);
    place.damage(12_288 + 20);
    let shown = unwrapped(&stdout(&place.run(&["verify"]).code(1)));
    assert!(
        shown.contains("damage a copy of the root is damaged (4096 bytes at offset "),
        "{shown}"
    );
    assert_eq!(place.load("cpu"), b"cpu");
    let error = stderr(&place.run(&["mv", "cpu", "cpu 0"]).success());
    assert!(error.contains("; it was mended from the other copy\n"), "{error}");
    place.run(&["verify"]).success();
}

/// The log is at 16384, with mirrors of 16 KiB.
#[test]
fn a_log_that_is_lost_in_both_mirrors_is_an_error_that_says_so() {
    let place = Place::with(&["cpu"]);
    let mut bytes = fs::read(&place.path).unwrap();
    bytes[16_384..].fill(0xff);
    fs::write(&place.path, &bytes).unwrap();
    for command in [&["list"][..], &["load", "cpu"], &["verify"], &["seal"]] {
        let error = stderr(&place.run(command).code(1));
        assert!(error.contains("state: the log of the table is damaged"), "{error}");
        assert!(error.contains("bring the file back from a copy"), "{error}");
    }
    assert_eq!(fs::read(&place.path).unwrap(), bytes);
}

const COMMANDS: [&[&str]; 9] = [
    &["save", "cpu"],
    &["save", "cpu", "--grow", "1M"],
    &["load", "cpu"],
    &["list"],
    &["verify"],
    &["rm", "cpu"],
    &["mv", "cpu", "ram"],
    &["seal"],
    &["history"],
];

#[test]
fn an_invalid_store_is_refused() {
    let whole = fs::read(Place::with(&["cpu"]).path).unwrap();
    let contents: [(Vec<u8>, &str); 5] = [
        (Vec::new(), "has no bytes to map"),
        (vec![0; 65_536], "there is no store: the medium begins with zeros"),
        (vec![b'x'; 65_536], "this is not a store: it begins with xxxxxxxx"),
        (b"short".to_vec(), "this is not a store: it begins with short"),
        (whole[..60_000].to_vec(), "but only 60000 are there; bring the rest back"),
    ];
    for (content, expected) in contents {
        let place = Place::empty();
        is_refused(&place.path, &content, expected, &COMMANDS, |command| place.run(command));
    }
    let place = Place::empty();
    for command in COMMANDS {
        let error = stderr(&place.run(command).code(1));
        assert!(error.contains("state: no such file"), "{command:?}: {error}");
    }
}

/// The last record has bytes that are not zeros in each mirror of 16 KiB, from 16384 on.
#[test]
fn a_commit_that_did_not_verify_is_reported() {
    let place = Place::with(&["cpu"]);
    place.run_with(&["save", "cpu"], "later").success();
    let generation = place.json("verify")["generation"].as_u64().unwrap();
    let bytes = fs::read(&place.path).unwrap();
    for mirror in [16_384, 32_768] {
        let last = (mirror..mirror + 16_384).rev().find(|at| bytes[*at] != 0).unwrap();
        place.damage(last);
    }
    assert_eq!(place.load("cpu"), b"cpu");
    let error = stderr(&place.run_with(&["save", "ram"], "more").success());
    assert!(error.contains(&format!("generation {generation} did not verify")), "{error}");
    place.run(&["verify"]).success();
    assert_eq!(place.load("cpu"), b"cpu");
}
