//! Copies by addresses, whose fence the caller owes.

use super::edge::{copy_edge, fill_edge};
use super::{Copier, Destination, Own};
use crate::cache::Cache;
use core::iter;
use core::ops::Range;

/// The number of bytes up to which copies skip the choice of a method: up to this size the tables of `policy.rs` have
/// ordinary stores alone, except for a cold destination. Measured on an AMD EPYC (family 25, model 17): stores by words
/// cost 1.00 to 1.01 of the time of libpmem's stores by vectors, 1.04 from 192 bytes on if no cache has the lines. With
/// the choice they cost 1.03 to 1.11.
const SHORT: usize = 255;

/// Copies and fills of ranges of addresses that the caller completes by one [`Cache::fence`]: for the C libraries of this
/// family.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copies {
    cache: Cache,
    /// `None`: by ordinary stores at any size.
    destination: Option<Destination>,
    /// Not if the caches are in the persistence domain, or if the caller writes back later.
    writes_back: bool,
}

impl Cache {
    /// Returns copies that have reached the handle's point when the caller's [`fence`](Self::fence) returns, if
    /// `writes_back`; by ordinary stores if nothing is written back, or no `destination` is given.
    #[doc(hidden)]
    #[must_use]
    pub const fn copies(self, destination: Option<Destination>, writes_back: bool) -> Copies {
        Copies { cache: self, destination, writes_back }
    }
}

impl Copies {
    /// Copies `len` bytes from `from` to `to`, which may overlap.
    ///
    /// Guarantees nothing about memory until [`Cache::fence`] has been called on the same thread. A crash before can
    /// leave any mix of old and new aligned words of 8 bytes, and tears none that lies whole in `to`. Where the ranges
    /// overlap, bytes of both can be lost then.
    ///
    /// # Safety
    /// 1. `from` can be read and `to` written for `len` bytes, and the bytes of `from` are initialised: padding of a value
    ///    is not. A pointer among them arrives as an address.
    /// 2. No other thread writes `from` meanwhile. None accesses `to` before [`Cache::fence`] has returned on this thread:
    ///    streaming stores are not ordered before a later store, even one with [`Ordering::Release`]
    ///    (`core::arch::x86_64::_mm_sfence`, "Safety of non-temporal stores").
    ///
    /// [`Ordering::Release`]: core::sync::atomic::Ordering::Release
    #[inline]
    pub unsafe fn copy(self, to: *mut u8, from: *const u8, len: usize) {
        let overlap =
            to.addr().wrapping_sub(from.addr()) < len || from.addr().wrapping_sub(to.addr()) < len;
        if overlap {
            // SAFETY: (1) and (2) are the caller's duties.
            return unsafe { self.copy_overlapping(to, from, len) };
        }
        if self.is_short(len) {
            // SAFETY: (1) is the caller's duty, and they do not overlap.
            unsafe { copy_edge(to, from, len) };
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
        unsafe { self.copier().copy(iter::once((to, from, len)), false) };
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
        unsafe { self.copier().copy_read(to, len, from.addr() < to.addr(), read) };
    }

    /// Sets `len` bytes from `to` on, with the guarantee of [`copy`](Self::copy).
    ///
    /// # Safety
    /// 1. `to` can be written for `len` bytes.
    /// 2. No other thread accesses the range before [`Cache::fence`] has returned on this thread.
    #[inline]
    pub unsafe fn fill(self, to: *mut u8, len: usize, byte: u8) {
        if self.is_short(len) {
            // SAFETY: (1) is the caller's duty.
            unsafe { fill_edge(to, len, byte) };
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
        unsafe { self.copier().fill(to, len, byte) };
    }

    /// Returns true for a range that every table fills by ordinary stores, so that none needs to be asked.
    #[inline(always)]
    fn is_short(self, len: usize) -> bool {
        len <= SHORT && !(self.writes_back && self.destination == Some(Destination::Cold))
    }

    /// # Safety
    /// 1. As for [`Cache::writeback_range`].
    #[inline(always)]
    unsafe fn writeback(self, start: *const u8, len: usize) {
        if self.writes_back {
            // SAFETY: (1) is the caller's duty; (2) the caller of a copy owes the fence.
            unsafe { self.cache.writeback_range_unfenced(start, len) };
        }
    }

    const fn copier(self) -> Copier<Own> {
        let Self { cache, destination, writes_back } = self;
        Copier { cache, writes_back, destination, edge: Own }
    }
}
