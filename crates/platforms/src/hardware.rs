//! The instructions and registers of a board. Tests replace them by a record.

#[cfg(all(not(test), any(target_arch = "arm", doc)))]
pub(crate) use arm::{clean, clean_invalidate, dsb, isb, store};
#[cfg(test)]
pub(crate) use record::{
    clean, clean_invalidate, dcache_civa, dcache_cva, dsb, fence, isb, store, store_u64, sync_s,
};
#[cfg(all(not(test), any(target_arch = "riscv64", doc)))]
pub(crate) use riscv::{dcache_civa, dcache_cva, fence, store_u64, sync_s};

#[cfg(all(not(test), any(target_arch = "arm", doc)))]
mod arm {
    use core::arch::asm;

    /// Stores to the register at this address.
    ///
    /// # Safety
    /// 1. It is a register that accepts the value, and the store changes no memory of this program.
    #[inline(always)]
    pub(crate) unsafe fn store(register: usize, value: u32) {
        let register: *mut u32 = core::ptr::with_exposed_provenance_mut(register);
        // SAFETY: (1) is the caller's duty.
        unsafe { register.write_volatile(value) };
    }

    /// Waits until earlier loads, stores and maintenance operations have completed.
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
    /// 1. The CPU has the A or R profile, and is at PL1.
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

#[cfg(all(not(test), any(target_arch = "riscv64", doc)))]
mod riscv {
    use core::arch::asm;

    /// Stores 64 bits at once to the register at this address.
    ///
    /// # Safety
    /// 1. It is a register that accepts the value, and the store changes no memory of this program.
    #[inline(always)]
    pub(crate) unsafe fn store_u64(register: usize, value: u64) {
        let register: *mut u64 = core::ptr::with_exposed_provenance_mut(register);
        // SAFETY: (1) is the caller's duty.
        unsafe { register.write_volatile(value) };
    }

    /// Orders earlier loads and stores before later ones, to memory and to registers: FENCE IORW, IORW.
    #[inline(always)]
    pub(crate) fn fence() {
        // SAFETY: it only waits.
        unsafe { asm!("fence iorw, iorw", options(nostack, preserves_flags)) };
    }

    // The assembler does not know XTheadCmo and XTheadSync by default. Fields: custom-0, funct3, funct7, rd, rs1, the operation
    // (thead-extension-spec, `xtheadcmo/dcache_cva.adoc`, `xtheadcmo/dcache_civa.adoc`, `xtheadsync/sync_s.adoc`).

    /// Writes the line back: `th.dcache.cva`, 0255000BH for a0. (`th.dcache.cval1` stops at the second level.)
    ///
    /// # Safety
    /// 1. The CPU has `XTheadCmo`, and is in M- or S-mode.
    #[inline(always)]
    pub(crate) unsafe fn dcache_cva(line: usize) {
        // SAFETY: (1) is the caller's duty; no value that the program sees changes.
        unsafe {
            asm!(".insn r 0x0b, 0, 1, x0, {}, x5", in(reg) line, options(nostack, preserves_flags));
        }
    }

    /// Writes the line back and drops it: `th.dcache.civa`, 0275000BH for a0.
    ///
    /// # Safety
    /// 1. The CPU has `XTheadCmo`.
    #[inline(always)]
    pub(crate) unsafe fn dcache_civa(line: usize) {
        // SAFETY: (1) is the caller's duty; no value that the program sees changes.
        unsafe {
            asm!(".insn r 0x0b, 0, 1, x0, {}, x7", in(reg) line, options(nostack, preserves_flags));
        }
    }

    /// Waits until earlier loads, stores and operations on lines are done: `th.sync.s`, 0190000BH.
    ///
    /// # Safety
    /// 1. The CPU has `XTheadSync`.
    #[inline(always)]
    pub(crate) unsafe fn sync_s() {
        // SAFETY: (1) is the caller's duty; it only waits.
        unsafe { asm!(".insn r 0x0b, 0, 0, x0, x0, x25", options(nostack, preserves_flags)) };
    }
}

/// The record of what was executed, in order.
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
        StoreU64 { register: usize, value: u64 },
        Fence,
        DcacheCva(usize),
        DcacheCiva(usize),
        SyncS,
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
    pub(crate) unsafe fn store_u64(register: usize, value: u64) {
        executed(Executed::StoreU64 { register, value });
    }

    pub(crate) fn fence() {
        executed(Executed::Fence);
    }

    pub(crate) unsafe fn dcache_cva(line: usize) {
        executed(Executed::DcacheCva(line));
    }

    pub(crate) unsafe fn dcache_civa(line: usize) {
        executed(Executed::DcacheCiva(line));
    }

    pub(crate) unsafe fn sync_s() {
        executed(Executed::SyncS);
    }
}
