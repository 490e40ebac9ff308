//! The bytes of a record's header and of a mark.

use super::WORD;
use super::geometry::{Geometry, HEADER, MARK, MOST};
use crate::format::identity::Identity;
use crate::format::layout::{Field, Layout as _, layout};
use crate::format::tag;

/// Bytes of a header's tag, which is its first word.
pub(in crate::journal) const TAG: usize = WORD as usize;

/// The kind of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::journal) enum Kind {
    /// A record that was appended.
    Data = 1,
    /// The beginning of a segment or an epoch.
    Mark = 2,
    /// Padding without a record.
    Void = 3,
}

/// The claim of a record that everything before some position was durable when the record was written.
///
/// It is stored as the distance to that position in words, plus 1. A distance that needs more bits is stored in units
/// of [`COARSE`](Self::COARSE) words, rounded so that less is claimed. So a whole record after a missing one shows that
/// the missing one had been durable and is damaged, not torn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::journal) struct Vouch(u32);

impl Vouch {
    /// No claim.
    pub(in crate::journal) const NOTHING: Self = Self(0);
    /// The first distance in words that is not stored exactly.
    const EXACT: u64 = 1 << 20;
    /// The unit, in words, of distances from [`EXACT`](Self::EXACT) on.
    const COARSE: u64 = 64;

    /// Returns the claim of a record at `position` that everything before `durable` was durable.
    #[inline]
    pub(in crate::journal) const fn new(position: u64, durable: u64) -> Self {
        let words = (position - durable) / WORD;
        // Less than the largest window, so both fit into 21 bits.
        if words < Self::EXACT {
            Self(1 + words as u32)
        } else {
            Self((Self::EXACT + words.div_ceil(Self::COARSE)) as u32)
        }
    }

    /// Returns the position before which everything was durable when a record at `position` was written, or 0.
    pub(in crate::journal) const fn durable(self, position: u64) -> u64 {
        let words = match self.0 as u64 {
            0 => return 0,
            code if code <= Self::EXACT => code - 1,
            code => (code - Self::EXACT) * Self::COARSE,
        };
        position.saturating_sub(words * WORD)
    }
}

/// The two words of a header, except for the position that they state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::journal) struct Header {
    /// The hash of the rest, the position and the payload.
    pub(in crate::journal) tag: u64,
    pub(in crate::journal) kind: Kind,
    pub(in crate::journal) vouch: Vouch,
    /// Bytes of the payload.
    pub(in crate::journal) len: u64,
}

/// Returns the bits by which a header states its position. The low bits distinguish positions within a segment. The
/// upper ones are mixed in, so that remains of earlier laps in the same place state another position.
#[inline]
const fn stated(position: u64) -> u16 {
    let words = position / WORD;
    low(words) ^ mixed(words >> 16)
}

const fn low(words: u64) -> u16 {
    (words & 0xffff) as u16
}

const fn mixed(upper: u64) -> u16 {
    // 2^64 divided by the golden ratio: consecutive numbers get bits that are far apart.
    (upper.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as u16
}

/// Returns true if the second word of a header states this position.
#[inline]
pub(in crate::journal) const fn names(word: u64, position: u64) -> bool {
    // Zeros are not the header of the first position.
    word != 0 && (word >> 48) as u16 == stated(position)
}

impl Header {
    /// Returns a header without its tag, and the seed of its tag.
    #[inline]
    pub(in crate::journal) fn begin(
        key: u64,
        kind: Kind,
        vouch: Vouch,
        len: u64,
        position: u64,
    ) -> (Self, u64) {
        let header = Self { tag: 0, kind, vouch, len };
        (header, header.seed(key, position))
    }

    /// Returns the header of a record with this payload.
    #[inline]
    pub(in crate::journal) fn of(key: u64, vouch: Vouch, payload: &[u8], position: u64) -> Self {
        let len = payload.len() as u64;
        let (header, seed) = Self::begin(key, Kind::Data, vouch, len, position);
        Self { tag: tag::of(seed, payload), ..header }
    }

    /// Returns true if the payload belongs to this header, at this position, in the epoch of the key.
    #[inline]
    pub(in crate::journal) fn proves(&self, key: u64, position: u64, payload: &[u8]) -> bool {
        tag::of(self.seed(key, position), payload) == self.tag
    }

    #[inline]
    fn seed(&self, key: u64, position: u64) -> u64 {
        tag::of_words(key, [self.second_word(position), position])
    }

    /// Returns the word after the tag.
    #[inline]
    pub(in crate::journal) const fn second_word(&self, position: u64) -> u64 {
        let Self { kind, vouch, len, .. } = *self;
        // The fields have 24 bits, as the sizes were checked, 3, 21 and 16 bits.
        len | (kind as u64) << 24 | (vouch.0 as u64) << 27 | (stated(position) as u64) << 48
    }

    /// Returns the bytes of both words.
    #[inline]
    pub(in crate::journal) fn bytes(&self, position: u64) -> [u8; HEADER as usize] {
        let mut bytes = [0; HEADER as usize];
        bytes[..8].copy_from_slice(&self.tag.to_le_bytes());
        bytes[8..].copy_from_slice(&self.second_word(position).to_le_bytes());
        bytes
    }

    /// Returns the header of two words, or `None` if their kind is unknown.
    #[inline]
    pub(in crate::journal) const fn read([tag, second]: [u64; 2]) -> Option<Self> {
        let kind = match second >> 24 & 0x7 {
            1 => Kind::Data,
            2 => Kind::Mark,
            3 => Kind::Void,
            _ => return None,
        };
        let vouch = Vouch((second >> 27 & 0x1f_ffff) as u32);
        Some(Self { tag, kind, vouch, len: second & MOST })
    }
}

/// An epoch: the time between two openings. Its records have a key of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::journal) struct Epoch {
    /// The number of the epoch. It rises with each opening, except by a repair that had lost the newest ones.
    pub(in crate::journal) number: u64,
    /// The key of its records' tags.
    pub(in crate::journal) key: u64,
}

/// The content of the mark of a segment or an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::journal) struct Mark {
    pub(in crate::journal) identity: Identity,
    pub(in crate::journal) epoch: Epoch,
    /// All sizes, so that a journal without superblocks can be repaired.
    pub(in crate::journal) geometry: Geometry,
}

/// A number of 48 bits.
#[derive(Clone, Copy)]
struct U48(u64);

impl Field for U48 {
    const BYTES: usize = 6;

    fn put(self, bytes: &mut [u8]) {
        bytes[..Self::BYTES].copy_from_slice(&self.0.to_le_bytes()[..Self::BYTES]);
    }

    fn take(bytes: &[u8]) -> Self {
        let mut word = [0; 8];
        word[..Self::BYTES].copy_from_slice(&bytes[..Self::BYTES]);
        Self(u64::from_le_bytes(word))
    }
}

layout! {
    /// The payload of a mark.
    struct MarkFields: 48 {
        0 identity: [u8; 16],
        16 epoch: u64,
        24 key: u64,
        /// Segments of the log.
        32 segments: U48,
        /// The binary logarithm of the segment's size.
        38 segment: u8,
        39 alignment: u8,
        /// The window in segments.
        40 window: u16,
        /// The position in units of 2^16 words.
        42 position: U48,
    }
}

/// The key of marks. It is constant, so that marks can be read without any knowledge of the journal.
const MARKS: u64 = u64::from_le_bytes(*b"cmj mark");

impl Mark {
    /// Bytes of the whole record.
    pub(in crate::journal) const SIZE: usize = (HEADER + MARK) as usize;

    /// Returns the bytes of the whole record.
    pub(in crate::journal) fn bytes(&self, position: u64) -> [u8; Self::SIZE] {
        let Geometry { segment, capacity, alignment, window } = self.geometry;
        // All values were checked to fit: 48 bits, powers of two of at most 24 bits, and 16 bits.
        let fields = MarkFields {
            identity: self.identity.0,
            epoch: self.epoch.number,
            key: self.epoch.key,
            segments: U48(capacity / segment),
            segment: segment.ilog2() as u8,
            alignment: alignment.ilog2() as u8,
            window: (window / segment) as u16,
            position: U48(position / (WORD << 16)),
        };
        let payload = fields.to_bytes();
        let (header, seed) = Header::begin(MARKS, Kind::Mark, Vouch::NOTHING, MARK, position);
        let header = Header { tag: tag::of(seed, &payload), ..header }.bytes(position);
        let mut bytes = [0; Self::SIZE];
        bytes[..header.len()].copy_from_slice(&header);
        bytes[header.len()..].copy_from_slice(&payload);
        bytes
    }

    /// Returns the position and the content of a mark, if the tag over its words and payload matches.
    pub(in crate::journal) fn read(
        words: [u64; 2],
        payload: &[u8; MARK as usize],
    ) -> Option<(u64, Self)> {
        let header = Header::read(words)?;
        let fields = MarkFields::from_bytes(payload);
        let upper = fields.position.0;
        let low = mixed(upper) ^ (words[1] >> 48) as u16;
        let position = (upper << 16 | u64::from(low)).checked_mul(WORD)?;
        let is_whole = header.kind == Kind::Mark
            && header.len == MARK
            && header.proves(MARKS, position, payload);
        let segment = 1_u64.checked_shl(fields.segment.into())?;
        let geometry = Geometry {
            segment,
            alignment: 1_u64.checked_shl(fields.alignment.into())?,
            window: segment.checked_mul(fields.window.into())?,
            capacity: segment.checked_mul(fields.segments.0)?,
        };
        let epoch = Epoch { number: fields.epoch, key: fields.key };
        // Arithmetic on these numbers must not overflow.
        let can_be = |number: &u64| i64::try_from(*number).is_ok();
        let can_be = [position, epoch.number].iter().all(can_be);
        let geometry = geometry.checked().filter(|_| is_whole && can_be)?;
        Some((position, Self { identity: Identity(fields.identity), epoch, geometry }))
    }

    /// Returns true if the mark belongs to the journal with this identity and these sizes. A repair and a walk must agree
    /// on that: a later epoch that only the walk sees is evidence of damage also after the repair.
    pub(in crate::journal) fn is_of(&self, identity: Identity, geometry: Geometry) -> bool {
        (self.identity, self.geometry) == (identity, geometry)
    }
}

/// Returns the header of a void of `size` bytes in all.
pub(in crate::journal) fn void(key: u64, position: u64, size: u64) -> [u8; HEADER as usize] {
    let (header, seed) = Header::begin(key, Kind::Void, Vouch::NOTHING, size - HEADER, position);
    Header { tag: tag::of(seed, &[]), ..header }.bytes(position)
}

#[cfg(test)]
mod tests {
    use super::{Vouch, names};

    /// By hand: 2^20 words are 8 MiB. From there on the unit is 512 bytes.
    #[test]
    fn a_record_vouches_for_no_more_than_was_durable() {
        const MIB: u64 = 1 << 20;
        let durable = |position, durable| Vouch::new(position, durable).durable(position);
        for exact in [4096, 4088, 4072, 40, 0] {
            assert_eq!(durable(4096, exact), exact);
        }
        assert_eq!(durable(9 * MIB, MIB + 8), MIB + 8, "the longest exact distance");
        assert_eq!(durable(9 * MIB, MIB), MIB);
        assert_eq!(durable(9 * MIB, MIB - 8), MIB - 512);
        assert_eq!(durable(300 * MIB, 44 * MIB + 8), 44 * MIB, "the largest window");
        assert_eq!(Vouch::NOTHING.durable(4096), 0);
    }

    /// By hand: 2^21 words are 16 MiB, of which 32 × 2^16 words are 2^21: the upper part grows by 32.
    #[test]
    fn laps_state_other_positions() {
        const LAP: u64 = 16 << 20;
        let word = |position| u64::from(super::stated(position)) << 48 | 1;
        for lap in 0..1000 {
            assert!(names(word(lap * LAP), lap * LAP));
            for earlier in 0..lap {
                assert!(!names(word(earlier * LAP), lap * LAP), "{earlier} {lap}");
            }
        }
    }
}
