//! The bytes of a record's header and of a mark.

use super::geometry::Geometry;
use super::{put, u32_at, u64_at};
use crate::checksum;
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

/// The two words of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::journal) struct Header {
    /// Of the rest and, but for a void, of the payload.
    pub(in crate::journal) checksum: u32,
    pub(in crate::journal) kind: Kind,
    /// Bytes of the payload.
    pub(in crate::journal) len: u64,
    pub(in crate::journal) position: u64,
}

impl Header {
    /// The first word without its checksum.
    #[inline]
    const fn rest(kind: Kind, len: u64) -> u32 {
        // 24 bits, as the sizes were checked to be.
        (len as u32) | (kind as u32) << 24
    }

    /// The checksum of a header, to go on with that of its payload.
    #[inline]
    pub(in crate::journal) fn checksum(seed: u32, kind: Kind, len: u64, position: u64) -> u32 {
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&Self::rest(kind, len).to_le_bytes());
        bytes[4..].copy_from_slice(&position.to_le_bytes());
        checksum::append(seed, &bytes)
    }

    /// The words as they are in the medium.
    #[inline]
    pub(in crate::journal) const fn words(self) -> [u64; 2] {
        let rest = Self::rest(self.kind, self.len);
        [self.checksum as u64 | (rest as u64) << 32, self.position]
    }

    /// The bytes of both words.
    #[inline]
    pub(in crate::journal) fn bytes(self) -> [u8; HEADER as usize] {
        let [first, second] = self.words();
        let mut bytes = [0; HEADER as usize];
        bytes[..8].copy_from_slice(&first.to_le_bytes());
        bytes[8..].copy_from_slice(&second.to_le_bytes());
        bytes
    }

    /// What two words say, if they can be a header.
    #[inline]
    pub(in crate::journal) const fn read([first, position]: [u64; 2]) -> Option<Self> {
        let kind = match first >> 56 {
            1 => Kind::Data,
            2 => Kind::Mark,
            3 => Kind::Void,
            _ => return None,
        };
        Some(Self { checksum: first as u32, kind, len: first >> 32 & MOST, position })
    }
}

/// An epoch: a time between two openings, whose records have a seed of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::journal) struct Epoch {
    /// Its number, which only rises.
    pub(in crate::journal) number: u64,
    /// The seed of its records' checksums.
    pub(in crate::journal) seed: u32,
}

/// What the mark of a segment or an epoch says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::journal) struct Mark {
    pub(in crate::journal) identity: Identity,
    pub(in crate::journal) epoch: Epoch,
    /// All sizes, so that a journal without superblocks can be repaired.
    pub(in crate::journal) geometry: Geometry,
}

/// The seed of marks, which are to be read by whom nothing is known to.
const MARKS: u32 = u32::from_le_bytes(*b"mark");

impl Mark {
    /// Bytes of the whole record.
    pub(in crate::journal) const SIZE: usize = (HEADER + MARK) as usize;

    /// The whole record.
    pub(in crate::journal) fn bytes(&self, position: u64) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        let Geometry { segment, capacity, alignment, window } = self.geometry;
        put(&mut bytes, 16, &self.identity.0);
        put(&mut bytes, 32, &self.epoch.number.to_le_bytes());
        put(&mut bytes, 40, &self.epoch.seed.to_le_bytes());
        // Powers of two of at most 24, and a number that was checked to fit.
        put(&mut bytes, 44, &[segment.ilog2() as u8, alignment.ilog2() as u8]);
        put(&mut bytes, 46, &((window / segment) as u16).to_le_bytes());
        put(&mut bytes, 48, &capacity.to_le_bytes());
        let checksum = Header::checksum(MARKS, Kind::Mark, MARK, position);
        let checksum = checksum::append(checksum, &bytes[HEADER as usize..]);
        let header = Header { checksum, kind: Kind::Mark, len: MARK, position };
        put(&mut bytes, 0, &header.bytes());
        bytes
    }

    /// What a mark's payload says, if it proves itself.
    pub(in crate::journal) fn read(header: Header, payload: &[u8; MARK as usize]) -> Option<Self> {
        let checksum = Header::checksum(MARKS, Kind::Mark, MARK, header.position);
        let is_whole = header.kind == Kind::Mark
            && header.len == MARK
            && checksum::append(checksum, payload) == header.checksum;
        let segment = 1_u64.checked_shl(payload[28].into())?;
        let geometry = Geometry {
            segment,
            alignment: 1_u64.checked_shl(payload[29].into())?,
            window: segment.checked_mul(u16::from_le_bytes([payload[30], payload[31]]).into())?,
            capacity: u64_at(payload, 32),
        };
        let mut identity = [0; 16];
        identity.copy_from_slice(&payload[..16]);
        let epoch = Epoch { number: u64_at(payload, 16), seed: u32_at(payload, 24) };
        // What is counted on from them must not overflow.
        let can_be = |number: &u64| i64::try_from(*number).is_ok();
        let can_be = [header.position, epoch.number].iter().all(can_be);
        let geometry = geometry.checked().filter(|_| is_whole && can_be)?;
        Some(Self { identity: Identity(identity), epoch, geometry })
    }
}

/// The header of a void of `size` bytes in all.
pub(in crate::journal) fn void(identity: Identity, position: u64, size: u64) -> Header {
    let len = size - HEADER;
    let checksum = Header::checksum(void_seed(identity), Kind::Void, len, position);
    Header { checksum, kind: Kind::Void, len, position }
}

/// Whether a header of a void proves itself.
pub(in crate::journal) fn is_void(identity: Identity, header: Header) -> bool {
    header.kind == Kind::Void
        && header.checksum
            == Header::checksum(void_seed(identity), Kind::Void, header.len, header.position)
}

fn void_seed(identity: Identity) -> u32 {
    checksum::append(u32::from_le_bytes(*b"void"), &identity.0)
}
