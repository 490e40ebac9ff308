//! The entry of a blob or region, as callers see it, and the space in a store.

use crate::format::entry::{Entry, EntryKind};
use crate::name::Name;
use core::ops::Range;

/// The content of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Content {
    /// Bytes that are replaced as a whole and verified when read.
    Blob,
    /// Bytes that are used in place, through a [`Region`](crate#regions). They cannot be verified.
    Region,
}

impl Content {
    pub(crate) const fn of(kind: EntryKind) -> Self {
        if matches!(kind, EntryKind::Region) { Self::Region } else { Self::Blob }
    }
}

/// The entry of a blob or a region in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Info {
    /// The name of the blob or region; `&info.name` is a `&str`.
    pub name: Name,
    /// Blob or region.
    pub content: Content,
    /// The caller's version number, which only the caller [compares](crate#upgrade-and-rollback).
    pub version: u64,
    /// The length of the blob or region in bytes.
    pub len: u64,
    /// Length of its metadata in bytes.
    pub metadata: usize,
    /// True for a region that was handed out and has not been sealed by its user since: its bytes can be from different
    /// moments.
    pub is_dirty: bool,
    /// The number of the commit that put it there. A number is never reused. For a region, it is the commit that
    /// created it or last handed it out: any blob with a higher number was put later.
    pub commit: u64,
    /// The time when it was put or created, in seconds since 1970-01-01 UTC, or 0 if unknown.
    pub seconds: u64,
    /// The offset of its first byte in the medium. It is contiguous. 0 for a blob in the log of the table, which has at
    /// most 256 bytes.
    pub offset: u64,
    /// The number of the commit that created its entry. For a region, `commit` and `tag` change with each use.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) created: u64,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) tag: u64,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) kind: EntryKind,
}

impl Info {
    /// Returns the entry of a name.
    pub(crate) const fn new(name: Name, entry: &Entry) -> Self {
        let (content, used) = (Content::of(entry.kind), entry.last_use());
        let is_region = matches!(content, Content::Region);
        Self {
            name,
            content,
            version: entry.version,
            len: entry.len,
            metadata: entry.metadata,
            is_dirty: is_region && used.is_dirty,
            commit: if is_region { used.commit } else { entry.commit },
            seconds: entry.seconds,
            offset: entry.at,
            created: entry.commit,
            tag: entry.tag,
            kind: entry.kind,
        }
    }

    /// Returns the range of its bytes in the medium.
    #[must_use]
    pub const fn range(&self) -> Range<u64> {
        self.offset..self.offset + self.len
    }

    /// Returns true for a blob that is stored in the log.
    pub(crate) fn is_value(&self) -> bool {
        self.kind == EntryKind::Value
    }

    /// Returns true if both are from the same put, or are the same region, with the same bytes of the medium.
    pub(crate) fn is(&self, other: &Self) -> bool {
        (self.len, self.created, self.kind) == (other.len, other.created, other.kind)
            && (self.version, self.metadata) == (other.version, other.metadata)
            && self.offset == other.offset
            && (self.tag == other.tag || self.content == Content::Region)
    }
}

/// The space in a store, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Capacity {
    /// The total space for blobs, regions and the log of the table.
    pub total: u64,
    /// The free space, in whole units.
    pub free: u64,
    /// The largest free piece. A blob fits if it has at most this many bytes, less 8 for each 64 KiB.
    pub largest: u64,
}
