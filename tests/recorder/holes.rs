//! Recordings in files with holes.

use super::plain::{Plain, clock, shown};
use crate::skip::skip;
use cachemaint::dax;
use cachemaint::medium::{Bytes, Medium};
use cachemaint::recorder::{Identity, Options, Reader, SkippedKind};
use fastrand::Rng;
use rustix::fs::{FallocateFlags, fallocate};
use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use tempfile::TempDir;

const PAGE: u64 = 4096;
/// The kernel is asked once for each block.
const BLOCK: u64 = 64 << 10;

fn dax() -> dax::Options {
    dax::Options::new().allow_page_granularity()
}

fn options() -> Options<'static> {
    Options::with_clock(Identity([3; 16]), clock()).shards(2)
}

/// Directories in the file system of temporary files and in a tmpfs, which counts the pages of a hole that were loaded.
fn directories() -> impl Iterator<Item = TempDir> {
    [tempfile::tempdir().ok(), tempfile::tempdir_in("/dev/shm").ok()].into_iter().flatten()
}

/// Creates a file of zeros without a block. Returns false where such a file has blocks, or is not mapped.
fn is_created_as_hole(path: &Path, len: u64) -> bool {
    File::create(path).unwrap().set_len(len).unwrap();
    blocks(path) == 0 && dax().open(path).is_ok()
}

fn blocks(path: &Path) -> u64 {
    fs::metadata(path).unwrap().blocks()
}

fn punch(path: &Path, at: u64, len: u64) {
    let file = File::options().write(true).open(path).unwrap();
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fallocate(&file, flags, at, len).unwrap();
}

#[test]
#[cfg_attr(miri, ignore = "maps files")]
fn a_recording_in_a_hole_takes_memory_for_its_events_alone() {
    let test = "a_recording_in_a_hole_takes_memory_for_its_events_alone";
    for directory in directories() {
        let path = directory.path().join("file");
        if !is_created_as_hole(&path, 16 << 20) {
            skip(test, "a file without blocks has some, or is not mapped");
            continue;
        }
        let file = dax().open(&path).unwrap();
        for opening in 1..4 {
            let recorder = options().open_or_create(&file).unwrap();
            let writer = recorder.claim().unwrap();
            (0..100).for_each(|number| writer.record_at(number, 1, &[7; 40]).unwrap());
            drop(writer);
            drop(recorder);
            let reader = Reader::open(&file).unwrap();
            assert_eq!(shown(&reader, 0).events.len(), 100 * opening);
            // The beginning with the first shard, and that of the second shard.
            assert!(blocks(&path) <= 3 * BLOCK / 512, "{}", blocks(&path));
        }
    }
}

/// By hand: sub-buffers of 4 KiB from 12 KiB on, in 8 MiB for each shard. So the first lap ends with an event of each
/// sub-buffer.
#[test]
#[cfg_attr(miri, ignore = "maps files")]
fn lost_sub_buffers_in_a_hole_take_no_memory() {
    let test = "lost_sub_buffers_in_a_hole_take_no_memory";
    let (sub_buffers, from, to) = (2048, 12 * 1024 + PAGE, 12 * 1024 + (8 << 20) - 2 * PAGE);
    for directory in directories() {
        let path = directory.path().join("file");
        if !is_created_as_hole(&path, (16 << 20) + 12 * 1024) {
            skip(test, "a file without blocks has some, or is not mapped");
            continue;
        }
        let file = dax().open(&path).unwrap();
        let recorder = options().sub_buffers(sub_buffers).create_new(&file).unwrap();
        let writer = recorder.claim().unwrap();
        for number in 0..u64::from(sub_buffers) {
            writer.record_at(number, 1, &[7; 3000]).unwrap();
        }
        drop(writer);
        drop(recorder);
        punch(&path, from, to - from);
        let most = blocks(&path) + 2 * BLOCK / 512;
        let shown = shown(&Reader::open(&file).unwrap(), 0);
        assert_eq!(shown.events.len(), 3);
        assert!(shown.skipped.iter().all(|skipped| skipped.kind == SkippedKind::Damaged));
        let lost: u64 = shown.skipped.iter().map(|skipped| skipped.len).sum();
        assert_eq!(lost, to - from);
        assert!(blocks(&path) <= most, "{} > {most}", blocks(&path));
    }
}

fn open_and_record<M: Medium>(medium: &M, payload: &[u8]) -> bool {
    let Ok(recorder) = options().open(medium) else { return false };
    let writer = recorder.claim().unwrap();
    writer.record_at(9, 2, payload).unwrap();
    true
}

/// Pages are punched out of recordings of several laps and openings. Those that have only zeros are holes from the
/// beginning.
#[test]
#[cfg_attr(miri, ignore = "maps files")]
fn holes_read_as_the_zeros_that_they_are() {
    let test = "holes_read_as_the_zeros_that_they_are";
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let mut random = Rng::with_seed(5);
    let (mut events, mut gaps) = (0, 0);
    for case in 0..60 {
        let len = 12 * 1024 + (512 << 10);
        if !is_created_as_hole(&path, len) {
            return skip(test, "a file without blocks has some, or is not mapped");
        }
        let medium = Plain::new(len as usize);
        let size = 1 << random.u32(8..=16);
        for opening in 0..random.u32(1..4) {
            let options = options().sub_buffer_size(size);
            let recorder = options.open_or_create(&medium).unwrap();
            let writer = recorder.claim().unwrap();
            let (mut bytes, most) = (0, random.usize(..800 << 10));
            while bytes < most {
                let payload = vec![opening as u8; random.usize(..size as usize - 88)];
                writer.record_at(bytes as u64, 1, &payload).unwrap();
                bytes += payload.len() + 24;
            }
        }
        let file = File::options().write(true).open(&path).unwrap();
        for (page, at) in medium.bytes().chunks(PAGE as usize).zip((0..).step_by(PAGE as usize)) {
            if page.iter().any(|byte| *byte != 0) {
                file.write_all_at(page, at).unwrap();
            }
        }
        for _ in 0..random.u32(..6) {
            let at = random.u64(2..len / PAGE) * PAGE;
            punch(&path, at, random.u64(1..32) * PAGE);
        }
        let file = dax().open(&path).unwrap();
        let read = || {
            let bytes = fs::read(&path).unwrap();
            let in_memory = Reader::open(Bytes(&bytes)).unwrap();
            let in_file = Reader::open(&file).unwrap();
            for shard in 0..2 {
                assert_eq!(shown(&in_file, shard), shown(&in_memory, shard), "case {case}");
            }
            shown(&in_file, 0)
        };
        let shown = read();
        events += shown.events.len();
        gaps += shown.skipped.len();
        // Both go on at the same place.
        let medium = Plain::new(len as usize);
        medium.write(0, &fs::read(&path).unwrap());
        let payload = [7; 40];
        assert_eq!(open_and_record(&file, &payload), open_and_record(&medium, &payload));
        let ends = [super::plain::shown(&Reader::open(&medium).unwrap(), 0).events, read().events];
        let ends = ends.map(|events| events.into_iter().next_back().map(|event| event.at));
        assert_eq!(ends[0], ends[1], "case {case}");
    }
    assert!(events > 1000 && gaps > 100, "{events} events, {gaps} gaps");
}
