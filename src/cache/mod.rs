//! The operations: write back and invalidate ranges of bytes, line by line.
//!
//! A [`Cache`] is a small `Copy` value, made once for a machine. It holds the instruction, its fences, the line size
//! and the [`Point`] that write-backs are aimed at. Making it can fail, with the reason; afterwards no operation fails,
//! allocates, locks or traps. The choice is a pure function of the machine's facts (`choose.rs`), so the choice for every
//! machine is tested on any machine.
//!
//! Work on a range is *issued* line by line and *completed* by a fence. The plain operations do
//! both; [`Cache::batch`] issues for several ranges and completes them together.
//!
//! A virtual machine that is migrated can lose an instruction that it was started with: the guide's chapter *Advice to
//! authors of hypervisors* lists what each must promise.

mod batch;
mod builder;
mod choice;
mod choose;
pub(crate) mod copy;
#[cfg(all(target_has_atomic = "64", any(test, not(cachemaint_loom))))]
mod once;
mod plain;
#[cfg(feature = "privileged")]
mod privileged;

#[cfg(test)]
pub(crate) mod tests;

use crate::arch::{
    Effect, Facts, Fences, Instruction, Point, Unsupported, native::ARCHITECTURE, ops,
};
use core::num::NonZeroU64;
use core::ptr;

pub use crate::arch::Missing;
pub use batch::Batch;
pub use builder::Builder;
pub use choice::Choice;
#[doc(hidden)]
pub use copy::Copier;
pub use copy::Destination;
#[cfg(all(target_has_atomic = "64", any(test, not(cachemaint_loom))))]
pub use once::OnceCache;
pub use plain::Plain;

/// Cache maintenance on ranges of bytes, with the instructions of this machine.
///
/// The value is one word. The [front page](crate#calls-that-make-data-durable) lists the calls that make data durable.
///
/// | the code | call |
/// |---|---|
/// | a program under an operating system | [`host`](Self::host); [`persistent`](Self::persistent) for the point of persistence |
/// | a kernel, a hypervisor or firmware in ring 0 or at EL1 | `privileged`, with feature `privileged` of this crate; kept in a static [`OnceCache`] |
/// | the same on RISC-V and PowerPC, where no register describes the CPU, or on a known board | [`from_facts`](Self::from_facts) |
/// | a board with caches that are maintained through registers or a vendor's functions | no `Cache`, but an implementation of [`Maintain`](crate::coherence::Maintain): `cachemaint-platforms` has some |
///
/// ```
/// # fn main() -> Result<(), cachemaint::Unsupported> {
/// use cachemaint::Cache;
///
/// let cache = Cache::host()?;
/// let buffer = [7_u8; 300];
/// cache.writeback(&buffer); // every line of it is written back before the next store
/// println!("{} for each {} bytes", cache.writeback_choice().instruction.name, cache.line_size());
/// # Ok(())
/// # }
/// ```
///
/// # Guarantees
/// The operation to the point *is complete before any store that follows the call*, as the architecture defines it;
/// [`writeback`](Self::writeback) says what can be earlier. How much that is worth in a power cut is the platform's
/// claim: see [`dax`](crate::dax) and `cachemaint-inspect`.
///
/// # Limits
/// An operation acts on the lines of the mapped physical address. It reaches every cache between this CPU and the point,
/// and the caches of other CPUs that the hardware keeps coherent with it. Instruction caches are not maintained: a JIT
/// compiler calls `__clear_cache` of compiler-rt, `sys_icache_invalidate` on macOS or `FlushInstructionCache` on
/// Windows. The guide's chapter *Platforms and limits* names the systems where a thread must stay on its CPU, and has the
/// rules for memory under several encryption keys.
///
/// # Cost
/// One instruction a line, and for each call the fences of [`writeback_choice`](Self::writeback_choice). One
/// predictable branch per call chooses the instruction.
#[doc(alias("icache", "clear_cache", "privileged"))]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cache {
    /// The choice; `choose.rs` has the layout.
    word: NonZeroU64,
}

impl Cache {
    /// Returns the handle for the machine that this program runs on, aimed at the point of coherency.
    ///
    /// The first call determines the machine's abilities; later calls cost one relaxed load and a branch. All calls in
    /// a process return the same answer. A refusal is not kept: the next call asks the machine again, as does every
    /// call on targets without 64-bit atomics.
    ///
    /// ```
    /// # fn main() -> Result<(), cachemaint::Unsupported> {
    /// let cache = cachemaint::Cache::host()?;
    /// let record = [7_u8; 100];
    /// cache.writeback(&record);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If user mode has no such operation on this architecture, if the CPU reports no instruction for it, or if there
    /// is no operating system to ask for permission. In the last case, code in ring 0 or at EL1 calls `privileged`
    /// (feature `privileged`). The reason says which.
    #[inline]
    pub fn host() -> Result<Self, Unsupported> {
        #[cfg(all(target_has_atomic = "64", not(cachemaint_loom)))]
        {
            static CHOSEN: OnceCache = OnceCache::new();
            match CHOSEN.get() {
                Some(cache) => Ok(cache),
                None => CHOSEN.choose(Self::detect),
            }
        }
        #[cfg(not(all(target_has_atomic = "64", not(cachemaint_loom))))]
        Self::detect()
    }

    /// Returns the handle for the machine that this program runs on, aimed at the point of persistence. Use it for
    /// persistent memory that the program has mapped itself, where the kernel keeps the file's blocks in place
    /// (`MAP_SYNC`, device DAX). A `DaxFile` (feature `dax`) takes care of all this, and knows what its medium
    /// promises.
    ///
    /// ```
    /// match cachemaint::Cache::persistent() {
    ///     Ok(cache) => cache.writeback(&[7_u8; 100]), // as far as the memory controller
    ///     Err(why) => println!("{why}"),              // an arm64 CPU before v8.2, RISC-V, and others
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`host`](Self::host). Also if no instruction of this CPU reaches the point of persistence; see
    /// [`to`](Self::to).
    #[doc(alias("persist", "pmem_persist", "pmem_flush", "durable"))]
    #[inline]
    pub fn persistent() -> Result<Self, Unsupported> {
        Self::host()?.to(Point::Persistence)
    }

    /// Asks the machine.
    #[cold]
    fn detect() -> Result<Self, Unsupported> {
        Self::builder().build()
    }

    /// Returns the handle for a machine that the caller describes, for code that knows its hardware or has other means
    /// to ask. With constant facts the choice is made at compile time.
    ///
    /// ```
    /// # #[cfg(all(target_arch = "x86_64", not(miri)))] {
    /// use cachemaint::{Cache, instruction::{CLFLUSH, Facts}};
    /// const FACTS: Facts = Facts::new(64).unwrap().with(CLFLUSH);
    /// // SAFETY: every x86_64 CPU has CLFLUSH, and the board's has lines of 64 bytes.
    /// let cache = unsafe { Cache::from_facts(FACTS) }.unwrap();
    /// assert_eq!(cache.writeback_choice().instruction.name, "clflush");
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the facts hold no instruction that writes back, or none that invalidates.
    ///
    /// # Safety
    /// Every CPU that the handle is used on
    /// 1. has the instructions that `facts` names, permitted at the privilege level of the caller,
    ///    with the ordering that their documentation says;
    /// 2. has lines of at least the size that `facts` says, and writes back no unit larger than the
    ///    granule that `facts` says;
    /// 3. keeps the thread from the first line of an operation to its fence; or the kernel and the hypervisor execute
    ///    the fence of [`writeback_choice`](Self::writeback_choice) before they move the thread or its virtual CPU to
    ///    another CPU.
    pub const unsafe fn from_facts(facts: Facts) -> Result<Self, Unsupported> {
        Self::choose(&ARCHITECTURE, facts, Self::builder())
    }

    /// Returns a handle with the caller's overrides, for tests, benchmarks and command lines.
    #[must_use]
    pub const fn builder() -> Builder {
        Builder::new()
    }

    /// Returns the same handle, aimed at `point`: write-backs go that far.
    ///
    /// | point | x86 | arm64 | RISC-V | PowerPC |
    /// |---|---|---|---|---|
    /// | coherency | `clwb`, else `clflushopt`, else `clflush` | `dc cvac`; `dc civac` where an erratum says so | `cbo.clean` | `dcbst`, `dcbf` |
    /// | persistence | the same | `dc cvap`; refused without `FEAT_DPB` | refused | `dcbstps`, `dcbf`, else refused |
    /// | deep persistence | refused: the kernel does it | `dc cvadp`; refused without `FEAT_DPB2` | refused | refused |
    ///
    /// Where persistence is refused, the [`Builder`] can accept coherency instead.
    ///
    /// # Errors
    /// If no instruction of this machine reaches the point, with the reason and the remedy.
    pub const fn to(self, point: Point) -> Result<Self, Unsupported> {
        Self::choose(&ARCHITECTURE, self.facts(), self.conditions().point(point))
    }

    /// Returns the point that write-backs are aimed at.
    #[must_use]
    pub const fn point(self) -> Point {
        self.conditions().point
    }

    /// Returns true if [`Point::Persistence`] means the point of coherency here, because the builder accepted that.
    #[must_use]
    pub const fn accepts_coherency_as_persistence(self) -> bool {
        self.conditions().accepts_coherency()
    }

    /// Returns the unit that one instruction works on, in bytes.
    #[must_use]
    pub const fn line_size(self) -> usize {
        self.within() as usize + 1
    }

    /// Returns the largest unit that any cache of the machine writes back, in bytes: at least
    /// [`line_size`](Self::line_size), and at most 2048, which is assumed for arm64 CPUs that do not state it
    /// (`CTR_EL0.CWG` is 0). Align and pad to it any data that must not share a unit with other data; see
    /// [`coherence`](crate::coherence).
    #[must_use]
    pub const fn granule(self) -> usize {
        self.largest_unit().bytes()
    }

    /// Returns the instruction that writes back, with its fences.
    #[must_use]
    pub const fn writeback_choice(self) -> Choice {
        let instruction = instruction(self.writeback_code());
        Choice::of(&ARCHITECTURE, instruction, instruction.writeback)
    }

    /// Returns the effect of the instruction that writes back.
    #[inline]
    pub(crate) const fn writeback_effect(self) -> Effect {
        instruction(self.writeback_code()).effect
    }

    /// Returns the instruction that invalidates, with its fences.
    #[must_use]
    pub const fn invalidate_choice(self) -> Choice {
        let instruction = instruction(self.invalidate_code());
        Choice::of(&ARCHITECTURE, instruction, ARCHITECTURE.invalidate)
    }

    /// Returns the instructions of this machine that can write back to the point, the preferred one first. Each is
    /// shown once.
    pub fn available_writebacks(self) -> impl Iterator<Item = Instruction> {
        self.available(&ARCHITECTURE)
    }

    /// Writes the lines of `value` back to the point. They may stay cached.
    ///
    /// These are the bytes of the value itself, not those it points to. For a `Vec` or a `Box` pass the contents,
    /// `&vec[..]` or `&*boxed`; otherwise only the pointer is written back.
    ///
    /// # Ordering
    /// Every byte of `value` that this thread stored before the call, and every store to its lines that precedes the
    /// call in memory order, reaches the point before any store that follows the call is observed. Stores of *other*
    /// threads that this thread knows of through another location need [`order_observed`](Self::order_observed) first.
    ///
    /// On x86 the fence does not wait (Intel SDM vol. 2B, SFENCE): a later load, or an interrupt sent by an MSR, can
    /// come before the write-back is complete. A signal to a device that is not a store needs the barriers that
    /// [`Coherent`](crate::coherence::Coherent) names. On arm64 the bytes have reached the point when this returns
    /// (DSB).
    ///
    /// Bytes that were *not* written back can reach memory too: the CPU can write a line back at any time. A crash
    /// before the call returns can tear a line, in units of 8 bytes (4 bytes on a 32-bit CPU).
    ///
    /// # Cost
    /// One instruction a line, and the fences of a write-back: one after the lines on arm64, and on x86 with `clwb` or
    /// `clflushopt`; see [`writeback_choice`](Self::writeback_choice).
    #[doc(alias("clean", "flush", "clwb", "clflushopt", "dc cvac", "dc cvap", "wback"))]
    #[inline]
    pub fn writeback<T: ?Sized>(self, value: &T) {
        // SAFETY: (1) all bytes of a reference can be read.
        unsafe { self.writeback_range(address(value), size_of_val(value)) };
    }

    /// Drops the lines of `values`, so that later loads see what a device has stored in memory.
    ///
    /// # Ordering
    /// Loads that follow the call return data no older than its start.
    ///
    /// In user mode no supported system discards lines: dirty lines are written back first, **over the device's stores**.
    /// Therefore:
    /// 1. have no dirty line there while the device writes ([`writeback_invalidate`] before it starts);
    /// 2. invalidate after it has finished, since a CPU can fetch lines by speculation at any time.
    ///
    /// Bytes outside `values` are never lost: lines that are shared at the ends are written back too.
    ///
    /// # Cost
    /// One instruction a line, and the fences of an invalidation: on x86 MFENCE before and after, on
    /// arm64 DMB before and DSB after.
    ///
    /// [`writeback_invalidate`]: Self::writeback_invalidate
    #[doc(alias("inv", "clflush", "dc civac", "dma_sync_for_cpu"))]
    #[inline]
    pub fn invalidate<T: Plain>(self, values: &mut [T]) {
        // SAFETY: (1) all bytes of a slice can be read; (2) it is borrowed for writing, and every
        // bit pattern is a value by `Plain` (1).
        unsafe { self.invalidate_range(values.as_mut_ptr().cast(), size_of_val(values)) };
    }

    /// Writes the lines of `value` back and drops them, so that a device sees the stored bytes and later loads fetch
    /// from memory. As with [`writeback`](Self::writeback), these are the bytes of the value itself.
    ///
    /// # Ordering
    /// That of [`writeback`](Self::writeback) to the point of coherency, wherever the handle is aimed, and that of
    /// [`invalidate`](Self::invalidate).
    ///
    /// # Cost
    /// As [`invalidate`](Self::invalidate).
    #[doc(alias("flush", "clflush", "clflushopt", "dc civac", "wback_inv", "purge"))]
    #[inline]
    pub fn writeback_invalidate<T: ?Sized>(self, value: &T) {
        // SAFETY: (1) all bytes of a reference can be read.
        unsafe { self.writeback_invalidate_range(address(value), size_of_val(value)) };
    }

    /// Does [`writeback`](Self::writeback) for `len` bytes from `start`.
    ///
    /// # Safety
    /// 1. Each line that the range touches holds a byte of the range that this thread may read, and
    ///    the range does not wrap round the end of the address space.
    #[inline]
    pub unsafe fn writeback_range(self, start: *const u8, len: usize) {
        // SAFETY: (1) is the caller's duty.
        unsafe { self.maintain(self.writeback_code(), start, len, |by| by.writeback) };
    }

    /// Does [`invalidate`](Self::invalidate) for `len` bytes from `start`.
    ///
    /// # Safety
    /// 1. As for [`writeback_range`](Self::writeback_range).
    /// 2. No reference to any byte of the range exists, except to [`Plain`] values or to cells that others may change:
    ///    after the call they can have other values.
    #[inline]
    pub unsafe fn invalidate_range(self, start: *mut u8, len: usize) {
        // SAFETY: (1) is the caller's duty.
        unsafe { self.writeback_invalidate_range(start, len) };
    }

    /// Does [`writeback_invalidate`](Self::writeback_invalidate) for `len` bytes from `start`.
    ///
    /// # Safety
    /// 1. As for [`writeback_range`](Self::writeback_range).
    #[inline]
    pub unsafe fn writeback_invalidate_range(self, start: *const u8, len: usize) {
        // SAFETY: (1) is the caller's duty.
        unsafe { self.maintain(self.invalidate_code(), start, len, |_| ARCHITECTURE.invalidate) };
    }

    /// Issues operations for several ranges and completes them with one fence.
    ///
    /// The fence is executed when `work` returns or unwinds, so it cannot be forgotten; the issued ranges are borrowed
    /// until then.
    ///
    /// ```
    /// # fn main() -> Result<(), cachemaint::Unsupported> {
    /// # let cache = cachemaint::Cache::host()?;
    /// let (header, payload) = ([1_u8; 64], vec![2_u8; 4096]);
    /// cache.batch(|batch| {
    ///     batch.writeback(&header);
    ///     batch.writeback(&payload[..]);
    /// }); // one fence, here
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Ordering
    /// When this returns, each operation of the batch has the guarantee of its plain form, provided that flags were
    /// read before: an invalidation is ordered only after the loads that precede the first one of the batch. The
    /// operations of a batch are not ordered among themselves.
    ///
    /// # Cost
    /// One instruction a line and one fence; a second fence before the first invalidation.
    #[inline]
    pub fn batch<'a, R>(self, work: impl FnOnce(&Batch<'a>) -> R) -> R {
        work(&Batch::new(self))
    }

    /// Issues write-backs for `len` bytes from `start` and does not wait for them.
    ///
    /// # Ordering
    /// Guarantees nothing until [`fence`](Self::fence) has been called on the same thread.
    ///
    /// # Safety
    /// 1. As for [`writeback_range`](Self::writeback_range).
    /// 2. Nothing relies on the write-back before the fence.
    #[inline]
    pub unsafe fn writeback_range_unfenced(self, start: *const u8, len: usize) {
        // SAFETY: (1) is the caller's duty.
        unsafe { self.maintain(self.writeback_code(), start, len, |by| by.writeback.unfenced()) };
    }

    /// Writes back `len` bytes from `start`, and completes all write-backs that this thread has issued. An empty range
    /// has only the fence.
    ///
    /// # Safety
    /// 1. As for [`writeback_range`](Self::writeback_range).
    #[cfg(target_has_atomic = "64")]
    #[inline(always)]
    pub(crate) unsafe fn persist_range(self, start: *const u8, len: usize) {
        let word = self.word.get();
        let (code, within) = ((word >> choose::WRITEBACK & 0xff) as u8, (word & 0xffff) as u16);
        // SAFETY: as in `maintain`.
        unsafe { ops::maintain(code, start, len, within, |by| by.writeback) };
    }

    /// Completes the write-backs that *this thread* has issued.
    ///
    /// # Ordering
    /// The bytes reach their point before any store that follows is observed; [`writeback`](Self::writeback) says what
    /// else can be earlier. A fence never completes the operations of another thread.
    ///
    /// Invalidations need [`Maintain::complete`](crate::coherence::Maintain::complete) instead.
    #[doc(alias("drain", "sfence", "dsb"))]
    #[inline]
    pub fn fence(self) {
        let code = self.writeback_code();
        // SAFETY: there are no lines.
        unsafe { ops::maintain(code, ptr::null(), 0, 0, |by| by.writeback.completion()) };
    }

    /// Does [`invalidate_range`](Self::invalidate_range) without the fences around it.
    /// [`order_observed`](Self::order_observed) is the one before.
    ///
    /// # Safety
    /// 1. As for [`writeback_range`](Self::writeback_range).
    /// 2. Nothing relies on it before [`fence_all`](Self::fence_all).
    #[inline]
    pub(crate) unsafe fn writeback_invalidate_range_unfenced(self, start: *const u8, len: usize) {
        // As for a write-back, the fence before is the one for instructions that may pass older stores to their line.
        // SAFETY: (1) is the caller's duty.
        unsafe { self.maintain(self.invalidate_code(), start, len, |by| by.writeback.unfenced()) };
    }

    /// Completes the write-backs and the invalidations that this thread has issued.
    #[inline]
    pub(crate) fn fence_all(self) {
        let code = self.writeback_code();
        // SAFETY: there are no lines.
        unsafe { ops::maintain(code, ptr::null(), 0, 0, |by| ARCHITECTURE.completion_of_all(by)) };
    }

    /// Executes the instruction of this code on each line of the range, between the fences that `fences` names for it.
    /// Does nothing for an empty range.
    ///
    /// # Safety
    /// 1. As for [`writeback_range`](Self::writeback_range).
    #[inline(always)]
    unsafe fn maintain(
        self,
        code: u8,
        start: *const u8,
        len: usize,
        fences: impl FnOnce(Instruction) -> Fences,
    ) {
        if len > 0 {
            // SAFETY: (1) a choice has only instructions that its maker found present or vouched for. (2) The first line
            // is named by the range's first byte, the others by bytes of lines that the range reaches into.
            unsafe { ops::maintain(code, start, len, self.within(), fences) };
        }
    }

    /// Orders the stores of others that this thread has observed before the operations that follow, so that a
    /// write-back includes data that this thread knows of through another location.
    ///
    /// MFENCE on x86, since no manual orders a flush with older loads; DMB OSH on arm64 (Linux
    /// `arch_wb_cache_pmem`); FENCE IORW, IORW on RISC-V; `sync` on PowerPC.
    #[inline]
    pub fn order_observed(self) {
        ops::fence(ARCHITECTURE.observed);
    }
}

impl core::fmt::Debug for Cache {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Cache")
            .field("point", &self.point())
            .field("line_size", &self.line_size())
            .field("writeback", &self.writeback_choice())
            .field("invalidate", &self.invalidate_choice())
            .finish()
    }
}

#[inline(always)]
fn address<T: ?Sized>(value: &T) -> *const u8 {
    ptr::from_ref(value).cast()
}

/// Returns the instruction for a code. The position of the code's one bit is its index.
const fn instruction(code: u8) -> Instruction {
    ARCHITECTURE.instructions[code.trailing_zeros() as usize]
}

/// Wraps the error and keeps its message. The kind is [`Unsupported`](std::io::ErrorKind::Unsupported).
#[cfg(feature = "std")]
impl From<Unsupported> for std::io::Error {
    fn from(error: Unsupported) -> Self {
        Self::new(std::io::ErrorKind::Unsupported, error)
    }
}
