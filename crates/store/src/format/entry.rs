//! The entries in the records of a log.

use super::record::NUMBERS;
use super::{METADATA, NAME, PAGE, VALUE, WORD, tags};
use alloc::vec::Vec;
use cachemaint_format::layout::{Layout as _, layout};

/// Bytes of the fields of an entry.
pub(crate) const ENTRY: usize = 56;

/// The content of a name after the record of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum EntryKind {
    /// No longer any content.
    Deleted = 0,
    Blob = 1,
    /// A blob of at most 256 bytes, which follow.
    Value = 2,
    Region = 3,
}

layout! {
    struct EntryFields: 56 {
        0 kind: u8,
        1 name: u8,
        2 metadata: u16,
        4 zeros: u32,
        8 version: u64,
        16 len: u64,
        24 at: u64,
        32 tag: u64,
        40 commit: u64,
        48 seconds: u64,
    }
}

/// The fields of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: EntryKind,
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
    /// Its tag, or 0 for a value; for a region, its last use.
    pub(crate) tag: u64,
    /// The number of the commit that put it.
    pub(crate) commit: u64,
    pub(crate) seconds: u64,
}

impl Entry {
    /// Returns the entry that deletes a name.
    pub(crate) const DELETED: Self = Self {
        kind: EntryKind::Deleted,
        name: 0,
        metadata: 0,
        version: 0,
        len: 0,
        at: 0,
        tag: 0,
        commit: 0,
        seconds: 0,
    };

    /// Reads an entry. Returns `None` if its fields are invalid.
    pub(crate) fn read(bytes: &[u8; ENTRY]) -> Option<Self> {
        let EntryFields { kind, name, metadata, zeros, version, len, at, tag, commit, seconds } =
            EntryFields::from_bytes(bytes);
        let kind = match kind {
            0 => EntryKind::Deleted,
            1 => EntryKind::Blob,
            2 => EntryKind::Value,
            3 => EntryKind::Region,
            _ => return None,
        };
        let (name, metadata) = (usize::from(name), usize::from(metadata));
        let is_content = match kind {
            EntryKind::Deleted => metadata == 0 && len == 0,
            EntryKind::Value => len <= VALUE && at == 0 && tag == 0,
            EntryKind::Blob => true,
            EntryKind::Region => len > 0 && len.is_multiple_of(PAGE) && at.is_multiple_of(PAGE),
        };
        let is_possible = (1..=NAME).contains(&name)
            && metadata <= METADATA
            && zeros == 0
            && is_content
            && at < 1 << 62
            && len < 1 << 62
            && commit < NUMBERS;
        let entry = Self { kind, name, metadata, version, len, at, tag, commit, seconds };
        is_possible.then_some(entry)
    }

    /// Appends an entry to a record: its fields, then `bytes`, which are its name, its metadata and its value.
    pub(crate) fn append(&self, bytes: &[u8], record: &mut Vec<u8>) {
        let fields = EntryFields {
            kind: self.kind as u8,
            // `Attributes` refuses longer ones. An entry with one that does not fit is invalid.
            name: u8::try_from(self.name).unwrap_or(0),
            metadata: u16::try_from(self.metadata).unwrap_or(u16::MAX),
            zeros: 0,
            version: self.version,
            len: self.len,
            at: self.at,
            tag: self.tag,
            commit: self.commit,
            seconds: self.seconds,
        };
        record.extend_from_slice(&fields.to_bytes());
        record.extend_from_slice(bytes);
        record.resize(record.len().next_multiple_of(WORD as usize), 0);
    }

    /// Returns the number of bytes of the name, the metadata and the value.
    pub(crate) const fn bytes(&self) -> usize {
        let value = if matches!(self.kind, EntryKind::Value) { self.len as usize } else { 0 };
        self.name + self.metadata + value
    }

    /// Returns the number of bytes of the entry in a record.
    pub(crate) const fn size(&self) -> u64 {
        (ENTRY as u64 + self.bytes() as u64).next_multiple_of(WORD)
    }

    /// Returns the number of bytes that it occupies outside the log, in whole units.
    pub(crate) fn occupied(&self, unit: u64) -> u64 {
        occupied(self.kind, self.len, unit).unwrap_or(u64::MAX)
    }

    /// Returns the last use of a region.
    pub(crate) const fn last_use(&self) -> Use {
        Use { commit: self.tag >> 1, is_dirty: self.tag & 1 != 0 }
    }
}

/// Returns the number of bytes that content of `len` bytes occupies outside the log, in whole units, or `None` if `len`
/// is 2^62 or more.
pub(crate) fn occupied(kind: EntryKind, len: u64, unit: u64) -> Option<u64> {
    let bytes = match kind {
        EntryKind::Deleted | EntryKind::Value => 0,
        _ if len >= 1 << 62 => return None,
        EntryKind::Blob => tags(len).end,
        EntryKind::Region => len,
    };
    Some(bytes.next_multiple_of(unit))
}

/// The last use of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Use {
    /// The number of the commit that created it or last handed it out.
    pub(crate) commit: u64,
    pub(crate) is_dirty: bool,
}

impl Use {
    /// Returns the word of an entry: from its second bit on the number of the commit, which is below 2^63.
    pub(crate) fn word(self) -> u64 {
        self.commit.min(NUMBERS - 1) << 1 | u64::from(self.is_dirty)
    }
}

#[cfg(test)]
mod tests {
    use super::{Entry, EntryKind};

    #[test]
    fn impossible_entries_are_refused() {
        let entry = Entry { name: 1, kind: EntryKind::Blob, ..Entry::DELETED };
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
            Entry { kind: EntryKind::Value, len: 257, ..entry },
            Entry { kind: EntryKind::Region, ..entry },
            Entry { kind: EntryKind::Region, len: 4096, at: 64, ..entry },
            Entry { kind: EntryKind::Deleted, len: 1, ..entry },
        ] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }
}
