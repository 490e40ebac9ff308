//! The parts that the journal, the recorder and the store share: fields, tags, roots, errors, the lock that keeps a
//! second writer out, and the atomics that loom and the simulator replace.
//!
//! Internal to the `cachemaint` family: nothing here is promised to stay.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![no_std]
#![warn(clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::alloc_instead_of_core)]
#![expect(clippy::missing_errors_doc, reason = "each returns the error of its medium")]
#![expect(
    clippy::cast_possible_truncation,
    reason = "sizes are checked against their limits when they are read"
)]

#[cfg(test)]
extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

#[cfg(not(target_has_atomic = "64"))]
compile_error!(
    "the journal, the recorder and the store need atomics of 64 bits, since a word of a medium must not be torn, and this \
     target has none"
);

pub mod bounds;
pub mod error;
pub mod identity;
pub mod layout;
pub mod magic;
pub mod root;
pub mod sync;
pub mod tag;
pub mod unreadable;
pub mod writer;

#[doc(hidden)]
pub use cachemaint::medium::OpenError;
