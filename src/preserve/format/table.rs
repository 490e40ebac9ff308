//! The bytes of a table: the beginning of its root, and the entries and children that its pages are made of.

#[cfg(any(feature = "preserve", test))]
use super::TAG;
use super::{METADATA, NAME, WORD, page, stamp};
#[cfg(any(feature = "preserve", test))]
use crate::format::fields::put;
use crate::format::fields::{u16_at, u32_at, u64_at};
#[cfg(feature = "preserve")]
use crate::format::tag;
use crate::preserve::Identity;
#[cfg(feature = "preserve")]
use crate::preserve::format::key;
use crate::preserve::stamp::Stamp;

/// Bytes of the root before its entries or children.
pub(in crate::preserve) const PREAMBLE: usize = 176;
/// Bytes of an entry before its name.
pub(in crate::preserve) const ENTRY: usize = 52;
/// Bytes of a child before its name.
pub(in crate::preserve) const CHILD: usize = 28;

/// Puts its tag to the beginning of a root, and returns the half that the header has, too.
#[cfg(feature = "preserve")]
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
    /// Which of the two histories holds: the number of the boots that there have been.
    pub(in crate::preserve) history: u64,
    pub(in crate::preserve) history_tag: u64,
    /// Its bytes.
    pub(in crate::preserve) history_len: u64,
    /// Levels of pages below the root.
    pub(in crate::preserve) level: usize,
    /// Entries of all pages.
    pub(in crate::preserve) blobs: u64,
    /// When it was written.
    pub(in crate::preserve) stamp: Stamp,
}

impl Preamble {
    #[cfg(any(feature = "preserve", test))]
    pub(in crate::preserve) fn bytes(&self) -> [u8; PREAMBLE] {
        let mut bytes = [0; PREAMBLE];
        put(&mut bytes, 8, &self.identity.0);
        put(&mut bytes, 24, &self.history.to_le_bytes());
        put(&mut bytes, 32, &self.history_tag.to_le_bytes());
        // A history has less than 2^16 bytes, and levels and blobs have been checked to fit.
        put(&mut bytes, 40, &(self.history_len as u16).to_le_bytes());
        put(&mut bytes, 42, &(self.level as u16).to_le_bytes());
        put(&mut bytes, 44, &(self.blobs as u32).to_le_bytes());
        put(&mut bytes, 48, &self.stamp.bytes());
        bytes
    }

    pub(in crate::preserve) fn read(bytes: &[u8; PREAMBLE]) -> Self {
        let mut identity = [0; 16];
        identity.copy_from_slice(&bytes[8..24]);
        let mut stamp = [0; stamp::BYTES];
        stamp.copy_from_slice(&bytes[48..]);
        Self {
            identity: Identity(identity),
            history: u64_at(bytes, 24),
            history_tag: u64_at(bytes, 32),
            history_len: u16_at(bytes, 40).into(),
            level: u16_at(bytes, 42).into(),
            blobs: u32_at(bytes, 44).into(),
            stamp: Stamp::read(&stamp),
        }
    }
}

/// What an entry says of its blob, beside name and metadata, which follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::preserve) struct Entry {
    /// Where the blob begins.
    pub(in crate::preserve) at: u64,
    /// Its bytes.
    pub(in crate::preserve) len: u64,
    /// The caller's.
    pub(in crate::preserve) version: u64,
    /// Which commit put it there.
    pub(in crate::preserve) generation: u64,
    /// When, in seconds since 1970; 0 if it is not known.
    pub(in crate::preserve) seconds: u64,
    /// The tag of the only chunk, or of the list of tags.
    pub(in crate::preserve) tag: u64,
    pub(in crate::preserve) name: usize,
    pub(in crate::preserve) metadata: usize,
}

impl Entry {
    #[cfg(any(feature = "preserve", test))]
    pub(in crate::preserve) fn bytes(&self) -> [u8; ENTRY] {
        let mut bytes = [0; ENTRY];
        put(&mut bytes, 0, &self.at.to_le_bytes());
        put(&mut bytes, 8, &self.len.to_le_bytes());
        put(&mut bytes, 16, &self.version.to_le_bytes());
        put(&mut bytes, 24, &self.generation.to_le_bytes());
        put(&mut bytes, 32, &self.seconds.to_le_bytes());
        put(&mut bytes, 40, &self.tag.to_le_bytes());
        // Both have been checked to fit.
        put(&mut bytes, 48, &(self.name as u16).to_le_bytes());
        put(&mut bytes, 50, &(self.metadata as u16).to_le_bytes());
        bytes
    }

    /// The entry; `None` if its name or its metadata cannot be so long.
    pub(in crate::preserve) fn read(bytes: &[u8; ENTRY]) -> Option<Self> {
        let entry = Self {
            at: u64_at(bytes, 0),
            len: u64_at(bytes, 8),
            version: u64_at(bytes, 16),
            generation: u64_at(bytes, 24),
            seconds: u64_at(bytes, 32),
            tag: u64_at(bytes, 40),
            name: u16_at(bytes, 48).into(),
            metadata: u16_at(bytes, 50).into(),
        };
        let is_possible = (1..=NAME).contains(&entry.name) && entry.metadata <= METADATA;
        is_possible.then_some(entry)
    }

    /// Bytes of the entry with what follows.
    pub(in crate::preserve) const fn size(&self) -> u64 {
        size(self.name, self.metadata)
    }
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
    #[cfg(any(feature = "preserve", test))]
    pub(in crate::preserve) fn bytes(&self) -> [u8; CHILD] {
        let mut bytes = [0; CHILD];
        put(&mut bytes, 0, &self.places[0].to_le_bytes());
        put(&mut bytes, 8, &self.places[1].to_le_bytes());
        put(&mut bytes, 16, &self.tag.to_le_bytes());
        // Both have been checked to fit.
        put(&mut bytes, 24, &(self.len as u16).to_le_bytes());
        put(&mut bytes, 26, &(self.name as u16).to_le_bytes());
        bytes
    }

    /// Returns the child, or `None` if neither its page nor its name can be so long.
    pub(in crate::preserve) fn read(bytes: &[u8; CHILD]) -> Option<Self> {
        let child = Self {
            places: [u64_at(bytes, 0), u64_at(bytes, 8)],
            tag: u64_at(bytes, 16),
            len: u16_at(bytes, 24).into(),
            name: u16_at(bytes, 26).into(),
        };
        let len = 1..=page::MOST;
        let is_possible = len.contains(&child.len) && child.len.is_multiple_of(WORD);
        (is_possible && child.name <= NAME).then_some(child)
    }

    /// Returns the bytes of the child with its name.
    pub(in crate::preserve) const fn size(&self) -> u64 {
        child_size(self.name)
    }
}

/// Returns the bytes of a child with so long a name.
pub(in crate::preserve) const fn child_size(name: usize) -> u64 {
    ((CHILD + name) as u64).next_multiple_of(WORD)
}
