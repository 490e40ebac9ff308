//! Errors of the recorder.

use super::format::{BadDescriptor, MAGIC, VERSION};
use crate::format::error::{SECOND_WRITER, error_of_kind};
use crate::format::magic;
use core::fmt;
#[cfg(feature = "std")]
use std::io;

/// The error of a recording: of its creation or opening, of a claim, of an event.
#[derive(Clone, PartialEq, Eq)]
pub struct Error<E> {
    kind: ErrorKind<E>,
}

impl<E> Error<E> {
    pub(super) const fn new(kind: ErrorKind<E>) -> Self {
        Self { kind }
    }
}

/// The kind of an [`Error`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind<E> {
    /// The medium has failed. An event for which this is returned is in the medium, but may not be persistent.
    Medium(E),
    /// Another journal, recorder or store of this process writes the medium. It must be dropped first. A medium knows of it
    /// by its [`writer_lock`](crate::medium::Medium::writer_lock). [`Memory`](crate::medium::Memory) has no lock and never
    /// returns this: see [`Options::open`](super::Options::open).
    /// A recorder with a hook for panics stays for the life of the process.
    SecondWriter,
    /// A recording with these options is impossible.
    Geometry(&'static str),
    /// An entry of [`Options::events`](super::Options::events) is wrong.
    #[non_exhaustive]
    BadEvent {
        /// The id of the event.
        id: u16,
        /// The fault of the entry.
        what: &'static str,
    },
    /// [`Options::events`](super::Options::events) has given more than a file has space for.
    #[non_exhaustive]
    EventsTooLong {
        /// Bytes of all entries: 4 for each, and those of the texts.
        len: usize,
        /// Bytes that they may have.
        most: usize,
    },
    /// The medium is too small for the recording that is to be created.
    #[non_exhaustive]
    TooSmall {
        /// Bytes it has.
        len: u64,
        /// Bytes it needs.
        needed: u64,
    },
    /// The medium is shorter than the recording in it.
    #[non_exhaustive]
    Truncated {
        /// Bytes it has.
        len: u64,
        /// Bytes it needs.
        needed: u64,
    },
    /// [`Options::cursors`](super::Options::cursors) has given fewer cursors than there are shards.
    #[non_exhaustive]
    FewCursors {
        /// The number of cursors.
        cursors: usize,
        /// Shards of the file.
        shards: u32,
    },
    /// A cursor that [`Options::cursors`](super::Options::cursors) has given belongs to another recorder, which has not been
    /// dropped.
    #[non_exhaustive]
    CursorTaken {
        /// The shard that the cursor was given for.
        shard: u32,
    },
    /// The medium already has a recording, whole or damaged or of another version.
    Exists,
    /// The medium has no recording: both descriptors begin with zeros.
    NotFound,
    /// The medium has other content, such as a journal or a store: neither descriptor begins with the magic. Bytes after
    /// the end of the medium are zeros.
    #[non_exhaustive]
    Foreign {
        /// The bytes at 0.
        first: [u8; 8],
        /// The bytes at 4096.
        second: [u8; 8],
    },
    /// The recording was written by an unknown version of the format.
    #[non_exhaustive]
    Version {
        /// The offset of the descriptor with that version.
        at: u64,
        /// The version.
        found: u32,
    },
    /// Neither descriptor is valid. The fault is that of the less damaged one.
    #[non_exhaustive]
    Damaged {
        /// The offset of the descriptor.
        at: u64,
        /// The fault of the descriptor.
        what: &'static str,
    },
    /// The recording has been opened, or a shard has been filled, as often as the format can count. If it refused an
    /// event, the event is counted as lost.
    WornOut,
    /// Each shard has an owner: a writer, or the hook of [`stop_on_panic`](super::Recorder#method.stop_on_panic).
    #[non_exhaustive]
    AllShardsTaken {
        /// The number of shards.
        shards: u32,
    },
    /// Recording has been stopped. The event is not counted.
    Stopped,
    /// The shard is full, and the recording does not overwrite. The event is counted as lost.
    Full,
    /// The payload is longer than a record of this file can be. The event is counted as lost.
    #[non_exhaustive]
    TooLong {
        /// Bytes of the payload.
        len: usize,
        /// Bytes that a payload may have.
        most: usize,
    },
    /// A signal handler recorded by the writer that it had interrupted in the middle of an event. The handler's event
    /// is counted as lost.
    Nested,
}

impl<E> ErrorKind<E> {
    /// Returns the error for two descriptors that are not valid.
    pub(super) fn bad(first: (u64, BadDescriptor), second: (u64, BadDescriptor)) -> Self {
        let ((_, a), (_, b)) = (first, second);
        if let (BadDescriptor::Magic(first), BadDescriptor::Magic(second)) = (a, b) {
            return Self::unknown(first, second);
        }
        let (at, worst) = if a >= b { first } else { second };
        match worst {
            BadDescriptor::Magic(first) => Self::unknown(first, first),
            BadDescriptor::Damaged => {
                Self::Damaged { at, what: "its tag is not that of its bytes" }
            }
            BadDescriptor::Impossible(what) => Self::Damaged { at, what },
            BadDescriptor::Version(found) => Self::Version { at, found },
        }
    }

    /// Returns the error for words that are not the magic.
    fn unknown(first: [u8; 8], second: [u8; 8]) -> Self {
        let is_empty = [first, second] == [[0; 8]; 2];
        if is_empty { Self::NotFound } else { Self::Foreign { first, second } }
    }
}

impl<E> From<ErrorKind<E>> for Error<E> {
    fn from(kind: ErrorKind<E>) -> Self {
        Self { kind }
    }
}

error_of_kind!(kind, Medium);

impl<E: fmt::Display> fmt::Display for ErrorKind<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Medium(error) => error.fmt(f),
            Self::SecondWriter => f.write_str(SECOND_WRITER),
            Self::Geometry(what) => write!(f, "the options of the recording are wrong: {what}"),
            Self::BadEvent { id, what } => {
                write!(f, "event {id} in the options of the recording is wrong: {what}")
            }
            Self::EventsTooLong { len, most } => write!(
                f,
                "the names of events and fields have {len} bytes, and a file has space for {most}: shorten them, or \
                 leave some out"
            ),
            Self::TooSmall { len, needed } => write!(
                f,
                "the medium has {len} bytes and the recording needs {needed}: give it a larger one, or fewer or \
                 smaller sub-buffers"
            ),
            Self::Truncated { len, needed } => write!(
                f,
                "the medium has {len} bytes and the recording in it needs at least {needed}: bring back what was cut, or fill \
                 a copy with zeros up to the length that the file had, and read its events"
            ),
            Self::FewCursors { cursors, shards } => {
                write!(f, "{cursors} cursors were given for {shards} shards; give one for each")
            }
            Self::CursorTaken { shard } => write!(
                f,
                "the cursor for shard {shard} belongs to another recorder: give cursors of its own to each, or drop the \
                 other recorder first"
            ),
            Self::Exists => f.write_str(
                "a recording exists already, whole or damaged: open it, create one elsewhere, or erase this one by \
                 zeros in the 8 bytes at 0 and at 4096",
            ),
            Self::NotFound => f.write_str(
                "there is no recording: the medium begins with zeros; restore it if there was one, \
                 or create one",
            ),
            Self::Foreign { first: found, .. } | Self::Foreign { second: found, .. }
                if magic::name(*found).is_some() =>
            {
                magic::write_instead(f, *found, MAGIC)
            }
            Self::Foreign { first, second } => write!(
                f,
                "there is no recording, but \"{}\" at 0 and \"{}\" at 4096, where one begins with \"CMtRace\"; open \
                 another medium",
                first.escape_ascii(),
                second.escape_ascii()
            ),
            Self::Version { at, found } => write!(
                f,
                "the descriptor at {at} has version {found} of the format, and this program knows version \
                 {VERSION}: use one that knows it"
            ),
            Self::Damaged { at, what } => write!(
                f,
                "both descriptors are damaged: of that at {at}, {what}; bring one back from a copy of the file, or \
                 record into a new one"
            ),
            Self::WornOut => f.write_str("the recording has no numbers left; create a new one"),
            Self::AllShardsTaken { shards } => write!(
                f,
                "each of the {shards} shards has an owner, a writer or `stop_on_panic`: drop a writer, or create the file \
                 with more shards"
            ),
            Self::Stopped => f.write_str("recording has been stopped"),
            Self::Full => f.write_str("the shard is full: read it, and release what was read"),
            Self::TooLong { len, most } => {
                write!(f, "the payload has {len} bytes, an event of this file at most {most}")
            }
            Self::Nested => f.write_str("the writer is within another event; use another writer"),
        }
    }
}

#[cfg(feature = "std")]
impl<E> From<Error<E>> for io::Error
where
    E: core::error::Error + Send + Sync + 'static,
{
    fn from(error: Error<E>) -> Self {
        Self::new(error.kind.io_kind(), error)
    }
}

#[cfg(feature = "std")]
impl<E> ErrorKind<E> {
    const fn io_kind(&self) -> io::ErrorKind {
        match self {
            Self::Geometry(_)
            | Self::BadEvent { .. }
            | Self::EventsTooLong { .. }
            | Self::TooSmall { .. }
            | Self::FewCursors { .. }
            | Self::TooLong { .. } => io::ErrorKind::InvalidInput,
            Self::Truncated { .. } | Self::Foreign { .. } | Self::Damaged { .. } => {
                io::ErrorKind::InvalidData
            }
            Self::Exists => io::ErrorKind::AlreadyExists,
            Self::NotFound => io::ErrorKind::NotFound,
            Self::Version { .. } => io::ErrorKind::Unsupported,
            Self::Full => io::ErrorKind::StorageFull,
            Self::SecondWriter
            | Self::CursorTaken { .. }
            | Self::AllShardsTaken { .. }
            | Self::Nested => io::ErrorKind::ResourceBusy,
            Self::Medium(_) | Self::WornOut | Self::Stopped => io::ErrorKind::Other,
        }
    }
}
