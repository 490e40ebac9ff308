//! What the formats of `journal`, `recorder` and `preserve` share: fields, tags and the beginning of a superblock.

pub(crate) mod layout;
pub(crate) mod superblock;
pub(crate) mod tag;
