//! The error of an opening that took a medium.

use core::fmt;

/// The error of an opening or creation, with the medium that it took.
///
/// `E` is the error of the structure. `?` turns this into an `E` or a [`std::io::Error`], and drops the medium. To try
/// again, take the medium back with [`into_medium`](Self::into_medium). Your own structures can return this type too.
///
/// `?` makes a `Box<dyn Error>` only if the medium borrows nothing. With a borrowed medium, return only the reason:
///
/// ```no_run
/// # struct Store<M>(M);
/// # impl<M> Store<M> {
/// #     fn open(medium: M) -> Result<Self, cachemaint::medium::OpenError<M, std::io::Error>> {
/// #         Ok(Self(medium))
/// #     }
/// # }
/// fn open(words: &[std::sync::atomic::AtomicU64]) -> Result<(), Box<dyn std::error::Error>> {
///     # use cachemaint::{Cache, medium::{Backing, Memory}};
///     let memory = Memory::new(words, Cache::host()?, Backing::Ram);
///     let store = Store::open(&memory).map_err(|failed| failed.error)?;
///     Ok(())
/// }
/// ```
pub struct OpenError<M, E> {
    /// Boxed if there is an allocator, so that a `Result` with a large medium stays small.
    #[cfg(feature = "alloc")]
    medium: alloc::boxed::Box<M>,
    #[cfg(not(feature = "alloc"))]
    medium: M,
    /// The reason.
    pub error: E,
}

impl<M, E> OpenError<M, E> {
    /// Returns an error with the medium and the reason why it was not opened.
    #[must_use]
    pub fn new(medium: M, error: E) -> Self {
        #[cfg(feature = "alloc")]
        let medium = alloc::boxed::Box::new(medium);
        Self { medium, error }
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

/// Prints the reason.
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
