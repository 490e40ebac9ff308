//! The findings about a journal's records: their number, their end and any damage.

use super::geometry::Position;
use core::fmt;

/// The content of a journal, as an opening or a verification found it. A new journal has the default value.
///
/// While a process writes, `torn`, `after_gap` and `root_lost` can reflect a store in progress: verify again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Recovered {
    /// The oldest record.
    pub head: Position,
    /// The end of the last valid record.
    pub end: Position,
    /// The number of valid records.
    pub records: u64,
    /// The number of payload bytes in them.
    pub bytes: u64,
    /// True if a crash, perhaps an earlier one, interrupted records at the end, which do not count. They had not been
    /// acknowledged, unless they were in the last sector before a power cut and have been damaged since.
    pub torn: bool,
    /// The number of intact records after the end that do not count: they were in progress during a crash, and a record
    /// before them is missing. [`Reader::salvage`](super::Reader::salvage) returns them until the journal is opened for
    /// appending.
    pub after_gap: u64,
    /// The damage at the end, if a durable record was lost there.
    pub damage: Option<Damage>,
    /// True if a copy of the root is torn or damaged. If a crash tore it, the trim, opening or closing that was storing
    /// it had not returned. If both copies of the newest root are damaged, the last trim or closing is undone: trimmed
    /// records can reappear.
    pub root_lost: bool,
}

/// A place where a durable record is no longer valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Damage {
    /// The position of the damage.
    pub at: Position,
    /// The offset of this position in the medium, in bytes.
    pub offset: u64,
    /// A position that was written after the damaged record had become durable. For [unreadable](Fault::Unreadable)
    /// bytes it can be their own position.
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
            _ => write!(f, ", although the journal was written up to at least {evidence}"),
        }
    }
}

/// The reason why a record is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Fault {
    /// The header does not state its position: no record is stored there.
    Nothing,
    /// The header states its position, but the tag does not match the bytes, the position and the epoch of the journal.
    Tag,
    /// The medium cannot read the bytes: a bad block.
    Unreadable,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("no record of this journal is stored there"),
            Self::Tag => f.write_str("the tag does not match the record"),
            Self::Unreadable => f.write_str("the medium cannot read the bytes there"),
        }
    }
}
