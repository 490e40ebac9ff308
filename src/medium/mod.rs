//! Bytes that may survive: the trait that logs and stores are written against.
//!
//! A [`Medium`] is a range of bytes with ordinary stores, a write-back and a fence. Code written against it runs
//! unchanged on a DAX file, on memory that a kernel keeps, and on a simulator that shows every state that a crash may
//! leave. On a DAX mapping an operation costs the bare instructions, a check of its range and a branch.
//!
//! A word is a `u64`, little-endian in the bytes. [`read`](Readable::read) and [`write`](Medium::write) access whole
//! words by the same 8-byte atomics as [`load`](Medium::load) and [`store`](Medium::store), so accesses that race are
//! never of mixed size. A partial word is merged by compare-and-exchange, which on x86 also waits for pending
//! write-backs; formats pad to 8 bytes to avoid it.
//!
//! # Plain structs
//! A medium stores bytes, and a struct is written and read as its bytes. `zerocopy` (or `bytemuck`) gives access to
//! them without a copy, for structs of which every combination of bytes is a value. This crate has no typed access of
//! its own: that would be one more trait for a program's types to implement. A reference into a medium would be wrong,
//! since others may write the medium, and every access must be by whole words. Fields of `zerocopy::little_endian` have
//! the same bytes on every machine, as the words of a medium do.
//!
//! `examples/slots` keeps such structs in a file.

mod backing;
mod domain;
#[expect(unsafe_code, reason = "hands ranges of its words to the cache's operations")]
mod memory;
mod open_error;
mod readable;
pub(crate) mod words;
mod writer_lock;

pub use backing::Backing;
pub use domain::Domain;
pub use memory::Memory;
pub use open_error::OpenError;
pub use readable::{Bytes, Readable};
pub use writer_lock::{WriterLock, WriterLockGuard};

use core::ops::Range;
use core::sync::atomic::Ordering;

/// The smallest unit that a medium makes persistent, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
// Exhaustive on purpose: code that depends on the unit must not mistake a new unit for another one.
pub enum Granularity {
    /// Single bytes: the caches are in the persistence domain (eADR), and a fence suffices.
    Byte,
    /// Cache lines of this size: a write-back of each line, and a fence.
    Line(usize),
    /// Pages of this size: the operating system writes them back (`msync`).
    Page(usize),
}

impl Granularity {
    /// Returns the unit in bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Byte => 1,
            Self::Line(bytes) | Self::Page(bytes) => bytes,
        }
    }

    /// Returns true for [`Page`](Self::Page).
    #[must_use]
    pub const fn is_by_pages(self) -> bool {
        matches!(self, Self::Page(_))
    }
}

impl core::fmt::Display for Granularity {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Byte => f.write_str("byte"),
            Self::Line(bytes) => write!(f, "cache line ({bytes} bytes)"),
            Self::Page(bytes) => write!(f, "page ({bytes} bytes)"),
        }
    }
}

/// A range of bytes that may survive a crash.
///
/// The caller checks offsets: an access out of range panics, and so does a `load` or `store` at an offset that is not a
/// multiple of 8. Other threads and processes may write at the same time: `read` and `write` tolerate that, and may see
/// or leave a mix of whole words.
///
/// # Rules for implementations
/// 1. No store is *known* to be persistent before [`issue_writeback`](Self::issue_writeback) of its range and then
///    [`fence`](Self::fence) on the same thread have succeeded. Then all are persistent: this thread's stores, and
///    those of others that it had observed before it called [`order_observed`](Self::order_observed).
/// 2. Anything stored may be persistent at any time, in units of [`atomic_unit`](Self::atomic_unit) that never tear.
///    The exception is a unit that [`copy_unfenced`](Self::copy_unfenced) or [`persist_copy`](Self::persist_copy)
///    stores only in part: it may lack any of the new bytes.
/// 3. A medium around another one passes on [`deep_persist`](Self::deep_persist),
///    [`writer_lock`](Self::writer_lock) and [`pread`](Readable::pread). A medium that is a part of another one has its
///    own lock, which the owner of the parts keeps for each part.
pub trait Medium: Readable {
    /// Returns the smallest unit that is made persistent.
    fn granularity(&self) -> Granularity;

    /// Returns the number of aligned bytes that never tear in a crash: old or new, never a mix.
    fn atomic_unit(&self) -> usize;

    /// Loads the word at `at`. A medium is memory, so no load fails.
    ///
    /// # Panics
    /// If `at` is not a multiple of 8 or the word is out of range; if `order` is not an ordering for loads.
    #[track_caller]
    fn load(&self, at: u64, order: Ordering) -> u64;

    /// Stores the word at `at`.
    ///
    /// # Panics
    /// If `at` is not a multiple of 8 or the word is out of range; if `order` is not an ordering for stores.
    #[track_caller]
    fn store(&self, at: u64, word: u64, order: Ordering);

    /// Copies bytes in, by ordinary stores in any order: a crash before they are persistent may keep any of the words
    /// without the others. A later store with [`Ordering::Release`] publishes them.
    ///
    /// # Panics
    /// If the range is out of range.
    #[doc(alias("write_at", "pwrite"))]
    #[track_caller]
    fn write(&self, at: u64, from: &[u8]);

    /// Issues the write-back of a range. The range is persistent once a [`fence`](Self::fence) on this thread has
    /// succeeded; [`persist`](Self::persist) does both. If the granularity is a page, this makes the system call (`msync`),
    /// and the fence is still due.
    ///
    /// # Errors
    /// If the operating system reports that it could not be written. The fence is still due.
    ///
    /// # Panics
    /// If the range is out of range, or ends before it starts.
    #[track_caller]
    fn issue_writeback(&self, range: Range<u64>) -> Result<(), Self::Error>;

    /// Completes the write-backs that this thread has issued for this medium, but not those for another one. Then
    /// checks whether the medium has failed: if this succeeds, they are persistent.
    ///
    /// # Errors
    /// As [`check`](Readable::check).
    #[track_caller]
    fn fence(&self) -> Result<(), Self::Error>;

    /// Orders stores of others that this thread has observed before the write-backs that it issues next, which then
    /// include them. [`fence`](Self::fence) does not suffice (x86: SFENCE orders no loads), nor does an acquire load
    /// (arm64: it orders no `DC`). Only a thread that writes back the stores of another one needs this, even if it has
    /// loaded them. On arm64 a load and a write-back of one line stay in order (Arm ARM, D7.5.9). No x86 manual says
    /// so, but the simulator's models have this order, as do the papers that they follow.
    ///
    /// On a CPU this is [`Cache::order_observed`](crate::Cache::order_observed).
    #[track_caller]
    fn order_observed(&self);

    /// Writes several parts and makes them persistent. They are persistent when this returns.
    ///
    /// # Errors
    /// As [`issue_writeback`](Self::issue_writeback).
    ///
    /// # Panics
    /// If a part is out of range.
    #[expect(unsafe_code, reason = "nothing is stored between the copy and its fence")]
    #[track_caller]
    fn persist_copy(&self, parts: &[(u64, &[u8])]) -> Result<(), Self::Error> {
        // SAFETY: this thread makes no store before the fence, so there is none to acquire.
        let copied = unsafe { self.copy_unordered(parts) };
        self.fence().and(copied)
    }

    /// Writes several parts and issues their write-back, by a suitable method. They are persistent once a
    /// [`fence`](Self::fence) on this thread has returned, so other work, such as a checksum, can be done meanwhile.
    /// Other threads see them as after [`write`](Self::write): a later store with [`Ordering::Release`] publishes them.
    ///
    /// # Errors
    /// As [`issue_writeback`](Self::issue_writeback).
    ///
    /// # Panics
    /// If a part is out of range.
    #[track_caller]
    fn copy_unfenced(&self, parts: &[(u64, &[u8])]) -> Result<(), Self::Error> {
        for (at, bytes) in parts {
            self.write(*at, bytes);
        }
        for (at, bytes) in parts {
            self.issue_writeback(*at..at.saturating_add(bytes.len() as u64))?;
        }
        Ok(())
    }

    /// As [`copy_unfenced`](Self::copy_unfenced), but until the fence, other threads may see later stores before these
    /// parts. Streaming stores then need no fence of their own.
    ///
    /// # Errors
    /// As [`issue_writeback`](Self::issue_writeback).
    ///
    /// # Panics
    /// If a part is out of range.
    ///
    /// # Safety
    /// No code is unsound if another thread reads the old bytes of these parts after it has acquired a store that this
    /// thread makes before the [`fence`](Self::fence).
    #[expect(unsafe_code, reason = "a store with Release does not publish the parts")]
    #[track_caller]
    unsafe fn copy_unordered(&self, parts: &[(u64, &[u8])]) -> Result<(), Self::Error> {
        self.copy_unfenced(parts)
    }

    /// Makes a range persistent: write-back and fence.
    ///
    /// # Errors
    /// As [`issue_writeback`](Self::issue_writeback).
    ///
    /// # Panics
    /// If the range is out of range.
    #[track_caller]
    fn persist(&self, range: Range<u64>) -> Result<(), Self::Error> {
        let issued = self.issue_writeback(range);
        self.fence().and(issued)
    }

    /// Makes a range persistent beyond the medium's own buffers. On a medium without such buffers this is
    /// [`persist`](Self::persist). With [`Granularity::Page`], `persist` already reaches as far, because the operating
    /// system writes the pages back.
    ///
    /// # Errors
    /// As [`issue_writeback`](Self::issue_writeback).
    ///
    /// # Panics
    /// If the range is out of range.
    #[track_caller]
    fn deep_persist(&self, range: Range<u64>) -> Result<(), Self::Error>;

    /// Returns the lock that keeps a second journal, recorder or store of this process from writing the medium. If
    /// there is none, a second one is not refused.
    fn writer_lock(&self) -> Option<&WriterLock>;
}

/// Implements the traits for pointers to implementations.
macro_rules! delegate {
    ($($pointer:ty: $bound:path),*) => {
        $(
            impl<M: $bound + Readable + ?Sized> Readable for $pointer {
                type Error = M::Error;

                fn len(&self) -> u64 {
                    (**self).len()
                }

                #[inline]
                #[track_caller]
                fn try_load(&self, at: u64, order: Ordering) -> Result<u64, Self::Error> {
                    (**self).try_load(at, order)
                }

                #[inline]
                #[track_caller]
                fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Self::Error> {
                    (**self).read(at, into)
                }

                #[track_caller]
                fn pread(&self, at: u64, into: &mut [u8]) -> Option<Result<(), Self::Error>> {
                    (**self).pread(at, into)
                }

                #[inline]
                fn check(&self) -> Result<(), Self::Error> {
                    (**self).check()
                }
            }

            impl<M: $bound + Medium + ?Sized> Medium for $pointer {
                fn granularity(&self) -> Granularity {
                    (**self).granularity()
                }

                fn atomic_unit(&self) -> usize {
                    (**self).atomic_unit()
                }

                #[inline]
                #[track_caller]
                fn load(&self, at: u64, order: Ordering) -> u64 {
                    (**self).load(at, order)
                }

                #[inline]
                #[track_caller]
                fn store(&self, at: u64, word: u64, order: Ordering) {
                    (**self).store(at, word, order);
                }

                #[inline]
                #[track_caller]
                fn write(&self, at: u64, from: &[u8]) {
                    (**self).write(at, from);
                }

                #[inline]
                #[track_caller]
                fn issue_writeback(&self, range: Range<u64>) -> Result<(), Self::Error> {
                    (**self).issue_writeback(range)
                }

                #[inline]
                #[track_caller]
                fn fence(&self) -> Result<(), Self::Error> {
                    (**self).fence()
                }

                #[inline]
                #[track_caller]
                fn order_observed(&self) {
                    (**self).order_observed();
                }

                #[inline]
                #[track_caller]
                fn persist_copy(&self, parts: &[(u64, &[u8])]) -> Result<(), Self::Error> {
                    (**self).persist_copy(parts)
                }

                #[inline]
                #[track_caller]
                fn copy_unfenced(&self, parts: &[(u64, &[u8])]) -> Result<(), Self::Error> {
                    (**self).copy_unfenced(parts)
                }

                #[expect(unsafe_code, reason = "forwards it")]
                #[inline]
                #[track_caller]
                unsafe fn copy_unordered(&self, parts: &[(u64, &[u8])]) -> Result<(), Self::Error> {
                    // SAFETY: the caller promises what the other medium demands.
                    unsafe { (**self).copy_unordered(parts) }
                }

                #[inline]
                #[track_caller]
                fn persist(&self, range: Range<u64>) -> Result<(), Self::Error> {
                    (**self).persist(range)
                }

                #[track_caller]
                fn deep_persist(&self, range: Range<u64>) -> Result<(), Self::Error> {
                    (**self).deep_persist(range)
                }

                fn writer_lock(&self) -> Option<&WriterLock> {
                    (**self).writer_lock()
                }
            }
        )*
    };
}

delegate!(&M: Sync);

#[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
delegate!(alloc::sync::Arc<M>: Send);
