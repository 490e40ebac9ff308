//! The instructions and registers of a board. Tests have a record of them in their place.

#[cfg(not(test))]
pub(crate) use arm::{clean, clean_invalidate, dsb, isb, store};
#[cfg(test)]
pub(crate) use record::{clean, clean_invalidate, dsb, isb, store};

#[cfg(not(test))]
mod arm {
    use core::arch::asm;

    /// Stores to the register at this address.
    ///
    /// # Safety
    /// 1. It is a register that takes the value and changes no memory of this program.
    #[inline(always)]
    pub(crate) unsafe fn store(register: usize, value: u32) {
        let register: *mut u32 = core::ptr::with_exposed_provenance_mut(register);
        // SAFETY: (1) is the caller's duty.
        unsafe { register.write_volatile(value) };
    }

    /// Waits until the loads, stores and maintenance before it have completed.
    #[inline(always)]
    pub(crate) fn dsb() {
        // SAFETY: it only waits.
        unsafe { asm!("dsb", options(nostack, preserves_flags)) };
    }

    #[inline(always)]
    pub(crate) fn isb() {
        // SAFETY: it only waits.
        unsafe { asm!("isb", options(nostack, preserves_flags)) };
    }

    /// Cleans the line to the point of coherency: DCCMVAC.
    ///
    /// # Safety
    /// 1. The CPU is one of the A or R profile, at PL1.
    /// 2. The line may be read.
    #[inline(always)]
    pub(crate) unsafe fn clean(line: usize) {
        // SAFETY: (1) and (2) are the caller's duties; no value that the program sees changes.
        unsafe {
            asm!("mcr p15, 0, {}, c7, c10, 1", in(reg) line, options(nostack, preserves_flags));
        }
    }

    /// Cleans the line to the point of coherency and drops it: DCCIMVAC.
    ///
    /// # Safety
    /// 1. As for [`clean`] (1).
    /// 2. As for [`clean`] (2).
    #[inline(always)]
    pub(crate) unsafe fn clean_invalidate(line: usize) {
        // SAFETY: (1) and (2) are the caller's duties; no value that the program sees changes.
        unsafe {
            asm!("mcr p15, 0, {}, c7, c14, 1", in(reg) line, options(nostack, preserves_flags));
        }
    }
}

/// What was executed, in order.
#[cfg(test)]
pub(crate) mod record {
    use std::cell::RefCell;
    use std::thread_local;
    use std::vec::Vec;

    #[derive(Clone, Copy, Debug, PartialEq)]
    pub(crate) enum Executed {
        Store { register: usize, value: u32 },
        Dsb,
        Isb,
        Clean(usize),
        CleanInvalidate(usize),
    }

    thread_local! {
        static EXECUTED: RefCell<Vec<Executed>> = const { RefCell::new(Vec::new()) };
    }

    /// Returns what this thread has executed since the last call.
    pub(crate) fn take() -> Vec<Executed> {
        EXECUTED.take()
    }

    fn executed(executed: Executed) {
        EXECUTED.with_borrow_mut(|all| all.push(executed));
    }

    pub(crate) unsafe fn store(register: usize, value: u32) {
        executed(Executed::Store { register, value });
    }

    pub(crate) fn dsb() {
        executed(Executed::Dsb);
    }

    pub(crate) fn isb() {
        executed(Executed::Isb);
    }

    pub(crate) unsafe fn clean(line: usize) {
        executed(Executed::Clean(line));
    }

    pub(crate) unsafe fn clean_invalidate(line: usize) {
        executed(Executed::CleanInvalidate(line));
    }
}
