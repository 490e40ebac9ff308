//! Changes to a recording according to its format.

use super::claims::{BASE, SIZE};
use super::{Harm, seal};
use crate::image::Image;
use crate::value::{Length, Value};
use arbitrary::Arbitrary;
use cachemaint::medium::{Medium as _, Readable as _};
use core::sync::atomic::Ordering::Relaxed;

/// A change to a recording.
#[derive(Arbitrary, Clone, Debug)]
pub(super) enum Edit {
    Word {
        at: u16,
        word: u64,
    },
    /// A field of one or both copies of the first root, or a word of the texts.
    Root {
        which: Which,
        field: u8,
        value: Value,
    },
    /// A field of the header of a sub-buffer.
    Header {
        slot: u8,
        field: u8,
        value: Value,
    },
    /// The header of another sub-buffer.
    Copy {
        from: u8,
        to: u8,
    },
    /// A record, valid except for its tag.
    Record {
        at: u8,
        len: Length,
    },
    /// Records that may be nested.
    Records {
        at: u8,
        count: u8,
        stride: u8,
        len: Length,
    },
    Damage(Harm),
    /// Correct tags for everything.
    Seal,
}

/// Which copies to change.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) enum Which {
    First,
    Second,
    Both,
}

impl Edit {
    pub(super) fn apply(&self, medium: &Image) {
        match *self {
            Self::Word { at, word } => medium.store(super::spread(at), word, Relaxed),
            Self::Root { which, field, value } => {
                let slots: &[u64] = match which {
                    Which::First => &[4096],
                    Which::Second => &[12288],
                    Which::Both => &[4096, 12288],
                };
                slots.iter().for_each(|slot| root(medium, *slot, field, value));
            }
            Self::Header { slot, field, value } => {
                let at = sub_buffer(medium, slot) + 8 * (u64::from(field) % 8);
                let word = medium.load(at, Relaxed);
                medium.store(at, value.of(word, 1 << 40), Relaxed);
            }
            Self::Copy { from, to } => {
                let mut header = [0; 64];
                let Ok(()) = medium.read(sub_buffer(medium, from), &mut header);
                medium.write(sub_buffer(medium, to), &header);
            }
            Self::Record { at, len } => record(medium, at.into(), len),
            Self::Records { at, count, stride, len } => {
                for number in 0..u64::from(count) {
                    record(medium, u64::from(at) + number * u64::from(stride.max(1)), len);
                }
            }
            Self::Damage(ref harm) => {
                let mut bytes = medium.bytes();
                harm.apply(&mut bytes[BASE..]);
                medium.write(0, &bytes);
            }
            Self::Seal => {
                let mut bytes = medium.bytes();
                seal::seal(&mut bytes);
                medium.write(0, &bytes);
            }
        }
    }
}

fn sub_buffer(medium: &Image, slot: u8) -> u64 {
    let slots = (medium.len() as usize - BASE) / SIZE;
    (BASE + usize::from(slot) % slots * SIZE) as u64
}

/// Changes one half or all of a word of a root. The last 64 fields are words of the texts instead.
fn root(medium: &Image, slot: u64, field: u8, value: Value) {
    let field = u64::from(field);
    let at = if field < 192 { slot + 8 * (field % 15) } else { 16384 + 8 * (field - 192) };
    let word = medium.load(at, Relaxed);
    let (low, high) = (word & 0xffff_ffff, word >> 32);
    let changed = match field / 15 % 3 {
        0 => value.of(low, SIZE as u64) & 0xffff_ffff | high << 32,
        1 => low | value.of(high, SIZE as u64) << 32,
        _ => value.of(word, SIZE as u64),
    };
    medium.store(at, changed, Relaxed);
}

/// Writes the words of a record after its tag.
fn record(medium: &Image, word: u64, len: Length) {
    let size = (medium.load(4096 + 56, Relaxed) & 0xffff_ffff).clamp(256, 1 << 20);
    let base = BASE as u64;
    let at = base + word * 8 % (medium.len() - base);
    let offset = (at - base) % size;
    let len = len.of((size - offset).saturating_sub(24)) & 0xffff;
    if at + 16 <= medium.len() {
        medium.store(at + 8, len << 16 | offset << 32, Relaxed);
    }
}
