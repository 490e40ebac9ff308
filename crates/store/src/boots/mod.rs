//! The boots in which a store was opened: their circumstances, the events between them, and their history.
//!
//! The log stores the history as an opening's own bytes.

pub(crate) mod stamp;
mod verdict;

mod history;

pub(crate) use history::History;
pub use stamp::{Boot, Origin, Stamp};
pub use verdict::Verdict;
pub(crate) use verdict::judge;

/// The circumstances of an opening.
#[derive(Debug)]
pub(crate) struct Circumstances {
    pub(crate) stamp: Stamp,
    /// True if another kernel started this one; `None` if unknown.
    pub(crate) is_by_kexec: Option<bool>,
    /// The clock of later commits.
    pub(crate) seconds: Option<fn() -> u64>,
}

cfg_if::cfg_if! {
    if #[cfg(all(
        feature = "dax",
        any(target_os = "linux", target_os = "macos", windows),
        not(cachemaint_loom)
    ))] {
        mod host;
        pub(crate) use host::{circumstances, cut, is_in_place, placement};
    } else {
        /// Without files, the circumstances are those that the caller sets.
        mod host {
            use super::{Circumstances, Stamp};
            use cachemaint::medium::Readable;

            pub(crate) const fn circumstances<M: Readable>(_: &M, _: u64) -> Option<Circumstances> {
                None
            }

            pub(crate) const fn is_in_place<M: Readable>(_: &M, _: &Stamp, _: u64) -> Option<bool> {
                None
            }
        }
        pub(crate) use host::{circumstances, is_in_place};
    }
}
