//! The bytes of a record's header and of a mark.

use super::geometry::{HEADER, MARK, WORD};
use cachemaint_format::identity::Identity;
use cachemaint_format::layout::{Layout as _, layout};
use cachemaint_format::tag;

/// The kind of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A record that was appended.
    Data = 1,
    /// The start of a segment or an epoch.
    Mark = 2,
    /// Padding without a record.
    Void = 3,
}

/// The claim of a record that everything before some position was durable when the record was written.
///
/// It is stored as the distance to that position in words, plus 1. If an intact record vouches for a missing one, the
/// missing one had been durable, so it is damaged, not torn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Vouch(u32);

impl Vouch {
    /// No claim.
    pub(super) const NOTHING: Self = Self(0);

    /// Returns the claim of a record at `position` that everything before `durable` was durable.
    #[inline]
    pub(super) const fn new(position: u64, durable: u64) -> Self {
        // Less than the largest window less a header, so it fits into 21 bits.
        Self(1 + ((position - durable) / WORD) as u32)
    }

    /// Returns the position before which everything was durable when a record at `position` was written, or 0.
    pub(super) const fn durable(self, position: u64) -> u64 {
        match self.0 as u64 {
            0 => 0,
            code => position.saturating_sub((code - 1) * WORD),
        }
    }
}

/// The two words of a header, without the position that they state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The hash of the other fields, the position and the payload.
    pub(super) tag: u64,
    pub(super) kind: Kind,
    pub(super) vouch: Vouch,
    /// Bytes of the payload.
    pub(super) len: u64,
}

/// Returns the bits that state the position in a header. The low bits distinguish positions within a segment. The upper
/// bits are mixed in, so that remains of earlier laps in the same place state another position.
#[inline]
const fn stated(position: u64) -> u16 {
    let words = position / WORD;
    // 2^64 divided by the golden ratio: consecutive numbers get very different bits.
    let mixed = (words >> 16).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
    (words & 0xffff ^ mixed) as u16
}

/// Returns true if the second word of a header states this position.
#[inline]
pub(super) const fn names(word: u64, position: u64) -> bool {
    // Zeros are not the header of the first position.
    word != 0 && (word >> 48) as u16 == stated(position)
}

impl Header {
    /// Returns a header that still lacks its tag.
    #[inline]
    pub(super) const fn untagged(kind: Kind, vouch: Vouch, len: u64) -> Self {
        Self { tag: 0, kind, vouch, len }
    }

    /// Returns the header of a record or a mark with this payload.
    #[inline]
    pub(super) fn of(key: u64, kind: Kind, vouch: Vouch, payload: &[u8], position: u64) -> Self {
        let header = Self::untagged(kind, vouch, payload.len() as u64);
        Self { tag: tag::of(header.seed(key, position), payload), ..header }
    }

    /// Returns true if the payload belongs to this header, at this position, in the key's epoch.
    #[inline]
    pub(super) fn proves(&self, key: u64, position: u64, payload: &[u8]) -> bool {
        tag::of(self.seed(key, position), payload) == self.tag
    }

    /// Returns the seed of the tag.
    #[inline]
    pub(super) fn seed(&self, key: u64, position: u64) -> u64 {
        tag::of_words(key, [self.second_word(position), position])
    }

    /// Returns the word after the tag.
    #[inline]
    pub(super) const fn second_word(&self, position: u64) -> u64 {
        let Self { kind, vouch, len, .. } = *self;
        // The sizes were checked: the fields have 24, 3, 21 and 16 bits.
        len | (kind as u64) << 24 | (vouch.0 as u64) << 27 | (stated(position) as u64) << 48
    }

    /// Returns the bytes of both words.
    #[inline]
    pub(super) fn bytes(&self, position: u64) -> [u8; HEADER as usize] {
        let mut bytes = [0; HEADER as usize];
        bytes[..8].copy_from_slice(&self.tag.to_le_bytes());
        bytes[8..].copy_from_slice(&self.second_word(position).to_le_bytes());
        bytes
    }

    /// Returns the header in two words, or `None` if their kind is unknown.
    #[inline]
    pub(super) const fn read([tag, second]: [u64; 2]) -> Option<Self> {
        let kind = match second >> 24 & 0x7 {
            1 => Kind::Data,
            2 => Kind::Mark,
            3 => Kind::Void,
            _ => return None,
        };
        let vouch = Vouch((second >> 27 & 0x1f_ffff) as u32);
        Some(Self { tag, kind, vouch, len: second & 0xff_ffff })
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

/// The content of the mark at the beginning of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) epoch: Epoch,
    /// The end of the records before the epoch. The epoch begins at the first start of a segment from there on.
    pub(super) before: u64,
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
    pub(super) fn bytes(&self, identity: Identity, position: u64) -> [u8; Self::SIZE] {
        let Self { epoch: Epoch { number: epoch, key }, before } = *self;
        let payload = MarkFields { identity: identity.0, epoch, key, before, position }.to_bytes();
        let of_mark = tag::key(identity, epoch, position, tag::Kind::JournalMark);
        let header = Header::of(of_mark, Kind::Mark, Vouch::NOTHING, &payload, position);
        let mut bytes = [0; Self::SIZE];
        bytes[..HEADER as usize].copy_from_slice(&header.bytes(position));
        bytes[HEADER as usize..].copy_from_slice(&payload);
        bytes
    }

    /// Returns the position and the content of a mark, if it belongs to this journal and its tag matches.
    pub(super) fn read(
        identity: Identity,
        words: [u64; 2],
        payload: &[u8; MARK as usize],
    ) -> Option<(u64, Self)> {
        let header = Header::read(words)?;
        let MarkFields { identity: of, epoch, key, before, position } =
            MarkFields::from_bytes(payload);
        let of_mark = tag::key(identity, epoch, position, tag::Kind::JournalMark);
        let is_whole = header.kind == Kind::Mark
            && header.len == MARK
            && of == identity.0
            // Arithmetic on these numbers must not overflow.
            && before <= position
            && i64::try_from(position).is_ok()
            && names(words[1], position)
            && header.proves(of_mark, position, payload);
        is_whole.then_some((position, Self { epoch: Epoch { number: epoch, key }, before }))
    }
}

/// Returns the header of a void of `size` bytes in all.
pub(super) fn void(key: u64, position: u64, size: u64) -> [u8; HEADER as usize] {
    let header = Header::untagged(Kind::Void, Vouch::NOTHING, size - HEADER);
    Header { tag: tag::of(header.seed(key, position), &[]), ..header }.bytes(position)
}

#[cfg(test)]
mod tests {
    use super::{Vouch, names};

    /// By hand: a record of 16 bytes at the end of a window of 16 MiB.
    #[test]
    fn the_largest_window_fits_into_the_field() {
        const MOST: u64 = (16 << 20) - 16;
        let vouch = Vouch::new(MOST + 8, 8);
        assert!(vouch.0 < 1 << 21);
        assert_eq!(vouch.durable(MOST + 8), 8);
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
