//! Atomics in ordinary memory: those of the standard library, or in tests those of loom or the simulator, which try
//! different interleavings of the threads. With `cfg(cachemaint_pausing)` those of the simulator pause at random outside
//! its simulations.

#[cfg(all(feature = "sim", not(cachemaint_loom)))]
pub use cachemaint_sim::sync::{AtomicBool, AtomicU64};
#[cfg(not(any(cachemaint_loom, feature = "sim")))]
pub use core::sync::atomic::{AtomicBool, AtomicU64};
#[cfg(cachemaint_loom)]
pub use loom::sync::atomic::{AtomicBool, AtomicU64};

#[cfg(not(cachemaint_loom))]
pub use core::sync::atomic::fence;
#[cfg(cachemaint_loom)]
pub use loom::sync::atomic::fence;

/// Hints to the processor or the simulator that this thread is waiting for another one.
pub fn spin_loop() {
    #[cfg(all(feature = "sim", not(cachemaint_loom)))]
    cachemaint_sim::sync::spin_loop();
    #[cfg(not(any(cachemaint_loom, feature = "sim")))]
    core::hint::spin_loop();
    #[cfg(cachemaint_loom)]
    loom::hint::spin_loop();
}

/// Returns true if this thread may sleep until another one wakes it. The threads of a simulation run one at a time and
/// must wait by [`spin_loop`].
#[must_use]
pub fn may_sleep() -> bool {
    #[cfg(all(feature = "sim", not(cachemaint_loom)))]
    return !cachemaint_sim::sync::is_simulated();
    #[cfg(not(all(feature = "sim", not(cachemaint_loom))))]
    true
}
