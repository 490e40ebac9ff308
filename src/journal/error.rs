//! Errors of the journal.

use super::format::geometry::{ALIGNMENT, LOG, SEGMENT};
use super::format::superblock::{MAGIC, VERSION};
use super::{Damage, Identity, Position};
use crate::format::error::{SECOND_WRITER, error_of_kind};
use crate::format::magic;
use crate::medium::{self, Readable};
use core::fmt;

/// The error of an opening, with the medium.
pub(super) type OpenError<M> = medium::OpenError<M, Error<<M as Readable>::Error>>;

/// The error of an operation on a journal. `E` is the error of its medium.
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
}

/// The reason why a journal could not be opened, or an operation on it failed. `E` is the error of its medium.
///
/// Positions count bytes of the journal, offsets count bytes of the medium.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind<E> {
    /// A failure of the medium. This record and those after it are not acknowledged, and later appends fail.
    Medium(E),
    /// Another journal, recorder or store of this process that writes the medium. It must be dropped first. A medium knows of
    /// it by its [`writer_lock`](crate::medium::Medium::writer_lock). [`Memory`](crate::medium::Memory) has no lock.
    SecondWriter,
    /// A medium that does not begin with a journal.
    #[non_exhaustive]
    NotAJournal {
        /// The first bytes of the medium.
        found: [u8; 8],
    },
    /// Damaged or missing superblocks of a journal: neither is whole. Or the newest one is not, and the older one does
    /// not have this opening, or a head with space for the last records.
    Superblocks,
    /// A version of the format that this program does not know.
    #[non_exhaustive]
    Version {
        /// The version found.
        found: u32,
    },
    /// A medium with fewer bytes than its journal.
    #[non_exhaustive]
    Truncated {
        /// Bytes of the medium.
        size: u64,
        /// Bytes of the journal.
        needed: u64,
    },
    /// Damage: a record that had been durable is no longer valid. A copy that was made while a process appended can look
    /// the same: copy again.
    Damaged(Damage),
    /// Whole records after a torn end, which an opening would discard
    /// ([`Options::refuse_discard`](super::Options::refuse_discard)). Nothing was written.
    #[non_exhaustive]
    WouldDiscard {
        /// The end of the records before them.
        end: Position,
        /// The number of whole records after it.
        behind: u64,
    },
    /// An existing journal, in a medium in which one should be created.
    Exists,
    /// Another journal, which was created in the medium since the reader was opened.
    #[non_exhaustive]
    Replaced {
        /// The identity of that journal.
        found: Identity,
    },
    /// A medium that is too small for a journal of these sizes.
    #[non_exhaustive]
    TooSmall {
        /// Bytes of the medium.
        size: u64,
        /// Bytes that the journal needs.
        needed: u64,
    },
    /// Sizes that no journal can have.
    #[non_exhaustive]
    Sizes {
        /// Bytes of a segment.
        segment: u64,
        /// The alignment of records.
        alignment: u64,
        /// Bytes of the window.
        window: u64,
    },
    /// A record that does not fit into a segment.
    #[non_exhaustive]
    TooLong {
        /// Bytes of its payload.
        len: u64,
        /// Bytes of the longest possible payload.
        limit: u64,
    },
    /// A full journal: older records must be trimmed first. Nothing was written.
    #[non_exhaustive]
    Full {
        /// Bytes that the record takes, with its header and skipped space.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// Generations, epochs or positions that have reached 2^63, or records of more laps than a journal has at a time. Nothing
    /// was written.
    WornOut,
    /// A failed write-back of an earlier record. This record will not be acknowledged. After the failure no further record
    /// is appended.
    Failed,
    /// A position at which no record begins or ends, or no longer.
    #[non_exhaustive]
    NotABoundary {
        /// The requested position.
        position: Position,
        /// The position of the oldest record.
        head: Position,
        /// The next position at which a record begins or ends, or the end of the acknowledged records.
        end: Position,
    },
}

error_of_kind!(kind, Medium);

/// Prints the same text as the [`Error`].
impl<E: fmt::Display> fmt::Display for ErrorKind<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Medium(error) => write!(f, "the journal's medium failed: {error}"),
            Self::SecondWriter => f.write_str(SECOND_WRITER),
            Self::NotAJournal { found: [0, 0, 0, 0, 0, 0, 0, 0] } => {
                f.write_str(
                    "the medium has no journal: it begins with zeros; restore it if there was one, \
                     or create one",
                )
            }
            Self::NotAJournal { found } => {
                magic::write_instead(f, *found, MAGIC)?;
                if magic::name(*found).is_some() {
                    return Ok(());
                }
                f.write_str(", or repair this one if it was a journal")
            }
            Self::Superblocks => f.write_str(
                "the superblocks of the journal, at offsets 0 and 4096, are damaged; \
                 repair it from the marks of its segments",
            ),
            Self::Version { found } => write!(
                f,
                "the journal has version {found} of its format; this program knows version {VERSION}"
            ),
            Self::Truncated { size, needed } => write!(
                f,
                "the journal has {needed} bytes, but only {size} are there; bring the rest back, or fill a copy up to \
                 {needed} bytes with zeros and salvage its records"
            ),
            Self::Damaged(damage) => write!(f, "{damage}; salvage its whole records, then repair it"),
            Self::WouldDiscard { end, behind } => write!(
                f,
                "opening the journal would discard {behind} whole record{} after the torn end at position {end}; \
                 repair it to keep every whole record, or open it without `refuse_discard`",
                if *behind == 1 { "" } else { "s" }
            ),
            Self::Exists => f.write_str(
                "the medium already has a journal; open it, or overwrite its superblocks, at offsets 0 and 4096",
            ),
            Self::Replaced { found } => write!(
                f,
                "another journal, with identity {found}, was created in the medium; open a new reader for it"
            ),
            Self::TooSmall { size, needed } => write!(
                f,
                "a journal of these sizes needs {needed} bytes, but the medium has {size}; \
                 enlarge the medium, or choose smaller segments"
            ),
            Self::Sizes { segment, alignment, window } => write!(
                f,
                "a journal cannot have segments of {segment} bytes, records aligned to {alignment} bytes and a \
                 window of {window} bytes. Choose segments that are powers of two from {} to {} and have space for \
                 a mark and a record. Choose an alignment that is a power of two from 8 to {ALIGNMENT}. Choose a \
                 window of at least two segments, at most the journal and at most 256 MiB",
                SEGMENT.start(),
                SEGMENT.end()
            ),
            Self::TooLong { len, limit } => write!(
                f,
                "the record has {len} bytes, but only {limit} fit into a segment of this journal; split it, or \
                 create a journal with larger segments"
            ),
            Self::Full { needed, free } => write!(
                f,
                "the journal is full: {needed} bytes are needed and {free} are free; trim it"
            ),
            Self::WornOut => f.write_str(
                "the journal has no numbers left, or records that no journal writes; they can still be read: create a new \
                 journal",
            ),
            Self::Failed => f.write_str(
                "not acknowledged: the journal's medium has failed; open the journal again to see what is there",
            ),
            Self::NotABoundary { position, head, end } => write!(
                f,
                "no record begins or ends at position {position}; choose {head} or {end}"
            ),
        }
    }
}

impl<E> From<ErrorKind<E>> for Error<E> {
    fn from(kind: ErrorKind<E>) -> Self {
        Self { kind }
    }
}

/// A conversion that keeps the error itself as the inner error.
#[cfg(feature = "std")]
impl<E: core::error::Error + Send + Sync + 'static> From<Error<E>> for std::io::Error {
    fn from(error: Error<E>) -> Self {
        use std::io::ErrorKind as Io;
        let kind = match &error.kind {
            ErrorKind::NotAJournal { found: [0, 0, 0, 0, 0, 0, 0, 0] } => Io::NotFound,
            ErrorKind::NotAJournal { .. }
            | ErrorKind::Superblocks
            | ErrorKind::Truncated { .. }
            | ErrorKind::Damaged(_)
            | ErrorKind::WouldDiscard { .. }
            | ErrorKind::Replaced { .. } => Io::InvalidData,
            ErrorKind::Version { .. } => Io::Unsupported,
            ErrorKind::Exists => Io::AlreadyExists,
            ErrorKind::Full { .. } => Io::StorageFull,
            ErrorKind::SecondWriter => Io::ResourceBusy,
            ErrorKind::TooSmall { .. }
            | ErrorKind::Sizes { .. }
            | ErrorKind::TooLong { .. }
            | ErrorKind::NotABoundary { .. } => Io::InvalidInput,
            ErrorKind::Medium(_) | ErrorKind::WornOut | ErrorKind::Failed => Io::Other,
        };
        Self::new(kind, error)
    }
}

/// Returns the size of the smallest medium for a journal with segments of this size.
pub(super) const fn least(segment: u64) -> u64 {
    LOG + super::format::geometry::SEGMENTS * segment
}
