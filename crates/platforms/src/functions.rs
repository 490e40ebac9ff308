//! Caches that functions maintain: a vendor's functions by address, or a flush of the whole cache.

use cachemaint::coherence::{Coherent, Maintain, hand_over};
use core::fmt;

/// A cache that a vendor's functions maintain by address: functions of a ROM, a HAL or an RTOS.
///
/// ```
/// use cachemaint_platforms::Functions;
///
/// mod board {
///     // ESP32-P4, linked from ESP-IDF (`esp32p4/rom/cache.h`), which replaces these functions of its ROM.
///     # /*
///     unsafe extern "C" {
///         fn Cache_WriteBack_Addr(map: u32, address: u32, size: u32) -> i32;
///         fn Cache_WriteBack_Invalidate_Addr(map: u32, address: u32, size: u32) -> i32;
///     }
///     # */
///     # unsafe fn Cache_WriteBack_Addr(_: u32, _: u32, _: u32) -> i32 { 0 }
///     # unsafe fn Cache_WriteBack_Invalidate_Addr(_: u32, _: u32, _: u32) -> i32 { 0 }
///     /// `CACHE_MAP_L1_DCACHE` and `CACHE_MAP_L2_CACHE`.
///     const CACHES: u32 = 1 << 4 | 1 << 5;
///
///     // Both cores share their registers: add the lock that ESP-IDF takes around them. 0 is success, 1 a wrong argument.
///     pub unsafe fn writeback(start: *const u8, len: usize) -> i32 {
///         unsafe { Cache_WriteBack_Addr(CACHES, start.addr() as u32, len as u32) }
///     }
///     pub unsafe fn writeback_invalidate(start: *const u8, len: usize) -> i32 {
///         unsafe { Cache_WriteBack_Invalidate_Addr(CACHES, start.addr() as u32, len as u32) }
///     }
/// }
///
/// // SAFETY: (1) the board's functions do this, for ranges of any alignment, and (3) exclude each other; (2) lines of its second
/// // level have 128 bytes at most.
/// let cache = unsafe { Functions::try_new(128, board::writeback, board::writeback_invalidate) }?;
/// # Ok::<(), cachemaint_platforms::Refused>(())
/// ```
///
/// A C function that can refuse returns a number, and its result must not be dropped: under Zephyr,
/// `sys_cache_data_flush_range` returns `-ENOTSUP` and does nothing if cache management is configured off. Pass such
/// functions to [`try_new`](Self::try_new).
///
/// # Interrupts
/// A handler may call it if the functions may be called there: duty (3) of [`new`](Self::new). A function that takes a
/// lock must not wait for a call that the handler has interrupted.
///
/// # Cost
/// A call of the function, and two device barriers.
#[derive(Clone, Copy, Debug)]
pub struct Functions {
    granule: usize,
    writeback: Function,
    writeback_invalidate: Function,
}

#[derive(Clone, Copy, Debug)]
enum Function {
    Infallible(unsafe fn(*const u8, usize)),
    /// It returns 0 since it did so when the value was made.
    Checked(unsafe fn(*const u8, usize) -> i32),
}

/// A cache function that has refused an empty range, with its result.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Refused(pub i32);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(code) = self;
        write!(
            f,
            "a cache function returned {code} for an empty range; enable cache management in the platform"
        )
    }
}

cachemaint::debug_is_display!(Refused);

impl core::error::Error for Refused {}

impl Functions {
    /// Returns the cache maintained by these functions. They get the first address and the number of bytes, which is
    /// not 0.
    ///
    /// # Panics
    /// If `granule` is 1 or not a power of two.
    ///
    /// # Safety
    /// 1. When a function has returned and a device barrier was executed, each line that the range touches has been
    ///    written back in all caches between this CPU and the observer; the second function has also dropped it. No
    ///    dirty line is dropped without being written back.
    /// 2. No cache writes back a unit larger than `granule`.
    /// 3. They may be called whenever the value is used, and neither fail nor unwind. They tolerate callers on other
    ///    CPUs and in interrupts.
    /// 4. On 32-bit arm they begin and end with a DSB.
    #[must_use]
    pub const unsafe fn new(
        granule: usize,
        writeback: unsafe fn(*const u8, usize),
        writeback_invalidate: unsafe fn(*const u8, usize),
    ) -> Self {
        let writeback = Function::Infallible(writeback);
        Self {
            granule: checked(granule),
            writeback,
            writeback_invalidate: Function::Infallible(writeback_invalidate),
        }
    }

    /// Returns the cache maintained by functions that can refuse: they return 0, or an error. Each is called once, for an
    /// empty range.
    ///
    /// # Errors
    /// If a function refuses the empty range.
    ///
    /// # Safety
    /// 1. As for [`new`](Self::new) (1) to (4). A function that returned 0 for an empty range returns 0 for every range that
    ///    changes hands.
    pub unsafe fn try_new(
        granule: usize,
        writeback: unsafe fn(*const u8, usize) -> i32,
        writeback_invalidate: unsafe fn(*const u8, usize) -> i32,
    ) -> Result<Self, Refused> {
        let here = 0_u8;
        for function in [writeback, writeback_invalidate] {
            // SAFETY: (1) the caller vouches for the function; the range is empty.
            let code = unsafe { function(&raw const here, 0) };
            if code != 0 {
                return Err(Refused(code));
            }
        }
        let [writeback, writeback_invalidate] =
            [writeback, writeback_invalidate].map(Function::Checked);
        Ok(Self { granule: checked(granule), writeback, writeback_invalidate })
    }
}

/// Returns a granule that a cache can have. One of 1 byte is that of memory without maintenance ([`Coherent`]).
const fn checked(granule: usize) -> usize {
    assert!(granule.is_power_of_two() && granule > 1, "the granule is 1 or not a power of two");
    granule
}

/// Calls the function of a [`Functions`] for a range that is not empty.
fn call(function: Function, start: *const u8, len: usize) {
    hand_over(start); // the compiler stores what it kept in registers
    Coherent.complete(); // preceding stores and loads are complete as devices see them
    if len > 0 {
        match function {
            // SAFETY: the maker of the value vouched for the function.
            Function::Infallible(function) => unsafe { function(start, len) },
            Function::Checked(function) => {
                // SAFETY: as above.
                let code = unsafe { function(start, len) };
                debug_assert_eq!(code, 0, "the cache function refused a range");
            }
        }
    }
}

// SAFETY: its maker vouched for the granule (1), the operations (2, 3, 4) and that they cannot fail (7). (5) The barriers are those
// for devices, or the functions' own. (6) The range is handed over, and the barrier is assembly.
unsafe impl Maintain for Functions {
    #[inline]
    fn granule(&self) -> usize {
        self.granule
    }

    #[inline]
    unsafe fn issue_writeback(&self, start: *const u8, len: usize) {
        call(self.writeback, start, len);
    }

    #[inline]
    unsafe fn issue_invalidate(&self, start: *mut u8, len: usize) {
        call(self.writeback_invalidate, start, len);
    }

    #[inline]
    unsafe fn issue_writeback_invalidate(&self, start: *const u8, len: usize) {
        call(self.writeback_invalidate, start, len);
    }

    /// Does nothing: each call has a barrier before it.
    #[inline]
    fn order_observed(&self) {}

    #[inline]
    fn complete(&self) {
        Coherent.complete();
    }
}

/// A cache that can only be flushed, or written back, as a whole.
///
/// The methods of [`Maintain`] that issue operations do nothing. `complete` calls the function, which covers every
/// line, whatever its address and whichever CPU stored to it.
///
/// The XIP cache of an RP2350 holds dirty lines of PSRAM, which the flash functions of the boot ROM drop
/// (`flash_flush_cache`, by set and way). The whole cache is therefore written back first:
///
/// ```no_run
/// use cachemaint::coherence::Maintain;
/// use cachemaint_platforms::WholeCache;
///
/// /// Cleans each line by set and way (datasheet, 4.4.1.1), in the last 16 KiB of the window for maintenance: elsewhere the
/// /// lines get the address of flash or PSRAM (erratum RP2350-E11). They are dropped so, all but pinned ones.
/// fn clean_xip_cache() {
///     for line in (0x1bff_c000..0x1c00_0000).step_by(8) {
///         unsafe { core::ptr::without_provenance_mut::<u8>(line + 1).write_volatile(0) };
///     }
///     # #[cfg(target_arch = "arm")]
///     unsafe { core::arch::asm!("dsb", "isb") };
/// }
///
/// // SAFETY: (1) the function cleans each line; (2) no device writes PSRAM. (3) It ends with a DSB, lines have 8 bytes, and
/// // it cannot fail.
/// const XIP: WholeCache = unsafe { WholeCache::writeback_only(8, clean_xip_cache) };
///
/// /// Not inlined: the compiler moves no store of a caller between the write-back and the call of the ROM.
/// #[inline(never)]
/// fn erase(flash_range_erase: fn()) {
///     // The other core and interrupts are stopped, and the stack is not in PSRAM.
///     XIP.complete();
///     flash_range_erase();
/// }
/// ```
///
/// # Interrupts
/// A handler may call it if the function may interrupt itself: duty (4) of [`new`](Self::new). FENCE of a CVA6 may, and so
/// may a loop over all lines, as above.
///
/// # Cost
/// Each completion covers the whole cache, however short the ranges are. Use the methods of [`Maintain`] to cover
/// several ranges with one completion.
#[derive(Clone, Copy, Debug)]
pub struct WholeCache {
    granule: usize,
    operate: fn(),
}

impl WholeCache {
    /// Returns the cache flushed by this function.
    ///
    /// # Panics
    /// If `granule` is 1 or not a power of two.
    ///
    /// # Safety
    /// 1. When the function has returned, each line that was dirty when it was called has been written back, and each line
    ///    that was cached has been dropped, in all caches between this CPU and the observer.
    /// 2. It orders every load and store of this thread before it with every one after it, as the observer sees them. It is
    ///    assembly that may access memory, or code that the compiler does not see.
    /// 3. No cache writes back a unit larger than `granule`.
    /// 4. It may be called whenever the value is used, in interrupts too if a handler uses it, and neither fails nor unwinds.
    #[must_use]
    pub const unsafe fn new(granule: usize, flush: fn()) -> Self {
        Self { granule: checked(granule), operate: flush }
    }

    /// Returns the cache written back by this function, for devices that only read. Lines may stay.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    ///
    /// # Safety
    /// 1. When the function has returned, each line that was dirty when it was called has been written back, in all caches
    ///    between this CPU and the observer.
    /// 2. No observer writes memory that changes hands through this value, so lines that stay are never out of date.
    /// 3. As for [`new`](Self::new) (2) to (4).
    #[must_use]
    pub const unsafe fn writeback_only(granule: usize, writeback: fn()) -> Self {
        Self { granule: checked(granule), operate: writeback }
    }

    /// Returns the data cache of a CVA6 that is configured to flush it at every FENCE. `granule` is `DcacheLineWidth`
    /// in bytes, 16 by default.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    ///
    /// # Safety
    /// 1. This CPU is a CVA6 with a write-back cache, configured with `DcacheFlushOnFence` and
    ///    `DcacheInvalidateOnFlush` (openhwgroup/cva6, `core/controller.sv`, FENCE; `core/include/config_pkg.sv`). A
    ///    write-through cache drops nothing at a FENCE, and needs non-cacheable memory.
    /// 2. As for [`new`](Self::new) (3).
    /// 3. No other cache is between it and the observer.
    #[must_use]
    pub const unsafe fn cva6(granule: usize) -> Self {
        Self { granule: checked(granule), operate: fence }
    }
}

/// Executes FENCE IORW, IORW on RISC-V.
fn fence() {
    Coherent.complete();
}

// SAFETY: its maker vouched for the granule (1), and that the function does not fail (7). (2), (3) It comes after the stores and
// loads that precede `complete`, and covers all lines; where lines stay, no observer writes memory. (4) It writes back what it
// drops. (5) It is a barrier. (6) The range is handed over, and the function is opaque to the compiler.
unsafe impl Maintain for WholeCache {
    #[inline]
    fn granule(&self) -> usize {
        self.granule
    }

    #[inline]
    unsafe fn issue_writeback(&self, start: *const u8, _: usize) {
        hand_over(start);
    }

    #[inline]
    unsafe fn issue_invalidate(&self, start: *mut u8, _: usize) {
        hand_over(start);
    }

    #[inline]
    unsafe fn issue_writeback_invalidate(&self, start: *const u8, _: usize) {
        hand_over(start);
    }

    /// Does nothing: the flush comes with the completion.
    #[inline]
    fn order_observed(&self) {}

    #[inline]
    fn complete(&self) {
        (self.operate)();
    }
}

#[cfg(test)]
mod tests {
    use super::{Functions, Refused, WholeCache};
    use cachemaint::coherence::{self, Maintain, Padded};
    use std::cell::RefCell;
    use std::thread_local;
    use std::vec::Vec;

    thread_local! {
        static CALLS: RefCell<Vec<(&'static str, usize)>> = const { RefCell::new(Vec::new()) };
    }

    fn called(function: &'static str, len: usize) {
        CALLS.with_borrow_mut(|calls| calls.push((function, len)));
    }

    unsafe fn writeback(_: *const u8, len: usize) {
        called("writeback", len);
    }

    unsafe fn writeback_invalidate(_: *const u8, len: usize) {
        called("writeback_invalidate", len);
    }

    #[test]
    fn a_buffer_is_handed_over_by_the_functions_of_the_vendor() {
        // SAFETY: (1) to (4) there is no observer.
        let cache = unsafe { Functions::new(64, writeback, writeback_invalidate) };
        let mut buffer: Padded<[u8; 40], 64> = Padded::new([0; 40], &cache).unwrap();
        coherence::release(&cache, &*buffer);
        coherence::release_to_writer(&cache, &mut buffer);
        coherence::acquire(&cache, &mut buffer);
        coherence::release(&cache, &[0_u8; 0]);
        let expected =
            [("writeback", 40), ("writeback_invalidate", 64), ("writeback_invalidate", 64)];
        assert_eq!(CALLS.take(), expected);
    }

    /// With a granule of 0 or 1, any memory would be taken for a buffer that shares no line with other data.
    #[test]
    fn a_granule_that_no_cache_has_is_refused() {
        for granule in [0, 1, 3, 48] {
            let made: [fn(usize); 4] = [
                // SAFETY: nothing is called.
                |granule| _ = unsafe { Functions::new(granule, writeback, writeback_invalidate) },
                // SAFETY: as above.
                |granule| _ = unsafe { WholeCache::new(granule, || {}) },
                // SAFETY: as above.
                |granule| _ = unsafe { WholeCache::writeback_only(granule, || {}) },
                // SAFETY: as above.
                |granule| _ = unsafe { WholeCache::cva6(granule) },
            ];
            for make in made {
                std::panic::catch_unwind(|| make(granule)).unwrap_err();
            }
        }
    }

    #[test]
    fn functions_that_refuse_an_empty_range_are_no_cache() {
        type CanRefuse = unsafe fn(*const u8, usize) -> i32;
        const NOT_SUPPORTED: i32 = -134; // -ENOTSUP of Zephyr's minimal libc
        unsafe fn done(_: *const u8, len: usize) -> i32 {
            called("checked", len);
            0
        }
        unsafe fn off(_: *const u8, _: usize) -> i32 {
            NOT_SUPPORTED
        }
        let cases: [[CanRefuse; 2]; 2] = [[off, done], [done, off]];
        for [writeback, both] in cases {
            // SAFETY: (1) there is no observer.
            let refused = unsafe { Functions::try_new(64, writeback, both) };
            assert!(matches!(refused, Err(Refused(NOT_SUPPORTED))));
        }
        // SAFETY: (1) there is no observer.
        let cache = unsafe { Functions::try_new(64, done, done) }.unwrap();
        CALLS.take();
        coherence::release(&cache, &[0_u8; 3]);
        assert_eq!(CALLS.take(), [("checked", 3)]);
    }

    #[test]
    fn several_ranges_are_flushed_or_written_back_once() {
        // SAFETY: (1) to (4) there is no observer.
        let flushed = unsafe { WholeCache::new(16, || called("flush", 0)) };
        // SAFETY: (1) to (3) there is no observer.
        let written = unsafe { WholeCache::writeback_only(8, || called("writeback", 0)) };
        for cache in [flushed, written] {
            for range in [[0_u8; 100], [1; 100]] {
                // SAFETY: (1) the range can be read; (2) nothing relies on it.
                unsafe { cache.issue_writeback(range.as_ptr(), range.len()) };
            }
            cache.complete();
        }
        assert_eq!(CALLS.take(), [("flush", 0), ("writeback", 0)]);
    }
}
