//! Bytes that cannot be read on a medium that otherwise works: a bad block, or the end of a truncated file.

use cachemaint::medium::Readable;
use core::error::Error;

/// Returns the bytes, or `None` if only these bytes cannot be read, which makes them damaged.
///
/// # Errors
/// If the medium has failed as a whole.
#[inline]
pub fn if_readable<T, E: Error>(
    medium: &(impl Readable<Error = E> + ?Sized),
    read: Result<T, E>,
) -> Result<Option<T>, E> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(_) => medium.check().map(|()| None),
    }
}
