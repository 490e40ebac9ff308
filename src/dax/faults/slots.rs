//! The accesses that are guarded now: a table of fixed size that the signal handler can search. The handler may not
//! allocate, wait for a lock, or initialise thread-local storage.
//!
//! A slot is written by the thread that owns it, also in the handler, which runs on that thread. Other threads read the
//! owner, to find a free slot. They also read the mapping and the first fault, since zeros in place of a page are there
//! for all threads. So the field of the first fault is set before the page is replaced, and cleared after it is the
//! file's again.

use core::ops::Range;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, fence};

/// The number of accesses that can be guarded at a time, in the whole process.
pub(super) const MOST: usize = 256;

/// No thread has this number (gettid(2)): the slot is free.
const FREE: i32 = 0;
/// No thread has this number either: the slot is being filled.
const CLAIMED: i32 = -1;
/// The number of faults of a guard of which each has one page replaced.
const ALONE: usize = 16;
/// The offset while there was no fault.
const NO_FAULT: usize = usize::MAX;

static SLOTS: [Slot; MOST] = [const { Slot::free() }; MOST];
/// No slot from this one on was ever used: few guards are under way at a time, so searches can end early.
static USED: AtomicUsize = AtomicUsize::new(0);

/// Returns the slots that guards have or had.
fn used() -> &'static [Slot] {
    SLOTS.get(..USED.load(Acquire)).unwrap_or(&SLOTS)
}

/// Gives all slots back: in a forked child, where their owners do not exist. It keeps what happened, which the thread
/// that forked may have to report.
pub(super) fn release_all() {
    SLOTS.iter().for_each(Slot::release);
}

/// The watched accesses: those of one thread to one mapping.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watched {
    /// By its number in the system.
    pub(super) thread: i32,
    /// The address of the mapping.
    pub(super) base: usize,
    /// The length of the mapping in bytes, in whole pages.
    pub(super) len: usize,
    /// The unit in which the kernel maps, in bytes.
    pub(super) page: usize,
    /// True if the mapping can be written.
    pub(super) is_writable: bool,
}

/// The first fault and the replaced pages, in bytes of the mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Faulted {
    /// The bytes of the first fault.
    pub(super) first: Range<usize>,
    /// True if the kernel reported a failure of memory.
    pub(super) is_memory_error: bool,
    /// All pages that were replaced, with the pages between them.
    pub(super) replaced: Range<usize>,
}

/// A fault, as the kernel describes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub(super) address: usize,
    pub(super) is_memory_error: bool,
    /// The number of bad bytes around the address, if they are more than a page.
    pub(super) extent: usize,
}

/// A place in the table.
#[derive(Debug)]
pub(super) struct Slot {
    thread: AtomicI32,
    /// The number of times it was claimed. Values that were read while it changed are of two guards, and must not be
    /// used.
    claims: AtomicUsize,
    base: AtomicUsize,
    len: AtomicUsize,
    page: AtomicUsize,
    is_writable: AtomicBool,
    /// The number of slots that the thread had before: a fault belongs to the innermost guard of a mapping.
    depth: AtomicUsize,
    /// The number of faults of the mapping that this guard does not report.
    known: AtomicUsize,
    faults: AtomicUsize,
    first: AtomicUsize,
    first_end: AtomicUsize,
    memory_error: AtomicUsize,
    replaced: AtomicUsize,
    replaced_end: AtomicUsize,
}

impl Slot {
    const fn free() -> Self {
        Self {
            thread: AtomicI32::new(FREE),
            claims: AtomicUsize::new(0),
            base: AtomicUsize::new(0),
            len: AtomicUsize::new(0),
            page: AtomicUsize::new(1),
            is_writable: AtomicBool::new(false),
            depth: AtomicUsize::new(0),
            known: AtomicUsize::new(0),
            faults: AtomicUsize::new(0),
            first: AtomicUsize::new(NO_FAULT),
            first_end: AtomicUsize::new(0),
            memory_error: AtomicUsize::new(0),
            replaced: AtomicUsize::new(NO_FAULT),
            replaced_end: AtomicUsize::new(0),
        }
    }

    /// Takes a free slot of the table; `None` if all are taken.
    pub(super) fn claim(watched: Watched) -> Option<&'static Self> {
        Self::claim_in(used(), watched).or_else(|| Self::claim_unused(watched))
    }

    #[cold]
    fn claim_unused(watched: Watched) -> Option<&'static Self> {
        let slot = Self::claim_in(&SLOTS, watched)?;
        let before = SLOTS.iter().take_while(|other| !core::ptr::eq(*other, slot)).count();
        USED.fetch_max(before + 1, Release);
        // The handler, and other threads that see what it replaces, find the slot.
        fence(SeqCst);
        Some(slot)
    }

    fn claim_in(slots: &[Self], watched: Watched) -> Option<&Self> {
        let depth = slots.iter().filter(|slot| slot.thread.load(Relaxed) == watched.thread).count();
        let slot = slots.iter().find(|slot| {
            slot.thread.load(Relaxed) == FREE
                && slot.thread.compare_exchange(FREE, CLAIMED, Acquire, Relaxed).is_ok()
        })?;
        // A thread that sees this sees that the former guard has ended, and a thread that sees the next stores sees
        // this.
        slot.claims.fetch_add(1, Release);
        fence(Release);
        slot.base.store(watched.base, Relaxed);
        slot.len.store(watched.len, Relaxed);
        slot.page.store(watched.page, Relaxed);
        slot.is_writable.store(watched.is_writable, Relaxed);
        slot.depth.store(depth, Relaxed);
        slot.forget();
        slot.thread.store(watched.thread, Release);
        // No guarded access comes before it, for the handler.
        fence(SeqCst);
        Some(slot)
    }

    /// Returns the innermost slot of a thread whose mapping has an address.
    pub(super) fn of(thread: i32, address: usize) -> Option<&'static Self> {
        Self::of_in(used(), thread, address)
    }

    fn of_in(slots: &[Self], thread: i32, address: usize) -> Option<&Self> {
        slots
            .iter()
            .filter(|slot| slot.thread.load(Relaxed) == thread)
            .filter(|slot| address.wrapping_sub(slot.base.load(Relaxed)) < slot.len.load(Relaxed))
            .max_by_key(|slot| slot.depth.load(Relaxed))
    }

    /// True if the mapping can be written.
    pub(super) fn is_writable(&self) -> bool {
        self.is_writable.load(Relaxed)
    }

    /// Takes down a fault. Returns the addresses that are about to be replaced for it.
    ///
    /// Each of the first faults replaces its page alone, as other threads may be using the pages after it. After
    /// these each fault replaces twice as many pages as the one before. So a file that was cut costs few mappings,
    /// of which a process can have a limited number (`vm.max_map_count`). A memory error replaces nothing that the
    /// kernel does not call bad.
    pub(super) fn note(&self, fault: Fault) -> Range<usize> {
        let (base, page) = (self.base.load(Relaxed), self.page.load(Relaxed));
        let at = fault.address.wrapping_sub(base);
        let start = at - at.checked_rem(page).unwrap_or_default();
        let bad = self.bad(fault, start);
        let limit = if fault.is_memory_error { bad.end } else { self.len.load(Relaxed) };
        let doublings = (self.faults.fetch_add(1, Relaxed) + 1).saturating_sub(ALONE);
        let pages = u32::try_from(doublings).ok().and_then(|by| 1_usize.checked_shl(by));
        let len = pages.and_then(|pages| pages.checked_mul(page)).unwrap_or(usize::MAX);
        let end = start.saturating_add(len).min(limit);
        self.replaced.fetch_min(start, Relaxed);
        self.replaced_end.fetch_max(end, Relaxed);
        if self.first.load(Relaxed) == NO_FAULT {
            self.first_end.store(bad.end, Relaxed);
            self.memory_error.store(usize::from(fault.is_memory_error), Relaxed);
            self.first.store(bad.start, Release);
        }
        fence(SeqCst);
        base.wrapping_add(start)..base.wrapping_add(end)
    }

    /// Takes down that the whole mapping is about to be replaced. Returns its addresses.
    pub(super) fn note_whole(&self) -> Range<usize> {
        let (base, len) = (self.base.load(Relaxed), self.len.load(Relaxed));
        self.replaced.store(0, Relaxed);
        self.replaced_end.store(len, Relaxed);
        fence(SeqCst);
        base..base.wrapping_add(len)
    }

    /// Returns the bytes of the mapping that a fault is about: its page, or more if the kernel says so.
    fn bad(&self, fault: Fault, page_start: usize) -> Range<usize> {
        let (base, page) = (self.base.load(Relaxed), self.page.load(Relaxed));
        if fault.extent <= page {
            return page_start..page_start.saturating_add(page);
        }
        // The kernel gives the extent as a power of two to which the bytes are aligned in memory.
        let start = (fault.address & !(fault.extent - 1)).saturating_sub(base);
        let end = (fault.address | (fault.extent - 1)).wrapping_sub(base).saturating_add(1);
        start..end.min(self.len.load(Relaxed))
    }

    /// Returns the faults since it was claimed, or since it last forgot them.
    pub(super) fn faulted(&self) -> Option<Faulted> {
        // The handler changes the slot during the guarded accesses, which the compiler does not see.
        fence(SeqCst);
        let first = self.first.load(Acquire);
        if first == NO_FAULT {
            return None;
        }
        Some(Faulted {
            first: first..self.first_end.load(Relaxed),
            is_memory_error: self.memory_error.load(Relaxed) != 0,
            replaced: self.replaced.load(Relaxed)..self.replaced_end.load(Relaxed),
        })
    }

    /// Returns the fault of another guard of the mapping that is still under way.
    pub(super) fn faulted_beside(&self) -> Option<Faulted> {
        self.faulted_beside_in(used())
    }

    fn faulted_beside_in(&self, slots: &[Self]) -> Option<Faulted> {
        let base = self.base.load(Relaxed);
        let mut others = slots.iter().filter(|slot| !core::ptr::eq(*slot, self));
        others.find_map(|slot| slot.faulted_at(base))
    }

    /// Returns true if this process has not used a guard yet, so that no fault and no zeros of one can be left.
    #[inline]
    pub(super) fn are_unused() -> bool {
        USED.load(Acquire) == 0
    }

    /// Returns the fault that a guard of the mapping at `base`, which is under way, has met.
    pub(super) fn faulted_in(base: usize) -> Option<Faulted> {
        used().iter().find_map(|slot| slot.faulted_at(base))
    }

    /// Returns the faults of the guard that has the slot, if it guards the mapping at `base`. The replaced pages in the
    /// result are not reliable: that guard may just be ending.
    fn faulted_at(&self, base: usize) -> Option<Faulted> {
        loop {
            let claims = self.claims.load(Acquire);
            let is_used = !matches!(self.thread.load(Acquire), FREE | CLAIMED);
            let is_meant = is_used && self.base.load(Relaxed) == base;
            let faulted = if is_meant { self.faulted() } else { None };
            // If `claims` has changed, the slot can have been given to another guard meanwhile.
            fence(Acquire);
            if self.claims.load(Relaxed) == claims {
                return faulted;
            }
        }
    }

    /// Forgets the faults, once the pages are the file's again.
    pub(super) fn forget(&self) {
        self.first.store(NO_FAULT, Release);
        self.faults.store(0, Relaxed);
        self.replaced.store(NO_FAULT, Relaxed);
        self.replaced_end.store(0, Relaxed);
    }

    /// Returns the number of faults of the mapping that this guard does not report.
    pub(super) fn known(&self) -> usize {
        self.known.load(Relaxed)
    }

    /// Sets the number of faults that this guard does not report.
    pub(super) fn set_known(&self, faults: usize) {
        self.known.store(faults, Relaxed);
    }

    /// Excludes a fault of this guard from those of the guards around it on the same thread, which did nothing
    /// meanwhile.
    pub(super) fn excuse_outer(&self) {
        let (thread, base) = (self.thread.load(Relaxed), self.base.load(Relaxed));
        let own = used().iter().filter(|slot| slot.thread.load(Relaxed) == thread);
        for slot in own.filter(|slot| slot.base.load(Relaxed) == base) {
            slot.known.fetch_add(1, Relaxed);
        }
    }

    /// Returns the number of times it was claimed.
    pub(super) fn claims(&self) -> usize {
        self.claims.load(Acquire)
    }

    /// Gives it back.
    pub(super) fn release(&self) {
        self.thread.store(FREE, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, Faulted, Slot, Watched};
    use alloc::vec::Vec;
    use core::array;
    use core::sync::atomic::AtomicBool;
    use core::sync::atomic::Ordering::Relaxed;

    const PAGE: usize = 0x1000;
    const OWN: i32 = 7;

    fn table<const N: usize>() -> [Slot; N] {
        array::from_fn(|_| Slot::free())
    }

    const fn watched(thread: i32, base: usize, pages: usize) -> Watched {
        Watched { thread, base, len: pages * PAGE, page: PAGE, is_writable: true }
    }

    const fn fault(address: usize) -> Fault {
        Fault { address, is_memory_error: false, extent: 1 }
    }

    #[test]
    fn a_slot_is_found_by_its_thread_and_its_addresses() {
        let slots = table::<4>();
        let first = Slot::claim_in(&slots, watched(OWN, 0x10000, 2)).unwrap();
        let second = Slot::claim_in(&slots, watched(OWN, 0x20000, 2)).unwrap();
        let found = |thread, address| Slot::of_in(&slots, thread, address).map(core::ptr::from_ref);
        assert_eq!(found(OWN, 0x10000), Some(core::ptr::from_ref(first)));
        assert_eq!(found(OWN, 0x11fff), Some(core::ptr::from_ref(first)));
        assert_eq!(found(OWN, 0x20000), Some(core::ptr::from_ref(second)));
        for address in [0, 0xffff, 0x12000, usize::MAX] {
            assert_eq!(found(OWN, address), None, "{address:#x}");
        }
        assert_eq!(found(OWN + 1, 0x10000), None, "of another thread");
        first.release();
        assert_eq!(found(OWN, 0x10000), None);
    }

    #[test]
    fn the_innermost_guard_of_a_mapping_is_meant_wherever_its_slot_is() {
        let slots = table::<4>();
        let other = Slot::claim_in(&slots, watched(OWN + 1, 0x90000, 1)).unwrap();
        Slot::claim_in(&slots, watched(OWN, 0x10000, 1)).unwrap();
        other.release();
        // The inner one gets the place before the outer one.
        let inner = Slot::claim_in(&slots, watched(OWN, 0x10000, 1)).unwrap();
        let found = Slot::of_in(&slots, OWN, 0x10000).unwrap();
        assert!(core::ptr::eq(found, inner));
    }

    #[test]
    fn a_full_table_refuses_and_a_slot_is_used_again() {
        let slots = table::<2>();
        let claimed: Vec<_> = (0..2)
            .map(|number| Slot::claim_in(&slots, watched(OWN, number * 0x10000, 1)).unwrap())
            .collect();
        assert!(Slot::claim_in(&slots, watched(OWN, 0, 1)).is_none());
        claimed[0].note(fault(0));
        claimed[0].release();
        let again = Slot::claim_in(&slots, watched(OWN + 1, 0x50000, 1)).unwrap();
        assert_eq!(again.faulted(), None, "what was before is forgotten");
    }

    #[test]
    fn the_first_fault_is_kept_and_all_pages_are_to_be_mapped_again() {
        let slots = table::<1>();
        let slot = Slot::claim_in(&slots, watched(OWN, 0x10000, 8)).unwrap();
        assert_eq!(slot.faulted(), None);
        slot.note(fault(0x13008));
        slot.note(Fault { is_memory_error: true, ..fault(0x11000) });
        slot.note(fault(0x15fff));
        let faulted =
            Faulted { first: 0x3000..0x4000, is_memory_error: false, replaced: 0x1000..0x6000 };
        assert_eq!(slot.faulted(), Some(faulted));
        slot.forget();
        assert_eq!(slot.faulted(), None);
    }

    /// 2^18 pages, of which every second one is accessed: a mapping for each would be more than a process can have.
    #[test]
    fn replaced_ranges_double_after_16_faults() {
        let slots = table::<1>();
        let slot = Slot::claim_in(&slots, watched(OWN, 0x10000, 1 << 18)).unwrap();
        let at = |page: usize| 0x10000 + page * PAGE;
        for number in 0..16 {
            let page = 2 * number;
            assert_eq!(slot.note(fault(at(page) + 8)), at(page)..at(page + 1));
        }
        assert_eq!(slot.note(fault(at(32))), at(32)..at(34));
        assert_eq!(slot.note(fault(at(34))), at(34)..at(38));
        assert_eq!(slot.note(fault(at(38) + 8)), at(38)..at(46));
        // 16, 32 and so on up to 2^16 pages, and then the rest of the mapping.
        let mut page = 46;
        for doublings in 4..17 {
            assert_eq!(slot.note(fault(at(page))), at(page)..at(page + (1 << doublings)));
            page += 1 << doublings;
        }
        assert_eq!(page, 30 + (1 << 17));
        assert_eq!(slot.note(fault(at(page))), at(page)..at(1 << 18));
        assert_eq!(slot.note(fault(at(1))), at(1)..at(1 << 18));
        assert_eq!(slot.faulted().map(|faulted| faulted.replaced), Some(0..PAGE << 18));
        slot.forget();
        assert_eq!(slot.note(fault(at(0))), at(0)..at(1), "the next guard begins anew");
    }

    /// Bytes that the kernel does not call bad can be in use by other threads.
    #[test]
    fn a_memory_error_replaces_no_more_than_its_extent() {
        let slots = table::<1>();
        let slot = Slot::claim_in(&slots, watched(OWN, 0x10000, 64)).unwrap();
        for _ in 0..40 {
            let bad = Fault { is_memory_error: true, ..fault(0x12345) };
            assert_eq!(slot.note(bad), 0x12000..0x13000);
        }
        let bad = Fault { address: 0x19abc, is_memory_error: true, extent: 8 * PAGE };
        assert_eq!(slot.note(bad), 0x19000..0x20000);
    }

    /// The zeros of one guard are there for all others of its mapping.
    #[test]
    fn a_fault_is_seen_by_other_guards_of_the_mapping_alone() {
        let slots = table::<3>();
        let [one, same, other] = [(OWN, 0x10000), (OWN + 1, 0x10000), (OWN, 0x20000)]
            .map(|(thread, base)| Slot::claim_in(&slots, watched(thread, base, 2)).unwrap());
        one.note(fault(0x11000));
        assert_eq!(one.faulted_beside_in(&slots), None);
        assert_eq!(same.faulted_beside_in(&slots), one.faulted());
        assert_eq!(other.faulted_beside_in(&slots), None);
        one.forget();
        assert_eq!(same.faulted_beside_in(&slots), None);
    }

    /// A slot can be given to another mapping while it is read. Its new faults are not reported for the first mapping.
    #[test]
    fn a_fault_of_the_next_owner_is_not_taken_for_one_of_the_former() {
        let slots = table::<2>();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let one = Slot::claim_in(&slots, watched(OWN, 0x10000, 2)).unwrap();
            scope.spawn(|| {
                for _ in 0..if cfg!(miri) { 100 } else { 200_000 } {
                    Slot::claim_in(&slots, watched(OWN + 1, 0x10000, 2)).unwrap().release();
                    let other = Slot::claim_in(&slots, watched(OWN + 2, 0x20000, 2)).unwrap();
                    other.note(fault(0x20000));
                    other.forget();
                    other.release();
                }
                is_over.store(true, Relaxed);
            });
            while !is_over.load(Relaxed) {
                assert_eq!(one.faulted_beside_in(&slots), None);
            }
        });
    }

    /// A huge page that failed, of 2 MiB, in a mapping that begins and ends within it.
    #[test]
    fn a_bad_extent_is_cut_to_the_mapping() {
        let slots = table::<1>();
        let slot = Slot::claim_in(&slots, watched(OWN, 0x21_0000, 8)).unwrap();
        let fault = Fault { address: 0x21_3000, is_memory_error: true, extent: 2 << 20 };
        assert_eq!(slot.note(fault), 0x21_3000..0x21_4000);
        let faulted = Faulted { first: 0..0x8000, is_memory_error: true, replaced: 0x3000..0x4000 };
        assert_eq!(slot.faulted(), Some(faulted));
    }
}
