//! Errors of a store.

use crate::format::FORMAT;
use crate::info::Content;
use alloc::boxed::Box;
use cachemaint_format::error::{FormatError, error_of_kind};
use core::fmt;
#[cfg(feature = "std")]
use std::io;

/// A failed operation on a store. `E` is the error of its medium.
///
/// `{}` prints a fact and an action. Match on [`kind`](Self::kind).
#[derive(Clone, PartialEq, Eq)]
pub struct Error<E>(pub(crate) ErrorKind<E>);

impl<E> Error<E> {
    pub(crate) const fn damaged(part: Part, offset: u64, len: u64) -> Self {
        Self(ErrorKind::Damaged(Damage { part, offset, len }))
    }

    /// Returns the error for a name that does not exist.
    pub(crate) fn not_found(name: &str) -> Self {
        Self(ErrorKind::NotFound { name: name.into() })
    }

    /// Returns the error for a name with other content than needed.
    pub(crate) fn other_content(name: &str, found: Content) -> Self {
        Self(ErrorKind::OtherContent { name: name.into(), found })
    }

    pub(crate) const fn invalid(rule: &'static str, found: u64) -> Self {
        Self(ErrorKind::Invalid { rule, found })
    }
}

/// The kind of an [`Error`]. Offsets are in bytes of the medium.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind<E> {
    /// An error that the journal, the recorder and the store share. If the medium failed during a commit, reopen the
    /// store to find out whether the commit was made.
    Format(FormatError<E>),
    /// A part of the store does not match its tag, or refers to a place outside the store.
    Damaged(Damage),
    /// The store is full. Nothing was written.
    #[non_exhaustive]
    Full {
        /// The number of free pieces needed: 1 for a blob or a region, and 4 for a larger log of the table.
        pieces: u32,
        /// Bytes needed in each of them.
        needed: u64,
        /// Bytes of the largest free piece.
        largest: u64,
    },
    /// An invalid argument. Nothing has changed.
    #[non_exhaustive]
    Invalid {
        /// The rule that it violates.
        rule: &'static str,
        /// The argument.
        found: u64,
    },
    /// There is nothing with this name.
    #[non_exhaustive]
    NotFound {
        /// The name.
        name: Box<str>,
    },
    /// A blob or a region with this name already exists.
    #[non_exhaustive]
    NameTaken {
        /// The name.
        name: Box<str>,
    },
    /// The name is a region where a blob is needed, or vice versa.
    #[non_exhaustive]
    OtherContent {
        /// The name.
        name: Box<str>,
        /// Its content.
        found: Content,
    },
    /// This process still uses a region, or another handle of the medium.
    #[non_exhaustive]
    InUse {
        /// The name of the region, if it is one.
        name: Option<Box<str>>,
    },
    /// A commit replaced the blob, or a compaction replaced the log: open a new [`Reader`](crate::Reader), or
    /// [refresh](crate::Reader::refresh) it.
    Replaced,
}

/// A damaged part of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Damage {
    /// The kind of the part.
    pub part: Part,
    /// The offset of the part in the medium.
    pub offset: u64,
    /// The length of the part in bytes.
    pub len: u64,
}

/// A part of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Part {
    /// One of the two copies of the root.
    Root,
    /// The root after the current one, in both copies, although commits were made with it.
    NewerRoot,
    /// The log of the table: none of it is intact, or its place is outside the store.
    Table,
    /// A record of the log, in both mirrors.
    Record,
    /// One copy of a record of the log. The other copy is intact.
    RecordCopy,
    /// An entry of the table.
    Entry,
    /// Bytes of a blob, from offset `at`.
    Bytes {
        /// The offset of the damaged bytes in the blob.
        at: u64,
    },
    /// The list of a blob's tags.
    Tags,
    /// Bytes of a region, from offset `at`. They are missing, or also belong to another blob, another region or the
    /// log.
    Region {
        /// The offset of the damaged bytes in the region.
        at: u64,
    },
}

impl Damage {
    /// Returns the remedy for an operation that failed because of this damage.
    const fn remedy(&self) -> &'static str {
        match self.part {
            Part::Table => "no blob can be found without it; restore the store from a backup",
            Part::Record => {
                "the names it changed are unknown, and all others can still be loaded; restore the store from a \
                 backup, or copy them into a new one"
            }
            Part::Region { .. } => "restore the store from a backup",
            Part::Root | Part::NewerRoot | Part::RecordCopy | Part::Entry => {
                "restore the store from a backup, or copy the blobs that can still be loaded into a new one"
            }
            Part::Bytes { .. } | Part::Tags => {
                "put the blob again from its source; other blobs can still be loaded, and `verify` names those \
                 that cannot"
            }
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { part, offset, len } = self;
        match part {
            Part::Root => f.write_str("a copy of the root")?,
            Part::NewerRoot => f.write_str("the newest root, in both copies,")?,
            Part::Table => f.write_str("the log of the table")?,
            Part::Record => f.write_str("a record of the table, in both mirrors,")?,
            Part::RecordCopy => f.write_str("one copy of a record of the table")?,
            Part::Entry => f.write_str("an entry of the table")?,
            Part::Bytes { at } => write!(f, "the blob from byte {at} on")?,
            Part::Tags => f.write_str("the blob's list of tags")?,
            Part::Region { at } => write!(f, "the region from byte {at} on")?,
        }
        write!(f, " is damaged ({len} bytes at offset {offset})")
    }
}

error_of_kind!(0);

/// Prints the same text as the [`Error`].
impl<E: fmt::Display> fmt::Display for ErrorKind<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format(error) => error.write(f, FORMAT),
            Self::Damaged(damage) => write!(f, "{damage}; {}", damage.remedy()),
            Self::Full { pieces: 2.., needed, largest } => write!(
                f,
                "the store is full: its table needs four free pieces of {needed} bytes to grow, and the largest one \
                 has {largest}; delete something (which needs no space), or grow the store"
            ),
            Self::Full { needed, largest, .. } => {
                let unaligned = if largest >= needed { ", which is too little after alignment" } else { "" };
                write!(
                    f,
                    "the store is full: {needed} bytes are needed in one piece, and the largest free one has \
                     {largest}{unaligned}; delete something, or grow the store"
                )
            }
            Self::Invalid { rule, found } => write!(f, "{found} is not permitted: {rule}"),
            Self::NotFound { name } => {
                write!(f, "there is no blob or region {name:?}; list them to choose one")
            }
            Self::NameTaken { name } => write!(f, "{name:?} already exists; delete it first"),
            Self::OtherContent { name, found: Content::Blob } => {
                write!(f, "{name:?} is a blob, which cannot be used in place; load it")
            }
            Self::OtherContent { name, .. } => write!(
                f,
                "{name:?} is a region, not a blob; use it in place, or choose another name"
            ),
            Self::InUse { name: Some(name) } => {
                write!(f, "the region {name:?} is in use; drop each `Region` of it first")
            }
            Self::InUse { name: None } => f.write_str(
                "readers or regions in this process still use the store; drop them before growing it",
            ),
            Self::Replaced => f.write_str(
                "the blob was replaced or deleted, or the log was compacted, since the reader was opened; open it again",
            ),
        }
    }
}

#[cfg(feature = "std")]
impl<E> ErrorKind<E> {
    const fn io_kind(&self) -> io::ErrorKind {
        match self {
            Self::Format(error) => error.io_kind(),
            Self::NotFound { .. } => io::ErrorKind::NotFound,
            Self::Damaged(_) => io::ErrorKind::InvalidData,
            Self::NameTaken { .. } => io::ErrorKind::AlreadyExists,
            Self::Invalid { .. } | Self::OtherContent { .. } => io::ErrorKind::InvalidInput,
            Self::Full { .. } => io::ErrorKind::StorageFull,
            Self::InUse { .. } => io::ErrorKind::ResourceBusy,
            Self::Replaced => io::ErrorKind::Other,
        }
    }
}
