//! The entry of a blob in the table, and its name.

use super::format::NAME;
use super::format::record::{Entry, Is};
use cachemaint::medium::Readable;
use core::fmt;
use core::ops::Range;

/// The name of a blob or region. In an error it is at most the first 62 bytes of the name, which keep a `Result` small.
///
/// `{}` prints it as it is. `{:?}` prints it in quotes, with escapes for characters that are not printable, and with dots if
/// it is cut.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name<const BYTES: usize = NAME> {
    bytes: [u8; BYTES],
    len: u8,
    is_cut: bool,
}

/// A name in an error.
pub(super) type ShortName = Name<62>;

impl Name {
    /// Reads a name of `len` bytes, which must be a permitted length. `None` if it is not UTF-8.
    pub(super) fn read<E: core::error::Error>(
        medium: &dyn Readable<Error = E>,
        at: u64,
        len: usize,
    ) -> Result<Option<Self>, E> {
        let mut name = Self { bytes: [0; NAME], len: len as u8, is_cut: false };
        medium.read(at, &mut name.bytes[..len])?;
        Ok(core::str::from_utf8(name.as_bytes()).is_ok().then_some(name))
    }
}

impl<const BYTES: usize> Name<BYTES> {
    /// Returns a name, cut if it is too long.
    pub(super) fn of(name: &str) -> Self {
        let mut len = name.len().min(BYTES);
        while !name.is_char_boundary(len) {
            len -= 1;
        }
        let mut bytes = [0; BYTES];
        bytes[..len].copy_from_slice(&name.as_bytes()[..len]);
        Self { bytes, len: len as u8, is_cut: len < name.len() }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len.into()]
    }

    pub(super) fn as_str(&self) -> &str {
        // Valid UTF-8: the name was checked when it was read, or was text before.
        core::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

/// The text.
impl<const BYTES: usize> core::ops::Deref for Name<BYTES> {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl<const BYTES: usize> fmt::Debug for Name<BYTES> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}{}", self.as_str(), if self.is_cut { "..." } else { "" })
    }
}

impl<const BYTES: usize> fmt::Display for Name<BYTES> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text.
#[cfg(feature = "serde")]
impl<const BYTES: usize> serde::Serialize for Name<BYTES> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

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

/// The entry of a blob or a region in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Info {
    /// The name of the blob or region.
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
    pub generation: u64,
    /// The time at which it was put or created, in seconds since 1970-01-01 UTC; 0 if it is not known.
    pub seconds: u64,
    /// The offset of its first byte in the medium. It is in one piece. A blob of at most 256 bytes stands in the log of
    /// the table, and moves there from time to time.
    pub offset: u64,
    /// The number of the commit that created its entry. For a region, `generation` and `tag` change with each use.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(super) created: u64,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(super) tag: u64,
    /// The place of its metadata.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(super) metadata_at: u64,
    /// True for a blob that stands in the log.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(super) is_value: bool,
}

impl Info {
    /// Returns the entry of a name, whose metadata and value are at `rest`.
    #[expect(clippy::large_types_passed_by_value, reason = "it is moved into the entry")]
    pub(super) const fn of(name: Name, entry: &Entry, rest: u64) -> Self {
        let (content, used) = (entry.content(), entry.last_use());
        let is_region = matches!(content, Content::Region);
        let is_value = matches!(entry.is, Is::Value);
        Self {
            name,
            content,
            version: entry.version,
            len: entry.len,
            metadata: entry.metadata,
            is_dirty: is_region && used.is_dirty,
            generation: if is_region { used.generation } else { entry.generation },
            seconds: entry.seconds,
            offset: if is_value { rest + entry.metadata as u64 } else { entry.at },
            created: entry.generation,
            tag: entry.tag,
            metadata_at: rest,
            is_value,
        }
    }

    /// Returns the range of its bytes in the medium.
    #[must_use]
    pub const fn range(&self) -> Range<u64> {
        self.offset..self.offset + self.len
    }

    /// Returns true if both are the same put, or the same region. A value has no place of its own.
    pub(super) fn is(&self, other: &Self) -> bool {
        (self.len, self.created, self.content, self.is_value)
            == (other.len, other.created, other.content, other.is_value)
            && (self.offset == other.offset || self.is_value)
            && (self.tag == other.tag || self.content == Content::Region)
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
