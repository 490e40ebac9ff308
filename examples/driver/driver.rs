//! A receive buffer that a device fills, on five boards, without a system.
//!
//! [`Receiver`] is the driver, which does not depend on a board. [`board`] describes the caches of a board. The target of a
//! Cortex-M4 is that of a Cortex-M7 too, so that these have functions with their names.

#![no_std]
#![allow(unsafe_code, reason = "what a board's caches are is for its author to say")]

#[cfg(target_arch = "arm")]
mod cortex_m7;

use cachemaint::coherence::{self, GranuleTooLarge, Maintain, Padded};
#[cfg(target_arch = "arm")]
pub use cortex_m7::CortexM7;

/// A buffer of the size of a frame. 2048 bytes suffice for every machine's write-back granule.
#[derive(Debug)]
pub struct Receiver<M: Maintain> {
    cache: M,
    frame: Padded<[u8; 1500], 2048>,
}

impl<M: Maintain> Receiver<M> {
    /// Makes a buffer for the caches of a board.
    ///
    /// # Errors
    /// If the board writes back in units larger than 2048 bytes.
    pub fn new(cache: M) -> Result<Self, GranuleTooLarge> {
        Ok(Self { frame: Padded::new([0; 1500], &cache)?, cache })
    }

    /// Returns the frame that the device writes: `run_device` starts it on the buffer, and waits for it.
    pub fn receive(&mut self, run_device: impl FnOnce(*mut u8)) -> &[u8; 1500] {
        coherence::release_to_writer(&self.cache, &mut self.frame);
        run_device(self.frame.as_mut_ptr());
        coherence::acquire(&self.cache, &mut self.frame);
        &self.frame
    }
}

/// Returns the caches of a PC, whose devices are coherent.
#[cfg(target_arch = "x86_64")]
#[must_use]
pub const fn board() -> coherence::Coherent {
    coherence::Coherent
}

/// Returns the caches of a Cortex-M4, which has none for data. On a Cortex-M7 or a Cortex-A it would give a driver old
/// data, as these have one.
#[cfg(target_arch = "arm")]
#[must_use]
pub const fn cortex_m4() -> coherence::Coherent {
    coherence::Coherent
}

/// Returns the data cache of a Cortex-M7.
///
/// # Safety
/// 1. This CPU is a Cortex-M7, in privileged mode.
#[cfg(target_arch = "arm")]
#[must_use]
pub const unsafe fn cortex_m7() -> CortexM7 {
    // SAFETY: (1) is the caller's duty.
    unsafe { CortexM7::new() }
}

/// Returns the caches of an arm64 board, as the registers of its CPUs describe them.
///
/// # Errors
/// If the CPUs do not have the operations.
#[cfg(target_arch = "aarch64")]
pub fn board() -> Result<cachemaint::Cache, cachemaint::Unsupported> {
    // SAFETY: (1) the kernel of this board runs at EL1; (2) its CPUs are all of one kind.
    unsafe { cachemaint::Cache::privileged() }
}

/// Returns the caches of a RISC-V board with Zicbom, by the facts of its data sheet: no register has them.
#[cfg(target_arch = "riscv64")]
#[expect(clippy::missing_errors_doc, reason = "these facts suffice")]
pub fn board() -> Result<cachemaint::Cache, cachemaint::Unsupported> {
    use cachemaint::instruction::{CBO_CLEAN, CBO_FLUSH, Facts};
    const FACTS: Facts = Facts::new(64).unwrap().with(CBO_CLEAN).with(CBO_FLUSH);
    // SAFETY: (1) M-mode enables `cbo.clean` and `cbo.flush` for the kernel; (2) its blocks have 64 bytes.
    unsafe { cachemaint::Cache::from_facts(FACTS) }
}
