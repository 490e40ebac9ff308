//! The findings about a journal's records: their number, their end and the damage there.

use super::geometry::Position;
use core::fmt;

/// The content of a journal, as an opening or a verification found it. A new journal has the default value.
///
/// Beside a writer, `torn`, `after_gap` and `root_lost` can be what is under way now: verify again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Recovered {
    /// The oldest record.
    pub head: Position,
    /// The end of the last record that counts.
    pub end: Position,
    /// The number of records that count.
    pub records: u64,
    /// The number of bytes in their payloads.
    pub bytes: u64,
    /// True if a record was under way at the end in a crash, perhaps an earlier one, and does not count. It had not been
    /// acknowledged, unless it was the last one before a power cut and is damaged since.
    pub torn: bool,
    /// The number of whole records after the end that do not count: they were under way in a crash together with a
    /// missing record before them. [`Reader::salvage`](super::Reader::salvage) returns them, until the journal is opened for appending.
    pub after_gap: u64,
    /// The damage at the end, if a record that had been durable is lost there.
    pub damage: Option<Damage>,
    /// True if a copy of the root is torn or damaged. If a crash tore it, the trim, opening or closing that stored it had
    /// not returned. If both copies of the newest one are damaged, the last trim or closing is undone: trimmed records can
    /// be here again.
    pub root_lost: bool,
}

/// A place at which a record had been durable and is no longer valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Damage {
    /// The position of the damage.
    pub at: Position,
    /// The offset of this position in the medium, in bytes.
    pub offset: u64,
    /// A position that was written when the damaged record had already been durable. Of [unreadable](Fault::Unreadable) bytes
    /// it can be their own.
    pub evidence: Position,
    /// The reason why the record is not valid.
    pub fault: Fault,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, offset, evidence, fault } = self;
        write!(f, "the journal is damaged at position {at}, offset {offset}: {fault}")?;
        match fault {
            Fault::Unreadable => Ok(()),
            _ => write!(f, ", although it was written up to {evidence} at least"),
        }
    }
}

/// The reason why a record is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Fault {
    /// A header that does not state its position: no record is stored there.
    Nothing,
    /// A header that states its position, and a tag that does not match the bytes, the position and the epoch of a record.
    Tag,
    /// A missing or invalid mark, or a mark of another journal or of an impossible epoch.
    Mark,
    /// Bytes that the medium cannot read: a bad block.
    Unreadable,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("no record of this journal is stored there"),
            Self::Tag => f.write_str("the tag does not match the record"),
            Self::Unreadable => f.write_str("the medium cannot read the bytes there"),
            Self::Mark => {
                f.write_str("the mark (header record) of a segment is missing or invalid")
            }
        }
    }
}
