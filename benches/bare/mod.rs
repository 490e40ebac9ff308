//! The other peer: the bare instructions in handwritten loops, without the code of any library.
//!
//! | module | operation |
//! |---|---|
//! | [`words`] | persists words one by one |
//! | [`append`] | appends records to a log, each durable on return |
//! | [`event`] | records events in a ring, without a write-back |

#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
pub mod append;
pub mod event;
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
pub mod words;
