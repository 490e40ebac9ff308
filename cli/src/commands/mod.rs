//! The subcommands, one file or folder each: its arguments and `run`; and the text that they share.

pub(crate) mod bench;
pub(crate) mod caps;
pub(crate) mod demo;
pub(crate) mod inspect;
pub(crate) mod journal;
pub(crate) mod text;
