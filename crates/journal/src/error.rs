//! Errors of the journal.

use super::geometry::{FORMAT, LOG, Position, SEGMENT, SEGMENTS};
use super::recovered::Damage;
use cachemaint::medium::{self, Readable};
pub use cachemaint_format::error::FormatError;
use cachemaint_format::error::error_of_kind;
use core::fmt;

/// The error of an opening, with the medium.
pub(super) type OpenError<M> = medium::OpenError<M, Error<<M as Readable>::Error>>;

/// The error of an operation on a journal. `E` is the error of its medium.
#[derive(Clone, PartialEq, Eq)]
pub struct Error<E> {
    kind: ErrorKind<E>,
}

/// The reason why opening a journal, or an operation on it, failed. `E` is the error of its medium.
///
/// Positions count bytes of the journal, offsets count bytes of the medium.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind<E> {
    /// An error that the journal, the recorder and the store share.
    Format(FormatError<E>),
    /// A durable record is no longer valid. A copy made while a process was appending can look the same; copy it again.
    Damaged(Damage),
    /// The journal was opened for writing after the reader, or was replaced. Open a new reader.
    Replaced,
    /// An impossible size of segments.
    #[non_exhaustive]
    Sizes {
        /// Bytes of a segment.
        segment: u64,
    },
    /// A record or a group that does not fit into a segment.
    #[non_exhaustive]
    TooLong {
        /// Payload bytes; for a group, the bytes of all its records less one header.
        len: u64,
        /// The longest possible payload in bytes.
        limit: u64,
    },
    /// The journal is full: trim older records first. Nothing was written.
    #[non_exhaustive]
    Full {
        /// Bytes that the record takes, including its header and skipped space.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// A position where no record begins or ends, or where none does any longer.
    #[non_exhaustive]
    NotABoundary {
        /// The requested position.
        position: Position,
        /// The position of the oldest record.
        head: Position,
        /// The next position where a record begins or ends, or the end of the acknowledged records.
        end: Position,
    },
}

error_of_kind!(kind);

/// Prints the same text as the [`Error`].
impl<E: fmt::Display> fmt::Display for ErrorKind<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format(error) => error.write(f, FORMAT),
            Self::Damaged(damage) => {
                write!(f, "{damage}; salvage the intact records into a new journal")
            }
            Self::Replaced => {
                f.write_str("the journal was opened for writing or replaced; open a new reader, or run the command again")
            }
            Self::Sizes { segment } => write!(
                f,
                "a journal cannot have segments of {segment} bytes; choose a power of two from 128 to {SEGMENT}, or from \
                 8192 for a drive without powersafe overwrite"
            ),
            Self::TooLong { len, limit } => write!(
                f,
                "{len} bytes do not fit into one segment of this journal, which holds {limit}; split the \
                 record or the group, or create a journal with larger segments"
            ),
            Self::Full { needed, free } => write!(
                f,
                "the journal is full: {needed} bytes are needed and {free} are free; trim it"
            ),
            Self::NotABoundary { position, head, .. } if position == head => {
                f.write_str("trims overtook every attempt to read the journal; read it again")
            }
            Self::NotABoundary { position, head, end } => {
                write!(f, "no record begins or ends at position {position}; choose {head} or {end}")
            }
        }
    }
}

#[cfg(feature = "std")]
impl<E> ErrorKind<E> {
    const fn io_kind(&self) -> std::io::ErrorKind {
        use std::io::ErrorKind as Io;
        match self {
            Self::Format(error) => error.io_kind(),
            Self::Damaged(_) | Self::Replaced => Io::InvalidData,
            Self::Full { .. } => Io::StorageFull,
            Self::Sizes { .. } | Self::TooLong { .. } | Self::NotABoundary { .. } => {
                Io::InvalidInput
            }
        }
    }
}

/// Returns the size of the smallest medium for a journal with segments of this size.
pub(super) const fn least(segment: u64) -> u64 {
    LOG + SEGMENTS * segment
}
