//! A store's properties as data (feature `serde`): the documented names, for a store that was built by hand.

use crate::format::{BLOB, by_hand};
use crate::life::later;
use cachemaint::medium::Bytes;
use cachemaint_store::Reader;
use cachemaint_test_support::plain::Plain;
use serde_json::{json, to_value};

#[test]
fn a_blob_is_told() {
    let image = by_hand();
    let bytes = Bytes(&image);
    let snapshot = Reader::open(bytes).unwrap();
    let blob = json!({
        "name": "ab", "content": "blob", "version": 2, "len": 3, "metadata": 1, "is_dirty": false,
        "commit": 2,
        "seconds": 1_700_000_002, "offset": 0,
    });
    assert_eq!(to_value(snapshot.stat("ab").unwrap().unwrap()).unwrap(), blob);
}

#[test]
fn a_verification_lists_its_findings() {
    let medium = Plain::new(&by_hand());
    let (store, _) = later().open(medium.clone()).unwrap();
    drop(store);
    let mut image = medium.bytes();
    image[BLOB as usize] ^= 1;
    image[8192] ^= 1;
    let bytes = Bytes(&image);
    let verification = Reader::open(bytes).unwrap().verify().unwrap();
    let expected = json!({
        "whole": 1,
        "regions": 0,
        "bytes": 3 + 300,
        "damaged": [{"name": "cd", "part": {"bytes": {"at": 0}}, "offset": BLOB, "len": 300}],
        "records": [],
        "copies": [{"part": "root", "offset": 8192, "len": 4096}],
    });
    assert_eq!(to_value(verification).unwrap(), expected);
}
