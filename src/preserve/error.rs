//! Errors of a store.

use super::format::{FORMAT, METADATA, NAME, UNIT, VERSION};
use super::info::ShortName;
use crate::format::error::{SECOND_WRITER, error_of_kind};
use crate::format::magic;
use core::fmt;
use core::ops::Range;
#[cfg(feature = "std")]
use std::io;

/// An operation on a store that failed. `E` is the error of its medium.
///
/// `{}` prints a fact and an action; [`kind`](Self::kind) is the fact to match on.
#[derive(Clone, PartialEq, Eq)]
pub struct Error<E>(pub(super) ErrorKind<E>);

impl<E> Error<E> {
    /// Wraps an error of the medium.
    pub(super) const fn medium(error: E) -> Self {
        Self(ErrorKind::Medium(error))
    }

    /// Returns the error about a blob that does not exist.
    pub(super) fn not_found(name: &str) -> Self {
        Self(ErrorKind::NotFound { name: ShortName::of(name) })
    }
}

/// The fact of an [`Error`].
///
/// Offsets are those of the medium, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind<E> {
    /// The medium failed. If it failed during a commit, the store must be opened again, which shows if the commit was
    /// made. Otherwise nothing was committed.
    Medium(E),
    /// Another journal, recorder or store of this process writes the medium, or a region of such a store is left. It must be
    /// dropped first. A medium knows of it by its [`writer_lock`](crate::medium::Medium::writer_lock).
    /// [`Memory`](crate::medium::Memory) has no lock.
    SecondWriter,
    /// The medium begins with something other than a store.
    #[non_exhaustive]
    NotAStore {
        /// The bytes found in place of the magic number.
        found: [u8; 8],
    },
    /// No root is whole, at least one is damaged, and none is of another version.
    Roots,
    /// The store has a version of the format that this program does not know.
    #[non_exhaustive]
    Version {
        /// The version found.
        found: u32,
    },
    /// The medium ends before the store does. It was cut, or the store has grown since a view of it was opened.
    #[non_exhaustive]
    Truncated {
        /// Bytes of the medium.
        size: u64,
        /// Bytes that are needed.
        needed: u64,
    },
    /// A part of the store does not match its tag, or refers to a place outside the store.
    Damaged(Damage),
    /// The medium already contains a store.
    Exists,
    /// The medium is too small for a store.
    #[non_exhaustive]
    TooSmall {
        /// Bytes of the medium.
        size: u64,
        /// Bytes that are needed.
        needed: u64,
    },
    /// The size of the unit is invalid.
    #[non_exhaustive]
    Unit {
        /// Bytes of a unit.
        unit: u64,
    },
    /// The store is full. Nothing was written.
    #[non_exhaustive]
    Full {
        /// Bytes that are needed, in one piece.
        needed: u64,
        /// Bytes of the largest free piece.
        largest: u64,
    },
    /// Nothing has this name.
    #[non_exhaustive]
    NotFound {
        /// The name.
        name: ShortName,
    },
    /// A blob or a region of this name already exists.
    #[non_exhaustive]
    NameTaken {
        /// The name.
        name: ShortName,
    },
    /// The name is empty or too long.
    #[non_exhaustive]
    Name {
        /// Bytes of the name.
        len: usize,
    },
    /// The metadata is too long, for a blob or for the buffer that it is read into.
    #[non_exhaustive]
    Metadata {
        /// Bytes of the metadata.
        len: usize,
    },
    /// The alignment is not a power of two, or is too large.
    #[non_exhaustive]
    Alignment {
        /// The requested alignment in bytes.
        alignment: u64,
    },
    /// The length of a region is 0, or not a multiple of its alignment.
    #[non_exhaustive]
    RegionLength {
        /// The requested length in bytes.
        len: u64,
        /// The alignment of the region in bytes.
        alignment: u64,
    },
    /// The name has a blob, and not a region.
    #[non_exhaustive]
    NotARegion {
        /// The name.
        name: ShortName,
    },
    /// The name has a region, and not a blob.
    #[non_exhaustive]
    NotABlob {
        /// The name.
        name: ShortName,
    },
    /// This process still uses the region.
    #[non_exhaustive]
    RegionInUse {
        /// The name.
        name: ShortName,
    },
    /// The range exceeds the blob.
    #[non_exhaustive]
    Range {
        /// The range.
        range: Range<u64>,
        /// Bytes of the blob.
        len: u64,
    },
    /// The blob has more bytes than an object in memory can have.
    #[non_exhaustive]
    TooLong {
        /// Bytes of the blob.
        len: u64,
    },
    /// The number of bytes written differs from the announced length.
    #[non_exhaustive]
    Length {
        /// The number of bytes written.
        written: u64,
        /// The announced length in bytes.
        said: u64,
    },
    /// A commit has replaced the bytes while they were read: the blob was replaced or deleted, or the table was. Read
    /// again. A [`Reader`](super::Reader) has done so many times already.
    Replaced,
    /// Another writer without the lock has written the store since it was opened here.
    Overtaken,
    /// A commit has failed, and its outcome is unknown.
    Failed,
    /// The numbers of commits are exhausted: the last one is 2^63 - 1. Nothing was written.
    WornOut,
    /// Readers or regions of this process still hold the medium.
    InUse,
    /// The file's bytes lie elsewhere than when the store was last written.
    Moved,
    /// The place of the medium's bytes is required and not known, or was not known at the last commit.
    PlaceUnknown,
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
    /// The root after the current one, in both copies, though commits were made with it.
    NewerRoot,
    /// The log of the table: nothing of it is whole, or it has a place outside the store.
    Table,
    /// A record of the log, in both mirrors.
    Record,
    /// One copy of a record of the log. The other copy is whole.
    RecordCopy,
    /// An entry of the table.
    Entry,
    /// Bytes of a blob, from offset `at` on.
    Bytes {
        /// The offset of the damaged bytes in the blob.
        at: u64,
    },
    /// The list of a blob's tags.
    Tags,
    /// Bytes of a region, from offset `at` on. They are missing, or belong to another blob or region or to the log, too.
    Region {
        /// The offset of the damaged bytes in the region.
        at: u64,
    },
}

impl Damage {
    /// Returns the advice for an operation that failed because of this damage.
    const fn remedy(&self) -> &'static str {
        match self.part {
            Part::Table => "without it no blob can be found, so bring the store back from a copy",
            Part::Record => {
                "names that it has changed are not known, and all others can still be loaded: bring the store back from a \
                 copy, or put them into a new one"
            }
            Part::Region { .. } => "bring the store back from a copy",
            Part::Root | Part::NewerRoot | Part::RecordCopy | Part::Entry => {
                "bring the store back from a copy, or put the blobs that can still be loaded into a new one"
            }
            Part::Bytes { .. } | Part::Tags => {
                "put the blob anew from where it came; other blobs can still be loaded, and `verify` names those \
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
            Part::Bytes { at } => write!(f, "the blob from its byte {at} on")?,
            Part::Tags => f.write_str("the blob's list of tags")?,
            Part::Region { at } => write!(f, "the region from its byte {at} on")?,
        }
        write!(f, " is damaged ({len} bytes at offset {offset})")
    }
}

error_of_kind!(0, Medium);

/// Prints the same text as the [`Error`].
impl<E: fmt::Display> fmt::Display for ErrorKind<E> {
    #[expect(clippy::too_many_lines, reason = "a list of texts, one for each kind")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Medium(error) => write!(f, "the store's medium failed: {error}"),
            Self::SecondWriter => f.write_str(SECOND_WRITER),
            Self::NotAStore { found: [0, 0, 0, 0, 0, 0, 0, 0] } => {
                f.write_str(
                    "there is no store: the medium begins with zeros; restore it if there was one, \
                     or create one",
                )
            }
            Self::NotAStore { found } => magic::write_instead(f, *found, FORMAT.magic),
            Self::Roots => f.write_str(
                "all roots of the store, at offsets 0, 4096, 8192 and 12288, are damaged; bring one back from a copy",
            ),
            Self::Version { found } => write!(
                f,
                "the store has version {found} of its format, and this program knows version {VERSION}; open it with \
                 a program that knows that version"
            ),
            Self::Truncated { size, needed } => write!(
                f,
                "the store needs {needed} bytes, but only {size} are there; bring the rest back before it is \
                 opened, or open a new view if the store has grown"
            ),
            Self::Damaged(damage) => write!(f, "{damage}; {}", damage.remedy()),
            Self::Exists => f.write_str(
                "there is a store already; open it, or overwrite its roots, at offsets 0, 4096, 8192 and 12288",
            ),
            Self::TooSmall { size, needed } => {
                write!(f, "{size} bytes are too few for a store; take a medium of {needed} bytes at least")
            }
            Self::Unit { unit } => write!(
                f,
                "a store cannot have units of {unit} bytes; choose a power of two from {} to {}",
                UNIT.start(),
                UNIT.end()
            ),
            Self::Full { needed, largest } => {
                let unaligned = if largest >= needed { ", too few with the alignment" } else { "" };
                write!(
                    f,
                    "the store is full: {needed} bytes are needed in one piece, and the largest free one has \
                     {largest}{unaligned}; delete something, or let the store grow"
                )
            }
            Self::NotFound { name } => {
                write!(f, "there is no blob or region {name:?}; list them to choose one")
            }
            Self::NameTaken { name } => write!(f, "{name:?} exists already; delete it first"),
            Self::Name { len } => {
                write!(f, "a blob cannot have a name of {len} bytes; choose one of 1 to {NAME}")
            }
            Self::Metadata { len } if *len > METADATA => {
                write!(f, "{len} bytes of metadata; {METADATA} fit, so put the rest into the blob")
            }
            Self::Metadata { len } => {
                write!(f, "the metadata has {len} bytes; read it into a buffer of that length")
            }
            Self::Alignment { alignment } => write!(
                f,
                "a blob cannot be aligned to {alignment} bytes; choose a power of two up to {}",
                UNIT.end()
            ),
            Self::RegionLength { len, alignment } => write!(
                f,
                "a region cannot have {len} bytes; choose a multiple of its alignment, {alignment} bytes"
            ),
            Self::NotARegion { name } => {
                write!(f, "{name:?} is a blob, which cannot be used in place; load it")
            }
            Self::NotABlob { name } => write!(
                f,
                "{name:?} is a region, and not a blob; use it in place, or choose another name"
            ),
            Self::RegionInUse { name } => {
                write!(f, "the region {name:?} is in use; drop each `Region` of it first")
            }
            Self::Range { range, len } => write!(
                f,
                "the range from {} to {} is not in the blob, which has {len} bytes; read a \
                 range of it",
                range.start, range.end
            ),
            Self::TooLong { len } => write!(f, "a blob of {len} bytes exceeds memory; read it in parts"),
            Self::Length { written, said } => write!(
                f,
                "the blob was not stored, as it got {written} bytes instead of {said}; give the right length"
            ),
            Self::Replaced => f.write_str(
                "the blob was replaced or deleted, or the table was replaced, while it was read; read it again",
            ),
            Self::Overtaken => f.write_str(
                "another writer has written the store since it was opened here; open it with a lock",
            ),
            Self::Failed => f.write_str("a commit has failed before; open the store again"),
            Self::WornOut => f.write_str(
                "the store is worn out, as its commits have no numbers left; copy its blobs, which can still be \
                 read, into a new one",
            ),
            Self::InUse => f.write_str(
                "readers or regions of this process still use the store; drop them before it grows",
            ),
            Self::PlaceUnknown => f.write_str(
                "the place of the store's bytes is or was not known, as on tmpfs; use a file on a DAX file system or \
                 device DAX, or open it without that requirement",
            ),
            Self::Moved => f.write_str(
                "the file's bytes lie elsewhere than when the store was last written, so nothing may rely on \
                 their addresses; open it without that requirement, and give the new addresses to their users",
            ),
        }
    }
}

impl<E> From<ErrorKind<E>> for Error<E> {
    fn from(kind: ErrorKind<E>) -> Self {
        Self(kind)
    }
}

#[cfg(feature = "std")]
impl<E> ErrorKind<E> {
    const fn in_io(&self) -> io::ErrorKind {
        match self {
            Self::NotFound { .. } | Self::NotAStore { found: [0, 0, 0, 0, 0, 0, 0, 0] } => {
                io::ErrorKind::NotFound
            }
            Self::NotAStore { .. } | Self::Roots | Self::Truncated { .. } | Self::Damaged(_) => {
                io::ErrorKind::InvalidData
            }
            Self::Exists | Self::NameTaken { .. } => io::ErrorKind::AlreadyExists,
            Self::TooSmall { .. }
            | Self::Unit { .. }
            | Self::Name { .. }
            | Self::Metadata { .. }
            | Self::Alignment { .. }
            | Self::RegionLength { .. }
            | Self::NotARegion { .. }
            | Self::NotABlob { .. }
            | Self::Range { .. }
            | Self::Length { .. } => io::ErrorKind::InvalidInput,
            Self::Full { .. } => io::ErrorKind::StorageFull,
            Self::TooLong { .. } => io::ErrorKind::OutOfMemory,
            Self::SecondWriter | Self::InUse | Self::RegionInUse { .. } => {
                io::ErrorKind::ResourceBusy
            }
            Self::Version { .. } | Self::PlaceUnknown => io::ErrorKind::Unsupported,
            Self::Medium(_)
            | Self::Replaced
            | Self::Overtaken
            | Self::Failed
            | Self::WornOut
            | Self::Moved => io::ErrorKind::Other,
        }
    }
}

/// The result contains the error itself.
#[cfg(feature = "std")]
impl<E: core::error::Error + Send + Sync + 'static> From<Error<E>> for io::Error {
    fn from(error: Error<E>) -> Self {
        Self::new(error.kind().in_io(), error)
    }
}
