//! The entry of a blob or region, as callers see it, and the space of a store.

use crate::format::entry::{Entry, EntryKind};
use crate::name::Name;
use core::ops::Range;

/// The content of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Content {
    /// Bytes that are replaced as a whole, and verified when they are read.
    Blob,
    /// Bytes that are used in place, by a [`Region`](crate#regions). They cannot be verified.
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
    /// Bytes of its metadata.
    pub metadata: usize,
    /// True for a region that was handed out and not sealed since by its user: its bytes can be of different moments.
    pub is_dirty: bool,
    /// The number of the commit that put it there. A number is never reused. Of a region it is the number of the commit
    /// that last handed it out or created it: each blob of a higher number was put later.
    pub commit: u64,
    /// The time at which it was put or created, in seconds since 1970-01-01 UTC; 0 if it is not known.
    pub seconds: u64,
    /// The offset of its first byte in the medium. It is in one piece. A blob of at most 256 bytes stands in the log of
    /// the table, and moves there from time to time.
    pub offset: u64,
    /// The number of the commit that created its entry. For a region, `commit` and `tag` change with each use.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) created: u64,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) tag: u64,
    /// The place of its metadata.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) metadata_at: u64,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) kind: EntryKind,
}

impl Info {
    /// Returns the entry of a name, whose metadata and value are at `rest`.
    #[expect(clippy::large_types_passed_by_value, reason = "it is moved into the entry")]
    pub(crate) const fn new(name: Name, entry: &Entry, rest: u64) -> Self {
        let (content, used) = (Content::of(entry.kind), entry.last_use());
        let is_region = matches!(content, Content::Region);
        let is_value = matches!(entry.kind, EntryKind::Value);
        Self {
            name,
            content,
            version: entry.version,
            len: entry.len,
            metadata: entry.metadata,
            is_dirty: is_region && used.is_dirty,
            commit: if is_region { used.commit } else { entry.commit },
            seconds: entry.seconds,
            offset: if is_value { rest + entry.metadata as u64 } else { entry.at },
            created: entry.commit,
            tag: entry.tag,
            metadata_at: rest,
            kind: entry.kind,
        }
    }

    /// Returns the range of its bytes in the medium.
    #[must_use]
    pub const fn range(&self) -> Range<u64> {
        self.offset..self.offset + self.len
    }

    /// Returns true for a blob that stands in the log.
    #[cfg(feature = "alloc")]
    pub(crate) fn is_value(&self) -> bool {
        self.kind == EntryKind::Value
    }

    /// Returns true if both are the same put, or the same region. A value has no place of its own.
    pub(crate) fn is(&self, other: &Self) -> bool {
        (self.len, self.created, self.kind) == (other.len, other.created, other.kind)
            && (self.version, self.metadata) == (other.version, other.metadata)
            && (self.offset == other.offset || self.kind == EntryKind::Value)
            && (self.tag == other.tag || self.content == Content::Region)
    }

    /// Returns true if both are the same put, or the same region, and have the same bytes of the medium.
    pub(crate) fn is_in_place(&self, other: &Self) -> bool {
        self.is(other) && self.offset == other.offset
    }
}

/// The space of a store, in bytes.
#[cfg(feature = "alloc")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Capacity {
    /// The space for blobs, regions and the log of the table in all.
    pub total: u64,
    /// The space in use, in whole units.
    pub used: u64,
    /// The free space.
    pub free: u64,
    /// The largest free piece: a blob fits if it has at most as many bytes, less 8 for each 64 KiB.
    pub largest: u64,
}
