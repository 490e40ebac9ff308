//! Software coherence: the ring of `examples/ring` on a model of caches that do not see each other and
//! between threads, and an implementation of the trait for a memory-mapped cache controller.

#![cfg(not(cachemaint_loom))]
#![expect(unsafe_code, reason = "implements the trait for models, and calls it on raw ranges")]

#[path = "../../examples/ring/ring.rs"]
mod ring;
mod ring_of_threads;
#[cfg(not(miri))]
mod ring_on_model;
