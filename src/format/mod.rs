//! The parts that `journal`, `recorder` and `preserve` share: fields, tags, the beginning of a superblock, the traits of
//! their errors, and the lock of the one writer.

pub(crate) mod error;
pub(crate) mod identity;
pub(crate) mod layout;
pub(crate) mod magic;
#[cfg(any(feature = "journal", feature = "preserve"))]
pub(crate) mod progress;
#[cfg(any(feature = "journal", feature = "preserve-read"))]
pub(crate) mod reread;
#[cfg(any(feature = "journal", feature = "preserve", feature = "recorder"))]
pub(crate) mod rewritten;
#[cfg(feature = "preserve-read")]
#[expect(
    clippy::cast_possible_truncation,
    reason = "a slot has 256 bytes at most, and a version 32 bits"
)]
pub(crate) mod root;
#[cfg(any(feature = "journal", feature = "recorder"))]
pub(crate) mod superblock;
pub(crate) mod tag;
#[cfg(any(feature = "journal", feature = "recorder", feature = "preserve"))]
pub(crate) mod writer;
