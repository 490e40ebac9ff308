//! Copies by addresses, whose fence the caller owes.
//!
//! # Why this file is unsafe
//! It takes the caller's word for both ranges.

use super::edge::{copy_edge, fill_edge};
use super::{Copier, Destination};
use crate::cache::Cache;
use core::iter;
use core::ops::Range;

/// The number of bytes up to which copies skip the choice of a method: up to this size the tables of `policy.rs` have
/// ordinary stores alone, except for a cold destination. Measured on an AMD EPYC (family 25, model 17): stores by words
/// cost 1.00 to 1.01 of the time of libpmem's stores by vectors, 1.04 from 192 bytes on if no cache has the lines. With
/// the choice they cost 1.03 to 1.11.
const SHORT: usize = 255;

/// Copies and fills of ranges of addresses that the caller completes by one [`Cache::fence`]. [`Cache::unfenced`] makes
/// it with a write-back, [`Cache::stores`] without.
///
/// ```
/// # fn main() -> Result<(), cachemaint::Unsupported> {
/// use cachemaint::{Cache, cache::Destination};
/// let cache = Cache::host()?;
/// let (mut log, record) = ([0_u8; 256], [7_u8; 100]);
/// let copies = cache.unfenced(Destination::Unknown);
/// // SAFETY: both ranges are those of arrays that this thread alone uses.
/// unsafe {
///     copies.copy(log.as_mut_ptr(), record.as_ptr(), record.len());
///     copies.fill(log[100..].as_mut_ptr(), 28, 0);
/// }
/// cache.fence(); // both have reached the point
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfenced {
    cache: Cache,
    /// `None` if nothing is written back.
    destination: Option<Destination>,
}

impl Cache {
    /// Returns copies by addresses, each by the fastest method that has reached the handle's point when the caller's
    /// [`fence`](Self::fence) returns. [The methods](crate::cache::copy) are those of
    /// [`copy_writeback`](Self::copy_writeback).
    #[doc(alias("pmem_memcpy_nodrain", "pmem_memmove_nodrain", "pmem_memset_nodrain"))]
    #[must_use]
    pub const fn unfenced(self, destination: Destination) -> Unfenced {
        Unfenced { cache: self, destination: Some(destination) }
    }

    /// Returns copies by addresses that use ordinary stores and write nothing back: for caches that are in the
    /// persistence domain (eADR), where a [`fence`](Self::fence) is enough, and for a caller that writes back later.
    #[doc(alias("PMEM_F_MEM_NOFLUSH", "eADR"))]
    #[must_use]
    pub const fn stores(self) -> Unfenced {
        Unfenced { cache: self, destination: None }
    }
}

impl Unfenced {
    /// Copies `len` bytes from `from` to `to`, which may overlap.
    ///
    /// Guarantees nothing about memory until [`Cache::fence`] has been called on the same thread. A crash before can
    /// leave any mix of old and new aligned words of 8 bytes, and tears none that lies whole in `to`. On targets without
    /// atomics of 64 bits the words have the CPU's size. Where the ranges overlap, bytes of both can be lost then.
    ///
    /// # Cost
    /// The stores, and the write-backs of [`copy_writeback`](Cache::copy_writeback); one fence where streaming stores need
    /// it before the write-back ([the methods](crate::cache::copy)). If the ranges overlap, each byte is read into a buffer
    /// first.
    ///
    /// # Safety
    /// 1. `from` can be read and `to` written for `len` bytes, and the bytes of `from` are initialised: padding of a value
    ///    is not. A pointer among them arrives as an address.
    /// 2. No other thread writes `from` meanwhile. None accesses `to` before [`Cache::fence`] has returned on this thread:
    ///    streaming stores are not ordered before a later store, even one with [`Ordering::Release`]
    ///    (`core::arch::x86_64::_mm_sfence`, "Safety of non-temporal stores").
    ///
    /// [`Ordering::Release`]: core::sync::atomic::Ordering::Release
    #[doc(alias("memmove", "memcpy", "pmem_memmove"))]
    #[inline]
    pub unsafe fn copy(self, to: *mut u8, from: *const u8, len: usize) {
        let overlap =
            to.addr().wrapping_sub(from.addr()) < len || from.addr().wrapping_sub(to.addr()) < len;
        if overlap {
            // SAFETY: (1) and (2) are the caller's duties.
            return unsafe { self.copy_overlapping(to, from, len) };
        }
        if self.is_short(len) {
            copy_edge(to, from, len);
            // SAFETY: (1) the range can be read: the caller's duty (1).
            return unsafe { self.writeback(to, len) };
        }
        // SAFETY: (1) and (2) are the caller's duties.
        unsafe { self.copy_long(to, from, len) };
    }

    /// # Safety
    /// As [`copy`](Self::copy), and the ranges do not overlap.
    #[inline(never)]
    unsafe fn copy_long(self, to: *mut u8, from: *const u8, len: usize) {
        // SAFETY: (1) the caller's duty, and they do not overlap; (2) is the caller's duty.
        unsafe { self.copier().copy_unfenced(iter::once((to, from, len)), false) };
    }

    /// Does it by a buffer, in a function of its own: other copies need no stack for it.
    ///
    /// # Safety
    /// As [`copy`](Self::copy).
    #[inline(never)]
    unsafe fn copy_overlapping(self, to: *mut u8, from: *const u8, len: usize) {
        let read = |range: Range<usize>, into: &mut [u8]| {
            let from = from.wrapping_add(range.start);
            // SAFETY: a part of `from` (1); the buffer is another value.
            unsafe { from.copy_to_nonoverlapping(into.as_mut_ptr(), into.len()) };
        };
        // SAFETY: (1) the caller's duty, and the bytes are in a buffer when they are stored; (2) is the caller's duty.
        unsafe { self.copier().copy_read_unfenced(to, len, from.addr() < to.addr(), read) };
    }

    /// Sets `len` bytes from `to` on, with the guarantee and the cost of [`copy`](Self::copy).
    ///
    /// # Safety
    /// 1. `to` can be written for `len` bytes.
    /// 2. No other thread accesses the range before [`Cache::fence`] has returned on this thread.
    #[doc(alias("memset", "pmem_memset"))]
    #[inline]
    pub unsafe fn fill(self, to: *mut u8, len: usize, byte: u8) {
        if self.is_short(len) {
            fill_edge(to, len, byte);
            // SAFETY: (1) the range can be read: the caller's duty (1).
            return unsafe { self.writeback(to, len) };
        }
        // SAFETY: (1) and (2) are the caller's duties.
        unsafe { self.fill_long(to, len, byte) };
    }

    /// # Safety
    /// As [`fill`](Self::fill).
    #[inline(never)]
    unsafe fn fill_long(self, to: *mut u8, len: usize, byte: u8) {
        // SAFETY: (1) and (2) are the caller's duties.
        unsafe { self.copier().fill_unfenced(to, len, byte) };
    }

    /// Returns true for a range that every table fills by ordinary stores, so that none needs to be asked.
    #[inline(always)]
    fn is_short(self, len: usize) -> bool {
        len <= SHORT && self.destination != Some(Destination::Cold)
    }

    /// # Safety
    /// 1. As for [`Cache::writeback_range`].
    #[inline(always)]
    unsafe fn writeback(self, start: *const u8, len: usize) {
        if self.destination.is_some() {
            // SAFETY: (1) is the caller's duty; (2) the caller of a copy owes the fence.
            unsafe { self.cache.writeback_range_unfenced(start, len) };
        }
    }

    fn copier(self) -> Copier<impl Fn(*mut u8, *const u8, usize)> {
        Copier {
            cache: self.cache,
            writes_back: self.destination.is_some(),
            destination: self.destination.unwrap_or_default(),
            edge: copy_edge,
        }
    }
}
