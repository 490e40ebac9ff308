//! What a medium is to those who only read it.

use super::Medium;
#[cfg(feature = "preserve-read")]
use crate::cache::Destination;
#[cfg(feature = "preserve-read")]
use crate::checksum;
use core::convert::Infallible;
use core::sync::atomic::Ordering;

/// A range of bytes that can be read: every [`Medium`], a view of a file that nothing can be stored
/// through, and plain [`Bytes`].
///
/// Others may write meanwhile: whole words are read, and which ones is theirs to say.
pub trait Readable: Sync {
    /// What can fail; [`Infallible`](core::convert::Infallible) where nothing can.
    type Error: core::error::Error;

    /// Its size in bytes.
    fn len(&self) -> u64;

    /// Whether it has no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Loads the word at `at`, as [`Medium::load`].
    ///
    /// # Panics
    /// If `at` is no multiple of 8 or the word is out of range; if `order` is no order of a load.
    #[track_caller]
    fn load(&self, at: u64, order: Ordering) -> u64;

    /// Copies bytes out, as [`Medium::read`].
    ///
    /// # Errors
    /// If the medium finds the bytes unreadable.
    ///
    /// # Panics
    /// If the range is out of range.
    #[track_caller]
    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Self::Error>;

    /// Copies bytes out and returns their CRC32C, as [`Medium::read_crc32c`].
    ///
    /// # Errors
    /// As [`read`](Self::read).
    ///
    /// # Panics
    /// If they are out of range.
    #[cfg(feature = "preserve-read")]
    #[track_caller]
    fn read_crc32c(
        &self,
        at: u64,
        into: &mut [u8],
        _destination: Destination,
    ) -> Result<u32, Self::Error> {
        read_and_sum(at, into, 0, |at, piece| self.read(at, piece))
    }
}

/// Bytes that are copied out in one go, while they are in the CPU's nearest cache for the checksum.
#[cfg(feature = "preserve-read")]
const PIECE: usize = 4096;

/// Reads by pieces, each of which is summed when it was read: the checksum of what `seed` is the checksum of and of
/// these bytes behind it.
#[cfg(feature = "preserve-read")]
#[track_caller]
pub(crate) fn read_and_sum<E>(
    at: u64,
    into: &mut [u8],
    seed: u32,
    read: impl Fn(u64, &mut [u8]) -> Result<(), E>,
) -> Result<u32, E> {
    let mut sum = seed;
    for (at, piece) in (at..).step_by(PIECE).zip(into.chunks_mut(PIECE)) {
        read(at, piece)?;
        sum = checksum::append(sum, piece);
    }
    Ok(sum)
}

impl<M: Medium> Readable for M {
    type Error = M::Error;

    fn len(&self) -> u64 {
        Medium::len(self)
    }

    #[inline]
    fn load(&self, at: u64, order: Ordering) -> u64 {
        Medium::load(self, at, order)
    }

    #[inline]
    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), M::Error> {
        Medium::read(self, at, into)
    }

    #[cfg(feature = "preserve-read")]
    #[inline]
    fn read_crc32c(
        &self,
        at: u64,
        into: &mut [u8],
        destination: Destination,
    ) -> Result<u32, M::Error> {
        Medium::read_crc32c(self, at, into, destination)
    }
}

/// Bytes that nobody writes, as something to read: a copy of a medium, or what a loader handed over.
#[derive(Clone, Copy, Debug)]
pub struct Bytes<'b>(pub &'b [u8]);

impl Readable for Bytes<'_> {
    type Error = Infallible;

    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    /// The word; no order is needed where nobody writes.
    fn load(&self, at: u64, _order: Ordering) -> u64 {
        let mut word = [0; 8];
        let Ok(()) = self.read(at, &mut word);
        u64::from_le_bytes(word)
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Infallible> {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        into.copy_from_slice(&self.0[at..][..into.len()]);
        Ok(())
    }
}
