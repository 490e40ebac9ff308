//! Errors of the journal.

use super::format::geometry::{ALIGNMENT, LOG, SEGMENT};
use super::format::superblock::{MAGIC, VERSION};
use super::{Damage, Position};
use crate::medium::{self, Readable};
use core::fmt;

/// An opening of a journal that failed, with the medium that it was given.
pub(super) type OpenError<M> = medium::OpenError<M, Error<<M as Readable>::Error>>;

/// An operation on a journal that failed. `E` is the error of its medium.
#[derive(Clone, PartialEq, Eq)]
pub struct Error<E> {
    kind: ErrorKind<E>,
}

impl<E> Error<E> {
    pub(super) const fn new(kind: ErrorKind<E>) -> Self {
        Self { kind }
    }

    pub(super) const fn medium(error: E) -> Self {
        Self { kind: ErrorKind::Medium(error) }
    }

    /// The reason.
    #[must_use]
    pub const fn kind(&self) -> &ErrorKind<E> {
        &self.kind
    }

    /// The reason by value, with the medium's own error.
    #[must_use]
    pub fn into_kind(self) -> ErrorKind<E> {
        self.kind
    }
}

/// The reason why a journal could not be opened, or an operation on it failed. `E` is the error of its medium.
///
/// Positions are those of the journal, offsets those of the medium; both in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind<E> {
    /// The medium failed. What was under way is not acknowledged, and nothing more is appended.
    Medium(E),
    /// There is something else at the beginning of the medium.
    NotAJournal {
        /// What it begins with.
        found: [u8; 8],
    },
    /// Both superblocks are damaged, or neither is whole and one is of another version.
    Superblocks,
    /// A version that this one does not know.
    Version {
        /// The version found.
        found: u32,
    },
    /// The medium has fewer bytes than the journal.
    Truncated {
        /// Bytes of the medium.
        size: u64,
        /// Bytes of the journal.
        needed: u64,
    },
    /// Something in the middle of the journal cannot be read.
    Damaged(Damage),
    /// There is a journal already.
    Exists,
    /// The medium is too small for a journal of these sizes.
    TooSmall {
        /// Bytes of the medium.
        size: u64,
        /// Bytes that are needed.
        needed: u64,
    },
    /// No journal can have these sizes.
    Sizes {
        /// Bytes of a segment.
        segment: u64,
        /// The alignment of records.
        alignment: u64,
        /// Bytes of the window.
        window: u64,
    },
    /// A record that no segment has room for.
    TooLong {
        /// Bytes of its payload.
        len: u64,
        /// The most that there may be.
        limit: u64,
    },
    /// There is no room until older records are trimmed. Nothing was written.
    Full {
        /// Bytes that the record takes with its header and what has to be skipped.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// Generations, epochs or positions have no numbers below 2^63 left. Nothing was written.
    WornOut,
    /// Not acknowledged, and nothing more will be: a write-back of this or an earlier record has failed.
    Failed,
    /// A reservation was finished before all of its bytes were written. It holds nothing now.
    Short {
        /// Bytes that were written.
        written: u64,
        /// Bytes that were reserved.
        reserved: u64,
    },
    /// No record begins or ends there, or not any more.
    NotABoundary {
        /// The position asked for.
        position: Position,
        /// The oldest record.
        head: Position,
        /// The next place where one begins or ends, or the end of the acknowledged ones.
        end: Position,
    },
}

/// `{:?}` prints what `{}` does, so that a `main` that returns it tells what to do. `{:#?}` prints the fields.
impl<E: fmt::Debug + fmt::Display> fmt::Debug for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            return f.debug_struct("Error").field("kind", &self.kind).finish();
        }
        fmt::Display::fmt(self, f)
    }
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ErrorKind::Medium(error) => write!(f, "the journal's medium failed: {error}"),
            ErrorKind::NotAJournal { found: [0, 0, 0, 0, 0, 0, 0, 0] } => {
                f.write_str("there is no journal, only zeros; create one")
            }
            ErrorKind::NotAJournal { found } => write!(
                f,
                "no journal: it begins with {} instead of {}",
                found.escape_ascii(),
                MAGIC.escape_ascii()
            ),
            ErrorKind::Superblocks => f.write_str(
                "both superblocks of the journal, at offsets 0 and 4096, are damaged; \
                 repair it from the marks of its segments",
            ),
            ErrorKind::Version { found } => write!(
                f,
                "the journal has version {found} of its format; this program knows version {VERSION}"
            ),
            ErrorKind::Truncated { size, needed } => write!(
                f,
                "the journal has {needed} bytes, but only {size} are there; \
                 bring the rest back before it is opened"
            ),
            ErrorKind::Damaged(damage) => write!(f, "{damage}; salvage what is whole, then repair it"),
            ErrorKind::Exists => f.write_str(
                "there is a journal already; open it, or overwrite its superblocks, at offsets 0 and 4096",
            ),
            ErrorKind::TooSmall { size, needed } => write!(
                f,
                "{size} bytes are too few for a journal of these sizes, which needs {needed}; \
                 enlarge the medium, or choose smaller segments"
            ),
            ErrorKind::Sizes { segment, alignment, window } => write!(
                f,
                "no journal has segments of {segment} bytes, records aligned to {alignment} and a window \
                 of {window}: segments are powers of two from {} to {} in which a mark and a record fit, \
                 alignments powers of two from 8 to {ALIGNMENT}, a window has two segments at least and \
                 no more than the journal or 256 MiB",
                SEGMENT.start(),
                SEGMENT.end()
            ),
            ErrorKind::TooLong { len, limit } => write!(
                f,
                "a record of {len} bytes; {limit} fit into a segment of this journal, so split it, or \
                 create a journal with larger segments"
            ),
            ErrorKind::Full { needed, free } => write!(
                f,
                "the journal is full: {needed} bytes are needed and {free} are free; trim it"
            ),
            ErrorKind::WornOut => f.write_str(
                "the journal is worn out, as it has no numbers left; its records can still be read: begin a new one",
            ),
            ErrorKind::Failed => f.write_str(
                "not acknowledged: the journal's medium has failed; open the journal again to see what is there",
            ),
            ErrorKind::Short { written, reserved } => write!(
                f,
                "{written} of the {reserved} bytes reserved were written; nothing was appended"
            ),
            ErrorKind::NotABoundary { position, head, end } => write!(
                f,
                "no record begins or ends at {position}; it does at {head} and at {end}"
            ),
        }
    }
}

impl<E: core::error::Error + 'static> core::error::Error for Error<E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match &self.kind {
            ErrorKind::Medium(error) => Some(error),
            _ => None,
        }
    }
}

/// With this `?` drops the medium of an opening that failed.
impl<M, E> From<medium::OpenError<M, Self>> for Error<E> {
    fn from(failed: medium::OpenError<M, Self>) -> Self {
        failed.into_error()
    }
}

/// The error itself is in it.
#[cfg(feature = "std")]
impl<E: core::error::Error + Send + Sync + 'static> From<Error<E>> for std::io::Error {
    fn from(error: Error<E>) -> Self {
        use std::io::ErrorKind as Io;
        let kind = match &error.kind {
            ErrorKind::NotAJournal { found: [0, 0, 0, 0, 0, 0, 0, 0] } => Io::NotFound,
            ErrorKind::NotAJournal { .. } | ErrorKind::Superblocks | ErrorKind::Damaged(_) => {
                Io::InvalidData
            }
            ErrorKind::Version { .. } => Io::Unsupported,
            ErrorKind::Truncated { .. } => Io::UnexpectedEof,
            ErrorKind::Exists => Io::AlreadyExists,
            ErrorKind::Full { .. } => Io::StorageFull,
            ErrorKind::TooSmall { .. }
            | ErrorKind::Sizes { .. }
            | ErrorKind::TooLong { .. }
            | ErrorKind::Short { .. }
            | ErrorKind::NotABoundary { .. } => Io::InvalidInput,
            ErrorKind::Medium(_) | ErrorKind::WornOut | ErrorKind::Failed => Io::Other,
        };
        Self::new(kind, error)
    }
}

/// The smallest medium that a journal of these segments fits into.
pub(super) const fn least(segment: u64) -> u64 {
    LOG + super::format::geometry::SEGMENTS * segment
}
