//! A store's properties as data (feature `serde`): the documented names, for a store that was built by hand.

use crate::format::{BLOB, by_hand};
use crate::life::{later, options};
use crate::plain::Plain;
use cachemaint::medium::Bytes;
use cachemaint_store::{Boot, Reader};
use serde_json::{Value, json, to_value};

fn stamp() -> Value {
    json!({
        "seconds": 1_700_000_002,
        "boot_id": "02020202020202020202020202020202",
        "process": 42,
        "process_start": 102,
        "backing": "pmem_adr",
        "granularity": 64,
        "placement": 0x1234_5678_9abc_def0_u64,
        "unsafe_shutdowns": 3,
        "kernel": "6.1.0-first",
    })
}

#[test]
fn a_commit_and_its_blobs_are_told() {
    let image = by_hand();
    let bytes = Bytes(&image);
    let snapshot = Reader::open(bytes).unwrap();
    assert_eq!(to_value(snapshot.stamp()).unwrap(), stamp());
    let boots: Vec<Boot> = snapshot.history();
    let first = json!({
        "opening": 1, "opened": 1, "origin": "unknown", "was_sealed": false, "stamp": stamp(),
    });
    assert_eq!(to_value(boots).unwrap(), json!([first]));
    let blob = json!({
        "name": "ab", "content": "blob", "version": 2, "len": 3, "metadata": 1, "is_dirty": false,
        "commit": 2,
        "seconds": 1_700_000_002, "offset": 0,
    });
    assert_eq!(to_value(snapshot.stat("ab").unwrap().unwrap()).unwrap(), blob);
}

#[test]
fn a_verification_lists_its_findings() {
    let medium = Plain::new(by_hand());
    let (store, _) = later().open(medium.clone()).unwrap();
    drop(store);
    let mut image = medium.bytes();
    image[BLOB as usize] ^= 1;
    image[12_288] ^= 1;
    let bytes = Bytes(&image);
    let verification = Reader::open(bytes).unwrap().verify().unwrap();
    let expected = json!({
        "whole": 1,
        "regions": 0,
        "bytes": 3 + 300,
        "damaged": [{"name": "cd", "part": {"bytes": {"at": 0}}, "offset": BLOB, "len": 300}],
        "records": [],
        "copies": [{"part": "root", "offset": 12_288, "len": 4096}],
    });
    assert_eq!(to_value(verification).unwrap(), expected);
}

/// The stamp shows another boot, but not its kind.
#[test]
fn a_verdict_has_origin_evidence_and_promise() {
    let (_store, opened) = options().open(Plain::new(by_hand())).unwrap();
    let expected = json!({
        "origin": "reboot",
        "evidence": [
            "the boot id differs from that of the last commit",
            "this architecture does not report how the kernel was loaded",
            "whether power was lost is unknown",
        ],
        "promise": {
            "answer": "yes",
            "text": "the memory controller has accepted it, and firmware claims that stored energy (ADR) brings \
                     that to the medium",
            "source": "ACPI, NFIT platform capabilities; passed on by Linux drivers/acpi/nfit/core.c",
            "certainty": "documented",
        },
    });
    assert_eq!(to_value(opened.verdict).unwrap(), expected);
}
