//! The subcommands, one file or folder each: its arguments and `run`; and the modules that they
//! share: `missing`, `payload`, `placed`, `progress`, `recording`, `text` and `time`.

pub(crate) mod bench;
pub(crate) mod caps;
pub(crate) mod demo;
pub(crate) mod dump;
#[cfg(target_os = "linux")]
pub(crate) mod guard;
pub(crate) mod inspect;
pub(crate) mod journal;
#[cfg(any(not(target_os = "linux"), test))]
pub(crate) mod linux_alone;
mod missing;
mod payload;
mod placed;
pub(crate) mod preserve;
mod progress;
pub(crate) mod record;
mod recording;
pub(crate) mod stat;
pub(crate) mod text;
mod time;
mod unused;
