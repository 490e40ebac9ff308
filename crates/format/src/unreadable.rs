//! Bytes that cannot be read, on a medium that has not failed as a whole: a bad block, or the end of a file that was cut.

use cachemaint::medium::Readable;
use core::error::Error;

/// Returns the bytes that were read, or `None` if only these cannot be read: then they are damaged.
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
