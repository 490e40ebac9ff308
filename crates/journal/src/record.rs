//! The bytes of a record's header and of a mark.

use super::geometry::{GOLDEN, HEADER, MARK, WORD};
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

/// Returns the second word of a header: the length of the payload, the kind, the claim that everything before `durable` was
/// durable when the record was written, and 16 bits of the position. The claim is the distance to `durable` in words, plus
/// 1.
///
/// The low bits of the position distinguish those within a segment. The upper bits are mixed in, so that remains of
/// earlier laps in the same place state another position.
#[inline]
pub(super) const fn second_word(kind: Kind, durable: u64, len: u64, position: u64) -> u64 {
    let words = position / WORD;
    let mixed = (words >> 16).wrapping_mul(GOLDEN) >> 48;
    // Less than the largest window less a header, so it fits into 21 bits. The other fields have 24, 3 and 16 bits.
    let claim = 1 + (position - durable) / WORD;
    len | (kind as u64) << 24 | claim << 27 | (words ^ mixed) << 48
}

/// Returns true if the second word of a header states this position.
#[inline]
pub(super) const fn names(word: u64, position: u64) -> bool {
    // Zeros are not the header of the first position.
    word != 0 && word >> 48 == second_word(Kind::Data, position, 0, position) >> 48
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
        let kind = match second >> 24 & 0x7 {
            1 => Kind::Data,
            2 => Kind::Mark,
            _ => return None,
        };
        Some(Self { tag, second, kind, len: second & 0xff_ffff })
    }

    /// Returns true if the payload belongs to this header, at this position, in the key's epoch.
    #[inline]
    pub(super) fn proves(&self, key: u64, position: u64, payload: &[u8]) -> bool {
        tag::of(seed(key, self.second, position), payload) == self.tag
    }

    /// Returns the position before which everything was durable when a record at `position` was written, or 0.
    pub(super) const fn durable(&self, position: u64) -> u64 {
        match self.second >> 27 & 0x1f_ffff {
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
