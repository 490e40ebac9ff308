//! The traits that the errors of the journal, the recorder and the store implement alike.

/// Implements the traits of an `Error<E>` by its `kind()`, an `ErrorKind<E>` with a variant for an error of the medium.
macro_rules! error_of_kind {
    () => {
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

        impl<E: core::error::Error + 'static> core::error::Error for Error<E> {
            fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
                match self.kind() {
                    ErrorKind::Medium(error) => Some(error),
                    _ => None,
                }
            }
        }

        /// A conversion that drops the medium of a failed opening, for `?`.
        impl<M, E> From<$crate::medium::OpenError<M, Self>> for Error<E> {
            fn from(failed: $crate::medium::OpenError<M, Self>) -> Self {
                failed.error
            }
        }
    };
}

pub(crate) use error_of_kind;

/// The text of `ErrorKind::SecondWriter`.
pub(crate) const SECOND_WRITER: &str =
    "another journal, recorder or store of this process writes the medium; drop it first";
