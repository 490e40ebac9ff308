//! The bytes of a record's header and of a mark.

use super::geometry::{Geometry, Placement};
use super::{WORD, put, u32_at, u64_at};
use crate::journal::Identity;
use crate::tag;

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
/// It is kept in 5 bits, rounded towards less. So a whole record behind a missing one shows, in most cases, that the
/// missing one had been durable and is damaged, not torn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::journal) struct Vouch(u8);

impl Vouch {
    /// For nothing.
    pub(in crate::journal) const NOTHING: Self = Self(0);
    /// For everything before the mark in front of it, which begins its segment. No void is before that.
    pub(in crate::journal) const BEFORE_MARK: Self = Self(30);
    /// For everything before the void in front of that mark.
    pub(in crate::journal) const BEFORE_VOID: Self = Self(31);

    /// The claim of a record at `placement`, when everything before `durable` is durable and nothing behind it.
    #[inline]
    pub(in crate::journal) const fn of(placement: &Placement, durable: u64) -> Self {
        match (placement.mark, placement.void) {
            (Some(_), None) if durable == placement.start => Self::BEFORE_MARK,
            (Some(_), Some(_)) if durable == placement.start => Self::BEFORE_VOID,
            _ => Self::new(placement.record, durable),
        }
    }

    /// Everything before `durable`, by a record at `position` behind it.
    #[inline]
    pub(in crate::journal) const fn new(position: u64, durable: u64) -> Self {
        let words = (position - durable) / WORD;
        // At most a window, so 25 at most.
        let exponent = words.next_power_of_two().trailing_zeros() as u8;
        if words == 0 { Self(1) } else { Self(2 + exponent) }
    }

    /// The position before which everything was durable when a record at `position` was written, in a segment that
    /// begins at `segment` and has a void before it at `void`, if there is one. 0 if it does not say.
    pub(in crate::journal) const fn durable(
        self,
        position: u64,
        segment: u64,
        void: Option<u64>,
    ) -> u64 {
        match (self, void) {
            (Self::NOTHING, _) | (Self::BEFORE_VOID, None) => 0,
            (Self::BEFORE_VOID, Some(void)) => void,
            // A last word can be left over that no void fits into.
            (Self::BEFORE_MARK, _) => segment.saturating_sub(WORD),
            (Self(1), _) => position,
            (Self(exponent), _) => position.saturating_sub(WORD << (exponent - 2)),
        }
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

/// The half of a position that a header has.
#[inline]
const fn low_half(position: u64) -> u32 {
    (position / WORD) as u32
}

/// True if the second word of a header states this position.
#[inline]
pub(in crate::journal) const fn names(word: u64, position: u64) -> bool {
    // Nothing is not the header of the first position.
    word != 0 && (word >> 32) as u32 == low_half(position)
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
        // 24 bits, as the sizes were checked to be; 3 bits; 5 bits.
        let rest = (len as u32) | (kind as u32) << 24 | (vouch.0 as u32) << 27;
        rest as u64 | (low_half(position) as u64) << 32
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
        let vouch = Vouch((second >> 27 & 0x1f) as u8);
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
        put(&mut bytes, 48, &capacity.to_le_bytes());
        // Powers of two of at most 24, and a number that was checked to fit.
        put(&mut bytes, 56, &[segment.ilog2() as u8, alignment.ilog2() as u8]);
        put(&mut bytes, 58, &((window / segment) as u16).to_le_bytes());
        put(&mut bytes, 60, &(((position / WORD) >> 32) as u32).to_le_bytes());
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
        let position =
            ((u64::from(u32_at(payload, 44)) << 32) | (words[1] >> 32)).checked_mul(WORD)?;
        let is_whole = header.kind == Kind::Mark
            && header.len == MARK
            && header.proves(MARKS, position, payload);
        let segment = 1_u64.checked_shl(payload[40].into())?;
        let geometry = Geometry {
            segment,
            alignment: 1_u64.checked_shl(payload[41].into())?,
            window: segment.checked_mul(u16::from_le_bytes([payload[42], payload[43]]).into())?,
            capacity: u64_at(payload, 32),
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
    use super::Vouch;

    /// By hand: 24 bytes are 3 words, and the next power of two is 4 words, 32 bytes.
    #[test]
    fn a_record_vouches_for_no_more_than_was_durable() {
        let durable = |position, durable| Vouch::new(position, durable).durable(position, 0, None);
        assert_eq!(durable(4096, 4096), 4096);
        assert_eq!(durable(4096, 4088), 4088);
        assert_eq!(durable(4096, 4072), 4064);
        assert_eq!(durable(4096, 0), 0);
        assert_eq!(durable(64, 40), 32);
        assert_eq!(durable(1 << 28, 8), 0, "the largest window");
        assert_eq!(Vouch::NOTHING.durable(4096, 4032, Some(4000)), 0);
        assert_eq!(Vouch::BEFORE_MARK.durable(4096, 4032, None), 4024);
        assert_eq!(Vouch::BEFORE_VOID.durable(4096, 4032, Some(4000)), 4000);
        assert_eq!(Vouch::BEFORE_VOID.durable(4096, 4032, None), 0, "it is lost, too");
    }
}
