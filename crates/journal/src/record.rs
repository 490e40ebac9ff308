//! The bytes of a record's header and of a mark.

use super::geometry::{GOLDEN, HEADER, MARK, SEGMENT, WORD};
use cachemaint_format::identity::Identity;
use cachemaint_format::layout::{Layout as _, layout};
use cachemaint_format::tag;

/// The kind of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A record that was appended.
    Data = 1,
    /// The start of a segment.
    Mark = 2,
}

/// A field of the second word of a header.
struct Field {
    shift: u32,
    bits: u32,
}

impl Field {
    /// Payload bytes: less than a segment.
    const LEN: Self = Self { shift: 0, bits: 24 };
    /// A [`Kind`]: 1 or 2.
    const KIND: Self = Self { shift: 24, bits: 3 };
    /// The distance to the durable position in words, plus 1: at most the words of the largest window. 0 claims nothing.
    const CLAIM: Self = Self { shift: 27, bits: 21 };
    /// Bits of the position in words: the low ones distinguish those within a segment. The upper ones are mixed in, so
    /// that remains of earlier laps in the same place state another position.
    const POSITION: Self = Self { shift: 48, bits: 16 };

    const fn most(&self) -> u64 {
        (1 << self.bits) - 1
    }

    /// Returns the field with the low bits of a value.
    #[inline]
    const fn put(&self, value: u64) -> u64 {
        (value & self.most()) << self.shift
    }

    #[inline]
    const fn get(&self, word: u64) -> u64 {
        word >> self.shift & self.most()
    }
}

const _: () = assert!(SEGMENT <= Field::LEN.most(), "a payload is shorter than its segment");

/// Returns the second word of a header: the length of the payload, the kind, the claim that everything before `durable` was
/// durable when the record was written, and 16 bits of the position. A distance that does not fit claims nothing.
#[inline]
pub(super) const fn second_word(kind: Kind, durable: u64, len: u64, position: u64) -> u64 {
    let claim = 1 + position.saturating_sub(durable) / WORD;
    let claim = if claim <= Field::CLAIM.most() { claim } else { 0 };
    Field::LEN.put(len)
        | Field::KIND.put(kind as u64)
        | Field::CLAIM.put(claim)
        | position_field(position)
}

/// Returns the field of a position.
#[inline]
const fn position_field(position: u64) -> u64 {
    let words = position / WORD;
    Field::POSITION.put(words ^ (words >> 16).wrapping_mul(GOLDEN) >> 48)
}

/// Returns true if the second word of a header states this position.
#[inline]
pub(super) const fn names(word: u64, position: u64) -> bool {
    // Zeros are not the header of the first position.
    word != 0 && Field::POSITION.get(word) == Field::POSITION.get(position_field(position))
}

/// Returns the seed of a record's tag.
#[inline]
pub(super) fn seed(key: u64, second: u64, position: u64) -> u64 {
    tag::of(key, [second, position].map(u64::to_le_bytes).as_flattened())
}

/// Returns the bytes of a header with this second word.
#[inline]
pub(super) fn header(
    key: u64,
    second: u64,
    position: u64,
    payload: &[u8],
) -> [u8; HEADER as usize] {
    let words = [tag::of(seed(key, second, position), payload), second];
    let mut bytes = [0; HEADER as usize];
    bytes.copy_from_slice(words.map(u64::to_le_bytes).as_flattened());
    bytes
}

/// A header that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    tag: u64,
    second: u64,
    pub(super) kind: Kind,
    /// Bytes of the payload.
    pub(super) len: u64,
}

impl Header {
    /// Returns the header in two words, or `None` if their kind is unknown.
    #[inline]
    pub(super) const fn read([tag, second]: [u64; 2]) -> Option<Self> {
        let kind = match Field::KIND.get(second) {
            1 => Kind::Data,
            2 => Kind::Mark,
            _ => return None,
        };
        Some(Self { tag, second, kind, len: Field::LEN.get(second) })
    }

    /// Returns true if the payload belongs to this header, at this position, in the key's epoch.
    #[inline]
    pub(super) fn proves(&self, key: u64, position: u64, payload: &[u8]) -> bool {
        tag::of(seed(key, self.second, position), payload) == self.tag
    }

    /// Returns the position before which everything was durable when a record at `position` was written, or 0.
    pub(super) const fn durable(&self, position: u64) -> u64 {
        match Field::CLAIM.get(self.second) {
            0 => 0,
            claim => position.saturating_sub((claim - 1) * WORD),
        }
    }
}

/// An epoch: the time between two openings. Its records have their own key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Epoch {
    /// The number of the epoch, which increases with each opening.
    pub(super) number: u64,
    /// The key of its records' tags.
    pub(super) key: u64,
}

impl Epoch {
    /// Returns the epoch with this number. Its key is new even if damage destroyed an epoch with the same number.
    pub(super) fn new(identity: Identity, number: u64, entropy: u64) -> Self {
        Self { number, key: tag::key(identity, number, entropy, tag::Kind::JournalEpoch) }
    }
}

/// The mark at the beginning of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) position: u64,
    /// The epoch of all records in the segment.
    pub(super) epoch: Epoch,
    /// The end of the record before the mark.
    pub(super) before: u64,
    /// Everything before this position was durable when the mark was written.
    pub(super) durable: u64,
}

layout! {
    /// The payload of a mark.
    struct MarkFields: 48 {
        0 identity: [u8; 16],
        16 epoch: u64,
        24 key: u64,
        32 before: u64,
        40 position: u64,
    }
}

impl Mark {
    /// Bytes of the whole record.
    pub(super) const SIZE: usize = (HEADER + MARK) as usize;

    /// Returns the bytes of the whole record.
    pub(super) fn bytes(&self, identity: Identity) -> [u8; Self::SIZE] {
        let Self { position, epoch: Epoch { number: epoch, key }, before, durable } = *self;
        let payload = MarkFields { identity: identity.0, epoch, key, before, position }.to_bytes();
        let of_mark = tag::key(identity, epoch, position, tag::Kind::JournalMark);
        let second = second_word(Kind::Mark, durable, MARK, position);
        let mut bytes = [0; Self::SIZE];
        let (head, rest) = bytes.split_at_mut(HEADER as usize);
        head.copy_from_slice(&header(of_mark, second, position, &payload));
        rest.copy_from_slice(&payload);
        bytes
    }

    /// Returns a mark, if it belongs to this journal and its tag matches.
    pub(super) fn read(identity: Identity, bytes: &[u8; Self::SIZE]) -> Option<Self> {
        let (words, payload) = bytes.split_first_chunk::<{ HEADER as usize }>()?;
        let payload = payload.first_chunk()?;
        let words = u128::from_le_bytes(*words);
        let second = (words >> 64) as u64;
        let header = Header::read([words as u64, second])?;
        let MarkFields { identity: of, epoch, key, before, position } =
            MarkFields::from_bytes(payload);
        let of_mark = tag::key(identity, epoch, position, tag::Kind::JournalMark);
        let is_whole = header.kind == Kind::Mark
            && header.len == MARK
            && of == identity.0
            // Arithmetic on these numbers must not overflow.
            && before <= position
            && i64::try_from(position).is_ok()
            && names(second, position)
            && header.proves(of_mark, position, payload);
        let (epoch, durable) = (Epoch { number: epoch, key }, header.durable(position));
        is_whole.then_some(Self { position, epoch, before, durable })
    }
}

#[cfg(test)]
mod tests {
    use super::{Header, Kind, names, second_word};

    /// By hand: a record of 16 bytes at the end of a window of 16 MiB.
    #[test]
    fn the_largest_window_fits_into_the_field() {
        const MOST: u64 = (16 << 20) - 16;
        let word = second_word(Kind::Mark, 8, 0, MOST + 8);
        assert!(names(word, MOST + 8));
        assert_eq!(Header::read([0, word]).unwrap().durable(MOST + 8), 8);
    }

    /// By hand: the field counts to 2^21 - 1, of which 1 is the distance 0.
    #[test]
    fn a_distance_beyond_the_field_claims_nothing() {
        const MOST: u64 = ((1 << 21) - 2) * 8;
        for (distance, claimed) in [(MOST, 8), (MOST + 8, 0), (1 << 32, 0)] {
            let word = second_word(Kind::Data, 8, 3, 8 + distance);
            assert!(names(word, 8 + distance), "{distance}");
            let found = Header::read([0, word]).unwrap();
            assert_eq!((found.kind, found.len), (Kind::Data, 3), "{distance}");
            assert_eq!(found.durable(8 + distance), claimed, "{distance}");
        }
    }

    /// By hand: 2^21 words are 16 MiB, of which 32 × 2^16 words are 2^21: the upper part grows by 32.
    #[test]
    fn laps_state_other_positions() {
        const LAP: u64 = 16 << 20;
        let word = |position| second_word(Kind::Data, position, 0, position);
        for lap in 0..1000 {
            assert!(names(word(lap * LAP), lap * LAP));
            for earlier in 0..lap {
                assert!(!names(word(earlier * LAP), lap * LAP), "{earlier} {lap}");
            }
        }
    }
}
