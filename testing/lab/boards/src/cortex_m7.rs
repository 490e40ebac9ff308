//! The driver in the guide's chapter on drivers.

use cachemaint::coherence::{self, Padded};
use cachemaint_platforms::CortexM;

// SAFETY: (1) the board has a Cortex-M7, and this code is privileged. (2) It has no other cache.
// (3) `SCB::enable_dcache` of the crate cortex-m switched the cache on.
pub(crate) const CACHE: CortexM = unsafe { CortexM::new() };

pub(crate) type Buffer = Padded<[u8; 64], 32>;
pub(crate) const EMPTY: Buffer = Padded::for_granule([0; 64], 32); // too little padding does not compile

/// Lets the device write a buffer, such as `cortex_m::singleton!(: Buffer = EMPTY)`.
pub(crate) fn receive(buffer: &mut Buffer, run_device: impl FnOnce(*mut u8)) {
    coherence::release_to_writer(&CACHE, buffer);
    run_device(buffer.as_mut_ptr()); // and wait until it has finished
    coherence::acquire(&CACHE, buffer);
}
