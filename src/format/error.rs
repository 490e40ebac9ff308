//! The parts that the errors of the journal, the recorder and the store have in common.

/// Implements `kind()` and the traits of an `Error<E>`, by the name of its field: an `ErrorKind<E>` with a variant for an
/// error of the medium.
macro_rules! error_of_kind {
    ($kind:tt) => {
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
