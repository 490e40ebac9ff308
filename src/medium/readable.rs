//! The part of a medium that readers use.

use core::convert::Infallible;
use core::sync::atomic::Ordering;

/// A range of bytes that can be read: every [`Medium`](super::Medium), a read-only view of a file, and plain [`Bytes`].
///
/// Others may write meanwhile: whole words are read, each of them old or new.
pub trait Readable: Sync {
    /// The error of a read; [`Infallible`](core::convert::Infallible) if reading cannot fail.
    type Error: core::error::Error;

    /// Returns its size in bytes.
    fn len(&self) -> u64;

    /// Returns true if it has no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Loads the word at `at`. [`Medium::load`](super::Medium::load) does the same for memory, where no load fails.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    ///
    /// # Panics
    /// If `at` is not a multiple of 8 or the word is out of range; if `order` is not an ordering for loads.
    #[track_caller]
    fn try_load(&self, at: u64, order: Ordering) -> Result<u64, Self::Error>;

    /// Copies bytes out.
    ///
    /// # Errors
    /// If these bytes cannot be read. As long as [`check`](Self::check) succeeds, all other bytes can be read: a bad
    /// block costs only its own bytes.
    ///
    /// # Panics
    /// If the range is out of range.
    #[doc(alias("read_at"))]
    #[track_caller]
    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Self::Error>;

    /// Copies bytes out by a system call. Bytes that the medium has lost then fail this call, where
    /// [`read`](Self::read) raises SIGBUS. Returns `None` if there is no such call: the medium is memory, device DAX, or
    /// a file on a system other than Linux.
    ///
    /// A word that others store meanwhile can be torn.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    ///
    /// # Panics
    /// If the range is out of range.
    #[track_caller]
    fn pread(&self, at: u64, into: &mut [u8]) -> Option<Result<(), Self::Error>> {
        let _ = (at, into);
        None
    }

    /// Fails if this medium has failed as a whole. Call it after a group of loads and reads, before you use the result:
    /// the bytes of a failed medium may not be the stored ones. A failed medium stays failed. Memory never fails.
    ///
    /// # Errors
    /// The failure that ended the use of this medium.
    fn check(&self) -> Result<(), Self::Error>;
}

/// Immutable bytes as a [`Readable`]: a copy of a medium, or memory from a loader.
#[derive(Clone, Copy, Debug)]
pub struct Bytes<'b>(pub &'b [u8]);

impl Readable for Bytes<'_> {
    type Error = Infallible;

    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    /// Returns the word. No ordering is needed, since nothing writes it.
    fn try_load(&self, at: u64, _order: Ordering) -> Result<u64, Infallible> {
        assert!(at.is_multiple_of(8), "offset {at} is not a multiple of 8");
        let mut word = [0; 8];
        self.read(at, &mut word)?;
        Ok(u64::from_le_bytes(word))
    }

    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Infallible> {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        into.copy_from_slice(&self.0[at..][..into.len()]);
        Ok(())
    }

    fn check(&self) -> Result<(), Infallible> {
        Ok(())
    }
}
