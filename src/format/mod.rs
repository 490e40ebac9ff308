//! The parts that the formats of `journal`, `recorder` and `preserve` share: fields, tags, and the beginning of a superblock.

pub(crate) mod identity;
pub(crate) mod layout;
pub(crate) mod magic;
#[cfg(any(feature = "journal", feature = "preserve"))]
pub(crate) mod progress;
#[cfg(any(feature = "journal", feature = "preserve-read"))]
pub(crate) mod reread;
pub(crate) mod superblock;
pub(crate) mod tag;
