//! The targets of the flight recorder.

#[path = "../../../tests/recorder/claims.rs"]
mod claims;
#[path = "../../../tests/recorder/plain.rs"]
mod plain;
mod seal;

use arbitrary::Arbitrary;
use cachemaint::medium::{Bytes, Medium as _};
use claims::{BASE, Deed, SIZE, live};
use plain::{Plain, options};

/// Two shards of three sub-buffers.
const LEN: usize = BASE + 2 * 3 * SIZE;

/// What is done to the bytes of the sub-buffers. Places are counted in bytes, round and round.
#[derive(Arbitrary, Debug)]
enum Harm {
    Bit { at: u16, bit: u8 },
    Zeros { at: u16, len: u8 },
    Ones { at: u16, len: u8 },
    Copy { from: u16, at: u16, len: u8 },
}

impl Harm {
    fn apply(&self, bytes: &mut [u8]) {
        let count = bytes.len();
        let range = |at: u16, len: u8| {
            let at = usize::from(at) % count;
            at..count.min(at + usize::from(len))
        };
        match *self {
            Self::Bit { at, bit } => bytes[usize::from(at) % count] ^= 1 << (bit % 8),
            Self::Zeros { at, len } => bytes[range(at, len)].fill(0),
            Self::Ones { at, len } => bytes[range(at, len)].fill(0xff),
            Self::Copy { from, at, len } => {
                let from = range(from, len);
                let to = range(at, from.len() as u8);
                bytes.copy_within(from.start..from.start + to.len(), to.start);
            }
        }
    }
}

/// A recording that lives and is damaged.
#[derive(Arbitrary, Debug)]
pub struct Damaged {
    deeds: Vec<Deed>,
    harms: Vec<Harm>,
}

/// What is shown was recorded, and every undamaged event is shown.
pub fn damage(input: &Damaged) {
    let medium = Plain::new(LEN);
    let lived = live(&medium, &input.deeds);
    let before = medium.bytes();
    let mut after = before.clone();
    // More of them could make up a checksum together.
    input.harms.iter().take(4).for_each(|harm| harm.apply(&mut after[BASE..]));
    claims::damage_costs_what_it_touches(&before, &after, &lived);
    let shown = claims::anything_is_read_to_an_end(Bytes(&after));
    assert!(shown.iter().flatten().all(|event| lived.was_recorded(event)));
}

/// Bytes that may be anything.
#[derive(Arbitrary, Debug)]
pub struct Anything<'a> {
    /// A recording that the bytes are put over, or none.
    recording: Option<Vec<Deed>>,
    /// Words that are put somewhere.
    patches: Vec<(u16, u64)>,
    /// Checksums are made right afterwards.
    is_sealed: bool,
    /// So many bytes of the end are missing.
    missing: u16,
    /// Both descriptors, two counts of losses and the sub-buffers, without what is between them.
    bytes: &'a [u8],
}

/// Nothing panics, everything ends, and what is opened goes on.
pub fn bytes(input: &Anything<'_>) {
    let medium = Plain::new(LEN);
    match &input.recording {
        Some(deeds) => drop(live(&medium, deeds)),
        None => put(&medium, input.bytes),
    }
    for (place, word) in &input.patches {
        medium.write(spread(*place), &word.to_le_bytes());
    }
    let mut image = medium.bytes();
    if input.is_sealed {
        seal::seal(&mut image);
    }
    image.truncate(LEN - usize::from(input.missing) % LEN / 8 * 8);
    claims::anything_is_read_to_an_end(Bytes(&image));
    let medium = Plain::new(image.len());
    medium.write(0, &image);
    claims::anything_goes_on(&medium, options());
}

/// Both descriptors, two counts of losses, then the sub-buffers.
fn put(medium: &Plain, bytes: &[u8]) {
    for (place, word) in bytes.as_chunks().0.iter().enumerate().take((LEN - BASE) / 8 + 34) {
        let word: [u8; 8] = *word;
        medium.write(spread(place as u16), &word);
    }
}

/// The offset of one of the words that mean something.
fn spread(place: u16) -> u64 {
    match u64::from(place) * 8 {
        at @ 0..128 => at,
        at @ 128..256 => at - 128 + 4096,
        256 => 8192,
        264 => 8192 + 256,
        at => (BASE as u64) + (at - 272) % (LEN - BASE) as u64,
    }
}
