//! Copies and fills.
//!
//! Like `memmove`, each call allows overlapping ranges, and it never tears aligned 8-byte words in them. The hints
//! choose among the methods of [`Cache::copy_writeback`](cachemaint::Cache::copy_writeback), all of which are durable:
//!
//! | hint | method |
//! |---|---|
//! | `PMEM_F_MEM_TEMPORAL`, `PMEM_F_MEM_WB` | ordinary stores and write-backs |
//! | `PMEM_F_MEM_NONTEMPORAL`, `PMEM_F_MEM_WC` | the method for cold memory: streaming stores from the size at which they are faster on this CPU, if any |
//! | none | by size, see [`environment`](crate::environment) |
//! | `PMEM_F_MEM_NOFLUSH` | only ordinary stores, and no drain |

use crate::machine::{Machine, Streaming, Writeback, machine};
use crate::words;
use cachemaint::cache::{Copier, Destination};
use core::ffi::{c_int, c_uint, c_void};

/// The flags of `libpmem.h`.
const NODRAIN: c_uint = 1;
const NONTEMPORAL: c_uint = 1 << 1;
const TEMPORAL: c_uint = 1 << 2;
const WC: c_uint = 1 << 3;
const WB: c_uint = 1 << 4;
const NOFLUSH: c_uint = 1 << 5;

impl Machine {
    /// Calls `store` with the stores for `len` bytes, and drains, as the flags say. `store` gets `None` if nothing can
    /// be written back.
    #[inline(always)]
    fn store(&self, len: usize, flags: c_uint, store: impl FnOnce(Option<Copier>)) {
        store(self.stores(len, flags));
        if flags & NOFLUSH != 0 {
            return;
        }
        if let Writeback::Short(short) = &self.writeback {
            short.report();
        }
        if flags & NODRAIN == 0 {
            self.drain();
        }
    }

    #[inline(always)]
    fn stores(&self, len: usize, flags: c_uint) -> Option<Copier> {
        let cache = self.cache?;
        let writes_back = match self.writeback {
            _ if flags & NOFLUSH != 0 => false,
            Writeback::Lines(_) | Writeback::Short(_) => true,
            // Streaming stores keep the copy out of the caches, which is what this hint asks for.
            Writeback::Empty => flags & NONTEMPORAL != 0 && self.streaming != Streaming::Never,
        };
        Some(cache.copier(self.destination(len, flags), writes_back))
    }

    #[inline(always)]
    fn destination(&self, len: usize, flags: c_uint) -> Option<Destination> {
        match self.streaming {
            Streaming::Never => None,
            _ if flags & (NONTEMPORAL | WC) != 0 => Some(Destination::Cold),
            _ if flags & (TEMPORAL | WB) != 0 => None,
            Streaming::From(size) if len >= size => Some(Destination::Cold),
            Streaming::From(_) => None,
            Streaming::Measured => Some(Destination::Unknown),
        }
    }
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
    let is_onto_itself = from == to.cast_const();
    let (place, from) = (to.cast(), from.cast());
    machine().store(len, flags, |stores| match stores {
        _ if is_onto_itself && flags & NOFLUSH != 0 => {}
        // SAFETY: (1) is the caller's duty.
        _ if is_onto_itself => unsafe { machine().flush(place, len) },
        // SAFETY: (1) is the caller's duty; (2) a program orders the accesses of its threads as for `memmove`.
        Some(stores) => unsafe { stores.copy(place, from, len) },
        // SAFETY: (1) is the caller's duty.
        None => unsafe { words::copy(place, from, len) },
    });
    to
}

/// Does the same as [`pmem_memmove`].
///
/// # Safety
/// Same as [`pmem_memmove`].
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
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "as memset(3)")]
    let (place, byte) = (to.cast(), value as u8);
    machine().store(len, flags, |stores| match stores {
        // SAFETY: (1) is the caller's duty; (2) a program orders the accesses of its threads as for `memset`.
        Some(stores) => unsafe { stores.fill(place, len, byte) },
        // SAFETY: (1) is the caller's duty.
        None => unsafe { words::fill(place, len, byte) },
    });
    to
}

/// Defines the functions that are [`pmem_memmove`] or [`pmem_memset`] with fixed flags.
macro_rules! with_flags {
    ($($(#[$documentation:meta])* $name:ident: $function:ident($($argument:ident: $kind:ty),+), $flags:expr;)+) => {
        $(
            $(#[$documentation])*
            ///
            /// # Safety
            #[doc = concat!("Same as [`", stringify!($function), "`].")]
            #[unsafe(no_mangle)]
            pub(crate) unsafe extern "C" fn $name($($argument: $kind),+) -> *mut c_void {
                // SAFETY: (1) is the caller's duty.
                unsafe { $function($($argument),+, $flags) }
            }
        )+
    };
}

with_flags! {
    /// Copies and makes the bytes persistent.
    pmem_memmove_persist: pmem_memmove(to: *mut c_void, from: *const c_void, len: usize), 0;
    /// Copies and makes the bytes persistent.
    pmem_memcpy_persist: pmem_memmove(to: *mut c_void, from: *const c_void, len: usize), 0;
    /// Sets bytes and makes them persistent.
    pmem_memset_persist: pmem_memset(to: *mut c_void, value: c_int, len: usize), 0;
    /// Copies and issues the write-back. `pmem_drain` completes it.
    pmem_memmove_nodrain: pmem_memmove(to: *mut c_void, from: *const c_void, len: usize), NODRAIN;
    /// Copies and issues the write-back. `pmem_drain` completes it.
    pmem_memcpy_nodrain: pmem_memmove(to: *mut c_void, from: *const c_void, len: usize), NODRAIN;
    /// Sets bytes and issues the write-back. `pmem_drain` completes it.
    pmem_memset_nodrain: pmem_memset(to: *mut c_void, value: c_int, len: usize), NODRAIN;
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::ptr::null_mut;
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;

    #[test]
    fn a_hint_names_the_stores_unless_streaming_ones_are_forbidden() {
        let destination = |streaming, len, flags| {
            let machine = Machine { streaming, ..*machine() };
            machine.destination(len, flags)
        };
        for (streaming, len, flags, stores) in [
            (Streaming::Measured, 8, 0, Some(Destination::Unknown)),
            (Streaming::Measured, 8, NONTEMPORAL, Some(Destination::Cold)),
            (Streaming::Measured, 8, WC | NODRAIN, Some(Destination::Cold)),
            (Streaming::Measured, 9000, TEMPORAL, None),
            (Streaming::Measured, 9000, WB, None),
            (Streaming::Measured, 9000, NONTEMPORAL | TEMPORAL, Some(Destination::Cold)),
            (Streaming::From(64), 63, 0, None),
            (Streaming::From(64), 64, 0, Some(Destination::Cold)),
            (Streaming::From(64), 64, WB, None),
            (Streaming::From(64), 1, WC, Some(Destination::Cold)),
            (Streaming::Never, 9000, WC | NONTEMPORAL, None),
        ] {
            assert_eq!(destination(streaming, len, flags), stores, "{streaming:?} {len} {flags}");
        }
    }

    /// In memory without write access, a program that stored would end.
    #[test]
    fn a_copy_onto_itself_stores_nothing() {
        let text = "x".repeat(5000);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let (start, read_only) = (null_mut(), libc::PROT_READ);
        // SAFETY: a new mapping replaces none.
        let place = unsafe {
            libc::mmap(start, text.len(), read_only, libc::MAP_SHARED, file.as_raw_fd(), 0)
        };
        assert_ne!(place, libc::MAP_FAILED);
        for flags in 0..64 {
            for len in [1, 8, 64, 5000] {
                // SAFETY: the range can be read, and nothing is stored.
                assert_eq!(unsafe { pmem_memmove(place, place, len, flags) }, place);
            }
        }
        // SAFETY: nothing uses it any more.
        assert_eq!(unsafe { libc::munmap(place, text.len()) }, 0);
    }
}
