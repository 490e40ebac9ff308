//! Atomics in ordinary memory: those of the standard library. In tests with loom its own take their place, and those of
//! the simulator do where it is built in. Both try the orders in which threads access them.

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

/// Hints to the processor, or to the simulator, that this thread waits for another one.
pub fn spin_loop() {
    #[cfg(all(feature = "sim", not(cachemaint_loom)))]
    cachemaint_sim::sync::spin_loop();
    #[cfg(not(any(cachemaint_loom, feature = "sim")))]
    core::hint::spin_loop();
    #[cfg(cachemaint_loom)]
    loom::hint::spin_loop();
}

/// Returns true if this thread may sleep until another one wakes it. Threads of a simulation run one at a time, and wait by
/// [`spin_loop`] only.
#[must_use]
pub fn may_sleep() -> bool {
    #[cfg(all(feature = "sim", not(cachemaint_loom)))]
    return !cachemaint_sim::sync::is_simulated();
    #[cfg(not(all(feature = "sim", not(cachemaint_loom))))]
    true
}
