//! The flight recorder's targets.

#[path = "../../../crates/recorder/tests/recorder/claims.rs"]
mod claims;
mod forge;
#[expect(dead_code, reason = "its medium does not count")]
#[path = "../../../crates/recorder/tests/recorder/plain.rs"]
mod plain;
mod seal;
mod work;

use crate::allocation;
use crate::image::Image;
use crate::value::Missing;
use arbitrary::Arbitrary;
use cachemaint::medium::{Bytes, Medium as _};
use claims::{BASE, Deed, Held, SIZE, live};
use forge::Edit;
use plain::options;

/// Two shards of three sub-buffers.
const LEN: usize = BASE + 2 * 3 * SIZE;

/// Damage to some of the bytes. Places are counted in bytes, modulo their number.
#[derive(Arbitrary, Clone, Debug)]
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

/// A damaged recording.
#[derive(Arbitrary, Debug)]
pub struct Damaged {
    deeds: Vec<Deed>,
    /// Damage to the sub-buffers, or to the pages before them: roots and texts.
    harms: Vec<(Part, Harm)>,
    /// The content of the medium before creation.
    held: Held,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Part {
    SubBuffers,
    Pages,
}

/// The maximum number of operations in an input. More take longer and reach nothing new.
const DEEDS: usize = 48;

/// Only recorded events are returned, all undamaged ones are, and the others are reported.
pub fn damage(input: &Damaged) {
    allocation::bounded(LEN as u64, || damage_of(input));
}

fn damage_of(input: &Damaged) {
    let medium = Image::zeros(LEN);
    let deeds = &input.deeds[..input.deeds.len().min(DEEDS)];
    let lived = live(&medium, &input.held, deeds);
    let before = medium.bytes();
    lived.is_shown(&before);
    let mut after = before.clone();
    // More of them could combine to form a tag.
    for (part, harm) in input.harms.iter().take(4) {
        match part {
            Part::SubBuffers => harm.apply(&mut after[BASE..]),
            Part::Pages => harm.apply(&mut after[..BASE]),
        }
    }
    work::is_bounded(&Image::new(&after));
    claims::damage_costs_what_it_touches(&before, &after, &lived);
    let shown = claims::anything_is_read_to_an_end(Bytes(&after));
    assert!(shown.iter().flatten().all(|event| lived.was_recorded(event)));
}

/// Arbitrary bytes.
#[derive(Arbitrary, Debug)]
pub struct Anything<'a> {
    /// The history of the recording, or `None` for a medium of zeros.
    recording: Option<Vec<Deed>>,
    /// Changes, including correct tags.
    edits: Vec<Edit>,
    missing: Missing,
    /// The content of the medium before creation.
    held: Held,
    /// Both copies of a root and the sub-buffers, if there is no recording.
    bytes: &'a [u8],
}

/// Nothing panics, everything ends after bounded work, and an opened recording continues.
pub fn bytes(input: &Anything<'_>) {
    allocation::bounded(LEN as u64, || bytes_of(input));
}

fn bytes_of(input: &Anything<'_>) {
    let medium = Image::zeros(LEN);
    match &input.recording {
        Some(deeds) => {
            let deeds = &deeds[..deeds.len().min(DEEDS)];
            drop(live(&medium, &input.held, deeds));
        }
        None => put(&medium, input.bytes),
    }
    input.edits.iter().take(16).for_each(|edit| edit.apply(&medium));
    let medium = medium.copy(input.missing.left(LEN));
    work::is_bounded(&medium);
    claims::anything_is_read_to_an_end(Bytes(&medium.bytes()));
    claims::anything_goes_on(&medium, options());
}

/// Both copies of a root, then the sub-buffers.
fn put(medium: &Image, bytes: &[u8]) {
    for (place, word) in bytes.as_chunks().0.iter().enumerate().take((LEN - BASE) / 8 + 32) {
        let word: [u8; 8] = *word;
        medium.write(spread(place as u16), &word);
    }
}

/// Returns the offset of a meaningful word. The last eighth of the places are the texts of events.
fn spread(place: u16) -> u64 {
    const TEXTS: u64 = 7 << 16;
    match u64::from(place) * 8 {
        at @ TEXTS.. => 16384 + (at - TEXTS) % 4096,
        at @ 0..128 => at + 4096,
        at @ 128..256 => at - 128 + 12288,
        at => (BASE as u64) + (at - 256) % (LEN - BASE) as u64,
    }
}
