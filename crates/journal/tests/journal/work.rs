//! The cost of reading, which is bounded by the size of the journal, whatever its content.

use crate::claims::LOG;
use cachemaint::medium::{Medium, Readable};
use cachemaint_journal::{Options, Reader, Salvaged};
use cachemaint_sim::{Model, Simulation};
use cachemaint_test_support::counting::Counting;
use cachemaint_test_support::erased::erased;
use cachemaint_test_support::looks::Looks;
use core::sync::atomic::Ordering::Relaxed;

const SEGMENT: usize = 1 << 16;
const SEGMENTS: usize = 4;

/// Returns a journal with some records. After them, each word is the second word of a header for its place, of a record
/// that takes the rest of its segment. The format: length in 24 bits, kind 1 in bits 24 to 26, and position / 8 in bits
/// 48 to 63 while it is below 2^16.
fn crafted() -> Vec<u8> {
    let mut image = vec![0; LOG as usize + SEGMENTS * SEGMENT];
    let medium = Simulation::new(Model::CACHES_KEPT, image.len() as u64).zeros().medium();
    let (journal, _) =
        Options::with_entropy([1, 2]).segment(SEGMENT as u64).create_new(&medium).unwrap();
    for number in 0..10_u8 {
        journal.append(&[number; 100]).unwrap();
    }
    let end = journal.end().0 as usize;
    Readable::read(&medium, 0, &mut image).unwrap();
    for position in (end..SEGMENTS * SEGMENT - 16).step_by(8) {
        let left = SEGMENT - position % SEGMENT;
        let word = left.saturating_sub(16) as u64 | 1 << 24 | (position as u64 / 8) << 48;
        image[LOG as usize + position + 8..][..8].copy_from_slice(&word.to_le_bytes());
    }
    image
}

/// Computed by hand: each place costs four reads of a word. Each segment is verified in vain at most six times, plus
/// one more record of its size. A salvage thus reads each byte at most 4 + 7 times. A verification also reads the
/// window after the end, and the segment after that. The roots are read again until all four are whole.
const MOST: u64 = 2 * (4 + 7);

#[test]
fn crafted_bytes_cost_no_more_than_a_multiple_of_the_journal() {
    let image = crafted();
    let looks = Looks::new(&image);
    let reader = Reader::open(&looks).unwrap();
    let most = MOST * image.len() as u64;
    looks.taken();
    let found = reader.verify().unwrap();
    assert_eq!(found.records, 10);
    let count = looks.taken();
    assert!(count < most, "verified: {count}");
    let is_record = |found: &Result<_, _>| matches!(found, Ok(Salvaged::Record(_)));
    assert_eq!(reader.salvage().unwrap().filter(is_record).count(), 10);
    let count = looks.taken();
    assert!(count < most, "salvaged: {count}");
}

/// A payload that repeats one byte, followed by an acknowledged record. Computed by hand: a word of "!!!!!!!!" states
/// its own position once in 2^19 bytes, where it is the header of a record of 0x212121 bytes.
#[test]
fn damage_to_a_payload_of_equal_bytes_is_not_a_torn_end() {
    const SEGMENT: u64 = 4 << 20;
    let medium = Simulation::new(Model::CACHES_KEPT, LOG + 3 * SEGMENT).medium();
    let (journal, _) = Options::with_entropy([7, 0]).segment(SEGMENT).create_new(&medium).unwrap();
    journal.append(&vec![b'!'; 3 << 20]).unwrap();
    journal.append(b"second").unwrap();
    drop(journal);
    medium.write(LOG + 64 + 16 + 512, b"B");
    let mut image = vec![0; (LOG + 3 * SEGMENT) as usize];
    Readable::read(&medium, 0, &mut image).unwrap();
    let image = Looks::new(&image);
    let reader = Reader::open(&image).unwrap();
    let found = reader.verify().unwrap();
    assert!(found.damage.is_some(), "{found:?}");
    let is_second =
        |found| matches!(found, Ok(Salvaged::Record(record)) if record.payload == b"second");
    assert!(reader.salvage().unwrap().any(is_second));
}

/// Computed by hand, for each record: its header of 16 bytes, the word that repeats the position and 24 bytes of
/// payload. At its end: two such words, the confirmation word, and of the roots two words and a slot of 128 bytes. At
/// the start of a segment: a word in the rest of the last one, the mark twice, and 16 + 8 bytes for words read twice. A
/// window has 16,384 bytes, and 64 segments have marks.
#[test]
fn a_kept_reader_reads_only_what_is_new_at_each_end() {
    const SEGMENT: u64 = 1024;
    const EACH: u64 = 16 + 8 + 24;
    const END: u64 = 2 * 8 + 8 + 2 * 8 + 128;
    const BEGIN: u64 = 8 + 64 + 64 + 16 + 8;
    let medium = Simulation::new(Model::CACHES_KEPT, LOG + 64 * SEGMENT).medium();
    let options = Options::with_entropy([1, 2]).segment(SEGMENT);
    let (journal, _) = options.create_new(&medium).unwrap();
    let filling = vec![7; journal.largest() as usize];
    for _ in 0..48 {
        journal.append(&filling).unwrap();
    }
    let counting = Counting::new(&medium);
    let reader = Reader::open(erased(&counting)).unwrap();
    let (mut records, mut payload) = (reader.records().unwrap(), Vec::new());
    while records.read_next(&mut payload).unwrap().is_some() {}
    counting.looked_at.store(0, Relaxed);
    let begin = journal.end().0;
    for number in 0..100_u8 {
        journal.append(&[number; 24]).unwrap();
        assert!(records.read_next(&mut payload).unwrap().is_some());
        assert_eq!(payload, [number; 24]);
        assert_eq!(records.read_next(&mut payload).unwrap(), None);
        let count = counting.looked_at.swap(0, Relaxed);
        assert!(count <= EACH + END + BEGIN, "record {number}: {count}");
    }
    assert!(journal.end().0 - begin > 3 * SEGMENT);
}
