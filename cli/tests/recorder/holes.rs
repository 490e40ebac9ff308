//! Recordings in a file of a hole.

use super::Place;
use crate::skip::skip;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;

/// A tmpfs counts the pages of a hole that were loaded. The kernel is asked once for 64 KiB with data, of which there are
/// those of each shard.
#[test]
fn a_recording_in_a_hole_takes_memory_for_its_events_alone() {
    let test = "a_recording_in_a_hole_takes_memory_for_its_events_alone";
    let Ok(directory) = tempfile::tempdir_in("/dev/shm") else {
        return skip(test, "there is no /dev/shm");
    };
    let place = Place { path: directory.path().join("trace"), _directory: directory };
    File::create(&place.path).unwrap().set_len(16 << 20).unwrap();
    let blocks = || fs::metadata(&place.path).unwrap().blocks();
    if blocks() > 0 {
        return skip(test, "a file without blocks has some");
    }
    place.run(&["dump"]).code(1);
    for lines in 1..4 {
        place.run_with(&["record"], "a line\n").success();
        assert_eq!(place.texts().len(), lines);
        place.run(&["stat"]).success();
        assert!(blocks() <= 3 * (64 << 10) / 512, "{}", blocks());
    }
}
