//! Copies and fills.
//!
//! Each call copies as `memmove` does, so its ranges may overlap, and words of 8 bytes are not torn. The hints choose
//! among the methods of [`cachemaint::cache::copy`], all of which are durable:
//!
//! | hint | method |
//! |---|---|
//! | `PMEM_F_MEM_TEMPORAL`, `PMEM_F_MEM_WB` | ordinary stores and write-backs |
//! | `PMEM_F_MEM_NONTEMPORAL`, `PMEM_F_MEM_WC` | streaming stores |
//! | none | by size, as [`environment`](crate::environment) says |
//! | `PMEM_F_MEM_NOFLUSH` | ordinary stores alone, and no drain |

use crate::machine::{Machine, Streaming, Writeback, machine};
use crate::words;
use cachemaint::cache::Destination;
use cachemaint::cache::copy::Unfenced;
use core::ffi::{c_int, c_uint, c_void};

/// The flags of `libpmem.h`.
const NODRAIN: c_uint = 1;
const NONTEMPORAL: c_uint = 1 << 1;
const TEMPORAL: c_uint = 1 << 2;
const WC: c_uint = 1 << 3;
const WB: c_uint = 1 << 4;
const NOFLUSH: c_uint = 1 << 5;

/// The bytes to store.
#[derive(Clone, Copy)]
enum Bytes {
    From(*const u8),
    All(u8),
}

impl Machine {
    /// Stores `len` bytes, and writes them back and drains as far as the flags say.
    ///
    /// # Safety
    /// 1. `to` can be written for `len` bytes, and a source be read.
    #[inline]
    unsafe fn store(&self, to: *mut u8, bytes: Bytes, len: usize, flags: c_uint) {
        match (self.stores(len, flags), bytes) {
            // SAFETY: (1) is the caller's duty; (2) a program orders its threads' accesses as for `memmove`.
            (Some(stores), Bytes::From(from)) => unsafe { stores.copy(to, from, len) },
            // SAFETY: the same.
            (Some(stores), Bytes::All(byte)) => unsafe { stores.fill(to, len, byte) },
            // SAFETY: (1) is the caller's duty.
            (None, Bytes::From(from)) => unsafe { words::copy(to, from, len) },
            // SAFETY: (1) is the caller's duty.
            (None, Bytes::All(byte)) => unsafe { words::fill(to, len, byte) },
        }
        if let (Writeback::Short(short), 0) = (&self.writeback, flags & NOFLUSH) {
            short.report();
        }
        if flags & (NODRAIN | NOFLUSH) == 0 {
            self.drain();
        }
    }

    /// Returns the stores for a copy; `None` where nothing can be written back.
    #[inline]
    fn stores(&self, len: usize, flags: c_uint) -> Option<Unfenced> {
        let cache = self.cache?;
        let writes_back = match self.writeback {
            _ if flags & NOFLUSH != 0 => false,
            Writeback::Lines(_) | Writeback::Short(_) => true,
            // Streaming stores keep a copy out of the caches, which is the wish of this hint.
            Writeback::Empty => flags & NONTEMPORAL != 0 && self.streaming != Streaming::Never,
        };
        let destination = self.destination(len, flags);
        Some(if writes_back { cache.unfenced(destination) } else { cache.stores() })
    }

    #[inline]
    fn destination(&self, len: usize, flags: c_uint) -> Destination {
        match self.streaming {
            Streaming::Never => Destination::Dirty,
            _ if flags & (NONTEMPORAL | WC) != 0 => Destination::Cold,
            _ if flags & (TEMPORAL | WB) != 0 => Destination::Dirty,
            Streaming::From(size) if len >= size => Destination::Cold,
            Streaming::From(_) => Destination::Dirty,
            Streaming::Measured => Destination::Unknown,
        }
    }
}

/// The byte that `memset` sets.
#[expect(
    clippy::cast_sign_loss,
    clippy::cast_possible_truncation,
    reason = "memset(3): converted to unsigned char"
)]
const fn byte(value: c_int) -> Bytes {
    Bytes::All(value as u8)
}

/// Copies, writes back and drains, unless the flags say otherwise. Returns the destination.
///
/// # Safety
/// 1. `to` can be written and `from` read for `len` bytes.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pmem_memmove(
    to: *mut c_void,
    from: *const c_void,
    len: usize,
    flags: c_uint,
) -> *mut c_void {
    // SAFETY: (1) is the caller's duty.
    unsafe { machine().store(to.cast(), Bytes::From(from.cast()), len, flags) };
    to
}

/// Does the same as [`pmem_memmove`].
///
/// # Safety
/// As [`pmem_memmove`].
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pmem_memcpy(
    to: *mut c_void,
    from: *const c_void,
    len: usize,
    flags: c_uint,
) -> *mut c_void {
    // SAFETY: (1) is the caller's duty.
    unsafe { pmem_memmove(to, from, len, flags) }
}

/// Sets bytes, writes back and drains, unless the flags say otherwise. Returns the destination.
///
/// # Safety
/// 1. `to` can be written for `len` bytes.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pmem_memset(
    to: *mut c_void,
    value: c_int,
    len: usize,
    flags: c_uint,
) -> *mut c_void {
    // SAFETY: (1) is the caller's duty.
    unsafe { machine().store(to.cast(), byte(value), len, flags) };
    to
}

/// Copies and makes the bytes persistent.
///
/// # Safety
/// As [`pmem_memmove`].
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pmem_memmove_persist(
    to: *mut c_void,
    from: *const c_void,
    len: usize,
) -> *mut c_void {
    // SAFETY: (1) is the caller's duty.
    unsafe { pmem_memmove(to, from, len, 0) }
}

/// Copies and makes the bytes persistent.
///
/// # Safety
/// As [`pmem_memmove`].
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pmem_memcpy_persist(
    to: *mut c_void,
    from: *const c_void,
    len: usize,
) -> *mut c_void {
    // SAFETY: (1) is the caller's duty.
    unsafe { pmem_memmove(to, from, len, 0) }
}

/// Sets bytes and makes them persistent.
///
/// # Safety
/// As [`pmem_memset`].
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pmem_memset_persist(
    to: *mut c_void,
    value: c_int,
    len: usize,
) -> *mut c_void {
    // SAFETY: (1) is the caller's duty.
    unsafe { pmem_memset(to, value, len, 0) }
}

/// Copies and issues the write-back. `pmem_drain` completes it.
///
/// # Safety
/// As [`pmem_memmove`].
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pmem_memmove_nodrain(
    to: *mut c_void,
    from: *const c_void,
    len: usize,
) -> *mut c_void {
    // SAFETY: (1) is the caller's duty.
    unsafe { pmem_memmove(to, from, len, NODRAIN) }
}

/// Copies and issues the write-back. `pmem_drain` completes it.
///
/// # Safety
/// As [`pmem_memmove`].
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pmem_memcpy_nodrain(
    to: *mut c_void,
    from: *const c_void,
    len: usize,
) -> *mut c_void {
    // SAFETY: (1) is the caller's duty.
    unsafe { pmem_memmove(to, from, len, NODRAIN) }
}

/// Sets bytes and issues the write-back. `pmem_drain` completes it.
///
/// # Safety
/// As [`pmem_memset`].
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pmem_memset_nodrain(
    to: *mut c_void,
    value: c_int,
    len: usize,
) -> *mut c_void {
    // SAFETY: (1) is the caller's duty.
    unsafe { pmem_memset(to, value, len, NODRAIN) }
}
