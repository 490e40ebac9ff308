//! The bytes of a record's header and of a mark.

use super::geometry::Geometry;
use super::{WORD, put, u64_at};
use crate::format::tag;
use crate::journal::Identity;

/// Bytes of a header.
pub(in crate::journal) const HEADER: u64 = 16;
/// Bytes of a mark's payload: the whole is a line on most machines, so that records which begin at lines where they
/// can are not pushed over their boundaries by it.
pub(in crate::journal) const MARK: u64 = 48;
/// The most bytes of a payload that the length can say.
pub(in crate::journal) const MOST: u64 = (1 << 24) - 1;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::journal) enum Kind {
    /// What somebody has appended.
    Data = 1,
    /// The beginning of a segment or an epoch.
    Mark = 2,
    /// Nothing, up to its end.
    Void = 3,
}

/// The claim of a record: everything before some position was durable when the record was written.
///
/// It is kept as the distance to that position in words, and 1. A distance that needs more bits is kept in units of
/// [`COARSE`](Self::COARSE) words, rounded towards less claimed. So a whole record behind a missing one shows that the
/// missing one had been durable and is damaged, not torn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::journal) struct Vouch(u32);

impl Vouch {
    /// For nothing.
    pub(in crate::journal) const NOTHING: Self = Self(0);
    /// The first distance in words that is not kept exactly.
    const EXACT: u64 = 1 << 20;
    /// Words of a unit of distances from [`EXACT`](Self::EXACT) on.
    const COARSE: u64 = 64;

    /// Everything before `durable`, by a record at `position` behind it.
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

    /// The position before which everything was durable when a record at `position` was written. 0 if it claims nothing.
    pub(in crate::journal) const fn durable(self, position: u64) -> u64 {
        let words = match self.0 as u64 {
            0 => return 0,
            code if code <= Self::EXACT => code - 1,
            code => (code - Self::EXACT) * Self::COARSE,
        };
        position.saturating_sub(words * WORD)
    }
}

/// The two words of a header, but for the position, which says where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::journal) struct Header {
    /// Of the rest, the position and the payload.
    pub(in crate::journal) tag: u64,
    pub(in crate::journal) kind: Kind,
    pub(in crate::journal) vouch: Vouch,
    /// Bytes of the payload.
    pub(in crate::journal) len: u64,
}

/// Bits of a position by which a header states it. The low ones are told apart within a segment. The others are mixed in,
/// so that what earlier laps have left in the same place states another position.
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

/// True if the second word of a header states this position.
#[inline]
pub(in crate::journal) const fn names(word: u64, position: u64) -> bool {
    // Nothing is not the header of the first position.
    word != 0 && (word >> 48) as u16 == stated(position)
}

impl Header {
    /// A header without its tag, and what the tag of its payload has as its seed.
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

    /// The header of a record whose payload is here.
    #[inline]
    pub(in crate::journal) fn of(key: u64, vouch: Vouch, payload: &[u8], position: u64) -> Self {
        let len = payload.len() as u64;
        let (header, seed) = Self::begin(key, Kind::Data, vouch, len, position);
        Self { tag: tag::of(seed, payload), ..header }
    }

    /// True if the payload belongs to this header, at this position, in the epoch of the key.
    #[inline]
    pub(in crate::journal) fn proves(&self, key: u64, position: u64, payload: &[u8]) -> bool {
        tag::of(self.seed(key, position), payload) == self.tag
    }

    #[inline]
    fn seed(&self, key: u64, position: u64) -> u64 {
        tag::of_words(key, [self.second_word(position), position])
    }

    /// The word behind the tag.
    #[inline]
    pub(in crate::journal) const fn second_word(&self, position: u64) -> u64 {
        let Self { kind, vouch, len, .. } = *self;
        // 24 bits, as the sizes were checked to be; 3 bits; 21 bits; 16 bits.
        len | (kind as u64) << 24 | (vouch.0 as u64) << 27 | (stated(position) as u64) << 48
    }

    /// The bytes of both words.
    #[inline]
    pub(in crate::journal) fn bytes(&self, position: u64) -> [u8; HEADER as usize] {
        let mut bytes = [0; HEADER as usize];
        bytes[..8].copy_from_slice(&self.tag.to_le_bytes());
        bytes[8..].copy_from_slice(&self.second_word(position).to_le_bytes());
        bytes
    }

    /// What two words say, if they can be a header.
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

/// An epoch: a time between two openings, whose records have a key of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::journal) struct Epoch {
    /// Its number, which only rises.
    pub(in crate::journal) number: u64,
    /// The key of its records' tags.
    pub(in crate::journal) key: u64,
}

/// What the mark of a segment or an epoch says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::journal) struct Mark {
    pub(in crate::journal) identity: Identity,
    pub(in crate::journal) epoch: Epoch,
    /// All sizes, so that a journal without superblocks can be repaired.
    pub(in crate::journal) geometry: Geometry,
}

/// The key of marks, which are to be read by whom nothing is known to.
const MARKS: u64 = u64::from_le_bytes(*b"cmj mark");

impl Mark {
    /// Bytes of the whole record.
    pub(in crate::journal) const SIZE: usize = (HEADER + MARK) as usize;

    /// The whole record.
    pub(in crate::journal) fn bytes(&self, position: u64) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        let Geometry { segment, capacity, alignment, window } = self.geometry;
        put(&mut bytes, 16, &self.identity.0);
        put(&mut bytes, 32, &self.epoch.number.to_le_bytes());
        put(&mut bytes, 40, &self.epoch.key.to_le_bytes());
        // All were checked to fit: 48 bits, powers of two of at most 24, 16 bits, and 44 bits.
        put(&mut bytes, 48, &(capacity / segment).to_le_bytes()[..6]);
        put(&mut bytes, 54, &[segment.ilog2() as u8, alignment.ilog2() as u8]);
        put(&mut bytes, 56, &((window / segment) as u16).to_le_bytes());
        put(&mut bytes, 58, &(position / (WORD << 16)).to_le_bytes()[..6]);
        let (header, seed) = Header::begin(MARKS, Kind::Mark, Vouch::NOTHING, MARK, position);
        let tag = tag::of(seed, &bytes[HEADER as usize..]);
        put(&mut bytes, 0, &Header { tag, ..header }.bytes(position));
        bytes
    }

    /// The content of a mark and its position, if the tag over its words and payload is right.
    pub(in crate::journal) fn read(
        words: [u64; 2],
        payload: &[u8; MARK as usize],
    ) -> Option<(u64, Self)> {
        let header = Header::read(words)?;
        let upper = u64_at(payload, 40) >> 16;
        let low = mixed(upper) ^ (words[1] >> 48) as u16;
        let position = (upper << 16 | u64::from(low)).checked_mul(WORD)?;
        let is_whole = header.kind == Kind::Mark
            && header.len == MARK
            && header.proves(MARKS, position, payload);
        let segment = 1_u64.checked_shl(payload[38].into())?;
        let geometry = Geometry {
            segment,
            alignment: 1_u64.checked_shl(payload[39].into())?,
            window: segment.checked_mul(u16::from_le_bytes([payload[40], payload[41]]).into())?,
            capacity: segment.checked_mul(u64_at(payload, 32) & 0xffff_ffff_ffff)?,
        };
        let mut identity = [0; 16];
        identity.copy_from_slice(&payload[..16]);
        let epoch = Epoch { number: u64_at(payload, 16), key: u64_at(payload, 24) };
        // What is counted on from them must not overflow.
        let can_be = |number: &u64| i64::try_from(*number).is_ok();
        let can_be = [position, epoch.number].iter().all(can_be);
        let geometry = geometry.checked().filter(|_| is_whole && can_be)?;
        Some((position, Self { identity: Identity(identity), epoch, geometry }))
    }
}

/// The bytes of a void of `size` bytes in all.
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
