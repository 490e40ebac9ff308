//! Memory shared with a device or a host that does not see this CPU's caches.
//!
//! Between the threads of one machine the hardware keeps the caches coherent, and programs need only ordering. An
//! *observer* here reads or writes the same memory without seeing the caches: a device with non-coherent DMA, a GPU
//! that does not snoop, or another host on the same CXL memory where nothing invalidates one host's lines when the
//! other writes. For such an observer, software maintains the caches whenever memory changes hands:
//!
//! | | between threads | for such an observer |
//! |---|---|---|
//! | giving memory away | a release store | **[`release`]**: write back, fence; then the flag |
//! | taking memory over | an acquire load | the flag; then **[`acquire`]**: invalidate, fence; then read |
//!
//! The flag is any signal to the other side that it may continue: a store to a device's register, an index in the same
//! memory (which must itself be released and acquired), an interrupt.
//!
//! | call | on return | then |
//! |---|---|---|
//! | [`release`] | this thread's stores are in memory; clean lines may stay cached | set the flag: the other side reads |
//! | [`release_to_writer`] | the same, and the lines of the buffer have been dropped | set the flag: the other side writes |
//! | [`acquire`], after reading the flag | loads see memory as of the call, or newer | read |
//!
//! The other side waits for the flag before it touches the buffer. When it gives the buffer back, its stores must be in
//! memory before it sets its own flag. If it is a CPU with caches, it calls `acquire` after it has read the flag, and
//! `release` before it sets one.
//!
//! A buffer that the other side writes is therefore maintained twice, by [`release_to_writer`] and [`acquire`]:
//! 1. *A dirty line over the device's data.* A line that was dirty at the hand-over can be written back at any time,
//!    over the device's data. An `acquire` afterwards is too late.
//! 2. *A line fetched too early.* CPUs fetch lines by speculation at any time. A line fetched while the device is at
//!    work holds old data, however carefully the buffer was invalidated before.
//!
//! Caches work on whole units, so memory that changes hands shares its units with nothing: it is aligned and padded to
//! the machine's write-back granule. [`Padded`] is such a buffer, and checks it.
//!
//! Write drivers and HALs against [`Maintain`] (object-safe: `&dyn Maintain`). [`Cache`] implements it by instructions,
//! `cachemaint-platforms` by registers and vendors' instructions, and [`Coherent`] by a barrier, for devices that snoop
//! and memory that no cache holds. The guide's chapter *Drivers, kernels and `no_std`* chooses, *Test a driver without the
//! device* tests, and *Rings, tables, guests and CXL memory* has the rules where a buffer of its own is impossible.
//!
//! # Limits
//! - Only the caches of the calling CPU, and those coherent with it, are maintained.
//! - Nothing here stops both sides from writing at once: the protocol defines whose turn it is. Atomic read-modify-write
//!   operations are not atomic for such an observer.
//! - Some cores undo an observer's stores all the same: the guide's chapter *Platforms and limits* names them.
//! - Of two hosts on CXL memory, messages are lost silently unless the platform promises "No Clean Writebacks", and that
//!   a completed write-back is visible to the other host.

mod coherent;
mod maintain;
mod padded;

use crate::cache::Plain;

pub use coherent::Coherent;
pub use maintain::Maintain;
#[cfg(any(feature = "alloc", test))]
pub use padded::NotAllocated;
pub use padded::{Granule, GranuleTooLarge, NotPadded, Padded};

pub use crate::arch::device::hand_over;

#[cfg(doc)]
use crate::Cache;

/// Gives `value` away: writes its lines back and fences, so that a device that sees a flag stored later also sees the
/// stores to `value`.
///
/// ```
/// use cachemaint::coherence::{self, Coherent, Maintain, Padded};
///
/// /// A command that shares its units with nothing, on any platform.
/// type Command = Padded<[u32; 8], 2048>;
///
/// fn submit(cache: &dyn Maintain, command: &Command, ring_the_doorbell: impl FnOnce()) {
///     coherence::release(cache, &**command); // the words alone: no one reads the padding
///     ring_the_doorbell(); // a volatile store to the device's register
/// }
/// # fn main() -> Result<(), coherence::GranuleTooLarge> {
/// submit(&Coherent, &Padded::new([0; 8], &Coherent)?, || ());
/// # Ok(())
/// # }
/// ```
///
/// These are the bytes of the value itself, not those it points to: pass the contents of a `Vec`.
///
/// The granule is not checked, since a value that only this side writes may lie anywhere. If the other side writes to
/// bytes of the same unit, this call can undo its stores: see the guide on rings.
///
/// It makes nothing durable: the [front page](crate#calls-that-make-data-durable) lists the calls that do.
///
/// # Ordering
/// Loads and stores of this thread before the call are complete, as the observer sees them, before any after it. Stores
/// of other threads that this thread has only observed need [`Maintain::order_observed`] first. A flag that is not a
/// store to memory or to a device's register (a system register, an event) may need a barrier of its own.
///
/// # Cost
/// A write-back of each line, and one fence.
#[doc(alias("clean", "dma_sync_single_for_device", "sys_cache_data_flush_range", "dma_wmb"))]
#[inline]
pub fn release<T: ?Sized>(cache: &(impl Maintain + ?Sized), value: &T) {
    // SAFETY: (1) all bytes of a reference can be read; it lives beyond the call, which fences (2).
    unsafe { release_range(cache, core::ptr::from_ref(value).cast(), size_of_val(value)) };
}

/// Gives a buffer to a device to write: writes its lines back and drops them, so that no line is left that could be
/// written back over the device's stores.
///
/// Store nothing to it until [`acquire`]: that would make a line dirty again. The code that starts the device vouches
/// that no reference to the buffer is used while the device writes.
///
/// # Ordering
/// As [`release`].
///
/// # Panics
/// If the granule of the cache is larger than `N`: the buffer may share a unit with other data.
///
/// # Cost
/// A write-back and invalidation of each line, and a fence before and after.
#[doc(alias("dma_sync_single_for_device", "sys_cache_data_flush_and_invd_range"))]
#[inline]
#[track_caller]
pub fn release_to_writer<T, const N: usize>(
    cache: &(impl Maintain + ?Sized),
    buffer: &mut Padded<T, N>,
) where
    T: Plain + ?Sized,
    [u8; N]: Granule,
{
    cache.note_value(core::ptr::from_ref(&**buffer).cast(), size_of_val(&**buffer));
    let (start, len) = buffer.granules(cache.granule());
    // SAFETY: (1) all bytes of a reference can be read; it lives beyond the call, which fences (2).
    unsafe { release_range_to_writer(cache, start, len) };
}

/// Takes a buffer back after a device has written it: drops its lines, so that loads fetch from memory.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use cachemaint::Cache;
/// use cachemaint::coherence::{self, Padded};
///
/// let cache = Cache::host()?;
/// // Refused if the machine writes back in larger units than these 2048 bytes, which none does.
/// let mut buffer: Padded<[u8; 1500], 2048> = Padded::new([0; 1500], &cache)?;
/// coherence::release_to_writer(&cache, &mut buffer); // no line is left that could hide the data
/// // … start the device on `buffer.as_mut_ptr()`, and wait until it says that it has finished …
/// coherence::acquire(&cache, &mut buffer); // drops the lines fetched by speculation meanwhile
/// let first = buffer[0];
/// # Ok(())
/// # }
/// ```
///
/// # Ordering
/// Loads that follow return data no older than the start of the call, and are not made before the loads that precede
/// it, such as that of the flag.
///
/// Call it after the device has finished, and [`release_to_writer`] before it started: this call may write a dirty line
/// back, over the device's stores. A status word can be polled if this side stores nothing to it meanwhile: call
/// `acquire` before each look.
///
/// # Panics
/// As [`release_to_writer`].
///
/// # Cost
/// An invalidation of each line, and a fence before and after.
#[doc(alias("invalidate", "dma_sync_single_for_cpu", "sys_cache_data_invd_range", "dma_rmb"))]
#[inline]
#[track_caller]
pub fn acquire<T, const N: usize>(cache: &(impl Maintain + ?Sized), buffer: &mut Padded<T, N>)
where
    T: Plain + ?Sized,
    [u8; N]: Granule,
{
    cache.note_value(core::ptr::from_ref(&**buffer).cast(), size_of_val(&**buffer));
    let (start, len) = buffer.granules(cache.granule());
    // SAFETY: (1) all bytes of a reference can be read; it lives beyond the call, which fences (2); (3) the
    // buffer is borrowed for writing, and every bit pattern is a value of it.
    unsafe { acquire_range(cache, start, len) };
}

/// Does [`release`] for `len` bytes from `start`.
///
/// The range is not checked against the granule. A dirty unit is written back as a whole, so the device's stores to
/// other bytes of the units at the ends can be undone.
///
/// # Safety
/// 1. As for [`Maintain::issue_writeback`] (1).
#[inline]
pub unsafe fn release_range(cache: &(impl Maintain + ?Sized), start: *const u8, len: usize) {
    // SAFETY: (1) is the caller's duty; (2) the fence comes before anything else.
    unsafe { cache.issue_writeback(start, len) };
    cache.complete();
}

/// Does [`release_to_writer`] for `len` bytes from `start`.
///
/// The granule is not checked, so a range that shares units with other bytes causes no panic. A store of this machine
/// to those bytes makes the unit dirty again, and its write-back can then undo the device's stores to the range. This
/// call itself can undo the device's stores to those bytes.
///
/// # Safety
/// 1. As for [`Maintain::issue_writeback`] (1).
#[inline]
pub unsafe fn release_range_to_writer(
    cache: &(impl Maintain + ?Sized),
    start: *mut u8,
    len: usize,
) {
    cache.order_observed(); // a store that another thread has made known to this one must not dirty a line again
    // SAFETY: (1) is the caller's duty; (2) the fence comes before anything else.
    unsafe { cache.issue_writeback_invalidate(start, len) };
    cache.complete();
}

/// Does [`acquire`] for `len` bytes from `start`.
///
/// The granule is not checked, so a range that shares units with other bytes causes no panic. If such a unit is dirty,
/// it is written back over the device's stores to the unit, including those to the range.
///
/// # Safety
/// 1. As for [`Maintain::issue_invalidate`] (1).
/// 2. As for [`Maintain::issue_invalidate`] (3).
#[inline]
pub unsafe fn acquire_range(cache: &(impl Maintain + ?Sized), start: *mut u8, len: usize) {
    cache.order_observed(); // the flag
    // SAFETY: (1) and (3) are the caller's duties; (2) the fence comes before anything else.
    unsafe { cache.issue_invalidate(start, len) };
    cache.complete();
}

#[cfg(all(test, not(cachemaint_loom)))]
mod tests {
    use super::{Coherent, Maintain, Padded, acquire, release, release_to_writer};
    use crate::cache::tests::host_or_refused;
    use alloc::vec::Vec;
    use std::sync::{Mutex, PoisonError};

    /// Checks that the operations change no value: no observer is there, so every value must be the stored one. It uses
    /// a trait object, as drivers have it.
    fn change_no_value(cache: &dyn Maintain) {
        // Padded to the largest granule there is.
        let mut buffer: Padded<[u16; 700], 2048> = Padded::for_granule([0; 700], cache.granule());
        for round in 0..3 {
            buffer.fill(round);
            release(cache, &buffer);
            acquire(cache, &mut buffer);
            assert_eq!(*buffer, [round; 700]);
            buffer[699] = 0x5a5a;
            release_to_writer(cache, &mut buffer);
            acquire(cache, &mut buffer);
            assert_eq!((buffer[0], buffer[699]), (round, 0x5a5a));
        }
    }

    /// Records the calls that it gets, and has the trait's own `order_observed`.
    #[derive(Default)]
    struct Recording(Mutex<Vec<&'static str>>);

    impl Recording {
        fn record(&self, call: &'static str) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(call);
        }
    }

    // SAFETY: nothing is cached, written back or dropped (1 to 4); no observer is there to see an order (5) or memory (6);
    // nothing can fail (7).
    unsafe impl Maintain for Recording {
        fn granule(&self) -> usize {
            64
        }

        unsafe fn issue_writeback(&self, _: *const u8, _: usize) {
            self.record("write back");
        }

        unsafe fn issue_invalidate(&self, _: *mut u8, _: usize) {
            self.record("invalidate");
        }

        unsafe fn issue_writeback_invalidate(&self, _: *const u8, _: usize) {
            self.record("write back and invalidate");
        }

        fn complete(&self) {
            self.record("barrier");
        }
    }

    /// The loads of this thread, that of the flag among them, come before a line is dropped.
    #[test]
    fn an_operation_that_drops_lines_stands_between_two_barriers() {
        let cache = Recording::default();
        let mut buffer: Padded<[u8; 64], 64> = Padded::new([0; 64], &cache).unwrap();
        release(&cache, &buffer);
        release_to_writer(&cache, &mut buffer);
        acquire(&cache, &mut buffer);
        let calls = cache.0.into_inner().unwrap();
        let released = ["write back", "barrier"];
        let given = ["barrier", "write back and invalidate", "barrier"];
        let taken = ["barrier", "invalidate", "barrier"];
        assert_eq!(calls, [&released[..], &given, &taken].concat());
    }

    #[test]
    fn the_pair_changes_no_value_on_the_host() {
        change_no_value(&Coherent);
        if let Some(cache) = host_or_refused() {
            change_no_value(&cache);
        }
    }
}
