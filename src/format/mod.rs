//! The parts that `journal`, `recorder` and `preserve` share: fields, tags, roots, errors, and the lock of the one
//! writer.

pub(crate) mod error;
pub(crate) mod identity;
pub(crate) mod layout;
pub(crate) mod magic;
#[cfg(any(feature = "journal", feature = "preserve"))]
pub(crate) mod progress;
pub(crate) mod reread;
#[cfg(any(feature = "journal", feature = "preserve"))]
pub(crate) mod rewritten;
#[expect(
    clippy::cast_possible_truncation,
    reason = "a slot has 256 bytes at most, and a version 32 bits"
)]
pub(crate) mod root;
pub(crate) mod tag;
#[cfg(any(feature = "journal", feature = "recorder", feature = "preserve"))]
pub(crate) mod writer;
