//! Memory shared with an observer that does not see this CPU's caches.
//!
//! Between threads of one machine the hardware keeps the caches coherent, and order is all that programs need. An
//! *observer* here is a reader or writer of the same memory behind the caches' back. It is a device whose DMA takes no
//! part in coherence, a GPU that does not snoop, or another host on the same CXL memory where nothing invalidates a
//! host's lines when another one writes. For it, software does the work of the hardware among CPUs, at the moments when
//! memory changes hands:
//!
//! | | between threads | for such an observer |
//! |---|---|---|
//! | giving memory away | a release store | **[`release`]**: write back, fence; then the flag |
//! | taking memory over | an acquire load | the flag; then **[`acquire`]**: invalidate, fence; then read |
//!
//! The flag is any signal to the other side that it may go on: a store to a device's register, an index in the same
//! memory (which must be released and acquired itself), an interrupt.
//!
//! | call | when it returns | duty of the other side |
//! |---|---|---|
//! | [`release`] | the stores of this thread are in memory, and a flag stored from now on is seen after them. Lines may stay cached, clean | read after it has seen the flag; another CPU: after its own `acquire` |
//! | [`release_to_writer`] | the same, and the lines of the buffer have been dropped: none is left that could be written back over the stores of the other side | write after it has seen the flag, and leave nothing in caches of its own when it gives back: another CPU, by its own `release` |
//! | [`acquire`] | loads from now on see the bytes that were in memory when it was called, or newer ones | have finished, and have released, before it gave the flag |
//!
//! A buffer that the other side writes is therefore maintained twice: [`release_to_writer`] before it is
//! handed over, [`acquire`] after it has come back. Either alone is one of the two classic errors:
//! 1. *A dirty line over the device's data.* A line that was dirty at the hand-over can be written back at any time,
//!    over the device's data. An `acquire` afterwards is too late.
//! 2. *A line fetched too early.* CPUs fetch lines by speculation at any time, even lines of a buffer that no one
//!    accesses. One fetched while the device is at work holds old data, however carefully the buffer was invalidated
//!    before. So invalidate after the device has finished, as well.
//!
//! A third error is that of *neighbours*: caches work on whole units. A variable in the same unit as the buffer makes
//! the buffer's line dirty; two sides that write different words of one unit undo each other's stores. So memory that
//! changes hands is aligned and padded to the machine's write-back granule, which can be larger than a line: [`Padded`]
//! is such a buffer, and checks it.
//!
//! # Which implementation
//! Drivers and HALs are written against [`Maintain`] (it is object-safe: `&dyn Maintain`); the platform chooses the
//! implementation.
//!
//! | the observer | give it |
//! |---|---|
//! | takes no part in coherence, and this CPU's instructions maintain its caches | [`Cache`]; for another host on the [conditions of CXL](#cxl-memory-of-two-hosts) |
//! | takes part: DMA on x86 without "no snoop", `dma-coherent` in a device tree, `_CCA` 1 in ACPI, every CPU of s390x | [`Coherent`], which costs one barrier |
//! | takes no part, and a memory-mapped controller, functions of a ROM or instructions of the CPU's vendor (T-Head) maintain the cache | an implementation of the platform: `cachemaint-platforms` has those of Cortex-M7 and M55, Armv7-A and R, PL310, T-Head, SiFive's CCACHE, CVA6 and a vendor's functions; [`Maintain`] has a sketch |
//! | takes no part, and nothing maintains the cache, or the memory [cannot be padded](#descriptor-rings) | memory that is mapped as not cacheable (by Svpbmt on RISC-V), and [`Coherent`]; in a guest [if the hypervisor honours it](#memory-types-in-a-guest) |
//!
//! # Descriptor rings
//! Hardware fixes the layout of a ring, often 16 bytes a descriptor, and writes its status into them. If several
//! descriptors share a unit, a `release` of one can write the unit back over the status of another, without an error.
//! Take the first of these methods that the device permits:
//! 1. *A unit for each descriptor.* Some devices take a distance between descriptors. The Ethernet DMA of STM32F7 and H7 has
//!    `DSL` in `ETH_DMABMR` and `ETH_DMACCR`: 16 bytes and 4 skipped words are a line of their Cortex-M7. Such a ring is an
//!    array of [`Padded`] descriptors.
//! 2. *Memory that is not cacheable*, in every mapping, also [to the hypervisor](#memory-types-in-a-guest): Linux allocates
//!    rings so (`dma_alloc_coherent`). [`Coherent`] orders a descriptor before its flag there. Once the last cacheable
//!    mapping has ended, drop its lines by [`release_range_to_writer`] with the [`Cache`] or the platform's [`Maintain`].
//! 3. *Whole units.* The ring is cacheable and aligned to the granule. All descriptors of a unit are given away by one
//!    [`release_range_to_writer`], before the doorbell. Until the device has finished with all of them, store to none.
//!    [`acquire_range`] of the unit shows their status, as often as needed. It suits devices that touch no descriptor before
//!    the doorbell.
//!
//! A device changes descriptors at any time. So access them by volatile loads and stores of pointers, not by references,
//! and use the calls on ranges. In memory that is not cacheable a flag within a descriptor is stored after a `release` of
//! the other words, and is released itself.
//!
//! # Memory types in a guest
//! In a virtual machine the type that a mapping has by the guest's tables need not be the type of its accesses, and no
//! register of the guest shows the difference.
//!
//! | hypervisor | a mapping of RAM that the guest makes not cacheable | source |
//! |---|---|---|
//! | KVM on Intel | is cacheable by default. It is not while a device whose DMA is not coherent is assigned, or if the VMM disables the quirk on a CPU with self-snoop | Linux `Documentation/virt/kvm/api.rst`, `KVM_X86_QUIRK_IGNORE_GUEST_PAT`; `arch/x86/kvm/vmx/vmx.c`, `vmx_get_mt_mask` |
//! | KVM with Intel TDX | is not cacheable if the memory is shared with the host; private memory always is cacheable | Linux, "KVM: TDX: Always honor guest PAT on TDX enabled guests" (`arch/x86/kvm/vmx/tdx.c`) |
//! | KVM on AMD | is not cacheable | the first page |
//! | KVM on arm64 with `FEAT_S2FWB` | is cacheable | Linux `arch/arm64/include/asm/memory.h`, `MT_S2_FWB_NORMAL`: "Stage-2 enforces Normal-WB" |
//! | KVM on arm64 without it | is not cacheable, but the monitor's accesses are | the same file, `MT_S2_NORMAL`; firecracker issue 5536 |
//! | others | not known here | |
//!
//! Lines of such memory hide and undo stores as any others do, and [`Coherent`] does not maintain them. Use [`Cache`] there,
//! and maintain rings by whole units, unless the hypervisor states that it honours the guest's types.
//!
//! # CXL memory of two hosts
//! On memory of two hosts that the hardware does not keep coherent, the pair is right only if the platform makes two
//! promises, which this crate cannot check:
//! 1. *No clean write-backs.* Some caches write a line back that they only fetched, over the stores of the other host, and no
//!    maintenance avoids that (CXL 3.1, 2.4). The bit "No Clean Writebacks" promises that it never happens: each host has it
//!    in the CXL System Description Structure of its ACPI table CEDT (9.18.1.6), each device in the register DVSEC CXL
//!    Capability2 (8.1.3.7). Without it map the memory as not cacheable on all hosts, [in guests
//!    too](#memory-types-in-a-guest).
//! 2. *Visibility.* A `release` completes as this CPU's architecture defines it. That the other host then reads the bytes is
//!    a claim of the platform, since writes can be pending in buffers on the way (Dan Williams, linux-cxl, 21 May 2024,
//!    "Introduce CBD (CXL Block Device)"). Where it does not state that, verify messages by a checksum.
//!
//! # Limits
//! It maintains the caches of the CPU that calls, and of those coherent with it. It does not make two sides exclude
//! each other: the protocol defines the turns to write, and `examples/ring` is one. Atomic read-modify-write operations are
//! not atomic to such an observer. `docs/exotic-machines.md` names cores whose caches undo stores of an observer all the
//! same.

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

/// Gives `value` away: writes its lines back and completes that, so that an observer which sees a flag stored after
/// this sees the stores before.
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
/// These are the bytes of the value itself, not the bytes that it points to: pass the contents of a `Vec`.
///
/// The granule is not checked, since a value that only this side writes may lie anywhere. If the other side writes to
/// bytes of the same unit, this call can undo its stores: [descriptor rings](self#descriptor-rings) are such memory.
///
/// It makes nothing durable: the [front page](crate#calls-that-make-data-durable) has the calls that do.
///
/// # Ordering
/// Loads and stores of this thread that precede the call are complete, as the observer sees them, before any that
/// follow. Stores of other threads that this thread only knows of need [`Maintain::order_observed`] first. A flag that is
/// not a store to memory or to a device's register (a system register, an event) may need a barrier of its own.
///
/// # Cost
/// A write-back of each line, and one fence.
#[doc(alias("clean", "dma_sync_single_for_device", "sys_cache_data_flush_range", "dma_wmb"))]
#[inline]
pub fn release<T: ?Sized>(cache: &(impl Maintain + ?Sized), value: &T) {
    // SAFETY: (1) all bytes of a reference can be read; it lives beyond the call, which fences (2).
    unsafe { release_range(cache, core::ptr::from_ref(value).cast(), size_of_val(value)) };
}

/// Gives a buffer away for an observer to write: writes its lines back and drops them, so that no line is left that
/// could be written back over the observer's stores.
///
/// Until [`acquire`], store nothing to it: that would make a line dirty again. The code that starts the observer
/// vouches that no reference to the buffer is used while the observer writes.
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
    let (start, len) = buffer.granules(cache.granule());
    // SAFETY: (1) all bytes of a reference can be read; it lives beyond the call, which fences (2).
    unsafe { release_range_to_writer(cache, start, len) };
}

/// Takes a buffer over after an observer has written it: drops its lines, so that loads fetch from memory.
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
/// Loads that follow return data no older than the start of the call, and are not made before the loads
/// that precede it: that of the flag is one of them.
///
/// Call it after the observer has finished, and [`release_to_writer`] before it started: this call may write a dirty
/// line back, over the observer's stores. A status word to which this side stores nothing meanwhile can be polled: call it
/// before each look.
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
    let (start, len) = buffer.granules(cache.granule());
    // SAFETY: (1) all bytes of a reference can be read; it lives beyond the call, which fences (2); (3) the
    // buffer is borrowed for writing, and every bit pattern is a value of it.
    unsafe { acquire_range(cache, start, len) };
}

/// Does [`release`] for `len` bytes from `start`.
///
/// The range is not compared with the granule. A dirty unit is written back as a whole, so stores of the observer to
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
/// It does not panic for a range that shares units with other bytes, as the granule is not checked. A store of this
/// machine to those bytes makes the unit dirty again, and then its write-back can undo the observer's stores to the
/// range. This call itself can undo stores of the observer to those bytes.
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
/// It does not panic for a range that shares units with other bytes, as the granule is not checked. If such a unit is
/// dirty, it is written back, over the observer's stores to the unit, in the range too.
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
    use crate::cache::Cache;
    use alloc::vec::Vec;
    use cachemaint_test_support::skip::skip;
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
        match Cache::host() {
            Ok(cache) => change_no_value(&cache),
            Err(why) => skip("the_pair_changes_no_value_on_the_host", why),
        }
    }
}
