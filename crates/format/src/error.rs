//! Errors that the journal, the recorder and the store have in common.

/// Implements `kind()` and the traits of an `Error<E>`, by the name of its field: an `ErrorKind<E>` with a variant
/// `Format(FormatError<E>)`, and a function `io_kind()` with the feature `std`.
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

            pub(crate) const fn new(kind: ErrorKind<E>) -> Self {
                Self { $kind: kind }
            }

            pub(crate) const fn format(error: FormatError<E>) -> Self {
                Self::new(ErrorKind::Format(error))
            }

            pub(crate) const fn medium(error: E) -> Self {
                Self::format(FormatError::Medium(error))
            }
        }

        impl<E> From<ErrorKind<E>> for Error<E> {
            fn from(kind: ErrorKind<E>) -> Self {
                Self::new(kind)
            }
        }

        /// A conversion that keeps the error itself as the inner error.
        #[cfg(feature = "std")]
        impl<E: core::error::Error + Send + Sync + 'static> From<Error<E>> for std::io::Error {
            fn from(error: Error<E>) -> Self {
                Self::new(error.kind().io_kind(), error)
            }
        }

        /// A conversion to the kind, which keeps the medium's error.
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

        /// A conversion for `?` that drops the medium of a failed opening.
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
    "another journal, recorder or store in this process is writing to the medium; drop it first";

/// An error that the journal, the recorder and the store share. `E` is the error of the medium.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FormatError<E> {
    /// The medium failed. The operation in progress is not acknowledged, but a later opening may still find its data.
    Medium(E),
    /// An earlier operation failed. Nothing more is written until it is opened again. A medium that keeps its first
    /// failure returns it as [`Medium`](Self::Medium) instead.
    Failed,
    /// Another journal, recorder or store in this process is writing to the medium. Drop it first. The medium's
    /// [`writer_lock`](cachemaint::medium::Medium::writer_lock) detects this; [`Memory`](cachemaint::medium::Memory)
    /// has no lock.
    SecondWriter,
    /// Another writer has opened this, or replaced it, while it was open here: the lock did not keep one of them out.
    /// Nothing more is written. Without a working lock the caller sees to one writer; a second one can overwrite what the
    /// first acknowledged, and need not be told. What a newer opening acknowledged and nobody overwrote stays readable,
    /// whatever an older one appended.
    AnotherWriter,
    /// The medium begins with other content.
    Foreign {
        /// The first bytes of the medium, or of the root that has other content. Zeros mean that nothing was created
        /// there.
        found: [u8; 8],
    },
    /// All roots are damaged.
    Roots,
    /// An unknown version of the format.
    Version {
        /// The version found.
        found: u32,
    },
    /// The medium is shorter than it was at creation.
    Truncated {
        /// Size of the medium in bytes.
        size: u64,
        /// Required size in bytes.
        needed: u64,
    },
    /// The medium is too small to create one.
    TooSmall {
        /// Size of the medium in bytes.
        size: u64,
        /// Required size in bytes.
        needed: u64,
    },
    /// One already exists, intact or damaged, or in another version.
    Exists,
    /// The sequence numbers are used up. Nothing was written.
    WornOut,
}

impl<E: core::error::Error> FormatError<E> {
    /// Returns the error for operations after a failure: the medium's own error, if it keeps one.
    #[cold]
    pub fn failed(medium: &impl Readable<Error = E>) -> Self {
        medium.check().map_or_else(Self::Medium, |()| Self::Failed)
    }
}

impl<E: fmt::Display> FormatError<E> {
    /// Writes the fault and the remedy.
    pub fn write(&self, f: &mut fmt::Formatter<'_>, format: Format) -> fmt::Result {
        let Format { magic, version, name } = format;
        match self {
            Self::Medium(error) => write!(f, "the medium of the {name} failed: {error}"),
            Self::Failed => {
                write!(f, "not acknowledged: the {name} failed earlier; open it again")
            }
            Self::SecondWriter => f.write_str(SECOND_WRITER),
            Self::AnotherWriter => write!(
                f,
                "another writer opened this {name}, so the last acknowledged data can be lost; end one of the two, and \
                 verify it"
            ),
            Self::Foreign { found: [0, 0, 0, 0, 0, 0, 0, 0] } => write!(
                f,
                "there is no {name}: the medium begins with zeros; create one, or restore a backup"
            ),
            Self::Foreign { found } => magic::write_instead(f, *found, magic),
            Self::Roots => write!(
                f,
                "all roots of the {name}, at offsets 0, 4096, 8192 and 12288, are damaged; restore one from a backup"
            ),
            Self::Version { found } => write!(
                f,
                "the {name} has format version {found}, but this program reads version {version}; open it with a \
                 program that reads version {found}"
            ),
            Self::Truncated { size, needed } => write!(
                f,
                "the {name} needs {needed} bytes, but only {size} are there; restore the rest before you open it"
            ),
            Self::TooSmall { size, needed } => write!(
                f,
                "{size} bytes are too few for this {name}; use a medium of at least {needed} bytes"
            ),
            Self::Exists => write!(
                f,
                "a {name} already exists here; open it, or overwrite its roots at offsets 0, 4096, 8192 and 12288"
            ),
            Self::WornOut => write!(
                f,
                "the {name} has used up its sequence numbers and can only be read; create a new one"
            ),
        }
    }
}

#[cfg(feature = "std")]
impl<E> FormatError<E> {
    /// Returns the matching kind of `std::io` error.
    #[must_use]
    pub const fn io_kind(&self) -> std::io::ErrorKind {
        use std::io::ErrorKind as Io;
        match self {
            Self::Foreign { found: [0, 0, 0, 0, 0, 0, 0, 0] } => Io::NotFound,
            Self::Foreign { .. } | Self::Roots | Self::Truncated { .. } => Io::InvalidData,
            Self::SecondWriter | Self::AnotherWriter => Io::ResourceBusy,
            Self::Version { .. } => Io::Unsupported,
            Self::TooSmall { .. } => Io::InvalidInput,
            Self::Exists => Io::AlreadyExists,
            Self::Medium(_) | Self::Failed | Self::WornOut => Io::Other,
        }
    }
}
