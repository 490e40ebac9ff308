//! Records of a log.

use super::LINE;
use cachemaint_format::identity::Identity;
use cachemaint_format::layout::{Layout as _, layout};
use cachemaint_format::tag::{self, Kind};

/// Bytes of the head of a record.
pub(crate) const HEAD: usize = 40;
/// The offset in a record of the tag of the previous one.
pub(crate) const BEFORE: u64 = 8;
/// A compaction fills its records up to this many bytes, unless a single entry is longer.
pub(crate) const FULL: usize = 4096;
/// All commit numbers are below this.
pub(crate) const NUMBERS: u64 = 1 << 63;

/// Returns the size of a record with a body of `bytes`.
pub(crate) const fn in_lines(bytes: u64) -> u64 {
    (HEAD as u64 + bytes).next_multiple_of(LINE)
}

/// The kinds of records. The numbers are part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum RecordKind {
    /// All changes of a transaction, a seal, or the note that regions are in use.
    Commit = 1,
    /// The first record of a log, which an opening for writing, a growth or a compaction begins: the size of the store.
    Base = 3,
    /// Entries as they were at a compaction.
    Snapshot = 4,
}

layout! {
    struct Fields: 40 {
        0 tag: u64,
        8 before: u64,
        16 number: u64,
        24 seconds: u64,
        32 len: u32,
        36 kind: u8,
        37 flags: u8,
        38 epoch: u16,
    }
}

/// The head of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) tag: u64,
    /// The tag of the previous record; 0 in the first one.
    pub(crate) before: u64,
    /// The number of the commit.
    pub(crate) number: u64,
    pub(crate) seconds: u64,
    /// Bytes of the record.
    pub(crate) len: u64,
    pub(crate) kind: RecordKind,
    pub(crate) is_sealed: bool,
}

impl Head {
    /// Reads a head. Returns `None` if it cannot belong to this epoch. Does not verify the tag.
    pub(crate) fn read(bytes: &[u8; HEAD], salt: u64) -> Option<Self> {
        let Fields { tag, before, number, seconds, len, kind, flags, epoch } =
            Fields::from_bytes(bytes);
        let kind = match kind {
            1 => RecordKind::Commit,
            3 => RecordKind::Base,
            4 => RecordKind::Snapshot,
            _ => return None,
        };
        let len = u64::from(len);
        let is_possible = len >= LINE
            && len.is_multiple_of(LINE)
            && (1..NUMBERS).contains(&number)
            && flags < 2
            && epoch == salt as u16;
        let is_sealed = flags & 1 != 0;
        is_possible.then_some(Self { tag, before, number, seconds, len, kind, is_sealed })
    }

    /// Fills in the head of a record, which consists of whole lines, and returns its tag.
    pub(crate) fn write(&self, identity: Identity, salt: u64, at: u64, record: &mut [u8]) -> u64 {
        let fields = Fields {
            tag: 0,
            before: self.before,
            number: self.number,
            seconds: self.seconds,
            // `append` refuses longer ones. A record with this length is invalid.
            len: u32::try_from(record.len()).unwrap_or(u32::MAX),
            kind: self.kind as u8,
            flags: u8::from(self.is_sealed),
            epoch: salt as u16,
        };
        record[..HEAD].copy_from_slice(&fields.to_bytes());
        let tag = tag::of(tag::key(identity, salt, at, Kind::Record), &record[8..]);
        record[..8].copy_from_slice(&tag.to_le_bytes());
        tag
    }
}
