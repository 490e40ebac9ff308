//! The subcommands, one file each: its arguments and `run`; and the text that they share.

pub(crate) mod bench;
pub(crate) mod caps;
pub(crate) mod demo;
pub(crate) mod inspect;
pub(crate) mod text;
