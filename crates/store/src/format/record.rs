//! Records of a log, and the entries in them.

use super::{LINE, METADATA, NAME, VALUE, WORD};
use crate::info::Content;
#[cfg(feature = "alloc")]
use alloc::vec::Vec;
use cachemaint_format::identity::Identity;
use cachemaint_format::layout::{Layout as _, layout};
use cachemaint_format::tag::{self, Kind};

/// Bytes of the head of a record.
pub(crate) const HEAD: usize = 40;
/// Bytes of the fields of an entry.
pub(crate) const ENTRY: usize = 56;
/// Bytes of a base without a history.
pub(crate) const BASE: u64 = 64;
/// Bytes of the record of an opening.
pub(crate) const OPENING: u64 = 192;
/// A compaction fills its records up to this many bytes, unless one entry is longer.
#[cfg(feature = "alloc")]
pub(crate) const FULL: usize = 4096;
/// No commit has this number or a higher one.
pub(crate) const NUMBERS: u64 = 1 << 63;

/// Returns the bytes of the record of entries that have `bytes` together.
pub(crate) const fn in_lines(bytes: u64) -> u64 {
    (HEAD as u64 + bytes).next_multiple_of(LINE)
}

/// The kinds of records. The numbers are those of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum What {
    /// All changes of a transaction, a seal, or the note that regions are used.
    Commit = 1,
    /// An opening for writing, or a growth: its boot, and the size of the store.
    Opening = 2,
    /// The first record of a log: the number of entries in the snapshots after it, and the history.
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
        36 what: u8,
        37 flags: u8,
        38 zeros: u16,
    }
}

/// The head of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) tag: u64,
    /// The tag of the record before; 0 in the first one.
    pub(crate) before: u64,
    /// The number of the commit.
    pub(crate) number: u64,
    pub(crate) seconds: u64,
    /// Bytes of the record.
    pub(crate) len: u64,
    pub(crate) what: What,
    pub(crate) is_sealed: bool,
    /// True if the blobs were durable before the record was written.
    pub(crate) is_durable: bool,
}

impl Head {
    /// Reads a head; `None` if no record has it. The tag is not verified.
    pub(crate) fn read(bytes: &[u8; HEAD]) -> Option<Self> {
        let Fields { tag, before, number, seconds, len, what, flags, zeros } =
            Fields::from_bytes(bytes);
        let what = match what {
            1 => What::Commit,
            2 => What::Opening,
            3 => What::Base,
            4 => What::Snapshot,
            _ => return None,
        };
        let len = u64::from(len);
        let is_possible = len >= LINE
            && len.is_multiple_of(LINE)
            && (1..NUMBERS).contains(&number)
            && flags < 4
            && zeros == 0;
        let (is_sealed, is_durable) = (flags & 1 != 0, flags & 2 != 0);
        is_possible.then_some(Self {
            tag,
            before,
            number,
            seconds,
            len,
            what,
            is_sealed,
            is_durable,
        })
    }

    /// Fills in the head of a record, whose bytes are whole lines, and its tag. Returns the tag.
    #[cfg(feature = "alloc")]
    pub(crate) fn write(&self, key: u64, record: &mut [u8]) -> u64 {
        let fields = Fields {
            tag: 0,
            before: self.before,
            number: self.number,
            seconds: self.seconds,
            len: record.len() as u32,
            what: self.what as u8,
            flags: u8::from(self.is_sealed) | u8::from(self.is_durable) << 1,
            zeros: 0,
        };
        record[..HEAD].copy_from_slice(&fields.to_bytes());
        let tag = tag::of(key, &record[8..]);
        record[..8].copy_from_slice(&tag.to_le_bytes());
        tag
    }
}

/// Returns the key of the record at a position in the log of an epoch.
pub(crate) fn key(identity: Identity, salt: u64, at: u64) -> u64 {
    tag::key(identity, salt, at, Kind::Record)
}

/// Returns a record without a head yet.
#[cfg(feature = "alloc")]
pub(crate) fn begin() -> Vec<u8> {
    alloc::vec![0; HEAD]
}

/// The content of an entry's name after its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Is {
    /// Nothing any more.
    Deleted = 0,
    Blob = 1,
    /// A blob of at most 256 bytes, which follow.
    Value = 2,
    Region = 3,
}

layout! {
    struct EntryFields: 56 {
        0 is: u8,
        1 name: u8,
        2 metadata: u16,
        4 zeros: u32,
        8 version: u64,
        16 len: u64,
        24 at: u64,
        32 tag: u64,
        40 generation: u64,
        48 seconds: u64,
    }
}

/// The fields of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) is: Is,
    /// Bytes of the name.
    pub(crate) name: usize,
    /// Bytes of the metadata.
    pub(crate) metadata: usize,
    /// The caller's version.
    pub(crate) version: u64,
    /// Bytes of the blob or region.
    pub(crate) len: u64,
    /// Its offset; 0 for a value.
    pub(crate) at: u64,
    /// Its tag; for a region its last use.
    pub(crate) tag: u64,
    /// The number of the commit that put it.
    pub(crate) generation: u64,
    pub(crate) seconds: u64,
}

impl Entry {
    /// Returns the entry that deletes a name.
    #[cfg(feature = "alloc")]
    pub(crate) const DELETED: Self = Self {
        is: Is::Deleted,
        name: 0,
        metadata: 0,
        version: 0,
        len: 0,
        at: 0,
        tag: 0,
        generation: 0,
        seconds: 0,
    };

    /// Reads an entry; `None` if its fields are invalid.
    pub(crate) fn read(bytes: &[u8; ENTRY]) -> Option<Self> {
        let EntryFields { is, name, metadata, zeros, version, len, at, tag, generation, seconds } =
            EntryFields::from_bytes(bytes);
        let is = match is {
            0 => Is::Deleted,
            1 => Is::Blob,
            2 => Is::Value,
            3 => Is::Region,
            _ => return None,
        };
        let (name, metadata) = (usize::from(name), usize::from(metadata));
        let is_content = match is {
            Is::Deleted => metadata == 0 && len == 0,
            Is::Value => len <= VALUE,
            Is::Blob => true,
            Is::Region => {
                len > 0 && len.is_multiple_of(super::PAGE) && at.is_multiple_of(super::PAGE)
            }
        };
        let is_possible = (1..=NAME).contains(&name)
            && metadata <= METADATA
            && zeros == 0
            && is_content
            && at < 1 << 62
            && len < 1 << 62
            && generation < NUMBERS;
        let entry = Self { is, name, metadata, version, len, at, tag, generation, seconds };
        is_possible.then_some(entry)
    }

    /// Appends an entry to a record: its fields, and `bytes`, which are its name, its metadata and its value.
    #[cfg(feature = "alloc")]
    pub(crate) fn append(&self, bytes: &[u8], record: &mut Vec<u8>) {
        let fields = EntryFields {
            is: self.is as u8,
            name: self.name as u8,
            metadata: self.metadata as u16,
            zeros: 0,
            version: self.version,
            len: self.len,
            at: self.at,
            tag: self.tag,
            generation: self.generation,
            seconds: self.seconds,
        };
        record.extend_from_slice(&fields.to_bytes());
        record.extend_from_slice(bytes);
        record.resize(record.len().next_multiple_of(WORD as usize), 0);
    }

    /// Returns the bytes of the name, the metadata and the value.
    pub(crate) const fn bytes(&self) -> usize {
        let value = if matches!(self.is, Is::Value) { self.len as usize } else { 0 };
        self.name + self.metadata + value
    }

    /// Returns the bytes of the entry in a record.
    pub(crate) const fn size(&self) -> u64 {
        (ENTRY as u64 + self.bytes() as u64).next_multiple_of(WORD)
    }

    /// Returns the bytes that it occupies outside the log, in whole units.
    #[cfg(feature = "alloc")]
    pub(crate) fn occupied(&self, unit: u64) -> u64 {
        let content = match self.is {
            Is::Deleted | Is::Value => return 0,
            Is::Blob => Content::Blob,
            Is::Region => Content::Region,
        };
        content.occupied(self.len, unit).unwrap_or(u64::MAX)
    }

    pub(crate) const fn content(&self) -> Content {
        if matches!(self.is, Is::Region) { Content::Region } else { Content::Blob }
    }

    /// Returns the last use of a region.
    pub(crate) const fn last_use(&self) -> Use {
        Use { generation: self.tag >> 1, is_dirty: self.tag & 1 != 0 }
    }
}

/// The last use of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Use {
    /// The number of the commit that last handed it out, or created it.
    pub(crate) generation: u64,
    pub(crate) is_dirty: bool,
}

impl Use {
    #[cfg(feature = "alloc")]
    pub(crate) const fn word(self) -> u64 {
        self.generation << 1 | self.is_dirty as u64
    }
}

#[cfg(test)]
#[cfg(feature = "alloc")]
mod tests {
    use super::{Entry, Is};

    #[test]
    fn impossible_entries_are_refused() {
        let entry = Entry { name: 1, is: Is::Blob, ..Entry::DELETED };
        let read = |entry: Entry| {
            let mut record = alloc::vec::Vec::new();
            entry.append(b"a", &mut record);
            Entry::read(record.first_chunk().unwrap())
        };
        assert_eq!(read(entry), Some(entry));
        for wrong in [
            Entry { name: 0, ..entry },
            Entry { len: 1 << 62, ..entry },
            Entry { at: u64::MAX, ..entry },
            Entry { metadata: 4097, ..entry },
            Entry { is: Is::Value, len: 257, ..entry },
            Entry { is: Is::Region, ..entry },
            Entry { is: Is::Region, len: 4096, at: 64, ..entry },
            Entry { is: Is::Deleted, len: 1, ..entry },
        ] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }
}
