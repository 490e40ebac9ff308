//! Journals in small segments without their marks, with valid records at places that no journal chooses: the keys of the
//! records are in the superblock.

use cachemaint::journal::Options;
use cachemaint::medium::Medium;
use core::sync::atomic::Ordering::Relaxed;

/// The start of the log, by the documentation of the format.
const LOG: u64 = 8192;
pub(crate) const SEGMENT: u64 = 128;

/// Bytes of a medium for so many segments.
pub(crate) const fn bytes(segments: u64) -> u64 {
    LOG + segments * SEGMENT
}

pub(crate) fn options(opening: u64) -> Options<'static> {
    Options::with_entropy([7, opening]).segment(SEGMENT).window(2 * SEGMENT)
}

/// Creates a journal with a record up to position 120. The next segment begins at 128.
pub(crate) fn create<M: Medium>(medium: &M) {
    let journal = options(0).create_new(medium).unwrap();
    assert_eq!(journal.append(&[1; 40]).unwrap().0, 64);
    assert_eq!(journal.end().0, 120);
}

/// Writes a valid record at a position below 2^19, with a header of 16 bytes and a payload up to the end of its segment.
pub(crate) fn record<M: Medium>(medium: &M, position: u64) {
    let payload = vec![7; (SEGMENT - position % SEGMENT - 16) as usize];
    record_of(medium, position, position, &payload);
}

/// Writes a valid record of a position to a place of the log.
pub(crate) fn record_of<M: Medium>(medium: &M, place: u64, position: u64, payload: &[u8]) {
    let hash = xxhash_rust::xxh3::xxh3_64_with_seed;
    // The superblock of generation 1.
    let key = medium.load(4096 + 104, Relaxed);
    let second = (payload.len() as u64 | 1 << 24 | (position / 8) << 48).to_le_bytes();
    let seed = hash(&[second, position.to_le_bytes()].concat(), key);
    let tag = hash(payload, seed).to_le_bytes();
    medium.write(LOG + place, &[&tag[..], &second, payload].concat());
}
