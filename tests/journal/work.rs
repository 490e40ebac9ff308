//! The work of reading: bounded by the size of the journal, whatever is in it.

use crate::counting::Counting;
use crate::erased::erased;
use crate::forged;
use crate::looks::Looks;
use cachemaint::journal::{ErrorKind, Options, Reader, Salvaged};
use cachemaint::medium::{Medium, Readable};
use cachemaint::sim::{Model, Simulation};
use core::sync::atomic::Ordering::Relaxed;

/// The start of the log, by the documentation of the format.
const LOG: usize = 8192;
const SEGMENT: usize = 1 << 16;
const SEGMENTS: usize = 4;

/// A journal with some records, behind which each word is the second one of a header of its place, of a record that
/// takes the rest of its segment. The format: length in 24 bits, kind 1 in bits 24 to 26, position / 8 in bits 48 to 63 where
/// it is less than 2^16.
fn crafted() -> Vec<u8> {
    let mut image = vec![0; LOG + SEGMENTS * SEGMENT];
    let medium = Simulation::new(Model::CACHES_KEPT, image.len() as u64).zeros().medium();
    let journal =
        Options::with_entropy([1, 2]).segment(SEGMENT as u64).create_new(&medium).unwrap();
    for number in 0..10_u8 {
        journal.append(&[number; 100]).unwrap();
    }
    let end = journal.end().0 as usize;
    Readable::read(&medium, 0, &mut image).unwrap();
    for position in (end..SEGMENTS * SEGMENT - 16).step_by(8) {
        let left = SEGMENT - position % SEGMENT;
        let word = left.saturating_sub(16) as u64 | 1 << 24 | (position as u64 / 8) << 48;
        image[LOG + position + 8..][..8].copy_from_slice(&word.to_le_bytes());
    }
    image
}

/// By hand: each place is looked at by four words, a mark of 80 bytes is looked up for some. Each segment is verified
/// in vain four times at most, with one more record of its size. So each byte is looked at 4 + 10 + 5 times at most by
/// a salvage; by a verification for the window behind the end as well, and for the segment behind that.
const MOST: u64 = 2 * (4 + 10 + 5);

#[test]
fn crafted_bytes_cost_no_more_than_a_multiple_of_the_journal() {
    let image = crafted();
    let looks = Looks::new(&image);
    let reader = Reader::open(&looks).unwrap();
    let most = MOST * image.len() as u64;
    let found = reader.verify(&mut |_| ()).unwrap();
    assert_eq!(found.records, 10);
    let count = looks.taken();
    assert!(count < most, "verified: {count}");
    let salvaged = reader.salvage().filter(|found| matches!(found, Ok(Salvaged::Record(_))));
    assert_eq!(salvaged.count(), 10);
    let count = looks.taken();
    assert!(count < most, "salvaged: {count}");
}

/// By hand, for uncrafted bytes: two searches for marks load two words at each word. Each of three passes over the
/// records loads one word at each word, and reads each record once.
const MOST_OF_A_REPAIR: u64 = 2 * 2 + 3 * 2;

#[test]
fn a_repair_is_linear_where_each_segment_shows_that_another_one_was_trimmed() {
    const SEGMENTS: usize = 64;
    const SEGMENT: usize = 1024;
    let medium = Simulation::new(Model::X86, (LOG + SEGMENTS * SEGMENT) as u64).medium();
    let counting = Counting::new(&medium);
    let options = || Options::with_entropy([1, 2]).segment(SEGMENT as u64);
    let journal = options().create_new(erased(&counting)).unwrap();
    let mut superblocks = [0; LOG];
    medium.read(0, &mut superblocks).unwrap();
    // One record fills a segment behind its mark.
    let append = || journal.append(&[7; SEGMENT - 64 - 16]).unwrap();
    for _ in 0..SEGMENTS - 1 {
        append();
    }
    journal.trim(journal.end()).unwrap();
    for _ in 0..SEGMENTS - 2 {
        append();
    }
    drop(journal);
    // Of the second lap no mark is left, and no superblock.
    medium.write(0, &superblocks);
    for segment in 0..SEGMENTS - 3 {
        medium.write((LOG + segment * SEGMENT) as u64, &[0; 64]);
    }
    counting.looked_at.store(0, Relaxed);
    let (_, repaired) = options().repair(erased(&counting)).unwrap();
    let looks = counting.looked_at.load(Relaxed);
    assert!(looks < MOST_OF_A_REPAIR * medium.len(), "{looks}");
    // Segments 62 to 124 of all: a lap, less the one in which the next epoch begins.
    assert_eq!(repaired.records, SEGMENTS as u64 - 1);
}

#[test]
fn a_repair_of_crafted_bytes_costs_no_more_than_a_multiple_of_the_journal() {
    let image = crafted();
    let medium = Simulation::new(Model::X86, image.len() as u64).medium();
    medium.write(0, &image);
    let counting = Counting::new(&medium);
    let (_, repaired) = Options::with_entropy([3, 4]).repair(erased(&counting)).unwrap();
    let looks = counting.looked_at.load(Relaxed);
    assert!(looks < (4 + 3 * MOST) * medium.len(), "{looks}");
    assert_eq!(repaired.records, 10);
}

/// Each segment has a record of each lap, one in the payload of another, and each lap shows that the one before was trimmed.
#[test]
fn a_repair_of_nested_laps_costs_no_more_than_a_multiple_of_the_journal() {
    const LAPS: u64 = 400;
    const SEGMENT: u64 = 1 << 13;
    let medium = Simulation::new(Model::X86, LOG as u64 + 3 * SEGMENT).medium();
    let counting = Counting::new(&medium);
    let options = |opening| Options::with_entropy([7, opening]).segment(SEGMENT);
    drop(options(0).create_new(erased(&counting)).unwrap());
    for (segment, lap) in (0..3).flat_map(|segment| (0..LAPS).rev().map(move |lap| (segment, lap)))
    {
        let from = 64 + 16 * lap;
        let mut payload = vec![0; (SEGMENT - from - 16) as usize];
        let place = segment * SEGMENT + from;
        medium.read(LOG as u64 + place + 16, &mut payload).unwrap();
        forged::record_of(&medium, place, 3 * SEGMENT * lap + place, &payload);
    }
    let reader = Reader::open(&medium).unwrap();
    let is_record = |found: &Result<_, _>| matches!(found, Ok(Salvaged::Record(_)));
    assert_eq!(reader.salvage().filter(is_record).count(), 3);
    counting.looked_at.store(0, Relaxed);
    let refused = options(1).preview_repair(&counting).unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::WornOut), "{refused}");
    let looks = counting.looked_at.load(Relaxed);
    assert!(looks < (4 + 3 * MOST) * medium.len(), "{looks}");
}

/// Records are at 64 bytes from the starts of the second segment and of one far behind. By hand: these two get a mark of
/// 64 bytes, and each segment between them a mark and the header of a void. The superblock is stored twice, and the next
/// epoch has a mark.
#[test]
fn a_lost_range_is_covered_by_one_write_of_each_piece() {
    for segments in [64, 256] {
        let medium = Simulation::new(Model::X86, forged::bytes(segments)).medium();
        let counting = Counting::new(&medium);
        forged::create(&counting);
        for segment in [1, segments - 3] {
            forged::record(&counting, segment * forged::SEGMENT + 64);
        }
        counting.taken();
        let (_, repaired) = forged::options(1).repair(erased(&counting)).unwrap();
        assert_eq!((repaired.records, repaired.lost.len()), (3, 2));
        let [stored, ..] = counting.taken();
        assert_eq!(stored, 2 * 64 + (segments - 5) * (64 + 16) + 2 * 128 + 64);
    }
}

/// No piece is written for a range that has no end, whatever its length. By hand: the superblock is stored twice, and the
/// next epoch has a mark.
#[test]
fn records_that_no_padding_fits_before_cost_no_more_than_a_multiple_of_the_journal() {
    for segments in [64, 256] {
        let medium = Simulation::new(Model::X86, forged::bytes(segments)).medium();
        let counting = Counting::new(&medium);
        forged::create(&counting);
        for segment in 1..segments - 2 {
            forged::record(&counting, segment * forged::SEGMENT + 72);
        }
        counting.taken();
        counting.looked_at.store(0, Relaxed);
        let (_, repaired) = forged::options(1).repair(erased(&counting)).unwrap();
        assert_eq!((repaired.records, repaired.lost.len()), (1, 1));
        let [stored, ..] = counting.taken();
        assert_eq!(stored, 2 * 128 + 64);
        let looks = counting.looked_at.load(Relaxed);
        assert!(looks < MOST_OF_A_REPAIR * medium.len(), "{looks}");
    }
}

/// A payload of one byte, as a picture or a base64 of zeros has it, behind which a record was acknowledged. By hand: words of
/// "AAAAAAAA" name their own position once in 2^19 bytes, and are headers of records of 0x414141 bytes there.
#[test]
fn damage_to_a_payload_of_equal_bytes_is_not_a_torn_end() {
    const SEGMENT: u64 = 8 << 20;
    let medium = Simulation::new(Model::CACHES_KEPT, 8192 + 3 * SEGMENT).medium();
    let options = |opening| Options::with_entropy([7, opening]).segment(SEGMENT);
    let journal = options(0).create_new(&medium).unwrap();
    journal.append(&vec![b'A'; 6 << 20]).unwrap();
    journal.append(b"second").unwrap();
    drop(journal);
    medium.write(LOG as u64 + 64 + 16 + 512, b"B");
    let mut image = vec![0; (8192 + 3 * SEGMENT) as usize];
    Readable::read(&medium, 0, &mut image).unwrap();
    let image = Looks::new(&image);
    let reader = Reader::open(&image).unwrap();
    let found = reader.verify(&mut |_| ()).unwrap();
    assert!(found.damage.is_some(), "{found:?}");
    let is_second =
        |found| matches!(found, Ok(Salvaged::Record(record)) if record.payload == b"second");
    assert!(reader.salvage().any(is_second));
    assert_eq!(options(1).preview_repair(&image).unwrap().records, 1);
}
