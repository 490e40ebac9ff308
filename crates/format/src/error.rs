//! The parts that the errors of the journal, the recorder and the store have in common.

/// Implements `kind()` and the traits of an `Error<E>`, by the name of its field: an `ErrorKind<E>` with a variant
/// `Format(FormatError<E>)`.
#[macro_export]
#[doc(hidden)]
macro_rules! error_of_kind {
    ($kind:tt) => {
        impl<E: core::error::Error + 'static> core::error::Error for Error<E> {
            fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
                match self.kind() {
                    ErrorKind::Format($crate::error::FormatError::Medium(error)) => Some(error),
                    _ => None,
                }
            }
        }

        impl<E> Error<E> {
            /// Returns the kind of the error.
            #[must_use]
            pub const fn kind(&self) -> &ErrorKind<E> {
                &self.$kind
            }
        }

        /// A conversion to the kind by value, with the medium's own error.
        impl<E> From<Error<E>> for ErrorKind<E> {
            fn from(error: Error<E>) -> Self {
                error.$kind
            }
        }

        /// `{:?}` prints the same text as `{}`, so that a `main` that returns the error prints the action to take.
        /// `{:#?}` prints the fields.
        impl<E: fmt::Debug + fmt::Display> fmt::Debug for Error<E> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                if f.alternate() {
                    return f.debug_struct("Error").field("kind", self.kind()).finish();
                }
                fmt::Display::fmt(self, f)
            }
        }

        impl<E: fmt::Display> fmt::Display for Error<E> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.kind().fmt(f)
            }
        }

        /// A conversion that drops the medium of a failed opening, for `?`.
        impl<M, E> From<$crate::OpenError<M, Self>> for Error<E> {
            fn from(failed: $crate::OpenError<M, Self>) -> Self {
                failed.error
            }
        }
    };
}

pub use crate::error_of_kind;

use super::magic::{self, Format};
use cachemaint::medium::Readable;
use core::fmt;

/// The text of `ErrorKind::SecondWriter`.
pub const SECOND_WRITER: &str =
    "another journal, recorder or store of this process writes the medium; drop it first";

/// An error that a journal, a recording and a store can have alike. `E` is the error of the medium.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FormatError<E> {
    /// The medium has failed. What was under way is not acknowledged, and may be found by a later opening all the same.
    Medium(E),
    /// An earlier operation has failed. Nothing more is written until it is opened again. A medium that keeps its first failure
    /// returns that instead, as [`Medium`](Self::Medium).
    Failed,
    /// Another journal, recorder or store of this process that writes the medium. It must be dropped first. A medium knows of
    /// it by its [`writer_lock`](cachemaint::medium::Medium::writer_lock). [`Memory`](cachemaint::medium::Memory) has no lock.
    SecondWriter,
    /// The medium begins with something else.
    Foreign {
        /// The first bytes of the medium, or of the root that has other content. Zeros: nothing was created there.
        found: [u8; 8],
    },
    /// No root is whole.
    Roots,
    /// A version of the format that this program does not know.
    Version {
        /// The version found.
        found: u32,
    },
    /// The medium has fewer bytes than it had at the creation.
    Truncated {
        /// Bytes of the medium.
        size: u64,
        /// Bytes that are needed.
        needed: u64,
    },
    /// The medium has too few bytes for a creation.
    TooSmall {
        /// Bytes of the medium.
        size: u64,
        /// Bytes that are needed.
        needed: u64,
    },
    /// One exists already, whole or damaged or of another version.
    Exists,
    /// No numbers are left. Nothing was written.
    WornOut,
}

impl<E: core::error::Error> FormatError<E> {
    /// Returns the error of all that is refused after a failure: the medium's own, if it keeps one.
    #[cold]
    pub fn failed(medium: &impl Readable<Error = E>) -> Self {
        medium.check().map_or_else(Self::Medium, |()| Self::Failed)
    }
}

impl<E: fmt::Display> FormatError<E> {
    /// Writes what is wrong, and the action to take.
    pub fn write(&self, f: &mut fmt::Formatter<'_>, format: Format) -> fmt::Result {
        let Format { magic, version, name } = format;
        match self {
            Self::Medium(error) => write!(f, "the medium of the {name} failed: {error}"),
            Self::Failed => {
                write!(f, "not acknowledged: the {name} has failed before; open it again")
            }
            Self::SecondWriter => f.write_str(SECOND_WRITER),
            Self::Foreign { found: [0, 0, 0, 0, 0, 0, 0, 0] } => write!(
                f,
                "there is no {name}: the medium begins with zeros; restore it if there was one, or create one"
            ),
            Self::Foreign { found } => magic::write_instead(f, *found, magic),
            Self::Roots => write!(
                f,
                "all roots of the {name}, at offsets 0, 4096, 8192 and 12288, are damaged; bring one back from a copy"
            ),
            Self::Version { found } => write!(
                f,
                "the {name} has version {found} of its format, and this program knows version {version}; open it with a \
                 program that knows that version"
            ),
            Self::Truncated { size, needed } => write!(
                f,
                "the {name} needs {needed} bytes, but only {size} are there; bring the rest back before it is opened"
            ),
            Self::TooSmall { size, needed } => write!(
                f,
                "{size} bytes are too few for this {name}; take a medium of {needed} bytes at least"
            ),
            Self::Exists => write!(
                f,
                "there is a {name} already; open it, or overwrite its roots, at offsets 0, 4096, 8192 and 12288"
            ),
            Self::WornOut => write!(
                f,
                "the {name} has no numbers left; what it has can still be read: create a new one"
            ),
        }
    }
}

#[cfg(feature = "std")]
impl<E> FormatError<E> {
    /// Returns the kind that an error of this kind has as one of `std::io`.
    #[must_use]
    pub const fn io_kind(&self) -> std::io::ErrorKind {
        use std::io::ErrorKind as Io;
        match self {
            Self::Foreign { found: [0, 0, 0, 0, 0, 0, 0, 0] } => Io::NotFound,
            Self::Foreign { .. } | Self::Roots | Self::Truncated { .. } => Io::InvalidData,
            Self::SecondWriter => Io::ResourceBusy,
            Self::Version { .. } => Io::Unsupported,
            Self::TooSmall { .. } => Io::InvalidInput,
            Self::Exists => Io::AlreadyExists,
            Self::Medium(_) | Self::Failed | Self::WornOut => Io::Other,
        }
    }
}
