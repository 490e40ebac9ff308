//! The bytes of a table: the beginning of its root, and the entries and children that its pages are made of.

use super::TAG;
use super::{METADATA, NAME, REGION, WORD, stamp};
use crate::format::identity::Identity;
use crate::format::layout::{Layout as _, layout};
use crate::format::tag;
use crate::preserve::format::key;
use crate::preserve::info::Content;
use crate::preserve::stamp::Stamp;

/// The most bytes of a page.
pub(in crate::preserve) const MOST: u64 = 1 << 15;
/// Bytes of the root before its entries or children.
pub(in crate::preserve) const PREAMBLE: usize = 176;
/// Bytes of an entry before its name.
pub(in crate::preserve) const ENTRY: usize = 52;
/// Bytes of a child before its name.
pub(in crate::preserve) const CHILD: usize = 28;

/// Writes the tag of a root to its beginning, and returns the half of the tag that the header stores.
pub(in crate::preserve) fn seal(root: &mut [u8], generation: u64) -> u32 {
    let (tag, rest) = root.split_at_mut(TAG as usize);
    let its_tag = tag::of(key::root(generation), rest);
    tag.copy_from_slice(&its_tag.to_le_bytes());
    its_tag as u32
}

/// The fields between the root's tag and its entries or children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::preserve) struct Preamble {
    pub(in crate::preserve) identity: Identity,
    /// The number of the current history: an even number is the first of the two, an odd one the second.
    pub(in crate::preserve) history: u64,
    pub(in crate::preserve) history_tag: u64,
    /// Bytes of the history.
    pub(in crate::preserve) history_len: u64,
    /// Levels of pages below the root.
    pub(in crate::preserve) level: usize,
    /// Entries of all pages.
    pub(in crate::preserve) blobs: u64,
    /// The circumstances of the commit.
    pub(in crate::preserve) stamp: Stamp,
}

impl Preamble {
    pub(in crate::preserve) fn bytes(&self) -> [u8; PREAMBLE] {
        let fields = PreambleFields {
            tag: 0,
            identity: self.identity.0,
            history: self.history,
            history_tag: self.history_tag,
            // A history has less than 2^16 bytes, and levels and blobs have been checked to fit.
            history_len: self.history_len as u16,
            level: self.level as u16,
            blobs: self.blobs as u32,
            stamp: self.stamp.bytes(),
        };
        fields.to_bytes()
    }

    pub(in crate::preserve) fn read(bytes: &[u8; PREAMBLE]) -> Self {
        let fields = PreambleFields::from_bytes(bytes);
        Self {
            identity: Identity(fields.identity),
            history: fields.history,
            history_tag: fields.history_tag,
            history_len: fields.history_len.into(),
            level: fields.level.into(),
            blobs: fields.blobs.into(),
            stamp: Stamp::read(&fields.stamp),
        }
    }
}

layout! {
    struct PreambleFields: 176 {
        0 tag: u64,
        8 identity: [u8; 16],
        24 history: u64,
        32 history_tag: u64,
        40 history_len: u16,
        42 level: u16,
        44 blobs: u32,
        48 stamp: [u8; stamp::BYTES],
    }
}

/// The fields of an entry before its name and its metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::preserve) struct Entry {
    /// The offset of the blob in the medium.
    pub(in crate::preserve) at: u64,
    /// The number of bytes of the blob.
    pub(in crate::preserve) len: u64,
    /// The caller's version number.
    pub(in crate::preserve) version: u64,
    /// The generation of the commit that put it there.
    pub(in crate::preserve) generation: u64,
    /// The time of the put, in seconds since 1970; 0 if it is not known.
    pub(in crate::preserve) seconds: u64,
    /// The tag of the only chunk, or of the list of tags. Of a region its [`Use`].
    pub(in crate::preserve) tag: u64,
    pub(in crate::preserve) content: Content,
    pub(in crate::preserve) name: usize,
    pub(in crate::preserve) metadata: usize,
}

impl Entry {
    pub(in crate::preserve) fn bytes(&self) -> [u8; ENTRY] {
        let Self { at, len, version, generation, seconds, tag, .. } = *self;
        // Both have been checked to fit.
        let (name, metadata) = (self.name as u8, self.metadata as u16);
        let content = self.content as u8;
        EntryFields { at, len, version, generation, seconds, tag, name, content, metadata }
            .to_bytes()
    }

    /// Returns the entry, or `None` if its fields are impossible.
    pub(in crate::preserve) fn read(bytes: &[u8; ENTRY]) -> Option<Self> {
        let fields = EntryFields::from_bytes(bytes);
        let EntryFields { at, len, version, generation, seconds, tag, .. } = fields;
        let (name, metadata) = (fields.name.into(), fields.metadata.into());
        let (content, has_place) = match fields.content {
            0 => (Content::Blob, true),
            1 => (Content::Region, is_region(at, len)),
            _ => return None,
        };
        let entry = Self { at, len, version, generation, seconds, tag, content, name, metadata };
        let is_possible = (1..=NAME).contains(&name) && metadata <= METADATA && has_place;
        (is_possible && entry.last_use().generation >= generation).then_some(entry)
    }

    /// Returns the bytes of the name and of the whole entry, if this is the beginning of one.
    pub(in crate::preserve) fn span(bytes: &[u8; ENTRY]) -> (usize, usize) {
        let EntryFields { name, metadata, .. } = EntryFields::from_bytes(bytes);
        (name.into(), size(name.into(), metadata.into()) as usize)
    }

    /// Returns the last use of a region. A blob is never dirty, and was put by the commit that created its entry.
    pub(in crate::preserve) const fn last_use(&self) -> Use {
        match self.content {
            Content::Blob => Use { generation: self.generation, is_dirty: false },
            Content::Region => Use::read(self.tag),
        }
    }

    /// Returns the bytes that its blob or region occupies, in whole units, or `None` if it is too long.
    pub(in crate::preserve) fn occupied(&self, unit: u64) -> Option<u64> {
        self.content.occupied(self.len, unit)
    }

    /// Returns the bytes of the entry with its name and its metadata.
    pub(in crate::preserve) const fn size(&self) -> u64 {
        size(self.name, self.metadata)
    }
}

layout! {
    struct EntryFields: 52 {
        0 at: u64,
        8 len: u64,
        16 version: u64,
        24 generation: u64,
        32 seconds: u64,
        40 tag: u64,
        /// Bytes of the name.
        48 name: u8,
        49 content: u8,
        50 metadata: u16,
    }
}

/// The use of a region, as one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::preserve) struct Use {
    /// The generation of the commit that handed it out, or created it.
    pub(in crate::preserve) generation: u64,
    /// True if it was handed out, and not sealed since.
    pub(in crate::preserve) is_dirty: bool,
}

impl Use {
    pub(in crate::preserve) fn word(self) -> u64 {
        self.generation << 1 | u64::from(self.is_dirty)
    }

    const fn read(word: u64) -> Self {
        Self { generation: word >> 1, is_dirty: word & 1 != 0 }
    }
}

/// Returns true if a region can have this place and length.
const fn is_region(at: u64, len: u64) -> bool {
    len > 0 && len.is_multiple_of(REGION) && at.is_multiple_of(REGION)
}

/// Bytes of an entry with so long a name and metadata.
pub(in crate::preserve) const fn size(name: usize, metadata: usize) -> u64 {
    ((ENTRY + name + metadata) as u64).next_multiple_of(WORD)
}

/// A page of the table, as the page above has it. Its name follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::preserve) struct Child {
    /// The places of the page and of its copy.
    pub(in crate::preserve) places: [u64; 2],
    pub(in crate::preserve) tag: u64,
    /// Bytes of the page.
    pub(in crate::preserve) len: u64,
    /// Bytes of the name, which no name in the page is below; 0 for the first child of a page.
    pub(in crate::preserve) name: usize,
}

impl Child {
    pub(in crate::preserve) fn bytes(&self) -> [u8; CHILD] {
        let ([page, copy], tag) = (self.places, self.tag);
        // Both have been checked to fit.
        let (len, name) = (self.len as u16, self.name as u16);
        ChildFields { page, copy, tag, len, name }.to_bytes()
    }

    /// Returns the child, or `None` if neither its page nor its name can be so long.
    pub(in crate::preserve) fn read(bytes: &[u8; CHILD]) -> Option<Self> {
        let ChildFields { page, copy, tag, len, name } = ChildFields::from_bytes(bytes);
        let child = Self { places: [page, copy], tag, len: len.into(), name: name.into() };
        let len = 1..=MOST;
        let is_possible = len.contains(&child.len) && child.len.is_multiple_of(WORD);
        (is_possible && child.name <= NAME).then_some(child)
    }

    /// Returns the bytes of the name, if this is the beginning of a child.
    pub(in crate::preserve) fn name_len(bytes: &[u8; CHILD]) -> usize {
        ChildFields::from_bytes(bytes).name.into()
    }

    /// Returns the bytes of the child with its name.
    pub(in crate::preserve) const fn size(&self) -> u64 {
        child_size(self.name)
    }
}

layout! {
    struct ChildFields: 28 {
        0 page: u64,
        8 copy: u64,
        16 tag: u64,
        24 len: u16,
        /// Bytes of the name.
        26 name: u16,
    }
}

/// Returns the bytes of a child with so long a name.
pub(in crate::preserve) const fn child_size(name: usize) -> u64 {
    ((CHILD + name) as u64).next_multiple_of(WORD)
}
