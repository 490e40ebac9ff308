//! Journals in files with holes.

use crate::skip::skip;
use cachemaint::dax::{self, DaxFile, DaxView};
use cachemaint::journal::{Error, ErrorKind, Journal, Options, Reader, Salvaged};
use cachemaint::medium::{Bytes, Readable};
use cachemaint::sim::{Model, Simulation};
use fastrand::Rng;
use rustix::fs::{FallocateFlags, fallocate};
use std::fmt::Debug;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use tempfile::TempDir;

const PAGE: u64 = 4096;
const LOG: u64 = 2 * PAGE;
/// The kernel is asked once for each block.
const BLOCK: u64 = 64 << 10;

fn options() -> dax::Options {
    dax::Options::new().allow_page_granularity()
}

/// Directories in the file system of temporary files and in a tmpfs, which counts the pages of a hole that were loaded.
fn directories() -> impl Iterator<Item = TempDir> {
    [tempfile::tempdir().ok(), tempfile::tempdir_in("/dev/shm").ok()].into_iter().flatten()
}

/// Creates a file of zeros without a block. Returns false where such a file has blocks, or is not mapped.
fn is_created_as_hole(path: &Path, len: u64) -> bool {
    File::create(path).unwrap().set_len(len).unwrap();
    blocks(path) == 0 && options().open(path).is_ok()
}

fn blocks(path: &Path) -> u64 {
    fs::metadata(path).unwrap().blocks()
}

fn punch(path: &Path, at: u64, len: u64) {
    let file = File::options().write(true).open(path).unwrap();
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fallocate(&file, flags, at, len).unwrap();
}

/// Returns all that readers find in a medium, as text. The media have different types of errors.
fn found<M: Readable + Copy>(medium: M) -> String {
    let kind = |error: &Error<M::Error>| match error.kind() {
        ErrorKind::Medium(error) => error.to_string(),
        kind => kind.to_string(),
    };
    let shown = |value: &dyn Debug| format!("{value:?}");
    let preview = Options::with_entropy([1, 2]).preview_repair(&medium);
    let preview = preview.map_or_else(|error| kind(&error), |repaired| shown(&repaired));
    let reader = match Reader::open(medium) {
        Ok(reader) => reader,
        Err(failed) => return format!("{preview}; {}", kind(&failed.error)),
    };
    let verified = reader.verify(&mut |_| ());
    let verified = verified.map_or_else(|error| kind(&error), |found| shown(&found));
    let records: Vec<_> = reader
        .records()
        .map(|record| record.map_or_else(|error| kind(&error), |record| shown(&record.position)))
        .collect();
    let salvaged: Vec<_> = reader.salvage().map(|found| shown(&found.unwrap())).collect();
    format!("{preview}; {verified}; {records:?}; {salvaged:?}")
}

/// Returns that for the file at a path, and asserts that the same bytes in memory give the same.
fn found_in_file(path: &Path) -> String {
    let file = options().open(path).unwrap();
    let in_file = found(&file);
    let bytes = fs::read(path).unwrap();
    assert_eq!(in_file, found(Bytes(&bytes)));
    in_file
}

#[test]
fn reading_a_hole_takes_no_memory() {
    let test = "reading_a_hole_takes_no_memory";
    for directory in directories() {
        let path = directory.path().join("file");
        if !is_created_as_hole(&path, 16 << 20) {
            skip(test, "a file without blocks has some, or is not mapped");
            continue;
        }
        let file = options().open(&path).unwrap();
        let refused = Reader::open(&file).unwrap_err().error;
        assert!(matches!(refused.kind(), ErrorKind::NotAJournal { .. }), "{refused}");
        // A reader can load from the holes of a block with data.
        let most = 2 * BLOCK / 512;
        assert!(blocks(&path) <= most, "{}", blocks(&path));

        let journal = Journal::create_new(file).unwrap();
        journal.append(b"the only record").unwrap();
        drop(journal);
        let file = options().open(&path).unwrap();
        for _ in 0..3 {
            let reader = Reader::open(&file).unwrap();
            assert_eq!(reader.verify(&mut |_| ()).unwrap().records, 1);
            assert_eq!(reader.records().count(), 1);
            assert_eq!(reader.salvage().count(), 1);
            assert!(blocks(&path) <= most, "{}", blocks(&path));
        }
        punch(&path, 0, LOG);
        let refused = Reader::open(&file).unwrap_err().error;
        assert!(matches!(refused.kind(), ErrorKind::Superblocks), "{refused}");
        let repaired = Options::new().preview_repair(&file).unwrap();
        assert_eq!((repaired.records, repaired.rebuilt), (1, true));
        assert!(blocks(&path) <= most, "{}", blocks(&path));
    }
}

/// Returns a journal of several laps and epochs.
fn image(case: u64, len: u64, random: &mut Rng) -> Vec<u8> {
    let medium = Simulation::new(Model::CACHES_KEPT, len).zeros().medium();
    let segment = 1 << random.u32(12..=17);
    for opening in 0..random.u64(1..4) {
        let options = Options::with_entropy([case, opening]).segment(segment);
        let (journal, _) = options.open_or_create(&medium).unwrap();
        let (mut appended, most) = (0, random.u64(..len));
        while appended < most {
            let record = vec![7; random.u64(..journal.largest().min(40_000)) as usize];
            appended += record.len() as u64 + 16;
            if journal.append(&record).is_err() {
                journal.trim(journal.end()).unwrap();
            }
        }
        let ends = journal.records().unwrap().map(|record| record.unwrap().end);
        let ends: Vec<_> = ends.collect();
        if let Some(end) = random.choice(&ends).filter(|_| opening > 0) {
            journal.trim(*end).unwrap();
        }
    }
    let mut bytes = vec![0; len as usize];
    medium.read(0, &mut bytes).unwrap();
    bytes
}

/// Pages are punched out of journals. Those that have only zeros are holes from the beginning.
#[test]
fn holes_read_as_the_zeros_that_they_are() {
    let test = "holes_read_as_the_zeros_that_they_are";
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let len = LOG + (1 << 20);
    let mut random = Rng::with_seed(7);
    let mut seen = [0; 3];
    for case in 0..60 {
        if !is_created_as_hole(&path, len) {
            return skip(test, "a file without blocks has some, or is not mapped");
        }
        let image = image(case, len, &mut random);
        let file = File::options().write(true).open(&path).unwrap();
        for (page, at) in image.chunks(PAGE as usize).zip((0..).step_by(PAGE as usize)) {
            if page.iter().any(|byte| *byte != 0) {
                file.write_all_at(page, at).unwrap();
            }
        }
        for _ in 0..random.u32(..6) {
            let at = random.u64(..len / PAGE) * PAGE;
            punch(&path, at, random.u64(1..64) * PAGE);
        }
        if random.u32(..4) == 0 {
            punch(&path, 0, LOG);
        }
        let found = found_in_file(&path);
        for (seen, part) in seen.iter_mut().zip(["damage: None", "Skipped", "rebuilt: true"]) {
            *seen += u32::from(found.contains(part));
        }
    }
    assert!(seen.iter().all(|seen| *seen > 10), "{seen:?}");
}

/// A reader that has asked for holes finds the records that are stored there later.
#[test]
fn records_that_are_appended_to_a_hole_are_found() {
    let test = "records_that_are_appended_to_a_hole_are_found";
    for directory in directories() {
        let path = directory.path().join("file");
        if !is_created_as_hole(&path, 4 << 20) {
            skip(test, "a file without blocks has some, or is not mapped");
            continue;
        }
        let journal = Journal::create_new(options().open(&path).unwrap()).unwrap();
        let view: Result<DaxView, _> = options().view(&path);
        let Ok(view) = view else { return skip(test, "no word is loaded from a view here") };
        let reader = Reader::open(&view).unwrap();
        let mut records = reader.records();
        for number in 0..2000_u64 {
            assert!(records.next().is_none());
            journal.append(&[7; 1000]).unwrap();
            assert!(records.next().unwrap().is_ok(), "{number}");
        }
        assert_eq!(reader.verify(&mut |_| ()).unwrap().records, 2000);
        // The damaged record is followed by whole ones, in the place of the hole.
        let file: &DaxFile = journal.medium();
        file.write(LOG + (1 << 20), &[0xa5; 2000]);
        assert!(reader.verify(&mut |_| ()).unwrap().damage.is_some());
        let is_record = |found: &Result<_, _>| matches!(found, Ok(Salvaged::Record(_)));
        assert!((1990..2000).contains(&reader.salvage().filter(is_record).count()));
    }
}
