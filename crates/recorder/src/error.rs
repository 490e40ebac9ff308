//! Errors of the recorder.

use super::format::FORMAT;
use cachemaint_format::error::{FormatError, error_of_kind};
use core::fmt;
#[cfg(feature = "std")]
use std::io;

/// The error of creating or opening a recording, of a claim, or of an event.
#[derive(Clone, PartialEq, Eq)]
pub struct Error<E> {
    kind: ErrorKind<E>,
}

/// The kind of an [`Error`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind<E> {
    /// An error that the journal, the recorder and the store share.
    ///
    /// If an event returns [`FormatError::Medium`], it is in the medium but may not be persistent.
    Format(FormatError<E>),
    /// The options of the recording are impossible.
    Geometry(&'static str),
    /// An entry of [`Options::events`](super::Options::events) is invalid.
    #[non_exhaustive]
    BadEvent {
        /// The id of the event.
        id: u16,
        /// The fault in the entry.
        what: &'static str,
    },
    /// The entries of [`Options::events`](super::Options::events) do not fit into a file.
    #[non_exhaustive]
    EventsTooLong {
        /// Size of all entries in bytes: 4 for each, plus the texts.
        len: usize,
        /// The largest possible size in bytes.
        most: usize,
    },
    /// [`Options::events`](super::Options::events) differ from those that the recording was created with. Nothing was
    /// written.
    OtherEvents,
    /// [`Options::cursors`](super::Options::cursors) provided fewer cursors than there are shards, or none in a program
    /// that cannot allocate them.
    #[non_exhaustive]
    FewCursors {
        /// The number of cursors.
        cursors: usize,
        /// The number of shards in the file.
        shards: u32,
    },
    /// Each shard has an owner.
    #[non_exhaustive]
    AllShardsTaken {
        /// The number of shards.
        shards: u32,
    },
    /// Recording was stopped.
    Stopped,
    /// The payload does not fit into a record of this file.
    #[non_exhaustive]
    TooLong {
        /// Size of the payload in bytes.
        len: usize,
        /// The largest possible payload in bytes.
        most: usize,
    },
    /// A signal handler used the writer that it had interrupted in the middle of an event.
    Nested,
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
            Self::Geometry(what) => write!(f, "invalid options for a recording: {what}"),
            Self::BadEvent { id, what } => {
                write!(f, "invalid event {id} in the options of the recording: {what}")
            }
            Self::EventsTooLong { len, most } => write!(
                f,
                "the names of events and fields take {len} bytes, but a file has space for {most}; shorten them, or \
                 leave some out"
            ),
            Self::OtherEvents => f.write_str(
                "the names of events and fields differ from those that the recording was created with; give the same ones or \
                 none, record into a new file, or erase this one (`Options::create_new` says how)",
            ),
            Self::FewCursors { cursors, shards } => {
                write!(f, "{cursors} cursors are too few for {shards} shards; provide one for each")
            }
            Self::AllShardsTaken { shards } => write!(
                f,
                "all {shards} shards are taken by writers; drop a writer, or create the file with more shards"
            ),
            Self::Stopped => f.write_str("recording was stopped"),
            Self::TooLong { len, most } => {
                write!(f, "the payload has {len} bytes, but an event of this file holds at most {most}; split it")
            }
            Self::Nested => f.write_str("the writer is in the middle of another event; use another writer"),
        }
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
            Self::AllShardsTaken { .. } | Self::Nested => io::ErrorKind::ResourceBusy,
            Self::Stopped => io::ErrorKind::Other,
        }
    }
}
