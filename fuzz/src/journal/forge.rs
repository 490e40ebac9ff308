//! Changes to a journal according to its format.

use super::claims::{Harm, LOG};
use super::seal;
use crate::image::Image;
use crate::value::{Length, Value};
use arbitrary::Arbitrary;
use cachemaint::medium::{Medium as _, Readable as _};
use core::sync::atomic::Ordering::Relaxed;

/// A change to a journal.
#[derive(Arbitrary, Clone, Debug)]
pub(super) enum Edit {
    Word {
        at: u16,
        word: u64,
    },
    Root {
        which: Which,
        field: u8,
        value: Value,
    },
    /// The header of a record, valid except for its tag.
    Record {
        at: u8,
        laps: i8,
        kind: u8,
        len: Length,
    },
    /// Headers of records that may be nested.
    Records {
        at: u8,
        count: u8,
        stride: u8,
        len: Length,
    },
    /// A mark of an epoch near the last one, valid except for its tag.
    Mark {
        at: u8,
        laps: i8,
        epochs: i8,
    },
    Damage(Harm),
    /// Correct tags for everything.
    Seal,
}

/// Which generations of the roots to change.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) enum Which {
    Even,
    Odd,
    All,
}

impl Edit {
    pub(super) fn apply(&self, medium: &Image) {
        match *self {
            Self::Word { at, word } => medium.store(spread(at, medium.len()), word, Relaxed),
            Self::Root { which, field, value } => {
                let slots: &[u64] = match which {
                    Which::Even => &[0, 8192],
                    Which::Odd => &[4096, 12288],
                    Which::All => &[0, 4096, 8192, 12288],
                };
                slots.iter().for_each(|slot| root(medium, *slot, field, value));
            }
            Self::Record { at, laps, kind, len } => {
                Layout::of(medium).record(medium, at.into(), laps, kind, len);
            }
            Self::Records { at, count, stride, len } => {
                let layout = Layout::of(medium);
                for number in 0..u64::from(count) {
                    let at = u64::from(at) + number * u64::from(stride.max(1));
                    layout.record(medium, at, 0, 1, len);
                }
            }
            Self::Mark { at, laps, epochs } => {
                Layout::of(medium).mark(medium, at.into(), laps, epochs);
            }
            Self::Damage(ref harm) => drop(harm.apply(medium)),
            Self::Seal => seal::seal(medium),
        }
    }
}

/// Returns the offset of a meaningful word.
fn spread(place: u16, bytes: u64) -> u64 {
    match u64::from(place) * 8 {
        at @ 0..128 => at,
        at @ 128..256 => at - 128 + 4096,
        at => LOG + (at - 256) % (bytes - LOG),
    }
}

/// Changes a field of the root in a slot.
fn root(medium: &Image, slot: u64, field: u8, value: Value) {
    let segment = medium.load(slot + 56, Relaxed) & 0xffff_ffff;
    let at = slot + 8 * (u64::from(field) % 15);
    let word = medium.load(at, Relaxed);
    let (low, high) = (word & 0xffff_ffff, word >> 32);
    let changed = match (field % 15, field & 16 == 0) {
        // Two fields: version and length, segment and alignment.
        (1 | 7, true) => value.of(low, segment) & 0xffff_ffff | high << 32,
        (1 | 7, false) => low | value.of(high, segment) << 32,
        _ => value.of(word, segment),
    };
    medium.store(at, changed, Relaxed);
}

/// The numbers of the newest root.
struct Layout {
    page: u64,
    segment: u64,
    capacity: u64,
    head: u64,
}

impl Layout {
    fn of(medium: &Image) -> Self {
        let [first, second] = [40, 4096 + 40].map(|at| medium.load(at, Relaxed));
        let page = if second > first { 4096 } else { 0 };
        let most = medium.len() - LOG;
        let segment = medium.load(page + 56, Relaxed) & 0xffff_ffff;
        Self {
            page,
            segment: segment.clamp(128, most.max(128)),
            capacity: medium.load(page + 48, Relaxed).clamp(8, most),
            head: medium.load(page + 64, Relaxed) & u64::MAX >> 2,
        }
    }

    /// Returns the position of a word of the log in the lap of the head, or in another one.
    fn position(&self, word: u64, laps: i8) -> u64 {
        let place = word * 8 % self.capacity / 8 * 8;
        let start = self.head - self.head % self.segment;
        let ahead = (place + self.capacity - start % self.capacity) % self.capacity;
        let position = start.wrapping_add(ahead);
        position.wrapping_add_signed(self.capacity as i64 * i64::from(laps.clamp(-2, 2)))
    }

    fn place(&self, medium: &Image, position: u64, bytes: u64) -> Option<u64> {
        let place = LOG + position % self.capacity / 8 * 8;
        (place + bytes <= medium.len()).then_some(place)
    }

    fn record(&self, medium: &Image, word: u64, laps: i8, kind: u8, len: Length) {
        let position = self.position(word, laps);
        let Some(place) = self.place(medium, position, 16) else { return };
        let rest = (self.segment - position % self.segment).saturating_sub(16);
        medium.store(place + 8, second_word(position, kind.into(), len.of(rest)), Relaxed);
    }

    fn mark(&self, medium: &Image, word: u64, laps: i8, epochs: i8) {
        let position = self.position(word, laps);
        let Some(place) = self.place(medium, position, 64) else { return };
        let field = |at: u64| medium.load(self.page + at, Relaxed);
        let words = [
            second_word(position, 2, 48),
            field(24),
            field(32),
            field(88).wrapping_add_signed(epochs.into()),
            // Each epoch has its own key.
            field(96).wrapping_add_signed(epochs.into()),
            field(104),
            position,
        ];
        for (word, at) in words.into_iter().zip((place + 8..).step_by(8)) {
            medium.store(at, word, Relaxed);
        }
    }
}

/// Returns the word after the tag. The low 3 bits of `kind` are the kind; the others say what it vouches for.
const fn second_word(position: u64, kind: u64, len: u64) -> u64 {
    len & 0xff_ffff | kind << 24 | seal::stated(position) << 48
}
