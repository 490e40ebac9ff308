//! The error of opening a structure on a medium.

use core::fmt;

/// A failed opening or creation, with its medium.
///
/// `E` is the error of the structure. `?` converts this type to `E`, or to a [`std::io::Error`], and drops the medium. A
/// caller that wants to try again takes the medium back by [`into_medium`](Self::into_medium). Structures of other
/// crates can return this type as well.
pub struct OpenError<M, E> {
    /// In a place of its own, where there is an allocator: a `Result` of a large medium stays small.
    #[cfg(feature = "alloc")]
    medium: alloc::boxed::Box<M>,
    #[cfg(not(feature = "alloc"))]
    medium: M,
    error: E,
}

impl<M, E> OpenError<M, E> {
    /// Joins the medium with the reason why it was not opened.
    #[must_use]
    pub fn new(medium: M, error: E) -> Self {
        #[cfg(feature = "alloc")]
        let medium = alloc::boxed::Box::new(medium);
        Self { medium, error }
    }

    /// Returns the reason.
    #[must_use]
    pub const fn error(&self) -> &E {
        &self.error
    }

    /// Returns the reason alone.
    #[must_use]
    pub fn into_error(self) -> E {
        self.error
    }

    /// Returns the medium.
    #[must_use]
    pub fn into_medium(self) -> M {
        let medium = self.medium;
        #[cfg(feature = "alloc")]
        let medium = *medium;
        medium
    }
}

/// That of the reason.
impl<M, E: fmt::Debug> fmt::Debug for OpenError<M, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<M, E: fmt::Display> fmt::Display for OpenError<M, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<M, E: core::error::Error> core::error::Error for OpenError<M, E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.error.source()
    }
}

#[cfg(feature = "std")]
impl<M, E> From<OpenError<M, E>> for std::io::Error
where
    Self: From<E>,
{
    fn from(failed: OpenError<M, E>) -> Self {
        failed.error.into()
    }
}
