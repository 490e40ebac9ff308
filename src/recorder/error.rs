//! What can go wrong, and what to do about it.

use super::format::{BadDescriptor, VERSION};
use core::fmt;

/// A recording that could not be made, opened or claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error<E> {
    /// The medium has failed.
    Medium(E),
    /// No file can be made so.
    Geometry(&'static str),
    /// The medium is shorter than what is in it, or is to be.
    Short {
        /// Bytes it has.
        len: u64,
        /// Bytes it needs.
        needed: u64,
    },
    /// Fewer places for what is known of the shards were given than there are shards.
    FewCursors {
        /// Places given.
        cursors: usize,
        /// Shards of the file.
        shards: u32,
    },
    /// Neither descriptor begins as one does: this is no recording.
    NoRecording {
        /// What is at 0.
        first: [u8; 8],
        /// What is at 4096.
        second: [u8; 8],
    },
    /// It was written by a version of the format that is not known here.
    Version {
        /// Which copy says so: where it is.
        at: u64,
        /// The version.
        found: u32,
    },
    /// Neither descriptor is whole; this is the one that is nearest to it.
    Damaged {
        /// Where it is.
        at: u64,
    },
    /// A descriptor is whole, and what it says cannot be.
    Impossible {
        /// Where it is.
        at: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// It has been opened, or a shard's sub-buffers been filled, as often as the format can count.
    WornOut,
    /// Each shard has an owner.
    AllShardsTaken {
        /// How many there are.
        shards: u32,
    },
}

impl<E> Error<E> {
    /// Of two descriptors that are none.
    pub(super) fn bad(first: (u64, BadDescriptor), second: (u64, BadDescriptor)) -> Self {
        let ((_, a), (_, b)) = (first, second);
        if let (BadDescriptor::Magic(first), BadDescriptor::Magic(second)) = (a, b) {
            return Self::NoRecording { first, second };
        }
        let (at, worst) = if a >= b { first } else { second };
        match worst {
            BadDescriptor::Magic(first) => Self::NoRecording { first, second: first },
            BadDescriptor::Damaged => Self::Damaged { at },
            BadDescriptor::Impossible(what) => Self::Impossible { at, what },
            BadDescriptor::Version(found) => Self::Version { at, found },
        }
    }
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Medium(error) => error.fmt(f),
            Self::Geometry(what) => write!(f, "no recording can be made so: {what}"),
            Self::Short { len, needed } => write!(
                f,
                "the medium has {len} bytes and the recording needs {needed}: give it more, or bring back \
                 what was cut"
            ),
            Self::FewCursors { cursors, shards } => {
                write!(f, "{cursors} cursors were given for {shards} shards; give one for each")
            }
            Self::NoRecording { first, second } => write!(
                f,
                "no recording: at 0 there is \"{}\", at 4096 \"{}\", where one begins with \"CMtRace\"",
                first.escape_ascii(),
                second.escape_ascii()
            ),
            Self::Version { at, found } => write!(
                f,
                "the descriptor at {at} has version {found} of the format, and this program knows version \
                 {VERSION}: use one that knows it"
            ),
            Self::Damaged { at } => write!(
                f,
                "both descriptors are damaged: the tag of that at {at} is not that of its bytes; bring one \
                 back from a copy of the file, or record into a new one"
            ),
            Self::Impossible { at, what } => {
                write!(f, "the descriptor at {at} cannot be right: {what}")
            }
            Self::WornOut => f.write_str("the recording is worn out: make a new one"),
            Self::AllShardsTaken { shards } => write!(
                f,
                "each of the {shards} shards has an owner: drop a writer, or make the file with more"
            ),
        }
    }
}

impl<E: core::error::Error + 'static> core::error::Error for Error<E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Medium(error) => Some(error),
            _ => None,
        }
    }
}

/// Why an event is not there, or is not durable.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotRecorded<E> {
    /// Recording has been stopped. It is not counted.
    Stopped,
    /// The shard is full, and refuses to overwrite. Counted as lost.
    Full,
    /// The payload is longer than a record of this file can be. Counted as lost.
    TooLong {
        /// Bytes of it.
        len: usize,
        /// Bytes it may have.
        most: usize,
    },
    /// A signal handler recorded by the writer that it had interrupted in the middle of an event. Counted as
    /// lost.
    Nested,
    /// The shard has been filled as often as the format can count. Counted as lost.
    WornOut,
    /// The event is there, but its write-back has failed.
    Medium(E),
}

impl<E: fmt::Display> fmt::Display for NotRecorded<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("recording has been stopped"),
            Self::Full => f.write_str("the shard is full: read it, and release what was read"),
            Self::TooLong { len, most } => {
                write!(f, "the payload has {len} bytes, an event of this file at most {most}")
            }
            Self::Nested => f.write_str("the writer was in the middle of another event"),
            Self::WornOut => f.write_str("the recording is worn out: make a new one"),
            Self::Medium(error) => write!(f, "the event could not be written back: {error}"),
        }
    }
}

impl<E: core::error::Error + 'static> core::error::Error for NotRecorded<E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Medium(error) => Some(error),
            _ => None,
        }
    }
}
