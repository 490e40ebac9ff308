//! The work of reading: bounded by the size of the journal, whatever is in it.

use cachemaint::journal::{Options, Reader, Salvaged};
use cachemaint::medium::{Bytes, Medium, Readable};
use cachemaint::sim::{Model, Simulation};
use core::convert::Infallible;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{self, Relaxed};

/// Where the log begins, by the documentation of the format.
const LOG: usize = 8192;
const SEGMENT: usize = 1 << 16;
const SEGMENTS: usize = 4;

/// Bytes that count how many of them are looked at.
struct Counted<'b> {
    bytes: Bytes<'b>,
    looked_at: AtomicU64,
}

impl Readable for &Counted<'_> {
    type Error = Infallible;

    fn len(&self) -> u64 {
        self.bytes.len()
    }

    fn load(&self, at: u64, order: Ordering) -> u64 {
        self.looked_at.fetch_add(8, Relaxed);
        self.bytes.load(at, order)
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Infallible> {
        self.looked_at.fetch_add(into.len() as u64, Relaxed);
        self.bytes.read(at, into)
    }
}

/// A journal with some records, behind which each word is the second one of a header of its place, of a record that
/// takes the rest of its segment. The format: length in 24 bits, kind 1 in bits 24 to 26, position / 8 in the high half.
fn crafted() -> Vec<u8> {
    let mut image = vec![0; LOG + SEGMENTS * SEGMENT];
    let medium = Simulation::new(Model::caches_kept(), image.len() as u64).zeros().medium();
    let journal = Options::with_entropy([1, 2]).segment(SEGMENT as u64).create(&medium).unwrap();
    for number in 0..10_u8 {
        journal.append(&[number; 100]).unwrap();
    }
    let end = journal.end().get() as usize;
    Medium::read(&medium, 0, &mut image).unwrap();
    for position in (end..SEGMENTS * SEGMENT - 16).step_by(8) {
        let left = SEGMENT - position % SEGMENT;
        let word = left.saturating_sub(16) as u64 | 1 << 24 | (position as u64 / 8) << 32;
        image[LOG + position + 8..][..8].copy_from_slice(&word.to_le_bytes());
    }
    image
}

/// By hand: each place is looked at by four words, a mark of 80 bytes is looked up for some, and each segment is verified in
/// vain four times at most, with one more record of its size. So each byte is looked at 4 + 10 + 5 times at most by a
/// salvage; by a verification for the window behind the end as well, and for the segment behind that.
const MOST: u64 = 2 * (4 + 10 + 5);

#[test]
fn crafted_bytes_cost_no_more_than_a_multiple_of_the_journal() {
    let image = crafted();
    let counted = Counted { bytes: Bytes(&image), looked_at: AtomicU64::new(0) };
    let reader = Reader::open(&counted).unwrap();
    let most = MOST * image.len() as u64;
    let found = reader.verify(&mut |_| ()).unwrap();
    assert_eq!(found.records, 10);
    let looks = counted.looked_at.swap(0, Relaxed);
    assert!(looks < most, "verified: {looks}");
    let salvaged = reader.salvage().filter(|found| matches!(found, Ok(Salvaged::Record(_))));
    assert_eq!(salvaged.count(), 10);
    let looks = counted.looked_at.swap(0, Relaxed);
    assert!(looks < most, "salvaged: {looks}");
}
