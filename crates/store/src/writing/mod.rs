//! Stores that are written: their creation and opening, transactions, regions, and the space of a medium.
//!
//! A [`Transaction`] writes blobs to free `space`, and `append`s a record of its changes to the log. The code that only
//! reads is beside this folder: a loader needs no more (without the feature `alloc`).

mod append;
mod attributes;
mod blob_writer;
mod open;
mod origin;
mod region;
pub(super) mod space;
mod store;
mod transaction;

cfg_if::cfg_if! {
    if #[cfg(all(
        feature = "dax",
        any(target_os = "linux", target_os = "macos", windows),
        not(cachemaint_loom)
    ))] {
        mod file;
    } else {
        /// Replaces the module for systems without files, with the same interface.
        mod file {
            use super::open::Circumstances;
            use cachemaint::medium::Readable;
            use crate::reader::Reader;

            pub(super) const fn circumstances<M: Readable>(_: &M, _: u64) -> Option<Circumstances> {
                None
            }

            pub(super) const fn is_in_place<M: Readable>(_: &Reader<&M>) -> Option<bool> {
                None
            }
        }
    }
}

pub use attributes::Attributes;
pub use blob_writer::BlobWriter;
pub use open::{Opened, Options, Verify};
pub use origin::Verdict;
pub use region::Region;
pub use store::Store;
pub use transaction::Transaction;
