//! Errors of the recorder.

use super::format::FORMAT;
use cachemaint_format::error::{FormatError, error_of_kind};
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
    /// An error that a journal and a store can have as well.
    ///
    /// An event for which [`FormatError::Medium`] is returned is in the medium, but may not be persistent. One that was
    /// refused by [`FormatError::WornOut`] is counted as lost.
    Format(FormatError<E>),
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
    /// [`Options::events`](super::Options::events) has given others than the recording was created with. Nothing was
    /// written.
    OtherEvents,
    /// [`Options::cursors`](super::Options::cursors) has given fewer cursors than there are shards, or none to a program
    /// that cannot allocate them.
    #[non_exhaustive]
    FewCursors {
        /// The number of cursors.
        cursors: usize,
        /// Shards of the file.
        shards: u32,
    },
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

impl<E> From<ErrorKind<E>> for Error<E> {
    fn from(kind: ErrorKind<E>) -> Self {
        Self { kind }
    }
}

impl<E> From<FormatError<E>> for ErrorKind<E> {
    fn from(error: FormatError<E>) -> Self {
        Self::Format(error)
    }
}

error_of_kind!(kind);

impl<E: fmt::Display> fmt::Display for ErrorKind<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format(error) => error.write(f, FORMAT),
            Self::Geometry(what) => write!(f, "the options of the recording are wrong: {what}"),
            Self::BadEvent { id, what } => {
                write!(f, "event {id} in the options of the recording is wrong: {what}")
            }
            Self::EventsTooLong { len, most } => write!(
                f,
                "the names of events and fields have {len} bytes, and a file has space for {most}: shorten them, or \
                 leave some out"
            ),
            Self::OtherEvents => f.write_str(
                "the names of events and fields are not those that the recording was created with: give the same ones or \
                 none, record into a new file, or erase this one (`Options::create_new` says how)",
            ),
            Self::FewCursors { cursors, shards } => {
                write!(f, "{cursors} cursors were given for {shards} shards; give one for each")
            }
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
            Self::Format(error) => error.io_kind(),
            Self::Geometry(_)
            | Self::BadEvent { .. }
            | Self::EventsTooLong { .. }
            | Self::OtherEvents
            | Self::FewCursors { .. }
            | Self::TooLong { .. } => io::ErrorKind::InvalidInput,
            Self::Full => io::ErrorKind::StorageFull,
            Self::AllShardsTaken { .. } | Self::Nested => io::ErrorKind::ResourceBusy,
            Self::Stopped => io::ErrorKind::Other,
        }
    }
}
